/* nnc_program_time: runs one function of a block under observation and says where the time goes.
 *
 * In: a program. Out: per line of the model and kernel the time of a step, the arithmetic and the
 * traffic of its groups (schedule/work.c), and the share of what the machine can do (peak.c). The
 * roofline of a step is the sum over its groups of the longer of arithmetic at peak and bytes at
 * the bandwidth of the level of memory that they fit into. */
#include "compiler/driver/timing.h"

#include "compiler/driver/handles.h"
#include "compiler/driver/text.h"
#include "runtime/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEAST_STEPS = 3, MOST_STEPS = 1000 };

typedef struct {
    nnc_program *program;
    TrainPlan *plan;
    const nnc_time_options *options;
    Arena *arena;
    Compiled *compiled;
    const Stages *stages;
    Specimen specimen;
    Profile *profile;
    Timing timing;
    uint32_t *group_of_launch; /* positions */
    uint32_t *first_launch;    /* per group: its launches are [first, first of the next) */
} Measurement;

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- running ---- */

static nnc_status compile_function(Measurement *m, const char *name, const Graph *graph)
{
    nnc_context *context = m->program->context;
    int64_t rows = program_batch(m->plan);
    CompileOptions options = program_compile_options(m->program, m->plan, rows, m->arena);
    CompileUnit unit = {.name = name, .graph = graph};
    Jit *jit = context_jit(context);
    if (!jit)
        return NNC_UNSUPPORTED;
    options.observer = profile_observe;
    m->compiled = compile_units(jit, &unit, 1, &options, context->diag);
    if (!m->compiled)
        return NNC_PROGRAM;
    m->stages = compiled_stages(m->compiled, 0);
    m->timing.code_ms = compiled_milliseconds(m->compiled);
    m->timing.cost = *compiled_cost(m->compiled);
    return peak_measure(jit, options.cpu, context->pool, &m->timing.peak, context->diag)
               ? NNC_OK
               : NNC_MEMORY;
}

static nnc_status open_profile(Measurement *m)
{
    nnc_context *context = m->program->context;
    const Function *function = compiled_function(m->compiled, 0);
    bool good = specimen_open(&m->specimen, m->plan, function, m->stages->final,
                              program_batch(m->plan));
    if (good)
        m->profile = profile_new(function, &m->specimen, m->stages->program->launches.count,
                                 context->pool);
    if (m->profile)
        return NNC_OK;
    return context_fail(context, NNC_MEMORY, ERR_E0804,
                        "memory was refused: %s of %s does not fit", function->name,
                        m->program->name);
}

/* The first step is not measured. One that fails on the numbers drawn is tried with zeros. */
static nnc_status run_steps(Measurement *m)
{
    const FailureSite *failed = profile_step(m->profile, false);
    if (failed) {
        specimen_make_plain(&m->specimen, compiled_function(m->compiled, 0));
        failed = profile_step(m->profile, false);
    }
    if (failed) {
        diag_error(m->program->context->diag, failed->code, failed->span, NULL,
                   "with made-up inputs: %s", failed->message);
        return NNC_DATA;
    }
    double begin = seconds_now();
    int wanted = m->options->steps;
    for (int i = 0; i < (wanted ? wanted : MOST_STEPS); i++) {
        if (!wanted && i >= LEAST_STEPS && seconds_now() - begin > 1)
            break;
        profile_step(m->profile, true);
    }
    return profile_steps(m->profile) ? NNC_OK : NNC_MEMORY;
}

/* ---- rows ---- */

/* Of a node or, when a pass made it without a place, of what it is computed from. */
static Span span_of(const Node *node)
{
    enum { FAR_ENOUGH = 8 };
    for (int i = 0; node && node->span.end == 0 && node->nsrc > 0 && i < FAR_ENOUGH; i++)
        node = node->src[0];
    return node ? node->span : (Span){0};
}

Span group_span(const Group *group)
{
    Span span = span_of(group->node);
    for (uint32_t i = group->outputs.count; span.end == 0 && i-- > 0;)
        span = span_of(group->outputs.data[i].node);
    return span;
}

