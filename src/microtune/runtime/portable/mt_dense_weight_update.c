/* Weight gradient and SGD step of a dense or grouped convolution, portable: the gradient of a block
 * of weights lives in scratch. */
#include "mt_blocks.h"
#include "mt_isa.h"
#include "mt_memory.h"
#include "mt_rate.h"
#include "mt_weight_sums.h"
#include "mt_weight_update.h"

#if !MT_HAS_DENSE_WEIGHT_UPDATE
/* A function of its own: within the loops below GCC would keep its pointers in memory. */
static MT_NOINLINE void add_lane_products(const int16_t *x, int16_t g, int32_t n, int32_t *acc) {
    for (int32_t i = 0; i < n; i++) {
        MT_ACCUMULATE(acc[i], (int16_t)(g * x[i]), 1);
    }
}

/* acc[j][i] = sum over the pixels of g[output + j] * (x[x_first + i] - zero), i < n, j < rows.
 * The product of 8 and 9 bits fits in 16. */
static inline void sum_block(const mt_tap *t, int32_t rows, int32_t acc[MT_SUM_ROWS][MT_BLOCK],
                             int32_t n) {
    const mt_conv_shape *s = &t->p->shape;
    const int32_t zero = t->p->x_zero;
    const mt_tap_span high = mt_span_of(t->kh, s->pad_top, s->stride_h, s->in_h, s->out_h);
    const mt_tap_span wide = mt_span_of(t->kw, s->pad_left, s->stride_w, s->in_w, s->out_w);
    memset(acc, 0, MT_SUM_ROWS * sizeof acc[0]);
    MT_SKIPPED((s->out_h * s->out_w -
                mt_max(high.end - high.begin, 0) * mt_max(wide.end - wide.begin, 0)) *
               rows * n);
    for (int32_t oh = high.begin; oh < high.end; oh++) {
        const int32_t ih = oh * s->stride_h + t->kh - s->pad_top;
        for (int32_t ow = wide.begin; ow < wide.end; ow++) {
            const int32_t iw = ow * s->stride_w + t->kw - s->pad_left;
            const int8_t *x = t->io->x + (ih * s->in_w + iw) * t->x_channels + t->x_first;
            const int8_t *g = t->io->g + (oh * s->out_w + ow) * s->out_c + t->output;
            int16_t centred[MT_BLOCK];
            MT_KEEP_LOOP
            for (int32_t i = 0; i < n; i++) {
                centred[i] = (int16_t)(x[i] - zero);
            }
            for (int32_t j = 0; j < rows; j++) {
                const int16_t gj = g[j];
                if (gj == 0) {
                    MT_SKIPPED(n);
                    continue;
                }
                add_lane_products(centred, gj, n, acc[j]);
            }
        }
    }
}

#if MT_HAS_POINTWISE_SUMS
static int32_t is_pointwise(const mt_conv_shape *s) {
    return s->k_h * s->k_w == 1 && s->stride_h == 1 && s->stride_w == 1 && s->in_h == s->out_h &&
           s->in_w == s->out_w && s->pad_top == 0 && s->pad_left == 0;
}
#endif

/* sum_block, by the instruction set's way where it has one. */
static void sum_rows(const mt_tap *t, int32_t rows, int32_t n, int32_t acc[MT_SUM_ROWS][MT_BLOCK]) {
#if MT_HAS_POINTWISE_SUMS
    const mt_conv_shape *s = &t->p->shape;
    if (is_pointwise(s)) {
        const mt_sum_shape sums = {s->in_h * s->in_w, t->x_channels, s->out_c, t->p->x_zero, rows};
        mt_pointwise_sums(&sums, t->io->x + t->x_first, t->io->g + t->output, n, acc,
                          (uint8_t *)t->io->scratch + MT_SUM_BYTES);
        return;
    }
#endif
    MT_WITH_BLOCK(n, sum_block, t, rows, acc);
}

/* A weight moved by `d`, which has 32 bits, and clamped. */
static inline int8_t step_weight(int32_t w, int32_t d, int32_t r16) {
    const int32_t moved = (w * 65536 - d + r16) >> 16;
    return (int8_t)mt_clamp_int32(moved, -MT_GRADIENT_MAX, MT_GRADIENT_MAX);
}

