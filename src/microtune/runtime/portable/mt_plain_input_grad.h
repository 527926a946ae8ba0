#ifndef MT_PLAIN_INPUT_GRAD_H
#define MT_PLAIN_INPUT_GRAD_H

#include "mt_blocks.h"
#include "mt_isa.h"

#if MT_ISA_DSP && !MT_ISA_MVE
/* The whole gradient if the shape is one that it serves: 1x1, stride 1, an even number of outputs.
 * Returns 0 and does nothing otherwise. Scratch: OC*8 bytes, and IC*16 with a channel_order. */
int32_t mt_plain_input_grad(const mt_conv2d_input_grad_params *p, const mt_conv2d_input_grad_io *io,
                            mt_rounder *rounder);
#else
static inline int32_t mt_plain_input_grad(const mt_conv2d_input_grad_params *p,
                                          const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    (void)p, (void)io, (void)rounder;
    return 0;
}
#endif

#endif
