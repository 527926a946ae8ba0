/* An image of another size, and its gradient. */
#ifndef MT_RESIZE_H
#define MT_RESIZE_H

#include "mt_kernels_gradient.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Units of the weights along an axis, and bits of those of a gradient. */
#define MT_RESIZE_UNIT 1024
#define MT_RESIZE_GRADIENT_BITS 12

/* For each row (column) of the result three numbers: it is (1024 - share)/1024 of row `lower` and
 * share/1024 of row `upper`; share is 0 where they are the same. */
typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w;
    const uint16_t *rows, *columns;
} mt_resize_params;

typedef struct {
    const int8_t *x;
    int8_t *y;
} mt_resize_io;

/* Codes rounded half away from zero. */
void mt_resize(const mt_resize_params *p, const mt_resize_io *io);

/* For each row (column) of dx the first row of the result that has a part of it, and the one behind
 * the last. */
typedef struct {
    mt_resize_params resize;
    const uint16_t *row_readers, *column_readers;
    mt_round_params round;
} mt_resize_grad_params;

typedef struct {
    const int8_t *g;
    const int32_t *g_exponent;
    int8_t *dx;
    mt_round_io round;
} mt_resize_grad_io;

void mt_resize_grad(const mt_resize_grad_params *p, const mt_resize_grad_io *io);

#ifdef __cplusplus
}
#endif
#endif
