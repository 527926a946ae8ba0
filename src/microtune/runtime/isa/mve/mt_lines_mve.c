/* Lines of columns under a depthwise kernel with Helium. */
#include "mt_lines_mve.h"
#include "mt_memory.h"

#if MT_ISA_MVE

#define GATHER 8
#define GATHER_REACH 65535

static int32_t tall_of(const mt_conv_shape *s) { return s->k_h > 4 ? 8 : 4; }

int32_t mt_lines_fit(const mt_conv_shape *s, mt_image_plane plane) {
    const int32_t rows = plane.rows < s->in_h ? plane.rows : s->k_h;
    return s->k_h <= 8 && s->k_w * tall_of(s) <= 64 && s->in_h < 32768 && s->out_c < 8192 &&
           s->k_h * s->k_w * s->out_c <= GATHER_REACH &&
           rows * plane.pitch + 4 * plane.step <= GATHER_REACH;
}

/* Lane i of a gather is row i % tall of column i / tall. */
static inline int16x8_t row_of_lane(const mt_image_lines *l) {
    const int16x8_t lane = vreinterpretq_s16_u16(vidupq_n_u16(0, 1));
    return vandq_s16(lane, vdupq_n_s16((int16_t)(l->tall - 1)));
}

static inline uint16x8_t offsets(const mt_image_lines *l, int16x8_t row, int32_t pitch,
                                 int32_t step) {
    const uint16x8_t column =
        vshrq_n_u16(vandq_u16(vidupq_n_u16(0, 1), vdupq_n_u16((uint16_t)(8 - l->tall))), 2);
    const uint16x8_t down = vmulq_n_u16(vreinterpretq_u16_s16(row), (uint16_t)pitch);
    return vmlaq_n_u16(down, column, (uint16_t)step);
}

void mt_lines_begin(mt_image_lines *l, const mt_conv_shape *s, mt_image_plane plane, int8_t *line,
                    int32_t zero) {
    const int32_t span = (s->out_w - 1) * s->stride_w + s->k_w;
    const int32_t steps = ((s->out_w + 3) / 4 * 4 - 1) * s->stride_w;
    const int32_t columns = mt_max(0, mt_min(s->in_w, span - s->pad_left));
    l->s = s;
    l->plane = plane;
    l->tall = tall_of(s);
    l->line = line;
    l->to = line + s->pad_left * l->tall;
    l->vectors = s->k_w * l->tall <= 16 ? 1 : s->k_w * l->tall <= 48 ? 3 : 4;
    l->patch_step = s->stride_w * l->tall;
    l->step = GATHER / l->tall * plane.step;
    l->two_steps = 2 * l->step;
    l->pairs = columns * l->tall / (2 * GATHER);
    l->rest = columns * l->tall % (2 * GATHER);
    memset(line, zero, (size_t)(steps * l->tall + 16 * l->vectors));
    memset(l->weight, 0, sizeof l->weight);
}

static void take_rows(mt_image_lines *l, int16x8_t row) {
    const uint16x8_t at = offsets(l, row, l->plane.pitch, l->plane.step);
    vst1q_u16(l->at, at);
    vst1q_u16(l->next, vaddq_n_u16(at, (uint16_t)l->step));
}

void mt_lines_row(mt_image_lines *l, int32_t row) {
    const mt_conv_shape *s = l->s;
    const int16_t ring = (int16_t)l->plane.rows;
    const int32_t top = row * s->stride_h - s->pad_top;
    const int32_t base = mt_clamp_int32(top, 0, s->in_h - 1);
    int16x8_t rows = vminq_s16(row_of_lane(l), vdupq_n_s16((int16_t)(s->k_h - 1)));
    rows = vmaxq_s16(vaddq_n_s16(rows, (int16_t)top), vdupq_n_s16(0));
    rows = vminq_s16(rows, vdupq_n_s16((int16_t)(s->in_h - 1)));
    rows = vsubq_n_s16(rows, (int16_t)base);
    l->first = base * l->plane.pitch;
    if (l->plane.rows < s->in_h) {
        rows = vaddq_n_s16(rows, (int16_t)(base % ring));
        rows = vsubq_m_n_s16(rows, rows, ring, vcmpgeq_n_s16(rows, ring));
        l->first = 0;
    }
    take_rows(l, rows);
}

void mt_lines_framed(mt_image_lines *l) {
    take_rows(l, vminq_s16(row_of_lane(l), vdupq_n_s16((int16_t)(l->s->k_h - 1))));
}

uint32_t mt_lines_there(const mt_image_lines *l, int32_t top) {
    const int32_t begin = mt_max(0, -top);
    const int32_t end = mt_max(begin, mt_min(l->s->k_h, l->s->in_h - top));
    const uint32_t there = (1u << end) - (1u << begin);
    return l->tall == 4 ? there * 0x1111u : there * 0x101u;
}

void mt_lines_stride(mt_image_lines *l, int32_t stride) {
    const mve_pred16_t rows = vcmpltq_n_s16(row_of_lane(l), (int16_t)l->s->k_h);
    const int16x8_t row = vpselq_s16(row_of_lane(l), vdupq_n_s16(0), rows);
    vst1q_u16(l->weight_at, offsets(l, row, l->s->k_w * stride, stride));
    l->weight_rows = rows;
    l->weight_stride = stride;
}

void mt_copy_plane(const int8_t *x, int32_t step, int32_t pixels, int8_t *to) {
    const uint16x8_t at = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)step);
    for (; pixels > 0; pixels -= GATHER, to += GATHER, x += GATHER * step) {
        const mve_pred16_t there = vctp16q((uint32_t)pixels);
        vstrbq_p_s16(to, vldrbq_gather_offset_z_s16(x, at, there), there);
    }
}
#endif
