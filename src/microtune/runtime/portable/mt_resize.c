/* Nearest and bilinear images of another size: two rows and two columns weighted by tables. */
#include "mt_resize.h"

#include "mt_blocks.h"
#include "mt_memory.h"
#include "mt_numerics.h"

/* A row or column of the result. */
typedef struct {
    int32_t lower, upper, share;
} mt_resize_place;

static mt_resize_place place_at(const uint16_t *table, int32_t i) {
    const mt_resize_place place = {table[3 * i], table[3 * i + 1], table[3 * i + 2]};
    return place;
}

/* acc / 2^20, half away from zero; |acc| <= 2^27. */
static inline int8_t rounded_mean(int32_t acc) {
    return (int8_t)((acc + (1 << 19) + (acc >> 31)) >> 20);
}

/* One element of all channels, of two rows and two columns. */
static void mix(const mt_resize_params *p, const int8_t *x, const mt_resize_place *row,
                const mt_resize_place *column, int8_t *y) {
    const int8_t *upper_row = x + row->upper * p->in_w * p->channels;
    const int8_t *lower_row = x + row->lower * p->in_w * p->channels;
    const int8_t *a = lower_row + column->lower * p->channels;
    const int8_t *b = lower_row + column->upper * p->channels;
    const int8_t *c = upper_row + column->lower * p->channels;
    const int8_t *d = upper_row + column->upper * p->channels;
    const int32_t down = MT_RESIZE_UNIT - row->share, across = MT_RESIZE_UNIT - column->share;
    const int32_t wa = down * across, wb = down * column->share;
    const int32_t wc = row->share * across, wd = row->share * column->share;
    for (int32_t i = 0; i < p->channels; i++) {
        y[i] = rounded_mean(a[i] * wa + b[i] * wb + c[i] * wc + d[i] * wd);
    }
}

void mt_resize(const mt_resize_params *p, const mt_resize_io *io) {
    int8_t *y = io->y;
    for (int32_t oh = 0; oh < p->out_h; oh++) {
        const mt_resize_place row = place_at(p->rows, oh);
        for (int32_t ow = 0; ow < p->out_w; ow++, y += p->channels) {
            const mt_resize_place column = place_at(p->columns, ow);
            if ((row.share | column.share) == 0) {
                memcpy(y, io->x + (row.lower * p->in_w + column.lower) * p->channels,
                       (size_t)p->channels);
            } else {
                mix(p, io->x, &row, &column, y);
            }
        }
    }
}

/* The weight that row (column) `in` has in row (column) `out` of the result. */
static int32_t weight_of(const uint16_t *table, int32_t out, int32_t in) {
    const mt_resize_place place = place_at(table, out);
    return (place.lower == in ? MT_RESIZE_UNIT - place.share : 0) +
           (place.upper == in ? place.share : 0);
}

/* acc[0 .. n-1] = the sums of what the element at (ih, iw) became, channels c .. c + n - 1. */
static void gather_means(const mt_resize_grad_params *p, const int8_t *g, int32_t ih, int32_t iw,
                         int32_t c, int32_t n, int32_t *acc) {
    const mt_resize_params *r = &p->resize;
    const uint16_t *rows = p->row_readers + 2 * ih, *columns = p->column_readers + 2 * iw;
    const int32_t shift = 20 - MT_RESIZE_GRADIENT_BITS;
    memset(acc, 0, (size_t)n * sizeof *acc);
    for (int32_t oh = rows[0]; oh < rows[1]; oh++) {
        const int32_t down = weight_of(r->rows, oh, ih);
        for (int32_t ow = columns[0]; ow < columns[1]; ow++) {
            const int32_t product = down * weight_of(r->columns, ow, iw);
            const int32_t weight = (product + (1 << (shift - 1))) >> shift;
            const int8_t *from = g + (oh * r->out_w + ow) * r->channels + c;
            for (int32_t i = 0; i < n; i++) {
                MT_ACCUMULATE(acc[i], from[i] * weight, 0);
            }
        }
    }
}

void mt_resize_grad(const mt_resize_grad_params *p, const mt_resize_grad_io *io) {
    const mt_resize_params *r = &p->resize;
    const int32_t acc_exponent = *io->g_exponent + p->round.acc_exponent_delta;
    mt_rounder rounder = mt_round_begin(p->round.site, &io->round, acc_exponent, io->dx);
    int32_t index = 0;
    for (int32_t ih = 0; ih < r->in_h; ih++) {
        for (int32_t iw = 0; iw < r->in_w; iw++) {
            for (int32_t c = 0; c < r->channels; c += MT_BLOCK) {
                const int32_t n = mt_min(MT_BLOCK, r->channels - c);
                int32_t acc[MT_BLOCK];
                gather_means(p, io->g, ih, iw, c, n, acc);
                mt_round_run(&rounder, acc, index, n);
                index += n;
            }
        }
    }
    mt_round_end(&rounder);
}
