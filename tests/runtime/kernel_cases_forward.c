/* Random cases of convolution, of convolution made row by row as in a stream, and of add. */
#include "kernel_cases.h"
#include "mt_numerics.h"

void ref_mt_conv2d(const mt_conv2d_params *p, const mt_conv2d_io *io);
void ref_mt_add(const mt_add_params *p, const mt_add_io *io);

static int conv2d_case(int32_t number) {
    prepare(-128);
    mt_conv2d_params p = {.multiplier = multiplier, .shift = shift};
    int same, in_place;
    size_t bytes;
    const mt_conv_shape *s = &p.shape;
    do {
        p.shape = random_shape(number % 3);
        p.trained_channels = random_order(s, &p.channel_order);
        same = keeps_shape(s);
        in_place = same && next() % 2;
        bytes = mt_conv2d_scratch_bytes(&p, in_place);
    } while (scratch_of(&tuned, bytes) == NULL);
    const int masked = next() % 2;
    p.x_zero = between(-128, 127);
    p.y_zero = between(-128, 127);
    p.clamp_lo = next() % 2 ? -128 : between(-128, 0);
    p.clamp_hi = next() % 2 ? 127 : between(0, 127);
    const int32_t skew = between(0, 9);
    mt_conv2d_io io = {tuned.x + skew, frozen + between(0, 9),   NULL, tuned.bias, tuned.y + skew,
                       NULL,           scratch_of(&tuned, bytes)};
    mt_conv2d_io ref = io;
    ref.x = plain.x + skew;
    ref.y = plain.y + skew;
    ref.scratch = scratch_of(&plain, bytes);
    io.trained_weight = p.channel_order != NULL ? tuned.weight + 3 : NULL;
    ref.trained_weight = io.trained_weight;
    io.y = in_place ? tuned.x + skew : io.y;
    ref.y = in_place ? plain.x + skew : ref.y;
    io.mask = masked ? tuned.mask : NULL;
    ref.mask = masked ? plain.mask : NULL;
    mt_conv2d(&p, &io);
    ref_mt_conv2d(&p, &ref);
    return differs("mt_conv2d", number) && print_shape(s);
}

static int add_case(int32_t number) {
    prepare(-128);
    mt_add_params p = {.count = between(1, 200), .x1_zero = between(-128, 127)};
    p.x2_zero = between(-128, 127);
    p.y_zero = between(-128, 127);
    p.shift = between(1, 30);
    /* Any factors, or such that sums lie between two codes. */
    const int32_t most = (1 << (next() % 2 ? 22 : mt_min(22, p.shift))) - 1;
    p.a1 = between(0, most);
    p.a2 = between(0, most);
    p.clamp_lo = next() % 2 ? -128 : between(-128, 0);
    p.clamp_hi = next() % 2 ? 127 : between(0, 127);
    const int masked = next() % 2, in_place = next() % 2;
    const mt_add_io io = {tuned.x, second, in_place ? tuned.x : tuned.y,
                          masked ? tuned.mask : NULL};
    const mt_add_io ref = {plain.x, second, in_place ? plain.x : plain.y,
                           masked ? plain.mask : NULL};
    mt_add(&p, &io);
    ref_mt_add(&p, &ref);
    return differs("mt_add", number);
}

/* Rings of as few rows as the kernels allow; the rows of `second` are written one by one. */
static void make_rows(const mt_conv2d_params *p, mt_conv2d_io io) {
    const mt_conv_shape *s = &p->shape;
    const int32_t ring = mt_min(s->in_h, s->k_h), bytes = s->in_w * s->in_c;
    int8_t *x = tuned.x;
    io.x = x;
    int32_t have = 0;
    for (int32_t row = 0; row < s->out_h; row++) {
        const int32_t end = mt_min(s->in_h, row * s->stride_h - s->pad_top + s->k_h);
        for (; have < end; have++) {
            memcpy(x + have % ring * bytes, second + have * bytes, (size_t)bytes);
        }
        const mt_rows rows = {row, row + 1, ring, s->out_h};
        mt_conv2d_rows(p, &io, &rows);
    }
    memcpy(x, plain.x, sizeof plain.x);
}

static int rows_case(int32_t number) {
    prepare(-128);
    mt_conv2d_params p = {.multiplier = multiplier, .shift = shift};
    size_t bytes;
    do {
        p.shape = random_shape(number % 3);
        bytes = mt_conv2d_row_scratch_bytes(&p);
    } while (scratch_of(&tuned, bytes) == NULL ||
             scratch_of(&plain, mt_conv2d_scratch_bytes(&p, 0)) == NULL);
    p.x_zero = between(-128, 127);
    p.y_zero = between(-128, 127);
    p.clamp_lo = next() % 2 ? -128 : between(-128, 0);
    p.clamp_hi = next() % 2 ? 127 : between(0, 127);
    mt_conv2d_io io = {second, frozen + between(0, 9), NULL, tuned.bias, plain.y, NULL, NULL};
    io.scratch = scratch_of(&plain, mt_conv2d_scratch_bytes(&p, 0));
    ref_mt_conv2d(&p, &io);
    memset(plain.scratch, CANARY, sizeof plain.scratch);
    io.scratch = scratch_of(&tuned, bytes);
    io.y = tuned.y;
    make_rows(&p, io);
    return differs("mt_conv2d_rows", number) && print_shape(&p.shape);
}

int forward_cases(int32_t number) {
    return conv2d_case(number) || add_case(number) || rows_case(number);
}
