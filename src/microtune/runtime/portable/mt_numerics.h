/* Primitives of docs/numerics.md; the names are those of microtune/ir/numerics.py. */
#ifndef MT_NUMERICS_H
#define MT_NUMERICS_H

#include "mt_debug.h"
#include "mt_memory.h"
#include "mt_types.h"

/* Elements that a kernel treats at once on its stack. */
#define MT_BLOCK 32

/* Before a loop of constant width: GCC would unroll it to scalars before it looks for vectors. */
#if defined(__GNUC__) && !defined(__clang__)
#define MT_KEEP_LOOP _Pragma("GCC unroll 1")
#else
#define MT_KEEP_LOOP
#endif

#if defined(__GNUC__) || defined(__clang__)
#define MT_NOINLINE __attribute__((noinline))
#else
#define MT_NOINLINE
#endif

#define MT_INT32_MAX INT32_C(0x7fffffff)
#define MT_INT32_MIN (-MT_INT32_MAX - 1)
#define MT_GRADIENT_MAX 127
#define MT_BIAS_MAX (INT32_C(1) << 30)
#define MT_WEIGHT_STEP_LIMIT (INT64_C(1) << 24)
#define MT_BIAS_STEP_LIMIT (INT64_C(1) << 46)
#define MT_INT16_STEP_LIMIT (INT64_C(1) << 32)

/* Every `>>` of a negative number below is meant as floor division. */
MT_ASSERT(mt_shift_is_arithmetic, ((-3) >> 1) == -2);

/* A float32 that is rounded here. Compilers fuse a product with the sum behind it where they may
 * (GNU mode, -ffp-contract=fast, a core with FMA), and the sum then has other bits. */
#if defined(__GNUC__) && defined(__SSE__)
#define MT_ROUNDED(v) __asm__("" : "+x"(v))
#elif defined(__GNUC__) && defined(__arm__) && defined(__ARM_FP)
#define MT_ROUNDED(v) __asm__("" : "+t"(v))
#elif defined(__GNUC__) && defined(__aarch64__)
#define MT_ROUNDED(v) __asm__("" : "+w"(v))
#elif defined(__GNUC__) && defined(__riscv_flen)
#define MT_ROUNDED(v) __asm__("" : "+f"(v))
#elif defined(__GNUC__) && (defined(__arm__) || defined(__riscv))
#define MT_ROUNDED(v) ((void)(v)) /* a product is a call */
#else
#define MT_ROUNDED(v) ((v) = *(volatile const float *)&(v))
#endif

static inline float mt_product(float a, float b) {
    float product = a * b;
    MT_ROUNDED(product);
    return product;
}

static inline int32_t mt_min(int32_t a, int32_t b) { return a < b ? a : b; }

static inline int32_t mt_max(int32_t a, int32_t b) { return a > b ? a : b; }

static inline int32_t mt_clamp_int32(int32_t v, int32_t lo, int32_t hi) {
    return mt_min(mt_max(v, lo), hi);
}

