/* One row of each layer that can be streamed. */
#include "mt_kernels_forward.h"
#include "mt_stream.h"

void mt_conv2d_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch) {
    const mt_rows rows = {row, row + 1, stage->x.rows, stage->y.rows};
    const mt_conv2d_io io = {mt_ring_image(&stage->x, arenas), stage->weight, NULL,   stage->bias,
                             mt_ring_image(&stage->y, arenas), NULL,          scratch};
    mt_conv2d_rows((const mt_conv2d_params *)stage->params, &io, &rows);
}

void mt_add_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch) {
    const mt_add_io io = {mt_ring_row(&stage->x, arenas, row), mt_ring_row(&stage->x2, arenas, row),
                          mt_ring_row(&stage->y, arenas, row), NULL};
    (void)scratch;
    mt_add((const mt_add_params *)stage->params, &io);
}

void mt_average_pool_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas,
                           void *scratch) {
    const mt_rows rows = {row, row + 1, stage->x.rows, stage->y.rows};
    const mt_pool_io io = {mt_ring_image(&stage->x, arenas), mt_ring_image(&stage->y, arenas)};
    (void)scratch;
    mt_average_pool_rows((const mt_pool_params *)stage->params, &io, &rows);
}

void mt_clamp_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch) {
    const mt_clamp_io io = {mt_ring_row(&stage->x, arenas, row),
                            mt_ring_row(&stage->y, arenas, row), NULL};
    (void)scratch;
    mt_clamp((const mt_clamp_params *)stage->params, &io);
}
