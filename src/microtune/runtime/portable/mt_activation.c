/* Activation by table, and its gradient by a table of slopes. */
#include "mt_activation.h"

#include "mt_blocks.h"
#include "mt_numerics.h"

#if !MT_HAS_LOOK_UP
void mt_look_up(const int8_t *table, const int8_t *x, int8_t *y, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        y[i] = table[128 + x[i]];
    }
}
#endif

void mt_activation(const mt_activation_params *p, const mt_activation_io *io) {
    mt_look_up(p->table, io->x, io->y, p->count);
}

void mt_activation_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas,
                         void *scratch) {
    const mt_activation_params *p = (const mt_activation_params *)stage->params;
    (void)scratch;
    mt_look_up(p->table, mt_ring_row(&stage->x, arenas, row), mt_ring_row(&stage->y, arenas, row),
               p->count);
}

void mt_activation_grad(const mt_activation_grad_params *p, const mt_activation_grad_io *io) {
    const int32_t acc_exponent = *io->g_exponent + p->round.acc_exponent_delta;
    mt_rounder rounder = mt_round_begin(p->round.site, &io->round, acc_exponent, io->dx);
    for (int32_t start = 0; start < p->count; start += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, p->count - start);
        int8_t slope[MT_BLOCK];
        int32_t acc[MT_BLOCK];
        mt_look_up(p->slope, io->x + start, slope, n);
        mt_products(io->g + start, slope, 0, n, acc);
        mt_round_run(&rounder, acc, start, n);
    }
    mt_round_end(&rounder);
}
