/* Random cases of the updates, of gradients where paths meet, and of pools. */
#include "kernel_cases.h"

void ref_mt_conv2d_weight_update(const mt_conv2d_weight_update_params *p,
                                 const mt_conv2d_weight_update_io *io);
void ref_mt_bias_update_int32(const mt_bias_update_params *p, const mt_bias_update_int32_io *io);
void ref_mt_bias_update_int16(const mt_bias_update_params *p, const mt_bias_update_int16_io *io);
void ref_mt_gradient_sum(const mt_gradient_sum_params *p, const mt_gradient_sum_io *io);
void ref_mt_apply_mask(const mt_mask_params *p, const mt_mask_io *io);
void ref_mt_average_pool(const mt_pool_params *p, const mt_pool_io *io);
void ref_mt_average_pool_grad(const mt_average_pool_grad_params *p,
                              const mt_average_pool_grad_io *io);
void ref_mt_clamp(const mt_clamp_params *p, const mt_clamp_io *io);
void ref_mt_gather_channels(const mt_gather_params *p, const mt_gather_io *io);
void ref_mt_bias_from_delta(const mt_bias_delta_params *p, const mt_bias_delta_io *io);

/* Rates from steps that vanish to steps that saturate. */
static mt_step_state random_step(void) {
    const int32_t lr = next() % 16 == 0 ? 0 : between(1 << 23, (1 << 24) - 1);
    const mt_step_state step = {next(), next(), lr, between(-40, -20), 0};
    return step;
}

static mt_factor_params random_factor(void) {
    static uint8_t dead[(CHANNELS + 7) / 8];
    mt_factor_params f = {multiplier,       shift, between(1 << 30, INT32_MAX),
                          between(-30, 10), 0,     NULL};
    f.cap = between(0, 20);
    for (int32_t i = 0; i < (int32_t)sizeof dead; i++) {
        dead[i] = (uint8_t)next();
    }
    f.dead = next() % 2 ? dead : NULL;
    return f;
}

static int weight_update_case(int32_t number) {
    prepare(-127);
    const mt_step_state step = random_step();
    mt_conv2d_weight_update_params p = {
        .shape = random_shape(number % 3), .factor = random_factor(), .site = next()};
    p.trained_channels = random_order(&p.shape, &p.channel_order);
    p.x_zero = between(-128, 127);
    const int32_t g_exponent = between(-20, 5);
    const size_t bytes = mt_conv2d_weight_update_scratch_bytes(&p);
    const mt_conv2d_weight_update_io io = {
        second,           &g_exponent, tuned.x + between(0, 3),
        tuned.weight + 3, &step,       scratch_of(&tuned, bytes)};
    mt_conv2d_weight_update_io ref = io;
    ref.scratch = scratch_of(&plain, bytes);
    ref.x = plain.x + (io.x - tuned.x);
    ref.weight = plain.weight + 3;
    mt_conv2d_weight_update(&p, &io);
    ref_mt_conv2d_weight_update(&p, &ref);
    return differs("mt_conv2d_weight_update", number) && print_shape(&p.shape);
}

static int bias_update_case(int32_t number) {
    prepare(-127);
    const mt_step_state step = random_step();
    const int32_t g_exponent = between(-20, 5);
    mt_bias_update_params p = {.channels = between(1, CHANNELS), .factor = random_factor()};
    p.pixels = between(1, next() % 4 == 0 ? CODES / p.channels : 64);
    p.pixels = p.pixels * p.channels > CODES ? 1 : p.pixels;
    p.site = next();
    for (int32_t i = 0; i < CHANNELS; i++) {
        tuned.bias[i] = plain.bias[i] = between(-(1 << 30), 1 << 30);
    }
    const mt_bias_update_int32_io wide = {tuned.x, &g_exponent, tuned.bias, &step};
    const mt_bias_update_int32_io wide_ref = {plain.x, &g_exponent, plain.bias, &step};
    mt_bias_update_int32(&p, &wide);
    ref_mt_bias_update_int32(&p, &wide_ref);
    const mt_bias_update_int16_io io = {tuned.x, &g_exponent, tuned.delta, &step};
    const mt_bias_update_int16_io ref = {plain.x, &g_exponent, plain.delta, &step};
    mt_bias_update_int16(&p, &io);
    ref_mt_bias_update_int16(&p, &ref);
    return differs("mt_bias_update", number);
}

