/* What kernel_cases.c needs of the chip's port, on this machine. */
#include <stdio.h>
#include <stdlib.h>

#include "semihosting.h"

void semihosting_print(const char *text) { (void)fputs(text, stdout); }

void semihosting_print_number(uint32_t value) { (void)printf("%lu", (unsigned long)value); }

void semihosting_exit(uint32_t code) { exit((int)code); }
