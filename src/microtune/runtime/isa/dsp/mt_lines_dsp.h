/* Rows of an image, four channels of them, widened for the depthwise kernels. */
#ifndef MT_LINES_DSP_H
#define MT_LINES_DSP_H

#include "mt_dsp.h"

#if MT_ISA_DSP
/* Up to four channels of neighbouring pixels, `stride` bytes from one to the next. */
typedef struct {
    const int8_t *from;
    int32_t stride, channels, zero;
} mt_four;

/* even[i*step] = channels 0 and 2 of pixel i less the zero point, odd[i*step] = 1 and 3, i < n;
 * missing channels are 0. */
void mt_widen_four(const mt_four *four, int32_t n, int32_t step, uint32_t *even, uint32_t *odd);

/* Two planes (even, odd) of `height` lines of `pitch` words; line 0 is row `base` of the image,
 * rows up to `next` have been made. */
typedef struct {
    uint32_t *plane[2];
    int32_t pitch, height, base, next;
} mt_lines;

/* Zeroes the columns before `left` and from `right` on of all lines. */
void mt_zero_columns(const mt_lines *lines, int32_t left, int32_t right);

/* Makes row `first` of the image line 0 if there is no room for another row. */
void mt_make_room(mt_lines *lines, int32_t first);
#endif

#endif
