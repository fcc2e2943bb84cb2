/* What kernels cost to compile: each is compiled alone, in a module of its own, and what an empty
 * module takes is taken off. The size is that of its functions in the object. */
#include "compiler/driver/timing.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BEST_OF = 2 };

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* other processes do not count */
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* A program of one kernel (NULL: none) that nothing launches. */
static KProgram *program_with(Arena *arena, const KProgram *from, Kernel *kernel)
{
    KProgram *program = ARENA_NEW(arena, KProgram);
    program->name = "alone";
    program->arena = arena;
    program->dims = from->dims;
    program->table_size = 1;
    if (kernel)
        vec_push(arena, &program->kernels, kernel);
    program->plan = kernel_new(arena, "plan");
    KBuilder b = kernel_builder(program->plan);
    uint32_t table = kernel_buffer(program->plan, "table", DT_I64, false, true);
    kir_store(&b, table, kir_index(&b, 0), kir_index(&b, 0), NULL);
    return program;
}

typedef struct {
    const char *name; /* "alone.KERNEL", and with .body behind it */
    uint32_t bytes;
} Size;

static void add_size(void *user, const char *name, uint64_t bytes)
{
    Size *size = user;
    size_t length = strlen(size->name);
    if (strncmp(name, size->name, length) == 0 && (!name[length] || name[length] == '.'))
        size->bytes += (uint32_t)bytes;
}

static bool compile_alone(KProgram *program, const CodegenOptions *options, Size *size,
                          double *least, char **error)
{
    *least = 1e9;
    for (int i = 0; i < BEST_OF; i++) {
        ObjectCode object;
        double begin = milliseconds();
        if (!codegen_object(&program, 1, options, &object, error))
            return false;
        double taken = milliseconds() - begin;
        *least = taken < *least ? taken : *least;
        size->bytes = 0;
        if (size->name)
            codegen_symbols(&object, add_size, size);
        codegen_object_free(&object);
    }
    return true;
}

static uint32_t count_launches(const KProgram *program, uint32_t kernel)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < program->launches.count; i++)
        count += !program->launches.data[i].is_extern && program->launches.data[i].kernel == kernel;
    return count;
}

static int by_time(const void *a, const void *b)
{
    const CodeRow *x = a, *y = b;
    return (x->milliseconds < y->milliseconds) - (x->milliseconds > y->milliseconds);
}

bool timing_code(const Stages *stages, const CompileOptions *given, Arena *arena, Timing *timing,
                 char **error)
{
    const KProgram *program = stages->program;
    CodegenOptions options = {.cpu = given->cpu, .features = given->cpu ? "" : NULL};
    double empty;
    Size none = {0};
    if (!compile_alone(program_with(arena, program, NULL), &options, &none, &empty, error))
        return false;
    timing->codes = ARENA_ARRAY(arena, CodeRow, program->kernels.count + 1);
    for (uint32_t i = 0; i < program->kernels.count; i++) {
        Kernel *kernel = program->kernels.data[i];
        Size size = {.name = arena_format(arena, "alone.%s", kernel->name)};
        CodeRow row = {.kernel = kernel->name,
                       .instructions = kernel->next_id,
                       .launches = count_launches(program, i)};
        if (!compile_alone(program_with(arena, program, kernel), &options, &size,
                           &row.milliseconds, error))
            return false;
        row.milliseconds = row.milliseconds > empty ? row.milliseconds - empty : 0;
        row.bytes = size.bytes;
        timing->codes[timing->code_count++] = row;
    }
    qsort(timing->codes, timing->code_count, sizeof *timing->codes, by_time);
    return true;
}
