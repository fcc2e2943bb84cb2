/* How fast is generated code, and how long does it take to make? An 8 x 3-vector tile of a matrix
 * product, written in kernel IR as lowering writes it, against the peak of the same machine: 24
 * independent chains of fma in registers. Then the time from kernel IR to an object for 1, 10 and
 * 40 such kernels.
 *
 *   bench_codegen                prints GFLOP/s, the ratio to the peak, milliseconds per kernel */
#include "compiler/codegen/codegen.h"
#include "tests/support/kernel_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROWS = 8, VECTORS = 3, DEPTH = 128, UNROLL = 4 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct {
    KBuilder b;
    int lanes;
    uint32_t a, w, c;
    KInst *sums[ROWS * VECTORS];
} Tile;

static void multiply(Tile *t, KInst *k)
{
    KInst *at_a = kir_binary(&t->b, K_MUL, k, kir_index(&t->b, ROWS));
    KInst *at_w = kir_binary(&t->b, K_MUL, k, kir_index(&t->b, (int64_t)VECTORS * t->lanes));
    KInst *columns[VECTORS];
    for (int j = 0; j < VECTORS; j++) {
        columns[j] = kir_load(
            &t->b, t->w, kir_binary(&t->b, K_ADD, at_w, kir_index(&t->b, (int64_t)j * t->lanes)),
            t->lanes, NULL);
    }
    for (int i = 0; i < ROWS; i++) {
        KInst *x = kir_splat(
            &t->b,
            kir_load(&t->b, t->a, kir_binary(&t->b, K_ADD, at_a, kir_index(&t->b, i)), 1, NULL),
            t->lanes);
        for (int j = 0; j < VECTORS; j++) {
            KInst **sum = &t->sums[i * VECTORS + j];
            *sum = kir_fma(&t->b, x, columns[j], *sum);
        }
    }
}

/* A loop over k of `body`, carrying the sums; items are repetitions of the whole tile. */
static Kernel *tile_kernel(Arena *arena, const char *name, int lanes, bool in_registers)
{
    Kernel *kernel = kernel_new(arena, name);
    Tile t = {.b = kernel_builder(kernel), .lanes = lanes};
    t.a = kernel_buffer(kernel, "a", DT_F32, true, false);
    t.w = kernel_buffer(kernel, "w", DT_F32, true, false);
    t.c = kernel_buffer(kernel, "c", DT_F32, true, true);
    KInst *items =
        kir_for(&t.b, kernel->body->args.data[0], kernel->body->args.data[1], 1, NULL, 0);
    KInst *inits[ROWS * VECTORS];
    for (int i = 0; i < ROWS * VECTORS; i++) {
        inits[i] = kir_load(&t.b, t.c, kir_index(&t.b, (int64_t)i * lanes), lanes, NULL);
    }
    KInst *x = inits[0], *y = inits[1];
    KInst *loop =
        kir_for(&t.b, kir_index(&t.b, 0), kir_index(&t.b, DEPTH), UNROLL, inits, ROWS * VECTORS);
    for (int i = 0; i < ROWS * VECTORS; i++) {
        t.sums[i] = kir_loop_arg(loop, 1 + i);
    }
    for (int u = 0; u < UNROLL; u++) {
        if (!in_registers) {
            multiply(&t, kir_binary(&t.b, K_ADD, kir_loop_arg(loop, 0), kir_index(&t.b, u)));
        }
        for (int i = 0; in_registers && i < ROWS * VECTORS; i++) {
            t.sums[i] = kir_fma(&t.b, x, y, t.sums[i]);
        }
    }
    kir_end_for(&t.b, loop, t.sums);
    for (int i = 0; i < ROWS * VECTORS; i++) {
        kir_store(&t.b, t.c, kir_index(&t.b, (int64_t)i * lanes), kir_result(&t.b, loop, i), NULL);
    }
    kir_end_for(&t.b, items, NULL);
    return kernel;
}

static double rate(Kernel *kernel, Arena *arena, int lanes)
{
    enum { REPEATS = 8000 };
    KernelRun run = {0};
    kernel_run_open(&run, arena, kernel, REPEATS);
    float *a = aligned_alloc(64, DEPTH * ROWS * 4), *w = aligned_alloc(64, DEPTH * VECTORS * 64),
          *c = aligned_alloc(64, ROWS * VECTORS * 64);
    memset(a, 0, DEPTH * ROWS * 4);
    memset(w, 0, DEPTH * VECTORS * 64);
    memset(c, 0, ROWS * VECTORS * 64);
    double best = 0;
    for (int round = 0; round < 9; round++) {
        double start = now();
        kernel_run_call(&run, (void *[]){a, w, c});
        double flops = 2.0 * REPEATS * DEPTH * ROWS * VECTORS * lanes,
               done = flops / (now() - start);
        best = done > best ? done : best;
    }
    kernel_run_close(&run);
    free(a), free(w), free(c);
    return best * 1e-9;
}

static double compile_ms(Arena *arena, int lanes, int kernels)
{
    KProgram *program = ARENA_NEW(arena, KProgram);
    program->name = "many";
    program->arena = arena;
    program->plan = constant_plan(arena, (int64_t[]){0, 1}, 2);
    for (int i = 0; i < kernels; i++) {
        Kernel *kernel = tile_kernel(arena, arena_format(arena, "tile%d", i), lanes, false);
        kir_store(&(KBuilder){kernel, kernel->body}, 2,
                  kir_index(&(KBuilder){kernel, kernel->body}, i),
                  kir_float(&(KBuilder){kernel, kernel->body}, DT_F32, i), NULL);
        vec_push(arena, &program->kernels, kernel);
    }
    CodegenOptions options = {0};
    ObjectCode object;
    char *error = NULL;
    double start = now();
    if (!codegen_object(&program, 1, &options, &object, &error)) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    double taken = now() - start;
    codegen_object_free(&object);
    return 1e3 * taken;
}

int main(void)
{
    TargetDescription target;
    char *error = NULL;
    if (!codegen_describe(NULL, NULL, NULL, &target, &error)) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    int lanes = target.vector_bytes / 4;
    Arena *arena = arena_new();
    double peak = rate(tile_kernel(arena, "peak", lanes, true), arena, lanes);
    double tile = rate(tile_kernel(arena, "tile", lanes, false), arena, lanes);
    printf("peak %.1f GFLOP/s, tile %.1f GFLOP/s, ratio %.3f\n", peak, tile, tile / peak);
    for (int kernels = 1; kernels <= 40; kernels = kernels == 1 ? 10 : kernels * 4) {
        double first = compile_ms(arena, lanes, kernels),
               second = compile_ms(arena, lanes, kernels);
        double best = first < second ? first : second;
        printf("%2d kernels: %.1f ms, %.2f ms each\n", kernels, best, best / kernels);
    }
    arena_free(arena);
    return 0;
}
