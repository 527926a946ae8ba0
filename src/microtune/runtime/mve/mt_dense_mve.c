/* Dense and grouped convolution with Helium: one output channel of four pixels at a time.
 *
 * sum((x - z)*w) = sum(x*w) - z*sum(w), so that the dot products stay in int8; the second term and
 * the bias are summed once for a block of outputs. Padding is z in a copied patch. */
#include "mt_conv2d_finish.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_MVE
#include "mt_mve.h"

#define PIXELS 4

/* A run of input channels with weights of its own, [O][KH][KW][channels]. */
typedef struct {
    const int8_t *weight;
    const uint16_t *order; /* or NULL: channels first, first + 1, ... */
    int32_t first, channels, length; /* length: taps * channels */
} part;

/* What one call works on. */
typedef struct {
    const mt_conv2d_params *p;
    const mt_conv2d_io *io;
    const mt_rows *rows;
    part parts[2];
    int32_t plain;  /* patches are runs of the image itself */
    int32_t output, count; /* the block of outputs */
    int32_t offset[MT_BLOCK];
} job;

/* Up to four pixels of one output row. */
typedef struct {
    const int8_t *x[PIXELS]; /* their patches */
    int32_t row, column, count;
} quad;

/* bias - zero*sum(weights) of the block */
static void sum_weights(job *j) {
    for (int32_t o = 0; o < j->count; o++) {
        int32_t sum = 0;
        for (int32_t k = 0; k < 2; k++) {
            const int32_t length = j->parts[k].length;
            const int8_t *w = j->parts[k].weight + (j->output + o) * length;
            for (int32_t i = length; i > 0; i -= 16, w += 16) {
                const mve_pred16_t lanes = vctp8q((uint32_t)i);
                sum = vaddvaq_p_s8(sum, vldrbq_z_s8(w, lanes), lanes);
            }
        }
        j->offset[o] = j->io->bias[j->output + o] - j->p->x_zero * sum;
    }
}

static int8_t *copy_tap(const part *from, const int8_t *x, int8_t *to) {
    const int32_t n = from->channels;
    for (int32_t i = 0; i < n; i += 8) {
        const mve_pred16_t lanes = vctp16q((uint32_t)(n - i));
        int16x8_t v;
        if (from->order == NULL) {
            v = vldrbq_z_s16(x + from->first + i, lanes);
        } else {
            const uint16x8_t order = vldrhq_z_u16(from->order + i, lanes);
            v = vldrbq_gather_offset_z_s16(x, order, lanes);
        }
        vstrbq_p_s16(to + i, v, lanes);
    }
    return to + n;
}

/* Copies the patch of one output pixel; returns its end. */
static int8_t *copy_patch(const job *j, const part *from, int32_t row, int32_t column, int8_t *to) {
    const mt_conv_shape *s = &j->p->shape;
    const int32_t top = row * s->stride_h - s->pad_top;
    const int32_t left = column * s->stride_w - s->pad_left;
    for (int32_t kh = 0; kh < s->k_h; kh++) {
        const int32_t ih = top + kh;
        for (int32_t kw = 0; kw < s->k_w; kw++) {
            const int32_t iw = left + kw;
            if (ih < 0 || ih >= s->in_h || iw < 0 || iw >= s->in_w) {
                memset(to, j->p->x_zero, (size_t)from->channels);
                to += from->channels;
            } else {
                const int32_t slot = ih % j->rows->x_rows;
                to = copy_tap(from, j->io->x + (slot * s->in_w + iw) * s->in_c, to);
            }
        }
    }
    return to;
}

/* Patches whose kernel rows are runs of the image, as of a first convolution. */
static int8_t *copy_runs(const job *j, int32_t row, int32_t column, int8_t *to) {
    const mt_conv_shape *s = &j->p->shape;
    const int32_t top = row * s->stride_h - s->pad_top;
    const int32_t left = column * s->stride_w - s->pad_left;
    const int32_t n = s->k_w * s->in_c;
    if (s->groups != 1 || j->parts[0].order != NULL || left < 0 || left + s->k_w > s->in_w ||
        top < 0 || top + s->k_h > s->in_h) {
        to = copy_patch(j, &j->parts[0], row, column, to);
        return copy_patch(j, &j->parts[1], row, column, to);
    }
    for (int32_t kh = 0; kh < s->k_h; kh++, to += n) {
        const int32_t slot = (top + kh) % j->rows->x_rows;
        const int8_t *x = j->io->x + (slot * s->in_w + left) * s->in_c;
        for (int32_t i = 0; i < n; i += 16) {
            const mve_pred16_t lanes = vctp8q((uint32_t)(n - i));
            vstrbq_p_s8(to + i, vldrbq_z_s8(x + i, lanes), lanes);
        }
    }
    return to;
}

