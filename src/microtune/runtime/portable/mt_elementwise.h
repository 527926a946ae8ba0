/* What the versions of an add share. */
#ifndef MT_ELEMENTWISE_H
#define MT_ELEMENTWISE_H

#include "mt_kernels_forward.h"

/* The portable version of mt_add, and that of the instruction set where it fits. */
void mt_add_any(const mt_add_params *p, const mt_add_io *io);
int32_t mt_add_fits(const mt_add_params *p);
void mt_add_isa(const mt_add_params *p, const mt_add_io *io);

#endif
