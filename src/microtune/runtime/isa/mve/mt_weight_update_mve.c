/* Weight gradient and SGD step of dense and grouped convolutions with Helium: the dot products over
 * the pixels of two outputs and three input channels at a time. sum(g*(x - z)) = sum(g*x) -
 * z*sum(g). */
#include "mt_blocks.h"
#include "mt_isa.h"
#include "mt_rate.h"
#include "mt_weight_update.h"

#if MT_ISA_MVE
#include "mt_mve.h"

#define UPDATE_OUTPUTS 2
#define UPDATE_INPUTS 3
#define UPDATE_BLOCK 24 /* channels, a multiple of UPDATE_INPUTS */
#define UPDATE_GATHER_REACH 65535

/* The pixels of g and x that meet at one tap: `rows` runs of n; bytes from pixel to pixel and from
 * row to row. */
typedef struct {
    const int8_t *g, *x;
    int32_t rows, n;
    int32_t g_step, x_step, g_row, x_row;
    int32_t
        some; /* pixels that one loop takes: all, or one where a gather does not reach the next */
} weight_area;

static weight_area area_of(const mt_conv2d_weight_update_params *p,
                           const mt_conv2d_weight_update_io *io, int32_t kh, int32_t kw) {
    const mt_conv_shape *s = &p->shape;
    const mt_tap_span high = mt_span_of(kh, s->pad_top, s->stride_h, s->in_h, s->out_h);
    const mt_tap_span wide = mt_span_of(kw, s->pad_left, s->stride_w, s->in_w, s->out_w);
    const int32_t channels = p->channel_order == NULL ? s->in_c : p->trained_channels;
    const int32_t ih = high.begin * s->stride_h + kh - s->pad_top;
    const int32_t iw = wide.begin * s->stride_w + kw - s->pad_left;
    weight_area a = {io->g + (high.begin * s->out_w + wide.begin) * s->out_c,
                     io->x + (ih * s->in_w + iw) * channels,
                     high.end - high.begin,
                     wide.end - wide.begin,
                     s->out_c,
                     s->stride_w * channels,
                     s->out_w * s->out_c,
                     s->stride_h * s->in_w * channels,
                     1};
    if (a.n <= 0 || a.rows <= 0) {
        a.rows = 0;
        a.n = 1;
    }
    if (a.n == s->out_w && a.x_row == a.n * a.x_step) {
        a.n *= mt_max(a.rows, 1);
        a.rows = mt_min(a.rows, 1);
    }
    if (8 * mt_max(a.g_step, a.x_step) <= UPDATE_GATHER_REACH) {
        a.some = a.n;
    }
    return a;
}

/* Two outputs from g on and three channels from x on; behind `outputs` and `inputs` the last one
 * repeats. */
typedef struct {
    const int8_t *g, *x;
    int32_t outputs, inputs;
} weight_tile;

/* first[i] and second[i] = sum over the area of g[0]*x[i] and of g[1]*x[i]. In assembler: with
 * tails in the predicate of the loop, and because GCC 12 takes accumulators that it makes a vector
 * of through memory. */
