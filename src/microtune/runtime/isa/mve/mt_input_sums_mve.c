#include "mt_input_sums_mve.h"

#include "mt_isa.h"

#if MT_ISA_MVE

/* The sums of the first channel are in r0, r2, r4, r6, of the second in r8, r10, r12, lr: all the
 * registers that VMLADAV can take. */
#define INPUT_PIXEL(mac, first, second)                                                            \
    "vldrh.16 q2, [r1], #16\n" mac " " first ", q0, q2\n" mac " " second ", q1, q2\n"
#define INPUT_BLOCK(mac)                                                                           \
    INPUT_PIXEL(mac, "r0", "r8")                                                                   \
    INPUT_PIXEL(mac, "r2", "r10") INPUT_PIXEL(mac, "r4", "r12") INPUT_PIXEL(mac, "r6", "lr")

#define INPUT_SUMS(name, second, third, fourth)                                                    \
    __asm__(".syntax unified\n.thumb\n"                                                            \
            ".section .text." name ", \"ax\", %progbits\n"                                         \
            ".balign 4\n.thumb_func\n.global " name "\n.type " name ", %function\n" name ":\n"     \
            "push {r4-r11, lr}\n"                                                                  \
            "mov r11, r0\n"                                                                        \
            "vpush {d8-d9}\n"                                                                      \
            "vldrw.32 q3, [r11, #32]\n"                                                            \
            "vldrw.32 q4, [r11, #48]\n"                                                            \
            "ldr r1, [r11, #20]\n"                                                                 \
            "vmsr p0, r1\n"                                                                        \
            "ldr r5, [r11, #12]\n"                                                                 \
            "ldr r9, [r11, #24]\n"                                                                 \
            "1:\n"                                                                                 \
            "ldrd r1, r3, [r11]\n"                                                                 \
            "ldr r7, [r11, #8]\n"                                                                  \
            "vpstt\n"                                                                              \
            "vldrbt.s16 q0, [r3, q3]\n"                                                            \
            "vldrbt.s16 q1, [r3, q4]\n"                                                            \
            "adds r3, r3, r7\n"                                                                    \
            "ldr r7, [r11, #16]\n" INPUT_BLOCK(                                                    \
                "vmladav.s16") "cbz r7, 3f\n"                                                      \
                               "2:\n"                                                              \
                               "vldrb.s16 q0, [r3, q3]\n"                                          \
                               "vldrb.s16 q1, [r3, q4]\n"                                          \
                               "adds r3, r3, r5\n" INPUT_BLOCK(                                    \
                                   "vmladava.s16") "subs r7, #1\n"                                 \
                                                   "bne 2b\n"                                      \
                                                   "3:\n"                                          \
                                                   "strd r0, r8, [r9], #8\n"                       \
                                                   "strd r2, r10, [r9, #" second "]\n"             \
                                                   "strd r4, r12, [r9, #" third "]\n"              \
                                                   "strd r6, lr, [r9, #" fourth "]\n"              \
                                                   "ldr r3, [r11, #4]\n"                           \
                                                   "ldr r7, [r11, #28]\n"                          \
                                                   "adds r3, #2\n"                                 \
                                                   "str r3, [r11, #4]\n"                           \
                                                   "subs r7, #1\n"                                 \
                                                   "str r7, [r11, #28]\n"                          \
                                                   "bne 1b\n"                                      \
                                                   "vpop {d8-d9}\n"                                \
                                                   "pop {r4-r11, pc}\n"                            \
                                                   ".size " name ", . - " name "\n.text\n")

/* Bytes to the other pixels, less the 8 that the pointer has moved. */
INPUT_SUMS(MT_LINK_NAME(mt_input_sums_32), "120", "248", "376");
INPUT_SUMS(MT_LINK_NAME(mt_input_sums_8), "24", "56", "88");
#endif
