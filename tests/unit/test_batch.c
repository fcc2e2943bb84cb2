/* Batching: row b of a batched graph is the graph of one example on row b, for random graphs and
 * for the special cases. */
#include "compiler/passes/batch.h"
#include "compiler/ref/ref.h"
#include "tests/support/random_graph.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { ROWS = 3, SEEDS = 1500 };

static Arena *arena;
static DimTable *table;

static void setup(void)
{
    arena = arena_new();
    table = dim_table_new(arena);
}

static void teardown(void)
{
    arena_free(arena);
}

TestSuite(batch, .init = setup, .fini = teardown);

static char *print(const Graph *graph)
{
    StrBuf out = {0};
    graph_print(graph, &out);
    char *text = arena_string(graph->arena, out.text);
    strbuf_free(&out);
    return text;
}

/* Leaves of one example out of batched data; params and states are whole. */
typedef struct {
    RandomData data;
    int64_t row;
} RowData;

static const void *row_leaf(void *user, const Node *leaf)
{
    RowData *row = user;
    Node batched = *leaf;
    if (leaf->op != OP_INPUT)
        return random_leaf(&row->data, leaf);
    size_t bytes =
        (size_t)random_elements(&leaf->type, row->data.symbols) * dtype_bytes(leaf->type.dtype);
    batched.type = (Type){.dtype = leaf->type.dtype, .rank = leaf->type.rank + 1};
    memcpy(batched.type.dims + 1, leaf->type.dims,
           (size_t)leaf->type.rank * sizeof *leaf->type.dims);
    batched.type.dims[0] = dim_const(table, ROWS);
    return (const char *)random_leaf(&row->data, &batched) + (size_t)row->row * bytes;
}

static void try_graph(Graph *one, uint64_t seed)
{
    const Dim *batch = dim_symbol(table, "N");
    uint32_t count = dim_symbol_count(table);
    int64_t *symbols = ARENA_ARRAY(one->arena, int64_t, count);
    for (uint32_t i = 0; i < count; i++)
        symbols[i] = strcmp(dim_symbol_name(table, i), "N") == 0 ? ROWS : (int64_t)(seed % 5);
    Graph *many = batch_graph(one, batch);
    if (many == NULL && (strstr(one->error, "a while loop takes one example") ||
                         strstr(one->error, "may fail for examples that decide otherwise")))
        return;
    cr_assert_not_null(many, "seed %llu: %s\n%s", (unsigned long long)seed, one->error, print(one));
    StrBuf faults = {0};
    cr_assert(graph_verify(many, &faults), "seed %llu: %s", (unsigned long long)seed, faults.text);
    const void **whole = ARENA_ARRAY(one->arena, const void *, one->roots.count + 1);
    const void **single = ARENA_ARRAY(one->arena, const void *, one->roots.count + 1);
    RowData row = {{one->arena, symbols, seed, true}, 0};
    RefRun run = {.graph = many, .symbols = symbols, .leaf = random_leaf, .user = &row.data};
    cr_assert(ref_run(&run, one->arena, whole), "seed %llu: %s\n%s", (unsigned long long)seed,
              op_info[run.failed->op].text, print(many));
    run.graph = one;
    run.leaf = row_leaf;
    run.user = &row;
    for (row.row = 0; row.row < ROWS; row.row++) {
        cr_assert(ref_run(&run, one->arena, single));
        for (uint32_t i = 0; i < one->roots.count; i++) {
            const Type *type = &one->roots.data[i].node->type;
            int64_t elements = random_elements(type, symbols);
            const char *got =
                (const char *)whole[i] + (size_t)(row.row * elements) * dtype_bytes(type->dtype);
            cr_assert(random_same(type->dtype, got, single[i], elements, NULL),
                      "seed %llu, row %lld: root %s differs\n%s\n%s", (unsigned long long)seed,
                      (long long)row.row, one->roots.data[i].name, print(one), print(many));
        }
    }
}

