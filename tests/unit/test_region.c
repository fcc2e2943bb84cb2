/* Regions: which node is in which loop or side, the constructors of loops, and what the verifier
 * and the shape rules refuse. */
#include "compiler/graph/build.h"
#include "compiler/graph/region.h"

#include <criterion/criterion.h>
#include <string.h>

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

TestSuite(region, .init = setup, .fini = teardown);

static Graph *parse(const char *lines)
{
    char *error = NULL;
    Graph *read =
        graph_read(arena, table, arena_format(arena, "graph g {\n%s}\n", lines), &error);
    cr_assert_not_null(read, "%s", error);
    return read;
}

static Regions *find(const Graph *g)
{
    const char *wrong = NULL;
    Regions *regions = regions_find(g, graph_live(g, arena), arena, &wrong);
    cr_assert_not_null(regions, "%s", wrong);
    return regions;
}

/* The path of a node from the outside, as "5 4e": loop 5, in it the else side of branch 4. */
static const char *path(const Graph *g, const Regions *regions, uint32_t id)
{
    const char *text = "";
    for (uint32_t r = regions->of[id]; r != 0; r = regions->list[r].parent) {
        const Region *region = &regions->list[r];
        const Attr *attr = &region->closer->attr;
        cr_expect_lt(region->parent, r);
        cr_expect_eq(region->depth, regions->list[region->parent].depth + 1);
        text = arena_format(arena, "%u%s%s%s",
                            region->kind == REGION_LOOP ? attr->loop.id : attr->branch.id,
                            region->kind == REGION_LOOP   ? ""
                            : region->kind == REGION_THEN ? "t"
                                                          : "e",
                            *text ? " " : "", text);
    }
    (void)g;
    return text;
}

static void expect_paths(const Graph *g, const char *const *paths, uint32_t count)
{
    const Regions *regions = find(g);
    cr_assert_eq(g->nodes.count, count);
    for (uint32_t i = 0; i < count; i++)
        cr_expect_str_eq(path(g, regions, i), paths[i], "%%%u is in '%s', not in '%s'", i,
                         path(g, regions, i), paths[i]);
}

#define EXPECT_PATHS(g, ...)                                                                       \
    expect_paths(g, (const char *[]){__VA_ARGS__},                                                 \
                 sizeof(const char *[]){__VA_ARGS__} / sizeof(char *))

Test(region, a_graph_without_loops_has_the_outside)
{
    Graph *g = parse("  %0 = input {x} : f32\n  %1 = neg %0 : f32\n  output y = %1\n");
    EXPECT_PATHS(g, "", "");
    cr_expect_eq(find(g)->count, 1);
    cr_expect_not(graph_has_regions(g, graph_live(g, arena)));
}

Test(region, bodies_are_what_depends_on_carries_and_slices)
{
    Graph *g = parse("  %0 = input {x} : f32[T, 3]\n"
                     "  %1 = input {w} : f32[3]\n"
                     "  %2 = exp %1 : f32[3]\n"
                     "  %3 = carry {0, 0} : f32[3]\n"
                     "  %4 = at %0 {0} : f32[3]\n"
                     "  %5 = mul %2 %4 : f32[3]\n"
                     "  %6 = add %3 %5 : f32[3]\n"
                     "  %7 = loop %1 %6 {0, length = T} : bool\n"
                     "  %8 = stack %7 %5 : f32[T, 3]\n"
                     "  %9 = final %7 {0} : f32[3]\n"
                     "  output a = %8\n"
                     "  output b = %9\n");
    EXPECT_PATHS(g, "", "", "", "0", "0", "0", "0", "", "", "");
    cr_expect(graph_verify(g, NULL));
    cr_expect(graph_has_regions(g, graph_live(g, arena)));
}

