/* Shared by the files of core/ only. */
#ifndef MT_INTERNAL_H
#define MT_INTERNAL_H

#include "mt_context.h"

#define MT_CONTEXT_MAGIC UINT32_C(0x4d544358)

/* A function of which two public ones share one copy: flash is scarcer than a branch. */
#if defined(__GNUC__) || defined(__clang__)
#define MT_SHARED static __attribute__((noinline))
#else
#define MT_SHARED static
#endif

/* Not NULL, and made by mt_init of this model. */
int mt_is_context(const mt_context *context);

/* Whether `target` is one of this model. */
int mt_is_target(const mt_context *context, const mt_target *target);

/* What stands against a training step before its input is looked at: FROZEN, RATE or nothing. */
mt_status mt_check_training(const mt_context *context);

static inline uint8_t *mt_at(const mt_context *context, mt_place place) {
    return context->arenas[place.bank] + place.offset;
}

#endif
