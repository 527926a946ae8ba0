/* Momentum: velocities move the parameters and decay. */
#include "mt_kernels_update.h"
#include "mt_numerics.h"

/* A value and its velocity. */
typedef struct {
    int32_t value, velocity;
} mt_moved;

/* The next of element `column` of run `row`: the lower half of its random word rounds the value,
 * the upper half the velocity. */
static mt_moved moved(const mt_momentum_params *p, uint32_t key, int32_t row, int32_t column,
                      mt_moved old, int32_t limit) {
    const uint32_t channel = p->order == NULL ? (uint32_t)column : p->order[column];
    const uint32_t word =
        mt_random_word(key, (uint32_t)row * p->row_step + channel * p->column_step);
    const int64_t v = old.velocity;
    const int64_t step = -v * (INT32_C(1) << (16 - p->unit));
    mt_moved next;
    next.value = mt_apply_step(old.value, step, (int32_t)(word & 65535u), limit);
    next.velocity = (int32_t)((v * p->decay + (int32_t)(word >> 16)) >> 16);
    return next;
}

/* In the loops below, a velocity of 0 changes nothing whatever the random bits are. */

void mt_momentum_int8(const mt_momentum_params *p, const mt_momentum_int8_io *io) {
    const uint32_t key = mt_random_key(io->state, p->site);
    for (int32_t row = 0, i = 0; row < p->rows; row++) {
        for (int32_t column = 0; column < p->columns; column++, i++) {
            const mt_moved old = {io->value[i], io->velocity[i]};
            if (old.velocity != 0) {
                const mt_moved next = moved(p, key, row, column, old, MT_GRADIENT_MAX);
                io->value[i] = (int8_t)next.value;
                io->velocity[i] = (int8_t)next.velocity;
            }
        }
    }
}

void mt_momentum_int16(const mt_momentum_params *p, const mt_momentum_int16_io *io) {
    const uint32_t key = mt_random_key(io->state, p->site);
    for (int32_t row = 0, i = 0; row < p->rows; row++) {
        for (int32_t column = 0; column < p->columns; column++, i++) {
            const mt_moved old = {io->value[i], io->velocity[i]};
            if (old.velocity != 0) {
                const mt_moved next = moved(p, key, row, column, old, 32767);
                io->value[i] = (int16_t)next.value;
                io->velocity[i] = (int16_t)next.velocity;
            }
        }
    }
}

void mt_momentum_int32(const mt_momentum_params *p, const mt_momentum_int32_io *io) {
    const uint32_t key = mt_random_key(io->state, p->site);
    for (int32_t row = 0, i = 0; row < p->rows; row++) {
        for (int32_t column = 0; column < p->columns; column++, i++) {
            const mt_moved old = {io->value[i], io->velocity[i]};
            if (old.velocity != 0) {
                const mt_moved next = moved(p, key, row, column, old, MT_BIAS_MAX);
                io->value[i] = next.value;
                io->velocity[i] = next.velocity;
            }
        }
    }
}

void mt_momentum_float32(const mt_momentum_params *p, const mt_momentum_float32_io *io) {
    for (int32_t i = 0; i < p->rows * p->columns; i++) {
        io->value[i] = io->value[i] + io->velocity[i];
        io->velocity[i] = mt_product(io->velocity[i], p->real_decay);
    }
}
