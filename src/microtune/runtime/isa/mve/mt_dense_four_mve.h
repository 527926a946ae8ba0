/* Pixels of a dense convolution, by fours, in assembler (mt_dense_four_mve.c). */
#ifndef MT_DENSE_FOUR_MVE_H
#define MT_DENSE_FOUR_MVE_H

#include "mt_types.h"

/* What makes codes of the dot products of one output: bias - zero*sum(weights), requantisation. */
typedef struct {
    int32_t offset, multiplier, shift;
} mt_dense_constants;

/* `pairs` of outputs of `fours` times four pixels, without shift and clamp but that to int8. */
typedef struct {
    const int8_t *x[4]; /* patches */
    const int8_t *weight;
    const mt_dense_constants *table;
    int8_t *y; /* of the first output and pixel */
    int32_t pairs, zero;
    int32_t behind;         /* bytes of a patch behind 16, for mt_dense_to_32 */
    uint16_t at[8];         /* from y to output o + lane % 2 of pixel lane / 2 */
    int32_t x_next, y_next; /* bytes to the next four pixels, less what y has moved */
    int32_t fours;
} mt_dense_fixed;

void mt_dense_8(const mt_dense_fixed *call);
void mt_dense_16(const mt_dense_fixed *call);
void mt_dense_24(const mt_dense_fixed *call);
void mt_dense_32(const mt_dense_fixed *call);
void mt_dense_40(const mt_dense_fixed *call);
void mt_dense_48(const mt_dense_fixed *call);
void mt_dense_to_32(const mt_dense_fixed *call);

/* Weights of `tail` bytes, 1 to 16, and then `blocks` of 16. */
typedef struct {
    const int8_t *weight;
    int32_t tail, blocks;
    uint32_t lanes; /* predicate of the tail */
} mt_dense_segment;

/* The same with shift, clamp and mask, of patches interleaved as [block][4][16], from one segment
 * of weights or from two. */
typedef struct {
    const int8_t *x;
    mt_dense_segment part[2];
    const mt_dense_constants *table;
    int8_t *y;
    int32_t pairs, zero, lo, hi;
    uint8_t *mask;       /* of the first pixel and eight outputs, or NULL: pairs in fours then */
    uint16_t at[8];      /* as above */
    uint32_t mask_at[4]; /* from mask to pixel i */
} mt_dense_general;

void mt_dense_one_part(mt_dense_general *call);
void mt_dense_two_parts(mt_dense_general *call);

#endif
