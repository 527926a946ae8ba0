/* The classifier head: forward, gradient of its features, update. */
#include "mt_blocks.h"
#include "mt_kernels_update.h"
#include "mt_numerics.h"

/* 256 products of 9 and 16 bits stay below 2^31. */
#define HEAD_CHUNK 256

static int64_t head_dot(const int8_t *x, const int16_t *w, int32_t zero, int32_t n) {
    int64_t total = 0;
    for (int32_t start = 0; start < n; start += HEAD_CHUNK) {
        const int32_t end = mt_min(start + HEAD_CHUNK, n);
        int32_t sum = 0;
        for (int32_t j = start; j < end; j++) {
            MT_ACCUMULATE(sum, (x[j] - zero) * w[j], 1);
        }
        total += sum;
    }
    return total;
}

void mt_head_int16(const mt_head_params *p, const mt_head_int16_io *io) {
    const int32_t drop = p->fraction_bits - 16;
    for (int32_t i = 0; i < p->classes; i++) {
        const int16_t *w = io->weight + i * p->features;
        const int64_t acc = io->bias[i] + head_dot(io->x, w, p->x_zero, p->features);
        io->logits[i] =
            mt_saturate_int32(drop >= 0 ? mt_round_shift(acc, drop) : mt_shift_left(acc, -drop));
    }
}

void mt_head_float32(const mt_head_params *p, const mt_head_float32_io *io) {
    for (int32_t i = 0; i < p->classes; i++) {
        const float *w = io->weight + i * p->features;
        float acc = io->bias[i];
        for (int32_t j = 0; j < p->features; j++) {
            const float feature = mt_product((float)(io->x[j] - p->x_zero), p->x_scale);
            const float product = mt_product(feature, w[j]);
            acc = acc + product;
            MT_PERFORMED(1);
        }
        io->logits[i] = acc;
    }
}

/* acc[0 .. n-1] = sum over the classes of d * W for features j .. j + n - 1 */
static void column_sums(const mt_head_input_grad_params *p, const mt_head_input_grad_int16_io *io,
                        int32_t j, int32_t n, int64_t *acc) {
    for (int32_t c = 0; c < n; c++) {
        acc[c] = 0;
    }
    for (int32_t i = 0; i < p->head.classes; i++) {
        const int16_t *w = io->weight + i * p->head.features + j;
        const int32_t d = io->d_logits[i];
        for (int32_t c = 0; c < n; c++) {
            acc[c] += d * w[c];
            MT_PERFORMED(1);
        }
    }
}

void mt_head_input_grad_int16(const mt_head_input_grad_params *p,
                              const mt_head_input_grad_int16_io *io) {
    const int32_t features = p->head.features;
    int64_t acc[MT_BLOCK], largest = 0;
    for (int32_t j = 0; j < features; j += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, features - j);
        column_sums(p, io, j, n, acc);
        for (int32_t c = 0; c < n; c++) {
            const int64_t size = acc[c] < 0 ? -acc[c] : acc[c];
            largest = size > largest ? size : largest;
        }
    }
    MT_REPEATED(p->head.classes * features); /* the sums below */
    const int32_t k = mt_shift_to_mantissa((uint64_t)largest);
    const uint32_t key = mt_random_key(io->state, p->site);
    for (int32_t j = 0; j < features; j += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, features - j);
        column_sums(p, io, j, n, acc);
        for (int32_t c = 0; c < n; c++) {
            const int32_t t = (int32_t)(acc[c] >> mt_max(k - 22, 0));
            const int32_t r8 = mt_random8(key, (uint32_t)(j + c));
            const int32_t u = mt_stochastic_round(t, mt_min(k, 22), r8);
            io->g[j + c] = (int8_t)mt_clamp_int32(u, -MT_GRADIENT_MAX, MT_GRADIENT_MAX);
        }
    }
    *io->exponent = k - 15 - p->head.fraction_bits;
}

/* The same in float32, i ascending. */
static void column_sums_float32(const mt_head_input_grad_params *p,
                                const mt_head_input_grad_float32_io *io, int32_t j, int32_t n,
                                float *acc) {
    for (int32_t c = 0; c < n; c++) {
        acc[c] = 0.0f;
    }
    for (int32_t i = 0; i < p->head.classes; i++) {
        const float *w = io->weight + i * p->head.features + j;
        const float d = io->d_logits[i];
        for (int32_t c = 0; c < n; c++) {
            const float product = mt_product(d, w[c]);
            acc[c] = acc[c] + product;
            MT_PERFORMED(1);
        }
    }
}

