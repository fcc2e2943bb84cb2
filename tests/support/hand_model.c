#include "tests/support/hand_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ARG(kind, name, dtype, rank, shape)                                                        \
    {                                                                                              \
        ARG_##kind, name, DT_##dtype, rank, shape                                                  \
    }

static const FunctionArg train_args[] = {
    ARG(INPUT, "x", F64, 1, "f64[B]"),
    ARG(PARAM, "w", F64, 0, "f64[]"),
    ARG(INPUT, "step", I64, 0, "i64[]"),
    ARG(STATE, "seen", F64, 0, "f64[]"),
    ARG(INPUT, "id", I64, 1, "i64[B]"),
    ARG(STATE, "optim.m", F64, 0, "f64[]"),
    ARG(STATE, "metric.loss.sum", F64, 0, "f64[]"),
    ARG(STATE, "metric.loss.count", F64, 0, "f64[]"),
    ARG(INPUT, "total_steps", I64, 0, "i64[]"),
    ARG(OUTPUT, "loss", F64, 0, "f64[]"),
    ARG(OUTPUT, "lr", F64, 0, "f64[]"),
};

static const FunctionArg eval_args[] = {
    ARG(STATE, "metric.loss.count", F64, 0, "f64[]"),
    ARG(STATE, "metric.loss.sum", F64, 0, "f64[]"),
    ARG(PARAM, "w", F64, 0, "f64[]"),
    ARG(INPUT, "x", F64, 1, "f64[B]"),
};

static const FunctionArg loss_args[] = {
    ARG(STATE, "metric.loss.sum", F64, 0, "f64[]"),
    ARG(STATE, "metric.loss.count", F64, 0, "f64[]"),
    ARG(OUTPUT, "value", F64, 0, "f64[]"),
};

static const FunctionArg table_args[] = {
    ARG(STATE, "metric.loss.sum", F64, 0, "f64[]"),
    ARG(STATE, "metric.loss.count", F64, 0, "f64[]"),
    ARG(OUTPUT, "value", F64, 2, "f64[2, 2]"),
};

static const char *const dim_names[] = {"B"};
static const FailureSite sites[] = {{ERR_E0801, "x is too small", {0}}};

static void shape(const Function *self, const int64_t *dims, int arg, int64_t *sizes)
{
    for (int axis = 0; axis < self->args[arg].rank; axis++) {
        sizes[axis] = self->args[arg].rank == 1 ? dims[0] : 2;
    }
}

/* The arena holds a squared error per row. */
static int64_t plan(const Function *self, const int64_t *dims, int64_t *table)
{
    const HandModel *model = self->engine;
    table[0] = 0;
    return model->refuse_memory ? -1 : self->dim_count ? dims[0] * 8 : 0;
}

static void *buffer(const Function *self, const nnc_call *call, const char *name)
{
    for (int arg = 0; arg < self->arg_count; arg++) {
        if (strcmp(self->args[arg].name, name) == 0) {
            return call->buffers[arg];
        }
    }
    return NULL;
}

static double square_errors(const Function *self, const nnc_call *call)
{
    const double *x = buffer(self, call, "x"), *w = buffer(self, call, "w");
    double *errors = (double *)(call->arena + call->table[0]), sum = 0;
    for (int64_t i = call->dims[0] - 1; i >= 0; i--) {
        errors[i] = (*w - x[i]) * (*w - x[i]);
        if (x[i] < -1000) {
            call->failures[0] = i;
        }
    }
    for (int64_t i = 0; i < call->dims[0]; i++) {
        sum += errors[i];
    }
    *(double *)buffer(self, call, "metric.loss.sum") += sum;
    *(double *)buffer(self, call, "metric.loss.count") += (double)call->dims[0];
    return sum / (double)call->dims[0];
}

static void log_call(HandModel *model, const Function *self, const nnc_call *call)
{
    if (model->call_count == HAND_CALLS || model->id_count + call->dims[0] > HAND_CALLS) {
        return;
    }
    HandCall *entry = &model->calls[model->call_count++];
    *entry = (HandCall){.rows = call->dims[0],
                        .first = model->id_count,
                        .seed = call->seed,
                        .step = call->step,
                        .scalar_step = *(int64_t *)buffer(self, call, "step"),
                        .scalar_total = *(int64_t *)buffer(self, call, "total_steps")};
    memcpy(model->ids + model->id_count, buffer(self, call, "id"), (size_t)entry->rows * 8);
    model->id_count += (int)entry->rows;
}

