/* Every function and type of the public headers, called as an application calls it: no cast where
 * a caller has the natural types. Compiled as C and as C++. */
#include "microtune.h"
#include "microtune_image.h"

static uint64_t context_memory[64], arena[64], replay_memory[16];
static uint8_t saved[256];

static int read_row(void *user, uint32_t row, int8_t *to) {
    return mt_read_frame_row(user, row, to);
}

static mt_status classifier(mt_context *net, uint32_t label, uint32_t *right) {
    mt_result result;
    uint32_t predicted;
    mt_status status = mt_train_class(net, label, &result);
    if (status == MT_OK) {
        *right += result.predicted_class == label;
        status = mt_classify(net, &predicted);
    }
    if (status == MT_OK) {
        *right += predicted == label && result.loss_q16 != MT_NO_LOSS;
        *right += mt_logits(net) == mt_output(net);
    }
    return status;
}

static mt_status latents(mt_context *net, int8_t *latent, const mt_target *target) {
    const mt_memory memory = {replay_memory, sizeof replay_memory};
    mt_replay *replay;
    mt_result result;
    mt_status status = mt_make_latent(net, latent);
    status = status == MT_OK ? mt_infer_latent(net, latent, &result) : status;
    status = status == MT_OK ? mt_train_latent(net, latent, target, &result) : status;
    status = status == MT_OK ? mt_replay_init(memory, &replay) : status;
    if (status == MT_OK && mt_replay_bytes(1) + mt_latent_bytes() > 0) {
        status = mt_replay_keep(net, replay, latent, target);
        status = status == MT_OK ? mt_replay_train(net, replay, target, &result) : status;
        status = status == MT_OK && mt_replay_count(replay) > 0
                     ? mt_replay_rehearse(net, replay, &result)
                     : status;
    }
    return status;
}

static mt_status images(mt_context *net, int8_t *frame) {
    const mt_augmentation most = {1, 4, 20};
    mt_changed_source source = {read_row, frame, {0, 0, 0}};
    mt_change change;
    mt_status status = mt_row_bytes() > 0 ? mt_set_row_source(net, read_row, frame) : MT_OK;
    status = status == MT_OK ? mt_draw_change(net, &most, &change) : status;
    if (status == MT_OK) {
        source.change = change;
        status = mt_set_row_source(net, mt_read_changed_row, &source);
        status = status == MT_OK ? mt_change_frame(net, &change) : status;
    }
    return status;
}

static mt_status begin(mt_context **net) {
    const mt_memory context = {context_memory, sizeof context_memory};
    const mt_memory arenas[] = {{arena, sizeof arena}};
    const size_t wanted = mt_context_bytes() + mt_arena_bytes(mt_arena_count() - 1);
    const mt_status status = mt_init(context, arenas, 1, (uint32_t)wanted, net);
    return status == MT_OK ? mt_set_learning_rate(*net, MT_LEARNING_RATE_MAX) : status;
}

static mt_status state_of(mt_context *net, size_t *bytes) {
    mt_stats stats;
    mt_status status = mt_get_stats(net, &stats);
    if (status == MT_OK && stats.steps > 0 && mt_save_bytes() <= sizeof saved) {
        status = mt_save(net, saved, sizeof saved, bytes);
        status = status == MT_OK ? mt_load(net, saved, *bytes) : status;
    }
    return status;
}

int main(void) {
    mt_context *net;
    mt_result result;
    uint32_t right = 0;
    size_t bytes = 0;
    const mt_target target = mt_class_target(2);
    mt_status status = begin(&net);
    if (status == MT_OK) {
        int8_t *input = mt_input(net);
        status = mt_infer(net, &result);
        status = status == MT_OK ? mt_train_step(net, &target, &result) : status;
        status = status == MT_OK ? classifier(net, 1, &right) : status;
        status = status == MT_OK ? latents(net, input, &target) : status;
        status = status == MT_OK ? images(net, input) : status;
        status = status == MT_OK ? state_of(net, &bytes) : status;
        bytes += mt_output(net) != NULL && mt_parameters(net, &bytes) != NULL;
    }
    return (int)status;
}
