/* Dense and grouped convolution with Helium: a block of outputs of four dense_pixels at a time.
 *
 * sum((x - z)*w) = sum(x*w) - z*sum(w), so that the dot products stay in int8; the second term and
 * the bias are summed once for a block of outputs. Padding is z in a copied patch. */
#include "mt_dense_mve.h"
#include "mt_memory.h"

#if MT_ISA_MVE
#include "mt_mve.h"

/* The sum of n bytes. */
static inline int32_t sum_bytes(const int8_t *w, int32_t n) {
    int32_t sum = 0;
    __asm__ volatile("dlstp.8 lr, %[n]\n"
                     "1:\n\t"
                     "vldrb.8 q0, [%[w]], #16\n\t"
                     "vaddva.s8 %[sum], q0\n\t"
                     "letp lr, 1b\n"
                     : [w] "+r"(w), [sum] "+Te"(sum)
                     : [n] "r"(n)
                     : "q0", "lr", "memory");
    return sum;
}

static void make_table(mt_dense_job *j) {
    const int32_t first = j->parts[0].length, second = j->parts[1].length, zero = j->p->x_zero;
    const int32_t *bias = j->io->bias + j->output, *multiplier = j->p->multiplier + j->output;
    const uint8_t *shift = j->p->shift + j->output;
    int32_t shifts = 0;
    for (int32_t o = 0; o < j->count; o++) {
        int32_t sum = 0;
        if (first > 0) {
            sum = sum_bytes(j->parts[0].weight + (j->output + o) * first, first);
        }
        if (second > 0) {
            sum += sum_bytes(j->parts[1].weight + (j->output + o) * second, second);
        }
        j->table[o] = (mt_dense_constants){bias[o] - zero * sum, multiplier[o], shift[o]};
        shifts |= shift[o];
    }
    j->shifted = shifts != 0;
}

