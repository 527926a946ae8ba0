/* The instructions of the DSP extension that the kernels use. A word holds two signed halves. */
#ifndef MT_DSP_H
#define MT_DSP_H

#include "mt_isa.h"

#if MT_ISA_DSP
#include <arm_acle.h>

#include "mt_memory.h"
#include "mt_types.h"

/* Four bytes or two halves from any address: one LDR. */
static inline uint32_t mt_load_word(const void *from) {
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

/* acc + a.lo*b.lo + a.hi*b.hi */
static inline int32_t mt_dual_mac(uint32_t a, uint32_t b, int32_t acc) {
    return __smlad((int16x2_t)a, (int16x2_t)b, acc);
}

/* Bytes 0 and 2, sign-extended. */
static inline uint32_t mt_even_bytes(uint32_t word) { return (uint32_t)__sxtb16((int8x4_t)word); }

/* Bytes 1 and 3, sign-extended: SXTB16 with a rotation, one instruction. */
static inline uint32_t mt_odd_bytes(uint32_t word) {
    return (uint32_t)__sxtb16((int8x4_t)((word >> 8) | (word << 24)));
}
#endif

#endif
