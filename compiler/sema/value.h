/* Values of the analysis: what an expression is while a program is compiled. Private to
 * compiler/sema.
 *
 *   64*7*7        VALUE_INT, 3136 (a Dim, so that B*T is one as well)
 *   x @ w         VALUE_TENSOR, a node of the current graph
 *   Linear        VALUE_MODULE
 *   Linear(2, 3)  VALUE_INSTANCE
 *
 * A wrong expression is VALUE_POISON: it has been reported, and whatever it meets is poison without
 * another word. */
#ifndef NNC_SEMA_VALUE_H
#define NNC_SEMA_VALUE_H
#include "compiler/sema/sema.h"

/* ROW(enum, words for messages) */
#define VALUE_TABLE(ROW)                                                                           \
    ROW(POISON, "an error")                                                                        \
    ROW(NONE, "none")                                                                              \
    ROW(TENSOR, "a tensor")                                                                        \
    ROW(INT, "an integer")                                                                         \
    ROW(FLOAT, "a number")                                                                         \
    ROW(BOOL, "a bool")                                                                            \
    ROW(STRING, "a string")                                                                        \
    ROW(DTYPE, "a type")                                                                           \
    ROW(TUPLE, "a tuple")                                                                          \
    ROW(ARRAY, "an array")                                                                         \
    ROW(RANGE, "a range")                                                                          \
    ROW(FN, "a function")                                                                          \
    ROW(BUILTIN, "a built-in function")                                                            \
    ROW(MODULE, "a module")                                                                        \
    ROW(INSTANCE, "an instance of a module")                                                       \
    ROW(SCHEDULE_DECL, "a schedule")                                                               \
    ROW(SCHEDULE, "a schedule")                                                                    \
    ROW(INIT_DECL, "an initialiser")                                                               \
    ROW(INIT, "an initialiser")                                                                    \
    ROW(OPTIMIZER_DECL, "an optimizer")                                                            \
    ROW(OPTIMIZER, "an optimizer")                                                                 \
    ROW(METRIC_DECL, "a metric")                                                                   \
    ROW(METRIC, "a metric")                                                                        \
    ROW(GROUP, "a group of parameters")                                                            \
    ROW(DATASET, "a dataset")                                                                      \
    ROW(TRAIN, "a train block")                                                                    \
    ROW(NAMESPACE, "an imported file")

typedef enum {
#define ROW(e, text) VALUE_##e,
    VALUE_TABLE(ROW)
#undef ROW
        VALUE_COUNT
} ValueKind;

typedef struct Value Value;
typedef struct Scope Scope;
typedef struct Module Module;
typedef struct Instance Instance;
typedef struct Decl Decl;
typedef struct SemaFile SemaFile;
typedef struct Builtin Builtin;

typedef struct {
    Value *items;
    uint32_t count;
    const char *const *names; /* of the entries of a tuple, NULL: none */
} ValueList;

/* A function with the scope it was declared in. `body` is set for a lambda, `function` otherwise.
 */
typedef struct {
    const AstFunction *function;
    const AstExpr *lambda;
    const char *name;
    Scope *scope;
    Instance *self; /* fn of a module; NULL: free */
    const SemaFile *file;
    bool is_extern;
    Decl *decl;
    const struct Transform *transform; /* grad(f) and its like: neither function nor lambda is set */
} Closure;

/* A declaration with its arguments: cosine(1e-3), adam(lr=...), accuracy(y, t), moments(x). */
typedef struct Applied Applied;
struct Applied {
    const Decl *decl; /* NULL: a constant schedule or arithmetic on schedules */
    Scope *scope;     /* its parameters */
    double constant;
    int op; /* AstBinary when left is set */
    Applied *left, *right;
    struct OptimizerGroup *groups; /* of an optimizer: rules for some of its params */
    uint32_t group_count;
    const char *detail;
    Span span;
};

struct Value {
    ValueKind kind;
    bool weak; /* TENSOR: an f64 scalar that takes the float type it meets (t, lr(t)); INSTANCE: eval(M) */
    Span span; /* where it came from, for second places in messages */
    union {
        Node *node;
        const Dim *dim;
        double real;
        bool boolean;
        struct {
            const char *text;
            uint32_t length;
        } string;
        DType dtype;
        ValueList *list;
        struct {
            const Dim *low, *high;
        } range;
        Closure *closure;
        const Builtin *builtin;
        Decl *decl;
        Instance *instance;
        Applied *applied;
        InitSpec *init;
        SemaFile *file;
        struct ParamGroup *group;
    } as;
};

#endif
