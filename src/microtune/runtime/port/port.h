/* What the port offers to the harness: Cortex-M with an Armv7-M or Armv8-M MPU, RV32 with PMP. The
 * compiler's flags choose between the files *_arm.c and *_riscv.c. */
#ifndef MT_PORT_H
#define MT_PORT_H

#include <stdint.h>

/* Exit code of a firmware that was stopped by a fault. */
#define MT_PORT_EXIT_FAULT 99

/* The word of a painted stack. */
#define MT_PORT_PAINT 0xA5C3E196u

/* Words that mt_port_call_marked itself pushes. */
#if defined(__riscv)
#define MT_PORT_CALL_FRAME_WORDS 4
#else
#define MT_PORT_CALL_FRAME_WORDS 2
#endif

/* A function and its arguments, as mt_port_call_marked reads them. */
typedef struct {
    uint32_t arguments[4];
    uintptr_t function;
} mt_port_call;

/* Calls the function between the marks mt_mark_begin and mt_mark_end. */
uint32_t mt_port_call_marked(const mt_port_call *call);

/* Written by the linker script: what may be reached. */
typedef struct {
    uint32_t origin, bytes, writable;
} mt_port_fence_range;
extern const mt_port_fence_range _fence_start[], _fence_end[];

/* Paints the free stack below the caller and returns the caller's stack pointer. */
uint32_t *mt_port_stack_paint(void);

/* Bytes used below `base` since the last painting. */
uint32_t mt_port_stack_used(const uint32_t *base);

/* Copies initialised data and clears the rest of the product's static memory. */
void mt_port_initialise_memory(void);

/* Reports what faulted and ends the run; `frame` is the stack pointer at the fault. */
__attribute__((noreturn)) void mt_port_fault(const uint32_t *frame);

#endif
