/* Input gradient of dense and grouped convolutions of any kernel: four pixels that meet the same
 * taps, `stride` apart in a row, tap by tap. */
#include "mt_conv2d_input_grad.h"
#include "mt_isa.h"
#include "mt_memory.h"
#include "mt_pairs_dsp.h"

#if MT_ISA_DSP

#define DENSE_GRAD_PIXELS MT_PAIR_PIXELS

typedef struct {
    const mt_conv2d_input_grad_params *p;
    const mt_conv2d_input_grad_io *io;
    int32_t group, row, column, pixels; /* the first pixel, and how many there are */
    uint32_t *lanes, *lanes_end;
    int32_t *acc; /* [pixel][inputs of the group] */
} mt_grad_quad;

/* Some of the inputs of a tap, `channels` in each row of the weights. */
typedef struct {
    const int8_t *weight;
    const uint16_t *order; /* where they belong, or NULL */
    int32_t channels;
} mt_grad_part;

/* Fills the lanes of one tap; 0: no pixel meets it. */
static int32_t fill_tap(const mt_grad_quad *q, int32_t kh, int32_t kw) {
    const mt_conv_shape *s = &q->p->shape;
    const int32_t outputs = s->out_c / s->groups;
    const int32_t oh = mt_output_of(q->row, kh, s->pad_top, s->stride_h, s->out_h);
    const int8_t *g[DENSE_GRAD_PIXELS] = {NULL};
    int32_t found = 0;
    for (int32_t lane = 0; oh >= 0 && lane < q->pixels; lane++) {
        const int32_t iw = q->column + lane * s->stride_w;
        const int32_t ow = mt_output_of(iw, kw, s->pad_left, s->stride_w, s->out_w);
        if (ow >= 0) {
            g[lane] = q->io->g + (oh * s->out_w + ow) * s->out_c + q->group * outputs;
            found = 1;
        }
    }
    if (found) {
        mt_fill_pairs(q->lanes, g, q->p->multiplier + q->group * outputs, outputs);
    }
    return found;
}

static void add_part(const mt_grad_quad *q, const mt_grad_part *part) {
    const mt_conv_shape *s = &q->p->shape;
    const int32_t inputs = s->in_c / s->groups, stride = s->k_h * s->k_w * part->channels;
    for (int32_t i = 0; i < part->channels; i += 2) {
        /* An odd last input comes with its neighbour in front. */
        const int32_t at = mt_min(i, part->channels - 2), skip = i - at;
        const mt_pairs pairs = {part->weight + at, q->lanes, stride, q->lanes_end};
        int32_t sums[2 * DENSE_GRAD_PIXELS];
        mt_sum_pairs(sums, &pairs);
        for (int32_t k = skip; k < 2; k++) {
            int32_t *acc = q->acc + (part->order == NULL ? at + k : part->order[at + k]);
            for (int32_t lane = 0; lane < DENSE_GRAD_PIXELS; lane++, acc += inputs) {
                *acc += sums[2 * lane + k];
            }
        }
    }
}

static void add_tap(const mt_grad_quad *q, int32_t tap) {
    const mt_conv_shape *s = &q->p->shape;
    const int32_t inputs = s->in_c / s->groups, t = q->p->trained_channels;
    const int32_t first = q->group * (s->out_c / s->groups) * s->k_h * s->k_w + tap;
    const uint16_t *order = q->p->channel_order;
    if (order == NULL) {
        const int8_t *w = q->io->weight != NULL ? q->io->weight : q->io->trained_weight;
        const mt_grad_part whole = {w + first * inputs, NULL, inputs};
        add_part(q, &whole);
        return;
    }
    const mt_grad_part trained = {q->io->trained_weight + first * t, order, t};
    const mt_grad_part frozen = {q->io->weight + first * (inputs - t), order + t, inputs - t};
    add_part(q, &trained);
    add_part(q, &frozen);
}

static void make_quad(const mt_grad_quad *q, mt_rounder *rounder) {
    const mt_conv_shape *s = &q->p->shape;
    const int32_t inputs = s->in_c / s->groups;
    memset(q->acc, 0, (size_t)(DENSE_GRAD_PIXELS * inputs) * sizeof *q->acc);
    for (int32_t kh = 0; kh < s->k_h; kh++) {
        for (int32_t kw = 0; kw < s->k_w; kw++) {
            if (fill_tap(q, kh, kw)) {
                add_tap(q, kh * s->k_w + kw);
            }
        }
    }
    for (int32_t lane = 0; lane < q->pixels; lane++) {
        const int32_t pixel = q->row * s->in_w + q->column + lane * s->stride_w;
        const int32_t index = pixel * s->in_c + q->group * inputs;
        mt_round_run(rounder, q->acc + lane * inputs, index, inputs);
    }
}

/* Outputs go in pairs, and so do the inputs of each part. */
int32_t mt_dense_input_grad_fits(const mt_conv2d_input_grad_params *p) {
    const mt_conv_shape *s = &p->shape;
    const int32_t inputs = s->in_c / s->groups, t = p->trained_channels;
    return s->out_c / s->groups % 2 == 0 && inputs >= 2 &&
           (p->channel_order == NULL || (t != 1 && inputs - t != 1));
}

void mt_dense_input_grad_isa(const mt_conv2d_input_grad_params *p,
                             const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    const mt_conv_shape *s = &p->shape;
    uint32_t *lanes = (uint32_t *)io->scratch;
    mt_grad_quad q = {
        p, io, 0, 0, 0, 0, lanes, lanes + s->out_c / s->groups / 2 * DENSE_GRAD_PIXELS, NULL};
    q.acc = (int32_t *)q.lanes_end;
    for (q.row = 0; q.row < s->in_h; q.row++) {
        for (int32_t phase = 0; phase < mt_min(s->stride_w, s->in_w); phase++) {
            for (q.column = phase; q.column < s->in_w;
                 q.column += DENSE_GRAD_PIXELS * s->stride_w) {
                const int32_t left = (s->in_w - 1 - q.column) / s->stride_w + 1;
                q.pixels = mt_min(DENSE_GRAD_PIXELS, left);
                for (q.group = 0; q.group < s->groups; q.group++) {
                    make_quad(&q, rounder);
                }
            }
        }
    }
}
#endif
