/* How long programs take to compile, stage by stage: milliseconds of a processor (which other
 * processes do not change), and of the clock.
 *
 *   bench_compile                                the list at the end of this file
 *   bench_compile PROGRAM.nn [NAME=VALUE ..]     all functions of the first block, as a run does
 *   bench_compile --layers N                     a perceptron of N equal layers
 *   bench_compile --nodes N                      a graph of N elementwise nodes, without code */
#include "compiler/driver/compile.h"
#include "compiler/driver/handles.h"
#include "compiler/jit/cache.h"
#include "compiler/lower/lower.h"
#include "compiler/passes/pass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double processor_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static void fail(nnc_context *context, const char *what)
{
    fprintf(stderr, "%s\n%s", what, context ? nnc_diagnostics(context, NNC_TEXT) : "");
    exit(1);
}

static void print_cost(const char *name, double front, const Compiled *compiled)
{
    const CompileCost *c = compiled_cost(compiled);
    double sum = front + c->passes + c->schedule + c->lower + c->code + c->link;
    printf("%-28s front %.1f passes %.1f schedule %.1f lower %.1f code %.1f link %.1f = %.1f ms of a "
           "processor; after the front %.1f ms by the clock; objects %d, found %d\n",
           name, front, c->passes, c->schedule, c->lower, c->code, c->link, sum,
           compiled_milliseconds(compiled), c->objects, c->found);
}

static void compile_plan(nnc_program *program, const char *name, double front, const char *cache)
{
    nnc_context *context = program->context;
    TrainPlan *plan = program_plan(program, NULL);
    if (!plan)
        fail(context, "no train block");
    Arena *arena = arena_new();
    CompileOptions options =
        program_compile_options(program, plan, program_batch(plan), arena);
    CompileUnit units[] = {{.name = "predict", .graph = plan->predict},
                           {.name = "train_step", .graph = plan->train_step},
                           {.name = "eval_step", .graph = plan->eval_step},
                           {.name = "apply_step", .graph = plan->apply_step}};
    CodeCache *store = cache ? code_cache_open(cache, 0) : NULL;
    ObjectStore objects = store ? code_cache_store(store) : (ObjectStore){0};
    options.store = store ? &objects : NULL;
    Compiled *compiled = compile_units(context_jit(context), units, 4, &options, context->diag);
    if (!compiled)
        fail(context, "does not compile");
    print_cost(name, front, compiled);
    compiled_free(compiled);
    code_cache_close(store);
    arena_free(arena);
}

static void compile_text(const char *name, const char *path, const char *text,
                         const char *const *defines, int count, const char *cache)
{
    nnc_context *context;
    nnc_program *program;
    nnc_program_options options = {
        .size = sizeof options, .defines = defines, .define_count = (size_t)count};
    if (nnc_context_new(NULL, &context) != NNC_OK)
        fail(NULL, "no context");
    double begin = processor_ms();
    nnc_status status = path ? nnc_program_load(context, path, &options, &program)
                             : nnc_program_parse(context, name, text, &options, &program);
    if (status != NNC_OK)
        fail(context, name);
    compile_plan(program, name, processor_ms() - begin, cache);
    nnc_program_release(program);
    nnc_context_release(context);
}

static void compile_layers(int layers)
{
    char text[1024];
    snprintf(text, sizeof text,
             "from nn import Linear, relu\nfrom losses import mse\nfrom optim import sgd\n"
             "module Deep() {\n    let layers = [for i in 0..%d: Linear(32, 32)]\n"
             "    fn (x: f32[B, 32]) -> f32[B, 32] {\n        let y = x\n"
             "        for l in layers { y = relu(l(y)) }\n        y\n    }\n}\n"
             "dataset d { source = arrays(x=rand(8, 32, seed=1), y=rand(8, 32, seed=2)) }\n"
             "train deep on d {\n    model = Deep()\n    loss = mse(model(x), y)\n"
             "    optimizer = sgd(lr=0.1)\n    batch = 8\n}\n",
             layers);
    char name[64];
    snprintf(name, sizeof name, "perceptron of %d layers", layers);
    compile_text(name, NULL, text, NULL, 0, NULL);
}

