/* The rows of depthwise convolution with Helium: columns gathered into a line, then one dot product
 * of 16 to 64 bytes for each pixel. In assembler, because GCC 12 keeps neither four accumulators
 * nor the constants of a row in registers. */
#include "mt_depthwise_mve.h"

#if MT_ISA_MVE

#define ROWS_BLOCK 32 /* pixels */
#define IN_RUN(name, member) [name] "i"(offsetof(mt_depthwise_run, member))

/* Gathers the columns in pairs; x, to, t and a are lost. */
#define FILL                                                                                       \
    "vldrw.32 q2, [%[r], %[AT]]\n\t"                                                               \
    "vldrw.32 q3, [%[r], %[NEXT]]\n\t"                                                             \
    "ldr %[to], [%[r], %[TO]]\n\t"                                                                 \
    "ldr %[a], [%[r], %[PAIRS]]\n\t"                                                               \
    "ldr %[t], [%[r], %[TWO_STEPS]]\n\t"                                                           \
    "dls lr, %[a]\n"                                                                               \
    "1:\n\t"                                                                                       \
    "vldrb.s16 q0, [%[x], q2]\n\t"                                                                 \
    "vldrb.s16 q1, [%[x], q3]\n\t"                                                                 \
    "add %[x], %[x], %[t]\n\t"                                                                     \
    "vstrb.16 q0, [%[to]], #8\n\t"                                                                 \
    "vstrb.16 q1, [%[to]], #8\n\t"                                                                 \
    "le lr, 1b\n\t"

/* The weights of patches of 1, 3 or 4 vectors, in q4 .. q7. */
#define WEIGHTS_1 "vmsr p0, %[zero]\n\tvpst\n\tvldrbt.8 q4, [%[r], #32]\n\t"
#define WEIGHTS_3                                                                                  \
    "vmsr p0, %[zero]\n\tvpsttt\n\tvldrbt.8 q4, [%[r], #32]\n\tvldrbt.8 q5, [%[r], #48]\n\t"       \
    "vldrbt.8 q6, [%[r], #64]\n\t"
#define WEIGHTS_4                                                                                  \
    "vmsr p0, %[zero]\n\tvpstttt\n\tvldrbt.8 q4, [%[r], #32]\n\tvldrbt.8 q5, [%[r], #48]\n\t"      \
    "vldrbt.8 q6, [%[r], #64]\n\tvldrbt.8 q7, [%[r], #80]\n\t"

/* One dot product, and on to the next patch. */
#define TAKE_1(a, advance) advance "vmladav.s8 %[" a "], q0, q4\n\t"
#define TAKE_3(a, advance)                                                                         \
    "vldrb.8 q0, [%[x], #16]\n\tvmladav.s8 %[" a "], q0, q5\n\t"                                   \
    "vldrb.8 q0, [%[x], #32]\n\tvmladava.s8 %[" a "], q0, q6\n\t" advance "vmladava.s8 %[" a       \
    "], q0, q4\n\t"
#define TAKE_4(a, advance)                                                                         \
    "vldrb.8 q0, [%[x], #48]\n\tvmladav.s8 %[" a "], q0, q7\n\t"                                   \
    "vldrb.8 q0, [%[x], #16]\n\tvmladava.s8 %[" a "], q0, q5\n\t"                                  \
    "vldrb.8 q0, [%[x], #32]\n\tvmladava.s8 %[" a "], q0, q6\n\t" advance "vmladava.s8 %[" a       \
    "], q0, q4\n\t"
#define STEP_4 "vldrb.8 q0, [%[x]], #4\n\t"
#define STEP_8 "vldrb.8 q0, [%[x]], #8\n\t"
#define STEP_ANY "vldrb.8 q0, [%[x]]\n\tadd %[x], %[x], %[t]\n\t"

/* Four of them, requantised into the bottom or top halves of q2: high(sat(acc << shift), m) =
 * (floor(acc*m / 2^31) + 1) >> 1. The pixels' way through the lanes of two halves ends in the order
 * of reversed bits. */
