/* nnc/nnc.h: compile, train and run neural networks written in the .nn language, from C.
 *
 *     nnc_context *context;
 *     nnc_program *program;
 *     nnc_trainer *trainer;
 *     if (nnc_context_new(NULL, &context) == NNC_OK &&
 *         nnc_program_load(context, "xor.nn", NULL, &program) == NNC_OK &&
 *         nnc_trainer_new(program, NULL, NULL, &trainer) == NNC_OK &&
 *         nnc_trainer_run(trainer) == NNC_OK)
 *         nnc_trainer_save(trainer, "xor.safetensors");
 *     else
 *         fputs(nnc_diagnostics(context, NNC_TEXT), stderr);
 *
 * Rules that hold everywhere: a call returns a status, and its outputs come last and are untouched
 * when it fails. Handles are opaque and reference-counted: NAME_new and NAME_load give one
 * reference, NAME_release takes it back (NULL is allowed); a handle keeps what it was made from
 * alive. Option structs begin with their size; NULL means all defaults. Strings are UTF-8. The
 * library never prints, exits, installs signal handlers or reads the environment. One context and
 * what was made from it may be used by one thread at a time; different contexts are independent. */
#ifndef NNC_NNC_H
#define NNC_NNC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NNC_API __attribute__((visibility("default")))

/* status, exit code of the command, what it means */
#define NNC_STATUS_MAP(X)                                                                          \
    X(OK, 0, "done")                                                                               \
    X(PROGRAM, 1, "the program is wrong: nnc_diagnostics says where")                              \
    X(DATA, 2, "data or a file could not be read or written: nnc_diagnostics says which")          \
    X(DIVERGED, 3, "a loss became NaN or infinite")                                                \
    X(MEMORY, 4, "memory was refused")                                                             \
    X(ARGUMENT, 5, "an argument of the call is wrong: nnc_diagnostics says which")                 \
    X(UNSUPPORTED, 6, "this build or machine cannot do that")                                      \
    X(INTERRUPTED, 130, "stopped on request; the work so far was saved")

typedef enum {
#define NNC_STATUS_ENUM(name, code, text) NNC_##name = code,
    NNC_STATUS_MAP(NNC_STATUS_ENUM)
#undef NNC_STATUS_ENUM
} nnc_status;

typedef struct nnc_context nnc_context; /* threads, host functions, diagnostics */
typedef struct nnc_program nnc_program; /* checked source, immutable */
typedef struct nnc_model nnc_model;     /* weights of one train block's model */
typedef struct nnc_session nnc_session; /* runs a model on rows */
typedef struct nnc_trainer nnc_trainer; /* trains a model */
typedef struct nnc_tensor nnc_tensor;   /* an array: owned or wrapped */

NNC_API const char *nnc_version(void);                  /* "0.1.0" */
NNC_API const char *nnc_status_text(nnc_status status); /* one sentence */
/* The page of an error code such as "E0312"; NULL: no such code. */
NNC_API const char *nnc_explain(const char *code);
NNC_API void nnc_free(void *memory); /* strings that the library handed out */

/* ---- Context ---- */

typedef struct {
    size_t size; /* sizeof(nnc_context_options) */
    int threads; /* workers for kernels; 0: one per allowed processor */
    /* Where compiled kernels are kept for other processes and days, by their contents: a folder
     * of its own, made when it is needed. NULL: nowhere. It must not be writable for others:
     * what is in it is run. Failures are no errors: what cannot be read or written is compiled. */
    const char *cache_dir;
    int64_t cache_bytes; /* what was used least recently is removed above that; 0: 256 MiB */
} nnc_context_options;

NNC_API nnc_status nnc_context_new(const nnc_context_options *options, nnc_context **context);
NNC_API void nnc_context_release(nnc_context *context);

