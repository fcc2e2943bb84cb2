/* Graphs to functions that the runtime can call: passes, schedule, lowering, code generation, JIT,
 * in the one place that calls the stages in order; or the interpreter behind the same interface.
 *
 * Ownership: a Compiled owns the final graphs, the schedules, the kernel programs and the machine
 * code of its functions. */
#ifndef NNC_DRIVER_COMPILE_H
#define NNC_DRIVER_COMPILE_H
#include "compiler/graph/graph.h"
#include "compiler/jit/jit.h"
#include "compiler/kernel/kir.h"
#include "compiler/schedule/schedule.h"
#include "compiler/sema/sema.h"
#include "runtime/train/function.h"

/* A host function that programs may call; see nnc_context_extern. */
typedef struct {
    const char *name;
    nnc_extern *function;
    void *user;
} HostFunction;

typedef struct {
    bool interpret, no_fuse;
    const char *cpu;      /* NULL: this machine */
    const int64_t *hints; /* per symbol of the DimTable: usual values */
    const HostFunction *hosts;
    int host_count;
    const DimCheck *checks; /* to be made with the sizes of every call */
    uint32_t check_count;
    void (*observer)(const nnc_call *call, int64_t launch); /* as in CodegenOptions */
    const ObjectStore *store;                               /* NULL: none */
} CompileOptions;

typedef struct {
    const char *name; /* a C identifier, unique in the call */
    const Graph *graph;
    bool interpret; /* this one in any case: tiny graphs are not worth compiling */
    bool later;     /* machine code may wait for the first call */
} CompileUnit;

/* extern.c: is every host function that the graph calls there, and does it fit? Else an error at
 * the call. */
bool externs_check(const Graph *graph, const CompileOptions *options, Diag *diag);
const HostFunction *extern_find(const CompileOptions *options,
                                const char *name); /* the newest of that name; NULL: none */

/* Where the time of a compilation went, milliseconds of all processors together. */
typedef struct {
    double passes, schedule, lower, code, link;
    int objects, found; /* of code, and how many of them were in the store */
} CompileCost;

/* The stages of one graph, for dumps and ahead-of-time output. Everything lives in `arena` but
 * `final`, which has its own. */
typedef struct {
    Arena *arena;
    Graph *final;
    Schedule *schedule;
    KProgram *program;
    const Node **failure_nodes;
    const Group **launch_groups; /* per launch of the program */
    CompileCost cost;            /* passes, schedule, lower */
} Stages;

typedef struct Compiled Compiled;

/* NULL: errors are in diag. `jit` may be NULL when everything is interpreted. */
Compiled *compile_units(Jit *jit, const CompileUnit *units, int count,
                        const CompileOptions *options, Diag *diag);
void compiled_free(Compiled *compiled);
const Function *compiled_function(const Compiled *compiled, int index);
const Schedule *compiled_schedule(const Compiled *compiled, int index); /* NULL: interpreted */
const Stages *compiled_stages(const Compiled *compiled, int index);
double compiled_milliseconds(const Compiled *compiled);
const CompileCost *compiled_cost(const Compiled *compiled);

/* Runs the stages up to the kernel program. False: errors are in diag. stages_free in any case. */
bool stages_run(Stages *stages, const char *name, const Graph *graph, const CompileOptions *options,
                Diag *diag);
void stages_free(Stages *stages);

#endif
