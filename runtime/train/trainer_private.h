/* Shared by the files of the training loop. */
#ifndef NNC_TRAIN_TRAINER_PRIVATE_H
#define NNC_TRAIN_TRAINER_PRIVATE_H
#include "runtime/train/trainer.h"

/* One function with its arguments bound: params and states to tensors, inputs to columns or scalars, outputs to memory. */
typedef struct {
    const Function *function;
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
    void **snapshot;    /* parameters and states at the last good moment */
    void **best;        /* at the best epoch, when stopping early */
    Binding train, eval;
    Binding *results;   /* per metric */
    MetricSet sets[PART_COUNT];
    void (*on_event)(void *, const nnc_event *);
    void *event_user;
    const char *(*finish)(void *, nnc_status);
    void *finish_user;
    int64_t step, total_steps;
    int64_t scalar_step, scalar_total; /* inputs "step" and "total_steps" */
    double best_value;
    int64_t epochs_since_best;
    bool has_best;
    atomic_bool stop;
};

size_t tensor_bytes(const RunTensor *spec);
bool binding_open(Binding *binding, Trainer *trainer, const Function *function, const DataTable *table, int64_t rows);
void binding_close(Binding *binding);
void *binding_output(const Binding *binding, const char *name); /* NULL: none */
/* Rows order[first .. first+count) of the part into the staging of the binding. */
void binding_fill(Binding *binding, const DataPart *part, const int64_t *order, int64_t first, int64_t count);
nnc_status binding_call(Trainer *trainer, Binding *binding, int64_t rows, const DataPart *part, const int64_t *order);

void metrics_reset(Trainer *trainer);
nnc_status metrics_collect(Trainer *trainer, nnc_part part);
nnc_status evaluate_part(Trainer *trainer, nnc_part part);
bool tensors_copy(Trainer *trainer, void ***copy);       /* parameters and states of the model into *copy */
void tensors_restore(Trainer *trainer, void *const *copy);
void tensors_discard(Trainer *trainer, void **copy);
double now_seconds(void);

#endif
