/* Forward convolution: widened patches and contiguous dot products; depthwise by blocks of
 * channels. */
#include "mt_blocks.h"
#include "mt_kernels_forward.h"
#include "mt_memory.h"
#include "mt_numerics.h"

/* A run of input channels with weights of its own, [O][KH][KW][channels]. */
typedef struct {
    const int8_t *weight;
    const uint16_t *order; /* or NULL: channels first, first + 1, ... */
    int32_t first, channels;
} mt_part;

size_t mt_conv2d_scratch_bytes(const mt_conv2d_params *p) {
    const mt_conv_shape *s = &p->shape;
    const size_t taps = (size_t)(s->k_h * s->k_w);
    if (mt_is_depthwise(s)) {
        return p->channel_order == NULL ? 0 : taps * MT_BLOCK;
    }
    return taps * (size_t)(s->in_c / s->groups) * sizeof(int16_t);
}

/* v[0 .. n-1] = zero point + requantised acc, n <= MT_BLOCK channels from o on. */
static inline void requantize_block(const mt_conv2d_params *p, const int32_t *acc, int32_t o,
                                    int32_t n, int32_t *v) {
    const int32_t *multiplier = p->multiplier + o;
    const uint8_t *shift = p->shift + o;
    const int32_t zero = p->y_zero;
    MT_KEEP_LOOP
    for (int32_t i = 0; i < n; i++) {
        v[i] = zero + mt_requantize(acc[i], multiplier[i], shift[i]);
    }
}

static inline void clamp_block(const int32_t *v, int32_t lo, int32_t hi, int32_t n, int8_t *y) {
    MT_KEEP_LOOP
    for (int32_t i = 0; i < n; i++) {
        y[i] = (int8_t)mt_clamp_int32(v[i], lo, hi);
    }
}

/* Stores acc[0 .. n-1], output channels o .. o + n - 1 of the pixel, n <= MT_BLOCK. */
static void finish_block(const mt_conv2d_params *p, const mt_conv2d_io *io, const int32_t *acc,
                         int32_t pixel, int32_t o, int32_t n) {
    const int32_t index = pixel * p->shape.out_c + o;
    const int32_t lo = p->clamp_lo, hi = p->clamp_hi;
    int32_t v[MT_BLOCK];
    MT_WITH_BLOCK(n, requantize_block(p, acc, o, width, v));
    if (io->mask != NULL) {
        uint8_t inside[MT_BLOCK];
        for (int32_t i = 0; i < n; i++) {
            inside[i] = (uint8_t)(v[i] >= lo && v[i] <= hi);
        }
        mt_mask_write(io->mask, index, inside, n);
    }
    MT_WITH_BLOCK(n, clamp_block(v, lo, hi, width, io->y + index));
}

/* to[i] = x[i] - zero, or x[order[i]] - zero */
static void widen(int16_t *to, const int8_t *x, const uint16_t *order, int32_t zero, int32_t n) {
    if (order == NULL) {
        for (int32_t i = 0; i < n; i++) {
            to[i] = (int16_t)(x[i] - zero);
        }
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        to[i] = (int16_t)(x[order[i]] - zero);
    }
}

/* Writes q_x - z_x under the kernel of an output pixel, [KH][KW][part->channels], 0 outside the
 * image. Returns the end of what was written. */
static int16_t *widen_patch(const mt_conv2d_params *p, const mt_part *part, const int8_t *x,
                            int32_t pixel, int16_t *patch) {
    const mt_conv_shape *s = &p->shape;
    const int32_t top = (pixel / s->out_w) * s->stride_h - s->pad_top;
    const int32_t left = (pixel % s->out_w) * s->stride_w - s->pad_left;
    /* Rows of the patch that are one run of memory in the image. */
    const int32_t whole =
        part->order == NULL && part->channels == s->in_c && left >= 0 && left + s->k_w <= s->in_w;
    const int32_t n = whole ? part->channels * s->k_w : part->channels;
    for (int32_t kh = 0; kh < s->k_h; kh++) {
        const int32_t ih = top + kh;
        for (int32_t kw = 0; kw < (whole ? 1 : s->k_w); kw++, patch += n) {
            const int32_t iw = left + kw;
            if (ih < 0 || ih >= s->in_h || iw < 0 || iw >= s->in_w) {
                memset(patch, 0, (size_t)n * sizeof *patch);
            } else {
                const int8_t *from = x + (ih * s->in_w + iw) * s->in_c + part->first;
                widen(patch, from, part->order, p->x_zero, n);
            }
        }
    }
    return patch;
}

static inline void dot4(int32_t *acc, const int16_t *patch, const int8_t *w, int32_t n) {
    const int8_t *w1 = w + n, *w2 = w + 2 * n, *w3 = w + 3 * n;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    MT_KEEP_LOOP
    for (int32_t i = 0; i < n; i++) {
        const int32_t v = patch[i];
        s0 += v * (int16_t)w[i];
        s1 += v * (int16_t)w1[i];
        s2 += v * (int16_t)w2[i];
        s3 += v * (int16_t)w3[i];
    }
    acc[0] += s0;
    acc[1] += s1;
    acc[2] += s2;
    acc[3] += s3;
}

static int32_t dot1(const int16_t *patch, const int8_t *w, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += patch[i] * (int16_t)w[i];
    }
    return sum;
}

