/* Test harness: runs the records of `job.bin` on the chip and writes `result.bin`.
 *
 * All numbers are little-endian. A job is a header of eight 32-bit words
 *     magic "MTJB", version, seed, records, flags (bit 0: measure), input bytes, outputs, codes
 *     of a target (0: a class)
 * and then the records, each
 *     u8 kind (0 train, 1 infer, 2 save, 3 train and 4 infer from the latent of the frame,
 *              5 train and keep, 6 rehearse: the replay memory, 7 load),
 *     u8[3] mt_augmentation (for 0 and 5), u32 label (for 7: bytes to load), f32 learning rate,
 *     i8 frame[input bytes] (not for 2 and 6; for 7 the bytes that mt_save wrote),
 *     i8 codes of the target (for 0 and 3, of a model that is no classifier). The result has
 * one entry for each record: for all but save u32 status, u32 predicted class, i32 loss in Q16 (0
 * for infer), 4-byte output[outputs] and for save and load u32 status, u32 bytes (0 for load), u8
 * blob[bytes]; with the measure flag each is followed by u32 stack bytes of the call (0 for save).
 * Exit codes: 0 done, 1 job unreadable, 2 job for another model, 3 result unwritable, 10 + status
 * if mt_init failed, 98 accumulator overflow (debug build), 99 fault. */
#include <stddef.h>
#include <stdint.h>

#include "harness_calls.h"
#include "harness_debug.h"
#include "memory.h"
#include "microtune.h"
#include "port.h"
#include "semihosting.h"

enum {
    EXIT_DONE = 0,
    EXIT_JOB = 1,
    EXIT_MODEL = 2,
    EXIT_RESULT = 3,
    EXIT_INIT = 10,
    EXIT_OVERFLOW = 98
};
enum { MAGIC, VERSION, SEED, RECORDS, FLAGS, INPUT_BYTES, OUTPUTS, TARGET_CODES, HEADER_WORDS };
#define JOB_MAGIC 0x424A544Du
#define JOB_VERSION 1u
#define FLAG_MEASURE 1u
#if !defined(MT_TARGET_CODES)
#define MT_TARGET_CODES 0 /* a class */
#endif

extern uint32_t _stack_limit[];
extern const uint32_t _harness_data_image[];
extern uint32_t _harness_data_start[], _harness_data_end[];
extern uint32_t _harness_bss_start[], _harness_bss_end[];

int main(void);

static uint8_t save_buffer[MT_SAVE_BYTES];

#define LIST_ARENA(bank, bytes) {mt_arena_##bank, bytes},
static const mt_memory arenas[MT_ARENA_COUNT] = {MT_ARENAS(LIST_ARENA)};

uint32_t mt_port_stack_used(const uint32_t *base) {
    const uint32_t *word = _stack_limit;
    while (word < base && *word == MT_PORT_PAINT) {
        word++;
    }
    return (uint32_t)((const char *)base - (const char *)word);
}

static void initialise_harness(void) {
    const uint32_t *source = _harness_data_image;
    for (uint32_t *word = _harness_data_start; word < _harness_data_end; word++) {
        *word = *source++;
        __asm__ volatile("" ::: "memory");
    }
    for (uint32_t *word = _harness_bss_start; word < _harness_bss_end; word++) {
        *word = 0;
        __asm__ volatile("" ::: "memory");
    }
}

static void write_or_exit(int32_t file, const void *data, size_t bytes) {
    if (semihosting_write(file, data, bytes) != 0) {
        semihosting_print("harness: result.bin cannot be written\n");
        semihosting_exit(EXIT_RESULT);
    }
}

static void read_or_exit(int32_t file, void *data, size_t bytes) {
    if (semihosting_read(file, data, bytes) != 0) {
        semihosting_print("harness: job.bin is truncated\n");
        semihosting_exit(EXIT_JOB);
    }
}

static int32_t open_job(uint32_t header[HEADER_WORDS]) {
    const int32_t job = semihosting_open_read("job.bin");
    if (job < 0) {
        semihosting_print("harness: job.bin cannot be opened\n");
        semihosting_exit(EXIT_JOB);
    }
    read_or_exit(job, header, HEADER_WORDS * sizeof header[0]);
    if (header[MAGIC] != JOB_MAGIC || header[VERSION] != JOB_VERSION) {
        semihosting_print("harness: job.bin has another format\n");
        semihosting_exit(EXIT_JOB);
    }
    if (header[INPUT_BYTES] != MT_INPUT_BYTES || header[OUTPUTS] != MT_OUTPUTS ||
        header[TARGET_CODES] != MT_TARGET_CODES) {
        semihosting_print("harness: job.bin was made for another model\n");
        semihosting_exit(EXIT_MODEL);
    }
    return job;
}

