/* In-place updates: weight gradient and SGD step in one pass, stochastically rounded, saturating.
 */
#ifndef MT_KERNELS_UPDATE_H
#define MT_KERNELS_UPDATE_H

#include "mt_kernels_gradient.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What turns a sum of gradients into a step: f[o] = mantissa * 2^exponent / M[o] per (original)
 * output channel with the forward pass's M = multiplier * 2^(shift - 32); 0 where M is 0 and for
 * the dead channels, which are never trained: bit (o & 7) of byte o >> 3 in `dead` (NULL: none is).
 * mantissa 2^30..2^31-1; `cap` bounds the exponent of 1/M for tiny channels. */
typedef struct {
    const int32_t *multiplier;
    const uint8_t *shift;
    int32_t mantissa, exponent, cap;
    const uint8_t *dead;
} mt_factor_params;

/* channel_order == NULL: x is the whole input, weight the whole weight in its layout. Otherwise the
 * first `trained_channels` (T) are trained: x holds only those, [in_h][in_w][T], weight is
 * [O][KH][KW][T] (depthwise [KH][KW][T]); g always has all output channels. */
typedef struct {
    mt_conv_shape shape;
    int32_t x_zero;
    mt_factor_params factor;
    const uint16_t *channel_order;
    int32_t trained_channels;
    uint32_t site;
} mt_conv2d_weight_update_params;

typedef struct {
    const int8_t *g;
    const int32_t *g_exponent;
    const int8_t *x;
    int8_t *weight;
    const mt_step_state *state;
    void *scratch;
} mt_conv2d_weight_update_io;

/* Bytes of scratch: 1040, depthwise 0. */
size_t mt_conv2d_weight_update_scratch_bytes(const mt_conv2d_weight_update_params *p);
void mt_conv2d_weight_update(const mt_conv2d_weight_update_params *p,
                             const mt_conv2d_weight_update_io *io);

/* Sum of g over the pixels per channel. int32: bias within +-2^30. int16: delta within +-32767. */
typedef struct {
    int32_t pixels, channels;
    mt_factor_params factor;
    uint32_t site;
} mt_bias_update_params;

typedef struct {
    const int8_t *g;
    const int32_t *g_exponent;
    int32_t *bias;
    const mt_step_state *state;
} mt_bias_update_int32_io;

typedef struct {
    const int8_t *g;
    const int32_t *g_exponent;
    int16_t *delta;
    const mt_step_state *state;
} mt_bias_update_int16_io;

void mt_bias_update_int32(const mt_bias_update_params *p, const mt_bias_update_int32_io *io);
void mt_bias_update_int16(const mt_bias_update_params *p, const mt_bias_update_int16_io *io);

/* Mantissas, exponents and sites are for int16; float32 uses head.x_scale and state.lr only. */
typedef struct {
    mt_head_params head;
    int32_t weight_mantissa, weight_exponent, bias_mantissa, bias_exponent;
    uint32_t weight_site, bias_site;
} mt_head_update_params;

typedef struct {
    const int8_t *x;
    const int16_t *d_logits;
    int16_t *weight;
    int32_t *bias;
    const mt_step_state *state;
} mt_head_update_int16_io;

typedef struct {
    const int8_t *x;
    const float *d_logits;
    float *weight, *bias;
    const mt_step_state *state;
} mt_head_update_float32_io;

void mt_head_update_int16(const mt_head_update_params *p, const mt_head_update_int16_io *io);
void mt_head_update_float32(const mt_head_update_params *p, const mt_head_update_float32_io *io);

/* Momentum: after an update has written its step into the velocity v, value += v * 2^-unit and
 * v *= decay * 2^-16, both rounded stochastically; float32: real_decay. Value and velocity are
 * `rows` runs of `columns` elements. The random bits of element c of row r have index
 * r * row_step + order[c] * column_step; order NULL: c. */
typedef struct {
    int32_t rows, columns;
    uint32_t row_step, column_step;
    const uint16_t *order;
    int32_t decay, unit; /* 0 < decay < 2^16, 0 <= unit <= 16 */
    uint32_t site;
    float real_decay;
} mt_momentum_params;

typedef struct {
    int8_t *value, *velocity;
    const mt_step_state *state;
} mt_momentum_int8_io;

typedef struct {
    int16_t *value, *velocity;
    const mt_step_state *state;
} mt_momentum_int16_io;

typedef struct {
    int32_t *value, *velocity;
    const mt_step_state *state;
} mt_momentum_int32_io;

typedef struct {
    float *value, *velocity;
    const mt_step_state *state;
} mt_momentum_float32_io;

/* Values stay within +-127, +-32767 and +-2^30. */
void mt_momentum_int8(const mt_momentum_params *p, const mt_momentum_int8_io *io);
void mt_momentum_int16(const mt_momentum_params *p, const mt_momentum_int16_io *io);
void mt_momentum_int32(const mt_momentum_params *p, const mt_momentum_int32_io *io);
void mt_momentum_float32(const mt_momentum_params *p, const mt_momentum_float32_io *io);

#ifdef __cplusplus
}
#endif
#endif