/* Products in a chain, each with a neighbour: groups of all kinds of lifetimes. */
static Graph *long_graph(Arena *arena, int nodes)
{
    DimTable *dims = dim_table_new(arena);
    Graph *graph = graph_new(arena, dims, "long");
    Type type = {DT_F32, 2, {dim_symbol(dims, "B"), dim_const(dims, 16)}};
    Attr leaf = {.kind = AT_LEAF, .leaf = {.name = "x", .type = type}};
    Node *x = graph_node(graph, OP_INPUT, NULL, 0, &leaf), *before = x;
    Type square = {DT_F32, 2, {dim_const(dims, 16), dim_const(dims, 16)}};
    Attr weight = {.kind = AT_LEAF, .leaf = {.name = "w", .type = square}};
    Node *w = graph_node(graph, OP_PARAM, NULL, 0, &weight);
    Attr none = {.kind = AT_NONE};
    Attr dot = {.kind = AT_DOT};
    dot.dot.contract_x = (Axes){1, {1}};
    dot.dot.contract_y = (Axes){1, {0}};
    while ((int)graph->nodes.count < nodes) {
        Node *y = graph_node(graph, OP_DOT, (Node *[]){x, w}, 2, &dot);
        Node *z = graph_node(graph, OP_TANH, &y, 1, &none);
        z = graph_node(graph, OP_ADD, (Node *[]){z, before}, 2, &none);
        before = x;
        x = graph_node(graph, OP_MUL, (Node *[]){z, y}, 2, &none);
    }
    graph_root(graph, ROOT_OUTPUT, "y", x);
    return graph;
}

static void compile_nodes(int nodes)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new(source_map_new());
    Graph *graph = long_graph(arena, nodes);
    Stages stages;
    int64_t hints[4] = {8, 8, 8, 8};
    CompileOptions options = {.hints = hints};
    if (!stages_run(&stages, "long", graph, &options, diag))
        fail(NULL, "does not compile");
    printf("%d nodes: passes %.1f schedule %.1f lower %.1f ms of a processor, per node %.2f us\n",
           nodes, stages.cost.passes, stages.cost.schedule, stages.cost.lower,
           1e3 * (stages.cost.passes + stages.cost.schedule + stages.cost.lower) / nodes);
    stages_free(&stages);
    diag_free(diag);
    arena_free(arena);
}

static const char efficientnet[] =
    "from models.efficientnet import EfficientNetB0\nfrom losses import cross_entropy\n"
    "from optim import sgd\n"
    "dataset images {\n"
    "    source = arrays(x=randn(4, 3, 64, 64, seed=1), label=i32(1000.0 * rand(4, seed=2)))\n}\n"
    "train b0 on images {\n    model = EfficientNetB0()\n"
    "    loss = cross_entropy(model(x), label)\n    optimizer = sgd(lr=0.1)\n    batch = 4\n}\n";

/* Each program cold, then with what the cache has kept. */
static void compile_list(const char *cache)
{
    static const char *const gpt2[] = {"rows=4", "V=50257", "C=768", "L=12", "H=12"};
    const struct {
        const char *name, *path, *text;
        const char *const *defines;
        int define_count;
    } rows[] = {{"MNIST CNN", NNC_SOURCE_DIR "/examples/mnist/cnn.nn", NULL, NULL, 0},
                {"ResNet-18", NNC_SOURCE_DIR "/tests/bench/programs/resnet18.nn", NULL, NULL, 0},
                {"GPT-2 124M", NNC_SOURCE_DIR "/tests/bench/programs/gpt.nn", NULL, gpt2, 5},
                {"EfficientNet-B0", NULL, efficientnet, NULL, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        code_cache_clear(cache);
        for (int again = 0; again < 2; again++)
            compile_text(rows[i].name, rows[i].path, rows[i].text, rows[i].defines,
                         rows[i].define_count, cache);
    }
    code_cache_clear(cache);
    for (int layers = 125; layers <= 1000; layers *= 2)
        compile_layers(layers);
    for (int nodes = 12500; nodes <= 100000; nodes *= 2)
        compile_nodes(nodes);
}

int main(int argc, char **argv)
{
    const char *cache = NULL;
    int at = 1;
    if (argc > 2 && strcmp(argv[1], "--cache") == 0) {
        cache = argv[2];
        at = 3;
    }
    if (at + 1 < argc && strcmp(argv[at], "--layers") == 0)
        compile_layers(atoi(argv[at + 1]));
    else if (at + 1 < argc && strcmp(argv[at], "--nodes") == 0)
        compile_nodes(atoi(argv[at + 1]));
    else if (at < argc)
        compile_text(argv[at], argv[at], NULL, (const char *const *)argv + at + 1, argc - at - 1,
                     cache);
    else if (argc == 1) {
        char folder[] = "/tmp/nnc-bench-XXXXXX";
        if (!mkdtemp(folder))
            fail(NULL, "no folder for a cache");
        compile_list(folder);
        rmdir(folder);
    } else
        fail(NULL, "bench_compile [--cache FOLDER] PROGRAM.nn [NAME=VALUE ..] | --layers N | --nodes N");
    return 0;
}
