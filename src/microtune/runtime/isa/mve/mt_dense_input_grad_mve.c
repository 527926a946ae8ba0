/* Input gradient of 1x1 convolutions with Helium: two input channels of four pixels at a time,
 * summed over the outputs in int16 lanes. The weights of an input channel are gathered. */
#include "mt_conv2d_input_grad.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_MVE
#include "mt_input_sums_mve.h"
#include "mt_mve.h"

#define GRAD_PIXELS 4
#define GRAD_LANES 8
#define SOME 8 /* channels that wait for their place in the original order */

/* Scratch: the scaled gradients, interleaved, and the sums, [GRAD_PIXELS][MT_BLOCK] or, with an
 * order, [GRAD_PIXELS][I]. */
typedef struct {
    const mt_conv2d_input_grad_params *p;
    const mt_conv2d_input_grad_io *io;
    int32_t tail, blocks; /* outputs of the first block, blocks behind it */
    int16_t *lanes;
    int32_t *sums;
} grad_job;

/* lane = the gradient times its output's multiplier, n of 8; the others are 0. */
static inline void scale(const int8_t *g, const int32_t *multiplier, int32_t n, int16_t *lane) {
    for (int32_t i = 0; i < GRAD_LANES; i += 4) {
        const mve_pred16_t there = vctp32q((uint32_t)mt_max(n - i, 0));
        const int32x4_t top = vshlq_n_s32(vldrbq_z_s32(g + i, there), 24);
        vstrhq_s32(lane + i, vrmulhq_s32(top, vldrwq_z_s32(multiplier + i, there)));
    }
}

/* The gradients of `count` pixels; the missing ones repeat the last. */
static void scale_pixels(const grad_job *j, int32_t pixel, int32_t count) {
    const int32_t outputs = j->p->shape.out_c;
    for (int32_t i = 0; i < GRAD_PIXELS; i++) {
        const int8_t *g = j->io->g + (pixel + mt_min(i, count - 1)) * outputs;
        const int32_t *multiplier = j->p->multiplier;
        int16_t *lane = j->lanes + i * GRAD_LANES;
        int32_t n = j->tail;
        for (int32_t block = 0; block <= j->blocks; block++) {
            scale(g, multiplier, n, lane);
            g += n;
            multiplier += n;
            lane += GRAD_PIXELS * GRAD_LANES;
            n = GRAD_LANES;
        }
    }
}

static inline void take(mt_input_sums *call, int32_t wide) {
    if (wide) {
        mt_input_sums_32(call);
    } else {
        mt_input_sums_8(call);
    }
}

/* The sums of n channels whose weights begin at `weight` and are `row` bytes apart. */
static void sum_gradients_of(const grad_job *j, const int8_t *weight, int32_t row, int32_t n,
                             int32_t *sums, int32_t wide) {
    const uint16x8_t at = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)row);
    mt_input_sums call = {.lanes = j->lanes,
                          .weight = weight,
                          .tail_bytes = j->tail * row,
                          .block_bytes = GRAD_LANES * row,
                          .blocks = j->blocks,
                          .there = (1u << (2 * j->tail)) - 1,
                          .sums = sums};
    vst1q_u16(call.at[0], at);
    vst1q_u16(call.at[1], vaddq_n_u16(at, 1));
    call.pairs = n / 2;
    if (call.pairs > 0) {
        take(&call, wide);
    }
    if (n % 2 != 0) {
        /* The last channel twice. */
        vst1q_u16(call.at[1], at);
        call.weight = weight + n - 1;
        call.sums = sums + n - 1;
        call.pairs = 1;
        take(&call, wide);
    }
}

/* The sums of all channels of a part, in their places of the original order. */
static void place_channels(const grad_job *j, const int8_t *weight, int32_t n,
                           const uint16_t *order) {
    const int32_t inputs = j->p->shape.in_c;
    int32_t sums[GRAD_PIXELS * SOME];
    for (int32_t c = 0; c < n; c += SOME) {
        const int32_t some = mt_min(SOME, n - c);
        sum_gradients_of(j, weight + c, n, some, sums, 0);
        for (int32_t i = 0; i < some; i++) {
            int32_t *to = j->sums + order[c + i];
            for (int32_t pixel = 0; pixel < GRAD_PIXELS; pixel++, to += inputs) {
                *to = sums[pixel * SOME + i];
            }
        }
    }
}

int32_t mt_pointwise_input_grad_fits(const mt_conv2d_input_grad_params *p) {
    return mt_input_grad_is_pointwise(p);
}

void mt_pointwise_input_grad_isa(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    const mt_conv_shape *s = &p->shape;
    const int32_t pixels = s->in_h * s->in_w, inputs = s->in_c;
    const int8_t *weight = io->weight != NULL ? io->weight : io->trained_weight;
    grad_job j = {p, io, (s->out_c - 1) % GRAD_LANES + 1, (s->out_c - 1) / GRAD_LANES, NULL, NULL};
    j.lanes = (int16_t *)io->scratch;
    j.sums = (int32_t *)(void *)(j.lanes + (j.blocks + 1) * GRAD_PIXELS * GRAD_LANES);
    for (int32_t pixel = 0; pixel < pixels; pixel += GRAD_PIXELS) {
        const int32_t count = mt_min(GRAD_PIXELS, pixels - pixel);
        scale_pixels(&j, pixel, count);
        if (p->channel_order != NULL) {
            const int32_t t = p->trained_channels;
            place_channels(&j, io->trained_weight, t, p->channel_order);
            place_channels(&j, io->weight, inputs - t, p->channel_order + t);
            for (int32_t i = 0; i < count; i++) {
                mt_round_run(rounder, j.sums + i * inputs, (pixel + i) * inputs, inputs);
            }
            continue;
        }
        for (int32_t c = 0; c < inputs; c += MT_BLOCK) {
            const int32_t n = mt_min(MT_BLOCK, inputs - c);
            sum_gradients_of(&j, weight + c, inputs, n, j.sums, 1);
            for (int32_t i = 0; i < count; i++) {
                mt_round_run(rounder, j.sums + i * MT_BLOCK, (pixel + i) * inputs + c, n);
            }
        }
    }
}
#endif
