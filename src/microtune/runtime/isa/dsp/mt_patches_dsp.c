#include "mt_patches_dsp.h"

#include "mt_dsp.h"
#include "mt_memory.h"

#if MT_ISA_DSP

/* Inputs of one pixel to its lane, n > 0 a multiple of 8; `zero_point` decides which way. */
static inline void widen_as(uint32_t *to, const int8_t *from, int32_t n, int32_t step,
                            int32_t zero_point) {
    const uint32_t zeros = (uint32_t)(zero_point & 0xffff) * 0x10001u;
    const int8_t *end = from + n;
    do {
        const uint32_t low = mt_load_word(from), high = mt_load_word(from + 4);
        mt_widen_word(low, zero_point, zeros, to);
        mt_widen_word(high, zero_point, zeros, to + step);
        to += 2 * step;
        from += 8;
    } while (from != end);
}

static void widen_words(const mt_dense_call *c, uint32_t *to, const int8_t *from, int32_t n) {
    if (c->p->x_zero == -128) {
        widen_as(to, from, n, 2 * c->lanes, -128);
    } else {
        widen_as(to, from, n, 2 * c->lanes, c->p->x_zero);
    }
}

/* to[i] = the inputs of a part under one tap; from == NULL: outside the image. */
static int8_t *gather(int8_t *to, const int8_t *from, const mt_word_part *part, int32_t n,
                      int32_t zero) {
    int8_t *end = to + n;
    if (from == NULL) {
        while (to != end) {
            *to++ = (int8_t)zero;
        }
    } else if (part->order == NULL) {
        while (to != end) {
            *to++ = *from++;
        }
    } else {
        for (const uint16_t *order = part->order; to != end; order++) {
            *to++ = from[*order];
        }
    }
    return end;
}

/* Collects what lies under the kernel of one output pixel, all of it inside the image. */
static int8_t *gather_inside(const mt_dense_call *c, int32_t top, int32_t left, int8_t *to) {
    const mt_conv_shape *s = &c->p->shape;
    const int32_t run = s->k_w * s->in_c;
    int32_t slot = top % c->rows->x_rows;
    for (int32_t kh = s->k_h; kh > 0; kh--) {
        const int8_t *from = c->io->x + (slot * s->in_w + left) * s->in_c, *end = from + run;
        for (; from + 4 <= end; from += 4, to += 4) {
            mt_store_word(to, mt_load_word(from));
        }
        while (from != end) {
            *to++ = *from++;
        }
        slot = slot + 1 == c->rows->x_rows ? 0 : slot + 1;
    }
    return to;
}

/* The same wherever it lies, from the channels of one part. */
static int8_t *gather_any(const mt_dense_call *c, const mt_word_part *part, int32_t top,
                          int32_t left, int8_t *to) {
    const mt_conv_shape *s = &c->p->shape;
    for (int32_t kh = 0; kh < s->k_h; kh++) {
        const int32_t ih = top + kh;
        const int8_t *row = c->io->x + (ih % c->rows->x_rows) * s->in_w * s->in_c + part->first;
        for (int32_t kw = 0; kw < s->k_w; kw++) {
            const int32_t iw = left + kw;
            const int32_t inside = ih >= 0 && ih < s->in_h && iw >= 0 && iw < s->in_w;
            const int8_t *from = inside ? row + iw * s->in_c : NULL;
            to = gather(to, from, part, part->channels, c->p->x_zero);
        }
    }
    return to;
}

void mt_fill_lane(const mt_dense_call *c, const mt_word_part *part, const mt_patch *patch,
                  int32_t lane, mt_pixel pixel) {
    const mt_conv_shape *s = &c->p->shape;
    const int32_t top = pixel.row * s->stride_h - s->pad_top;
    const int32_t left = pixel.column * s->stride_w - s->pad_left;
    const int32_t whole = part->order == NULL && part->channels == s->in_c;
    int8_t *to;
    if (whole && top >= 0 && top + s->k_h <= s->in_h && left >= 0 && left + s->k_w <= s->in_w) {
        to = gather_inside(c, top, left, c->bytes);
    } else {
        to = gather_any(c, part, top, left, c->bytes);
    }
    (void)gather(to, NULL, part, patch->padded - patch->length, c->p->x_zero);
    widen_words(c, patch->words + 2 * lane, c->bytes, patch->padded);
}

/* The patches of neighbours when a pixel is a patch and the channels are eights. */
void mt_fill_plain(const mt_dense_call *c, const mt_patch *patch, mt_pixel pixel, int32_t lanes) {
    const mt_conv_shape *s = &c->p->shape;
    const int32_t slot = (pixel.row * s->stride_h) % c->rows->x_rows;
    const int8_t *from = c->io->x + (slot * s->in_w + pixel.column * s->stride_w) * s->in_c;
    for (int32_t lane = 0; lane < lanes; lane++, from += s->stride_w * s->in_c) {
        widen_words(c, patch->words + 2 * lane, from, s->in_c);
    }
}

int32_t mt_is_plain_input(const mt_conv2d_params *p) {
    const mt_conv_shape *s = &p->shape;
    return s->k_h * s->k_w == 1 && p->channel_order == NULL && s->groups == 1 &&
           (s->in_c & 7) == 0 && s->pad_top == 0 && s->pad_left == 0 &&
           (s->out_h - 1) * s->stride_h < s->in_h && (s->out_w - 1) * s->stride_w < s->in_w;
}
#endif
