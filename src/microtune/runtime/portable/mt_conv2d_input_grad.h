/* What the input gradients share. */
#ifndef MT_CONV2D_INPUT_GRAD_H
#define MT_CONV2D_INPUT_GRAD_H

#include "mt_blocks.h"
#include "mt_kernels_gradient.h"
#include "mt_numerics.h"

/* Whether every input pixel meets one output pixel, in the same place. */
static inline int32_t mt_input_grad_is_pointwise(const mt_conv2d_input_grad_params *p) {
    const mt_conv_shape *s = &p->shape;
    return s->k_h * s->k_w == 1 && s->groups == 1 && s->stride_h == 1 && s->stride_w == 1 &&
           s->pad_top == 0 && s->pad_left == 0 && s->in_h == s->out_h && s->in_w == s->out_w &&
           s->in_c < 8192;
}

/* The output row or column that input position `in` meets through tap `k`, or -1. */
static inline int32_t mt_output_of(int32_t in, int32_t k, int32_t pad, int32_t stride,
                                   int32_t size) {
    const int32_t position = in + pad - k;
    if (position < 0 || position % stride != 0 || position / stride >= size) {
        return -1;
    }
    return position / stride;
}

/* Versions of the instruction set: of pointwise shapes (mt_input_grad_is_pointwise) that fit. */
int32_t mt_pointwise_input_grad_fits(const mt_conv2d_input_grad_params *p);
void mt_pointwise_input_grad_isa(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder);

/* Of dense and grouped shapes. */
int32_t mt_dense_input_grad_fits(const mt_conv2d_input_grad_params *p);
void mt_dense_input_grad_isa(const mt_conv2d_input_grad_params *p,
                             const mt_conv2d_input_grad_io *io, mt_rounder *rounder);

/* Of depthwise shapes. */
int32_t mt_depthwise_input_grad_fits(const mt_conv2d_input_grad_params *p);
void mt_depthwise_input_grad_isa(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder);

/* The portable versions. */
void mt_dense_input_grad_any(const mt_conv2d_input_grad_params *p,
                             const mt_conv2d_input_grad_io *io, mt_rounder *rounder);
void mt_depthwise_input_grad_any(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder);

#endif
