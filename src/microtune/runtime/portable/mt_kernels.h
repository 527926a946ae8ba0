/* The kernels of numerics version 2 (docs/numerics.md); portable C99 without heap, stdio, libm or
 * mutable statics. Every kernel takes constant parameters `p` (flash) and pointers `io` (this
 * call).
 *
 * Unless a comment says otherwise buffers must not overlap, masks are bits (element i of the NHWC
 * order is bit (i & 7) of byte i >> 3), scratch is aligned to 4 bytes, and scratch of 0 bytes may
 * be NULL. float kernels need -ffp-contract=off. */
#ifndef MT_KERNELS_H
#define MT_KERNELS_H

#include "mt_kernels_forward.h"
#include "mt_kernels_gradient.h"
#include "mt_kernels_update.h"

#endif
