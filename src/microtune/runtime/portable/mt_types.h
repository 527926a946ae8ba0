/* Shapes and state that every kernel header shares. */
#ifndef MT_TYPES_H
#define MT_TYPES_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "mt_names.h"

/* A claim that the compiler checks, and that a structure's member lies so many bytes from its
 * start: what assembler, or another language, relies on. */
#define MT_ASSERT(name, claim) typedef char name[(claim) ? 1 : -1]
#define MT_AT(type, member, bytes) (offsetof(type, member) == (bytes))

/* What C leaves open and the arithmetic needs. */
#if CHAR_BIT != 8 || INT_MAX < 2147483647
#error "microtune needs bytes of 8 bits and an int of 32 bits or more"
#endif
#if (-1 >> 1) != -1 || -1 != ~0
#error "microtune needs two's complement and a right shift that keeps the sign"
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "microtune needs a little-endian core: the parameters and what is saved have its byte order"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Convolution geometry, NHWC, batch 1. Bottom and right padding follow from the output size. A
 * fully connected layer is a 1x1 convolution of a 1x1 image.
 *
 * "Depthwise" below means groups == in_c == out_c; its weights lie as [KH][KW][O]. Every other
 * shape (also a channel multiplier above 1) is "dense" (one group) or "grouped" with weights
 * [O][KH][KW][I/groups]. The compiler says which in `kind`. */
typedef enum { MT_DENSE, MT_GROUPED, MT_DEPTHWISE } mt_conv_kind;

typedef struct {
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t k_h, k_w;
    int32_t stride_h, stride_w;
    int32_t pad_top, pad_left;
    uint16_t groups, kind; /* kind: an mt_conv_kind */
} mt_conv_shape;

/* Which rows of the output a kernel makes, and how rows lie in memory: input and output are rings
 * in which row r has slot r % x_rows (y_rows); a ring as tall as the image holds all of it. */
typedef struct {
    int32_t first, last; /* first <= row < last */
    int32_t x_rows, y_rows;
} mt_rows;

/* Where a buffer lies: bytes from the start of an arena. */
typedef struct {
    uint32_t bank, offset; /* bank: number of the arena */
} mt_place;

/* What a training step shares: the random seed and step number, and the learning rate
 * lr = lr_mantissa * 2^lr_exponent, 2^23 <= lr_mantissa < 2^24 or 0; `lr` is the same number. No
 * step runs without a rate (core/mt_learning_rate.h), so kernels need not know of that. */
typedef struct {
    uint32_t seed, step;
    int32_t lr_mantissa, lr_exponent;
    float lr;
} mt_step_state;

#ifdef __cplusplus
}
#endif
#endif
