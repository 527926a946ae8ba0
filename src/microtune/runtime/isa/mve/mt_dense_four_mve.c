#include "mt_dense_four_mve.h"

#include "mt_isa.h"

#if MT_ISA_MVE

/* The offsets below are asserted in mt_dense_four_mve.h. */
#define FOUR_FUNCTION(name, body)                                                                  \
    __asm__(".syntax unified\n.thumb\n"                                                            \
            ".section .text." name ", \"ax\", %progbits\n"                                         \
            ".balign 4\n.thumb_func\n.global " name "\n.type " name ", %function\n" name ":\n"     \
            "push {r4-r11, lr}\n"                                                                  \
            "vpush {d8-d15}\n" body "vpop {d8-d15}\n"                                              \
            "pop {r4-r11, pc}\n"                                                                   \
            ".size " name ", . - " name "\n.text\n")

/* The sums of one output are in r6, r8, r10, r12: those of four patches. Once in a vector they are
 * requantised into half of q3, high(acc, m) = (floor(acc*m / 2^31) + 1) >> 1, by constants at r5.
 */
#define REQUANTIZE(half, shift)                                                                    \
    "vmov q2[2], q2[0], r6, r10\n"                                                                 \
    "vmov q2[3], q2[1], r8, r12\n"                                                                 \
    "ldm r5!, {r6, r8, r10}\n"                                                                     \
    "vadd.i32 q2, q2, r6\n" shift "vqdmulh.s32 q2, q2, r8\n"                                       \
    "vqrshrn" half ".s32 q3, q2, #1\n"

/* Patches of a known length: at r0 .. r3, or in q1 and q4 .. q6. Weights at r4. */
#define FOUR_PIXEL(load, mac, sum, x, at) load " q1, [" x ", #" at "]\n" mac " " sum ", q0, q1\n"
#define FOUR_BLOCK(load, mac, at)                                                                  \
    FOUR_PIXEL(load, mac, "r6", "r0", at)                                                          \
    FOUR_PIXEL(load, mac, "r8", "r1", at)                                                          \
    FOUR_PIXEL(load, mac, "r10", "r2", at) FOUR_PIXEL(load, mac, "r12", "r3", at)
#define FIRST_16 "vldrb.8 q0, [r4], #16\n" FOUR_BLOCK("vldrb.8", "vmladav.s8", "0")
#define NEXT_16(at) "vldrb.8 q0, [r4], #16\n" FOUR_BLOCK("vldrb.8", "vmladava.s8", at)
#define NEXT_8(at) "vldrb.s16 q0, [r4], #8\n" FOUR_BLOCK("vldrb.s16", "vmladava.s16", at)
#define NEXT_LANES                                                                                 \
    "vpst\nvldrbt.8 q0, [r4]\nadd r4, r4, r11\n" FOUR_BLOCK("vldrb.8", "vmladava.s8", "16")
#define LOADED(load) load " q1, [r0]\n" load " q4, [r1]\n" load " q5, [r2]\n" load " q6, [r3]\n"
#define KEPT(mac) mac " r6, q0, q1\n" mac " r8, q0, q4\n" mac " r10, q0, q5\n" mac " r12, q0, q6\n"

#define FOUR_OUTPUTS(name, start, load, dot, shift)                                                \
    FOUR_FUNCTION(name, "push {r0, r1}\n"                                                          \
                        "mov r12, r0\n"                                                            \
                        "ldm r12!, {r0-r5}\n"                                                      \
                        "ldrd r7, lr, [r12]\n"                                                     \
                        "ldrd r9, r11, [r12, #8]\n"                                                \
                        "vldrw.32 q7, [r12, #16]\n" start "2:\n" load "dls lr, lr\n"               \
                        "1:\n" dot REQUANTIZE("b", shift)                                          \
                            dot REQUANTIZE("t", shift) "vqadd.s16 q3, q3, r9\n"                    \
                                                       "vqmovnb.s16 q3, q3\n"                      \
                                                       "vstrb.16 q3, [r7, q7]\n"                   \
                                                       "adds r7, #2\n"                             \
                                                       "le lr, 1b\n"                               \
                                                       "ldr r12, [sp]\n"                           \
                                                       "ldrd r6, r8, [r12, #56]\n"                 \
                                                       "ldr r10, [r12, #64]\n"                     \
                                                       "ldrd r4, r5, [r12, #16]\n"                 \
                                                       "ldr lr, [r12, #28]\n"                      \
                                                       "add r0, r0, r6\n"                          \
                                                       "add r1, r1, r6\n"                          \
                                                       "add r2, r2, r6\n"                          \
                                                       "add r3, r3, r6\n"                          \
                                                       "add r7, r7, r8\n"                          \
                                                       "subs r10, #1\n"                            \
                                                       "str r10, [r12, #64]\n"                     \
                                                       "bne 2b\n"                                  \
                                                       "pop {r0, r1}\n")

FOUR_OUTPUTS(MT_LINK_NAME(mt_dense_8), "", LOADED("vldrb.s16"),
             "vldrb.s16 q0, [r4], #8\n" KEPT("vmladav.s16"), "");
FOUR_OUTPUTS(MT_LINK_NAME(mt_dense_16), "", LOADED("vldrb.8"),
             "vldrb.8 q0, [r4], #16\n" KEPT("vmladav.s8"), "");
