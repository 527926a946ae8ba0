#include "mt_dense_sums_dsp.h"

#include "mt_isa.h"

/* In assembler, because compilers split the double loads and spill. Weights at r1, patches at r2,
 * one sum of each pixel from r4 on. */
#if MT_ISA_DSP

#define DENSE_FUNCTION(name, body)                                                                 \
    __asm__(".syntax unified\n.thumb\n"                                                            \
            ".section .text." name ", \"ax\", %progbits\n"                                         \
            ".balign 4\n.thumb_func\n.global " name "\n.type " name ", %function\n" name           \
            ":\n" body ".size " name ", . - " name "\n.text\n")

/* Four weights: a pair (0, 2) in r12, a pair (1, 3) in r3. */
#define DENSE_WEIGHTS                                                                              \
    "ldr r3, [r1], #4\n"                                                                           \
    "sxtb16 r12, r3\n"                                                                             \
    "sxtb16 r3, r3, ror #8\n"
#define DENSE_PIXEL(sum)                                                                           \
    "ldrd r0, lr, [r2], #8\n"                                                                      \
    "smlad " sum ", r12, r0, " sum "\n"                                                            \
    "smlad " sum ", r3, lr, " sum "\n"
/* 15 instructions for 16 products, 27 for 32. */
#define FOUR_PIXELS                                                                                \
    DENSE_WEIGHTS DENSE_PIXEL("r4") DENSE_PIXEL("r5") DENSE_PIXEL("r6") DENSE_PIXEL("r7")
#define EIGHT_PIXELS FOUR_PIXELS PIXELS_4_TO_7
#define PIXELS_4_TO_7 DENSE_PIXEL("r8") DENSE_PIXEL("r9") DENSE_PIXEL("r10") DENSE_PIXEL("r11")

DENSE_FUNCTION(MT_LINK_NAME(mt_dot_4), "push {r0, r4-r9, lr}\n"
                                       "ldr r4, [r0]\n"
                                       "ldr r5, [r0, #16]\n"
                                       "ldr r6, [r0, #32]\n"
                                       "ldr r7, [r0, #48]\n"
                                       "ldr r8, [r1, #8]\n"
                                       "ldrd r1, r2, [r1]\n"
                                       "1:\n" FOUR_PIXELS "cmp r2, r8\n"
                                       "bne 1b\n"
                                       "ldr r0, [sp]\n"
                                       "str r4, [r0]\n"
                                       "str r5, [r0, #16]\n"
                                       "str r6, [r0, #32]\n"
                                       "str r7, [r0, #48]\n"
                                       "pop {r0, r4-r9, pc}\n");

/* The offsets in mt_tile. */
#define WEIGHT "#0"
#define PATCH_END "#8"
#define BACK "#12"
#define SECOND_PATCH "#20"
#define SECOND_WEIGHT "#16"
#define SECOND_END "#24"
#define SECOND_BACK "#28"
#define BIAS "#32"
#define MULTIPLIER "#36"
#define SHIFT "#40"
#define Y "#44"
#define STRIDE_ZERO "#48"
#define DENSE_OUTPUTS "#56"
#define DENSE_MASK "#60"
#define MASK_STRIDE "#64"
#define BITS_LOW "#68"
#define BITS_HIGH "#72"

/* The products of one part; the end of its patches lies at sp + 4. Leaves the call in r0. */
#define DENSE_ONE_PART(label, products)                                                            \
    label ":\n" products products "ldr r0, [sp, #4]\n"                                             \
          "cmp r2, r0\n"                                                                           \
          "bne " label "b\n"                                                                       \
          "ldr r0, [sp]\n"

/* r1 = multiplier, r12 = zero point, the sum to int8 */
#define REQUANTISE(sum)                                                                            \
    "smmlar " sum ", " sum ", r1, r12\n"                                                           \
    "ssat " sum ", #8, " sum "\n"
#define DENSE_STORE(sum, address) REQUANTISE(sum) "strb " sum ", [" address "]\n"

/* The same where a mask is written: bit 7 of the pixel's byte in r3 says that nothing was cut. */
#define DENSE_STORE_MASKED(sum, address, bit)                                                      \
    "smmlar " sum ", " sum ", r1, r12\n"                                                           \
    "ssat r0, #8, " sum "\n"                                                                       \
    "cmp r0, " sum "\n"                                                                            \
    "it eq\n"                                                                                      \
    "orreq r3, r3, #" bit "\n"                                                                     \
    "strb r0, [" address "]\n"

