/* See kernel_programs.h. */
#include "tests/support/kernel_programs.h"

#include <math.h>

enum { INPUTS = 5, OUTPUTS = 3 };

static const _Alignas(64) float scale[OUTPUTS] = {1, -2, 0.5F};

/* h[i, j] = max(fma chain over k, plus bias, 0): one row per item. */
static Kernel *dense_kernel(Arena *arena)
{
    Kernel *kernel = kernel_new(arena, "dense");
    uint32_t x = kernel_buffer(kernel, "x", DT_F32, true, false),
             w = kernel_buffer(kernel, "w", DT_F32, true, false);
    uint32_t bias = kernel_buffer(kernel, "bias", DT_F32, true, false),
             h = kernel_buffer(kernel, "h", DT_F32, false, true);
    KBuilder b = kernel_builder(kernel);
    KInst *lane = kir_iota(&b, DT_I64, 4),
          *in_row = kir_binary(&b, K_LT, lane, kir_index(&b, OUTPUTS));
    KInst *zero = kir_splat(&b, kir_float(&b, DT_F32, 0), 4);
    KInst *rows = kir_for(&b, kernel->body->args.data[0], kernel->body->args.data[1], 1, NULL, 0),
          *row = kir_loop_arg(rows, 0);
    KInst *loop = kir_for(&b, kir_index(&b, 0), kir_index(&b, INPUTS), 1, &zero, 1),
          *k = kir_loop_arg(loop, 0);
    KInst *at = kir_binary(&b, K_ADD, kir_binary(&b, K_MUL, row, kir_index(&b, INPUTS)), k);
    KInst *weights = kir_load(&b, w, kir_binary(&b, K_MUL, k, kir_index(&b, OUTPUTS)), 4, in_row);
    KInst *sum = kir_fma(&b, kir_load(&b, x, at, 1, NULL), weights, kir_loop_arg(loop, 1));
    kir_end_for(&b, loop, &sum);
    KInst *v = kir_binary(&b, K_ADD, kir_result(&b, loop, 0),
                          kir_load(&b, bias, kir_index(&b, 0), 4, in_row));
    v = kir_select(&b, kir_binary(&b, K_LT, zero, v), v, zero);
    kir_store(&b, h, kir_binary(&b, K_MUL, row, kir_index(&b, OUTPUTS)), v, in_row);
    kir_end_for(&b, rows, NULL);
    return kernel;
}

static Kernel *scale_kernel(Arena *arena)
{
    Kernel *kernel = kernel_new(arena, "scale");
    uint32_t h = kernel_buffer(kernel, "h", DT_F32, true, false),
             s = kernel_buffer(kernel, "s", DT_F32, true, false);
    uint32_t y = kernel_buffer(kernel, "y", DT_F32, false, true);
    KBuilder b = kernel_builder(kernel);
    KInst *rows = kir_for(&b, kernel->body->args.data[0], kernel->body->args.data[1], 1, NULL, 0);
    for (int j = 0; j < OUTPUTS; j++) {
        KInst *at = kir_binary(&b, K_ADD,
                               kir_binary(&b, K_MUL, kir_loop_arg(rows, 0), kir_index(&b, OUTPUTS)),
                               kir_index(&b, j));
        KInst *product = kir_binary(&b, K_MUL, kir_load(&b, h, at, 1, NULL),
                                    kir_load(&b, s, kir_index(&b, j), 1, NULL));
        kir_store(&b, y, at, product, NULL);
    }
    kir_end_for(&b, rows, NULL);
    return kernel;
}

static Kernel *plan_kernel(Arena *arena)
{
    Kernel *plan = kernel_new(arena, "plan");
    uint32_t table = kernel_buffer(plan, "table", DT_I64, false, true);
    KBuilder b = kernel_builder(plan);
    KInst *rows = kir_dim(&b, 0), *bytes = kir_binary(&b, K_MUL, rows, kir_index(&b, OUTPUTS * 4));
    KInst *values[6] = {bytes, rows, kir_index(&b, 0), rows, kir_index(&b, OUTPUTS), rows};
    for (int i = 0; i < 6; i++) {
        kir_store(&b, table, kir_index(&b, i), values[i], NULL);
    }
    return plan;
}

static void add_buffer(KProgram *program, BufferKind kind, const char *name, int rank,
                       int64_t first, int64_t second, const char *shape)
{
    ProgramBuffer buffer = {.kind = kind,
                            .name = name,
                            .dtype = DT_F32,
                            .rank = rank,
                            .dims = {first, second},
                            .shape = shape};
    if (kind == BUFFER_CONSTANT) {
        buffer.data = scale;
        buffer.bytes = sizeof scale;
    }
    buffer.slot = 2;
    vec_push(program->arena, &program->buffers, buffer);
}

static void add_launch(KProgram *program, uint32_t kernel, bool is_extern, int count,
                       const uint32_t *args)
{
    Launch launch = {.kernel = kernel,
                     .is_extern = is_extern,
                     .count_slot = 1,
                     .grain = 2,
                     .dims_slot = 3,
                     .dims_count = 3};
    for (int i = 0; i < count; i++) {
        vec_push(program->arena, &launch.args, args[i]);
    }
    vec_push(program->arena, &program->launches, launch);
}

KProgram *small_network(Arena *arena, const char *name, bool with_extern)
{
    KProgram *program = ARENA_NEW(arena, KProgram);
    program->name = name;
    program->arena = arena;
    vec_push(arena, &program->dims, "B");
    add_buffer(program, BUFFER_INPUT, "x", 2, -1, INPUTS, "f32[B, 5]");
    add_buffer(program, BUFFER_PARAM, "fc.w", 2, INPUTS, OUTPUTS, "f32[5, 3]");
    add_buffer(program, BUFFER_PARAM, "fc.bias", 1, OUTPUTS, 0, "f32[3]");
    add_buffer(program, BUFFER_OUTPUT, "y", 2, -1, OUTPUTS, "f32[B, 3]");
    if (with_extern) {
        add_buffer(program, BUFFER_OUTPUT, "m", 1, -1, 0, "f32[B]");
    }
    program->externals = program->buffers.count;
    uint32_t constant = program->externals, hidden = constant + 1;
    add_buffer(program, BUFFER_CONSTANT, "scale", 1, OUTPUTS, 0, "f32[3]");
    add_buffer(program, BUFFER_ARENA, "h", 2, -1, OUTPUTS, "f32[B, 3]");
    vec_push(arena, &program->kernels, dense_kernel(arena));
    vec_push(arena, &program->kernels, scale_kernel(arena));
    add_launch(program, 0, false, 4, (uint32_t[]){0, 1, 2, hidden});
    if (with_extern) {
        vec_push(arena, &program->externs, "largest");
        add_launch(program, 0, true, 2, (uint32_t[]){hidden, 4});
    }
    add_launch(program, 1, false, 3, (uint32_t[]){hidden, constant, 3});
    program->plan = plan_kernel(arena);
    program->table_size = 6;
    return program;
}

void small_network_in_c(int64_t rows, const float *x, const float *w, const float *bias, float *y)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int j = 0; j < OUTPUTS; j++) {
            float sum = 0;
            for (int k = 0; k < INPUTS; k++) {
                sum = fmaf(x[i * INPUTS + k], w[k * OUTPUTS + j], sum);
            }
            sum += bias[j];
            y[i * OUTPUTS + j] = (sum > 0 ? sum : 0) * scale[j];
        }
    }
}
