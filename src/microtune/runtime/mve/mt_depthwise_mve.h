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
    mt_lines l;
    uint16_t pixel[8], at[8]; /* of the lanes of a group: which pixel, its distance in y */
    int32_t groups, half;     /* whole groups in a row; pixels behind them */
    int32_t y_next;           /* bytes of a group */
    int32_t zero, offset;     /* of y; bias - x_zero*sum(weights) */
    int32_t multiplier, shift;
    const mt_conv2d_params *p;
    uint8_t *mask; /* or NULL */
} mt_depthwise_run;

/* One row of one channel: from the plane at x to y, with the weights `there`. Here without mask,
 * shift and any clamp but that to int8, rows of fours, gathers in pairs. */
void mt_depthwise_plain_row(const mt_depthwise_run *r, mt_patch_kind kind, const int8_t *x,
                            int8_t *y, mve_pred16_t there);

/* The same with everything; `bit` is the index of the first element in the mask. */
void mt_depthwise_any_row(const mt_depthwise_run *r, const int8_t *x, int8_t *y, int32_t bit,
                          mve_pred16_t there);
#endif

#endif
