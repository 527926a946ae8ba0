#include "mt_stream.h"

#include "mt_kernels_forward.h"
#include "mt_memory.h"

static int8_t *row_of(const mt_ring *ring, uint8_t *arena, int32_t row) {
    return (int8_t *)arena + ring->offset + (row % ring->rows) * ring->row_bytes;
}

static int8_t *image_of(const mt_ring *ring, uint8_t *arena) {
    return (int8_t *)arena + ring->offset;
}

/* Makes one row of a layer. */
static void run_stage(const mt_stage *s, int32_t row, uint8_t *arena, void *scratch) {
    const mt_rows rows = {row, row + 1, s->x.rows, s->y.rows};
    switch (s->kind) {
    case MT_STAGE_CONV2D: {
        const mt_conv2d_io io = {image_of(&s->x, arena), s->weight, NULL,   s->bias,
                                 image_of(&s->y, arena), NULL,      scratch};
        mt_conv2d_rows((const mt_conv2d_params *)s->params, &io, &rows);
        break;
    }
    case MT_STAGE_ADD: {
        const mt_add_io io = {row_of(&s->x, arena, row), row_of(&s->x2, arena, row),
                              row_of(&s->y, arena, row), NULL};
        mt_add((const mt_add_params *)s->params, &io);
        break;
    }
    case MT_STAGE_AVERAGE_POOL: {
        const mt_pool_io io = {image_of(&s->x, arena), image_of(&s->y, arena)};
        mt_average_pool_rows((const mt_pool_params *)s->params, &io, &rows);
        break;
    }
    case MT_STAGE_CLAMP: {
        const mt_clamp_io io = {row_of(&s->x, arena, row), row_of(&s->y, arena, row), NULL};
        mt_clamp((const mt_clamp_params *)s->params, &io);
        break;
    }
    case MT_STAGE_INPUT:
        break;
    }
}

mt_status mt_stream(const mt_row_segment *segment, uint8_t *arena, const mt_row_source *source) {
    uint16_t *made = (uint16_t *)(void *)(arena + segment->rows_offset);
    void *scratch = arena + segment->scratch_offset;
    memset(made, 0, (size_t)segment->stage_count * sizeof *made);
    for (int32_t i = 0; i < segment->order_count; i++) {
        const mt_stage *stage = &segment->stages[segment->order[i]];
        const int32_t row = made[segment->order[i]]++;
        if (stage->kind != MT_STAGE_INPUT) {
            run_stage(stage, row, arena, scratch);
        } else if (source->read(source->user, (uint32_t)row, row_of(&stage->y, arena, row)) != 0) {
            return MT_ERROR_INPUT;
        }
    }
    return MT_OK;
}
