/* docs/latents.md: a stored sample is learnt again; the replay memory fills and is rehearsed. */
#include "device.h"

#include "snippets.c"

int main(void) {
    mt_context *net = device();
    mt_result first, second;
    EXPECT(net != NULL && start_replay() == MT_OK);
    memcpy(mt_input(net), frame, sizeof frame);
    EXPECT(store(net, SLOTS - 1) == MT_OK);
    EXPECT(learn_again(net, SLOTS - 1, 1, &first) == MT_OK);
    for (uint32_t step = 0; step < 20; step++) {
        EXPECT(learn_again(net, SLOTS - 1, 1, &second) == MT_OK);
    }
    EXPECT(second.loss_q16 < first.loss_q16 && second.predicted_class == 1);
    for (uint32_t step = 1; step <= 3; step++) {
        const uint32_t before = steps_of(net);
        memcpy(mt_input(net), frame, sizeof frame);
        EXPECT(learn_and_rehearse(net, 2, &second) == MT_OK && steps_of(net) == before + 2);
    }
    EXPECT(mt_replay_count(replay) > 0);
    return 0;
}