MT_INLINE void sum_tile(const weight_area *a, weight_tile t, int32_t *first, int32_t *second) {
    const uint16x8_t lane = vidupq_n_u16(0, 1);
    const uint16x8_t at_g = vmulq_n_u16(lane, (uint16_t)a->g_step);
    const uint16x8_t at_h = vaddq_n_u16(at_g, t.outputs > 1);
    const uint16x8_t at_x = vmulq_n_u16(lane, (uint16_t)a->x_step);
    const uint16x8_t at_y = vaddq_n_u16(at_x, t.inputs > 1);
    const uint16x8_t at_z = vaddq_n_u16(at_y, t.inputs > 2);
    int32_t a0 = 0, a1 = 0, a2 = 0, b0 = 0, b1 = 0, b2 = 0;
    for (int32_t i = 0; i < a->rows * a->n; i += a->some) {
        const int32_t row = i / a->n, pixel = i % a->n;
        const int8_t *g = t.g + row * a->g_row + pixel * a->g_step;
        const int8_t *x = t.x + row * a->x_row + pixel * a->x_step;
        __asm__ volatile(
            "dlstp.16 lr, %[n]\n"
            "1:\n\t"
            "vldrb.s16 q0, [%[g], %q[at_g]]\n\t"
            "vldrb.s16 q2, [%[x], %q[at_x]]\n\t"
            "vmladava.s16 %[a0], q0, q2\n\t"
            "vldrb.s16 q1, [%[g], %q[at_h]]\n\t"
            "vmladava.s16 %[b0], q1, q2\n\t"
            "vldrb.s16 q2, [%[x], %q[at_y]]\n\t"
            "vmladava.s16 %[a1], q0, q2\n\t"
            "add %[g], %[g], %[gs]\n\t"
            "vmladava.s16 %[b1], q1, q2\n\t"
            "vldrb.s16 q2, [%[x], %q[at_z]]\n\t"
            "vmladava.s16 %[a2], q0, q2\n\t"
            "add %[x], %[x], %[xs]\n\t"
            "vmladava.s16 %[b2], q1, q2\n\t"
            "letp lr, 1b\n"
            : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [b0] "+Te"(b0), [b1] "+Te"(b1),
              [b2] "+Te"(b2), [g] "+r"(g), [x] "+r"(x)
            : [n] "r"(a->some), [gs] "r"(8 * a->g_step), [xs] "r"(8 * a->x_step), [at_g] "w"(at_g),
              [at_h] "w"(at_h), [at_x] "w"(at_x), [at_y] "w"(at_y), [at_z] "w"(at_z)
            : "q0", "q1", "q2", "lr", "memory");
    }
    first[0] = a0;
    first[1] = a1;
    first[2] = a2;
    second[0] = b0;
    second[1] = b1;
    second[2] = b2;
}

/* The sum of g over the area. */
static int32_t sum_gradient(const weight_area *a, const int8_t *g) {
    const uint16x8_t at = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)a->g_step);
    const int32_t lanes = mt_min(a->some, 8);
    int32_t sum = 0;
    for (int32_t row = 0; row < a->rows; row++) {
        const int8_t *from = g + row * a->g_row;
        for (int32_t n = a->n; n > 0; n -= lanes, from += lanes * a->g_step) {
            const mve_pred16_t there = vctp16q((uint32_t)mt_min(n, lanes));
            sum = vaddvaq_s16(sum, vldrbq_gather_offset_z_s16(from, at, there));
        }
    }
    return sum;
}

/* The weights of one output at one tap. */
typedef struct {
    int8_t *weight;
    const uint16_t *order; /* original channel of each, or NULL */
    uint32_t start;        /* original index of channel 0 */
    int32_t count;
} weight_row;

/* mt_step16 and mt_apply_step: floor(acc*m / 2^shift + 1/2) = (floor(acc*m / 2^(shift-1)) + 1) >>
 * 1, where saturation before the product only bounds what is clamped afterwards: m is 0 or at least
 * 2^28. */
static void step_row(weight_row r, const int32_t *sums, int32_t offset, mt_rate rate,
                     uint32_t key) {
    const int32_t left = mt_max(33 - rate.shift, 0), right = mt_max(rate.shift - 33, 0);
    const int32x4_t limit = vdupq_n_s32((int32_t)MT_WEIGHT_STEP_LIMIT);
    const int32x4_t most = vdupq_n_s32(MT_GRADIENT_MAX), least = vdupq_n_s32(-MT_GRADIENT_MAX);
    for (int32_t i = 0; i < r.count; i += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(r.count - i));
        uint32x4_t index = vaddq_n_u32(vidupq_n_u32(0, 1), (uint32_t)i);
        if (r.order != NULL) {
            index = vldrhq_z_u32(r.order + i, lanes);
        }
        index = vaddq_n_u32(index, r.start);
        const int32x4_t half = vreinterpretq_s32_u32(vandq_u32(index, vdupq_n_u32(1)));
        const uint32x4_t word = mt_random_words(key, vshrq_n_u32(index, 1));
        const uint32x4_t random =
            vmovlbq_u16(vreinterpretq_u16_u32(vshlq_u32(word, vmulq_n_s32(half, -16))));
        int32x4_t d = vaddq_n_s32(vldrwq_z_s32(sums + i, lanes), offset);
        d = vmulhq_s32(vqshlq_r_s32(d, left), vdupq_n_s32(rate.multiplier));
        d = vrshrq_n_s32(vshlq_r_s32(d, -right), 1);
        d = vmaxq_s32(vminq_s32(d, limit), vnegq_s32(limit));
        int32x4_t w = vshlq_n_s32(vldrbq_z_s32(r.weight + i, lanes), 16);
        w = vaddq_s32(vsubq_s32(w, d), vreinterpretq_s32_u32(random));
        w = vmaxq_s32(vminq_s32(vshrq_n_s32(w, 16), most), least);
        vstrbq_p_s32(r.weight + i, w, lanes);
    }
}

