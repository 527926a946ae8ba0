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

typedef enum {
    MT_STAGE_INPUT,        /* rows come from the callback */
    MT_STAGE_CONV2D,       /* params: mt_conv2d_params */
    MT_STAGE_ADD,          /* mt_add_params of one row */
    MT_STAGE_AVERAGE_POOL, /* mt_pool_params */
    MT_STAGE_CLAMP         /* mt_clamp_params of one row */
} mt_stage_kind;

/* One layer: makes rows of ring y from ring x (and x2 for an add). */
typedef struct {
    mt_stage_kind kind;
    const void *params;
    const int8_t *weight;
    const int32_t *bias;
    mt_ring x, x2, y;
} mt_stage;

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

/* Runs the whole segment. MT_ERROR_INPUT: the callback gave no row. */
mt_status mt_stream(const mt_row_segment *segment, uint8_t *const *arenas,
                    const mt_row_source *source);

#ifdef __cplusplus
}
#endif
#endif
