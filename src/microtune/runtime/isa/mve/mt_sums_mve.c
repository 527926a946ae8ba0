/* Sums of gradients over the pixels with Helium, eight channels a vector. */
#include "mt_blocks.h"
#include "mt_isa.h"

#if MT_ISA_MVE
#include "mt_mve.h"

#define CHANNELS 8
#define MOST 256 /* int8 that int16 lanes can take */

MT_INLINE void add_lanes(int32_t *acc, int16x8_t sum, mve_pred16_t low, mve_pred16_t high) {
    int16_t lanes[CHANNELS];
    vst1q_s16(lanes, sum);
    vstrwq_p_s32(acc, vaddq_s32(vldrwq_z_s32(acc, low), vldrhq_s32(lanes)), low);
    vstrwq_p_s32(acc + 4, vaddq_s32(vldrwq_z_s32(acc + 4, high), vldrhq_s32(lanes + 4)), high);
}

void mt_channel_sums(const int8_t *g, int32_t pixels, int32_t channels, int32_t n, int32_t *acc) {
    for (int32_t i = 0; i < n; i++) {
        acc[i] = 0;
    }
    for (int32_t done = 0; done < pixels; done += MOST) {
        const int32_t some = mt_min(MOST, pixels - done);
        for (int32_t i = 0; i < n; i += CHANNELS) {
            const mve_pred16_t lanes = vctp16q((uint32_t)(n - i));
            const int8_t *from = g + done * channels + i;
            int16x8_t even = vdupq_n_s16(0), odd = even;
            for (int32_t pair = some >> 1; pair > 0; pair--, from += 2 * channels) {
                even = vaddq_s16(even, vldrbq_z_s16(from, lanes));
                odd = vaddq_s16(odd, vldrbq_z_s16(from + channels, lanes));
            }
            if ((some & 1) != 0) {
                even = vaddq_s16(even, vldrbq_z_s16(from, lanes));
            }
            add_lanes(acc + i, vaddq_s16(even, odd), vctp32q((uint32_t)(n - i)),
                      vctp32q((uint32_t)mt_max(0, n - i - 4)));
        }
    }
}
#endif
