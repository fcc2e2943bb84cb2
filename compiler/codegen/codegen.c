/* From programs of kernels to relocatable objects, in one of two forms.
 *
 * One object (codegen_object) for files and dumps: kernels are internal functions with the names of
 * their programs.
 *
 * Many objects (codegen_objects) for this process: every kernel is translated once, alone, under a
 * name made of its contents, so its object does not depend on the program around it and can be kept
 * in a store. What the store does not have is made by several threads, the largest kernels first,
 * each with a target machine of its own, for LLVM does not share them; every object has a context
 * of its own. An object costs 0.4 ms of LLVM's time beside its kernel. */
#include "compiler/codegen/codegen.h"

#include "compiler/codegen/cg.h"
#include "runtime/base/bug.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static void translate_entries(Cg *cg, const KProgram *program, const uint32_t *items,
                              LLVMValueRef *functions)
{
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

static LLVMValueRef *new_functions(const CgList *list)
{
    LLVMValueRef *functions = calloc(list->items.count + 1, sizeof *functions);
    if (!functions) {
        NNC_BUG("out of memory");
    }
    return functions;
}

/* ---- one object ---- */

static bool translate_all(Cg *cg, const CgList *list, KProgram *const *programs, int count,
                          ObjectCode *object, char **error)
{
    LLVMValueRef *functions = new_functions(list);
    for (uint32_t i = 0; i < list->items.count; i++) {
        functions[i] = cg_kernel(cg, list->items.data[i].kernel, list->items.data[i].name, true);
    }
    for (int p = 0; p < count; p++) {
        translate_entries(cg, programs[p], list->of_program[p], functions);
    }
    free(functions);
    return cg_finish(cg, object, error);
}

bool codegen_object(KProgram *const *programs, int count, const CodegenOptions *options,
                    ObjectCode *object, char **error)
{
    Cg cg = {0};
    LLVMTargetMachineRef machine = cg_machine(options, &cg.wide_vectors, &cg.has_half, error);
    if (!machine) {
        return false;
    }
    Arena *arena = arena_new();
    CgList list;
    cg_list_init(&list, arena, programs, count);
    cg_init(&cg, machine, count ? programs[0]->name : "nnc", options);
    bool done = translate_all(&cg, &list, programs, count, object, error);
    cg_free(&cg);
    LLVMDisposeTargetMachine(machine);
    arena_free(arena);
    return done;
}

/* ---- many objects ---- */

/* One object to be made: of an item of the list, or of the entries of a program. */
typedef struct {
    int item, program; /* the other one is -1 */
    CodeKey key;
    uint64_t weight; /* instructions */
    bool found, done;
    ObjectCode *object;
    char *error;
} Task;

typedef struct {
    const CgList *list;
    KProgram *const *programs;
    const CodegenOptions *options;
    Task *tasks;
    int count;
    atomic_int next;
} Job;

static bool may_keep(const Job *job, const Task *task)
{
    return job->options->store && (task->item >= 0 || !job->options->observer);
}

/* Entries call kernels of other objects. */
static void translate_task(Cg *cg, const Job *job, const Task *task)
{
    if (task->item >= 0) {
        const CgItem *item = &job->list->items.data[task->item];
        cg_kernel(cg, item->kernel, item->symbol, false);
        return;
    }
    const KProgram *program = job->programs[task->program];
    const uint32_t *items = job->list->of_program[task->program];
    LLVMValueRef *functions = new_functions(job->list);
    for (uint32_t i = 0; i <= program->kernels.count; i++) {
        if (!functions[items[i]]) {
            functions[items[i]] = cg_declare_kernel(cg, job->list->items.data[items[i]].symbol);
        }
    }
    translate_entries(cg, program, items, functions);
    free(functions);
}

static void make_object(const Job *job, Task *task, LLVMTargetMachineRef machine, const Cg *facts)
{
    Cg cg = {.wide_vectors = facts->wide_vectors, .has_half = facts->has_half};
    cg_init(&cg, machine, "nnc", job->options);
    translate_task(&cg, job, task);
    task->done = cg_finish(&cg, task->object, &task->error);
    cg_free(&cg);
    if (task->done && may_keep(job, task)) {
        job->options->store->keep(job->options->store->user, task->key, task->object);
    }
}

/* Takes tasks until there are none. */
static void *work(void *data)
{
    Job *job = data;
    LLVMTargetMachineRef machine = NULL;
    Cg facts = {0};
    for (int at; (at = atomic_fetch_add(&job->next, 1)) < job->count;) {
        Task *task = &job->tasks[at];
        if (task->done) {
            continue;
        }
        if (!machine) {
            machine = cg_machine(job->options, &facts.wide_vectors, &facts.has_half, &task->error);
        }
        if (machine) {
            make_object(job, task, machine, &facts);
        }
    }
    if (machine) {
        LLVMDisposeTargetMachine(machine);
    }
    return NULL;
}

/* Threads that are worth starting for what is left to do: one for every few hundred instructions. */
static int useful_threads(const Job *job, int threads)
{
    enum { WORTH_A_THREAD = 400, MOST_THREADS = 64 };
    uint64_t weight = 0;
    for (int i = 0; i < job->count; i++) {
        weight += job->tasks[i].done ? 0 : job->tasks[i].weight;
    }
    uint64_t useful = weight / WORTH_A_THREAD + 1;
    threads = threads < MOST_THREADS ? threads : MOST_THREADS;
    return useful < (uint64_t)threads ? (int)useful : threads;
}

/* This thread works as well; a thread that cannot be had is done without. */
static void run_job(Job *job, int threads)
{
    threads = useful_threads(job, threads);
    pthread_t *others = calloc((size_t)threads + 1, sizeof *others);
    int started = 0;
    if (!others) {
        NNC_BUG("out of memory");
    }
    while (started < threads - 1 && pthread_create(&others[started], NULL, work, job) == 0) {
        started++;
    }
    work(job);
    for (int i = 0; i < started; i++) {
        pthread_join(others[i], NULL);
    }
    free(others);
}

static int by_weight(const void *left, const void *right)
{
    const Task *a = left, *b = right;
    if (a->weight != b->weight) {
        return a->weight < b->weight ? 1 : -1;
    }
    return a->item != b->item ? (a->item > b->item) - (a->item < b->item)
                              : (a->program > b->program) - (a->program < b->program);
}

static void list_tasks(Job *job, int programs, ObjectList *list)
{
    const CgList *items = job->list;
    CodeKey options = {0};
    if (job->options->store) {
        options = cg_options_key(job->options);
    }
    for (uint32_t i = 0; i < items->items.count; i++) {
        const CgItem *item = &items->items.data[i];
        job->tasks[job->count++] = (Task){.item = (int)i,
                                          .program = -1,
                                          .key = cg_join_keys(options, item->key),
                                          .weight = item->kernel->next_id};
    }
    for (int p = 0; p < programs; p++) {
        const KProgram *program = job->programs[p];
        CodeKey key = cg_entry_key(items, program, items->of_program[p]);
        job->tasks[job->count++] = (Task){.item = -1,
                                          .program = p,
                                          .key = cg_join_keys(options, key),
                                          .weight = program->launches.count * 4};
    }
    qsort(job->tasks, (size_t)job->count, sizeof *job->tasks, by_weight);
    for (int i = 0; i < job->count; i++) {
        job->tasks[i].object = &list->objects[i];
    }
}

static void look_up(Job *job, ObjectList *list)
{
    const ObjectStore *store = job->options->store;
    for (int i = 0; i < job->count; i++) {
        Task *task = &job->tasks[i];
        task->done = may_keep(job, task) && store->find(store->user, task->key, task->object);
        list->found += task->done;
    }
}

/* True: all is done. Else *error is the first one, and there is no object. */
static bool collect(Job *job, ObjectList *list, char **error)
{
    const char *missing = NULL;
    bool done = true;
    for (int i = 0; i < job->count; i++) {
        done = done && job->tasks[i].done;
        missing = missing ? missing : job->tasks[i].error;
    }
    if (!done) {
        *error = missing ? strdup(missing) : NULL;
    }
    for (int i = 0; i < job->count; i++) {
        free(job->tasks[i].error);
    }
    list->count = job->count;
    if (!done) {
        codegen_list_free(list);
    }
    return done;
}

bool codegen_objects(KProgram *const *programs, int count, const CodegenOptions *options,
                     int threads, ObjectList *list, char **error)
{
    Arena *arena = arena_new();
    CgList items;
    cg_list_init(&items, arena, programs, count);
    size_t most = items.items.count + (size_t)count + 1;
    Job job = {.list = &items, .programs = programs, .options = options};
    job.tasks = ARENA_ARRAY(arena, Task, most);
    *list = (ObjectList){.objects = calloc(most, sizeof(ObjectCode))};
    if (!list->objects) {
        NNC_BUG("out of memory");
    }
    list_tasks(&job, count, list);
    look_up(&job, list);
    run_job(&job, threads < 1 ? 1 : threads);
    bool done = collect(&job, list, error);
    arena_free(arena);
    return done;
}

void codegen_list_free(ObjectList *list)
{
    for (int i = 0; i < list->count; i++) {
        codegen_object_free(&list->objects[i]);
    }
    free(list->objects);
    *list = (ObjectList){0};
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
