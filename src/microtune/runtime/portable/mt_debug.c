/* The counters of the debug build; see mt_debug.h. */
#include "mt_debug.h"

#if defined(MT_DEBUG)
#include <stddef.h>

static mt_debug_macs counted;
static const char *overflow;

void mt_debug_counts(mt_debug_macs *macs) { *macs = counted; }

const char *mt_debug_overflow(void) { return overflow; }

void mt_debug_reset(void) {
    counted = (mt_debug_macs){0, 0, 0};
    overflow = NULL;
}

int32_t mt_debug_accumulate(int32_t acc, int64_t sum, uint32_t macs, const char *where) {
    const int64_t exact = acc + sum;
    counted.performed += macs;
    if ((exact < INT32_MIN || exact > INT32_MAX) && overflow == NULL) {
        overflow = where;
    }
    return (int32_t)(uint32_t)(uint64_t)exact;
}

void mt_debug_count(int64_t performed, int64_t skipped, int64_t repeated) {
    counted.performed += (uint64_t)performed;
    counted.skipped += (uint64_t)skipped;
    counted.repeated += (uint64_t)repeated;
}

/* Pairs of an output row (or column) and a tap whose input lies inside. */
static int64_t inside(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad) {
    int64_t pairs = 0;
    for (int32_t o = 0; o < out; o++) {
        for (int32_t k = 0; k < kernel; k++) {
            const int32_t position = o * stride + k - pad;
            pairs += position >= 0 && position < in;
        }
    }
    return pairs;
}

int64_t mt_debug_outside(const mt_conv_shape *s) {
    return (int64_t)s->out_h * s->out_w * s->k_h * s->k_w -
           inside(s->in_h, s->out_h, s->k_h, s->stride_h, s->pad_top) *
               inside(s->in_w, s->out_w, s->k_w, s->stride_w, s->pad_left);
}
#endif
