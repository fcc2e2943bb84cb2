/* Gradients of loops and branches, first and second order, against central differences in f64
 * through the interpreter. The gradient matrix (test_gradients.c) varies shapes and lengths; here
 * are the forms: nested loops, captured weights, bounds, recomputation, branches, gradients inside
 * of bodies. A program is text with a root `loss`, differentiated by its f64 leaves. */
#include "compiler/graph/build.h"
#include "compiler/graph/region.h"
#include "compiler/passes/grad.h"
#include "compiler/passes/pass.h"
#include "compiler/ref/ref.h"
#include "runtime/base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { MOST_LEAVES = 8, MOST_ELEMENTS = 64 };

typedef struct {
    Arena *arena;
    Graph *g;
    Node *leaf[MOST_LEAVES];
    double data[MOST_LEAVES][MOST_ELEMENTS];
    int64_t whole[MOST_LEAVES][MOST_ELEMENTS];
    int count;
    int64_t symbols[4];
} Program;

static const void *leaf_data(void *user, const Node *leaf)
{
    const Program *p = user;
    for (int i = 0; i < p->count; i++)
        if (p->leaf[i] == leaf)
            return leaf->type.dtype == DT_F64 ? (const void *)p->data[i] : p->whole[i];
    return NULL;
}

static int64_t elements(const Program *p, const Node *node)
{
    return dim_eval(type_elements(p->g->dims, &node->type), p->symbols);
}

static Program program(const char *lines)
{
    char *error = NULL;
    Program p = {.arena = arena_new(), .symbols = {3, 2}};
    DimTable *dims = dim_table_new(p.arena);
    dim_symbol(dims, "T");
    dim_symbol(dims, "B");
    p.g = graph_read(p.arena, dims, arena_format(p.arena, "graph p {\n%s}\n", lines), &error);
    cr_assert_not_null(p.g, "%s", error);
    for (uint32_t i = 0; i < p.g->nodes.count; i++)
        if (p.g->nodes.data[i]->attr.kind == AT_LEAF)
            p.leaf[p.count++] = p.g->nodes.data[i];
    for (int i = 0; i < p.count; i++)
        for (int64_t e = 0; e < MOST_ELEMENTS; e++) {
            uint64_t bits = rng_hash(&e, sizeof e, (uint64_t)i + 5);
            p.data[i][e] = (double)(bits >> 11) * 0x1p-53 * 1.6 - 0.7;
            p.whole[i][e] = (int64_t)(bits % 3);
        }
    return p;
}

/* Values of nodes; the graph is verified with them as roots. */
static bool evaluate(Program *p, Node *const *nodes, int count, const void **values, Arena *arena)
{
    StrBuf faults = {0};
    memset(&p->g->roots, 0, sizeof p->g->roots);
    for (int i = 0; i < count; i++)
        graph_root(p->g, ROOT_OUTPUT, arena_format(arena, "v%d", i), nodes[i]);
    bool sound = graph_verify(p->g, &faults);
    cr_assert(sound, "%s", faults.text);
    RefRun run = {.graph = p->g, .symbols = p->symbols, .leaf = leaf_data, .user = p, .seed = 3};
    bool good = ref_run(&run, arena, values);
    cr_assert(good, "%s failed", run.failed ? op_info[run.failed->op].text : "memory");
    return good;
}

static const void *named_data(void *user, const Node *leaf)
{
    const Program *p = user;
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->leaf[i]->attr.leaf.name, leaf->attr.leaf.name) == 0)
            return leaf_data(user, p->leaf[i]);
    return NULL;
}

/* The passes keep every bit of the roots: sums in these programs are not over axes that layout
 * moves. */
