/* Input gradient of depthwise convolutions of stride 1 with AVX2: a convolution of the gradient
 * with the kernel turned round. */
#include "mt_conv2d_input_grad.h"
#include "mt_isa.h"

#if MT_ISA_AVX2
#include "mt_depthwise_taps_avx2.h"

MT_INLINE void store_scaled(int32_t *to, __m256i acc, __m256i multiplier, int32_t shift) {
    const __m256i shifted = _mm256_sll_epi32(acc, _mm_cvtsi32_si128(shift));
    mt_store(to, mt_high_multiply8(shifted, multiplier));
}

/* One row of the channels of the plane. */
static void grad_row(const mt_conv2d_input_grad_params *p, mt_rounder *rounder,
                     const mt_tap_plane *plane, mt_tap_lines *lines, int32_t row) {
    const int32_t channels = p->shape.in_c, first = plane->first, low = mt_min(plane->n, 8),
                  high = plane->n - low;
    const __m256i m0 = mt_load_few(p->multiplier + first, low);
    const __m256i m1 = mt_load_few(p->multiplier + first + low, high);
    mt_lines_advance(lines, plane, row);
    for (int32_t column = 0; column < plane->out_w; column += MT_PIXELS) {
        const int32_t count = mt_min(MT_PIXELS, plane->out_w - column);
        mt_tap_sums sums[MT_PIXELS];
        mt_lines_sum(lines, plane, row, column, sums);
        for (int32_t k = 0; k < count; k++) {
            const int32_t index = (row * plane->out_w + column + k) * channels + first;
            int32_t acc[MT_CHANNELS];
            store_scaled(acc, sums[k].low, m0, p->depthwise_shift);
            store_scaled(acc + 8, sums[k].high, m1, p->depthwise_shift);
            mt_round_run(rounder, acc, index, plane->n);
        }
    }
}

int32_t mt_depthwise_input_grad_fits(const mt_conv2d_input_grad_params *p) {
    const mt_conv_shape *s = &p->shape;
    return s->stride_h == 1 && s->stride_w == 1 && s->pad_top >= 0 && s->pad_top < s->k_h &&
           s->pad_left < s->k_w && mt_lines_suffice(s->in_w, 1, s);
}

void mt_depthwise_input_grad_isa(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    const mt_conv_shape *s = &p->shape;
    const mt_depthwise_weights weights = {s,
                                          io->weight,
                                          io->trained_weight,
                                          p->channel_order,
                                          p->trained_channels,
                                          (int8_t *)io->scratch};
    const int32_t top = s->k_h - 1 - s->pad_top, left = s->k_w - 1 - s->pad_left;
    mt_tap_plane plane = {.x_rows = s->out_h,
                          .step = s->out_c,
                          .height = s->out_h,
                          .width = s->out_w,
                          .k_h = s->k_h,
                          .k_w = s->k_w,
                          .stride_h = 1,
                          .stride_w = 1,
                          .pad_top = top,
                          .pad_left = left,
                          .out_w = s->in_w};
    mt_tap_lines lines;
    mt_lines_begin(&lines, &plane);
    for (int32_t c = 0; c < s->in_c; c += MT_CHANNELS) {
        int32_t stride;
        plane.n = mt_min(MT_CHANNELS, s->in_c - c);
        plane.first = c;
        plane.x = io->g + c;
        const int8_t *w = mt_depthwise_columns(&weights, c, plane.n, &stride);
        /* From the last tap back to the first. */
        mt_lines_weights(&lines, &plane, w + (s->k_h * s->k_w - 1) * stride, -stride);
        lines.next = 0;
        for (int32_t row = 0; row < s->in_h; row++) {
            grad_row(p, rounder, &plane, &lines, row);
        }
    }
}
#endif
