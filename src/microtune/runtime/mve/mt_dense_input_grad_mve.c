/* Input gradient of 1x1 convolutions with Helium: one input channel of four pixels at a time,
 * summed over the outputs in int16 lanes. The weights of an input channel are gathered. */
#include "mt_conv2d_input_grad.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_MVE
#include "mt_mve.h"

#define PIXELS 4

/* Scratch: acc[PIXELS][MT_BLOCK], the scaled gradients [PIXELS][O] and, with an order, where the
 * stored channel of each channel is. */
typedef struct {
    int32_t *acc;
    int16_t *lane;
    uint16_t *stored;
} job;

/* Weights of one input channel, `row` bytes apart. */
typedef struct {
    const int8_t *weight;
    int32_t row;
} column;

static void scale(const int8_t *g, const int32_t *multiplier, int32_t n, int16_t *lane) {
    for (int32_t o = 0; o < n; o += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(n - o));
        const int32x4_t top = vshlq_n_s32(vldrbq_z_s32(g + o, lanes), 24);
        const int32x4_t scaled = vrmulhq_s32(top, vldrwq_z_s32(multiplier + o, lanes));
        vstrhq_p_s32(lane + o, scaled, lanes);
    }
}

/* a[i] = sum over n outputs of lane i * weight */
static inline void sum_outputs(const int16_t *const g[PIXELS], column w, int32_t n,
                               int32_t a[PIXELS]) {
    const uint16x8_t offsets = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)w.row);
    const int16_t *g0 = g[0], *g1 = g[1], *g2 = g[2], *g3 = g[3];
    const int8_t *from = w.weight;
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    __asm__ volatile("dlstp.16 lr, %[n]\n"
                     "1:\n"
                     "vldrb.s16 q0, [%[w], %q[at]]\n"
                     "add %[w], %[w], %[step]\n"
                     "vldrh.16 q1, [%[g0]], #16\n"
                     "vmladava.s16 %[a0], q0, q1\n"
                     "vldrh.16 q1, [%[g1]], #16\n"
                     "vmladava.s16 %[a1], q0, q1\n"
                     "vldrh.16 q1, [%[g2]], #16\n"
                     "vmladava.s16 %[a2], q0, q1\n"
                     "vldrh.16 q1, [%[g3]], #16\n"
                     "vmladava.s16 %[a3], q0, q1\n"
                     "letp lr, 1b\n"
                     : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [a3] "+Te"(a3),
                       [w] "+r"(from), [g0] "+r"(g0), [g1] "+r"(g1), [g2] "+r"(g2), [g3] "+r"(g3)
                     : [n] "r"(n), [step] "r"(8 * w.row), [at] "w"(offsets)
                     : "q0", "q1", "lr", "memory");
    a[0] = a0;
    a[1] = a1;
    a[2] = a2;
    a[3] = a3;
}

static column column_of(const mt_conv2d_input_grad_params *p, const mt_conv2d_input_grad_io *io,
                        const job *j, int32_t channel) {
    const int32_t inputs = p->shape.in_c, t = p->trained_channels;
    if (p->channel_order == NULL) {
        return (column){(io->weight != NULL ? io->weight : io->trained_weight) + channel, inputs};
    }
    const int32_t at = j->stored[channel];
    if (at < t) {
        return (column){io->trained_weight + at, t};
    }
    return (column){io->weight + (at - t), inputs - t};
}

int32_t mt_pointwise_input_grad(const mt_conv2d_input_grad_params *p,
                                const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    const mt_conv_shape *s = &p->shape;
    const int32_t pixels = s->in_h * s->in_w, inputs = s->in_c, outputs = s->out_c;
    if (!mt_input_grad_is_pointwise(p)) {
        return 0;
    }
    job j = {(int32_t *)io->scratch, NULL, NULL};
    j.lane = (int16_t *)(j.acc + PIXELS * MT_BLOCK);
    j.stored = (uint16_t *)(j.lane + PIXELS * outputs);
    for (int32_t i = 0; p->channel_order != NULL && i < inputs; i++) {
        j.stored[p->channel_order[i]] = (uint16_t)i;
    }
    for (int32_t pixel = 0; pixel < pixels; pixel += PIXELS) {
        const int32_t count = mt_min(PIXELS, pixels - pixel);
        const int16_t *g[PIXELS];
        for (int32_t i = 0; i < PIXELS; i++) {
            g[i] = j.lane + mt_min(i, count - 1) * outputs;
        }
        for (int32_t i = 0; i < count; i++) {
            scale(io->g + (pixel + i) * outputs, p->multiplier, outputs, j.lane + i * outputs);
        }
        for (int32_t c = 0; c < inputs; c += MT_BLOCK) {
            const int32_t n = mt_min(MT_BLOCK, inputs - c);
            for (int32_t k = 0; k < n; k++) {
                int32_t a[PIXELS];
                sum_outputs(g, column_of(p, io, &j, c + k), outputs, a);
                for (int32_t i = 0; i < PIXELS; i++) {
                    j.acc[i * MT_BLOCK + k] = a[i];
                }
            }
            for (int32_t i = 0; i < count; i++) {
                mt_round_run(rounder, j.acc + i * MT_BLOCK, (pixel + i) * inputs + c, n);
            }
        }
    }
    return 1;
}
#endif
