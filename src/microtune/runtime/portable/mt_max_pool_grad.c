/* The gradient of a max pool: every g goes to the element that was chosen. */
#include "mt_blocks.h"
#include "mt_max_pool.h"
#include "mt_numerics.h"

/* First and one past the last window that holds the padded position `in`. */
typedef struct {
    int32_t first, end;
} mt_chosen_range;

static mt_chosen_range windows_with(int32_t in, int32_t kernel, int32_t stride, int32_t windows) {
    mt_chosen_range range;
    range.first = in < kernel ? 0 : (in - kernel) / stride + 1;
    range.end = mt_min(in / stride + 1, windows);
    return range;
}

/* acc[i] += g[i] for those of n results from `index` on that chose element `tap`. */
static void add_chosen(const mt_max_pool_params *p, const mt_max_pool_grad_io *io, int32_t index,
                       uint32_t tap, int32_t n, int32_t *acc) {
    const uint32_t bits = (uint32_t)p->choice_bits, all = (1u << bits) - 1;
    for (int32_t i = 0; i < n; i++) {
        const uint32_t bit = (uint32_t)(index + i) * bits;
        const int32_t g = ((io->choice[bit >> 3] >> (bit & 7)) & all) == tap ? io->g[index + i] : 0;
        MT_ACCUMULATE(acc[i], g, 0);
    }
}

/* acc[0 .. n-1]: what pixel (row, column) of the image gets in channels c .. c + n - 1. */
static void gather_chosen(const mt_max_pool_params *p, const mt_max_pool_grad_io *io, int32_t pixel,
                          int32_t c, int32_t n, int32_t *acc) {
    const int32_t row = pixel / p->in_w + p->pad_top, column = pixel % p->in_w + p->pad_left;
    const mt_chosen_range rows = windows_with(row, p->k_h, p->stride_h, p->out_h);
    const mt_chosen_range columns = windows_with(column, p->k_w, p->stride_w, p->out_w);
    for (int32_t i = 0; i < n; i++) {
        acc[i] = 0;
    }
    for (int32_t oh = rows.first; oh < rows.end; oh++) {
        for (int32_t ow = columns.first; ow < columns.end; ow++) {
            const int32_t kh = row - oh * p->stride_h, kw = column - ow * p->stride_w;
            const int32_t index = (oh * p->out_w + ow) * p->channels + c;
            add_chosen(p, io, index, (uint32_t)(kh * p->k_w + kw), n, acc);
        }
    }
}

/* One window at most: mantissas pass unchanged. */
static void pass_chosen(const mt_max_pool_grad_io *io, const int32_t *acc, int32_t index,
                        int32_t n) {
    uint8_t keep[MT_BLOCK];
    if (io->round.mask != NULL) {
        mt_mask_read(keep, io->round.mask, index, n);
    }
    for (int32_t i = 0; i < n; i++) {
        io->dx[index + i] = (int8_t)(io->round.mask == NULL || keep[i] ? acc[i] : 0);
    }
}

void mt_max_pool_grad(const mt_max_pool_grad_params *p, const mt_max_pool_grad_io *io) {
    const mt_max_pool_params *pool = &p->pool;
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
            gather_chosen(pool, io, pixel, c, n, acc);
            if (p->overlapping) {
                mt_round_run(&rounder, acc, index, n);
            } else {
                pass_chosen(io, acc, index, n);
            }
        }
    }
    if (p->overlapping) {
        mt_round_end(&rounder);
    } else {
        *io->round.exponent = acc_exponent;
    }
}
