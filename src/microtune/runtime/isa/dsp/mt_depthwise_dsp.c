/* Depthwise convolution: four channels at a time. The rows under the kernel are kept widened,
 * centred and padded, so that the inner loop knows no borders; it makes four output pixels. */
#include "mt_conv2d_finish.h"
#include "mt_depthwise_taps_dsp.h"
#include "mt_finish_dsp.h"
#include "mt_lines_dsp.h"

#if MT_ISA_DSP

/* Output pixels of the inner loop. */
#define DEPTHWISE_PIXELS 4

typedef struct {
    const mt_conv2d_params *p;
    const mt_conv2d_io *io;
    const mt_rows *rows;
    uint32_t *weights[2]; /* [taps] of each plane */
    mt_lines lines;
    int32_t first, count; /* the channels, count <= 4 */
    mt_plane planes[2];
} mt_channel_group;

/* Row `ih` of the image into its line; the padding was zeroed before. */
static void widen_row(const mt_channel_group *g, int32_t ih) {
    const mt_conv_shape *s = &g->p->shape;
    const int8_t *from = g->io->x + (ih % g->rows->x_rows) * s->in_w * s->in_c + g->first;
    const int32_t at = (ih - g->lines.base) * g->lines.pitch + s->pad_left;
    const int32_t n = mt_min(s->in_w, g->lines.pitch - s->pad_left);
    const mt_four four = {from, s->in_c, g->count, g->p->x_zero};
    mt_widen_four(&four, n, 1, g->lines.plane[0] + at, g->lines.plane[1] + at);
}

/* The function of a width and a stride; no pointers, so that the stack has a static bound. */
static void make_plane(const mt_conv_shape *s, mt_plane *plane) {
    const int32_t twice = s->stride_w == 2;
    switch (s->k_w) {
    case 3:
        twice ? mt_plane_3_stride_2(plane) : mt_plane_3_stride_1(plane);
        break;
    case 5:
        twice ? mt_plane_5_stride_2(plane) : mt_plane_5_stride_1(plane);
        break;
    case 7:
        twice ? mt_plane_7_stride_2(plane) : mt_plane_7_stride_1(plane);
        break;
    default:
        break;
    }
}

static int32_t has_planes(const mt_conv2d_params *p) {
    const int32_t width = p->shape.k_w;
    return (width == 3 || width == 5 || width == 7) && p->shape.stride_w <= 2 &&
           p->clamp_lo == -128 && p->clamp_hi == 127;
}

/* What is constant in the rows of a group. */
static void begin_planes(mt_channel_group *g) {
    for (int32_t i = 0; i < 2; i++) {
        mt_plane *plane = &g->planes[i];
        for (int32_t k = 0; k < 2; k++) {
            const int32_t at = i + 2 * k, channel = g->first + at, there = at < g->count;
            plane->bias[k] = there ? g->io->bias[channel] : 0;
            plane->multiplier[k] = there ? g->p->multiplier[channel] : 0;
            plane->shift[k] = there ? g->p->shift[channel] : 0;
        }
    }
}

/* `quads` times four pixels from column `column` on to y. */
static void run_planes(mt_channel_group *g, int32_t line, int32_t column, int32_t quads,
                       int8_t *y) {
    for (int32_t i = 0; i < 2; i++) {
        g->planes[i].x = g->lines.plane[i] + line + column * g->p->shape.stride_w;
        g->planes[i].y = y + i;
        g->planes[i].quads = quads;
        make_plane(&g->p->shape, &g->planes[i]);
    }
}

/* One to four channels of a pixel, and their bits at `index` of the mask. */
static void store_pixel(const mt_channel_group *g, const int8_t *from, uint32_t bits, int8_t *y,
                        int32_t index) {
    for (int32_t c = 0; c < g->count; c++) {
        y[c] = from[c];
    }
    if (g->io->mask != NULL) {
        uint8_t *byte = g->io->mask + (index >> 3);
        bits = (bits & ((1u << g->count) - 1u)) << (index & 7);
        byte[0] = (uint8_t)(byte[0] | bits);
        if (bits > 0xff) {
            byte[1] = (uint8_t)(byte[1] | (bits >> 8));
        }
    }
}

