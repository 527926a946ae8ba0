/* Activation by a table for each channel, and its gradient. */
#include "mt_activation.h"

#include "mt_blocks.h"
#include "mt_numerics.h"

void mt_channel_activation(const mt_channel_activation_params *p, const mt_activation_io *io) {
    for (int32_t start = 0; start < p->count; start += p->channels) {
        const int8_t *table = p->table + 128;
        for (int32_t c = 0; c < p->channels; c++, table += 256) {
            io->y[start + c] = table[io->x[start + c]];
        }
    }
}

void mt_channel_activation_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas,
                                 void *scratch) {
    const mt_activation_io io = {mt_ring_row(&stage->x, arenas, row),
                                 mt_ring_row(&stage->y, arenas, row)};
    (void)scratch;
    mt_channel_activation((const mt_channel_activation_params *)stage->params, &io);
}

void mt_channel_activation_grad(const mt_channel_activation_grad_params *p,
                                const mt_activation_grad_io *io) {
    const int32_t acc_exponent = *io->g_exponent + p->round.acc_exponent_delta;
    mt_rounder rounder = mt_round_begin(p->round.site, &io->round, acc_exponent, io->dx);
    int32_t channel = 0;
    for (int32_t start = 0; start < p->count; start += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, p->count - start);
        int32_t acc[MT_BLOCK];
        for (int32_t i = 0; i < n; i++) {
            const int8_t *slope = p->slope + 256 * channel + 128;
            acc[i] = io->g[start + i] * slope[io->x[start + i]];
            channel = channel + 1 < p->channels ? channel + 1 : 0;
        }
        mt_round_run(&rounder, acc, start, n);
    }
    mt_round_end(&rounder);
}
