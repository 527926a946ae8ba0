/* The product's static memory; see memory.c. */
#ifndef MT_PORT_MEMORY_H
#define MT_PORT_MEMORY_H

#include <stdint.h>

#include "microtune_model.h"

extern uint8_t mt_context_memory[MT_CONTEXT_BYTES];

/* One array for each arena: mt_arena_0, mt_arena_1, ... */
#define MT_DECLARE_ARENA(bank, bytes) extern uint8_t mt_arena_##bank[bytes];
MT_ARENAS(MT_DECLARE_ARENA)

/* For mt_replay_init; only with `compile --replay`. */
#if MT_REPLAY_BYTES
extern uint8_t mt_replay_memory[MT_REPLAY_BYTES];
#endif

#endif
