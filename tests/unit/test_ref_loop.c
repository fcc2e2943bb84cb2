/* Loops and branches in the interpreter: small programs written as text against values worked out
 * by hand. */
#include "compiler/ref/ref.h"

#include <criterion/criterion.h>
#include <string.h>

static Arena *arena;
static DimTable *table;
static const void *leaves[8]; /* data of input {a}, {b}, ... */
static int64_t symbols[8];    /* T is the first */
static RefRun run;

static void setup(void)
{
    arena = arena_new();
    table = dim_table_new(arena);
    dim_symbol(table, "T");
    dim_symbol(table, "S");
    memset(leaves, 0, sizeof leaves);
    run = (RefRun){0};
}

static void teardown(void)
{
    arena_free(arena);
}

TestSuite(ref_loop, .init = setup, .fini = teardown);

static const void *find_leaf(void *user, const Node *leaf)
{
    (void)user;
    return leaves[leaf->attr.leaf.name[0] - 'a'];
}

static Graph *parse(const char *body)
{
    char *error = NULL, *text = arena_format(arena, "graph g {\n%s\n}\n", body);
    Graph *graph = graph_read(arena, table, text, &error);
    cr_assert_not_null(graph, "%s\n%s", error, text);
    StrBuf faults = {0};
    cr_assert(graph_verify(graph, &faults), "%s", faults.text);
    return graph;
}

/* The data of the roots. */
static const void **evaluate(const char *body)
{
    run.graph = parse(body);
    const void **values = arena_alloc(arena, 8 * sizeof *values);
    run.symbols = symbols;
    run.leaf = find_leaf;
    ref_run(&run, arena, values);
    return values;
}

#define EXPECT_ARRAY(Type, data, ...)                                                              \
    do {                                                                                           \
        const Type want_[] = {__VA_ARGS__};                                                        \
        const Type *got_ = (data);                                                                 \
        cr_assert_not_null(got_);                                                                  \
        for (size_t i_ = 0; i_ < sizeof want_ / sizeof *want_; i_++)                               \
            cr_expect(got_[i_] == want_[i_], "line %d, element %zu: %g, not %g", __LINE__, i_,     \
                      (double)got_[i_], (double)want_[i_]);                                        \
    } while (0)

static const char running_sum[] = "%%0 = input {a} : f32[T, 2]\n"
                                  "%%1 = const {1} : f32[2]\n"
                                  "%%2 = carry {0, 0} : f32[2]\n"
                                  "%%3 = at %%0 {0} : f32[2]\n"
                                  "%%4 = add %%2 %%3 : f32[2]\n"
                                  "%%5 = loop %%1 %%4 {0, length = T%s} : bool\n"
                                  "%%6 = stack %%5 %%4 : f32[T, 2]\n"
                                  "%%7 = stack %%5 %%2 : f32[T, 2]\n"
                                  "%%8 = final %%5 {0} : f32[2]\n"
                                  "%%9 = stack %%5 %%1 : f32[T, 2]\n"
                                  "output after = %%6\n"
                                  "output before = %%7\n"
                                  "output last = %%8\n"
                                  "output ones = %%9\n";

Test(ref_loop, forwards)
{
    symbols[0] = 3;
    leaves[0] = (const float[]){1, 10, 2, 20, 3, 30};
    const void **values = evaluate(arena_format(arena, running_sum, ""));
    EXPECT_ARRAY(float, values[0], 2, 11, 4, 31, 7, 61);
    EXPECT_ARRAY(float, values[1], 1, 1, 2, 11, 4, 31);
    EXPECT_ARRAY(float, values[2], 7, 61);
    EXPECT_ARRAY(float, values[3], 1, 1, 1, 1, 1, 1);
}

Test(ref_loop, backwards_fills_the_same_slots)
{
    symbols[0] = 3;
    leaves[0] = (const float[]){1, 10, 2, 20, 3, 30};
    const void **values = evaluate(arena_format(arena, running_sum, ", reverse"));
    EXPECT_ARRAY(float, values[0], 7, 61, 6, 51, 4, 31);
    EXPECT_ARRAY(float, values[1], 6, 51, 4, 31, 1, 1);
    EXPECT_ARRAY(float, values[2], 7, 61);
}

Test(ref_loop, no_iterations_give_the_first_values)
{
    symbols[0] = 0;
    leaves[0] = (const float[]){0};
    const void **values = evaluate(arena_format(arena, running_sum, ""));
    EXPECT_ARRAY(float, values[2], 1, 1);
    cr_expect_not_null(values[0]);
    cr_expect_null(run.failed);
}

