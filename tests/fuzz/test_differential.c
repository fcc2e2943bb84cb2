/* The interpreter against compiled code, on random graphs: equal to the bit, fused and unfused,
 * planned and unplanned, for several values of the free dimension, whole and in chunks, with tiles
 * and with the naive contractions.
 *
 * NNC_FUZZ_COUNT graphs (default 600) from seed NNC_FUZZ_SEED (default 1), and every
 * NNC_FUZZ_STRIDE-th sample of every operation (default 5). A mismatch prints the seed, the graph,
 * and the way it was compiled; a fault in the guard pages around buffers prints the seed. */
#include "compiler/graph/build.h"
#include "compiler/passes/grad.h"
#include "compiler/passes/pass.h"
#include "compiler/ref/ref.h"
#include "tests/support/compiled.h"
#include "tests/support/golden.h"
#include "tests/support/op_samples.h"
#include "tests/support/random_gradient.h"
#include "tests/support/random_graph.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *name;
    ScheduleOptions schedule;
    LowerOptions lower;
    int chunks;
} Way;

static const Way ways[] = {
    {"fused", {.fuse = true, .plan = true}, {0}, 1},
    {"fused, 3 chunks, any order", {.fuse = true, .plan = true, .stress_seed = 7}, {0}, 3},
    {"unfused, naive", {.fuse = false, .plan = true}, {.naive_contract = true}, 1},
    {"fused, 256 bit",
     {.fuse = true, .plan = false},
     {.vector_bytes = 32, .vector_registers = 16},
     2},
    {"fused, guard pages", {.fuse = true, .plan = true, .guard = true}, {0}, 2},
};

enum { WAYS = sizeof ways / sizeof *ways };

enum { FREE_SIZES = 4 };
static const int64_t free_sizes[FREE_SIZES] = {8, 5, 1, 0};
static const int64_t edge_sizes[FREE_SIZES] = {70, 17, 1, 0}; /* 70: two leaves of a sum */

/* Both of more than 32 bits, which all count. */
static const uint64_t run_seed = 0x90000000B, run_step = 0x300000005;

typedef struct {
    Arena *arena;
    Graph *graph;
    uint64_t seed;
    bool special;
    bool may_fail;
    const int64_t *sizes; /* of the free dimension, FREE_SIZES of them */
} Case;

static int setting(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? atoi(text) : otherwise;
}

/* What compiled code is running: for the handler of its faults. */
static char running[200];

static void tell_fault(int number)
{
    ssize_t told = write(STDERR_FILENO, running, strlen(running));
    (void)told;
    signal(number, SIG_DFL); /* the access is tried again and ends the process */
}

static void watch_faults(const Case *t, const Way *way, int64_t size)
{
    snprintf(running, sizeof running, "compiled code faults: seed %llu, %s, B = %lld\n",
             (unsigned long long)t->seed, way->name, (long long)size);
    signal(SIGSEGV, tell_fault);
}

static void report(const Case *t, const Way *way, int64_t size, const char *what)
{
    StrBuf text = {0};
    graph_print(t->graph, &text);
    cr_log_error("seed %llu, %s, B = %lld: %s\n%s", (unsigned long long)t->seed, way->name,
                 (long long)size, what, text.text);
    strbuf_free(&text);
}

static bool same_failure(const RefRun *run, const Compiled *c)
{
    int64_t element = -1;
    const Node *failed = compiled_failure(c, &element);
    return failed == run->failed && (failed == NULL || element == run->failed_element);
}

static bool same_values(const Case *t, const Way *way, int64_t size, const int64_t *symbols,
                        const void **expected, const void **found)
{
    for (uint32_t r = 0; r < t->graph->roots.count; r++) {
        const Node *node = t->graph->roots.data[r].node;
        int64_t count = random_elements(&node->type, symbols), where = 0;
        if (!random_same(node->type.dtype, expected[r], found[r], count, &where)) {
            report(t, way, size,
                   arena_format(t->arena, "%s differs at element %lld",
                                t->graph->roots.data[r].name, (long long)where));
            return false;
        }
    }
    return true;
}

