/* What the harness needs of an RV32 core; see port.h and semihosting.h. */
#include "port.h"
#include "semihosting.h"

#if defined(__riscv)
#include "riscv_csr.h"

extern uint32_t _stack_limit[], _stack_top[];

/* The three instructions must be uncompressed and in one page. */
__attribute__((noinline, aligned(64))) uint32_t semihosting_call(uint32_t operation,
                                                                 const void *argument) {
    register uint32_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".option push\n"
                     ".option norvc\n"
                     "slli x0, x0, 0x1f\n"
                     "ebreak\n"
                     "srai x0, x0, 7\n"
                     ".option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
}

/* Instructions between the first one at mt_mark_begin and the first one at mt_mark_end are the
 * call itself and one branch; both marks are one instruction long, so the count is exact. */
__asm__(".section .text.mt_port_call_marked, \"ax\", %progbits\n"
        ".balign 4\n"
        ".global mt_port_call_marked\n"
        ".type mt_port_call_marked, %function\n"
        "mt_port_call_marked:\n"
        "addi sp, sp, -16\n"
        "sw ra, 12(sp)\n"
        "lw t0, 16(a0)\n"
        "lw a3, 12(a0)\n"
        "lw a2, 8(a0)\n"
        "lw a1, 4(a0)\n"
        "lw a0, 0(a0)\n"
        ".size mt_port_call_marked, . - mt_port_call_marked\n"
        ".global mt_mark_begin\n"
        ".type mt_mark_begin, %function\n"
        "mt_mark_begin:\n"
        "jalr t0\n"
        ".size mt_mark_begin, . - mt_mark_begin\n"
        ".global mt_mark_end\n"
        ".type mt_mark_end, %function\n"
        "mt_mark_end:\n"
        "lw ra, 12(sp)\n"
        ".size mt_mark_end, . - mt_mark_end\n"
        ".type mt_port_call_return, %function\n"
        "mt_port_call_return:\n"
        "addi sp, sp, 16\n"
        "ret\n"
        ".size mt_port_call_return, . - mt_port_call_return\n"
        ".text\n");

__attribute__((naked, noinline)) uint32_t *mt_port_stack_paint(void) {
    __asm__ volatile("la t0, _stack_limit\n"
                     "li t1, %0\n"
                     "mv a0, sp\n"
                     "1: bgeu t0, a0, 2f\n"
                     "sw t1, 0(t0)\n"
                     "addi t0, t0, 4\n"
                     "j 1b\n"
                     "2: ret" ::"i"(MT_PORT_PAINT));
}

void mt_port_fault(const uint32_t *frame) {
    uint32_t cause, address, pc;
    MT_CSR_READ(mcause, cause);
    MT_CSR_READ(mtval, address);
    MT_CSR_READ(mepc, pc);
    semihosting_print("fault: mcause ");
    semihosting_print_hex(cause);
    semihosting_print(" mtval ");
    semihosting_print_hex(address);
    semihosting_print(" pc ");
    semihosting_print_hex(pc);
    semihosting_print(frame >= _stack_limit && frame <= _stack_top ? "\n" : " stack overflow\n");
    semihosting_exit(MT_PORT_EXIT_FAULT);
}
#endif
