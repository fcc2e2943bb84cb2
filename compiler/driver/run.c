/* Runs: a plan, compiled, with data and tensors, in the terms of the training loop. In: a
 * TrainPlan of sema; out: a TrainSpec, the functions train_step, eval_step, predict, the maps of
 * a loader and one for the result of each metric, and a Trainer over them. */
#include "compiler/driver/cells.h"
#include "compiler/driver/inputs.h"

#include "runtime/base/scalar.h"
#include "runtime/tensor/safetensors.h"
#include "runtime/train/loader.h"

#include <stdlib.h>
#include <string.h>

static RunTensor run_tensor(const TensorSpec *from)
{
    static const RunRole roles[] = {[TENSOR_PARAM] = ROLE_PARAM, [TENSOR_STATE] = ROLE_STATE,
                                    [TENSOR_OPTIM] = ROLE_OPTIM, [TENSOR_METRIC] = ROLE_METRIC,
                                    [TENSOR_STAT] = ROLE_STAT,   [TENSOR_AVERAGE] = ROLE_AVERAGE};
    RunTensor to = {.name = from->name,
                    .role = roles[from->role],
                    .dtype = from->type.dtype,
                    .rank = from->type.rank,
                    .init = from->init};
    for (int axis = 0; axis < to.rank; axis++)
        dim_is_const(from->type.dims[axis], &to.sizes[axis]);
    return to;
}

static RunTensor *tensor_named(Run *run, const char *name)
{
    for (int i = 0; i < run->spec.tensor_count; i++)
        if (strcmp(run->spec.tensors[i].name, name) == 0)
            return (RunTensor *)&run->spec.tensors[i];
    return NULL;
}

static nnc_status fill_stats(Run *run)
{
    const DatasetPlan *dataset = run->plan->dataset;
    for (uint32_t i = 0; dataset && i < dataset->stats.count; i++) {
        void *mean, *deviation;
        const StatPlan *stat = &dataset->stats.data[i];
        nnc_status status =
            dataset_stat(run->program, &run->dataset, stat, run->arena, &mean, &deviation);
        if (status != NNC_OK)
            return status;
        RunTensor *mean_tensor = tensor_named(run, stat->mean),
                  *deviation_tensor = tensor_named(run, stat->deviation);
        if (mean_tensor)
            mean_tensor->value = mean;
        if (deviation_tensor)
            deviation_tensor->value = deviation;
    }
    return NNC_OK;
}

/* Without data and without a file nothing is known of the rows: they are taken as they come. */
static void neutral_stats(Run *run)
{
    const DatasetPlan *dataset = run->plan->dataset;
    for (uint32_t i = 0; dataset && i < dataset->stats.count; i++) {
        RunTensor *deviation = tensor_named(run, dataset->stats.data[i].deviation);
        if (deviation)
            deviation->init = (InitSpec){.kind = INIT_CONSTANT, .a = 1};
    }
}

static void *converted(Arena *arena, const Tensor *from, DType dtype)
{
    void *data = arena_alloc(arena, (size_t)from->count * dtype_bytes(dtype) + 8);
    scalar_convert(from->dtype, dtype, from->data, data, (size_t)from->count);
    return data;
}

/* The initial value of a tensor of load(M(), "file"): the running mean where the file has one. */
static nnc_status load_tensor(Run *run, const TensorSpec *spec, const SafeTensors *file,
                              const char *path, RunTensor *out)
{
    Diag *diag = run->program->context->diag;
    const char *average = arena_format(run->arena, "ema.%s", spec->file_name);
    const Tensor *found = safetensors_find(file, average);
    if (!found)
        found = safetensors_find(file, spec->file_name);
    if (!found && spec->file_partial)
        return NNC_OK;
    if (!found) {
        diag_error(diag, ERR_E0703, spec->span, NULL, "%s has no tensor %s", path, spec->file_name);
        return NNC_DATA;
    }
    bool floats = dtype_is_float(found->dtype) && dtype_is_float(out->dtype);
    if (!tensor_same_shape(found->rank, found->sizes, out->rank, out->sizes) ||
        (found->dtype != out->dtype && !floats)) {
        diag_error(diag, ERR_E0705, spec->span, NULL, "%s: %s is of another shape or type than %s",
                   path, spec->file_name, spec->name);
        return NNC_DATA;
    }
    out->value = found->dtype == out->dtype ? arena_copy(run->arena, found->data, found->bytes)
                                            : converted(run->arena, found, out->dtype);
    return NNC_OK;
}

