/* Gradients of random graphs with loops and branches. Nothing is compared with differences here
 * (random operations have kinks and infinities); what must agree to the bit is the gradient with
 * kept values and the one that computes its loops again, and both before and after the passes.
 *
 * NNC_SEEDS graphs (default 400) from seed NNC_SEED (default 1). */
#include "compiler/passes/pass.h"
#include "compiler/ref/ref.h"
#include "tests/support/random_gradient.h"
#include "tests/support/random_graph.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = MOST_GRADIENTS };

static bool run(const Graph *g, RandomData *data, const void **values)
{
    RefRun run = {
        .graph = g, .symbols = data->symbols, .leaf = random_leaf, .user = data, .seed = 9};
    return ref_run(&run, data->arena, values);
}

static void expect_same(const char *what, uint64_t seed, const Graph *g, const RandomData *data,
                        const void **a, const void **b)
{
    for (uint32_t i = 0; i < g->roots.count; i++) {
        const Type *type = &g->roots.data[i].node->type;
        int64_t at = 0;
        bool same = random_same(type->dtype, a[i], b[i], random_elements(type, data->symbols), &at);
        cr_expect(same, "seed %llu, %s: d%s differs at %lld", (unsigned long long)seed, what,
                  g->roots.data[i].name, (long long)at);
    }
}

static void check_passes(uint64_t seed, const Graph *g, RandomData *data, const void **values)
{
    const Graph *current = g;
    for (int i = 0; i < PASS_COUNT; i++) {
        StrBuf error = {0};
        const void *found[MOST];
        Graph *next = i == PASS_LAYOUT ? NULL : pass_run_one(&pass_info[i], current, NULL, &error);
        if (i == PASS_LAYOUT)
            continue; /* it reorders sums */
        cr_assert_not_null(next, "seed %llu: %s", (unsigned long long)seed, error.text);
        cr_assert(run(next, data, found));
        expect_same(pass_info[i].text, seed, next, data, values, found);
        if (current != g)
            arena_free(current->arena);
        current = next;
    }
    arena_free(current->arena);
}

static bool try_seed(uint64_t seed)
{
    Arena *arena = arena_new();
    DimTable *dims = dim_table_new(arena);
    RandomGraphOptions options = {.operations = 6 + (int)(seed % 12),
                                  .max_elements = 256,
                                  .free_symbol = true,
                                  .loops = true};
    const Graph *old = random_graph(arena, dims, seed, &options);
    const void *values[2][MOST];
    int64_t symbols[MOST];
    for (int i = 0; i < MOST; i++)
        symbols[i] = (int64_t)(seed % 4);
    RandomData data = {arena, symbols, seed, false};
    bool made = true;
    for (int recompute = 0; made && recompute < 2; recompute++) {
        StrBuf faults = {0};
        Graph *g = random_gradient(arena, old, recompute);
        made = g != NULL;
        bool sound = !made || graph_verify(g, &faults);
        cr_assert(sound, "seed %llu: %s", (unsigned long long)seed, faults.text);
        made = made && run(g, &data, values[recompute]);
        if (made && recompute)
            expect_same("computed again", seed, g, &data, values[0], values[1]);
        if (made)
            check_passes(seed, g, &data, values[recompute]);
    }
    arena_free(arena);
    return made;
}

Test(gradient_random, graphs, .timeout = 3000)
{
    const char *seeds = getenv("NNC_SEEDS"), *begin = getenv("NNC_SEED");
    const uint64_t first = begin ? strtoull(begin, NULL, 10) : 1,
                   count = seeds ? strtoull(seeds, NULL, 10) : 400;
    uint64_t made = 0;
    for (uint64_t seed = first; seed < first + count; seed++)
        made += try_seed(seed);
    cr_expect_gt(made, count / 2, "only %llu gradients", (unsigned long long)made);
}