/* Fibonacci: the carries change places. */
Test(ref_loop, carries_change_together)
{
    symbols[0] = 6;
    const void **values = evaluate("%0 = const {0} : i64\n"
                                   "%1 = const {1} : i64\n"
                                   "%2 = carry {3, 0} : i64\n"
                                   "%3 = carry {3, 1} : i64\n"
                                   "%4 = add %2 %3 : i64\n"
                                   "%5 = loop %0 %1 %3 %4 {3, length = T} : bool\n"
                                   "%6 = stack %5 %2 : i64[T]\n"
                                   "%7 = final %5 {1} : i64\n"
                                   "%8 = final %5 {0} : i64\n"
                                   "output all = %6\n"
                                   "output last = %7\n"
                                   "output previous = %8\n");
    EXPECT_ARRAY(int64_t, values[0], 0, 1, 1, 2, 3, 5);
    EXPECT_ARRAY(int64_t, values[1], 13);
    EXPECT_ARRAY(int64_t, values[2], 8);
}

Test(ref_loop, swapped_carries)
{
    const void **values = evaluate("%0 = const {4} : i32\n"
                                   "%1 = const {9} : i32\n"
                                   "%2 = carry {0, 0} : i32\n"
                                   "%3 = carry {0, 1} : i32\n"
                                   "%4 = loop %0 %1 %3 %2 {0, length = 3} : bool\n"
                                   "%5 = final %4 {0} : i32\n"
                                   "%6 = final %4 {1} : i32\n"
                                   "output x = %5\n"
                                   "output y = %6\n");
    EXPECT_ARRAY(int32_t, values[0], 9);
    EXPECT_ARRAY(int32_t, values[1], 4);
}

/* The table of products by a loop in a loop; neither has carries. */
Test(ref_loop, nested)
{
    symbols[0] = 2;
    symbols[1] = 3;
    leaves[0] = (const float[]){1, 2};
    leaves[1] = (const float[]){5, 6, 7};
    const void **values = evaluate("%0 = input {a} : f32[T]\n"
                                   "%1 = input {b} : f32[S]\n"
                                   "%2 = at %0 {1} : f32\n"
                                   "%3 = at %1 {0} : f32\n"
                                   "%4 = mul %2 %3 : f32\n"
                                   "%5 = loop {0, length = S, reverse} : bool\n"
                                   "%6 = stack %5 %4 : f32[S]\n"
                                   "%7 = loop {1, length = T} : bool\n"
                                   "%8 = stack %7 %6 : f32[T, S]\n"
                                   "output y = %8\n");
    EXPECT_ARRAY(float, values[0], 5, 6, 7, 10, 12, 14);
}

/* y = (y + a[t]) * 2 thrice for every t: the inner loop begins from the outer carry. */
Test(ref_loop, nested_carries)
{
    symbols[0] = 2;
    leaves[0] = (const float[]){1, 2};
    const void **values = evaluate("%0 = input {a} : f32[T]\n"
                                   "%1 = const {0} : f32\n"
                                   "%2 = const {2} : f32\n"
                                   "%3 = carry {0, 0} : f32\n"
                                   "%4 = at %0 {0} : f32\n"
                                   "%5 = carry {1, 0} : f32\n"
                                   "%6 = add %4 %5 : f32\n"
                                   "%7 = mul %2 %6 : f32\n"
                                   "%8 = loop %3 %7 {1, length = 3} : bool\n"
                                   "%9 = final %8 {0} : f32\n"
                                   "%10 = loop %1 %9 {0, length = T} : bool\n"
                                   "%11 = stack %10 %9 : f32[T]\n"
                                   "output y = %11\n");
    EXPECT_ARRAY(float, values[0], 14, 140);
}

/* Doubles while below the limit; the stack of the iterations that did not run is 0. */
Test(ref_loop, conditional)
{
    leaves[0] = (const int32_t[]){20};
    const char *text = "%%0 = input {a} : i32\n"
                       "%%1 = const {3} : i32\n"
                       "%%2 = lt %%1 %%0 : bool\n"
                       "%%3 = carry {0, 1} : i32\n"
                       "%%4 = add %%3 %%3 : i32\n"
                       "%%5 = lt %%4 %%0 : bool\n"
                       "%%6 = loop %%2 %%1 %%5 %%4 {0, length = %s, conditional} : bool\n"
                       "%%7 = final %%6 {1} : i32\n"
                       "output y = %%7\n%s";
    const char *stack = "%8 = stack %6 %4 : i32[5]\noutput z = %8\n";
    const void **values = evaluate(arena_format(arena, text, "5", stack));
    EXPECT_ARRAY(int32_t, values[0], 24);
    EXPECT_ARRAY(int32_t, values[1], 6, 12, 24, 0, 0);
    values = evaluate(arena_format(arena, text, "2", ""));
    EXPECT_ARRAY(int32_t, values[0], 12);
    values = evaluate(arena_format(arena, text, "4611686018427387904", ""));
    EXPECT_ARRAY(int32_t, values[0], 24);
    leaves[0] = (const int32_t[]){0};
    values = evaluate(arena_format(arena, text, "5", stack));
    EXPECT_ARRAY(int32_t, values[0], 3);
    EXPECT_ARRAY(int32_t, values[1], 0, 0, 0, 0, 0);
}

