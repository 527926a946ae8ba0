#ifndef MT_LEARNING_RATE_H
#define MT_LEARNING_RATE_H

#include "mt_types.h"

/* lr_exponent of a state whose rate was never set; its lr and lr_mantissa are 0. */
#define MT_NO_RATE INT32_MIN

/* Sets lr, lr_mantissa and lr_exponent of `state` from the bits of a float32: no FPU is needed.
 * Returns 0 and changes nothing for NaN, negative numbers and numbers above MT_LEARNING_RATE_MAX.
 */
int32_t mt_split_learning_rate(uint32_t float_bits, mt_step_state *state);

#endif