/* What a cache_dir holds; a folder that is not there holds nothing. */
NNC_API void nnc_cache_size(const char *cache_dir, int64_t *files, int64_t *bytes);
/* Removes it, and no other file of that folder. NNC_DATA: something could not be removed. */
NNC_API nnc_status nnc_cache_clear(const char *cache_dir);

typedef enum { NNC_TEXT, NNC_TEXT_COLOUR, NNC_JSON } nnc_format;

/* What was wrong in the last failing call on this context, errors with file, line and column; valid
 * until the next call. */
NNC_API const char *nnc_diagnostics(nnc_context *context, nnc_format format);

/* Makes a C function callable from programs that declare `extern fn NAME`, through libffi; the
 * newest of a name counts. Signatures:
 *   "f32(f32, f32)"                        scalar: called once per element of arguments of one
 *                                          shape
 *   "void(const f32 *, f32 *, i64, i64)"   buffers: addresses of the arguments and of the result,
 *                                          then the sizes of all of them, axis by axis
 * Element types: f32 f64 i32 i64 u8. The function must be pure; any thread may call it. */
NNC_API nnc_status nnc_context_extern(nnc_context *context, const char *name,
                                      void (*function)(void), const char *signature);

/* ---- Program ---- */

typedef struct {
    size_t size;
    const char *const *defines; /* "classes=5": values for top-level constants */
    size_t define_count;
    const char *const *settings; /* "train.batch=64", "train.epochs=3": keys of the train block */
    size_t setting_count;
    bool f64;        /* f64 wherever the program says f32 */
    bool interpret;  /* the interpreter in place of compiled code */
    bool no_fuse;    /* one kernel per operation: for finding bugs */
    const char *cpu; /* code for another processor of this architecture: "haswell" */
} nnc_program_options;

/* Reads, parses and checks. NNC_PROGRAM: errors in nnc_diagnostics; NNC_DATA: the file cannot be
 * read. */
NNC_API nnc_status nnc_program_load(nnc_context *context, const char *path,
                                    const nnc_program_options *options, nnc_program **program);
/* The same for a text; `name` is shown in errors, paths in the text are relative to its folder. */
NNC_API nnc_status nnc_program_parse(nnc_context *context, const char *name, const char *text,
                                     const nnc_program_options *options, nnc_program **program);
NNC_API void nnc_program_release(nnc_program *program);
NNC_API size_t nnc_program_block_count(const nnc_program *program); /* train blocks */
/* NULL: no such block. */
NNC_API const char *nnc_program_block_name(const nnc_program *program, size_t i);

/* A text about the program. `what` is one of ast, dims (checks left for run time), summary (table
 * of the model), dot and svg (picture of the model), memory (the plan for people), memory_peak (all
 * that is live at its peak), memory_svg (a picture of it), or a stage of
 * the compiler with an optional function after a dot (train, eval, predict, forward; train by
 * default): graph, after:PASS, final, schedule, plan, kernel, llvm, asm, so "kernel.predict".
 * `block` NULL: the first train block. The caller frees *text with nnc_free. */
NNC_API nnc_status nnc_program_text(nnc_program *program, const char *block, const char *what,
                                    char **text);

typedef struct {
    size_t size;
    const char *function; /* train, eval, predict, forward, apply or map; NULL: train */
    int steps;            /* to measure, after one that is not; 0: for about a second */
    bool compile;         /* also what every kernel costs to compile, and the size of its code */
    nnc_format format;
    const char *trace;    /* a file for a viewer of Chrome traces: one more step, thread by thread;
                           * NULL: none */
} nnc_time_options;

/* Runs a function of a block on made-up inputs and says where the time goes: per kernel and line of
 * the model the time of a step, its arithmetic and traffic, and the share of what this machine can
 * do, measured on the way. Nothing is read or trained. The caller frees *text with nnc_free. */
NNC_API nnc_status nnc_program_time(nnc_program *program, const char *block,
                                    const nnc_time_options *options, char **text);

