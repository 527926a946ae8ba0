/* Forward depthwise convolution with Helium: 16 channels of one output pixel at a time. */
#include "mt_conv2d_finish.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_MVE
#include "mt_mve.h"

/* The taps of an output pixel that lie inside the image. */
typedef struct {
    int32_t kh, kh_end, kw, kw_end;
} span;

/* 16 channels, the last ones missing where count < 16: input, a ring of x_rows rows with x_stride
 * bytes a pixel, weights, [taps][weight_stride], and constants. */
typedef struct {
    const mt_conv2d_params *p;
    const mt_conv2d_io *io;
    const mt_rows *rows;
    const int8_t *x, *weight;
    int32_t x_stride, weight_stride;
    int32_t first, count;
    uint32_t summed; /* key of the span that `offset` was made for */
    /* By 4*j + i for channel 4*i + j; offset: bias - zero*sum(weights). */
    int32_t bias[MT_CHANNELS], multiplier[MT_CHANNELS], shift[MT_CHANNELS], offset[MT_CHANNELS];
} block;

/* Kernels are at most 16 taps long: their sums would not fit otherwise. */
MT_INLINE uint32_t key_of(span k) {
    return (uint32_t)(((k.kh * 32 + k.kh_end) * 32 + k.kw) * 32 + k.kw_end);
}

MT_INLINE int8x16_t load(const int8_t *from, mve_pred16_t lanes, int full) {
    return full ? vldrbq_s8(from) : vldrbq_z_s8(from, lanes);
}

MT_INLINE void sum_weights(block *b, span k, mve_pred16_t lanes, int full) {
    int16x8_t even = vdupq_n_s16(0), odd = even;
    for (int32_t kh = k.kh; kh < k.kh_end; kh++) {
        const int8_t *w = b->weight + (kh * b->p->shape.k_w + k.kw) * b->weight_stride;
        for (int32_t kw = k.kw; kw < k.kw_end; kw++, w += b->weight_stride) {
            const int8x16_t v = load(w, lanes, full);
            even = vaddq_s16(even, vmovlbq_s8(v));
            odd = vaddq_s16(odd, vmovltq_s8(v));
        }
    }
    const int32_t zero = -b->p->x_zero;
    vst1q_s32(b->offset, vmlaq_n_s32(vld1q_s32(b->bias), vmovlbq_s16(even), zero));
    vst1q_s32(b->offset + 4, vmlaq_n_s32(vld1q_s32(b->bias + 4), vmovlbq_s16(odd), zero));
    vst1q_s32(b->offset + 8, vmlaq_n_s32(vld1q_s32(b->bias + 8), vmovltq_s16(even), zero));
    vst1q_s32(b->offset + 12, vmlaq_n_s32(vld1q_s32(b->bias + 12), vmovltq_s16(odd), zero));
}

MT_INLINE int32x4_t requantize(const block *b, int32x4_t sum, int32_t at) {
    const int32x4_t acc = vaddq_s32(sum, vld1q_s32(b->offset + at));
    const int32x4_t shifted = vqshlq_s32(acc, vld1q_s32(b->shift + at));
    return vaddq_n_s32(vrmulhq_s32(shifted, vld1q_s32(b->multiplier + at)), b->p->y_zero);
}

/* Requantises, clamps and stores the channels of one output pixel. */
MT_INLINE void finish(const block *b, mt_quads sum, int32_t row, int32_t column,
                      mve_pred16_t lanes, int full) {
    const mt_conv2d_params *p = b->p;
    const int32x4_t v0 = requantize(b, sum.j0, 0), v1 = requantize(b, sum.j1, 4);
    const int32x4_t v2 = requantize(b, sum.j2, 8), v3 = requantize(b, sum.j3, 12);
    const int16x8_t any16 = vuninitializedq_s16();
    const int16x8_t even = vqmovntq_s32(vqmovnbq_s32(any16, v0), v2);
    const int16x8_t odd = vqmovntq_s32(vqmovnbq_s32(any16, v1), v3);
    int8x16_t y = vqmovntq_s16(vqmovnbq_s16(vuninitializedq_s8(), even), odd);
    y = vminq_s8(vmaxq_s8(y, vdupq_n_s8((int8_t)p->clamp_lo)), vdupq_n_s8((int8_t)p->clamp_hi));
    const int32_t at = (row % b->rows->y_rows) * p->shape.out_w + column;
    int8_t *to = b->io->y + at * p->shape.out_c + b->first;
    if (full) {
        vstrbq_s8(to, y);
    } else {
        vstrbq_p_s8(to, y, lanes);
    }
    if (b->io->mask != NULL) {
        const int16_t lo = (int16_t)p->clamp_lo, hi = (int16_t)p->clamp_hi;
        const uint32_t e = vcmpleq_m_n_s16(even, hi, vcmpgeq_n_s16(even, lo));
        const uint32_t o = vcmpleq_m_n_s16(odd, hi, vcmpgeq_n_s16(odd, lo));
        const uint32_t inside = ((e & 0x5555u) | (o & 0xaaaau)) & (full ? 0xffffu : lanes);
        const int32_t pixel = row * p->shape.out_w + column;
        mt_set_bits(b->io->mask, pixel * p->shape.out_c + b->first, inside);
    }
}

