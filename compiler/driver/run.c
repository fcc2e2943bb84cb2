/* Runs: a plan, compiled, with data and tensors, in the terms of the training loop. */
#include "compiler/driver/run.h"

#include <stdlib.h>
#include <string.h>

static RunTensor run_tensor(const TensorSpec *from)
{
    static const RunRole roles[] = {[TENSOR_PARAM] = ROLE_PARAM,
                                    [TENSOR_STATE] = ROLE_STATE,
                                    [TENSOR_OPTIM] = ROLE_OPTIM,
                                    [TENSOR_METRIC] = ROLE_METRIC,
                                    [TENSOR_STAT] = ROLE_STAT};
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
        nnc_status status = dataset_stat(run->program, &run->dataset, stat, run->arena, &mean, &deviation);
        if (status != NNC_OK)
            return status;
        RunTensor *mean_tensor = tensor_named(run, stat->mean), *deviation_tensor = tensor_named(run, stat->deviation);
        if (mean_tensor)
            mean_tensor->value = mean;
        if (deviation_tensor)
            deviation_tensor->value = deviation;
    }
    return NNC_OK;
}

static void list_tensors(Run *run)
{
    uint32_t count = run->plan->tensors.count;
    RunTensor *tensors = ARENA_ARRAY(run->arena, RunTensor, count + 1);
    for (uint32_t i = 0; i < count; i++)
        tensors[i] = run_tensor(&run->plan->tensors.data[i]);
    run->spec.tensors = tensors;
    run->spec.tensor_count = (int)count;
}

enum { UNIT_PREDICT, UNIT_TRAIN, UNIT_EVAL, UNIT_METRICS };

static nnc_status compile_run(Run *run, bool train)
{
    TrainPlan *plan = run->plan;
    nnc_context *context = run->program->context;
    int count = train ? UNIT_METRICS + (int)plan->metrics.count : UNIT_PREDICT + 1;
    CompileUnit *units = ARENA_ARRAY(run->arena, CompileUnit, count);
    CompileOptions options = program_compile_options(run->program, plan, run->arena);
    units[UNIT_PREDICT] = (CompileUnit){.name = "predict", .graph = plan->predict};
    if (train) {
        units[UNIT_TRAIN] = (CompileUnit){.name = "train_step", .graph = plan->train_step};
        units[UNIT_EVAL] = (CompileUnit){.name = "eval_step", .graph = plan->eval_step};
    }
    for (int i = UNIT_METRICS; i < count; i++)
        units[i] = (CompileUnit){.name = arena_format(run->arena, "metric_%d", i - UNIT_METRICS),
                                 .graph = plan->metrics.data[i - UNIT_METRICS].result,
                                 .interpret = true};
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
        metrics[i] = (MetricSpec){.name = run->plan->metrics.data[i].name,
                                  .higher_is_better = run->plan->metrics.data[i].higher_is_better,
                                  .result = compiled_function(run->compiled, UNIT_METRICS + (int)i)};
    run->spec.metrics = metrics;
    run->spec.metric_count = (int)count;
}

/* "valid/accuracy", "train/loss" or just "loss": the part and the index of the metric; false: no such metric. */
static bool find_monitor(Run *run, const char *monitor)
{
    static const char *const parts[PART_COUNT] = {"train", "valid", "test"};
    const char *slash = strchr(monitor, '/'), *name = slash ? slash + 1 : monitor;
    run->spec.monitor_part = NNC_PART_VALID;
    for (int part = 0; slash && part < PART_COUNT; part++)
        if (strlen(parts[part]) == (size_t)(slash - monitor) && strncmp(monitor, parts[part], strlen(parts[part])) == 0)
            run->spec.monitor_part = (nnc_part)part;
    for (int i = 0; i < run->spec.metric_count; i++)
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

static void describe_training(Run *run, uint64_t seed)
{
    const TrainSettings *settings = &run->plan->settings;
    TrainSpec *spec = &run->spec;
    spec->train = compiled_function(run->compiled, UNIT_TRAIN);
    spec->eval = compiled_function(run->compiled, UNIT_EVAL);
    spec->file = run->program->name;
    spec->block = run->plan->name;
    spec->batch = settings->batch > 0 ? settings->batch : 32;
    spec->epochs = settings->epochs > 0 ? settings->epochs : 1;
    spec->steps = settings->steps;
    spec->shuffle = settings->shuffle;
    spec->drop_last = settings->drop_last;
    spec->seed = seed;
    spec->patience = settings->has_early_stop ? settings->patience : 0;
    spec->min_delta = settings->min_delta;
    spec->threads = run->program->context->threads;
    spec->kernel_count = spec->train->kernel_count;
    spec->compile_ms = compiled_milliseconds(run->compiled);
    spec->arena_bytes = predicted_arena(run);
    memcpy(spec->parts, run->dataset.parts, sizeof spec->parts);
    find_monitor(run, settings->monitor ? settings->monitor : "valid/loss");
}

static nnc_status open_training(Run *run, uint64_t seed)
{
    nnc_status status = dataset_load(run->program, run->plan->dataset, seed, &run->dataset);
    if (status == NNC_OK)
        status = fill_stats(run);
    if (status == NNC_OK)
        status = compile_run(run, true);
    if (status != NNC_OK)
        return status;
    describe_metrics(run);
    describe_training(run, seed);
    if (run->spec.parts[NNC_PART_TRAIN].count == 0)
        return context_fail(run->program->context, NNC_DATA, ERR_E0600, "the training part has no rows");
    return NNC_OK;
}

nnc_status run_open(Run *run, nnc_program *program, const char *block, uint64_t seed, bool train)
{
    nnc_context *context = program->context;
    *run = (Run){.program = program, .arena = arena_new()};
    program_hold(program);
    run->plan = program_plan(program, block);
    if (!run->plan)
        return NNC_PROGRAM;
    run->spec.seed = seed;
    list_tensors(run);
    nnc_status status = train ? open_training(run, seed) : compile_run(run, false);
    if (status != NNC_OK)
        return status;
    run->predict = compiled_function(run->compiled, UNIT_PREDICT);
    run->session = session_new(pool_run, context->pool);
    run->trainer = run->session ? trainer_new(&run->spec, run->session, context->diag) : NULL;
    return run->trainer ? NNC_OK : context_fail(context, NNC_MEMORY, ERR_E0804, "not enough memory for the run");
}

void run_close(Run *run)
{
    trainer_free(run->trainer);
    session_free(run->session);
    compiled_free(run->compiled);
    dataset_free(&run->dataset);
    arena_free(run->arena);
    nnc_program_release(run->program);
    *run = (Run){0};
}
