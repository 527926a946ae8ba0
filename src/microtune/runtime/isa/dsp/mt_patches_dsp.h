/* What lies under the kernel of some output pixels, widened side by side. */
#ifndef MT_PATCHES_DSP_H
#define MT_PATCHES_DSP_H

#include "mt_conv2d_finish.h"

/* A run of input channels with weights of its own, [O][KH][KW][channels]. */
typedef struct {
    const int8_t *weight;
    const uint16_t *order; /* or NULL: channels first, first + 1, ... */
    int32_t first, channels;
} mt_word_part;

/* Widened patches of some pixels: for each four inputs a pair (0, 2) and a pair (1, 3) of every
 * pixel in turn. `length` inputs, followed by zeros up to `padded`, a multiple of 8. */
typedef struct {
    uint32_t *words;
    int32_t length, padded;
} mt_patch;

typedef struct {
    const mt_conv2d_params *p;
    const mt_conv2d_io *io;
    const mt_rows *rows;
    int8_t *bytes;   /* one patch before it is widened */
    int32_t lanes;   /* pixels that share the unpacked weights, 8 or 4 */
    int32_t tiled;   /* mt_make_eight or mt_make_four serves */
    int32_t shifted; /* some multiplier has a shift */
} mt_dense_call;

/* Collects what lies under the kernel of one output pixel and widens it. */
void mt_fill_lane(const mt_dense_call *c, const mt_word_part *part, const mt_patch *patch,
                  int32_t lane, mt_pixel pixel);

/* Whether mt_fill_plain serves: a pixel is a patch, and the channels are eights. */
int32_t mt_is_plain_input(const mt_conv2d_params *p);

/* The patches of `lanes` neighbours. */
void mt_fill_plain(const mt_dense_call *c, const mt_patch *patch, mt_pixel pixel, int32_t lanes);

#endif
