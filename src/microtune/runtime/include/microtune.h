/* microtune: a network that keeps learning on the microcontroller it runs on.
 *
 * The caller owns all memory; nothing is allocated and no state is hidden, so any number of
 * contexts may exist and every function is re-entrant for different contexts. One context must not
 * be used from two threads at once. Order of use:
 *
 *     mt_init -> [mt_load] -> mt_set_learning_rate
 *             -> { fill mt_input -> mt_infer or mt_train_step } -> [mt_save]
 *
 * What only networks for images need (an input that is read in pieces, augmentation) is in
 * microtune_image.h. The sizes of the compiled model are constants in microtune_model.h.
 *
 * With the same model, seed, inputs, targets and learning rates every device gives the same bits.
 */
#ifndef MICROTUNE_H
#define MICROTUNE_H

#include <stddef.h>
#include <stdint.h>

#include "mt_names.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define MT_NODISCARD __attribute__((warn_unused_result))
#else
#define MT_NODISCARD
#endif

/* Alignment in bytes that context memory and arenas must have. */
#define MT_ALIGNMENT 8

/* The largest learning rate that mt_set_learning_rate accepts. */
#define MT_LEARNING_RATE_MAX 1024.0f

typedef enum {
    MT_OK = 0,
    MT_ERROR_ARGUMENT = 1, /* a pointer is NULL or not aligned, or a number is out of range */
    MT_ERROR_SIZE = 2,     /* a buffer is too small, or saved data are cut short */
    MT_ERROR_FORMAT = 3,   /* the saved data are not microtune's, or of another format version */
    MT_ERROR_MISMATCH = 4, /* the saved data belong to another model, scheme or arithmetic */
    MT_ERROR_CHECKSUM = 5, /* the saved data are damaged */
    MT_ERROR_FROZEN = 6,   /* the model was compiled for inference only */
    MT_ERROR_INPUT = 7,    /* there is no input, or not all of it; nothing was learnt */
    MT_ERROR_RATE = 8      /* training without a learning rate: call mt_set_learning_rate first */
} mt_status;

/* Opaque; lives in the memory given to mt_init. */
typedef struct mt_context mt_context;

/* A piece of memory that the caller owns. */
typedef struct {
    void *base;
    size_t bytes;
} mt_memory;

/* What the network should have said to an input. A model was compiled for one task, and only the
 * field of that task is read. */
typedef struct {
    uint32_t class_index; /* classify: 0 .. MT_CLASSES - 1 */
    const int8_t *codes;  /* regress: MT_TARGET_CODES codes, one for each output and worth 1/128
                             each; for an auto-encoder a copy of the input */
} mt_target;

/* What a call says about the input; the outputs themselves are in mt_output. */
typedef struct {
    uint32_t predicted_class; /* classify: 0 .. MT_CLASSES - 1, the first of equal logits;
                                 regress: MT_NO_CLASS */
    int32_t loss_q16;         /* >= 0, times 65536: cross-entropy in nats or mean squared error (of
                                 an auto-encoder: the anomaly score of the input, before the
                                 step); MT_NO_LOSS after inference */
} mt_result;

#define MT_NO_CLASS UINT32_MAX
/* The loss of a call that trained nothing. */
#define MT_NO_LOSS (-1)

typedef struct {
    uint32_t seed;         /* as given to mt_init or restored by mt_load */
    uint32_t steps;        /* training steps so far, modulo 2^32 */
    int32_t last_loss_q16; /* of the last training step; MT_NO_LOSS before the first */
    float learning_rate;   /* 0 as long as it was never set */
    int8_t offset_min;     /* range of the gradient exponents' offsets; -64 or 63 means that */
    int8_t offset_max;     /* gradients vanish or explode */
} mt_stats;

/* Bytes of context memory: state and trained parameters. A constant of the compiled model. */
size_t mt_context_bytes(void);

/* Number of arenas: one for each memory of the chip that the plan uses, 1 or more. */
uint32_t mt_arena_count(void);

