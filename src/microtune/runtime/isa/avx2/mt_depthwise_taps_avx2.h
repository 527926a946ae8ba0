/* Sums over the taps of a depthwise kernel for sixteen channels, forward and transposed. */
#ifndef MT_DEPTHWISE_TAPS_AVX2_H
#define MT_DEPTHWISE_TAPS_AVX2_H

#include "mt_avx2.h"

#if MT_ISA_AVX2
/* Pixels of a row that are summed together. */
#define MT_PIXELS 4

/* Rooms on the stack: pixels of the rows under a kernel, and pairs of taps. */
#define MT_LINE_PIXELS 1024
#define MT_TAP_PAIRS 64

/* A convolution of the n <= 16 channels from `first` on of an image that is a ring of x_rows rows,
 * `step` bytes from pixel to pixel; x is channel `first` of its first pixel. */
typedef struct {
    const int8_t *x;
    int32_t x_rows, step, height, width, first, n, zero;
    int32_t k_h, k_w, stride_h, stride_w, pad_top, pad_left;
    int32_t out_w;
} mt_tap_plane;

/* The rows under the kernel as pairs of neighbouring pixels, q - zero, 0 outside the image: row v
 * of the padded image, of `pitch` pixels, has slot v % k_h. And the weights of pairs of taps,
 * [k_h][pairs]. Lanes: channels 0-3 and 8-11, then 4-7 and 12-15. */
typedef struct {
    int32_t pitch, pairs;
    int32_t next; /* the first row of the padded image that is not there yet */
    int16_t pixel[MT_LINE_PIXELS][2][16];
    int16_t weight[MT_TAP_PAIRS][2][16];
} mt_tap_lines;

/* Sums of the channels 0 .. 7 and 8 .. 15 */
typedef struct {
    __m256i low, high;
} mt_tap_sums;

/* Whether there is room for the lines under a row of `width` outputs. */
int32_t mt_lines_suffice(int32_t width, int32_t stride, const mt_conv_shape *s);

/* Sets pitch and pairs. */
void mt_lines_begin(mt_tap_lines *lines, const mt_tap_plane *p);

/* Takes the weights of the plane's channels, tap_step bytes from tap to tap. */
void mt_lines_weights(mt_tap_lines *lines, const mt_tap_plane *p, const int8_t *w,
                      int32_t tap_step);

/* Makes the rows under output row `row`; rows come in ascending order. */
void mt_lines_advance(mt_tap_lines *lines, const mt_tap_plane *p, int32_t row);

/* The sums of output pixels column .. column + 3 of a row; those that do not exist are anything. */
void mt_lines_sum(const mt_tap_lines *lines, const mt_tap_plane *p, int32_t row, int32_t column,
                  mt_tap_sums sums[MT_PIXELS]);
#endif

#endif
