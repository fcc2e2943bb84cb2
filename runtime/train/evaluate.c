/* Metrics: states that merge by sum. A part is evaluated batch by batch into the states; the
 * result functions then read them. */
#include "runtime/train/trainer_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void metrics_reset(Trainer *trainer)
{
    for (int i = 0; i < trainer->spec->tensor_count; i++) {
        const RunTensor *spec = &trainer->spec->tensors[i];
        if (spec->role == ROLE_METRIC)
            init_fill(&spec->init, spec->name, 0, spec->dtype, spec->rank, spec->sizes,
                      trainer->tensors[i]);
    }
}

static bool reserve_set(MetricSet *set, size_t count)
{
    if (set->items)
        return true;
    set->items = calloc(count + 1, sizeof *set->items);
    set->values = calloc(count + 1, sizeof *set->values);
    set->count = count;
    return set->items && set->values;
}

/* One result: a scalar, or an array copied so that it outlives the next evaluation. */
static nnc_status collect_one(Trainer *trainer, int index, MetricSet *set)
{
    Binding *binding = &trainer->results[index];
    nnc_metric *metric = &set->items[index];
    int64_t sizes[FUNCTION_RANK];
    nnc_status status = binding_call(trainer, binding, 0, NULL, NULL);
    if (status != NNC_OK)
        return status;
    int arg = function_arg(binding->function, ARG_OUTPUT, "value");
    const double *value = binding->buffers[arg];
    *metric = (nnc_metric){.name = trainer->spec->metrics[index].name,
                           .rank = binding->function->args[arg].rank};
    if (metric->rank == 0) {
        metric->value = *value;
        return NNC_OK;
    }
    binding->function->shape(binding->function, NULL, arg, sizes);
    size_t count = 1;
    for (int axis = 0; axis < metric->rank && axis < 2; axis++) {
        metric->sizes[axis] = sizes[axis];
        count *= (size_t)sizes[axis];
    }
    if (!set->values[index] && !(set->values[index] = malloc(sizeof(double) * (count + 1))))
        return NNC_MEMORY;
    memcpy(set->values[index], value, sizeof(double) * count);
    metric->value = NAN;
    metric->values = set->values[index];
    return NNC_OK;
}

nnc_status metrics_collect(Trainer *trainer, nnc_part part)
{
    MetricSet *set = &trainer->sets[part];
    if (!reserve_set(set, (size_t)trainer->spec->metric_count))
        return NNC_MEMORY;
    for (int i = 0; i < trainer->spec->metric_count; i++) {
        nnc_status status = collect_one(trainer, i, set);
        if (status != NNC_OK)
            return status;
    }
    return NNC_OK;
}

bool metrics_put(Trainer *trainer, nnc_part part, int index, const Tensor *saved)
{
    MetricSet *set = &trainer->sets[part];
    const Binding *binding = &trainer->results[index];
    int arg = function_arg(binding->function, ARG_OUTPUT, "value");
    if (arg < 0 || binding->function->args[arg].rank != saved->rank ||
        function_elements(binding->function, NULL, arg) != saved->count ||
        !reserve_set(set, (size_t)trainer->spec->metric_count))
        return false;
    nnc_metric *metric = &set->items[index];
    *metric = (nnc_metric){.name = trainer->spec->metrics[index].name, .rank = saved->rank};
    metric->value = saved->rank == 0 ? *(const double *)saved->data : NAN;
    if (saved->rank == 0)
        return true;
    memcpy(metric->sizes, saved->sizes, sizeof metric->sizes);
    if (!set->values[index] && !(set->values[index] = malloc(saved->bytes + sizeof(double))))
        return false;
    memcpy(set->values[index], saved->data, saved->bytes);
    metric->values = set->values[index];
    return true;
}

static nnc_status evaluate_batches(Trainer *trainer, const DataPart *part)
{
    nnc_status status = NNC_OK;
    for (int64_t first = 0; status == NNC_OK && first < part->count;
         first += trainer->spec->batch) {
        int64_t left = part->count - first;
        int64_t rows = left < trainer->spec->batch ? left : trainer->spec->batch;
        DataPart batch = *part;
        batch.rows = part->rows ? part->rows + first : NULL;
        trainer->evaluated = first;
        status = binding_fill(&trainer->eval, part, NULL, first, rows);
        if (status == NNC_OK)
            status = binding_call(trainer, &trainer->eval, rows, &batch, NULL);
    }
    trainer->evaluated = -1;
    return status;
}

/* Rows that an evaluation makes with random numbers are those of the first epoch, in every
 * evaluation. */
nnc_status evaluate_part(Trainer *trainer, nnc_part which)
{
    const DataPart *part = &trainer->spec->parts[which];
    const int64_t batch = trainer->spec->batch;
    metrics_reset(trainer);
    if (trainer->eval_loader)
        loader_begin(trainer->eval_loader, part, NULL, 0, 0,
                     part->count / batch + (part->count % batch != 0));
    nnc_status status = evaluate_batches(trainer, part);
    loader_end(trainer->eval_loader);
    return status == NNC_OK ? metrics_collect(trainer, which) : status;
}

nnc_status trainer_evaluate(Trainer *trainer, nnc_part part, const nnc_metric **metrics,
                            size_t *count)
{
    nnc_status status = evaluate_part(trainer, part);
    if (status != NNC_OK)
        return status;
    *metrics = trainer->sets[part].items;
    *count = trainer->sets[part].count;
    return NNC_OK;
}
