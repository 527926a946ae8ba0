/* The dot products of the input gradient, in assembler (mt_input_sums_mve.c). */
#ifndef MT_INPUT_SUMS_MVE_H
#define MT_INPUT_SUMS_MVE_H

#include "mt_isa.h"
#include "mt_types.h"

#if MT_ISA_MVE

/* sums[pixel][channel] of four pixels and `pairs` of input channels: of the weights of a channel,
 * first those of `tail` outputs, 1 to 8, and then `blocks` of 8. Gradients are interleaved as
 * [block][4][8]. */
typedef struct {
    const int16_t *lanes;
    const int8_t *weight; /* of the first channel and output */
    int32_t tail_bytes;   /* from the first to the second block of the weights */
    int32_t block_bytes, blocks;
    uint32_t there; /* predicate of the tail */
    int32_t *sums;
    int32_t pairs;
    uint16_t at[2][8]; /* from the weight to the outputs' of the first and the second channel */
} mt_input_sums;

MT_ASSERT(mt_input_sums_offsets,
          MT_AT(mt_input_sums, lanes, 0) && MT_AT(mt_input_sums, weight, 4) &&
              MT_AT(mt_input_sums, tail_bytes, 8) && MT_AT(mt_input_sums, block_bytes, 12) &&
              MT_AT(mt_input_sums, blocks, 16) && MT_AT(mt_input_sums, there, 20) &&
              MT_AT(mt_input_sums, sums, 24) && MT_AT(mt_input_sums, pairs, 28) &&
              MT_AT(mt_input_sums, at[0], 32) && MT_AT(mt_input_sums, at[1], 48));

/* With 32 or 8 sums from pixel to pixel. */
void mt_input_sums_32(mt_input_sums *call);
void mt_input_sums_8(mt_input_sums *call);
#endif

#endif