/* The masks of four whole pixels; `index` is a multiple of 4. */
static void mask_four(const mt_channel_group *g, int32_t index) {
    uint32_t bits = g->planes[0].bits | g->planes[1].bits << 1;
    for (int32_t i = 0; i < DEPTHWISE_PIXELS; i++, bits >>= 8, index += g->p->shape.out_c) {
        uint8_t *byte = g->io->mask + (index >> 3);
        *byte = (uint8_t)(*byte | (bits & 15u) << (index & 4));
    }
}

/* One output row of the group: whole quads straight to the image, others by way of `quad`. */
static void make_row_planes(mt_channel_group *g, int32_t row, int32_t kh, int32_t kernel_rows) {
    const mt_conv_shape *s = &g->p->shape;
    const int32_t top = row * s->stride_h - s->pad_top;
    const int32_t line = (top + kh - g->lines.base) * g->lines.pitch;
    const int32_t quads = g->count == 4 && g->io->mask == NULL ? s->out_w / DEPTHWISE_PIXELS : 0;
    int8_t *y = g->io->y + (row % g->rows->y_rows) * s->out_w * s->out_c + g->first;
    for (int32_t i = 0; i < 2; i++) {
        g->planes[i].rows = kernel_rows;
        g->planes[i].w = g->weights[i] + kh * s->k_w;
        g->planes[i].stride = s->out_c;
    }
    if (quads > 0) {
        run_planes(g, line, 0, quads, y);
    }
    for (int32_t column = quads * DEPTHWISE_PIXELS; column < s->out_w; column += DEPTHWISE_PIXELS) {
        const int32_t first = row * s->out_w * s->out_c + g->first + column * s->out_c;
        if (column + DEPTHWISE_PIXELS <= s->out_w && g->count == 4 && (s->out_c & 3) == 0) {
            run_planes(g, line, column, 1, y + column * s->out_c);
            mask_four(g, first);
            continue;
        }
        int8_t quad[4 * DEPTHWISE_PIXELS];
        g->planes[0].stride = g->planes[1].stride = 4;
        run_planes(g, line, column, 1, quad);
        const uint32_t bits = g->planes[0].bits | g->planes[1].bits << 1;
        for (int32_t i = 0; i < mt_min(DEPTHWISE_PIXELS, s->out_w - column); i++) {
            const int32_t at = (column + i) * s->out_c, index = first + i * s->out_c;
            store_pixel(g, quad + 4 * i, bits >> (8 * i) & 15u, y + at, index);
        }
    }
}

/* The sums of four pixels of one plane, of any width and stride. */
static void sum_any(const mt_conv_shape *s, const mt_plane *plane, int32_t *acc) {
    const mt_span one = {0, 1, {0, 0}};
    const uint32_t *w = plane->w, *line = plane->x;
    for (int32_t i = 0; i < 2 * DEPTHWISE_PIXELS; i++) {
        acc[i] = plane->bias[i & 1];
    }
    for (int32_t kh = 0; kh < plane->rows; kh++, line += plane->pitch / 4) {
        for (int32_t kw = 0; kw < s->k_w; kw++, w++) {
            if (s->stride_w == 2) {
                mt_taps_1_stride_2(acc, w, line + kw, &one);
            } else {
                mt_taps_1_stride_1(acc, w, line + kw, &one);
            }
        }
    }
}

