/* Products of two tensors, and sums of products for each channel, four at a time. */
#include "mt_product.h"

#include "mt_blocks.h"
#include "mt_dsp.h"
#include "mt_numerics.h"

#if MT_ISA_DSP

/* One product, clamped; whether it was inside. */
static inline uint8_t one(const mt_mul_params *p, int32_t x, int32_t v, int8_t *y) {
    const int32_t product = (x - p->x_zero) * (v - p->v_zero);
    const int32_t code = p->shift == 0
                             ? mt_add_high_product(p->y_zero, product, p->multiplier)
                             : p->y_zero + mt_requantize(product, p->multiplier, p->shift);
    const int32_t clamped = mt_clamp_int32(code, p->clamp_lo, p->clamp_hi);
    *y = (int8_t)clamped;
    return code == clamped;
}

/* Four products that need no shift and are cut to int8 alone. */
static inline void four(const mt_mul_params *p, const int8_t *x, const int8_t *v, int8_t *y,
                        uint8_t *inside) {
    const uint32_t a = mt_load_word(x), b = mt_load_word(v);
    for (int32_t lane = 0; lane < 4; lane++) {
        const int32_t d1 = (int8_t)(a >> (8 * lane)) - p->x_zero;
        const int32_t d2 = (int8_t)(b >> (8 * lane)) - p->v_zero;
        const int32_t code = mt_add_high_product(p->y_zero, d1 * d2, p->multiplier);
        const int32_t clamped = mt_saturate8(code);
        y[lane] = (int8_t)clamped;
        inside[lane] = code == clamped;
    }
}

void mt_mul_run(const mt_mul_params *p, const int8_t *x, const int8_t *v, int32_t n, int8_t *y,
                uint8_t *inside) {
    const mt_mul_params own = *p;
    const int32_t plain = own.shift == 0 && own.clamp_lo == -128 && own.clamp_hi == 127;
    int32_t i = 0;
    for (; plain && i + 4 <= n; i += 4) {
        four(&own, x + i, v + i, y + i, inside + i);
    }
    for (; i < n; i++) {
        inside[i] = one(&own, x[i], v[i], y + i);
    }
}

void mt_products(const int8_t *a, const int8_t *b, int32_t zero, int32_t n, int32_t *acc) {
    const uint32_t half = (uint16_t)zero, pair = half | half << 16;
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const uint32_t first = mt_load_word(a + i), second = mt_load_word(b + i);
        const uint32_t even = mt_even_bytes(first), odd = mt_odd_bytes(first);
        const uint32_t low = mt_subtract_pairs(mt_even_bytes(second), pair);
        const uint32_t high = mt_subtract_pairs(mt_odd_bytes(second), pair);
        acc[i] = mt_low_mac(even, low, 0);
        acc[i + 1] = mt_low_mac(odd, high, 0);
        acc[i + 2] = mt_high_mac(even, low, 0);
        acc[i + 3] = mt_high_mac(odd, high, 0);
    }
    for (; i < n; i++) {
        acc[i] = a[i] * (b[i] - zero);
    }
}

/* Four channels of all places. */
static void sum_four(const mt_mul_grad_params *p, const int8_t *g, const int8_t *x, int32_t *acc) {
    const uint32_t zero = (uint16_t)p->zero, pair = zero | zero << 16;
    int32_t sum[4] = {0, 0, 0, 0};
    for (int32_t place = 0; place < p->places; place++, g += p->count, x += p->count) {
        const uint32_t a = mt_load_word(g), b = mt_load_word(x);
        const uint32_t even = mt_even_bytes(a), odd = mt_odd_bytes(a);
        const uint32_t low = mt_subtract_pairs(mt_even_bytes(b), pair);
        const uint32_t high = mt_subtract_pairs(mt_odd_bytes(b), pair);
        sum[0] = mt_low_mac(even, low, sum[0]);
        sum[1] = mt_low_mac(odd, high, sum[1]);
        sum[2] = mt_high_mac(even, low, sum[2]);
        sum[3] = mt_high_mac(odd, high, sum[3]);
    }
    for (int32_t i = 0; i < 4; i++) {
        acc[i] = sum[i];
    }
}

void mt_mul_sums(const mt_mul_grad_params *p, const int8_t *g, const int8_t *x, int32_t n,
                 int32_t *acc) {
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        sum_four(p, g + i, x + i, acc + i);
    }
    for (; i < n; i++) {
        int32_t sum = 0;
        for (int32_t place = 0; place < p->places; place++) {
            sum += g[place * p->count + i] * (x[place * p->count + i] - p->zero);
        }
        acc[i] = sum;
    }
}

#endif