#define FOUR(take, advance, half, shift)                                                           \
    take("a", advance) take("b", advance) "vmov q1[2], q1[0], %[a], %[b]\n\t" take("a", advance)   \
        take("b", advance) "vmov q1[3], q1[1], %[a], %[b]\n\t"                                     \
                           "vadd.i32 q1, q1, %[offset]\n\t" shift                                  \
                           "vqdmulh.s32 q1, q1, %[m]\n\tvqrshrn" half ".s32 q2, q1, #1\n\t"

/* Whole groups, then four pixels; %[n] groups, %[half] is 0 or not. */
#define DOTS(take, advance, shift, store, store_half)                                              \
    "wls lr, %[a], 3f\n"                                                                           \
    "2:\n\t" FOUR(take, advance, "b", shift)                                                       \
        FOUR(take, advance, "t",                                                                   \
             shift) "vqadd.s16 q2, q2, %[zero]\n\t" store "le lr, 2b\n"                            \
                    "3:\n\t"                                                                       \
                    "cmp %[half], #0\n\t"                                                          \
                    "beq 4f\n\t" FOUR(take, advance, "b",                                          \
                                      shift) "vqadd.s16 q2, q2, %[zero]\n\t" store_half "4:\n"
#define ROWS_STORE                                                                                 \
    "vqmovnb.s16 q2, q2\n\t"                                                                       \
    "vstrb.16 q2, [%[y], q3]\n\t"                                                                  \
    "add %[y], %[y], %[to]\n\t"
#define STORE_HALF                                                                                 \
    "movw %[a], #0x3333\n\t"                                                                       \
    "vmsr p0, %[a]\n\t"                                                                            \
    "vqmovnb.s16 q2, q2\n\t"                                                                       \
    "vpst\n\t"                                                                                     \
    "vstrbt.16 q2, [%[y], q3]\n"
#define ROWS_KEEP "vstrh.16 q2, [%[y]], #16\n\t"

/* %[zero] is the predicate of the weights until it becomes the zero point; %[to] becomes the way
 * from group to group. */
#define PLAIN_ROW(name, weights, take, advance)                                                    \
    static __attribute__((noinline)) void name(const mt_depthwise_run *r, const int8_t *x,         \
                                               int8_t *y, uint32_t there) {                        \
        int32_t a, b, t, to;                                                                       \
        __asm__ volatile(                                                                          \
            FILL weights                                                                           \
            "ldr %[x], [%[r], %[LINE]]\n\t"                                                        \
            "ldr %[t], [%[r], %[PATCH_STEP]]\n\t"                                                  \
            "ldr %[zero], [%[r], %[ZERO]]\n\t"                                                     \
            "ldr %[to], [%[r], %[Y_NEXT]]\n\t"                                                     \
            "vldrw.32 q3, [%[r], %[Y_AT]]\n\t"                                                     \
            "ldr %[a], [%[r], %[GROUPS]]\n\t" DOTS(take, advance, "", ROWS_STORE, STORE_HALF)      \
            : [x] "+l"(x), [y] "+r"(y), [zero] "+r"(there), [to] "=&l"(to), [a] "=&Te"(a),         \
              [b] "=&Te"(b), [t] "=&r"(t)                                                          \
            : [r] "l"(r), [offset] "r"(r->offset), [m] "r"(r->multiplier), [half] "r"(r->half),    \
              IN_RUN(AT, l.at), IN_RUN(NEXT, l.next), IN_RUN(TO, l.to), IN_RUN(PAIRS, l.pairs),    \
              IN_RUN(TWO_STEPS, l.two_steps), IN_RUN(LINE, l.line),                                \
              IN_RUN(PATCH_STEP, l.patch_step), IN_RUN(ZERO, zero), IN_RUN(Y_NEXT, y_next),        \
              IN_RUN(Y_AT, at), IN_RUN(GROUPS, groups)                                             \
            : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "lr", "cc", "memory");               \
    }

