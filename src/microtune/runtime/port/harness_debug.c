/* What a debug build (mt_debug.h) found in the last call. */
#include "harness_debug.h"

#include <stddef.h>
#include <stdint.h>

#include "semihosting.h"
#if defined(MT_DEBUG)
#include "mt_debug.h"
#endif

void harness_report_debug(int overflow_exit) {
#if defined(MT_DEBUG)
    mt_debug_macs macs;
    mt_debug_counts(&macs);
    semihosting_print("macs ");
    semihosting_print_number((uint32_t)macs.performed);
    semihosting_print(" ");
    semihosting_print_number((uint32_t)macs.skipped);
    semihosting_print(" ");
    semihosting_print_number((uint32_t)macs.repeated);
    semihosting_print("\n");
    if (mt_debug_overflow() != NULL) {
        semihosting_print("harness: accumulator overflow at ");
        semihosting_print(mt_debug_overflow());
        semihosting_print("\n");
        semihosting_exit((uint32_t)overflow_exit);
    }
    mt_debug_reset();
#else
    (void)overflow_exit;
#endif
}
