/* What the random cases of kernels share: the tuned kernels against the portable ones, which are
 * linked beside them as ref_*. Buffers are compared whole, so that a write too far shows as well.
 */
#ifndef KERNEL_CASES_H
#define KERNEL_CASES_H

#include <stddef.h>
#include <stdint.h>

#include "mt_kernels_update.h"
#include "mt_memory.h"

#define CODES 20000
#define WEIGHTS 40000
#define CHANNELS 208
#define CANARY 0xa5
#define SCRATCH 2048 /* words of 4 bytes, the alignment that kernels ask for */

/* Random codes, made by kernel_pools.py: a few extremes, small values, any. In the second of two
 * the lowest code is -128 instead of -127. */
#define POOL_PIECE 4096
#define POOL_BYTES (2 * POOL_PIECE)
extern const int8_t pool_extreme[2][POOL_BYTES], pool_small[POOL_BYTES], pool_any[2][POOL_BYTES];

/* What a kernel may write; one for each version. */
typedef struct {
    int8_t x[CODES], y[CODES], weight[WEIGHTS];
    uint8_t mask[CODES / 8];
    int32_t bias[CHANNELS];
    int16_t delta[CHANNELS];
    int32_t exponent;
    int8_t offset;
    uint32_t scratch[SCRATCH];
    int32_t guard[16];
} state;

extern state tuned, plain;
extern int8_t frozen[WEIGHTS], second[CODES];
extern int32_t multiplier[CHANNELS];
extern uint8_t shift[CHANNELS];

uint32_t next(void);
int32_t between(int32_t low, int32_t high);

/* Fresh contents, the same for both; constants. */
void prepare(int32_t low);

/* kind 0: dense; 1: depthwise; 2: grouped. */
mt_conv_shape random_shape(int32_t kind);

/* Whether a depthwise layer has one size in and out, so that its output may take the input's place.
 */
int keeps_shape(const mt_conv_shape *s);

/* A permutation of the channels, or NULL; returns how many are trained. */
int32_t random_order(const mt_conv_shape *s, const uint16_t **permutation);

/* `bytes` bytes within a state's scratch, the same for both states; NULL if there are not so many.
 * What lies around them is set, so that `differs` sees a write outside of them. */
void *scratch_of(state *s, size_t bytes);

/* 1 if the two states are not equal or scratch was left; says so. */
int differs(const char *kernel, int32_t number);
int print_shape(const mt_conv_shape *s);

/* One case of each kernel of updates and gradients; 1 if any differs. */
int update_cases(int32_t number);

/* The same of forward kernels. */
int forward_cases(int32_t number);

#endif
