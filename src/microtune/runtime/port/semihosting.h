/* Semihosting as Arm defined it and RISC-V took over: files and console of the machine that runs
 * the emulator or the debugger. */
#ifndef MT_PORT_SEMIHOSTING_H
#define MT_PORT_SEMIHOSTING_H

#include <stddef.h>
#include <stdint.h>

/* One request of the core to that machine; its answer. */
uint32_t semihosting_call(uint32_t operation, const void *argument);

/* A file handle, negative if the file could not be opened. */
int32_t semihosting_open_read(const char *path);
int32_t semihosting_open_write(const char *path);
void semihosting_close(int32_t file);

/* Both move exactly `bytes` bytes or return -1; else 0. */
int semihosting_read(int32_t file, void *buffer, size_t bytes);
int semihosting_write(int32_t file, const void *buffer, size_t bytes);

void semihosting_print(const char *text);
void semihosting_print_number(uint32_t value);
void semihosting_print_hex(uint32_t value);

/* Ends the run; the emulator's process exits with `code`. */
__attribute__((noreturn)) void semihosting_exit(uint32_t code);

#endif
