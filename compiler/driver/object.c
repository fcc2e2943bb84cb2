/* nnc_program_compile: the model's forward function ahead of time. With weights they are read into
 * the tensors of a run first and embedded in the object by name. */
#include "compiler/driver/run.h"
#include "compiler/driver/weights.h"

#include "compiler/jit/aot.h"
#include "runtime/base/bug.h"

#include <stdlib.h>
#include <string.h>

/* "out/model.o" -> "out/model.h" */
static char *header_path(Arena *arena, const char *object)
{
    const char *dot = strrchr(object, '.'), *slash = strrchr(object, '/');
    bool ending = dot && (!slash || dot > slash);
    return arena_format(arena, "%.*s.h", (int)(ending ? (size_t)(dot - object) : strlen(object)),
                        object);
}

typedef struct {
    const void **data;
    size_t *bytes;
} Embedded;

static Embedded embed(Run *run, const KProgram *program, Arena *arena)
{
    Embedded embedded = {ARENA_ARRAY(arena, const void *, program->externals + 1),
                         ARENA_ARRAY(arena, size_t, program->externals + 1)};
    for (uint32_t i = 0; i < program->externals; i++) {
        const ProgramBuffer *buffer = &program->buffers.data[i];
        if (buffer->kind != BUFFER_PARAM && buffer->kind != BUFFER_STATE)
            continue;
        int index = trainer_tensor_index(run->trainer, buffer->name);
        NNC_ASSERT(index >= 0);
        const RunTensor *tensor = &run->spec.tensors[index];
        embedded.data[i] = trainer_tensor_at(run->trainer, index);
        embedded.bytes[i] = dtype_bytes(tensor->dtype);
        for (int axis = 0; axis < tensor->rank; axis++)
            embedded.bytes[i] *= (size_t)tensor->sizes[axis];
    }
    return embedded;
}

static nnc_status write_object(Run *run, const KProgram *program, const char *object,
                               const nnc_compile_options *options)
{
    char *error = NULL;
    Arena *arena = run->arena;
    const char *header = options->header ? options->header : header_path(arena, object);
    AotOptions aot = {.cpu = run->program->options.cpu,
                      .features = run->program->options.cpu ? "" : NULL,
                      .name = options->name ? options->name : run->plan->name};
    if (options->weights) {
        Embedded embedded = embed(run, program, arena);
        aot.weights = embedded.data;
        aot.weight_bytes = embedded.bytes;
    }
    nnc_status status = NNC_OK;
    if (!aot_write(program, &aot, object, header, &error))
        status = context_fail(run->program->context, NNC_DATA, ERR_E0806, "%s",
                              error ? error : "the object cannot be written");
    free(error);
    return status;
}

/* The object's functions take any sizes: a relation that only a run could check would go unchecked.
 */
static bool sizes_are_proved(const Run *run)
{
    const DimChecks *checks = &run->plan->checks;
    for (uint32_t i = 0; i < checks->count; i++) {
        DiagItem *item =
            diag_error(run->program->context->diag, ERR_E0903, checks->data[i].span, NULL,
                       "an object cannot check this relation of sizes: %s", checks->data[i].text);
        diag_help(item, "declare the shapes so that it is known when the program is compiled");
    }
    return checks->count == 0;
}

nnc_status nnc_program_compile(nnc_program *program, const char *block, const char *object,
                               const nnc_compile_options *given)
{
    Run run;
    Stages stages = {0};
    nnc_compile_options options;
    context_begin(program->context);
    if (!options_copy(&options, sizeof options, given) || !object)
        return context_fail(program->context, NNC_ARGUMENT, ERR_E0901,
                            object ? "compile options begin with their size"
                                   : "an object needs a path");
    nnc_status status = run_open(&run, program, block, 0, false);
    if (status == NNC_OK && run.plan->by_hand)
        status = context_fail(program->context, NNC_PROGRAM, ERR_E0900,
                              "%s has a step written by hand and no one model to compile",
                              run.plan->name);
    if (status == NNC_OK && !sizes_are_proved(&run))
        status = NNC_PROGRAM;
    if (status == NNC_OK && options.weights &&
        !(options.weights = weights_find(program->context, run.arena, options.weights)))
        status = NNC_DATA;
    if (status == NNC_OK && options.weights)
        status = weights_load(program->context, run.trainer, &run.spec, options.weights,
                              WEIGHTS_ALL, NULL);
    if (status == NNC_OK) {
        CompileOptions compile =
            program_compile_options(program, run.plan, program_batch(run.plan), run.arena);
        if (!stages_run(&stages, "forward", run.plan->forward, &compile, program->context->diag))
            status = NNC_PROGRAM;
    }
    if (status == NNC_OK)
        status = write_object(&run, stages.program, object, &options);
    stages_free(&stages);
    run_close(&run);
    return status;
}
