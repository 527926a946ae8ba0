/* Input gradients: int8 mantissas with one run-time exponent per tensor. */
#ifndef MT_KERNELS_GRADIENT_H
#define MT_KERNELS_GRADIENT_H

#include "mt_kernels_forward.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The output rule of a rounded gradient tensor. `site` is the CRC-32 of its name;
 * acc_exponent_delta is D, so that the accumulator's exponent is the input's exponent + D. */
typedef struct {
    uint32_t site;
    int32_t acc_exponent_delta;
} mt_round_params;

/* `exponent` is written; `offset` (int8 state, -64..63) is read, then moved by at most 1; `base` is
 * the exponent of the entering gradient. `exponent` may be the input's exponent. */
typedef struct {
    int32_t *exponent;
    int8_t *offset;
    const int32_t *base;
    const mt_step_state *state;
    const uint8_t *mask; /* or NULL; elements whose bit is 0 get gradient 0 */
} mt_round_io;

/* Entering gradient of the features, exact maximum.
 * int16: exponent = k - 15 - fraction_bits. float32: exponent = k + exponent_delta. */
typedef struct {
    mt_head_params head;
    uint32_t site;
    int32_t exponent_delta;
} mt_head_input_grad_params;

typedef struct {
    const int16_t *d_logits, *weight;
    int8_t *g;
    int32_t *exponent;
    const mt_step_state *state;
} mt_head_input_grad_int16_io;

typedef struct {
    const float *d_logits, *weight;
    int8_t *g;
    int32_t *exponent;
    const mt_step_state *state;
} mt_head_input_grad_float32_io;

void mt_head_input_grad_int16(const mt_head_input_grad_params *p,
                              const mt_head_input_grad_int16_io *io);
void mt_head_input_grad_float32(const mt_head_input_grad_params *p,
                                const mt_head_input_grad_float32_io *io);

/* Transposed convolution. multiplier (per output channel): int16 lanes for dense and grouped, the
 * final factor for depthwise, where depthwise_shift is n. Weights within +-127, laid out as in
 * mt_conv2d. */
typedef struct {
    mt_conv_shape shape;
    const int32_t *multiplier;
    int32_t depthwise_shift;
    const uint16_t *channel_order;
    int32_t trained_channels;
    mt_round_params round;
} mt_conv2d_input_grad_params;

typedef struct {
    const int8_t *g; /* [out_h][out_w][out_c] */
    const int32_t *g_exponent;
    const int8_t *weight, *trained_weight;
    int8_t *dx; /* [in_h][in_w][in_c]; may be g if the shape is depthwise, of stride 1 and keeps
                   the image's size */
    void *scratch;
    mt_round_io round;
} mt_conv2d_input_grad_io;

/* Bytes of scratch:
 *   dense, grouped   (O/groups)*8 + (I/groups)*16, at least (O/groups)*4 + (I/groups)*4, with a
 *                    channel_order (O/groups)*4 + (I/groups)*8
 *   1x1, stride 1    at least O*8 + 512, with a channel_order O*8 + max(512 + I*2, I*16), O rounded
 *                    up to 8s
 *   depthwise        (KH*KW + min((OH - 1)*SH + 1, 2*KH)*pitch)*8: four channels, widened
 * (portable: none) with pitch = IW rounded up to 4s + KW - 1, at least OH*OW*32 in place, and
 * KH*KW*32 more with a channel_order */
size_t mt_conv2d_input_grad_scratch_bytes(const mt_conv2d_input_grad_params *p, int in_place);
void mt_conv2d_input_grad(const mt_conv2d_input_grad_params *p, const mt_conv2d_input_grad_io *io);

/* Two paths meet. b_multiplier = c_b/c_a in Q12; round.acc_exponent_delta is not used.
 * y may be a or b. */
typedef struct {
    int32_t count;
    int32_t b_multiplier;
    mt_round_params round;
} mt_gradient_sum_params;

typedef struct {
    const int8_t *a;
    const int32_t *a_exponent;
    const int8_t *b;
    const int32_t *b_exponent;
    int8_t *y;
    mt_round_io round;
} mt_gradient_sum_io;

void mt_gradient_sum(const mt_gradient_sum_params *p, const mt_gradient_sum_io *io);

/* Each element gets the sum of the windows that hold it. Without overlap nothing is rounded and
 * of `round` only exponent and mask are used. */
typedef struct {
    mt_pool_params pool;
    mt_round_params round;
    int32_t overlapping;
} mt_average_pool_grad_params;

typedef struct {
    const int8_t *g;
    const int32_t *g_exponent;
    int8_t *dx;
    mt_round_io round;
} mt_average_pool_grad_io;

void mt_average_pool_grad(const mt_average_pool_grad_params *p, const mt_average_pool_grad_io *io);

/* y = g where the mask is 1, else 0; y may be g. */
typedef struct {
    int32_t count;
} mt_mask_params;

typedef struct {
    const int8_t *g;
    const uint8_t *mask;
    int8_t *y;
} mt_mask_io;

void mt_apply_mask(const mt_mask_params *p, const mt_mask_io *io);

#ifdef __cplusplus
}
#endif
#endif
