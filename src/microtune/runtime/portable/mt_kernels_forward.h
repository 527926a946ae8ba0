/* Forward kernels: convolution, residual add, pool, clamp, channel gather, head, loss. */
#ifndef MT_KERNELS_FORWARD_H
#define MT_KERNELS_FORWARD_H

#include "mt_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Convolution with requantisation. `multiplier` and `shift` have one entry per output channel.
 *
 * channel_order == NULL: all weights are in whichever of `weight` and `trained_weight` is not NULL.
 * Otherwise channel_order is a permutation of the input channels (dense, groups == 1) or of the
 * output channels (depthwise); its first `trained_channels` (T) live in `trained_weight` with
 * layout [O][KH][KW][T] (depthwise [KH][KW][T]), the rest in `weight` as [O][KH][KW][I-T]
 * ([KH][KW][O-T]), in the order of the permutation. An empty part may be NULL. */
typedef struct {
    mt_conv_shape shape;
    const int32_t *multiplier;
    const uint8_t *shift; /* 0..31 */
    int32_t x_zero, y_zero, clamp_lo, clamp_hi;
    const uint16_t *channel_order;
    int32_t trained_channels;
} mt_conv2d_params;

typedef struct {
    const int8_t *x, *weight, *trained_weight;
    const int32_t *bias;
    int8_t *y;     /* may be x if the shape is depthwise, of stride 1 and keeps the image's size */
    uint8_t *mask; /* or NULL; whole bytes are written, unused bits are 0 */
    void *scratch;
} mt_conv2d_io;

/* Bytes of scratch:
 *   dense, grouped   16*n + n, n = KH*KW*(I/groups) rounded up to 8s, the two parts of a
 *                    channel_order apart: eight widened patches and one (portable: one widened);
 *                    8*n + n if the output has less than eight pixels or n > 256
 *   depthwise        (KH*KW + min(IH, 2*KH)*pitch)*8          four channels, widened (portable:
 * none) with pitch = (OW rounded up to 4s - 1)*SW + KW, at least IH*IW*32 in place, and KH*KW*32
 * more with a channel_order */
size_t mt_conv2d_scratch_bytes(const mt_conv2d_params *p, int in_place);
void mt_conv2d(const mt_conv2d_params *p, const mt_conv2d_io *io);

/* Some rows of the output, from the rows of the input that their kernels cover. Not in place; a
 * mask must have been cleared. A call that makes a single row needs less scratch where the layer is
 * depthwise: min(IH, KH) in place of min(IH, 2*KH). */
size_t mt_conv2d_row_scratch_bytes(const mt_conv2d_params *p);
void mt_conv2d_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows);

/* y = clamp(y_zero + (((x1-x1_zero)*a1 + (x2-x2_zero)*a2 + 2^(shift-1)) >> shift)); y may be x1 or
 * x2. |a1|, |a2| < 2^22, 0 <= a1 and 1 <= shift <= 30. */
typedef struct {
    int32_t count, x1_zero, x2_zero, a1, a2, shift, y_zero, clamp_lo, clamp_hi;
} mt_add_params;

typedef struct {
    const int8_t *x1, *x2;
    int8_t *y;
    uint8_t *mask; /* or NULL */
} mt_add_io;

void mt_add(const mt_add_params *p, const mt_add_io *io);

/* Mean of each window, rounded half up; no padding. */
typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w, k_h, k_w, stride_h, stride_w;
} mt_pool_params;

typedef struct {
    const int8_t *x;
    int8_t *y;
} mt_pool_io;

void mt_average_pool(const mt_pool_params *p, const mt_pool_io *io);
void mt_average_pool_rows(const mt_pool_params *p, const mt_pool_io *io, const mt_rows *rows);

/* y = clamp(x, lo, hi); y may be x. */
typedef struct {
    int32_t count, lo, hi;
} mt_clamp_params;

typedef struct {
    const int8_t *x;
    int8_t *y;
    uint8_t *mask; /* or NULL */
} mt_clamp_io;

void mt_clamp(const mt_clamp_params *p, const mt_clamp_io *io);

/* y[pixel][t] = x[pixel][order[t]], t < selected: the saved input of trained channels. */
typedef struct {
    int32_t pixels, channels, selected;
    const uint16_t *order;
} mt_gather_params;

typedef struct {
    const int8_t *x;
    int8_t *y;
} mt_gather_io;

void mt_gather_channels(const mt_gather_params *p, const mt_gather_io *io);

/* bias = base + (delta << shift). */
typedef struct {
    int32_t count, shift;
    const int32_t *base;
} mt_bias_delta_params;

typedef struct {
    const int16_t *delta;
    int32_t *bias;
} mt_bias_delta_io;

void mt_bias_from_delta(const mt_bias_delta_params *p, const mt_bias_delta_io *io);

/* Heads: weights [classes][features]. fraction_bits (F) is for int16, x_scale for float32. */
typedef struct {
    int32_t classes, features, x_zero;
    int32_t fraction_bits;
    float x_scale;
} mt_head_params;

typedef struct {
    const int8_t *x;
    const int16_t *weight;
    const int32_t *bias;
    int32_t *logits; /* Q16 */
} mt_head_int16_io;

typedef struct {
    const int8_t *x;
    const float *weight, *bias;
    float *logits;
} mt_head_float32_io;

void mt_head_int16(const mt_head_params *p, const mt_head_int16_io *io);
void mt_head_float32(const mt_head_params *p, const mt_head_float32_io *io);

/* Softmax cross-entropy. label < classes; classes <= 2048 for int16. */
typedef struct {
    int32_t classes;
} mt_loss_params;

typedef struct {
    const int32_t *logits; /* Q16 */
    uint32_t label;
    int16_t *d_logits; /* Q15, within +-32767 */
    int32_t *loss_q16; /* nats */
} mt_loss_int16_io;

typedef struct {
    const float *logits;
    uint32_t label;
    float *d_logits;
    int32_t *loss_q16; /* nats, clamped to 0 .. 2^31-1 */
} mt_loss_float32_io;

void mt_loss_int16(const mt_loss_params *p, const mt_loss_int16_io *io);
void mt_loss_float32(const mt_loss_params *p, const mt_loss_float32_io *io);

/* Sigmoid cross-entropy: `logits` and `d_logits` have one element, that of class 1. p->classes is
 * 2. */
void mt_sigmoid_loss_int16(const mt_loss_params *p, const mt_loss_int16_io *io);
void mt_sigmoid_loss_float32(const mt_loss_params *p, const mt_loss_float32_io *io);

/* Mean squared error against int8 codes that mean code / 128. outputs <= 65536. An error counts at
 * most 2. */
typedef struct {
    int32_t outputs;
} mt_squared_error_params;

typedef struct {
    const int32_t *outputs; /* Q16 */
    const int8_t *codes;
    int16_t *d_outputs; /* errors in Q14, within +-32767: the gradient times outputs / 2 */
    int32_t *loss_q16;
} mt_squared_error_int16_io;

typedef struct {
    const float *outputs;
    const int8_t *codes;
    float *d_outputs;
    int32_t *loss_q16; /* truncated; NaN is 0 */
} mt_squared_error_float32_io;

void mt_squared_error_int16(const mt_squared_error_params *p, const mt_squared_error_int16_io *io);
void mt_squared_error_float32(const mt_squared_error_params *p,
                              const mt_squared_error_float32_io *io);

#ifdef __cplusplus
}
#endif
#endif
