/* Programs of several launches: plan and step, the arena, constants, threads, host functions; units
 * that come and go; objects that do not link; targets that do not exist. */
#include "tests/support/kernel_programs.h"
#include "tests/support/kernel_random.h"
#include "tests/support/kernel_run.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 9 };

typedef struct {
    float x[ROWS * 5], w[15], bias[3], y[ROWS * 3], m[ROWS], wanted[ROWS * 3];
    _Alignas(64) char arena[ROWS * 12];
} Network;

static void fill_network(Network *n)
{
    *n = (Network){0};
    for (int i = 0; i < ROWS * 5; i++) {
        n->x[i] = (float)((i * 37) % 23 - 11) / 7;
    }
    for (int i = 0; i < 15; i++) {
        n->w[i] = (float)((i * 13) % 9 - 4) / 3;
    }
    for (int i = 0; i < 3; i++) {
        n->bias[i] = 0.25F * (float)(i - 1);
    }
    small_network_in_c(ROWS, n->x, n->w, n->bias, n->wanted);
}

static nnc_call call_of(Network *n, KernelRun *run, void **buffers)
{
    void *all[5] = {n->x, n->w, n->bias, n->y, n->m};
    memcpy(buffers, all, sizeof all);
    return (nnc_call){.dims = run->dims,
                      .table = run->table,
                      .buffers = buffers,
                      .arena = n->arena,
                      .failures = run->failures};
}

static void open_network(KernelRun *run, Arena *arena, bool with_extern, int64_t rows)
{
    *run = (KernelRun){.dims = {rows}};
    run->program = *small_network(arena, "net", with_extern);
    kernel_run_program(run, arena);
}

Test(jit, a_program_of_two_kernels_runs_for_any_number_of_rows)
{
    for (int64_t rows = 0; rows <= ROWS; rows += 3) {
        Arena *arena = arena_new();
        Network n;
        KernelRun run;
        void *buffers[5];
        fill_network(&n);
        open_network(&run, arena, false, rows);
        cr_assert_eq(run.table[0], rows * 12);
        nnc_call call = call_of(&n, &run, buffers);
        run.step(&call);
        cr_assert(memcmp(n.y, n.wanted, (size_t)rows * 12) == 0);
        for (int64_t i = rows * 3; i < ROWS * 3; i++) {
            cr_assert(n.y[i] == 0, "a row that is not there was written");
        }
        kernel_run_close(&run);
        arena_free(arena);
    }
}

/* ---- threads ---- */

typedef struct {
    int calls, chunks;
    int64_t items;
} Pool;

/* Last chunk first: the order does not matter. */
static void backwards(void *pool, nnc_kernel *kernel, const nnc_call *call, void *const *args,
                      int64_t count, int64_t grain)
{
    Pool *seen = pool;
    seen->calls++;
    for (int64_t begin = (count - 1) / grain * grain; begin >= 0; begin -= grain) {
        int64_t end = begin + grain < count ? begin + grain : count;
        kernel(call, args, begin, end);
        seen->chunks++;
        seen->items += end - begin;
    }
}

Test(jit, the_host_splits_launches_that_are_long_enough)
{
    Arena *arena = arena_new();
    Network n;
    KernelRun run;
    void *buffers[5];
    Pool pool = {0};
    fill_network(&n);
    open_network(&run, arena, false, ROWS);
    nnc_call call = call_of(&n, &run, buffers);
    call.parallel = backwards;
    call.pool = &pool;
    run.step(&call);
    cr_assert(memcmp(n.y, n.wanted, sizeof n.y) == 0);
    cr_assert(pool.calls == 2 && pool.chunks == 10 && pool.items == 2 * ROWS);
    run.dims[0] = 2; /* not more than the grain: stays on this thread */
    run.plan(run.dims, run.table);
    run.step(&call);
    cr_assert_eq(pool.calls, 2);
    kernel_run_close(&run);
    arena_free(arena);
}

/* ---- host functions ---- */

static void largest(void *user, const void *const *in, void *const *out, const int64_t *dims)
{
    *(int *)user += 1;
    cr_assert(dims[0] == ROWS && dims[1] == 3 && dims[2] == ROWS);
    const float *h = in[0];
    float *m = out[0];
    for (int64_t i = 0; i < dims[0]; i++) {
        m[i] = 0;
        for (int64_t j = 0; j < dims[1]; j++) {
            m[i] = h[i * 3 + j] > m[i] ? h[i * 3 + j] : m[i];
        }
    }
}

Test(jit, host_functions_are_called_between_kernels)
{
    Arena *arena = arena_new();
    Network n;
    KernelRun run;
    void *buffers[5];
    int calls = 0;
    fill_network(&n);
    open_network(&run, arena, true, ROWS);
    nnc_call call = call_of(&n, &run, buffers);
    call.externs = (nnc_extern *const[]){largest};
    call.extern_users = (void *const[]){&calls};
    run.step(&call);
    cr_assert_eq(calls, 1);
    cr_assert(memcmp(n.y, n.wanted, sizeof n.y) == 0);
    for (int i = 0; i < ROWS; i++) {
        float y0 = n.y[i * 3], y1 = -n.y[i * 3 + 1] / 2, y2 = n.y[i * 3 + 2] * 2;
        float most = y0 > y1 ? y0 : y1;
        cr_assert_eq(n.m[i], most > y2 ? most : y2);
    }
    kernel_run_close(&run);
    arena_free(arena);
}

