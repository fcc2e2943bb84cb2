/* The peak comes from kernel IR: CHAINS independent chains of fma on registers as wide as the
 * target's, so the same source measures every machine for which code can be generated. */
#include "tests/bench/support/machine.h"

#include "compiler/codegen/codegen.h"
#include "compiler/jit/jit.h"
#include "compiler/kernel/kir.h"
#include "nnc/abi.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHAINS = 24, PEAK_STEPS = 200000, PEAK_ROUNDS = 12, STREAM_ROUNDS = 6, MAX_THREADS = 64 };
enum { STREAM_FLOATS = 24 << 20 }; /* of each of the three arrays of a thread */

struct Machine {
    Arena *arena;
    Jit *jit;
    void (*step)(const nnc_call *call);
    int lanes;
};

typedef struct {
    Machine *machine;
    pthread_barrier_t *barrier;
    int cpu;
    double seconds; /* the best round, by this thread's clock */
    float *a, *b, *c;
} Task;

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* neighbours on the machine do not count */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static Kernel *chains_kernel(Arena *arena, int lanes)
{
    Kernel *kernel = kernel_new(arena, "chains");
    KBuilder b = kernel_builder(kernel);
    uint32_t data = kernel_buffer(kernel, "data", DT_F32, true, true);
    KInst *factor = kir_load(&b, data, kir_index(&b, 0), lanes, NULL), *sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = kir_load(&b, data, kir_index(&b, (int64_t)i * lanes), lanes, NULL);
    KInst *loop = kir_for(&b, kir_index(&b, 0), kir_index(&b, PEAK_STEPS), 1, sums, CHAINS);
    for (int i = 0; i < CHAINS; i++)
        sums[i] = kir_fma(&b, factor, factor, kir_loop_arg(loop, 1 + i));
    kir_end_for(&b, loop, sums);
    for (int i = 0; i < CHAINS; i++)
        kir_store(&b, data, kir_index(&b, (int64_t)i * lanes), kir_result(&b, loop, i), NULL);
    return kernel;
}

static Kernel *one_item(Arena *arena)
{
    Kernel *kernel = kernel_new(arena, "plan");
    KBuilder b = kernel_builder(kernel);
    uint32_t table = kernel_buffer(kernel, "table", DT_I64, true, true);
    kir_store(&b, table, kir_index(&b, 0), kir_index(&b, 1), NULL);
    return kernel;
}

static KProgram *chains_program(Arena *arena, int lanes)
{
    KProgram *program = ARENA_NEW(arena, KProgram);
    *program = (KProgram){.name = "peak", .arena = arena, .externals = 1, .table_size = 1};
    ProgramBuffer buffer = {.kind = BUFFER_INPUT,
                            .name = "data",
                            .dtype = DT_F32,
                            .rank = 1,
                            .dims = {(int64_t)CHAINS * lanes},
                            .shape = "f32[]"};
    Launch launch = {.kernel = 0, .count_slot = 0};
    vec_push(arena, &program->buffers, buffer);
    vec_push(arena, &program->kernels, chains_kernel(arena, lanes));
    vec_push(arena, &launch.args, 0);
    vec_push(arena, &program->launches, launch);
    program->plan = one_item(arena);
    return program;
}

Machine *machine_open(void)
{
    Machine *machine = calloc(1, sizeof *machine);
    TargetDescription target;
    ObjectCode object;
    char *error = NULL;
    JitUnit *unit = NULL;
    machine->arena = arena_new();
    if (codegen_describe(NULL, NULL, NULL, &target, &error)) {
        machine->lanes = target.vector_bytes / 4;
        KProgram *program = chains_program(machine->arena, machine->lanes);
        if (codegen_object(&program, 1, &(CodegenOptions){0}, &object, &error) &&
            (machine->jit = jit_new(&error)))
            unit = jit_add(machine->jit, &object, &error);
    }
    if (!unit) {
        fprintf(stderr, "no code for this machine: %s\n", error ? error : "refused");
        exit(1);
    }
    machine->step = (void (*)(const nnc_call *))jit_symbol(unit, "peak_step");
    return machine;
}

