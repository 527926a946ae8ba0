/* What the two halves of the depthwise convolution share: the rows of a channel. */
#ifndef MT_DEPTHWISE_MVE_H
#define MT_DEPTHWISE_MVE_H

#include "mt_conv2d_finish.h"
#include "mt_isa.h"

#if MT_ISA_MVE
#include "mt_lines_mve.h"

#define MT_GROUP 8

/* Which dot product: vectors of a patch, bytes from patch to patch if it is one instruction. */
typedef enum {
    MT_PATCH_1,
    MT_PATCH_1_STEP_4,
    MT_PATCH_1_STEP_8,
    MT_PATCH_3,
    MT_PATCH_4
} mt_patch_kind;

/* What the rows of a channel need. */
typedef struct {
    mt_image_lines l;
    uint16_t pixel[8], at[8]; /* of the lanes of a group: which pixel, its distance in y */
    int32_t groups, half;     /* whole groups in a row; pixels behind them */
    int32_t y_next;           /* bytes of a group */
    int32_t zero, offset;     /* of y; bias - x_zero*sum(weights) */
    int32_t multiplier, shift;
    const mt_conv2d_params *p;
    uint8_t *mask; /* or NULL */
    mt_patch_kind kind;
    int32_t plain; /* no mask, no clamp but that to int8, rows of fours, gathers in pairs */
} mt_depthwise_run;

/* The weights: their four vectors; all other offsets go to the assembler as operands. */
MT_ASSERT(mt_depthwise_run_offsets, MT_AT(mt_depthwise_run, l.weight, 32) &&
                                        sizeof(((mt_depthwise_run *)NULL)->l.weight) == 64);

/* Some rows of one channel. */
typedef struct {
    int32_t channel, bias;
    const int8_t *x; /* the first line's, as mt_image_lines means it */
    int8_t *y;
    int32_t row, rows; /* the first, how many */
} mt_depthwise_rows_of;

void mt_depthwise_channel(mt_depthwise_run *r, const mt_depthwise_rows_of *rows);
#endif

#endif