static bool compare_at(const Case *t, const Way *way, Compiled *c, int64_t size)
{
    Arena *arena = arena_new();
    int64_t symbols[8];
    for (int i = 0; i < 8; i++) {
        symbols[i] = size;
    }
    RandomData data = {arena, symbols, t->seed, t->special};
    RefRun run = {.graph = t->graph,
                  .symbols = symbols,
                  .leaf = random_leaf,
                  .user = &data,
                  .seed = run_seed,
                  .step = run_step};
    const void **expected = ARENA_ARRAY(arena, const void *, t->graph->roots.count);
    const void **found = ARENA_ARRAY(arena, const void *, t->graph->roots.count);
    bool ran = ref_run(&run, arena, expected), good = true;
    CompiledCall call = {symbols, random_leaf, &data, run_seed, run_step, way->chunks};
    StrBuf faults = {0};
    watch_faults(t, way, size);
    if (!plan_check(c->schedule, symbols, &faults)) {
        report(t, way, size, faults.text);
        good = false;
    } else if (!compiled_run(c, &call, found)) {
        report(t, way, size, "wrote outside of the arena, or the plan disagrees");
        good = false;
    } else if ((ran || t->may_fail) && !same_failure(&run, c)) {
        int64_t element = -1;
        const Node *failed = compiled_failure(c, &element);
        report(t, way, size,
               arena_format(arena,
                            "failures differ: interpreter node %d element %lld, compiled %d %lld",
                            run.failed ? (int)run.failed->id : -1, (long long)run.failed_element,
                            failed ? (int)failed->id : -1, (long long)element));
        good = false;
    } else {
        good = same_values(t, way, size, symbols, expected, found);
    }
    strbuf_free(&faults);
    arena_free(arena);
    return good;
}

static bool compare_way(const Case *t, const Way *way)
{
    Compiled compiled;
    char *error = NULL;
    ScheduleOptions schedule = way->schedule;
    LowerOptions lower = way->lower;
    if (!lower.naive_contract) {
        schedule.scratch = lower_contract_scratch;
        schedule.scratch_user = &lower;
    }
    bool good = compiled_open(&compiled, t->arena, t->graph, &schedule, &lower, &error);
    if (!good) {
        report(t, way, 0, error);
        free(error);
    }
    for (int i = 0; good && i < FREE_SIZES; i++) {
        good = compare_at(t, way, &compiled, t->sizes[i]);
    }
    compiled_close(&compiled);
    return good;
}

/* As lowering wants it: without arithmetic on f16 and bf16. */
static Graph *widened(const Graph *graph)
{
    StrBuf error = {0};
    Graph *final = pass_run_one(pass_find("widen"), graph, NULL, &error);
    cr_assert(final != NULL, "%s", error.text);
    return final;
}

static bool compare_seed(uint64_t seed)
{
    Arena *arena = arena_new();
    DimTable *dims = dim_table_new(arena);
    bool may_fail = seed % 8 == 7;
    RandomGraphOptions options = {.operations = (int)(4 + seed % 17),
                                  .max_elements = 2000,
                                  .free_symbol = seed % 4 != 3,
                                  .may_fail = may_fail,
                                  .loops = seed % 16 >= 7,
                                  .only_f32 = seed % 3 == 0,
                                  .small_types = seed % 7 / 3 == 1};
    Graph *final = widened(random_graph(arena, dims, seed, &options));
    Case t = {arena, final, seed, seed % 5 == 0, may_fail, free_sizes};
    /* Other bits of the seed than those that choose the options. */
    const Way *way = &ways[seed / 8 % WAYS];
    bool good = compare_way(&t, way);
    arena_free(final->arena);
    arena_free(arena);
    return good;
}

