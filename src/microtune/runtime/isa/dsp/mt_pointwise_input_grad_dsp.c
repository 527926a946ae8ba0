/* Input gradient of 1x1 convolutions of stride 1: four pixels and two input channels at a time over
 * pairs of outputs. */
#include "mt_conv2d_input_grad.h"
#include "mt_dsp.h"
#include "mt_memory.h"
#include "mt_pairs_dsp.h"

#if MT_ISA_DSP

#define POINTWISE_PIXELS MT_PAIR_PIXELS
#define COLUMNS 16 /* inputs that are rounded together */

typedef struct {
    const mt_conv2d_input_grad_params *p;
    const mt_conv2d_input_grad_io *io;
    mt_rounder *rounder;
    uint32_t *lanes, *lanes_end;
    int32_t pixel, pixels; /* the first, and how many there are */
} mt_quad_pixels;

static void make_lanes(const mt_quad_pixels *q) {
    const int8_t *g[POINTWISE_PIXELS] = {NULL};
    for (int32_t lane = 0; lane < q->pixels; lane++) {
        g[lane] = q->io->g + (q->pixel + lane) * q->p->shape.out_c;
    }
    mt_fill_pairs(q->lanes, g, q->p->multiplier, q->p->shape.out_c);
}

/* The inputs i and i + 1 of a weight of `inputs` inputs. */
static void sum_two(const mt_quad_pixels *q, const int8_t *weight, int32_t inputs, int32_t i,
                    int32_t *sums) {
    const mt_pairs pairs = {weight + i, q->lanes, inputs, q->lanes_end};
    mt_sum_pairs(sums, &pairs);
}

/* All inputs in blocks, in their own order. */
static void whole_weight(const mt_quad_pixels *q, const int8_t *weight) {
    const int32_t inputs = q->p->shape.in_c;
    int32_t acc[POINTWISE_PIXELS][COLUMNS], sums[2 * POINTWISE_PIXELS];
    for (int32_t first = 0; first < inputs; first += COLUMNS) {
        const int32_t n = mt_min(COLUMNS, inputs - first);
        for (int32_t i = 0; i < n; i += 2) {
            /* An odd last input comes with its neighbour in front. */
            const int32_t at = mt_min(first + i, inputs - 2);
            sum_two(q, weight, inputs, at, sums);
            for (int32_t lane = 0; lane < POINTWISE_PIXELS; lane++) {
                if (at < first + i) {
                    acc[lane][i] = sums[2 * lane + 1];
                } else {
                    acc[lane][i] = sums[2 * lane];
                    acc[lane][i + 1] = sums[2 * lane + 1];
                }
            }
        }
        for (int32_t lane = 0; lane < q->pixels; lane++) {
            mt_round_run(q->rounder, acc[lane], (q->pixel + lane) * inputs + first, n);
        }
    }
}

/* One part of the inputs, to where `order` says: acc[pixel][in_c]. */
static void weight_part(const mt_quad_pixels *q, const int8_t *weight, const uint16_t *order,
                        int32_t inputs, int32_t *acc) {
    const int32_t all = q->p->shape.in_c;
    int32_t sums[2 * POINTWISE_PIXELS];
    for (int32_t i = 0; i < inputs; i += 2) {
        const int32_t at = mt_min(i, inputs - 2);
        sum_two(q, weight, inputs, at, sums);
        for (int32_t lane = 0; lane < POINTWISE_PIXELS; lane++) {
            acc[lane * all + order[at]] = sums[2 * lane];
            acc[lane * all + order[at + 1]] = sums[2 * lane + 1];
        }
    }
}

/* Outputs and inputs go in pairs here too. */
int32_t mt_pointwise_input_grad_fits(const mt_conv2d_input_grad_params *p) {
    return mt_input_grad_is_pointwise(p) && mt_dense_input_grad_fits(p);
}

void mt_pointwise_input_grad_isa(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    const mt_conv_shape *s = &p->shape;
    const int32_t t = p->trained_channels, all = s->out_h * s->out_w;
    uint32_t *lanes = (uint32_t *)io->scratch;
    mt_quad_pixels q = {p, io, rounder, lanes, lanes + s->out_c / 2 * POINTWISE_PIXELS, 0, 0};
    int32_t *acc = (int32_t *)q.lanes_end;
    for (; q.pixel < all; q.pixel += POINTWISE_PIXELS) {
        q.pixels = mt_min(POINTWISE_PIXELS, all - q.pixel);
        make_lanes(&q);
        if (p->channel_order == NULL) {
            whole_weight(&q, io->weight != NULL ? io->weight : io->trained_weight);
            continue;
        }
        weight_part(&q, io->trained_weight, p->channel_order, t, acc);
        weight_part(&q, io->weight, p->channel_order + t, s->in_c - t, acc);
        for (int32_t lane = 0; lane < q.pixels; lane++) {
            mt_round_run(rounder, acc + lane * s->in_c, (q.pixel + lane) * s->in_c, s->in_c);
        }
    }
}
#endif
