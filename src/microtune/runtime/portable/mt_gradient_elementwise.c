/* Gradients where paths meet, of the average pool, and under a mask. */
#include "mt_blocks.h"
#include "mt_kernels_gradient.h"
#include "mt_numerics.h"

/* v * 2^d, |result| < 2^29 for d <= 8 */
static int32_t aligned(int32_t v, int32_t d) {
    return (int32_t)(d >= 0 ? mt_shift_left(v, d) : mt_round_shift(v, mt_min(-d, 30)));
}

void mt_gradient_sum(const mt_gradient_sum_params *p, const mt_gradient_sum_io *io) {
    const int32_t e_a = *io->a_exponent, e_b = *io->b_exponent;
    const int32_t lowest = mt_max(mt_min(e_a, e_b), mt_max(e_a, e_b) - 8);
    mt_rounder rounder = mt_round_begin(p->round.site, &io->round, lowest - 12, io->y);
    for (int32_t start = 0; start < p->count; start += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, p->count - start);
        const int8_t *a = io->a + start, *b = io->b + start;
        int32_t acc[MT_BLOCK];
        for (int32_t i = 0; i < n; i++) {
            acc[i] = aligned(a[i] * (1 << 12), e_a - lowest) +
                     aligned(b[i] * p->b_multiplier, e_b - lowest);
        }
        mt_round_run(&rounder, acc, start, n);
    }
    mt_round_end(&rounder);
}

/* y[i] = g[i] where bit i is 1, i < n <= 8. */
static inline void keep_some(int8_t *y, const int8_t *g, uint32_t bits, int32_t n) {
    for (int32_t i = 0; i < n; i++, bits >>= 1) {
        y[i] = (int8_t)(g[i] & -(int32_t)(bits & 1));
    }
}

void mt_apply_mask(const mt_mask_params *p, const mt_mask_io *io) {
    const int8_t *g = io->g;
    int8_t *y = io->y;
    const uint8_t *mask = io->mask;
    int32_t left = p->count;
    for (; left >= 8; left -= 8, g += 8, y += 8, mask++) {
        if (*mask == 0xff && g == y) {
            continue;
        }
        keep_some(y, g, *mask, 8);
    }
    if (left > 0) {
        keep_some(y, g, *mask, left);
    }
}

/* First and one past the last window that holds position `in`. */
typedef struct {
    int32_t first, end;
} mt_range;

static mt_range windows_of(int32_t in, int32_t kernel, int32_t stride, int32_t windows) {
    mt_range range;
    range.first = in < kernel ? 0 : (in - kernel) / stride + 1;
    range.end = mt_min(in / stride + 1, windows);
    return range;
}

/* acc[0 .. n-1] = sum of g over the windows that hold input pixel `pixel`, channels c .. c + n - 1.
 */
static void spread_pixel(const mt_pool_params *p, const int8_t *g, int32_t pixel, int32_t c,
                         int32_t n, int32_t *acc) {
    const mt_range rows = windows_of(pixel / p->in_w, p->k_h, p->stride_h, p->out_h);
    const mt_range columns = windows_of(pixel % p->in_w, p->k_w, p->stride_w, p->out_w);
    for (int32_t i = 0; i < n; i++) {
        acc[i] = 0;
    }
    for (int32_t oh = rows.first; oh < rows.end; oh++) {
        for (int32_t ow = columns.first; ow < columns.end; ow++) {
            const int8_t *from = g + (oh * p->out_w + ow) * p->channels + c;
            for (int32_t i = 0; i < n; i++) {
                MT_ACCUMULATE(acc[i], from[i], 0);
            }
        }
    }
}

/* One window at most: mantissas pass unchanged. */
static void pass_block(const mt_average_pool_grad_io *io, const int32_t *acc, int32_t index,
                       int32_t n) {
    uint8_t keep[MT_BLOCK];
    if (io->round.mask != NULL) {
        mt_mask_read(keep, io->round.mask, index, n);
    }
    for (int32_t i = 0; i < n; i++) {
        io->dx[index + i] = (int8_t)(io->round.mask == NULL || keep[i] ? acc[i] : 0);
    }
}

void mt_average_pool_grad(const mt_average_pool_grad_params *p, const mt_average_pool_grad_io *io) {
    const mt_pool_params *pool = &p->pool;
    const int32_t acc_exponent = *io->g_exponent + p->round.acc_exponent_delta;
    mt_rounder rounder;
    if (p->overlapping) {
        rounder = mt_round_begin(p->round.site, &io->round, acc_exponent, io->dx);
    }
    for (int32_t pixel = 0; pixel < pool->in_h * pool->in_w; pixel++) {
        for (int32_t c = 0; c < pool->channels; c += MT_BLOCK) {
            const int32_t n = mt_min(MT_BLOCK, pool->channels - c);
            const int32_t index = pixel * pool->channels + c;
            int32_t acc[MT_BLOCK];
            spread_pixel(pool, io->g, pixel, c, n, acc);
            if (p->overlapping) {
                mt_round_run(&rounder, acc, index, n);
            } else {
                pass_block(io, acc, index, n);
            }
        }
    }
    if (p->overlapping) {
        mt_round_end(&rounder);
    } else {
        *io->round.exponent = acc_exponent;
    }
}
