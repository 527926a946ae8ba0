/* A model of one int16 head, written by hand: what the generator emits, small enough to test. */
#include <string.h>

#include "mt_context.h"
#include "mt_kernels.h"

#define CLASSES 3
#define FEATURES 4

#ifndef FAKE_BY_ROWS
#define FAKE_BY_ROWS 0
#endif
#ifndef FAKE_ARENAS
#define FAKE_ARENAS 1
#endif
#define LAST (FAKE_ARENAS - 1)

#ifndef FAKE_FROZEN
#define FAKE_FROZEN 0
#endif

/* Arena 0: input 0; the last arena: logits 8, d_logits 24. Parameters: weight 0, bias 24. */
static const mt_head_params head = {CLASSES, FEATURES, 0, 16, 0.125f};
static const mt_loss_params loss = {CLASSES};
static const mt_head_update_params update = {
    {CLASSES, FEATURES, 0, 16, 0.125f}, 1 << 30, -30, 1 << 30, -26, 11, 12};
static const uint32_t arena_bytes[2] = {32, 40};
static const int8_t offsets[3] = {-5, 0, 7};
static const int16_t weight_rows[2 * FEATURES] = {100, 200, 300, 400, -1, -2, -3, -4};
static const int32_t biases[1] = {-7};
static const mt_segment segments[2] = {{8, sizeof weight_rows, weight_rows},
                                       {24, sizeof biases, biases}};

/* The latent is the input itself. */
static mt_status infer(mt_context *c, mt_part part) {
    if (part == MT_TO_LATENT) {
        return MT_OK;
    }
    if (FAKE_BY_ROWS && part == MT_FROM_INPUT &&
        c->source.read(c->source.user, 0, (int8_t *)c->arenas[0]) != 0) {
        return MT_ERROR_INPUT;
    }
    const mt_head_int16_io io = {(const int8_t *)c->arenas[0], (const int16_t *)c->parameters,
                                 (const int32_t *)(c->parameters + 24),
                                 (int32_t *)(c->arenas[LAST] + 8)};
    mt_head_int16(&head, &io);
    return MT_OK;
}

static mt_status train(mt_context *c, const mt_target *target, int32_t *loss_q16, mt_part part) {
    int16_t *d = (int16_t *)(c->arenas[LAST] + 24);
    const mt_status status = infer(c, part);
    const mt_loss_int16_io loss_io = {(const int32_t *)(c->arenas[LAST] + 8), target->class_index,
                                      d, loss_q16};
    mt_loss_int16(&loss, &loss_io);
    const mt_head_update_int16_io io = {(const int8_t *)c->arenas[0], d, (int16_t *)c->parameters,
                                        (int32_t *)(c->parameters + 24), &c->state};
    mt_head_update_int16(&update, &io);
    c->offsets[0]++;
    return status;
}

const mt_model mt_generated_model = {
    MT_NUMERICS_VERSION,
    {1},
    {2},
    arena_bytes,
    FAKE_ARENAS,
    FEATURES,
    {0, FAKE_BY_ROWS ? MT_BY_ROWS : 0},
    {LAST, 8},
    {0, 0},
    FEATURES,
    CLASSES,
    0,
    0,
    36,
    3,
    offsets,
    segments,
    2,
    infer,
    FAKE_FROZEN ? NULL : train,
};

/* One row of four pixels. */
const mt_frame_shape mt_generated_frame = {1, 1};