FOUR_OUTPUTS(MT_LINK_NAME(mt_dense_24), "", "", FIRST_16 NEXT_8("16"), "");
FOUR_OUTPUTS(MT_LINK_NAME(mt_dense_32), "", "", FIRST_16 NEXT_16("16"), "");
FOUR_OUTPUTS(MT_LINK_NAME(mt_dense_40), "", "", FIRST_16 NEXT_16("16") NEXT_8("32"), "");
FOUR_OUTPUTS(MT_LINK_NAME(mt_dense_48), "", "", FIRST_16 NEXT_16("16") NEXT_16("32"), "");
/* r11: the bytes behind 16 */
FOUR_OUTPUTS(MT_LINK_NAME(mt_dense_to_32),
             "mov r6, #1\nlsl r6, r6, r11\nsubs r6, #1\nvmsr p0, r6\n", "", FIRST_16 NEXT_LANES,
             "vqshl.s32 q2, r10\n");

/* Patches of any length, interleaved at r0; weights at r4, first their tail of r1 bytes, then r2
 * blocks. */
#define TAIL(mac)                                                                                  \
    "vpst\nvldrbt.8 q0, [r4]\nadd r4, r4, r1\n" INTERLEAVED(                                       \
        mac) "wls lr, r2, 9f\n"                                                                    \
             "8:\nvldrb.8 q0, [r4], #16\n" INTERLEAVED("vmladava.s8") "le lr, 8b\n"                \
                                                                      "9:\n"
#define INTERLEAVED(mac)                                                                           \
    "vldrb.8 q1, [r0], #16\n" mac " r6, q0, q1\n"                                                  \
    "vldrb.8 q1, [r0], #16\n" mac " r8, q0, q1\n"                                                  \
    "vldrb.8 q1, [r0], #16\n" mac " r10, q0, q1\n"                                                 \
    "vldrb.8 q1, [r0], #16\n" mac " r12, q0, q1\n"
#define FOUR_ONE_PART "ldr r0, [r3]\nldr lr, [r3, #16]\nvmsr p0, lr\n" TAIL("vmladav.s8")
/* Of two parts the weights' pointers wait in the structure. */
#define TWO_PARTS                                                                                  \
    "ldr r0, [r3]\n"                                                                               \
    "ldr r4, [r3, #4]\nldrd r1, r2, [r3, #8]\nldr lr, [r3, #16]\nvmsr p0, lr\n" TAIL(              \
        "vmladav.s8") "str r4, [r3, #4]\n"                                                         \
                      "ldr r4, [r3, #20]\nldrd r1, r2, [r3, #24]\nldr lr, [r3, #32]\nvmsr p0, "    \
                      "lr\n" TAIL("vmladava.s8") "str r4, [r3, #20]\n"

/* After each two outputs one bit of each goes to q7, after eight they are stored. */
#define FOUR_MASK                                                                                  \
    "ldr r6, [r3, #60]\n"                                                                          \
    "cbz r6, 7f\n"                                                                                 \
    "vcmp.i16 eq, q3, q0\n"                                                                        \
    "vdup.32 q1, r9\n"                                                                             \
    "vpst\n"                                                                                       \
    "vorrt q7, q7, q1\n"                                                                           \
    "lsls r9, r9, #2\n"                                                                            \
    "tst r9, #256\n"                                                                               \
    "beq 7f\n"                                                                                     \
    "vshr.u32 q1, q7, #16\n"                                                                       \
    "vorr q1, q1, q7\n"                                                                            \
    "vldrw.32 q0, [r3, #80]\n"                                                                     \
    "vstrb.32 q1, [r6, q0]\n"                                                                      \
    "adds r6, #1\n"                                                                                \
    "str r6, [r3, #60]\n"                                                                          \
    "veor q7, q7, q7\n"                                                                            \
    "movw r9, #1\nmovt r9, #2\n"                                                                   \
    "7:\n"

#define GENERAL(name, dot)                                                                         \
    FOUR_FUNCTION(name, "mov r3, r0\n"                                                             \
                        "ldr r4, [r3, #4]\n"                                                       \
                        "ldrd r1, r2, [r3, #8]\n"                                                  \
                        "ldrd r5, r7, [r3, #36]\n"                                                 \
                        "ldr r11, [r3, #44]\n"                                                     \
                        "ldrd r6, r8, [r3, #52]\n"                                                 \
                        "vdup.16 q5, r6\n"                                                         \
                        "vdup.16 q6, r8\n"                                                         \
                        "vldrw.32 q4, [r3, #64]\n"                                                 \
                        "veor q7, q7, q7\n"                                                        \
                        "movw r9, #1\nmovt r9, #2\n"                                               \
                        "1:\n" dot REQUANTIZE("b", "vqshl.s32 q2, r10\n")                          \
                            dot REQUANTIZE("t", "vqshl.s32 q2, r10\n") "ldr r6, [r3, #48]\n"       \
                                                                       "vqadd.s16 q3, q3, r6\n"    \
                                                                       "vmax.s16 q0, q3, q5\n"     \
                                                                       "vmin.s16 q0, q0, q6\n"     \
                                                                       "vstrb.16 q0, [r7, q4]\n"   \
                                                                       "adds r7, #2\n" FOUR_MASK   \
                                                                       "subs r11, #1\n"            \
                                                                       "bne 1b\n")

GENERAL(MT_LINK_NAME(mt_dense_one_part), FOUR_ONE_PART);
GENERAL(MT_LINK_NAME(mt_dense_two_parts), TWO_PARTS);
#endif
