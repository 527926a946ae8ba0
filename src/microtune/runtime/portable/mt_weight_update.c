/* Weight gradient and SGD step of a convolution: its scratch, which version is taken, and that of
 * depthwise shapes. */
#include "mt_blocks.h"
#include "mt_isa.h"
#include "mt_memory.h"
#include "mt_rate.h"
#include "mt_weight_sums.h"
#include "mt_weight_update.h"

size_t mt_conv2d_weight_update_scratch_bytes(const mt_conv2d_weight_update_params *p) {
    return mt_is_depthwise(&p->shape) ? 0 : MT_SUM_BYTES + MT_SUM_ROOM;
}

/* acc[i] = sum of g*(x - zero) of the stored channels x_first .. x_first + n - 1. `order` names the
 * output channel of each, or is NULL. */
static inline void sum_gradients(const mt_tap *t, const uint16_t *order, int32_t *acc, int32_t n) {
    const mt_conv_shape *s = &t->p->shape;
    const int32_t zero = t->p->x_zero;
    const mt_tap_span high = mt_span_of(t->kh, s->pad_top, s->stride_h, s->in_h, s->out_h);
    const mt_tap_span wide = mt_span_of(t->kw, s->pad_left, s->stride_w, s->in_w, s->out_w);
    memset(acc, 0, (size_t)n * sizeof *acc);
    MT_SKIPPED((s->out_h * s->out_w -
                mt_max(high.end - high.begin, 0) * mt_max(wide.end - wide.begin, 0)) *
               n);
    for (int32_t oh = high.begin; oh < high.end; oh++) {
        const int32_t ih = oh * s->stride_h + t->kh - s->pad_top;
        for (int32_t ow = wide.begin; ow < wide.end; ow++) {
            const int32_t iw = ow * s->stride_w + t->kw - s->pad_left;
            const int8_t *x = t->io->x + (ih * s->in_w + iw) * t->x_channels + t->x_first;
            const int8_t *g = t->io->g + (oh * s->out_w + ow) * s->out_c;
            int8_t gathered[MT_BLOCK];
            for (int32_t i = 0; order != NULL && i < n; i++) {
                gathered[i] = g[order[i]];
            }
            const int8_t *from = order == NULL ? g + t->x_first : gathered;
            MT_KEEP_LOOP
            for (int32_t i = 0; i < n; i++) {
                const int16_t centred = (int16_t)(x[i] - zero);
                MT_ACCUMULATE(acc[i], (int16_t)(from[i] * centred), 1);
            }
        }
    }
}

static void depthwise_block(mt_tap *t, uint32_t key, int32_t n) {
    const mt_conv2d_weight_update_params *p = t->p;
    const int32_t taps = p->shape.k_h * p->shape.k_w, tap = t->kh * p->shape.k_w + t->kw;
    int8_t *w = t->io->weight + tap * t->x_channels + t->x_first;
    const uint16_t *order = p->channel_order == NULL ? NULL : p->channel_order + t->x_first;
    int32_t acc[MT_BLOCK];
    MT_WITH_BLOCK(n, sum_gradients, t, order, acc);
    const mt_factor_params factor = p->factor; /* not read anew after each store */
    const int32_t exponent = *t->io->g_exponent;
    for (int32_t i = 0; i < n; i++) {
        const int32_t o = order == NULL ? t->x_first + i : order[i];
        if (mt_is_dead(&factor, o)) {
            continue;
        }
        const mt_rate rate = mt_channel_rate(&factor, o, t->io->state, exponent);
        const int64_t d = mt_step16(acc[i], rate, MT_WEIGHT_STEP_LIMIT);
        const int32_t r16 = mt_random16(key, (uint32_t)(o * taps + tap));
        w[i] = (int8_t)mt_apply_step(w[i], d, r16, MT_GRADIENT_MAX);
    }
}

static void depthwise(mt_tap *t, uint32_t key) {
    const mt_conv_shape *s = &t->p->shape;
    for (t->x_first = 0; t->x_first < t->x_channels; t->x_first += MT_BLOCK) {
        for (t->kh = 0; t->kh < s->k_h; t->kh++) {
            for (t->kw = 0; t->kw < s->k_w; t->kw++) {
                depthwise_block(t, key, mt_min(MT_BLOCK, t->x_channels - t->x_first));
            }
        }
    }
}

void mt_conv2d_weight_update(const mt_conv2d_weight_update_params *p,
                             const mt_conv2d_weight_update_io *io) {
    const uint32_t key = mt_random_key(io->state, p->site);
    if (mt_is_depthwise(&p->shape)) {
        const int32_t stored = p->channel_order == NULL ? p->shape.in_c : p->trained_channels;
        mt_tap tap = {p, io, 0, 0, stored, 0, 0};
        depthwise(&tap, key);
    } else {
#if MT_HAS_DENSE_WEIGHT_UPDATE
        mt_dense_weight_update_isa(p, io, key);
#else
        mt_dense_weight_update_any(p, io, key);
#endif
    }
}
