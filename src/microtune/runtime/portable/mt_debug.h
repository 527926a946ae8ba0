/* The debug build (-DMT_DEBUG): every addition to an int32 accumulator is checked, and the
 * multiply-accumulates of the portable kernels, which it takes on every core, are counted. In a
 * release build each macro is the plain addition, or nothing. */
#ifndef MT_DEBUG_H
#define MT_DEBUG_H

#include "mt_types.h"

#if defined(MT_DEBUG)
/* performed + skipped - repeated is what ir/macs.py counts: `skipped` are products with a padding
 * or a gradient of 0 that a kernel left out, `repeated` those that it made again to save memory. */
typedef struct {
    uint64_t performed, skipped, repeated;
} mt_debug_macs;

/* What was counted since the last mt_debug_reset. */
void mt_debug_counts(mt_debug_macs *macs);
/* Where the first accumulator overflowed since then, as FILE:LINE, or NULL. */
const char *mt_debug_overflow(void);
void mt_debug_reset(void);

/* acc + sum, where `sum` adds up `macs` products; an overflow is noted and wraps. */
int32_t mt_debug_accumulate(int32_t acc, int64_t sum, uint32_t macs, const char *where);
void mt_debug_count(int64_t performed, int64_t skipped, int64_t repeated);
/* Pairs of an output position and a tap whose input lies outside the image. */
int64_t mt_debug_outside(const mt_conv_shape *s);

#define MT_TEXT(value) #value
#define MT_LINE(line) MT_TEXT(line)
#define MT_WHERE __FILE__ ":" MT_LINE(__LINE__)
#define MT_ACCUMULATE(acc, sum, macs) ((acc) = mt_debug_accumulate((acc), (sum), (macs), MT_WHERE))
#define MT_PERFORMED(macs) mt_debug_count((macs), 0, 0)
#define MT_SKIPPED(macs) mt_debug_count(0, (macs), 0)
#define MT_SKIPPED_PADDING(shape, macs) MT_SKIPPED(mt_debug_outside(shape) * (macs))
#define MT_REPEATED(macs) mt_debug_count(0, 0, (macs))
#else
#define MT_ACCUMULATE(acc, sum, macs) ((acc) += (sum))
#define MT_PERFORMED(macs) ((void)0)
#define MT_SKIPPED(macs) ((void)0)
#define MT_SKIPPED_PADDING(shape, macs) ((void)0)
#define MT_REPEATED(macs) ((void)0)
#endif

#endif
