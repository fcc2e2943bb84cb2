/* What the files of the analysis share: scopes, frames, the graph being built, and the functions
 * between files.
 *
 *   program.c    the passes over a file        import.c    other files and the library
 *   block.c      keys, -D and --set            scope.c     names
 *   report.c     errors and their notes        value.c     values as text, constants and nodes
 *   expr.c       expressions                   operator.c  + - == and ...
 *   index.c      x[0..T, :]                    stmt.c      statements and blocks
 *   indexed*.c   let y[i] = w[i, j] * x[j]     einops.c    "b (h w) -> b h w" (einsum.c)
 *   call.c       calls, arguments, results     unify.c     types against values
 *   module.c     instances and their paths     builtins*.c built-in functions
 *   declared.c   schedules, initialisers
 *   optim.c      optimizers, their groups, clipping, averages
 *   metric.c     metrics                       dataset.c   datasets, their maps (batch.c)
 *   train.c      train blocks and their graphs generic.c   what no block uses
 *   train_settings.c, update.c: keys of a train block; gradients, accumulation
 *   step.c       steps written by hand
 *   gradient.c   grad(f), value_and_grad(f), jvp(f), eval(M), load(M, file)
 *   scan.c, loop.c: scan and while                branch.c    cond, and if at run time
 *   elab.c       the graph being built         hints.c     where a wrong size came from
 *   relation.c   sizes that may be equal */
#ifndef NNC_SEMA_INTERNAL_H
#define NNC_SEMA_INTERNAL_H
#include "compiler/graph/build.h"
#include "compiler/sema/value.h"

enum {
    LIMIT_CALLS = 64,       /* functions and modules inside one another */
    LIMIT_NESTING = 1200,   /* expressions inside one another, through all calls */
    LIMIT_WORK = 1000000,   /* expressions evaluated for one file */
    LIMIT_NODES = 100000,   /* of one graph */
    LIMIT_LIST = 100000,    /* entries of an array, turns of a for */
    LIMIT_MEMORY = 1 << 30, /* bytes of the arena */
    LIMIT_INSTANCES = 5000,
    LIMIT_ARGUMENTS = 1000, /* of a call, fields of a dataset */
    LIMIT_SYMBOLS = 2000,
    LIMIT_ERRORS = 60
};

/* ---- Names ---- */

typedef enum {
    BIND_LET, /* may be assigned */
    BIND_ARGUMENT,
    BIND_DIM, /* bound by a signature */
    BIND_LOOP,
    BIND_MEMBER, /* let, fn of a module or block */
    BIND_PARAM,
    BIND_STATE,
    BIND_ITEM, /* declaration of a file */
    BIND_IMPORT
} BindKind;

typedef struct Binding Binding;
struct Binding {
    const char *name;
    uint64_t hash;
    BindKind kind;
    Value value;
    Span span;
    uint32_t tensor;     /* PARAM, STATE: index in the instance's or owner's slots */
    const AstExpr *lazy; /* MEMBER: evaluated in the current graph at every use */
    const AstPattern *pattern; /* of the let that lazy stands in, NULL: the name alone */
    Instance *owner;     /* PARAM, STATE, lazy MEMBER */
    Binding *next;       /* in the hash bucket */
};

typedef struct BranchRun BranchRun;

/* What an assignment from inside of a scope to a name outside of it is. */
typedef enum {
    BARRIER_NONE,
    BARRIER_LOOP,  /* of a body that runs many times: an error */
    BARRIER_BRANCH /* of one side of a decision: a result of the decision */
} Barrier;

struct Scope {
    Scope *parent;
    SemaFile *file;
    VEC(Binding *) bindings;
    Binding **buckets;
    uint32_t bucket_count;
    bool is_function; /* a fn's outermost scope: assignments do not reach further out, except to
                         states */
    Barrier barrier;
    BranchRun *branch;
    bool rows; /* its arguments are what a dataset gives for a batch */
};

