/* Dense and grouped convolution: a group of output pixels is widened once, side by side, and each
 * output channel's weights are unpacked once for all of them. */
#include "mt_conv2d_finish.h"
#include "mt_dense_sums_dsp.h"
#include "mt_dsp.h"
#include "mt_finish_dsp.h"
#include "mt_patches_dsp.h"

#if MT_ISA_DSP

/* acc[4*lane] += the patches times the weights of one output channel; returns the end of them. */
static const int8_t *dot(const mt_patch *patch, const int8_t *weight, int32_t *acc) {
    const mt_dot call = {weight, patch->words, patch->words + patch->padded * 2};
    mt_dot_4(acc, &call);
    return weight + patch->length;
}

/* The output channels of a group, from `begin` on, for `lanes` <= 4 pixels of a row. */
static void make_any(const mt_dense_call *c, const mt_word_part *parts, const mt_patch *patches,
                     int32_t begin, mt_pixel pixel, int32_t lanes) {
    const mt_conv_shape *s = &c->p->shape;
    const int32_t end = begin + s->out_c / s->groups;
    const int8_t *w0 = parts[0].weight + begin * patches[0].length, *w1 = parts[1].weight;
    int8_t *y = c->io->y + ((pixel.row % c->rows->y_rows) * s->out_w + pixel.column) * s->out_c;
    const int32_t index = (pixel.row * s->out_w + pixel.column) * s->out_c;
    for (int32_t o = begin; o < end; o += 4) {
        const int32_t count = mt_min(4, end - o);
        int32_t acc[16];
        for (int32_t i = 0; i < count; i++) {
            const int32_t bias = c->io->bias[o + i];
            acc[i] = bias, acc[4 + i] = bias, acc[8 + i] = bias, acc[12 + i] = bias;
            w0 = dot(&patches[0], w0, acc + i);
            if (patches[1].length != 0) {
                w1 = dot(&patches[1], w1, acc + i);
            }
        }
        const mt_quad_finish finish = mt_begin_finish(c->p, c->io, o, count);
        for (int32_t lane = 0; lane < lanes; lane++) {
            const int32_t at = lane * s->out_c + o;
            mt_finish_quad(&finish, acc + 4 * lane, y + at, index + at);
        }
    }
}

static mt_tile_part tile_part(const mt_dense_call *c, const int8_t *weight, const mt_patch *patch) {
    const uint32_t *end = patch->words + patch->padded * (c->lanes / 2);
    return (mt_tile_part){weight, patch->length != 0 ? patch->words : NULL, end,
                          patch->length - patch->padded};
}

/* The same for as many pixels as there are lanes, where c->tiled. */
static void make_tile(const mt_dense_call *c, const mt_word_part *parts, const mt_patch *patches,
                      int32_t begin, mt_pixel pixel) {
    const mt_conv_shape *s = &c->p->shape;
    const int32_t at = (pixel.row % c->rows->y_rows) * s->out_w + pixel.column;
    const int32_t index = (pixel.row * s->out_w + pixel.column) * s->out_c;
    mt_tile tile = {{tile_part(c, parts[0].weight + begin * patches[0].length, &patches[0]),
                     tile_part(c, parts[1].weight, &patches[1])},
                    c->io->bias + begin,
                    c->p->multiplier + begin,
                    c->shifted ? c->p->shift + begin : NULL,
                    c->io->y + at * s->out_c + begin,
                    s->out_c,
                    c->p->y_zero,
                    s->out_c / s->groups,
                    c->io->mask != NULL ? c->io->mask + (index >> 3) : NULL,
                    s->out_c >> 3,
                    {0, 0}};
    if (c->lanes == 8) {
        mt_make_eight(&tile);
    } else {
        mt_make_four(&tile);
    }
}

static int32_t has_shifts(const mt_conv2d_params *p) {
    int32_t shifts = 0;
    for (int32_t o = 0; o < p->shape.out_c; o++) {
        shifts |= p->shift[o];
    }
    return shifts != 0;
}

/* Whether mt_make_four and mt_make_eight serve. */
static int32_t is_tiled(const mt_conv2d_params *p, const mt_conv2d_io *io) {
    const mt_conv_shape *s = &p->shape;
    return s->out_w >= 4 && p->clamp_lo == -128 && p->clamp_hi == 127 &&
           (io->mask == NULL || (s->groups == 1 && (s->out_c & 7) == 0));
}

