/* The inner loops of the depthwise convolution (mt_depthwise_taps_dsp.c). */
#ifndef MT_DEPTHWISE_TAPS_DSP_H
#define MT_DEPTHWISE_TAPS_DSP_H

#include "mt_types.h"

/* acc[2*pixel], acc[2*pixel + 1]: one plane, the two channels of four pixels, over `rows` > 0
 * kernel rows; w [rows][width], x `pitch` bytes a row. Widths 3, 5 and 7 start from `bias`, 1 adds
 * to acc. One function for each width and stride, in assembler because compilers run out of
 * registers: r4-r11 are the accumulators. One tap takes 11 instructions for 8 products, 13 with
 * stride 2. */
typedef struct {
    int32_t pitch, rows, bias[2];
} mt_span;

void mt_taps_1_stride_1(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);
void mt_taps_1_stride_2(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);
void mt_taps_3_stride_1(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);
void mt_taps_3_stride_2(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);
void mt_taps_5_stride_1(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);
void mt_taps_5_stride_2(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);
void mt_taps_7_stride_1(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);
void mt_taps_7_stride_2(int32_t *acc, const uint32_t *w, const uint32_t *x, const mt_span *span);

#endif
