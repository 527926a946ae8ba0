/* Which instruction set's kernels are compiled: the compiler's flags decide, so that the same
 * sources serve every core.
 *
 * A set is a folder beside this file. Its header mt_isa_<set>.h says for which flags the set is
 * made and which kernels it has. Of the sets that the flags allow, the first one listed here is
 * taken, and no other. The op's dispatcher calls its kernels where they fit (mt_conv2d.c,
 * mt_conv2d_input_grad.c, mt_weight_update.c, mt_elementwise.c); everything else stays portable.
 * -DMT_PORTABLE takes no set, and neither does -DMT_DEBUG: only portable kernels count and check.
 */
#ifndef MT_ISA_H
#define MT_ISA_H

#include "mt_names.h"

/* What a set says of a kernel: it has a version for the calls for which mt_<kernel>_fits, or for
 * every call. Then the portable version is left out. */
#define MT_SOME 1
#define MT_ALL 2

#if defined(MT_PORTABLE) || defined(MT_DEBUG)
#define MT_ISA_NAME "portable"
#endif

/* The list of sets. */
#include "mve/mt_isa_mve.h"
#include "dsp/mt_isa_dsp.h"
#include "avx2/mt_isa_avx2.h"

#ifndef MT_ISA_NAME
#define MT_ISA_NAME "portable"
#endif

/* The kernels that a set may have. The set's version of a kernel is mt_<kernel>_isa. */
#ifndef MT_HAS_DENSE_ROWS
#define MT_HAS_DENSE_ROWS 0
#endif
#ifndef MT_HAS_DEPTHWISE_ROWS
#define MT_HAS_DEPTHWISE_ROWS 0
#endif
#ifndef MT_HAS_ADD
#define MT_HAS_ADD 0
#endif
#ifndef MT_HAS_POINTWISE_INPUT_GRAD
#define MT_HAS_POINTWISE_INPUT_GRAD 0
#endif
#ifndef MT_HAS_DENSE_INPUT_GRAD
#define MT_HAS_DENSE_INPUT_GRAD 0
#endif
#ifndef MT_HAS_DEPTHWISE_INPUT_GRAD
#define MT_HAS_DEPTHWISE_INPUT_GRAD 0
#endif
#ifndef MT_HAS_DENSE_WEIGHT_UPDATE
#define MT_HAS_DENSE_WEIGHT_UPDATE 0
#endif

/* Steps that kernels share. A set has all of one or nothing, under the step's own name. */
#ifndef MT_HAS_POINTWISE_SUMS
#define MT_HAS_POINTWISE_SUMS 0
#endif
#ifndef MT_HAS_PRODUCTS
#define MT_HAS_PRODUCTS 0
#endif
#ifndef MT_HAS_CHANNEL_SUMS
#define MT_HAS_CHANNEL_SUMS 0
#endif
#ifndef MT_HAS_ROUND_RUN
#define MT_HAS_ROUND_RUN 0
#endif

/* Bytes behind an int8 table that a kernel may read, and multiply by 0. */
#ifndef MT_TABLE_PAD
#define MT_TABLE_PAD 0
#endif

/* The name that the linker sees, as a text for the assembler (mt_names.h). */
#define MT_LINK_NAME(name) MT_LINK_TEXT(name)
#define MT_LINK_TEXT(name) #name

#endif
