/* The one place that calls the stages in order:
 *
 *   graph -> passes -> schedule -> lower -> codegen -> jit
 *
 * All functions of a block are compiled together: stage by stage each, then machine code for all of
 * them at once by several threads. What a run needs only later (evaluation, prediction) has all its
 * stages at once, too, so that every error is found, but its machine code is made when the first of
 * these functions is called: the first training step need not wait for it. */
#include "compiler/driver/compile.h"

#include "compiler/driver/engine.h"
#include "compiler/lower/lower.h"
#include "compiler/passes/pass.h"
#include "runtime/base/bug.h"
#include "runtime/base/rng.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* Of this process, whichever its threads: what others do on the machine does not count. */
static double processor_milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* Adds the time since *since to *sum, and begins anew. */
static void lap(double *since, double *sum)
{
    double now = processor_milliseconds();
    *sum += now - *since;
    *since = now;
}

static bool describe_target(const CompileOptions *options, LowerOptions *lower, Diag *diag)
{
    TargetDescription target;
    char *error = NULL;
    if (!codegen_describe(NULL, options->cpu, options->cpu ? "" : NULL, &target, &error)) {
        diag_error(diag, ERR_E0904, (Span){0}, NULL, "%s", error ? error : "no such target");
        free(error);
        return false;
    }
    *lower = (LowerOptions){.vector_bytes = target.vector_bytes,
                            .vector_registers = target.vector_registers,
                            .l1_bytes = target.l1_bytes,
                            .l2_bytes = target.l2_bytes,
                            .l3_bytes = target.l3_bytes};
    return true;
}

static bool run_passes(Stages *stages, const Graph *graph, Diag *diag)
{
    StrBuf error = {0};
    stages->final = passes_run(graph, NULL, &error);
    if (!stages->final)
        diag_error(diag, ERR_E0903, (Span){0}, NULL, "%s",
                   error.text ? error.text : "a pass failed");
    strbuf_free(&error);
    return stages->final != NULL;
}

/* The hostile build takes any legal order of the schedule, another one for every function. */
static uint64_t order_seed(const char *name)
{
#ifdef NNC_STRESS
    return rng_hash(name, strlen(name), 0) | 1;
#else
    (void)name;
    return 0;
#endif
}

bool stages_run(Stages *stages, const char *name, const Graph *graph, const CompileOptions *options,
                Diag *diag)
{
    LowerOptions lower;
    double since = processor_milliseconds();
    *stages = (Stages){.arena = arena_new()};
    if (!describe_target(options, &lower, diag) || !run_passes(stages, graph, diag))
        return false;
    lap(&since, &stages->cost.passes);
    ScheduleOptions schedule = {
        .fuse = !options->no_fuse,
        .plan = !options->no_fuse,
        .hints = options->hints,
        .vector_bytes = lower.vector_bytes,
        .scratch = lower_contract_scratch,
        .scratch_user = &lower,
        .stress_seed = order_seed(name),
    };
    stages->schedule = schedule_build(stages->arena, stages->final, &schedule);
    lap(&since, &stages->cost.schedule);
    LowerResult result = lower_program(stages->arena, stages->schedule, &lower, name);
    stages->program = result.program;
    stages->failure_nodes = result.failure_nodes;
    stages->launch_groups = result.launch_groups;
    lap(&since, &stages->cost.lower);
    return true;
}

void stages_free(Stages *stages)
{
    if (stages->final)
        arena_free(stages->final->arena);
    arena_free(stages->arena);
    *stages = (Stages){0};
}

typedef enum { NOW, LATER, MOMENTS } Moment;

struct Compiled {
    int count;
    Stages *stages;
    Engine *engines;
    Moment *moments;        /* per function: when its machine code is made */
    CompileOptions options; /* engines point here */
    Jit *jit;
    JitUnit *units[MOMENTS];
    pthread_mutex_t lock; /* held while code is made later */
    CompileCost cost;
    double milliseconds;
};

static void make_later(Compiled *compiled);

static bool prepare_unit(Compiled *compiled, int i, const CompileUnit *unit,
                         const CompileOptions *options, Diag *diag)
{
    Stages *stages = &compiled->stages[i];
    if (!unit->graph)
        return true;
    if (!externs_check(unit->graph, options, diag))
        return false;
    if (options->interpret || unit->interpret) {
        *stages = (Stages){.arena = arena_new()};
        if (!run_passes(stages, unit->graph, diag))
            return false;
        engine_interpreter(&compiled->engines[i], stages, unit->name, options);
        return true;
    }
    if (!stages_run(stages, unit->name, unit->graph, options, diag))
        return false;
    engine_compiled(&compiled->engines[i], stages, options, make_later, compiled);
    return true;
}

enum { MOST_THREADS = 8 };

/* Code is made by as many threads as there are processors. */
static int code_threads(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? 1 : processors > MOST_THREADS ? MOST_THREADS : (int)processors;
}

/* The kernel programs of a moment, malloc'd. */
static KProgram **programs_of(const Compiled *compiled, Moment moment, int *count)
{
    KProgram **programs = calloc((size_t)compiled->count + 1, sizeof(KProgram *));
    *count = 0;
    for (int i = 0; programs && i < compiled->count; i++)
        if (compiled->stages[i].program && compiled->moments[i] == moment)
            programs[(*count)++] = compiled->stages[i].program;
    return programs;
}

