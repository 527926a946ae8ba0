/* Requantisation, mask and store of eight output channels with AVX2. */
#ifndef MT_FINISH_AVX2_H
#define MT_FINISH_AVX2_H

#include "mt_avx2.h"

#if MT_ISA_AVX2
#include "mt_conv2d_finish.h"

/* The multipliers and shifts of n <= 8 channels. */
typedef struct {
    __m256i multiplier, shift;
    int32_t n;
} mt_scales;

MT_INLINE mt_scales mt_scales_of(const mt_conv2d_params *p, int32_t first, int32_t n) {
    const int32_t *m = p->multiplier + first;
    const uint8_t *shift = p->shift + first;
    mt_scales s;
    s.n = n;
    if (n == 8) {
        s.multiplier = mt_load8(m);
        s.shift = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)shift));
        return s;
    }
    int32_t few[2][8] = {{0}};
    for (int32_t i = 0; i < n; i++) {
        few[0][i] = m[i];
        few[1][i] = shift[i];
    }
    s.multiplier = mt_load8(few[0]);
    s.shift = mt_load8(few[1]);
    return s;
}

/* Where accumulators go: the element `index` of the mask, unless that is NULL, and y. */
typedef struct {
    const mt_conv2d_params *p;
    uint8_t *mask;
    int8_t *y;
    int32_t index;
} mt_output_pixel;

MT_INLINE mt_output_pixel mt_next_output(const mt_conv2d_params *p, const mt_conv2d_io *io,
                                         const mt_rows *rows, mt_pixel pixel) {
    const mt_conv_shape *s = &p->shape;
    const int32_t slot = pixel.row % rows->y_rows;
    mt_output_pixel to;
    to.p = p;
    to.mask = io->mask;
    to.y = io->y + (slot * s->out_w + pixel.column) * s->out_c;
    to.index = (pixel.row * s->out_w + pixel.column) * s->out_c;
    return to;
}

/* Stores the accumulators of the channels first .. first + s->n - 1. */
MT_INLINE void mt_finish8(const mt_output_pixel *to, int32_t first, __m256i acc,
                          const mt_scales *s) {
    const mt_conv2d_params *p = to->p;
    const __m256i v = _mm256_add_epi32(mt_requantize8(acc, s->multiplier, s->shift),
                                       _mm256_set1_epi32(p->y_zero));
    const __m256i clamped = mt_clamp8(v, p->clamp_lo, p->clamp_hi);
    mt_store_codes(to->y + first, clamped, s->n);
    if (to->mask != NULL) {
        const __m256i inside = _mm256_cmpeq_epi32(v, clamped);
        const uint32_t bits = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(inside));
        mt_set_bits(to->mask, to->index + first, bits & ((1u << s->n) - 1u));
    }
}
#endif

#endif
