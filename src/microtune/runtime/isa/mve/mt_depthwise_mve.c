/* Forward depthwise convolution with Helium, one channel at a time: the patches of a line are dot
 * products of 16 to 64 bytes. sum((x - z)*w) = sum(x*w) - z*sum(w). */
#include "mt_depthwise_mve.h"
#include "mt_memory.h"

#if MT_ISA_MVE

/* What one call works on. */
typedef struct {
    mt_depthwise_run r;
    const mt_conv2d_io *io;
    int8_t *copy; /* of a channel's plane, or NULL */
    mt_depthwise_rows_of rows;
} depthwise_job;

static mt_patch_kind lines_kind(const mt_image_lines *l) {
    if (l->vectors > 1) {
        return l->vectors == 3 ? MT_PATCH_3 : MT_PATCH_4;
    }
    return l->patch_step == 4   ? MT_PATCH_1_STEP_4
           : l->patch_step == 8 ? MT_PATCH_1_STEP_8
                                : MT_PATCH_1;
}

/* The channels o .. o + n - 1: of all rows from a copy of their plane, or of one row. */
static void channels(depthwise_job *j, int32_t o, int32_t n, const int8_t *weight) {
    const mt_conv_shape *s = &j->r.p->shape;
    const int8_t *x = j->io->x + o;
    mt_depthwise_rows_of rows = j->rows;
    rows.x = j->copy != NULL ? j->copy - s->pad_top * s->in_w : x + j->r.l.first;
    rows.y += o;
    rows.channel = o;
    for (int32_t i = 0; i < n; i++) {
        mt_lines_weights(&j->r.l, weight + i);
        rows.bias = j->io->bias[o + i];
        if (j->copy != NULL) {
            mt_copy_plane(x + i, s->in_c, s->in_h * s->in_w, j->copy);
        }
        mt_depthwise_channel(&j->r, &rows);
        rows.x += j->copy == NULL;
        rows.y++;
        rows.channel++;
    }
}

static void begin_job(depthwise_job *j, const mt_conv2d_params *p, mt_image_plane plane,
                      int8_t *line) {
    const mt_conv_shape *s = &p->shape;
    /* The way of the lanes through the halves of a group ends in the order of reversed bits. */
    const uint16x8_t pixel = vbrsrq_n_u16(vidupq_n_u16(0, 1), 3);
    mt_lines_begin(&j->r.l, s, plane, line, p->x_zero);
    vst1q_u16(j->r.pixel, pixel);
    vst1q_u16(j->r.at, vmulq_n_u16(pixel, (uint16_t)s->out_c));
    j->r.groups = s->out_w / MT_GROUP;
    j->r.half = s->out_w % MT_GROUP;
    j->r.y_next = MT_GROUP * s->out_c;
    j->r.zero = p->y_zero;
    j->r.p = p;
    j->r.mask = j->io->mask;
    j->r.kind = lines_kind(&j->r.l);
    j->r.plain = j->io->mask == NULL && p->clamp_lo == -128 && p->clamp_hi == 127 &&
                 s->out_w % 4 == 0 && j->r.l.pairs > 0 && j->r.l.rest == 0;
}

static __attribute__((noinline)) void tuned_rows(const mt_conv2d_params *p, const mt_conv2d_io *io,
                                                 const mt_rows *rows, mt_image_plane plane) {
    const mt_conv_shape *s = &p->shape;
    int8_t *scratch = (int8_t *)io->scratch;
    const mt_depthwise_weights weights = {
        s, io->weight, io->trained_weight, p->channel_order, p->trained_channels, scratch};
    int8_t *line = p->channel_order == NULL ? scratch : scratch + s->k_h * s->k_w * MT_BLOCK;
    const int32_t row_bytes = s->out_w * s->out_c;
    depthwise_job j = {.io = io};
    if (io->x == io->y) {
        j.copy = line + (s->k_h - 1) * s->in_w;
        line = j.copy + (s->in_h + s->k_h - 1) * s->in_w;
    }
    begin_job(&j, p, plane, line);
    for (int32_t o = 0; o < s->out_c; o += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, s->out_c - o);
        int32_t stride;
        const int8_t *columns = mt_depthwise_columns(&weights, o, n, &stride);
        mt_lines_stride(&j.r.l, stride);
        if (j.copy != NULL) {
            mt_lines_framed(&j.r.l);
            j.rows = (mt_depthwise_rows_of){0, 0, NULL, io->y, 0, s->out_h};
            channels(&j, o, n, columns);
            continue;
        }
        for (int32_t row = rows->first; row < rows->last; row++) {
            int8_t *y = io->y + row % rows->y_rows * row_bytes;
            j.rows = (mt_depthwise_rows_of){0, 0, NULL, y, row, 1};
            mt_lines_row(&j.r.l, row);
            channels(&j, o, n, columns);
        }
    }
}

/* The input, or the copy of it that is read in place. */
static mt_image_plane plane_of(const mt_conv_shape *s, const mt_conv2d_io *io,
                               const mt_rows *rows) {
    if (io->x == io->y) {
        return (mt_image_plane){1, s->in_w, s->in_h};
    }
    return (mt_image_plane){s->in_c, s->in_w * s->in_c, rows->x_rows};
}

/* Not where two pixels have bits in one byte of a mask. */
int32_t mt_depthwise_rows_fits(const mt_conv2d_params *p, const mt_conv2d_io *io,
                               const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    return (io->mask == NULL || s->out_c >= 8) && mt_lines_fit(s, plane_of(s, io, rows));
}

void mt_depthwise_rows_isa(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    tuned_rows(p, io, rows, plane_of(&p->shape, io, rows));
}
#endif
