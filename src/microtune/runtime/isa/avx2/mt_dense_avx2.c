/* Forward dense convolution with AVX2: the weights are widened once a call, in pairs of inputs for
 * eight outputs; pairs of inputs of a pixel are then multiplied with sixteen outputs. */
#include "mt_conv2d_finish.h"
#include "mt_isa.h"
#include "mt_memory.h"

#if MT_ISA_AVX2
#include "mt_finish_avx2.h"

#define DENSE_PIXELS 4
#define TILE 8
/* Lanes of a patch and widened weights on the stack; the portable version takes larger kernels. */
#define DENSE_LANES 2048
#define DENSE_WEIGHTS 65536

/* A run of input channels with weights of its own, [O][KH][KW][channels]. */
typedef struct {
    const int8_t *weight;
    const uint16_t *order; /* or NULL: all channels */
    int32_t channels;
} mt_dense_part;

/* A layer made ready. A patch has the lanes of the parts one after the other, each a multiple of
 * 2; the weights are [tiles of 8 outputs][lanes/2][8][2]. */
typedef struct {
    const mt_conv2d_params *p;
    const mt_conv2d_io *io;
    const mt_rows *rows;
    mt_dense_part parts[2];
    int32_t lanes;
    int16_t *weight;
} mt_layer;

static int32_t even(int32_t n) { return (n + 1) / 2 * 2; }

/* Transposes 8x8 pairs of codes: row[k] becomes pair k of the eight rows. */
MT_INLINE void transpose_pairs(__m128i row[TILE]) {
    __m128i a[TILE], b[TILE];
    for (int32_t k = 0; k < 4; k++) {
        a[2 * k] = _mm_unpacklo_epi16(row[2 * k], row[2 * k + 1]);
        a[2 * k + 1] = _mm_unpackhi_epi16(row[2 * k], row[2 * k + 1]);
    }
    for (int32_t k = 0; k < TILE; k += 4) {
        b[k] = _mm_unpacklo_epi32(a[k], a[k + 2]);
        b[k + 1] = _mm_unpackhi_epi32(a[k], a[k + 2]);
        b[k + 2] = _mm_unpacklo_epi32(a[k + 1], a[k + 3]);
        b[k + 3] = _mm_unpackhi_epi32(a[k + 1], a[k + 3]);
    }
    for (int32_t k = 0; k < 4; k++) {
        row[2 * k] = _mm_unpacklo_epi64(b[k], b[k + 4]);
        row[2 * k + 1] = _mm_unpackhi_epi64(b[k], b[k + 4]);
    }
}

/* Widens the n codes of up to 8 rows into [even(n)/2][8][2]; missing rows are 0. */
static void widen_weights(int16_t *to, const int8_t *w, int32_t rows, int32_t n) {
    for (int32_t i = 0; i < n; i += 16) {
        const int32_t count = mt_min(16, n - i);
        __m128i row[TILE];
        for (int32_t k = 0; k < TILE; k++) {
            row[k] = k < rows ? mt_load_codes(w + k * n + i, count) : _mm_setzero_si128();
        }
        transpose_pairs(row);
        for (int32_t k = 0; 2 * k < count; k++, to += 2 * TILE) {
            mt_store(to, _mm256_cvtepi8_epi16(row[k]));
        }
    }
}

static void widen_all_weights(mt_layer *l) {
    const mt_conv_shape *s = &l->p->shape;
    int16_t *to = l->weight;
    for (int32_t o = 0; o < s->out_c; o += TILE) {
        for (int32_t k = 0; k < 2; k++) {
            const int32_t n = s->k_h * s->k_w * l->parts[k].channels;
            if (n > 0) {
                const int8_t *from = l->parts[k].weight + o * n;
                widen_weights(to, from, mt_min(TILE, s->out_c - o), n);
                to += even(n) * TILE;
            }
        }
    }
}

/* to[i] = x[i] - zero, or x[order[i]] - zero */
MT_INLINE void widen(int16_t *to, const int8_t *x, const uint16_t *order, int32_t zero, int32_t n) {
    int32_t i = 0;
    if (order == NULL) {
        for (; i + 16 <= n; i += 16) {
            mt_store(to + i, _mm256_sub_epi16(mt_widen(x + i), _mm256_set1_epi16((int16_t)zero)));
        }
        if (i + 8 <= n) {
            const __m128i codes = _mm_loadl_epi64((const void *)(x + i));
            const __m128i lanes = _mm_cvtepi8_epi16(codes);
            _mm_storeu_si128((void *)(to + i), _mm_sub_epi16(lanes, _mm_set1_epi16((int16_t)zero)));
            i += 8;
        }
    }
    for (; i < n; i++) {
        to[i] = (int16_t)(x[order == NULL ? i : order[i]] - zero);
        MT_FEW(i);
    }
}

/* Writes q_x - z_x under the kernel of an output pixel, [KH][KW][part->channels], 0 outside the
 * image. Returns the end of what was written. */
