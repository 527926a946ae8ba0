#include "mt_pairs_dsp.h"

#include "mt_dsp.h"

#if MT_ISA_DSP

#define PAIRS_PIXEL(a, b)                                                                          \
    "ldr lr, [r2], #4\n"                                                                           \
    "smlad " a ", r3, lr, " a "\n"                                                                 \
    "smlad " b ", r0, lr, " b "\n"
#define TWO_OUTPUTS                                                                                \
    "ldrh r0, [r1]\n"                                                                              \
    "ldrh r3, [r1, r12]\n"                                                                         \
    "add r1, r1, r12, lsl #1\n"                                                                    \
    "orr r0, r0, r3, lsl #16\n"                                                                    \
    "sxtb16 r3, r0\n"                                                                              \
    "sxtb16 r0, r0, ror #8\n" PAIRS_PIXEL("r4", "r5") PAIRS_PIXEL("r6", "r7")                      \
        PAIRS_PIXEL("r8", "r9") PAIRS_PIXEL("r10", "r11")

/* An odd number of pairs begins in the middle of the loop. */
#define PAIRS_NAME MT_LINK_NAME(mt_sum_pairs)
__asm__(".syntax unified\n.thumb\n"
        ".section .text." PAIRS_NAME ", \"ax\", %progbits\n"
        ".balign 4\n.thumb_func\n.global " PAIRS_NAME "\n.type " PAIRS_NAME
        ", %function\n" PAIRS_NAME ":\n"
        "push {r4-r11, lr}\n"
        "ldr r3, [r1, #12]\n"
        "push {r0, r3}\n"
        "ldr r12, [r1, #8]\n"
        "ldrd r1, r2, [r1]\n"
        "movs r4, #0\n"
        "movs r5, #0\n"
        "movs r6, #0\n"
        "movs r7, #0\n"
        "mov r8, r4\n"
        "mov r9, r4\n"
        "mov r10, r4\n"
        "mov r11, r4\n"
        "subs r3, r3, r2\n"
        "tst r3, #16\n"
        "bne 2f\n"
        "1:\n" TWO_OUTPUTS "2:\n" TWO_OUTPUTS "ldr lr, [sp, #4]\n"
        "cmp r2, lr\n"
        "bne 1b\n"
        "pop {r0, r3}\n"
        "stmia r0, {r4-r11}\n"
        "pop {r4-r11, pc}\n"
        ".size " PAIRS_NAME ", . - " PAIRS_NAME "\n.text\n");

/* The lanes of one pixel. */
static void fill_lane(uint32_t *to, const int8_t *g, const int32_t *multiplier, int32_t outputs) {
    for (int32_t o = 0; o < outputs; o += 2, to += MT_PAIR_PIXELS) {
        const int32_t a = mt_high_product(g[o] * (1 << 24), multiplier[o]);
        const int32_t b = mt_high_product(g[o + 1] * (1 << 24), multiplier[o + 1]);
        *to = mt_pack_low((uint32_t)a, (uint32_t)b);
    }
}

void mt_fill_pairs(uint32_t *lanes, const int8_t *const *g, const int32_t *multiplier,
                   int32_t outputs) {
    for (int32_t lane = 0; lane < MT_PAIR_PIXELS; lane++) {
        if (g[lane] != NULL) {
            fill_lane(lanes + lane, g[lane], multiplier, outputs);
            continue;
        }
        for (int32_t at = lane; at < outputs / 2 * MT_PAIR_PIXELS; at += MT_PAIR_PIXELS) {
            lanes[at] = 0;
        }
    }
}
#endif
