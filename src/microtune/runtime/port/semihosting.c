/* See semihosting.h. Belongs to the test harness, not to the product. */
#include "semihosting.h"

#include "port.h"

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
#define SCB_CFSR (*(volatile uint32_t *)0xE000ED28u)
#define SCB_MMFAR (*(volatile uint32_t *)0xE000ED34u)
#define SCB_BFAR (*(volatile uint32_t *)0xE000ED38u)

extern uint32_t _stack_limit[], _stack_top[];

static uint32_t call(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int32_t open_file(const char *path, uint32_t mode) {
    uint32_t length = 0;
    while (path[length] != '\0') {
        length++;
    }
    const uint32_t block[3] = {(uint32_t)path, mode, length};
    return (int32_t)call(SYS_OPEN, block);
}

int32_t semihosting_open_read(const char *path) { return open_file(path, MODE_READ_BINARY); }

int32_t semihosting_open_write(const char *path) { return open_file(path, MODE_WRITE_BINARY); }

void semihosting_close(int32_t file) { (void)call(SYS_CLOSE, &file); }

int semihosting_read(int32_t file, void *buffer, size_t bytes) {
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)buffer, bytes};
    return call(SYS_READ, block) == 0 ? 0 : -1; /* the call returns the bytes it did not move */
}

int semihosting_write(int32_t file, const void *buffer, size_t bytes) {
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)buffer, bytes};
    return call(SYS_WRITE, block) == 0 ? 0 : -1;
}

void semihosting_print(const char *text) { (void)call(SYS_WRITE0, text); }

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
        (void)call(SYS_EXIT_EXTENDED, block);
    }
}

void mt_port_fault(const uint32_t *frame) {
    const int readable = frame >= _stack_limit && frame + 8 <= _stack_top;
    semihosting_print("fault: cfsr ");
    semihosting_print_hex(SCB_CFSR);
    semihosting_print(" mmfar ");
    semihosting_print_hex(SCB_MMFAR);
    semihosting_print(" bfar ");
    semihosting_print_hex(SCB_BFAR);
    if (readable) {
        semihosting_print(" pc ");
        semihosting_print_hex(frame[6]);
        semihosting_print("\n");
    } else {
        semihosting_print(" stack overflow\n");
    }
    semihosting_exit(MT_PORT_EXIT_FAULT);
}
