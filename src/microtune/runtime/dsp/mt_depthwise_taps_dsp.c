#include "mt_depthwise_taps_dsp.h"

#include "mt_isa.h"

#if MT_ISA_DSP && !MT_ISA_MVE

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

/* The sums so far, or two biases. */
#define FROM_SUMS "ldmia r0, {r4-r11}\n"
#define FROM_BIASES                                                                                \
    "ldrd r4, r5, [r3, #8]\n"                                                                      \
    "mov r6, r4\nmov r7, r5\nmov r8, r4\nmov r9, r5\nmov r10, r4\nmov r11, r5\n"

#define DEFINE_KERNEL(name, start, taps)                                                           \
    __asm__(".syntax unified\n.thumb\n"                                                            \
            ".section .text." #name ", \"ax\", %progbits\n"                                        \
            ".balign 4\n.thumb_func\n.global " #name "\n.type " #name ", %function\n" #name ":\n"  \
            "push {r4-r11, lr}\n"                                                                  \
            "ldrd r12, lr, [r3]\n"                                                                 \
            "push {r0, lr}\n" start "1:\n" taps "add r2, r2, r12\n"                                \
            "ldr r0, [sp, #4]\n"                                                                   \
            "subs r0, r0, #1\n"                                                                    \
            "str r0, [sp, #4]\n"                                                                   \
            "bne 1b\n"                                                                             \
            "pop {r0, r3}\n"                                                                       \
            "stmia r0, {r4-r11}\n"                                                                 \
            "pop {r4-r11, pc}\n"                                                                   \
            ".size " #name ", . - " #name "\n.text\n");

DEFINE_KERNEL(mt_taps_1_stride_1, FROM_SUMS, TAPS_1(STRIDE_1))
DEFINE_KERNEL(mt_taps_3_stride_1, FROM_BIASES, TAPS_3(STRIDE_1))
DEFINE_KERNEL(mt_taps_5_stride_1, FROM_BIASES, TAPS_5(STRIDE_1))
DEFINE_KERNEL(mt_taps_7_stride_1, FROM_BIASES, TAPS_7(STRIDE_1))
DEFINE_KERNEL(mt_taps_1_stride_2, FROM_SUMS, TAPS_1(STRIDE_2))
DEFINE_KERNEL(mt_taps_3_stride_2, FROM_BIASES, TAPS_3(STRIDE_2))
DEFINE_KERNEL(mt_taps_5_stride_2, FROM_BIASES, TAPS_5(STRIDE_2))
DEFINE_KERNEL(mt_taps_7_stride_2, FROM_BIASES, TAPS_7(STRIDE_2))
#endif
