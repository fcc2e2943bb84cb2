/* Shared by the files of the training loop. */
#ifndef NNC_TRAIN_TRAINER_PRIVATE_H
#define NNC_TRAIN_TRAINER_PRIVATE_H
#include "runtime/tensor/tensor.h"
#include "runtime/train/loader.h"
#include "runtime/train/trainer.h"

/* One function with its arguments bound: params and states to tensors, inputs to columns or
 * scalars, outputs to memory. */
typedef struct {
    const Function *function;
    Loader *loader;     /* makes the inputs "map.NAME", NULL: there are none */
    void **buffers;
    void **owned;       /* staging of inputs and memory of outputs, one per argument, NULL: not ours */
    int64_t capacity;   /* rows that fit in the staging */
} Binding;

typedef struct {
    nnc_metric *items;
    double **values;    /* memory of array metrics */
    size_t count;
} MetricSet;

struct Trainer {
    const TrainSpec *spec;
    Session *session;
    Diag *diag;
    void **tensors;
    void **snapshot;    /* everything that a step changes, at snapshot_step; NULL: it is in a file */
    int snapshot_file;  /* its descriptor + 1, 0: none */
    void **best;        /* parameters and states at the best epoch, when stopping early */
    Binding train, apply, eval, after_epoch;
    double *watched;      /* inputs of after_epoch: a value per part and metric */
    Loader *loader, *eval_loader; /* NULL: the step takes the fields of the data */
    Binding *results;   /* per metric */
    MetricSet sets[PART_COUNT];
    void (*on_event)(void *, const nnc_event *);
    void *event_user;
    const char *(*finish)(void *, nnc_status);
    void *finish_user;
    void (*on_moment)(void *, TrainMoment);
    void *moment_user;
    int64_t step, total_steps;
    int64_t epoch;         /* finished, with their evaluation */
    int64_t snapshot_step; /* in the epoch that is not finished */
    bool can_replay;       /* the snapshot has all that a step changes */
    int64_t resumed;       /* the step at which this process took over, 0: it began the run */
    double loss, lr;       /* of the last step */
    int64_t micro;         /* batches of this step before: other random numbers for each */
    int64_t evaluated;     /* in an evaluation: the first row of the batch; else -1 */
    int64_t batch_rows;    /* of the last batch */
    double mean_loss;      /* over the batches of the step */
    int64_t scalar_step, scalar_total; /* inputs "step" and "total_steps" */
    double best_value;
    int64_t best_step; /* steps at the best epoch's end */
    int64_t epochs_since_best;
    bool has_best;
    atomic_bool stop;
};

size_t tensor_bytes(const RunTensor *spec);
bool binding_open(Binding *binding, Trainer *trainer, const Function *function, const DataTable *table, int64_t rows,
                  Loader *loader);
void binding_close(Binding *binding);
void *binding_output(const Binding *binding, const char *name); /* NULL: none */
/* Rows order[first .. first+count) of the part into the staging of the binding; `first` is a
 * multiple of a full batch. */
nnc_status binding_fill(Binding *binding, const DataPart *part, const int64_t *order, int64_t first, int64_t count);
/* debug.c: what debug(x) of the program saw, for the event of a step; returns how many. */
enum { DEBUG_MAX = 64, DEBUG_FIRST = 6 };
size_t debug_collect(const Binding *binding, int64_t step, nnc_debug out[DEBUG_MAX]);
nnc_status binding_call(Trainer *trainer, Binding *binding, int64_t rows, const DataPart *part, const int64_t *order);

void metrics_reset(Trainer *trainer);
nnc_status metrics_collect(Trainer *trainer, nnc_part part);
/* Puts a result that was saved back; f64 of rank 0 to 2. False: memory was refused, or the shape
 * is another. */
bool metrics_put(Trainer *trainer, nnc_part part, int index, const Tensor *saved);
nnc_status evaluate_part(Trainer *trainer, nnc_part part);
/* What a model is made of (parameters and states) or everything that a step changes, into *copy. */
typedef enum { COPY_MODEL, COPY_ALL } CopyScope;
bool tensors_copy(Trainer *trainer, CopyScope scope, void ***copy);
void tensors_restore(Trainer *trainer, void *const *copy);
void tensors_discard(Trainer *trainer, void **copy);
void *tensor_memory(size_t bytes); /* aligned; NULL: refused */
bool tensor_is_finite(const RunTensor *spec, const void *data);
double now_seconds(void);

/* loop.c: steps of an epoch. `order` is that of its rows, NULL: as they are. */
int64_t steps_of_epoch(const TrainSpec *spec);
/* Step `index` of an epoch on the tensors as they are; *rows of the batch. trainer->step does
 * not change. */
uint64_t random_step(const Trainer *trainer); /* what the random numbers of a call depend on */
nnc_status step_call(Trainer *trainer, const int64_t *order, int64_t index, int64_t *rows);
double step_output(const Trainer *trainer, const char *name); /* "loss", "lr"; NaN: there is none */

/* snapshot.c: the copy that a divergence goes back to. False: memory was refused, the file
 * cannot be read. */
enum { SNAPSHOT_STEPS = 256 }; /* a copy is at most so old: what a divergence has to make again */
bool snapshot_take(Trainer *trainer);
bool snapshot_restore(Trainer *trainer); /* also trainer->step */
void snapshot_drop(Trainer *trainer);

/* diverge.c: something is not finite after step `last` of the unfinished epoch. Says which
 * operation began it, and leaves the trainer as it was before that step. */
nnc_status diverged(Trainer *trainer, const int64_t *order, int64_t last);
/* Is the loss or a parameter not finite after a step? Then *what says so. */
bool step_is_bad(Trainer *trainer, double loss, StrBuf *what);

#endif
