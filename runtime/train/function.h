/* A compiled function as the runtime sees it: arguments by name, a plan, a step. The JIT, the
 * interpreter and ahead-of-time code all come in this shape, so the training loop knows no
 * engine. Calls go through a Session, which owns the memory.
 *
 * Ownership: a Function belongs to whoever compiled it and outlives the sessions that call it. */
#ifndef NNC_TRAIN_FUNCTION_H
#define NNC_TRAIN_FUNCTION_H
#include "include/nnc/abi.h"
#include "runtime/base/diag.h"
#include "runtime/base/dtype.h"
#include "runtime/base/strbuf.h"

enum { FUNCTION_RANK = 8 };

typedef enum { ARG_INPUT, ARG_PARAM, ARG_STATE, ARG_OUTPUT } ArgKind;

typedef struct {
    ArgKind kind;
    const char *name;
    DType dtype;
    int rank;
    const char *shape; /* as text, "f32[B, 3]" */
} FunctionArg;

typedef struct {
    ErrorCode code;
    const char *message;
    Span span; /* the .nn text of the check, the division or the index */
} FailureSite;

/* Where a step began to be not finite. */
typedef struct {
    Span span;
    StrBuf what;   /* "log gives 3 NaN of 640 elements" */
    StrBuf inputs; /* one line for each: "x: f32[B, 10], from -0.31 to 2" */
} Finding;

typedef struct Function Function;
struct Function {
    const char *name;
    int dim_count;
    const char *const *dim_names;
    int arg_count;
    const FunctionArg *args;          /* in the order of nnc_call.buffers; a PARAM or STATE is updated in place */
    const FailureSite *sites;         /* failure_count of them */
    int failure_count;
    int table_size;                   /* entries of nnc_call.table */
    int guards;                       /* its last ones: pages of the arena that nobody may touch, in the build with NNC_GUARD */
    int kernel_count;
    nnc_extern *const *externs;
    void *const *extern_users;
    /* Fills table, returns the arena bytes; negative: a size overflows. */
    int64_t (*plan)(const Function *self, const int64_t *dims, int64_t *table);
    /* Sizes of one argument for given dims; negative sizes mean overflow. */
    void (*shape)(const Function *self, const int64_t *dims, int arg, int64_t *sizes);
    /* The first relation of sizes, left open by the compiler, that dims break; NULL: none. A
     * NULL callback: none is open. */
    const FailureSite *(*broken)(const Function *self, const int64_t *dims);
    /* Runs once. false: memory was refused (the interpreter's). */
    bool (*step)(const Function *self, const nnc_call *call);
    /* Runs once in checking mode, stores nothing, and finds the first operation behind the
     * output "loss" (or else behind an update) whose result is not finite although its operands
     * are. False: there is none, or memory was refused. NULL: cannot. */
    bool (*inspect)(const Function *self, const nnc_call *call, Finding *finding);
    void *engine; /* of whoever made it */
};

int function_arg(const Function *function, ArgKind kind, const char *name); /* -1: none */
/* Elements of an argument for given dims; -1: overflow. */
int64_t function_elements(const Function *function, const int64_t *dims, int arg);

typedef enum { CALL_OK, CALL_NO_MEMORY, CALL_SIZES, CALL_FAILED } CallStatus;

typedef struct {
    const FailureSite *site; /* CALL_SIZES, CALL_FAILED */
    int64_t element;         /* CALL_FAILED */
    int64_t bytes;           /* CALL_NO_MEMORY: of the plan; negative: more than can be counted; 0: not of the plan */
} CallFailure;

typedef struct Session Session;

/* `pool` may be NULL: one thread. */
Session *session_new(nnc_parallel *parallel, void *pool);
void session_free(Session *session);
/* Runs the function on buffers (one address per argument). Memory of the arena is kept between
 * calls and grown when dims ask for more. CALL_SIZES: nothing ran. CALL_FAILED: *failure has the
 * lowest failing element of the first failing site. */
CallStatus session_call(Session *session, const Function *function, const int64_t *dims, void *const *buffers,
                        uint64_t seed, uint64_t step, CallFailure *failure);
/* function->inspect on the buffers of a call. The caller frees the texts of the finding. */
bool session_inspect(Session *session, const Function *function, const int64_t *dims, void *const *buffers, uint64_t seed,
                     uint64_t step, Finding *finding);
int64_t session_arena_bytes(const Session *session);  /* largest arena taken so far, as planned */

#endif
