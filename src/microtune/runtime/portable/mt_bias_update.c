/* Bias gradient and SGD step, int32 biases and int16 deltas. */
#include "mt_blocks.h"
#include "mt_isa.h"
#include "mt_kernels_update.h"
#include "mt_numerics.h"
#include "mt_rate.h"

#if !MT_HAS_CHANNEL_SUMS
void mt_channel_sums(const int8_t *g, int32_t pixels, int32_t channels, int32_t n, int32_t *acc) {
    for (int32_t i = 0; i < n; i++) {
        acc[i] = 0;
    }
    for (int32_t pixel = 0; pixel < pixels; pixel++, g += channels) {
        for (int32_t i = 0; i < n; i++) {
            MT_ACCUMULATE(acc[i], g[i], 0);
        }
    }
}
#endif

void mt_bias_update_int32(const mt_bias_update_params *p, const mt_bias_update_int32_io *io) {
    const uint32_t key = mt_random_key(io->state, p->site);
    const mt_factor_params factor = p->factor; /* not read anew after each store */
    const int32_t exponent = *io->g_exponent;
    for (int32_t c = 0; c < p->channels; c += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, p->channels - c);
        int32_t acc[MT_BLOCK];
        mt_channel_sums(io->g + c, p->pixels, p->channels, n, acc);
        for (int32_t o = c; o < c + n; o++) {
            if (mt_is_dead(&factor, o)) {
                continue;
            }
            const mt_rate rate = mt_channel_rate(&factor, o, io->state, exponent);
            const int64_t d = mt_step16(acc[o - c], rate, MT_BIAS_STEP_LIMIT);
            const int32_t r16 = mt_random16(key, (uint32_t)o);
            io->bias[o] = mt_apply_step(io->bias[o], d, r16, MT_BIAS_MAX);
        }
    }
}

void mt_bias_update_int16(const mt_bias_update_params *p, const mt_bias_update_int16_io *io) {
    const uint32_t key = mt_random_key(io->state, p->site);
    const mt_factor_params factor = p->factor; /* not read anew after each store */
    const int32_t exponent = *io->g_exponent;
    for (int32_t c = 0; c < p->channels; c += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, p->channels - c);
        int32_t acc[MT_BLOCK];
        mt_channel_sums(io->g + c, p->pixels, p->channels, n, acc);
        for (int32_t o = c; o < c + n; o++) {
            if (mt_is_dead(&factor, o)) {
                continue;
            }
            const mt_rate rate = mt_channel_rate(&factor, o, io->state, exponent);
            const int64_t d = mt_step16(acc[o - c], rate, MT_INT16_STEP_LIMIT);
            const int32_t r16 = mt_random16(key, (uint32_t)o);
            io->delta[o] = (int16_t)mt_apply_step(io->delta[o], d, r16, 32767);
        }
    }
}
