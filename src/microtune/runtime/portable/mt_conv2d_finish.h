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

/* mt_conv2d_rows for dense and grouped shapes: portable, and of the instruction set where it fits.
 */
void mt_dense_rows_any(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows);
int32_t mt_dense_rows_fits(const mt_conv2d_params *p);
void mt_dense_rows_isa(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows);

/* The same for depthwise shapes. */
void mt_depthwise_rows_any(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows);
int32_t mt_depthwise_rows_fits(const mt_conv2d_params *p, const mt_conv2d_io *io,
                               const mt_rows *rows);
void mt_depthwise_rows_isa(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows);

#endif
