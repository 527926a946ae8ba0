/* The calls that the test harness makes for the records of a job. */
#ifndef MT_PORT_HARNESS_CALLS_H
#define MT_PORT_HARNESS_CALLS_H

#include <stdint.h>

#include "microtune_image.h"
#include "port.h"

/* Kinds of records; their format is in harness.c. */
enum {
    HARNESS_TRAIN,
    HARNESS_INFER,
    HARNESS_SAVE,
    HARNESS_TRAIN_LATENT,
    HARNESS_INFER_LATENT,
    HARNESS_TRAIN_KEEP,
    HARNESS_REHEARSE,
    HARNESS_LOAD
};

typedef struct {
    uint8_t kind;
    mt_augmentation augmentation;
    uint32_t label;
    float learning_rate;
} harness_record;

int harness_is_training(const harness_record *record);

/* Where the frame of the next call goes; NULL if the row source is refused. */
int8_t *harness_frame(mt_context *context);

/* Where the codes of the next target go; NULL for a classifier. */
int8_t *harness_target_codes(void);

/* Empties the replay memory, if the project has one. */
mt_status harness_make_replay(void);

/* The call of a record, whose frame is in its place. Latents are made before, so that the call
 * alone is measured; changing a frame belongs to it. */
uint32_t harness_prepare(mt_context *context, const harness_record *record, mt_result *result,
                         mt_port_call *call);

#endif
