/* docs/memory.md: three sources of rows give the same frame. */
#include "device.h"

static int spi_flash_read(uint32_t address, int8_t *to, uint32_t bytes) {
    if (address + bytes > sizeof frame) {
        return -1;
    }
    memcpy(to, frame + address, bytes);
    return 0;
}

#include "snippets.c"

int main(void) {
    mt_context *net = device();
    mt_result first, second, third;
    uint32_t address = 0;
    EXPECT(net != NULL);
    FILE *file = tmpfile();
    EXPECT(file != NULL && fwrite(frame, 1, sizeof frame, file) == sizeof frame);
    rewind(file);
    EXPECT(mt_set_row_source(net, flash_row, &address) == MT_OK && mt_infer(net, &first) == MT_OK);
    EXPECT(mt_set_row_source(net, file_row, file) == MT_OK && mt_infer(net, &second) == MT_OK);
    EXPECT(learn_from_camera(net, 1, &third) == MT_OK && steps_of(net) == 1 && lines_asked > 0);
    EXPECT(first.predicted_class == second.predicted_class);
    EXPECT(first.predicted_class == third.predicted_class);
    EXPECT(mt_set_row_source(net, file_row, file) == MT_OK);
    EXPECT(mt_infer(net, &first) == MT_ERROR_INPUT); /* the file is at its end */
    return 0;
}
