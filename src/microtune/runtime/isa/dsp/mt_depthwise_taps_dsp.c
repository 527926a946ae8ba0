#include "mt_depthwise_taps_dsp.h"

#include "mt_isa.h"

#if MT_ISA_DSP

#define PRODUCTS(a, b, c, d)                                                                       \
    "smlabb " a ", r0, r3, " a "\n"                                                                \
    "smlatt " b ", r0, r3, " b "\n"                                                                \
    "smlabb " c ", r0, lr, " c "\n"                                                                \
    "smlatt " d ", r0, lr, " d "\n"
#define FIRST PRODUCTS("r4", "r5", "r6", "r7")
#define SECOND PRODUCTS("r8", "r9", "r10", "r11")
#define STRIDE_1(at)                                                                               \
    "ldr r0, [r1], #4\n"                                                                           \
    "ldrd r3, lr, [r2, #" at "]\n" FIRST "ldrd r3, lr, [r2, #" at "+8]\n" SECOND
#define STRIDE_2(at)                                                                               \
    "ldr r0, [r1], #4\n"                                                                           \
    "ldr r3, [r2, #" at "]\nldr lr, [r2, #" at "+8]\n" FIRST "ldr r3, [r2, #" at                   \
    "+16]\nldr lr, [r2, #" at "+24]\n" SECOND

#define TAPS_1(tap) tap("0")
#define TAPS_3(tap) TAPS_1(tap) tap("4") tap("8")
#define TAPS_5(tap) TAPS_3(tap) tap("12") tap("16")
#define TAPS_7(tap) TAPS_5(tap) tap("20") tap("24")

#define TAPS_FUNCTION(name, body)                                                                  \
    __asm__(".syntax unified\n.thumb\n"                                                            \
            ".section .text." name ", \"ax\", %progbits\n"                                         \
            ".balign 4\n.thumb_func\n.global " name "\n.type " name ", %function\n" name           \
            ":\n" body ".size " name ", . - " name "\n.text\n")

/* All kernel rows; r12 = pitch, the rows that are left at sp + 4. */
#define ALL_ROWS(taps)                                                                             \
    "1:\n" taps "add r2, r2, r12\n"                                                                \
    "ldr r0, [sp, #4]\n"                                                                           \
    "subs r0, r0, #1\n"                                                                            \
    "str r0, [sp, #4]\n"                                                                           \
    "bne 1b\n"

/* The sums so far, or two biases. */
#define FROM_SUMS "ldmia r0, {r4-r11}\n"
#define COPY_BIASES "mov r6, r4\nmov r7, r5\nmov r8, r4\nmov r9, r5\nmov r10, r4\nmov r11, r5\n"
#define FROM_BIASES "ldrd r4, r5, [r3, #8]\n" COPY_BIASES

#define TAPS_SUMS(name, start, taps)                                                               \
    TAPS_FUNCTION(name, "push {r4-r11, lr}\n"                                                      \
                        "ldrd r12, lr, [r3]\n"                                                     \
                        "push {r0, lr}\n" start ALL_ROWS(taps) "pop {r0, r3}\n"                    \
                                                               "stmia r0, {r4-r11}\n"              \
                                                               "pop {r4-r11, pc}\n")

TAPS_SUMS(MT_LINK_NAME(mt_taps_1_stride_1), FROM_SUMS, TAPS_1(STRIDE_1));
TAPS_SUMS(MT_LINK_NAME(mt_taps_1_stride_2), FROM_SUMS, TAPS_1(STRIDE_2));
TAPS_SUMS(MT_LINK_NAME(mt_taps_3_stride_1), FROM_BIASES, TAPS_3(STRIDE_1));
TAPS_SUMS(MT_LINK_NAME(mt_taps_5_stride_1), FROM_BIASES, TAPS_5(STRIDE_1));
TAPS_SUMS(MT_LINK_NAME(mt_taps_7_stride_1), FROM_BIASES, TAPS_7(STRIDE_1));

/* The offsets in mt_plane. */
#define BIASES "#8"
#define MULTIPLIERS "#16"
#define SHIFTS "#24"
#define ZERO "#32"
#define Y_STRIDE "#36"
#define MASKED "#44"
#define BITS "#48"
#define QUADS "#52"
#define W_X "#56"
#define X "#60"

/* r1, r2 = multipliers, r12 = zero point, r3 = y, lr = its stride */
#define TAPS_STORE(sum, multiplier, address)                                                       \
    "smmlar " sum ", " sum ", " multiplier ", r12\n"                                               \
    "ssat " sum ", #8, " sum "\n"                                                                  \
    "strb " sum ", [" address "]\n"
#define TAPS_PIXEL(a, b) TAPS_STORE(a, "r1", "r3") TAPS_STORE(b, "r2", "r3, #2") "add r3, r3, lr\n"

/* The same with its mask: r4 collects the bits, once the first sum has left it. */
#define TAPS_STORE_MASKED(sum, multiplier, address, keep)                                          \
    "smmlar " sum ", " sum ", " multiplier ", r12\n"                                               \
    "ssat r0, #8, " sum "\n"                                                                       \
    "strb r0, [" address "]\n"                                                                     \
    "cmp r0, " sum "\n" keep
