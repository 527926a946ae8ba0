/* The inner loops of the dense convolution (mt_dense_sums_dsp.c). */
#ifndef MT_DENSE_SUMS_DSP_H
#define MT_DENSE_SUMS_DSP_H

#include "mt_types.h"

/* sums[4*lane] += the products of four pixels' patch with the weights of one output. Where the
 * patch is padded, weights behind the row meet zeros: the generated tables are long enough. */
typedef struct {
    const int8_t *weight;
    const uint32_t *patch, *patch_end; /* not empty */
} mt_dot;

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

void mt_make_four(mt_tile *tile);
void mt_make_eight(mt_tile *tile);

#endif
