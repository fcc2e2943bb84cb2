/* nnc_program_text: one table of what can be asked for.
 *
 *   "kernel.predict"   the stages up to the kernel program, for the function predict
 *   "after:grad"       the graph of the training step after one pass */
#include "compiler/driver/text.h"

#include "compiler/ast/print.h"
#include "compiler/driver/memory_picture.h"
#include "compiler/passes/pass.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    nnc_program *program;
    TrainPlan *plan;
    const Graph *graph; /* of the chosen function */
    const char *function, *pass;
    StrBuf *out;
} Request;

static nnc_status failed(Request *r)
{
    return diag_error_count(r->program->context->diag) ? NNC_PROGRAM : NNC_MEMORY;
}

static nnc_status text_ast(Request *r)
{
    ast_print(r->program->file, r->out);
    return NNC_OK;
}

static nnc_status text_dims(Request *r)
{
    const SemaProgram *sema = r->program->sema;
    const SourceMap *sources = r->program->context->sources;
    for (uint32_t i = 0; i < sema->checks.count; i++) {
        const DimCheck *check = &sema->checks.data[i];
        uint32_t line, column;
        source_line_column(sources, check->span, &line, &column);
        strbuf_printf(r->out, "%s:%u:%u: %s\n", source_name(sources, check->span.file), line,
                      column, check->text);
    }
    if (sema->checks.count == 0)
        strbuf_add(r->out, "every relation of sizes is proved\n");
    return NNC_OK;
}

static nnc_status text_summary(Request *r)
{
    summary_print(r->program->sema, r->plan, r->out);
    return NNC_OK;
}

static nnc_status text_dot(Request *r)
{
    picture_dot(r->program->sema, r->plan, r->out);
    return NNC_OK;
}

static nnc_status text_svg(Request *r)
{
    picture_svg(r->program->sema, r->plan, r->out);
    return NNC_OK;
}

static nnc_status text_graph(Request *r)
{
    graph_print(r->graph, r->out);
    return NNC_OK;
}

static void dump_pass(void *user, const char *pass, const Graph *graph)
{
    Request *r = user;
    if (!r->pass || strcmp(pass, r->pass) == 0) {
        strbuf_clear(r->out);
        graph_print(graph, r->out);
    }
}

/* The graph after one pass, or (pass NULL) after all of them. */
static nnc_status text_passes(Request *r)
{
    PassOptions options = {.verify = true, .stop_after = r->pass, .dump = dump_pass, .user = r};
    StrBuf error = {0};
    Graph *final = passes_run(r->graph, &options, &error);
    nnc_status status = NNC_OK;
    if (!final)
        status = context_fail(r->program->context, NNC_ARGUMENT, ERR_E0901, "%s", error.text);
    else
        arena_free(final->arena);
    strbuf_free(&error);
    return status;
}

typedef void StagePrinter(const Request *r, const Stages *stages);

static nnc_status with_stages(Request *r, StagePrinter *print)
{
    Stages stages;
    Arena *arena = arena_new();
    CompileOptions options =
        program_compile_options(r->program, r->plan, program_batch(r->plan), arena);
    bool good = stages_run(&stages, r->function, r->graph, &options, r->program->context->diag);
    if (good)
        print(r, &stages);
    stages_free(&stages);
    arena_free(arena);
    return good ? NNC_OK : failed(r);
}

static void print_schedule(const Request *r, const Stages *stages)
{
    schedule_print(stages->schedule, r->out);
}

static void print_plan(const Request *r, const Stages *stages)
{
    plan_print(stages->schedule, r->out);
}

static void print_memory(const Request *r, const Stages *stages)
{
    plan_summary(stages->schedule, r->program->context->sources, r->out);
}

static void print_kernels(const Request *r, const Stages *stages)
{
    kprogram_print(stages->program, r->out);
}

static nnc_status text_schedule(Request *r)
{
    return with_stages(r, print_schedule);
}

static nnc_status text_plan(Request *r)
{
    return with_stages(r, print_plan);
}

static nnc_status text_memory(Request *r)
{
    return r->program->options.interpret
               ? NNC_OK
               : with_stages(r, print_memory); /* the interpreter has no plan */
}

static void print_peak(const Request *r, const Stages *stages)
{
    memory_text(stages->schedule, r->program->context->sources, r->out);
}

static void print_arena(const Request *r, const Stages *stages)
{
    memory_svg(stages->schedule, r->program->context->sources, r->out);
}

static nnc_status text_peak(Request *r)
{
    return with_stages(r, print_peak);
}

