/* Residual add with Helium. */
#include "mt_blocks.h"
#include "mt_isa.h"
#include "mt_kernels_forward.h"
#include "mt_memory.h"

#if MT_ISA_MVE
#include "mt_mve.h"

/* (x - zero) * a */
MT_INLINE int32x4_t scaled(const int8_t *x, int32_t zero, int32_t a, mve_pred16_t lanes) {
    return vmulq_n_s32(vsubq_n_s32(vldrbq_z_s32(x, lanes), zero), a);
}

void mt_add_isa(const mt_add_params *p, const mt_add_io *io) {
    const int32x4_t lo = vdupq_n_s32(p->clamp_lo), hi = vdupq_n_s32(p->clamp_hi);
    if (io->mask != NULL) {
        memset(io->mask, 0, mt_mask_bytes(p->count));
    }
    for (int32_t i = 0; i < p->count; i += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(p->count - i));
        const int32x4_t s1 = scaled(io->x1 + i, p->x1_zero, p->a1, lanes);
        const int32x4_t s2 = scaled(io->x2 + i, p->x2_zero, p->a2, lanes);
        /* Half the sum always fits; halving first rounds the same way. */
        int32x4_t v =
            p->shift == 1 ? vrhaddq_s32(s1, s2) : vrshlq_n_s32(vhaddq_s32(s1, s2), 1 - p->shift);
        v = vaddq_n_s32(v, p->y_zero);
        const int32x4_t clamped = vminq_s32(vmaxq_s32(v, lo), hi);
        vstrbq_p_s32(io->y + i, clamped, lanes);
        if (io->mask != NULL) {
            const uint32_t inside = vcmpeqq_m_s32(v, clamped, lanes) & 0x1111u;
            mt_set_bits(io->mask, i, (inside * 0x249u >> 9) & 15u);
        }
    }
}
#endif
