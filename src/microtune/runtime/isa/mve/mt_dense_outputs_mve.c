/* Dot products and requantisation of the dense convolution with Helium. */
#include "mt_dense_mve.h"

#if MT_ISA_MVE
#include "mt_mve.h"

/* Below, a0 .. a3 are the accumulators of four pixels. In assembler, because compilers keep the
 * vectors of x over the outputs and then spill them; not in a struct, because GCC 12 makes a vector
 * of one and confuses its lanes. */

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

/* Copies the patches of four pixels as mt_dense_general wants them; returns the end. */
static int8_t *interleave(const mt_dense_part *from, const mt_dense_segment *to, const mt_quad *q,
                          int8_t *at) {
    const int32_t tail = to->tail;
    for (int32_t i = 0; i < MT_PIXELS; i++) {
        const int8_t *x = q->x[i] + from->first;
        int8_t *block = at + 16 * i;
        const mve_pred16_t lanes = vctp8q((uint32_t)tail);
        vstrbq_s8(block, vldrbq_z_s8(x, lanes));
        x += tail;
        for (int32_t n = to->blocks; n > 0; n--, x += 16) {
            block += 64;
            vstrbq_s8(block, vldrbq_s8(x));
        }
    }
    return at + 64 * (1 + to->blocks);
}

/* The same of channels in some order, eight at a time. */
static int8_t *interleave_order(const mt_dense_part *from, const mt_dense_segment *to,
                                const mt_quad *q, int8_t *at) {
    const uint16_t *order = from->order;
    int32_t n = to->tail;
    for (int32_t block = 0; block <= to->blocks; block++, order += n, n = 16, at += 64) {
        const mve_pred16_t low = vctp16q((uint32_t)n), high = vctp16q((uint32_t)mt_max(0, n - 8));
        const uint16x8_t a = vldrhq_z_u16(order, low), b = vldrhq_z_u16(order + 8, high);
        for (int32_t i = 0; i < MT_PIXELS; i++) {
            vstrbq_s16(at + 16 * i, vldrbq_gather_offset_z_s16(q->x[i], a, low));
            vstrbq_s16(at + 16 * i + 8, vldrbq_gather_offset_z_s16(q->x[i], b, high));
        }
    }
    return at;
}

static mt_dense_segment segment_of(const mt_dense_job *j, int32_t k) {
    const mt_dense_part *part = &j->parts[k];
    const int32_t blocks = (part->length + 15) / 16 - 1, tail = part->length - 16 * blocks;
    const mt_dense_segment s = {NULL, tail, blocks, (1u << tail) - 1};
    return s;
}

/* The length of fixed patches, 0 for general ones, -1: mt_dense_any must do. */
static int32_t outputs_kind(const mt_dense_job *j) {
    const mt_conv_shape *s = &j->p->shape;
    const int32_t length = j->parts[0].length;
    const int32_t lo = j->p->clamp_lo, hi = j->p->clamp_hi;
    const int masked = j->io->mask != NULL;
    if (j->count % 2 != 0 || length == 0 ||
        (masked && ((s->out_c | j->output | j->count) & 7) != 0) || s->out_c >= 8192) {
        return -1;
    }
    if (!masked && lo == -128 && hi == 127 && j->parts[1].length == 0) {
        if (j->direct && j->parts[0].order == NULL && length % 8 == 0 && length <= 48 &&
            !j->shifted) {
            return length;
        }
        if (!j->direct && length > 16 && length <= 32) {
            return length;
        }
    }
    return j->direct ? 0 : -1;
}

void mt_dense_begin_fours(const mt_dense_job *j, mt_dense_fours *f) {
    const int32_t outputs = j->p->shape.out_c;
    const uint16x8_t lane = vidupq_n_u16(0, 1);
    const uint16x8_t at =
        vmlaq_n_u16(vandq_u16(lane, vdupq_n_u16(1)), vshrq_n_u16(lane, 1), (uint16_t)outputs);
    f->kind = outputs_kind(j);
    if (f->kind > 0) {
        f->call.fixed.pairs = j->count / 2;
        f->call.fixed.zero = j->p->y_zero;
        f->call.fixed.behind = j->parts[0].length - 16;
        f->call.fixed.x_next = MT_PIXELS * j->p->shape.stride_w * j->p->shape.in_c;
        f->call.fixed.y_next = MT_PIXELS * outputs - j->count;
        vst1q_u16(f->call.fixed.at, at);
    } else if (f->kind == 0) {
        f->call.general.part[0] = segment_of(j, 0);
        f->call.general.part[1] = segment_of(j, j->parts[1].length > 0);
        f->call.general.pairs = j->count / 2;
        f->call.general.zero = j->p->y_zero;
        f->call.general.lo = j->p->clamp_lo;
        f->call.general.hi = j->p->clamp_hi;
        vst1q_u16(f->call.general.at, at);
        vst1q_u32(f->call.general.mask_at, vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)outputs / 8));
    }
}

static void four_fixed(const mt_dense_job *j, mt_dense_fours *f, const mt_quad *q) {
    mt_dense_fixed *call = &f->call.fixed;
    for (int32_t i = 0; i < MT_PIXELS; i++) {
        call->x[i] = q->x[i] + (j->direct ? j->parts[0].first : 0);
    }
    call->weight = j->parts[0].weight + j->output * j->parts[0].length;
    call->table = j->table;
    call->y = output_of(j, q);
    call->fours = q->count / MT_PIXELS;
    switch (j->direct ? f->kind : 0) {
    case 8:
        mt_dense_8(call);
        break;
    case 16:
        mt_dense_16(call);
        break;
    case 24:
        mt_dense_24(call);
        break;
    case 32:
        mt_dense_32(call);
        break;
    case 40:
        mt_dense_40(call);
        break;
    case 48:
        mt_dense_48(call);
        break;
    default:
        mt_dense_to_32(call);
    }
}

void mt_dense_four(const mt_dense_job *j, mt_dense_fours *f, const mt_quad *q) {
    if (f->kind > 0) {
        four_fixed(j, f, q);
        return;
    }
    mt_dense_general *call = &f->call.general;
    int8_t *to = (int8_t *)j->io->scratch;
    call->x = to;
    for (int32_t k = 0; k < 2 && j->parts[k].length > 0; k++) {
        call->part[k].weight = j->parts[k].weight + j->output * j->parts[k].length;
        to = j->parts[k].order == NULL ? interleave(&j->parts[k], &call->part[k], q, to)
                                       : interleave_order(&j->parts[k], &call->part[k], q, to);
    }
    call->table = j->table;
    call->y = output_of(j, q);
    call->mask = NULL;
    if (j->io->mask != NULL) {
        const mt_conv_shape *s = &j->p->shape;
        const int32_t bit = (q->row * s->out_w + q->column) * s->out_c + j->output;
        call->mask = j->io->mask + (bit >> 3);
    }
    if (j->parts[1].length > 0) {
        mt_dense_two_parts(call);
    } else {
        mt_dense_one_part(call);
    }
}
#endif
