/* Forward convolution of dense and grouped shapes, portable: widened patches and contiguous dot
 * products. */
#include "mt_conv2d_finish.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_HAS_DENSE_ROWS != MT_ALL
/* A run of input channels with weights of its own, [O][KH][KW][channels]. */
typedef struct {
    const int8_t *weight;
    const uint16_t *order; /* or NULL: channels first, first + 1, ... */
    int32_t first, channels;
} mt_patch_part;

/* An input image in a ring of rows. */
typedef struct {
    const int8_t *base;
    int32_t rows;
} mt_image;

/* to[i] = x[i] - zero, or x[order[i]] - zero */
static void widen_inputs(int16_t *to, const int8_t *x, const uint16_t *order, int32_t zero,
                         int32_t n) {
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
static int16_t *widen_patch(const mt_conv2d_params *p, const mt_patch_part *part, const mt_image *x,
                            mt_pixel pixel, int16_t *patch) {
    const mt_conv_shape *s = &p->shape;
    const int32_t top = pixel.row * s->stride_h - s->pad_top;
    const int32_t left = pixel.column * s->stride_w - s->pad_left;
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
                const int8_t *from =
                    x->base + ((ih % x->rows) * s->in_w + iw) * s->in_c + part->first;
                widen_inputs(patch, from, part->order, p->x_zero, n);
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
        MT_ACCUMULATE(s0, v * (int16_t)w[i], 1);
        MT_ACCUMULATE(s1, v * (int16_t)w1[i], 1);
        MT_ACCUMULATE(s2, v * (int16_t)w2[i], 1);
        MT_ACCUMULATE(s3, v * (int16_t)w3[i], 1);
    }
    MT_ACCUMULATE(acc[0], s0, 0);
    MT_ACCUMULATE(acc[1], s1, 0);
    MT_ACCUMULATE(acc[2], s2, 0);
    MT_ACCUMULATE(acc[3], s3, 0);
}

static int32_t dot1(const int16_t *patch, const int8_t *w, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        MT_ACCUMULATE(sum, patch[i] * (int16_t)w[i], 1);
    }
    return sum;
}

/* The output channels of one group of one output pixel from the parts of the group. */
static void dense_output(const mt_conv2d_params *p, const mt_conv2d_io *io,
                         const mt_patch_part *parts, const mt_rows *rows, mt_pixel pixel) {
    const int32_t taps = p->shape.k_h * p->shape.k_w;
    const int32_t outputs = p->shape.out_c / p->shape.groups;
    const int32_t begin = parts[0].first / (p->shape.in_c / p->shape.groups) * outputs;
    const mt_image x = {io->x, rows->x_rows};
    int16_t *patch = (int16_t *)io->scratch;
    int16_t *second = widen_patch(p, &parts[0], &x, pixel, patch);
    if (parts[1].channels > 0) {
        (void)widen_patch(p, &parts[1], &x, pixel, second);
    }
    for (int32_t o = begin; o < begin + outputs; o += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, begin + outputs - o);
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
                MT_WITH_ROW(length, dot4, acc + j, lanes, w);
            }
            for (; j < n; j++, w += length) {
                MT_ACCUMULATE(acc[j], dot1(lanes, w, length), 0);
            }
        }
        mt_conv2d_finish(p, io, rows, (mt_run){pixel, o, n}, acc);
    }
}

void mt_dense_rows_any(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    const int32_t inputs = s->in_c / s->groups;
    const int8_t *weight = io->weight != NULL ? io->weight : io->trained_weight;
    mt_patch_part parts[2] = {{weight, NULL, 0, inputs}, {NULL, NULL, 0, 0}};
    if (p->channel_order != NULL) {
        const int32_t t = p->trained_channels;
        parts[0] = (mt_patch_part){io->trained_weight, p->channel_order, 0, t};
        parts[1] = (mt_patch_part){io->weight, p->channel_order + t, 0, inputs - t};
    }
    for (int32_t row = rows->first; row < rows->last; row++) {
        for (int32_t column = 0; column < s->out_w; column++) {
            for (int32_t group = 0; group < s->groups; group++) {
                parts[0].first = group * inputs;
                dense_output(p, io, parts, rows, (mt_pixel){row, column});
            }
        }
    }
}
#endif