/* Finds or copies the patches of `count` pixels; the missing ones repeat the last. */
static quad patches_of(const job *j, int32_t row, int32_t column) {
    const mt_conv_shape *s = &j->p->shape;
    quad q = {{NULL, NULL, NULL, NULL}, row, column, mt_min(PIXELS, s->out_w - column)};
    int8_t *to = (int8_t *)j->io->scratch;
    for (int32_t i = 0; i < PIXELS; i++) {
        const int32_t at = column + mt_min(i, q.count - 1);
        if (j->plain) {
            const int32_t slot = (row * s->stride_h) % j->rows->x_rows;
            q.x[i] = j->io->x + (slot * s->in_w + at * s->stride_w) * s->in_c + j->parts[0].first;
        } else if (i < q.count) {
            q.x[i] = to;
            to = copy_runs(j, row, at, to);
        } else {
            q.x[i] = q.x[i - 1];
        }
    }
    return q;
}

/* acc[i] + x[i] . w over n bytes, n >= 1 */
static inline int32x4_t dot_loop(int32_t offset, const int8_t *const x[PIXELS], const int8_t *w,
                                 int32_t skip, int32_t n, int32x4_t acc) {
    const int8_t *x0 = x[0] + skip, *x1 = x[1] + skip, *x2 = x[2] + skip, *x3 = x[3] + skip;
    int32_t a0 = offset, a1 = offset, a2 = offset, a3 = offset;
    __asm__ volatile("dlstp.8 lr, %[n]\n"
                     "1:\n"
                     "vldrb.8 q0, [%[w]], #16\n"
                     "vldrb.8 q1, [%[x0]], #16\n"
                     "vmladava.s8 %[a0], q0, q1\n"
                     "vldrb.8 q1, [%[x1]], #16\n"
                     "vmladava.s8 %[a1], q0, q1\n"
                     "vldrb.8 q1, [%[x2]], #16\n"
                     "vmladava.s8 %[a2], q0, q1\n"
                     "vldrb.8 q1, [%[x3]], #16\n"
                     "vmladava.s8 %[a3], q0, q1\n"
                     "letp lr, 1b\n"
                     : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [a3] "+Te"(a3),
                       [w] "+r"(w), [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), [x3] "+r"(x3)
                     : [n] "r"(n)
                     : "q0", "q1", "lr", "memory");
    const int32x4_t sum = {a0, a1, a2, a3};
    return vaddq_s32(acc, sum);
}

/* A kind of dot product: 16*full + 8*half bytes in straight code, or 0, 0 for any length. */
typedef struct {
    int32_t full, half;
} dot_kind;

static inline __attribute__((always_inline)) int32_t dot_fixed(int32_t acc, const int8_t *x,
                                                               const int8_t *w, dot_kind kind) {
#pragma GCC unroll 8
    for (int32_t i = 0; i < kind.full; i++) {
        acc = vmladavaq_s8(acc, vldrbq_s8(x + 16 * i), vldrbq_s8(w + 16 * i));
    }
    if (kind.half) {
        acc = vmladavaq_s16(acc, vldrbq_s16(x + 16 * kind.full), vldrbq_s16(w + 16 * kind.full));
    }
    return acc;
}

/* The accumulators of output o of the block for four pixels. */
static inline __attribute__((always_inline)) int32x4_t accumulate(const job *j, const quad *q,
                                                                  int32_t o, dot_kind kind) {
    const int32_t length = j->parts[0].length;
    const int8_t *w = j->parts[0].weight + (j->output + o) * length;
    const int32_t offset = j->offset[o];
    if (kind.full + kind.half > 0) {
        const int32x4_t sum = {dot_fixed(offset, q->x[0], w, kind), dot_fixed(offset, q->x[1], w, kind),
                               dot_fixed(offset, q->x[2], w, kind), dot_fixed(offset, q->x[3], w, kind)};
        return sum;
    }
    int32x4_t sum = vdupq_n_s32(0);
    if (length > 0) {
        sum = dot_loop(offset, q->x, w, 0, length, sum);
    }
    if (j->parts[1].length > 0) {
        const int8_t *second = j->parts[1].weight + (j->output + o) * j->parts[1].length;
        sum = dot_loop(length > 0 ? 0 : offset, q->x, second, length, j->parts[1].length, sum);
    }
    return sum;
}

