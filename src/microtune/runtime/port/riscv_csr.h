/* Control and status registers. The product's own flags need not name their extension. */
#ifndef MT_PORT_RISCV_CSR_H
#define MT_PORT_RISCV_CSR_H

#define MT_CSR_INSTRUCTION(text) ".option push\n.option arch, +zicsr\n" text "\n.option pop"
#define MT_CSR_WRITE(name, value)                                                                  \
    __asm__ volatile(MT_CSR_INSTRUCTION("csrw " #name ", %0")::"r"(value) : "memory")
#define MT_CSR_READ(name, result)                                                                  \
    __asm__ volatile(MT_CSR_INSTRUCTION("csrr %0, " #name) : "=r"(result))

#endif