/* Bytes of working memory in arena `bank`, 0 .. mt_arena_count() - 1, fastest memory first; else 0.
 * Its content need not survive between calls, except the input (from where it is filled to the next
 * call of mt_infer or any other that runs layers) and the output (see mt_output). Constants of the
 * compiled model. */
size_t mt_arena_bytes(uint32_t bank);

/* Bytes that mt_save writes. A constant of the compiled model. */
size_t mt_save_bytes(void);

/* Puts the context into `memory` and sets the initial parameters; step 0, no learning rate.
 * `arenas` lists the working memories in the order of mt_arena_bytes (the list itself is not kept).
 * All must be aligned to MT_ALIGNMENT and stay valid as long as the context is used. `seed` (any
 * value) selects the random bits of stochastic rounding. MT_ERROR_ARGUMENT: NULL or misaligned.
 * MT_ERROR_SIZE: a memory too small, or too few arenas. */
MT_NODISCARD mt_status mt_init(mt_memory memory, const mt_memory *arenas, uint32_t arena_count,
                               uint32_t seed, mt_context **context);

/* Where the next input goes: MT_INPUT_BYTES codes of int8, in the order and with the meaning that
 * microtune_model.h and the project's README state. NULL for an invalid context and for a model
 * that reads its input in pieces (--input rows).
 * Fill it again before every mt_infer, mt_train_step, mt_replay_train and mt_make_latent: every
 * call that runs layers reuses the memory, also one from a latent. */
int8_t *mt_input(mt_context *context);

/* The outputs of the last mt_infer, mt_train_step, or other call with a result: MT_OUTPUTS values
 * (a classifier: the logits, one for each class; with --loss binary that of class 1 alone), int32
 * with 16 fraction bits, or float where MT_OUTPUT_IS_FLOAT is 1 (a float32 head). Valid until the
 * next call that runs layers begins: the next input may be written to mt_input, changed there and
 * saved states loaded meanwhile. Undefined before the first such call and after mt_make_latent or a
 * call that failed. NULL for an invalid context. */
const void *mt_output(const mt_context *context);

/* Runs the network on the input. MT_ERROR_ARGUMENT: NULL or not a context. MT_ERROR_INPUT. */
MT_NODISCARD mt_status mt_infer(mt_context *context, mt_result *result);

/* Runs the network on the input, then trains it towards `target` and counts the step. The result
 * is that of the parameters before the step.
 * MT_ERROR_ARGUMENT: NULL, or the target is none of this model. MT_ERROR_FROZEN: nothing can be
 * trained. MT_ERROR_RATE: no learning rate. MT_ERROR_INPUT: no input, or not all of it. After an
 * error nothing was learnt and no step counted. */
MT_NODISCARD mt_status mt_train_step(mt_context *context, const mt_target *target,
                                     mt_result *result);

/* For classifiers, in one line each: the logits, the target of a class, a training step on the
 * input, the predicted class of the input (*predicted changes only with MT_OK). */
static inline const void *mt_logits(const mt_context *context) { return mt_output(context); }

static inline mt_target mt_class_target(uint32_t class_index) {
    mt_target target;
    target.class_index = class_index;
    target.codes = NULL;
    return target;
}

MT_NODISCARD static inline mt_status mt_train_class(mt_context *context, uint32_t class_index,
                                                    mt_result *result) {
    const mt_target target = mt_class_target(class_index);
    return mt_train_step(context, &target, result);
}

MT_NODISCARD static inline mt_status mt_classify(mt_context *context, uint32_t *predicted) {
    mt_result result;
    const mt_status status = predicted == NULL ? MT_ERROR_ARGUMENT : mt_infer(context, &result);
    if (status == MT_OK) {
        *predicted = result.predicted_class;
    }
    return status;
}

/* Latents: what the frozen layers in front of the first trained one make of an input is constant.
 * Stored (in flash, in external memory), it stands for the input: a step from it costs only the
 * rest of the network and changes the same bits.
 *
 * Bytes of a latent; 0 if nothing is frozen in front. A constant of the compiled model. */
size_t mt_latent_bytes(void);

