/* Trains every model of a table and prints one line a step: model, step, status, then the CRC-32 of
 * the parameters, of the gradient offsets and of the logits, and the loss. The core is compiled
 * with mt_generated_model as the model that `training_batch_model` points to. */
#include "training_batch.h"

#include "mt_crc32.h"
#include "semihosting.h"

int main(void);

const mt_model *training_batch_model;

static uint32_t crc_of(const void *data, size_t bytes) { return mt_crc32(0, data, bytes); }

static void print(uint32_t value) {
    semihosting_print(" ");
    semihosting_print_number(value);
}

static void report(uint32_t number, uint32_t step, mt_status status, const mt_context *context,
                   const mt_result *result) {
    size_t bytes = 0;
    const uint8_t *parameters = mt_parameters(context, &bytes);
    semihosting_print("step");
    print(number);
    print(step);
    print((uint32_t)status);
    print(crc_of(parameters, bytes));
    print(crc_of(context->offsets, context->model->offset_count));
    print(crc_of(mt_output(context), 4 * (size_t)context->model->outputs));
    print((uint32_t)result->loss_q16);
    semihosting_print("\n");
}

static mt_status set_frame(mt_context *context, const training_case *c, const int8_t *frame) {
    if (context->model->input.offset == MT_BY_ROWS) {
        union {
            const int8_t *constant;
            void *user;
        } pointer = {frame};
        return mt_set_row_source(context, mt_read_frame_row, pointer.user);
    }
    memcpy(mt_input(context), frame, c->frame_bytes);
    return MT_OK;
}

static mt_status train(uint32_t number, const training_case *c) {
    const mt_memory memory = {training_context, training_context_bytes};
    const mt_memory arena = {training_arena, training_arena_bytes};
    mt_context *context;
    mt_status status = mt_init(memory, &arena, 1, c->seed, &context);
    for (uint32_t step = 0; step < c->steps && status == MT_OK; step++) {
        mt_result result = {0, 0};
        const uint32_t frame = step % c->frame_count;
        status = mt_set_learning_rate(context, c->rates[step]);
        status =
            status == MT_OK ? set_frame(context, c, c->frames + frame * c->frame_bytes) : status;
        status = status == MT_OK ? mt_train_step(context, &c->targets[frame], &result) : status;
        report(number, step, status, context, &result);
    }
    return status;
}

int main(void) {
    for (uint32_t i = 0; i < training_case_count; i++) {
        training_batch_model = training_cases[i].model;
        if (train(i, &training_cases[i]) != MT_OK) {
            semihosting_exit(1);
        }
    }
    semihosting_exit(0);
}
