/* The memory of the one context, sized at compile time so that the linker can refuse it. */
#include "memory.h"

__attribute__((section(".bss.mt_context"), aligned(8))) uint8_t mt_context_memory[MT_CONTEXT_BYTES];

__attribute__((section(".bss.mt_arena"), aligned(8))) uint8_t mt_arena_memory[MT_ARENA_BYTES];
