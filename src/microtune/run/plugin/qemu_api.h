/* The few functions used of QEMU's documented plugin interface; writing them down here makes QEMU's
 * and glib's development files unnecessary. And the counters: QEMU 9 replaced shared ones by
 * per-CPU ones. Number 0 is the total, the others are those of single instructions. */
#ifndef QEMU_API_H
#define QEMU_API_H

#include <stddef.h>
#include <stdint.h>

#ifndef PLUGIN_API
#error "define PLUGIN_API as 1 or 4"
#endif
#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info; /* not looked into */

/* Reads alone cannot be asked for: QEMU 7.2 takes them for writes. */
enum { INLINE_ADD_U64 = 0, CALLBACK_NO_REGISTERS = 0, MEMORY_READ_OR_WRITE = 3 };
enum { MAX_INSTRUCTIONS = 1 << 16 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                                  void (*callback)(plugin_id,
                                                                   struct qemu_plugin_tb *));
extern void qemu_plugin_register_atexit_cb(plugin_id id, void (*callback)(plugin_id, void *),
                                           void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb,
                                                        size_t index);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *insn);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
                                             void (*callback)(unsigned, uint32_t, uint64_t, void *),
                                             int flags, int direction, void *data);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
                                                   void (*callback)(unsigned, void *), int flags,
                                                   void *data);

#if PLUGIN_API == 1
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int operation,
                                                       void *counter, uint64_t amount);
static uint64_t counters[1 + MAX_INSTRUCTIONS];

static void count_in(struct qemu_plugin_insn *insn, size_t counter) {
    qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &counters[counter], 1);
}

static void allocate_counters(void) {}

static uint64_t *all_counters(void) { return counters; }
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

static void count_in(struct qemu_plugin_insn *insn, size_t counter) {
    const qemu_plugin_u64 entry = {score, counter * sizeof(uint64_t)};
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, INLINE_ADD_U64, entry, 1);
}

static void allocate_counters(void) {
    score = qemu_plugin_scoreboard_new((1 + MAX_INSTRUCTIONS) * sizeof(uint64_t));
}

static uint64_t *all_counters(void) { return qemu_plugin_scoreboard_find(score, 0); }
#endif

#endif
