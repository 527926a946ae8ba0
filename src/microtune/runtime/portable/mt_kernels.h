/* The kernels of numerics version 2 (docs/numerics.md); portable C99 without heap, stdio, libm or
 * mutable statics. Every kernel takes constant parameters `p` (flash) and pointers `io` (this
 * call).
 *
 * Unless a comment says otherwise buffers must not overlap, masks are bits (element i of the NHWC
 * order is bit (i & 7) of byte i >> 3), scratch is aligned to 4 bytes, and scratch of 0 bytes may
 * be NULL. Products of floats are rounded before they are added, whatever the compiler may contract
 * (mt_product); what -ffast-math allows beyond that would change bits, so that it is refused, and
 * so are floats that are wider than 32 bits between two operations (FLT_EVAL_METHOD; the x87). */
#ifndef MT_KERNELS_H
#define MT_KERNELS_H

#include <float.h>

#include "mt_kernels_forward.h"
#include "mt_kernels_gradient.h"
#include "mt_kernels_update.h"

#if defined(MT_OUTPUT_IS_FLOAT) && MT_OUTPUT_IS_FLOAT /* microtune_model.h comes before */
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__)
#error "a float32 head learns other bits with -Ofast or -ffast-math: compile it without"
#endif
#if !defined(FLT_EVAL_METHOD) || (FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16)
#error "a float32 head learns other bits on the x87: compile it with -msse2 -mfpmath=sse"
#endif
#endif

#endif
