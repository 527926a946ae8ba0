#include "mt_blocks.h"

#include "mt_isa.h"
#include "mt_numerics.h"

const uint8_t *mt_random8_run(mt_bytes *bytes, uint32_t key, uint32_t index, int32_t count) {
    uint32_t words[10];
    const uint32_t first = index >> 2;
    const uint32_t n = ((index + (uint32_t)count + 3) >> 2) - first;
    for (uint32_t i = 0; i < n; i++) {
        words[i] = mt_random_word(key, first + i);
    }
    for (uint32_t i = 0; i < n; i++) {
        bytes->byte[4 * i] = (uint8_t)words[i];
        bytes->byte[4 * i + 1] = (uint8_t)(words[i] >> 8);
        bytes->byte[4 * i + 2] = (uint8_t)(words[i] >> 16);
        bytes->byte[4 * i + 3] = (uint8_t)(words[i] >> 24);
    }
    return bytes->byte + (index & 3);
}

void mt_random16_run(uint16_t *r16, uint32_t key, uint32_t index, int32_t count) {
    int32_t i = 0;
    if ((index & 1) != 0 && count > 0) {
        r16[i++] = (uint16_t)mt_random16(key, index);
    }
    for (; i + 1 < count; i += 2) {
        const uint32_t word = mt_random_word(key, (index + (uint32_t)i) >> 1);
        r16[i] = (uint16_t)word;
        r16[i + 1] = (uint16_t)(word >> 16);
    }
    if (i < count) {
        r16[i] = (uint16_t)mt_random16(key, index + (uint32_t)i);
    }
}

void mt_mask_write(uint8_t *mask, int32_t index, const uint8_t *inside, int32_t count) {
    uint8_t *byte = mask + (index >> 3);
    int32_t bit = index & 7;
    uint32_t bits = 0;
    for (int32_t i = 0; i < count; i++) {
        bits |= (uint32_t)inside[i] << bit;
        if (++bit == 8) {
            *byte = (uint8_t)(*byte | bits);
            byte++;
            bits = 0;
            bit = 0;
        }
    }
    if (bit != 0) {
        *byte = (uint8_t)(*byte | bits);
    }
}

void mt_mask_read(uint8_t *inside, const uint8_t *mask, int32_t index, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        inside[i] = (uint8_t)((mask[(index + i) >> 3] >> ((index + i) & 7)) & 1);
    }
}

mt_rounder mt_round_begin(uint32_t site, const mt_round_io *io, int32_t acc_exponent, int8_t *y) {
    mt_rounder r;
    r.io = io;
    r.y = y;
    r.key = mt_random_key(io->state, site);
    r.acc_exponent = acc_exponent;
    r.k = mt_clamp_int32(*io->base + *io->offset - acc_exponent, 0, 30);
    r.largest = 0;
    return r;
}

void mt_round_end(const mt_rounder *r) {
    const int32_t higher = r->largest > MT_GRADIENT_MAX, lower = r->largest > 0 && r->largest < 32;
    *r->io->offset = (int8_t)mt_clamp_int32(*r->io->offset + higher - lower, -64, 63);
    *r->io->exponent = r->acc_exponent + r->k;
}

#if !MT_HAS_ROUND_RUN
void mt_round_run(mt_rounder *r, const int32_t *acc, int32_t index, int32_t count) {
    const int32_t k = r->k;
    int32_t largest = r->largest;
    while (count > 0) {
        const int32_t n = mt_min(count, MT_BLOCK);
        mt_bytes bytes;
        uint8_t keep[MT_BLOCK];
        const uint8_t *r8 = mt_random8_run(&bytes, r->key, (uint32_t)index, n);
        int8_t *y = r->y + index;
        if (r->io->mask != NULL) {
            mt_mask_read(keep, r->io->mask, index, n);
        } else {
            for (int32_t i = 0; i < n; i++) {
                keep[i] = 1;
            }
        }
        for (int32_t i = 0; i < n; i++) {
            const int32_t u = mt_stochastic_round(acc[i], k, r8[i]) & -(int32_t)keep[i];
            largest = mt_max(largest, u < 0 ? -u : u);
            y[i] = (int8_t)mt_clamp_int32(u, -MT_GRADIENT_MAX, MT_GRADIENT_MAX);
        }
        acc += n;
        index += n;
        count -= n;
    }
    r->largest = largest;
}

#endif

const int8_t *mt_depthwise_columns(const mt_depthwise_weights *w, int32_t first, int32_t count,
                                   int32_t *row_stride) {
    const int32_t channels = w->shape->out_c, taps = w->shape->k_h * w->shape->k_w;
    const int32_t trained = w->trained_channels;
    if (w->channel_order == NULL) {
        *row_stride = channels;
        return (w->weight != NULL ? w->weight : w->trained_weight) + first;
    }
    for (int32_t t = 0; t < channels; t++) {
        const int32_t column = (int32_t)w->channel_order[t] - first;
        if (column < 0 || column >= count) {
            continue;
        }
        const int8_t *from = t < trained ? w->trained_weight + t : w->weight + (t - trained);
        const int32_t stride = t < trained ? trained : channels - trained;
        for (int32_t tap = 0; tap < taps; tap++) {
            w->scratch[tap * MT_BLOCK + column] = from[tap * stride];
        }
    }
    *row_stride = MT_BLOCK;
    return w->scratch;
}

void mt_copy_columns(const int8_t *from, int32_t pixels, int32_t channels, int32_t n, int8_t *to) {
    for (int32_t pixel = 0; pixel < pixels; pixel++) {
        memcpy(to, from, (size_t)n);
        from += channels;
        to += MT_BLOCK;
    }
}

#if !MT_HAS_PRODUCTS
void mt_products(const int8_t *a, const int8_t *b, int32_t zero, int32_t n, int32_t *acc) {
    for (int32_t i = 0; i < n; i++) {
        acc[i] = a[i] * (b[i] - zero);
    }
}
#endif
