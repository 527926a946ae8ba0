/* Start-up of an RV32 core in machine mode: traps, initialised data, memory fence, main. */
#include "port.h"

#if defined(__riscv)
#include "riscv_csr.h"

enum { PMP_READ = 1, PMP_WRITE = 2, PMP_EXECUTE = 4, PMP_TO_TOP = 8, PMP_POWER_OF_TWO = 0x18 };
enum { PMP_LOCKED = 0x80, PMP_ENTRIES = 16 };

int main(void);
void Reset_Handler(void);
void Fault_Handler(void);

/* Only the product's and the harness's memories can be reached; everything else faults. Locked
 * entries bind machine mode too; the first that holds an address decides. A range takes two of
 * them, its begin and its end; the last entry is the whole address space, for nobody. */
static void pmp_fence(void) {
    uint32_t address[PMP_ENTRIES] = {0};
    uint32_t access[PMP_ENTRIES / 4] = {0};
    uint32_t entry = 0;
    for (const mt_port_fence_range *range = _fence_start; range < _fence_end; range++) {
        const uint32_t allowed = PMP_READ | (range->writable ? PMP_WRITE : PMP_EXECUTE);
        address[entry++] = range->origin >> 2;
        address[entry] = (range->origin + range->bytes) >> 2;
        access[entry / 4] |= (PMP_LOCKED | PMP_TO_TOP | allowed) << (entry % 4 * 8);
        entry++;
    }
    address[PMP_ENTRIES - 1] = 0xFFFFFFFFu;
    access[PMP_ENTRIES / 4 - 1] |= (uint32_t)(PMP_LOCKED | PMP_POWER_OF_TWO) << 24;
#define WRITE_ADDRESS(n) MT_CSR_WRITE(pmpaddr##n, address[n])
    WRITE_ADDRESS(0);
    WRITE_ADDRESS(1);
    WRITE_ADDRESS(2);
    WRITE_ADDRESS(3);
    WRITE_ADDRESS(4);
    WRITE_ADDRESS(5);
    WRITE_ADDRESS(6);
    WRITE_ADDRESS(7);
    WRITE_ADDRESS(8);
    WRITE_ADDRESS(9);
    WRITE_ADDRESS(10);
    WRITE_ADDRESS(11);
    WRITE_ADDRESS(12);
    WRITE_ADDRESS(13);
    WRITE_ADDRESS(14);
    WRITE_ADDRESS(15);
    MT_CSR_WRITE(pmpcfg0, access[0]);
    MT_CSR_WRITE(pmpcfg1, access[1]);
    MT_CSR_WRITE(pmpcfg2, access[2]);
    MT_CSR_WRITE(pmpcfg3, access[3]);
}

__attribute__((noreturn, used)) static void start(void) {
    MT_CSR_WRITE(mtvec, (uint32_t)(uintptr_t)Fault_Handler);
    mt_port_initialise_memory();
    pmp_fence();
    (void)main();
    mt_port_fault((const uint32_t *)0);
}

/* The first instruction of the flash. */
__attribute__((naked, noreturn, section(".vectors"))) void Reset_Handler(void) {
    __asm__ volatile("la sp, _stack_top\n"
                     "tail start");
}

__attribute__((naked, noreturn, aligned(4))) void Fault_Handler(void) {
    /* The faulting stack may be exhausted: report from the end of the harness's own memory. */
    __asm__ volatile("mv a0, sp\n"
                     "la sp, _harness_stack_top\n"
                     "tail mt_port_fault");
}
#endif
