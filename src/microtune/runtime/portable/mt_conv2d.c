/* Forward convolution: which version of it makes the rows. */
#include "mt_conv2d_finish.h"
#include "mt_isa.h"
#include "mt_memory.h"

static void forward_depthwise(const mt_conv2d_params *p, const mt_conv2d_io *io,
                              const mt_rows *rows) {
#if MT_HAS_DEPTHWISE_ROWS == MT_ALL
    mt_depthwise_rows_isa(p, io, rows);
#else
#if MT_HAS_DEPTHWISE_ROWS == MT_SOME
    if (mt_depthwise_rows_fits(p, io, rows)) {
        mt_depthwise_rows_isa(p, io, rows);
        return;
    }
#endif
    mt_depthwise_rows_any(p, io, rows);
#endif
}

static void forward_dense(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
#if MT_HAS_DENSE_ROWS == MT_ALL
    mt_dense_rows_isa(p, io, rows);
#else
#if MT_HAS_DENSE_ROWS == MT_SOME
    if (mt_dense_rows_fits(p)) {
        mt_dense_rows_isa(p, io, rows);
        return;
    }
#endif
    mt_dense_rows_any(p, io, rows);
#endif
}

void mt_conv2d_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    if (mt_is_depthwise(&p->shape)) {
        forward_depthwise(p, io, rows);
    } else {
        forward_dense(p, io, rows);
    }
}

void mt_conv2d(const mt_conv2d_params *p, const mt_conv2d_io *io) {
    const mt_conv_shape *s = &p->shape;
    const mt_rows all = {0, s->out_h, s->in_h, s->out_h};
    if (io->mask != NULL) {
        memset(io->mask, 0, mt_mask_bytes(s->out_h * s->out_w * s->out_c));
    }
    mt_conv2d_rows(p, io, &all);
}
