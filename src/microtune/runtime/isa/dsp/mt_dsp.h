/* The instructions of the DSP extension that the kernels use. A word holds two signed halves. */
#ifndef MT_DSP_H
#define MT_DSP_H

#include "mt_isa.h"

#if MT_ISA_DSP
#include <arm_acle.h>

#include "mt_types.h"

/* Four bytes or two halves from any address: one LDR. */
static inline uint32_t mt_load_word(const void *from) {
    uint32_t word;
    __builtin_memcpy(&word, from, sizeof word); /* a call in freestanding code otherwise */
    return word;
}

static inline void mt_store_word(void *to, uint32_t word) {
    __builtin_memcpy(to, &word, sizeof word);
}

/* acc + a.lo*b.lo + a.hi*b.hi */
static inline int32_t mt_dual_mac(uint32_t a, uint32_t b, int32_t acc) {
    return __smlad((int16x2_t)a, (int16x2_t)b, acc);
}

/* acc + a.lo*b.lo */
static inline int32_t mt_low_mac(uint32_t a, uint32_t b, int32_t acc) {
    return __smlabb((int32_t)a, (int32_t)b, acc);
}

/* acc + a.hi*b.hi */
static inline int32_t mt_high_mac(uint32_t a, uint32_t b, int32_t acc) {
    return __smlatt((int32_t)a, (int32_t)b, acc);
}

/* Bytes 0 and 2, sign-extended. */
static inline uint32_t mt_even_bytes(uint32_t word) { return (uint32_t)__sxtb16((int8x4_t)word); }

/* Bytes 1 and 3, sign-extended. Compilers do not fold the rotation into the instruction. */
static inline uint32_t mt_odd_bytes(uint32_t word) {
    uint32_t result;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(word));
    return result;
}

/* Bytes 1 and 3, without sign. */
static inline uint32_t mt_odd_unsigned(uint32_t word) {
    uint32_t result;
    __asm__("uxtb16 %0, %1, ror #8" : "=r"(result) : "r"(word));
    return result;
}

/* to[0] = bytes 0 and 2 less the zero point, to[1] = bytes 1 and 3. `zeros` has it twice. For -128,
 * that of a ReLU, v + 128 is v with its highest bit turned, without sign. */
static inline void mt_widen_word(uint32_t word, int32_t zero_point, uint32_t zeros, uint32_t *to) {
    if (zero_point == -128) {
        word ^= 0x80808080u;
        to[0] = word & 0x00ff00ffu;
        to[1] = mt_odd_unsigned(word);
    } else {
        to[0] = (uint32_t)__ssub16((int16x2_t)mt_even_bytes(word), (int16x2_t)zeros);
        to[1] = (uint32_t)__ssub16((int16x2_t)mt_odd_bytes(word), (int16x2_t)zeros);
    }
}

/* Lane by lane: sum + bytes 0 and 2, sign-extended; sum + bytes 1 and 3. */
static inline uint32_t mt_add_even_bytes(uint32_t sum, uint32_t word) {
    return (uint32_t)__sxtab16((int16x2_t)sum, (int8x4_t)word);
}

static inline uint32_t mt_add_odd_bytes(uint32_t sum, uint32_t word) {
    uint32_t result;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(sum), "r"(word));
    return result;
}

/* Clamped to int8. */
static inline int32_t mt_saturate8(int32_t v) {
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(v));
    return result;
}

/* `word` with its byte at bit `at` (a constant) replaced by the low byte of v. */
#define mt_insert8(word, v, at) mt_insert8_##at(word, v)
#define MT_DEFINE_INSERT8(at)                                                                      \
    static inline uint32_t mt_insert8_##at(uint32_t word, uint32_t v) {                            \
        __asm__("bfi %0, %1, #" #at ", #8" : "+r"(word) : "r"(v));                                 \
        return word;                                                                               \
    }
MT_DEFINE_INSERT8(8)
MT_DEFINE_INSERT8(16)
MT_DEFINE_INSERT8(24)

/* (a*b + 2^31) >> 32 */
static inline int32_t mt_high_product(int32_t a, int32_t b) {
    int32_t result;
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

/* c + ((a*b + 2^31) >> 32) */
static inline int32_t mt_add_high_product(int32_t c, int32_t a, int32_t b) {
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
}

/* Lane by lane, modulo 2^16. */
static inline uint32_t mt_subtract_pairs(uint32_t a, uint32_t b) {
    return (uint32_t)__ssub16((int16x2_t)a, (int16x2_t)b);
}

/* Byte by byte; the first clamps to int8, the second is modulo 2^8. */
static inline uint32_t mt_saturating_subtract_bytes(uint32_t a, uint32_t b) {
    return (uint32_t)__qsub8((int8x4_t)a, (int8x4_t)b);
}

static inline uint32_t mt_add_bytes(uint32_t a, uint32_t b) {
    return (uint32_t)__sadd8((int8x4_t)a, (int8x4_t)b);
}

/* a.lo, b.lo */
static inline uint32_t mt_pack_low(uint32_t a, uint32_t b) {
    uint32_t result;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

/* a.hi, b.hi */
static inline uint32_t mt_pack_high(uint32_t a, uint32_t b) {
    uint32_t result;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(result) : "r"(b), "r"(a));
    return result;
}
#endif

#endif