/* One output pixel of the output channels first .. last - 1 from the parts of its group. */
static void dense_pixel(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_part *parts,
                        int32_t pixel, int32_t first, int32_t last) {
    const int32_t taps = p->shape.k_h * p->shape.k_w;
    int16_t *patch = (int16_t *)io->scratch;
    int16_t *second = widen_patch(p, &parts[0], io->x, pixel, patch);
    if (parts[1].channels > 0) {
        (void)widen_patch(p, &parts[1], io->x, pixel, second);
    }
    for (int32_t o = first; o < last; o += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, last - o);
        int32_t acc[MT_BLOCK];
        memcpy(acc, io->bias + o, (size_t)n * sizeof *acc);
        for (int32_t k = 0; k < 2; k++) {
            const int32_t length = taps * parts[k].channels;
            const int16_t *lanes = k == 0 ? patch : second;
            if (length == 0) {
                continue;
            }
            const int8_t *w = parts[k].weight + o * length;
            int32_t j = 0;
            for (; j + 4 <= n; j += 4, w += 4 * length) {
                MT_WITH_ROW(length, dot4(acc + j, lanes, w, width));
            }
            for (; j < n; j++, w += length) {
                acc[j] += dot1(lanes, w, length);
            }
        }
        finish_block(p, io, acc, pixel, o, n);
    }
}

static void dense(const mt_conv2d_params *p, const mt_conv2d_io *io) {
    const mt_conv_shape *s = &p->shape;
    const int32_t inputs = s->in_c / s->groups, outputs = s->out_c / s->groups;
    const int8_t *weight = io->weight != NULL ? io->weight : io->trained_weight;
    mt_part parts[2] = {{weight, NULL, 0, inputs}, {NULL, NULL, 0, 0}};
    if (p->channel_order != NULL) {
        const int32_t t = p->trained_channels;
        parts[0] = (mt_part){io->trained_weight, p->channel_order, 0, t};
        parts[1] = (mt_part){io->weight, p->channel_order + t, 0, inputs - t};
    }
    for (int32_t pixel = 0; pixel < s->out_h * s->out_w; pixel++) {
        for (int32_t group = 0; group < s->groups; group++) {
            parts[0].first = group * inputs;
            dense_pixel(p, io, parts, pixel, group * outputs, (group + 1) * outputs);
        }
    }
}

/* acc[i] += (x[i] - zero) * w[i]: the product of 9 and 8 bits fits in 16. */
static inline void multiply_accumulate(int32_t *acc, const int8_t *x, const int8_t *w, int32_t zero,
                                       int32_t n) {
    MT_KEEP_LOOP
    for (int32_t i = 0; i < n; i++) {
        const int16_t centred = (int16_t)(x[i] - zero);
        acc[i] += (int16_t)(centred * w[i]);
    }
}

/* acc[i] += the taps of one output pixel for n channels; w is [taps][row_stride]. */
static inline void depthwise_taps(const mt_conv2d_params *p, const int8_t *x, const int8_t *w,
                                  int32_t row_stride, int32_t pixel, int32_t n, int32_t *acc) {
    const mt_conv_shape *s = &p->shape;
    const int32_t top = (pixel / s->out_w) * s->stride_h - s->pad_top;
    const int32_t left = (pixel % s->out_w) * s->stride_w - s->pad_left;
    const int32_t kh_end = mt_min(s->k_h, s->in_h - top), kw_end = mt_min(s->k_w, s->in_w - left);
    for (int32_t kh = mt_max(0, -top); kh < kh_end; kh++) {
        for (int32_t kw = mt_max(0, -left); kw < kw_end; kw++) {
            const int8_t *from = x + ((top + kh) * s->in_w + left + kw) * s->in_c;
            multiply_accumulate(acc, from, w + (kh * s->k_w + kw) * row_stride, p->x_zero, n);
        }
    }
}

static void depthwise(const mt_conv2d_params *p, const mt_conv2d_io *io) {
    const mt_conv_shape *s = &p->shape;
    const mt_depthwise_weights weights = {s,
                                          io->weight,
                                          io->trained_weight,
                                          p->channel_order,
                                          p->trained_channels,
                                          (int8_t *)io->scratch};
    for (int32_t o = 0; o < s->out_c; o += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, s->out_c - o);
        int32_t row_stride;
        const int8_t *w = mt_depthwise_columns(&weights, o, n, &row_stride);
        for (int32_t pixel = 0; pixel < s->out_h * s->out_w; pixel++) {
            int32_t acc[MT_BLOCK];
            memcpy(acc, io->bias + o, (size_t)n * sizeof *acc);
            MT_WITH_BLOCK(n, depthwise_taps(p, io->x + o, w, row_stride, pixel, width, acc));
            finish_block(p, io, acc, pixel, o, n);
        }
    }
}

void mt_conv2d(const mt_conv2d_params *p, const mt_conv2d_io *io) {
    const mt_conv_shape *s = &p->shape;
    if (io->mask != NULL) {
        memset(io->mask, 0, mt_mask_bytes(s->out_h * s->out_w * s->out_c));
    }
    if (mt_is_depthwise(s)) {
        depthwise(p, io);
    } else {
        dense(p, io);
    }
}