typedef enum { DECL_NEW, DECL_BUSY, DECL_DONE } DeclState;

struct Decl {
    const AstItem *item;
    SemaFile *file;
    DeclState state;
    Value value; /* const */
    bool used;   /* elaborated at least once */
    void *plan;  /* DatasetPlan and what belongs to it */
};

struct SemaFile {
    const char *name; /* "nn", "layers" */
    const AstFile *ast;
    Scope *scope;
    bool in_std;
    bool busy; /* being loaded: an import cycle */
    bool broken;
    VEC(Decl *) decls;
    struct SemaFile *next;
};

/* ---- Instances ---- */

typedef struct {
    const char *name; /* "weight"; the full name is path.name */
    Type type;
    InitSpec init;
    bool is_param;
    Span span;
} Slot;

struct Instance {
    Decl *decl;
    Scope *scope;     /* arguments, params, states, lets, fns */
    const char *name; /* part of the path, NULL: not bound yet */
    Instance *parent;
    const char *path; /* set when the tree has a root */
    const char *detail;
    Span span;
    VEC(Slot) slots;
    VEC(Instance *) children;
    SemaInstance *shown;
    const char *suffix; /* optimizer states: optim.NAME.suffix */
    const char *file;   /* load(M(), "file"): where its initial values are */
    bool file_partial;
};

/* ---- Building a graph ---- */

typedef struct {
    const char *name;
    Node *node;
} Pending; /* newest value of a state */

typedef struct {
    const void *function;
    const Instance *self;
    bool frozen; /* called through eval(M) */
    bool stale;  /* made with weights that a minimize has replaced */
    const struct Args *arguments;
    Value result;
} Memo;

/* How many times a fn of an instance was expanded: every expansion draws its own random numbers. */
typedef struct {
    const void *function;
    const Instance *self;
    uint32_t count;
} Expansion;

typedef struct Elab Elab;
struct Elab {
    Graph *graph;
    bool training;
    bool scratch; /* for constants: no leaves */
    VEC(Pending) pending;
    VEC(Memo) memos;
    VEC(Expansion) expansions;
    const TensorSpecs *averages; /* params are read from their averages among these; NULL: as they are */
    bool frozen;                 /* inside of eval(M): params take no gradient, states keep their value */
    SemaCalls *calls; /* NULL: not recorded */
    Graph **loaded;   /* where the part of a map goes that runs row by row; NULL: no rows are read */
    bool debugs;      /* of a step of training: debug(x) makes an output */
    uint32_t debug_count; /* reports so far; each is a state of the graph alone (debug.c) */
    int32_t current_call;
    DimChecks *checks;       /* NULL: dropped */
    Value total_steps, time; /* NONE outside of optimizers and schedules */
    uint32_t ordinal;        /* random sites outside of any fn */
    bool generic; /* symbolic arguments: what cannot be decided is poison without a word */
    bool unsure;  /* generic with sizes that no shape gives: errors of shapes are not reported */
};

typedef struct Frame Frame;
struct Frame {
    Frame *parent;
    const char *name;
    Span call;   /* of the call, in the caller's text */
    bool in_std; /* the body is in the library */
    bool quiet;  /* called by nothing in the text: the map of a dataset */
    uint64_t site;
    uint32_t ordinal;     /* random sites and calls so far */
    const void *function; /* AstFunction or AstExpr (lambda), for recursion */
    const AstFunction *declared; /* the same when it is a fn with parameters, NULL: it is not */
    const Instance *self;
    VEC(Node *) asserts;
    VEC(const char *) assert_texts;
    VEC(Span) assert_spans;
    int ellipsis_rank; /* of the last `...` matched in the signature, -1: none */
    const Dim *ellipsis[MAX_RANK];
    bool returned;
    Value result;
};

typedef VEC(Node *) Nodes;

