/* Transposed depthwise convolution with int8 gradients by blocks of channels, portable. */
#include "mt_conv2d_input_grad.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_HAS_DEPTHWISE_INPUT_GRAD != MT_ALL
/* Some channels of the gradient, g_stride bytes a pixel, and of the weights. */
typedef struct {
    const int8_t *g, *weight;
    int32_t g_stride, weight_stride;
} mt_grad_columns;

/* acc[0 .. n-1] = sum of g*w over the taps of one input pixel; both products fit in 16 bits. */
static inline void depthwise_grad_taps(const mt_conv_shape *s, const mt_grad_columns *columns,
                                       int32_t pixel, int32_t *acc, int32_t n) {
    memset(acc, 0, (size_t)n * sizeof *acc);
    for (int32_t kh = 0; kh < s->k_h; kh++) {
        const int32_t oh = mt_output_of(pixel / s->in_w, kh, s->pad_top, s->stride_h, s->out_h);
        if (oh < 0) {
            continue;
        }
        for (int32_t kw = 0; kw < s->k_w; kw++) {
            const int32_t ow =
                mt_output_of(pixel % s->in_w, kw, s->pad_left, s->stride_w, s->out_w);
            if (ow < 0) {
                continue;
            }
            const int8_t *from = columns->g + (oh * s->out_w + ow) * columns->g_stride;
            const int8_t *row = columns->weight + (kh * s->k_w + kw) * columns->weight_stride;
            MT_KEEP_LOOP
            for (int32_t i = 0; i < n; i++) {
                MT_ACCUMULATE(acc[i], (int16_t)(from[i] * row[i]), 1);
            }
        }
    }
}

void mt_depthwise_input_grad_any(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    const mt_conv_shape *s = &p->shape;
    int8_t *scratch = (int8_t *)io->scratch;
    const mt_depthwise_weights weights = {
        s, io->weight, io->trained_weight, p->channel_order, p->trained_channels, scratch};
    int8_t *copy = p->channel_order == NULL ? scratch : scratch + s->k_h * s->k_w * MT_BLOCK;
    for (int32_t c = 0; c < s->in_c; c += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, s->in_c - c);
        const int32_t *multiplier = p->multiplier + c;
        mt_grad_columns columns = {io->g + c, NULL, s->out_c, 0};
        columns.weight = mt_depthwise_columns(&weights, c, n, &columns.weight_stride);
        if (io->g == io->dx) {
            mt_copy_columns(io->g + c, s->out_h * s->out_w, s->out_c, n, copy);
            columns.g = copy;
            columns.g_stride = MT_BLOCK;
        }
        for (int32_t pixel = 0; pixel < s->in_h * s->in_w; pixel++) {
            int32_t acc[MT_BLOCK];
            MT_WITH_BLOCK(n, depthwise_grad_taps, s, &columns, pixel, acc);
            for (int32_t i = 0; i < n; i++) {
                const int32_t shifted = acc[i] * (1 << p->depthwise_shift);
                acc[i] = mt_high_multiply(shifted, multiplier[i]);
            }
            mt_round_run(rounder, acc, pixel * s->in_c + c, n);
        }
    }
}
#endif
