/* Forward depthwise convolution with Helium: 16 channels of one output pixel at a time. */
#include "mt_conv2d_finish.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_MVE
#include "mt_mve.h"

/* Larger kernels are left to the portable code: their sums would not fit. */
#define MAX_COLUMNS 7
#define MAX_ROWS 16

/* The taps of an output pixel that lie inside the image. */
typedef struct {
    int32_t kh, kh_end, kw, kw_end;
    int32_t slot; /* of the first row in the ring */
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
    uint32_t summed; /* key of the span that `offset` and `columns` were made for */
    int16_t columns[MAX_COLUMNS][MT_CHANNELS];
    /* By 4*j + i for channel 4*i + j; offset: bias - zero*sum(weights). */
    uint8_t shift[MT_CHANNELS];
    int32_t offset[MT_CHANNELS], multiplier[MT_CHANNELS];
} block;

MT_INLINE uint32_t key_of(span k) {
    return (uint32_t)(((k.kh * 32 + k.kh_end) * 32 + k.kw) * 32 + k.kw_end);
}

MT_INLINE int8x16_t load(const int8_t *from, mve_pred16_t lanes, int full) {
    return full ? vldrbq_s8(from) : vldrbq_z_s8(from, lanes);
}

/* Weights of every kernel column, summed over the rows of the span. */
MT_INLINE void sum_columns(block *b, span k, mve_pred16_t lanes, int full) {
    for (int32_t kw = 0; kw < b->p->shape.k_w; kw++) {
        const int8_t *w = b->weight + (k.kh * b->p->shape.k_w + kw) * b->weight_stride;
        int16x8_t even = vdupq_n_s16(0), odd = even;
        for (int32_t kh = k.kh; kh < k.kh_end; kh++) {
            const int8x16_t v = load(w, lanes, full);
            even = vaddq_s16(even, vmovlbq_s8(v));
            odd = vaddq_s16(odd, vmovltq_s8(v));
            w += b->p->shape.k_w * b->weight_stride;
        }
        vst1q_s16(b->columns[kw], even);
        vst1q_s16(b->columns[kw] + 8, odd);
    }
}

/* The offset of channels 4*i + j: their bias more than `sum`. */
MT_INLINE void add_bias(block *b, uint32_t j, int32x4_t sum) {
    const uint32x4_t channel = vaddq_n_u32(vmulq_n_u32(vidupq_n_u32(0, 1), 4), j);
    const mve_pred16_t there = vcmphiq_u32(vdupq_n_u32((uint32_t)b->count), channel);
    const int32_t *bias = b->io->bias + b->first;
    const int32x4_t v = vldrwq_gather_shifted_offset_z_s32(bias, channel, there);
    vst1q_s32(b->offset + 4 * j, vaddq_s32(sum, v));
}

MT_INLINE void sum_weights(block *b, span k) {
    int16x8_t even = vdupq_n_s16(0), odd = even;
    for (int32_t kw = k.kw; kw < k.kw_end; kw++) {
        even = vaddq_s16(even, vld1q_s16(b->columns[kw]));
        odd = vaddq_s16(odd, vld1q_s16(b->columns[kw] + 8));
    }
    const int32_t zero = -b->p->x_zero;
    add_bias(b, 0, vmlaq_n_s32(vdupq_n_s32(0), vmovlbq_s16(even), zero));
    add_bias(b, 1, vmlaq_n_s32(vdupq_n_s32(0), vmovlbq_s16(odd), zero));
    add_bias(b, 2, vmlaq_n_s32(vdupq_n_s32(0), vmovltq_s16(even), zero));
    add_bias(b, 3, vmlaq_n_s32(vdupq_n_s32(0), vmovltq_s16(odd), zero));
}

/* The sums of one quarter: 32 bits from both halves, plus offset, requantised. */
#define QUARTER(widen, shift, low, high, at, to)                                                   \
    widen " q0, %q[" low "]\n\t" shift " q1, %q[" high "], #8\n\t"                                 \
          "vadd.i32 q0, q0, q1\n\t"                                                                \
          "vldrw.32 q1, [%[table], #16 + " #at "]\n\t"                                             \
          "vadd.i32 q0, q0, q1\n\t"                                                                \
          "vldrb.u32 q1, [%[table], #" #at " / 4]\n\t"                                             \
          "vqshl.s32 q0, q0, q1\n\t"                                                               \
          "vldrw.32 q1, [%[table], #80 + " #at "]\n\t"                                             \
          "vrmulh.s32 q0, q0, q1\n\t"                                                              \
          "vadd.i32 q0, q0, %[zero]\n\t" to ", q0\n\t"

/* Requantised codes of the even and odd channels, saturated to 16 bits. In assembler, because GCC
 * keeps the constants of all quarters on the stack. */