typedef struct {
    size_t size;
    const char *weights; /* safetensors to embed; NULL: weights are an argument of the function */
    const char *name;    /* prefix of the C names; NULL: the block's name */
    const char *header;  /* path of the header; NULL: the object's path with .h */
} nnc_compile_options;

/* Ahead of time: the model's forward function as an object file and a C header that need libm only.
 * Its arguments are those of the model's fn, after the dataset's map. */
NNC_API nnc_status nnc_program_compile(nnc_program *program, const char *block, const char *object,
                                       const nnc_compile_options *options);

/* ---- Training ---- */

typedef struct {
    const char *name;
    double value; /* NaN over an empty set */
    int rank;     /* 0: value; else an array, as a confusion matrix [actual, predicted] */
    int64_t sizes[2];
    const double *values; /* rank > 0 */
} nnc_metric;

/* What debug(x) in a program saw in a step. */
typedef struct {
    const char *name; /* "scores: f32[B, 3] at net.nn:12" */
    double min, mean, max;
    double first[6]; /* elements, in order */
    int first_count; /* fewer than 6 where fewer were seen */
} nnc_debug;

typedef enum { NNC_EVENT_START, NNC_EVENT_STEP, NNC_EVENT_EPOCH, NNC_EVENT_END } nnc_event_kind;

typedef struct {
    nnc_event_kind kind;
    const char *file, *block;
    /* START */
    uint64_t seed;
    int threads, kernels;
    int64_t parameters, examples_train, examples_valid, examples_test;
    double compile_ms;
    int64_t arena_bytes; /* predicted for a full batch */
    const char *initial; /* what was taken from the file of `init`, in a sentence; or NULL */
    int64_t resumed;     /* steps that were done before, by another process; 0: none */
    const char *notice;  /* START: from which checkpoint, and which were damaged; STEP, EPOCH: what
                          * could not be written; a sentence, or NULL */
    /* STEP (every one), EPOCH, END */
    int64_t step, steps; /* done, planned */
    int64_t epoch, epochs;
    int64_t step_of_epoch, steps_of_epoch, rows; /* rows of the batch */
    double loss, lr;
    double seconds; /* EPOCH: training steps alone, waiting for data included; END:
                                      the whole run */
    double waiting_seconds; /* STEP, EPOCH: of `seconds`, those in which steps waited for rows that a
                             * loader makes */
    double valid_seconds;
    double step_ms_min, step_ms_median, step_ms_max;
    const nnc_metric *train, *valid, *test;
    size_t train_count, valid_count, test_count;
    bool improved;      /* EPOCH: best so far by the monitored metric */
    bool stopped_early; /* END */
    int64_t arena_bytes_used, peak_rss_bytes;
    const char *saved; /* END: where the weights are, NULL: nowhere */
    const nnc_debug *debug; /* STEP: values that the program asked for */
    size_t debug_count;
} nnc_event;

typedef struct {
    size_t size;
    uint64_t seed;       /* of initial values, order and random numbers; 0: the block's, or 0 */
    const char *init;    /* safetensors, or a checkpoint or run folder, to start from, by name */
    bool init_partial;   /* missing and unknown names are allowed */
    const char *run_dir; /* NULL: nothing is written while training; else NNC_DATA when it holds the
                          * checkpoints of an earlier run and `resume` is not set */
    const char *save;    /* weights at the end; NULL: run_dir/weights.safetensors if there is one */
    /* Called on the training thread; NULL: never. */
    void (*on_event)(void *user, const nnc_event *event);
    void *user;
    bool same_parts; /* without a seed: that of the run that wrote `init`, so that the rows that
                      * were kept from training are the same */
    bool resume; /* with run_dir: go on from its newest whole checkpoint (damaged ones are skipped: the
                  * START event's notice says so), or begin when there is none; the rest of the run
                  * has the same bytes as if it had not been interrupted. NNC_DATA: the checkpoint
                  * is of another program, seed, data or setting */
    int loader_threads; /* that make rows ahead of the steps, where the map of the dataset draws random
                         * numbers; 0: by the number of processors, -1: none. Changes nothing but time */
} nnc_trainer_options;

