/* What the kernels for instruction sets leave to the portable one. */
#ifndef MT_ELEMENTWISE_H
#define MT_ELEMENTWISE_H

#include "mt_kernels_forward.h"

/* mt_add for any scales and clamps. */
void mt_add_any(const mt_add_params *p, const mt_add_io *io);

#endif
