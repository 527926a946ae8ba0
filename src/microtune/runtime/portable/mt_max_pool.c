/* Max pool. The largest elements come first; which elements they are is found by comparing. */
#include "mt_max_pool.h"

#include "mt_memory.h"
#include "mt_numerics.h"

#if !MT_HAS_MAX_BYTES
void mt_max_bytes(int8_t *best, const int8_t *x, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        best[i] = x[i] > best[i] ? x[i] : best[i];
    }
}
#endif

/* A window's elements inside of the image: rows and columns first .. end - 1 of the window. */
typedef struct {
    int32_t row, column; /* of the image, of the window's element (0, 0) */
    int32_t first_h, end_h, first_w, end_w;
} mt_max_window;

static mt_max_window max_window_at(const mt_max_pool_params *p, int32_t row, int32_t column) {
    mt_max_window w;
    w.row = row * p->stride_h - p->pad_top;
    w.column = column * p->stride_w - p->pad_left;
    w.first_h = mt_max(0, -w.row);
    w.end_h = mt_min(p->k_h, p->in_h - w.row);
    w.first_w = mt_max(0, -w.column);
    w.end_w = mt_min(p->k_w, p->in_w - w.column);
    return w;
}

/* The channels of element (kh, kw) of a window. */
static const int8_t *window_element(const mt_max_pool_params *p, const int8_t *x, int32_t x_rows,
                                    const mt_max_window *w, int32_t kh, int32_t kw) {
    const int32_t slot = (w->row + kh) % x_rows;
    return x + (slot * p->in_w + w->column + kw) * p->channels;
}

/* The largest element of each channel. */
static void largest_of_window(const mt_max_pool_params *p, const int8_t *x, int32_t x_rows,
                              const mt_max_window *w, int8_t *y) {
    memcpy(y, window_element(p, x, x_rows, w, w->first_h, w->first_w), (size_t)p->channels);
    for (int32_t kh = w->first_h; kh < w->end_h; kh++) {
        for (int32_t kw = w->first_w; kw < w->end_w; kw++) {
            mt_max_bytes(y, window_element(p, x, x_rows, w, kh, kw), p->channels);
        }
    }
}

static void max_pool_row(const mt_max_pool_params *p, const int8_t *x, int32_t x_rows, int32_t row,
                         int8_t *y) {
    for (int32_t column = 0; column < p->out_w; column++) {
        const mt_max_window w = max_window_at(p, row, column);
        largest_of_window(p, x, x_rows, &w, y + column * p->channels);
    }
}

/* The number of the first element of a channel that is the largest. */
static uint32_t choice_of(const mt_max_pool_params *p, const int8_t *x, const mt_max_window *w,
                          int32_t channel, int8_t largest) {
    for (int32_t kh = w->first_h; kh < w->end_h; kh++) {
        for (int32_t kw = w->first_w; kw < w->end_w; kw++) {
            if (window_element(p, x, p->in_h, w, kh, kw)[channel] == largest) {
                return (uint32_t)(kh * p->k_w + kw);
            }
        }
    }
    return 0;
}

static void write_choices(const mt_max_pool_params *p, const mt_max_pool_io *io) {
    const int32_t count = p->out_h * p->out_w * p->channels;
    uint32_t bit = 0;
    memset(io->choice, 0, ((size_t)count * (size_t)p->choice_bits + 7) / 8);
    for (int32_t pixel = 0; pixel < p->out_h * p->out_w; pixel++) {
        const mt_max_window w = max_window_at(p, pixel / p->out_w, pixel % p->out_w);
        const int8_t *y = io->y + pixel * p->channels;
        for (int32_t c = 0; c < p->channels; c++) {
            const uint32_t choice = choice_of(p, io->x, &w, c, y[c]);
            io->choice[bit >> 3] = (uint8_t)(io->choice[bit >> 3] | choice << (bit & 7));
            bit += (uint32_t)p->choice_bits;
        }
    }
}

void mt_max_pool(const mt_max_pool_params *p, const mt_max_pool_io *io) {
    for (int32_t row = 0; row < p->out_h; row++) {
        max_pool_row(p, io->x, p->in_h, row, io->y + row * p->out_w * p->channels);
    }
    if (io->choice != NULL) {
        write_choices(p, io);
    }
}

void mt_max_pool_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch) {
    (void)scratch;
    max_pool_row((const mt_max_pool_params *)stage->params, mt_ring_image(&stage->x, arenas),
                 stage->x.rows, row, mt_ring_row(&stage->y, arenas, row));
}