Test(batch, random_graphs)
{
    uint8_t allowed[OP_COUNT];
    memset(allowed, 1, sizeof allowed);
    allowed[OP_CALL] = allowed[OP_RANDOM] = 0;
    RandomGraphOptions options = {.operations = 16,
                                  .max_elements = 400,
                                  .free_symbol = true,
                                  .loops = true,
                                  .allowed = allowed};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        Arena *scratch = arena_new();
        table = dim_table_new(scratch);
        Graph *one = random_graph(scratch, table, seed, &options);
        uint32_t kept = 0;
        for (uint32_t i = 0; i < one->roots.count; i++) /* updates may depend on examples here */
            if (one->roots.data[i].kind == ROOT_OUTPUT)
                one->roots.data[kept++] = one->roots.data[i];
        one->roots.count = kept;
        bool random = false;
        uint8_t *live = graph_live(one, scratch);
        for (uint32_t i = 0; i < one->nodes.count; i++)
            random |= live[i] && one->nodes.data[i]->op == OP_RANDOM;
        if (!random)
            try_graph(one, seed);
        arena_free(scratch);
    }
}

static Graph *parse(const char *text)
{
    char *error = NULL;
    Graph *graph = graph_read(arena, table, text, &error);
    cr_assert_not_null(graph, "%s", error);
    return graph;
}

