/* Activation by a table of 256 results: forward, row by row, and its gradient. */
#ifndef MT_ACTIVATION_H
#define MT_ACTIVATION_H

#include "mt_isa.h"
#include "mt_kernels_gradient.h"
#include "mt_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether the instruction set has mt_look_up. */
#ifndef MT_HAS_LOOK_UP
#define MT_HAS_LOOK_UP 0
#endif

/* table[128 + code]: the result of a code. */
typedef struct {
    int32_t count;
    const int8_t *table;
} mt_activation_params;

typedef struct {
    const int8_t *x;
    int8_t *y; /* may be x */
} mt_activation_io;

void mt_activation(const mt_activation_params *p, const mt_activation_io *io);

/* One row of a streamed layer. params: mt_activation_params of one row. */
void mt_activation_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch);

/* slope[128 + code]: within +-127; the gradient is the product of g and the slope at x. */
typedef struct {
    int32_t count;
    const int8_t *slope;
    mt_round_params round;
} mt_activation_grad_params;

typedef struct {
    const int8_t *g;
    const int32_t *g_exponent;
    const int8_t *x; /* of the forward pass */
    int8_t *dx;
    mt_round_io round;
} mt_activation_grad_io;

void mt_activation_grad(const mt_activation_grad_params *p, const mt_activation_grad_io *io);

/* A table for each channel: that of channel c begins at 256 * c. */
typedef struct {
    int32_t count, channels;
    const int8_t *table;
} mt_channel_activation_params;

void mt_channel_activation(const mt_channel_activation_params *p, const mt_activation_io *io);
void mt_channel_activation_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas,
                                 void *scratch);

typedef struct {
    int32_t count, channels;
    const int8_t *slope;
    mt_round_params round;
} mt_channel_activation_grad_params;

void mt_channel_activation_grad(const mt_channel_activation_grad_params *p,
                                const mt_activation_grad_io *io);

/* y[i] = table[128 + x[i]], i < count; y may be x. */
void mt_look_up(const int8_t *table, const int8_t *x, int8_t *y, int32_t count);

#ifdef __cplusplus
}
#endif
#endif