/* Steps w[0 .. n-1], whose gradients are acc; r16 are their random bits. */
static void step_block(int8_t *w, const int32_t *acc, const uint16_t *r16, int32_t n,
                       mt_rate rate) {
    if (rate.shift >= 32 && rate.shift <= 62) {
        /* The high word of the product decides. */
        const int64_t half = INT64_C(1) << (rate.shift - 1);
        const int32_t limit = (int32_t)MT_WEIGHT_STEP_LIMIT;
        for (int32_t i = 0; i < n; i++) {
            const int32_t high = (int32_t)(((int64_t)acc[i] * rate.multiplier + half) >> 32);
            const int32_t bounded = mt_clamp_int32(high >> (rate.shift - 32), -limit, limit);
            w[i] = step_weight(w[i], bounded, r16[i]);
        }
        return;
    }
    if (rate.shift >= 1 && rate.shift < 32) {
        const int64_t half = INT64_C(1) << (rate.shift - 1);
        for (int32_t i = 0; i < n; i++) {
            const int64_t d = ((int64_t)acc[i] * rate.multiplier + half) >> rate.shift;
            const int32_t bounded =
                (int32_t)mt_clamp_int64(d, -MT_WEIGHT_STEP_LIMIT, MT_WEIGHT_STEP_LIMIT);
            w[i] = step_weight(w[i], bounded, r16[i]);
        }
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        const int64_t d = mt_step16(acc[i], rate, MT_WEIGHT_STEP_LIMIT);
        w[i] = (int8_t)mt_apply_step(w[i], d, r16[i], MT_GRADIENT_MAX);
    }
}

/* Random bits of the weights of output `o`, tap `tap`, stored channels first .. first + n - 1. */
static void random_block(const mt_conv2d_weight_update_params *p, uint32_t key, int32_t row,
                         int32_t first, int32_t n, uint16_t *r16) {
    const uint32_t start = (uint32_t)(row * (p->shape.in_c / p->shape.groups));
    if (p->channel_order == NULL) {
        mt_random16_run(r16, key, start + (uint32_t)first, n);
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        r16[i] = (uint16_t)mt_random16(key, start + p->channel_order[first + i]);
    }
}

/* Sums and steps `rows` outputs at one tap, all channels. `stored` channels per row. */
static void dense_rows(mt_tap *t, uint32_t key, int32_t first, int32_t rows, int32_t stored) {
    const mt_conv2d_weight_update_params *p = t->p;
    const int32_t taps = p->shape.k_h * p->shape.k_w, tap = t->kh * p->shape.k_w + t->kw;
    int32_t (*acc)[MT_BLOCK] = (int32_t (*)[MT_BLOCK])t->io->scratch;
    uint16_t r16[MT_BLOCK];
    for (int32_t i = 0; i < stored; i += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, stored - i);
        t->x_first = first + i;
        sum_rows(t, rows, n, acc);
        for (int32_t j = 0; j < rows; j++) {
            const int32_t o = t->output + j, row = o * taps + tap;
            if (mt_is_dead(&p->factor, o)) {
                continue;
            }
            const mt_rate rate = mt_channel_rate(&p->factor, o, t->io->state, *t->io->g_exponent);
            random_block(p, key, row, i, n, r16);
            step_block(t->io->weight + row * stored + i, acc[j], r16, n, rate);
        }
    }
}

void mt_dense_weight_update_any(const mt_conv2d_weight_update_params *p,
                                const mt_conv2d_weight_update_io *io, uint32_t key) {
    const mt_conv_shape *s = &p->shape;
    const int32_t outputs = s->out_c / s->groups, inputs = s->in_c / s->groups;
    const int32_t width = p->channel_order == NULL ? inputs : p->trained_channels;
    mt_tap tap = {p, io, 0, 0, p->channel_order == NULL ? s->in_c : width, 0, 0};
    mt_tap *t = &tap;
    for (int32_t group = 0; group < s->groups; group++) {
        for (int32_t o = 0; o < outputs; o += MT_SUM_ROWS) {
            t->output = group * outputs + o;
            for (t->kh = 0; t->kh < s->k_h; t->kh++) {
                for (t->kw = 0; t->kw < s->k_w; t->kw++) {
                    dense_rows(t, key, group * inputs, mt_min(MT_SUM_ROWS, outputs - o), width);
                }
            }
        }
    }
}
#endif
