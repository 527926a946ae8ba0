/* Helium: the integer vectors of Armv8.1-M. The kernels in assembler read words at any address, and
 * at -O0 compilers find no registers for them. */
#ifndef MT_ISA_MVE_H
#define MT_ISA_MVE_H

#if !defined(MT_ISA_NAME) && defined(__ARM_FEATURE_MVE) && defined(__ARM_FEATURE_UNALIGNED) &&     \
    defined(__OPTIMIZE__)
#if __ARM_FEATURE_MVE & 1
#define MT_ISA_NAME "mve"
#define MT_ISA_MVE 1
#define MT_HAS_DENSE_ROWS MT_ALL
#define MT_HAS_DEPTHWISE_ROWS MT_SOME
#define MT_HAS_ADD MT_ALL
#define MT_HAS_POINTWISE_INPUT_GRAD MT_SOME
#define MT_HAS_DEPTHWISE_INPUT_GRAD MT_ALL
#define MT_HAS_DENSE_WEIGHT_UPDATE MT_ALL
#define MT_HAS_CHANNEL_SUMS MT_ALL
#define MT_HAS_ROUND_RUN MT_ALL
#define MT_HAS_LOOK_UP MT_ALL
#define MT_HAS_MAX_BYTES MT_ALL
#define MT_HAS_MUL_RUN MT_ALL
#define MT_HAS_MUL_SUMS MT_ALL
#define MT_HAS_PRODUCTS MT_ALL
#define MT_TABLE_PAD 7
#endif
#endif

#ifndef MT_ISA_MVE
#define MT_ISA_MVE 0
#endif

#endif