/* Any kernel and any clamp; wider strides make one pixel at a time and use no neighbours. */
static void make_row_any(mt_channel_group *g, int32_t row, int32_t kh, int32_t kernel_rows) {
    const mt_conv_shape *s = &g->p->shape;
    const mt_quad_finish finish = mt_begin_finish(g->p, g->io, g->first, g->count);
    const int32_t top = row * s->stride_h - s->pad_top,
                  step = s->stride_w <= 2 ? DEPTHWISE_PIXELS : 1;
    const int32_t line = (top + kh - g->lines.base) * g->lines.pitch;
    int8_t *y = g->io->y + (row % g->rows->y_rows) * s->out_w * s->out_c + g->first;
    int32_t index = row * s->out_w * s->out_c + g->first;
    for (int32_t column = 0; column < s->out_w; column += step) {
        int32_t acc[2][2 * DEPTHWISE_PIXELS];
        for (int32_t i = 0; i < 2; i++) {
            g->planes[i].rows = kernel_rows;
            g->planes[i].w = g->weights[i] + kh * s->k_w;
            g->planes[i].x = g->lines.plane[i] + line + column * s->stride_w;
            sum_any(s, &g->planes[i], acc[i]);
        }
        const int32_t n = mt_min(step, s->out_w - column);
        for (int32_t i = 0; i < 2 * n; i += 2, y += s->out_c, index += s->out_c) {
            const int32_t four[4] = {acc[0][i], acc[1][i], acc[0][i + 1], acc[1][i + 1]};
            mt_finish_quad(&finish, four, y, index);
        }
    }
}

/* All rows of the channels of one group; w is [taps][row_stride]. */
static void make_channels(mt_channel_group *g, const int8_t *w, int32_t row_stride) {
    const mt_conv_shape *s = &g->p->shape;
    const mt_four weights = {w, row_stride, g->count, 0};
    const int32_t planes = has_planes(g->p);
    mt_widen_four(&weights, s->k_h * s->k_w, 1, g->weights[0], g->weights[1]);
    begin_planes(g);
    g->lines.base = g->lines.next = mt_max(0, g->rows->first * s->stride_h - s->pad_top);
    for (int32_t row = g->rows->first; row < g->rows->last; row++) {
        const int32_t top = row * s->stride_h - s->pad_top, kh = mt_max(0, -top);
        const int32_t kernel_rows = mt_min(s->k_h, s->in_h - top) - kh;
        for (; g->lines.next < mt_min(top + s->k_h, s->in_h); g->lines.next++) {
            mt_make_room(&g->lines, mt_max(0, top));
            widen_row(g, g->lines.next);
        }
        if (planes && kernel_rows > 0) {
            make_row_planes(g, row, kh, kernel_rows);
        } else {
            make_row_any(g, row, kh, kernel_rows);
        }
    }
}

void mt_depthwise_rows_isa(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    const int32_t taps = s->k_h * s->k_w;
    const mt_depthwise_weights weights = {s,
                                          io->weight,
                                          io->trained_weight,
                                          p->channel_order,
                                          p->trained_channels,
                                          (int8_t *)io->scratch};
    const int32_t merged = p->channel_order == NULL ? 0 : taps * (MT_BLOCK / 4);
    const int32_t columns = (s->out_w + DEPTHWISE_PIXELS - 1) / DEPTHWISE_PIXELS * DEPTHWISE_PIXELS;
    const int32_t pitch = (columns - 1) * s->stride_w + s->k_w;
    uint32_t *scratch = (uint32_t *)io->scratch + merged;
    uint32_t *lines = scratch + 2 * taps;
    /* A single row needs no more than its kernel's. */
    const int32_t spare = rows->last - rows->first == 1 ? 1 : 2;
    const int32_t height = mt_min(s->in_h, spare * s->k_h);
    mt_channel_group g = {.p = p,
                          .io = io,
                          .rows = rows,
                          .weights = {scratch, scratch + taps},
                          .lines = {{lines, lines + height * pitch}, pitch, height, 0, 0}};
    for (int32_t i = 0; i < 2; i++) {
        g.planes[i].pitch = pitch * 4;
        g.planes[i].zero = p->y_zero;
        g.planes[i].masked = io->mask != NULL;
    }
    mt_zero_columns(&g.lines, s->pad_left, mt_min(pitch, s->pad_left + s->in_w));
    for (int32_t block = 0; block < s->out_c; block += MT_BLOCK) {
        int32_t row_stride;
        const int32_t end = mt_min(s->out_c, block + MT_BLOCK);
        const int8_t *w = mt_depthwise_columns(&weights, block, end - block, &row_stride);
        for (g.first = block; g.first < end; g.first += 4) {
            g.count = mt_min(4, end - g.first);
            make_channels(&g, w + (g.first - block), row_stride);
        }
    }
}
#endif
