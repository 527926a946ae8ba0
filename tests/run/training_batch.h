/* A table of compiled models with what each is trained on. */
#ifndef TRAINING_BATCH_H
#define TRAINING_BATCH_H

#include "mt_context.h"
#include "mt_memory.h"

typedef struct {
    const mt_model *model;
    uint32_t seed, steps, frame_count, frame_bytes;
    const float *rates;       /* [steps] */
    const int8_t *frames;     /* [frame_count][frame_bytes] */
    const mt_target *targets; /* [frame_count] */
} training_case;

extern const training_case training_cases[];
extern const uint32_t training_case_count;
extern const mt_model *training_batch_model;

/* Memory for the largest of them. */
extern int64_t training_context[], training_arena[];
extern const size_t training_context_bytes, training_arena_bytes;

#endif