/* The same for rates that shift to the left or by more than 62. */
static void step_row_any(weight_row r, const int32_t *sums, int32_t offset, mt_rate rate,
                         uint32_t key) {
    for (int32_t i = 0; i < r.count; i++) {
        const uint32_t channel = r.order == NULL ? (uint32_t)i : r.order[i];
        const int64_t d = mt_step16(sums[i] + offset, rate, MT_WEIGHT_STEP_LIMIT);
        const int32_t r16 = mt_random16(key, r.start + channel);
        r.weight[i] = (int8_t)mt_apply_step(r.weight[i], d, r16, MT_GRADIENT_MAX);
    }
}

/* What one call works on. */
typedef struct {
    const mt_conv2d_weight_update_params *p;
    const mt_conv2d_weight_update_io *io;
    uint32_t key;
    int32_t inputs, stored; /* per output: channels, those in memory */
} update_job;

/* Outputs o .. o + count - 1, which lie in one group whose first channel is `first`. */
static void update_outputs(const update_job *j, int32_t o, int32_t count, int32_t first) {
    const mt_conv_shape *s = &j->p->shape;
    const int32_t taps = s->k_h * s->k_w;
    mt_rate rate[UPDATE_OUTPUTS];
    for (int32_t k = 0; k < count; k++) {
        rate[k] = mt_channel_rate(&j->p->factor, o + k, j->io->state, *j->io->g_exponent);
    }
    for (int32_t tap = 0; tap < taps; tap++) {
        const weight_area a = area_of(j->p, j->io, tap / s->k_w, tap % s->k_w);
        int32_t offset[UPDATE_OUTPUTS], sums[UPDATE_OUTPUTS][UPDATE_BLOCK];
        for (int32_t k = 0; k < count; k++) {
            offset[k] = -j->p->x_zero * sum_gradient(&a, a.g + o + k);
        }
        for (int32_t c = 0; c < j->stored; c += UPDATE_BLOCK) {
            const int32_t n = mt_min(UPDATE_BLOCK, j->stored - c);
            for (int32_t i = 0; i < n; i += UPDATE_INPUTS) {
                const weight_tile t = {a.g + o, a.x + first + c + i, count, n - i};
                sum_tile(&a, t, sums[0] + i, sums[1] + i);
            }
            for (int32_t k = 0; k < count; k++) {
                if (mt_is_dead(&j->p->factor, o + k)) {
                    continue;
                }
                const int32_t at = (o + k) * taps + tap;
                const uint16_t *order = j->p->channel_order;
                const weight_row r = {j->io->weight + at * j->stored + c,
                                      order == NULL ? NULL : order + c,
                                      (uint32_t)(at * j->inputs + (order == NULL ? c : 0)), n};
                if (rate[k].shift >= 1 && rate[k].shift <= 62) {
                    step_row(r, sums[k], offset[k], rate[k], j->key);
                } else {
                    step_row_any(r, sums[k], offset[k], rate[k], j->key);
                }
            }
        }
    }
}

void mt_dense_weight_update_isa(const mt_conv2d_weight_update_params *p,
                                const mt_conv2d_weight_update_io *io, uint32_t key) {
    const mt_conv_shape *s = &p->shape;
    const int32_t outputs = s->out_c / s->groups, inputs = s->in_c / s->groups;
    const update_job j = {p, io, key, inputs,
                          p->channel_order == NULL ? inputs : p->trained_channels};
    for (int32_t group = 0; group < s->groups; group++) {
        for (int32_t o = 0; o < outputs; o += UPDATE_OUTPUTS) {
            update_outputs(&j, group * outputs + o, mt_min(UPDATE_OUTPUTS, outputs - o),
                           group * inputs);
        }
    }
}
#endif