Test(batch, rows_that_are_addressed_per_example)
{
    const char *texts[] = {
        /* both sides of gather and scatter_add per example, axis in the middle */
        "graph g {\n  %0 = input {x} : f32[2, 40, 3]\n  %1 = input {i} : i32[5, 2]\n  %2 = const "
        "{40} : i32[5, 2]\n"
        "  %3 = mod %1 %2 : i32[5, 2]\n  %4 = gather %0 %3 {1} : f32[2, 5, 2, 3]\n"
        "  %5 = scatter_add %0 %3 %4 {1} : f32[2, 40, 3]\n  output y = %4\n  output z = %5\n}\n",
        /* a table shared by all, and updates shared by all */
        "graph g {\n  %0 = param {x} : f32[2, 40, 3]\n  %1 = input {i} : i32[5]\n  %2 = const {40} "
        ": i32[5]\n"
        "  %3 = mod %1 %2 : i32[5]\n  %4 = gather %0 %3 {1} : f32[2, 5, 3]\n  %5 = param {u} : "
        "f32[2, 5, 3]\n"
        "  %6 = scatter_add %0 %3 %5 {1} : f32[2, 40, 3]\n  output y = %4\n  output z = %6\n}\n",
        /* products: example on either side, with batch axes */
        "graph g {\n  %0 = input {x} : f32[4, 5, 6]\n  %1 = param {w} : f32[4, 7, 6]\n"
        "  %2 = dot %0 %1 {batch = 0:0, contract = 2:2} : f32[4, 5, 7]\n"
        "  %3 = dot %1 %0 {batch = 0:0, contract = 2:2} : f32[4, 7, 5]\n"
        "  %4 = dot %0 %0 {batch = 0:0, contract = 2:2} : f32[4, 5, 5]\n"
        "  output a = %2\n  output b = %3\n  output c = %4\n}\n",
        /* convolutions: examples as images, kernels per example as groups */
        "graph g {\n  %0 = input {x} : f32[2, 3, 8, 4]\n  %1 = param {w} : f32[2, 3, 4, 5]\n  %2 = "
        "input {v} : f32[2, 3, 4, 5]\n"
        "  %3 = param {z} : f32[2, 3, 8, 4]\n"
        "  %4 = conv %0 %1 {stride = [1], pad = [1:1], dilate_x = [1], dilate_y = [1]} : f32[2, 3, "
        "8, 5]\n"
        "  %5 = conv %0 %2 {stride = [2], pad = [1:1], dilate_x = [1], dilate_y = [1]} : f32[2, 3, "
        "4, 5]\n"
        "  %6 = conv %3 %2 {stride = [1], pad = [1:1], dilate_x = [1], dilate_y = [1]} : f32[2, 3, "
        "8, 5]\n"
        "  output a = %4\n  output b = %5\n  output c = %6\n}\n",
        /* a pad value and a condition per example; a result that no example reaches */
        "graph g {\n  %0 = input {x} : f32[3]\n  %1 = input {v} : f32\n  %2 = pad %0 %1 {[1:2:1]} "
        ": f32[8]\n"
        "  %3 = is_nan %1 : bool\n  %4 = not %3 : bool\n  %5 = or %3 %4 : bool\n"
        "  %6 = check %0 %5 {E0001 m} : f32[3]\n  %7 = param {p} : f32[2]\n"
        "  output a = %2\n  output b = %6\n  output c = %7\n}\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        try_graph(parse(texts[i]), i + 1);
}

static const void *bad_index(void *user, const Node *leaf)
{
    static const int32_t index[ROWS] = {0, 4, 1};
    static const float values[ROWS * 4];
    (void)user;
    return leaf->type.dtype == DT_I32 ? (const void *)index : values;
}

Test(batch, an_index_out_of_range_stays_a_failure)
{
    Graph *many = batch_graph(parse("graph g {\n  %0 = input {x} : f32[4]\n  %1 = input {i} : i32\n"
                                    "  %2 = gather %0 %1 {0} : f32\n  output y = %2\n}\n"),
                              dim_const(table, ROWS));
    const void *values[1];
    RefRun run = {.graph = many, .leaf = bad_index};
    cr_expect_not(ref_run(&run, arena, values));
    cr_assert_not_null(run.failed);
    cr_expect_eq(run.failed_element, 1);
}

Test(batch, random_numbers_differ_by_example)
{
    Graph *many = batch_graph(parse("graph g {\n  %0 = random {7} : f32[4]\n  output y = %0\n}\n"),
                              dim_const(table, 2));
    const void *values[1];
    RefRun run = {.graph = many};
    cr_assert(ref_run(&run, arena, values));
    cr_expect_neq(memcmp(values[0], (const float *)values[0] + 4, 4 * sizeof(float)), 0);
}

Test(batch, refusals)
{
    Graph *call = parse(
        "graph g {\n  %0 = input {x} : f32[4]\n  %1 = call %0 {host} : f32\n  output y = %1\n}\n");
    cr_expect_null(batch_graph(call, dim_const(table, 2)));
    cr_expect_str_eq(call->error, "the host function host takes one example");
    Graph *loop = parse("graph g {\n  %0 = input {x} : bool\n  %1 = carry {0, 0} : bool\n"
                        "  %2 = loop %0 %1 {0, length = 3, conditional} : bool\n"
                        "  %3 = final %2 {0} : bool\n  output y = %3\n}\n");
    cr_expect_null(batch_graph(loop, dim_const(table, 2)));
    cr_expect_str_eq(loop->error, "a while loop takes one example");
    Graph *side = parse("graph g {\n  %0 = input {x} : i32\n  %1 = input {c} : bool\n"
                        "  %2 = enter %0 {0, then} : i32\n  %3 = mod %2 %2 : i32\n"
                        "  %4 = branch %1 %3 %0 {0} : bool\n  %5 = final %4 {0} : i32\n"
                        "  output y = %5\n}\n");
    cr_expect_null(batch_graph(side, dim_const(table, 2)));
    cr_expect_str_eq(side->error, "mod may fail for examples that decide otherwise");
    Graph *update = parse("graph g {\n  %0 = input {x} : f32\n  update s = %0\n}\n");
    cr_expect_null(batch_graph(update, dim_const(table, 2)));
    cr_expect_str_eq(update->error, "the update of s depends on an example");
    Graph *deep =
        parse("graph g {\n  %0 = input {x} : f32[1, 1, 1, 1, 1, 1, 1, 1]\n  output y = %0\n}\n");
    cr_expect_null(batch_graph(deep, dim_const(table, 2)));
    cr_expect_str_eq(deep->error, "a tensor of one example has too many axes to be batched");
}
