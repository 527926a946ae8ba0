/* Input gradient of depthwise convolutions with Helium: 16 channels of one input pixel at a time.
 */
#include "mt_conv2d_input_grad.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_MVE
#include "mt_mve.h"

/* Taps first, first + stride, ... of one dimension, `count` of them; the first meets output `at`,
 * each next one the output before. */
typedef struct {
    int32_t first, count, at;
} grad_taps;

/* 16 channels, the last ones missing where count < 16. */
typedef struct {
    const mt_conv2d_input_grad_params *p;
    const int8_t *g, *weight;
    int32_t g_stride, weight_stride;
    int32_t first, count;
    int32_t multiplier[MT_CHANNELS]; /* by 4*j + i for channel 4*i + j */
} grad_block;

static grad_taps taps_of(int32_t in, int32_t pad, int32_t stride, int32_t kernel, int32_t out) {
    const int32_t position = in + pad;
    grad_taps t = {mt_max(0, position - (out - 1) * stride), 0, 0};
    t.first += (position - t.first) % stride;
    const int32_t last = mt_min(kernel - 1, position);
    if (t.first <= last) {
        t.count = (last - t.first) / stride + 1;
        t.at = (position - t.first) / stride;
    }
    return t;
}

MT_INLINE void grad_pixels(const grad_block *b, mt_rounder *rounder, int full) {
    const mt_conv_shape *s = &b->p->shape;
    const mve_pred16_t lanes = vctp8q((uint32_t)b->count);
    const int32_t n = b->p->depthwise_shift;
    for (int32_t ih = 0; ih < s->in_h; ih++) {
        const grad_taps high = taps_of(ih, s->pad_top, s->stride_h, s->k_h, s->out_h);
        for (int32_t iw = 0; iw < s->in_w; iw++) {
            const grad_taps wide = taps_of(iw, s->pad_left, s->stride_w, s->k_w, s->out_w);
            mt_sums sums = mt_sums_zero();
            const int8_t *g = b->g + (high.at * s->out_w + wide.at) * b->g_stride;
            const int8_t *w = b->weight + (high.first * s->k_w + wide.first) * b->weight_stride;
            const int32_t w_step = s->stride_w * b->weight_stride;
            const mt_taps area = {g,
                                  w,
                                  -b->g_stride,
                                  w_step,
                                  (wide.count - s->out_w) * b->g_stride,
                                  s->stride_h * s->k_w * b->weight_stride - wide.count * w_step,
                                  wide.count,
                                  high.count};
            mt_sums_area(&sums, area, lanes, full);
            const mt_quads t = mt_sums_total(&sums);
            const int32_t *m = b->multiplier;
            int32_t acc[MT_CHANNELS];
            int32x4x4_t all;
            all.val[0] = vrmulhq_s32(vshlq_r_s32(t.j0, n), vld1q_s32(m));
            all.val[1] = vrmulhq_s32(vshlq_r_s32(t.j1, n), vld1q_s32(m + 4));
            all.val[2] = vrmulhq_s32(vshlq_r_s32(t.j2, n), vld1q_s32(m + 8));
            all.val[3] = vrmulhq_s32(vshlq_r_s32(t.j3, n), vld1q_s32(m + 12));
            vst4q_s32(acc, all);
            mt_round_run(rounder, acc, (ih * s->in_w + iw) * s->in_c + b->first, b->count);
        }
    }
}

static __attribute__((noinline)) void full_pixels(const grad_block *b, mt_rounder *r) {
    grad_pixels(b, r, 1);
}

static __attribute__((noinline)) void tail_pixels(const grad_block *b, mt_rounder *r) {
    grad_pixels(b, r, 0);
}

void mt_depthwise_input_grad_isa(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    const mt_conv_shape *s = &p->shape;
    int8_t *scratch = (int8_t *)io->scratch;
    const mt_depthwise_weights weights = {
        s, io->weight, io->trained_weight, p->channel_order, p->trained_channels, scratch};
    int8_t *copy = p->channel_order == NULL ? scratch : scratch + s->k_h * s->k_w * MT_BLOCK;
    for (int32_t c = 0; c < s->in_c; c += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, s->in_c - c);
        grad_block b = {.p = p, .g_stride = s->out_c};
        const int8_t *columns = mt_depthwise_columns(&weights, c, n, &b.weight_stride);
        const int8_t *g = io->g + c;
        if (io->g == io->dx) {
            mt_copy_columns(g, s->out_h * s->out_w, s->out_c, n, copy);
            g = copy;
            b.g_stride = MT_BLOCK;
        }
        for (int32_t i = 0; i < n; i += MT_CHANNELS) {
            b.g = g + i;
            b.weight = columns + i;
            b.first = c + i;
            b.count = mt_min(MT_CHANNELS, n - i);
            mt_deinterleave(p->multiplier + b.first, b.count, b.multiplier);
            if (b.count == MT_CHANNELS) {
                full_pixels(&b, rounder);
            } else {
                tail_pixels(&b, rounder);
            }
        }
    }
}
#endif
