/* Inference and training steps, from the input and from latents. */
#include "microtune.h"
#include "mt_internal.h"
#include "mt_learning_rate.h"
#include "mt_memory.h"

static int has_input(const mt_context *context) {
    return context->model->input.offset != MT_BY_ROWS || context->source.read != NULL;
}

/* A key that orders like output i: int32 as it is; the bits of a float made monotonic. */
static int32_t output_key(const mt_context *context, uint32_t i) {
    const uint8_t *outputs = mt_at(context, context->model->output);
    int32_t value;
    memcpy(&value, outputs + i * sizeof value, sizeof value);
    if (context->model->output_is_float && value < 0) {
        return -(int32_t)((uint32_t)value & UINT32_C(0x7fffffff));
    }
    return value;
}

/* The class of the largest output, if the outputs are those of classes. A single output is the
 * logit of class 1, and 0 that of class 0. */
static uint32_t predicted_class(const mt_context *context) {
    if (context->model->target_codes != 0) {
        return MT_NO_CLASS;
    }
    uint32_t best = context->model->outputs == 1 && output_key(context, 0) > 0;
    for (uint32_t i = 1; i < context->model->outputs; i++) {
        if (output_key(context, i) > output_key(context, best)) {
            best = i;
        }
    }
    return best;
}

size_t mt_latent_bytes(void) { return mt_generated_model.latent_bytes; }

mt_status mt_make_latent(mt_context *context, int8_t *latent) {
    if (!mt_is_context(context) || latent == NULL || mt_latent_bytes() == 0) {
        return MT_ERROR_ARGUMENT;
    }
    const mt_model *model = context->model;
    const mt_status status =
        has_input(context) ? model->infer(context, MT_TO_LATENT) : MT_ERROR_INPUT;
    if (status == MT_OK) {
        memcpy(latent, mt_at(context, model->latent), model->latent_bytes);
    }
    return status;
}

/* Puts a latent, if there is one, into its place; says where the call starts then. */
static mt_status begin_part(mt_context *context, const int8_t *latent, mt_part *part) {
    *part = latent == NULL ? MT_FROM_INPUT : MT_FROM_LATENT;
    if (latent == NULL) {
        return has_input(context) ? MT_OK : MT_ERROR_INPUT;
    }
    if (mt_latent_bytes() == 0) {
        return MT_ERROR_ARGUMENT;
    }
    memcpy(mt_at(context, context->model->latent), latent, mt_latent_bytes());
    return MT_OK;
}

static mt_status infer_from(mt_context *context, const int8_t *latent, mt_result *result) {
    mt_part part;
    mt_status status = begin_part(context, latent, &part);
    status = status == MT_OK ? context->model->infer(context, part) : status;
    if (status != MT_OK) {
        return status;
    }
    result->predicted_class = predicted_class(context);
    result->loss_q16 = MT_NO_LOSS;
    return MT_OK;
}

mt_status mt_infer(mt_context *context, mt_result *result) {
    return mt_is_context(context) && result != NULL ? infer_from(context, NULL, result)
                                                    : MT_ERROR_ARGUMENT;
}

mt_status mt_infer_latent(mt_context *context, const int8_t *latent, mt_result *result) {
    return mt_is_context(context) && latent != NULL && result != NULL
               ? infer_from(context, latent, result)
               : MT_ERROR_ARGUMENT;
}

mt_status mt_check_training(const mt_context *context) {
    if (context->model->train == NULL) {
        return MT_ERROR_FROZEN;
    }
    return context->state.lr_exponent == MT_NO_RATE ? MT_ERROR_RATE : MT_OK;
}

int mt_is_target(const mt_context *context, const mt_target *target) {
    if (target == NULL) {
        return 0;
    }
    const mt_model *model = context->model;
    return model->target_codes == 0 ? target->class_index < model->outputs + (model->outputs == 1)
                                    : target->codes != NULL;
}

MT_SHARED mt_status train_from(mt_context *context, const int8_t *latent, const mt_target *target,
                               mt_result *result) {
    mt_part part;
    if (!mt_is_context(context) || result == NULL || !mt_is_target(context, target)) {
        return MT_ERROR_ARGUMENT;
    }
    mt_status status = mt_check_training(context);
    status = status == MT_OK ? begin_part(context, latent, &part) : status;
    status = status == MT_OK ? context->model->train(context, target, &context->last_loss_q16, part)
                             : status;
    if (status != MT_OK) {
        return status;
    }
    context->state.step++;
    result->predicted_class = predicted_class(context);
    result->loss_q16 = context->last_loss_q16;
    return MT_OK;
}

mt_status mt_train_step(mt_context *context, const mt_target *target, mt_result *result) {
    return train_from(context, NULL, target, result);
}

mt_status mt_train_latent(mt_context *context, const int8_t *latent, const mt_target *target,
                          mt_result *result) {
    return latent == NULL ? MT_ERROR_ARGUMENT : train_from(context, latent, target, result);
}
