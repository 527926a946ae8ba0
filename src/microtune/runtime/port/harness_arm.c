/* What the harness needs of a Cortex-M; see port.h and semihosting.h. */
#include "port.h"
#include "semihosting.h"

#if defined(__arm__)
#define SCB_CFSR (*(volatile uint32_t *)0xE000ED28u)
#define SCB_MMFAR (*(volatile uint32_t *)0xE000ED34u)
#define SCB_BFAR (*(volatile uint32_t *)0xE000ED38u)

extern uint32_t _stack_limit[], _stack_top[];

uint32_t semihosting_call(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

/* Instructions between the first one at mt_mark_begin and the first one at mt_mark_end are the
 * call itself and one branch; both marks are one instruction long, so the count is exact. */
__asm__(".syntax unified\n"
        ".thumb\n"
        ".section .text.mt_port_call_marked, \"ax\", %progbits\n"
        ".balign 4\n"
        ".global mt_port_call_marked\n"
        ".thumb_func\n"
        ".type mt_port_call_marked, %function\n"
        "mt_port_call_marked:\n"
        "push {r4, lr}\n"
        "ldr r4, [r0, #16]\n"
        "mov r12, r4\n"
        "ldmia r0, {r0, r1, r2, r3}\n"
        ".size mt_port_call_marked, . - mt_port_call_marked\n"
        ".global mt_mark_begin\n"
        ".thumb_func\n"
        ".type mt_mark_begin, %function\n"
        "mt_mark_begin:\n"
        "blx r12\n"
        ".size mt_mark_begin, . - mt_mark_begin\n"
        ".global mt_mark_end\n"
        ".thumb_func\n"
        ".type mt_mark_end, %function\n"
        "mt_mark_end:\n"
        "pop {r4, pc}\n"
        ".size mt_mark_end, . - mt_mark_end\n"
        ".text\n");

__attribute__((naked, noinline)) uint32_t *mt_port_stack_paint(void) {
    __asm__ volatile(".syntax unified\n"
                     "ldr r1, =_stack_limit\n"
                     "ldr r2, =%c0\n"
                     "mov r0, sp\n"
                     "1: cmp r1, r0\n"
                     "bhs 2f\n"
                     "str r2, [r1]\n"
                     "adds r1, #4\n"
                     "b 1b\n"
                     "2: bx lr\n"
                     ".ltorg" ::"i"(MT_PORT_PAINT));
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
#endif