static inline int64_t mt_clamp_int64(int64_t v, int64_t lo, int64_t hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

/* v * 2^n without the undefined left shift of a negative number. */
static inline int64_t mt_shift_left(int64_t v, int32_t n) {
    return (int64_t)((uint64_t)v << (uint32_t)n);
}

static inline int32_t mt_saturate_int32(int64_t v) {
    return (int32_t)mt_clamp_int64(v, MT_INT32_MIN, MT_INT32_MAX);
}

/* (x*m + 2^31) >> 32 */
static inline int32_t mt_high_multiply(int32_t x, int32_t m) {
    return (int32_t)(((int64_t)x * m + (INT64_C(1) << 31)) >> 32);
}

/* floor(t/2^s + 1/2) for 1 <= s <= 62, t for s <= 0, 0 for s >= 63 */
static inline int64_t mt_round_shift(int64_t t, int32_t s) {
    if (s <= 0) {
        return t;
    }
    return s >= 63 ? 0 : (t + (INT64_C(1) << (s - 1))) >> s;
}

/* high(sat32(acc << n), m), 0 <= n <= 31, in 32-bit lanes up to the product. */
static inline int32_t mt_requantize(int32_t acc, int32_t m, int32_t n) {
    const int32_t top = MT_INT32_MAX >> n;
    const int32_t shifted = (int32_t)((uint32_t)acc << n);
    const int32_t capped = acc > top ? MT_INT32_MAX : shifted;
    return mt_high_multiply(acc < -top - 1 ? MT_INT32_MIN : capped, m);
}

static inline uint32_t mt_fmix(uint32_t h) {
    h ^= h >> 16;
    h *= UINT32_C(0x7feb352d);
    h ^= h >> 15;
    h *= UINT32_C(0x846ca68b);
    return h ^ (h >> 16);
}

static inline uint32_t mt_random_key(const mt_step_state *state, uint32_t site) {
    return mt_fmix(mt_fmix(mt_fmix(state->seed ^ UINT32_C(0x9e3779b9)) + state->step) ^ site);
}

static inline uint32_t mt_random_word(uint32_t key, uint32_t index) {
    return mt_fmix(key + index * UINT32_C(0x9e3779b9));
}

static inline int32_t mt_random8(uint32_t key, uint32_t index) {
    return (int32_t)((mt_random_word(key, index >> 2) >> (8 * (index & 3))) & 255u);
}

static inline int32_t mt_random16(uint32_t key, uint32_t index) {
    return (int32_t)((mt_random_word(key, index >> 1) >> (16 * (index & 1))) & 65535u);
}

/* (v + noise) >> k, 0 <= k <= 30, |v| < 2^30 */
static inline int32_t mt_stochastic_round(int32_t v, int32_t k, int32_t r8) {
    const int32_t left = mt_max(k - 8, 0), right = mt_max(8 - k, 0);
    const int32_t half = k >= 9 ? INT32_C(1) << (k - 9) : 0;
    return (v + ((r8 << left) >> right) + half) >> k;
}

/* The smallest k >= 0 with largest >> k <= 127 */
static inline int32_t mt_shift_to_mantissa(uint64_t largest) {
    int32_t k = 0;
    while ((largest >> k) > MT_GRADIENT_MAX) {
        k++;
    }
    return k;
}

/* A factor times the learning rate: the multiplier and the right shift of mt_step16. */
typedef struct {
    int32_t multiplier, shift;
} mt_rate;

static inline mt_rate mt_rate_of(const mt_step_state *state, int32_t mantissa, int32_t exponent,
                                 int32_t gradient_exponent) {
    const int64_t product = (int64_t)mantissa * state->lr_mantissa;
    mt_rate rate;
    rate.multiplier = (int32_t)((product + (INT64_C(1) << 23)) >> 24);
    rate.shift = -(exponent + state->lr_exponent + 24 + gradient_exponent + 16);
    return rate;
}

/* The step in 2^-16 quanta, within +-limit */
static inline int64_t mt_step16(int64_t acc, mt_rate rate, int64_t limit) {
    const int64_t product = acc * rate.multiplier;
    if (rate.shift >= 0) {
        return mt_clamp_int64(mt_round_shift(product, rate.shift), -limit, limit);
    }
    const int32_t left = mt_min(-rate.shift, 62);
    const int64_t bound = limit >> left;
    if (product > bound) {
        return limit;
    }
    return product < -bound ? -limit : mt_shift_left(product, left);
}

/* clamp((value*2^16 - d + r16) >> 16, +-limit) */
static inline int32_t mt_apply_step(int32_t value, int64_t d, int32_t r16, int32_t limit) {
    const int64_t exact = (int64_t)value * 65536 - d;
    return (int32_t)mt_clamp_int64((exact + r16) >> 16, -limit, limit);
}

static inline uint32_t mt_float_bits(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline float mt_bits_float(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline int32_t mt_is_depthwise(const mt_conv_shape *s) { return s->kind == MT_DEPTHWISE; }

#endif
