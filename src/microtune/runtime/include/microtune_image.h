/* microtune for images: an input that is read row by row, and augmentation.
 *
 * The input of a network for images is a frame, int8
 * [MT_INPUT_HEIGHT][MT_INPUT_WIDTH][MT_INPUT_CHANNELS], row by row from the top, pixel - 128. The
 * project's README has crop, scaling and what a mistake costs. mt_input says where the frame goes,
 * unless the model was compiled with --input rows: then
 *
 *     mt_init -> [mt_load] -> mt_set_learning_rate -> mt_set_row_source
 *             -> { mt_infer or mt_train_step } -> [mt_save] */
#ifndef MICROTUNE_IMAGE_H
#define MICROTUNE_IMAGE_H

#include "microtune.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes row `row` of the frame, int8 [width][channels] (mt_row_bytes() bytes), to `to`; returns 0,
 * or anything else to give up. Within a call of mt_infer or mt_train_step rows are asked for once
 * each and in order from 0; those that the network does not read at the bottom are not asked for.
 */
typedef int (*mt_read_row)(void *user, uint32_t row, int8_t *to);

/* For a model compiled with --input rows: who gives the rows of the next frames. Without a source,
 * or if it gives up, a call that runs layers returns MT_ERROR_INPUT and nothing was learnt.
 * MT_ERROR_ARGUMENT: NULL (`user` may be), or the model keeps a resident frame. */
MT_NODISCARD mt_status mt_set_row_source(mt_context *context, mt_read_row read, void *user);

/* A row source for a frame in memory: `user` points to its first byte. */
int mt_read_frame_row(void *user, uint32_t row, int8_t *to);

/* Bytes of one row of the frame. A constant of the compiled model. */
size_t mt_row_bytes(void);

/* Augmentation: the frame of a step changed at random, so that one frame teaches more. Costs no
 * memory; the change is drawn from seed and step and is the same on every device.
 *
 * How far a change may go. */
typedef struct {
    uint8_t flip;       /* 1: every second frame, on average, is mirrored left to right; or 0 */
    uint8_t shift_rows; /* 0 .. 127: up or down by at most so many rows; border rows are repeated */
    uint8_t brightness; /* 0 .. 127: every code plus or minus at most so many, saturating */
} mt_augmentation;

/* One change: row r of the frame becomes what row r + shift_rows was, and so on. */
typedef struct {
    int8_t flip, shift_rows, brightness;
} mt_change;

/* The change for the next training step. MT_ERROR_ARGUMENT: NULL or out of range. */
MT_NODISCARD mt_status mt_draw_change(const mt_context *context, const mt_augmentation *most,
                                      mt_change *change);

/* Changes the frame in mt_input, in place. MT_ERROR_ARGUMENT: NULL, or input by rows. */
MT_NODISCARD mt_status mt_change_frame(mt_context *context, const mt_change *change);

/* A row source that changes what another one reads: mt_set_row_source(context,
 * mt_read_changed_row, &source). With a shift the other one is asked for the border row several
 * times, or not for the first rows. */
typedef struct {
    mt_read_row read;
    void *user;
    mt_change change;
} mt_changed_source;
int mt_read_changed_row(void *user, uint32_t row, int8_t *to);

#ifdef __cplusplus
}
#endif
#endif
