/* Rounding of gradients with AVX2, eight elements at a time. */
#include "mt_blocks.h"
#include "mt_isa.h"

#if MT_ISA_AVX2
#include "mt_avx2.h"

/* The words first .. first + 7 */
MT_INLINE __m256i random_words(uint32_t key, uint32_t first) {
    const __m256i step = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i golden = _mm256_set1_epi32((int32_t)UINT32_C(0x9e3779b9));
    __m256i h = _mm256_add_epi32(step, _mm256_set1_epi32((int32_t)first));
    h = _mm256_add_epi32(_mm256_mullo_epi32(h, golden), _mm256_set1_epi32((int32_t)key));
    h = _mm256_xor_si256(h, _mm256_srli_epi32(h, 16));
    h = _mm256_mullo_epi32(h, _mm256_set1_epi32((int32_t)UINT32_C(0x7feb352d)));
    h = _mm256_xor_si256(h, _mm256_srli_epi32(h, 15));
    h = _mm256_mullo_epi32(h, _mm256_set1_epi32((int32_t)UINT32_C(0x846ca68b)));
    return _mm256_xor_si256(h, _mm256_srli_epi32(h, 16));
}

/* All bits of lane i set if bit index + i of the mask is, i < n <= 8. */
MT_INLINE __m256i mask_lanes(const uint8_t *mask, int32_t index, int32_t n) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const uint8_t *byte = mask + (index >> 3);
    uint32_t bits = byte[0];
    if ((index & 7) + n > 8) {
        bits |= (uint32_t)byte[1] << 8;
    }
    const __m256i all = _mm256_set1_epi32((int32_t)(bits >> (index & 7)));
    return _mm256_cmpeq_epi32(_mm256_and_si256(all, bit), bit);
}

/* Rounds n <= 8 accumulators into element `index` and those behind it; returns |results|. */
MT_INLINE __m256i round8(const mt_rounder *r, __m256i acc, const uint8_t *r8, int32_t index,
                         int32_t n) {
    const int32_t k = r->k;
    const __m128i left = _mm_cvtsi32_si128(mt_max(k - 8, 0));
    const __m128i right = _mm_cvtsi32_si128(mt_max(8 - k, 0));
    const int32_t half = k >= 9 ? INT32_C(1) << (k - 9) : 0;
    const __m256i bits = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)r8));
    const __m256i noise = _mm256_srl_epi32(_mm256_sll_epi32(bits, left), right);
    __m256i v = _mm256_add_epi32(_mm256_add_epi32(acc, noise), _mm256_set1_epi32(half));
    v = _mm256_sra_epi32(v, _mm_cvtsi32_si128(k));
    if (r->io->mask != NULL) {
        v = _mm256_and_si256(v, mask_lanes(r->io->mask, index, n));
    }
    mt_store_codes(r->y + index, mt_clamp8(v, -MT_GRADIENT_MAX, MT_GRADIENT_MAX), n);
    return _mm256_abs_epi32(v);
}

void mt_round_run(mt_rounder *r, const int32_t *acc, int32_t index, int32_t count) {
    __m256i most = _mm256_set1_epi32(r->largest);
    for (; count > 0; acc += MT_BLOCK, index += MT_BLOCK, count -= MT_BLOCK) {
        const int32_t n = mt_min(count, MT_BLOCK);
        const uint32_t first = (uint32_t)index >> 2;
        uint32_t words[16];
        mt_store(words, random_words(r->key, first));
        if ((index & 3) + n > 32) {
            mt_store(words + 8, random_words(r->key, first + 8));
        }
        const uint8_t *r8 = (const uint8_t *)words + (index & 3);
        for (int32_t i = 0; i < n; i += 8) {
            const int32_t some = mt_min(8, n - i);
            const __m256i v = mt_load_few(acc + i, some);
            const __m256i size = round8(r, v, r8 + i, index + i, some);
            const __m256i stored = mt_first_lanes(some);
            most = _mm256_max_epi32(most, _mm256_and_si256(size, stored));
        }
    }
    int32_t sizes[8];
    mt_store(sizes, most);
    for (int32_t i = 0; i < 8; i++) {
        r->largest = mt_max(r->largest, sizes[i]);
    }
}
#endif
