/* Stochastic rounding of gradients in one pass: four random bytes, a nibble of mask, four codes. */
#include "mt_blocks.h"
#include "mt_dsp.h"
#include "mt_numerics.h"

#if MT_ISA_DSP && !MT_ISA_MVE
/* What is constant in a tensor: noise = ((r8 << left) >> right) + half. */
typedef struct {
    int32_t k, left, right, half, largest;
    const uint8_t *mask;
} mt_rounding;

/* One element with its random byte in the lowest bits of `word`. */
static inline int8_t round_one(mt_rounding *r, int32_t acc, uint32_t word, int32_t keep) {
    const int32_t noise = (int32_t)(((word & 255u) << r->left) >> r->right) + r->half;
    const int32_t u = keep ? (acc + noise) >> r->k : 0;
    r->largest = mt_max(r->largest, u < 0 ? -u : u);
    return (int8_t)mt_max(mt_saturate8(u), -MT_GRADIENT_MAX);
}

static inline int32_t mask_bits(const uint8_t *mask, int32_t index) {
    return mask == NULL ? 0xff : mask[index >> 3] >> (index & 7);
}

void mt_round_run(mt_rounder *rounder, const int32_t *acc, int32_t index, int32_t count) {
    const int32_t k = rounder->k;
    mt_rounding r = {k,
                     mt_max(k - 8, 0),
                     mt_max(8 - k, 0),
                     k >= 9 ? INT32_C(1) << (k - 9) : 0,
                     rounder->largest,
                     rounder->io->mask};
    const int32_t end = index + count;
    int8_t *y = rounder->y + index;
    while (index < end) {
        const uint32_t word = mt_random_word(rounder->key, (uint32_t)index >> 2);
        const int32_t bits = mask_bits(r.mask, index);
        if ((index & 3) == 0 && index + 4 <= end) {
            y[0] = round_one(&r, acc[0], word, bits & 1);
            y[1] = round_one(&r, acc[1], word >> 8, bits & 2);
            y[2] = round_one(&r, acc[2], word >> 16, bits & 4);
            y[3] = round_one(&r, acc[3], word >> 24, bits & 8);
            index += 4, acc += 4, y += 4;
        } else {
            *y++ = round_one(&r, *acc++, word >> (8 * (index & 3)), bits & 1);
            index++;
        }
    }
    rounder->largest = r.largest;
}
#endif