static void check_passes(Program *p, const char *name, const void **values)
{
    StrBuf error = {0};
    Graph *better = passes_run(p->g, NULL, &error);
    cr_assert_not_null(better, "%s: %s", name, error.text);
    const void *found[MOST_LEAVES];
    RefRun run = {.graph = better, .symbols = p->symbols, .leaf = named_data, .user = p, .seed = 3};
    cr_assert(ref_run(&run, better->arena, found));
    for (uint32_t i = 0; i < better->roots.count; i++) {
        size_t bytes = (size_t)elements(p, p->g->roots.data[i].node) *
                       dtype_bytes(p->g->roots.data[i].node->type.dtype);
        cr_expect(memcmp(found[i], values[i], bytes) == 0, "%s: root %u changed in the passes",
                  name, i);
    }
    arena_free(better->arena);
}

static double scalar_value(Program *p, Node *scalar)
{
    Arena *arena = arena_new();
    const void *value = NULL;
    evaluate(p, &scalar, 1, &value, arena);
    double result = *(const double *)value;
    arena_free(arena);
    return result;
}

static Node *differentiate(Program *p, Node *loss, Node **gradients)
{
    GradError error = {0};
    cr_assert(grad_build(p->g, loss, p->leaf, p->count, gradients, &error), "%s", error.text);
    Node *sum = build_scalar(p->g, DT_F64, 0);
    for (int i = 0; i < p->count; i++) {
        Node *square = gradients[i];
        if (square->type.dtype != DT_F64)
            continue;
        square = build_binary(p->g, OP_MUL, square, square);
        sum = build_binary(p->g, OP_ADD, sum,
                           build_reduce(p->g, OP_SUM, square, axes_range(0, square->type.rank)));
    }
    return sum;
}

/* Every element of every gradient of `loss` against a central difference; returns how many are not
 * zero. */
static int check(Program *p, const char *name, Node *loss, Node **gradients)
{
    const void *values[MOST_LEAVES];
    int alive = 0;
    Arena *arena = arena_new();
    evaluate(p, gradients, p->count, values, arena);
    check_passes(p, name, values);
    for (int i = 0; i < p->count; i++) {
        const double *gradient = values[i];
        for (int64_t e = 0; p->leaf[i]->type.dtype == DT_F64 && e < elements(p, p->leaf[i]); e++) {
            double kept = p->data[i][e], step = 1e-5;
            p->data[i][e] = kept + step;
            double high = scalar_value(p, loss);
            p->data[i][e] = kept - step;
            double low = scalar_value(p, loss), expected = (high - low) / (2 * step);
            p->data[i][e] = kept;
            alive += gradient[e] != 0;
            cr_expect(fabs(gradient[e] - expected) <= 2e-5 * fabs(expected) + 1e-7,
                      "%s: %s, element %d: gradient %.12g, difference %.12g", name,
                      p->leaf[i]->attr.leaf.name, (int)e, gradient[e], expected);
        }
    }
    arena_free(arena);
    return alive;
}

/* First order, and the gradient of the sum of the squares of the gradients. */
static void check_orders(const char *name, const char *lines, int orders)
{
    Program p = program(lines);
    Node *gradients[MOST_LEAVES], *loss = graph_root_find(p.g, ROOT_OUTPUT, "loss");
    for (int order = 1; order <= orders; order++) {
        Node *next = differentiate(&p, loss, gradients);
        cr_expect_gt(check(&p, arena_format(p.arena, "%s, order %d", name, order), loss, gradients),
                     0, "%s: all gradients are zero", name);
        loss = next;
    }
    arena_free(p.arena);
}

/* h = tanh(x[t] W + h U + b), the loss over all h and the last: the weights are contracted behind
 * the loop. */
