/* What the forward convolutions share. */
#ifndef MT_CONV2D_FINISH_H
#define MT_CONV2D_FINISH_H

#include "mt_blocks.h"
#include "mt_kernels_forward.h"
#include "mt_numerics.h"

/* Inputs of an output up to which the DSP kernel widens eight patches, else four: the scratch of
 * deep layers with many channels stays small. */
#define MT_EIGHT_LANES 256

typedef struct {
    int32_t row, column;
} mt_pixel;

/* The channels first .. first + count - 1 of an output pixel, count <= MT_BLOCK. */
typedef struct {
    mt_pixel pixel;
    int32_t first, count;
} mt_run;

/* Stores the accumulators of a run. */
void mt_conv2d_finish(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows,
                      mt_run run, const int32_t *acc);

/* Whether every output pixel reads one pixel of the input as it lies there. */
int32_t mt_conv2d_is_plain(const mt_conv2d_params *p);

/* mt_conv2d_rows for dense and grouped shapes; the second is the portable version, of any size. */
void mt_dense_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows);
void mt_dense_any_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows);

/* mt_conv2d_rows for depthwise shapes; the second is the portable version, of any size. */
void mt_depthwise_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows);
void mt_depthwise_any_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows);

#endif
