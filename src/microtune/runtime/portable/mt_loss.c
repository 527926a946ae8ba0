/* Softmax cross-entropy on dequantised logits, in integers and in float32. */
#include "mt_kernels_forward.h"
#include "mt_numerics.h"

/* 2^(f/65536) in Q20, 0 <= f < 65536 */
static uint32_t pow2_q20(uint32_t f) {
    uint32_t p = ((5183u * f) >> 16) + 14742u;
    p = ((p * f) >> 16) + 45611u;
    return (UINT32_C(1) << 20) + ((p * f) >> 12);
}

/* floor(log2(s)*65536) bit by bit, s >= 1 */
static int32_t log2_q16(uint32_t s) {
    int32_t whole = 31;
    while ((s >> whole) == 0) {
        whole--;
    }
    uint64_t x = (uint64_t)s << (31 - whole);
    uint32_t fraction = 0;
    for (int32_t i = 0; i < 16; i++) {
        x = (x * x) >> 31;
        fraction <<= 1;
        if (x >> 32 != 0) {
            x >>= 1;
            fraction |= 1;
        }
    }
    return (int32_t)(((uint32_t)whole << 16) | fraction);
}

/* log2(e)*(logit - max) in Q16, at least -64*log2(e) */
static int32_t exponent_q16(int32_t logit, int32_t max) {
    const int64_t below = (int64_t)logit - max;
    const int64_t t = mt_clamp_int64(below, -(INT64_C(1) << 22), 0);
    return (int32_t)((t * 94548 + 32768) >> 16);
}

static uint32_t power_of(int32_t y) {
    return pow2_q20((uint32_t)y & 65535u) >> mt_min(-(y >> 16), 31);
}

void mt_loss_int16(const mt_loss_params *p, const mt_loss_int16_io *io) {
    int32_t max = io->logits[0];
    uint32_t total = 0;
    for (int32_t i = 1; i < p->classes; i++) {
        max = mt_max(max, io->logits[i]);
    }
    for (int32_t i = 0; i < p->classes; i++) {
        total += power_of(exponent_q16(io->logits[i], max));
    }
    for (int32_t i = 0; i < p->classes; i++) {
        const uint32_t e = power_of(exponent_q16(io->logits[i], max));
        int32_t d = (int32_t)((((uint64_t)e << 15) + total / 2) / total);
        d -= (uint32_t)i == io->label ? 32768 : 0;
        io->d_logits[i] = (int16_t)mt_clamp_int32(d, -32767, 32767);
    }
    const int32_t of_label = exponent_q16(io->logits[io->label], max);
    const int64_t bits = (int64_t)log2_q16(total) - (20 << 16) - of_label;
    *io->loss_q16 = (int32_t)mt_clamp_int64((bits * 45426 + 32768) >> 16, 0, MT_INT32_MAX);
}

/* exp for x <= 0, Cephes' polynomial; the order of operations is numerics.exp32's. */
static float exp32(float x) {
    static const float c[4] = {8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
                               5.0000001201e-1f};
    x = x < -87.0f ? -87.0f : x;
    const float scaled = mt_product(x, 1.44269504f);
    const int32_t n = (int32_t)(scaled - 0.5f);
    const float whole = (float)n;
    const float high = mt_product(whole, 0.693359375f);
    const float low = mt_product(whole, -2.12194440e-4f);
    float r = x - high;
    r = r - low;
    float z = mt_product(1.9875691500e-4f, r);
    z = z + 1.3981999507e-3f;
    for (int32_t i = 0; i < 4; i++) {
        z = mt_product(z, r);
        z = z + c[i];
    }
    const float square = mt_product(r, r);
    z = mt_product(z, square);
    z = z + r;
    z = z + 1.0f;
    return mt_product(z, mt_bits_float((uint32_t)(n + 127) << 23));
}

/* Natural logarithm of x >= 1, Cephes' polynomial; the order is numerics.log32's. */
static float log32(float x) {
    static const float c[7] = {1.1676998740e-1f,  -1.2420140846e-1f, 1.4249322787e-1f,
                               -1.6668057665e-1f, 2.0000714765e-1f,  -2.4999993993e-1f,
                               3.3333331174e-1f};
    const uint32_t bits = mt_float_bits(x);
    int32_t e = (int32_t)(bits >> 23) - 127;
    float m = mt_bits_float((bits & UINT32_C(0x7fffff)) | UINT32_C(0x3f800000));
    if (m > 1.41421356f) {
        m = mt_product(m, 0.5f);
        e++;
    }
    const float r = m - 1.0f, z = mt_product(r, r), whole = (float)e;
    float y = mt_product(7.0376836292e-2f, r);
    y = y + -1.1514610310e-1f;
    for (int32_t i = 0; i < 7; i++) {
        y = mt_product(y, r);
        y = y + c[i];
    }
    y = mt_product(y, r);
    y = mt_product(y, z);
    const float low = mt_product(whole, -2.12194440e-4f);
    const float half = mt_product(0.5f, z), high = mt_product(whole, 0.693359375f);
    y = y + low;
    y = y - half;
    y = r + y;
    return y + high;
}

void mt_loss_float32(const mt_loss_params *p, const mt_loss_float32_io *io) {
    float max = io->logits[0], total = 0.0f;
    for (int32_t i = 1; i < p->classes; i++) {
        max = io->logits[i] > max ? io->logits[i] : max;
    }
    for (int32_t i = 0; i < p->classes; i++) {
        io->d_logits[i] = exp32(io->logits[i] - max);
        total = total + io->d_logits[i];
    }
    for (int32_t i = 0; i < p->classes; i++) {
        io->d_logits[i] = io->d_logits[i] / total;
    }
    io->d_logits[io->label] = io->d_logits[io->label] - 1.0f;
    const float shifted = io->logits[io->label] - max;
    const float scaled = (log32(total) - shifted) * 65536.0f;
    if (!(scaled > 0.0f)) {
        *io->loss_q16 = 0;
    } else {
        *io->loss_q16 = scaled < 2147483648.0f ? (int32_t)scaled : MT_INT32_MAX;
    }
}
