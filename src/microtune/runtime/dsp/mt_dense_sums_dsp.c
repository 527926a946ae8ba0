#include "mt_dense_sums_dsp.h"

#include "mt_isa.h"

#if MT_ISA_DSP && !MT_ISA_MVE

/* Four inputs of four pixels, 15 instructions for 16 products: weights at r1, patches at r2, sums
 * in r4-r7. In assembler, because compilers split the double loads and spill. */
#define PRODUCTS(sum)                                                                              \
    "ldrd r9, r10, [r2], #8\n"                                                                     \
    "smlad " sum ", r8, r9, " sum "\n"                                                             \
    "smlad " sum ", r3, r10, " sum "\n"
#define FOUR_INPUTS                                                                                \
    "ldr r3, [r1], #4\n"                                                                           \
    "sxtb16 r8, r3\n"                                                                              \
    "sxtb16 r3, r3, ror #8\n" PRODUCTS("r4") PRODUCTS("r5") PRODUCTS("r6") PRODUCTS("r7")

#define FUNCTION(name, body)                                                                       \
    __asm__(".syntax unified\n.thumb\n"                                                            \
            ".section .text." name ", \"ax\", %progbits\n"                                         \
            ".balign 4\n.thumb_func\n.global " name "\n.type " name ", %function\n" name           \
            ":\n" body ".size " name ", . - " name "\n.text\n")

FUNCTION("mt_dot_4", "push {r0, r4-r11, lr}\n"
                     "mov r12, r0\n"
                     "mov lr, r1\n"
                     "ldr r4, [r12]\n"
                     "ldr r5, [r12, #16]\n"
                     "ldr r6, [r12, #32]\n"
                     "ldr r7, [r12, #48]\n"
                     "ldmia lr, {r1, r2, r11}\n"
                     "1:\n" FOUR_INPUTS "subs r11, r11, #1\n"
                     "bne 1b\n"
                     "str r4, [r12]\n"
                     "str r5, [r12, #16]\n"
                     "str r6, [r12, #32]\n"
                     "str r7, [r12, #48]\n"
                     "pop {r0, r4-r11, pc}\n");

FUNCTION("mt_make_plain", "push {r4-r11, lr}\n"
                          "ldr r1, [r0]\n"
                          "ldr lr, [r0, #12]\n"
                          "ldr r12, [r0, #20]\n"
                          "2:\n"
                          "ldr r4, [lr], #4\n"
                          "mov r5, r4\n"
                          "mov r6, r4\n"
                          "mov r7, r4\n"
                          "ldrd r2, r11, [r0, #4]\n"
                          "1:\n" FOUR_INPUTS FOUR_INPUTS "subs r11, r11, #1\n"
                          "bne 1b\n"
                          "ldr r3, [r0, #16]\n"
                          "ldr r8, [r3], #4\n"
                          "str r3, [r0, #16]\n"
                          "ldr r3, [r0, #40]\n"
                          "cbz r3, 3f\n"
                          "ldrb r11, [r3], #1\n"
                          "str r3, [r0, #40]\n"
                          "cmp r11, #0\n"
                          "beq 3f\n"
                          "4:\n"
                          "qadd r4, r4, r4\n"
                          "qadd r5, r5, r5\n"
                          "qadd r6, r6, r6\n"
                          "qadd r7, r7, r7\n"
                          "subs r11, r11, #1\n"
                          "bne 4b\n"
                          "3:\n"
                          "ldrd r10, r9, [r0, #24]\n"
                          "smmlar r4, r4, r8, r9\n"
                          "ssat r4, #8, r4\n"
                          "add r3, r10, r10, lsl #1\n"
                          "smmlar r5, r5, r8, r9\n"
                          "ssat r5, #8, r5\n"
                          "strb r5, [r12, r10]\n"
                          "smmlar r6, r6, r8, r9\n"
                          "ssat r6, #8, r6\n"
                          "strb r6, [r12, r10, lsl #1]\n"
                          "smmlar r7, r7, r8, r9\n"
                          "ssat r7, #8, r7\n"
                          "strb r7, [r12, r3]\n"
                          "strb r4, [r12], #1\n"
                          "ldr r3, [r0, #36]\n"
                          "add r1, r1, r3\n"
                          "ldr r3, [r0, #32]\n"
                          "subs r3, r3, #1\n"
                          "str r3, [r0, #32]\n"
                          "bne 2b\n"
                          "pop {r4-r11, pc}\n");
#endif
