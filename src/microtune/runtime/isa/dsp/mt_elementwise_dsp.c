/* Residual add, eight elements at a time, where 32 bits hold the sum and the clamp is int8. */
#include "mt_elementwise.h"

#include "mt_dsp.h"
#include "mt_numerics.h"

#if MT_ISA_DSP

typedef struct {
    int32_t a1, a2, offset, shift;
} mt_sum;

/* Element `lane` of four, before the clamp. */
static inline int32_t sum_of(const mt_sum *s, uint32_t x1, uint32_t x2, int32_t lane) {
    const int32_t c1 = (int8_t)(x1 >> (8 * lane)), c2 = (int8_t)(x2 >> (8 * lane));
    return (c1 * s->a1 + (c2 * s->a2 + s->offset)) >> s->shift;
}

/* y[0 .. 3]; returns which of them were inside, as bits, if it is asked for them. */
static inline uint32_t add_four(const mt_sum *s, const int8_t *x1, const int8_t *x2, int8_t *y,
                                int masked) {
    const uint32_t w1 = mt_load_word(x1), w2 = mt_load_word(x2);
    uint32_t inside = 0;
    for (int32_t lane = 0; lane < 4; lane++) {
        const int32_t v = sum_of(s, w1, w2, lane), clamped = mt_saturate8(v);
        y[lane] = (int8_t)clamped;
        inside |= masked && v == clamped ? 1u << lane : 0;
    }
    return inside;
}

/* Where x1*a1 + x2*a2 + offset has 32 bits, |x| <= 128, and is cut to int8 alone. */
int32_t mt_add_fits(const mt_add_params *p) {
    const int32_t half = INT32_C(1) << (p->shift - 1);
    const int64_t offset = (int64_t)half * (2 * p->y_zero + 1) - (int64_t)p->x1_zero * p->a1 -
                           (int64_t)p->x2_zero * p->a2;
    const int64_t room = MT_INT32_MAX - 128 * ((int64_t)p->a1 + mt_max(p->a2, -p->a2));
    return p->clamp_lo == -128 && p->clamp_hi == 127 && offset <= room && -offset <= room;
}

/* The offset of a call that fits, for which arithmetic modulo 2^32 is enough. */
static inline int32_t offset_of(const mt_add_params *p) {
    const uint32_t half = UINT32_C(1) << (p->shift - 1);
    const uint32_t zeros =
        (uint32_t)p->x1_zero * (uint32_t)p->a1 + (uint32_t)p->x2_zero * (uint32_t)p->a2;
    return (int32_t)(half - zeros + (uint32_t)p->y_zero * 2 * half);
}

void mt_add_isa(const mt_add_params *p, const mt_add_io *io) {
    const int32_t whole = p->count & ~7;
    const mt_sum sum = {p->a1, p->a2, offset_of(p), p->shift};
    if (io->mask == NULL) {
        for (int32_t i = 0; i < whole; i += 4) {
            (void)add_four(&sum, io->x1 + i, io->x2 + i, io->y + i, 0);
        }
    } else {
        for (int32_t i = 0; i < whole; i += 8) {
            const uint32_t low = add_four(&sum, io->x1 + i, io->x2 + i, io->y + i, 1);
            const uint32_t high = add_four(&sum, io->x1 + i + 4, io->x2 + i + 4, io->y + i + 4, 1);
            io->mask[i >> 3] = (uint8_t)(low | high << 4);
        }
    }
    if (whole < p->count) {
        mt_add_params rest = *p;
        rest.count -= whole;
        const mt_add_io at = {io->x1 + whole, io->x2 + whole, io->y + whole,
                              io->mask == NULL ? NULL : io->mask + (whole >> 3)};
        mt_add_any(&rest, &at);
    }
}
#endif
