/* Forward depthwise convolution by blocks of channels, portable. */
#include "mt_conv2d_finish.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_HAS_DEPTHWISE_ROWS != MT_ALL
/* Some channels of the input, a ring of x_rows rows with x_stride bytes a pixel, and of the
 * weights, [taps][weight_stride]. */
typedef struct {
    const int8_t *x, *weight;
    int32_t x_rows, x_stride, weight_stride;
} mt_columns;

/* acc[i] += (x[i] - zero) * w[i]: the product of 9 and 8 bits fits in 16. */
static inline void multiply_accumulate(int32_t *acc, const int8_t *x, const int8_t *w, int32_t zero,
                                       int32_t n) {
    MT_KEEP_LOOP
    for (int32_t i = 0; i < n; i++) {
        const int16_t centred = (int16_t)(x[i] - zero);
        MT_ACCUMULATE(acc[i], (int16_t)(centred * w[i]), 1);
    }
}

/* acc[i] += the taps of one output pixel for n channels. */
static inline void depthwise_taps(const mt_conv2d_params *p, const mt_columns *columns,
                                  mt_pixel pixel, int32_t *acc, int32_t n) {
    const mt_conv_shape *s = &p->shape;
    const int32_t top = pixel.row * s->stride_h - s->pad_top;
    const int32_t left = pixel.column * s->stride_w - s->pad_left;
    const int32_t kh_end = mt_min(s->k_h, s->in_h - top), kw_end = mt_min(s->k_w, s->in_w - left);
    MT_SKIPPED((s->k_h * s->k_w - (kh_end - mt_max(0, -top)) * (kw_end - mt_max(0, -left))) * n);
    for (int32_t kh = mt_max(0, -top); kh < kh_end; kh++) {
        for (int32_t kw = mt_max(0, -left); kw < kw_end; kw++) {
            const int32_t slot = (top + kh) % columns->x_rows;
            const int8_t *x = columns->x + (slot * s->in_w + left + kw) * columns->x_stride;
            const int8_t *w = columns->weight + (kh * s->k_w + kw) * columns->weight_stride;
            multiply_accumulate(acc, x, w, p->x_zero, n);
        }
    }
}

void mt_depthwise_rows_any(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    int8_t *scratch = (int8_t *)io->scratch;
    const mt_depthwise_weights weights = {
        s, io->weight, io->trained_weight, p->channel_order, p->trained_channels, scratch};
    int8_t *copy = p->channel_order == NULL ? scratch : scratch + s->k_h * s->k_w * MT_BLOCK;
    for (int32_t o = 0; o < s->out_c; o += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, s->out_c - o);
        mt_columns columns = {io->x + o, NULL, rows->x_rows, s->in_c, 0};
        columns.weight = mt_depthwise_columns(&weights, o, n, &columns.weight_stride);
        if (io->x == io->y) {
            mt_copy_columns(io->x + o, s->in_h * s->in_w, s->in_c, n, copy);
            columns.x = copy;
            columns.x_stride = MT_BLOCK;
        }
        for (int32_t row = rows->first; row < rows->last; row++) {
            for (int32_t column = 0; column < s->out_w; column++) {
                const mt_run run = {{row, column}, o, n};
                int32_t acc[MT_BLOCK];
                memcpy(acc, io->bias + o, (size_t)n * sizeof *acc);
                MT_WITH_BLOCK(n, depthwise_taps, p, &columns, run.pixel, acc);
                mt_conv2d_finish(p, io, rows, run, acc);
            }
        }
    }
}
#endif
