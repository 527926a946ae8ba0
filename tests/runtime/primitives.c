/* The inline primitives of mt_numerics.h behind a call, for arrays of n elements. */
#include "mt_numerics.h"

void high_multiply(const int32_t *x, const int32_t *m, int64_t *y, int32_t n);
void round_shift(const int64_t *t, const int32_t *s, int64_t *y, int32_t n);
void requantize(const int32_t *acc, const int32_t *m, const int32_t *shift, int64_t *y, int32_t n);
void stochastic_round(const int32_t *v, const int32_t *k, const int32_t *r, int64_t *y, int32_t n);
void random_bits(const mt_step_state *s, uint32_t site, int64_t *r8, int64_t *r16, int32_t n);
void step16(const int64_t *acc, const mt_step_state *s, const int32_t *factor, int64_t limit,
            int64_t *y, int32_t n);
void apply_step(const int32_t *v, const int64_t *d, const int32_t *limit, int64_t *y, int32_t n);

void high_multiply(const int32_t *x, const int32_t *m, int64_t *y, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        y[i] = mt_high_multiply(x[i], m[i]);
    }
}

void round_shift(const int64_t *t, const int32_t *s, int64_t *y, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        y[i] = mt_round_shift(t[i], s[i]);
    }
}

void requantize(const int32_t *acc, const int32_t *m, const int32_t *shift, int64_t *y, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        y[i] = mt_requantize(acc[i], m[i], shift[i]);
    }
}

void stochastic_round(const int32_t *v, const int32_t *k, const int32_t *r, int64_t *y, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        y[i] = mt_stochastic_round(v[i], k[i], r[i]);
    }
}

void random_bits(const mt_step_state *s, uint32_t site, int64_t *r8, int64_t *r16, int32_t n) {
    const uint32_t key = mt_random_key(s, site);
    for (int32_t i = 0; i < n; i++) {
        r8[i] = mt_random8(key, (uint32_t)i);
        r16[i] = mt_random16(key, (uint32_t)i);
    }
}

/* factor: mantissa, exponent, exponent of the gradient */
void step16(const int64_t *acc, const mt_step_state *s, const int32_t *factor, int64_t limit,
            int64_t *y, int32_t n) {
    const mt_rate rate = mt_rate_of(s, factor[0], factor[1], factor[2]);
    for (int32_t i = 0; i < n; i++) {
        y[i] = mt_step16(acc[i], rate, limit);
    }
}

void apply_step(const int32_t *v, const int64_t *d, const int32_t *limit, int64_t *y, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        y[i] = mt_apply_step(v[i], d[i], i & 65535, limit[i]);
    }
}