static void run_sample(mt_context *context, const harness_record *record, uint32_t measure,
                       int32_t output) {
    mt_result result = {0, 0};
    mt_port_call call;
    uint32_t status = harness_prepare(context, record, &result, &call);
    uint32_t stack_bytes = 0;
    if (status == MT_OK) {
        const uint32_t *base = measure ? mt_port_stack_paint() : _stack_limit;
        status = mt_port_call_marked(&call);
        stack_bytes = measure ? mt_port_stack_used(base - MT_PORT_CALL_FRAME_WORDS) : 0;
        harness_report_debug(EXIT_OVERFLOW);
    }
    const uint32_t head[3] = {status, result.predicted_class,
                              harness_is_training(record) ? (uint32_t)result.loss_q16 : 0u};
    write_or_exit(output, head, sizeof head);
    write_or_exit(output, mt_output(context), 4u * MT_OUTPUTS);
    if (measure) {
        write_or_exit(output, &stack_bytes, sizeof stack_bytes);
    }
}

static void run_save(const mt_context *context, uint32_t measure, int32_t output) {
    size_t bytes = 0;
    const uint32_t status = (uint32_t)mt_save(context, save_buffer, sizeof save_buffer, &bytes);
    const uint32_t head[2] = {status, status == MT_OK ? (uint32_t)bytes : 0u};
    const uint32_t stack_bytes = 0;
    write_or_exit(output, head, sizeof head);
    write_or_exit(output, save_buffer, head[1]);
    if (measure) {
        write_or_exit(output, &stack_bytes, sizeof stack_bytes);
    }
}

/* Linked only where jobs ask for it, so that the flash of a firmware is what it needs. */
static void run_load(mt_context *context, uint32_t bytes, int32_t job, uint32_t measure,
                     int32_t output) {
    uint32_t head[3] = {MT_ERROR_SIZE, 0, 0};
    if (bytes <= sizeof save_buffer) {
        read_or_exit(job, save_buffer, bytes);
#if defined(MT_HARNESS_LOAD)
        head[0] = (uint32_t)mt_load(context, save_buffer, bytes);
#else
        (void)context;
        head[0] = MT_ERROR_ARGUMENT;
#endif
    }
    write_or_exit(output, head, (measure ? 3 : 2) * sizeof head[0]);
}

static void print_progress(uint32_t done, uint32_t total) {
    semihosting_print("step ");
    semihosting_print_number(done);
    semihosting_print("/");
    semihosting_print_number(total);
    semihosting_print("\n");
}

static int8_t *frame_of(mt_context *context) {
    int8_t *frame = harness_frame(context);
    if (frame == NULL) {
        semihosting_print("harness: mt_set_row_source failed\n");
        semihosting_exit(EXIT_INIT);
    }
    return frame;
}

int main(void) {
    uint32_t header[HEADER_WORDS];
    mt_context *context = NULL;
    initialise_harness();
    const int32_t job = open_job(header);
    const int32_t output = semihosting_open_write("result.bin");
    const mt_memory memory = {mt_context_memory, sizeof mt_context_memory};
    const mt_status status = mt_init(memory, arenas, MT_ARENA_COUNT, header[SEED], &context);
    if (status != MT_OK) {
        semihosting_print("harness: mt_init failed\n");
        semihosting_exit(EXIT_INIT + (uint32_t)status);
    }
    if (harness_make_replay() != MT_OK) {
        semihosting_print("harness: mt_replay_init failed\n");
        semihosting_exit(EXIT_INIT);
    }
    for (uint32_t i = 0; i < header[RECORDS]; i++) {
        harness_record record;
        read_or_exit(job, &record, sizeof record);
        if (record.kind == HARNESS_SAVE) {
            run_save(context, header[FLAGS] & FLAG_MEASURE, output);
        } else if (record.kind == HARNESS_LOAD) {
            run_load(context, record.label, job, header[FLAGS] & FLAG_MEASURE, output);
        } else {
            if (record.kind != HARNESS_REHEARSE) {
                read_or_exit(job, frame_of(context), MT_INPUT_BYTES);
            }
            if (MT_TARGET_CODES != 0 && harness_is_training(&record)) {
                read_or_exit(job, harness_target_codes(), MT_TARGET_CODES);
            }
            run_sample(context, &record, header[FLAGS] & FLAG_MEASURE, output);
        }
        print_progress(i + 1, header[RECORDS]);
    }
    semihosting_close(output);
    semihosting_close(job);
    semihosting_exit(EXIT_DONE);
}
