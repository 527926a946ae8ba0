/* Concat, slice, pad, transpose: one copy of three loops, whose inner one is a memcpy if it can. */
#include "mt_moves.h"

#include "mt_memory.h"

void mt_move(const mt_move_params *p, const mt_move_io *io) {
    const int32_t n = p->count[2], x_step = p->x_step[2], y_step = p->y_step[2];
    for (int32_t i = 0; i < p->count[0]; i++) {
        const int8_t *x = io->x + p->x_start + i * p->x_step[0];
        int8_t *y = io->y + p->y_start + i * p->y_step[0];
        for (int32_t j = 0; j < p->count[1]; j++) {
            if (x_step == 1 && y_step == 1) {
                memcpy(y, x, (size_t)n);
            } else {
                for (int32_t k = 0; k < n; k++) {
                    y[k * y_step] = x[k * x_step];
                }
            }
            x += p->x_step[1];
            y += p->y_step[1];
        }
    }
}

void mt_pad(const mt_pad_params *p, const mt_move_io *io) {
    memset(io->y, p->value, (size_t)p->bytes);
    mt_move(&p->move, io);
}

void mt_move_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch) {
    const mt_move_rows_params *p = (const mt_move_rows_params *)stage->params;
    const int32_t x_row = p->x_first + row * p->x_step;
    int8_t *y = mt_ring_row(&stage->y, arenas, row);
    (void)scratch;
    if (p->bytes > 0) {
        memset(y, p->value, (size_t)p->bytes);
    }
    if (x_row >= 0 && x_row < p->x_rows) {
        const mt_move_io io = {mt_ring_row(&stage->x, arenas, x_row), y};
        mt_move(&p->move, &io);
    }
}

void mt_concat(const mt_concat_params *p, const mt_concat_io *io) {
    for (int32_t i = 0; i < p->count; i++) {
        const mt_move_io part = {io->x[i], io->y};
        mt_move(&p->parts[i], &part);
    }
}

void mt_concat_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch) {
    const mt_concat_rows_params *p = (const mt_concat_rows_params *)stage->params;
    (void)scratch;
    for (int32_t i = 0; i < p->count; i++) {
        const mt_move_io part = {mt_ring_row(&p->x[i], arenas, row),
                                 mt_ring_row(&stage->y, arenas, row)};
        mt_move(&p->parts[i], &part);
    }
}
