#include "mt_stream.h"

#include "mt_memory.h"

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
        if (stage->make_row != NULL) {
            stage->make_row(stage, row, arenas, scratch);
            continue;
        }
        int8_t *made_row = mt_ring_row(&stage->y, arenas, row);
        if (source->read(source->user, (uint32_t)row, made_row) != 0) {
            return MT_ERROR_INPUT;
        }
    }
    return MT_OK;
}
