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

#define MT_LINES 16

/* An image of one channel: `step` bytes from pixel to pixel, `pitch` from row to row; a ring of
 * `rows` rows. */
typedef struct {
    int32_t step, pitch, rows;
} mt_plane;

/* Where the columns of one output row lie in a plane, and which bytes of its patches do. */
typedef struct {
    uint16_t at[8]; /* of the lanes of a gather */
    int32_t first;
    mve_pred16_t there;
} mt_line;

typedef struct {
    const mt_conv_shape *s;
    mt_plane plane;
    int8_t *line;
    int32_t tall, columns; /* bytes of a column; columns that are in the image */
    int32_t vectors;       /* of 16 bytes that a patch is read in: 1, 3 or 4 */
    int8_t weight[64];     /* [KW][tall], 0 where there is no row */
    uint16_t weight_at[8]; /* as in mt_line */
    int32_t weight_stride;
    mt_line rows[MT_LINES];
} mt_lines;

/* The weights of a patch, those of rows outside the image 0, and their sum. */
typedef struct {
    int8x16_t v0, v1, v2, v3;
    int32_t sum;
} mt_patch_weights;

/* Whether there are lines for this shape. */
int32_t mt_lines_fit(const mt_conv_shape *s, mt_plane plane);

/* For all channels; the weights of a channel are `weight_stride` bytes apart. The line takes
 * (OW rounded up to 4s - 1)*SW*tall + 16*vectors bytes. */
void mt_lines_begin(mt_lines *l, const mt_conv_shape *s, mt_plane plane, int8_t *line,
                    int32_t zero);

/* The output rows first .. first + count - 1 become rows[0 .. count-1]. */
void mt_lines_rows(mt_lines *l, int32_t first, int32_t count);

/* Takes the weights of a channel. */
void mt_lines_weights(mt_lines *l, const int8_t *w, int32_t stride);

/* to[pixel] = x[pixel*step], e.g. before a kernel writes over x. */
void mt_copy_plane(const int8_t *x, int32_t step, int32_t pixels, int8_t *to);

/* Gathers the columns of a row, of a channel that begins at x. */
MT_INLINE void mt_lines_fill(const mt_lines *l, const mt_line *row, const int8_t *x) {
    const int32_t tall = l->tall, columns = 8 / tall, step = columns * l->plane.step;
    const uint16x8_t at = vld1q_u16(row->at), next = vaddq_n_u16(at, (uint16_t)step);
    int8_t *to = l->line + l->s->pad_left * tall;
    const int32_t pairs = l->columns * tall / 16, rest = l->columns * tall % 16;
    x += row->first;
    if (pairs > 0) {
        __asm__ volatile("dls lr, %[n]\n"
                         "1:\n\t"
                         "vldrb.s16 q0, [%[x], %q[at]]\n\t"
                         "vldrb.s16 q1, [%[x], %q[next]]\n\t"
                         "add %[x], %[x], %[step]\n\t"
                         "vstrb.16 q0, [%[to]], #8\n\t"
                         "vstrb.16 q1, [%[to]], #8\n\t"
                         "le lr, 1b\n"
                         : [x] "+r"(x), [to] "+l"(to)
                         : [n] "r"(pairs), [step] "r"(2 * step), [at] "w"(at), [next] "w"(next)
                         : "q0", "q1", "lr", "memory");
    }
    for (int32_t n = rest; n > 0; n -= 8, to += 8, x += step) {
        const mve_pred16_t there = vctp16q((uint32_t)n);
        vstrbq_p_s16(to, vldrbq_gather_offset_z_s16(x, at, there), there);
    }
}

/* The weights of a row. */
MT_INLINE mt_patch_weights mt_lines_patch(const mt_lines *l, const mt_line *row, int vectors) {
    mt_patch_weights w;
    w.v0 = vldrbq_z_s8(l->weight, row->there);
    w.sum = vaddvq_s8(w.v0);
    w.v1 = w.v2 = w.v3 = w.v0;
    if (vectors > 1) {
        w.v1 = vldrbq_z_s8(l->weight + 16, row->there);
        w.v2 = vldrbq_z_s8(l->weight + 32, row->there);
        w.sum = vaddvaq_s8(vaddvaq_s8(w.sum, w.v1), w.v2);
    }
    if (vectors > 3) {
        w.v3 = vldrbq_z_s8(l->weight + 48, row->there);
        w.sum = vaddvaq_s8(w.sum, w.v3);
    }
    return w;
}
#endif

#endif
