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

/* The gradient of a pointwise shape; 0 and nothing done for any other. */
int32_t mt_pointwise_input_grad(const mt_conv2d_input_grad_params *p,
                                const mt_conv2d_input_grad_io *io, mt_rounder *rounder);

/* The gradient of a depthwise shape. */
void mt_depthwise_input_grad(const mt_conv2d_input_grad_params *p,
                             const mt_conv2d_input_grad_io *io, mt_rounder *rounder);

#endif
