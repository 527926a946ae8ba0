/* The 256-bit integer vectors of x86 hosts. */
#ifndef MT_ISA_AVX2_H
#define MT_ISA_AVX2_H

#if !defined(MT_ISA_NAME) && defined(__AVX2__) && defined(__GNUC__)
#define MT_ISA_NAME "avx2"
#define MT_ISA_AVX2 1
#define MT_HAS_DENSE_ROWS MT_SOME
#define MT_HAS_DEPTHWISE_ROWS MT_SOME
#define MT_HAS_POINTWISE_INPUT_GRAD MT_SOME
#define MT_HAS_DEPTHWISE_INPUT_GRAD MT_SOME
#define MT_HAS_POINTWISE_SUMS MT_ALL
#define MT_HAS_ROUND_RUN MT_ALL
#define MT_HAS_MAX_BYTES MT_ALL
#else
#define MT_ISA_AVX2 0
#endif

#endif