static nnc_status text_arena(Request *r)
{
    return with_stages(r, print_arena);
}

static nnc_status text_kernel(Request *r)
{
    return with_stages(r, print_kernels);
}

static nnc_status generated(Request *r, bool assembly)
{
    Stages stages;
    Arena *arena = arena_new();
    char *error = NULL;
    ObjectCode object;
    CompileOptions options =
        program_compile_options(r->program, r->plan, program_batch(r->plan), arena);
    CodegenOptions codegen = {.cpu = options.cpu, .features = options.cpu ? "" : NULL};
    codegen.llvm = assembly ? NULL : r->out;
    codegen.assembly = assembly ? r->out : NULL;
    nnc_status status = NNC_OK;
    if (!stages_run(&stages, r->function, r->graph, &options, r->program->context->diag))
        status = failed(r);
    else if (!codegen_object(&stages.program, 1, &codegen, &object, &error))
        status = context_fail(r->program->context, NNC_UNSUPPORTED, ERR_E0903, "%s",
                              error ? error : "no code");
    else
        codegen_object_free(&object);
    free(error);
    stages_free(&stages);
    arena_free(arena);
    return status;
}

static nnc_status text_llvm(Request *r)
{
    return generated(r, false);
}

static nnc_status text_asm(Request *r)
{
    return generated(r, true);
}

typedef struct {
    const char *what;
    nnc_status (*print)(Request *r);
    bool needs_plan;
} TextInfo;

static const TextInfo texts[] = {
    {"ast", text_ast, false},        {"dims", text_dims, false},
    {"summary", text_summary, true}, {"dot", text_dot, true},
    {"svg", text_svg, true},         {"memory", text_memory, true},
    {"graph", text_graph, true},     {"after", text_passes, true},
    {"final", text_passes, true},    {"schedule", text_schedule, true},
    {"plan", text_plan, true},       {"kernel", text_kernel, true},
    {"llvm", text_llvm, true},       {"asm", text_asm, true},
    {"memory_peak", text_peak, true}, {"memory_svg", text_arena, true},
};

enum { TEXT_COUNT = sizeof texts / sizeof *texts };

static const TextInfo *find_text(Request *r, const char *what)
{
    const char *names[TEXT_COUNT];
    for (int i = 0; i < TEXT_COUNT; i++) {
        if (strcmp(texts[i].what, what) == 0)
            return &texts[i];
        names[i] = texts[i].what;
    }
    const char *nearest = diag_nearest(what, names, TEXT_COUNT);
    context_fail(r->program->context, NNC_ARGUMENT, ERR_E0901, "nothing to print is called %s%s%s",
                 what, nearest ? "; did you mean " : "", nearest ? nearest : "");
    return NULL;
}

static bool choose_function(Request *r, const char *function)
{
    r->function = function;
    r->graph = plan_function(r->plan, function);
    return r->graph != NULL;
}

/* STAGE, STAGE.FUNCTION, after:PASS, after:PASS.FUNCTION */
static nnc_status print_text(Request *r, char *what, const char *block)
{
    char *dot = strchr(what, '.'), *colon = strchr(what, ':');
    if (dot)
        *dot = 0;
    if (colon) {
        *colon = 0;
        r->pass = colon + 1;
    }
    const TextInfo *info = find_text(r, what);
    if (!info)
        return NNC_ARGUMENT;
    if (info->needs_plan && !(r->plan = program_plan(r->program, block)))
        return NNC_PROGRAM;
    if (info->needs_plan && !choose_function(r, dot ? dot + 1 : "train"))
        return context_fail(r->program->context, NNC_ARGUMENT, ERR_E0901,
                            "no function %s: train, eval, predict and forward exist, apply with accumulate, "
                            "and map and eval_map where a loader makes rows",
                            dot ? dot + 1 : "train");
    return info->print(r);
}

nnc_status nnc_program_text(nnc_program *program, const char *block, const char *what, char **text)
{
    context_begin(program->context);
    if (!what)
        return context_fail(program->context, NNC_ARGUMENT, ERR_E0901, "nothing was asked for");
    StrBuf out = {0};
    char *copy = strdup(what);
    if (!copy)
        return NNC_MEMORY;
    Request request = {.program = program, .out = &out};
    nnc_status status = print_text(&request, copy, block);
    free(copy);
    if (status != NNC_OK) {
        strbuf_free(&out);
        return status;
    }
    strbuf_add(&out, ""); /* an empty text is a text */
    *text = out.text;
    return NNC_OK;
}