/* A body that is being evaluated for many turns, or one side of a decision. */
typedef struct Repeat Repeat;
struct Repeat {
    Repeat *outer;
    enum { REPEAT_LOOP, REPEAT_BRANCH } kind;
    const Frame *frame; /* of the fn that it stands in */
    const Elab *elab;
    uint32_t id;       /* of the loop */
    const Dim *length; /* NULL: not known */
    int axis;          /* where the axis of time was in the first sequence */
    VEC(Value) yields;
};

typedef struct Sema {
    Arena *arena;
    SourceMap *map;
    Diag *diag;
    SemaOptions options;
    SemaProgram *program;
    DimTable *dims;
    SemaFile *main;
    SemaFile *files;      /* all loaded */
    SemaFile *prelude[3]; /* library files whose names need no import */
    uint32_t prelude_count;
    Scope *scope; /* of the expression being evaluated */
    Frame *frame;
    Elab *elab;
    Elab constants; /* the scratch context */
    Span at;        /* innermost place in the user's text */
    struct Watchers *watchers; /* schedules with states of the train block, NULL: outside of one */
    struct StepRun *step; /* the step of a train block that is being expanded */
    Repeat *repeat;       /* the innermost loop or decision around */
    uint32_t calls, nesting, work, instances;
    bool work_reported, depth_reported;
    bool in_assert; /* sizes that are open are compared at run time */
    Instance *owner; /* the let being evaluated is of this instance, NULL: of none */
    bool declaring;  /* for the first time: its params are made */
    const Type *init_type;           /* of the param whose initial value is evaluated */
    const AstExpr **override_values; /* of options.overrides, parsed; NULL: not yet */
    bool *override_used;
    Diag *mute; /* takes errors that symbolic arguments make unsure */
} Sema;

