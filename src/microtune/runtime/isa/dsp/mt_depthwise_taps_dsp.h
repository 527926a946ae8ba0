/* The inner loops of the depthwise convolution (mt_depthwise_taps_dsp.c). A plane has two channels
 * of a group of four in the halves of its words: 0 and 2, or 1 and 3. In assembler because
 * compilers run out of registers: r4-r11 are the sums of four pixels. One tap takes 11 instructions
 * for 8 products, 13 with stride 2. */
#ifndef MT_DEPTHWISE_TAPS_DSP_H
#define MT_DEPTHWISE_TAPS_DSP_H

#include "mt_isa.h"
#include "mt_types.h"

#if MT_ISA_DSP

/* acc[2*pixel], acc[2*pixel + 1]: the two channels of four pixels, over `rows` > 0 kernel rows;
 * w [rows][width], x `pitch` bytes a row. Widths 3, 5 and 7 start from `bias`, 1 adds to acc. */
typedef struct {
    int32_t pitch, rows, bias[2];
} mt_span;

MT_ASSERT(mt_span_offsets,
          MT_AT(mt_span, pitch, 0) && MT_AT(mt_span, rows, 4) && MT_AT(mt_span, bias, 8));

void mt_taps_1_stride_1(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);
void mt_taps_1_stride_2(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);
void mt_taps_3_stride_1(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);
void mt_taps_5_stride_1(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);
void mt_taps_7_stride_1(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);

/* The same for `quads` times four pixels of a row, requantised, clamped to int8 and stored at y and
 * y + 2, a pixel every `stride` bytes. With `masked`, bits 0 and 2 of byte p of `bits` say that
 * pixel p was not cut. The assembler knows the offsets; y, quads and x are used up. */
typedef struct {
    int32_t pitch, rows, bias[2];
    int32_t multiplier[2], shift[2];
    int32_t zero;
    int8_t *y;
    int32_t stride;
    int32_t masked;
    uint32_t bits;
    int32_t quads;
    const uint32_t *w, *x;
} mt_plane;

MT_ASSERT(mt_plane_offsets,
          MT_AT(mt_plane, pitch, 0) && MT_AT(mt_plane, rows, 4) && MT_AT(mt_plane, bias, 8) &&
              MT_AT(mt_plane, multiplier, 16) && MT_AT(mt_plane, shift, 24) &&
              MT_AT(mt_plane, zero, 32) && MT_AT(mt_plane, y, 36) && MT_AT(mt_plane, stride, 40) &&
              MT_AT(mt_plane, masked, 44) && MT_AT(mt_plane, bits, 48) &&
              MT_AT(mt_plane, quads, 52) && MT_AT(mt_plane, w, 56) && MT_AT(mt_plane, x, 60));

void mt_plane_3_stride_1(mt_plane *plane);
void mt_plane_3_stride_2(mt_plane *plane);
void mt_plane_5_stride_1(mt_plane *plane);
void mt_plane_5_stride_2(mt_plane *plane);
void mt_plane_7_stride_1(mt_plane *plane);
void mt_plane_7_stride_2(mt_plane *plane);
#endif

#endif