static bool train_step(const Function *self, const nnc_call *call)
{
    double *w = buffer(self, call, "w"), mean = 0;
    const double *x = buffer(self, call, "x");
    log_call(self->engine, self, call);
    *(double *)buffer(self, call, "loss") = square_errors(self, call);
    *(double *)buffer(self, call, "lr") = 0.1;
    for (int64_t i = 0; i < call->dims[0]; i++) {
        mean += x[i] / (double)call->dims[0];
    }
    *w -= 0.1 * 2 * (*w - mean);
    *(double *)buffer(self, call, "seen") += (double)call->dims[0];
    *(double *)buffer(self, call, "optim.m") += 1;
    return true;
}

static bool eval_step(const Function *self, const nnc_call *call)
{
    ((HandModel *)self->engine)->eval_calls++;
    square_errors(self, call);
    return true;
}

static bool loss_step(const Function *self, const nnc_call *call)
{
    *(double *)buffer(self, call, "value") =
        *(double *)call->buffers[0] / *(double *)call->buffers[1];
    return true;
}

static bool table_step(const Function *self, const nnc_call *call)
{
    double *value = buffer(self, call, "value");
    value[0] = *(double *)call->buffers[0];
    value[1] = *(double *)call->buffers[1];
    value[2] = 0;
    value[3] = 1;
    return true;
}

static Function function(HandModel *model, const char *name, const FunctionArg *args, size_t bytes,
                         bool (*step)(const Function *, const nnc_call *))
{
    bool rows = args[bytes / sizeof *args - 1].rank != 2 && step != loss_step;
    return (Function){.name = name,
                      .dim_count = rows,
                      .dim_names = dim_names,
                      .arg_count = (int)(bytes / sizeof *args),
                      .args = args,
                      .sites = sites,
                      .failure_count = 1,
                      .table_size = 1,
                      .plan = plan,
                      .shape = shape,
                      .step = step,
                      .engine = model};
}

static DataTable *table_of(const double *x, int64_t rows)
{
    DataTable *table = table_new(rows, 2);
    static const char *const names[] = {"x", "id"};
    for (int i = 0; i < 2; i++) {
        table->columns[i].name = strdup(names[i]);
        table->columns[i].dtype = i == 0 ? DT_F64 : DT_I64;
        table->columns[i].row_bytes = 8;
        table->columns[i].data = malloc((size_t)rows * 8 + 1);
    }
    for (int64_t row = 0; row < rows; row++) {
        ((double *)table->columns[0].data)[row] = x[row];
        ((int64_t *)table->columns[1].data)[row] = row;
    }
    return table;
}

HandModel *hand_model(const double *x, int64_t rows, TrainSpec *spec)
{
    static const double scale = 3.5;
    HandModel *model = calloc(1, sizeof *model);
    model->train = function(model, "train", train_args, sizeof train_args, train_step);
    model->eval = function(model, "eval", eval_args, sizeof eval_args, eval_step);
    model->loss = function(model, "loss", loss_args, sizeof loss_args, loss_step);
    model->table = function(model, "table", table_args, sizeof table_args, table_step);
    const RunTensor tensors[HAND_TENSORS] = {
        [HAND_W] = {.name = "w", .role = ROLE_PARAM, .dtype = DT_F64},
        [HAND_SEEN] = {.name = "seen", .role = ROLE_STATE, .dtype = DT_F64},
        [HAND_M] = {.name = "optim.m", .role = ROLE_OPTIM, .dtype = DT_F64},
        [HAND_SUM] = {.name = "metric.loss.sum", .role = ROLE_METRIC, .dtype = DT_F64},
        [HAND_COUNT] = {.name = "metric.loss.count", .role = ROLE_METRIC, .dtype = DT_F64},
        [HAND_SCALE] = {.name = "stat.scale", .role = ROLE_STAT, .dtype = DT_F64, .value = &scale},
    };
    memcpy(model->tensors, tensors, sizeof tensors);
    model->metrics[0] = (MetricSpec){.name = "loss", .result = &model->loss};
    model->metrics[1] = (MetricSpec){.name = "table", .result = &model->table};
    model->data = table_of(x, rows);
    *spec = (TrainSpec){.file = "hand.nn",
                        .block = "hand",
                        .tensor_count = HAND_TENSORS,
                        .tensors = model->tensors,
                        .train = &model->train,
                        .eval = &model->eval,
                        .metric_count = 2,
                        .metrics = model->metrics,
                        .batch = 4,
                        .epochs = 1,
                        .threads = 1};
    spec->parts[NNC_PART_TRAIN] = (DataPart){.table = model->data, .count = rows};
    return model;
}

void hand_model_free(HandModel *model)
{
    table_free(model->data);
    free(model);
}
