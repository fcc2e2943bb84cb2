/* The training loop. A TrainSpec says everything about a run (tensors, compiled functions, data,
 * settings); a Trainer owns the memory of the tensors, walks the epochs and calls back with
 * events.
 *
 * One epoch: rows in the order of a stateless permutation of (seed, epoch), batch by batch
 * through `train`, which updates parameters, optimiser and metric states in place; then `eval`
 * over the validation rows. Metric states are sums, so results are those of the whole part,
 * never means of batch means. A loss or a parameter that is not finite ends the run with the
 * weights from before the step that made it so (diverge.c).
 *
 * Ownership: the spec and what it points at outlive the trainer. */
#ifndef NNC_TRAIN_TRAINER_H
#define NNC_TRAIN_TRAINER_H
#include "include/nnc/nnc.h"
#include "runtime/base/diag.h"
#include "runtime/data/table.h"
#include "runtime/train/function.h"
#include "runtime/train/init.h"

#include <stdatomic.h>

typedef enum { ROLE_PARAM, ROLE_STATE, ROLE_OPTIM, ROLE_METRIC, ROLE_STAT, ROLE_AVERAGE } RunRole;
/* What a model is made of, and what a file of weights has; all other roles are of the training
 * alone. */
static inline bool role_is_model(RunRole role)
{
    return role == ROLE_PARAM || role == ROLE_STATE || role == ROLE_AVERAGE;
}
static inline bool role_is_weight(RunRole role)
{
    return role_is_model(role) || role == ROLE_STAT;
}

typedef struct {
    const char *name; /* "conv1.weight", "optim.m.conv1.weight", "metric.accuracy.hit" */
    RunRole role;
    DType dtype;
    int rank;
    int64_t sizes[8];
    InitSpec init;
    const void *value; /* STAT: what was computed from the training split; NULL: init */
} RunTensor;

/* Some rows of a table; rows NULL: the first `count`. */
typedef struct {
    const DataTable *table;
    const int64_t *rows;
    int64_t count;
} DataPart;

typedef struct {
    const char *name;
    bool higher_is_better;
    const Function *result; /* metric states -> output "value", f64 of rank 0 to 2 */
} MetricSpec;

enum { PART_COUNT = 3 }; /* nnc_part */

typedef struct {
    const char *file, *block;
    int tensor_count;
    const RunTensor *tensors;
    const Function *train, *eval;
    const Function *apply; /* with accumulate: uses up what `train` has summed; NULL: train updates */
    const Function *after_epoch;  /* inputs "valid/loss" and the like: schedules that watch metrics; NULL: none */
    const Function *map, *eval_map; /* of one row, for the inputs "map.NAME" of train and eval (loader.h); NULL: there are none */
    int loader_threads;             /* 0: rows are made when a step wants them */
    int64_t prefetch;               /* batches that are made ahead */
    int metric_count;
    const MetricSpec *metrics; /* the first is the loss */
    DataPart parts[PART_COUNT];
    int64_t batch, epochs, steps; /* steps 0: epochs decide */
    int64_t accumulate;           /* batches of one step; 0 or 1: one */
    bool shuffle, drop_last;
    uint64_t seed;
    int monitor;                  /* metric of early stopping and of `improved`, 0: the loss */
    nnc_part monitor_part;
    int64_t patience;             /* epochs without improvement; 0: never stop early */
    double min_delta;
    int threads, kernel_count;    /* for the start event */
    double compile_ms;
    int64_t arena_bytes;          /* predicted */
    int64_t snapshot_memory;      /* bytes from which the copy for a divergence goes to a file; 0: 256 MB */
    const char *snapshot_folder; /* for a large copy; NULL: /var/tmp */
} TrainSpec;

typedef struct Trainer Trainer;

/* Moments at which another process could take over (checkpoint.h): between two steps of an
 * epoch, after an epoch with its evaluation, at the end (before the best weights return), and
 * when the run was asked to stop. */
typedef enum { MOMENT_STEP, MOMENT_EPOCH, MOMENT_END, MOMENT_STOP } TrainMoment;

/* NULL: memory was refused. */
Trainer *trainer_new(const TrainSpec *spec, Session *session, Diag *diag);
void trainer_free(Trainer *trainer);
void trainer_on_event(Trainer *trainer, void (*on_event)(void *user, const nnc_event *event), void *user);
/* The memory of a tensor; NULL: no such name. */
void *trainer_tensor(Trainer *trainer, const char *name);
int trainer_tensor_index(const Trainer *trainer, const char *name);
void *trainer_tensor_at(Trainer *trainer, int index);
int64_t trainer_planned_steps(const TrainSpec *spec);
int64_t trainer_steps(const Trainer *trainer); /* done so far */
int64_t trainer_best_step(const Trainer *trainer); /* steps done at the end of the best epoch, -1: no epoch has ended */
void trainer_on_moment(Trainer *trainer, void (*on_moment)(void *user, TrainMoment moment), void *user);
/* Where the run keeps its weights, for the end event; called before the event is sent, may be
 * NULL. */
void trainer_on_finish(Trainer *trainer, const char *(*finish)(void *user, nnc_status status), void *user);
nnc_status trainer_run(Trainer *trainer);
void trainer_stop(Trainer *trainer); /* async-signal-safe */
nnc_status trainer_evaluate(Trainer *trainer, nnc_part part, const nnc_metric **metrics, size_t *count);

/* Calls any function of the model on `rows` rows; inputs in the order of its ARG_INPUTs, outputs
 * likewise. */
nnc_status trainer_call(Trainer *trainer, const Function *function, int64_t rows, const void *const *inputs,
                        void *const *outputs);

void event_json(const nnc_event *event, StrBuf *out);

#endif
