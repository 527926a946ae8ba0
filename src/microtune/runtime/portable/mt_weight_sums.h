/* A faster way to the weight gradient of pointwise convolutions, where the instruction set has one.
 */
#ifndef MT_WEIGHT_SUMS_H
#define MT_WEIGHT_SUMS_H

#include "mt_numerics.h"

/* Outputs whose gradients are summed together, so that x is read once for all of them. */
#define MT_SUM_ROWS 4

/* Scratch: the sums of a block of inputs, and room for a faster kernel. */
#define MT_SUM_BYTES (MT_SUM_ROWS * MT_BLOCK * 4)
#define MT_SUM_ROOM 528

/* Inputs and gradients of some pixels, *_step bytes apart; rows <= MT_SUM_ROWS outputs. */
typedef struct {
    int32_t pixels, x_step, g_step, zero, rows;
} mt_sum_shape;

/* acc[j][i] = sum over the pixels of g[j] * (x[i] - zero), i < n <= MT_BLOCK, j < rows; the rest of
 * acc is anything. Only where MT_HAS_POINTWISE_SUMS. */
void mt_pointwise_sums(const mt_sum_shape *s, const int8_t *x, const int8_t *g, int32_t n,
                       int32_t acc[MT_SUM_ROWS][MT_BLOCK], void *room);

#endif