static int8_t *copy_tap(const mt_dense_part *from, const int8_t *x, int8_t *to) {
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
static int8_t *copy_patch(const mt_dense_job *j, const mt_dense_part *from, int32_t row,
                          int32_t column, int8_t *to) {
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
static __attribute__((noinline)) int8_t *copy_runs(const mt_dense_job *j, int32_t row,
                                                   int32_t column, int8_t *to) {
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

/* The same for four dense_pixels whose kernel rows are runs of up to 16 bytes, without padding. */
static void copy_four_runs(const mt_dense_job *j, int32_t row, int32_t column, int8_t *to) {
    const mt_conv_shape *s = &j->p->shape;
    const int32_t top = row * s->stride_h - s->pad_top, step = s->stride_w * s->in_c;
    const int32_t n = s->k_w * s->in_c, length = s->k_h * n;
    const int8_t *x = j->io->x + (column * s->stride_w - s->pad_left) * s->in_c;
    const mve_pred16_t lanes = vctp8q((uint32_t)n);
    for (int32_t kh = 0; kh < s->k_h; kh++, to += n) {
        const int8_t *from = x + (top + kh) % j->rows->x_rows * s->in_w * s->in_c;
        const int8x16_t a = vldrbq_z_s8(from, lanes), b = vldrbq_z_s8(from + step, lanes);
        const int8x16_t c = vldrbq_z_s8(from + 2 * step, lanes);
        const int8x16_t d = vldrbq_z_s8(from + 3 * step, lanes);
        vstrbq_p_s8(to, a, lanes);
        vstrbq_p_s8(to + length, b, lanes);
        vstrbq_p_s8(to + 2 * length, c, lanes);
        vstrbq_p_s8(to + 3 * length, d, lanes);
    }
}

/* Whether the kernel lies is_inside the image from column `first` to column `last` of an output
 * row.
 */
static int32_t is_inside(const mt_conv_shape *s, int32_t row, int32_t first, int32_t last) {
    const int32_t top = row * s->stride_h - s->pad_top;
    return top >= 0 && top + s->k_h <= s->in_h && first * s->stride_w >= s->pad_left &&
           last * s->stride_w - s->pad_left + s->k_w <= s->in_w;
}

/* Copies the patches of `count` dense_pixels; the missing ones repeat the last. */
static mt_quad patches_of(const mt_dense_job *j, int32_t row, int32_t column) {
    const mt_conv_shape *s = &j->p->shape;
    mt_quad q = {{NULL, NULL, NULL, NULL}, row, column, mt_min(MT_PIXELS, s->out_w - column)};
    int8_t *to = (int8_t *)j->io->scratch;
    if (q.count == MT_PIXELS && s->groups == 1 && j->parts[0].order == NULL &&
        s->k_w * s->in_c <= 16 && is_inside(s, row, column, column + 3)) {
        const int32_t length = j->parts[0].length;
        copy_four_runs(j, row, column, to);
        q.x[0] = to;
        q.x[1] = to + length;
        q.x[2] = to + 2 * length;
        q.x[3] = to + 3 * length;
        return q;
    }
    for (int32_t i = 0; i < MT_PIXELS; i++) {
        q.x[i] = i < q.count ? to : q.x[i - 1];
        to = i < q.count ? copy_runs(j, row, column + i, to) : to;
    }
    return q;
}

/* How many rows from `row` on are one run of dense_pixels, in x as well as in y. */
static int32_t rows_in_line(const mt_dense_job *j, int32_t row) {
    const mt_conv_shape *s = &j->p->shape;
    const int32_t x_slot = row % j->rows->x_rows, y_slot = row % j->rows->y_rows;
    if (s->stride_h != 1 || s->stride_w != 1 || s->in_w != s->out_w || s->out_w % MT_PIXELS != 0) {
        return 1;
    }
    return mt_min(j->rows->last - row, mt_min(j->rows->x_rows - x_slot, j->rows->y_rows - y_slot));
}

/* The patches of four dense_pixels that are dense_pixels of the image. */
static mt_quad pixels_of(const mt_dense_job *j, int32_t row, int32_t column) {
    const mt_conv_shape *s = &j->p->shape;
    const int32_t slot = (row * s->stride_h) % j->rows->x_rows, step = s->stride_w * s->in_c;
    const int8_t *x = j->io->x + slot * s->in_w * s->in_c + column * step;
    const mt_quad q = {{x, x + step, x + 2 * step, x + 3 * step}, row, column, MT_PIXELS};
    return q;
}

/* The block of outputs of one row from column `first` on. */
static void row_pixels(const mt_dense_job *j, mt_dense_fours *f, int32_t row, int32_t first) {
    const mt_conv_shape *s = &j->p->shape;
    for (int32_t column = first; column < s->out_w; column += MT_PIXELS) {
        const int32_t four = f->kind >= 0 && column + MT_PIXELS <= s->out_w;
        const mt_quad q =
            four && j->direct ? pixels_of(j, row, column) : patches_of(j, row, column);
        if (four) {
            mt_dense_four(j, f, &q);
        } else {
            mt_dense_any(j, &q);
        }
    }
}

/* The block of outputs of all dense_pixels. */
static void dense_pixels(const mt_dense_job *j) {
    const mt_conv_shape *s = &j->p->shape;
    const int32_t whole = s->out_w / MT_PIXELS * MT_PIXELS;
    mt_dense_fours f;
    mt_dense_begin_fours(j, &f);
    for (int32_t row = j->rows->first, n; row < j->rows->last; row += n) {
        n = 1;
        if (f.kind > 0 && j->direct && whole > 0) {
            n = rows_in_line(j, row);
            mt_quad q = pixels_of(j, row, 0);
            q.count = n * whole;
            mt_dense_four(j, &f, &q);
            row_pixels(j, &f, row, whole);
        } else {
            row_pixels(j, &f, row, 0);
        }
    }
}

void mt_dense_rows_isa(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    const int32_t inputs = s->in_c / s->groups, taps = s->k_h * s->k_w;
    const int32_t per_group = s->out_c / s->groups;
    mt_dense_job j = {.p = p, .io = io, .rows = rows};
    j.parts[0].weight = io->weight != NULL ? io->weight : io->trained_weight;
    j.parts[0].channels = inputs;
    if (p->channel_order != NULL) {
        const int32_t t = p->trained_channels;
        j.parts[0] = (mt_dense_part){io->trained_weight, p->channel_order, 0, t, 0};
        j.parts[1] = (mt_dense_part){io->weight, p->channel_order + t, 0, inputs - t, 0};
    }
    j.parts[0].length = taps * j.parts[0].channels;
    j.parts[1].length = taps * j.parts[1].channels;
    j.direct = s->k_h * s->k_w == 1 && s->pad_top == 0 && s->pad_left == 0 &&
               (s->out_h - 1) * s->stride_h < s->in_h && (s->out_w - 1) * s->stride_w < s->in_w;
    for (int32_t o = 0; o < s->out_c; o += j.count) {
        const int32_t left = per_group - o % per_group;
        j.output = o;
        j.count = mt_min(MT_BLOCK, left);
        j.parts[0].first = o / per_group * inputs;
        make_table(&j);
        dense_pixels(&j);
    }
}
#endif
