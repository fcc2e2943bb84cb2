/* Random graphs through everything that takes any graph: printer, reader, verifier and interpreter.
 */
#include "compiler/ref/ref.h"
#include "tests/support/random_graph.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 2000 };

static char *print(const Graph *graph)
{
    StrBuf out = {0};
    graph_print(graph, &out);
    return out.text;
}

static void check_text(Arena *arena, const Graph *graph, uint64_t seed)
{
    char *error = NULL, *text = print(graph);
    StrBuf faults = {0};
    cr_assert(graph_verify(graph, &faults), "seed %llu: %s\n%s", (unsigned long long)seed,
              faults.text, text);
    Graph *again = graph_read(arena, dim_table_new(arena), text, &error);
    cr_assert_not_null(again, "seed %llu: %s\n%s", (unsigned long long)seed, error, text);
    char *second = print(again);
    cr_assert_str_eq(second, text);
    free(text);
    free(second);
}

/* Runs a graph twice, also as read from its text; the roots are equal to the bit. */
static void check_run(Arena *arena, const Graph *graph, uint64_t seed, bool special, bool may_fail)
{
    int64_t symbols[8];
    for (int i = 0; i < 8; i++)
        symbols[i] = (int64_t)(seed % 5) * 2 - (seed % 5 == 4);
    RandomData data = {arena, symbols, seed, special};
    const void **first = ARENA_ARRAY(arena, const void *, graph->roots.count + 1);
    const void **second = ARENA_ARRAY(arena, const void *, graph->roots.count + 1);
    char *text = print(graph);
    RefRun run = {.graph = graph,
                  .symbols = symbols,
                  .leaf = random_leaf,
                  .user = &data,
                  .seed = seed,
                  .step = 1};
    bool good = ref_run(&run, arena, first);
    cr_assert(good || may_fail, "seed %llu: %s failed at %lld\n%s", (unsigned long long)seed,
              run.failed != NULL ? op_info[run.failed->op].text : "memory",
              (long long)run.failed_element, text);
    run.graph = graph_read(arena, graph->dims, text, NULL);
    cr_assert_eq(ref_run(&run, arena, second), good);
    for (uint32_t i = 0; i < graph->roots.count && first[i] != NULL; i++) {
        const Type *type = &graph->roots.data[i].node->type;
        int64_t elements = random_elements(type, symbols);
        cr_assert(random_same(type->dtype, first[i], second[i], elements, NULL),
                  "seed %llu: root %u differs\n%s", (unsigned long long)seed, i, text);
    }
    free(text);
}

/* NNC_SEEDS=N tries N graphs of each kind, from seed NNC_SEED on. */
static void try_seeds(RandomGraphOptions options, bool special, uint64_t usual)
{
    const char *seeds = getenv("NNC_SEEDS"), *begin = getenv("NNC_SEED");
    const uint64_t first = begin ? strtoull(begin, NULL, 10) + usual : usual,
                   count = seeds ? strtoull(seeds, NULL, 10) : SEEDS;
    for (uint64_t seed = first; seed < first + count; seed++) {
        Arena *arena = arena_new();
        Graph *graph = random_graph(arena, dim_table_new(arena), seed, &options);
        check_text(arena, graph, seed);
        check_run(arena, graph, seed, special, options.may_fail);
        arena_free(arena);
    }
}

Test(random_graph, constant_sizes)
{
    try_seeds((RandomGraphOptions){.max_elements = 512}, false, 1);
}

Test(random_graph, free_batch)
{
    try_seeds(
        (RandomGraphOptions){
            .max_elements = 512, .free_symbol = true, .loops = true, .operations = 20},
        false, 10001);
}

Test(random_graph, special_values_and_failures)
{
    try_seeds(
        (RandomGraphOptions){
            .max_elements = 512, .free_symbol = true, .loops = true, .may_fail = true},
        true, 20001);
}

/* The generator draws every operation. */
Test(random_graph, all_operations_appear)
{
    bool seen[OP_COUNT] = {[OP_CALL] = true};
    RandomGraphOptions options = {.free_symbol = true, .loops = true};
    for (uint64_t seed = 0; seed < 400; seed++) {
        Arena *arena = arena_new();
        Graph *graph = random_graph(arena, dim_table_new(arena), seed, &options);
        for (uint32_t i = 0; i < graph->nodes.count; i++)
            seen[graph->nodes.data[i]->op] = true;
        arena_free(arena);
    }
    for (int op = 0; op < OP_COUNT; op++)
        cr_expect(seen[op], "%s never appears", op_info[op].text);
}
