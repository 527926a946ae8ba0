/* Products of two tensors, and sums of products for each channel, with Helium. */
#include "mt_product.h"

#include "mt_blocks.h"
#include "mt_mve.h"

#if MT_ISA_MVE

void mt_mul_run(const mt_mul_params *p, const int8_t *x, const int8_t *v, int32_t n, int8_t *y,
                uint8_t *inside) {
    const int32x4_t lo = vdupq_n_s32(p->clamp_lo), hi = vdupq_n_s32(p->clamp_hi);
    const uint32x4_t zero = vdupq_n_u32(0), one = vdupq_n_u32(1);
    const int32x4_t multiplier = vdupq_n_s32(p->multiplier);
    for (int32_t i = 0; i < n; i += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(n - i));
        const int32x4_t a = vsubq_n_s32(vldrbq_z_s32(x + i, lanes), p->x_zero);
        const int32x4_t b = vsubq_n_s32(vldrbq_z_s32(v + i, lanes), p->v_zero);
        const int32x4_t shifted = vqshlq_r_s32(vmulq_s32(a, b), p->shift);
        const int32x4_t code = vaddq_n_s32(vrmulhq_s32(shifted, multiplier), p->y_zero);
        const int32x4_t clamped = vminq_s32(vmaxq_s32(code, lo), hi);
        vstrbq_p_s32(y + i, clamped, lanes);
        vstrbq_p_u32(inside + i, vpselq_u32(one, zero, vcmpeqq_s32(code, clamped)), lanes);
    }
}

void mt_products(const int8_t *a, const int8_t *b, int32_t zero, int32_t n, int32_t *acc) {
    for (int32_t i = 0; i < n; i += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(n - i));
        const int32x4_t code = vsubq_n_s32(vldrbq_z_s32(b + i, lanes), zero);
        vstrwq_p_s32(acc + i, vmulq_s32(vldrbq_z_s32(a + i, lanes), code), lanes);
    }
}

/* Eight channels: a product of a mantissa and a code without its zero point has 16 bits. */
static void sum_eight(const mt_mul_grad_params *p, const int8_t *g, const int8_t *x, int32_t n,
                      int32_t *acc) {
    const mve_pred16_t lanes = vctp16q((uint32_t)n);
    int32x4_t even = vdupq_n_s32(0), odd = even;
    for (int32_t place = 0; place < p->places; place++, g += p->count, x += p->count) {
        const int16x8_t code = vsubq_n_s16(vldrbq_z_s16(x, lanes), (int16_t)p->zero);
        const int16x8_t product = vmulq_s16(vldrbq_z_s16(g, lanes), code);
        even = vaddq_s32(even, vmovlbq_s16(product));
        odd = vaddq_s32(odd, vmovltq_s16(product));
    }
    int32_t sums[8];
    const uint32x4_t at = vidupq_n_u32(0, 2);
    vstrwq_scatter_shifted_offset_s32(sums, at, even);
    vstrwq_scatter_shifted_offset_s32(sums + 1, at, odd);
    for (int32_t i = 0; i < n && i < 8; i++) {
        acc[i] = sums[i];
    }
}

void mt_mul_sums(const mt_mul_grad_params *p, const int8_t *g, const int8_t *x, int32_t n,
                 int32_t *acc) {
    for (int32_t i = 0; i < n; i += 8) {
        sum_eight(p, g + i, x + i, n - i, acc + i);
    }
}

#endif
