/* Look-ups of sixteen codes with one gathering load. */
#include "mt_activation.h"

#include "mt_mve.h"

#if MT_ISA_MVE

void mt_look_up(const int8_t *table, const int8_t *x, int8_t *y, int32_t count) {
    const int8x16_t highest = vdupq_n_s8(-128);
    for (int32_t i = 0; i < count; i += 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)(count - i));
        /* A code with its highest bit turned is its place in the table. */
        const int8x16_t at = veorq_s8(vldrbq_z_s8(x + i, lanes), highest);
        const int8x16_t found = vldrbq_gather_offset_z_s8(table, vreinterpretq_u8_s8(at), lanes);
        vstrbq_p_s8(y + i, found, lanes);
    }
}

#endif
