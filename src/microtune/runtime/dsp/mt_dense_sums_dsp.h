/* The inner loops of the dense convolution (mt_dense_sums_dsp.c). */
#ifndef MT_DENSE_SUMS_DSP_H
#define MT_DENSE_SUMS_DSP_H

#include "mt_types.h"

/* sums[4*lane] += the products of `fours` > 0 times four inputs. Where the patch is padded, weights
 * behind the row meet zeros: the generated tables are long enough. */
typedef struct {
    const int8_t *weight;
    const uint32_t *patch;
    int32_t fours;
} mt_dot;

void mt_dot_4(int32_t *sums, const mt_dot *dot);

/* The same for `outputs` channels one after the other, requantised, clamped to int8 and stored at
 * y, y + stride, y + 2*stride and y + 3*stride, for an even number of fours. */
typedef struct {
    const int8_t *weight;
    const uint32_t *patch;
    int32_t pairs; /* of fours */
    const int32_t *bias, *multiplier;
    int8_t *y;
    int32_t stride, zero, outputs;
    int32_t back;         /* from the end of the products to the next weights, <= 0 */
    const uint8_t *shift; /* or NULL: all 0 */
} mt_plain;

void mt_make_plain(mt_plain *call);

#endif
