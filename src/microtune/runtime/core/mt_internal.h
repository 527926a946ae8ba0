/* Shared by the files of core/ only. */
#ifndef MT_INTERNAL_H
#define MT_INTERNAL_H

#include "mt_context.h"

#define MT_CONTEXT_MAGIC UINT32_C(0x4d544358)

/* Not NULL, and made by mt_init of this model. */
int mt_is_context(const mt_context *context);

#endif
