/* Dot products and requantisation of the dense convolution with Helium. */
#include "mt_dense_mve.h"

#if MT_ISA_MVE
#include "mt_mve.h"

/* Below, a0 .. a3 are the accumulators of four pixels. In assembler, because compilers keep the
 * vectors of x over the outputs and then spill them; not in a struct, because GCC 12 makes a vector
 * of one and confuses its lanes. */

/* One vector of the weights at w + at times those at x0 + at .. x3 + at. */
#define DOT_VECTOR(load, mac, at)                                                                  \
    __asm__ volatile(load " q0, [%[w], #" #at "]\n\t" load " q1, [%[x0], #" #at "]\n\t" mac        \
                          " %[a0], q0, q1\n\t" load " q1, [%[x1], #" #at "]\n\t" mac               \
                          " %[a1], q0, q1\n\t" load " q1, [%[x2], #" #at "]\n\t" mac               \
                          " %[a2], q0, q1\n\t" load " q1, [%[x3], #" #at "]\n\t" mac               \
                          " %[a3], q0, q1\n\t"                                                     \
                     : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [a3] "+Te"(a3)              \
                     : [w] "l"(w), [x0] "l"(x0), [x1] "l"(x1), [x2] "l"(x2), [x3] "l"(x3)          \
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
                               const mt_dense_constants *c, int32_t zero) {
    int32x4_t v;
    __asm__("vmov %q[v][2], %q[v][0], %[a0], %[a2]\n\t"
            "vmov %q[v][3], %q[v][1], %[a1], %[a3]"
            : [v] "=&w"(v)
            : [a0] "r"(a0), [a1] "r"(a1), [a2] "r"(a2), [a3] "r"(a3));
    v = vqshlq_r_s32(v, c->shift);
    return vaddq_n_s32(vrmulhq_s32(v, vdupq_n_s32(c->multiplier)), zero);
}

/* Sets the bits of one output channel where `inside` has a lane of ones. */
static void set_bits(const mt_dense_job *j, const mt_quad *q, int32_t o, mve_pred16_t inside) {
    const mt_conv_shape *s = &j->p->shape;
    for (int32_t i = 0; i < q->count; i++) {
        const int32_t bit = (q->row * s->out_w + q->column + i) * s->out_c + o;
        const uint32_t is = ((uint32_t)inside >> (4 * i)) & 1u;
        j->io->mask[bit >> 3] = (uint8_t)(j->io->mask[bit >> 3] | is << (bit & 7));
    }
}

static int8_t *output_of(const mt_dense_job *j, const mt_quad *q) {
    const int32_t at = (q->row % j->rows->y_rows) * j->p->shape.out_w + q->column;
    return j->io->y + at * j->p->shape.out_c + j->output;
}

/* The block of outputs of one to four pixels, masks at any bit, weights in two parts. */
void mt_dense_any(const mt_dense_job *j, const mt_quad *q) {
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
    static __attribute__((noinline)) void name(const mt_dense_job *j, const mt_quad *q,            \
                                               uint8_t *mask) {                                    \
        const uint32x4_t step = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)j->p->shape.out_c);      \
        const uint32x4_t mask_step = vshrq_n_u32(step, 3);                                         \
        const int32x4_t lo = vdupq_n_s32(j->p->clamp_lo), hi = vdupq_n_s32(j->p->clamp_hi);        \
        const int32_t length = j->parts[0].length, zero = j->p->y_zero;                            \
        const int8_t *x0 = q->x[0], *x1 = q->x[1], *x2 = q->x[2], *x3 = q->x[3];                   \
        const int32_t second = j->parts[1].length;                                                 \
        const int8_t *w = j->parts[0].weight + j->output * length;                                 \
        const int8_t *w2 = j->parts[1].weight + j->output * second;                                \
        const mt_dense_constants *c = j->table, *end = c + j->count;                               \
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

void mt_dense_four(const mt_dense_job *j, const mt_quad *q, uint8_t *mask) {
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
#endif