#define TAPS_KEEP(bit) "it eq\norreq r4, r4, #" bit "\n"
#define KEEP_FIRST "ite eq\nmoveq r4, #1\nmovne r4, #0\n"
#define PIXEL_MASKED(a, b, first, second)                                                          \
    TAPS_STORE_MASKED(a, "r1", "r3", first)                                                        \
    TAPS_STORE_MASKED(b, "r2", "r3, #2", TAPS_KEEP(second)) "add r3, r3, lr\n"

#define PLANE(name, taps, step)                                                                    \
    TAPS_FUNCTION(                                                                                 \
        name,                                                                                      \
        "push {r4-r11, lr}\n"                                                                      \
        "push {r0, r1}\n"                                                                          \
        "2:\n"                                                                                     \
        "ldrd r12, lr, [r0]\n"                                                                     \
        "str lr, [sp, #4]\n"                                                                       \
        "ldrd r4, r5, [r0, " BIASES "]\n" COPY_BIASES "ldrd r1, r2, [r0, " W_X "]\n" ALL_ROWS(     \
            taps) "ldr r0, [sp]\n"                                                                 \
                  "ldrd r3, r12, [r0, " SHIFTS "]\n"                                               \
                  "orrs lr, r3, r12\n"                                                             \
                  "bne 5f\n"                                                                       \
                  "3:\n"                                                                           \
                  "ldrd r1, r2, [r0, " MULTIPLIERS "]\n"                                           \
                  "ldr r12, [r0, " ZERO "]\n"                                                      \
                  "ldrd r3, lr, [r0, " Y_STRIDE "]\n"                                              \
                  "ldr r0, [r0, " MASKED "]\n"                                                     \
                  "cmp r0, #0\n"                                                                   \
                  "bne 9f\n" TAPS_PIXEL("r4", "r5") TAPS_PIXEL("r6", "r7") TAPS_PIXEL("r8", "r9")  \
                      TAPS_PIXEL(                                                                  \
                          "r10",                                                                   \
                          "r11") "ldr r0, [sp]\n"                                                  \
                                 "4:\n"                                                            \
                                 "str r3, [r0, " Y_STRIDE "]\n"                                    \
                                 "ldr r2, [r0, " X "]\n"                                           \
                                 "adds r2, r2, #" step "\n"                                        \
                                 "str r2, [r0, " X "]\n"                                           \
                                 "ldr r3, [r0, " QUADS "]\n"                                       \
                                 "subs r3, r3, #1\n"                                               \
                                 "str r3, [r0, " QUADS "]\n"                                       \
                                 "bne 2b\n"                                                        \
                                 "pop {r0, r1}\n"                                                  \
                                 "pop {r4-r11, pc}\n"                                              \
                                 "5:\n"                                                            \
                                 "cbz r3, 7f\n"                                                    \
                                 "6:\n"                                                            \
                                 "qadd r4, r4, r4\nqadd r6, r6, r6\nqadd r8, r8, r8\nqadd "        \
                                 "r10, r10, r10\n"                                                 \
                                 "subs r3, r3, #1\n"                                               \
                                 "bne 6b\n"                                                        \
                                 "7:\n"                                                            \
                                 "cmp r12, #0\n"                                                   \
                                 "beq 3b\n"                                                        \
                                 "8:\n"                                                            \
                                 "qadd r5, r5, r5\nqadd r7, r7, r7\nqadd r9, r9, r9\nqadd "        \
                                 "r11, r11, r11\n"                                                 \
                                 "subs r12, r12, #1\n"                                             \
                                 "bne 8b\n"                                                        \
                                 "b 3b\n"                                                          \
                                 "9:\n" PIXEL_MASKED("r4", "r5", KEEP_FIRST, "0x4")                \
                                     PIXEL_MASKED("r6", "r7", TAPS_KEEP("0x100"), "0x400")         \
                                         PIXEL_MASKED("r8", "r9", TAPS_KEEP("0x10000"), "0x40000") \
                                             PIXEL_MASKED("r10", "r11", TAPS_KEEP("0x1000000"),    \
                                                          "0x4000000") "ldr r0, [sp]\n"            \
                                                                       "str r4, [r0, " BITS "]\n"  \
                                                                       "b 4b\n")

PLANE(MT_LINK_NAME(mt_plane_3_stride_1), TAPS_3(STRIDE_1), "16");
PLANE(MT_LINK_NAME(mt_plane_5_stride_1), TAPS_5(STRIDE_1), "16");
PLANE(MT_LINK_NAME(mt_plane_7_stride_1), TAPS_7(STRIDE_1), "16");
PLANE(MT_LINK_NAME(mt_plane_3_stride_2), TAPS_3(STRIDE_2), "32");
PLANE(MT_LINK_NAME(mt_plane_5_stride_2), TAPS_5(STRIDE_2), "32");
PLANE(MT_LINK_NAME(mt_plane_7_stride_2), TAPS_7(STRIDE_2), "32");
#endif
