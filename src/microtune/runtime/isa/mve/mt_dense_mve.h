/* What the two halves of the dense convolution share: its patches and its dot products. */
#ifndef MT_DENSE_MVE_H
#define MT_DENSE_MVE_H

#include "mt_conv2d_finish.h"
#include "mt_isa.h"

#if MT_ISA_MVE
#include "mt_dense_four_mve.h"

#define MT_PIXELS 4

/* A run of input channels with weights of its own, [O][KH][KW][channels]. */
typedef struct {
    const int8_t *weight;
    const uint16_t *order;           /* or NULL: channels first, first + 1, ... */
    int32_t first, channels, length; /* length: taps * channels */
} mt_dense_part;

/* What one call works on. */
typedef struct {
    const mt_conv2d_params *p;
    const mt_conv2d_io *io;
    const mt_rows *rows;
    mt_dense_part parts[2];
    int32_t direct;        /* every patch is one pixel of the image */
    int32_t output, count; /* the block of outputs */
    int32_t shifted;       /* some output has a shift */
    mt_dense_constants table[MT_BLOCK];
} mt_dense_job;

/* Up to four pixels of one output row, or more (see below). */
typedef struct {
    const int8_t *x[MT_PIXELS]; /* their patches */
    int32_t row, column, count;
} mt_quad;

/* The block of outputs of one to four pixels. */
void mt_dense_any(const mt_dense_job *j, const mt_quad *q);

/* Four pixels at a time, where patches and outputs allow it; a positive kind of patches that are
 * pixels of the image takes any fours, of rows that follow each other in memory. */
typedef struct {
    union {
        mt_dense_fixed fixed;
        mt_dense_general general;
    } call;
    int32_t kind; /* length of fixed patches, 0: general, -1: not at all */
} mt_dense_fours;

void mt_dense_begin_fours(const mt_dense_job *j, mt_dense_fours *f);
void mt_dense_four(const mt_dense_job *j, mt_dense_fours *f, const mt_quad *q);
#endif

#endif