static const char recurrent[] = "  %%0 = input {x} : f64[T, B, 3]\n"
                                "  %%1 = input {w} : f64[3, 2]\n"
                                "  %%2 = input {u} : f64[2, 2]\n"
                                "  %%3 = input {b} : f64[2]\n"
                                "  %%4 = input {h} : f64[B, 2]\n"
                                "  %%5 = carry {0, 0} : f64[B, 2]\n"
                                "  %%6 = at %%0 {0} : f64[B, 3]\n"
                                "  %%7 = dot %%6 %%1 {contract = 1:0} : f64[B, 2]\n"
                                "  %%8 = dot %%5 %%2 {contract = 1:0} : f64[B, 2]\n"
                                "  %%9 = add %%7 %%8 : f64[B, 2]\n"
                                "  %%10 = reshape %%3 {[1, 2]} : f64[1, 2]\n"
                                "  %%11 = expand %%10 {[B, 2]} : f64[B, 2]\n"
                                "  %%12 = add %%9 %%11 : f64[B, 2]\n"
                                "  %%13 = tanh %%12 : f64[B, 2]\n"
                                "  %%14 = loop %%4 %%13 {0, length = T%s} : bool\n"
                                "  %%15 = stack %%14 %%13 : f64[T, B, 2]\n"
                                "  %%16 = final %%14 {0} : f64[B, 2]\n"
                                "  %%17 = sin %%15 : f64[T, B, 2]\n"
                                "  %%18 = sum %%17 {0, 1, 2} : f64\n"
                                "  %%19 = sum %%16 {0, 1} : f64\n"
                                "  %%20 = exp %%19 : f64\n"
                                "  %%21 = add %%18 %%20 : f64\n"
                                "  output loss = %%21\n";

static const char *const flags[] = {"",
                                    ", reverse",
                                    ", recompute",
                                    ", reverse, recompute",
                                    ", adds",
                                    ", reverse, recompute, adds"};

Test(gradient_loops, recurrent)
{
    Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        check_orders(flags[i], arena_format(arena, recurrent, flags[i]), 2);
    arena_free(arena);
}

/* The derivative loop carries the derivative of h and nothing else: the three parameters are sums
 * of stacks. */
Test(gradient_loops, weights_are_contracted_behind_the_loop)
{
    Arena *arena = arena_new();
    Program p = program(arena_format(arena, recurrent, ""));
    Node *gradients[MOST_LEAVES];
    differentiate(&p, graph_root_find(p.g, ROOT_OUTPUT, "loss"), gradients);
    memset(&p.g->roots, 0, sizeof p.g->roots);
    for (int i = 0; i < p.count; i++)
        graph_root(p.g, ROOT_OUTPUT, p.leaf[i]->attr.leaf.name, gradients[i]);
    uint8_t *live = graph_live(p.g, arena);
    Regions *regions = regions_of(p.g, live, arena);
    int loops = 0, inside = 0, products = 0;
    for (uint32_t i = 0; i < p.g->nodes.count; i++) {
        const Node *node = p.g->nodes.data[i];
        if (live[i] && node->op == OP_LOOP) {
            loops++;
            cr_expect_eq(node->nsrc, 2, "the loop has %d values", node->nsrc / 2);
        }
        inside += live[i] && node->op == OP_DOT && regions->of[i] != 0;
        products += live[i] && node->op == OP_DOT && regions->of[i] == 0;
    }
    cr_expect_eq(loops, 2);
    cr_expect_eq(inside, 4, "%d", inside); /* x W and h U, and what goes back through them */
    cr_expect_eq(products, 2, "%d", products);
    arena_free(p.arena);
    arena_free(arena);
}