/* Loop 0 has no carries: only its stacked value tells that it is inside of loop 1. */
Test(region, a_loop_is_inside_of_what_its_stacks_need)
{
    Graph *g = parse("  %0 = input {x} : f32[T, 3]\n"
                     "  %1 = input {y} : f32[S, 3]\n"
                     "  %2 = at %0 {1} : f32[3]\n"
                     "  %3 = at %1 {0} : f32[3]\n"
                     "  %4 = mul %2 %3 : f32[3]\n"
                     "  %5 = loop {0, length = S} : bool\n"
                     "  %6 = stack %5 %4 : f32[S, 3]\n"
                     "  %7 = stack %5 %3 : f32[S, 3]\n"
                     "  %8 = add %6 %7 : f32[S, 3]\n"
                     "  %9 = loop {1, length = T} : bool\n"
                     "  %10 = stack %9 %8 : f32[T, S, 3]\n"
                     "  output a = %10\n");
    EXPECT_PATHS(g, "", "", "1", "1 0", "1 0", "1", "1", "1", "1", "", "");
    Regions *regions = find(g);
    cr_expect_eq(region_closed_by(regions, g->nodes.data[9], SIDE_THEN), 1);
    cr_expect_eq(region_closed_by(regions, g->nodes.data[5], SIDE_THEN), 2);
    cr_expect(region_within(regions, 2, 1) && region_within(regions, 1, 1));
    cr_expect_not(region_within(regions, 1, 2));
    cr_expect_eq(region_common(regions, 2, 1), 1);
    cr_expect_eq(region_common(regions, 2, 0), 0);
}

Test(region, sides_of_a_branch)
{
    Graph *g = parse("  %0 = input {c} : bool\n"
                     "  %1 = input {x} : f32[S, 3]\n"
                     "  %2 = enter %1 {2, then} : f32[S, 3]\n"
                     "  %3 = enter %1 {2, else} : f32[S, 3]\n"
                     "  %4 = at %3 {5} : f32[3]\n"
                     "  %5 = loop {5, length = S} : bool\n"
                     "  %6 = stack %5 %4 : f32[S, 3]\n"
                     "  %7 = exp %2 : f32[S, 3]\n"
                     "  %8 = branch %0 %7 %6 {2} : bool\n"
                     "  %9 = final %8 {0} : f32[S, 3]\n"
                     "  output a = %9\n");
    EXPECT_PATHS(g, "", "", "2t", "2e", "2e 5", "2e", "2e", "2t", "", "");
    Regions *regions = find(g);
    uint32_t first = region_closed_by(regions, g->nodes.data[8], SIDE_THEN);
    uint32_t second = region_closed_by(regions, g->nodes.data[8], SIDE_ELSE);
    cr_expect_eq(regions->list[first].kind, REGION_THEN);
    cr_expect_eq(regions->list[second].kind, REGION_ELSE);
    cr_expect_eq(region_common(regions, first, second), 0);
}

Test(region, dead_loops_do_not_count)
{
    Graph *g = parse("  %0 = input {x} : f32[T]\n"
                     "  %1 = at %0 {0} : f32\n"
                     "  %2 = loop {0, length = T} : bool\n"
                     "  %3 = stack %2 %1 : f32[T]\n"
                     "  output a = %0\n");
    EXPECT_PATHS(g, "", "", "", "");
    cr_expect(graph_verify(g, NULL));
}

/* What is wrong between the nodes of a loop; the lines come after those of `before`. */
static const char before[] = "  %0 = input {x} : f32[T, 3]\n"
                             "  %1 = input {b} : bool\n"
                             "  %2 = const {0} : f32[3]\n";