/* Weights of the files that the program names. */
static nnc_status load_files(Run *run)
{
    Diag *diag = run->program->context->diag;
    SafeTensors *file = NULL;
    const char *open = NULL, *path = NULL;
    nnc_status status = NNC_OK;
    for (int i = 0; status == NNC_OK && i < run->spec.tensor_count; i++) {
        const TensorSpec *spec = &run->plan->tensors.data[i];
        if (!spec->file)
            continue;
        if (!open || strcmp(open, spec->file) != 0) {
            safetensors_close(file);
            open = spec->file;
            path = program_path(run->program, run->arena, open);
            file = safetensors_open(path, diag, spec->span);
        }
        status = file ? load_tensor(run, spec, file, path, (RunTensor *)&run->spec.tensors[i])
                      : NNC_DATA;
    }
    safetensors_close(file);
    return status;
}

static void list_tensors(Run *run)
{
    uint32_t count = run->plan->tensors.count;
    RunTensor *tensors = ARENA_ARRAY(run->arena, RunTensor, count + 1);
    for (uint32_t i = 0; i < count; i++)
        tensors[i] = run_tensor(&run->plan->tensors.data[i]);
    run->spec.tensors = tensors;
    run->spec.tensor_count = (int)count;
    neutral_stats(run);
}

enum {
    UNIT_PREDICT,
    UNIT_PREDICT_MAP,
    UNIT_TRAIN,
    UNIT_EVAL,
    UNIT_APPLY,
    UNIT_EPOCH,
    UNIT_MAP,
    UNIT_EVAL_MAP,
    UNIT_METRICS
};

static nnc_status compile_run(Run *run, bool train)
{
    TrainPlan *plan = run->plan;
    nnc_context *context = run->program->context;
    int count = train ? UNIT_METRICS + (int)plan->metrics.count : UNIT_TRAIN;
    CompileUnit *units = ARENA_ARRAY(run->arena, CompileUnit, count);
    CompileOptions options =
        program_compile_options(run->program, plan, run->spec.batch, run->arena);
    units[UNIT_PREDICT] = (CompileUnit){.name = "predict", .graph = plan->predict};
    units[UNIT_PREDICT_MAP] = (CompileUnit){.name = "predict_map", .graph = plan->predict_map};
    if (train) {
        units[UNIT_TRAIN] = (CompileUnit){.name = "train_step", .graph = plan->train_step};
        units[UNIT_EVAL] = (CompileUnit){.name = "eval_step", .graph = plan->eval_step};
        units[UNIT_APPLY] = (CompileUnit){.name = "apply_step", .graph = plan->apply_step};
        units[UNIT_EPOCH] = (CompileUnit){.name = "epoch_step", .graph = plan->epoch_step};
        units[UNIT_MAP] = (CompileUnit){.name = "map", .graph = plan->train_map};
        units[UNIT_EVAL_MAP] = (CompileUnit){.name = "eval_map", .graph = plan->eval_map};
    }
    for (int i = UNIT_METRICS; i < count; i++)
        units[i] = (CompileUnit){.name = arena_format(run->arena, "metric_%d", i - UNIT_METRICS),
                                 .graph = plan->metrics.data[i - UNIT_METRICS].result,
                                 .interpret = true};
    for (int i = 0; train && i < UNIT_METRICS; i++)
        units[i].later = i != UNIT_TRAIN && i != UNIT_APPLY && i != UNIT_MAP;
    Jit *jit = options.interpret ? NULL : context_jit(context);
    if (!options.interpret && !jit)
        return NNC_UNSUPPORTED;
    run->compiled = compile_units(jit, units, count, &options, context->diag);
    return run->compiled ? NNC_OK : diag_error_count(context->diag) ? NNC_PROGRAM : NNC_MEMORY;
}