void machine_close(Machine *machine)
{
    jit_free(machine->jit);
    arena_free(machine->arena);
    free(machine);
}

static void pin(int cpu)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int i = 0, seen = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &allowed) || seen++ != cpu)
            continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        pthread_setaffinity_np(pthread_self(), sizeof one, &one); /* a refusal is harmless */
    }
}

static void *peak_task(void *argument)
{
    Task *task = argument;
    float *data = aligned_alloc(64, (size_t)CHAINS * (size_t)task->machine->lanes * 4);
    int64_t table[1] = {1};
    void *buffers[] = {data};
    nnc_call call = {.table = table, .buffers = buffers};
    memset(data, 0, (size_t)CHAINS * (size_t)task->machine->lanes * 4);
    pin(task->cpu);
    for (int round = 0; round < PEAK_ROUNDS; round++) {
        pthread_barrier_wait(task->barrier);
        double begin = seconds_now();
        task->machine->step(&call);
        double taken = seconds_now() - begin;
        task->seconds = taken < task->seconds ? taken : task->seconds;
    }
    free(data);
    return NULL;
}

static void *stream_task(void *argument)
{
    typedef float Floats __attribute__((vector_size(32)));
    Task *task = argument;
    size_t bytes = (size_t)STREAM_FLOATS * 4;
    Floats *a = aligned_alloc(64, bytes), *b = aligned_alloc(64, bytes),
           *c = aligned_alloc(64, bytes);
    pin(task->cpu);
    memset(a, 0, bytes), memset(b, 1, bytes), memset(c, 2, bytes);
    for (int round = 0; round < STREAM_ROUNDS; round++) {
        pthread_barrier_wait(task->barrier);
        double begin = seconds_now();
        for (size_t i = 0; i < STREAM_FLOATS / 8; i++)
            a[i] = b[i] + 3.0f * c[i];
        double taken = seconds_now() - begin;
        task->seconds = taken < task->seconds ? taken : task->seconds;
    }
    free(a), free(b), free(c);
    return NULL;
}

/* The sum over the threads of `work` over each one's best time. */
static double total_rate(Machine *machine, int threads, void *(*body)(void *), double work)
{
    pthread_t ids[MAX_THREADS];
    Task tasks[MAX_THREADS];
    pthread_barrier_t barrier;
    double rate = 0;
    threads = threads < MAX_THREADS ? threads : MAX_THREADS;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        tasks[i] = (Task){.machine = machine, .barrier = &barrier, .cpu = i, .seconds = 1e9};
        if (pthread_create(&ids[i], NULL, body, &tasks[i]) != 0)
            exit(1);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        rate += work / tasks[i].seconds;
    }
    pthread_barrier_destroy(&barrier);
    return rate;
}

double machine_peak(Machine *machine, int threads)
{
    return total_rate(machine, threads, peak_task,
                      2e-9 * CHAINS * machine->lanes * (double)PEAK_STEPS);
}

double machine_stream(Machine *machine, int threads)
{
    return total_rate(machine, threads, stream_task, 12e-9 * STREAM_FLOATS);
}

void machine_name(char *name, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(name, size, "unknown processor");
    while (file && fgets(line, sizeof line, file)) {
        const char *text = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!text)
            continue;
        snprintf(name, size, "%.*s", (int)strcspn(text + 2, "\n"), text + 2);
        break;
    }
    if (file)
        fclose(file);
}

double machine_load(void)
{
    double load = -1;
    FILE *file = fopen("/proc/loadavg", "r");
    if (file && fscanf(file, "%lf", &load) != 1)
        load = -1;
    if (file)
        fclose(file);
    return load;
}