/* The pixels from `pixel` on, `lanes` of them. */
static void make_pixels(const mt_dense_call *c, mt_word_part *parts, const mt_patch *patches,
                        mt_pixel pixel, int32_t lanes) {
    const mt_conv_shape *s = &c->p->shape;
    const int32_t plain_input = mt_is_plain_input(c->p);
    for (int32_t group = 0; group < s->groups; group++) {
        const int32_t begin = group * (s->out_c / s->groups);
        parts[0].first = group * (s->in_c / s->groups);
        for (int32_t lane = 0; lane < lanes && !plain_input; lane++) {
            const mt_pixel one = {pixel.row, pixel.column + lane};
            mt_fill_lane(c, &parts[0], &patches[0], lane, one);
            if (parts[1].channels > 0) {
                mt_fill_lane(c, &parts[1], &patches[1], lane, one);
            }
        }
        if (plain_input) {
            mt_fill_plain(c, &patches[0], pixel, lanes);
        }
        if (c->tiled) {
            make_tile(c, parts, patches, begin, pixel);
        } else {
            make_any(c, parts, patches, begin, pixel, lanes);
        }
    }
}

static void make_rows(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    const int32_t taps = s->k_h * s->k_w, inputs = s->in_c / s->groups;
    const int8_t *weight = io->weight != NULL ? io->weight : io->trained_weight;
    mt_word_part parts[2] = {{weight, NULL, 0, inputs}, {NULL, NULL, 0, 0}};
    if (p->channel_order != NULL) {
        const int32_t t = p->trained_channels, first = t == 0 ? 0 : 1;
        parts[0] = (mt_word_part){io->trained_weight, p->channel_order, 0, t};
        parts[first] = (mt_word_part){io->weight, p->channel_order + t, 0, inputs - t};
    }
    mt_patch patches[2] = {{(uint32_t *)io->scratch, taps * parts[0].channels, 0},
                           {NULL, taps * parts[1].channels, 0}};
    patches[0].padded = (patches[0].length + 7) & ~7;
    patches[1].padded = (patches[1].length + 7) & ~7;
    const int32_t padded = patches[0].padded + patches[1].padded, tiled = is_tiled(p, io);
    const int32_t lanes = tiled && s->out_w >= 8 && padded <= MT_EIGHT_LANES ? 8 : 4;
    patches[1].words = patches[0].words + patches[0].padded * (lanes / 2);
    int8_t *bytes = (int8_t *)(patches[1].words + patches[1].padded * (lanes / 2));
    const mt_dense_call call = {p, io, rows, bytes, lanes, tiled, has_shifts(p)};
    for (int32_t row = rows->first; row < rows->last; row++) {
        for (int32_t column = 0; column < s->out_w; column += lanes) {
            /* The last tile may overlap the one before. */
            const int32_t first = tiled ? mt_min(column, s->out_w - lanes) : column;
            const int32_t n = mt_min(lanes, s->out_w - first);
            make_pixels(&call, parts, patches, (mt_pixel){row, first}, n);
        }
    }
}

void mt_dense_rows_isa(const mt_conv2d_params *p, const mt_conv2d_io *io, const mt_rows *rows) {
    const mt_conv_shape *s = &p->shape;
    const int32_t n = rows->last - rows->first, pixels = n * s->out_w;
    const int32_t x_slot = rows->first % rows->x_rows, y_slot = rows->first % rows->y_rows;
    const int32_t flat = s->k_h == 1 && s->k_w == 1 && s->stride_h == 1 && s->stride_w == 1 &&
                         s->in_w == s->out_w && s->in_h == s->out_h && s->pad_top == 0 &&
                         s->pad_left == 0;
    if (!flat || x_slot + n > rows->x_rows || y_slot + n > rows->y_rows ||
        (io->mask != NULL && rows->first != 0)) {
        make_rows(p, io, rows);
        return;
    }
    /* Rows that follow each other in memory are one long row. */
    mt_conv2d_params long_row = *p;
    long_row.shape.in_h = long_row.shape.out_h = 1;
    long_row.shape.in_w = long_row.shape.out_w = pixels;
    mt_conv2d_io at = *io;
    at.x += x_slot * s->in_w * s->in_c;
    at.y += y_slot * s->out_w * s->out_c;
    const mt_rows one = {0, 1, 1, 1};
    make_rows(&long_row, &at, &one);
}
#endif