PLAIN_ROW(row_1, WEIGHTS_1, TAKE_1, STEP_ANY)
PLAIN_ROW(row_1_step_4, WEIGHTS_1, TAKE_1, STEP_4)
PLAIN_ROW(row_1_step_8, WEIGHTS_1, TAKE_1, STEP_8)
PLAIN_ROW(row_3, WEIGHTS_3, TAKE_3, STEP_ANY)
PLAIN_ROW(row_4, WEIGHTS_4, TAKE_4, STEP_ANY)

static inline void plain_row(const mt_depthwise_run *r, const int8_t *x, int8_t *y,
                             uint32_t there) {
    if (r->kind == MT_PATCH_1_STEP_4) {
        row_1_step_4(r, x, y, there);
    } else if (r->kind == MT_PATCH_1_STEP_8) {
        row_1_step_8(r, x, y, there);
    } else if (r->kind == MT_PATCH_3) {
        row_3(r, x, y, there);
    } else if (r->kind == MT_PATCH_4) {
        row_4(r, x, y, there);
    } else {
        row_1(r, x, y, there);
    }
}

/* Codes before they are clamped, with the shift: `groups` groups, and four pixels where `half`.
 * Returns the next patch. */
#define KEPT_ROW(name, weights, take)                                                              \
    static __attribute__((noinline)) const int8_t *name(                                           \
        const mt_depthwise_run *r, const int8_t *x, int16_t *v, uint32_t there, int32_t n) {       \
        const int32_t groups = n / MT_GROUP, half = n % MT_GROUP;                                  \
        int32_t a = groups, b;                                                                     \
        __asm__ volatile(                                                                          \
            weights "ldr %[zero], [%[r], %[ZERO]]\n\t" DOTS(                                       \
                take, STEP_ANY, "vqshl.s32 q1, %[shift]\n\t", ROWS_KEEP, ROWS_KEEP)                \
            : [x] "+r"(x), [y] "+l"(v), [zero] "+r"(there), [a] "+Te"(a), [b] "=&Te"(b)            \
            : [r] "l"(r), [offset] "r"(r->offset), [m] "r"(r->multiplier), [half] "r"(half),       \
              [t] "r"(r->l.patch_step), [shift] "r"(r->shift), IN_RUN(ZERO, zero)                  \
            : "q0", "q1", "q2", "q4", "q5", "q6", "q7", "lr", "cc", "memory");                     \
        return x;                                                                                  \
    }

KEPT_ROW(kept_1, WEIGHTS_1, TAKE_1)
KEPT_ROW(kept_3, WEIGHTS_3, TAKE_3)
KEPT_ROW(kept_4, WEIGHTS_4, TAKE_4)

static inline void fill(const mt_depthwise_run *r, const int8_t *x) {
    const uint16x8_t at = vld1q_u16(r->l.at);
    int8_t *to = r->l.to;
    if (r->l.pairs > 0) {
        int32_t a, t;
        __asm__ volatile(FILL
                         : [x] "+r"(x), [to] "=&l"(to), [a] "=&r"(a), [t] "=&r"(t)
                         : [r] "r"(r), IN_RUN(AT, l.at), IN_RUN(NEXT, l.next), IN_RUN(TO, l.to),
                           IN_RUN(PAIRS, l.pairs), IN_RUN(TWO_STEPS, l.two_steps)
                         : "q0", "q1", "q2", "q3", "lr", "memory");
    }
    for (int32_t n = r->l.rest; n > 0; n -= 8, to += 8, x += r->l.step) {
        const mve_pred16_t there = vctp16q((uint32_t)n);
        vstrbq_p_s16(to, vldrbq_gather_offset_z_s16(x, at, there), there);
    }
}

