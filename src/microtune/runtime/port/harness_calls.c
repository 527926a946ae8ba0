#include "harness_calls.h"

#include <stddef.h>

#include "memory.h"

/* The frame of a model that reads rows is not the product's memory. */
#if MT_INPUT_BY_ROWS
static int8_t frame_buffer[MT_INPUT_BYTES];
#endif
/* What the training call of the record is given. */
static mt_target target;
#if defined(MT_TARGET_CODES)
static int8_t target_codes[MT_TARGET_CODES];
#endif
/* The flash or external memory where an application keeps its latents. */
static int8_t latent_buffer[MT_LATENT_BYTES + 1];
#if MT_REPLAY_BYTES
static mt_replay *replay;
#endif

int harness_is_training(const harness_record *record) {
    return record->kind != HARNESS_INFER && record->kind != HARNESS_INFER_LATENT;
}

int8_t *harness_frame(mt_context *context) {
#if MT_INPUT_BY_ROWS
    return mt_set_row_source(context, mt_read_frame_row, frame_buffer) == MT_OK ? frame_buffer
                                                                                : NULL;
#else
    return mt_input(context);
#endif
}

int8_t *harness_target_codes(void) {
#if defined(MT_TARGET_CODES)
    return target_codes;
#else
    return NULL;
#endif
}

mt_status harness_make_replay(void) {
#if MT_REPLAY_BYTES
    const mt_memory memory = {mt_replay_memory, sizeof mt_replay_memory};
    return mt_replay_init(memory, &replay);
#else
    return MT_OK;
#endif
}

/* Linked only where jobs ask for it, so that the flash of a firmware is what it needs. */
#if defined(MT_HARNESS_AUGMENT)
static mt_status change_frame(mt_context *context, const mt_augmentation *most) {
    mt_change change;
    mt_status status = mt_draw_change(context, most, &change);
    if (status == MT_OK) {
#if MT_INPUT_BY_ROWS
        static mt_changed_source source;
        source = (mt_changed_source){mt_read_frame_row, frame_buffer, change};
        status = mt_set_row_source(context, mt_read_changed_row, &source);
#else
        status = mt_change_frame(context, &change);
#endif
    }
    return status;
}

static mt_status train_changed(mt_context *context, const harness_record *record,
                               mt_result *result) {
    const mt_status status = change_frame(context, &record->augmentation);
    if (status != MT_OK) {
        return status;
    }
#if MT_REPLAY_BYTES
    if (record->kind == HARNESS_TRAIN_KEEP) {
        return mt_replay_train(context, replay, &target, result);
    }
#endif
    return mt_train_step(context, &target, result);
}
#endif

static int is_changed(const harness_record *record) {
    const mt_augmentation *most = &record->augmentation;
    return most->flip != 0 || most->shift_rows != 0 || most->brightness != 0;
}

/* A call without a function: the firmware was not built for it. */
static mt_port_call call_of(mt_context *context, const harness_record *record, mt_result *result) {
    const uint32_t c = (uint32_t)context, r = (uint32_t)result, latent = (uint32_t)latent_buffer;
    const uint32_t t = (uint32_t)&target;
    target = mt_class_target(record->label);
    target.codes = harness_target_codes();
    if (is_changed(record)) {
#if defined(MT_HARNESS_AUGMENT)
        return (mt_port_call){{c, (uint32_t)record, r, 0}, (uintptr_t)train_changed};
#else
        return (mt_port_call){{0, 0, 0, 0}, 0};
#endif
    }
    switch (record->kind) {
    case HARNESS_TRAIN:
        return (mt_port_call){{c, t, r, 0}, (uintptr_t)mt_train_step};
    case HARNESS_INFER:
        return (mt_port_call){{c, r, 0, 0}, (uintptr_t)mt_infer};
    case HARNESS_TRAIN_LATENT:
        return (mt_port_call){{c, latent, t, r}, (uintptr_t)mt_train_latent};
    case HARNESS_INFER_LATENT:
        return (mt_port_call){{c, latent, r, 0}, (uintptr_t)mt_infer_latent};
#if MT_REPLAY_BYTES
    case HARNESS_TRAIN_KEEP:
        return (mt_port_call){{c, (uint32_t)replay, t, r}, (uintptr_t)mt_replay_train};
    case HARNESS_REHEARSE:
        return (mt_port_call){{c, (uint32_t)replay, r, 0}, (uintptr_t)mt_replay_rehearse};
#endif
    default:
        return (mt_port_call){{0, 0, 0, 0}, 0};
    }
}

uint32_t harness_prepare(mt_context *context, const harness_record *record, mt_result *result,
                         mt_port_call *call) {
    mt_status status = MT_OK;
    *call = call_of(context, record, result);
    if (call->function == 0) {
        return MT_ERROR_ARGUMENT;
    }
    if (harness_is_training(record)) {
        status = mt_set_learning_rate(context, record->learning_rate);
    }
    if (status == MT_OK &&
        (record->kind == HARNESS_TRAIN_LATENT || record->kind == HARNESS_INFER_LATENT)) {
        status = mt_make_latent(context, latent_buffer);
    }
    return (uint32_t)status;
}
