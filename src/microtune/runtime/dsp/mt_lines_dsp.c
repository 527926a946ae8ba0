#include "mt_lines_dsp.h"

#include "mt_memory.h"
#include "mt_numerics.h"

#if MT_ISA_DSP && !MT_ISA_MVE

/* For zero point -128, that of a ReLU: v + 128 is v with its highest bit turned, without sign. */
static void widen_relu(const mt_four *f, int32_t n, uint32_t *even, uint32_t *odd) {
    const int8_t *from = f->from;
    const int32_t stride = f->stride;
    for (int32_t i = n; i > 0; i--, from += stride) {
        const uint32_t word = mt_load_word(from) ^ 0x80808080u;
        *even++ = word & 0x00ff00ffu;
        *odd++ = mt_odd_unsigned(word);
    }
}

static void widen_any(const mt_four *f, int32_t n, int32_t step, uint32_t *even, uint32_t *odd) {
    const uint32_t zeros = (uint32_t)(f->zero & 0xffff) * 0x10001u;
    const int8_t *from = f->from;
    for (int32_t i = n; i > 0; i--, from += f->stride, even += step, odd += step) {
        const uint32_t word = mt_load_word(from);
        *even = mt_subtract_pairs(mt_even_bytes(word), zeros);
        *odd = mt_subtract_pairs(mt_odd_bytes(word), zeros);
    }
}

void mt_widen_four(const mt_four *four, int32_t n, int32_t step, uint32_t *even, uint32_t *odd) {
    if (four->channels < 4) {
        for (int32_t i = 0; i < n; i++) {
            int8_t padded[4];
            for (int32_t c = 0; c < 4; c++) {
                padded[c] =
                    (int8_t)(c < four->channels ? four->from[i * four->stride + c] : four->zero);
            }
            const mt_four whole = {padded, 0, 4, four->zero};
            widen_any(&whole, 1, step, even + i * step, odd + i * step);
        }
    } else if (four->zero == -128 && step == 1) {
        widen_relu(four, n, even, odd);
    } else {
        widen_any(four, n, step, even, odd);
    }
}

void mt_zero_columns(const mt_lines *lines, int32_t left, int32_t right) {
    uint32_t *line = lines->plane[0];
    for (int32_t i = 2 * lines->height; i > 0; i--, line += lines->pitch) {
        for (int32_t column = 0; column < left; column++) {
            line[column] = 0;
        }
        for (int32_t column = right; column < lines->pitch; column++) {
            line[column] = 0;
        }
    }
}

void mt_make_room(mt_lines *lines, int32_t first) {
    if (lines->next - lines->base < lines->height) {
        return;
    }
    const int32_t dropped = mt_min(first - lines->base, lines->height);
    const size_t bytes = (size_t)((lines->height - dropped) * lines->pitch) * sizeof(uint32_t);
    for (int32_t plane = 0; plane < 2; plane++) {
        memmove(lines->plane[plane], lines->plane[plane] + dropped * lines->pitch, bytes);
    }
    lines->base += dropped;
}
#endif
