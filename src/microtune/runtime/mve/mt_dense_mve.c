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

/* What makes codes of the dot products of one output: bias - zero*sum(weights), requantisation. */
typedef struct {
    int32_t offset, multiplier, shift;
} constants;

/* What one call works on. */
typedef struct {
    const mt_conv2d_params *p;
    const mt_conv2d_io *io;
    const mt_rows *rows;
    part parts[2];
    int32_t plain;  /* patches are runs of the image itself */
    int32_t output, count; /* the block of outputs */
    constants table[MT_BLOCK];
} job;

/* Up to four pixels of one output row. */
typedef struct {
    const int8_t *x[PIXELS]; /* their patches */
    int32_t row, column, count;
} quad;

static void make_table(job *j) {
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
        const int32_t at = j->output + o;
        j->table[o] = (constants){j->io->bias[at] - j->p->x_zero * sum, j->p->multiplier[at],
                                  j->p->shift[at]};
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
static __attribute__((noinline)) int8_t *copy_runs(const job *j, int32_t row, int32_t column, int8_t *to) {
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
    if (j->plain && q.count == PIXELS) {
        const int32_t slot = (row * s->stride_h) % j->rows->x_rows, step = s->stride_w * s->in_c;
        q.x[0] = j->io->x + slot * s->in_w * s->in_c + column * step + j->parts[0].first;
        q.x[1] = q.x[0] + step;
        q.x[2] = q.x[1] + step;
        q.x[3] = q.x[2] + step;
        return q;
    }
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

/* Below, a0 .. a3 are the accumulators of four pixels. In assembler, because compilers keep the
 * vectors of x over the outputs and then spill them; not in a struct, because GCC 12 makes a vector
 * of one and confuses its lanes. */

/* One vector of the weights at w + at times those at x0 + at .. x3 + at. */
#define DOT_VECTOR(load, mac, at)                                                                  \
    __asm__ volatile(load " q0, [%[w], #" #at "]\n\t"                                              \
                     load " q1, [%[x0], #" #at "]\n\t" mac " %[a0], q0, q1\n\t"                    \
                     load " q1, [%[x1], #" #at "]\n\t" mac " %[a1], q0, q1\n\t"                    \
                     load " q1, [%[x2], #" #at "]\n\t" mac " %[a2], q0, q1\n\t"                    \
                     load " q1, [%[x3], #" #at "]\n\t" mac " %[a3], q0, q1\n\t"                    \
                     : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [a3] "+Te"(a3)  \
                     : [w] "r"(w), [x0] "r"(x0), [x1] "r"(x1), [x2] "r"(x2), [x3] "r"(x3)          \
                     : "q0", "q1", "memory")
#define DOT_16(at) DOT_VECTOR("vldrb.8", "vmladava.s8", at)
#define DOT_8(at) DOT_VECTOR("vldrb.s16", "vmladava.s16", at)

/* x . w over n bytes, n >= 1; moves all pointers. */
#define DOT_LOOP(x0, x1, x2, x3, w, n)                                                             \
    __asm__ volatile("dlstp.8 lr, %[length]\n"                                                     \
                     "1:\n\t"                                                                      \
                     "vldrb.8 q0, [%[from]], #16\n\t"                                              \
                     "vldrb.8 q1, [%[p0]], #16\n\t"                                                \
                     "vmladava.s8 %[s0], q0, q1\n\t"                                               \
                     "vldrb.8 q1, [%[p1]], #16\n\t"                                                \
                     "vmladava.s8 %[s1], q0, q1\n\t"                                               \
                     "vldrb.8 q1, [%[p2]], #16\n\t"                                                \
                     "vmladava.s8 %[s2], q0, q1\n\t"                                               \
                     "vldrb.8 q1, [%[p3]], #16\n\t"                                                \
                     "vmladava.s8 %[s3], q0, q1\n\t"                                               \
                     "letp lr, 1b\n"                                                               \
                     : [s0] "+Te"(a0), [s1] "+Te"(a1), [s2] "+Te"(a2), [s3] "+Te"(a3),             \
                       [from] "+r"(w), [p0] "+r"(x0), [p1] "+r"(x1), [p2] "+r"(x2), [p3] "+r"(x3)  \
                     : [length] "r"(n)                                                             \
                     : "q0", "q1", "lr", "memory")

/* Zero point plus requantised sums, not yet clamped. */
MT_INLINE int32x4_t requantize(int32_t a0, int32_t a1, int32_t a2, int32_t a3,
                               const constants *c, int32_t zero) {
    int32x4_t v;
    __asm__("vmov %q[v][2], %q[v][0], %[a0], %[a2]\n\t"
            "vmov %q[v][3], %q[v][1], %[a1], %[a3]"
            : [v] "=&w"(v)
            : [a0] "r"(a0), [a1] "r"(a1), [a2] "r"(a2), [a3] "r"(a3));
    v = vqshlq_r_s32(v, c->shift);
    return vaddq_n_s32(vrmulhq_s32(v, vdupq_n_s32(c->multiplier)), zero);
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

static int8_t *output_of(const job *j, const quad *q) {
    const int32_t at = (q->row % j->rows->y_rows) * j->p->shape.out_w + q->column;
    return j->io->y + at * j->p->shape.out_c + j->output;
}

/* The block of outputs of one to four pixels, masks at any bit, weights in two parts. */
static __attribute__((noinline)) void outputs_any(const job *j, const quad *q) {
    const uint32x4_t step = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)j->p->shape.out_c);
    const int32x4_t lo = vdupq_n_s32(j->p->clamp_lo), hi = vdupq_n_s32(j->p->clamp_hi);
    const int32_t n[2] = {j->parts[0].length, j->parts[1].length};
    int8_t *y = output_of(j, q);
    for (int32_t o = 0; o < j->count; o++) {
        const int32_t offset = j->table[o].offset;
        int32_t a0 = offset, a1 = offset, a2 = offset, a3 = offset;
        for (int32_t k = 0; k < 2; k++) {
            const int8_t *w = j->parts[k].weight + (j->output + o) * n[k];
            const int8_t *x0 = q->x[0] + k * n[0], *x1 = q->x[1] + k * n[0];
            const int8_t *x2 = q->x[2] + k * n[0], *x3 = q->x[3] + k * n[0];
            if (n[k] > 0) {
                DOT_LOOP(x0, x1, x2, x3, w, n[k]);
            }
        }
        const int32x4_t v = requantize(a0, a1, a2, a3, &j->table[o], j->p->y_zero);
        const int32x4_t clamped = vminq_s32(vmaxq_s32(v, lo), hi);
        vstrbq_scatter_offset_p_s32(y + o, step, clamped, vctp32q((uint32_t)q->count));
        if (j->io->mask != NULL) {
            set_bits(j, q, j->output + o, vcmpeqq_s32(v, clamped));
        }
    }
}

/* The block of outputs of four pixels; with a mask, whole bytes of bits. */
#define OUTPUTS(name, masked, dot)                                                                 \
    static __attribute__((noinline)) void name(const job *j, const quad *q, uint8_t *mask) {       \
        const uint32x4_t step = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)j->p->shape.out_c);      \
        const uint32x4_t mask_step = vshrq_n_u32(step, 3);                                         \
        const int32x4_t lo = vdupq_n_s32(j->p->clamp_lo), hi = vdupq_n_s32(j->p->clamp_hi);        \
        const int32_t length = j->parts[0].length, zero = j->p->y_zero;                            \
        const int8_t *x0 = q->x[0], *x1 = q->x[1], *x2 = q->x[2], *x3 = q->x[3];                   \
        const int32_t second = j->parts[1].length;                                                 \
        const int8_t *w = j->parts[0].weight + j->output * length;                                 \
        const int8_t *w2 = j->parts[1].weight + j->output * second;                                \
        const constants *c = j->table, *end = c + j->count;                                        \
        int8_t *y = output_of(j, q);                                                               \
        uint32x4_t bits = vdupq_n_u32(0);                                                          \
        uint32_t bit = 1;                                                                          \
        do {                                                                                       \
            int32_t a0 = c->offset, a1 = a0, a2 = a0, a3 = a0;                                     \
            dot;                                                                                   \
            const int32x4_t v = requantize(a0, a1, a2, a3, c, zero);                               \
            const int32x4_t clamped = vminq_s32(vmaxq_s32(v, lo), hi);                             \
            vstrbq_scatter_offset_s32(y, step, clamped);                                           \
            if (masked) {                                                                          \
                bits = vaddq_m_n_u32(bits, bits, bit, vcmpeqq_s32(v, clamped));                    \
                bit <<= 1;                                                                         \
                if (bit == 256) {                                                                  \
                    vstrbq_scatter_offset_u32(mask, mask_step, bits);                              \
                    mask++;                                                                        \
                    bits = vdupq_n_u32(0);                                                         \
                    bit = 1;                                                                       \
                }                                                                                  \
            }                                                                                      \
            w += length;                                                                           \
            w2 += second;                                                                          \
            y++;                                                                                   \
            c++;                                                                                   \
        } while (c < end);                                                                         \
    }

