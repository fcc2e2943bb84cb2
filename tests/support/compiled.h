/* A graph through the whole back end: schedule, lowering, code generation, the JIT. For tests that
 * compare compiled code with the interpreter. */
#ifndef NNC_TESTS_SUPPORT_COMPILED_H
#define NNC_TESTS_SUPPORT_COMPILED_H
#include "compiler/jit/jit.h"
#include "compiler/lower/lower.h"
#include "nnc/abi.h"

enum { COMPILED_EXTERNALS = 256 };

typedef struct {
    Arena *arena;
    const Graph *graph;
    Schedule *schedule;
    LowerResult lowered;
    Jit *jit;
    int64_t (*plan)(const int64_t *dims, int64_t *table);
    void (*step)(const nnc_call *call);
    int64_t *table, *failures;
    double compile_seconds;
    struct {
        void *pages;
        size_t bytes;
    } guarded[COMPILED_EXTERNALS]; /* inputs and outputs of the last run of a guarded schedule */
    int guarded_count;
} Compiled;

typedef struct {
    const int64_t *symbols; /* per symbol of graph->dims */
    const void *(*leaf)(void *user, const Node *leaf);
    void *user;
    uint64_t seed, step;
    int chunks; /* 1: everything at once; more: ranges are cut, the last chunk runs first */
} CompiledCall;

/* False: *error (malloc'd) says why. */
bool compiled_open(Compiled *c, Arena *arena, const Graph *graph, const ScheduleOptions *schedule,
                   const LowerOptions *lower, char **error);
/* values[i]: data of root i after the step, valid until the next run. False: the arena was written
 * beyond its planned bytes. Where the schedule is guarded, every buffer of the arena and of the
 * caller ends at a page that nobody may touch: a fault ends the process. */
bool compiled_run(Compiled *c, const CompiledCall *call, const void **values);
const Node *
compiled_failure(const Compiled *c,
                 int64_t *element); /* the first failing site of the last run, NULL: none */
void compiled_close(Compiled *c);

#endif
