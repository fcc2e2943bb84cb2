/* The analysis: a tree goes in, plans made of graphs come out.
 *
 * Stage in: an AstFile. Stage out: a SemaProgram with a DatasetPlan per dataset and a TrainPlan per
 * train block. Key idea: sema is a partial evaluator. Sizes, modules, lists and flags are values at
 * compile time and disappear; what is left of a program are the operations on tensors, and those
 * are nodes of the plans' graphs.
 *
 *   train fit on points {
 *       model = Net(); loss = mse(model(x), y); optimizer = sgd(lr=0.01); batch = 100
 *   }
 *
 * becomes a tensor list {fc1.weight f32[4, 3], ...}, a graph train_step (x, y, step -> loss, new
 * weights), a graph eval_step (x, y -> new metric states), a graph predict (x -> output) and
 * settings {batch 100, ...}.
 *
 * Ownership: everything lives in the arena given to sema_check. A plan has its graphs only when
 * diag has no errors. */
#ifndef NNC_SEMA_SEMA_H
#define NNC_SEMA_SEMA_H
#include "compiler/ast/ast.h"
#include "compiler/graph/graph.h"
#include "runtime/base/initial.h"

/* ---- Options ---- */

typedef struct {
    bool float64;               /* --float=f64: f32 means f64 throughout */
    const char *const *defines; /* -D name=value */
    uint32_t define_count;
    const char *const *overrides; /* --set block.key=value */
    uint32_t override_count;
    struct SemaLibrary *library; /* files of the library parsed for earlier programs, NULL: none */
    const char *std_folder; /* read the library from *.nn there instead of the built-in texts; NULL:
                               built in */
    /* The text of another program file (`path` is relative to the program's file, as written:
     * "layers.nn"), NULL when there is none. The text must live as long as the arena. NULL
     * callback: no other files. */
    const char *(*read_file)(void *user, const char *path, size_t *length);
    void *user;
} SemaOptions;

/* ---- Tensors that live between calls ---- */

typedef enum {
    TENSOR_PARAM,  /* trained: "conv1.weight" */
    TENSOR_STATE,  /* of the model: "bn.running_mean" */
    TENSOR_OPTIM,  /* "optim.m.conv1.weight" */
    TENSOR_METRIC, /* "metric.accuracy.hit": reset before every pass over data, merged by sum */
    TENSOR_STAT,   /* "stat.m": computed once from the training rows (DatasetPlan.stats) */
    TENSOR_AVERAGE /* "ema.conv1.weight": a running mean of a param, what evaluation uses; saved */
} TensorRole;

typedef struct {
    const char *name;
    TensorRole role;
    Type type; /* constant dims */
    InitSpec init;
    bool trainable; /* false for params that are frozen */
    const char *file, *file_name; /* of load(M(), "file"): where its initial value is; NULL: init */
    bool file_partial;            /* the file need not have it */
    Span span;
} TensorSpec;

typedef VEC(TensorSpec) TensorSpecs;

/* ---- The model, for `nnc summary` and `nnc graph` ---- */

typedef struct SemaInstance SemaInstance;
struct SemaInstance {
    const char *path;   /* "" for the model itself, "blocks.0.fc" */
    const char *name;   /* the last part of the path */
    const char *module; /* "Conv2d" */
    const char *detail; /* its arguments as text: "1, 32, k=3, pad=1" */
    Span span;
    SemaInstance *parent;
    VEC(SemaInstance *) children;
    VEC(uint32_t) tensors; /* own params and states: indices in the plan's tensors */
    bool in_std;           /* declared in the library: a leaf for pictures */
};

/* One call made while the forward graph was built, in order of completion of its arguments. Edges
 * of a picture: a call consumes the nodes `inputs` that another call has among its `outputs`. */
typedef struct {
    const char *name;             /* "conv1", "relu", "max_pool" */
    const SemaInstance *instance; /* NULL: a plain function */
    int32_t
        parent;  /* index of the call in whose body it stands, -1: the model's own call has none */
    bool in_std; /* the callee is of the library */
    const char *detail; /* constant arguments as text: "2", "from=1" */
    VEC(Node *) inputs; /* of the forward graph */
    VEC(Node *) outputs;
    Span span;
} SemaCall;

typedef VEC(SemaCall) SemaCalls;

