/* The part of the start-up that every core shares. Needs no libc. */
#include "port.h"

extern const uint32_t _data_image[];
extern uint32_t _data_start[], _data_end[], _bss_start[], _bss_end[];

/* The empty statement keeps compilers from turning these loops into memcpy and memset. */
void mt_port_initialise_memory(void) {
    const uint32_t *source = _data_image;
    for (uint32_t *word = _data_start; word < _data_end; word++) {
        *word = *source++;
        __asm__ volatile("" ::: "memory");
    }
    for (uint32_t *word = _bss_start; word < _bss_end; word++) {
        *word = 0;
        __asm__ volatile("" ::: "memory");
    }
}