/* ---- values of the call ---- */

Test(jit, kernels_see_dimensions_seed_and_step)
{
    Arena *arena = arena_new();
    Kernel *kernel = kernel_new(arena, "values");
    uint32_t out = kernel_buffer(kernel, "out", DT_I64, false, true);
    KBuilder b = kernel_builder(kernel);
    KInst *values[4] = {kir_dim(&b, 0), kir_dim(&b, 2), kir_seed(&b), kir_step(&b)};
    for (int i = 0; i < 4; i++) {
        kir_store(&b, out, kir_index(&b, i), values[i], NULL);
    }
    KernelRun run = {.dims = {5, 6, 7}};
    kernel_run_open(&run, arena, kernel, 1);
    int64_t got[4];
    kernel_run_call(&run, (void *[]){got});
    cr_assert(got[0] == 5 && got[1] == 7 && got[2] == 11 && got[3] == 22);
    kernel_run_close(&run);
    arena_free(arena);
}

/* ---- units ---- */

static Kernel *storing(Arena *arena, int64_t value)
{
    Kernel *kernel = kernel_new(arena, "storing");
    uint32_t out = kernel_buffer(kernel, "out", DT_I64, false, true);
    KBuilder b = kernel_builder(kernel);
    kir_store(&b, out, kir_index(&b, 0), kir_index(&b, value), NULL);
    return kernel;
}

static ObjectCode object_of(Arena *arena, int64_t value)
{
    KProgram *program = ARENA_NEW(arena, KProgram);
    Launch launch = {.count_slot = 1};
    ProgramBuffer buffer = {.kind = BUFFER_OUTPUT, .name = "out", .dtype = DT_I64};
    program->name = "same_name";
    program->externals = 1;
    vec_push(arena, &program->buffers, buffer);
    vec_push(arena, &launch.args, 0);
    vec_push(arena, &program->launches, launch);
    vec_push(arena, &program->kernels, storing(arena, value));
    program->plan = constant_plan(arena, (int64_t[]){0, 1}, 2);
    ObjectCode object;
    char *error;
    CodegenOptions options = {0};
    cr_assert(codegen_object(&program, 1, &options, &object, &error));
    return object;
}

static int64_t value_from(JitUnit *unit)
{
    void (*step)(const nnc_call *) = NULL;
    void *address = jit_symbol(unit, "same_name_step");
    cr_assert(address, "%s", jit_error(unit));
    memcpy(&step, &address, sizeof step);
    int64_t out = -1, table[2] = {0, 1};
    void *buffers[1] = {&out};
    nnc_call call = {.table = table, .buffers = buffers};
    step(&call);
    return out;
}

Test(jit, units_with_the_same_names_live_side_by_side_and_go)
{
    Arena *arena = arena_new();
    char *error = NULL;
    Jit *jit = jit_new(&error);
    cr_assert(jit, "%s", error);
    JitUnit *units[4];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 4; i++) {
            ObjectCode object = object_of(arena, round * 10 + i);
            units[i] = jit_add(jit, &object, &error);
            cr_assert(units[i], "%s", error);
            cr_assert(!object.data, "the object's memory was not taken");
        }
        for (int i = 0; i < 4; i++) {
            cr_assert_eq(value_from(units[i]), round * 10 + i);
        }
        for (int i = 0; i < 4; i++) {
            jit_remove(units[(i * 3) % 4]);
        }
    }
    jit_free(jit);
    arena_free(arena);
}

Test(jit, what_is_not_there_is_said)
{
    Arena *arena = arena_new();
    char *error = NULL;
    Jit *jit = jit_new(&error);
    ObjectCode object = object_of(arena, 1);
    JitUnit *unit = jit_add(jit, &object, &error);
    cr_assert_null(jit_symbol(unit, "nothing"));
    cr_assert(strstr(jit_error(unit), "nothing"));
    cr_assert_eq(value_from(unit), 1);
    cr_assert_null(jit_error(unit));
    ObjectCode cut = object_of(arena, 2);
    cut.size /= 2;
    JitUnit *broken = jit_add(jit, &cut, &error);
    cr_assert(!broken || !jit_symbol(broken, "same_name_step"));
    free(error);
    ObjectCode noise = {strdup("this is not an object file"), 26};
    error = NULL;
    cr_assert(!jit_add(jit, &noise, &error) && error);
    free(error);
    jit_free(jit);
    arena_free(arena);
}

/* ---- code generation from several threads ---- */

