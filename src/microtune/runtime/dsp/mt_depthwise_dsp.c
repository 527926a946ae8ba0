/* Depthwise convolution: four channels at a time. The rows under the kernel are kept widened,
 * centred and padded, so that the inner loop knows no borders; it makes four output pixels. */
#include "mt_conv2d_finish.h"
#include "mt_depthwise_taps_dsp.h"
#include "mt_dsp.h"
#include "mt_finish_dsp.h"

#if MT_ISA_DSP && !MT_ISA_MVE

/* Output pixels of the inner loop. */
#define PIXELS 4

/* Two planes, channels (0, 2) and (1, 3): of the weights [taps], of the widened rows [k_h][pitch].
 */
typedef struct {
    const mt_conv2d_params *p;
    const mt_conv2d_io *io;
    const mt_rows *rows;
    uint32_t *weights[2], *lines[2];
    int32_t pitch, height, base;
    int32_t first, count; /* the channels, count <= 4 */
} mt_group;

/* n pixels of four channels. */
static void widen_whole(const int8_t *from, int32_t stride, int32_t n, uint32_t zeros,
                        uint32_t *even, uint32_t *odd) {
    for (int32_t i = 0; i < n; i++, from += stride) {
        const uint32_t word = mt_load_word(from);
        even[i] = mt_subtract_pairs(mt_even_bytes(word), zeros);
        odd[i] = mt_subtract_pairs(mt_odd_bytes(word), zeros);
    }
}

/* The same of `count` channels, count < 4. */
static void widen_part(const int8_t *from, int32_t stride, int32_t n, uint32_t zeros,
                       uint32_t *even, uint32_t *odd, int32_t count) {
    for (int32_t i = 0; i < n; i++, from += stride) {
        int8_t four[4] = {0, 0, 0, 0};
        for (int32_t c = 0; c < count; c++) {
            four[c] = from[c];
        }
        widen_whole(four, 0, 1, zeros, even + i, odd + i);
    }
}

static void widen(const mt_group *g, const int8_t *from, int32_t stride, int32_t n, int32_t zero,
                  uint32_t *even, uint32_t *odd) {
    const uint32_t zeros = (uint32_t)(zero & 0xffff) * 0x10001u;
    if (g->count == 4) {
        widen_whole(from, stride, n, zeros, even, odd);
    } else {
        widen_part(from, stride, n, zeros, even, odd, g->count);
    }
}

/* Row `ih` of the image into its line; the padding was zeroed before. */
static void widen_row(const mt_group *g, int32_t ih) {
    const mt_conv_shape *s = &g->p->shape;
    const int8_t *from = g->io->x + (ih % g->rows->x_rows) * s->in_w * s->in_c + g->first;
    const int32_t at = (ih - g->base) * g->pitch + s->pad_left;
    const int32_t n = mt_min(s->in_w, g->pitch - s->pad_left);
    widen(g, from, s->in_c, n, g->p->x_zero, g->lines[0] + at, g->lines[1] + at);
}

/* Wider strides make one pixel at a time: its neighbours of the inner loop are not used. */
static int32_t pixels_of(const mt_conv_shape *s) { return s->stride_w <= 2 ? PIXELS : 1; }

/* Calls the function of a width. */
#define RUN_WIDTH(width)                                                                           \
    do {                                                                                           \
        if (wide) {                                                                                \
            mt_taps_##width##_stride_2(acc, w, x, span);                                           \
        } else {                                                                                   \
            mt_taps_##width##_stride_1(acc, w, x, span);                                           \
        }                                                                                          \
    } while (0)

static void run_any_width(int32_t k_w, int32_t wide, const uint32_t *w, const uint32_t *line,
                          const mt_span *rows, int32_t *acc) {
    const mt_span one = {0, 1, {0, 0}}, *span = &one;
    for (int32_t i = 0; i < 2 * PIXELS; i++) {
        acc[i] = rows->bias[i & 1];
    }
    for (int32_t kh = 0; kh < rows->rows; kh++, line += rows->pitch / 4) {
        for (int32_t kw = 0; kw < k_w; kw++, w++) {
            const uint32_t *x = line + kw;
            RUN_WIDTH(1);
        }
    }
}

static inline void run_kernel(const mt_conv_shape *s, const uint32_t *w, const uint32_t *x,
                              const mt_span *span, int32_t acc[2 * PIXELS]) {
    const int32_t wide = s->stride_w == 2;
    if (s->k_w == 3 && span->rows > 0) {
        RUN_WIDTH(3);
    } else if (s->k_w == 5 && span->rows > 0) {
        RUN_WIDTH(5);
    } else if (s->k_w == 7 && span->rows > 0) {
        RUN_WIDTH(7);
    } else {
        run_any_width(s->k_w, wide, w, x, span, acc);
    }
}

