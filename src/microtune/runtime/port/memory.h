/* The product's static memory; see memory.c. */
#ifndef MT_PORT_MEMORY_H
#define MT_PORT_MEMORY_H

#include <stdint.h>

#include "microtune_model.h"

extern uint8_t mt_context_memory[MT_CONTEXT_BYTES];
extern uint8_t mt_arena_memory[MT_ARENA_BYTES];

#endif
