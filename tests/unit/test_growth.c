/* Compiling takes time in proportion to the program: eight times as many nodes, not more than about
 * eight times as long, stage by stage; and equal layers are compiled once, however many there are.
 * Times are of the processor; a stage that took quadratic time would take 64 times as long. */
#include "compiler/driver/compile.h"
#include "compiler/driver/handles.h"
#include "tests/support/api.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Chains of products whose values live for different times. */
static Graph *long_graph(Arena *arena, uint32_t nodes)
{
    DimTable *dims = dim_table_new(arena);
    Graph *graph = graph_new(arena, dims, "long");
    Attr input = {.kind = AT_LEAF, .leaf = {"x", {DT_F32, 1, {dim_symbol(dims, "B")}}}};
    Attr none = {.kind = AT_NONE}, whole = {.kind = AT_AXES, .axes = {1, {0}}};
    Attr one = {.kind = AT_SHAPE, .shape = {1, {dim_const(dims, 1)}}},
         wide = {.kind = AT_SHAPE, .shape = {1, {dim_symbol(dims, "B")}}};
    Node *x = graph_node(graph, OP_INPUT, NULL, 0, &input), *before = x;
    while (graph->nodes.count < nodes) {
        Node *sum = graph_node(graph, OP_SUM, &x, 1, &whole);
        Node *back = graph_node(graph, OP_RESHAPE, &sum, 1, &one);
        back = graph_node(graph, OP_EXPAND, &back, 1, &wide);
        cr_assert_not_null(back, "%s", graph->error);
        Node *next = graph_node(graph, OP_TANH, (Node *[]){x}, 1, &none);
        next = graph_node(graph, OP_ADD, (Node *[]){next, back}, 2, &none);
        next = graph_node(graph, OP_MUL, (Node *[]){next, before}, 2, &none);
        before = x;
        x = next;
    }
    graph_root(graph, ROOT_OUTPUT, "y", x);
    return graph;
}

static CompileCost cost_of(uint32_t nodes)
{
    Arena *arena = arena_new();
    SourceMap *sources = source_map_new();
    Diag *diag = diag_new(sources);
    int64_t hints[4] = {8, 8, 8, 8};
    CompileOptions options = {.hints = hints};
    CompileCost least = {1e9, 1e9, 1e9, 0, 0, 0, 0};
    for (int i = 0; i < 2; i++) {
        Stages stages;
        cr_assert(stages_run(&stages, "long", long_graph(arena, nodes), &options, diag));
        least.passes = stages.cost.passes < least.passes ? stages.cost.passes : least.passes;
        least.schedule =
            stages.cost.schedule < least.schedule ? stages.cost.schedule : least.schedule;
        least.lower = stages.cost.lower < least.lower ? stages.cost.lower : least.lower;
        stages_free(&stages);
    }
    diag_free(diag);
    source_map_free(sources);
    arena_free(arena);
    return least;
}

Test(growth, stages_take_time_in_proportion)
{
    enum { TIMES = 8, AT_MOST = 24, AT_LEAST_MS = 2 };
#ifndef NDEBUG
    cr_skip_test("the checks of this build take longer than what they check");
#endif
    CompileCost few = cost_of(500), many = cost_of(500 * TIMES);
    cr_expect_lt(many.passes, AT_MOST * (few.passes + AT_LEAST_MS), "%g ms, %g ms", few.passes,
                 many.passes);
    cr_expect_lt(many.schedule, AT_MOST * (few.schedule + AT_LEAST_MS), "%g ms, %g ms",
                 few.schedule, many.schedule);
    cr_expect_lt(many.lower, AT_MOST * (few.lower + AT_LEAST_MS), "%g ms, %g ms", few.lower,
                 many.lower);
}

static int objects_of(int layers)
{
    char text[1024];
    snprintf(text, sizeof text,
             "from nn import Linear, relu\nfrom losses import mse\nfrom optim import sgd\n"
             "module Deep() {\n    let layers = [for i in 0..%d: Linear(8, 8)]\n"
             "    fn (x: f32[B, 8]) -> f32[B, 8] {\n        let y = x\n"
             "        for l in layers { y = relu(l(y)) }\n        y\n    }\n}\n"
             "dataset d { source = arrays(x=rand(8, 8, seed=1), y=rand(8, 8, seed=2)) }\n"
             "train deep on d {\n    model = Deep()\n    loss = mse(model(x), y)\n"
             "    optimizer = sgd(lr=0.1)\n    batch = 8\n}\n",
             layers);
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, text, NULL);
    TrainPlan *plan = program_plan(program, NULL);
    Arena *arena = arena_new();
    CompileOptions options = program_compile_options(program, plan, 8, arena);
    CompileUnit unit = {.name = "train_step", .graph = plan->train_step};
    Compiled *compiled =
        compile_units(context_jit(context), &unit, 1, &options, context->diag);
    cr_assert_not_null(compiled, "%s", nnc_diagnostics(context, NNC_TEXT));
    int objects = compiled_cost(compiled)->objects;
    compiled_free(compiled);
    arena_free(arena);
    nnc_program_release(program);
    nnc_context_release(context);
    return objects;
}

Test(growth, equal_layers_share_their_code)
{
    cr_expect_eq(objects_of(12), objects_of(48));
}
