/* Sigmoid cross-entropy of one logit: the softmax cross-entropy of 0 and the logit. */
#include "mt_kernels_forward.h"

void mt_sigmoid_loss_int16(const mt_loss_params *p, const mt_loss_int16_io *io) {
    const int32_t logits[2] = {0, io->logits[0]};
    int16_t d_logits[2];
    const mt_loss_int16_io both = {logits, io->label, d_logits, io->loss_q16};
    mt_loss_int16(p, &both);
    io->d_logits[0] = d_logits[1];
}

void mt_sigmoid_loss_float32(const mt_loss_params *p, const mt_loss_float32_io *io) {
    const float logits[2] = {0.0f, io->logits[0]};
    float d_logits[2];
    const mt_loss_float32_io both = {logits, io->label, d_logits, io->loss_q16};
    mt_loss_float32(p, &both);
    io->d_logits[0] = d_logits[1];
}
