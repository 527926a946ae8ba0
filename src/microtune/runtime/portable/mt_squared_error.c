/* Mean squared error of the outputs against codes, in integers and in float32. */
#include "mt_kernels_forward.h"
#include "mt_numerics.h"

/* An error counts at most 2, the largest between two codes. */
#define ERROR_MAX_Q16 (INT32_C(2) << 16)

void mt_squared_error_int16(const mt_squared_error_params *p, const mt_squared_error_int16_io *io) {
    int64_t total = 0; /* below 2^34 * 2^16 outputs */
    for (int32_t i = 0; i < p->outputs; i++) {
        const int64_t exact = (int64_t)io->outputs[i] - io->codes[i] * 512;
        const int32_t error = (int32_t)mt_clamp_int64(exact, -ERROR_MAX_Q16, ERROR_MAX_Q16);
        total += (int64_t)error * error;
        io->d_outputs[i] = (int16_t)mt_clamp_int32((error + 2) >> 2, -32767, 32767);
    }
    *io->loss_q16 = (int32_t)((total / p->outputs + 32768) >> 16);
}

void mt_squared_error_float32(const mt_squared_error_params *p,
                              const mt_squared_error_float32_io *io) {
    const float count = (float)p->outputs, factor = 2.0f / count;
    float total = 0.0f;
    for (int32_t i = 0; i < p->outputs; i++) {
        const float wanted = (float)io->codes[i] * 0.0078125f; /* exact */
        float error = io->outputs[i] - wanted;
        error = error < -2.0f ? -2.0f : error;
        error = error > 2.0f ? 2.0f : error;
        const float square = mt_product(error, error);
        total = total + square;
        io->d_outputs[i] = mt_product(error, factor);
    }
    const float scaled = mt_product(total / count, 65536.0f);
    *io->loss_q16 = scaled > 0.0f ? (int32_t)scaled : 0;
}
