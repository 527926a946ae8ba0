/* The pairs of 16 bits of Armv7E-M and Armv8-M Main. The kernels in assembler read words at any
 * address. */
#ifndef MT_ISA_DSP_H
#define MT_ISA_DSP_H

#if !defined(MT_ISA_NAME) && defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_SIMD32) &&        \
    defined(__ARM_FEATURE_UNALIGNED)
#define MT_ISA_NAME "dsp"
#define MT_ISA_DSP 1
#define MT_HAS_DENSE_ROWS MT_ALL
#define MT_HAS_DEPTHWISE_ROWS MT_ALL
#define MT_HAS_ADD MT_SOME
#define MT_HAS_POINTWISE_INPUT_GRAD MT_SOME
#define MT_HAS_DENSE_INPUT_GRAD MT_SOME
#define MT_HAS_DEPTHWISE_INPUT_GRAD MT_ALL
#define MT_HAS_POINTWISE_SUMS MT_ALL
#define MT_HAS_CHANNEL_SUMS MT_ALL
#define MT_HAS_ROUND_RUN MT_ALL
#define MT_HAS_LOOK_UP MT_ALL
#define MT_HAS_MAX_BYTES MT_ALL
#define MT_HAS_MUL_RUN MT_ALL
#define MT_HAS_MUL_SUMS MT_ALL
#define MT_HAS_PRODUCTS MT_ALL
#define MT_TABLE_PAD 7
#else
#define MT_ISA_DSP 0
#endif

#endif
