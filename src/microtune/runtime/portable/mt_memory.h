/* The three memory functions that the runtime calls. Declared here because a freestanding toolchain
 * may come without <string.h>; the C library or the board's start-up code defines them. */
#ifndef MT_MEMORY_H
#define MT_MEMORY_H

#include <stddef.h>

void *memmove(void *to, const void *from, size_t bytes);
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

#endif
