/* An input that is read row by row. */
#include "microtune_image.h"
#include "mt_internal.h"
#include "mt_memory.h"

mt_status mt_set_row_source(mt_context *context, mt_read_row read, void *user) {
    if (!mt_is_context(context) || read == NULL || context->model->input.offset != MT_BY_ROWS) {
        return MT_ERROR_ARGUMENT;
    }
    context->source.read = read;
    context->source.user = user;
    return MT_OK;
}

int mt_read_frame_row(void *user, uint32_t row, int8_t *to) {
    const size_t bytes = mt_row_bytes();
    memcpy(to, (const int8_t *)user + row * bytes, bytes);
    return 0;
}

size_t mt_row_bytes(void) { return mt_generated_model.input_row_bytes; }