/* A relation of dimensions that could not be proved: to be evaluated with the sizes of a call
 * before it runs. */
typedef struct {
    const Dim *left, *right; /* must be equal */
    Span span;
    const char *text; /* "fc1 takes f32[..., 10] and gets f32[B, T]: T must be 10" */
} DimCheck;

typedef VEC(DimCheck) DimChecks;

/* ---- Datasets ---- */

typedef enum {
    SOURCE_IDX,
    SOURCE_CSV,
    SOURCE_NPY,
    SOURCE_NPZ,
    SOURCE_ARRAYS,
    SOURCE_TEXT,
    SOURCE_HOST
} SourceKind;
typedef enum { ARGUMENT_STRING, ARGUMENT_NUMBER, ARGUMENT_BOOL } ArgumentKind;

typedef struct {
    const char *name; /* NULL: positional */
    ArgumentKind kind;
    const char *text; /* strings as written; paths are relative to the program's file */
    double number;
    bool flag;
    Span span;
} SourceArgument;

typedef enum { TOKENS_BYTES, TOKENS_CHARS, TOKENS_BPE } TokenKind;

/* text("a.txt", tokens="chars", window=64): rows are windows of tokens. */
typedef struct {
    TokenKind tokens;
    int64_t window, stride, vocabulary; /* vocabulary 0: not written */
    const char *tokenizer;              /* path, NULL: none */
} TextPlan;

typedef struct {
    SourceKind kind;
    VEC(SourceArgument) arguments;
    TextPlan text; /* SOURCE_TEXT */
    /* SOURCE_ARRAYS: no inputs; one OUTPUT per field, [rows, ...]; random numbers take the plan's
     * `arrays_seed`. */
    Graph *arrays;
    int64_t rows; /* SOURCE_ARRAYS: number of rows */
    Span span;
} SourcePlan;

typedef struct {
    const char *name;
    Type row;      /* of one example: u8[28, 28], i32[]; a category is i32 */
    bool category; /* the column holds words; the value is the index of the word */
    const char *const *words;
    uint32_t word_count; /* 0: the words of the training file, sorted */
    bool sequence;       /* chars(n): the column holds texts; the value is i32[n], their tokens */
    int64_t vocabulary;  /* of a sequence; 0: not written */
    Span span;
} FieldPlan;

/* let m, s = moments(x): mean and standard deviation (of the population; 0 becomes 1) over the
 * training rows, per element. */
typedef struct {
    const char *mean,
        *deviation; /* names of TENSOR_STAT tensors of the train plan, "stat.m"; "" when not used */
    Graph *graph;   /* INPUT fields [B, ...] -> OUTPUT "value" f64[B, ...] */
    Type type;      /* of both tensors */
    Span span;
} StatPlan;

typedef struct {
    const char *name;
    Span span;
    bool has_source, has_test, has_valid;
    SourcePlan source, test, valid;
    VEC(FieldPlan) fields;
    double valid_fraction, test_fraction; /* of the split block, 0: none */
    const char *stratify;                 /* field, NULL: none */
    int64_t split_seed;
    bool split_last; /* take the last rows instead of random ones */
    Span split_span, stratify_span;
    int64_t arrays_seed;
    VEC(StatPlan) stats;
    bool has_map;
} DatasetPlan;

/* ---- Train blocks ---- */

typedef struct {
    const char *name; /* "loss", "accuracy" */
    bool higher_is_better, has_better;
    VEC(uint32_t) states; /* indices in tensors */
    Graph *result; /* STATE leaves "metric.NAME.x" -> OUTPUT "value": scalar, vector or matrix */
    Type type;     /* of the value */
    Span span;
} MetricPlan;

typedef struct {
    int64_t batch, epochs, steps,
        seed; /* 0 epochs: not written; 0 steps: not written; seed -1: not written */
    int64_t prefetch; /* batches that a loader makes ahead */
    bool shuffle, drop_last;
    bool has_early_stop;
    const char *monitor; /* "valid/accuracy" */
    int64_t patience;
    double min_delta;
    bool has_checkpoint;
    int64_t checkpoint_every, checkpoint_keep; /* every 0: not written */
    double checkpoint_minutes;      /* 0: not written */
    int64_t accumulate;             /* batches of one optimiser step */
    double clip_norm, clip_value;   /* 0: not written */
    double ema;                     /* decay of the running mean of the params, 0: none */
    DType precision;                /* of operands and results of products: f32, bf16 or f16 */
    double loss_scale;              /* gradients are computed of so many times the loss */
    Span batch_span, epochs_span, steps_span, monitor_span;
} TrainSettings;

