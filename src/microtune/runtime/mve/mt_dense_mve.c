/* Dense and grouped convolution with Helium: one output channel of four pixels at a time.
 *
 * sum((x - z)*w) = sum(x*w) - z*sum(w), so that the dot products stay in int8; the second term and
 * the bias are summed once for a block of outputs. Padding is z in a copied patch. */
#include "mt_dense_mve.h"
#include "mt_memory.h"

#if MT_ISA_MVE
#include "mt_mve.h"

static void make_table(mt_dense_job *j) {
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
        j->table[o] = (mt_dense_constants){j->io->bias[at] - j->p->x_zero * sum,
                                           j->p->multiplier[at], j->p->shift[at]};
    }
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

/* Finds or copies the patches of `count` pixels; the missing ones repeat the last. */
static mt_quad patches_of(const mt_dense_job *j, int32_t row, int32_t column) {
    const mt_conv_shape *s = &j->p->shape;
    mt_quad q = {{NULL, NULL, NULL, NULL}, row, column, mt_min(MT_PIXELS, s->out_w - column)};
    int8_t *to = (int8_t *)j->io->scratch;
    if (j->plain && q.count == MT_PIXELS) {
        const int32_t slot = (row * s->stride_h) % j->rows->x_rows, step = s->stride_w * s->in_c;
        q.x[0] = j->io->x + slot * s->in_w * s->in_c + column * step + j->parts[0].first;
        q.x[1] = q.x[0] + step;
        q.x[2] = q.x[1] + step;
        q.x[3] = q.x[2] + step;
        return q;
    }
    for (int32_t i = 0; i < MT_PIXELS; i++) {
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

/* The block of outputs of all pixels. */
static void pixels(const mt_dense_job *j) {
    const mt_conv_shape *s = &j->p->shape;
    uint8_t *mask = j->io->mask;
    const int32_t simple =
        j->parts[0].length > 0 && (mask == NULL || ((s->out_c | j->output | j->count) & 7) == 0);
    for (int32_t row = j->rows->first; row < j->rows->last; row++) {
        for (int32_t column = 0; column < s->out_w; column += MT_PIXELS) {
            const mt_quad q = patches_of(j, row, column);
            if (simple && q.count == MT_PIXELS) {
                const int32_t bit = (row * s->out_w + column) * s->out_c + j->output;
                mt_dense_four(j, &q, mask == NULL ? NULL : mask + (bit >> 3));
            } else {
                mt_dense_any(j, &q);
            }
        }
    }
}

void mt_dense_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
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
