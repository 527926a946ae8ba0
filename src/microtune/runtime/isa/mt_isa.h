/* Which kernels are compiled: the compiler's flags decide, so that the same sources serve every
 * core. A kernel with a faster version for an instruction set leaves its portable one out there.
 * -DMT_PORTABLE takes the portable kernels everywhere. The kernels in assembler for Arm read words
 * at any address: where the compiler may not (-mno-unaligned-access) they are left out too. */
#ifndef MT_ISA_H
#define MT_ISA_H

#include "mt_names.h"

#if defined(MT_PORTABLE) || defined(MT_DEBUG) /* its kernels count and check (mt_debug.h) */
#define MT_ISA_ANY 0
#elif defined(__arm__) && !defined(__ARM_FEATURE_UNALIGNED)
#define MT_ISA_ANY 0
#else
#define MT_ISA_ANY 1
#endif

/* The integer vectors of Armv8.1-M (Helium). At -O0 compilers find no registers for the assembler.
 */
#if MT_ISA_ANY && defined(__OPTIMIZE__) && defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define MT_ISA_MVE 1
#else
#define MT_ISA_MVE 0
#endif

/* The 16-bit pairs of Armv7E-M and Armv8-M Main. */
#if MT_ISA_ANY && defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_SIMD32)
#define MT_ISA_DSP 1
#else
#define MT_ISA_DSP 0
#endif

/* The 256-bit integer vectors of x86 hosts. */
#if MT_ISA_ANY && defined(__AVX2__) && defined(__GNUC__)
#define MT_ISA_AVX2 1
#else
#define MT_ISA_AVX2 0
#endif

/* The name that the linker sees, as a text for the assembler (mt_names.h). */
#define MT_LINK_NAME(name) MT_LINK_TEXT(name)
#define MT_LINK_TEXT(name) #name

/* Bytes behind an int8 table that a kernel may read, and multiply by 0. */
#define MT_TABLE_PAD (MT_ISA_DSP ? 7 : 0)

#endif