/* Products and convolutions with sizes around those of vectors and tiles, of operands that are
 * moved; every second graph goes through the passes first. */
static bool compare_edges(uint64_t seed)
{
    Arena *arena = arena_new();
    StrBuf error = {0};
    RandomGraphOptions options = {.operations = (int)(seed % 3),
                                  .products = 1 + (int)(seed % 4),
                                  .max_elements = 6000,
                                  .free_symbol = seed % 3 != 2,
                                  .only_f32 = seed % 3 == 0,
                                  .small_types = seed % 7 / 3 == 1};
    Graph *graph = random_graph(arena, dim_table_new(arena), seed, &options);
    Graph *final = seed % 2 == 0 ? passes_run(graph, NULL, &error) : widened(graph);
    cr_assert(final != NULL, "seed %d: %s", (int)seed, error.text);
    Case t = {arena, final, seed, seed % 5 == 0, false, edge_sizes};
    bool good = compare_way(&t, &ways[seed / 8 % WAYS]);
    arena_free(final->arena);
    arena_free(arena);
    return good;
}

/* The gradients of a graph with loops, after the passes. */
static bool compare_gradients(uint64_t seed)
{
    Arena *arena = arena_new();
    StrBuf error = {0};
    RandomGraphOptions options = {.operations = (int)(4 + seed % 9),
                                  .max_elements = 500,
                                  .free_symbol = true,
                                  .loops = true,
                                  .only_f32 = seed % 3 == 0,
                                  .small_types = seed % 7 / 3 == 1};
    Graph *graph = random_graph(arena, dim_table_new(arena), seed, &options);
    Graph *gradients = random_gradient(arena, graph, seed % 5 == 0);
    bool good = true;
    if (gradients != NULL) {
        Graph *final = passes_run(gradients, NULL, &error);
        cr_assert(final != NULL, "seed %d: %s", (int)seed, error.text);
        Case t = {arena, final, seed, false, false, free_sizes};
        good = compare_way(&t, &ways[seed / 8 % WAYS]);
        arena_free(final->arena);
    }
    arena_free(arena);
    return good;
}

/* A sixth as many as other graphs: they are larger. */
Test(differential, gradients_of_random_graphs, .timeout = 20000)
{
    int count = setting("NNC_FUZZ_COUNT", 600) / 6, first = setting("NNC_FUZZ_SEED", 1), wrong = 0;
    for (int i = 0; i < count && wrong < 3; i++)
        wrong += !compare_gradients((uint64_t)first + (uint64_t)i);
    cr_assert_eq(wrong, 0);
}

/* Every fourth graph: the four cases run at the same time. */
static void random_quarter(int quarter)
{
    int count = setting("NNC_FUZZ_COUNT", 600), first = setting("NNC_FUZZ_SEED", 1), wrong = 0;
    for (int i = quarter; i < count && wrong < 3; i += 4) {
        wrong += !compare_seed((uint64_t)first + (uint64_t)i);
    }
    cr_assert_eq(wrong, 0);
}

/* A quarter as many as other graphs: they are larger. Two cases run at the same time. */
static void edge_half(int half)
{
    int count = setting("NNC_FUZZ_COUNT", 600) / 4, first = setting("NNC_FUZZ_SEED", 1), wrong = 0;
    for (int i = half; i < count && wrong < 3; i += 2) {
        wrong += !compare_edges((uint64_t)first + (uint64_t)i);
    }
    cr_assert_eq(wrong, 0);
}

Test(differential, graphs_of_products_1, .timeout = 20000)
{
    edge_half(0);
}

Test(differential, graphs_of_products_2, .timeout = 20000)
{
    edge_half(1);
}

/* Once wrong: a contraction in place of its operand; a row group with a member of another rank;
 * a stage of bytes where the result of its row, flags, will be. */
Test(differential, seeds_that_failed)
{
    static const uint64_t seeds[] = {197, 4635, 2777};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        cr_expect(compare_seed(seeds[i]));
    }
}

