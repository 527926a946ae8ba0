/* See semihosting.h. Belongs to the test harness, not to the product. */
#include "semihosting.h"

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_EXIT_EXTENDED = 0x20
};
enum { MODE_READ_BINARY = 1, MODE_WRITE_BINARY = 5 };
#define STOPPED_APPLICATION_EXIT 0x20026u

static int32_t open_file(const char *path, uint32_t mode) {
    uint32_t length = 0;
    while (path[length] != '\0') {
        length++;
    }
    const uint32_t block[3] = {(uint32_t)(uintptr_t)path, mode, length};
    return (int32_t)semihosting_call(SYS_OPEN, block);
}

int32_t semihosting_open_read(const char *path) { return open_file(path, MODE_READ_BINARY); }

int32_t semihosting_open_write(const char *path) { return open_file(path, MODE_WRITE_BINARY); }

void semihosting_close(int32_t file) { (void)semihosting_call(SYS_CLOSE, &file); }

int semihosting_read(int32_t file, void *buffer, size_t bytes) {
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)(uintptr_t)buffer, bytes};
    return semihosting_call(SYS_READ, block) == 0
               ? 0
               : -1; /* the call returns the bytes it did not move */
}

int semihosting_write(int32_t file, const void *buffer, size_t bytes) {
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)(uintptr_t)buffer, bytes};
    return semihosting_call(SYS_WRITE, block) == 0 ? 0 : -1;
}

void semihosting_print(const char *text) { (void)semihosting_call(SYS_WRITE0, text); }

static void print_in_base(uint32_t value, uint32_t base) {
    char text[12];
    char *digit = text + sizeof text - 1;
    *digit = '\0';
    do {
        const uint32_t remainder = value % base;
        *--digit = (char)(remainder < 10 ? '0' + remainder : 'a' + remainder - 10);
        value /= base;
    } while (value != 0);
    semihosting_print(digit);
}

void semihosting_print_number(uint32_t value) { print_in_base(value, 10); }

void semihosting_print_hex(uint32_t value) {
    semihosting_print("0x");
    print_in_base(value, 16);
}

void semihosting_exit(uint32_t code) {
    const uint32_t block[2] = {STOPPED_APPLICATION_EXIT, code};
    for (;;) {
        (void)semihosting_call(SYS_EXIT_EXTENDED, block);
    }
}
