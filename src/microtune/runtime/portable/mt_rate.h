/* The step of one output channel (docs/numerics.md, Update). */
#ifndef MT_RATE_H
#define MT_RATE_H

#include "mt_kernels_update.h"
#include "mt_numerics.h"

/* The k for which 2^30 <= m << k < 2^31, m > 0. */
static inline int32_t mt_normal_shift(int32_t m) {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_clz((uint32_t)m) - 1;
#else
    int32_t k = 0;
    while (m < (INT32_C(1) << 30)) {
        m *= 2;
        k++;
    }
    return k;
#endif
}

/* Whether channel o is never trained: its step is left out. */
static inline int32_t mt_is_dead(const mt_factor_params *f, int32_t o) {
    return f->dead != NULL && ((f->dead[o >> 3] >> (o & 7)) & 1);
}

/* lr * f[o] * 2^gradient_exponent of a live channel. 1/M to 16 bits is one 32-bit division. */
static inline mt_rate mt_channel_rate(const mt_factor_params *f, int32_t o,
                                      const mt_step_state *state, int32_t gradient_exponent) {
    const int32_t m = f->multiplier[o];
    if (m == 0) {
        return mt_rate_of(state, 0, 0, gradient_exponent);
    }
    const int32_t k = mt_normal_shift(m);
    const uint32_t inverse = UINT32_MAX / ((uint32_t)(m << k) >> 15);
    const int32_t mantissa = (int32_t)(((int64_t)f->mantissa * inverse) >> 17);
    const int32_t exponent = f->exponent + 2 + mt_min(k - f->shift[o], f->cap);
    return mt_rate_of(state, mantissa, exponent, gradient_exponent);
}

#endif