/* The stacked value belongs to no turn, and is made after the loop. */
Test(ref_loop, stacks_of_one_value)
{
    leaves[0] = (const float[]){1, 2};
    const void **values = evaluate("%0 = input {a} : f32[2]\n"
                                   "%1 = loop {0, length = 3} : bool\n"
                                   "%2 = neg %0 : f32[2]\n"
                                   "%3 = stack %1 %2 : f32[3, 2]\n"
                                   "output y = %3\n");
    EXPECT_ARRAY(float, values[0], -1, -2, -1, -2, -1, -2);
    leaves[1] = (const int32_t[]){20};
    values = evaluate("%0 = input {b} : i32\n"
                      "%1 = const {3} : i32\n"
                      "%2 = lt %1 %0 : bool\n"
                      "%3 = carry {0, 1} : i32\n"
                      "%4 = add %3 %3 : i32\n"
                      "%5 = lt %4 %0 : bool\n"
                      "%6 = loop %2 %1 %5 %4 {0, length = 4, reverse, conditional} : bool\n"
                      "%7 = neg %0 : i32\n"
                      "%8 = stack %6 %7 : i32[4]\n"
                      "output y = %8\n");
    EXPECT_ARRAY(int32_t, values[0], 0, -20, -20, -20);
}

/* Only the side that is taken runs: the other would divide by zero. */
static const char division[] = "%0 = input {a} : i32\n"
                               "%1 = input {b} : bool\n"
                               "%2 = const {12} : i32\n"
                               "%3 = enter %0 {0, then} : i32\n"
                               "%4 = floordiv %2 %3 : i32\n"
                               "%5 = enter %0 {0, else} : i32\n"
                               "%6 = branch %1 %4 %2 %5 %2 {0} : bool\n"
                               "%7 = final %6 {0} : i32\n"
                               "%8 = final %6 {1} : i32\n"
                               "output y = %7\n"
                               "output z = %8\n";

Test(ref_loop, branch)
{
    bool taken = true;
    leaves[0] = (const int32_t[]){4};
    leaves[1] = &taken;
    const void **values = evaluate(division);
    EXPECT_ARRAY(int32_t, values[0], 3);
    EXPECT_ARRAY(int32_t, values[1], 12);
    taken = false;
    leaves[0] = (const int32_t[]){0};
    values = evaluate(division);
    EXPECT_ARRAY(int32_t, values[0], 0);
    cr_expect_null(run.failed);
    taken = true;
    values = evaluate(division);
    cr_assert_not_null(run.failed);
    cr_expect_eq(run.failed->op, OP_FLOORDIV);
}

/* Collatz steps: a branch in a conditional loop. */
Test(ref_loop, branch_in_a_loop)
{
    leaves[0] = (const int64_t[]){6};
    const void **values =
        evaluate("%0 = input {a} : i64\n"
                 "%1 = const {1} : i64\n"
                 "%2 = const {0} : i64\n"
                 "%3 = const {2} : i64\n"
                 "%4 = const {3} : i64\n"
                 "%5 = ne %0 %1 : bool\n"
                 "%6 = carry {0, 1} : i64\n"
                 "%7 = carry {0, 2} : i64\n"
                 "%8 = mod %6 %3 : i64\n"
                 "%9 = eq %2 %8 : bool\n"
                 "%10 = enter %6 {1, then} : i64\n"
                 "%11 = floordiv %10 %3 : i64\n"
                 "%12 = enter %6 {1, else} : i64\n"
                 "%13 = mul %4 %12 : i64\n"
                 "%14 = add %1 %13 : i64\n"
                 "%15 = branch %9 %11 %14 {1} : bool\n"
                 "%16 = final %15 {0} : i64\n"
                 "%17 = ne %1 %16 : bool\n"
                 "%18 = add %1 %7 : i64\n"
                 "%19 = loop %5 %0 %2 %17 %16 %18 {0, length = 4611686018427387904, conditional} "
                 ": bool\n"
                 "%20 = final %19 {2} : i64\n"
                 "output steps = %20\n");
    EXPECT_ARRAY(int64_t, values[0], 8);
}

typedef struct {
    int seen[OP_COUNT];
    float last;
} Visits;

static void note_visit(void *user, const Node *node, const void *data)
{
    Visits *visits = user;
    visits->seen[node->op]++;
    if (node->op == OP_ADD)
        visits->last = *(const float *)data;
}

Test(ref_loop, every_iteration_is_visited)
{
    Visits visits = {.last = 0};
    symbols[0] = 3;
    leaves[0] = (const float[]){1, 10, 2, 20, 3, 30};
    run.graph = parse(arena_format(arena, running_sum, ""));
    run.symbols = symbols;
    run.leaf = find_leaf;
    cr_expect(ref_visit(&run, arena, note_visit, &visits));
    cr_expect_eq(visits.seen[OP_ADD], 3);
    cr_expect_eq(visits.seen[OP_CARRY], 3);
    cr_expect_eq(visits.seen[OP_STACK], 3);
    cr_expect_eq(visits.seen[OP_LOOP], 1);
    cr_expect_eq(visits.last, 7);
}
