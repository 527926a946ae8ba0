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

/* The gradient of a pointwise shape; 0 and nothing done for any other. */
int32_t mt_pointwise_input_grad(const mt_conv2d_input_grad_params *p,
                                const mt_conv2d_input_grad_io *io, mt_rounder *rounder);

/* The gradient of any dense or grouped shape; 0 and nothing done where there is no such kernel. */
int32_t mt_tapped_input_grad(const mt_conv2d_input_grad_params *p,
                             const mt_conv2d_input_grad_io *io, mt_rounder *rounder);

/* The gradient of a depthwise shape; the second is the portable version, of any size. */
void mt_depthwise_input_grad(const mt_conv2d_input_grad_params *p,
                             const mt_conv2d_input_grad_io *io, mt_rounder *rounder);
void mt_depthwise_any_input_grad(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder);

#endif
