/* The memory of the one context, sized at compile time so that the linker can refuse it. Each piece
 * has a section of its own, which the linker script puts into the bank that the plan chose. */
#include "memory.h"

__attribute__((section(".bss.mt_context"), aligned(8))) uint8_t mt_context_memory[MT_CONTEXT_BYTES];

#define DEFINE_ARENA(bank, bytes)                                                                  \
    __attribute__((section(".bss.mt_arena_" #bank), aligned(8))) uint8_t mt_arena_##bank[bytes];
MT_ARENAS(DEFINE_ARENA)

#if MT_REPLAY_BYTES
__attribute__((section(".bss.mt_replay"), aligned(8))) uint8_t mt_replay_memory[MT_REPLAY_BYTES];
#endif
