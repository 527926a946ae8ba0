/* Augmentation: the frame of a training step mirrored, shifted by rows, brighter or darker. */
#include "microtune_image.h"
#include "mt_internal.h"
#include "mt_memory.h"
#include "mt_numerics.h"

/* A site of random numbers that no tensor has. */
#define SITE_AUGMENT UINT32_C(0xFFFF0003)

/* -most .. most */
static int8_t draw_within(uint32_t key, uint32_t index, uint32_t most) {
    const uint64_t word = mt_random_word(key, index);
    return (int8_t)((int32_t)((word * (2 * most + 1)) >> 32) - (int32_t)most);
}

mt_status mt_draw_change(const mt_context *context, const mt_augmentation *most,
                         mt_change *change) {
    if (!mt_is_context(context) || most == NULL || change == NULL || most->flip > 1 ||
        most->shift_rows > INT8_MAX || most->brightness > INT8_MAX) {
        return MT_ERROR_ARGUMENT;
    }
    const uint32_t key = mt_random_key(&context->state, SITE_AUGMENT);
    change->flip = (int8_t)(most->flip & (mt_random_word(key, 0) >> 31));
    change->shift_rows = draw_within(key, 1, most->shift_rows);
    change->brightness = draw_within(key, 2, most->brightness);
    return MT_OK;
}

/* The row whose pixels row `row` of the changed frame shows. */
static uint32_t source_row(const mt_change *change, uint32_t row) {
    const int32_t last = (int32_t)mt_generated_frame.rows - 1;
    const int32_t shifted = (int32_t)row + change->shift_rows;
    return (uint32_t)(shifted < 0 ? 0 : shifted > last ? last : shifted);
}

static void mirror(int8_t *row) {
    const uint32_t pixel = mt_generated_frame.pixel_bytes;
    int8_t *left = row, *right = row + mt_row_bytes() - pixel;
    for (; left < right; left += pixel, right -= pixel) {
        for (uint32_t i = 0; i < pixel; i++) {
            const int8_t kept = left[i];
            left[i] = right[i];
            right[i] = kept;
        }
    }
}

static void brighten(int8_t *row, int32_t by) {
    const size_t bytes = mt_row_bytes();
    for (size_t i = 0; i < bytes; i++) {
        const int32_t code = row[i] + by;
        row[i] = (int8_t)(code < INT8_MIN ? INT8_MIN : code > INT8_MAX ? INT8_MAX : code);
    }
}

static void change_row(const mt_change *change, int8_t *row) {
    if (change->flip) {
        mirror(row);
    }
    if (change->brightness != 0) {
        brighten(row, change->brightness);
    }
}

mt_status mt_change_frame(mt_context *context, const mt_change *change) {
    int8_t *frame = mt_input(context);
    if (frame == NULL || change == NULL) {
        return MT_ERROR_ARGUMENT;
    }
    const size_t bytes = mt_row_bytes();
    const uint32_t rows = mt_generated_frame.rows;
    /* From the end that no later row reads. */
    for (uint32_t i = 0; i < rows && change->shift_rows != 0; i++) {
        const uint32_t row = change->shift_rows > 0 ? i : rows - 1 - i;
        memmove(frame + row * bytes, frame + source_row(change, row) * bytes, bytes);
    }
    for (uint32_t row = 0; row < rows; row++) {
        change_row(change, frame + row * bytes);
    }
    return MT_OK;
}

int mt_read_changed_row(void *user, uint32_t row, int8_t *to) {
    const mt_changed_source *source = (const mt_changed_source *)user;
    const int failed = source->read(source->user, source_row(&source->change, row), to);
    if (failed == 0) {
        change_row(&source->change, to);
    }
    return failed;
}
