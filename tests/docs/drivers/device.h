/* What each driver needs around a page's snippets: a context, a frame, a camera. */
#include <stdio.h>
#include <string.h>

#include "microtune_image.h"
#include "microtune_model.h"

static uint64_t context_memory[(MT_CONTEXT_BYTES + 7) / 8], arena[(MT_ARENA_BYTES_0 + 7) / 8];
static int8_t frame[MT_INPUT_BYTES];

/* The user's camera: rows of one picture. */
typedef struct {
    uint8_t line[MT_INPUT_ROW_BYTES];
} camera;
static camera the_camera;
static uint32_t lines_asked;

static int camera_wait_line(const camera *c, uint32_t row) {
    lines_asked++;
    for (uint32_t i = 0; i < MT_INPUT_ROW_BYTES; i++) {
        the_camera.line[i] = (uint8_t)(frame[row * MT_INPUT_ROW_BYTES + i] + 128);
    }
    return c == &the_camera ? 0 : -1;
}

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

/* A fresh context with a rate; NULL if that fails. */
static mt_context *device(void) {
    const mt_memory context = {context_memory, sizeof context_memory};
    const mt_memory arenas[] = {{arena, sizeof arena}};
    mt_context *net = NULL;
    if (mt_init(context, arenas, 1, 0, &net) != MT_OK ||
        mt_set_learning_rate(net, 0.02f) != MT_OK) {
        return NULL;
    }
    for (uint32_t i = 0; i < MT_INPUT_BYTES; i++) {
        frame[i] = (int8_t)((int)(i * 7 % 251) - 125);
    }
    return net;
}

/* Steps counted so far. */
static uint32_t steps_of(const mt_context *net) {
    mt_stats stats;
    return mt_get_stats(net, &stats) == MT_OK ? stats.steps : UINT32_MAX;
}
