/* Sums of gradients over the pixels, eight channels at a time in lanes of 16 bits. */
#include "mt_blocks.h"
#include "mt_dsp.h"
#include "mt_numerics.h"

#if MT_ISA_DSP

#define MOST_CHANNELS 256 /* int8 that a lane can take */

/* acc[0 .. 3] += the sums of four channels, 0 and 2 in `even`. */
static inline void add_lanes(int32_t *acc, uint32_t even, uint32_t odd) {
    acc[0] += (int16_t)even;
    acc[1] += (int16_t)odd;
    acc[2] += (int32_t)even >> 16;
    acc[3] += (int32_t)odd >> 16;
}

static void add_eight(const int8_t *g, int32_t pixels, int32_t channels, int32_t *acc) {
    uint32_t even0 = 0, odd0 = 0, even1 = 0, odd1 = 0;
    for (int32_t i = pixels; i > 0; i--, g += channels) {
        const uint32_t w0 = mt_load_word(g), w1 = mt_load_word(g + 4);
        even0 = mt_add_even_bytes(even0, w0), odd0 = mt_add_odd_bytes(odd0, w0);
        even1 = mt_add_even_bytes(even1, w1), odd1 = mt_add_odd_bytes(odd1, w1);
    }
    add_lanes(acc, even0, odd0);
    add_lanes(acc + 4, even1, odd1);
}

void mt_channel_sums(const int8_t *g, int32_t pixels, int32_t channels, int32_t n, int32_t *acc) {
    for (int32_t i = 0; i < n; i++) {
        acc[i] = 0;
    }
    for (int32_t done = 0; done < pixels; done += MOST_CHANNELS) {
        const int32_t some = mt_min(MOST_CHANNELS, pixels - done);
        const int8_t *from = g + done * channels;
        int32_t i = 0;
        for (; i + 8 <= n; i += 8) {
            add_eight(from + i, some, channels, acc + i);
        }
        for (int32_t pixel = 0; pixel < some && i < n; pixel++) {
            for (int32_t rest = i; rest < n; rest++) {
                acc[rest] += from[pixel * channels + rest];
            }
        }
    }
}
#endif
