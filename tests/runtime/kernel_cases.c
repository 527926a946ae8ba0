/* Random cases of kernels on the chip. Prints the first case that
 * differs and ends with exit code 1. */
#include "kernel_cases.h"

#include "semihosting.h"

int main(void);
void ref_mt_conv2d_input_grad(const mt_conv2d_input_grad_params *p,
                              const mt_conv2d_input_grad_io *io);

state tuned, plain;
int8_t frozen[WEIGHTS], second[CODES];
int32_t multiplier[CHANNELS];
uint8_t shift[CHANNELS];
static uint16_t order[CHANNELS];
static uint32_t seed = 1;

uint32_t next(void) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

int32_t between(int32_t low, int32_t high) {
    return (int32_t)((uint32_t)low + next() % ((uint32_t)high - (uint32_t)low + 1));
}

/* Pieces of the pools: drawing codes anew for every case took most of its time. */
static void fill(void *codes, size_t n, int32_t low) {
    const int32_t kind = between(0, 3);
    const int8_t *pool = kind == 0   ? pool_extreme[low == -128]
                         : kind == 1 ? pool_small
                                     : pool_any[low == -128];
    for (size_t done = 0; done < n; done += POOL_PIECE) {
        const size_t left = n - done;
        const int8_t *from = pool + between(0, POOL_BYTES - POOL_PIECE);
        memcpy((int8_t *)codes + done, from, left < POOL_PIECE ? left : POOL_PIECE);
    }
}

void prepare(int32_t low) {
    fill(tuned.x, CODES, low);
    fill(tuned.y, CODES, low);
    fill(tuned.weight, WEIGHTS, -127);
    fill(frozen, WEIGHTS, -127);
    fill(second, CODES, low);
    fill(tuned.mask, sizeof tuned.mask, -128);
    for (int32_t i = 0; i < CHANNELS; i++) {
        tuned.bias[i] = between(-(1 << 20), 1 << 20) * (next() % 4 == 0 ? 1024 : 1);
        multiplier[i] = (int32_t)(next() >> between(1, 14));
        shift[i] = (uint8_t)(next() % 4 == 0 ? between(0, 31) : 0);
        multiplier[i] |= shift[i] > 0 ? 1 << 30 : 0;
    }
    for (int32_t i = 0; i < CHANNELS; i++) {
        tuned.delta[i] = (int16_t)between(-32767, 32767);
    }
    tuned.exponent = between(-20, -5);
    tuned.offset = (int8_t)between(-64, 63);
    memcpy(&plain, &tuned, sizeof tuned);
}

int keeps_shape(const mt_conv_shape *s) {
    return s->groups == s->in_c && s->in_c == s->out_c && s->stride_h == 1 && s->stride_w == 1 &&
           s->in_h == s->out_h && s->in_w == s->out_w;
}

mt_conv_shape random_shape(int32_t kind) {
    static const int32_t widths[] = {1,  2,  3,  4,  5,  7,  8,  9,  15, 16,
                                     17, 24, 27, 32, 33, 40, 48, 56, 120};
    const int32_t some = sizeof widths / sizeof widths[0];
    mt_conv_shape s;
    const int32_t pointwise = kind == 0 && next() % 2;
    s.groups = 1;
    s.in_c = widths[next() % (uint32_t)some];
    s.out_c = widths[next() % (uint32_t)some];
    s.k_h = pointwise ? 1 : between(1, 7);
    s.k_w = pointwise ? 1 : between(1, 7);
    if (kind == 1) {
        s.out_c = s.in_c;
        s.groups = (uint16_t)s.in_c;
    } else if (kind == 2) {
        s.groups = (uint16_t)between(1, 4);
        s.in_c = s.groups * between(1, 20);
        s.out_c = s.groups * between(1, 20);
    }
    if (kind != 1 && (s.in_c / s.groups * s.out_c * s.k_h * s.k_w > WEIGHTS - 64 ||
                      s.in_c / s.groups * s.k_h * s.k_w * 4 > (int32_t)sizeof tuned.scratch)) {
        s.k_h = s.k_w = 1;
    }
    s.kind = s.groups == 1 ? MT_DENSE : MT_GROUPED;
    if (s.groups == s.in_c && s.in_c == s.out_c) {
        s.kind = MT_DEPTHWISE;
    }
    s.stride_h = pointwise ? 1 : between(1, 3);
    s.stride_w = pointwise ? 1 : between(1, 3);
    s.pad_top = between(0, s.k_h - 1);
    s.pad_left = between(0, s.k_w - 1);
    s.in_h = between(s.k_h > s.pad_top ? s.k_h - s.pad_top : 1, 9);
    s.in_w = between(s.k_w > s.pad_left ? s.k_w - s.pad_left : 1, 9);
    s.out_h = (s.in_h + s.pad_top + between(0, s.k_h - 1) - s.k_h) / s.stride_h + 1;
    s.out_w = (s.in_w + s.pad_left + between(0, s.k_w - 1) - s.k_w) / s.stride_w + 1;
    return s;
}

