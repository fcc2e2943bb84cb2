/* See compiled.h. Params and states are copied before a step, so that the caller's data stays as it
 * is. */
#include "tests/support/compiled.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { GUARD_BYTES = 256, GUARD_VALUE = 0xA5 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool compiled_open(Compiled *c, Arena *arena, const Graph *graph, const ScheduleOptions *schedule,
                   const LowerOptions *lower, char **error)
{
    *c = (Compiled){.arena = arena, .graph = graph};
    double start = seconds();
    c->schedule = schedule_build(arena, graph, schedule);
    c->lowered = lower_program(arena, c->schedule, lower, "t");
    CodegenOptions options = {.verify = true, .announce_ranges = codegen_under_race_detector()};
    ObjectCode object;
    if (!codegen_object(&c->lowered.program, 1, &options, &object, error)) {
        return false;
    }
    c->jit = jit_new(error);
    JitUnit *unit = c->jit != NULL ? jit_add(c->jit, &object, error) : NULL;
    if (unit == NULL) {
        return false;
    }
    void *plan = jit_symbol(unit, "t_plan"), *step = jit_symbol(unit, "t_step");
    memcpy(&c->plan, &plan, sizeof plan);
    memcpy(&c->step, &step, sizeof step);
    c->table = ARENA_ARRAY(arena, int64_t, c->lowered.program->table_size);
    c->failures = ARENA_ARRAY(arena, int64_t, c->lowered.program->failure_sites + 1);
    c->compile_seconds = seconds() - start;
    return plan != NULL && step != NULL;
}

/* ---- guard pages ---- */

static size_t whole_pages(size_t bytes)
{
    return (bytes + GUARD_PAGE - 1) / GUARD_PAGE * GUARD_PAGE;
}

static void *map_pages(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

static void close_page(char *page)
{
    mprotect(page, GUARD_PAGE, PROT_NONE);
}

/* Memory of a buffer of the caller. */
static void *external_memory(Compiled *c, size_t bytes)
{
    if (!c->schedule->guarded || c->guarded_count == COMPILED_EXTERNALS)
        return arena_alloc(c->arena, bytes + 1);
    size_t room = whole_pages(bytes);
    char *pages = map_pages(room + GUARD_PAGE);
    if (pages == NULL)
        return NULL;
    close_page(pages + room);
    c->guarded[c->guarded_count].pages = pages;
    c->guarded[c->guarded_count++].bytes = room + GUARD_PAGE;
    return pages + room - bytes;
}

static void free_externals(Compiled *c)
{
    for (int i = 0; i < c->guarded_count; i++)
        munmap(c->guarded[i].pages, c->guarded[i].bytes);
    c->guarded_count = 0;
}

static size_t arena_room(int64_t bytes)
{
    return whole_pages((size_t)bytes + GUARD_BYTES);
}

static char *arena_memory(const Compiled *c, int64_t bytes)
{
    const KProgram *program = c->lowered.program;
    char *arena = map_pages(arena_room(bytes));
    if (arena == NULL)
        return NULL;
    memset(arena, GUARD_VALUE, arena_room(bytes));
    if (program->guards > 0)
        close_page(arena);
    for (uint32_t i = 0; i < program->guards; i++)
        close_page(arena + c->table[program->table_size - program->guards + i]);
    return arena;
}

void compiled_close(Compiled *c)
{
    free_externals(c);
    if (c->jit != NULL) {
        jit_free(c->jit);
    }
}

static size_t bytes_of(const Type *type, const int64_t *symbols)
{
    size_t bytes = dtype_bytes(type->dtype);
    for (int i = 0; i < type->rank; i++) {
        bytes *= (size_t)dim_eval(type->dims[i], symbols);
    }
    return bytes;
}

static const Node *leaf_named(const Graph *graph, const Buffer *buffer)
{
    OpCode op = buffer->kind == STORAGE_INPUT   ? OP_INPUT
                : buffer->kind == STORAGE_PARAM ? OP_PARAM
                                                : OP_STATE;
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        const Node *n = graph->nodes.data[i];
        if (n->op == op && strcmp(n->attr.leaf.name, buffer->name) == 0) {
            return n;
        }
    }
    return NULL;
}

/* Reversed chunks: what runs later in a pool may run first. */
static void run_chunks(void *pool, nnc_kernel *kernel, const nnc_call *call, void *const *args,
                       int64_t count, int64_t grain)
{
    int chunks = *(int *)pool;
    int64_t each = (count + chunks - 1) / chunks;
    each = (each + grain - 1) / grain * grain;
    for (int64_t begin = (count - 1) / each * each; begin >= 0; begin -= each) {
        kernel(call, args, begin, begin + each < count ? begin + each : count);
    }
}

bool compiled_run(Compiled *c, const CompiledCall *given, const void **values)
{
    const Schedule *s = c->schedule;
    int64_t dims[16];
    for (uint32_t i = 0; i < s->symbol_count; i++) {
        dims[i] = given->symbols[s->symbols[i]];
    }
    int64_t bytes = c->plan(dims, c->table);
    if (bytes != plan_bytes(s, given->symbols)) {
        return false;
    }
    void **buffers = ARENA_ARRAY(c->arena, void *, s->externals + 1);
    free_externals(c);
    for (uint32_t i = 0; i < s->externals; i++) {
        size_t size = bytes_of(&s->buffers.data[i].type, given->symbols);
        buffers[i] = external_memory(c, size);
        if (s->buffers.data[i].kind != STORAGE_OUTPUT) {
            memcpy(buffers[i], given->leaf(given->user, leaf_named(c->graph, &s->buffers.data[i])),
                   size);
        } else {
            memset(buffers[i], GUARD_VALUE, size);
        }
    }
    char *arena = arena_memory(c, bytes);
    memset(c->failures, -1, sizeof *c->failures * (c->lowered.program->failure_sites + 1));
    int chunks = given->chunks;
    nnc_call call = {.dims = dims,
                     .table = c->table,
                     .buffers = buffers,
                     .arena = arena,
                     .seed = given->seed,
                     .step = given->step,
                     .parallel = chunks > 1 ? run_chunks : NULL,
                     .pool = &chunks,
                     .failures = c->failures};
    c->step(&call);
    bool inside = true;
    for (int i = 0; i < GUARD_BYTES; i++) {
        inside &= (unsigned char)arena[bytes + i] == GUARD_VALUE;
    }
    munmap(arena, arena_room(bytes));
    for (uint32_t r = 0; r < c->graph->roots.count; r++) {
        const Root *root = &c->graph->roots.data[r];
        for (uint32_t i = 0; i < s->externals; i++) {
            bool output = s->buffers.data[i].kind == STORAGE_OUTPUT;
            bool input = s->buffers.data[i].kind == STORAGE_INPUT;
            if (strcmp(s->buffers.data[i].name, root->name) == 0 && !input &&
                output == (root->kind == ROOT_OUTPUT)) {
                values[r] = buffers[i];
            }
        }
    }
    return inside;
}

const Node *compiled_failure(const Compiled *c, int64_t *element)
{
    const Node *first = NULL;
    for (uint32_t i = 0; i < c->lowered.program->failure_sites; i++) {
        const Node *node = c->lowered.failure_nodes[i];
        if (c->failures[i] >= 0 && (first == NULL || node->id < first->id)) {
            first = node;
            *element = c->failures[i];
        }
    }
    return first;
}