static const struct {
    const char *name, *lines;
} programs[] = {
    {"rows of a table", "  %0 = input {e} : f64[3, 2]\n"
                        "  %1 = input {i} : i64[T, B]\n"
                        "  %2 = input {h} : f64[B, 2]\n"
                        "  %3 = carry {0, 0} : f64[B, 2]\n"
                        "  %4 = at %1 {0} : i64[B]\n"
                        "  %5 = gather %0 %4 {0} : f64[B, 2]\n"
                        "  %6 = mul %3 %5 : f64[B, 2]\n"
                        "  %7 = sin %6 : f64[B, 2]\n"
                        "  %8 = loop %2 %7 {0, length = T} : bool\n"
                        "  %9 = stack %8 %6 : f64[T, B, 2]\n"
                        "  %10 = exp %9 : f64[T, B, 2]\n"
                        "  %11 = sum %10 {0, 1, 2} : f64\n"
                        "  output loss = %11\n"},
    {"a captured tensor of the batch", "  %0 = input {x} : f64[T, B]\n"
                                       "  %1 = input {m} : f64[B]\n"
                                       "  %2 = carry {4, 0} : f64[B]\n"
                                       "  %3 = at %0 {4} : f64[B]\n"
                                       "  %4 = mul %3 %1 : f64[B]\n"
                                       "  %5 = add %2 %4 : f64[B]\n"
                                       "  %6 = cos %5 : f64[B]\n"
                                       "  %7 = mul %1 %6 : f64[B]\n"
                                       "  %8 = loop %1 %7 {4, length = T} : bool\n"
                                       "  %9 = final %8 {0} : f64[B]\n"
                                       "  %10 = sum %9 {0} : f64\n"
                                       "  output loss = %10\n"},
    {"softmax over memory", "  %0 = input {q} : f64[T, B, 2]\n"
                            "  %1 = input {k} : f64[B, 3, 2]\n"
                            "  %2 = input {h} : f64[B, 2]\n"
                            "  %3 = carry {0, 0} : f64[B, 2]\n"
                            "  %4 = at %0 {0} : f64[B, 2]\n"
                            "  %5 = add %3 %4 : f64[B, 2]\n"
                            "  %6 = dot %5 %1 {batch = 0:0, contract = 1:2} : f64[B, 3]\n"
                            "  %7 = amax %6 {1} : f64[B]\n"
                            "  %8 = reshape %7 {[B, 1]} : f64[B, 1]\n"
                            "  %9 = expand %8 {[B, 3]} : f64[B, 3]\n"
                            "  %10 = sub %6 %9 : f64[B, 3]\n"
                            "  %11 = exp %10 : f64[B, 3]\n"
                            "  %12 = sum %11 {1} : f64[B]\n"
                            "  %13 = reshape %12 {[B, 1]} : f64[B, 1]\n"
                            "  %14 = expand %13 {[B, 3]} : f64[B, 3]\n"
                            "  %15 = div %11 %14 : f64[B, 3]\n"
                            "  %16 = dot %15 %1 {batch = 0:0, contract = 1:1} : f64[B, 2]\n"
                            "  %17 = loop %2 %16 {0, length = T} : bool\n"
                            "  %18 = stack %17 %16 : f64[T, B, 2]\n"
                            "  %19 = sin %18 : f64[T, B, 2]\n"
                            "  %20 = sum %19 {0, 1, 2} : f64\n"
                            "  output loss = %20\n"},
    {"nested loops with captured weights", "  %0 = input {x} : f64[T, 2, B, 2]\n"
                                           "  %1 = input {w} : f64[2, 2]\n"
                                           "  %2 = input {h} : f64[B, 2]\n"
                                           "  %3 = carry {7, 0} : f64[B, 2]\n"
                                           "  %4 = at %0 {7} : f64[2, B, 2]\n"
                                           "  %5 = carry {3, 0} : f64[B, 2]\n"
                                           "  %6 = at %4 {3} : f64[B, 2]\n"
                                           "  %7 = add %5 %6 : f64[B, 2]\n"
                                           "  %8 = dot %7 %1 {contract = 1:0} : f64[B, 2]\n"
                                           "  %9 = tanh %8 : f64[B, 2]\n"
                                           "  %10 = loop %3 %9 {3, length = 2} : bool\n"
                                           "  %11 = final %10 {0} : f64[B, 2]\n"
                                           "  %12 = stack %10 %7 : f64[2, B, 2]\n"
                                           "  %13 = dot %11 %1 {contract = 1:1} : f64[B, 2]\n"
                                           "  %14 = amax %12 {0} : f64[B, 2]\n"
                                           "  %15 = mul %13 %14 : f64[B, 2]\n"
                                           "  %16 = loop %2 %15 {7, length = T} : bool\n"
                                           "  %17 = stack %16 %12 : f64[T, 2, B, 2]\n"
                                           "  %18 = final %16 {0} : f64[B, 2]\n"
                                           "  %19 = sin %17 : f64[T, 2, B, 2]\n"
                                           "  %20 = sum %19 {0, 1, 2, 3} : f64\n"
                                           "  %21 = sum %18 {0, 1} : f64\n"
                                           "  %22 = mul %20 %21 : f64\n"
                                           "  output loss = %22\n"},
    {"nested, computed again", "  %0 = input {x} : f64[T, 2, B]\n"
                               "  %1 = input {w} : f64[B]\n"
                               "  %2 = carry {0, 0} : f64[B]\n"
                               "  %3 = at %0 {0} : f64[2, B]\n"
                               "  %4 = carry {1, 0} : f64[B]\n"
                               "  %5 = at %3 {1} : f64[B]\n"
                               "  %6 = mul %4 %5 : f64[B]\n"
                               "  %7 = add %6 %1 : f64[B]\n"
                               "  %8 = loop %2 %7 {1, length = 2, reverse} : bool\n"
                               "  %9 = final %8 {0} : f64[B]\n"
                               "  %10 = stack %8 %6 : f64[2, B]\n"
                               "  %11 = amax %10 {0} : f64[B]\n"
                               "  %12 = mul %9 %11 : f64[B]\n"
                               "  %13 = loop %1 %12 {0, length = T, recompute} : bool\n"
                               "  %14 = stack %13 %12 : f64[T, B]\n"
                               "  %15 = cos %14 : f64[T, B]\n"
                               "  %16 = sum %15 {0, 1} : f64\n"
                               "  output loss = %16\n"},
    /* on the zeros of the iterations that do not run the body divides 0 by 0 */
    {"an end before the bound",
     "  %0 = input {x} : f64[B, 2]\n"
     "  %1 = input {w} : f64[2, 2]\n"
     "  %2 = const {0} : i64\n"
     "  %3 = const {1} : i64\n"
     "  %4 = const {3} : i64\n"
     "  %5 = lt %2 %4 : bool\n"
     "  %6 = const {2} : f64[B, 2]\n"
     "  %7 = exp %0 : f64[B, 2]\n"
     "  %8 = carry {0, 1} : i64\n"
     "  %9 = carry {0, 2} : f64[B, 2]\n"
     "  %10 = add %3 %8 : i64\n"
     "  %11 = lt %10 %4 : bool\n"
     "  %12 = dot %9 %1 {contract = 1:0} : f64[B, 2]\n"
     "  %13 = sin %12 : f64[B, 2]\n"
     "  %14 = add %6 %13 : f64[B, 2]\n"
     "  %15 = div %14 %9 : f64[B, 2]\n"
     "  %16 = loop %5 %2 %7 %11 %10 %15 {0, length = 6, conditional} : bool\n"
     "  %17 = final %16 {2} : f64[B, 2]\n"
     "  %18 = stack %16 %13 : f64[6, B, 2]\n"
     "  %19 = sum %18 {0, 1, 2} : f64\n"
     "  %20 = sum %17 {0, 1} : f64\n"
     "  %21 = add %19 %20 : f64\n"
     "  output loss = %21\n"},
    {"branches in a loop, a loop in a branch", "  %0 = input {x} : f64[4, B]\n"
                                               "  %1 = input {w} : f64[B]\n"
                                               "  %2 = iota {0} : i64[4]\n"
                                               "  %3 = const {2} : i64\n"
                                               "  %4 = carry {0, 0} : f64[B]\n"
                                               "  %5 = at %2 {0} : i64\n"
                                               "  %6 = lt %5 %3 : bool\n"
                                               "  %7 = at %0 {0} : f64[B]\n"
                                               "  %8 = enter %4 {1, then} : f64[B]\n"
                                               "  %9 = enter %7 {1, then} : f64[B]\n"
                                               "  %10 = carry {2, 0} : f64[B]\n"
                                               "  %11 = enter %1 {1, then} : f64[B]\n"
                                               "  %12 = mul %10 %9 : f64[B]\n"
                                               "  %13 = add %11 %12 : f64[B]\n"
                                               "  %14 = loop %8 %13 {2, length = T} : bool\n"
                                               "  %15 = final %14 {0} : f64[B]\n"
                                               "  %16 = enter %4 {1, else} : f64[B]\n"
                                               "  %17 = enter %1 {1, else} : f64[B]\n"
                                               "  %18 = mul %16 %17 : f64[B]\n"
                                               "  %19 = sin %18 : f64[B]\n"
                                               "  %20 = branch %6 %15 %19 {1} : bool\n"
                                               "  %21 = final %20 {0} : f64[B]\n"
                                               "  %22 = loop %1 %21 {0, length = 4} : bool\n"
                                               "  %23 = stack %22 %21 : f64[4, B]\n"
                                               "  %24 = cos %23 : f64[4, B]\n"
                                               "  %25 = sum %24 {0, 1} : f64\n"
                                               "  output loss = %25\n"},
    {"a side without a gradient", "  %0 = input {x} : f64[B]\n"
                                  "  %1 = input {c} : i64\n"
                                  "  %2 = const {5} : i64\n"
                                  "  %3 = lt %1 %2 : bool\n"
                                  "  %4 = enter %0 {0, then} : f64[B]\n"
                                  "  %5 = sin %4 : f64[B]\n"
                                  "  %6 = const {1} : f64[B]\n"
                                  "  %7 = branch %3 %5 %0 %6 %0 {0} : bool\n"
                                  "  %8 = final %7 {0} : f64[B]\n"
                                  "  %9 = final %7 {1} : f64[B]\n"
                                  "  %10 = mul %8 %9 : f64[B]\n"
                                  "  %11 = sum %10 {0} : f64\n"
                                  "  output loss = %11\n"},
};

