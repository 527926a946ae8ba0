/* The exponent of each gradient from the tensor's own exact maximum. The whole
 * tensor waits in int32, which is what a microcontroller has no room for. */
#include "mt_blocks.h"
#include "mt_numerics.h"

#if MT_ROUND_HELD
#define MT_HELD_ELEMENTS (1 << 20)

static int32_t held[MT_HELD_ELEMENTS];
static int32_t held_count;

mt_rounder mt_round_begin(uint32_t site, const mt_round_io *io, int32_t acc_exponent, int8_t *y) {
    const mt_rounder r = {
        .io = io, .y = y, .key = mt_random_key(io->state, site), .acc_exponent = acc_exponent};
    held_count = 0;
    return r;
}

void mt_round_run(mt_rounder *r, const int32_t *acc, int32_t index, int32_t count) {
    (void)r;
    if (index > MT_HELD_ELEMENTS - count) {
        __builtin_trap();
    }
    memcpy(held + index, acc, (size_t)count * sizeof *acc);
    held_count = mt_max(held_count, index + count);
}

static int32_t kept(const mt_rounder *r, int32_t index) {
    const uint8_t *mask = r->io->mask;
    return mask == NULL || ((mask[index >> 3] >> (index & 7)) & 1) != 0 ? held[index] : 0;
}

void mt_round_end(const mt_rounder *r) {
    uint32_t largest = 0;
    for (int32_t i = 0; i < held_count; i++) {
        const int32_t v = kept(r, i);
        const uint32_t size = (uint32_t)(v < 0 ? -v : v);
        largest = size > largest ? size : largest;
    }
    const int32_t k = mt_shift_to_mantissa(largest);
    for (int32_t i = 0; i < held_count; i++) {
        const int32_t r8 = mt_random8(r->key, (uint32_t)i);
        const int32_t u = mt_stochastic_round(kept(r, i), k, r8);
        r->y[i] = (int8_t)mt_clamp_int32(u, -MT_GRADIENT_MAX, MT_GRADIENT_MAX);
    }
    *r->io->exponent = r->acc_exponent + k;
}
#endif
