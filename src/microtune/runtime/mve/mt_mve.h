/* What the Helium kernels share: sums of 8-bit products over 16 channels, masks.
 *
 * A vector of channels c .. c + 15 becomes four vectors of 32-bit lanes, as VLD4 would load them:
 * lane i of vector j is channel 4*i + j. */
#ifndef MT_MVE_H
#define MT_MVE_H

#include "mt_isa.h"

#if MT_ISA_MVE
#include <arm_mve.h>

#include "mt_numerics.h"

#define MT_CHANNELS 16
#define MT_INLINE static inline __attribute__((always_inline))

/* Sums of up to 256 products of even and odd channels: the sum of product >> 8, and the sum of the
 * products modulo 2^16, which together give all bits. */
typedef struct {
    int16x8_t low_even, low_odd, high_even, high_odd;
} mt_sums;

MT_INLINE mt_sums mt_sums_zero(void) {
    const int16x8_t zero = vdupq_n_s16(0);
    const mt_sums sums = {zero, zero, zero, zero};
    return sums;
}

MT_INLINE void mt_sums_add(mt_sums *s, int8x16_t x, int8x16_t w) {
    const int16x8_t even = vmullbq_int_s8(x, w), odd = vmulltq_int_s8(x, w);
    s->low_even = vaddq_s16(s->low_even, even);
    s->low_odd = vaddq_s16(s->low_odd, odd);
    /* 2 * product * 2^7 >> 16 */
    s->high_even = vqdmlahq_n_s16(s->high_even, even, 128);
    s->high_odd = vqdmlahq_n_s16(s->high_odd, odd, 128);
}

MT_INLINE int32x4x4_t mt_sums_total(const mt_sums *s) {
    const uint16x8_t even = vreinterpretq_u16_s16(vsubq_s16(s->low_even, vshlq_n_s16(s->high_even, 8)));
    const uint16x8_t odd = vreinterpretq_u16_s16(vsubq_s16(s->low_odd, vshlq_n_s16(s->high_odd, 8)));
    int32x4x4_t t;
    t.val[0] = vaddq_s32(vshllbq_n_s16(s->high_even, 8), vreinterpretq_s32_u32(vmovlbq_u16(even)));
    t.val[1] = vaddq_s32(vshllbq_n_s16(s->high_odd, 8), vreinterpretq_s32_u32(vmovlbq_u16(odd)));
    t.val[2] = vaddq_s32(vshlltq_n_s16(s->high_even, 8), vreinterpretq_s32_u32(vmovltq_u16(even)));
    t.val[3] = vaddq_s32(vshlltq_n_s16(s->high_odd, 8), vreinterpretq_s32_u32(vmovltq_u16(odd)));
    return t;
}

/* Sets the bits index .. index + 15 that are 1 in `bits`, in a mask that was cleared before. */
MT_INLINE void mt_set_bits(uint8_t *mask, int32_t index, uint32_t bits) {
    uint8_t *byte = mask + (index >> 3);
    for (uint32_t left = bits << (index & 7); left != 0; left >>= 8, byte++) {
        *byte = (uint8_t)(*byte | left);
    }
}
#endif

#endif
