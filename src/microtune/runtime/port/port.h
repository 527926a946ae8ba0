/* What the port offers to the harness. Cortex-M with an Armv7-M or Armv8-M MPU. */
#ifndef MT_PORT_H
#define MT_PORT_H

#include <stdint.h>

/* Exit code of a firmware that was stopped by a fault. */
#define MT_PORT_EXIT_FAULT 99

/* Paints the free stack below the caller and returns the caller's stack pointer. */
uint32_t *mt_port_stack_paint(void);

/* Bytes used below `base` since the last painting. */
uint32_t mt_port_stack_used(const uint32_t *base);

/* Reports what faulted and ends the run; `frame` is the stack pointer at the fault. */
__attribute__((noreturn)) void mt_port_fault(const uint32_t *frame);

#endif