/* Compiles the block, reads its data, makes the initial weights. */
NNC_API nnc_status nnc_trainer_new(nnc_program *program, const char *block,
                                   const nnc_trainer_options *options, nnc_trainer **trainer);
NNC_API void nnc_trainer_release(nnc_trainer *trainer);
/* Trains to the end of the block. NNC_DIVERGED: the last good weights are kept. NNC_INTERRUPTED:
 * nnc_trainer_stop was called; another call goes on from there and ends with the same weights as
 * one that was never stopped. */
NNC_API nnc_status nnc_trainer_run(nnc_trainer *trainer);
/* Asks a running trainer to finish its step, save and return. May be called from a signal handler
 * or another thread. */
NNC_API void nnc_trainer_stop(nnc_trainer *trainer);
typedef enum { NNC_PART_TRAIN, NNC_PART_VALID, NNC_PART_TEST } nnc_part;
/* Metrics over one part of the data; NNC_ARGUMENT: the part has no rows. The array belongs to the
 * trainer and is valid until its next call. */
NNC_API nnc_status nnc_trainer_evaluate(nnc_trainer *trainer, nnc_part part,
                                        const nnc_metric **metrics, size_t *count);
NNC_API nnc_status nnc_trainer_save(nnc_trainer *trainer, const char *path);
/* Writes a checkpoint: a folder with the weights (weights.safetensors, for nnc_model_load and
 * for `init`), everything else that a step changes (optimizer, metrics, the best weights so far)
 * and the place in the data. The folders above `path` are made; a checkpoint of that name is
 * replaced as a whole. Between calls of nnc_trainer_run, or from on_event at EPOCH events.
 * NNC_DATA: not written, and the older one is still there. Runs with a run_dir write their own,
 * as the `checkpoint` block says and when they are stopped. */
NNC_API nnc_status nnc_trainer_checkpoint(nnc_trainer *trainer, const char *path);
/* Takes the trainer to where a checkpoint was made; nnc_trainer_run goes on from there and ends
 * with the same weights as the run that wrote it. `path`: a folder of nnc_trainer_checkpoint or
 * of a run (RUN/checkpoints/step-500, or best or last beside it), or RUN itself: its newest
 * whole one. The file is read now and not kept. NNC_DATA: damaged, or of another program, seed,
 * data or setting (nnc_diagnostics says which); the trainer is as it was. */
NNC_API nnc_status nnc_trainer_resume(nnc_trainer *trainer, const char *path);
NNC_API nnc_status nnc_trainer_model(nnc_trainer *trainer, nnc_model **model); /* shares weights */
/* One line of JSON as in docs/cli.md; the caller frees it with nnc_free. */
NNC_API nnc_status nnc_event_json(const nnc_event *event, char **line);

/* ---- Models and sessions ---- */

/* The model of a block with the weights of a file, a checkpoint or a run's folder (NULL: initial
 * weights, and statistics of the data that change nothing). */
NNC_API nnc_status nnc_model_load(nnc_program *program, const char *block, const char *weights,
                                  nnc_model **model);
NNC_API void nnc_model_release(nnc_model *model);
NNC_API nnc_status nnc_model_save(nnc_model *model, const char *path);
NNC_API size_t nnc_model_tensor_count(const nnc_model *model);
NNC_API const char *nnc_model_tensor_name(const nnc_model *model, size_t i); /* NULL: none */
/* A view of a weight: writes go into the model. */
NNC_API nnc_status nnc_model_tensor(nnc_model *model, const char *name, nnc_tensor **tensor);

