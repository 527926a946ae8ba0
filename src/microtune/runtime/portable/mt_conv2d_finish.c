/* Requantisation, mask and store of convolutions, and their scratch. */
#include "mt_conv2d_finish.h"

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* `kernels`: of how many kernels' height the rows are that a depthwise layer keeps widened. */
static size_t scratch_bytes(const mt_conv2d_params *p, int in_place, int32_t kernels) {
    const mt_conv_shape *s = &p->shape;
    const size_t taps = (size_t)(s->k_h * s->k_w);
    if (mt_is_depthwise(s)) {
        const size_t merged = p->channel_order == NULL ? 0 : taps * MT_BLOCK;
        const size_t copy = in_place ? (size_t)(s->in_h * s->in_w) * MT_BLOCK : 0;
        const int32_t lines = mt_min(s->in_h, kernels * s->k_h);
        const int32_t pitch = ((s->out_w + 3) / 4 * 4 - 1) * s->stride_w + s->k_w;
        return merged + larger(copy, (taps + (size_t)(lines * pitch)) * 8);
    }
    const size_t inputs = taps * (size_t)(s->in_c / s->groups);
    const size_t first = p->channel_order == NULL ? inputs : taps * (size_t)p->trained_channels;
    const size_t a = (first + 7) / 8 * 8, b = (inputs - first + 7) / 8 * 8;
    const int32_t eight = s->out_h * s->out_w >= 8 && a + b <= MT_EIGHT_LANES;
    return (eight ? 16 : 8) * (a + b) + larger(a, b);
}

size_t mt_conv2d_scratch_bytes(const mt_conv2d_params *p, int in_place) {
    return scratch_bytes(p, in_place, 2);
}

size_t mt_conv2d_row_scratch_bytes(const mt_conv2d_params *p) { return scratch_bytes(p, 0, 1); }

/* v[0 .. n-1] = zero point + requantised acc, n <= MT_BLOCK channels from o on. */
static inline void requantize_block(const mt_conv2d_params *p, const int32_t *acc, int32_t o,
                                    int32_t *v, int32_t n) {
    const int32_t *multiplier = p->multiplier + o;
    const uint8_t *shift = p->shift + o;
    const int32_t zero = p->y_zero;
    MT_KEEP_LOOP
    for (int32_t i = 0; i < n; i++) {
        v[i] = zero + mt_requantize(acc[i], multiplier[i], shift[i]);
    }
}

static inline void clamp_block(const int32_t *v, int32_t lo, int32_t hi, int8_t *y, int32_t n) {
    MT_KEEP_LOOP
    for (int32_t i = 0; i < n; i++) {
        y[i] = (int8_t)mt_clamp_int32(v[i], lo, hi);
    }
}

void mt_conv2d_finish(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows,
                      mt_run run, const int32_t *acc) {
    const mt_conv_shape *s = &p->shape;
    const int32_t lo = p->clamp_lo, hi = p->clamp_hi, n = run.count;
    const int32_t slot = run.pixel.row % rows->y_rows;
    int8_t *y = io->y + (slot * s->out_w + run.pixel.column) * s->out_c + run.first;
    int32_t v[MT_BLOCK];
    MT_WITH_BLOCK(n, requantize_block, p, acc, run.first, v);
    if (io->mask != NULL) {
        uint8_t inside[MT_BLOCK];
        for (int32_t i = 0; i < n; i++) {
            inside[i] = (uint8_t)(v[i] >= lo && v[i] <= hi);
        }
        const int32_t pixel = run.pixel.row * s->out_w + run.pixel.column;
        mt_mask_write(io->mask, pixel * s->out_c + run.first, inside, n);
    }
    MT_WITH_BLOCK(n, clamp_block, v, lo, hi, y);
}
