/* Sums of the weight gradient of pointwise convolutions: pairs of pixels, two outputs times four
 * inputs. sum(g*(x - z)) = sum(g*x) - z*sum(g). */
#include "mt_weight_sums.h"

#include "mt_dsp.h"
#include "mt_memory.h"

#if MT_ISA_DSP

/* Pairs of pixels that are widened at once. */
#define SUM_PAIRS 16
#define ONES 0x00010001u

/* Words whose halves are the two pixels of a pair. */
typedef struct {
    uint32_t x[4 * SUM_PAIRS];                  /* four inputs of each pair */
    uint32_t g[MT_SUM_ROWS / 2][2 * SUM_PAIRS]; /* two outputs of each pair */
    int32_t pairs;
} mt_widened;

MT_ASSERT(mt_room_suffices, sizeof(mt_widened) <= MT_SUM_ROOM);

/* Byte i of both words. */
typedef struct {
    uint32_t byte[4];
} mt_both;

static inline mt_both join(uint32_t first, uint32_t second) {
    const uint32_t even0 = mt_even_bytes(first), odd0 = mt_odd_bytes(first);
    const uint32_t even1 = mt_even_bytes(second), odd1 = mt_odd_bytes(second);
    return (mt_both){{mt_pack_low(even0, even1), mt_pack_low(odd0, odd1),
                      mt_pack_high(even0, even1), mt_pack_high(odd0, odd1)}};
}

/* n <= 4 bytes; those that are missing are 0. */
static inline uint32_t load_bytes(const int8_t *from, int32_t n) {
    uint32_t word = 0;
    if (n == 4) {
        return mt_load_word(from);
    }
    for (int32_t i = 0; i < n; i++) {
        word |= (uint32_t)(uint8_t)from[i] << (8 * i);
    }
    return word;
}

static void widen_gradients(mt_widened *w, const mt_sum_shape *s, const int8_t *g, int32_t pixels,
                            int32_t *sums) {
    for (int32_t i = 0; i < w->pairs; i++, g += 2 * s->g_step) {
        const uint32_t first = load_bytes(g, s->rows);
        const uint32_t second = 2 * i + 1 < pixels ? load_bytes(g + s->g_step, s->rows) : 0;
        const mt_both both = join(first, second);
        for (int32_t j = 0; j < MT_SUM_ROWS; j++) {
            w->g[j >> 1][2 * i + (j & 1)] = both.byte[j];
            sums[j] = mt_dual_mac(both.byte[j], ONES, sums[j]);
        }
    }
}

static inline void store_both(uint32_t *to, uint32_t first, uint32_t second) {
    const mt_both both = join(first, second);
    to[0] = both.byte[0], to[1] = both.byte[1], to[2] = both.byte[2], to[3] = both.byte[3];
}

/* n <= 4 inputs. The second pixel of the last pair may be missing: its gradients are 0. */
static void widen_input_pairs(mt_widened *w, const mt_sum_shape *s, const int8_t *x, int32_t pixels,
                              int32_t n) {
    uint32_t *to = w->x, *end = to + (n == 4 ? 4 * (pixels >> 1) : 0);
    const int32_t step = s->x_step;
    for (; to != end; x += 2 * step, to += 4) {
        store_both(to, mt_load_word(x), mt_load_word(x + step));
    }
    for (int32_t i = (int32_t)(to - w->x) / 2; i < pixels; i += 2, x += 2 * step, to += 4) {
        store_both(to, load_bytes(x, n), i + 1 < pixels ? load_bytes(x + step, n) : 0);
    }
}

/* acc[0 .. 3] and acc[MT_BLOCK .. MT_BLOCK + 3] += the products with two outputs. */
static void add_products(const mt_widened *w, const uint32_t *g, int32_t *acc) {
    const uint32_t *x = w->x, *end = x + 4 * w->pairs;
    int32_t *next = acc + MT_BLOCK;
    int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3];
    int32_t b0 = next[0], b1 = next[1], b2 = next[2], b3 = next[3];
    do {
        const uint32_t ga = g[0], gb = g[1];
        if ((ga | gb) != 0) {
            a0 = mt_dual_mac(x[0], ga, a0), b0 = mt_dual_mac(x[0], gb, b0);
            a1 = mt_dual_mac(x[1], ga, a1), b1 = mt_dual_mac(x[1], gb, b1);
            a2 = mt_dual_mac(x[2], ga, a2), b2 = mt_dual_mac(x[2], gb, b2);
            a3 = mt_dual_mac(x[3], ga, a3), b3 = mt_dual_mac(x[3], gb, b3);
        }
        g += 2, x += 4;
    } while (x != end);
    acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = a3;
    next[0] = b0, next[1] = b1, next[2] = b2, next[3] = b3;
}

void mt_pointwise_sums(const mt_sum_shape *s, const int8_t *x, const int8_t *g, int32_t n,
                       int32_t acc[MT_SUM_ROWS][MT_BLOCK], void *room) {
    mt_widened *w = (mt_widened *)room;
    int32_t sums[MT_SUM_ROWS] = {0};
    memset(acc, 0, MT_SUM_ROWS * sizeof acc[0]);
    for (int32_t done = 0; done < s->pixels; done += 2 * SUM_PAIRS) {
        const int32_t pixels = mt_min(2 * SUM_PAIRS, s->pixels - done);
        w->pairs = (pixels + 1) >> 1;
        widen_gradients(w, s, g + done * s->g_step, pixels, sums);
        for (int32_t i = 0; i < n; i += 4) {
            widen_input_pairs(w, s, x + done * s->x_step + i, pixels, mt_min(4, n - i));
            add_products(w, w->g[0], acc[0] + i);
            add_products(w, w->g[1], acc[2] + i);
        }
    }
    for (int32_t j = 0; j < s->rows; j++) {
        for (int32_t i = 0; i < n; i++) {
            acc[j][i] -= s->zero * sums[j];
        }
    }
}
#endif