static const struct {
    const char *lines, *fault;
} faults[] = {
    {"  %3 = carry {0, 0} : f32[3]\n  output y = %3\n",
     "%3 is inside of loop 0, which nothing closes"},
    {"  %3 = enter %0 {0, then} : f32[T, 3]\n  output y = %3\n",
     "%3 is inside of branch 0, which nothing closes"},
    {"  %3 = carry {0, 0} : f32[3]\n  %4 = loop %2 %3 {0, length = T} : bool\n"
     "  output y = %4\n  output z = %3\n",
     "root z is inside of a loop or branch"},
    {"  %3 = carry {0, 0} : f32[3]\n  %4 = loop %2 %3 {0, length = T} : bool\n"
     "  %5 = exp %2 : f32[3]\n  %6 = add %3 %5 : f32[3]\n  %7 = stack %4 %6 : f32[T, 3]\n"
     "  output y = %7\n",
     "%5 is read inside of %4, but was made after it"},
    {"  %3 = carry {0, 1} : f32[3]\n  %4 = loop %2 %3 {0, length = T} : bool\n  output y = %4\n",
     "%3: loop 0 has no value number 1"},
    {"  %3 = carry {0, 0} : f32[4]\n  %4 = sum %3 {0} : f32\n  %5 = const {0} : f32\n"
     "  %6 = loop %5 %4 {0, length = T} : bool\n  output y = %6\n",
     "%3: its first value has another type"},
    {"  %3 = at %0 {0} : f32[3]\n  %4 = loop %2 %3 {0, length = S} : bool\n  output y = %4\n",
     "%3: what it walks along is not as long as loop 0"},
    {"  %3 = loop %2 %2 {0, length = T} : bool\n  %4 = loop %2 %2 {0, length = S} : bool\n"
     "  output y = %3\n  output z = %4\n",
     "%4 closes loop 0, which %3 closed"},
    {"  %3 = carry {0, 0} : f32[3]\n  %4 = exp %3 : f32[3]\n"
     "  %5 = loop %4 %3 {0, length = T} : bool\n  output y = %5\n",
     "%5 needs a value from inside of it where it must not"},
    {"  %3 = enter %2 {0, then} : f32[3]\n  %4 = branch %1 %2 %3 {0} : bool\n  output y = %4\n",
     "%4 needs a value from inside of it where it must not"},
    {"  %3 = at %0 {0} : f32[3]\n  %4 = at %0 {1} : f32[3]\n  %5 = add %3 %4 : f32[3]\n"
     "  %6 = loop %2 %5 {0, length = T} : bool\n  %7 = loop %2 %5 {1, length = T} : bool\n"
     "  output y = %6\n  output z = %7\n",
     "needs values of loops that are not inside of each other"},
    {"  %3 = carry {0, 0} : f32[T, 3]\n  %4 = at %3 {0} : f32[3]\n"
     "  %5 = loop %0 %3 {0, length = T} : bool\n  %6 = stack %5 %4 : f32[T, 3]\n  output y = %6\n",
     "%4 walks along a value of its own loop"},
    {"  %3 = at %0 {0} : f32[3]\n  %4 = loop %2 %3 {0, length = T} : bool\n"
     "  %5 = at %0 {1} : f32[3]\n  %6 = add %3 %5 : f32[3]\n  %7 = loop {1, length = T} : bool\n"
     "  %8 = stack %7 %6 : f32[T, 3]\n  output y = %4\n  output z = %8\n",
     "root z is inside of a loop or branch"},
};

Test(region, the_verifier_refuses)
{
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        StrBuf out = {0};
        Graph *g = parse(arena_format(arena, "%s%s", before, faults[i].lines));
        cr_expect_not(graph_verify(g, &out), "case %zu", i);
        cr_expect(out.text != NULL && strstr(out.text, faults[i].fault), "case %zu: %s", i,
                  out.text);
        strbuf_free(&out);
    }
}

