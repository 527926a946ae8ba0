/* Products of two tensors, or of a tensor and a factor for each channel, and their gradients. */
#ifndef MT_PRODUCT_H
#define MT_PRODUCT_H

#include "mt_isa.h"
#include "mt_kernels_gradient.h"
#include "mt_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether the instruction set has mt_mul_run, and mt_mul_sums. */
#ifndef MT_HAS_MUL_RUN
#define MT_HAS_MUL_RUN 0
#endif
#ifndef MT_HAS_MUL_SUMS
#define MT_HAS_MUL_SUMS 0
#endif

/* y = y_zero + requantised (x - x_zero) * (v - v_zero); v has `period` elements, then starts again.
 */
typedef struct {
    int32_t count, period, x_zero, v_zero;
    int32_t multiplier, shift, y_zero, clamp_lo, clamp_hi;
} mt_mul_params;

typedef struct {
    const int8_t *x, *v;
    int8_t *y;     /* may be x, or v of as many elements */
    uint8_t *mask; /* or NULL */
} mt_mul_io;

void mt_mul(const mt_mul_params *p, const mt_mul_io *io);

/* One row of a streamed layer. params: mt_mul_params of one row; weight: v if it is constant. */
void mt_mul_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch);

/* dx = g * (other - zero): `other` has `period` elements, then starts again; with places > 1 the
 * sum of it over so many places of `count` channels. */
typedef struct {
    int32_t count, period, places, zero;
    mt_round_params round;
} mt_mul_grad_params;

typedef struct {
    const int8_t *g;
    const int32_t *g_exponent;
    const int8_t *other; /* of the forward pass */
    int8_t *dx;
    mt_round_io round;
} mt_mul_grad_io;

void mt_mul_grad(const mt_mul_grad_params *p, const mt_mul_grad_io *io);

/* y = -g of mantissas; y may be g. */
typedef struct {
    int32_t count;
} mt_negate_params;

typedef struct {
    const int8_t *g;
    int8_t *y;
} mt_negate_io;

void mt_negate(const mt_negate_params *p, const mt_negate_io *io);

/* y[i] = clamped y_zero + requantised (x[i] - x_zero) * (v[i] - v_zero), and whether it was inside,
 * 0 or 1; i < n <= MT_BLOCK. */
void mt_mul_run(const mt_mul_params *p, const int8_t *x, const int8_t *v, int32_t n, int8_t *y,
                uint8_t *inside);

/* acc[0 .. n-1] = sums over the places of g * (x - zero), of the first n of p->count channels. */
void mt_mul_sums(const mt_mul_grad_params *p, const int8_t *g, const int8_t *x, int32_t n,
                 int32_t *acc);

#ifdef __cplusplus
}
#endif
#endif
