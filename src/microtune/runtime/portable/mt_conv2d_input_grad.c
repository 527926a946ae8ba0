/* Transposed convolution with int8 gradients: its scratch, and which version of it is taken. */
#include "mt_conv2d_input_grad.h"
#include "mt_isa.h"

size_t mt_conv2d_input_grad_scratch_bytes(const mt_conv2d_input_grad_params *p, int in_place) {
    const mt_conv_shape *s = &p->shape;
    if (mt_is_depthwise(s)) {
        const int32_t taps = s->k_h * s->k_w, rows = (s->out_h - 1) * s->stride_h + 1;
        const int32_t pitch = (s->in_w + 3) / 4 * 4 + s->k_w - 1;
        const size_t lines = (size_t)(taps + mt_min(rows, 2 * s->k_h) * pitch) * 8;
        const size_t copy = in_place ? (size_t)(s->out_h * s->out_w) * MT_BLOCK : 0;
        const size_t merged = p->channel_order == NULL ? 0 : (size_t)taps * MT_BLOCK;
        return merged + (lines > copy ? lines : copy);
    }
    const size_t outputs = (size_t)(s->out_c / s->groups);
    const size_t inputs = (size_t)(s->in_c / s->groups);
    const size_t ordered = p->channel_order == NULL ? 0 : inputs;
    const size_t one_pixel = outputs * 4 + (inputs + ordered) * 4;
    /* Vectors and pairs take four pixels at once. */
    const size_t block = MT_BLOCK * 16 + ordered * 2, sums = ordered * 16;
    const size_t pointwise = (outputs + 7) / 8 * 64 + (block > sums ? block : sums);
    const size_t four_pixels =
        mt_input_grad_is_pointwise(p) ? pointwise : outputs * 8 + inputs * 16;
    return four_pixels > one_pixel ? four_pixels : one_pixel;
}

static void depthwise_gradient(const mt_conv2d_input_grad_params *p,
                               const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
#if MT_HAS_DEPTHWISE_INPUT_GRAD == MT_ALL
    mt_depthwise_input_grad_isa(p, io, rounder);
#else
#if MT_HAS_DEPTHWISE_INPUT_GRAD == MT_SOME
    if (mt_depthwise_input_grad_fits(p)) {
        mt_depthwise_input_grad_isa(p, io, rounder);
        return;
    }
#endif
    mt_depthwise_input_grad_any(p, io, rounder);
#endif
}

static void dense_gradient(const mt_conv2d_input_grad_params *p, const mt_conv2d_input_grad_io *io,
                           mt_rounder *rounder) {
#if MT_HAS_POINTWISE_INPUT_GRAD
    if (mt_pointwise_input_grad_fits(p)) {
        mt_pointwise_input_grad_isa(p, io, rounder);
        return;
    }
#endif
#if MT_HAS_DENSE_INPUT_GRAD
    if (mt_dense_input_grad_fits(p)) {
        mt_dense_input_grad_isa(p, io, rounder);
        return;
    }
#endif
    mt_dense_input_grad_any(p, io, rounder);
}

void mt_conv2d_input_grad(const mt_conv2d_input_grad_params *p, const mt_conv2d_input_grad_io *io) {
    const int32_t acc_exponent = *io->g_exponent + p->round.acc_exponent_delta;
    mt_rounder rounder = mt_round_begin(p->round.site, &io->round, acc_exponent, io->dx);
    MT_SKIPPED_PADDING(&p->shape, p->shape.out_c * (p->shape.in_c / p->shape.groups));
    if (mt_is_depthwise(&p->shape)) {
        depthwise_gradient(p, io, &rounder);
    } else {
        dense_gradient(p, io, &rounder);
    }
    mt_round_end(&rounder);
}
