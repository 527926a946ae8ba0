/* Forward depthwise convolution with Helium, one channel at a time: the patches of a line are dot
 * products of 16 to 64 bytes. sum((x - z)*w) = sum(x*w) - z*sum(w). */
#include "mt_conv2d_finish.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_MVE
#include "mt_lines_mve.h"

#define GROUP 8

/* Which dot product: vectors of a patch, bytes from patch to patch. */
typedef enum { PATCH_1_STEP_4, PATCH_1_STEP_8, PATCH_1, PATCH_3, PATCH_4 } patch_kind;

/* What one call works on. */
typedef struct {
    const mt_conv2d_params *p;
    const mt_conv2d_io *io;
    const mt_rows *rows;
    mt_lines l;
    int32_t first, count; /* the output rows that `l` has */
} job;

/* The sums of four patches from x on. In assembler, because GCC 12 takes the four accumulators
 * through memory. */
#define TAKE_1(a, advance) advance "vmladav.s8 %[" a "], q0, %q[w0]\n\t"
#define TAKE_3(a, advance)                                                                         \
    "vldrb.8 q0, [%[x], #16]\n\tvmladav.s8 %[" a "], q0, %q[w1]\n\t"                               \
    "vldrb.8 q0, [%[x], #32]\n\tvmladava.s8 %[" a "], q0, %q[w2]\n\t" advance "vmladava.s8 %[" a   \
    "], q0, %q[w0]\n\t"
#define TAKE_4(a, advance)                                                                         \
    "vldrb.8 q0, [%[x], #48]\n\tvmladav.s8 %[" a "], q0, %q[w3]\n\t"                               \
    "vldrb.8 q0, [%[x], #16]\n\tvmladava.s8 %[" a "], q0, %q[w1]\n\t"                              \
    "vldrb.8 q0, [%[x], #32]\n\tvmladava.s8 %[" a "], q0, %q[w2]\n\t" advance "vmladava.s8 %[" a   \
    "], q0, %q[w0]\n\t"
#define STEP_4 "vldrb.8 q0, [%[x]], #4\n\t"
#define STEP_8 "vldrb.8 q0, [%[x]], #8\n\t"
#define STEP_ANY "vldrb.8 q0, [%[x]]\n\tadd %[x], %[x], %[step]\n\t"
#define FOUR(take, advance, ...)                                                                   \
    __asm__ volatile(take("a0", advance) take("a1", advance) take("a2", advance)                   \
                         take("a3", advance) "vmov %q[v][2], %q[v][0], %[a0], %[a2]\n\t"           \
                                             "vmov %q[v][3], %q[v][1], %[a1], %[a3]"               \
                     : [v] "=&w"(v), [x] "+r"(x), [a0] "=&Te"(a0), [a1] "=&Te"(a1),                \
                       [a2] "=&Te"(a2), [a3] "=&Te"(a3)                                            \
                     : [step] "r"(step), [w0] "w"(w->v0)__VA_ARGS__                                \
                     : "q0", "memory")

MT_INLINE int32x4_t four(const int8_t **from, const mt_patch_weights *w, int32_t step,
                         patch_kind kind) {
    const int8_t *x = *from;
    int32x4_t v;
    int32_t a0, a1, a2, a3;
    if (kind == PATCH_1_STEP_4) {
        FOUR(TAKE_1, STEP_4);
    } else if (kind == PATCH_1_STEP_8) {
        FOUR(TAKE_1, STEP_8);
    } else if (kind == PATCH_1) {
        FOUR(TAKE_1, STEP_ANY);
    } else if (kind == PATCH_3) {
        FOUR(TAKE_3, STEP_ANY, , [w1] "w"(w->v1), [w2] "w"(w->v2));
    } else {
        FOUR(TAKE_4, STEP_ANY, , [w1] "w"(w->v1), [w2] "w"(w->v2), [w3] "w"(w->v3));
    }
    *from = x;
    return v;
}

/* Eight results of one channel, or fewer at the end of a row. */
typedef struct {
    uint16x8_t pixel, at; /* of the lanes: which pixel, and its distance in y */
    int8_t *y;
    uint8_t *mask;
    int32_t bit; /* index of the first element in the mask */
    int32_t left;
} group;

