/* docs/augmentation.md: a changed frame is learnt, resident or by rows. */
#include "device.h"

static int read_camera_row(void *user, uint32_t row, int8_t *to) {
    if (camera_wait_line((const camera *)user, row) != 0) {
        return -1;
    }
    memcpy(to, frame + row * MT_INPUT_ROW_BYTES, MT_INPUT_ROW_BYTES);
    return 0;
}

#include "snippets.c"

int main(void) {
    mt_context *net = device();
    mt_result result;
    EXPECT(net != NULL);
    for (uint32_t step = 1; step <= 8; step++) {
        if (MT_INPUT_BY_ROWS) {
            EXPECT(train_on_changed_rows(net, 1, &result) == MT_OK && lines_asked > 0);
        } else {
            memcpy(mt_input(net), frame, sizeof frame);
            EXPECT(train_on_changed_frame(net, 1, &result) == MT_OK);
        }
        EXPECT(steps_of(net) == step && result.loss_q16 >= 0);
    }
    return 0;
}
