#include "mt_finish_dsp.h"

#if MT_ISA_DSP
mt_quad_finish mt_begin_finish(const mt_conv2d_params *p, const mt_conv2d_io *io, int32_t first,
                               int32_t count) {
    mt_quad_finish f = {{0}, {0}, {0}, p->y_zero, p->clamp_lo, p->clamp_hi, count, 0, 0, io->mask};
    int32_t shifts = 0;
    for (int32_t i = 0; i < count; i++) {
        f.bias[i] = io->bias[first + i];
        f.multiplier[i] = p->multiplier[first + i];
        f.shift[i] = p->shift[first + i];
        shifts |= f.shift[i];
    }
    f.straight = shifts == 0 && f.lo == -128 && f.hi == 127;
    f.plain = f.straight && count == 4 && f.mask == NULL;
    return f;
}

void mt_finish_quad_any(const mt_quad_finish *f, const int32_t *acc, int8_t *y, int32_t index) {
    uint32_t inside = 0;
    for (int32_t i = 0; i < f->count && f->straight; i++) {
        const int32_t v = mt_add_high_product(f->zero, acc[i], f->multiplier[i]);
        const int32_t clamped = mt_saturate8(v);
        inside |= (uint32_t)(v == clamped) << i;
        y[i] = (int8_t)clamped;
    }
    for (int32_t i = 0; i < f->count && !f->straight; i++) {
        const int32_t v = f->zero + mt_requantize(acc[i], f->multiplier[i], f->shift[i]);
        inside |= (uint32_t)(v >= f->lo && v <= f->hi) << i;
        y[i] = (int8_t)mt_clamp_int32(v, f->lo, f->hi);
    }
    if (f->mask != NULL) {
        uint8_t *byte = f->mask + (index >> 3);
        inside <<= index & 7;
        byte[0] = (uint8_t)(byte[0] | inside);
        if (inside > 0xff) {
            byte[1] = (uint8_t)(byte[1] | (inside >> 8));
        }
    }
}
#endif