Test(differential, random_graphs_1, .timeout = 20000)
{
    random_quarter(0);
}

Test(differential, random_graphs_2, .timeout = 20000)
{
    random_quarter(1);
}

Test(differential, random_graphs_3, .timeout = 20000)
{
    random_quarter(2);
}

Test(differential, random_graphs_4, .timeout = 20000)
{
    random_quarter(3);
}

/* ---- samples of every operation ---- */

typedef struct {
    const Sample *sample;
    Arena *arena;
    const int64_t *symbols;
} SampleData;

static const void *sample_leaf(void *user, const Node *leaf)
{
    const SampleData *data = user;
    for (int i = 0; i < data->sample->leaf_count; i++) {
        const Node *own = data->sample->leaves[i].node;
        if (leaf->op == own->op && strcmp(leaf->attr.leaf.name, own->attr.leaf.name) == 0) {
            int64_t elements = random_elements(&leaf->type, data->symbols);
            void *values =
                arena_alloc(data->arena, (size_t)elements * dtype_bytes(leaf->type.dtype) + 1);
            sample_fill(&data->sample->leaves[i], 77u + (uint32_t)i, elements, values);
            return values;
        }
    }
    return NULL;
}

static bool compare_sample(const Case *t, const Sample *sample, const Way *way, Compiled *c,
                           int64_t size)
{
    Arena *arena = arena_new();
    int64_t symbols[8] = {size, size, size, size, size, size, size, size};
    SampleData data = {sample, arena, symbols};
    RefRun run = {.graph = t->graph,
                  .symbols = symbols,
                  .leaf = sample_leaf,
                  .user = &data,
                  .seed = run_seed,
                  .step = run_step};
    CompiledCall call = {symbols, sample_leaf, &data, run_seed, run_step, way->chunks};
    const void *expected[9], *found[9];
    watch_faults(t, way, size);
    bool good = !ref_run(&run, arena, expected) || compiled_run(c, &call, found);
    good = good && (run.failed != NULL || same_values(t, way, size, symbols, expected, found));
    good = good && same_failure(&run, c);
    if (!good) {
        report(t, way, size, "sample differs");
    }
    arena_free(arena);
    return good;
}

/* Of loops and branches the gradients, too: loops that run the other way, several stacks, sums. */
static void add_gradients(Sample *sample)
{
    Graph *g = sample->graph;
    Node *wrt[8], *gradient[8], *y = sample->result;
    GradError error = {0};
    for (int i = 0; i < sample->leaf_count; i++)
        wrt[i] = sample->leaves[i].node;
    Node *loss =
        build_reduce(g, OP_SUM, build_binary(g, OP_MUL, y, y), axes_range(0, y->type.rank));
    cr_assert(grad_build(g, loss, wrt, sample->leaf_count, gradient, &error), "%s", error.text);
    for (int i = 0; i < sample->leaf_count; i++)
        graph_root(g, ROOT_OUTPUT, arena_format(g->arena, "d%d", i), gradient[i]);
}

static bool check_sample(OpCode op, int index, DType real, const Way *way, bool *exists)
{
    Arena *arena = arena_new();
    DimTable *dims = dim_table_new(arena);
    Sample sample = {
        .graph = graph_new(arena, dims, "sample"), .real = real, .free = dim_symbol(dims, "B")};
    *exists = op_samples[op](&sample, index);
    bool good = true;
    if (*exists && sample.result != NULL) {
        graph_root(sample.graph, ROOT_OUTPUT, "y", sample.result);
        if (op_info[op].op_class == CLASS_LOOP)
            add_gradients(&sample);
        Case t = {arena, sample.graph, (uint64_t)index, false, true, free_sizes};
        Compiled compiled;
        char *error = NULL;
        LowerOptions lower = way->lower;
        ScheduleOptions schedule = way->schedule;
        if (!lower.naive_contract) {
            schedule.scratch = lower_contract_scratch;
            schedule.scratch_user = &lower;
        }
        if (dtype_is_small_float(real))
            t.graph = widened(t.graph);
        good = compiled_open(&compiled, arena, t.graph, &schedule, &lower, &error);
        good = good && compare_sample(&t, &sample, way, &compiled, 3) &&
               compare_sample(&t, &sample, way, &compiled, 0);
        if (error != NULL) {
            report(&t, way, 0, error);
            free(error);
        }
        compiled_close(&compiled);
        if (t.graph != sample.graph)
            arena_free(t.graph->arena);
    }
    arena_free(arena);
    return good;
}