/* ---- report.c ---- */
/* At the innermost place of the user's text at or around span, with notes for the calls between. */
DiagItem *sema_error(Sema *s, ErrorCode code, Span span, const char *label, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
Span sema_user_span(const Sema *s, Span span);
bool sema_in_std(const Sema *s, Span span);
/* The next name that ours has for another framework's, from *row on; NULL: no more. */
const char *sema_foreign(const char *name, uint32_t *row);
/* What `name` was meant to be, one of `names` or NULL. */
const char *sema_nearest(const char *name, const char *const *names, uint32_t count);
void sema_unknown(Sema *s, ErrorCode code, Span span, const char *what, const char *name,
                  const char *const *names, uint32_t count);
bool sema_is_null_span(Span span);

/* ---- scope.c ---- */
Scope *scope_new(Sema *s, Scope *parent);
Binding *scope_find(const Scope *scope, const char *name);
Binding *scope_find_local(const Scope *scope, const char *name);
Binding *scope_put(Sema *s, Scope *scope, const char *name, Span span, BindKind kind,
                   Value value); /* replaces silently */
/* With errors for duplicates and hidden built-ins. */
Binding *scope_declare(Sema *s, Scope *scope, AstName name, BindKind kind, Value value);
void scope_unknown(Sema *s, const Scope *scope, const char *name, Span span);
bool scope_hides_builtin(Sema *s, AstName name);

/* ---- value.c ---- */
extern const Value value_poison, value_none;
Value value_tensor(Node *node, Span span); /* NULL node: poison without an error */
Value value_int(const Dim *dim, Span span);
Value value_number(Sema *s, int64_t number, Span span);
Value value_float(double real, Span span);
Value value_bool(bool boolean, Span span);
Value value_string(const char *text, uint32_t length, Span span);
Value value_list(Sema *s, ValueKind kind, uint32_t count, Span span); /* items zeroed */
bool value_is_constant(const Value *v);                               /* int, float, bool */
bool value_int64(const Value *v, int64_t *out);  /* a VALUE_INT that is a number */
bool value_real(const Value *v, double *out);    /* int or float that is a number */
const char *value_text(Sema *s, const Value *v); /* "f32[B, 3]", "the integer 3", "a module" */
const char *type_text(Sema *s, const Type *type);
const char *dim_text(Sema *s, const Dim *dim);
bool value_equal(const Value *a, const Value *b);
/* The constant as a scalar node of that dtype; NULL after an error when it does not fit. */
Node *value_constant_node(Sema *s, const Value *v, DType dtype, Span span);
/* A tensor or a constant as a node: constants take dtype, or f32/i32/bool when dtype is DT_COUNT.
 * NULL after an error. */
Node *value_node(Sema *s, const Value *v, DType dtype, Span span);
DType sema_float(const Sema *s); /* f32, or f64 under --float=f64 */
bool sema_dtype(const Sema *s, const char *name, DType *dtype);
/* Wants: each reports E0200 or E0203 and returns false. `what` reads like "the axis". */
bool want_int(Sema *s, const Value *v, Span span, const char *what, int64_t *out);
bool want_dim(Sema *s, const Value *v, Span span, const char *what, const Dim **out);
bool want_real(Sema *s, const Value *v, Span span, const char *what, double *out);
bool want_bool(Sema *s, const Value *v, Span span, const char *what, bool *out);
bool want_string(Sema *s, const Value *v, Span span, const char *what, const char **out);
bool want_tensor(Sema *s, const Value *v, Span span, const char *what, Node **out);
bool want_axis(Sema *s, const Value *v, Span span, int rank, int *out);
/* After a refused node: its reason at span. */
Value sema_node_value(Sema *s, Node *node, Span span);

/* ---- expr.c ---- */
Value eval_expr(Sema *s, const AstExpr *expr);
Value eval_in(Sema *s, Scope *scope, const AstExpr *expr);
Value eval_name(Sema *s, const char *name, Span span);
Value binding_value(Sema *s, Binding *binding, Span span);
Value lazy_value(Sema *s, Binding *binding);
Value decl_value(Sema *s, Decl *decl);
bool sema_step(Sema *s, Span span); /* false: the bounds of work are reached */
const char *sema_interpolate(Sema *s, const AstExpr *string);

/* ---- operator.c ---- */
Value eval_binary(Sema *s, AstBinary op, const Value *a, const Value *b, Span span);
Value eval_negate(Sema *s, const Value *v, Span span);
Value eval_not(Sema *s, const Value *v, Span span);
Value apply_op(Sema *s, OpCode op, const Value *a, const Value *b, Span span, const char *sign);
bool broadcast_shapes(Sema *s, const Type *a, const Type *b,
                      Type *out);                    /* false: they do not fit */
Node *weak_to(Sema *s, const Value *v, DType dtype); /* the node of a tensor, converted when weak */

/* ---- index.c ---- */
Value eval_index(Sema *s, const AstExpr *expr);
/* Entry v of an axis, which disappears; NULL after an error. */
Node *index_entry(Sema *s, Node *x, int axis, const Value *v, Span span);

/* ---- indexed.c ---- */
void eval_indexed(Sema *s, const AstStmt *stmt); /* let s[i, j] = ... */

/* ---- stmt.c ---- */
Value eval_block(Sema *s, const AstBlock *block,
                 Scope *scope); /* the value of the last statement */
void eval_let(Sema *s, const AstLet *let, BindKind kind);
bool bind_pattern(Sema *s, Scope *scope, const AstPattern *pattern, const Value *value,
                  BindKind kind);
/* The values of `over` one by one. NULL after an error. */
ValueList *iterate(Sema *s, const Value *over, Span span);

/* ---- call.c ---- */
typedef struct {
    const char *name; /* NULL: positional */
    Span name_span;
    Value value;
    Span span;
} Arg;

typedef struct Args {
    Arg *data;
    uint32_t count;
} Args;

typedef struct {
    const char *name;
    bool optional;
} ParamName;

bool bind_arguments(Sema *s, const char *callee, Span call, const ParamName *params, uint32_t count,
                    const Args *args, int32_t *slots, Span declared);
Value call_value(Sema *s, const Value *callee, const Args *args, Span span, const char *name);
Value call_closure(Sema *s, const Closure *closure, const Args *args, Span span);
Value eval_call(Sema *s, const AstExpr *expr, const Value *piped);
Args make_args(Sema *s, const Value *values, uint32_t count, Span span);
/* Evaluates parameters of a declaration (module, optimizer...) into scope. False: an error was
 * reported. */
bool bind_parameters(Sema *s, const char *callee, Span call, const AstParameters *params,
                     const Args *args, Scope *scope, Scope *defaults, Span declared);
const char *args_detail(Sema *s, const Args *args);
Value call_method(Sema *s, Instance *self, const AstFunction *function, const Args *args,
                  Span span);

/* ---- unify.c ---- */
/* Value v for a parameter of that type: converts constants, binds names of dims in scope. Sizes
 * that depend on names bound by later parameters pass unless `strict`; constants for tensors stay
 * unless `constants`. */
typedef struct {
    const char *callee;
    Span call;
    Scope *scope;
    Frame *frame;
    bool is_result;
    bool single; /* the callee has one parameter: messages leave its name out */
    bool whole;  /* messages show the axes that ... stands for */
    bool strict; /* sizes that cannot be solved are errors, not left for a later pass */
} Unify;

bool unify_value(Sema *s, const Unify *u, const AstType *type, const char *parameter, Span span,
                 Value *v, bool constants);
bool type_is_tensor(Sema *s, const AstType *type);
/* An error where a named type is neither of the language nor a module. */
bool type_is_declared(Sema *s, const Scope *scope, const AstType *type);
/* The type of a param, state or field: dims evaluated in the current scope. */
bool eval_type(Sema *s, const AstType *type, Type *out);
const char *type_pattern_text(Sema *s, const AstType *type, Scope *scope);

/* ---- relation.c ---- */
typedef enum { SIZES_EQUAL, SIZES_OPEN, SIZES_DIFFER } SizeRelation;
SizeRelation relate_sizes(Sema *s, const Dim *a, const Dim *b);
/* Each makes checks of what is open and cuts a node to the size that it then has. False: the sizes
 * differ, nothing is reported and nothing checked. `what` begins the text of a check. */
bool settle_size(Sema *s, Node **x, int axis, const Dim *wanted, Span span, const char *what);
bool settle_elements(Sema *s, Node **x, const Dim *wanted, Span span, const char *what);
bool settle_shape(Sema *s, Node **x, const Type *wanted, Span span, const char *what);
/* Two operands, from the last axes on but for `skip`, or an axis of one of them: only sizes made of
 * the same names may be open. */
bool settle_operands(Sema *s, Node **x, Node **y, int skip, Span span, const char *sign);
bool settle_alike(Sema *s, Node **x, int axis, const Dim *wanted, Span span, const char *what);

/* ---- hints.c ---- */
void hint_size(Sema *s, DiagItem *item, const Node *node, const Dim *wanted);

/* ---- module.c ---- */
Value instantiate(Sema *s, Decl *decl, const Args *args, Span span);
/* Gives paths to the tree, appends its params and states to tensors. */
void instance_root(Sema *s, Instance *root, const char *path, TensorSpecs *tensors);
Value slot_value(Sema *s, Binding *binding, Span span);
/* The newest value of a param in the current graph; through what a minimize made of it no gradient
 * flows. */
Node *param_node(Sema *s, const char *name, Type type);
Value eval_member(Sema *s, const AstExpr *expr);
Value eval_param(Sema *s, const AstExpr *expr);
const AstFunction *instance_forward(const Instance *instance); /* the anonymous fn, NULL: none */
const AstFunction *decl_function(const Decl *decl,
                                 const char *name); /* NULL name: the anonymous one */
const char *slot_name(Sema *s, const Instance *instance, const Slot *slot);

/* ---- elab.c ---- */
Elab *elab_new(Sema *s, const char *name, bool training);
Node *elab_state(Sema *s, const char *name, Node *leaf); /* newest value */
void elab_assign(Sema *s, const char *name, Node *node);
/* What a state is before the step: its leaf, or the zeros of a report of debug. */
Node *elab_first(Sema *s, const char *name, const Type *type);
void debug_roots(Sema *s); /* reports become outputs */
void elab_check_dims(Sema *s, const Dim *left, const Dim *right, Span span, const char *text);
/* A size that some value of its symbols makes negative is such a relation: max(d, 0) is d. */
void elab_check_size(Sema *s, const Dim *dim, Span span, const char *text);
uint32_t site_of(Sema *s);

/* ---- builtins ---- */
typedef struct {
    const Builtin *row;
    Span span;
    Value arg[8];
    Span arg_span[8];
    bool given[8];
    Args named;  /* of a ** parameter: arguments with names that no other parameter has */
    Value *rest; /* of a * parameter */
    uint32_t rest_count;
    Span rest_span;
    const Args *all; /* of a row with "**": everything as it was given */
} BuiltinCall;

struct Builtin {
    const char *name, *parameters;
    Value (*function)(Sema *s, BuiltinCall *call);
    OpCode op;
    const char *doc;
};

const Builtin *builtin_find(const char *name);
void builtin_names(Sema *s, const char ***names, uint32_t *count);
Value call_builtin(Sema *s, const Builtin *builtin, const Args *args, Span span);
/* ints of an int or an array of ints */
bool want_dims(Sema *s, const Value *values, uint32_t count, Span span, const Dim **dims,
               int *rank);
bool want_axes(Sema *s, const Value *v, Span span, int rank, Axes *axes);

/* ---- loop.c, branch.c ---- */
Value eval_scan(Sema *s, const AstExpr *expr);
Value eval_while(Sema *s, const AstExpr *expr);
Value eval_cond(Sema *s, const AstExpr *expr); /* an if as well */
void loop_yield(Sema *s, const AstStmt *stmt);
/* Random tensors in a body have the axes of all loops around in front; loop_turn takes them off.
 * False: an error was reported. */
bool loop_axes(Sema *s, Type *type, Span span);
Node *loop_turn(Sema *s, Node *x);
/* A name around a decision is about to get another value on one side of it. */
void branch_assign(Sema *s, BranchRun *branch, Binding *binding);
/* The tensors of a tree of tuples and arrays, and the tree with others in their place. */
bool tree_flatten(Sema *s, const Value *v, Span span, Nodes *out);
Value tree_build(Sema *s, const Value *shape, Node *const *nodes, uint32_t *next, Span span);

/* ---- gradient.c ---- */
Value call_transform(Sema *s, const struct Transform *transform, const Args *args, Span span);

/* ---- declarations ---- */
Value apply_decl(Sema *s, Decl *decl, ValueKind kind, const Args *args, Span span);
bool value_to_schedule(Sema *s, const Value *v, Value *out);
Value call_schedule(Sema *s, Applied *schedule, const Args *args, Span span);
/* Around the graphs of a train block; the end makes plan->epoch_step. False: an error. */
void watchers_begin(Sema *s, TrainPlan *plan);
bool watchers_end(Sema *s);
Value schedule_binary(Sema *s, AstBinary op, const Value *a, const Value *b, Span span);
Value call_init(Sema *s, Decl *decl, const Args *args, Span span);
bool init_of_value(Sema *s, const Value *v, const Type *type, Span span, InitSpec *out);

/* ---- optim.c ---- */
/* group("*.bias", weight_decay=0.0): which params, and what is different for them. */
typedef struct ParamGroup {
    VEC(const char *) patterns; /* none: any name */
    int64_t max_rank;           /* -1: any */
    Args overrides;
    Applied *use; /* an optimizer of its own, NULL: the overrides */
    Span span;
} ParamGroup;

typedef struct OptimizerGroup {
    const ParamGroup *group;
    Applied *optimizer;
} OptimizerGroup;

/* Params of a plan that are updated together: the values now, their places in the plan's
 * tensors. */
typedef struct {
    Node **nodes, **gradients;
    uint32_t *indices;
    uint32_t count, capacity;
} ParamSet;

Value apply_optimizer(Sema *s, Decl *decl, const Args *args, Span span);
/* No param has a name like that: an error with the nearest name, false. */
bool report_pattern(Sema *s, const TensorSpecs *tensors, const char *pattern, Span span);
bool pattern_matches(const char *pattern, const char *name); /* * and ? stand for any characters */
ParamSet param_set_new(Sema *s, const TensorSpecs *tensors);
/* Adds the param at `index` of the tensors with its newest value in the current graph. */
void param_set_add(Sema *s, ParamSet *set, const TensorSpecs *tensors, uint32_t index);
/* Fills the gradients of a scalar, computed of `scale` times it; false: an error at span was
 * reported. */
bool param_set_gradients(Sema *s, ParamSet *set, double scale, Node *scalar, Span span);
void clip_gradients(Sema *s, ParamSet *set, const TrainSettings *settings);
/* The step number and the length of the run as values of optimizers and schedules. */
void optimizer_time(Sema *s, Span span);
/* Appends optimizer states to tensors; new values of params and states become the newest ones of
 * the current graph. */
bool optimizer_step(Sema *s, Applied *optimizer, TensorSpecs *tensors, const ParamSet *set);
/* ema.NAME of every param that has a new value. */
void average_params(Sema *s, TensorSpecs *tensors, double decay, Span span);
/* UPDATE roots for everything that has a new value. */
void state_roots(Sema *s, const TensorSpecs *tensors);

Instance *owner_new(Sema *s, const Applied *applied, const char *path, const char *suffix);
void owner_states(Sema *s, const Instance *self, TensorRole role, TensorSpecs *tensors,
                  uint32_t *first);
void declare_members(Sema *s, Instance *self);
Node *attach_asserts(Sema *s, Frame *frame, Node *node);
/* v in the type of a state or param; poison after an error. */
Value conform_state(Sema *s, const Value *v, const Type *type, const char *name, Span span);

/* ---- metric.c ---- */
/* Updates of one metric in the current graph; fills plan (once) and appends its states to tensors.
 */
bool metric_step(Sema *s, Applied *metric, const char *name, TensorSpecs *tensors,
                 MetricPlan *plan);
void metric_loss(Sema *s, const char *name, Node *loss, const Dim *batch, TensorSpecs *tensors, MetricPlan *plan,
                 Span span);

/* ---- block.c: keys of dataset and train blocks ---- */
typedef struct {
    const char *what; /* "train", "dataset", "split" */
    const char *name; /* of the block */
    const AstMembers *members;
} Block;

const AstExpr *block_value(Sema *s, const Block *block, const char *key,
                           Span *span);                             /* NULL: not written */
const AstMember *block_member(const Block *block, const char *key); /* a KEY or BLOCK */
/* Unknown and duplicate keys are errors; `known` ends with NULL. */
void block_check(Sema *s, const Block *block, const char *const *known);
bool block_sub(Sema *s, const Block *block, const char *key, Block *out);
bool block_int(Sema *s, const Block *block, Scope *scope, const char *key, int64_t least,
               int64_t *out, Span *span);
bool block_real(Sema *s, const Block *block, Scope *scope, const char *key, double low, double high,
                double *out, Span *span);
bool block_bool(Sema *s, const Block *block, Scope *scope, const char *key, bool *out);
/* sample.c: the sample block of a train block, into the graph of s->elab. */
bool sample_graph(Sema *s, const Block *train, Scope *scope, TrainPlan *plan);
void options_defines(Sema *s);
void options_check_overrides(Sema *s);
const AstExpr *parse_option(Sema *s, const char *shown, const char *text);

/* ---- step.c: steps written by hand ---- */
/* The fn step among the members, NULL: none. False: an error was reported. */
bool step_find(Sema *s, const Block *block, const AstFunction **out);
/* Roots for the instances that the lets of a block made: their paths are the names of the lets. */
void step_instances(Sema *s, const Scope *scope, TrainPlan *plan);
typedef enum {
    STEP_TRAIN,   /* its losses become metrics of the plan */
    STEP_MEASURE, /* nothing changes but metrics */
    STEP_SHOW     /* for pictures: losses are outputs */
} StepUse;

/* Expands the step into the current graph; `rows` has the values of the dataset. */
bool step_expand(Sema *s, TrainPlan *plan, const AstFunction *function, Scope *scope,
                 const Scope *rows, StepUse use);
void exec_minimize(Sema *s, const AstStmt *stmt);
const char *step_optimizer_path(Sema *s, const Applied *optimizer, const char *param);

/* ---- dataset.c, map.c ---- */
DatasetPlan *dataset_plan(Sema *s, Decl *decl);
/* The values of a row for expressions, with the axis `batch`: declared in scope. False: an error
 * was reported. */
bool dataset_values(Sema *s, Decl *decl, const Dim *batch, Scope *scope);
/* What a step reads of what its loader makes; NULL: nothing. */
Graph *map_read_by(Graph *map, const Graph *step);
void dataset_tensors(Sema *s, Decl *decl, TensorSpecs *tensors);

/* ---- train.c ---- */
TrainPlan *train_plan(Sema *s, Decl *decl);
Node *mean_loss(Sema *s, Node *loss);
/* What a scalar depends on, by id; nothing flows through a stop. */
bool *reached_from(Sema *s, const Node *scalar);
/* train_settings.c, update.c */
bool train_settings(Sema *s, const Block *block, Scope *scope, TrainSettings *set);
/* "valid/loss": is there such a part and such a metric? Else an error at span. */
bool train_monitors(Sema *s, const TrainPlan *plan, const char *monitor, Span span);
bool train_frozen(Sema *s, const Block *block, Scope *scope, TensorSpecs *tensors);
/* Gradients of the mean loss and what becomes of the params; one that the loss does not depend on
 * is an error. */
bool train_update(Sema *s, TrainPlan *plan, Applied *optimizer, Node *mean, Span span);
/* With accumulate: the gradients of update `number` of a step are added to its sums, and another
 * graph, plan->apply_step, uses the sums up, one update after the other. */
typedef struct {
    Applied *optimizer;
    ParamSet set;
} HeldUpdate;
void update_hold(Sema *s, TrainPlan *plan, const ParamSet *set, uint32_t number);
bool updates_apply(Sema *s, TrainPlan *plan, HeldUpdate *held, uint32_t count);
TrainPlan *module_plan(Sema *s, Decl *decl, const Value *model, Span span);
bool forward_graph(Sema *s, TrainPlan *plan, Instance *model, const Args *sample);
void generic_checks(Sema *s);
/* The declared type of a parameter; unbound names in it become symbols, of their own name in
 * sema_module. */
bool declared_type(Sema *s, const AstType *type, Scope *scope, Type *out);

/* ---- import.c ---- */
SemaFile *file_main(Sema *s, const AstFile *ast);
SemaFile *file_load_std(Sema *s, const char *name);
const char *std_where(Sema *s,
                      const char *name); /* the library file that declares name, NULL: none */
/* The import that brings `name`, under its name here: "from losses import mse". NULL: there is
 * none. */
const char *std_import(Sema *s, const char *name);

#endif
