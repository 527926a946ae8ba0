/* Input gradient of pointwise convolutions with AVX2: pairs of outputs times sixteen inputs of four
 * pixels. */
#include "mt_conv2d_input_grad.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_AVX2
#include "mt_avx2.h"

#define GRAD_PIXELS 4
/* The portable version takes more outputs or inputs. */
#define GRAD_OUTPUTS 1024
#define GRAD_INPUTS 1024

/* The outputs with a lane that is not 0 in some pixel, in pairs; an odd one is paired with itself
 * and lanes of 0. */
typedef struct {
    int32_t pairs;
    int32_t output[GRAD_OUTPUTS];
    int16_t lane[GRAD_OUTPUTS / 2][GRAD_PIXELS][2];
} mt_pair_lanes;

/* Sums in the order of the weights and in that of the tensor. */
typedef struct {
    int32_t acc[GRAD_PIXELS][GRAD_INPUTS], original[GRAD_PIXELS][GRAD_INPUTS];
} mt_grad_sums;

/* The scaled gradients of `count` pixels. */
static void find_lanes(const mt_conv2d_input_grad_params *p, const int8_t *g, int32_t count,
                       mt_pair_lanes *lanes) {
    const int32_t outputs = p->shape.out_c;
    int32_t n = 0;
    for (int32_t o = 0; o < outputs; o++) {
        int32_t code[GRAD_PIXELS] = {0}, some = 0;
        for (int32_t k = 0; k < count; k++) {
            code[k] = g[k * outputs + o];
            some |= code[k];
        }
        if (some != 0) {
            for (int32_t k = 0; k < GRAD_PIXELS; k++) {
                const int32_t lane = mt_high_multiply(code[k] * (1 << 24), p->multiplier[o]);
                lanes->lane[n / 2][k][n % 2] = (int16_t)lane;
            }
            lanes->output[n++] = o;
        }
    }
    if (n % 2 != 0) {
        for (int32_t k = 0; k < GRAD_PIXELS; k++) {
            lanes->lane[n / 2][k][1] = 0;
        }
        lanes->output[n] = lanes->output[n - 1];
        n++;
    }
    lanes->pairs = n / 2;
}

/* acc[pixel][0 .. n-1] = sum of lane * weight; the row of output o starts at w + o*row_stride.
 * n <= 16, and 16 numbers are written. */
MT_INLINE void sum_tile(const mt_pair_lanes *lanes, const int8_t *w, int32_t row_stride, int32_t n,
                        int32_t *acc) {
    __m256i s[GRAD_PIXELS][2];
    for (int32_t k = 0; k < GRAD_PIXELS; k++) {
        s[k][0] = s[k][1] = _mm256_setzero_si256();
    }
    for (int32_t i = 0; i < lanes->pairs; i++) {
        const __m128i w0 = mt_load_codes(w + lanes->output[2 * i] * row_stride, n);
        const __m128i w1 = mt_load_codes(w + lanes->output[2 * i + 1] * row_stride, n);
        const __m256i low = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(w0, w1));
        const __m256i high = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(w0, w1));
        for (int32_t k = 0; k < GRAD_PIXELS; k++) {
            const __m256i g = mt_pair_of(lanes->lane[i][k]);
            s[k][0] = mt_dot_pairs(s[k][0], g, low);
            s[k][1] = mt_dot_pairs(s[k][1], g, high);
        }
    }
    for (int32_t k = 0; k < GRAD_PIXELS; k++) {
        mt_store(acc + k * GRAD_INPUTS, s[k][0]);
        mt_store(acc + k * GRAD_INPUTS + 8, s[k][1]);
    }
}

/* The sums of `width` inputs whose weights lie together. */
static void sum_part(const mt_pair_lanes *lanes, const int8_t *w, int32_t width, int32_t *acc) {
    int32_t i = 0;
    for (; i + MT_CHANNELS <= width; i += MT_CHANNELS) {
        sum_tile(lanes, w + i, width, MT_CHANNELS, acc + i);
    }
    if (width - i == 8) {
        sum_tile(lanes, w + i, width, 8, acc + i);
    } else if (width > i) {
        sum_tile(lanes, w + i, width, width - i, acc + i);
    }
}

static void sum_pixels(const mt_conv2d_input_grad_params *p, const mt_conv2d_input_grad_io *io,
                       const mt_pair_lanes *lanes, mt_grad_sums *sums) {
    const int32_t inputs = p->shape.in_c, trained = p->trained_channels;
    if (p->channel_order == NULL) {
        sum_part(lanes, io->weight != NULL ? io->weight : io->trained_weight, inputs,
                 sums->original[0]);
        return;
    }
    if (trained > 0) {
        sum_part(lanes, io->trained_weight, trained, sums->acc[0]);
    }
    if (trained < inputs) {
        sum_part(lanes, io->weight, inputs - trained, sums->acc[0] + trained);
    }
    for (int32_t k = 0; k < GRAD_PIXELS; k++) {
        for (int32_t i = 0; i < inputs; i++) {
            sums->original[k][p->channel_order[i]] = sums->acc[k][i];
        }
    }
}

int32_t mt_pointwise_input_grad_fits(const mt_conv2d_input_grad_params *p) {
    return mt_input_grad_is_pointwise(p) && p->shape.out_c < GRAD_OUTPUTS &&
           p->shape.in_c <= GRAD_INPUTS - 16;
}

void mt_pointwise_input_grad_isa(const mt_conv2d_input_grad_params *p,
                                 const mt_conv2d_input_grad_io *io, mt_rounder *rounder) {
    const mt_conv_shape *s = &p->shape;
    const int32_t pixels = s->in_h * s->in_w;
    mt_pair_lanes lanes;
    mt_grad_sums sums;
    for (int32_t pixel = 0; pixel < pixels; pixel += GRAD_PIXELS) {
        const int32_t count = mt_min(GRAD_PIXELS, pixels - pixel);
        find_lanes(p, io->g + pixel * s->out_c, count, &lanes);
        sum_pixels(p, io, &lanes, &sums);
        for (int32_t k = 0; k < count; k++) {
            mt_round_run(rounder, sums.original[k], (pixel + k) * s->in_c, s->in_c);
        }
    }
}
#endif
