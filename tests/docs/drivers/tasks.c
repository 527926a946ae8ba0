/* docs/tasks.md: the error of a picture that is seen again and again falls. */
#include "device.h"

#include "snippets.c"

int main(void) {
    mt_context *net = device();
    int32_t first, last;
    EXPECT(net != NULL && mt_set_learning_rate(net, 1.0f) == MT_OK);
    /* The score is the loss of the step that follows. */
    int32_t score;
    EXPECT(anomaly_score(net, frame, &score) == MT_OK && steps_of(net) == 0);
    EXPECT(learn_to_paint(net, frame, &first) == MT_OK && score == first && score > 0);
    for (uint32_t step = 0; step < 30; step++) {
        EXPECT(anomaly_score(net, frame, &score) == MT_OK);
        EXPECT(learn_to_paint(net, frame, &last) == MT_OK && last == score);
    }
    EXPECT(last < first / 2 && steps_of(net) == 31);
    return 0;
}
