/* Runs of up to MT_BLOCK elements: random bits, masks, gradient rounding, weight columns. */
#ifndef MT_BLOCKS_H
#define MT_BLOCKS_H

#include "mt_kernels_gradient.h"

/* function(arguments, n): `n` is the length of a block (MT_WITH_BLOCK, n <= MT_BLOCK) or of any
 * row. On hosts, whose compilers vectorise, the frequent lengths are constants, so that no
 * remainder loops are left; a microcontroller would only get copies of the same code. */
#if defined(__x86_64__) || defined(__aarch64__)
#define MT_CASE(length, function, ...)                                                             \
    case length:                                                                                   \
        function(__VA_ARGS__, length);                                                             \
        break;
#define MT_CASES(n, function, ...)                                                                 \
    MT_CASE(8, function, __VA_ARGS__)                                                              \
    MT_CASE(16, function, __VA_ARGS__)                                                             \
    MT_CASE(24, function, __VA_ARGS__)                                                             \
    MT_CASE(32, function, __VA_ARGS__)                                                             \
    default:                                                                                       \
        function(__VA_ARGS__, n);
#define MT_WITH_BLOCK(n, function, ...)                                                            \
    do {                                                                                           \
        switch (n) { MT_CASES(n, function, __VA_ARGS__) }                                          \
    } while (0)
#define MT_WITH_ROW(n, function, ...)                                                              \
    do {                                                                                           \
        switch (n) {                                                                               \
            MT_CASE(27, function, __VA_ARGS__)                                                     \
            MT_CASE(40, function, __VA_ARGS__)                                                     \
            MT_CASE(48, function, __VA_ARGS__)                                                     \
            MT_CASES(n, function, __VA_ARGS__)                                                     \
        }                                                                                          \
    } while (0)
#else
#define MT_WITH_BLOCK(n, function, ...) function(__VA_ARGS__, n)
#define MT_WITH_ROW(n, function, ...) function(__VA_ARGS__, n)
#endif

/* Bytes or halves of whole random words around a block that starts anywhere. */
typedef struct {
    uint8_t byte[40];
} mt_bytes;

/* Sets r8(index) .. r8(index + count - 1); returns a pointer to the first. count <= MT_BLOCK. */
const uint8_t *mt_random8_run(mt_bytes *bytes, uint32_t key, uint32_t index, int32_t count);

/* Writes r16(index) .. r16(index + count - 1). */
void mt_random16_run(uint16_t *r16, uint32_t key, uint32_t index, int32_t count);

/* Sets bits index .. index + count - 1 of a mask that was cleared before. inside: 0 or 1. */
void mt_mask_write(uint8_t *mask, int32_t index, const uint8_t *inside, int32_t count);

/* Reads bits index .. index + count - 1. */
void mt_mask_read(uint8_t *inside, const uint8_t *mask, int32_t index, int32_t count);

/* Bytes of a mask of `count` elements. */
static inline size_t mt_mask_bytes(int32_t count) { return ((size_t)count + 7) / 8; }

/* One gradient tensor on its way out. */
typedef struct {
    const mt_round_io *io;
    int8_t *y;
    uint32_t key;
    int32_t acc_exponent, k, largest;
} mt_rounder;

mt_rounder mt_round_begin(uint32_t site, const mt_round_io *io, int32_t acc_exponent, int8_t *y);
/* Rounds acc[0 .. count-1] into elements index .. index + count - 1; any count. */
void mt_round_run(mt_rounder *r, const int32_t *acc, int32_t index, int32_t count);
/* Writes exponent and offset. */
void mt_round_end(const mt_rounder *r);

/* Weights of the depthwise channels first .. first + count - 1, [taps][*row_stride]: the trained
 * and the frozen columns merged into `scratch`, or a pointer into the one array there is. */
typedef struct {
    const mt_conv_shape *shape;
    const int8_t *weight, *trained_weight;
    const uint16_t *channel_order;
    int32_t trained_channels;
    int8_t *scratch; /* KH*KW*MT_BLOCK bytes if channel_order is set */
} mt_depthwise_weights;

const int8_t *mt_depthwise_columns(const mt_depthwise_weights *w, int32_t first, int32_t count,
                                   int32_t *row_stride);

/* acc[i] = a[i] * (b[i] - zero), i < n. */
void mt_products(const int8_t *a, const int8_t *b, int32_t zero, int32_t n, int32_t *acc);

/* acc[0 .. n-1] = sum over the pixels of the first n of `channels` channels, n <= MT_BLOCK. */
void mt_channel_sums(const int8_t *g, int32_t pixels, int32_t channels, int32_t n, int32_t *acc);

/* to[pixel][MT_BLOCK] = the first n of `channels` channels: what a kernel reads that works in
 * place. */
void mt_copy_columns(const int8_t *from, int32_t pixels, int32_t channels, int32_t n, int8_t *to);

#endif
