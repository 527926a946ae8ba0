/* docs/camera.md: 0 for the same bytes, much for another offset. */
#include "device.h"

#include "snippets.c"

int main(void) {
    static int8_t wrong[MT_INPUT_BYTES];
    EXPECT(device() != NULL);
    for (uint32_t i = 0; i < MT_INPUT_BYTES; i++) {
        wrong[i] = (int8_t)(uint8_t)(frame[i] + 128);
    }
    EXPECT(mean_difference(frame, frame) == 0);
    EXPECT(mean_difference(wrong, frame) >= 60);
    return 0;
}
