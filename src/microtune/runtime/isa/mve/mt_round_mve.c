/* Rounding of gradients with Helium, sixteen elements at a time where they begin at a whole random
 * word and byte of the mask. */
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

#define TURN 16

/* Makes elements 0 whose bit in the mask is 0: even ones are in q5, odd ones in q6. */
#define MASK_ODD_EVEN                                                                              \
    "ldrh %[t], [%[mask]], #2\n\t"                                                                 \
    "mvn %[t], %[t]\n\t"                                                                           \
    "and %[u], %[t], #0x55555555\n\t"                                                              \
    "orr %[u], %[u], %[u], lsl #1\n\t"                                                             \
    "vmsr p0, %[u]\n\t"                                                                            \
    "vpst\n\t"                                                                                     \
    "veort q5, q5, q5\n\t"                                                                         \
    "and %[t], %[t], #0xaaaaaaaa\n\t"                                                              \
    "orr %[t], %[t], %[t], lsr #1\n\t"                                                             \
    "vmsr p0, %[t]\n\t"                                                                            \
    "vpst\n\t"                                                                                     \
    "veort q6, q6, q6\n\t"

/* Sixteen elements a turn, `turns` of them; k >= 9. Noise and half are ((2*r8 + 1) << (k - 9)), for
 * the bytes of four random words at once. Sums and results saturate to 16 bits, enough to see
 * whether any exceeds 127. Lane i of q0 .. q3 is element 4*i .. 4*i + 3. Returns the largest. */
#define ROUND(masked)                                                                              \
    __asm__ volatile("mov %[t], #0\n\t"                                                            \
                     "vidup.u32 q7, %[t], #1\n\t"                                                  \
                     "vmul.i32 q7, q7, %[next]\n\t"                                                \
                     "vadd.i32 q7, q7, %[u]\n\t"                                                   \
                     "lsl %[next], %[next], #2\n\t"                                                \
                     "dls lr, %[turns]\n"                                                          \
                     "1:\n\t"                                                                      \
                     "vshr.u32 q5, q7, #16\n\t"                                                    \
                     "veor q4, q7, q5\n\t"                                                         \
                     "vmul.i32 q4, q4, %[c1]\n\t"                                                  \
                     "vld40.32 {q0, q1, q2, q3}, [%[acc]]\n\t"                                     \
                     "vshr.u32 q5, q4, #15\n\t"                                                    \
                     "veor q4, q4, q5\n\t"                                                         \
                     "vmul.i32 q4, q4, %[c2]\n\t"                                                  \
                     "vld41.32 {q0, q1, q2, q3}, [%[acc]]\n\t"                                     \
                     "vshr.u32 q5, q4, #16\n\t"                                                    \
                     "veor q4, q4, q5\n\t"                                                         \
                     "vadd.i32 q7, q7, %[next]\n\t"                                                \
                     "vld42.32 {q0, q1, q2, q3}, [%[acc]]\n\t"                                     \
                     "vshllb.u8 q5, q4, #1\n\t"                                                    \
                     "vorr.i16 q5, #1\n\t"                                                         \
                     "vshllt.u8 q4, q4, #1\n\t"                                                    \
                     "vorr.i16 q4, #1\n\t"                                                         \
                     "vld43.32 {q0, q1, q2, q3}, [%[acc]]!\n\t"                                    \
                     "vmovlb.u16 q6, q5\n\t"                                                       \
                     "vmla.s32 q0, q6, %[unit]\n\t"                                                \
                     "vmovlt.u16 q5, q5\n\t"                                                       \
                     "vmla.s32 q2, q5, %[unit]\n\t"                                                \
                     "vmovlb.u16 q6, q4\n\t"                                                       \
                     "vmla.s32 q1, q6, %[unit]\n\t"                                                \
                     "vmovlt.u16 q4, q4\n\t"                                                       \
                     "vmla.s32 q3, q4, %[unit]\n\t"                                                \
                     "vshl.s32 q0, %[right]\n\t"                                                   \
                     "vqmovnb.s32 q5, q0\n\t"                                                      \
                     "vshl.s32 q2, %[right]\n\t"                                                   \
                     "vqmovnt.s32 q5, q2\n\t"                                                      \
                     "vshl.s32 q1, %[right]\n\t"                                                   \
                     "vqmovnb.s32 q6, q1\n\t"                                                      \
                     "vshl.s32 q3, %[right]\n\t"                                                   \
                     "vqmovnt.s32 q6, q3\n\t" masked "vmaxav.s16 %[largest], q5\n\t"               \
                     "vmov.i8 q0, #0x81\n\t"                                                       \
                     "vmaxav.s16 %[largest], q6\n\t"                                               \
                     "vqmovnb.s16 q4, q5\n\t"                                                      \
                     "vqmovnt.s16 q4, q6\n\t"                                                      \
                     "vmax.s8 q4, q4, q0\n\t"                                                      \
                     "vstrb.8 q4, [%[y]], #16\n\t"                                                 \
                     "le lr, 1b\n"                                                                 \
                     : [acc] "+r"(acc), [y] "+r"(y), [mask] "+r"(mask), [largest] "+r"(largest),   \
                       [t] "=&Te"(t), [u] "+r"(word), [next] "+r"(next)                            \
                     : [turns] "r"(turns), [c1] "r"(0x7feb352d), [c2] "r"(0x846ca68b),             \
                       [unit] "r"(1 << (k - 9)), [right] "r"(-k)                                   \
                     : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "lr", "cc", "memory")

MT_INLINE int32_t round_turns(const mt_rounder *r, const int32_t *acc, int32_t index, int32_t turns,
                              int32_t largest) {
    const int32_t k = r->k;
    const uint8_t *mask = r->io->mask;
    int8_t *y = r->y + index;
    uint32_t next = UINT32_C(0x9e3779b9), word = r->key + ((uint32_t)index >> 2) * next;
    int32_t t;
    if (mask == NULL) {
        ROUND("");
    } else {
        mask += index >> 3;
        ROUND(MASK_ODD_EVEN);
    }
    return largest;
}

/* Any elements. */
static int32_t round_block(const mt_rounder *r, const int32_t *acc, int32_t index, int32_t count,
                           int32_t largest) {
    uint32_t words[12];
    const int32_t k = r->k;
    const int32_t half = k >= 9 ? INT32_C(1) << (k - 9) : 0;
    const uint8_t *mask = r->io->mask;
    const uint8_t *r8 = (const uint8_t *)words + (index & 3);
    int8_t *y = r->y + index;
    uint32x4_t most = vdupq_n_u32((uint32_t)largest);
    for (int32_t i = 0; i < ((index & 3) + count + 3) >> 2; i += 4) {
        const uint32_t first = ((uint32_t)index >> 2) + (uint32_t)i;
        vst1q_u32(words + i, mt_random_words(r->key, vaddq_n_u32(vidupq_n_u32(0, 1), first)));
    }
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
    const int32_t turns = count / TURN, done = turns * TURN;
    if (turns > 0 && r->k >= 9 && (index & (r->io->mask == NULL ? 3 : 7)) == 0) {
        r->largest = round_turns(r, acc, index, turns, r->largest);
        acc += done;
        index += done;
        count -= done;
    }
    for (; count > 0; acc += MT_BLOCK, index += MT_BLOCK, count -= MT_BLOCK) {
        r->largest = round_block(r, acc, index, mt_min(count, MT_BLOCK), r->largest);
    }
}
#endif
