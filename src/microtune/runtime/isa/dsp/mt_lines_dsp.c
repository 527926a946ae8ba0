#include "mt_lines_dsp.h"

#include "mt_memory.h"
#include "mt_numerics.h"

#if MT_ISA_DSP

/* For the assembler, in this order. */
typedef struct {
    const int8_t *from;
    int32_t stride;
    uint32_t *even, *odd;
    int32_t quads;
} mt_quads;

MT_ASSERT(mt_quads_offsets, MT_AT(mt_quads, from, 0) && MT_AT(mt_quads, stride, 4) &&
                                MT_AT(mt_quads, even, 8) && MT_AT(mt_quads, odd, 12) &&
                                MT_AT(mt_quads, quads, 16));

/* Four times `quads` > 0 pixels. Zero point -128, that of a ReLU: v + 128 is v with its
 * highest bit turned, without sign. 23 instructions for four pixels. */
void mt_widen_quads(const mt_quads *quads);

#define LINES_NAME MT_LINK_NAME(mt_widen_quads)
__asm__(".syntax unified\n.thumb\n"
        ".section .text." LINES_NAME ", \"ax\", %progbits\n"
        ".balign 4\n.thumb_func\n.global " LINES_NAME "\n.type " LINES_NAME
        ", %function\n" LINES_NAME ":\n"
        "push {r4-r11, lr}\n"
        "ldm r0, {r0, r1, r2, r3, lr}\n"
        "mov r8, #0x80808080\n"
        "rsb r11, r1, #0\n"
        "1:\n"
        "ldr r4, [r0]\n"
        "ldr r5, [r0, r1]\n"
        "ldr r6, [r0, r1, lsl #1]\n"
        "add r0, r0, r1, lsl #2\n"
        "ldr r7, [r0, r11]\n"
        "eor r4, r4, r8\n"
        "eor r5, r5, r8\n"
        "eor r6, r6, r8\n"
        "eor r7, r7, r8\n"
        "uxtb16 r9, r4\n"
        "uxtb16 r10, r5\n"
        "strd r9, r10, [r2], #8\n"
        "uxtb16 r9, r6\n"
        "uxtb16 r10, r7\n"
        "strd r9, r10, [r2], #8\n"
        "uxtb16 r9, r4, ror #8\n"
        "uxtb16 r10, r5, ror #8\n"
        "strd r9, r10, [r3], #8\n"
        "uxtb16 r9, r6, ror #8\n"
        "uxtb16 r10, r7, ror #8\n"
        "strd r9, r10, [r3], #8\n"
        "subs lr, lr, #1\n"
        "bne 1b\n"
        "pop {r4-r11, pc}\n"
        ".size " LINES_NAME ", . - " LINES_NAME "\n.text\n");

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
        const int32_t whole = n & ~3;
        const mt_quads quads = {four->from, four->stride, even, odd, whole >> 2};
        if (whole > 0) {
            mt_widen_quads(&quads);
        }
        const mt_four rest = {four->from + whole * four->stride, four->stride, 4, -128};
        widen_any(&rest, n - whole, 1, even + whole, odd + whole);
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
