/* QEMU TCG plugin: logs the running total of executed instructions at each mark.
 *
 * A mark is an instruction in a function whose name starts with `mt_mark_`; the line
 *     NAME COUNT
 * gives the instructions executed before it. At the end `total COUNT` follows.
 *
 * With map=FILE,profile=FILE it also counts every instruction of the product by its address, apart
 * for each part of a marked call. Lines of the map, numbers in hexadecimal:
 *     code BASE BYTES    the code that is counted
 *     call ADDRESS 0     executing it begins the next part,
 *     back ADDRESS 0     and this ends it: between parts runs part 0
 *     reader BASE BYTES  a function in which
 *     row ADDRESS STAGE  reading this byte begins the work of a stage (from 1) of the part
 * At mt_mark_end the profile gets `call` and lines PART STAGE ADDRESS COUNT.
 *
 * Arguments: out=FILE[,map=FILE,profile=FILE]. Build with -DPLUGIN_API=1 for QEMU 4.2 to 8,
 * -DPLUGIN_API=4 for 9 and 10. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_api.h"

/* A stage is a byte of the order of rows, plus 1. */
enum { MAX_PARTS = 1 << 12, STAGES = 257 };

EXPORT int qemu_plugin_version = PLUGIN_API;

/* A range of addresses. */
typedef struct {
    uint64_t base, bytes;
} range;

/* What the map says of one address of the code's memory. */
typedef struct {
    uint8_t is_call, is_back;
    uint16_t stage;
} place;

static FILE *output, *profile;
static range code, reader;
static place *places;
static uint32_t *counter_of; /* of the instruction at base + 2 * i; 0: not seen yet */
static uint64_t address_of[1 + MAX_INSTRUCTIONS];
static size_t instructions;
static uint64_t *parts[MAX_PARTS][STAGES]; /* counts of a part of the call, by counter */
static size_t part, stage, begun;

static bool within(range r, uint64_t address) {
    return address >= r.base && address - r.base < r.bytes;
}

/* What was counted since the last change belongs to the part and stage that end here. */
static void change_to(size_t next_part, size_t next_stage) {
    uint64_t *counts = all_counters();
    uint64_t **sums = &parts[part][stage];
    if (*sums == NULL) {
        *sums = calloc(1 + MAX_INSTRUCTIONS, sizeof(uint64_t));
    }
    for (size_t i = 1; i <= instructions && *sums != NULL; i++) {
        (*sums)[i] += counts[i];
        counts[i] = 0;
    }
    part = next_part;
    stage = next_stage;
}

static void forget_parts(void) {
    for (size_t i = 0; i <= begun; i++) {
        for (size_t j = 0; j < STAGES; j++) {
            free(parts[i][j]);
            parts[i][j] = NULL;
        }
    }
    part = stage = begun = 0;
}

static void write_parts(void) {
    fprintf(profile, "call\n");
    for (size_t i = 0; i <= begun; i++) {
        for (size_t j = 0; j < STAGES; j++) {
            for (size_t k = 1; parts[i][j] != NULL && k <= instructions; k++) {
                if (parts[i][j][k] != 0) {
                    fprintf(profile, "%zu %zu %llx %llu\n", i, j, (unsigned long long)address_of[k],
                            (unsigned long long)parts[i][j][k]);
                }
            }
        }
    }
}

static void on_call(unsigned vcpu, void *data) {
    (void)vcpu;
    (void)data;
    if (begun + 1 < MAX_PARTS) {
        begun++;
    }
    change_to(begun, 0);
}

static void on_back(unsigned vcpu, void *data) {
    (void)vcpu;
    (void)data;
    change_to(0, 0);
}

static void on_read(unsigned vcpu, uint32_t info, uint64_t address, void *data) {
    (void)vcpu;
    (void)info;
    (void)data;
    if (part != 0 && within(code, address) && places[address - code.base].stage != 0) {
        change_to(part, places[address - code.base].stage);
    }
}

static void log_count(const char *name) {
    fprintf(output, "%s %llu\n", name, (unsigned long long)all_counters()[0]);
}

static void on_mark(unsigned vcpu, void *name) {
    (void)vcpu;
    log_count(name);
    if (profile == NULL) {
        return;
    }
    change_to(0, 0);
    if (strcmp(name, "mt_mark_end") == 0) {
        write_parts();
    }
    forget_parts();
}

/* The counter of the instruction at `address`, or the total's if there are too many. */
static void profile_instruction(struct qemu_plugin_insn *insn) {
    const uint64_t address = qemu_plugin_insn_vaddr(insn);
    if (!within(code, address)) {
        return;
    }
    const place *at = &places[address - code.base];
    if (at->is_call) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_call, CALLBACK_NO_REGISTERS, NULL);
    }
    if (at->is_back) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_back, CALLBACK_NO_REGISTERS, NULL);
    }
    if (within(reader, address)) {
        qemu_plugin_register_vcpu_mem_cb(insn, on_read, CALLBACK_NO_REGISTERS, MEMORY_READ_OR_WRITE,
                                         NULL);
    }
    uint32_t *counter = &counter_of[(address - code.base) / 2];
    if (*counter == 0 && instructions < MAX_INSTRUCTIONS) {
        *counter = (uint32_t)++instructions;
        address_of[*counter] = address;
    }
    if (*counter != 0) {
        count_in(insn, *counter);
    }
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *tb) {
    (void)id;
    const size_t count = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const char *symbol = qemu_plugin_insn_symbol(insn);
        if (symbol != NULL && strncmp(symbol, "mt_mark_", 8) == 0) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, CALLBACK_NO_REGISTERS,
                                                   (void *)(uintptr_t)symbol);
        }
        count_in(insn, 0);
        if (profile != NULL) {
            profile_instruction(insn);
        }
    }
}

static void on_exit_of_emulator(plugin_id id, void *data) {
    (void)id;
    (void)data;
    log_count("total");
    fclose(output);
    if (profile != NULL) {
        fclose(profile);
    }
}

static bool read_map(FILE *map) {
    char kind[8];
    unsigned long long first, second;
    while (fscanf(map, "%7s %llx %llx", kind, &first, &second) == 3) {
        if (strcmp(kind, "code") == 0) {
            code = (range){first, second};
            places = calloc(second, sizeof *places);
            counter_of = calloc(second / 2 + 1, sizeof *counter_of);
        } else if (strcmp(kind, "reader") == 0) {
            reader = (range){first, second};
        } else if (places != NULL && within(code, first)) {
            place *at = &places[first - code.base];
            at->is_call |= strcmp(kind, "call") == 0;
            at->is_back |= strcmp(kind, "back") == 0;
            at->stage = strcmp(kind, "row") == 0 ? (uint16_t)second : at->stage;
        }
    }
    return places != NULL && counter_of != NULL;
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv);

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv) {
    (void)info;
    FILE *map = NULL;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            output = fopen(argv[i] + 4, "w");
        } else if (strncmp(argv[i], "map=", 4) == 0) {
            map = fopen(argv[i] + 4, "r");
        } else if (strncmp(argv[i], "profile=", 8) == 0) {
            profile = fopen(argv[i] + 8, "w");
        }
    }
    if (output == NULL || (profile != NULL && (map == NULL || !read_map(map)))) {
        fprintf(stderr, "insncount: needs out=FILE, and for profile=FILE a map=FILE\n");
        return 1;
    }
    if (map != NULL) {
        fclose(map);
    }
    allocate_counters();
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit_of_emulator, NULL);
    return 0;
}