Test(gradient_loops, programs, .timeout = 120)
{
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        check_orders(programs[i].name, programs[i].lines, 2);
}

Test(gradient_loops, third_order)
{
    check_orders(programs[1].name, programs[1].lines, 3);
}

/* Two scalars of one graph, one after the other: what the first left behind harms nothing. */
Test(gradient_loops, twice)
{
    Arena *arena = arena_new();
    Program p = program(arena_format(arena, recurrent, ""));
    Node *gradients[2][MOST_LEAVES], *loss = graph_root_find(p.g, ROOT_OUTPUT, "loss");
    differentiate(&p, loss, gradients[0]);
    Node *other = build_unary(p.g, OP_TANH, loss);
    differentiate(&p, other, gradients[1]);
    check(&p, "second scalar", other, gradients[1]);
    check(&p, "first scalar", loss, gradients[0]);
    arena_free(p.arena);
    arena_free(arena);
}

/* A step of gradient descent in the body of a loop that is not closed when the gradient is built,
 * then the gradient of what comes out. */
Test(gradient_loops, in_a_body)
{
    for (int whole = 0; whole < 2; whole++) {
        Program p = program("  %0 = input {x} : f64[T, B]\n  %1 = input {w} : f64[B]\n"
                            "  output loss = %1\n");
        Graph *g = p.g;
        uint32_t loop = graph_next_loop(g);
        Node *x = p.leaf[0], *w = p.leaf[1], *gradients[MOST_LEAVES], *step;
        Node *carry = build_carry(g, loop, 0, w->type), *slice = build_at(g, loop, x);
        Node *inner = build_binary(g, OP_MUL, build_unary(g, OP_SIN, slice), carry);
        inner = build_reduce(g, OP_SUM, build_unary(g, OP_EXP, inner), axes_one(0));
        GradError error = {0};
        Node *wrt = whole ? x : carry;
        cr_assert(grad_build(g, inner, &wrt, 1, &step, &error), "%s", error.text);
        if (whole)
            step = build_reduce(g, OP_SUM, step, axes_one(0));
        Node *next = build_binary(g, OP_SUB, carry,
                                  build_binary(g, OP_MUL, step, build_scalar(g, DT_F64, 0.1)));
        Node *token =
            build_loop(g, (LoopAttr){.id = loop, .length = x->type.dims[0]}, &w, &next, 1);
        Node *loss = build_reduce(g, OP_SUM, build_stack(g, token, next), axes_range(0, 2));
        cr_assert_not_null(loss, "%s", g->error);
        differentiate(&p, loss, gradients);
        cr_expect_gt(check(&p, whole ? "by a row" : "by a carry", loss, gradients), 0);
        arena_free(p.arena);
    }
}