/* Four bytes of the mask from r3, one of each pixel, and back to 0. */
#define FLUSH(bits)                                                                                \
    "ldr r3, [r0, " bits "]\n"                                                                     \
    "strb r3, [r2]\n"                                                                              \
    "lsrs r3, r3, #8\n"                                                                            \
    "strb r3, [r2, r1]\n"                                                                          \
    "lsrs r3, r3, #8\n"                                                                            \
    "strb r3, [r2, r1, lsl #1]\n"                                                                  \
    "add r2, r2, r1\n"                                                                             \
    "lsrs r3, r3, #8\n"                                                                            \
    "strb r3, [r2, r1, lsl #1]\n"                                                                  \
    "lsrs r3, r3, #8\n"                                                                            \
    "str r3, [r0, " bits "]\n"

/* For every output: the sums from the bias on, part by part; requantise; store. */
#define MAKE(name, copy_bias, products, twice, stores, masked)                                     \
    DENSE_FUNCTION(name,                                                                           \
                   "push {r4-r11, lr}\n"                                                           \
                   "push {r0, r3}\n"                                                               \
                   "2:\n"                                                                          \
                   "ldr r1, [r0, " BIAS "]\n"                                                      \
                   "ldr r4, [r1], #4\n"                                                            \
                   "str r1, [r0, " BIAS "]\n" copy_bias "ldr r3, [r0, " PATCH_END "]\n"            \
                   "ldrd r1, r2, [r0, " WEIGHT "]\n"                                               \
                   "str r3, [sp, #4]\n" DENSE_ONE_PART(                                            \
                       "1", products) "ldr r3, [r0, " BACK "]\n"                                   \
                                      "add r1, r1, r3\n"                                           \
                                      "str r1, [r0, " WEIGHT "]\n"                                 \
                                      "ldr r2, [r0, " SECOND_PATCH "]\n"                           \
                                      "cmp r2, #0\n"                                               \
                                      "beq 3f\n"                                                   \
                                      "ldr r3, [r0, " SECOND_END "]\n"                             \
                                      "ldr r1, [r0, " SECOND_WEIGHT "]\n"                          \
                                      "str r3, [sp, #4]\n" DENSE_ONE_PART(                         \
                                          "4", products) "ldr r3, [r0, " SECOND_BACK "]\n"         \
                                                         "add r1, r1, r3\n"                        \
                                                         "str r1, [r0, " SECOND_WEIGHT "]\n"       \
                                                         "3:\n"                                    \
                                                         "ldr r2, [r0, " MULTIPLIER "]\n"          \
                                                         "ldr r1, [r2], #4\n"                      \
                                                         "str r2, [r0, " MULTIPLIER "]\n"          \
                                                         "ldr r2, [r0, " SHIFT "]\n"               \
                                                         "cbz r2, 5f\n"                            \
                                                         "ldrb r3, [r2], #1\n"                     \
                                                         "str r2, [r0, " SHIFT "]\n"               \
                                                         "cbz r3, 5f\n"                            \
                                                         "6:\n" twice "subs r3, r3, #1\n"          \
                                                         "bne 6b\n"                                \
                                                         "5:\n"                                    \
                                                         "ldr r2, [r0, " Y "]\n"                   \
                                                         "ldr r3, [r0, " DENSE_MASK "]\n"          \
                                                         "ldrd lr, r12, [r0, " STRIDE_ZERO "]\n"   \
                                                         "cmp r3, #0\n"                            \
                                                         "bne 7f\n"                                \
                                                         "add r3, r2, lr\n" stores "8:\n"          \
                                                         "adds r2, r2, #1\n"                       \
                                                         "str r2, [r0, " Y "]\n"                   \
                                                         "ldr r3, [r0, " DENSE_OUTPUTS "]\n"       \
                                                         "subs r3, r3, #1\n"                       \
                                                         "str r3, [r0, " DENSE_OUTPUTS "]\n"       \
                                                         "bne 2b\n"                                \
                                                         "pop {r0, r3}\n"                          \
                                                         "pop {r4-r11, pc}\n"                      \
                                                         "7:\n" masked "mov r2, r4\n"              \
                                                         "b 8b\n")

