/* The opaque handles of the public API, for the files of the driver.
 *
 * A handle counts its references; what it was made from is held by one reference each: trainer and
 * model hold the program, the program holds the context. */
#ifndef NNC_DRIVER_HANDLES_H
#define NNC_DRIVER_HANDLES_H
#include "compiler/driver/compile.h"
#include "compiler/jit/cache.h"
#include "compiler/sema/sema.h"
#include "include/nnc/nnc.h"
#include "runtime/train/pool.h"
#include "runtime/train/trainer.h"

struct nnc_context {
    int references;
    int threads;
    Pool *pool; /* NULL: one thread */
    Jit *jit;   /* made at the first compilation */
    CodeCache *cache;  /* NULL: none */
    ObjectStore store; /* over the cache */
    SourceMap *sources;
    SemaLibrary *library;
    Diag *diag;
    StrBuf rendered; /* what nnc_diagnostics returned */
    Arena *arena;    /* names of host functions */
    VEC(HostFunction) hosts;
    bool refused; /* memory for data, in this call */
};

struct nnc_program {
    int references;
    nnc_context *context;
    Arena *arena;       /* tree and plans */
    const char *folder; /* of the file: paths in the text are relative to it */
    const char *name;
    nnc_program_options options; /* the arrays are copied into the arena */
    AstFile *file;
    SemaProgram *sema;
};

struct nnc_tensor {
    int references;
    DType dtype;
    int rank;
    int64_t sizes[8];
    void *data;
    bool owned;
    nnc_model *model; /* a view of a weight holds its model */
};

/* Copies the option struct that a caller gave into `to` (`known` bytes): what its size does not
 * cover is zero, NULL gives zeros. False: the size is not set. */
bool options_copy(void *to, size_t known, const void *given);
/* Every API call that can fail starts with this: earlier diagnostics go. */
void context_begin(nnc_context *context);
/* What it means that data could not be had: NNC_MEMORY or NNC_DATA. */
nnc_status context_data_status(const nnc_context *context);
/* An error without a place. Returns status. */
nnc_status context_fail(nnc_context *context, nnc_status status, ErrorCode code, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));
/* NULL: errors are in the context. */
Jit *context_jit(nnc_context *context);
void context_hold(nnc_context *context);
void program_hold(nnc_program *program);
/* The plan of a block; NULL: no such block, said in the context. */
TrainPlan *program_plan(nnc_program *program, const char *block);
/* path relative to the program's folder (absolute ones stay), in `arena`. */
const char *program_path(const nnc_program *program, Arena *arena, const char *path);
/* train, eval, predict, forward or apply; NULL: the plan has no such function. */
const Graph *plan_function(const TrainPlan *plan, const char *name);
int64_t program_batch(const TrainPlan *plan); /* as written, or the usual one */
/* `rows` is the usual value of the free dimensions; the options point into the plan and `arena`. */
CompileOptions program_compile_options(nnc_program *program, const TrainPlan *plan, int64_t rows,
                                       Arena *arena);

#endif