/* Sets the bits of one output channel where `inside` has a lane of ones. */
static void set_bits(const job *j, const quad *q, int32_t o, mve_pred16_t inside) {
    const mt_conv_shape *s = &j->p->shape;
    for (int32_t i = 0; i < q->count; i++) {
        const int32_t bit = (q->row * s->out_w + q->column + i) * s->out_c + o;
        const uint32_t is = ((uint32_t)inside >> (4 * i)) & 1u;
        j->io->mask[bit >> 3] = (uint8_t)(j->io->mask[bit >> 3] | is << (bit & 7));
    }
}

/* The block of outputs of four pixels. */
static inline __attribute__((always_inline)) void outputs(const job *j, const quad *q,
                                                          dot_kind kind) {
    const mt_conv_shape *s = &j->p->shape;
    const uint32_t bytes = (uint32_t)s->out_c;
    const uint32x4_t step = vmulq_n_u32(vidupq_n_u32(0, 1), bytes);
    const int32x4_t lo = vdupq_n_s32(j->p->clamp_lo), hi = vdupq_n_s32(j->p->clamp_hi);
    const mve_pred16_t lanes = vctp32q((uint32_t)q->count);
    const int32_t slot = q->row % j->rows->y_rows;
    int8_t *y = j->io->y + (slot * s->out_w + q->column) * s->out_c + j->output;
    uint8_t *mask = j->io->mask;
    const int32_t whole = ((s->out_c | j->output | j->count) & 7) == 0; /* whole bytes of bits */
    uint32x4_t bits = vdupq_n_u32(0);
    uint32_t bit = 1;
    if (mask != NULL && whole) {
        mask += ((q->row * s->out_w + q->column) * s->out_c + j->output) >> 3;
    }
    for (int32_t o = 0; o < j->count; o++) {
        int32x4_t v = accumulate(j, q, o, kind);
        v = vqshlq_r_s32(v, j->p->shift[j->output + o]);
        v = vrmulhq_s32(v, vdupq_n_s32(j->p->multiplier[j->output + o]));
        v = vaddq_n_s32(v, j->p->y_zero);
        const int32x4_t clamped = vminq_s32(vmaxq_s32(v, lo), hi);
        vstrbq_scatter_offset_p_s32(y + o, step, clamped, lanes);
        if (mask != NULL) {
            const mve_pred16_t inside = vcmpeqq_s32(v, clamped);
            if (!whole) {
                set_bits(j, q, j->output + o, inside);
                continue;
            }
            bits = vaddq_m_n_u32(bits, bits, bit, inside);
            bit <<= 1;
            if (bit == 256) {
                vstrbq_scatter_offset_p_u32(mask++, vshrq_n_u32(step, 3), bits, lanes);
                bits = vdupq_n_u32(0);
                bit = 1;
            }
        }
    }
}

#define KIND(full, half)                                                                           \
    case 2 * (full) + (half): {                                                                    \
        outputs(j, &q, (dot_kind){full, half});                                                    \
        break;                                                                                     \
    }

/* The block of outputs of all pixels. */
static void pixels(const job *j) {
    const mt_conv_shape *s = &j->p->shape;
    const int32_t length = j->parts[0].length;
    const int32_t straight = j->parts[1].length == 0 && (length & 7) == 0 ? length >> 3 : 0;
    for (int32_t row = j->rows->first; row < j->rows->last; row++) {
        for (int32_t column = 0; column < s->out_w; column += PIXELS) {
            const quad q = patches_of(j, row, column);
            switch (straight) {
                KIND(0, 1)
                KIND(1, 0)
                KIND(1, 1)
                KIND(2, 0)
                KIND(2, 1)
                KIND(3, 0)
            default:
                outputs(j, &q, (dot_kind){0, 0});
            }
        }
    }
}

void mt_dense_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    const int32_t inputs = s->in_c / s->groups, taps = s->k_h * s->k_w;
    const int32_t per_group = s->out_c / s->groups;
    job j = {.p = p, .io = io, .rows = rows};
    j.parts[0].weight = io->weight != NULL ? io->weight : io->trained_weight;
    j.parts[0].channels = inputs;
    if (p->channel_order != NULL) {
        const int32_t t = p->trained_channels;
        j.parts[0] = (part){io->trained_weight, p->channel_order, 0, t, 0};
        j.parts[1] = (part){io->weight, p->channel_order + t, 0, inputs - t, 0};
    }
    j.parts[0].length = taps * j.parts[0].channels;
    j.parts[1].length = taps * j.parts[1].channels;
    j.plain = mt_conv2d_is_plain(p);
    for (int32_t o = 0; o < s->out_c; o += j.count) {
        const int32_t left = per_group - o % per_group;
        j.output = o;
        j.count = mt_min(MT_BLOCK, left);
        j.parts[0].first = o / per_group * inputs;
        sum_weights(&j);
        pixels(&j);
    }
}
#endif