#define STORES_0_TO_3                                                                              \
    DENSE_STORE("r4", "r2")                                                                        \
    DENSE_STORE("r5", "r2, lr")                                                                    \
    DENSE_STORE("r6", "r2, lr, lsl #1")                                                            \
    DENSE_STORE("r7", "r3, lr, lsl #1")
#define STORES_4_TO_7                                                                              \
    DENSE_STORE("r8", "r2, lr, lsl #2")                                                            \
    DENSE_STORE("r9", "r3, lr, lsl #2")                                                            \
    "add r3, r3, lr\n" DENSE_STORE("r10", "r3, lr, lsl #2") "add r3, r3, lr\n" DENSE_STORE(        \
        "r11", "r3, lr, lsl #2")

/* clang-format off */
#define MASKED_0_TO_3                                                                              \
    "ldr r3, [r0, " BITS_LOW "]\n"                                                                 \
    "lsrs r3, r3, #1\n"                                                                            \
    DENSE_STORE_MASKED("r4", "r2", "0x80")                                                         \
    DENSE_STORE_MASKED("r5", "r2, lr", "0x8000")                                                   \
    DENSE_STORE_MASKED("r6", "r2, lr, lsl #1", "0x800000")                                         \
    "add r4, r2, lr\n"                                                                             \
    DENSE_STORE_MASKED("r7", "r4, lr, lsl #1", "0x80000000")                                       \
    "ldr r0, [sp]\n"                                                                               \
    "str r3, [r0, " BITS_LOW "]\n"
#define MASKED_4_TO_7                                                                              \
    "ldr r3, [r0, " BITS_HIGH "]\n"                                                                \
    "lsrs r3, r3, #1\n"                                                                            \
    DENSE_STORE_MASKED("r8", "r2, lr, lsl #2", "0x80")                                             \
    DENSE_STORE_MASKED("r9", "r4, lr, lsl #2", "0x8000")                                           \
    "add r4, r4, lr\n"                                                                             \
    DENSE_STORE_MASKED("r10", "r4, lr, lsl #2", "0x800000")                                        \
    "add r4, r4, lr\n"                                                                             \
    DENSE_STORE_MASKED("r11", "r4, lr, lsl #2", "0x80000000")                                      \
    "ldr r0, [sp]\n"                                                                               \
    "str r3, [r0, " BITS_HIGH "]\n"
/* clang-format on */

/* After every eighth output; y is kept in r4. */
#define FLUSH_EIGHTH(flushes)                                                                      \
    "ldr r3, [r0, " DENSE_OUTPUTS "]\n"                                                            \
    "subs r3, r3, #1\n"                                                                            \
    "tst r3, #7\n"                                                                                 \
    "bne 8b\n"                                                                                     \
    "mov r4, r2\n"                                                                                 \
    "ldrd r2, r1, [r0, " DENSE_MASK "]\n"                                                          \
    "adds r3, r2, #1\n"                                                                            \
    "str r3, [r0, " DENSE_MASK "]\n" flushes

MAKE(MT_LINK_NAME(mt_make_four), "mov r5, r4\nmov r6, r4\nmov r7, r4\n", FOUR_PIXELS,
     "qadd r4, r4, r4\nqadd r5, r5, r5\nqadd r6, r6, r6\nqadd r7, r7, r7\n", STORES_0_TO_3,
     MASKED_0_TO_3 FLUSH_EIGHTH(FLUSH(BITS_LOW)));

MAKE(MT_LINK_NAME(mt_make_eight),
     "mov r5, r4\nmov r6, r4\nmov r7, r4\nmov r8, r4\nmov r9, r4\nmov r10, r4\nmov r11, r4\n",
     EIGHT_PIXELS,
     "qadd r4, r4, r4\nqadd r5, r5, r5\nqadd r6, r6, r6\nqadd r7, r7, r7\n"
     "qadd r8, r8, r8\nqadd r9, r9, r9\nqadd r10, r10, r10\nqadd r11, r11, r11\n",
     STORES_0_TO_3 STORES_4_TO_7,
     MASKED_0_TO_3 MASKED_4_TO_7 FLUSH_EIGHTH(FLUSH(BITS_LOW) "add r2, r2, r1, lsl #1\n"
                                                              "add r2, r2, r1\n" FLUSH(BITS_HIGH)));
#endif
