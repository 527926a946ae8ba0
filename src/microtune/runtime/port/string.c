/* The four functions a freestanding compiler may call. Word-wise: Armv7-M and Armv8-M
 * load and store unaligned words from normal memory; for other cores the compiler takes bytes. */
#include "string.h"

#include <stdint.h>

typedef struct {
    uint32_t value;
} __attribute__((packed, may_alias)) unaligned_word;

/* Keeps compilers from turning a copying loop into a call of the function it stands in. */
#define KEEP_LOOP() __asm__ volatile("" ::: "memory")

void *memcpy(void *destination, const void *source, size_t bytes) {
    uint8_t *to = destination;
    const uint8_t *from = source;
    for (; bytes >= 4; bytes -= 4, to += 4, from += 4) {
        ((unaligned_word *)(void *)to)->value = ((const unaligned_word *)(const void *)from)->value;
        KEEP_LOOP();
    }
    for (; bytes > 0; bytes--) {
        *to++ = *from++;
        KEEP_LOOP();
    }
    return destination;
}

void *memmove(void *destination, const void *source, size_t bytes) {
    uint8_t *to = destination;
    const uint8_t *from = source;
    if ((uintptr_t)to <= (uintptr_t)from) {
        return memcpy(destination, source, bytes);
    }
    for (; bytes >= 4; bytes -= 4) {
        ((unaligned_word *)(void *)(to + bytes - 4))->value =
            ((const unaligned_word *)(const void *)(from + bytes - 4))->value;
        KEEP_LOOP();
    }
    for (; bytes > 0; bytes--) {
        to[bytes - 1] = from[bytes - 1];
        KEEP_LOOP();
    }
    return destination;
}

void *memset(void *destination, int value, size_t bytes) {
    uint8_t *to = destination;
    const uint32_t word = (uint8_t)value * 0x01010101u;
    for (; bytes >= 4; bytes -= 4, to += 4) {
        ((unaligned_word *)(void *)to)->value = word;
        KEEP_LOOP();
    }
    for (; bytes > 0; bytes--) {
        *to++ = (uint8_t)value;
        KEEP_LOOP();
    }
    return destination;
}

int memcmp(const void *left, const void *right, size_t bytes) {
    const uint8_t *a = left;
    const uint8_t *b = right;
    for (; bytes > 0; bytes--, a++, b++) {
        if (*a != *b) {
            return *a < *b ? -1 : 1;
        }
    }
    return 0;
}
