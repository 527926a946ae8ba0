/* Stochastic rounding of gradients in one pass: four random bytes, a nibble of mask, four codes. */
#include "mt_blocks.h"
#include "mt_dsp.h"
#include "mt_numerics.h"

#if MT_ISA_DSP
/* What is constant in a tensor: noise = ((r8 << left) >> right) + half. */
typedef struct {
    int32_t k, left, right, half;
} mt_rounding;

/* The code of one element before it is clamped, with its random byte. */
static inline int32_t round_wide(const mt_rounding *r, int32_t acc, uint32_t byte) {
    return (acc + r->half + (int32_t)(byte << r->left >> r->right)) >> r->k;
}

/* All bits of the magnitudes that were seen: the thresholds of mt_round_end are powers of two, so
 * it sees no difference to the largest of them. */
static inline int32_t with_magnitude(int32_t seen, int32_t u) {
    const int32_t sign = u >> 31;
    return seen | ((u ^ sign) - sign);
}

/* Four codes within +-127. */
static inline uint32_t pack_codes(const int32_t *u) {
    const uint32_t low = (uint32_t)mt_saturate8(u[0]), ones = 0x01010101u;
    const uint32_t word = mt_insert8(mt_insert8(mt_insert8(low, (uint32_t)mt_saturate8(u[1]), 8),
                                                (uint32_t)mt_saturate8(u[2]), 16),
                                     (uint32_t)mt_saturate8(u[3]), 24);
    return mt_add_bytes(mt_saturating_subtract_bytes(word, ones), ones);
}

/* Four elements, of which those without a bit in `keep` become 0. */
static inline int32_t round_four(const mt_rounding *r, const int32_t *acc, uint32_t word,
                                 uint32_t keep, int8_t *y, int32_t seen) {
    int32_t u[4];
    for (int32_t i = 0; i < 4; i++) {
        u[i] = round_wide(r, acc[i], word >> (8 * i) & 255u);
        if (keep != 15) {
            u[i] &= -(int32_t)(keep >> i & 1u);
        }
        seen = with_magnitude(seen, u[i]);
    }
    mt_store_word(y, pack_codes(u));
    return seen;
}

static inline uint32_t mask_bits(const uint8_t *mask, int32_t index) {
    return mask == NULL ? 15u : (uint32_t)mask[index >> 3] >> (index & 7) & 15u;
}

void mt_round_run(mt_rounder *rounder, const int32_t *acc, int32_t index, int32_t count) {
    const int32_t k = rounder->k;
    const mt_rounding r = {k, mt_max(k - 8, 0), mt_max(8 - k, 0),
                           k >= 9 ? INT32_C(1) << (k - 9) : 0};
    const uint8_t *mask = rounder->io->mask;
    const int32_t end = index + count;
    int32_t seen = rounder->largest;
    int8_t *y = rounder->y + index;
    while (index < end) {
        const uint32_t keep = mask_bits(mask, index);
        if ((index & 3) == 0 && index + 4 <= end) {
            if (keep == 0) {
                mt_store_word(y, 0);
            } else {
                const uint32_t word = mt_random_word(rounder->key, (uint32_t)index >> 2);
                seen = keep == 15 ? round_four(&r, acc, word, 15, y, seen)
                                  : round_four(&r, acc, word, keep, y, seen);
            }
            index += 4, acc += 4, y += 4;
        } else {
            const uint32_t byte = (uint32_t)mt_random8(rounder->key, (uint32_t)index);
            const int32_t u = keep & 1 ? round_wide(&r, *acc, byte) : 0;
            seen = with_magnitude(seen, u);
            *y++ = (int8_t)mt_max(mt_saturate8(u), -MT_GRADIENT_MAX);
            index++, acc++;
        }
    }
    rounder->largest = seen;
}
#endif