MT_INLINE void pixel(block *b, int32_t row, int32_t column, span k, mve_pred16_t lanes,
                     int full) {
    const mt_conv_shape *s = &b->p->shape;
    const int32_t top = row * s->stride_h - s->pad_top;
    const int32_t left = column * s->stride_w - s->pad_left;
    k.kw = mt_max(0, -left);
    k.kw_end = mt_max(k.kw, mt_min(s->k_w, s->in_w - left));
    const uint32_t key = key_of(k);
    if (key != b->summed) {
        sum_weights(b, k, lanes, full);
        b->summed = key;
    }
    mt_sums sums = mt_sums_zero();
    for (int32_t kh = k.kh; kh < k.kh_end; kh++) {
        const int32_t slot = (top + kh) % b->rows->x_rows;
        const int8_t *x = b->x + (slot * s->in_w + left + k.kw) * b->x_stride;
        const int8_t *w = b->weight + (kh * s->k_w + k.kw) * b->weight_stride;
        const mt_taps taps = {x, w, b->x_stride, b->weight_stride};
        mt_sums_run(&sums, taps, k.kw_end - k.kw, lanes, full);
    }
    finish(b, mt_sums_total(&sums), row, column, lanes, full);
}

MT_INLINE void block_rows(block *b, int full) {
    const mt_conv_shape *s = &b->p->shape;
    const mve_pred16_t lanes = vctp8q((uint32_t)b->count);
    b->summed = UINT32_MAX;
    for (int32_t row = b->rows->first; row < b->rows->last; row++) {
        const int32_t top = row * s->stride_h - s->pad_top;
        span k = {mt_max(0, -top), 0, 0, 0};
        k.kh_end = mt_max(k.kh, mt_min(s->k_h, s->in_h - top));
        for (int32_t column = 0; column < s->out_w; column++) {
            pixel(b, row, column, k, lanes, full);
        }
    }
}

static __attribute__((noinline)) void full_rows(block *b) { block_rows(b, 1); }

static __attribute__((noinline)) void tail_rows(block *b) { block_rows(b, 0); }

void mt_depthwise_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    int8_t *scratch = (int8_t *)io->scratch;
    const mt_depthwise_weights weights = {
        s, io->weight, io->trained_weight, p->channel_order, p->trained_channels, scratch};
    int8_t *copy = p->channel_order == NULL ? scratch : scratch + s->k_h * s->k_w * MT_BLOCK;
    for (int32_t o = 0; o < s->out_c; o += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, s->out_c - o);
        block b = {.p = p, .io = io, .rows = rows, .x = io->x + o, .x_stride = s->in_c};
        const int8_t *columns = mt_depthwise_columns(&weights, o, n, &b.weight_stride);
        if (io->x == io->y) {
            mt_copy_columns(io->x + o, s->in_h * s->in_w, s->in_c, n, copy);
            b.x = copy;
            b.x_stride = MT_BLOCK;
        }
        const int8_t *x = b.x;
        for (int32_t c = 0; c < n; c += MT_CHANNELS) {
            b.x = x + c;
            b.weight = columns + c;
            b.first = o + c;
            b.count = mt_min(MT_CHANNELS, n - c);
            mt_deinterleave(io->bias + b.first, b.count, b.bias);
            mt_deinterleave(p->multiplier + b.first, b.count, b.multiplier);
            for (int32_t i = 0; i < MT_CHANNELS; i++) {
                b.shift[4 * (i & 3) + (i >> 2)] = i < b.count ? p->shift[b.first + i] : 0;
            }
            if (b.count == MT_CHANNELS) {
                full_rows(&b);
            } else {
                tail_rows(&b);
            }
        }
    }
}
#endif
