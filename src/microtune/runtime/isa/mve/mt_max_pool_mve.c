/* The larger of two bytes, sixteen at a time. */
#include "mt_max_pool.h"

#include "mt_mve.h"

#if MT_ISA_MVE

void mt_max_bytes(int8_t *best, const int8_t *x, int32_t count) {
    for (int32_t i = 0; i < count; i += 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)(count - i));
        const int8x16_t larger = vmaxq_s8(vldrbq_z_s8(best + i, lanes), vldrbq_z_s8(x + i, lanes));
        vstrbq_p_s8(best + i, larger, lanes);
    }
}

#endif
