/* A model written by hand as three C functions in the shape of compiled ones, so that the training
 * loop is tested without a compiler. It learns the mean of a column:
 *
 *   loss = mean((w - x)^2),  w <- w - 0.1 * 2 * (w - mean(x))
 *
 * Tensors: w (parameter), seen (state: rows of all steps), optim.m (steps), metric.loss.sum and
 * metric.loss.count, stat.scale. An x below -1000 fails the one check. */
#ifndef NNC_TESTS_HAND_MODEL_H
#define NNC_TESTS_HAND_MODEL_H
#include "runtime/train/trainer.h"

enum { HAND_TENSORS = 6, HAND_CALLS = 4096 };
enum { HAND_W, HAND_SEEN, HAND_M, HAND_SUM, HAND_COUNT, HAND_SCALE };

typedef struct {
    int64_t rows, first; /* rows of the call, where its ids begin */
    uint64_t seed, step;
    int64_t scalar_step, scalar_total;
} HandCall;

typedef struct {
    Function train, eval, loss, table;
    RunTensor tensors[HAND_TENSORS];
    MetricSpec metrics[2];      /* loss, and table: f64[2, 2] = [[sum, count], [0, 1]] */
    DataTable *data;            /* columns x: f64[], id: i64[] = 0, 1, .. */
    HandCall calls[HAND_CALLS]; /* of train */
    int64_t ids[HAND_CALLS];
    int call_count, id_count, eval_calls;
    bool refuse_memory; /* plan answers that a size overflows */
} HandModel;

/* One row per value. spec->tensors, functions, metrics and the training part (all rows) are set;
 * the rest is zero but batch, epochs (1) and threads. */
HandModel *hand_model(const double *x, int64_t rows, TrainSpec *spec);
void hand_model_free(HandModel *model);

#endif