static int16_t *widen_part(const mt_layer *l, const mt_dense_part *part, mt_pixel pixel,
                           int16_t *to) {
    const mt_conv_shape *s = &l->p->shape;
    const int32_t top = pixel.row * s->stride_h - s->pad_top;
    const int32_t left = pixel.column * s->stride_w - s->pad_left;
    /* Rows of the patch that are one run of memory in the image. */
    const int32_t whole = part->order == NULL && left >= 0 && left + s->k_w <= s->in_w;
    const int32_t n = whole ? part->channels * s->k_w : part->channels;
    for (int32_t kh = 0; kh < s->k_h; kh++) {
        const int32_t ih = top + kh;
        for (int32_t kw = 0; kw < (whole ? 1 : s->k_w); kw++, to += n) {
            const int32_t iw = left + kw;
            if (ih < 0 || ih >= s->in_h || iw < 0 || iw >= s->in_w) {
                memset(to, 0, (size_t)n * sizeof *to);
            } else {
                const int8_t *x = l->io->x + ((ih % l->rows->x_rows) * s->in_w + iw) * s->in_c;
                widen(to, x, part->order, l->p->x_zero, n);
            }
        }
    }
    return to;
}

static void widen_pairs(const mt_layer *l, mt_pixel pixel, int16_t *patch) {
    for (int32_t k = 0; k < 2; k++) {
        if (l->parts[k].channels > 0) {
            int16_t *end = widen_part(l, &l->parts[k], pixel, patch);
            if ((end - patch) % 2 != 0) {
                *end++ = 0;
            }
            patch = end;
        }
    }
}

/* The outputs o .. o+7, and o+8 .. o+15 if `tiles` is 2, of `count` pixels of a row. */
MT_INLINE void dense_tiles(const mt_layer *l, int16_t patch[DENSE_PIXELS][DENSE_LANES],
                           const mt_output_pixel *to, int32_t count, int32_t o, int32_t tiles) {
    const int32_t lanes = l->lanes, left = l->p->shape.out_c - o;
    const int16_t *w = l->weight + o * lanes;
    const mt_scales scales[2] = {
        mt_scales_of(l->p, o, mt_min(TILE, left)),
        mt_scales_of(l->p, tiles == 2 ? o + TILE : o, tiles == 2 ? mt_min(TILE, left - TILE) : 0)};
    __m256i acc[2][DENSE_PIXELS];
    for (int32_t t = 0; t < tiles; t++) {
        const __m256i bias = mt_load_few(l->io->bias + o + t * TILE, scales[t].n);
        for (int32_t k = 0; k < DENSE_PIXELS; k++) {
            acc[t][k] = bias;
        }
    }
    for (int32_t i = 0; i < lanes; i += 2, w += 2 * TILE) {
        const __m256i w0 = mt_load8(w), w1 = tiles == 2 ? mt_load8(w + TILE * lanes) : w0;
        for (int32_t k = 0; k < DENSE_PIXELS; k++) {
            const __m256i x = mt_pair_of(patch[k] + i);
            acc[0][k] = mt_dot_pairs(acc[0][k], x, w0);
            if (tiles == 2) {
                acc[1][k] = mt_dot_pairs(acc[1][k], x, w1);
            }
        }
    }
    for (int32_t k = 0; k < DENSE_PIXELS; k++) {
        for (int32_t t = 0; t < tiles && k < count; t++) {
            mt_finish8(&to[k], o + t * TILE, acc[t][k], &scales[t]);
        }
    }
}

static void dense_row(const mt_layer *l, int32_t row) {
    const mt_conv_shape *s = &l->p->shape;
    int16_t patch[DENSE_PIXELS][DENSE_LANES];
    for (int32_t column = 0; column < s->out_w; column += DENSE_PIXELS) {
        const int32_t count = mt_min(DENSE_PIXELS, s->out_w - column);
        mt_output_pixel to[DENSE_PIXELS];
        for (int32_t k = 0; k < DENSE_PIXELS; k++) {
            const mt_pixel pixel = {row, column + mt_min(k, count - 1)};
            widen_pairs(l, pixel, patch[k]);
            to[k] = mt_next_output(l->p, l->io, l->rows, pixel);
        }
        int32_t o = 0;
        for (; o + TILE < s->out_c; o += 2 * TILE) {
            dense_tiles(l, patch, to, count, o, 2);
        }
        if (o < s->out_c) {
            dense_tiles(l, patch, to, count, o, 1);
        }
    }
}

/* Widened inputs of all taps, those of each part an even number. */
static int32_t lanes_of(const mt_conv2d_params *p) {
    const int32_t taps = p->shape.k_h * p->shape.k_w;
    const int32_t trained = p->channel_order == NULL ? p->shape.in_c : p->trained_channels;
    return even(taps * trained) + even(taps * (p->shape.in_c - trained));
}

int32_t mt_dense_rows_fits(const mt_conv2d_params *p) {
    const mt_conv_shape *s = &p->shape;
    const int32_t lanes = lanes_of(p), tiles = (s->out_c + TILE - 1) / TILE;
    return s->groups == 1 && s->out_w >= DENSE_PIXELS && lanes <= DENSE_LANES &&
           lanes * tiles * TILE <= DENSE_WEIGHTS;
}

void mt_dense_rows_isa(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    const int32_t trained = p->channel_order == NULL ? s->in_c : p->trained_channels;
    const int8_t *weight =
        io->trained_weight != NULL && trained > 0 ? io->trained_weight : io->weight;
    int16_t widened[DENSE_WEIGHTS];
    const uint16_t *order = p->channel_order;
    mt_layer l = {p,           io,
                  rows,        {{weight, order, trained}, {io->weight, NULL, s->in_c - trained}},
                  lanes_of(p), widened};
    l.parts[1].order = order == NULL ? NULL : order + trained;
    widen_all_weights(&l);
    for (int32_t row = rows->first; row < rows->last; row++) {
        dense_row(&l, row);
    }
}
#endif
