/* Depth-first execution of frozen layers, one row at a time. */
#ifndef MT_STREAM_H
#define MT_STREAM_H

#include "microtune_image.h"
#include "mt_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The last rows of a tensor: row r lies in slot r % rows. */
typedef struct {
    uint32_t offset;     /* in its arena */
    uint16_t bank, rows; /* bank: number of the arena */
    int32_t row_bytes;
} mt_ring;

typedef struct mt_stage mt_stage;

/* Makes one row of ring y of a layer. */
typedef void (*mt_make_row)(const mt_stage *stage, int32_t row, uint8_t *const *arenas,
                            void *scratch);

/* One layer: makes rows of ring y from ring x (and x2 for an add). */
struct mt_stage {
    mt_make_row make_row; /* NULL: the rows come from the callback */
    const void *params;   /* what make_row takes */
    const int8_t *weight;
    const int32_t *bias;
    mt_ring x, x2, y;
};

/* `order` names the stage that makes each row in turn. */
typedef struct {
    const mt_stage *stages;
    const uint8_t *order;
    int32_t stage_count, order_count;
    mt_place rows;    /* uint16_t[stage_count]: rows made so far */
    mt_place scratch; /* what the layers share */
} mt_row_segment;

typedef struct {
    mt_read_row read;
    void *user;
} mt_row_source;

/* A ring's memory, and that of one of its rows. */
static inline int8_t *mt_ring_image(const mt_ring *ring, uint8_t *const *arenas) {
    return (int8_t *)arenas[ring->bank] + ring->offset;
}

static inline int8_t *mt_ring_row(const mt_ring *ring, uint8_t *const *arenas, int32_t row) {
    return mt_ring_image(ring, arenas) + (row % ring->rows) * ring->row_bytes;
}

/* The layers' make_row, with their params: mt_conv2d_params; mt_add_params of one row;
 * mt_pool_params; mt_clamp_params of one row. */
void mt_conv2d_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch);
void mt_add_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch);
void mt_average_pool_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas,
                           void *scratch);
void mt_clamp_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch);

/* Runs the whole segment. MT_ERROR_INPUT: the callback gave no row. */
mt_status mt_stream(const mt_row_segment *segment, uint8_t *const *arenas,
                    const mt_row_source *source);

#ifdef __cplusplus
}
#endif
#endif
