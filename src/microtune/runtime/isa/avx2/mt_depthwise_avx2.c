/* Forward depthwise convolution with AVX2, sixteen channels at a time. */
#include "mt_conv2d_finish.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_AVX2
#include "mt_depthwise_taps_avx2.h"
#include "mt_finish_avx2.h"

/* Up to four pixels of a row on their way out. */
typedef struct {
    mt_output_pixel to[MT_PIXELS];
    int32_t count;
} mt_outputs;

static mt_outputs quad_of(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows,
                          mt_pixel first) {
    mt_outputs quad;
    quad.count = mt_min(MT_PIXELS, p->shape.out_w - first.column);
    for (int32_t k = 0; k < quad.count; k++) {
        const mt_pixel pixel = {first.row, first.column + k};
        quad.to[k] = mt_next_output(p, io, rows, pixel);
    }
    return quad;
}

/* One row of the channels of the plane. */
static void depthwise_row(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows,
                          const mt_tap_plane *plane, mt_tap_lines *lines, int32_t row) {
    const int32_t first = plane->first, low = mt_min(plane->n, 8), high = plane->n - low;
    const mt_scales scales[2] = {mt_scales_of(p, first, low), mt_scales_of(p, first + low, high)};
    const __m256i bias[2] = {mt_load_few(io->bias + first, low),
                             mt_load_few(io->bias + first + low, high)};
    mt_lines_advance(lines, plane, row);
    for (int32_t column = 0; column < p->shape.out_w; column += MT_PIXELS) {
        const mt_outputs quad = quad_of(p, io, rows, (mt_pixel){row, column});
        mt_tap_sums sums[MT_PIXELS];
        mt_lines_sum(lines, plane, row, column, sums);
        for (int32_t k = 0; k < quad.count; k++) {
            const __m256i acc = _mm256_add_epi32(sums[k].low, bias[0]);
            mt_finish8(&quad.to[k], first, acc, &scales[0]);
        }
        for (int32_t k = 0; k < quad.count && high > 0; k++) {
            const __m256i acc = _mm256_add_epi32(sums[k].high, bias[1]);
            mt_finish8(&quad.to[k], first + 8, acc, &scales[1]);
        }
    }
}

/* In place a row must have been read when it is written. */
int32_t mt_depthwise_rows_fits(const mt_conv2d_params *p, const mt_conv2d_io *io,
                               const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    (void)io;
    (void)rows;
    return mt_lines_suffice(s->out_w, s->stride_w, s) && s->pad_top < s->k_h;
}

void mt_depthwise_rows_isa(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    const mt_depthwise_weights weights = {s,
                                          io->weight,
                                          io->trained_weight,
                                          p->channel_order,
                                          p->trained_channels,
                                          (int8_t *)io->scratch};
    mt_tap_plane plane = {.x_rows = rows->x_rows,
                          .step = s->in_c,
                          .height = s->in_h,
                          .width = s->in_w,
                          .zero = p->x_zero,
                          .k_h = s->k_h,
                          .k_w = s->k_w,
                          .stride_h = s->stride_h,
                          .stride_w = s->stride_w,
                          .pad_top = s->pad_top,
                          .pad_left = s->pad_left,
                          .out_w = s->out_w};
    mt_tap_lines lines;
    mt_lines_begin(&lines, &plane);
    for (int32_t o = 0; o < s->out_c; o += MT_CHANNELS) {
        int32_t stride;
        plane.n = mt_min(MT_CHANNELS, s->out_c - o);
        plane.first = o;
        plane.x = io->x + o;
        const int8_t *w = mt_depthwise_columns(&weights, o, plane.n, &stride);
        mt_lines_weights(&lines, &plane, w, stride);
        lines.next = 0;
        for (int32_t row = rows->first; row < rows->last; row++) {
            depthwise_row(p, io, rows, &plane, &lines, row);
        }
    }
}
#endif