/* Sets the bits of a group where `inside`. */
static inline void set_row_bits(const mt_depthwise_run *r, int32_t first, mve_pred16_t inside) {
    const uint16x8_t bit = vaddq_n_u16(vld1q_u16(r->at), (uint16_t)(first & 7));
    const uint16x8_t byte = vshrq_n_u16(bit, 3);
    const int16x8_t in_byte = vreinterpretq_s16_u16(vandq_u16(bit, vdupq_n_u16(7)));
    uint8_t *mask = r->mask + (first >> 3);
    const uint16x8_t old = vldrbq_gather_offset_z_u16(mask, byte, inside);
    const uint16x8_t set = vorrq_u16(old, vshlq_u16(vdupq_n_u16(1), in_byte));
    vstrbq_scatter_offset_p_u16(mask, byte, set, inside);
}

/* A row with everything; `bit` is the index of its first element in the mask. */
static __attribute__((noinline)) void any_row(const mt_depthwise_run *r, const int8_t *x, int8_t *y,
                                              int32_t bit, uint32_t there) {
    const int16_t lo = (int16_t)r->p->clamp_lo, hi = (int16_t)r->p->clamp_hi;
    const uint16x8_t pixel = vld1q_u16(r->pixel), at = vld1q_u16(r->at);
    const int16x8_t least = vdupq_n_s16(lo), most = vdupq_n_s16(hi);
    int16_t kept[ROWS_BLOCK];
    fill(r, x);
    x = r->l.line;
    for (int32_t left = r->p->shape.out_w; left > 0; left -= ROWS_BLOCK) {
        const int32_t n = (mt_min(left, ROWS_BLOCK) + 3) & ~3;
        x = r->l.vectors == 1   ? kept_1(r, x, kept, there, n)
            : r->l.vectors == 3 ? kept_3(r, x, kept, there, n)
                                : kept_4(r, x, kept, there, n);
        for (int32_t i = 0; i < n; i += MT_GROUP, y += r->y_next, bit += r->y_next) {
            const uint16x8_t end = vdupq_n_u16((uint16_t)mt_min(left - i, MT_GROUP));
            const mve_pred16_t stored = vcmphiq_u16(end, pixel);
            const int16x8_t v = vld1q_s16(kept + i);
            if (r->mask != NULL) {
                const mve_pred16_t above = vcmpgeq_m_s16(v, least, stored);
                set_row_bits(r, bit, vcmpleq_m_s16(v, most, above));
            }
            const int16x8_t code = vminq_s16(vmaxq_s16(v, least), most);
            vstrbq_scatter_offset_p_s16(y, at, code, stored);
        }
    }
}

void mt_depthwise_channel(mt_depthwise_run *r, const mt_depthwise_rows_of *rows) {
    const mt_conv_shape *s = &r->p->shape;
    const int32_t row_bytes = s->out_w * s->out_c, x_step = s->stride_h * r->l.plane.pitch;
    const int32_t stride = s->stride_h, lowest = s->in_h - s->k_h;
    const int32_t x_zero = r->p->x_zero, bias = rows->bias;
    const int8_t *x = rows->x;
    int8_t *y = rows->y;
    int32_t top = rows->row * stride - s->pad_top;
    int32_t bit = rows->row * row_bytes + rows->channel;
    uint32_t known = 0;
    r->multiplier = r->p->multiplier[rows->channel];
    r->shift = r->p->shift[rows->channel];
    r->offset = bias;
    const int plain = r->plain && r->shift == 0;
    for (int32_t n = rows->rows; n > 0; n--) {
        const uint32_t there =
            top >= 0 && top <= lowest ? UINT32_C(0xffff) : mt_lines_there(&r->l, top);
        if (there != known) {
            r->offset = bias - x_zero * mt_lines_sum(&r->l, (mve_pred16_t)there);
            known = there;
        }
        if (plain) {
            plain_row(r, x, y, there);
        } else {
            any_row(r, x, y, bit, there);
        }
        x += x_step;
        y += row_bytes;
        bit += row_bytes;
        top += stride;
    }
}
#endif
