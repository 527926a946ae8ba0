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

/* mt_random_word of four indices */
MT_INLINE uint32x4_t mt_random_words(uint32_t key, uint32x4_t index) {
    uint32x4_t h = vaddq_n_u32(vmulq_n_u32(index, UINT32_C(0x9e3779b9)), key);
    h = vmulq_n_u32(veorq_u32(h, vshrq_n_u32(h, 16)), UINT32_C(0x7feb352d));
    h = vmulq_n_u32(veorq_u32(h, vshrq_n_u32(h, 15)), UINT32_C(0x846ca68b));
    return veorq_u32(h, vshrq_n_u32(h, 16));
}

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

/* `rows` runs of `count` vectors of 16 bytes, *_step bytes apart; from the end of a run to the
 * beginning of the next it is *_skip bytes. */
typedef struct {
    const int8_t *x, *w;
    int32_t x_step, w_step, x_skip, w_skip;
    int32_t count, rows;
} mt_taps;

/* Adds the taps. In assembler, because GCC moves the sums through memory; missing channels are not
 * read. */
MT_INLINE void mt_sums_area(mt_sums *s, mt_taps t, mve_pred16_t lanes, int full) {
    if (t.count <= 0 || t.rows <= 0) {
        return;
    }
    if (!full) {
        for (; t.rows > 0; t.rows--, t.x += t.x_skip, t.w += t.w_skip) {
            for (int32_t n = 0; n < t.count; n++, t.x += t.x_step, t.w += t.w_step) {
                mt_sums_add(s, vldrbq_z_s8(t.x, lanes), vldrbq_z_s8(t.w, lanes));
            }
        }
        return;
    }
    __asm__ volatile("2:\n\t"
                     "dls lr, %[n]\n"
                     "1:\n\t"
                     "vldrb.8 q0, [%[x]]\n\t"
                     "add %[x], %[x], %[xs]\n\t"
                     "vldrb.8 q1, [%[w]]\n\t"
                     "add %[w], %[w], %[ws]\n\t"
                     "vmullb.s8 q2, q0, q1\n\t"
                     "vmullt.s8 q3, q0, q1\n\t"
                     "vadd.i16 %q[le], %q[le], q2\n\t"
                     "vadd.i16 %q[lo], %q[lo], q3\n\t"
                     "vqdmlah.s16 %q[he], q2, %[c]\n\t"
                     "vqdmlah.s16 %q[ho], q3, %[c]\n\t"
                     "le lr, 1b\n\t"
                     "add %[x], %[x], %[xr]\n\t"
                     "add %[w], %[w], %[wr]\n\t"
                     "subs %[rows], %[rows], #1\n\t"
                     "bne 2b\n"
                     : [x] "+r"(t.x), [w] "+r"(t.w), [rows] "+r"(t.rows), [le] "+w"(s->low_even),
                       [lo] "+w"(s->low_odd), [he] "+w"(s->high_even), [ho] "+w"(s->high_odd)
                     : [xs] "r"(t.x_step), [ws] "r"(t.w_step), [xr] "r"(t.x_skip),
                       [wr] "r"(t.w_skip), [c] "r"(128), [n] "r"(t.count)
                     : "q0", "q1", "q2", "q3", "lr", "cc", "memory");
}

/* The sums of channels 4*i + j, in four separate vectors: GCC keeps int32x4x4_t in memory. */
typedef struct {
    int32x4_t j0, j1, j2, j3;
} mt_quads;

MT_INLINE mt_quads mt_sums_total(const mt_sums *s) {
    const int16x8_t even = vsubq_s16(s->low_even, vshlq_n_s16(s->high_even, 8));
    const int16x8_t odd = vsubq_s16(s->low_odd, vshlq_n_s16(s->high_odd, 8));
    const uint16x8_t e = vreinterpretq_u16_s16(even), o = vreinterpretq_u16_s16(odd);
    mt_quads t;
    t.j0 = vaddq_s32(vshllbq_n_s16(s->high_even, 8), vreinterpretq_s32_u32(vmovlbq_u16(e)));
    t.j1 = vaddq_s32(vshllbq_n_s16(s->high_odd, 8), vreinterpretq_s32_u32(vmovlbq_u16(o)));
    t.j2 = vaddq_s32(vshlltq_n_s16(s->high_even, 8), vreinterpretq_s32_u32(vmovltq_u16(e)));
    t.j3 = vaddq_s32(vshlltq_n_s16(s->high_odd, 8), vreinterpretq_s32_u32(vmovltq_u16(o)));
    return t;
}

/* to[4*j + i] = from[4*i + j] for the `count` channels there are, else 0. */
static inline void mt_deinterleave(const int32_t *from, int32_t count, int32_t *to) {
    for (int32_t c = 0; c < MT_CHANNELS; c++) {
        to[4 * (c & 3) + (c >> 2)] = c < count ? from[c] : 0;
    }
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
