/* The larger of two bytes, 32 at a time. */
#include "mt_max_pool.h"

#include "mt_avx2.h"

#if MT_ISA_AVX2

void mt_max_bytes(int8_t *best, const int8_t *x, int32_t count) {
    int32_t i = 0;
    for (; i + 32 <= count; i += 32) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(best + i));
        const __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        _mm256_storeu_si256((__m256i *)(void *)(best + i), _mm256_max_epi8(a, b));
    }
    for (; i < count; i++) {
        best[i] = x[i] > best[i] ? x[i] : best[i];
    }
}

#endif
