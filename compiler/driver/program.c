/* Programs: a text read, parsed and checked once, immutable afterwards. */
#include "compiler/driver/handles.h"

#include "compiler/ast/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SOURCE_BYTES = 16 << 20, LARGEST_HINT = 1 << 20, USUAL_BATCH = 32 };

/* The whole file in the arena (at most one chunk beyond the limit, so that the parser can refuse
 * it); NULL: errno says why. */
static char *read_whole(Arena *arena, const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *text = arena_alloc(arena, 1);
    size_t used = 0, capacity = 0, got;
    char chunk[65536];
    while (used <= MAX_SOURCE_BYTES && (got = fread(chunk, 1, sizeof chunk, file)) > 0) {
        if (used + got + 1 > capacity) {
            capacity = (used + got + 1) * 2;
            char *grown = arena_alloc(arena, capacity);
            memcpy(grown, text, used);
            text = grown;
        }
        memcpy(text + used, chunk, got);
        used += got;
    }
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    errno = failed;
    *length = used;
    return failed ? NULL : text;
}

static const char *folder_of(Arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    return arena_substring(arena, path, slash ? (size_t)(slash - path + 1) : 0);
}

const char *program_path(const nnc_program *program, Arena *arena, const char *path)
{
    if (path[0] == '/' || !program->folder[0])
        return path;
    return arena_format(arena, "%s%s", program->folder, path);
}

static const char *read_import(void *user, const char *path, size_t *length)
{
    nnc_program *program = user;
    return read_whole(program->arena, program_path(program, program->arena, path), length);
}

static const char *const *copy_strings(Arena *arena, const char *const *strings, size_t count)
{
    const char **copy = ARENA_ARRAY(arena, const char *, count + 1);
    for (size_t i = 0; i < count; i++)
        copy[i] = arena_string(arena, strings[i]);
    return copy;
}

static nnc_status program_new(nnc_context *context, const char *path,
                              const nnc_program_options *options, nnc_program **out)
{
    nnc_program *program = calloc(1, sizeof *program);
    if (!program)
        return NNC_MEMORY;
    if (!options_copy(&program->options, sizeof program->options, options)) {
        free(program);
        return context_fail(context, NNC_ARGUMENT, ERR_E0901,
                            "program options begin with their size");
    }
    program->references = 1;
    program->context = context;
    program->arena = arena_new();
    program->folder = folder_of(program->arena, path);
    program->name = arena_string(program->arena, path);
    program->options.defines =
        copy_strings(program->arena, program->options.defines, program->options.define_count);
    program->options.settings =
        copy_strings(program->arena, program->options.settings, program->options.setting_count);
    if (program->options.cpu)
        program->options.cpu = arena_string(program->arena, program->options.cpu);
    context_hold(context);
    *out = program;
    return NNC_OK;
}

static nnc_status check(nnc_program *program, const char *text, size_t length)
{
    nnc_context *context = program->context;
    uint32_t file = source_add_owned(context->sources, program->arena, program->name, text, length);
    program->file = ast_parse(program->arena, context->sources, file, context->diag);
    if (diag_error_count(context->diag) > 0)
        return NNC_PROGRAM;
    SemaOptions options = {
        .float64 = program->options.f64,
        .defines = program->options.defines,
        .define_count = (uint32_t)program->options.define_count,
        .overrides = program->options.settings,
        .override_count = (uint32_t)program->options.setting_count,
        .library = context->library,
        .read_file = read_import,
        .user = program,
    };
    program->sema =
        sema_check(program->arena, context->sources, program->file, &options, context->diag);
    return diag_error_count(context->diag) > 0 ? NNC_PROGRAM : NNC_OK;
}

static nnc_status finish(nnc_program *program, nnc_status status, nnc_program **out)
{
    if (status == NNC_OK)
        *out = program;
    else
        nnc_program_release(program);
    return status;
}

