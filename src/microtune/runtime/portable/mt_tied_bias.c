/* Updates of tied biases. */
#include "mt_tied_bias.h"

void mt_tied_bias_update_int32(const mt_tied_bias_update_params *p,
                               const mt_bias_update_int32_io *io) {
    const int32_t n = p->update.channels;
    mt_bias_update_int32(&p->update, io);
    for (int32_t i = n; i < n * p->parts; i++) {
        io->bias[i] = io->bias[i - n];
    }
}

void mt_tied_bias_update_int16(const mt_tied_bias_update_params *p,
                               const mt_bias_update_int16_io *io) {
    const int32_t n = p->update.channels;
    mt_bias_update_int16(&p->update, io);
    for (int32_t i = n; i < n * p->parts; i++) {
        io->delta[i] = io->delta[i - n];
    }
}