#define OUTPUTS_PAIR(name, dot)                                                                    \
    OUTPUTS(name, 0, dot)                                                                          \
    OUTPUTS(name##_masked, 1, dot)

/* clang-format off */
OUTPUTS_PAIR(outputs_8, DOT_8(0))
OUTPUTS_PAIR(outputs_16, DOT_16(0))
OUTPUTS_PAIR(outputs_24, DOT_16(0); DOT_8(16))
OUTPUTS_PAIR(outputs_32, DOT_16(0); DOT_16(16))
OUTPUTS_PAIR(outputs_40, DOT_16(0); DOT_16(16); DOT_8(32))
OUTPUTS_PAIR(outputs_48, DOT_16(0); DOT_16(16); DOT_16(32))
OUTPUTS_PAIR(outputs_loop, const int8_t *wp = w; const int8_t *p0 = x0; const int8_t *p1 = x1;
             const int8_t *p2 = x2; const int8_t *p3 = x3; DOT_LOOP(p0, p1, p2, p3, wp, length))
OUTPUTS_PAIR(outputs_parts, const int8_t *wp = w; const int8_t *p0 = x0; const int8_t *p1 = x1;
             const int8_t *p2 = x2; const int8_t *p3 = x3; DOT_LOOP(p0, p1, p2, p3, wp, length);
             p0 = x0 + length; p1 = x1 + length; p2 = x2 + length; p3 = x3 + length; wp = w2;
             DOT_LOOP(p0, p1, p2, p3, wp, second))
/* clang-format on */

#define OUTPUTS_CASE(n, name)                                                                      \
    case n: {                                                                                      \
        if (mask == NULL) {                                                                        \
            name(j, q, mask);                                                                      \
        } else {                                                                                   \
            name##_masked(j, q, mask);                                                             \
        }                                                                                          \
        break;                                                                                     \
    }

static void outputs_four(const job *j, const quad *q, uint8_t *mask) {
    switch (j->parts[1].length > 0 ? -1 : j->parts[0].length) {
        OUTPUTS_CASE(-1, outputs_parts)
        OUTPUTS_CASE(8, outputs_8)
        OUTPUTS_CASE(16, outputs_16)
        OUTPUTS_CASE(24, outputs_24)
        OUTPUTS_CASE(32, outputs_32)
        OUTPUTS_CASE(40, outputs_40)
        OUTPUTS_CASE(48, outputs_48)
    default:
        if (mask == NULL) {
            outputs_loop(j, q, mask);
        } else {
            outputs_loop_masked(j, q, mask);
        }
    }
}

/* The block of outputs of all pixels. */
static void pixels(const job *j) {
    const mt_conv_shape *s = &j->p->shape;
    uint8_t *mask = j->io->mask;
    const int32_t simple = j->parts[0].length > 0 &&
                           (mask == NULL || ((s->out_c | j->output | j->count) & 7) == 0);
    for (int32_t row = j->rows->first; row < j->rows->last; row++) {
        for (int32_t column = 0; column < s->out_w; column += PIXELS) {
            const quad q = patches_of(j, row, column);
            if (simple && q.count == PIXELS) {
                const int32_t bit = (row * s->out_w + column) * s->out_c + j->output;
                outputs_four(j, &q, mask == NULL ? NULL : mask + (bit >> 3));
            } else {
                outputs_any(j, &q);
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
        make_table(&j);
        pixels(&j);
    }
}
#endif