/* floor(v * 2^(14 - p)) for |v| < 2^(p+1), p = top_exponent - 127, from the bits of v. */
static int32_t scaled_floor(float v, int32_t top_exponent) {
    const uint32_t bits = mt_float_bits(v);
    const int32_t exponent = mt_max((int32_t)((bits >> 23) & 255u), 1);
    const uint32_t hidden = ((bits >> 23) & 255u) != 0 ? UINT32_C(0x800000) : 0;
    const int32_t mantissa = (int32_t)((bits & UINT32_C(0x7fffff)) | hidden);
    const int32_t right = mt_min(9 + top_exponent - exponent, 31);
    return (bits >> 31 ? -mantissa : mantissa) >> right;
}

void mt_head_input_grad_float32(const mt_head_input_grad_params *p,
                                const mt_head_input_grad_float32_io *io) {
    const int32_t features = p->head.features;
    float v[MT_BLOCK];
    uint32_t largest = 0; /* bits of |v| order like |v| */
    for (int32_t j = 0; j < features; j += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, features - j);
        column_sums_float32(p, io, j, n, v);
        for (int32_t c = 0; c < n; c++) {
            const uint32_t size = mt_float_bits(v[c]) & UINT32_C(0x7fffffff);
            largest = size > largest ? size : largest;
        }
    }
    MT_REPEATED(p->head.classes * features); /* the sums below */
    const int32_t top = (int32_t)(largest >> 23);
    const int32_t vanishes = top < 127 - 100;
    const uint32_t key = mt_random_key(io->state, p->site);
    for (int32_t j = 0; j < features; j += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, features - j);
        column_sums_float32(p, io, j, n, v);
        for (int32_t c = 0; c < n; c++) {
            const int32_t r8 = mt_random8(key, (uint32_t)(j + c));
            const int32_t u = vanishes ? 0 : (scaled_floor(v[c], top) + r8) >> 8;
            io->g[j + c] = (int8_t)mt_clamp_int32(u, -MT_GRADIENT_MAX, MT_GRADIENT_MAX);
        }
    }
    *io->exponent = vanishes ? 0 : top - 127 - 6 + p->exponent_delta;
}

void mt_head_update_int16(const mt_head_update_params *p, const mt_head_update_int16_io *io) {
    const int32_t features = p->head.features;
    const mt_rate weight = mt_rate_of(io->state, p->weight_mantissa, p->weight_exponent, 0);
    const mt_rate bias = mt_rate_of(io->state, p->bias_mantissa, p->bias_exponent, 0);
    const uint32_t weight_key = mt_random_key(io->state, p->weight_site);
    const uint32_t bias_key = mt_random_key(io->state, p->bias_site);
    for (int32_t i = 0; i < p->head.classes; i++) {
        const int32_t d = io->d_logits[i];
        int16_t *w = io->weight + i * features;
        for (int32_t j = 0; j < features; j++) {
            const int64_t acc = d * (io->x[j] - p->head.x_zero);
            MT_PERFORMED(1);
            const int64_t step = mt_step16(acc, weight, MT_INT16_STEP_LIMIT);
            const int32_t r16 = mt_random16(weight_key, (uint32_t)(i * features + j));
            w[j] = (int16_t)mt_apply_step(w[j], step, r16, 32767);
        }
        const int64_t step = mt_step16(d, bias, MT_BIAS_STEP_LIMIT);
        const int32_t r16 = mt_random16(bias_key, (uint32_t)i);
        io->bias[i] = mt_apply_step(io->bias[i], step, r16, MT_BIAS_MAX);
    }
}

void mt_head_update_float32(const mt_head_update_params *p, const mt_head_update_float32_io *io) {
    const int32_t features = p->head.features;
    for (int32_t i = 0; i < p->head.classes; i++) {
        const float t = mt_product(io->state->lr, io->d_logits[i]);
        float *w = io->weight + i * features;
        for (int32_t j = 0; j < features; j++) {
            const float feature = mt_product((float)(io->x[j] - p->head.x_zero), p->head.x_scale);
            const float step = mt_product(t, feature);
            w[j] = w[j] - step;
            MT_PERFORMED(1);
        }
        io->bias[i] = io->bias[i] - t;
    }
}
