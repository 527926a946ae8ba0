/* Max pool: forward, row by row, and its gradient. */
#ifndef MT_MAX_POOL_H
#define MT_MAX_POOL_H

#include "mt_isa.h"
#include "mt_kernels_gradient.h"
#include "mt_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether the instruction set has mt_max_bytes. */
#ifndef MT_HAS_MAX_BYTES
#define MT_HAS_MAX_BYTES 0
#endif

/* Every window has an element inside of the image. `choice_bits` (1, 2, 4 or 8) tell the
 * k_h * k_w <= 2^choice_bits elements of a window apart. */
typedef struct {
    int32_t in_h, in_w, channels, out_h, out_w, k_h, k_w, stride_h, stride_w, pad_top, pad_left;
    int32_t choice_bits;
} mt_max_pool_params;

/* Result i (NHWC) is element number choice[i] of its window, row by row, the first one of equal
 * ones; that number has choice_bits bits from bit i * choice_bits of `choice` on. */
typedef struct {
    const int8_t *x;
    int8_t *y;
    uint8_t *choice; /* or NULL; whole bytes are written, unused bits are 0 */
} mt_max_pool_io;

void mt_max_pool(const mt_max_pool_params *p, const mt_max_pool_io *io);

/* One row of a streamed layer, without choice. params: mt_max_pool_params. */
void mt_max_pool_stage(const mt_stage *stage, int32_t row, uint8_t *const *arenas, void *scratch);

/* Each element gets the sum of the gradients whose windows chose it. Without overlap nothing is
 * rounded and of `round` only exponent and mask are used. */
typedef struct {
    mt_max_pool_params pool;
    mt_round_params round;
    int32_t overlapping;
} mt_max_pool_grad_params;

typedef struct {
    const int8_t *g;
    const int32_t *g_exponent;
    const uint8_t *choice;
    int8_t *dx;
    mt_round_io round;
} mt_max_pool_grad_io;

void mt_max_pool_grad(const mt_max_pool_grad_params *p, const mt_max_pool_grad_io *io);

/* best[i] = max(best[i], x[i]), i < count */
void mt_max_bytes(int8_t *best, const int8_t *x, int32_t count);

#ifdef __cplusplus
}
#endif
#endif
