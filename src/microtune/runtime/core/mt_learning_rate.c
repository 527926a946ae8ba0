#include "mt_learning_rate.h"

#include "mt_numerics.h"

/* MT_LEARNING_RATE_MAX = 2^10; positive floats are ordered like their bits. */
#define BITS_OF_MAX UINT32_C(0x44800000)

int32_t mt_split_learning_rate(uint32_t float_bits, mt_step_state *state) {
    if (float_bits == UINT32_C(0x80000000)) { /* -0 */
        float_bits = 0;
    }
    if (float_bits > BITS_OF_MAX) {
        return 0;
    }
    int32_t exponent = (int32_t)(float_bits >> 23);
    int32_t mantissa = (int32_t)(float_bits & UINT32_C(0x7fffff));
    if (exponent != 0) {
        mantissa |= INT32_C(1) << 23;
    } else {
        exponent = 1;
    }
    while (mantissa != 0 && mantissa < (INT32_C(1) << 23)) {
        mantissa *= 2;
        exponent--;
    }
    state->lr = mt_bits_float(float_bits);
    state->lr_mantissa = mantissa;
    state->lr_exponent = mantissa == 0 ? 0 : exponent - 127 - 23;
    return 1;
}