/* Runs the frozen layers on the input; `latent` receives mt_latent_bytes() bytes, any alignment.
 * MT_ERROR_ARGUMENT: NULL, or the model has no latent. MT_ERROR_INPUT. */
MT_NODISCARD mt_status mt_make_latent(mt_context *context, int8_t *latent);

/* mt_infer and mt_train_step from a latent of this model instead of the input.
 * Errors: as theirs; MT_ERROR_ARGUMENT also if the model has no latent. */
MT_NODISCARD mt_status mt_infer_latent(mt_context *context, const int8_t *latent,
                                       mt_result *result);
MT_NODISCARD mt_status mt_train_latent(mt_context *context, const int8_t *latent,
                                       const mt_target *target, mt_result *result);

/* Replay: a memory of samples that the device has seen, as latents with their targets, to
 * rehearse between new ones so that what was learnt before is not forgotten. Of all samples given
 * to mt_replay_train each is equally likely to be kept. The memory is the caller's (`compile
 * --replay` plans it); it holds no pointers and may be copied to flash and back as it is. */
typedef struct mt_replay mt_replay;

/* Bytes of a memory of so many samples. */
size_t mt_replay_bytes(uint32_t slots);

/* An empty memory of as many samples as `memory` (aligned to MT_ALIGNMENT) holds.
 * MT_ERROR_ARGUMENT: NULL, misaligned, or the model has no latent or is no classifier.
 * MT_ERROR_SIZE: too small for one sample. MT_ERROR_FROZEN. */
MT_NODISCARD mt_status mt_replay_init(mt_memory memory, mt_replay **replay);

/* Samples that are stored. 0 for what is no replay memory of this model. */
uint32_t mt_replay_count(const mt_replay *replay);

/* mt_train_step with the same bits; the sample may be kept, in the place of another. Errors as
 * there, and nothing is kept then. */
MT_NODISCARD mt_status mt_replay_train(mt_context *context, mt_replay *replay,
                                       const mt_target *target, mt_result *result);

/* For a latent made before: what mt_replay_train keeps of its sample; call it before the step on
 * the latent. MT_ERROR_ARGUMENT: NULL, or the target is none of this model. */
MT_NODISCARD mt_status mt_replay_keep(mt_context *context, mt_replay *replay, const int8_t *latent,
                                      const mt_target *target);

/* A training step on one of the stored samples, drawn at random; not on that which was kept last if
 * there are others. `result` is that of the stored sample. MT_ERROR_INPUT: nothing is stored.
 * MT_ERROR_RATE. */
MT_NODISCARD mt_status mt_replay_rehearse(mt_context *context, mt_replay *replay,
                                          mt_result *result);

/* The rate of the next training steps; it stays until it is set again. Training needs one.
 * 0 <= learning_rate <= MT_LEARNING_RATE_MAX, else MT_ERROR_ARGUMENT and nothing changes.
 * 0 trains nothing, but steps are counted. */
MT_NODISCARD mt_status mt_set_learning_rate(mt_context *context, float learning_rate);

/* Writes everything learnt and the state of training into `buffer` (mt_save_bytes() or more; no
 * alignment needed). `written` receives the bytes. MT_ERROR_SIZE: buffer too small, *written is 0.
 */
MT_NODISCARD mt_status mt_save(const mt_context *context, void *buffer, size_t bytes,
                               size_t *written);

/* Restores what mt_save wrote, the learning rate too: training goes on with the same bits. If none
 * had been set when it was saved, the context keeps its own. Everything is checked before anything
 * changes. Errors: ARGUMENT, SIZE, FORMAT, MISMATCH, CHECKSUM. */
MT_NODISCARD mt_status mt_load(mt_context *context, const void *buffer, size_t bytes);

MT_NODISCARD mt_status mt_get_stats(const mt_context *context, mt_stats *stats);

/* The trained parameters, one contiguous block (for hashing and averaging); `bytes` receives its
 * size. NULL for an invalid context. */
const uint8_t *mt_parameters(const mt_context *context, size_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