/* Sets the bits of a group where `inside`. */
MT_INLINE void set_bits(const group *g, mve_pred16_t inside) {
    const uint16x8_t bit = vaddq_n_u16(g->at, (uint16_t)(g->bit & 7));
    const uint16x8_t byte = vshrq_n_u16(bit, 3);
    const int16x8_t in_byte = vreinterpretq_s16_u16(vandq_u16(bit, vdupq_n_u16(7)));
    uint8_t *mask = g->mask + (g->bit >> 3);
    const uint16x8_t old = vldrbq_gather_offset_z_u16(mask, byte, inside);
    const uint16x8_t set = vorrq_u16(old, vshlq_u16(vdupq_n_u16(1), in_byte));
    vstrbq_scatter_offset_p_u16(mask, byte, set, inside);
}

/* Stores codes that saturate in int16. `plain`: no mask, no clamp but that to int8. */
MT_INLINE void store(const mt_conv2d_params *p, const group *g, int16x8_t code, int plain) {
    const mve_pred16_t there = vcmphiq_u16(vdupq_n_u16((uint16_t)g->left), g->pixel);
    if (plain) {
        code = vreinterpretq_s16_s8(vqmovnbq_s16(vreinterpretq_s8_s16(code), code));
    } else {
        const int16_t lo = (int16_t)p->clamp_lo, hi = (int16_t)p->clamp_hi;
        if (g->mask != NULL) {
            const mve_pred16_t above = vcmpgeq_m_n_s16(code, lo, there);
            set_bits(g, vcmpleq_m_n_s16(code, hi, above));
        }
        code = vminq_s16(vmaxq_s16(code, vdupq_n_s16(lo)), vdupq_n_s16(hi));
    }
    vstrbq_scatter_offset_p_s16(g->y, g->at, code, there);
}

/* One channel. high(sat(acc << shift), m) = (floor(acc*m / 2^31) + 1) >> 1: VQDMULH, VQRSHRN. */
MT_INLINE void channel(const job *j, int32_t c, const int8_t *plane, patch_kind kind, int plain) {
    const mt_conv2d_params *p = j->p;
    const mt_conv_shape *s = &p->shape;
    const int32_t step = s->stride_w * j->l.tall, channels = s->out_c;
    const int32_t multiplier = p->multiplier[c], shift = p->shift[c], bias = j->io->bias[c];
    const int16_t zero = (int16_t)p->y_zero;
    const int vectors = kind == PATCH_3 ? 3 : kind == PATCH_4 ? 4 : 1;
    const int32_t row_bytes = s->out_w * channels;
    /* Lanes 0, 2, 4, 6 are the first four pixels of a group. */
    const uint16x8_t lane = vidupq_n_u16(0, 1);
    const uint16x8_t odd = vandq_u16(lane, vdupq_n_u16(1));
    group g;
    g.pixel = vaddq_u16(vshlq_n_u16(odd, 2), vshrq_n_u16(lane, 1));
    g.at = vmulq_n_u16(g.pixel, (uint16_t)channels);
    g.mask = j->io->mask;
    int32_t slot = j->first % j->rows->y_rows;
    for (int32_t i = 0; i < j->count; i++) {
        const mt_line *row = &j->l.rows[i];
        mt_lines_fill(&j->l, row, plane);
        const mt_patch_weights w = mt_lines_patch(&j->l, row, vectors);
        const int32_t offset = bias - p->x_zero * w.sum;
        const int8_t *x = j->l.line;
        int16x8_t v = vdupq_n_s16(0);
        g.bit = (j->first + i) * row_bytes + c;
        g.y = j->io->y + slot * row_bytes + c;
        slot = slot + 1 == j->rows->y_rows ? 0 : slot + 1;
        for (g.left = s->out_w; g.left > 0; g.left -= GROUP) {
            int32x4_t sum = vaddq_n_s32(four(&x, &w, step, kind), offset);
            sum = vqdmulhq_n_s32(vqshlq_r_s32(sum, shift), multiplier);
            v = vqrshrnbq_n_s32(v, sum, 1);
            if (g.left > GROUP / 2) {
                sum = vaddq_n_s32(four(&x, &w, step, kind), offset);
                sum = vqdmulhq_n_s32(vqshlq_r_s32(sum, shift), multiplier);
                v = vqrshrntq_n_s32(v, sum, 1);
            }
            store(p, &g, vqaddq_n_s16(v, zero), plain);
            g.y += GROUP * channels;
            g.bit += GROUP * channels;
        }
    }
}

#define CHANNEL(name, kind)                                                                        \
    static __attribute__((noinline)) void name(const job *j, int32_t c, const int8_t *plane) {     \
        channel(j, c, plane, kind, 1);                                                             \
    }                                                                                              \
    static __attribute__((noinline)) void name##_full(const job *j, int32_t c,                     \
                                                      const int8_t *plane) {                       \
        channel(j, c, plane, kind, 0);                                                             \
    }

