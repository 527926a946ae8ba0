/* Memory, input, state: the public functions of microtune.h without steps, saving and loading. */
#include "microtune.h"
#include "mt_context.h"
#include "mt_internal.h"
#include "mt_learning_rate.h"
#include "mt_memory.h"
#include "mt_numerics.h"

static size_t round_up(size_t bytes) {
    return (bytes + MT_ALIGNMENT - 1) / MT_ALIGNMENT * MT_ALIGNMENT;
}

static int is_aligned(const void *memory) { return (uintptr_t)memory % MT_ALIGNMENT == 0; }

int mt_is_context(const mt_context *context) {
    return context != NULL && context->magic == MT_CONTEXT_MAGIC &&
           context->model == &mt_generated_model;
}

/* Bytes of the context itself, before the parameters. */
static size_t head_bytes(void) {
    return round_up(sizeof(mt_context) + mt_generated_model.arena_count * sizeof(uint8_t *));
}

size_t mt_context_bytes(void) {
    return head_bytes() + round_up(mt_generated_model.parameter_bytes) +
           round_up(mt_generated_model.offset_count);
}

uint32_t mt_arena_count(void) { return mt_generated_model.arena_count; }

size_t mt_arena_bytes(uint32_t bank) {
    return bank < mt_generated_model.arena_count ? mt_generated_model.arena_bytes[bank] : 0;
}

static mt_status check_memory(mt_memory memory, size_t bytes) {
    if (memory.base == NULL || !is_aligned(memory.base)) {
        return MT_ERROR_ARGUMENT;
    }
    return memory.bytes < bytes ? MT_ERROR_SIZE : MT_OK;
}

static mt_status check_arenas(const mt_memory *arenas, uint32_t arena_count) {
    if (arenas == NULL) {
        return MT_ERROR_ARGUMENT;
    }
    if (arena_count < mt_arena_count()) {
        return MT_ERROR_SIZE;
    }
    for (uint32_t i = 0; i < mt_arena_count(); i++) {
        const mt_status status = check_memory(arenas[i], mt_arena_bytes(i));
        if (status != MT_OK) {
            return status;
        }
    }
    return MT_OK;
}

mt_status mt_init(mt_memory memory, const mt_memory *arenas, uint32_t arena_count, uint32_t seed,
                  mt_context **context) {
    const mt_model *model = &mt_generated_model;
    mt_status status = context == NULL ? MT_ERROR_ARGUMENT : MT_OK;
    status = status == MT_OK ? check_memory(memory, mt_context_bytes()) : status;
    status = status == MT_OK ? check_arenas(arenas, arena_count) : status;
    if (status != MT_OK) {
        return status;
    }
    mt_context *c = (mt_context *)memory.base;
    memset(memory.base, 0, mt_context_bytes());
    c->magic = MT_CONTEXT_MAGIC;
    c->last_loss_q16 = MT_NO_LOSS;
    c->state.seed = seed;
    c->state.lr_exponent = MT_NO_RATE;
    c->model = model;
    for (uint32_t i = 0; i < model->arena_count; i++) {
        c->arenas[i] = (uint8_t *)arenas[i].base;
    }
    c->parameters = (uint8_t *)memory.base + head_bytes();
    c->offsets = (int8_t *)(c->parameters + round_up(model->parameter_bytes));
    for (uint32_t i = 0; i < model->segment_count; i++) {
        const mt_segment *segment = &model->initial_segments[i];
        memcpy(c->parameters + segment->offset, segment->data, segment->bytes);
    }
    if (model->initial_offsets != NULL) {
        memcpy(c->offsets, model->initial_offsets, model->offset_count);
    }
    *context = c;
    return MT_OK;
}

int8_t *mt_input(mt_context *context) {
    if (!mt_is_context(context) || context->model->input.offset == MT_BY_ROWS) {
        return NULL;
    }
    return (int8_t *)mt_at(context, context->model->input);
}

const void *mt_output(const mt_context *context) {
    return mt_is_context(context) ? mt_at(context, context->model->output) : NULL;
}

mt_status mt_set_learning_rate(mt_context *context, float learning_rate) {
    if (!mt_is_context(context) ||
        !mt_split_learning_rate(mt_float_bits(learning_rate), &context->state)) {
        return MT_ERROR_ARGUMENT;
    }
    return MT_OK;
}

mt_status mt_get_stats(const mt_context *context, mt_stats *stats) {
    if (!mt_is_context(context) || stats == NULL) {
        return MT_ERROR_ARGUMENT;
    }
    stats->seed = context->state.seed;
    stats->steps = context->state.step;
    stats->last_loss_q16 = context->last_loss_q16;
    stats->learning_rate = context->state.lr;
    stats->offset_min = 0;
    stats->offset_max = 0;
    for (uint32_t i = 0; i < context->model->offset_count; i++) {
        const int8_t offset = context->offsets[i];
        stats->offset_min = i == 0 || offset < stats->offset_min ? offset : stats->offset_min;
        stats->offset_max = i == 0 || offset > stats->offset_max ? offset : stats->offset_max;
    }
    return MT_OK;
}

const uint8_t *mt_parameters(const mt_context *context, size_t *bytes) {
    if (!mt_is_context(context) || bytes == NULL) {
        return NULL;
    }
    *bytes = context->model->parameter_bytes;
    return context->parameters;
}
