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

/* ---- Relations of sizes that only a call can check ---- */

static void print_size(const Dim *dim, const int *places, StrBuf *out);

static void print_factor(const DimAtom *atom, const int *places, StrBuf *out)
{
    if (atom->kind == DIM_SYMBOL) {
        strbuf_printf(out, "dims[%d]", places[atom->symbol]);
        return;
    }
    strbuf_add(out, atom->kind == DIM_FLOORDIV ? "nnc_aot_floor(" : "nnc_aot_max(");
    print_size(atom->left, places, out);
    strbuf_add(out, ", ");
    print_size(atom->right, places, out);
    strbuf_add(out, ")");
}

/* A polynomial as C: (2*dims[0] + -1) */
static void print_size(const Dim *dim, const int *places, StrBuf *out)
{
    strbuf_add(out, dim->count ? "(" : "(0");
    for (uint32_t i = 0; i < dim->count; i++) {
        const DimTerm *term = &dim->terms[i];
        strbuf_printf(out, "%s(int64_t)%lld", i ? " + " : "", (long long)term->coefficient);
        for (uint32_t k = 0; k < term->count; k++) {
            strbuf_add(out, "*");
            print_factor(term->factors[k], places, out);
        }
    }
    strbuf_add(out, ")");
}

static const char *size_text(Arena *arena, const Dim *dim, const int *places)
{
    StrBuf out = {0};
    print_size(dim, places, &out);
    const char *text = arena_string(arena, out.text);
    strbuf_free(&out);
    return text;
}

static bool knows_sizes(const DimCheck *check, const int *places, uint32_t symbols)
{
    for (uint32_t i = 0; i < symbols; i++)
        if (places[i] < 0 && (dim_uses_symbol(check->left, i) || dim_uses_symbol(check->right, i)))
            return false;
    return true;
}

/* Those whose sizes a call of the function knows. */
static void list_relations(const Run *run, const KProgram *program, AotOptions *aot)
{
    const DimTable *table = run->plan->forward->dims;
    const DimChecks *checks = &run->plan->checks;
    uint32_t symbols = dim_symbol_count(table);
    int *places = ARENA_ARRAY(run->arena, int, symbols + 1);
    AotRelation *relations = ARENA_ARRAY(run->arena, AotRelation, checks->count + 1);
    for (uint32_t i = 0; i < symbols; i++) {
        places[i] = -1;
        for (uint32_t k = 0; k < program->dims.count; k++)
            if (strcmp(program->dims.data[k], dim_symbol_name(table, i)) == 0)
                places[i] = (int)k;
    }
    aot->relations = relations;
    for (uint32_t i = 0; i < checks->count; i++)
        if (knows_sizes(&checks->data[i], places, symbols))
            relations[aot->relation_count++] =
                (AotRelation){size_text(run->arena, checks->data[i].left, places),
                              size_text(run->arena, checks->data[i].right, places),
                              checks->data[i].text};
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
    list_relations(run, program, &aot);
    nnc_status status = NNC_OK;
    if (!aot_write(program, &aot, object, header, &error))
        status = context_fail(run->program->context, NNC_DATA, ERR_E0806, "%s",
                              error ? error : "the object cannot be written");
    free(error);
    return status;
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
    nnc_status status = run_open(&run, program, block, 0, false, 0);
    if (status == NNC_OK && run.plan->by_hand)
        status = context_fail(program->context, NNC_PROGRAM, ERR_E0900,
                              "%s has a step written by hand and no one model to compile",
                              run.plan->name);
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
