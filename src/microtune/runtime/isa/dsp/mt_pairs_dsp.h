/* Sums over pairs of outputs for the input gradients: four pixels and two inputs at a time. */
#ifndef MT_PAIRS_DSP_H
#define MT_PAIRS_DSP_H

#include "mt_isa.h"
#include "mt_types.h"

#if MT_ISA_DSP

#define MT_PAIR_PIXELS 4

/* `lanes` has a pair of outputs of every pixel in turn up to `end`, not empty; weights of
 * neighbouring outputs lie `stride` bytes apart, those of the two inputs side by side. */
typedef struct {
    const int8_t *weight;
    const uint32_t *lanes;
    int32_t stride;
    const uint32_t *end;
} mt_pairs;

MT_ASSERT(mt_pairs_offsets, MT_AT(mt_pairs, weight, 0) && MT_AT(mt_pairs, lanes, 4) &&
                                MT_AT(mt_pairs, stride, 8) && MT_AT(mt_pairs, end, 12));

/* sums[2*pixel], sums[2*pixel + 1]: the two inputs. 18 instructions for 16 products. */
void mt_sum_pairs(int32_t *sums, const mt_pairs *pairs);

/* The scaled int16 gradients of an even number of outputs at four pixels; NULL: zeros. */
void mt_fill_pairs(uint32_t *lanes, const int8_t *const *g, const int32_t *multiplier,
                   int32_t outputs);
#endif

#endif
