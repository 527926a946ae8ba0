/* Input gradient of depthwise convolutions: the convolution of the gradient, spread to stride 1,
 * with the flipped kernel. Lines and inner loops are those of the forward kernel. */
#include "mt_conv2d_input_grad.h"
#include "mt_depthwise_taps_dsp.h"
#include "mt_lines_dsp.h"
#include "mt_memory.h"

#if MT_ISA_DSP

/* Input pixels of the inner loop. */
#define DEPTHWISE_GRAD_PIXELS 4

typedef struct {
    const mt_conv2d_input_grad_params *p;
    const mt_conv2d_input_grad_io *io;
    mt_rounder *rounder;
    uint32_t *weights[2]; /* [taps] of each plane, flipped */
    mt_lines lines;
    int32_t rows;         /* of the gradient when spread */
    int32_t first, count; /* the channels, count <= 4 */
    int32_t multiplier[4];
} mt_grad_group;

/* Row `row` of the spread gradient into its line; what no row reaches was zeroed before. */
static void make_line(const mt_grad_group *g, int32_t row) {
    const mt_conv_shape *s = &g->p->shape;
    const int32_t pitch = g->lines.pitch, line = (row - g->lines.base) * pitch;
    const int32_t left = s->k_w - 1 - s->pad_left, step = s->stride_w;
    const int32_t hidden = left < 0 ? (step - 1 - left) / step : 0;
    const int32_t at = left + hidden * step;
    const int32_t seen = at < pitch ? (pitch - 1 - at) / step + 1 : 0;
    const int32_t n = mt_min(s->out_w - hidden, seen);
    if (step > 1 || row % s->stride_h != 0) {
        memset(g->lines.plane[0] + line, 0, (size_t)pitch * sizeof(uint32_t));
        memset(g->lines.plane[1] + line, 0, (size_t)pitch * sizeof(uint32_t));
    }
    if (row % s->stride_h == 0) {
        const int32_t pixel = row / s->stride_h * s->out_w + hidden;
        const mt_four four = {g->io->g + pixel * s->out_c + g->first, s->out_c, g->count, 0};
        mt_widen_four(&four, n, step, g->lines.plane[0] + line + at, g->lines.plane[1] + line + at);
    }
}

/* acc[2*pixel], acc[2*pixel + 1] of one plane. */
static void sum_plane(int32_t k_w, const uint32_t *w, const uint32_t *x, const mt_span *span,
                      int32_t *acc) {
    if (k_w == 3) {
        mt_taps_3_stride_1(acc, w, x, span);
    } else if (k_w == 5) {
        mt_taps_5_stride_1(acc, w, x, span);
    } else if (k_w == 7) {
        mt_taps_7_stride_1(acc, w, x, span);
    } else {
        const mt_span one = {0, 1, {0, 0}};
        for (int32_t i = 0; i < 2 * DEPTHWISE_GRAD_PIXELS; i++) {
            acc[i] = 0;
        }
        for (int32_t kh = 0; kh < span->rows; kh++, x += span->pitch / 4) {
            for (int32_t kw = 0; kw < k_w; kw++, w++) {
                mt_taps_1_stride_1(acc, w, x + kw, &one);
            }
        }
    }
}

