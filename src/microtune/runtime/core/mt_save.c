/* Saving and loading what was learnt.
 *
 * All numbers little-endian (the parameters are the device's own bytes, and every target is
 * little-endian):
 *
 *     0   "MTSV"
 *     4   format version (1)             8   numerics version
 *    12   model hash, 32 bytes          44   scheme hash, 32 bytes
 *    76   payload bytes                 80   CRC-32 of the payload
 *    84   CRC-32 of bytes 0 .. 83
 *    88   payload: parameters, offsets, seed, step, bits of the learning rate, last loss
 *
 * A learning rate that was never set is written as -0, which older readers take for 0. */
#include "mt_crc32.h"
#include "mt_internal.h"
#include "mt_learning_rate.h"
#include "mt_memory.h"
#include "mt_numerics.h"

#define FORMAT_VERSION 1u
#define HEADER_BYTES 88u
#define STATE_BYTES 16u
#define BITS_OF_NO_RATE UINT32_C(0x80000000)

static const uint8_t MAGIC[4] = {'M', 'T', 'S', 'V'};

static void put32(uint8_t *to, uint32_t v) {
    for (uint32_t i = 0; i < 4; i++) {
        to[i] = (uint8_t)(v >> (8 * i));
    }
}

static uint32_t get32(const uint8_t *from) {
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

static uint32_t payload_bytes(const mt_model *model) {
    return model->parameter_bytes + model->offset_count + STATE_BYTES;
}

size_t mt_save_bytes(void) { return HEADER_BYTES + payload_bytes(&mt_generated_model); }

static uint32_t rate_bits(const mt_step_state *state) {
    return state->lr_exponent == MT_NO_RATE ? BITS_OF_NO_RATE : mt_float_bits(state->lr);
}

mt_status mt_save(const mt_context *context, void *buffer, size_t bytes, size_t *written) {
    if (!mt_is_context(context) || buffer == NULL || written == NULL) {
        return MT_ERROR_ARGUMENT;
    }
    const mt_model *model = context->model;
    *written = 0;
    if (bytes < mt_save_bytes()) {
        return MT_ERROR_SIZE;
    }
    uint8_t *header = (uint8_t *)buffer, *payload = header + HEADER_BYTES;
    uint8_t *state = payload + model->parameter_bytes + model->offset_count;
    memcpy(payload, context->parameters, model->parameter_bytes);
    memcpy(payload + model->parameter_bytes, context->offsets, model->offset_count);
    put32(state, context->state.seed);
    put32(state + 4, context->state.step);
    put32(state + 8, rate_bits(&context->state));
    put32(state + 12, (uint32_t)context->last_loss_q16);
    memcpy(header, MAGIC, sizeof MAGIC);
    put32(header + 4, FORMAT_VERSION);
    put32(header + 8, model->numerics_version);
    memcpy(header + 12, model->model_hash, 32);
    memcpy(header + 44, model->scheme_hash, 32);
    put32(header + 76, payload_bytes(model));
    put32(header + 80, mt_crc32(0, payload, payload_bytes(model)));
    put32(header + 84, mt_crc32(0, header, 84));
    *written = mt_save_bytes();
    return MT_OK;
}

/* Everything that can be said against `header` and the payload behind it. */
static mt_status check(const mt_model *model, const uint8_t *header, size_t bytes) {
    if (bytes < HEADER_BYTES) {
        return MT_ERROR_SIZE;
    }
    if (memcmp(header, MAGIC, sizeof MAGIC) != 0 || get32(header + 4) != FORMAT_VERSION) {
        return MT_ERROR_FORMAT;
    }
    if (get32(header + 84) != mt_crc32(0, header, 84)) {
        return MT_ERROR_CHECKSUM;
    }
    if (get32(header + 8) != model->numerics_version ||
        memcmp(header + 12, model->model_hash, 32) != 0 ||
        memcmp(header + 44, model->scheme_hash, 32) != 0 ||
        get32(header + 76) != payload_bytes(model)) {
        return MT_ERROR_MISMATCH;
    }
    if (bytes < mt_save_bytes()) {
        return MT_ERROR_SIZE;
    }
    if (get32(header + 80) != mt_crc32(0, header + HEADER_BYTES, payload_bytes(model))) {
        return MT_ERROR_CHECKSUM;
    }
    return MT_OK;
}

mt_status mt_load(mt_context *context, const void *buffer, size_t bytes) {
    if (!mt_is_context(context) || buffer == NULL) {
        return MT_ERROR_ARGUMENT;
    }
    const mt_model *model = context->model;
    const uint8_t *payload = (const uint8_t *)buffer + HEADER_BYTES;
    const mt_status status = check(model, (const uint8_t *)buffer, bytes);
    if (status != MT_OK) {
        return status;
    }
    const uint8_t *state = payload + model->parameter_bytes + model->offset_count;
    const uint32_t rate = get32(state + 8);
    if (rate != BITS_OF_NO_RATE && !mt_split_learning_rate(rate, &context->state)) {
        return MT_ERROR_FORMAT;
    }
    context->state.seed = get32(state);
    context->state.step = get32(state + 4);
    context->last_loss_q16 = (int32_t)get32(state + 12);
    memcpy(context->parameters, payload, model->parameter_bytes);
    memcpy(context->offsets, payload + model->parameter_bytes, model->offset_count);
    return MT_OK;
}
