/* What the weight updates share. */
#ifndef MT_WEIGHT_UPDATE_H
#define MT_WEIGHT_UPDATE_H

#include "mt_kernels_update.h"
#include "mt_numerics.h"

/* The output positions begin .. end - 1 whose input through tap k lies inside the image. */
typedef struct {
    int32_t begin, end;
} mt_tap_span;

static inline mt_tap_span mt_span_of(int32_t k, int32_t pad, int32_t stride, int32_t in,
                                     int32_t out) {
    const int32_t before = pad - k;
    mt_tap_span span;
    span.begin = before > 0 ? (before + stride - 1) / stride : 0;
    span.end = in + before <= 0 ? 0 : mt_min(out, (in - 1 + before) / stride + 1);
    return span;
}

/* One tap of the kernel and the run of channels that is summed now. */
typedef struct {
    const mt_conv2d_weight_update_params *p;
    const mt_conv2d_weight_update_io *io;
    int32_t kh, kw;
    int32_t x_channels; /* channels of one pixel of x */
    int32_t x_first;    /* first channel of x */
    int32_t output;     /* first output channel */
} mt_tap;

/* mt_conv2d_weight_update for dense and grouped shapes, portable and of the instruction set; `key`
 * of the random bits. */
void mt_dense_weight_update_any(const mt_conv2d_weight_update_params *p,
                                const mt_conv2d_weight_update_io *io, uint32_t key);
void mt_dense_weight_update_isa(const mt_conv2d_weight_update_params *p,
                                const mt_conv2d_weight_update_io *io, uint32_t key);

#endif