static int gradient_sum_case(int32_t number) {
    static const int32_t base = 0;
    prepare(-127);
    const mt_step_state step = random_step();
    mt_gradient_sum_params p = {.count = between(1, 300), .b_multiplier = between(0, 1 << 14)};
    p.round.site = next();
    const int32_t a_exponent = between(-20, 0), b_exponent = a_exponent + between(-12, 12);
    const uint8_t *mask = next() % 2 ? tuned.mask : NULL;
    tuned.offset = plain.offset = (int8_t)between(-30, 10);
    const int in_place = next() % 2;
    const mt_round_io round = {&tuned.exponent, &tuned.offset, &base, &step, mask};
    const mt_gradient_sum_io io = {
        tuned.x, &a_exponent, second, &b_exponent, in_place ? tuned.x : tuned.y, round};
    mt_gradient_sum_io ref = io;
    ref.a = plain.x;
    ref.y = in_place ? plain.x : plain.y;
    ref.round.exponent = &plain.exponent;
    ref.round.offset = &plain.offset;
    mt_gradient_sum(&p, &io);
    ref_mt_gradient_sum(&p, &ref);
    return differs("mt_gradient_sum", number);
}

static int mask_case(int32_t number) {
    prepare(-128);
    const mt_mask_params p = {between(1, 300)};
    const int in_place = next() % 2;
    const mt_mask_io io = {tuned.x, (const uint8_t *)second, in_place ? tuned.x : tuned.y};
    const mt_mask_io ref = {plain.x, (const uint8_t *)second, in_place ? plain.x : plain.y};
    mt_apply_mask(&p, &io);
    ref_mt_apply_mask(&p, &ref);
    const mt_clamp_params limits = {p.count, between(-128, 0), between(0, 127)};
    const int masked = next() % 2;
    const mt_clamp_io clamp = {tuned.x, in_place ? tuned.x : tuned.y, masked ? tuned.mask : NULL};
    const mt_clamp_io clamp_ref = {plain.x, in_place ? plain.x : plain.y,
                                   masked ? plain.mask : NULL};
    mt_clamp(&limits, &clamp);
    ref_mt_clamp(&limits, &clamp_ref);
    return differs("mt_apply_mask or mt_clamp", number);
}

static mt_pool_params random_pool(void) {
    mt_pool_params p = {.in_h = between(1, 8), .in_w = between(1, 8), .channels = between(1, 60)};
    p.k_h = between(1, p.in_h);
    p.k_w = between(1, p.in_w);
    p.stride_h = between(1, 4);
    p.stride_w = between(1, 4);
    p.out_h = (p.in_h - p.k_h) / p.stride_h + 1;
    p.out_w = (p.in_w - p.k_w) / p.stride_w + 1;
    return p;
}

static int pool_case(int32_t number) {
    static const int32_t base = 0, g_exponent = -9;
    prepare(-128);
    const mt_step_state step = random_step();
    const mt_pool_io pool = {tuned.x, tuned.y}, pool_ref = {plain.x, plain.y};
    mt_average_pool_grad_params p = {.pool = random_pool()};
    mt_average_pool(&p.pool, &pool);
    ref_mt_average_pool(&p.pool, &pool_ref);
    p.overlapping = p.pool.k_h > p.pool.stride_h || p.pool.k_w > p.pool.stride_w;
    p.round.site = next();
    p.round.acc_exponent_delta = between(-8, 0);
    tuned.offset = plain.offset = (int8_t)between(-20, 0);
    const uint8_t *mask = next() % 2 ? tuned.mask : NULL;
    const mt_average_pool_grad_io io = {
        second, &g_exponent, tuned.x, {&tuned.exponent, &tuned.offset, &base, &step, mask}};
    mt_average_pool_grad_io ref = io;
    ref.dx = plain.x;
    ref.round.exponent = &plain.exponent;
    ref.round.offset = &plain.offset;
    mt_average_pool_grad(&p, &io);
    ref_mt_average_pool_grad(&p, &ref);
    return differs("mt_average_pool", number);
}

static int channels_case(int32_t number) {
    uint16_t order[64];
    prepare(-128);
    mt_gather_params p = {between(1, 80), between(1, 64), 0, order};
    p.selected = between(1, p.channels);
    for (int32_t i = 0; i < p.selected; i++) {
        order[i] = (uint16_t)between(0, p.channels - 1);
    }
    const mt_gather_io io = {second, tuned.y}, ref = {second, plain.y};
    mt_gather_channels(&p, &io);
    ref_mt_gather_channels(&p, &ref);
    const mt_bias_delta_params delta = {between(1, CHANNELS), between(0, 12), multiplier};
    const mt_bias_delta_io bias = {tuned.delta, tuned.bias}, bias_ref = {plain.delta, plain.bias};
    mt_bias_from_delta(&delta, &bias);
    ref_mt_bias_from_delta(&delta, &bias_ref);
    return differs("mt_gather_channels or mt_bias_from_delta", number);
}

int update_cases(int32_t number) {
    return weight_update_case(number) || bias_update_case(number) || gradient_sum_case(number) ||
           mask_case(number) || pool_case(number) || channels_case(number);
}
