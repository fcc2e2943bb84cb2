/* See kernel_run.h. */
#include "tests/support/kernel_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Kernel *constant_plan(Arena *arena, const int64_t *values, int count)
{
    Kernel *plan = kernel_new(arena, "plan");
    uint32_t table = kernel_buffer(plan, "table", DT_I64, false, true);
    KBuilder b = kernel_builder(plan);
    for (int i = 0; i < count; i++) {
        kir_store(&b, table, kir_index(&b, i), kir_index(&b, values[i]), NULL);
    }
    return plan;
}

static void require(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "kernel run: %s\n", what);
        abort();
    }
}

void kernel_run_program(KernelRun *run, Arena *arena)
{
    char *error = NULL;
    ObjectCode object;
    KProgram *program = &run->program;
    CodegenOptions options = {
        .verify = true, .cpu = run->cpu, .announce_ranges = codegen_under_race_detector()};
    require(codegen_object(&program, 1, &options, &object, &error), error);
    run->arena = arena;
    run->jit = jit_new(&error);
    require(run->jit, error);
    run->unit = jit_add(run->jit, &object, &error);
    require(run->unit, error);
    void *plan = jit_symbol(run->unit, arena_format(arena, "%s_plan", program->name));
    void *step = jit_symbol(run->unit, arena_format(arena, "%s_step", program->name));
    require(plan && step, jit_error(run->unit));
    memcpy(&run->plan, &plan, sizeof plan);
    memcpy(&run->step, &step, sizeof step);
    memset(run->failures, -1, sizeof run->failures);
    run->plan(run->dims, run->table);
}

void kernel_run_open(KernelRun *run, Arena *arena, Kernel *kernel, int64_t count)
{
    run->program = (KProgram){.name = "t"};
    run->program.arena = arena;
    Launch launch = {.kernel = 0, .count_slot = 1};
    for (uint32_t i = 0; i < kernel->buffers.count; i++) {
        ProgramBuffer buffer = {.kind = BUFFER_INPUT,
                                .name = kernel->buffers.data[i].name,
                                .dtype = kernel->buffers.data[i].dtype,
                                .rank = 1,
                                .dims = {-1}};
        vec_push(arena, &run->program.buffers, buffer);
        vec_push(arena, &launch.args, i);
    }
    run->program.externals = kernel->buffers.count;
    vec_push(arena, &run->program.kernels, kernel);
    vec_push(arena, &run->program.launches, launch);
    run->program.plan = constant_plan(arena, (int64_t[]){0, count}, 2);
    run->program.table_size = 2;
    kernel_run_program(run, arena);
}

void kernel_run_call(KernelRun *run, void *const *buffers)
{
    nnc_call call = {.dims = run->dims,
                     .table = run->table,
                     .buffers = buffers,
                     .failures = run->failures,
                     .seed = 11,
                     .step = 22};
    run->step(&call);
}

void kernel_run_close(KernelRun *run)
{
    jit_free(run->jit);
}