static void describe_metrics(Run *run)
{
    uint32_t count = run->plan->metrics.count;
    MetricSpec *metrics = ARENA_ARRAY(run->arena, MetricSpec, count + 1);
    for (uint32_t i = 0; i < count; i++)
        metrics[i] =
            (MetricSpec){.name = run->plan->metrics.data[i].name,
                         .higher_is_better = run->plan->metrics.data[i].higher_is_better,
                         .result = compiled_function(run->compiled, UNIT_METRICS + (int)i)};
    run->spec.metrics = metrics;
    run->spec.metric_count = (int)count;
}

/* "valid/accuracy", "train/loss" or just "loss": the part and the index of the metric; false: no
 * such metric. */
static bool find_monitor(Run *run, const char *monitor)
{
    static const char *const parts[PART_COUNT] = {"train", "valid", "test"};
    const char *slash = strchr(monitor, '/'), *name = slash ? slash + 1 : monitor;
    size_t length = slash ? (size_t)(slash - monitor) : 0;
    bool known = !slash;
    run->spec.monitor_part = NNC_PART_VALID;
    for (int part = 0; part < PART_COUNT; part++)
        if (strlen(parts[part]) == length && strncmp(monitor, parts[part], length) == 0) {
            run->spec.monitor_part = (nnc_part)part;
            known = true;
        }
    for (int i = 0; known && i < run->spec.metric_count; i++)
        if (strcmp(run->spec.metrics[i].name, name) == 0) {
            run->spec.monitor = i;
            return true;
        }
    return false;
}

static int64_t predicted_arena(const Run *run)
{
    const Schedule *schedule = compiled_schedule(run->compiled, UNIT_TRAIN);
    return schedule ? plan_bytes(schedule, schedule->hints) : 0;
}

/* No batch is larger than the largest part, whatever was written: memory and plans are for what can
 * come. */
static int64_t largest_batch(const Run *run)
{
    int64_t most = 1, written = program_batch(run->plan);
    for (int part = 0; part < PART_COUNT; part++)
        most = run->dataset.parts[part].count > most ? run->dataset.parts[part].count : most;
    return written < most ? written : most;
}

static void describe_training(Run *run)
{
    const TrainSettings *settings = &run->plan->settings;
    TrainSpec *spec = &run->spec;
    spec->train = compiled_function(run->compiled, UNIT_TRAIN);
    spec->eval = compiled_function(run->compiled, UNIT_EVAL);
    spec->apply = run->plan->apply_step ? compiled_function(run->compiled, UNIT_APPLY) : NULL;
    spec->after_epoch =
        run->plan->epoch_step ? compiled_function(run->compiled, UNIT_EPOCH) : NULL;
    spec->map = run->plan->train_map ? compiled_function(run->compiled, UNIT_MAP) : NULL;
    spec->eval_map = run->plan->eval_map ? compiled_function(run->compiled, UNIT_EVAL_MAP) : NULL;
    spec->prefetch = settings->prefetch;
    spec->accumulate = settings->accumulate;
    spec->file = run->program->name;
    spec->block = run->plan->name;
    spec->epochs = settings->epochs > 0 ? settings->epochs : 1;
    spec->steps = settings->steps;
    spec->shuffle = settings->shuffle;
    spec->drop_last = settings->drop_last;
    spec->patience = settings->has_early_stop ? settings->patience : 0;
    spec->min_delta = settings->min_delta;
    spec->threads = run->program->context->threads;
    spec->kernel_count = spec->train->kernel_count;
    spec->compile_ms = compiled_milliseconds(run->compiled);
    spec->arena_bytes = predicted_arena(run);
    memcpy(spec->parts, run->dataset.parts, sizeof spec->parts);
}