CHANNEL(channel_1_step_4, PATCH_1_STEP_4)
CHANNEL(channel_1_step_8, PATCH_1_STEP_8)
CHANNEL(channel_1, PATCH_1)
CHANNEL(channel_3, PATCH_3)
CHANNEL(channel_4, PATCH_4)

#define CHANNEL_CASES(kind, name)                                                                  \
    case 2 * kind:                                                                                 \
        name##_full(j, c, plane);                                                                  \
        break;                                                                                     \
    case 2 * kind + 1:                                                                             \
        name(j, c, plane);                                                                         \
        break;

static inline void any_channel(const job *j, int32_t which, int32_t c, const int8_t *plane) {
    switch (which) {
        CHANNEL_CASES(PATCH_1_STEP_4, channel_1_step_4)
        CHANNEL_CASES(PATCH_1_STEP_8, channel_1_step_8)
        CHANNEL_CASES(PATCH_1, channel_1)
        CHANNEL_CASES(PATCH_3, channel_3)
        CHANNEL_CASES(PATCH_4, channel_4)
    default:
        break;
    }
}

static int32_t kind_of(const mt_lines *l) {
    const int32_t step = l->s->stride_w * l->tall;
    if (l->vectors > 1) {
        return l->vectors == 3 ? PATCH_3 : PATCH_4;
    }
    return step == 4 ? PATCH_1_STEP_4 : step == 8 ? PATCH_1_STEP_8 : PATCH_1;
}

/* All rows of a channel; the lines of more than MT_LINES rows are made for each channel. */
static void all_rows(job *j, int32_t which, int32_t c, const int8_t *plane) {
    const int32_t last = j->rows->last;
    if (last - j->rows->first <= MT_LINES) {
        any_channel(j, which, c, plane);
        return;
    }
    for (j->first = j->rows->first; j->first < last; j->first += MT_LINES) {
        j->count = mt_min(MT_LINES, last - j->first);
        mt_lines_rows(&j->l, j->first, j->count);
        any_channel(j, which, c, plane);
    }
}

static __attribute__((noinline)) void tuned_rows(const mt_conv2d_params *p, const mt_conv2d_io *io,
                                                 const mt_rows *rows, mt_plane plane) {
    const mt_conv_shape *s = &p->shape;
    const int in_place = io->x == io->y;
    int8_t *scratch = (int8_t *)io->scratch;
    const mt_depthwise_weights weights = {
        s, io->weight, io->trained_weight, p->channel_order, p->trained_channels, scratch};
    int8_t *copy = p->channel_order == NULL ? scratch : scratch + s->k_h * s->k_w * MT_BLOCK;
    job j = {.p = p, .io = io, .rows = rows, .first = rows->first};
    mt_lines_begin(&j.l, s, plane, in_place ? copy + s->in_h * s->in_w : copy, p->x_zero);
    j.count = mt_min(MT_LINES, rows->last - rows->first);
    mt_lines_rows(&j.l, j.first, j.count);
    const int plain = io->mask == NULL && p->clamp_lo == -128 && p->clamp_hi == 127;
    const int32_t which = 2 * kind_of(&j.l) + plain;
    for (int32_t o = 0; o < s->out_c; o += MT_BLOCK) {
        const int32_t n = mt_min(MT_BLOCK, s->out_c - o);
        int32_t stride;
        const int8_t *columns = mt_depthwise_columns(&weights, o, n, &stride);
        for (int32_t c = o; c < o + n; c++) {
            const int8_t *x = io->x + c;
            mt_lines_weights(&j.l, columns++, stride);
            if (in_place) {
                mt_copy_plane(x, s->in_c, s->in_h * s->in_w, copy);
                x = copy;
            }
            all_rows(&j, which, c, x);
        }
    }
}

void mt_depthwise_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    mt_plane plane = {s->in_c, s->in_w * s->in_c, rows->x_rows};
    if (io->x == io->y) {
        plane = (mt_plane){1, s->in_w, s->in_h};
    }
    /* Two pixels with bits in one byte of a mask, or too large for lines: the portable code. */
    if ((io->mask != NULL && s->out_c < 8) || !mt_lines_fit(s, plane)) {
        mt_depthwise_any_rows(p, io, rows);
    } else {
        tuned_rows(p, io, rows, plane);
    }
}
#endif
