/* Concat, slice, pad, transpose: codes move, whole and row by row. */
#ifndef MT_MOVES_H
#define MT_MOVES_H

#include "mt_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y[y_start + i·y_step] = x[x_start + i·x_step], i over three loops, the inner one last. */
typedef struct {
    int32_t count[3], x_step[3], y_step[3];
    int32_t x_start, y_start;
} mt_move_params;

typedef struct {
    const int8_t *x;
    int8_t *y;
} mt_move_io;

void mt_move(const mt_move_params *p, const mt_move_io *io);

/* y is `bytes` times `value`, then the move. */
typedef struct {
    mt_move_params move;
    int32_t bytes, value;
} mt_pad_params;

void mt_pad(const mt_pad_params *p, const mt_move_io *io);

/* One row of a slice, pad or transpose: `move` from row x_first + row·x_step of x, if that is one
 * of its x_rows, after `bytes` (0: none) times `value`. */
typedef struct {
    mt_move_params move;
    int32_t x_first, x_step, x_rows;
    int32_t bytes, value;
} mt_move_rows_params;

/* params: mt_move_rows_params */
void mt_move_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch);

/* A move of each operand, of `count` of them, into one result. */
typedef struct {
    int32_t count;
    const mt_move_params *parts;
} mt_concat_params;

typedef struct {
    const int8_t *const *x;
    int8_t *y;
} mt_concat_io;

void mt_concat(const mt_concat_params *p, const mt_concat_io *io);

/* The same with the rows of each operand; the stage's own x is the first of them. */
typedef struct {
    int32_t count;
    const mt_move_params *parts;
    const mt_ring *x;
} mt_concat_rows_params;

/* params: mt_concat_rows_params */
void mt_concat_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch);

#ifdef __cplusplus
}
#endif
#endif