/* One line after `before`, refused when it is read. */
static const struct {
    const char *line, *error;
} refusals[] = {
    {"%3 = at %1 {0} : bool", "bool has no axis to walk along"},
    {"%3 = at %0 {-1} : f32[3]", "-1 is not in 0..1048576"},
    {"%3 = carry {0} : f32[3]", "expected ','"},
    {"%3 = enter %0 {0} : f32[T, 3]", "expected the side, then or else"},
    {"%3 = loop %0 {0, length = T} : bool", "loop has an operand without its pair"},
    {"%3 = loop %0 %2 {0, length = T} : bool",
     "a value of the loop begins as f32[T, 3] and becomes f32[3]"},
    {"%3 = loop %0 %0 {0, length = T, conditional} : bool",
     "the condition of a loop is a bool, not f32[T, 3]"},
    {"%3 = loop {0, length = T, conditional} : bool",
     "the condition of a loop is a bool, not missing"},
    {"%3 = loop {0, length = -1} : bool", "the length of a loop is negative"},
    {"%3 = final %1 {0} : f32", "final is of a loop or branch, not of input"},
    {"%3 = branch %1 %0 %0 {0} : bool\n  %4 = final %3 {1} : f32[T, 3]",
     "there are 1 results, none is number 1"},
    {"%3 = branch %2 %0 %0 {0} : bool", "a condition is a bool, not f32[3]"},
    {"%3 = branch %1 %0 %2 {0} : bool",
     "one side of the condition gives f32[T, 3], the other f32[3]"},
    {"%3 = branch %1 {0} : bool", "branch takes 3 operands, not 1"},
    {"%3 = stack %1 %2 : f32[T, 3]", "stack is of a loop, not of input"},
    {"%3 = loop {0, length = 4611686018427387904} : bool\n"
     "  %4 = stack %3 %2 : f32[4611686018427387904, 3]",
     "the values of a loop without a bound cannot be kept"},
};

Test(region, shape_rules_refuse)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        char *error = NULL,
             *text = arena_format(arena, "graph g {\n%s  %s\n}\n", before, refusals[i].line);
        cr_expect_null(graph_read(arena, table, text, &error), "%s", refusals[i].line);
        cr_expect(error != NULL && strstr(error, refusals[i].error), "%s: %s", refusals[i].line,
                  error);
    }
}

Test(region, constructors)
{
    Graph *g = graph_new(arena, table, "built");
    const Dim *length = dim_symbol(table, "T");
    Type row = {.dtype = DT_F32, .rank = 1, .dims = {dim_const(table, 3)}};
    Type rows = {.dtype = DT_F32, .rank = 2, .dims = {length, row.dims[0]}};
    Node *x = build_leaf(g, OP_INPUT, "x", rows), *zero = build_const(g, row, 0);
    uint32_t outer = graph_next_loop(g), inner = graph_next_loop(g);
    cr_expect_eq(outer, 0);
    cr_expect_eq(inner, 1);
    Node *sum = build_carry(g, outer, 0, row), *side = build_enter(g, inner, SIDE_THEN, sum);
    Node *condition = build_leaf(g, OP_INPUT, "c", (Type){.dtype = DT_BOOL});
    Node *then = build_unary(g, OP_EXP, side), *other = zero;
    Node *branch = build_branch(g, inner, condition, &then, &other, 1);
    Node *next = build_binary(g, OP_ADD, build_final(g, branch, 0), build_at(g, outer, x));
    Node *loop = build_loop(g, (LoopAttr){outer, length, .reverse = true}, &zero, &next, 1);
    graph_root(g, ROOT_OUTPUT, "y", build_final(g, loop, 0));
    graph_root(g, ROOT_OUTPUT, "z", build_stack(g, loop, sum));
    StrBuf out = {0};
    cr_expect(graph_verify(g, &out), "%s", out.text);
    cr_expect_eq(graph_next_loop(g), 2);
    cr_expect_str_eq(path(g, find(g), then->id), "0 1t");
    cr_expect(loop_is_bounded(&loop->attr.loop));
    cr_expect_eq(graph_closers(g, graph_live(g, arena), arena)[1], branch);
    strbuf_free(&out);
}
