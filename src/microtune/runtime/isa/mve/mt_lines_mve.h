/* Lines of columns: the rows under a depthwise kernel, for one channel and one output row.
 *
 * A column holds its 1 to 4 rows in 4 bytes, or 5 to 8 rows in 8 bytes, so that the patch of an
 * output pixel is one run of bytes. Columns beside the image hold the zero point; rows above and
 * below it hold anything and meet weights of 0. */
#ifndef MT_LINES_MVE_H
#define MT_LINES_MVE_H

#include "mt_isa.h"

#if MT_ISA_MVE
#include "mt_mve.h"

/* An image of one channel: `step` bytes from pixel to pixel, `pitch` from row to row; a ring of
 * `rows` rows. */
typedef struct {
    int32_t step, pitch, rows;
} mt_image_plane;

/* The first members are within the reach of byte loads. */
typedef struct {
    uint16_t at[8], next[8]; /* of the lanes of two gathers in a row */
    int8_t weight[64];       /* [KW][tall], 0 where there is no row */
    int8_t *line, *to;       /* the line; its first column that is in the image */
    int32_t tall, vectors;   /* bytes of a column; vectors of 16 that a patch is read in */
    int32_t patch_step;      /* bytes from patch to patch */
    int32_t step, two_steps; /* bytes of the plane from gather to gather, for two of them */
    int32_t pairs, rest;     /* gathers of a line by twos; lanes behind them */
    int32_t first;           /* where the row begins in its plane */
    const mt_conv_shape *s;
    mt_image_plane plane;
    int32_t weight_stride;
    uint16_t weight_at[8];
    mve_pred16_t weight_rows; /* lanes of a gather that are rows of the kernel */
} mt_image_lines;

/* Whether there are lines for this shape. */
int32_t mt_lines_fit(const mt_conv_shape *s, mt_image_plane plane);

/* For all channels; the weights of a channel are `weight_stride` bytes apart. The line takes
 * (OW rounded up to 4s - 1)*SW*tall + 16*vectors bytes. */
void mt_lines_begin(mt_image_lines *l, const mt_conv_shape *s, mt_image_plane plane, int8_t *line,
                    int32_t zero);

/* The output row of the next lines, in an image with or without rows around it that may be read:
 * k_h - 1 of them. */
void mt_lines_row(mt_image_lines *l, int32_t row);
void mt_lines_framed(mt_image_lines *l);

/* The weights of a channel will be `stride` bytes apart. */
void mt_lines_stride(mt_image_lines *l, int32_t stride);

/* to[pixel] = x[pixel*step], e.g. before a kernel writes over x. */
void mt_copy_plane(const int8_t *x, int32_t step, int32_t pixels, int8_t *to);

/* Which bytes of a patch are rows of the image, if its first row is `top`. */
uint32_t mt_lines_there(const mt_image_lines *l, int32_t top);

/* Takes the weights of a channel. */
MT_INLINE void mt_lines_weights(mt_image_lines *l, const int8_t *w) {
    const int32_t columns = 8 / l->tall;
    const uint16x8_t at = vld1q_u16(l->weight_at);
    int8_t *to = l->weight;
    int32_t n = l->s->k_w;
    for (; n >= columns; n -= columns, to += 8, w += columns * l->weight_stride) {
        vstrbq_s16(to, vldrbq_gather_offset_z_s16(w, at, l->weight_rows));
    }
    if (n > 0) {
        vstrbq_s16(to, vldrbq_gather_offset_z_s16(w, at, l->weight_rows & 0xff));
    }
}

/* The sum of the weights of a row. */
MT_INLINE int32_t mt_lines_sum(const mt_image_lines *l, mve_pred16_t there) {
    int32_t sum = vaddvq_s8(vldrbq_z_s8(l->weight, there));
    for (int32_t i = 1; i < l->vectors; i++) {
        sum = vaddvaq_s8(sum, vldrbq_z_s8(l->weight + 16 * i, there));
    }
    return sum;
}
#endif

#endif