static void *compile_some(void *result)
{
    Arena *arena = arena_new();
    for (uint64_t seed = 0; seed < 6; seed++) {
        KernelRun run = {0};
        kernel_run_open(&run, arena, kernel_random(arena, seed, 20), 1);
        kernel_run_close(&run);
    }
    arena_free(arena);
    *(int *)result = 1;
    return NULL;
}

Test(jit, threads_compile_at_the_same_time)
{
    pthread_t threads[4];
    int done[4] = {0};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, compile_some, &done[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        cr_assert(done[i]);
    }
}

/* ---- several objects ---- */

/* One program with many kernels, compiled by `threads` threads: the memory after one step. */
static int objects_of(Arena *arena, int threads, char memory[DT_COUNT][512])
{
    KProgram *program = ARENA_NEW(arena, KProgram);
    program->name = "many";
    program->externals = DT_COUNT;
    program->plan = constant_plan(arena, (int64_t[]){0, 1}, 2);
    for (uint32_t i = 0; i < DT_COUNT; i++) {
        ProgramBuffer buffer = {.kind = BUFFER_STATE, .name = "b", .dtype = (DType)i};
        vec_push(arena, &program->buffers, buffer);
    }
    for (uint32_t k = 0; k < 12; k++) {
        Launch launch = {.kernel = k, .count_slot = 1};
        Kernel *kernel = kernel_random(arena, 900 + k % 9, 40); /* the last three equal the first */
        kernel->name = arena_format(arena, "random%u", k);
        vec_push(arena, &program->kernels, kernel);
        for (uint32_t i = 0; i < DT_COUNT; i++) {
            vec_push(arena, &launch.args, i);
        }
        vec_push(arena, &program->launches, launch);
    }
    ObjectList list;
    char *error = NULL;
    cr_assert(codegen_objects(&program, 1, &(CodegenOptions){0}, threads, &list, &error), "%s",
              error);
    Jit *jit = jit_new(&error);
    JitUnit *unit = jit_add_all(jit, &list, &error);
    cr_assert(unit, "%s", error);
    void (*step)(const nnc_call *) = NULL;
    void *address = jit_symbol(unit, "many_step"), *buffers[DT_COUNT];
    cr_assert(address, "%s", jit_error(unit));
    memcpy(&step, &address, sizeof step);
    for (int i = 0; i < DT_COUNT; i++) {
        memset(memory[i], 1, 512);
        buffers[i] = memory[i];
    }
    int64_t failures[8], dims[4] = {3, 4, 5, 6}, table[2] = {0, 1};
    memset(failures, -1, sizeof failures);
    nnc_call call = {.dims = dims, .table = table, .buffers = buffers, .failures = failures};
    step(&call);
    jit_free(jit);
    return list.count;
}

Test(jit, several_objects_make_one_unit)
{
    Arena *arena = arena_new();
    char one[DT_COUNT][512], many[DT_COUNT][512];
    cr_assert_eq(objects_of(arena, 1, one), 9 + 2); /* kernels, the plan, the entries */
    cr_assert_eq(objects_of(arena, 3, many), 9 + 2);
    cr_assert(memcmp(one, many, sizeof one) == 0);
    arena_free(arena);
}

/* ---- targets ---- */

Test(jit, unknown_machines_are_refused)
{
    static const struct {
        const char *triple, *cpu, *features, *part;
    } rows[] = {
        {NULL, "zen99", NULL, "zen99"},
        {NULL, "znver4", "+avx513", "+avx513"},
        {NULL, "znver4", "avx2", "avx2"},
        {"pdp11-unknown-unix", NULL, NULL, "pdp11"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TargetDescription target;
        char *error = NULL;
        cr_assert(
            !codegen_describe(rows[i].triple, rows[i].cpu, rows[i].features, &target, &error));
        cr_assert(strstr(error, rows[i].part), "%s", error);
        free(error);
    }
}

Test(jit, machines_are_described)
{
    static const struct {
        const char *cpu, *features;
        int bytes, registers, fma;
    } rows[] = {
        {"x86-64", NULL, 16, 16, 0},         {"haswell", NULL, 32, 16, 1},
        {"znver3", "+sse4a", 32, 16, 1},     {"znver5", NULL, 64, 32, 1},
        {"sapphirerapids", NULL, 64, 32, 1}, {"znver5", "-avx512f", 32, 16, 1},
        {"haswell", "-fma", 32, 16, 0},      {"skylake", "-avx2,+popcnt", 16, 16, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TargetDescription t;
        char *error = NULL;
        cr_assert(
            codegen_describe("x86_64-unknown-linux-gnu", rows[i].cpu, rows[i].features, &t, &error),
            "%s", error);
        cr_assert(t.vector_bytes == rows[i].bytes && t.vector_registers == rows[i].registers &&
                      t.has_fma == rows[i].fma,
                  "row %zu: %d %d %d", i, t.vector_bytes, t.vector_registers, t.has_fma);
        cr_assert(t.l1_bytes > 0 && t.l2_bytes > t.l1_bytes && t.l3_bytes >= t.l2_bytes);
    }
}
