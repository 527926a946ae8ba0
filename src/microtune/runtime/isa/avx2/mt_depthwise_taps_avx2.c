/* Sums over the taps of a depthwise kernel with AVX2: pairs of neighbouring taps of sixteen
 * channels of four pixels. */
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_AVX2
#include "mt_depthwise_taps_avx2.h"

static int32_t pitch_of(int32_t width, int32_t stride, int32_t k_w) {
    return ((width + MT_PIXELS - 1) / MT_PIXELS * MT_PIXELS - 1) * stride + k_w;
}

int32_t mt_lines_suffice(int32_t width, int32_t stride, const mt_conv_shape *s) {
    return s->k_h * pitch_of(width, stride, s->k_w) <= MT_LINE_PIXELS &&
           s->k_h * ((s->k_w + 1) / 2) <= MT_TAP_PAIRS;
}

void mt_lines_begin(mt_tap_lines *lines, const mt_tap_plane *p) {
    lines->pitch = pitch_of(p->out_w, p->stride_w, p->k_w);
    lines->pairs = (p->k_w + 1) / 2;
}

/* Stores two vectors of channels as pairs. */
MT_INLINE void store_pairs(int16_t to[2][16], __m256i first, __m256i second) {
    mt_store(to[0], _mm256_unpacklo_epi16(first, second));
    mt_store(to[1], _mm256_unpackhi_epi16(first, second));
}

MT_INLINE __m256i widened(const int8_t *from, int32_t n) {
    return _mm256_cvtepi8_epi16(mt_load_codes(from, n));
}

void mt_lines_weights(mt_tap_lines *lines, const mt_tap_plane *p, const int8_t *w,
                      int32_t tap_step) {
    for (int32_t kh = 0; kh < p->k_h; kh++) {
        for (int32_t i = 0; i < lines->pairs; i++) {
            const int8_t *tap = w + (kh * p->k_w + 2 * i) * tap_step;
            const __m256i second =
                2 * i + 1 < p->k_w ? widened(tap + tap_step, p->n) : _mm256_setzero_si256();
            store_pairs(lines->weight[kh * lines->pairs + i], widened(tap, p->n), second);
        }
    }
}

/* The pairs of one row; x is its first pixel inside the image, or NULL for a row outside. */
MT_INLINE void widen_row(mt_tap_lines *lines, const mt_tap_plane *p, const int8_t *x, int32_t n,
                         int16_t (*to)[2][16]) {
    const __m256i zeros = _mm256_set1_epi16((int16_t)p->zero);
    const int32_t begin = mt_min(p->pad_left, lines->pitch);
    const int32_t end = x == NULL ? begin : mt_min(p->pad_left + p->width, lines->pitch);
    __m256i before = _mm256_setzero_si256();
    for (int32_t i = 0; i < begin - 1; i++) {
        store_pairs(to[i], before, before);
    }
    for (int32_t i = begin; i < end; i++) {
        const int8_t *pixel = x + (i - begin) * p->step;
        const __m256i now = _mm256_sub_epi16(widened(pixel, n), zeros);
        if (i > 0) {
            store_pairs(to[i - 1], before, now);
        }
        before = now;
    }
    for (int32_t i = mt_max(end, 1) - 1; i < lines->pitch; i++) {
        store_pairs(to[i], before, _mm256_setzero_si256());
        before = _mm256_setzero_si256();
    }
}

void mt_lines_advance(mt_tap_lines *lines, const mt_tap_plane *p, int32_t row) {
    const int32_t first = row * p->stride_h;
    lines->next = mt_max(lines->next, first);
    for (; lines->next < first + p->k_h; lines->next++) {
        const int32_t ih = lines->next - p->pad_top;
        const int32_t inside = ih >= 0 && ih < p->height;
        const int8_t *x = inside ? p->x + (ih % p->x_rows) * p->width * p->step : NULL;
        int16_t (*to)[2][16] = lines->pixel + (lines->next % p->k_h) * lines->pitch;
        if (p->n == MT_CHANNELS) {
            widen_row(lines, p, x, MT_CHANNELS, to);
        } else if (p->n == 8) {
            widen_row(lines, p, x, 8, to);
        } else {
            widen_row(lines, p, x, p->n, to);
        }
    }
}

void mt_lines_sum(const mt_tap_lines *lines, const mt_tap_plane *p, int32_t row, int32_t column,
                  mt_tap_sums sums[MT_PIXELS]) {
    const int32_t step = p->stride_w * 32;
    __m256i s[MT_PIXELS][2];
    for (int32_t k = 0; k < MT_PIXELS; k++) {
        s[k][0] = s[k][1] = _mm256_setzero_si256();
    }
    const int16_t *w = lines->weight[0][0];
    for (int32_t kh = 0; kh < p->k_h; kh++) {
        const int32_t slot = (row * p->stride_h + kh) % p->k_h;
        const int16_t *x = lines->pixel[slot * lines->pitch + column * p->stride_w][0];
        for (int32_t i = 0; i < lines->pairs; i++, w += 32, x += 64) {
            const __m256i w0 = mt_load8(w), w1 = mt_load8(w + 16);
            for (int32_t k = 0; k < MT_PIXELS; k++) {
                s[k][0] = mt_dot_pairs(s[k][0], mt_load8(x + k * step), w0);
                s[k][1] = mt_dot_pairs(s[k][1], mt_load8(x + k * step + 16), w1);
            }
        }
    }
    for (int32_t k = 0; k < MT_PIXELS; k++) {
        sums[k].low = _mm256_permute2x128_si256(s[k][0], s[k][1], 0x20);
        sums[k].high = _mm256_permute2x128_si256(s[k][0], s[k][1], 0x31);
    }
}
#endif
