/* Rounding of gradients with Helium, four elements at a time. */
#include "mt_blocks.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_MVE
#include "mt_mve.h"

/* Four lanes of predicate for four bits. */
static const uint16_t lanes_of_bits[16] = {
    0x0000, 0x000f, 0x00f0, 0x00ff, 0x0f00, 0x0f0f, 0x0ff0, 0x0fff,
    0xf000, 0xf00f, 0xf0f0, 0xf0ff, 0xff00, 0xff0f, 0xfff0, 0xffff,
};

/* The bits index .. index + 3, of which `count` exist. */
static inline uint32_t four_bits(const uint8_t *mask, int32_t index, int32_t count) {
    const uint8_t *byte = mask + (index >> 3);
    const int32_t bit = index & 7;
    uint32_t bits = byte[0];
    if (bit + count > 8) {
        bits |= (uint32_t)byte[1] << 8;
    }
    return (bits >> bit) & 15u;
}

/* The words first .. first + count - 1, count <= 12 */
static inline void random_words(uint32_t *words, uint32_t key, uint32_t first, int32_t count) {
    for (int32_t i = 0; i < count; i += 4) {
        uint32x4_t h = vaddq_n_u32(vidupq_n_u32(0, 1), first + (uint32_t)i);
        h = vaddq_n_u32(vmulq_n_u32(h, UINT32_C(0x9e3779b9)), key);
        h = vmulq_n_u32(veorq_u32(h, vshrq_n_u32(h, 16)), UINT32_C(0x7feb352d));
        h = vmulq_n_u32(veorq_u32(h, vshrq_n_u32(h, 15)), UINT32_C(0x846ca68b));
        vst1q_u32(words + i, veorq_u32(h, vshrq_n_u32(h, 16)));
    }
}

static int32_t round_block(const mt_rounder *r, const int32_t *acc, int32_t index, int32_t count,
                           int32_t largest) {
    uint32_t words[12];
    const int32_t k = r->k;
    const int32_t half = k >= 9 ? INT32_C(1) << (k - 9) : 0;
    const uint8_t *mask = r->io->mask;
    const uint8_t *r8 = (const uint8_t *)words + (index & 3);
    int8_t *y = r->y + index;
    uint32x4_t most = vdupq_n_u32((uint32_t)largest);
    random_words(words, r->key, (uint32_t)index >> 2, ((index & 3) + count + 3) >> 2);
    for (int32_t i = 0; i < count; i += 4) {
        const int32_t left = count - i;
        mve_pred16_t lanes = vctp32q((uint32_t)left);
        const mve_pred16_t stored = lanes;
        int32x4_t v = vreinterpretq_s32_u32(vshlq_r_u32(vldrbq_u32(r8 + i), k - 8));
        v = vaddq_s32(vaddq_n_s32(v, half), vldrwq_z_s32(acc + i, lanes));
        if (mask != NULL) {
            lanes &= lanes_of_bits[four_bits(mask, index + i, mt_min(left, 4))];
        }
        v = vpselq_s32(vshlq_r_s32(v, -k), vdupq_n_s32(0), lanes);
        most = vmaxaq_s32(most, v);
        v = vminq_s32(vmaxq_s32(v, vdupq_n_s32(-MT_GRADIENT_MAX)), vdupq_n_s32(MT_GRADIENT_MAX));
        vstrbq_p_s32(y + i, v, stored);
    }
    return (int32_t)vmaxvq_u32(0, most);
}

void mt_round_run(mt_rounder *r, const int32_t *acc, int32_t index, int32_t count) {
    int32_t largest = r->largest;
    for (; count > 0; acc += MT_BLOCK, index += MT_BLOCK, count -= MT_BLOCK) {
        largest = round_block(r, acc, index, mt_min(count, MT_BLOCK), largest);
    }
    r->largest = largest;
}
#endif