/* Inputs of a sample graph, of a text only: tokens to go on from (i32[context]; the first
 * `length` count), and how to draw. */
#define SAMPLE_PROMPT "sample.prompt"
#define SAMPLE_LENGTH "sample.length"
#define SAMPLE_TEMPERATURE "sample.temperature"
#define SAMPLE_TOP_K "sample.top_k"
#define SAMPLE_TOP_P "sample.top_p"

typedef struct {
    bool has_images, has_text;
    int64_t every;   /* steps, 0: only when asked for */
    int64_t context; /* tokens of a text */
    Graph *graph;    /* OUTPUT "images", a float [H, W] or [1 or 3, H, W]; OUTPUT "text", i32[context]. NULL: no block */
    Span span;
} SamplePlan;

typedef struct {
    const char *name; /* of the train block, or of the module for sema_module */
    Span span;
    const DatasetPlan *dataset; /* NULL for sema_module */
    const char *model_name;     /* "LeNet" */
    bool by_hand; /* the block has a step of its own: model only groups its models, forward gives its losses */
    SemaInstance *model;
    SemaCalls calls; /* of the forward graph */
    TensorSpecs tensors;
    const Dim *batch; /* the free symbol B in front of every input */

    /* INPUT leaves: raw fields "image": u8[B, 28, 28], scalars "step" i64 (optimiser steps done so
     * far) and "total_steps" i64; PARAM and STATE leaves by tensor name. Only live leaves need to
     * be bound. */
    Graph *train_step; /* OUTPUT "loss" (mean), "lr" (f64, when the optimizer has one); UPDATE
                          params, optim, states, metrics */
    Graph *apply_step; /* with accumulate: train_step adds gradients to "optim.sum.NAME", this uses
                          them up; INPUT "step", "total_steps", OUTPUT "lr". NULL: none */
    Graph *epoch_step; /* after an epoch: INPUT "valid/loss" and the like, f64; UPDATE states of
                          schedules that watch them. NULL: there are none */
    Graph *eval_step;  /* training = false; UPDATE metric states */
    /* What the loader makes of a row before the step (sema/map.c): INPUT raw fields of one
     * example, STATE leaves, OUTPUT "map.NAME", which the step has as an INPUT with the batch in
     * front. NULL: all of the map is in the step. */
    Graph *train_map, *eval_map, *predict_map;
    Graph *predict;    /* raw fields -> OUTPUT "output", or one per named result */
    Graph *forward;    /* INPUT per argument of the model's fn, after map -> OUTPUT per result;
                          training = false */
    VEC(MetricPlan) metrics; /* [0] is "loss" */
    TrainSettings settings;
    SamplePlan sample;
    DimChecks checks;
} TrainPlan;

typedef struct {
    const char *name;
    AstItemKind kind;
    const char *doc;
    Span span;
} SemaItem;

typedef struct {
    Arena *arena;
    DimTable *dims;
    VEC(DatasetPlan *) datasets;
    VEC(TrainPlan *) trains;
    VEC(SemaItem) items; /* what the file declares */
    DimChecks
        checks; /* of all plans and of the generic checks of unused modules: nnc check --dims */
    struct Sema *sema; /* private */
} SemaProgram;

/* The trees of the built-in library, shared by the programs of one SourceMap: each file is
 * parsed for the first program that wants it. Lives longer than those programs. */
typedef struct SemaLibrary SemaLibrary;
SemaLibrary *sema_library_new(void);
void sema_library_free(SemaLibrary *library); /* NULL is allowed */

/* Checks the whole file and builds all plans. Never NULL; errors are in diag. */
SemaProgram *sema_check(Arena *arena, SourceMap *map, const AstFile *file,
                        const SemaOptions *options, Diag *diag);
/* A module of the file made with default arguments, or those of `arguments` ("classes=5, width=8";
 * NULL: none), for hosts without a train block: tensors, model and forward are set. NULL: errors
 * are in diag. */
TrainPlan *sema_module(SemaProgram *program, const char *name, const char *arguments, Diag *diag);

#endif
