/* Sums of the weight gradient of pointwise convolutions with AVX2: pairs of pixels, four outputs
 * times sixteen inputs. */
#include "mt_isa.h"
#include "mt_weight_sums.h"

#if MT_ISA_AVX2
#include "mt_avx2.h"

/* Pairs of pixels whose gradients are on the stack at once. */
#define SUM_PAIRS 64

/* Gradients of four outputs (missing ones are 0) of a pair of pixels; `second` may be NULL. */
MT_INLINE void widen_pair(int16_t to[2 * MT_SUM_ROWS], const int8_t *first, const int8_t *second,
                          int32_t rows) {
    int32_t a = 0, b = 0;
    memcpy(&a, first, (size_t)rows);
    if (second != NULL) {
        memcpy(&b, second, (size_t)rows);
    }
    const __m128i both = _mm_unpacklo_epi8(_mm_cvtsi32_si128(a), _mm_cvtsi32_si128(b));
    _mm_storeu_si128((void *)to, _mm_cvtepi8_epi16(both));
}

/* Adds the products of `pixels` pixels with n <= 16 inputs from x on. */
MT_INLINE void add_tile(const mt_sum_shape *s, int16_t g[SUM_PAIRS][2 * MT_SUM_ROWS],
                        const int8_t *x, int32_t pixels, int32_t n, int32_t *acc) {
    const __m256i zeros = _mm256_set1_epi16((int16_t)s->zero);
    __m256i sum[MT_SUM_ROWS][2];
    for (int32_t j = 0; j < MT_SUM_ROWS; j++) {
        sum[j][0] = mt_load8(acc + j * MT_BLOCK);
        sum[j][1] = mt_load8(acc + j * MT_BLOCK + 8);
    }
    for (int32_t i = 0; i < pixels; i += 2) {
        const int8_t *from = x + i * s->x_step;
        const __m128i first = mt_load_codes(from, n);
        const __m128i second = mt_load_codes(i + 1 < pixels ? from + s->x_step : from, n);
        const __m256i low = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(first, second));
        const __m256i high = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(first, second));
        const __m256i x0 = _mm256_sub_epi16(low, zeros), x1 = _mm256_sub_epi16(high, zeros);
        for (int32_t j = 0; j < MT_SUM_ROWS; j++) {
            const __m256i pair = mt_pair_of(g[i / 2] + 2 * j);
            sum[j][0] = mt_dot_pairs(sum[j][0], x0, pair);
            sum[j][1] = mt_dot_pairs(sum[j][1], x1, pair);
        }
    }
    for (int32_t j = 0; j < MT_SUM_ROWS; j++) {
        mt_store(acc + j * MT_BLOCK, sum[j][0]);
        mt_store(acc + j * MT_BLOCK + 8, sum[j][1]);
    }
}

void mt_pointwise_sums(const mt_sum_shape *s, const int8_t *x, const int8_t *g, int32_t n,
                       int32_t acc[MT_SUM_ROWS][MT_BLOCK], void *room) {
    (void)room;
    int16_t pairs[SUM_PAIRS][2 * MT_SUM_ROWS];
    memset(acc, 0, MT_SUM_ROWS * sizeof acc[0]);
    for (int32_t done = 0; done < s->pixels; done += 2 * SUM_PAIRS) {
        const int32_t pixels = mt_min(2 * SUM_PAIRS, s->pixels - done);
        const int8_t *from = x + done * s->x_step;
        for (int32_t i = 0; i < pixels; i += 2) {
            const int8_t *first = g + (done + i) * s->g_step;
            widen_pair(pairs[i / 2], first, i + 1 < pixels ? first + s->g_step : NULL, s->rows);
        }
        int32_t i = 0;
        for (; i + MT_CHANNELS <= n; i += MT_CHANNELS) {
            add_tile(s, pairs, from + i, pixels, MT_CHANNELS, acc[0] + i);
        }
        if (n - i == 8) {
            add_tile(s, pairs, from + i, pixels, 8, acc[0] + i);
        } else if (i < n) {
            add_tile(s, pairs, from + i, pixels, n - i, acc[0] + i);
        }
    }
}
#endif
