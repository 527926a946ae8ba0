#include "mt_stream.h"

#include "mt_kernels_forward.h"
#include "mt_memory.h"

static int8_t *image_of(const mt_ring *ring, uint8_t *const *arenas) {
    return (int8_t *)arenas[ring->bank] + ring->offset;
}

static int8_t *row_of(const mt_ring *ring, uint8_t *const *arenas, int32_t row) {
    return image_of(ring, arenas) + (row % ring->rows) * ring->row_bytes;
}

/* Makes one row of a layer. */
static void run_stage(const mt_stage *s, int32_t row, uint8_t *const *arenas, void *scratch) {
    const mt_rows rows = {row, row + 1, s->x.rows, s->y.rows};
    switch (s->kind) {
    case MT_STAGE_CONV2D: {
        const mt_conv2d_io io = {image_of(&s->x, arenas), s->weight, NULL,   s->bias,
                                 image_of(&s->y, arenas), NULL,      scratch};
        mt_conv2d_rows((const mt_conv2d_params *)s->params, &io, &rows);
        break;
    }
    case MT_STAGE_ADD: {
        const mt_add_io io = {row_of(&s->x, arenas, row), row_of(&s->x2, arenas, row),
                              row_of(&s->y, arenas, row), NULL};
        mt_add((const mt_add_params *)s->params, &io);
        break;
    }
    case MT_STAGE_AVERAGE_POOL: {
        const mt_pool_io io = {image_of(&s->x, arenas), image_of(&s->y, arenas)};
        mt_average_pool_rows((const mt_pool_params *)s->params, &io, &rows);
        break;
    }
    case MT_STAGE_CLAMP: {
        const mt_clamp_io io = {row_of(&s->x, arenas, row), row_of(&s->y, arenas, row), NULL};
        mt_clamp((const mt_clamp_params *)s->params, &io);
        break;
    }
    case MT_STAGE_INPUT:
        break;
    }
}

static void *at(mt_place place, uint8_t *const *arenas) {
    return arenas[place.bank] + place.offset;
}

mt_status mt_stream(const mt_row_segment *segment, uint8_t *const *arenas,
                    const mt_row_source *source) {
    uint16_t *made = (uint16_t *)at(segment->rows, arenas);
    void *scratch = at(segment->scratch, arenas);
    memset(made, 0, (size_t)segment->stage_count * sizeof *made);
    for (int32_t i = 0; i < segment->order_count; i++) {
        const mt_stage *stage = &segment->stages[segment->order[i]];
        const int32_t row = made[segment->order[i]]++;
        if (stage->kind != MT_STAGE_INPUT) {
            run_stage(stage, row, arenas, scratch);
        } else if (source->read(source->user, (uint32_t)row, row_of(&stage->y, arenas, row)) != 0) {
            return MT_ERROR_INPUT;
        }
    }
    return MT_OK;
}
