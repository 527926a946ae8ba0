/* Biases that are copies of one (docs/numerics.md, "transposed"): one of them is stepped, by the
 * gradients of all, and the others take its value. */
#ifndef MT_TIED_BIAS_H
#define MT_TIED_BIAS_H

#include "mt_kernels_update.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `update` is that of the first part; the bias has `parts` times update.channels elements. */
typedef struct {
    mt_bias_update_params update;
    int32_t parts;
} mt_tied_bias_update_params;

void mt_tied_bias_update_int32(const mt_tied_bias_update_params *p,
                               const mt_bias_update_int32_io *io);
void mt_tied_bias_update_int16(const mt_tied_bias_update_params *p,
                               const mt_bias_update_int16_io *io);

#ifdef __cplusplus
}
#endif
#endif
