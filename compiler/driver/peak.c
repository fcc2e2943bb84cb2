/* The limits of the machine, by two kernels in the same form as those of a model: written in kernel
 * IR, compiled by the same code generator for the same processor, run by the same pool.
 *
 *   fma     per item: 16384 rounds over 16 independent accumulators of a full vector
 *   triad   per item: `repeats` times over a block of its own: a[i] = b[i] + 3*c[i]
 *
 * Every measurement is the best of several: a limit is what is possible, not what is usual. */
#include "compiler/driver/peak.h"

#include "compiler/schedule/schedule.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CHAINS = 16,
    ROUNDS = 16384,
    BEST_OF = 5,
    ITEMS_OF_A_THREAD = 4,
    LARGEST_ARRAYS = 384 << 20,  /* bytes of the three arrays in memory */
    L3_OF_A_THREAD = 8 << 20     /* a last level that many cores share is never one's own */
};

static const char *const level_names[LEVEL_COUNT] = {"L1", "L2", "L3", "memory"};

const char *peak_level_name(MemoryLevel level)
{
    return level_names[level];
}

MemoryLevel peak_level(const Peak *peak, double bytes)
{
    int level = LEVEL_L1;
    while (level < LEVEL_MEMORY && bytes > (double)peak->bytes[level])
        level++;
    return (MemoryLevel)level;
}