int32_t random_order(const mt_conv_shape *s, const uint16_t **permutation) {
    *permutation = NULL;
    if (s->kind == MT_GROUPED || next() % 2) {
        return 0;
    }
    for (int32_t i = 0; i < s->in_c; i++) {
        const int32_t j = between(0, i);
        order[i] = order[j];
        order[j] = (uint16_t)i;
    }
    *permutation = order;
    return between(0, 3) == 0 ? (int32_t)(next() % 2) * s->in_c : between(0, s->in_c);
}

/* Where the scratch of this case is, in bytes of the array. */
static size_t scratch_begin, scratch_end;

void *scratch_of(state *s, size_t bytes) {
    const size_t words = (bytes + sizeof s->scratch[0] - 1) / sizeof s->scratch[0];
    if (words > SCRATCH - 2) {
        return NULL;
    }
    if (s == &tuned) {
        const int32_t most = (int32_t)(SCRATCH - words) - 1;
        scratch_begin = (size_t)between(1, most < 9 ? most : 9) * sizeof s->scratch[0];
        scratch_end = scratch_begin + bytes;
    }
    memset(s->scratch, CANARY, sizeof s->scratch);
    return (uint8_t *)s->scratch + scratch_begin;
}

static int left_scratch(const state *s) {
    const uint8_t *bytes = (const uint8_t *)s->scratch;
    for (size_t i = 0; i < sizeof s->scratch; i++) {
        if (i == scratch_begin) {
            i = scratch_end;
        }
        if (i < sizeof s->scratch && bytes[i] != CANARY) {
            return 1;
        }
    }
    return 0;
}

/* By words: a state's arrays begin at multiples of 4 and are as long. */
static int same(const void *a, const void *b, size_t bytes) {
    const uint32_t *left = a, *right = b;
    for (size_t i = 0; i < bytes / sizeof *left; i++) {
        if (left[i] != right[i]) {
            return 0;
        }
    }
    return 1;
}

int differs(const char *kernel, int32_t number) {
    const int left = left_scratch(&tuned) || left_scratch(&plain);
    if (!left && same(tuned.x, plain.x, sizeof tuned.x) && same(tuned.y, plain.y, sizeof tuned.y) &&
        same(tuned.weight, plain.weight, sizeof tuned.weight) &&
        same(tuned.mask, plain.mask, sizeof tuned.mask) &&
        same(tuned.bias, plain.bias, sizeof tuned.bias) &&
        same(tuned.delta, plain.delta, sizeof tuned.delta) &&
        same(tuned.guard, plain.guard, sizeof tuned.guard) && tuned.exponent == plain.exponent &&
        tuned.offset == plain.offset) {
        return 0;
    }
    semihosting_print(kernel);
    semihosting_print(left ? " leaves its scratch in case " : " differs in case ");
    semihosting_print_number((uint32_t)number);
    semihosting_print("\n");
    return 1;
}

int print_shape(const mt_conv_shape *s) {
    const int32_t *v = (const int32_t *)s;
    for (size_t i = 0; i < sizeof *s / sizeof *v; i++) {
        semihosting_print_number((uint32_t)v[i]);
        semihosting_print(" ");
    }
    semihosting_print("\n");
    return 1;
}

static int input_grad_case(int32_t number) {
    static const mt_step_state step = {7, 3, 1 << 23, -30, 0};
    static const int32_t base = 0, g_exponent = -12;
    prepare(-127);
    mt_conv2d_input_grad_params p = {.multiplier = multiplier};
    const mt_conv_shape *s = &p.shape;
    int same, in_place;
    size_t bytes;
    do {
        p.shape = random_shape(number % 3);
        p.trained_channels = random_order(s, &p.channel_order);
        same = keeps_shape(s);
        in_place = same && next() % 2;
        bytes = mt_conv2d_input_grad_scratch_bytes(&p, in_place);
    } while (scratch_of(&tuned, bytes) == NULL);
    p.depthwise_shift = between(0, 8);
    p.round.site = next();
    p.round.acc_exponent_delta = between(-20, 0);
    for (int32_t i = 0; i < CHANNELS; i++) {
        multiplier[i] = (int32_t)(next() >> between(8, 14));
    }
    tuned.offset = plain.offset = (int8_t)between(-30, 10);
    const uint8_t *mask = next() % 2 ? tuned.mask : NULL;
    mt_conv2d_input_grad_io io = {tuned.x,
                                  &g_exponent,
                                  frozen + 5,
                                  tuned.weight + 3,
                                  in_place ? tuned.x : tuned.y,
                                  scratch_of(&tuned, bytes),
                                  {&tuned.exponent, &tuned.offset, &base, &step, mask}};
    io.trained_weight = p.channel_order != NULL ? io.trained_weight : NULL;
    mt_conv2d_input_grad_io ref = io;
    ref.g = plain.x;
    ref.dx = in_place ? plain.x : plain.y;
    ref.scratch = scratch_of(&plain, bytes);
    ref.round.exponent = &plain.exponent;
    ref.round.offset = &plain.offset;
    mt_conv2d_input_grad(&p, &io);
    ref_mt_conv2d_input_grad(&p, &ref);
    return differs("mt_conv2d_input_grad", number) && print_shape(s);
}

int main(void) {
    for (int32_t i = 0; i < CASES; i++) {
        if (forward_cases(i) || input_grad_case(i) || update_cases(i)) {
            semihosting_exit(1);
        }
    }
    semihosting_print("the same\n");
    semihosting_exit(0);
    return 0;
}