Test(differential, samples_of_operations)
{
    int stride = setting("NNC_FUZZ_STRIDE", 5), wrong = 0, tried = 0;
    for (int op = 0; op < OP_COUNT && wrong < 3; op++) {
        bool exists = op != OP_CALL;
        for (int index = op % stride; exists && wrong < 3; index += stride) {
            tried++;
            static const DType reals[] = {DT_F32, DT_F64, DT_BF16, DT_F64, DT_F32, DT_F16};
            wrong +=
                !check_sample((OpCode)op, index, reals[index % 6], &ways[tried % WAYS], &exists);
        }
    }
    cr_assert_eq(wrong, 0);
    cr_assert_gt(tried, 100);
}

/* ---- guard pages ---- */

/* Runs y = x + x in a guarded schedule and reads y[at], of three elements. */
static float element_of_guarded(int64_t at)
{
    Arena *arena = arena_new();
    DimTable *dims = dim_table_new(arena);
    Graph *g = graph_new(arena, dims, "guarded");
    Node *x = build_leaf(g, OP_INPUT, "x",
                         (Type){.dtype = DT_F32, .rank = 1, .dims = {dim_const(dims, 3)}});
    graph_root(g, ROOT_OUTPUT, "y", build_binary(g, OP_ADD, x, x));
    Compiled c;
    char *error = NULL;
    ScheduleOptions options = {.fuse = true, .plan = true, .guard = true};
    RandomData data = {arena, NULL, 1, false};
    CompiledCall call = {NULL, random_leaf, &data, 0, 0, 1};
    const void *values[1];
    cr_assert(compiled_open(&c, arena, g, &options, &(LowerOptions){0}, &error), "%s", error);
    cr_assert(compiled_run(&c, &call, values));
    float element = ((const float *)values[0])[at];
    compiled_close(&c);
    arena_free(arena);
    return element;
}

Test(differential, guarded_elements_are_there)
{
    cr_expect(element_of_guarded(2) == element_of_guarded(2));
}

Test(differential, behind_guarded_elements_is_nothing, .signal = SIGSEGV)
{
    (void)element_of_guarded(3);
}

/* ---- the graphs of tests/golden/schedule: large enough for every kind of kernel ---- */

static bool check_file(const char *path)
{
    Arena *arena = arena_new();
    char *text = test_read_file(path, NULL), *error = NULL;
    Graph *graph = text != NULL ? graph_read(arena, dim_table_new(arena), text, &error) : NULL;
    cr_assert(graph != NULL, "%s: %s", path, error);
    bool good = true;
    Case t = {arena, graph, 3, false, true, free_sizes};
    for (size_t w = 0; good && w < WAYS; w++) {
        Case special = {arena, graph, 4, w == 0, true, free_sizes};
        good = compare_way(&t, &ways[w]) && (w > 0 || compare_way(&special, &ways[w]));
    }
    free(text);
    arena_free(arena);
    return good;
}

Test(differential, graphs_of_schedule_tests, .timeout = 600)
{
    size_t count;
    char **paths = test_list_files("tests/golden/schedule", ".graph", &count);
    cr_assert_gt(count, 5);
    for (size_t i = 0; i < count; i++) {
        cr_expect(check_file(paths[i]), "%s", paths[i]);
    }
    test_free_list(paths, count);
}
