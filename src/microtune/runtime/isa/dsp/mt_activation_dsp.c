/* Look-ups of four codes with one load and one store. */
#include "mt_activation.h"

#include "mt_dsp.h"

#if MT_ISA_DSP

void mt_look_up(const int8_t *table, const int8_t *x, int8_t *y, int32_t count) {
    int32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        /* A code with its highest bit turned is its place in the table. */
        const uint32_t at = mt_load_word(x + i) ^ 0x80808080u;
        uint32_t word = (uint8_t)table[at & 255u];
        word = mt_insert8(word, (uint8_t)table[(at >> 8) & 255u], 8);
        word = mt_insert8(word, (uint8_t)table[(at >> 16) & 255u], 16);
        word = mt_insert8(word, (uint8_t)table[at >> 24], 24);
        mt_store_word(y + i, word);
    }
    for (; i < count; i++) {
        y[i] = table[128 + x[i]];
    }
}

#endif
