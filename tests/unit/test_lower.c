/* Lowering: kernels of small graphs against tests/golden/lower/NAME.txt (NNC_UPDATE_GOLDEN=1 writes
 * them anew), sharing of equal kernels, and the sites of failures. That the bits are right is the
 * business of tests/fuzz/test_differential.c. */
#include "compiler/lower/lower.h"
#include "tests/support/golden.h"

#include <criterion/criterion.h>
#include <string.h>

static LowerResult lower_text(Arena *arena, const char *text)
{
    char *error;
    Graph *graph = graph_read(arena, dim_table_new(arena), text, &error);
    cr_assert(graph != NULL, "%s", error);
    Schedule *s = schedule_build(arena, graph, &(ScheduleOptions){.fuse = true, .plan = true});
    return lower_program(arena, s, &(LowerOptions){.naive_contract = true}, "t");
}

static void check_golden(const char *name, const char *graph)
{
    Arena *arena = arena_new();
    StrBuf text = {0};
    kprogram_print(lower_text(arena, graph).program, &text);
    cr_expect(test_golden(arena_format(arena, "%s/tests/golden/lower/%s.txt", NNC_SOURCE_DIR, name),
                          text.text),
              "%s", name);
    strbuf_free(&text);
    arena_free(arena);
}

Test(lower, golden_kernels)
{
    check_golden("relu",
                 "graph g {\n  %0 = input {x} : f32[B, 20]\n  %1 = const {0.0} : f32[B, 20]\n"
                 "  %2 = max %0 %1 : f32[B, 20]\n  output y = %2\n}\n");
    check_golden(
        "bias",
        "graph g {\n  %0 = input {x} : f32[B, 32]\n  %1 = param {b} : f32[32]\n"
        "  %2 = reshape %1 {[1, 32]} : f32[1, 32]\n  %3 = expand %2 {[B, 32]} : f32[B, 32]\n"
        "  %4 = add %0 %3 : f32[B, 32]\n  output y = %4\n}\n");
    check_golden("mean",
                 "graph g {\n  %0 = input {x} : f32[B, 10]\n  %1 = sum %0 {1} : f32[B]\n"
                 "  %2 = const {0.1} : f32[B]\n  %3 = mul %1 %2 : f32[B]\n  output y = %3\n}\n");
    check_golden("columns", "graph g {\n  %0 = input {x} : f32[B, 24]\n  %1 = sum %0 {0} : "
                            "f32[24]\n  output y = %1\n}\n");
    check_golden("loop", "graph g {\n  %0 = input {x} : f32[T, 4]\n  %1 = const {0.0} : f32[4]\n"
                         "  %2 = carry {0, 0} : f32[4]\n  %3 = at %0 {0} : f32[4]\n"
                         "  %4 = add %2 %3 : f32[4]\n"
                         "  %5 = loop %1 %4 {0, length = T, reverse} : bool\n"
                         "  %6 = stack %5 %4 : f32[T, 4]\n  output y = %6\n}\n");
    check_golden("branch", "graph g {\n  %0 = input {x} : f32[4]\n  %1 = input {c} : bool\n"
                           "  %2 = enter %0 {0, then} : f32[4]\n  %3 = neg %2 : f32[4]\n"
                           "  %4 = const {1.0} : f32[4]\n  %5 = branch %1 %3 %4 {0} : bool\n"
                           "  %6 = final %5 {0} : f32[4]\n  output y = %6\n}\n");
    check_golden("dot", "graph g {\n  %0 = input {x} : f32[B, 3]\n  %1 = param {w} : f32[2, 3]\n"
                        "  %2 = dot %0 %1 {contract = 1:1} : f32[B, 2]\n  output y = %2\n}\n");
}

Test(lower, equal_kernels_are_shared)
{
    Arena *arena = arena_new();
    LowerResult r = lower_text(arena, "graph g {\n"
                                      "  %0 = input {x} : f32[B, 64]\n"
                                      "  %1 = param {v} : f32[64, 64]\n"
                                      "  %2 = param {w} : f32[64, 64]\n"
                                      "  %3 = dot %0 %1 {contract = 1:0} : f32[B, 64]\n"
                                      "  %4 = dot %3 %2 {contract = 1:0} : f32[B, 64]\n"
                                      "  %5 = dot %4 %1 {contract = 1:0} : f32[B, 64]\n"
                                      "  output y = %5\n"
                                      "}\n");
    cr_expect_eq(r.program->launches.count, 3);
    cr_expect_eq(r.program->kernels.count, 1);
    cr_expect_eq(r.program->dims.count, 1);
    cr_expect_eq(r.program->externals, 4);
    arena_free(arena);
}

Test(lower, failures_name_their_nodes)
{
    Arena *arena = arena_new();
    LowerResult r = lower_text(arena, "graph g {\n"
                                      "  %0 = input {x} : f32[8, 4]\n"
                                      "  %1 = input {i} : i32[B]\n"
                                      "  %2 = gather %0 %1 {0} : f32[B, 4]\n"
                                      "  %3 = floordiv %1 %1 : i32[B]\n"
                                      "  output y = %2\n"
                                      "  output z = %3\n"
                                      "}\n");
    cr_assert_eq(r.program->failure_sites, 2);
    cr_expect_neq(r.failure_nodes[0], r.failure_nodes[1]);
    for (int i = 0; i < 2; i++) {
        OpCode op = r.failure_nodes[i]->op;
        cr_expect(op == OP_GATHER || op == OP_FLOORDIV);
    }
    arena_free(arena);
}

/* A host function is launched with its operands, then its result, and their sizes in the table. */
Test(lower, host_functions_are_launches)
{
    Arena *arena = arena_new();
    LowerResult r = lower_text(arena, "graph g {\n"
                                      "  %0 = input {x} : f32[B, 4]\n"
                                      "  %1 = exp %0 : f32[B, 4]\n"
                                      "  %2 = call %1 {host} : f32[B]\n"
                                      "  output y = %2\n"
                                      "}\n");
    cr_assert_eq(r.program->externs.count, 1);
    cr_expect_str_eq(r.program->externs.data[0], "host");
    const Launch *call = &r.program->launches.data[r.program->launches.count - 1];
    cr_expect(call->is_extern && call->args.count == 2 && call->dims_count == 5);
    cr_expect_leq(call->dims_slot + call->dims_count, r.program->table_size);
    arena_free(arena);
}
