/* The four functions of string.h that the runtime uses, for a tool chain without a C library. */
#ifndef MT_PORT_STRING_H
#define MT_PORT_STRING_H

#include <stddef.h>

void *memcpy(void *destination, const void *source, size_t bytes);
void *memmove(void *destination, const void *source, size_t bytes);
void *memset(void *destination, int value, size_t bytes);
int memcmp(const void *left, const void *right, size_t bytes);

#endif
