/* From programs of kernels to relocatable objects. Every kernel is translated once (cg_*.c); with
 * several threads the kernels are dealt out to as many modules, each with an LLVM context and a
 * target machine of its own, for LLVM shares neither. The entries are in the first module and call
 * the kernels of the others by name. */
#include "compiler/codegen/codegen.h"

#include "compiler/codegen/cg.h"
#include "runtime/base/bug.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const CgList *list;
    KProgram *const *programs;
    int count, part;
    const CodegenOptions *options;
    ObjectCode object;
    char *error;
    bool done;
} Part;

/* The functions of all items as this module sees them: defined here, declared, or not needed. */
static LLVMValueRef *translate_kernels(Cg *cg, const Part *part)
{
    const CgList *list = part->list;
    LLVMValueRef *functions = calloc(list->items.count + 1, sizeof *functions);
    if (!functions) {
        NNC_BUG("out of memory");
    }
    for (uint32_t i = 0; i < list->items.count; i++) {
        const CgItem *item = &list->items.data[i];
        if (item->part == part->part) {
            functions[i] = cg_kernel(cg, item->kernel, item->name, list->parts == 1);
        } else if (part->part == 0) {
            functions[i] = cg_declare_kernel(cg, item->name);
        }
    }
    return functions;
}

static void translate_entries(Cg *cg, const Part *part, LLVMValueRef *functions)
{
    for (int p = 0; p < part->count; p++) {
        const KProgram *program = part->programs[p];
        const uint32_t *items = part->list->of_program[p];
        uint32_t kernels = program->kernels.count;
        LLVMValueRef *own = calloc(kernels + 1, sizeof *own);
        if (!own) {
            NNC_BUG("out of memory");
        }
        for (uint32_t i = 0; i <= kernels; i++) {
            own[i] = functions[items[i]];
        }
        cg_program(cg, program, own, own[kernels]);
        free(own);
    }
}

static void *compile_part(void *data)
{
    Part *part = data;
    Cg cg = {0};
    LLVMTargetMachineRef machine = cg_machine(part->options, &cg.wide_vectors, &part->error);
    if (!machine) {
        return NULL;
    }
    cg_init(&cg, machine, part->count ? part->programs[0]->name : "nnc", part->options);
    LLVMValueRef *functions = translate_kernels(&cg, part);
    if (part->part == 0) {
        translate_entries(&cg, part, functions);
    }
    free(functions);
    part->done = cg_finish(&cg, &part->object, &part->error);
    cg_free(&cg);
    LLVMDisposeTargetMachine(machine);
    return NULL;
}

/* The first part on this thread, the others on their own; a thread that cannot be had is done
 * without. */
static void compile_parts(Part *parts, int count)
{
    pthread_t *threads = calloc((size_t)count, sizeof *threads);
    bool *started = calloc((size_t)count, sizeof *started);
    if (!threads || !started) {
        NNC_BUG("out of memory");
    }
    for (int i = 1; i < count; i++) {
        started[i] = pthread_create(&threads[i], NULL, compile_part, &parts[i]) == 0;
    }
    compile_part(&parts[0]);
    for (int i = 1; i < count; i++) {
        if (started[i]) {
            pthread_join(threads[i], NULL);
        } else {
            compile_part(&parts[i]);
        }
    }
    free(threads);
    free(started);
}

/* All objects, or the first error and none. */
static bool collect(Part *parts, int count, ObjectCode *objects, char **error)
{
    bool done = true;
    for (int i = 0; i < count; i++) {
        if (done && !parts[i].done) {
            *error = parts[i].error;
            done = false;
        } else if (!parts[i].done) {
            free(parts[i].error);
        }
    }
    for (int i = 0; i < count; i++) {
        if (done) {
            objects[i] = parts[i].object;
        } else if (parts[i].done) {
            codegen_object_free(&parts[i].object);
        }
    }
    return done;
}

bool codegen_objects(KProgram *const *programs, int count, const CodegenOptions *options,
                     int threads, ObjectCode *objects, int *made, char **error)
{
    Arena *arena = arena_new();
    CgList list;
    bool dumps = options->llvm || options->assembly;
    cg_list_init(&list, arena, programs, count, dumps ? 1 : threads);
    Part *parts = ARENA_ARRAY(arena, Part, list.parts);
    for (int i = 0; i < list.parts; i++) {
        parts[i] = (Part){
            .list = &list, .programs = programs, .count = count, .part = i, .options = options};
    }
    compile_parts(parts, list.parts);
    *made = list.parts;
    bool done = collect(parts, list.parts, objects, error);
    arena_free(arena);
    return done;
}

bool codegen_object(KProgram *const *programs, int count, const CodegenOptions *options,
                    ObjectCode *object, char **error)
{
    int made;
    return codegen_objects(programs, count, options, 1, object, &made, error);
}

/* gcc and clang say it in two ways. */
bool codegen_under_race_detector(void)
{
#if defined __SANITIZE_THREAD__
    return true;
#elif defined __has_feature
    return __has_feature(thread_sanitizer);
#else
    return false;
#endif
}

void codegen_object_free(ObjectCode *object)
{
    free(object->data);
    *object = (ObjectCode){0};
}
