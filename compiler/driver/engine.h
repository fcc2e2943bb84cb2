/* Engines: what stands behind a Function. Compiled code calls two symbols of a JIT unit; the
 * interpreter walks the final graph. Both describe their arguments in the same way, so the runtime
 * cannot tell them apart. */
#ifndef NNC_DRIVER_ENGINE_H
#define NNC_DRIVER_ENGINE_H
#include "compiler/driver/compile.h"

#include <stdatomic.h>

typedef struct {
    Function function;
    const Graph *graph;      /* final */
    Type *types;             /* per argument */
    uint32_t *symbols;       /* per free dimension: symbol of the DimTable */
    int64_t *values;         /* work area: value per symbol */
    const DimCheck **checks; /* those whose sizes a call of this function knows */
    FailureSite *check_sites;
    int check_count;
    const Node **sites; /* per failure site */
    const CompileOptions *options;
    /* Compiled code: made by `make` at the first call, where it is not there before. */
    atomic_bool ready;
    void (*make)(Compiled *compiled);
    Compiled *compiled;
    int64_t (*plan)(const int64_t *dims, int64_t *table);
    void (*step)(const nnc_call *call);
    int *root_args; /* interpreter: per root of the graph, the argument it writes */
} Engine;

void engine_interpreter(Engine *engine, Stages *stages, const char *name,
                        const CompileOptions *options);
/* All but the code; `make` has to see to engine_bind. */
void engine_compiled(Engine *engine, Stages *stages, const CompileOptions *options,
                     void (*make)(Compiled *compiled), Compiled *compiled);
/* Finds the code in the unit. False: it is not there. */
bool engine_bind(Engine *engine, Stages *stages, JitUnit *unit);

/* inspect.c: what Function.inspect is. */
bool engine_inspect(const Function *self, const nnc_call *call, Finding *finding);

#endif
