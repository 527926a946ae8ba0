/* The inner loops of the dense convolution (mt_dense_sums_dsp.c). */
#ifndef MT_DENSE_SUMS_DSP_H
#define MT_DENSE_SUMS_DSP_H

#include "mt_isa.h"
#include "mt_types.h"

#if MT_ISA_DSP

/* sums[4*lane] += the products of four pixels' patch with the weights of one output. Where the
 * patch is padded, weights behind the row meet zeros: the generated tables are long enough. */
typedef struct {
    const int8_t *weight;
    const uint32_t *patch, *patch_end; /* not empty */
} mt_dot;

MT_ASSERT(mt_dot_offsets,
          MT_AT(mt_dot, weight, 0) && MT_AT(mt_dot, patch, 4) && MT_AT(mt_dot, patch_end, 8));

void mt_dot_4(int32_t *sums, const mt_dot *dot);

/* One part of the inputs of a tile's pixels, a multiple of 8 of them. */
typedef struct {
    const int8_t *weight;
    const uint32_t *patch, *patch_end;
    int32_t back; /* from the end of the products to the next output's weights, <= 0 */
} mt_tile_part;

/* `outputs` channels of a tile of pixels, requantised, clamped to int8 and stored at y, y + stride,
 * ...; with a mask they are a multiple of 8. The assembler knows the offsets. */
typedef struct {
    mt_tile_part parts[2]; /* the second one may have no patch */
    const int32_t *bias, *multiplier;
    const uint8_t *shift; /* or NULL: all 0 */
    int8_t *y;
    int32_t stride, zero, outputs;
    uint8_t *mask; /* or NULL */
    int32_t mask_stride;
    uint32_t bits[2]; /* 0 */
} mt_tile;

MT_ASSERT(mt_tile_offsets,
          MT_AT(mt_tile, parts[0].weight, 0) && MT_AT(mt_tile, parts[0].patch, 4) &&
              MT_AT(mt_tile, parts[0].patch_end, 8) && MT_AT(mt_tile, parts[0].back, 12) &&
              MT_AT(mt_tile, parts[1].weight, 16) && MT_AT(mt_tile, parts[1].patch, 20) &&
              MT_AT(mt_tile, parts[1].patch_end, 24) && MT_AT(mt_tile, parts[1].back, 28) &&
              MT_AT(mt_tile, bias, 32) && MT_AT(mt_tile, multiplier, 36) &&
              MT_AT(mt_tile, shift, 40) && MT_AT(mt_tile, y, 44) && MT_AT(mt_tile, stride, 48) &&
              MT_AT(mt_tile, zero, 52) && MT_AT(mt_tile, outputs, 56) && MT_AT(mt_tile, mask, 60) &&
              MT_AT(mt_tile, mask_stride, 64) && MT_AT(mt_tile, bits[0], 68) &&
              MT_AT(mt_tile, bits[1], 72));

void mt_make_four(mt_tile *tile);
void mt_make_eight(mt_tile *tile);
#endif

#endif
