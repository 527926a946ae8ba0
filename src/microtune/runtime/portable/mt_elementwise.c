/* Residual add, average pool, clamp, channel gather, bias from delta. */
#include "mt_elementwise.h"

#include "mt_blocks.h"
#include "mt_isa.h"
#include "mt_memory.h"
#include "mt_numerics.h"

/* Clamps a block of values into y and records which of them were inside. */
static void store_block(const int32_t *v, int32_t n, int32_t lo, int32_t hi, int8_t *y,
                        uint8_t *inside) {
    for (int32_t i = 0; i < n; i++) {
        inside[i] = (uint8_t)(v[i] >= lo && v[i] <= hi);
        y[i] = (int8_t)mt_clamp_int32(v[i], lo, hi);
    }
}

#if MT_HAS_ADD != MT_ALL
void mt_add_any(const mt_add_params *p, const mt_add_io *io) {
    const int32_t half = INT32_C(1) << (p->shift - 1);
    const int64_t offset = half - (int64_t)p->x1_zero * p->a1 - (int64_t)p->x2_zero * p->a2;
    /* |x| <= 128, |offset| <= half + 128*(a1 + |a2|) */
    const int narrow = 256 * ((int64_t)p->a1 + mt_max(p->a2, -p->a2)) + half <= MT_INT32_MAX;
    if (io->mask != NULL) {
        memset(io->mask, 0, mt_mask_bytes(p->count));
    }
    for (int32_t start = 0; start < p->count; start += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, p->count - start);
        const int8_t *x1 = io->x1 + start, *x2 = io->x2 + start;
        int32_t v[MT_BLOCK];
        uint8_t inside[MT_BLOCK];
        for (int32_t i = 0; i < n && narrow; i++) {
            const int32_t sum = x1[i] * p->a1 + x2[i] * p->a2 + (int32_t)offset;
            v[i] = p->y_zero + (sum >> p->shift);
        }
        for (int32_t i = 0; i < n && !narrow; i++) {
            const int32_t d1 = x1[i] - p->x1_zero, d2 = x2[i] - p->x2_zero;
            const int64_t sum = (int64_t)d1 * p->a1 + (int64_t)d2 * p->a2 + half;
            v[i] = p->y_zero + (int32_t)(sum >> p->shift);
        }
        store_block(v, n, p->clamp_lo, p->clamp_hi, io->y + start, inside);
        if (io->mask != NULL) {
            mt_mask_write(io->mask, start, inside, n);
        }
    }
}

#endif

void mt_add(const mt_add_params *p, const mt_add_io *io) {
#if MT_HAS_ADD == MT_ALL
    mt_add_isa(p, io);
#else
#if MT_HAS_ADD == MT_SOME
    if (mt_add_fits(p)) {
        mt_add_isa(p, io);
        return;
    }
#endif
    mt_add_any(p, io);
#endif
}

void mt_clamp(const mt_clamp_params *p, const mt_clamp_io *io) {
    if (io->mask != NULL) {
        memset(io->mask, 0, mt_mask_bytes(p->count));
    }
    for (int32_t start = 0; start < p->count; start += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, p->count - start);
        int32_t v[MT_BLOCK];
        uint8_t inside[MT_BLOCK];
        for (int32_t i = 0; i < n; i++) {
            v[i] = io->x[start + i];
        }
        store_block(v, n, p->lo, p->hi, io->y + start, inside);
        if (io->mask != NULL) {
            mt_mask_write(io->mask, start, inside, n);
        }
    }
}

/* Up to MT_BLOCK channels from c on of one window. */
static void pool_window(const mt_pool_params *p, const mt_pool_io *io, const mt_rows *rows,
                        int32_t row, int32_t column, int32_t c) {
    const int32_t n = mt_min(MT_BLOCK, p->channels - c);
    const int32_t elements = p->k_h * p->k_w;
    int8_t *y = io->y + ((row % rows->y_rows) * p->out_w + column) * p->channels + c;
    int32_t sum[MT_BLOCK] = {0};
    for (int32_t kh = 0; kh < p->k_h; kh++) {
        const int32_t slot = (row * p->stride_h + kh) % rows->x_rows;
        for (int32_t kw = 0; kw < p->k_w; kw++) {
            const int32_t iw = column * p->stride_w + kw;
            const int8_t *x = io->x + (slot * p->in_w + iw) * p->channels + c;
            for (int32_t i = 0; i < n; i++) {
                MT_ACCUMULATE(sum[i], x[i] + 128, 0);
            }
        }
    }
    for (int32_t i = 0; i < n; i++) {
        y[i] = (int8_t)((2 * sum[i] + elements) / (2 * elements) - 128);
    }
}

void mt_average_pool_rows(const mt_pool_params *p, const mt_pool_io *io, const mt_rows *rows) {
    for (int32_t row = rows->first; row < rows->last; row++) {
        for (int32_t column = 0; column < p->out_w; column++) {
            for (int32_t c = 0; c < p->channels; c += MT_BLOCK) {
                pool_window(p, io, rows, row, column, c);
            }
        }
    }
}

void mt_average_pool(const mt_pool_params *p, const mt_pool_io *io) {
    const mt_rows all = {0, p->out_h, p->in_h, p->out_h};
    mt_average_pool_rows(p, io, &all);
}

void mt_gather_channels(const mt_gather_params *p, const mt_gather_io *io) {
    const int8_t *x = io->x;
    int8_t *y = io->y;
    for (int32_t pixel = 0; pixel < p->pixels; pixel++, x += p->channels, y += p->selected) {
        for (int32_t t = 0; t < p->selected; t++) {
            y[t] = x[p->order[t]];
        }
    }
}

void mt_bias_from_delta(const mt_bias_delta_params *p, const mt_bias_delta_io *io) {
    for (int32_t i = 0; i < p->count; i++) {
        io->bias[i] = (int32_t)(p->base[i] + mt_shift_left(io->delta[i], p->shift));
    }
}
