/* What the kernels for x86 hosts share: 16 products of 16 bits at once, requantisation of 8 lanes,
 * masks. They need AVX2 and use the fused dot products of AVX-VNNI or AVX512-VNNI where the
 * compiler may. */
#ifndef MT_AVX2_H
#define MT_AVX2_H

#include "mt_isa.h"

#if MT_ISA_AVX2
#include <immintrin.h>

#include "mt_memory.h"
#include "mt_numerics.h"

#define MT_CHANNELS 16
/* In a loop of a few steps, which GCC would blow up into vectors. */
#define MT_FEW(i) __asm__("" : "+r"(i))
#define MT_INLINE static inline __attribute__((always_inline))

/* acc[i] + a[2*i]*b[2*i] + a[2*i+1]*b[2*i+1], modulo 2^32 */
MT_INLINE __m256i mt_dot_pairs(__m256i acc, __m256i a, __m256i b) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_dpwssd_epi32(acc, a, b);
#elif defined(__AVXVNNI__)
    return _mm256_dpwssd_avx_epi32(acc, a, b);
#else
    return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
#endif
}

MT_INLINE __m256i mt_load8(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }

MT_INLINE void mt_store(void *to, __m256i v) { _mm256_storeu_si256((__m256i *)to, v); }

/* 16 codes as 16-bit lanes. */
MT_INLINE __m256i mt_widen(const int8_t *from) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)from));
}

/* n <= 16 codes and zeros. */
MT_INLINE __m128i mt_load_codes(const int8_t *from, int32_t n) {
    int8_t few[MT_CHANNELS] = {0};
    if (n == MT_CHANNELS) {
        return _mm_loadu_si128((const void *)from);
    }
    if (n == 8) {
        return _mm_loadl_epi64((const void *)from);
    }
    for (int32_t i = 0; i < n; i++) {
        few[i] = from[i];
        MT_FEW(i);
    }
    return _mm_loadu_si128((const void *)few);
}

/* (x*m + 2^31) >> 32 in 8 lanes */
MT_INLINE __m256i mt_high_multiply8(__m256i x, __m256i m) {
    const __m256i half = _mm256_set1_epi64x(INT64_C(1) << 31);
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(x, m), half);
    const __m256i odd = _mm256_add_epi64(
        _mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(m, 32)), half);
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}

/* high(sat32(acc << n), m) in 8 lanes */
MT_INLINE __m256i mt_requantize8(__m256i acc, __m256i m, __m256i n) {
    const __m256i largest = _mm256_set1_epi32(MT_INT32_MAX);
    const __m256i shifted = _mm256_sllv_epi32(acc, n);
    const __m256i exact = _mm256_cmpeq_epi32(_mm256_srav_epi32(shifted, n), acc);
    const __m256i bound = _mm256_xor_si256(_mm256_srai_epi32(acc, 31), largest);
    return mt_high_multiply8(_mm256_blendv_epi8(bound, shifted, exact), m);
}

MT_INLINE __m256i mt_clamp8(__m256i v, int32_t lo, int32_t hi) {
    return _mm256_min_epi32(_mm256_max_epi32(v, _mm256_set1_epi32(lo)), _mm256_set1_epi32(hi));
}

/* Stores the low bytes of 8 lanes within -128 .. 127, the first n <= 8 of them. */
MT_INLINE void mt_store_codes(int8_t *to, __m256i v, int32_t n) {
    const __m128i half = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    const __m128i bytes = _mm_packs_epi16(half, half);
    if (n == 8) {
        _mm_storel_epi64((void *)to, bytes);
        return;
    }
    int8_t few[MT_CHANNELS];
    _mm_storeu_si128((void *)few, bytes);
    for (int32_t i = 0; i < n; i++) {
        to[i] = few[i];
        MT_FEW(i);
    }
}

/* All bits of the first n lanes set. */
MT_INLINE __m256i mt_first_lanes(int32_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
}

/* n <= 8 numbers and zeros. */
MT_INLINE __m256i mt_load_few(const int32_t *from, int32_t n) {
    return _mm256_maskload_epi32((const int *)from, mt_first_lanes(n));
}

/* Two 16-bit lanes in every pair of a vector. */
MT_INLINE __m256i mt_pair_of(const int16_t *lanes) {
    int32_t both;
    memcpy(&both, lanes, sizeof both);
    return _mm256_set1_epi32(both);
}

/* Sets the bits index .. index + 7 that are 1 in `bits`, in a mask that was cleared before. */
MT_INLINE void mt_set_bits(uint8_t *mask, int32_t index, uint32_t bits) {
    uint8_t *byte = mask + (index >> 3);
    for (uint32_t left = bits << (index & 7); left != 0; left >>= 8, byte++) {
        *byte = (uint8_t)(*byte | left);
    }
}
#endif

#endif
