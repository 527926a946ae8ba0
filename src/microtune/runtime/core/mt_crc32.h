#ifndef MT_CRC32_H
#define MT_CRC32_H

#include <stddef.h>
#include <stdint.h>

#include "mt_names.h"

/* CRC-32 of zlib and Ethernet (reflected 0xedb88320). Start with crc = 0; the result of one piece
 * is the start of the next. */
uint32_t mt_crc32(uint32_t crc, const void *data, size_t bytes);

#endif
