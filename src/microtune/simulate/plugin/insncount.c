/* QEMU TCG plugin: logs the running total of executed instructions at each mark.
 *
 * A mark is an instruction in a function whose name starts with `mt_mark_`; the line
 *     NAME COUNT
 * gives the instructions executed before it. At the end `total COUNT` follows.
 * Arguments: out=FILE. Build with -DPLUGIN_API=1 for QEMU 4.2 to 8, -DPLUGIN_API=4 for 9 and 10.
 *
 * The declarations below are the few functions used of QEMU's documented plugin interface; writing
 * them down here makes QEMU's and glib's development files unnecessary. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifndef PLUGIN_API
#error "define PLUGIN_API as 1 or 4"
#endif
#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info; /* not looked into */

enum { INLINE_ADD_U64 = 0, CALLBACK_NO_REGISTERS = 0 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                                  void (*callback)(plugin_id,
                                                                   struct qemu_plugin_tb *));
extern void qemu_plugin_register_atexit_cb(plugin_id id, void (*callback)(plugin_id, void *),
                                           void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb,
                                                        size_t index);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *insn);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
                                                   void (*callback)(unsigned, void *), int flags,
                                                   void *data);

#if PLUGIN_API == 1
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int operation,
                                                       void *counter, uint64_t amount);
static uint64_t executed;

static void count_instruction(struct qemu_plugin_insn *insn) {
    qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &executed, 1);
}

static uint64_t executed_total(void) { return executed; }
#else
struct qemu_plugin_scoreboard;
typedef struct {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} qemu_plugin_u64;
extern struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
extern void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *score, unsigned vcpu);
extern void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn,
                                                                int operation,
                                                                qemu_plugin_u64 entry,
                                                                uint64_t amount);
static struct qemu_plugin_scoreboard *score;

static void count_instruction(struct qemu_plugin_insn *insn) {
    const qemu_plugin_u64 entry = {score, 0};
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, INLINE_ADD_U64, entry, 1);
}

static uint64_t executed_total(void) {
    return *(const uint64_t *)qemu_plugin_scoreboard_find(score, 0);
}
#endif

EXPORT int qemu_plugin_version = PLUGIN_API;

static FILE *output;

static void log_count(const char *name) {
    fprintf(output, "%s %llu\n", name, (unsigned long long)executed_total());
}

static void on_mark(unsigned vcpu, void *name) {
    (void)vcpu;
    log_count(name);
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
        count_instruction(insn);
    }
}

static void on_exit_of_emulator(plugin_id id, void *data) {
    (void)id;
    (void)data;
    log_count("total");
    fclose(output);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv);

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            output = fopen(argv[i] + 4, "w");
        }
    }
    if (output == NULL) {
        fprintf(stderr, "insncount: give a writable file with out=FILE\n");
        return 1;
    }
#if PLUGIN_API != 1
    score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
#endif
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit_of_emulator, NULL);
    return 0;
}
