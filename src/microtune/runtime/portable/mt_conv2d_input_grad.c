/* Transposed convolution with int8 gradients, one input pixel at a time: no column buffer. */
#include "mt_conv2d_input_grad.h"
#include "mt_isa.h"
#include "mt_memory.h"

/* Scratch of the dense kernel: accumulators of one input pixel in the weights' channel order, the
 * same in the original order if that differs, and the outputs with a lane that is not 0. */
typedef struct {
    int32_t *acc, *original;
    int16_t *lane;
    uint16_t *output;
} mt_grad_lanes;

size_t mt_conv2d_input_grad_scratch_bytes(const mt_conv2d_input_grad_params *p, int in_place) {
    const mt_conv_shape *s = &p->shape;
    if (mt_is_depthwise(s)) {
        const int32_t taps = s->k_h * s->k_w, rows = (s->out_h - 1) * s->stride_h + 1;
        const int32_t pitch = (s->in_w + 3) / 4 * 4 + s->k_w - 1;
        const size_t lines = (size_t)(taps + mt_min(rows, 2 * s->k_h) * pitch) * 8;
        const size_t copy = in_place ? (size_t)(s->out_h * s->out_w) * MT_BLOCK : 0;
        const size_t merged = p->channel_order == NULL ? 0 : (size_t)taps * MT_BLOCK;
        return merged + (lines > copy ? lines : copy);
    }
    const size_t outputs = (size_t)(s->out_c / s->groups);
    const size_t inputs = (size_t)(s->in_c / s->groups);
    const size_t ordered = p->channel_order == NULL ? 0 : inputs;
    const size_t one_pixel = outputs * 4 + (inputs + ordered) * 4;
    /* Vectors and pairs take four pixels at once. */
    const size_t block = MT_BLOCK * 16 + ordered * 2, sums = ordered * 16;
    const size_t pointwise = (outputs + 7) / 8 * 64 + (block > sums ? block : sums);
    const size_t four_pixels =
        mt_input_grad_is_pointwise(p) ? pointwise : outputs * 8 + inputs * 16;
    return four_pixels > one_pixel ? four_pixels : one_pixel;
}

#if !MT_ISA_MVE && !MT_ISA_DSP && !MT_ISA_AVX2
int32_t mt_pointwise_input_grad(const mt_conv2d_input_grad_params *p,
                                const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    (void)p;
    (void)io;
    (void)rounder;
    return 0;
}
#endif

#if !MT_ISA_DSP || MT_ISA_MVE
int32_t mt_tapped_input_grad(const mt_conv2d_input_grad_params *p,
                             const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    (void)p;
    (void)io;
    (void)rounder;
    return 0;
}
#endif

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

/* acc[0 .. n-1] += sum of lane * weight row; the row of output o starts at w + o*row_stride. */
static inline void add_rows(int32_t *acc, int32_t n, const mt_grad_lanes *lanes, int32_t count,
                            const int8_t *w, int32_t row_stride) {
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
        MT_WITH_ROW(inputs, add_rows(lanes->acc, width, lanes, count, row, taps * width));
        return;
    }
    const int32_t t = p->trained_channels, rest = inputs - t;
    if (t > 0) {
        add_rows(lanes->acc, t, lanes, count, io->trained_weight + tap * t, taps * t);
    }
    if (rest > 0) {
        add_rows(lanes->acc + t, rest, lanes, count, io->weight + tap * rest, taps * rest);
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

static void dense(const mt_conv2d_input_grad_params *p, const mt_conv2d_input_grad_io *io,
                  mt_rounder *rounder) {
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

#if !MT_ISA_MVE && !MT_ISA_DSP
/* Some channels of the gradient, g_stride bytes a pixel, and of the weights. */
typedef struct {
    const int8_t *g, *weight;
    int32_t g_stride, weight_stride;
} mt_grad_columns;

/* acc[0 .. n-1] = sum of g*w over the taps of one input pixel; both products fit in 16 bits. */
static inline void depthwise_grad_taps(const mt_conv_shape *s, const mt_grad_columns *columns,
                                       int32_t pixel, int32_t n, int32_t *acc) {
    memset(acc, 0, (size_t)n * sizeof *acc);
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
            const int8_t *from = columns->g + (oh * s->out_w + ow) * columns->g_stride;
            const int8_t *row = columns->weight + (kh * s->k_w + kw) * columns->weight_stride;
            MT_KEEP_LOOP
            for (int32_t i = 0; i < n; i++) {
                MT_ACCUMULATE(acc[i], (int16_t)(from[i] * row[i]), 1);
            }
        }
    }
}

void mt_depthwise_any_input_grad(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    const mt_conv_shape *s = &p->shape;
    int8_t *scratch = (int8_t *)io->scratch;
    const mt_depthwise_weights weights = {
        s, io->weight, io->trained_weight, p->channel_order, p->trained_channels, scratch};
    int8_t *copy = p->channel_order == NULL ? scratch : scratch + s->k_h * s->k_w * MT_BLOCK;
    for (int32_t c = 0; c < s->in_c; c += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, s->in_c - c);
        const int32_t *multiplier = p->multiplier + c;
        mt_grad_columns columns = {io->g + c, NULL, s->out_c, 0};
        columns.weight = mt_depthwise_columns(&weights, c, n, &columns.weight_stride);
        if (io->g == io->dx) {
            mt_copy_columns(io->g + c, s->out_h * s->out_w, s->out_c, n, copy);
            columns.g = copy;
            columns.g_stride = MT_BLOCK;
        }
        for (int32_t pixel = 0; pixel < s->in_h * s->in_w; pixel++) {
            int32_t acc[MT_BLOCK];
            MT_WITH_BLOCK(n, depthwise_grad_taps(s, &columns, pixel, width, acc));
            for (int32_t i = 0; i < n; i++) {
                const int32_t shifted = acc[i] * (1 << p->depthwise_shift);
                acc[i] = mt_high_multiply(shifted, multiplier[i]);
            }
            mt_round_run(rounder, acc, pixel * s->in_c + c, n);
        }
    }
}
#endif

#if !MT_ISA_MVE && !MT_ISA_DSP && !MT_ISA_AVX2
void mt_depthwise_input_grad(const mt_conv2d_input_grad_params *p,
                             const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    mt_depthwise_any_input_grad(p, io, rounder);
}
#endif

void mt_conv2d_input_grad(const mt_conv2d_input_grad_params *p, const mt_conv2d_input_grad_io *io) {
    const int32_t acc_exponent = *io->g_exponent + p->round.acc_exponent_delta;
    mt_rounder rounder = mt_round_begin(p->round.site, &io->round, acc_exponent, io->dx);
    MT_SKIPPED_PADDING(&p->shape, p->shape.out_c * (p->shape.in_c / p->shape.groups));
    if (mt_is_depthwise(&p->shape)) {
        mt_depthwise_input_grad(p, io, &rounder);
    } else if (!mt_pointwise_input_grad(p, io, &rounder) &&
               !mt_tapped_input_grad(p, io, &rounder)) {
        dense(p, io, &rounder);
    }
    mt_round_end(&rounder);
}