NNC_API nnc_status nnc_session_new(nnc_model *model, nnc_session **session);
NNC_API void nnc_session_release(nnc_session *session);
NNC_API size_t nnc_session_input_count(const nnc_session *session);
NNC_API size_t nnc_session_output_count(const nnc_session *session);
/* Names, and shapes as "f32[B, 3]"; NULL: there is no such input or output. Inputs are fields of
 * the dataset, before its map. */
NNC_API const char *nnc_session_input_name(const nnc_session *session, size_t i);
NNC_API const char *nnc_session_input_shape(const nnc_session *session, size_t i);
NNC_API const char *nnc_session_output_name(const nnc_session *session, size_t i);
NNC_API const char *nnc_session_output_shape(const nnc_session *session, size_t i);
/* inputs: one tensor per input in order, the first axis the batch. outputs: filled with new tensors
 * that the caller releases. */
/* Input i is a field of words or texts (category, chars) of the dataset. */
NNC_API bool nnc_session_input_is_text(const nnc_session *session, size_t i);
/* Writes a row of such an input, as a cell of the training data was read: tensor is i32[rows,
 * ...]. */
NNC_API nnc_status nnc_session_read_text(nnc_session *session, size_t i, const char *text,
                                         nnc_tensor *tensor, int64_t row);
NNC_API nnc_status nnc_session_run(nnc_session *session, nnc_tensor *const *inputs,
                                   nnc_tensor **outputs);

/* ---- Samples ---- */

typedef struct {
    size_t size;
    const char *prompt;  /* of a text; NULL or "": a line's end */
    int64_t tokens;      /* of a text, the prompt not counted; 0: as many as the context has */
    double temperature;  /* 0: always the most likely token; 1: as the model says */
    int64_t top_k;       /* only the k most likely tokens; 0: all */
    double top_p;        /* only the most likely tokens with this probability together; 0 or 1: all */
    uint64_t seed;
    const char *picture; /* path of the PNG file, where the block has images */
} nnc_sample_options;

/* What the sample block of the model's train block makes with the model's weights: a picture
 * into a file, a text into *text (UTF-8 as far as the model writes it; freed with nnc_free; NULL
 * where the block makes none). */
NNC_API nnc_status nnc_model_sample(nnc_model *model, const nnc_sample_options *options, char **text);

/* ---- Tensors ---- */

/* Elements of f16 and bf16 are their 16 bits. */
typedef enum {
    NNC_BOOL,
    NNC_U8,
    NNC_I32,
    NNC_I64,
    NNC_F32,
    NNC_F64,
    NNC_I8,
    NNC_F16,
    NNC_BF16
} nnc_dtype;

/* Zeros. */
NNC_API nnc_status nnc_tensor_new(nnc_dtype dtype, int rank, const int64_t *sizes,
                                  nnc_tensor **tensor);
/* A view of the caller's row-major memory, which must outlive the tensor. */
NNC_API nnc_status nnc_tensor_wrap(nnc_dtype dtype, int rank, const int64_t *sizes, void *data,
                                   nnc_tensor **tensor);
NNC_API void nnc_tensor_release(nnc_tensor *tensor);
/* An element in row-major order as a double, whatever its type; i64 beyond 2^53 is rounded. To
 * set one rounds to nearest even, and cuts a fraction off for integers. NaN, or NNC_ARGUMENT:
 * there is no such element. */
NNC_API double nnc_tensor_number(const nnc_tensor *tensor, int64_t element);
NNC_API nnc_status nnc_tensor_set_number(nnc_tensor *tensor, int64_t element, double value);
NNC_API nnc_dtype nnc_tensor_dtype(const nnc_tensor *tensor);
NNC_API int nnc_tensor_rank(const nnc_tensor *tensor);
NNC_API int64_t nnc_tensor_size(const nnc_tensor *tensor, int axis);
NNC_API int64_t nnc_tensor_elements(const nnc_tensor *tensor);
NNC_API void *nnc_tensor_data(nnc_tensor *tensor);

#ifdef __cplusplus
}
#endif
#endif
