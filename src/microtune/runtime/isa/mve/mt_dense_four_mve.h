/* Pixels of a dense convolution, by fours, in assembler (mt_dense_four_mve.c). */
#ifndef MT_DENSE_FOUR_MVE_H
#define MT_DENSE_FOUR_MVE_H

#include "mt_isa.h"
#include "mt_types.h"

#if MT_ISA_MVE

/* What makes codes of the dot products of one output: bias - zero*sum(weights), requantisation. */
typedef struct {
    int32_t offset, multiplier, shift;
} mt_dense_constants;

MT_ASSERT(mt_dense_constants_offsets,
          MT_AT(mt_dense_constants, offset, 0) && MT_AT(mt_dense_constants, multiplier, 4) &&
              MT_AT(mt_dense_constants, shift, 8) && sizeof(mt_dense_constants) == 12);

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

MT_ASSERT(mt_dense_fixed_offsets,
          MT_AT(mt_dense_fixed, x, 0) && MT_AT(mt_dense_fixed, weight, 16) &&
              MT_AT(mt_dense_fixed, table, 20) && MT_AT(mt_dense_fixed, y, 24) &&
              MT_AT(mt_dense_fixed, pairs, 28) && MT_AT(mt_dense_fixed, zero, 32) &&
              MT_AT(mt_dense_fixed, behind, 36) && MT_AT(mt_dense_fixed, at, 40) &&
              MT_AT(mt_dense_fixed, x_next, 56) && MT_AT(mt_dense_fixed, y_next, 60) &&
              MT_AT(mt_dense_fixed, fours, 64));

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

MT_ASSERT(mt_dense_general_offsets,
          MT_AT(mt_dense_general, x, 0) && MT_AT(mt_dense_general, part[0].weight, 4) &&
              MT_AT(mt_dense_general, part[0].tail, 8) &&
              MT_AT(mt_dense_general, part[0].blocks, 12) &&
              MT_AT(mt_dense_general, part[0].lanes, 16) &&
              MT_AT(mt_dense_general, part[1].weight, 20) &&
              MT_AT(mt_dense_general, part[1].tail, 24) &&
              MT_AT(mt_dense_general, part[1].blocks, 28) &&
              MT_AT(mt_dense_general, part[1].lanes, 32) && MT_AT(mt_dense_general, table, 36) &&
              MT_AT(mt_dense_general, y, 40) && MT_AT(mt_dense_general, pairs, 44) &&
              MT_AT(mt_dense_general, zero, 48) && MT_AT(mt_dense_general, lo, 52) &&
              MT_AT(mt_dense_general, hi, 56) && MT_AT(mt_dense_general, mask, 60) &&
              MT_AT(mt_dense_general, at, 64) && MT_AT(mt_dense_general, mask_at, 80));

void mt_dense_one_part(mt_dense_general *call);
void mt_dense_two_parts(mt_dense_general *call);
#endif

#endif
