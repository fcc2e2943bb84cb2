/* Runs one hand-made kernel through code generation and the JIT: the harness of the tests of the
 * back end. */
#ifndef NNC_TESTS_KERNEL_RUN_H
#define NNC_TESTS_KERNEL_RUN_H
#include "compiler/codegen/codegen.h"
#include "compiler/jit/jit.h"
#include "nnc/abi.h"

typedef struct {
    Arena *arena;
    KProgram program;
    Jit *jit;
    JitUnit *unit;
    int64_t (*plan)(const int64_t *dims, int64_t *table);
    void (*step)(const nnc_call *call);
    int64_t table[64];
    int64_t failures[8];
    const char *cpu; /* set before opening; NULL: this machine */
    int64_t dims[4]; /* likewise */
} KernelRun;

/* A program of one launch per kernel; kernel k uses buffers in order of their index, all external;
 * every trip count is `count`. Failing to compile fails the test. */
void kernel_run_open(KernelRun *run, Arena *arena, Kernel *kernel, int64_t count);
void kernel_run_program(KernelRun *run, Arena *arena); /* compiles run->program as it stands */
void kernel_run_call(KernelRun *run, void *const *buffers);
void kernel_run_close(KernelRun *run);
/* Adds a plan kernel that stores values[0 .. count) to the table. */
Kernel *constant_plan(Arena *arena, const int64_t *values, int count);

#endif
