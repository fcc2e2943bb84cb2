/* Schedules of small graphs against tests/golden/schedule/NAME.txt (NNC_UPDATE_GOLDEN=1 writes them
 * anew), and legality of schedules of random graphs in any order. */
#include "compiler/schedule/schedule.h"
#include "tests/support/golden.h"
#include "tests/support/random_graph.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static Graph *read_graph(Arena *arena, const char *path)
{
    char *text = test_read_file(path, NULL), *error = NULL;
    cr_assert(text != NULL, "%s", path);
    Graph *graph = graph_read(arena, dim_table_new(arena), text, &error);
    cr_assert(graph != NULL, "%s: %s", path, error);
    free(text);
    return graph;
}

Test(schedule, golden)
{
#ifdef NNC_STRESS
    cr_skip_test("any legal order in this build");
#endif
    size_t count;
    char **paths = test_list_files("tests/golden/schedule", ".graph", &count);
    cr_assert_gt(count, 5);
    for (size_t i = 0; i < count; i++) {
        Arena *arena = arena_new();
        StrBuf text = {0};
        Schedule *s = schedule_build(arena, read_graph(arena, paths[i]),
                                     &(ScheduleOptions){.fuse = true, .plan = true});
        schedule_print(s, &text);
        plan_print(s, &text);
        char *golden =
            arena_format(arena, "%.*s.txt", (int)(strlen(paths[i]) - strlen(".graph")), paths[i]);
        cr_expect(test_golden(golden, text.text), "%s", golden);
        strbuf_free(&text);
        arena_free(arena);
    }
    test_free_list(paths, count);
}

static void check_random(uint64_t seed, const ScheduleOptions *options)
{
    Arena *arena = arena_new();
    StrBuf faults = {0};
    RandomGraphOptions random = {.operations = 24, .free_symbol = true, .loops = seed % 2 == 0};
    Graph *graph = random_graph(arena, dim_table_new(arena), seed, &random);
    Schedule *s = schedule_build(arena, graph, options);
    cr_expect(schedule_verify(s, &faults), "seed %d: %s", (int)seed, faults.text);
    const int64_t sizes[] = {0, 1, 3, 64, 200};
    for (int i = 0; i < 5; i++) {
        int64_t symbols[4] = {sizes[i], sizes[i], sizes[i], sizes[i]};
        cr_expect(plan_check(s, symbols, &faults), "seed %d: %s", (int)seed, faults.text);
        cr_expect(i == 4 || plan_bytes(s, symbols) <= s->hint_bytes,
                  "seed %d: a smaller batch needs more", (int)seed);
    }
    cr_expect(options->plan == false || s->hint_bytes >= s->live_bytes);
    strbuf_free(&faults);
    arena_free(arena);
}

Test(schedule, random_graphs_are_legal_in_any_order)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        check_random(seed, &(ScheduleOptions){.fuse = true, .plan = true});
        check_random(seed, &(ScheduleOptions){.fuse = true, .plan = true, .stress_seed = seed});
        check_random(seed, &(ScheduleOptions){.fuse = false, .plan = true, .stress_seed = seed});
        check_random(seed, &(ScheduleOptions){.fuse = true, .plan = false});
    }
}

/* Groups in a wrong order are refused. */
Test(schedule, verify_finds_a_swapped_pair)
{
    int found = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        Arena *arena = arena_new();
        StrBuf faults = {0};
        Graph *graph = random_graph(arena, dim_table_new(arena), seed,
                                    &(RandomGraphOptions){.operations = 20});
        Schedule *s = schedule_build(arena, graph, &(ScheduleOptions){.fuse = false, .plan = true});
        for (uint32_t i = 0; i + 1 < s->groups.count; i++) {
            Group *first = s->groups.data[i], *second = s->groups.data[i + 1];
            bool needs = false;
            for (uint32_t k = 0; k < second->operands.count; k++) {
                for (uint32_t o = 0; o < first->outputs.count; o++) {
                    needs |= second->operands.data[k] == first->outputs.data[o].node;
                }
            }
            if (!needs) {
                continue;
            }
            s->groups.data[i] = second;
            s->groups.data[i + 1] = first;
            cr_expect(!schedule_verify(s, &faults), "seed %d: groups %u and %u were swapped",
                      (int)seed, i, i + 1);
            s->groups.data[i] = first;
            s->groups.data[i + 1] = second;
            found++;
        }
        strbuf_free(&faults);
        arena_free(arena);
    }
    cr_expect_gt(found, 40);
}

/* The shapes that a reshape keeps together. */
Test(schedule, runs_of_a_reshape)
{
    Arena *arena = arena_new();
    DimTable *dims = dim_table_new(arena);
    const Dim *b = dim_symbol(dims, "B");
    Type from = {.dtype = DT_F32, .rank = 2, .dims = {b, dim_const(dims, 784)}};
    Type to = {.dtype = DT_F32,
               .rank = 4,
               .dims = {b, dim_const(dims, 1), dim_const(dims, 28), dim_const(dims, 28)}};
    ReshapeRun runs[16];
    cr_assert_eq(reshape_runs(dims, &from, &to, runs), 3);
    cr_expect(runs[0].source == 1 && runs[0].result == 1);
    cr_expect(runs[1].source == 0 && runs[1].result == 1);
    cr_expect(runs[2].source == 1 && runs[2].result == 2);
    arena_free(arena);
}
