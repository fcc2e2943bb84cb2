/* The one place that calls the stages in order:
 *
 *   graph -> passes -> schedule -> lower -> codegen -> jit
 *
 * All functions of a block are compiled together: stage by stage each, then machine code for all of
 * them at once by several threads. */
#include "compiler/driver/compile.h"

#include "compiler/driver/engine.h"
#include "compiler/lower/lower.h"
#include "compiler/passes/pass.h"
#include "runtime/base/rng.h"

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

struct Compiled {
    int count;
    Stages *stages;
    Engine *engines;
    CompileOptions options; /* engines point here */
    JitUnit *unit;
    CompileCost cost;
    double milliseconds;
};

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
    return stages_run(stages, unit->name, unit->graph, options, diag);
}

enum { MOST_THREADS = 8 };

/* Code is made by as many threads as there are processors. */
static int code_threads(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? 1 : processors > MOST_THREADS ? MOST_THREADS : (int)processors;
}

/* Machine code for every unit that has a kernel program. */
static bool generate_code(Compiled *compiled, Jit *jit, const CompileOptions *options, Diag *diag)
{
    KProgram **programs = calloc((size_t)compiled->count + 1, sizeof(KProgram *));
    int count = 0;
    char *error = NULL;
    double since = processor_milliseconds();
    ObjectList list = {0};
    CodegenOptions codegen = {.cpu = options->cpu,
                              .features = options->cpu ? "" : NULL,
                              .announce_ranges = codegen_under_race_detector(),
                              .observer = options->observer,
                              .store = options->store};
    for (int i = 0; programs && i < compiled->count; i++)
        if (compiled->stages[i].program)
            programs[count++] = compiled->stages[i].program;
    bool good = count == 0 || (programs &&
                               codegen_objects(programs, count, &codegen, code_threads(), &list,
                                               &error));
    lap(&since, &compiled->cost.code);
    good = good &&
           (count == 0 || (compiled->unit = jit_add_all(jit, &list, &error)) != NULL);
    lap(&since, &compiled->cost.link);
    compiled->cost.objects = list.count;
    compiled->cost.found = list.found;
    if (!good)
        diag_error(diag, ERR_E0903, (Span){0}, NULL, "%s",
                   error ? error : "code generation failed");
    free(error);
    free(programs);
    return good;
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

Compiled *compile_units(Jit *jit, const CompileUnit *units, int count,
                        const CompileOptions *options, Diag *diag)
{
    double begin = milliseconds();
    Compiled *compiled = calloc(1, sizeof *compiled);
    if (!compiled)
        return NULL;
    compiled->count = count;
    compiled->options = *options;
    options = &compiled->options;
    compiled->stages = calloc((size_t)count + 1, sizeof *compiled->stages);
    compiled->engines = calloc((size_t)count + 1, sizeof *compiled->engines);
    bool good = compiled->stages && compiled->engines;
    for (int i = 0; good && i < count; i++)
        good = prepare_unit(compiled, i, &units[i], options, diag);
    good = good && generate_code(compiled, jit, options, diag);
    sum_costs(compiled);
    double since = processor_milliseconds();
    for (int i = 0; good && i < count; i++)
        if (compiled->stages[i].program)
            good = engine_compiled(&compiled->engines[i], &compiled->stages[i], compiled->unit,
                                   options, diag);
    lap(&since, &compiled->cost.link);
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
    if (compiled->unit)
        jit_remove(compiled->unit);
    free(compiled->engines);
    free(compiled->stages);
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
