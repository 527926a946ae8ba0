/* Start-up of a Cortex-M: vectors, FPU, initialised data, memory fence, main. Needs no libc. */
#include "port.h"

#if defined(__arm__)
#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SCB_VTOR 0xE000ED08u
#define SCB_CCR 0xE000ED14u
#define SCB_SHCSR 0xE000ED24u
#define SCB_CPACR 0xE000ED88u
#define MPU_CTRL 0xE000ED94u
#define MPU_RNR 0xE000ED98u
#define MPU_RBAR 0xE000ED9Cu
#define MPU_RASR_RLAR 0xE000EDA0u
#define MPU_MAIR0 0xE000EDC0u

extern uint32_t _stack_top[];

int main(void);
void Reset_Handler(void);
void Fault_Handler(void);

typedef void (*handler)(void);

#define FAULT Fault_Handler
__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(uintptr_t)_stack_top,
    Reset_Handler,
    FAULT,
    FAULT,
    FAULT,
    FAULT,
    FAULT,
    FAULT,
    FAULT,
    FAULT,
    FAULT,
    FAULT,
    FAULT,
    FAULT,
    FAULT,
    FAULT,
};

static void mpu_region(uint32_t number, const mt_port_fence_range *range) {
    const uint32_t base = range->origin;
    const uint32_t bytes = range->bytes;
    REGISTER(MPU_RNR) = number;
#if __ARM_ARCH >= 8
    /* PMSAv8: any multiple of 32 bytes; writable memory is never executable. */
    REGISTER(MPU_RBAR) = base | (range->writable ? 0x3u : 0x6u);
    REGISTER(MPU_RASR_RLAR) = ((base + bytes - 1u) & ~31u) | 1u;
#else
    /* PMSAv7: a power of two; eighths of it beyond the wanted length are switched off. */
    uint32_t log2_bytes = 8;
    while ((1u << log2_bytes) < bytes) {
        log2_bytes++;
    }
    const uint32_t eighth = 1u << (log2_bytes - 3u);
    const uint32_t used_eighths = (bytes + eighth - 1u) / eighth;
    const uint32_t disabled = (0xFFu << used_eighths) & 0xFFu;
    const uint32_t access = range->writable ? (1u << 28) | (3u << 24) : 6u << 24;
    REGISTER(MPU_RBAR) = base;
    REGISTER(MPU_RASR_RLAR) = access | (2u << 16) | (disabled << 8) | ((log2_bytes - 1u) << 1) | 1u;
#endif
}

/* Only the product's and the harness's memories can be reached; everything else faults. */
static void mpu_fence(void) {
#if __ARM_ARCH >= 8
    REGISTER(MPU_MAIR0) = 0x44u;
#endif
    uint32_t number = 0;
    for (const mt_port_fence_range *range = _fence_start; range < _fence_end; range++) {
        mpu_region(number++, range);
    }
    REGISTER(MPU_CTRL) = 1u;
    __asm__ volatile("dsb\n isb" ::: "memory");
}

__attribute__((noreturn, used)) static void start(void) {
#if defined(__ARM_FP)
    REGISTER(SCB_CPACR) |= 0xFu << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
#if !defined(__ARM_FEATURE_UNALIGNED)
    REGISTER(SCB_CCR) |= 1u << 3; /* what the compiler was told not to do faults */
#endif
    REGISTER(SCB_SHCSR) |= 7u << 16; /* memory, bus and usage faults get their own handlers */
    REGISTER(SCB_VTOR) = (uint32_t)(uintptr_t)vectors;
    mt_port_initialise_memory();
    mpu_fence();
    (void)main();
    mt_port_fault((const uint32_t *)0);
}

__attribute__((naked, noreturn)) void Reset_Handler(void) {
    /* The stack pointer is set here too, for loaders that just jump to the entry point. */
    __asm__ volatile("ldr r0, =_stack_top\n"
                     "mov sp, r0\n"
                     "bl start\n"
                     ".ltorg");
}

__attribute__((naked, noreturn)) void Fault_Handler(void) {
    /* The faulting stack may be exhausted: report from the end of the harness's own memory. */
    __asm__ volatile("mrs r0, msp\n"
                     "ldr r1, =_harness_stack_top\n"
                     "mov sp, r1\n"
                     "bl mt_port_fault\n"
                     ".ltorg");
}
#endif
