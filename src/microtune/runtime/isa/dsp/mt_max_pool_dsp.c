/* The larger of two bytes, four at a time. */
#include "mt_max_pool.h"

#include "mt_dsp.h"

#if MT_ISA_DSP

/* Byte by byte, signed. The difference sets the flags by which the selection goes. */
static inline uint32_t larger_bytes(uint32_t a, uint32_t b) {
    uint32_t result;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(result) : "r"(a), "r"(b) : "cc");
    return result;
}

void mt_max_bytes(int8_t *best, const int8_t *x, int32_t count) {
    int32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        mt_store_word(best + i, larger_bytes(mt_load_word(best + i), mt_load_word(x + i)));
    }
    for (; i < count; i++) {
        best[i] = x[i] > best[i] ? x[i] : best[i];
    }
}

#endif