/* What is only known with the data at hand. */
static nnc_status check_training(Run *run)
{
    const TrainSettings *settings = &run->plan->settings;
    const char *monitor = settings->monitor ? settings->monitor : "valid/loss";
    Diag *diag = run->program->context->diag;
    int64_t rows = run->spec.parts[NNC_PART_TRAIN].count;
    if (!find_monitor(run, monitor)) {
        diag_error(diag, ERR_E0406, settings->monitor_span, NULL, "there is no %s to monitor",
                   monitor);
        return NNC_PROGRAM;
    }
    if (settings->drop_last && rows < program_batch(run->plan) * settings->accumulate) {
        diag_error(
            diag, ERR_E0612, settings->batch_span, NULL,
            "no batch is full: drop_last leaves nothing of %lld training rows in batches of %lld",
            (long long)rows, (long long)(program_batch(run->plan) * settings->accumulate));
        return NNC_DATA;
    }
    return NNC_OK;
}

static nnc_status load_data(Run *run)
{
    const DatasetPlan *plan = run->plan->dataset;
    nnc_status status = dataset_load(run->program, plan, run->spec.seed, &run->dataset);
    if (status == NNC_OK && run->dataset.parts[NNC_PART_TRAIN].count == 0) {
        diag_error(run->program->context->diag, ERR_E0612, plan->span, NULL,
                   "the training part of %s has no rows", plan->name);
        status = NNC_DATA;
    }
    return status == NNC_OK ? fill_stats(run) : status;
}

static nnc_status open_training(Run *run)
{
    nnc_status status = load_data(run);
    run->spec.batch = largest_batch(run);
    if (status == NNC_OK)
        status = compile_run(run, true);
    if (status != NNC_OK)
        return status;
    describe_metrics(run);
    describe_training(run);
    return check_training(run);
}

static nnc_status open_tensors(Run *run)
{
    nnc_context *context = run->program->context;
    run->session = session_new(pool_run, context->pool);
    run->trainer = run->session ? trainer_new(&run->spec, run->session, context->diag) : NULL;
    if (run->trainer)
        return NNC_OK;
    double bytes = 0;
    for (int i = 0; i < run->spec.tensor_count; i++) {
        double product = (double)dtype_bytes(run->spec.tensors[i].dtype);
        for (int axis = 0; axis < run->spec.tensors[i].rank; axis++)
            product *= (double)run->spec.tensors[i].sizes[axis];
        bytes += product;
    }
    return context_fail(context, NNC_MEMORY, ERR_E0804,
                        "memory was refused: the tensors of %s take %.0f bytes", run->plan->name,
                        bytes);
}

nnc_status run_open(Run *run, nnc_program *program, const char *block, uint64_t seed, bool train,
                    int loader_threads)
{
    *run = (Run){.program = program, .arena = arena_new()};
    program_hold(program);
    run->plan = program_plan(program, block);
    if (!run->plan)
        return NNC_PROGRAM;
    run->spec.seed =
        seed == 0 && run->plan->settings.seed > 0 ? (uint64_t)run->plan->settings.seed : seed;
    run->spec.batch = program_batch(run->plan);
    run->spec.loader_threads = loader_threads > 0    ? loader_threads
                               : loader_threads == 0 ? loader_usual_threads()
                                                     : 0;
    list_tensors(run);
    nnc_status status = train ? load_files(run) : NNC_OK; /* else all weights come from one file */
    if (status == NNC_OK)
        status = train ? open_training(run) : compile_run(run, false);
    if (status != NNC_OK)
        return status;
    run->predict = compiled_function(run->compiled, UNIT_PREDICT);
    run->predict_map =
        run->plan->predict_map ? compiled_function(run->compiled, UNIT_PREDICT_MAP) : NULL;
    inputs_list(run);
    return open_tensors(run);
}

void run_close(Run *run)
{
    inputs_close(run);
    trainer_free(run->trainer);
    session_free(run->session);
    compiled_free(run->compiled);
    dataset_free(&run->dataset);
    arena_free(run->arena);
    nnc_program_release(run->program);
    *run = (Run){0};
}