/* A stated gradient in the body of a loop, itself made by a loop: y = sin(h w) gives h the part
 * seed cos(h w) w and w the part seed cos(h w) h, added up by an inner loop of one iteration. */
Test(gradient_loops, stated_in_a_body)
{
    Program p = program("  %0 = input {x} : f64[T, B]\n  %1 = input {w} : f64[B]\n"
                        "  output loss = %1\n");
    Graph *g = p.g;
    uint32_t loop = graph_next_loop(g), inner = graph_next_loop(g);
    Node *x = p.leaf[0], *w = p.leaf[1], *gradients[MOST_LEAVES];
    Node *h = build_carry(g, loop, 0, w->type);
    Node *product = build_binary(g, OP_MUL, h, w), *result = build_unary(g, OP_SIN, product);
    Node *seed = build_leaf(g, OP_INPUT, "seed", w->type);
    Node *slope = build_binary(g, OP_MUL, seed, build_unary(g, OP_COS, product));
    Node *zero = build_const_like(g, w, 0), *sum = build_carry(g, inner, 0, w->type);
    Node *next = build_binary(g, OP_ADD, sum, build_binary(g, OP_MUL, slope, w));
    Node *token =
        build_loop(g, (LoopAttr){.id = inner, .length = dim_const(g->dims, 1)}, &zero, &next, 1);
    Node *inputs[] = {h, w};
    Node *parts[] = {build_final(g, token, 0), build_binary(g, OP_MUL, slope, h)};
    vec_push(g->arena, &g->customs, (CustomGradient){result, seed, inputs, parts, 2});
    Node *after = build_binary(g, OP_ADD, result, build_at(g, loop, x));
    Node *outer = build_loop(g, (LoopAttr){.id = loop, .length = x->type.dims[0]}, &w, &after, 1);
    Node *loss = build_reduce(g, OP_SUM, build_stack(g, outer, after), axes_range(0, 2));
    differentiate(&p, loss, gradients);
    cr_expect_gt(check(&p, "stated", loss, gradients), 0);
    Node *twice = build_unary(g, OP_EXP, loss);
    differentiate(&p, twice, gradients);
    cr_expect_gt(check(&p, "stated, again", twice, gradients), 0);
    arena_free(p.arena);
}

Test(gradient_loops, a_bound_is_needed)
{
    Program p = program("  %0 = input {x} : f64\n"
                        "  %1 = const {9} : f64\n"
                        "  %2 = lt %0 %1 : bool\n"
                        "  %3 = carry {0, 1} : f64\n"
                        "  %4 = exp %3 : f64\n"
                        "  %5 = lt %4 %1 : bool\n"
                        "  %6 = loop %2 %0 %5 %4 {0, length = 4611686018427387904, conditional} : "
                        "bool\n"
                        "  %7 = final %6 {1} : f64\n"
                        "  output loss = %7\n");
    Node *gradient;
    GradError error = {0};
    cr_expect_not(
        grad_build(p.g, graph_root_find(p.g, ROOT_OUTPUT, "loss"), p.leaf, 1, &gradient, &error));
    cr_expect_eq(error.node->op, OP_LOOP);
    cr_expect_str_eq(error.text, "a gradient through a loop needs a bound on its iterations");
    arena_free(p.arena);
}
