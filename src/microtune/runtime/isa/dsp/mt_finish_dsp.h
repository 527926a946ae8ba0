/* Requantisation, clamp, mask and store of four neighbouring channels. */
#ifndef MT_FINISH_DSP_H
#define MT_FINISH_DSP_H

#include "mt_conv2d_finish.h"
#include "mt_dsp.h"

#if MT_ISA_DSP
/* What four output channels need; missing ones have multiplier 0. */
typedef struct {
    int32_t bias[4], multiplier[4];
    uint8_t shift[4];
    int32_t zero, lo, hi, count;
    int32_t straight; /* no shift, no clamp but int8's own */
    int32_t plain;    /* straight, no mask, four channels */
    uint8_t *mask;
} mt_quad_finish;

mt_quad_finish mt_begin_finish(const mt_conv2d_params *p, const mt_conv2d_io *io, int32_t first,
                               int32_t count);

/* The general case of mt_finish_quad. */
void mt_finish_quad_any(const mt_quad_finish *f, const int32_t *acc, int8_t *y, int32_t index);

/* Four results without shift, mask or a clamp of the network's own. */
static inline void mt_store_quad(const int32_t *acc, const int32_t *multiplier, int32_t zero,
                                 int8_t *y) {
    const uint32_t v0 = (uint32_t)mt_saturate8(mt_add_high_product(zero, acc[0], multiplier[0]));
    const uint32_t v1 = (uint32_t)mt_saturate8(mt_add_high_product(zero, acc[1], multiplier[1]));
    const uint32_t v2 = (uint32_t)mt_saturate8(mt_add_high_product(zero, acc[2], multiplier[2]));
    const uint32_t v3 = (uint32_t)mt_saturate8(mt_add_high_product(zero, acc[3], multiplier[3]));
    mt_store_word(y, mt_insert8(mt_insert8(mt_insert8(v0, v1, 8), v2, 16), v3, 24));
}

/* Stores f->count results at y; `index` is the element of the mask. */
static inline void mt_finish_quad(const mt_quad_finish *f, const int32_t *acc, int8_t *y,
                                  int32_t index) {
    if (!f->plain) {
        mt_finish_quad_any(f, acc, y, index);
        return;
    }
    mt_store_quad(acc, f->multiplier, f->zero, y);
}
#endif

#endif