/* One output row of the group. */
static void make_row(const mt_group *g, int32_t row, const mt_quad_finish *finish) {
    const mt_conv_shape *s = &g->p->shape;
    const int32_t top = row * s->stride_h - s->pad_top, step = pixels_of(s);
    const int32_t kh = mt_max(0, -top);
    const int32_t *bias = finish->bias, kernel_rows = mt_min(s->k_h, s->in_h - top) - kh;
    const mt_span even_span = {g->pitch * 4, kernel_rows, {bias[0], bias[2]}};
    const mt_span odd_span = {g->pitch * 4, kernel_rows, {bias[1], bias[3]}};
    const int32_t line = (top + kh - g->base) * g->pitch, tap = kh * s->k_w;
    int8_t *y = g->io->y + (row % g->rows->y_rows) * s->out_w * s->out_c + g->first;
    int32_t index = row * s->out_w * s->out_c + g->first;
    for (int32_t column = 0; column < s->out_w; column += step) {
        int32_t even[2 * PIXELS], odd[2 * PIXELS];
        const int32_t x = line + column * s->stride_w;
        run_kernel(s, g->weights[0] + tap, g->lines[0] + x, &even_span, even);
        run_kernel(s, g->weights[1] + tap, g->lines[1] + x, &odd_span, odd);
        const int32_t n = mt_min(step, s->out_w - column);
        for (int32_t i = 0; i < 2 * n; i += 2, y += s->out_c, index += s->out_c) {
            const int32_t acc[4] = {even[i], odd[i], even[i + 1], odd[i + 1]};
            mt_finish_quad(finish, acc, y, index);
        }
    }
}

/* The columns of the lines that no row of the image reaches. */
static void zero_padding(const mt_group *g) {
    const mt_conv_shape *s = &g->p->shape;
    const int32_t right = mt_min(g->pitch, s->pad_left + s->in_w);
    uint32_t *line = g->lines[0];
    for (int32_t i = 2 * g->height; i > 0; i--, line += g->pitch) {
        for (int32_t column = 0; column < s->pad_left; column++) {
            line[column] = 0;
        }
        for (int32_t column = right; column < g->pitch; column++) {
            line[column] = 0;
        }
    }
}

/* Makes row `first` of the image the first line. */
static void drop_lines(mt_group *g, int32_t first) {
    const int32_t dropped = mt_min(first - g->base, g->height);
    const size_t bytes = (size_t)((g->height - dropped) * g->pitch) * sizeof(uint32_t);
    for (int32_t plane = 0; plane < 2; plane++) {
        memmove(g->lines[plane], g->lines[plane] + dropped * g->pitch, bytes);
    }
    g->base += dropped;
}

/* All rows of the channels of one group; w is [taps][row_stride]. */
static void make_group(mt_group *g, const int8_t *w, int32_t row_stride) {
    const mt_conv_shape *s = &g->p->shape;
    const mt_quad_finish finish = mt_begin_finish(g->p, g->io, g->first, g->count);
    widen(g, w, row_stride, s->k_h * s->k_w, 0, g->weights[0], g->weights[1]);
    int32_t next = mt_max(0, g->rows->first * s->stride_h - s->pad_top);
    g->base = next;
    for (int32_t row = g->rows->first; row < g->rows->last; row++) {
        const int32_t need = mt_min(row * s->stride_h - s->pad_top + s->k_h, s->in_h);
        for (; next < need; next++) {
            if (next - g->base == g->height) {
                drop_lines(g, mt_max(0, row * s->stride_h - s->pad_top));
            }
            widen_row(g, next);
        }
        make_row(g, row, &finish);
    }
}

void mt_depthwise_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    const int32_t taps = s->k_h * s->k_w;
    const mt_depthwise_weights weights = {s,
                                          io->weight,
                                          io->trained_weight,
                                          p->channel_order,
                                          p->trained_channels,
                                          (int8_t *)io->scratch};
    const int32_t merged = p->channel_order == NULL ? 0 : taps * (MT_BLOCK / 4);
    const int32_t columns = (s->out_w + PIXELS - 1) / PIXELS * PIXELS;
    const int32_t pitch = (columns - 1) * s->stride_w + s->k_w;
    uint32_t *scratch = (uint32_t *)io->scratch + merged;
    uint32_t *lines = scratch + 2 * taps;
    /* A single row needs no more than its kernel's. */
    const int32_t spare = rows->last - rows->first == 1 ? 1 : 2;
    const int32_t height = mt_min(s->in_h, spare * s->k_h);
    mt_group g = {
        p, io, rows, {scratch, scratch + taps}, {lines, lines + height * pitch}, pitch, height,
        0, 0,  0};
    zero_padding(&g);
    for (int32_t block = 0; block < s->out_c; block += MT_BLOCK) {
        int32_t row_stride;
        const int32_t end = mt_min(s->out_c, block + MT_BLOCK);
        const int8_t *w = mt_depthwise_columns(&weights, block, end - block, &row_stride);
        for (g.first = block; g.first < end; g.first += 4) {
            g.count = mt_min(4, end - g.first);
            make_group(&g, w + (g.first - block), row_stride);
        }
    }
}
#endif