MT_INLINE void requantize(const block *b, mt_sums *s, int16x8_t *even, int16x8_t *odd) {
    int16x8_t e, o;
    __asm__("vshl.s16 q0, %q[he], #8\n\t"
            "vsub.i16 %q[le], %q[le], q0\n\t"
            "vshl.s16 q0, %q[ho], #8\n\t"
            "vsub.i16 %q[lo], %q[lo], q0\n\t" QUARTER("vmovlb.u16", "vshllb.s16", "le", "he", 0,
                                                      "vqmovnb.s32 %q[e]")
                QUARTER("vmovlb.u16", "vshllb.s16", "lo", "ho", 16, "vqmovnb.s32 %q[o]")
                    QUARTER("vmovlt.u16", "vshllt.s16", "le", "he", 32, "vqmovnt.s32 %q[e]")
                        QUARTER("vmovlt.u16", "vshllt.s16", "lo", "ho", 48, "vqmovnt.s32 %q[o]")
            : [le] "+w"(s->low_even), [lo] "+w"(s->low_odd), [he] "+w"(s->high_even),
              [ho] "+w"(s->high_odd), [e] "=&w"(e), [o] "=&w"(o)
            : [table] "l"(b->shift), [zero] "r"(b->p->y_zero)
            : "q0", "q1", "memory");
    *even = e;
    *odd = o;
}

/* Requantises, clamps and stores the channels of one output pixel. */
MT_INLINE void finish(const block *b, mt_sums *sums, int32_t row, int32_t column,
                      mve_pred16_t lanes, int full) {
    const mt_conv2d_params *p = b->p;
    int16x8_t even, odd;
    requantize(b, sums, &even, &odd);
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

MT_INLINE void pixel(block *b, int32_t row, int32_t column, span k, mve_pred16_t lanes, int full) {
    const mt_conv_shape *s = &b->p->shape;
    const int32_t left = column * s->stride_w - s->pad_left;
    k.kw = mt_max(0, -left);
    k.kw_end = mt_max(k.kw, mt_min(s->k_w, s->in_w - left));
    const uint32_t key = key_of(k);
    if (key != b->summed) {
        if ((key ^ b->summed) >> 10 != 0) {
            sum_columns(b, k, lanes, full);
        }
        sum_weights(b, k);
        b->summed = key;
    }
    mt_sums sums = mt_sums_zero();
    const int32_t slot = k.slot, before = mt_min(k.kh_end - k.kh, b->rows->x_rows - slot);
    const int32_t width = k.kw_end - k.kw;
    const int8_t *x = b->x + (left + k.kw) * b->x_stride;
    mt_taps t = {x + slot * s->in_w * b->x_stride,
                 b->weight + (k.kh * s->k_w + k.kw) * b->weight_stride,
                 b->x_stride,
                 b->weight_stride,
                 (s->in_w - width) * b->x_stride,
                 (s->k_w - width) * b->weight_stride,
                 width,
                 before};
    mt_sums_area(&sums, t, lanes, full);
    if (before < k.kh_end - k.kh) {
        t.x = x;
        t.w += before * s->k_w * b->weight_stride;
        t.rows = k.kh_end - k.kh - before;
        mt_sums_area(&sums, t, lanes, full);
    }
    finish(b, &sums, row, column, lanes, full);
}

MT_INLINE void block_rows(block *b, int full) {
    const mt_conv_shape *s = &b->p->shape;
    const mve_pred16_t lanes = vctp8q((uint32_t)b->count);
    b->summed = UINT32_MAX;
    for (int32_t row = b->rows->first; row < b->rows->last; row++) {
        const int32_t top = row * s->stride_h - s->pad_top;
        span k = {mt_max(0, -top), 0, 0, 0, 0};
        k.kh_end = mt_max(k.kh, mt_min(s->k_h, s->in_h - top));
        k.slot = (top + k.kh) % b->rows->x_rows;
        for (int32_t column = 0; column < s->out_w; column++) {
            pixel(b, row, column, k, lanes, full);
        }
    }
}

static __attribute__((noinline)) void full_rows(block *b) { block_rows(b, 1); }

static __attribute__((noinline)) void tail_rows(block *b) { block_rows(b, 0); }

static __attribute__((noinline)) void tuned_rows(const mt_conv2d_params *p, const mt_conv2d_io *io,
                                                 const mt_rows *rows) {
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
            mt_deinterleave(p->multiplier + b.first, b.count, b.multiplier);
            for (int32_t i = 0; i < MT_CHANNELS; i++) {
                const uint8_t shift = i < b.count ? p->shift[b.first + i] : 0;
                b.shift[4 * (i & 3) + (i >> 2)] = shift;
            }
            if (b.count == MT_CHANNELS) {
                full_rows(&b);
            } else {
                tail_rows(&b);
            }
        }
    }
}

void mt_depthwise_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    if (p->shape.k_w > MAX_COLUMNS || p->shape.k_h > MAX_ROWS) {
        mt_depthwise_any_rows(p, io, rows);
    } else {
        tuned_rows(p, io, rows);
    }
}
#endif
