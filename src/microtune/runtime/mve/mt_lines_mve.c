/* Lines of columns under a depthwise kernel with Helium. */
#include "mt_lines_mve.h"
#include "mt_memory.h"

#if MT_ISA_MVE

#define GATHER 8
#define GATHER_REACH 65535

static int32_t tall_of(const mt_conv_shape *s) { return s->k_h > 4 ? 8 : 4; }

int32_t mt_lines_fit(const mt_conv_shape *s, mt_plane plane) {
    const int32_t rows = plane.rows < s->in_h ? plane.rows : s->k_h;
    return s->k_h <= 8 && s->k_w * tall_of(s) <= 64 && s->in_h < 32768 && s->out_c < 8192 &&
           s->k_h * s->k_w * s->out_c <= GATHER_REACH &&
           rows * plane.pitch + 4 * plane.step <= GATHER_REACH;
}

/* Lane i of a gather is row i % tall of column i / tall. */
static inline int16x8_t row_of_lane(const mt_lines *l) {
    const int16x8_t lane = vreinterpretq_s16_u16(vidupq_n_u16(0, 1));
    return vandq_s16(lane, vdupq_n_s16((int16_t)(l->tall - 1)));
}

static inline uint16x8_t offsets(const mt_lines *l, int16x8_t row, int32_t pitch, int32_t step) {
    const uint16x8_t column =
        vshrq_n_u16(vandq_u16(vidupq_n_u16(0, 1), vdupq_n_u16((uint16_t)(8 - l->tall))), 2);
    const uint16x8_t down = vmulq_n_u16(vreinterpretq_u16_s16(row), (uint16_t)pitch);
    return vmlaq_n_u16(down, column, (uint16_t)step);
}

void mt_lines_begin(mt_lines *l, const mt_conv_shape *s, mt_plane plane, int8_t *line,
                    int32_t zero) {
    const int32_t span = (s->out_w - 1) * s->stride_w + s->k_w;
    const int32_t steps = ((s->out_w + 3) / 4 * 4 - 1) * s->stride_w;
    l->s = s;
    l->plane = plane;
    l->line = line;
    l->tall = tall_of(s);
    l->columns = mt_max(0, mt_min(s->in_w, span - s->pad_left));
    l->vectors = s->k_w * l->tall <= 16 ? 1 : s->k_w * l->tall <= 48 ? 3 : 4;
    l->weight_stride = 0;
    memset(line, zero, (size_t)(steps * l->tall + 16 * l->vectors));
    memset(l->weight, 0, sizeof l->weight);
}

void mt_lines_rows(mt_lines *l, int32_t first, int32_t count) {
    const mt_conv_shape *s = l->s;
    const mt_plane *plane = &l->plane;
    const int16_t ring = (int16_t)plane->rows;
    const int whole = plane->rows >= s->in_h;
    for (int32_t i = 0; i < count; i++) {
        const int32_t top = (first + i) * s->stride_h - s->pad_top;
        const int32_t base = mt_clamp_int32(top, 0, s->in_h - 1);
        const int32_t begin = mt_max(0, -top), end = mt_max(begin, mt_min(s->k_h, s->in_h - top));
        const uint32_t there = (1u << end) - (1u << begin);
        int16x8_t row = vminq_s16(row_of_lane(l), vdupq_n_s16((int16_t)(s->k_h - 1)));
        row = vmaxq_s16(vaddq_n_s16(row, (int16_t)top), vdupq_n_s16(0));
        row = vminq_s16(row, vdupq_n_s16((int16_t)(s->in_h - 1)));
        row = vsubq_n_s16(row, (int16_t)base);
        if (!whole) {
            row = vaddq_n_s16(row, (int16_t)(base % ring));
            row = vsubq_m_n_s16(row, row, ring, vcmpgeq_n_s16(row, ring));
        }
        l->rows[i].first = whole ? base * plane->pitch : 0;
        l->rows[i].there = (mve_pred16_t)(l->tall == 4 ? there * 0x1111u : there * 0x101u);
        vst1q_u16(l->rows[i].at, offsets(l, row, plane->pitch, plane->step));
    }
}

void mt_lines_weights(mt_lines *l, const int8_t *w, int32_t stride) {
    const int32_t columns = GATHER / l->tall;
    const mve_pred16_t rows = vcmpltq_n_s16(row_of_lane(l), (int16_t)l->s->k_h);
    if (stride != l->weight_stride) {
        const int16x8_t row = vpselq_s16(row_of_lane(l), vdupq_n_s16(0), rows);
        vst1q_u16(l->weight_at, offsets(l, row, l->s->k_w * stride, stride));
        l->weight_stride = stride;
    }
    const uint16x8_t at = vld1q_u16(l->weight_at);
    int8_t *to = l->weight;
    int32_t n = l->s->k_w;
    for (; n >= columns; n -= columns, to += GATHER, w += columns * stride) {
        vstrbq_s16(to, vldrbq_gather_offset_z_s16(w, at, rows));
    }
    if (n > 0) {
        vstrbq_s16(to, vldrbq_gather_offset_z_s16(w, at, rows & 0xff));
    }
}

void mt_copy_plane(const int8_t *x, int32_t step, int32_t pixels, int8_t *to) {
    const uint16x8_t at = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)step);
    for (; pixels > 0; pixels -= GATHER, to += GATHER, x += GATHER * step) {
        const mve_pred16_t there = vctp16q((uint32_t)pixels);
        vstrbq_p_s16(to, vldrbq_gather_offset_z_s16(x, at, there), there);
    }
}
#endif
