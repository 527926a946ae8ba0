/* What the generated model and the core share. Not for applications. */
#ifndef MT_CONTEXT_H
#define MT_CONTEXT_H

#include "microtune.h"
#include "mt_stream.h"
#include "mt_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MT_NUMERICS_VERSION 2u

/* A piece of the parameter block that does not start as zeros. */
typedef struct {
    uint32_t offset, bytes;
    const void *data;
} mt_segment;

#define MT_BY_ROWS UINT32_MAX

/* Which part of the forward pass runs before the rest of a call. */
typedef enum {
    MT_FROM_INPUT,  /* all of it */
    MT_FROM_LATENT, /* what comes behind the frozen prefix, whose result lies in its place */
    MT_TO_LATENT    /* the frozen prefix alone, and nothing after it */
} mt_part;

/* One compiled model. */
typedef struct {
    uint32_t numerics_version;
    uint8_t model_hash[32], scheme_hash[32];
    const uint32_t *arena_bytes; /* [arena_count] */
    uint32_t arena_count, input_row_bytes;
    mt_place input; /* offset MT_BY_ROWS: there is no resident frame */
    mt_place output;
    mt_place latent;       /* the result of the frozen prefix */
    uint32_t latent_bytes; /* 0: there is no such place */
    uint32_t outputs, output_is_float;
    uint32_t target_codes; /* 0: the target is a class */
    uint32_t parameter_bytes;
    uint32_t offset_count;              /* gradient tensors with an exponent offset */
    const int8_t *initial_offsets;      /* [offset_count]; NULL: zeros */
    const mt_segment *initial_segments; /* parameters that are not 0 */
    uint32_t segment_count;
    mt_status (*infer)(mt_context *context, mt_part part);
    /* Forward, backward and update; NULL: frozen. The core counts the step afterwards. */
    mt_status (*train)(mt_context *context, const mt_target *target, int32_t *loss_q16,
                       mt_part part);
} mt_model;

extern const mt_model mt_generated_model;

/* Shape of the input; apart, so that only applications that augment link it. */
typedef struct {
    uint32_t rows, pixel_bytes;
} mt_frame_shape;

extern const mt_frame_shape mt_generated_frame;

/* Followed in the caller's memory by the parameter block (8-aligned) and the offsets. */
struct mt_context {
    uint32_t magic;
    int32_t last_loss_q16;
    mt_step_state state;
    const mt_model *model;
    uint8_t *parameters;
    int8_t *offsets;
    mt_row_source source;
    uint8_t *arenas[]; /* [model->arena_count] */
};

/* Known to the compiler (runtime/facts.py), which plans the memory: bytes of the numbers, padded,
 * and how many pointers follow before the arenas. */
#define MT_CONTEXT_NUMBER_BYTES 32
#define MT_CONTEXT_POINTERS 5
MT_ASSERT(mt_context_is_as_planned,
          offsetof(mt_context, arenas) <=
              MT_CONTEXT_NUMBER_BYTES + MT_CONTEXT_POINTERS * sizeof(void *));

#ifdef __cplusplus
}
#endif
#endif