const char *timing_place(Arena *arena, const SourceMap *sources, Span span)
{
    uint32_t line, column;
    if (span.end == 0)
        return "";
    source_line_column(sources, span, &line, &column);
    const char *name = source_name(sources, span.file), *slash = strrchr(name, '/');
    return arena_format(arena, "%s:%u", slash ? slash + 1 : name, line);
}

static const char *source_line(Arena *arena, const SourceMap *sources, Span span)
{
    size_t length;
    if (span.end == 0)
        return "";
    const char *text = source_text(sources, span.file, &length);
    size_t begin = span.begin < length ? span.begin : length, end = begin;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    while (end < length && text[end] != '\n')
        end++;
    while (begin < end && (text[begin] == ' ' || text[begin] == '\t'))
        begin++;
    return arena_substring(arena, text + begin, end - begin);
}

static const char *describe_group(Measurement *m, const Group *group)
{
    static const char *const kinds[GROUP_KINDS] = {"loop", "reduce",  "contract", "cumsum",
                                                   "sort", "scatter", "call"};
    StrBuf out = {0};
    const Node *node = group->node;
    if (!node && group->outputs.count)
        node = group->outputs.data[group->outputs.count - 1].node;
    strbuf_printf(&out, "%s", kinds[group->kind]);
    if (group->copy_from != NO_BUFFER)
        strbuf_add(&out, " copy");
    if (group->node || (node && group->kind == GROUP_LOOP))
        strbuf_printf(&out, " %s", op_info[node->op].text);
    for (uint32_t i = 0; i < group->reductions.count && i < 3; i++)
        strbuf_printf(&out, " %s", op_info[group->reductions.data[i]->op].text);
    if (node) {
        strbuf_add(&out, " ");
        type_print(m->stages->final->dims, &node->type, &out);
    }
    const char *text = arena_string(m->arena, out.text);
    strbuf_free(&out);
    return text;
}

static void map_launches(Measurement *m)
{
    const Schedule *schedule = m->stages->schedule;
    uint32_t launches = m->stages->program->launches.count, groups = schedule->groups.count;
    m->group_of_launch = ARENA_ARRAY(m->arena, uint32_t, launches + 1);
    uint32_t group = 0;
    for (uint32_t i = 0; i < launches; i++) { /* what is made before a loop is not in order */
        for (uint32_t tried = 0; tried < groups; tried++, group = (group + 1) % groups)
            if (schedule->groups.data[group] == m->stages->launch_groups[i])
                break;
        m->group_of_launch[i] = group;
    }
}

typedef struct {
    uint32_t group;
    VEC(uint32_t) launches;
} GroupLaunches;