nnc_status nnc_program_load(nnc_context *context, const char *path,
                            const nnc_program_options *options, nnc_program **out)
{
    context_begin(context);
    if (!path)
        return context_fail(context, NNC_ARGUMENT, ERR_E0905, "a program needs a path");
    nnc_program *program;
    nnc_status status = program_new(context, path, options, &program);
    if (status != NNC_OK)
        return status;
    size_t length;
    char *text = read_whole(program->arena, path, &length);
    status = text ? check(program, text, length)
                  : context_fail(context, NNC_DATA, ERR_E0905, "cannot read %s: %s", path,
                                 strerror(errno));
    return finish(program, status, out);
}

nnc_status nnc_program_parse(nnc_context *context, const char *name, const char *text,
                             const nnc_program_options *options, nnc_program **out)
{
    context_begin(context);
    if (!name || !text)
        return context_fail(context, NNC_ARGUMENT, ERR_E0905, "a program needs a name and a text");
    nnc_program *program;
    nnc_status status = program_new(context, name, options, &program);
    if (status != NNC_OK)
        return status;
    return finish(program, check(program, text, strlen(text)), out);
}

void program_hold(nnc_program *program)
{
    program->references++;
}

void nnc_program_release(nnc_program *program)
{
    if (!program || --program->references > 0)
        return;
    source_disown(program->context->sources, program->arena);
    arena_free(program->arena);
    nnc_context_release(program->context);
    free(program);
}

size_t nnc_program_block_count(const nnc_program *program)
{
    return program->sema->trains.count;
}

const char *nnc_program_block_name(const nnc_program *program, size_t i)
{
    return i < program->sema->trains.count ? program->sema->trains.data[i]->name : NULL;
}

TrainPlan *program_plan(nnc_program *program, const char *block)
{
    const char *names[64];
    uint32_t count = program->sema->trains.count;
    if (!block && count > 0)
        return program->sema->trains.data[0];
    for (uint32_t i = 0; i < count; i++) {
        TrainPlan *plan = program->sema->trains.data[i];
        if (strcmp(plan->name, block) == 0)
            return plan;
        if (i < 64)
            names[i] = plan->name;
    }
    if (count == 0) {
        context_fail(program->context, NNC_PROGRAM, ERR_E0900, "%s has no train block",
                     program->name);
        return NULL;
    }
    const char *nearest = diag_nearest(block, names, count < 64 ? count : 64);
    context_fail(program->context, NNC_PROGRAM, ERR_E0900, "%s has no train block named %s%s%s",
                 program->name, block, nearest ? "; did you mean " : "", nearest ? nearest : "");
    return NULL;
}

const Graph *plan_function(const TrainPlan *plan, const char *name)
{
    const struct {
        const char *name;
        const Graph *graph;
    } functions[] = {{"train", plan->train_step},
                     {"eval", plan->eval_step},
                     {"predict", plan->predict},
                     {"forward", plan->forward},
                     {"apply", plan->apply_step},
                     {"epoch", plan->epoch_step},
                     {"map", plan->train_map},
                     {"eval_map", plan->eval_map}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, name) == 0)
            return functions[i].graph;
    return NULL;
}

int64_t program_batch(const TrainPlan *plan)
{
    return plan->settings.batch > 0 ? plan->settings.batch : USUAL_BATCH;
}

CompileOptions program_compile_options(nnc_program *program, const TrainPlan *plan, int64_t rows,
                                       Arena *arena)
{
    uint32_t count = dim_symbol_count(program->sema->dims);
    int64_t *hints = ARENA_ARRAY(arena, int64_t, count + 1);
    for (uint32_t i = 0; i < count; i++)
        hints[i] = rows < LARGEST_HINT ? rows : LARGEST_HINT;
    return (CompileOptions){.interpret = program->options.interpret,
                            .no_fuse = program->options.no_fuse,
                            .cpu = program->options.cpu,
                            .hints = hints,
                            .store = program->context->cache ? &program->context->store : NULL,
                            .hosts = program->context->hosts.data,
                            .host_count = (int)program->context->hosts.count,
                            .checks = plan->checks.data,
                            .check_count = plan->checks.count};
}
