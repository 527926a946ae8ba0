/* Transposed convolution with int8 gradients of dense and grouped shapes, portable: one input pixel
 * at a time, no column buffer. */
#include "mt_conv2d_input_grad.h"
#include "mt_memory.h"

/* Scratch of the dense kernel: accumulators of one input pixel in the weights' channel order, the
 * same in the original order if that differs, and the outputs with a lane that is not 0. */
typedef struct {
    int32_t *acc, *original;
    int16_t *lane;
    uint16_t *output;
} mt_grad_lanes;

static mt_grad_lanes divide_scratch(const mt_conv2d_input_grad_params *p, void *scratch) {
    const int32_t inputs = p->shape.in_c / p->shape.groups;
    const int32_t outputs = p->shape.out_c / p->shape.groups;
    mt_grad_lanes lanes;
    lanes.acc = (int32_t *)scratch;
    lanes.original = p->channel_order == NULL ? lanes.acc : lanes.acc + inputs;
    lanes.lane = (int16_t *)(lanes.original + inputs);
    lanes.output = (uint16_t *)(lanes.lane + outputs);
    return lanes;
}

/* Lists the outputs first .. first + n - 1 whose scaled gradient is not 0. */
static int32_t nonzero_lanes(const int8_t *g, const int32_t *multiplier, int32_t first, int32_t n,
                             mt_grad_lanes *lanes) {
    int32_t count = 0;
    for (int32_t o = first; o < first + n; o++) {
        if (g[o] != 0) {
            lanes->lane[count] = (int16_t)mt_high_multiply(g[o] * (1 << 24), multiplier[o]);
            lanes->output[count] = (uint16_t)o;
            count++;
        }
    }
    return count;
}

/* acc[0 .. n-1] += sum of lane * weight row; the row of output o starts at w + o*taps*n. */
static inline void add_rows(int32_t *acc, const mt_grad_lanes *lanes, int32_t count,
                            const int8_t *w, int32_t taps, int32_t n) {
    const int32_t row_stride = taps * n;
    int32_t k = 0;
    for (; k + 4 <= count; k += 4) {
        const int32_t g0 = lanes->lane[k], g1 = lanes->lane[k + 1];
        const int32_t g2 = lanes->lane[k + 2], g3 = lanes->lane[k + 3];
        const int8_t *w0 = w + lanes->output[k] * row_stride;
        const int8_t *w1 = w + lanes->output[k + 1] * row_stride;
        const int8_t *w2 = w + lanes->output[k + 2] * row_stride;
        const int8_t *w3 = w + lanes->output[k + 3] * row_stride;
        MT_KEEP_LOOP
        for (int32_t i = 0; i < n; i++) {
            MT_ACCUMULATE(acc[i], g0 * w0[i] + g1 * w1[i] + g2 * w2[i] + g3 * w3[i], 4);
        }
    }
    for (; k < count; k++) {
        const int32_t g0 = lanes->lane[k];
        const int8_t *w0 = w + lanes->output[k] * row_stride;
        MT_KEEP_LOOP
        for (int32_t i = 0; i < n; i++) {
            MT_ACCUMULATE(acc[i], g0 * w0[i], 1);
        }
    }
}

/* The two parts of the weights (trained first) for one tap. */
static void add_grad_tap(const mt_conv2d_input_grad_params *p, const mt_conv2d_input_grad_io *io,
                         const mt_grad_lanes *lanes, int32_t count, int32_t tap) {
    const int32_t inputs = p->shape.in_c / p->shape.groups, taps = p->shape.k_h * p->shape.k_w;
    if (p->channel_order == NULL) {
        const int8_t *w = io->weight != NULL ? io->weight : io->trained_weight;
        const int8_t *row = w + tap * inputs;
        MT_WITH_ROW(inputs, add_rows, lanes->acc, lanes, count, row, taps);
        return;
    }
    const int32_t t = p->trained_channels, rest = inputs - t;
    if (t > 0) {
        add_rows(lanes->acc, lanes, count, io->trained_weight + tap * t, taps, t);
    }
    if (rest > 0) {
        add_rows(lanes->acc + t, lanes, count, io->weight + tap * rest, taps, rest);
    }
}

static void dense_grad_pixel(const mt_conv2d_input_grad_params *p,
                             const mt_conv2d_input_grad_io *io, mt_grad_lanes *lanes, int32_t pixel,
                             int32_t group) {
    const mt_conv_shape *s = &p->shape;
    const int32_t inputs = s->in_c / s->groups, outputs = s->out_c / s->groups;
    memset(lanes->acc, 0, (size_t)inputs * sizeof *lanes->acc);
    for (int32_t kh = 0; kh < s->k_h; kh++) {
        const int32_t oh = mt_output_of(pixel / s->in_w, kh, s->pad_top, s->stride_h, s->out_h);
        if (oh < 0) {
            continue;
        }
        for (int32_t kw = 0; kw < s->k_w; kw++) {
            const int32_t ow =
                mt_output_of(pixel % s->in_w, kw, s->pad_left, s->stride_w, s->out_w);
            if (ow < 0) {
                continue;
            }
            const int8_t *g = io->g + (oh * s->out_w + ow) * s->out_c;
            const int32_t count = nonzero_lanes(g, p->multiplier, group * outputs, outputs, lanes);
            MT_SKIPPED((outputs - count) * inputs);
            add_grad_tap(p, io, lanes, count, kh * s->k_w + kw);
        }
    }
}

void mt_dense_input_grad_any(const mt_conv2d_input_grad_params *p,
                             const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    const mt_conv_shape *s = &p->shape;
    const int32_t inputs = s->in_c / s->groups;
    mt_grad_lanes lanes = divide_scratch(p, io->scratch);
    for (int32_t pixel = 0; pixel < s->in_h * s->in_w; pixel++) {
        for (int32_t group = 0; group < s->groups; group++) {
            dense_grad_pixel(p, io, &lanes, pixel, group);
            for (int32_t i = 0; p->channel_order != NULL && i < inputs; i++) {
                lanes.original[p->channel_order[i]] = lanes.acc[i];
            }
            mt_round_run(rounder, lanes.original, pixel * s->in_c + group * inputs, inputs);
        }
    }
}