typedef struct {
    const Measurement *m;
    GroupLaunches *groups;
} Order;

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* Groups with the same kernels for the same line are neighbours. */
static int compare_groups(const void *left, const void *right, void *user)
{
    const Order *order = user;
    const GroupLaunches *a = left, *b = right;
    const Stages *stages = order->m->stages;
    Span x = group_span(stages->schedule->groups.data[a->group]),
         y = group_span(stages->schedule->groups.data[b->group]);
    int by = compare_numbers(x.file, y.file);
    by = by ? by : compare_numbers(x.begin, y.begin);
    by = by ? by : compare_numbers(x.end, y.end);
    by = by ? by : compare_numbers(a->launches.count, b->launches.count);
    for (uint32_t i = 0; !by && i < a->launches.count; i++) {
        const Launch *p = &stages->program->launches.data[a->launches.data[i]],
                     *q = &stages->program->launches.data[b->launches.data[i]];
        by = compare_numbers(p->kernel * 2 + p->is_extern, q->kernel * 2 + q->is_extern);
    }
    return by;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Least and middle over the steps of the time of some groups. */
static void sum_times(Measurement *m, const GroupLaunches *groups, uint32_t count, double *least,
                      double *median)
{
    uint32_t steps = profile_steps(m->profile);
    double *times = ARENA_ARRAY(m->arena, double, steps + 1);
    for (uint32_t step = 0; step < steps; step++)
        for (uint32_t g = 0; g < count; g++)
            for (uint32_t i = 0; i < groups[g].launches.count; i++)
                times[step] += profile_seconds(m->profile, step, groups[g].launches.data[i]);
    qsort(times, steps, sizeof *times, compare_doubles);
    *least = times[0];
    *median = times[steps / 2];
}

/* The name of the kernel of a group that takes longest. */
static const char *longest_kernel(const Measurement *m, const GroupLaunches *group)
{
    const KProgram *program = m->stages->program;
    double longest = -1;
    const char *name = "";
    for (uint32_t i = 0; i < group->launches.count; i++) {
        const Launch *launch = &program->launches.data[group->launches.data[i]];
        double taken = profile_seconds(m->profile, 0, group->launches.data[i]);
        if (taken <= longest)
            continue;
        longest = taken;
        name = launch->is_extern ? program->externs.data[launch->kernel]
                                 : program->kernels.data[launch->kernel]->name;
    }
    return name;
}

static double seconds_at_limit(const Peak *peak, const Work *work, bool *computes,
                               MemoryLevel *level)
{
    double bytes = work->read_bytes + work->written_bytes;
    *level = peak_level(peak, bytes);
    double compute = work->flops / peak->flops, move = bytes / peak->bytes_second[*level];
    *computes = compute > move;
    return *computes ? compute : move;
}

static void add_row(Measurement *m, const GroupLaunches *groups, uint32_t count, const Work *works)
{
    const Group *first = m->stages->schedule->groups.data[groups->group];
    const SourceMap *sources = m->program->context->sources;
    TimeRow row = {.span = group_span(first), .groups = count};
    row.place = timing_place(m->arena, sources, row.span);
    row.source = source_line(m->arena, sources, row.span);
    row.what = describe_group(m, first);
    row.kernel = longest_kernel(m, groups);
    sum_times(m, groups, count, &row.seconds, &row.median);
    for (uint32_t g = 0; g < count; g++) {
        const Work *work = &works[groups[g].group];
        uint32_t last = groups[g].launches.data[groups[g].launches.count - 1];
        uint32_t calls = profile_calls(m->profile, last);
        row.calls += calls;
        row.work.flops += work->flops * calls;
        row.work.read_bytes += work->read_bytes * calls;
        row.work.written_bytes += work->written_bytes * calls;
        row.limit += calls * seconds_at_limit(&m->timing.peak, work, &row.computes, &row.level);
    }
    m->timing.limit += row.limit;
    m->timing.items[m->timing.count++] = row;
}

static int by_time(const void *a, const void *b)
{
    const TimeRow *x = a, *y = b;
    return (x->median < y->median) - (x->median > y->median);
}

static void make_rows(Measurement *m)
{
    const Schedule *schedule = m->stages->schedule;
    uint32_t launches = m->stages->program->launches.count, count = 0;
    GroupLaunches *groups = ARENA_ARRAY(m->arena, GroupLaunches, schedule->groups.count + 1);
    Order order = {m, groups};
    Work *works = schedule_work(m->arena, schedule, schedule->hints);
    map_launches(m);
    for (uint32_t g = 0; g < schedule->groups.count; g++)
        groups[g].group = g;
    for (uint32_t i = 0; i < launches; i++)
        vec_push(m->arena, &groups[m->group_of_launch[i]].launches, i);
    for (uint32_t g = 0; g < schedule->groups.count; g++)
        if (groups[g].launches.count)
            groups[count++] = groups[g];
    qsort_r(groups, count, sizeof *groups, compare_groups, &order);
    m->timing.items = ARENA_ARRAY(m->arena, TimeRow, count + 1);
    for (uint32_t first = 0, next; first < count; first = next) {
        for (next = first + 1; next < count; next++)
            if (compare_groups(&groups[first], &groups[next], &order) != 0)
                break;
        add_row(m, &groups[first], next - first, works);
    }
    qsort(m->timing.items, m->timing.count, sizeof *m->timing.items, by_time);
}

static int64_t argument_bytes(const Measurement *m)
{
    const Function *function = compiled_function(m->compiled, 0);
    int64_t bytes = 0;
    for (int i = 0; i < function->arg_count; i++)
        bytes += function_elements(function, m->specimen.dims, i) *
                 (int64_t)dtype_bytes(function->args[i].dtype);
    return bytes;
}

static void sum_up(Measurement *m)
{
    Timing *timing = &m->timing;
    uint32_t steps = profile_steps(m->profile);
    double *times = ARENA_ARRAY(m->arena, double, steps + 1);
    for (uint32_t i = 0; i < steps; i++)
        times[i] = profile_total(m->profile, i);
    qsort(times, steps, sizeof *times, compare_doubles);
    timing->seconds = times[0];
    timing->median = times[steps / 2];
    timing->steps = steps;
    timing->file = m->program->name;
    timing->block = m->plan->name;
    timing->rows = program_batch(m->plan);
    timing->kernels = m->stages->program->kernels.count;
    timing->launches = m->stages->program->launches.count;
    timing->arena_bytes = m->specimen.arena_bytes;
    timing->live_bytes = m->stages->schedule->live_bytes;
    timing->argument_bytes = argument_bytes(m);
    timing->function = compiled_function(m->compiled, 0)->name;
    CodeIdentity identity = codegen_identity(m->program->options.cpu);
    timing->cpu = arena_string(m->arena, identity.cpu);
    make_rows(m);
}

/* ---- the call ---- */

static nnc_status write_trace(Measurement *m)
{
    StrBuf trace = {0};
    profile_trace(m->profile);
    timing_trace(m->profile, m->stages, m->program->context->sources, &trace);
    bool written = file_replace(m->options->trace, trace.text, trace.length);
    strbuf_free(&trace);
    return written ? NNC_OK
                   : context_fail(m->program->context, NNC_DATA, ERR_E0806, "cannot write %s: %s",
                                  m->options->trace, strerror(errno));
}

static nnc_status measure_code(Measurement *m)
{
    char *error = NULL;
    CompileOptions options = program_compile_options(m->program, m->plan, 1, m->arena);
    nnc_status status = NNC_OK;
    if (!timing_code(m->stages, &options, m->arena, &m->timing, &error))
        status = context_fail(m->program->context, NNC_UNSUPPORTED, ERR_E0903, "%s",
                              error ? error : "no code");
    free(error);
    return status;
}

static nnc_status measure(Measurement *m, const char *block, StrBuf *out)
{
    nnc_context *context = m->program->context;
    const char *name = m->options->function ? m->options->function : "train";
    m->plan = program_plan(m->program, block);
    if (!m->plan)
        return NNC_PROGRAM;
    const Graph *graph = plan_function(m->plan, name);
    if (!graph)
        return context_fail(context, NNC_ARGUMENT, ERR_E0901, "%s has no function %s",
                            m->plan->name, name);
    if (m->program->options.interpret)
        return context_fail(context, NNC_ARGUMENT, ERR_E0901,
                            "the interpreter has no kernels to measure");
    nnc_status status = compile_function(m, name, graph);
    status = status == NNC_OK ? open_profile(m) : status;
    status = status == NNC_OK ? run_steps(m) : status;
    if (status == NNC_OK)
        sum_up(m);
    if (status == NNC_OK && m->options->compile)
        status = measure_code(m);
    if (status == NNC_OK && m->options->trace)
        status = write_trace(m);
    if (status == NNC_OK)
        (m->options->format == NNC_JSON ? timing_json : timing_text)(&m->timing, out);
    return status;
}

nnc_status nnc_program_time(nnc_program *program, const char *block, const nnc_time_options *given,
                            char **text)
{
    nnc_time_options options;
    context_begin(program->context);
    if (!options_copy(&options, sizeof options, given) || options.steps < 0)
        return context_fail(program->context, NNC_ARGUMENT, ERR_E0901,
                            "options of time begin with their size, and steps are not negative");
    Measurement m = {.program = program, .options = &options, .arena = arena_new()};
    StrBuf out = {0};
    nnc_status status = measure(&m, block, &out);
    profile_free(m.profile);
    if (m.compiled) {
        specimen_free(&m.specimen, compiled_function(m.compiled, 0));
        compiled_free(m.compiled);
    }
    arena_free(m.arena);
    if (status == NNC_OK)
        *text = out.text;
    else
        strbuf_free(&out);
    return status;
}