static bool bind_engines(Compiled *compiled, Moment moment)
{
    bool good = true;
    for (int i = 0; good && i < compiled->count; i++)
        if (compiled->stages[i].program && compiled->moments[i] == moment)
            good = engine_bind(&compiled->engines[i], &compiled->stages[i],
                               compiled->units[moment]);
    return good;
}

/* Machine code for every function of a moment. False: *error, malloc'd, may say why. */
static bool generate_code(Compiled *compiled, Moment moment, char **error)
{
    const CompileOptions *options = &compiled->options;
    int count;
    KProgram **programs = programs_of(compiled, moment, &count);
    double since = processor_milliseconds();
    ObjectList list = {0};
    CodegenOptions codegen = {.cpu = options->cpu,
                              .features = options->cpu ? "" : NULL,
                              .announce_ranges = codegen_under_race_detector(),
                              .observer = options->observer,
                              .store = options->store};
    bool good = count == 0 || (programs && codegen_objects(programs, count, &codegen,
                                                           code_threads(), &list, error));
    lap(&since, &compiled->cost.code);
    compiled->cost.objects += list.count;
    compiled->cost.found += list.found;
    good = good && (count == 0 || (compiled->units[moment] =
                                       jit_add_all(compiled->jit, &list, error)) != NULL);
    good = good && bind_engines(compiled, moment);
    lap(&since, &compiled->cost.link);
    free(programs);
    return good;
}

/* The kernels are of the same kind as those of the training step, which are there: if there is no
 * code now, it is a bug of ours. */
static void make_later(Compiled *compiled)
{
    char *error = NULL;
    pthread_mutex_lock(&compiled->lock);
    if (!compiled->units[LATER] && !generate_code(compiled, LATER, &error))
        NNC_BUG("no code for what was to be compiled later: %s", error ? error : "no entry");
    pthread_mutex_unlock(&compiled->lock);
}

static void sum_costs(Compiled *compiled)
{
    for (int i = 0; i < compiled->count; i++) {
        const CompileCost *cost = &compiled->stages[i].cost;
        compiled->cost.passes += cost->passes;
        compiled->cost.schedule += cost->schedule;
        compiled->cost.lower += cost->lower;
    }
}

/* Without a store, what is shared by functions of both moments would be made twice. */
static Moment moment_of(const CompileUnit *unit, const CompileOptions *options)
{
    return unit->later && options->store ? LATER : NOW;
}

static Compiled *new_compiled(Jit *jit, const CompileUnit *units, int count,
                              const CompileOptions *options)
{
    Compiled *compiled = calloc(1, sizeof *compiled);
    if (!compiled)
        return NULL;
    pthread_mutex_init(&compiled->lock, NULL);
    compiled->count = count;
    compiled->options = *options;
    compiled->jit = jit;
    compiled->stages = calloc((size_t)count + 1, sizeof *compiled->stages);
    compiled->engines = calloc((size_t)count + 1, sizeof *compiled->engines);
    compiled->moments = calloc((size_t)count + 1, sizeof *compiled->moments);
    if (!compiled->stages || !compiled->engines || !compiled->moments) {
        compiled->count = 0;
        compiled_free(compiled);
        return NULL;
    }
    for (int i = 0; i < count; i++)
        compiled->moments[i] = moment_of(&units[i], options);
    return compiled;
}

Compiled *compile_units(Jit *jit, const CompileUnit *units, int count,
                        const CompileOptions *options, Diag *diag)
{
    double begin = milliseconds();
    char *error = NULL;
    Compiled *compiled = new_compiled(jit, units, count, options);
    if (!compiled)
        return NULL;
    bool good = true;
    for (int i = 0; good && i < count; i++)
        good = prepare_unit(compiled, i, &units[i], &compiled->options, diag);
    if (good && !generate_code(compiled, NOW, &error)) {
        good = false;
        diag_error(diag, ERR_E0903, (Span){0}, NULL, "%s",
                   error ? error : "code generation failed");
    }
    free(error);
    sum_costs(compiled);
    compiled->milliseconds = milliseconds() - begin;
    if (good)
        return compiled;
    compiled_free(compiled);
    return NULL;
}

void compiled_free(Compiled *compiled)
{
    if (!compiled)
        return;
    for (int i = 0; compiled->stages && i < compiled->count; i++)
        stages_free(&compiled->stages[i]);
    for (int moment = 0; moment < MOMENTS; moment++)
        if (compiled->units[moment])
            jit_remove(compiled->units[moment]);
    pthread_mutex_destroy(&compiled->lock);
    free(compiled->engines);
    free(compiled->stages);
    free(compiled->moments);
    free(compiled);
}

const Function *compiled_function(const Compiled *compiled, int index)
{
    return &compiled->engines[index].function;
}

const Schedule *compiled_schedule(const Compiled *compiled, int index)
{
    return compiled->stages[index].schedule;
}

const Stages *compiled_stages(const Compiled *compiled, int index)
{
    return &compiled->stages[index];
}

const CompileCost *compiled_cost(const Compiled *compiled)
{
    return &compiled->cost;
}

double compiled_milliseconds(const Compiled *compiled)
{
    return compiled->milliseconds;
}