/* Of one thread the time of the processor, which neighbours do not lengthen by taking turns. */
static double seconds(const Pool *pool)
{
    struct timespec t;
    bool alone = !pool || pool_threads(pool) == 1;
    clock_gettime(alone ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- kernels ---- */

/* Free dimensions of both programs. */
enum { DIM_ITEMS, DIM_BLOCK, DIM_REPEATS, DIM_COUNT };

static Kernel *fma_kernel(Arena *arena, int lanes)
{
    Kernel *kernel = kernel_new(arena, "fma");
    uint32_t out = kernel_buffer(kernel, "out", DT_F32, true, true);
    KBuilder b = kernel_builder(kernel);
    KInst *sums[CHAINS];
    KInst *items =
        kir_for(&b, kernel->body->args.data[0], kernel->body->args.data[1], 1, NULL, 0);
    KInst *at = kir_binary(&b, K_MUL, kir_loop_arg(items, 0), kir_index(&b, lanes));
    KInst *x = kir_load(&b, out, at, lanes, NULL);
    for (int i = 0; i < CHAINS; i++)
        sums[i] = kir_binary(&b, K_ADD, x, kir_float(&b, DT_F32, i));
    KInst *rounds = kir_for(&b, kir_index(&b, 0), kir_index(&b, ROUNDS), 1, sums, CHAINS);
    for (int i = 0; i < CHAINS; i++)
        sums[i] = kir_fma(&b, kir_loop_arg(rounds, 1 + i), x, x);
    kir_end_for(&b, rounds, sums);
    KInst *sum = kir_result(&b, rounds, 0);
    for (int i = 1; i < CHAINS; i++)
        sum = kir_binary(&b, K_ADD, sum, kir_result(&b, rounds, i));
    kir_store(&b, out, at, sum, NULL);
    kir_end_for(&b, items, NULL);
    return kernel;
}

static Kernel *triad_kernel(Arena *arena, int lanes)
{
    Kernel *kernel = kernel_new(arena, "triad");
    uint32_t out = kernel_buffer(kernel, "a", DT_F32, false, true);
    uint32_t left = kernel_buffer(kernel, "b", DT_F32, true, false);
    uint32_t right = kernel_buffer(kernel, "c", DT_F32, true, false);
    KBuilder b = kernel_builder(kernel);
    KInst *block = kir_dim(&b, DIM_BLOCK);
    KInst *items =
        kir_for(&b, kernel->body->args.data[0], kernel->body->args.data[1], 1, NULL, 0);
    KInst *low = kir_binary(&b, K_MUL, kir_loop_arg(items, 0), block);
    KInst *high = kir_binary(&b, K_ADD, low, block);
    KInst *again = kir_for(&b, kir_index(&b, 0), kir_dim(&b, DIM_REPEATS), 1, NULL, 0);
    KInst *along = kir_for(&b, low, high, 4 * lanes, NULL, 0);
    for (int i = 0; i < 4; i++) {
        KInst *at = kir_binary(&b, K_ADD, kir_loop_arg(along, 0), kir_index(&b, i * lanes));
        KInst *x = kir_load(&b, right, at, lanes, NULL), *y = kir_load(&b, left, at, lanes, NULL);
        kir_store(&b, out, at, kir_fma(&b, x, kir_float(&b, DT_F32, 3), y), NULL);
    }
    kir_end_for(&b, along, NULL);
    kir_end_for(&b, again, NULL);
    kir_end_for(&b, items, NULL);
    return kernel;
}

/* A program of one launch over DIM_ITEMS items, whose buffers are its arguments. */
static KProgram *program_of(Arena *arena, Kernel *kernel)
{
    static const char *const dims[DIM_COUNT] = {"items", "block", "repeats"};
    KProgram *program = ARENA_NEW(arena, KProgram);
    program->name = kernel->name;
    program->arena = arena;
    for (int i = 0; i < DIM_COUNT; i++)
        vec_push(arena, &program->dims, dims[i]);
    Launch launch = {.count_slot = 1, .grain = 1};
    for (uint32_t i = 0; i < kernel->buffers.count; i++) {
        ProgramBuffer buffer = {.kind = BUFFER_STATE,
                                .name = kernel->buffers.data[i].name,
                                .dtype = DT_F32,
                                .rank = 1,
                                .dims = {-1},
                                .shape = "f32[N]"};
        vec_push(arena, &program->buffers, buffer);
        vec_push(arena, &launch.args, i);
    }
    program->externals = kernel->buffers.count;
    vec_push(arena, &program->kernels, kernel);
    vec_push(arena, &program->launches, launch);
    program->plan = kernel_new(arena, arena_format(arena, "%s_plan", kernel->name));
    KBuilder b = kernel_builder(program->plan);
    uint32_t table = kernel_buffer(program->plan, "table", DT_I64, false, true);
    kir_store(&b, table, kir_index(&b, 0), kir_index(&b, 0), NULL);
    kir_store(&b, table, kir_index(&b, 1), kir_dim(&b, DIM_ITEMS), NULL);
    program->table_size = 2;
    return program;
}

/* ---- measuring ---- */

typedef void StepFunction(const nnc_call *call);

static StepFunction *step_of(JitUnit *unit, const char *symbol)
{
    StepFunction *step;
    void *address = jit_symbol(unit, symbol);
    memcpy(&step, &address, sizeof step);
    return step;
}

/* Seconds of the fastest of several calls. */
static double best_time(StepFunction *step, Pool *pool, const int64_t *dims, void *const *buffers)
{
    int64_t table[2] = {0, dims[DIM_ITEMS]};
    nnc_call call = {.dims = dims,
                     .table = table,
                     .buffers = buffers,
                     .parallel = pool ? pool_run : NULL,
                     .pool = pool};
    double best = 1e9;
    for (int i = 0; i < BEST_OF; i++) {
        double begin = seconds(pool);
        step(&call);
        double taken = seconds(pool) - begin;
        best = taken < best ? taken : best;
    }
    return best;
}

static bool measure_flops(StepFunction *step, Pool *pool, int lanes, Peak *peak)
{
    int64_t dims[DIM_COUNT] = {(int64_t)peak->threads * ITEMS_OF_A_THREAD};
    size_t count = (size_t)(dims[DIM_ITEMS] * lanes);
    void *out = NULL;
    if (posix_memalign(&out, 64, count * sizeof(float)) != 0)
        return false;
    memset(out, 0, count * sizeof(float));
    double taken = best_time(step, pool, dims, &out);
    peak->flops = 2.0 * CHAINS * ROUNDS * lanes * (double)dims[DIM_ITEMS] / taken;
    free(out);
    return true;
}

/* Three quarters of a level, so that the rest of what a thread touches fits as well; of memory,
 * several times the last level. */
static int64_t bytes_to_stream(const Peak *peak, int level)
{
    if (level != LEVEL_MEMORY)
        return peak->bytes[level] / 4 * 3;
    return LARGEST_ARRAYS;
}

static bool measure_level(StepFunction *step, Pool *pool, int lanes, int level, Peak *peak)
{
    enum { BYTES_OF_A_CALL = 64 << 20 };
    int64_t bytes = bytes_to_stream(peak, level), step_of_block = 4 * lanes;
    int64_t block = bytes / 3 / (int64_t)sizeof(float) / peak->threads / step_of_block;
    block = (block > 0 ? block : 1) * step_of_block;
    int64_t dims[DIM_COUNT] = {peak->threads, block, 1};
    size_t size = (size_t)(block * peak->threads) * sizeof(float);
    void *arrays[3] = {NULL, NULL, NULL};
    bool good = true;
    for (int i = 0; i < 3; i++)
        good = good && posix_memalign(&arrays[i], 4096, size + 4096) == 0;
    for (int i = 0; good && i < 3; i++)
        memset(arrays[i], 0, size);
    if (good) {
        double moved = 3.0 * (double)size;
        dims[DIM_REPEATS] = moved < BYTES_OF_A_CALL ? (int64_t)(BYTES_OF_A_CALL / moved) : 1;
        double taken = best_time(step, pool, dims, arrays);
        peak->bytes_second[level] = moved * (double)dims[DIM_REPEATS] / taken;
    }
    for (int i = 0; i < 3; i++)
        free(arrays[i]);
    return good;
}

static bool measure_all(JitUnit *unit, Pool *pool, int lanes, Peak *peak)
{
    StepFunction *fma = step_of(unit, "fma_step"), *triad = step_of(unit, "triad_step");
    bool good = fma && triad && measure_flops(fma, pool, lanes, peak);
    for (int level = 0; good && level < LEVEL_COUNT; level++)
        good = measure_level(triad, pool, lanes, level, peak);
    return good;
}

bool peak_measure(Jit *jit, const char *cpu, Pool *pool, Peak *peak, Diag *diag)
{
    TargetDescription target;
    CodegenOptions options = {.cpu = cpu, .features = cpu ? "" : NULL};
    ObjectCode object;
    JitUnit *unit = NULL;
    Arena *arena = arena_new();
    char *error = NULL;
    bool good = codegen_describe(NULL, options.cpu, options.features, &target, &error);
    *peak = (Peak){.threads = pool ? pool_threads(pool) : 1};
    if (good) {
        int lanes = target.vector_bytes / (int)sizeof(float);
        KProgram *programs[] = {program_of(arena, fma_kernel(arena, lanes)),
                                program_of(arena, triad_kernel(arena, lanes))};
        peak->bytes[LEVEL_L1] = target.l1_bytes * peak->threads;
        peak->bytes[LEVEL_L2] = target.l2_bytes * peak->threads;
        peak->bytes[LEVEL_L3] = target.l3_bytes < (int64_t)L3_OF_A_THREAD * peak->threads
                                    ? target.l3_bytes
                                    : (int64_t)L3_OF_A_THREAD * peak->threads;
        peak->bytes[LEVEL_MEMORY] = INT64_MAX;
        good = codegen_object(programs, 2, &options, &object, &error) &&
               (unit = jit_add(jit, &object, &error)) != NULL &&
               measure_all(unit, pool, lanes, peak);
    }
    if (!good)
        diag_error(diag, ERR_E0903, (Span){0}, NULL, "the limits of the machine: %s",
                   error ? error : "not enough memory");
    if (unit)
        jit_remove(unit);
    free(error);
    arena_free(arena);
    return good;
}
