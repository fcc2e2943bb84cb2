/* The trainer's memory: one block per tensor, filled from its initial value, and the bookkeeping
 * around a run. */
#include "runtime/train/trainer_private.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

size_t tensor_bytes(const RunTensor *spec)
{
    size_t bytes = dtype_bytes(spec->dtype);
    for (int axis = 0; axis < spec->rank; axis++)
        bytes *= (size_t)spec->sizes[axis];
    return bytes;
}

void *tensor_memory(size_t bytes)
{
    return memory_new((bytes + 63) / 64 * 64 + 64);
}

static bool fill_tensor(const RunTensor *spec, uint64_t seed, void *data)
{
    if (spec->value) {
        memcpy(data, spec->value, tensor_bytes(spec));
        return true;
    }
    return init_fill(&spec->init, spec->name, seed, spec->dtype, spec->rank, spec->sizes, data);
}

static bool make_tensors(Trainer *trainer)
{
    const TrainSpec *spec = trainer->spec;
    trainer->tensors = calloc((size_t)spec->tensor_count + 1, sizeof *trainer->tensors);
    if (!trainer->tensors)
        return false;
    for (int i = 0; i < spec->tensor_count; i++) {
        trainer->tensors[i] = tensor_memory(tensor_bytes(&spec->tensors[i]));
        if (!trainer->tensors[i] ||
            !fill_tensor(&spec->tensors[i], spec->seed, trainer->tensors[i]))
            return false;
    }
    return true;
}

static bool make_loader(Trainer *trainer, const Function *map, Loader **loader)
{
    const TrainSpec *spec = trainer->spec;
    if (map)
        *loader = loader_new(trainer, map, spec->parts[NNC_PART_TRAIN].table, spec->batch,
                             spec->loader_threads, spec->prefetch);
    return !map || *loader;
}

static bool make_bindings(Trainer *trainer)
{
    const TrainSpec *spec = trainer->spec;
    const DataTable *table = spec->parts[NNC_PART_TRAIN].table;
    if (!make_loader(trainer, spec->map, &trainer->loader) ||
        !make_loader(trainer, spec->eval_map, &trainer->eval_loader))
        return false;
    trainer->results = calloc((size_t)spec->metric_count + 1, sizeof *trainer->results);
    if (!trainer->results)
        return false;
    if (spec->train && !binding_open(&trainer->train, trainer, spec->train, table, spec->batch,
                                    trainer->loader))
        return false;
    if (spec->apply && !binding_open(&trainer->apply, trainer, spec->apply, NULL, 0, NULL))
        return false;
    trainer->watched =
        calloc((size_t)PART_COUNT * (size_t)spec->metric_count + 1, sizeof *trainer->watched);
    if (!trainer->watched)
        return false;
    if (spec->after_epoch &&
        !binding_open(&trainer->after_epoch, trainer, spec->after_epoch, NULL, 0,
                      NULL))
        return false;
    if (spec->eval && !binding_open(&trainer->eval, trainer, spec->eval, table, spec->batch,
                                   trainer->eval_loader))
        return false;
    for (int i = 0; i < spec->metric_count; i++)
        if (!binding_open(&trainer->results[i], trainer, spec->metrics[i].result, NULL, 0,
                          NULL))
            return false;
    return true;
}

Trainer *trainer_new(const TrainSpec *spec, Session *session, Diag *diag)
{
    Trainer *trainer = calloc(1, sizeof *trainer);
    if (!trainer)
        return NULL;
    trainer->spec = spec;
    trainer->can_replay = true;
    trainer->evaluated = -1;
    trainer->session = session;
    trainer->diag = diag;
    trainer->total_steps = spec->train ? trainer_planned_steps(spec) : 0;
    trainer->scalar_total = trainer->total_steps;
    if (!make_tensors(trainer) || !make_bindings(trainer)) {
        trainer_free(trainer);
        return NULL;
    }
    return trainer;
}

static void metric_set_free(MetricSet *set)
{
    for (size_t i = 0; set->values && i < set->count; i++)
        free(set->values[i]);
    free(set->values);
    free(set->items);
}

void trainer_free(Trainer *trainer)
{
    if (!trainer)
        return;
    loader_free(trainer->loader);
    loader_free(trainer->eval_loader);
    binding_close(&trainer->train);
    binding_close(&trainer->apply);
    binding_close(&trainer->eval);
    binding_close(&trainer->after_epoch);
    free(trainer->watched);
    for (int i = 0; trainer->results && i < trainer->spec->metric_count; i++)
        binding_close(&trainer->results[i]);
    free(trainer->results);
    for (int part = 0; part < PART_COUNT; part++)
        metric_set_free(&trainer->sets[part]);
    snapshot_drop(trainer);
    tensors_discard(trainer, trainer->best);
    tensors_discard(trainer, trainer->tensors);
    free(trainer);
}

void trainer_on_event(Trainer *trainer, void (*on_event)(void *, const nnc_event *), void *user)
{
    trainer->on_event = on_event;
    trainer->event_user = user;
}

void trainer_on_finish(Trainer *trainer, const char *(*finish)(void *, nnc_status), void *user)
{
    trainer->finish = finish;
    trainer->finish_user = user;
}

void trainer_on_moment(Trainer *trainer, void (*on_moment)(void *, TrainMoment), void *user)
{
    trainer->on_moment = on_moment;
    trainer->moment_user = user;
}

int64_t trainer_steps(const Trainer *trainer)
{
    return trainer->step;
}

int64_t trainer_best_step(const Trainer *trainer)
{
    return trainer->has_best ? trainer->best_step : -1;
}

int trainer_tensor_index(const Trainer *trainer, const char *name)
{
    for (int i = 0; i < trainer->spec->tensor_count; i++)
        if (strcmp(trainer->spec->tensors[i].name, name) == 0)
            return i;
    return -1;
}

void *trainer_tensor_at(Trainer *trainer, int index)
{
    return trainer->tensors[index];
}

void *trainer_tensor(Trainer *trainer, const char *name)
{
    int index = trainer_tensor_index(trainer, name);
    return index < 0 ? NULL : trainer->tensors[index];
}

void trainer_stop(Trainer *trainer)
{
    atomic_store(&trainer->stop, true);
}

/* A step changes neither statistics of the data nor what only another scope asks for. */
static bool in_copy(const RunTensor *spec, CopyScope scope)
{
    return role_is_model(spec->role) || (scope == COPY_ALL && spec->role != ROLE_STAT);
}

bool tensors_copy(Trainer *trainer, CopyScope scope, void ***copy)
{
    const TrainSpec *spec = trainer->spec;
    if (!*copy)
        *copy = calloc((size_t)spec->tensor_count + 1, sizeof **copy);
    if (!*copy)
        return false;
    for (int i = 0; i < spec->tensor_count; i++) {
        if (!in_copy(&spec->tensors[i], scope))
            continue;
        size_t bytes = tensor_bytes(&spec->tensors[i]);
        if (!(*copy)[i] && !((*copy)[i] = tensor_memory(bytes)))
            return false;
        memcpy((*copy)[i], trainer->tensors[i], bytes);
    }
    return true;
}

void tensors_restore(Trainer *trainer, void *const *copy)
{
    for (int i = 0; i < trainer->spec->tensor_count; i++)
        if (copy[i])
            memcpy(trainer->tensors[i], copy[i], tensor_bytes(&trainer->spec->tensors[i]));
}

void tensors_discard(Trainer *trainer, void **copy)
{
    for (int i = 0; copy && i < trainer->spec->tensor_count; i++)
        free(copy[i]);
    free(copy);
}