static void make_row(const mt_grad_group *g, int32_t row) {
    const mt_conv_shape *s = &g->p->shape;
    const int32_t top = row - (s->k_h - 1 - s->pad_top), kh = mt_max(0, -top);
    const mt_span span = {g->lines.pitch * 4, mt_min(s->k_h, g->rows - top) - kh, {0, 0}};
    const int32_t line = (top + kh - g->lines.base) * g->lines.pitch, tap = kh * s->k_w;
    const int32_t *m = g->multiplier, left = g->p->depthwise_shift;
    int32_t index = row * s->in_w * s->in_c + g->first;
    for (int32_t column = 0; column < s->in_w; column += DEPTHWISE_GRAD_PIXELS) {
        int32_t even[2 * DEPTHWISE_GRAD_PIXELS] = {0}, odd[2 * DEPTHWISE_GRAD_PIXELS] = {0};
        if (span.rows > 0) {
            sum_plane(s->k_w, g->weights[0] + tap, g->lines.plane[0] + line + column, &span, even);
            sum_plane(s->k_w, g->weights[1] + tap, g->lines.plane[1] + line + column, &span, odd);
        }
        const int32_t n = mt_min(DEPTHWISE_GRAD_PIXELS, s->in_w - column);
        for (int32_t i = 0; i < 2 * n; i += 2, index += s->in_c) {
            const int32_t acc[4] = {mt_high_product(even[i] * (1 << left), m[0]),
                                    mt_high_product(odd[i] * (1 << left), m[1]),
                                    mt_high_product(even[i + 1] * (1 << left), m[2]),
                                    mt_high_product(odd[i + 1] * (1 << left), m[3])};
            mt_round_run(g->rounder, acc, index, g->count);
        }
    }
}

/* All rows of one group; w is [taps][row_stride]. In place: a row is overwritten after it has been
 * widened. */
static void make_grad_channels(mt_grad_group *g, const int8_t *w, int32_t row_stride) {
    const mt_conv_shape *s = &g->p->shape;
    const int32_t taps = s->k_h * s->k_w;
    const mt_four flipped = {w + (taps - 1) * row_stride, -row_stride, g->count, 0};
    mt_widen_four(&flipped, taps, 1, g->weights[0], g->weights[1]);
    for (int32_t i = 0; i < 4; i++) {
        g->multiplier[i] = i < g->count ? g->p->multiplier[g->first + i] : 0;
    }
    g->lines.base = g->lines.next = mt_max(0, s->pad_top - (s->k_h - 1));
    for (int32_t row = 0; row < s->in_h; row++) {
        const int32_t top = row - (s->k_h - 1 - s->pad_top);
        for (; g->lines.next < mt_min(top + s->k_h, g->rows); g->lines.next++) {
            mt_make_room(&g->lines, mt_max(0, top));
            make_line(g, g->lines.next);
        }
        make_row(g, row);
    }
}

void mt_depthwise_input_grad_isa(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    const mt_conv_shape *s = &p->shape;
    const int32_t taps = s->k_h * s->k_w, left = s->k_w - 1 - s->pad_left;
    const mt_depthwise_weights weights = {s,
                                          io->weight,
                                          io->trained_weight,
                                          p->channel_order,
                                          p->trained_channels,
                                          (int8_t *)io->scratch};
    uint32_t *scratch =
        (uint32_t *)io->scratch + (p->channel_order == NULL ? 0 : taps * (MT_BLOCK / 4));
    uint32_t *lines = scratch + 2 * taps;
    const int32_t pitch =
        (s->in_w + DEPTHWISE_GRAD_PIXELS - 1) / DEPTHWISE_GRAD_PIXELS * DEPTHWISE_GRAD_PIXELS +
        s->k_w - 1;
    const int32_t rows = (s->out_h - 1) * s->stride_h + 1, height = mt_min(rows, 2 * s->k_h);
    mt_grad_group g = {.p = p,
                       .io = io,
                       .rounder = rounder,
                       .weights = {scratch, scratch + taps},
                       .lines = {{lines, lines + height * pitch}, pitch, height, 0, 0},
                       .rows = rows};
    mt_zero_columns(&g.lines, mt_min(pitch, mt_max(0, left)),
                    mt_min(pitch, mt_max(0, left + (s->out_w - 1) * s->stride_w + 1)));
    for (int32_t block = 0; block < s->in_c; block += MT_BLOCK) {
        int32_t row_stride;
        const int32_t end = mt_min(s->in_c, block + MT_BLOCK);
        const int8_t *w = mt_depthwise_columns(&weights, block, end - block, &row_stride);
        for (g.first = block; g.first < end; g.first += 4) {
            g.count = mt_min(4, end - g.first);
            make_grad_channels(&g, w + (g.first - block), row_stride);
        }
    }
}
#endif
