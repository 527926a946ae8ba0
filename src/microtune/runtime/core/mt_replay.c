/* Replay memory: labels and latents of samples seen, each of them equally likely to be there
 * (reservoir sampling), and steps on stored ones. No pointers in it: it may be copied as it is. */
#include "microtune.h"
#include "mt_internal.h"
#include "mt_memory.h"
#include "mt_numerics.h"

#define REPLAY_MAGIC UINT32_C(0x4C50524D) /* "MRPL" */
#define NO_SLOT UINT32_MAX
/* Sites of random numbers that no tensor has. */
#define SITE_KEEP UINT32_C(0xFFFF0001)
#define SITE_REHEARSE UINT32_C(0xFFFF0002)

/* Followed by uint16_t labels[slots] and int8_t latents[slots][latent bytes]. */
struct mt_replay {
    uint32_t magic, latent_bytes, slots, filled, seen;
    uint32_t last; /* slot of the sample before, if it was kept */
};

/* Known to the compiler (runtime/facts.py), which plans the memory. */
#define REPLAY_HEADER_BYTES 24
#define REPLAY_LABEL_BYTES 2
MT_ASSERT(mt_replay_is_as_planned,
          sizeof(mt_replay) == REPLAY_HEADER_BYTES && sizeof(uint16_t) == REPLAY_LABEL_BYTES);

static uint16_t *labels_of(mt_replay *replay) { return (uint16_t *)(void *)(replay + 1); }

static int8_t *latent_of(mt_replay *replay, uint32_t slot) {
    int8_t *latents = (int8_t *)(labels_of(replay) + replay->slots);
    return latents + (size_t)slot * replay->latent_bytes;
}

/* Says that it is a replay memory, and of how many slots: that number alone bounds every access. */
static uint32_t magic_of(uint32_t slots) { return REPLAY_MAGIC ^ (slots * UINT32_C(0x9E3779B1)); }

static int is_replay(const mt_replay *replay) {
    return replay != NULL && replay->magic == magic_of(replay->slots) &&
           replay->latent_bytes == mt_latent_bytes() && replay->filled <= replay->slots &&
           (replay->last == NO_SLOT || replay->last < replay->filled);
}

/* 0 .. bound - 1 */
static uint32_t draw_below(const mt_context *context, uint32_t site, uint32_t bound) {
    const uint32_t word = mt_random_word(mt_random_key(&context->state, site), 0);
    return (uint32_t)(((uint64_t)word * bound) >> 32);
}

size_t mt_replay_bytes(uint32_t slots) {
    return sizeof(mt_replay) + slots * (sizeof(uint16_t) + mt_latent_bytes());
}

mt_status mt_replay_init(mt_memory memory, mt_replay **replay) {
    if (memory.base == NULL || replay == NULL || (uintptr_t)memory.base % MT_ALIGNMENT != 0 ||
        mt_latent_bytes() == 0 || mt_generated_model.target_codes != 0) {
        return MT_ERROR_ARGUMENT;
    }
    if (mt_generated_model.train == NULL) {
        return MT_ERROR_FROZEN;
    }
    if (memory.bytes < mt_replay_bytes(1)) {
        return MT_ERROR_SIZE;
    }
    const size_t room = memory.bytes - sizeof(mt_replay);
    mt_replay *r = (mt_replay *)memory.base;
    r->latent_bytes = (uint32_t)mt_latent_bytes();
    r->slots = (uint32_t)(room / (sizeof(uint16_t) + mt_latent_bytes()));
    r->magic = magic_of(r->slots);
    r->filled = 0;
    r->seen = 0;
    r->last = NO_SLOT;
    *replay = r;
    return MT_OK;
}

uint32_t mt_replay_count(const mt_replay *replay) { return is_replay(replay) ? replay->filled : 0; }

/* Where the next sample goes: a free slot; then one of all seen, if it is a slot. */
static uint32_t slot_for(const mt_context *context, const mt_replay *replay) {
    if (replay->filled < replay->slots) {
        return replay->filled;
    }
    const uint32_t chosen = draw_below(context, SITE_KEEP, replay->seen + 1);
    return chosen < replay->slots ? chosen : NO_SLOT;
}

static void count_kept(mt_replay *replay, uint32_t slot) {
    replay->last = slot;
    replay->filled += slot == replay->filled;
    replay->seen += replay->seen < UINT32_MAX - 1;
}

static int is_target(const mt_context *context, const mt_target *target) {
    return mt_is_context(context) && mt_is_target(context, target) &&
           target->class_index <= UINT16_MAX;
}

mt_status mt_replay_keep(mt_context *context, mt_replay *replay, const int8_t *latent,
                         const mt_target *target) {
    if (!is_replay(replay) || !is_target(context, target) || latent == NULL) {
        return MT_ERROR_ARGUMENT;
    }
    const uint32_t slot = slot_for(context, replay);
    if (slot != NO_SLOT) {
        memcpy(latent_of(replay, slot), latent, replay->latent_bytes);
        labels_of(replay)[slot] = (uint16_t)target->class_index;
    }
    count_kept(replay, slot);
    return MT_OK;
}

mt_status mt_replay_train(mt_context *context, mt_replay *replay, const mt_target *target,
                          mt_result *result) {
    if (!is_replay(replay) || !is_target(context, target) || result == NULL) {
        return MT_ERROR_ARGUMENT;
    }
    const uint32_t slot = slot_for(context, replay);
    mt_status status = mt_check_training(context); /* before a stored sample is overwritten */
    if (status != MT_OK) {
        return status;
    }
    if (slot == NO_SLOT) {
        status = mt_train_step(context, target, result);
    } else {
        status = mt_make_latent(context, latent_of(replay, slot));
        if (status == MT_OK) {
            labels_of(replay)[slot] = (uint16_t)target->class_index;
            status = mt_train_latent(context, latent_of(replay, slot), target, result);
        }
    }
    if (status == MT_OK) {
        count_kept(replay, slot);
    }
    return status;
}

mt_status mt_replay_rehearse(mt_context *context, mt_replay *replay, mt_result *result) {
    if (!is_replay(replay) || !mt_is_context(context) || result == NULL) {
        return MT_ERROR_ARGUMENT;
    }
    if (replay->filled == 0) {
        return MT_ERROR_INPUT;
    }
    const int others = replay->last != NO_SLOT && replay->filled > 1;
    uint32_t slot = draw_below(context, SITE_REHEARSE, replay->filled - (others ? 1u : 0u));
    slot += others && slot >= replay->last;
    const mt_target target = mt_class_target(labels_of(replay)[slot]);
    return mt_train_latent(context, latent_of(replay, slot), &target, result);
}
