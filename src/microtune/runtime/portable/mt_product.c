/* Products of two tensors, or of a tensor and a factor for each channel, and their gradients. */
#include "mt_product.h"

#include "mt_blocks.h"
#include "mt_memory.h"
#include "mt_numerics.h"

#if !MT_HAS_MUL_RUN
void mt_mul_run(const mt_mul_params *p, const int8_t *x, const int8_t *v, int32_t n, int8_t *y,
                uint8_t *inside) {
    for (int32_t i = 0; i < n; i++) {
        const int32_t product = (x[i] - p->x_zero) * (v[i] - p->v_zero);
        const int32_t code = p->y_zero + mt_requantize(product, p->multiplier, p->shift);
        inside[i] = (uint8_t)(code >= p->clamp_lo && code <= p->clamp_hi);
        y[i] = (int8_t)mt_clamp_int32(code, p->clamp_lo, p->clamp_hi);
    }
}
#endif

#if !MT_HAS_MUL_SUMS
void mt_mul_sums(const mt_mul_grad_params *p, const int8_t *g, const int8_t *x, int32_t n,
                 int32_t *acc) {
    for (int32_t i = 0; i < n; i++) {
        acc[i] = 0;
    }
    for (int32_t place = 0; place < p->places; place++, g += p->count, x += p->count) {
        for (int32_t i = 0; i < n; i++) {
            MT_ACCUMULATE(acc[i], g[i] * (x[i] - p->zero), 0);
        }
    }
}
#endif

/* The length of the next run: no longer than a block, and v does not start again in it. */
static inline int32_t run_of(int32_t left, int32_t before_end) {
    return mt_min(mt_min(MT_BLOCK, left), before_end);
}

void mt_mul(const mt_mul_params *p, const mt_mul_io *io) {
    if (io->mask != NULL) {
        memset(io->mask, 0, mt_mask_bytes(p->count));
    }
    int32_t at = 0;
    for (int32_t start = 0, n = 0; start < p->count; start += n) {
        n = run_of(p->count - start, p->period - at);
        uint8_t inside[MT_BLOCK];
        mt_mul_run(p, io->x + start, io->v + at, n, io->y + start, inside);
        if (io->mask != NULL) {
            mt_mask_write(io->mask, start, inside, n);
        }
        at = at + n < p->period ? at + n : 0;
    }
}

void mt_mul_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch) {
    const mt_mul_io io = {mt_ring_row(&stage->x, arenas, row),
                          stage->weight != NULL ? stage->weight
                                                : mt_ring_row(&stage->x2, arenas, row),
                          mt_ring_row(&stage->y, arenas, row), NULL};
    (void)scratch;
    mt_mul((const mt_mul_params *)stage->params, &io);
}

void mt_mul_grad(const mt_mul_grad_params *p, const mt_mul_grad_io *io) {
    const int32_t acc_exponent = *io->g_exponent + p->round.acc_exponent_delta;
    mt_rounder rounder = mt_round_begin(p->round.site, &io->round, acc_exponent, io->dx);
    int32_t at = 0;
    for (int32_t start = 0, n = 0; start < p->count; start += n) {
        n = run_of(p->count - start, p->period - at);
        const int8_t *g = io->g + start, *other = io->other + at;
        int32_t acc[MT_BLOCK];
        if (p->places > 1) {
            mt_mul_sums(p, g, other, n, acc);
        } else {
            mt_products(g, other, p->zero, n, acc);
        }
        mt_round_run(&rounder, acc, start, n);
        at = at + n < p->period ? at + n : 0;
    }
    mt_round_end(&rounder);
}

void mt_negate(const mt_negate_params *p, const mt_negate_io *io) {
    for (int32_t i = 0; i < p->count; i++) {
        io->y[i] = (int8_t)-io->g[i];
    }
}
