/* The scratch functions of the kernels on the chip against what Python plans: a table of calls. */
#include <stddef.h>
#include <stdint.h>

#include "mt_kernels_update.h"
#include "semihosting.h"

typedef struct {
    int32_t kind;
    mt_conv_shape shape;
    int32_t ordered, trained, in_place, bytes;
} scratch_case;

int main(void);

static const scratch_case cases[] = {
#include "scratch_table.h"
};

static const uint16_t order[1] = {0};

static size_t bytes_of(const scratch_case *c) {
    const uint16_t *channels = c->ordered ? order : NULL;
    const mt_conv2d_params forward = {
        .shape = c->shape, .channel_order = channels, .trained_channels = c->trained};
    const mt_conv2d_input_grad_params gradient = {
        .shape = c->shape, .channel_order = channels, .trained_channels = c->trained};
    const mt_conv2d_weight_update_params update = {
        .shape = c->shape, .channel_order = channels, .trained_channels = c->trained};
    switch (c->kind) {
    case 0:
        return mt_conv2d_scratch_bytes(&forward, c->in_place);
    case 1:
        return mt_conv2d_row_scratch_bytes(&forward);
    case 2:
        return mt_conv2d_input_grad_scratch_bytes(&gradient, c->in_place);
    default:
        return mt_conv2d_weight_update_scratch_bytes(&update);
    }
}

int main(void) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t bytes = bytes_of(&cases[i]);
        if (bytes != (size_t)cases[i].bytes) {
            semihosting_print("case ");
            semihosting_print_number((uint32_t)i);
            semihosting_print(": the kernel asks for ");
            semihosting_print_number((uint32_t)bytes);
            semihosting_print("\n");
            semihosting_exit(1);
        }
    }
    semihosting_print("the same\n");
    semihosting_exit(0);
    return 0;
}
