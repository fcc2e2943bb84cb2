/* The gradient matrix: every row of ops.def, over all its samples, against central differences
 * in f64 through the interpreter. loss = sum(op(leaves) * weights) with irregular weights, so
 * that no two elements of a gradient may be confused. Then jvp in the direction of the leaves,
 * and the gradient of half the square of the gradient. Samples keep away from kinks; what
 * happens at kinks is tested below, value by value. */
#include "compiler/graph/build.h"
#include "compiler/passes/grad.h"
#include "compiler/ref/ref.h"
#include "tests/support/op_samples.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { MAX_PROBES = 40 };

typedef struct {
    Sample sample;
    Node *result, *weights; /* the result as f64 */
    Node *loss, *gradient[8];
    int64_t *symbols;
    double *data[9]; /* of the leaves, then of the weights */
    Arena *arena;
    const char *name;
    int index;
} Check;

static const void *leaf_data(void *user, const Node *leaf)
{
    const Check *check = user;
    for (int i = 0; i < check->sample.leaf_count; i++)
        if (check->sample.leaves[i].node == leaf)
            return check->data[i];
    return check->data[8];
}

static int64_t elements_of(const Check *check, const Node *node)
{
    return dim_eval(type_elements(check->sample.graph->dims, &node->type), check->symbols);
}

static bool build_loss(Check *check)
{
    Graph *g = check->sample.graph;
    Node *y = build_convert(g, check->sample.result, DT_F64);
    check->result = y;
    check->weights = build_leaf(g, OP_INPUT, "weights", y->type);
    Node *weighted = build_binary(g, OP_MUL, y, check->weights);
    check->loss = build_reduce(g, OP_SUM, weighted, axes_range(0, y->type.rank));
    Node *wrt[8];
    GradError error = {0};
    for (int i = 0; i < check->sample.leaf_count; i++)
        wrt[i] = check->sample.leaves[i].node;
    bool built = grad_build(g, check->loss, wrt, check->sample.leaf_count, check->gradient, &error);
    cr_expect(built, "%s %d: %s", check->name, check->index, error.text);
    return built;
}

static void fill_data(Check *check)
{
    for (int i = 0; i < check->sample.leaf_count; i++) {
        const SampleLeaf *leaf = &check->sample.leaves[i];
        int64_t elements = elements_of(check, leaf->node);
        check->data[i] = arena_alloc(check->arena, (size_t)elements * 8 + 8);
        sample_fill(leaf, (uint32_t)i, elements, check->data[i]);
    }
    SampleLeaf weights = {check->weights, FILL_AWAY, 0.5, 1.5};
    int64_t elements = elements_of(check, check->weights);
    check->data[8] = arena_alloc(check->arena, (size_t)elements * 8 + 8);
    sample_fill(&weights, 5, elements, check->data[8]);
}

/* The values of nodes, row-major, in memory of `arena`. */
static bool evaluate(Check *check, Node *const *nodes, int count, const void **values, Arena *arena)
{
    Graph graph = *check->sample.graph;
    memset(&graph.roots, 0, sizeof graph.roots);
    for (int i = 0; i < count; i++)
        graph_root(&graph, ROOT_OUTPUT, "value", nodes[i]);
    RefRun run = {.graph = &graph,
                  .symbols = check->symbols,
                  .leaf = leaf_data,
                  .user = check,
                  .seed = 3,
                  .step = 4};
    bool good = ref_run(&run, arena, values);
    cr_expect(good, "%s %d: %s failed", check->name, check->index,
              run.failed ? op_info[run.failed->op].text : "memory");
    return good;
}

static double loss_value(Check *check)
{
    Arena *arena = arena_new();
    const void *value = NULL;
    double loss = evaluate(check, &check->loss, 1, &value, arena) ? *(const double *)value : NAN;
    arena_free(arena);
    return loss;
}

static double difference(Check *check, double *element)
{
    /* Only convert leaves f64; it is linear, so a long step loses least to rounding. */
    const double x = *element, step = check->sample.result->type.dtype == DT_F32 ? 4 : 1e-5;
    *element = x + step;
    const double high = loss_value(check), above = *element;
    *element = x - step;
    const double low = loss_value(check), below = *element;
    *element = x;
    return (high - low) / (above - below);
}

/* Compares up to MAX_PROBES elements of one gradient; returns how many of all its elements are
 * not zero. */
static int64_t probe(Check *check, int i, const double *gradient)
{
    const int64_t elements = elements_of(check, check->sample.leaves[i].node);
    const int64_t stride = elements / MAX_PROBES + 1;
    int64_t alive = 0;
    for (int64_t e = 0; e < elements; e++) {
        alive += gradient[e] != 0;
        if (e % stride)
            continue;
        const bool stopped = check->sample.result->op == OP_STOP;
        const double expected = stopped ? 0 : difference(check, &check->data[i][e]);
        cr_expect(fabs(gradient[e] - expected) <= 1e-5 * fabs(expected) + 1e-7,
                  "%s %d: operand %d, element %d: gradient %.12g, difference %.12g", check->name,
                  check->index, i, (int)e, gradient[e], expected);
    }
    return alive;
}

static int64_t run_check(Check *check)
{
    const int count = check->sample.leaf_count;
    const void *values[8];
    int64_t alive = 0;
    fill_data(check);
    if (!evaluate(check, check->gradient, count, values, check->arena))
        return 0;
    for (int i = 0; i < count; i++) {
        cr_expect(type_equal(&check->gradient[i]->type, &check->sample.leaves[i].node->type));
        if (check->sample.leaves[i].node->type.dtype == DT_F64)
            alive += probe(check, i, values[i]);
    }
    return alive;
}

static bool uses_symbols(const Check *check)
{
    Arena *arena = arena_new();
    Graph graph = *check->sample.graph;
    memset(&graph.roots, 0, sizeof graph.roots);
    graph_root(&graph, ROOT_OUTPUT, "loss", check->loss);
    uint32_t *symbols;
    bool uses = graph_symbols(&graph, arena, &symbols) > 0;
    arena_free(arena);
    return uses;
}

/* The result where all leaves are `factor` times as large, in `arena`; the leaves are as before
 * afterwards. */
static const double *scaled_result(Check *check, double factor, Arena *arena)
{
    const void *value = NULL;
    double *old[8];
    for (int i = 0; i < check->sample.leaf_count; i++) {
        int64_t elements = elements_of(check, check->sample.leaves[i].node);
        old[i] = check->data[i];
        if (check->sample.leaves[i].node->type.dtype != DT_F64)
            continue;
        check->data[i] = arena_alloc(arena, (size_t)elements * 8 + 8);
        for (int64_t e = 0; e < elements; e++)
            check->data[i][e] = old[i][e] * factor;
    }
    bool good = evaluate(check, &check->result, 1, &value, arena);
    memcpy(check->data, old, (size_t)check->sample.leaf_count * sizeof *old);
    return good ? value : NULL;
}

/* jvp as the language makes it, the derivative of gradient * direction by the weights of the
 * result, in the direction of the leaves themselves. */
static bool check_tangent(Check *check)
{
    Graph *g = check->sample.graph;
    Node *sum = build_scalar(g, DT_F64, 0), *tangent;
    GradError error = {0};
    const double step = 1e-6;
    for (int i = 0; i < check->sample.leaf_count; i++) {
        Node *leaf = check->sample.leaves[i].node, *dx = check->gradient[i];
        if (dx->type.dtype == DT_F64)
            sum = build_binary(g, OP_ADD, sum,
                               build_reduce(g, OP_SUM, build_binary(g, OP_MUL, dx, leaf),
                                            axes_range(0, dx->type.rank)));
    }
    if (!grad_build(g, sum, &check->weights, 1, &tangent, &error)) {
        cr_expect(false, "%s %d, jvp: %s", check->name, check->index, error.text);
        return false;
    }
    if (check->sample.result->type.dtype != DT_F64 || check->sample.result->op == OP_STOP)
        return true; /* differences see rounding, and what stop hides */
    Arena *arena = arena_new();
    const void *value = NULL;
    const double *high = scaled_result(check, 1 + step, arena), *low = scaled_result(check, 1 - step, arena);
    bool good = high && low && evaluate(check, &tangent, 1, &value, arena);
    for (int64_t e = 0; good && e < elements_of(check, check->result); e++) {
        double expected = (high[e] - low[e]) / (2 * step), got = ((const double *)value)[e];
        if (!isfinite(high[e]))
            continue; /* the largest of nothing */
        cr_expect(fabs(got - expected) <= 1e-5 * fabs(expected) + 1e-7, "%s %d: tangent %.12g, difference %.12g, element %d",
                  check->name, check->index, got, expected, (int)e);
    }
    arena_free(arena);
    return good;
}

/* The second order: half the square of the gradient takes the place of the loss, and its
 * gradient that of the first. */
static bool build_second(Check *check)
{
    Graph *g = check->sample.graph;
    Node *sum = build_scalar(g, DT_F64, 0), *wrt[8];
    GradError error = {0};
    for (int i = 0; i < check->sample.leaf_count; i++) {
        Node *dx = check->gradient[i];
        wrt[i] = check->sample.leaves[i].node;
        if (dx->type.dtype == DT_F64)
            sum = build_binary(g, OP_ADD, sum,
                               build_reduce(g, OP_SUM, build_binary(g, OP_MUL, dx, dx),
                                            axes_range(0, dx->type.rank)));
    }
    check->loss = build_binary(g, OP_MUL, sum, build_scalar(g, DT_F64, 0.5));
    bool built = grad_build(g, check->loss, wrt, check->sample.leaf_count, check->gradient, &error);
    cr_expect(built, "%s %d, second order: %s", check->name, check->index, error.text);
    return built;
}

/* Runs the index-th sample with B = 3, 1 and 0 (where that is a size: shapes divided by it are
 * not). */
static bool run_sample(OpCode op, int index, int64_t *alive)
{
    static const int64_t sizes[] = {3, 1, 0};
    Arena *arena = arena_new();
    DimTable *dims = dim_table_new(arena);
    Check check = {.arena = arena, .name = op_info[op].text, .index = index};
    check.sample.graph = graph_new(arena, dims, "sample");
    check.sample.free = dim_symbol(dims, "B");
    check.sample.real = DT_F64;
    bool exists = op_samples[op](&check.sample, index);
    if (exists)
        cr_expect(check.sample.result, "%s %d: %s", check.name, index, check.sample.refused);
    if (exists && check.sample.result && build_loss(&check)) {
        StrBuf faults = {0};
        cr_expect(graph_verify(check.sample.graph, &faults), "%s %d: %s", check.name, index,
                  faults.text);
        strbuf_free(&faults);
        int runs = uses_symbols(&check) ? 3 : 1;
        for (int i = 0; i < runs; i++) {
            check.symbols = ARENA_ARRAY(arena, int64_t, dim_symbol_count(dims) + 1);
            check.symbols[0] = sizes[i];
            *alive += run_check(&check);
        }
        check.symbols[0] = sizes[0];
        fill_data(&check);
        if (check_tangent(&check) && build_second(&check))
            run_check(&check);
    }
    arena_free(arena);
    return exists;
}

static void run_op(OpCode op)
{
    int64_t alive = 0;
    int count = 0;
    while (run_sample(op, count, &alive))
        count++;
    const char *rule = op_info[op].grad_name;
    bool constant = !strcmp(rule, "zero");
    cr_expect(constant ? alive == 0 : alive > 0, "%s: %d elements of gradients are not zero",
              op_info[op].text, (int)alive);
    bool varied = op_info[op].op_class != CLASS_LEAF;
    cr_expect(count >= (varied ? 20 : 3), "%s has only %d samples", op_info[op].text, count);
}

#define OP(e, text, lo, hi, cls, attr, flags, shape, grad, doc)                                    \
    Test(gradients, e)                                                                             \
    {                                                                                              \
        if (OP_##e != OP_CALL)                                                                  \
            run_op(OP_##e);                                                                        \
    }
#include "compiler/graph/ops.def"

/* A host function has no gradient, and the error names it. Where no gradient flows it is
 * harmless. */
Test(gradients, call_is_refused)
{
    Arena *arena = arena_new();
    DimTable *dims = dim_table_new(arena);
    Sample sample = {
        .graph = graph_new(arena, dims, "call"), .real = DT_F64, .free = dim_symbol(dims, "B")};
    cr_assert(op_samples[OP_CALL](&sample, 0));
    Graph *g = sample.graph;
    Node *x = sample.leaves[0].node, *gradient;
    Node *loss = build_reduce(g, OP_SUM, sample.result, axes_range(0, 2));
    GradError error = {0};
    cr_expect_not(grad_build(g, loss, &x, 1, &gradient, &error));
    cr_expect_eq(error.node, sample.result);
    cr_expect(strstr(error.text, "host_function"));
    Node *stopped = build_binary(g, OP_MUL, x, build_unary(g, OP_STOP, sample.result));
    loss = build_reduce(g, OP_SUM, stopped, axes_range(0, 2));
    cr_expect(grad_build(g, loss, &x, 1, &gradient, &error));
    arena_free(arena);
}

Test(gradients, only_float_scalars)
{
    Arena *arena = arena_new();
    Graph *g = graph_new(arena, dim_table_new(arena), "scalar");
    Type type = {.dtype = DT_F64, .rank = 1, .dims = {dim_const(g->dims, 3)}};
    Node *x = build_leaf(g, OP_INPUT, "x", type), *gradient;
    GradError error = {0};
    cr_expect_not(grad_build(g, x, &x, 1, &gradient, &error));
    cr_expect_eq(error.node, x);
    Node *count = build_reduce(g, OP_SUM, build_convert(g, x, DT_I64), axes_one(0));
    cr_expect_not(grad_build(g, count, &x, 1, &gradient, &error));
    arena_free(arena);
}

/* ---- at the kinks ---- */

typedef struct {
    Arena *arena;
    Graph *g;
    Node *leaf[2];
    const double *data[2];
} Point;

static const void *point_data(void *user, const Node *leaf)
{
    const Point *point = user;
    return leaf == point->leaf[0] ? point->data[0] : point->data[1];
}

static Point point_new(int count, const double *x, const double *y)
{
    Arena *arena = arena_new();
    Point point = {
        .arena = arena, .g = graph_new(arena, dim_table_new(arena), "point"), .data = {x, y}};
    Type type = {.dtype = DT_F64, .rank = 1, .dims = {dim_const(point.g->dims, count)}};
    point.leaf[0] = build_leaf(point.g, OP_INPUT, "x", type);
    point.leaf[1] = build_leaf(point.g, OP_INPUT, "y", type);
    return point;
}

/* Expects d sum(result) / d leaf[which] to be `expected`, to the bit (NaN: any NaN). */
static void expect_gradient(Point *point, Node *result, int which, int count,
                            const double *expected)
{
    Graph *g = point->g;
    GradError error = {0};
    Node *gradient, *loss = build_reduce(g, OP_SUM, result, axes_range(0, result->type.rank));
    cr_assert(grad_build(g, loss, &point->leaf[which], 1, &gradient, &error), "%s", error.text);
    memset(&g->roots, 0, sizeof g->roots);
    graph_root(g, ROOT_OUTPUT, "gradient", gradient);
    RefRun run = {.graph = g, .leaf = point_data, .user = point};
    const void *value = NULL;
    cr_assert(ref_run(&run, point->arena, &value));
    const double *got = value;
    for (int i = 0; i < count; i++)
        cr_expect(got[i] == expected[i] || (isnan(got[i]) && isnan(expected[i])),
                  "%s, element %d: %g, not %g", op_info[result->op].text, i, got[i], expected[i]);
}

Test(kinks, abs_and_relu_are_flat)
{
    const double x[] = {-1, -0.0, 0, 2};
    Point p = point_new(4, x, x);
    expect_gradient(&p, build_unary(p.g, OP_ABS, p.leaf[0]), 0, 4, (double[]){-1, 0, 0, 1});
    Node *zero = build_const_like(p.g, p.leaf[0], 0), *two = build_const_like(p.g, p.leaf[0], 2);
    expect_gradient(&p, build_binary(p.g, OP_MAX, p.leaf[0], zero), 0, 4, (double[]){0, 0, 0, 1});
    expect_gradient(&p, build_binary(p.g, OP_MIN, p.leaf[0], two), 0, 4, (double[]){1, 1, 1, 0});
    arena_free(p.arena);
}

Test(kinks, equal_operands_share)
{
    const double x[] = {1, 2, 3}, y[] = {2, 2, 2};
    Point p = point_new(3, x, y);
    Node *max = build_binary(p.g, OP_MAX, p.leaf[0], p.leaf[1]),
         *min = build_binary(p.g, OP_MIN, p.leaf[0], p.leaf[1]);
    expect_gradient(&p, max, 0, 3, (double[]){0, 0.5, 1});
    expect_gradient(&p, max, 1, 3, (double[]){1, 0.5, 0});
    expect_gradient(&p, min, 0, 3, (double[]){1, 0.5, 0});
    expect_gradient(&p, min, 1, 3, (double[]){0, 0.5, 1});
    arena_free(p.arena);
}

Test(kinks, equal_extremes_share)
{
    const double x[] = {3, 1, 3, 0, 0};
    Point p = point_new(5, x, x);
    expect_gradient(&p, build_reduce(p.g, OP_AMAX, p.leaf[0], axes_one(0)), 0, 5,
                    (double[]){0.5, 0, 0.5, 0, 0});
    expect_gradient(&p, build_reduce(p.g, OP_AMIN, p.leaf[0], axes_one(0)), 0, 5,
                    (double[]){0, 0, 0, 0.5, 0.5});
    arena_free(p.arena);
}

Test(kinks, products_with_zeros)
{
    const double one[] = {2, 0, 3, 5}, two[] = {0, 4, 0, 5};
    Point p = point_new(4, one, two);
    expect_gradient(&p, build_reduce(p.g, OP_PROD, p.leaf[0], axes_one(0)), 0, 4,
                    (double[]){0, 30, 0, 0});
    expect_gradient(&p, build_reduce(p.g, OP_PROD, p.leaf[1], axes_one(0)), 1, 4,
                    (double[]){0, 0, 0, 0});
    arena_free(p.arena);
}

Test(kinks, powers)
{
    const double x[] = {0, 0, 0, 2, -2}, y[] = {0, 1, 2, 0, 2};
    Point p = point_new(5, x, y);
    Node *power = build_binary(p.g, OP_POW, p.leaf[0], p.leaf[1]);
    expect_gradient(&p, power, 0, 5, (double[]){0, 1, 0, 0, -4});
    expect_gradient(&p, power, 1, 5, (double[]){0, 0, 0, log(2), NAN});
    Node *square = build_binary(p.g, OP_POW, p.leaf[0], build_const_like(p.g, p.leaf[0], 2));
    expect_gradient(&p, square, 0, 5, (double[]){0, 0, 0, 4, -4});
    Node *none = build_binary(p.g, OP_POW, p.leaf[0], build_const_like(p.g, p.leaf[0], 0));
    expect_gradient(&p, none, 0, 5, (double[]){0, 0, 0, 0, 0});
    arena_free(p.arena);
}

Test(kinks, roots_and_logs)
{
    const double x[] = {0, 4, -1};
    Point p = point_new(3, x, x);
    expect_gradient(&p, build_unary(p.g, OP_SQRT, p.leaf[0]), 0, 3,
                    (double[]){INFINITY, 0.25, NAN});
    expect_gradient(&p, build_unary(p.g, OP_LOG, p.leaf[0]), 0, 3, (double[]){INFINITY, 0.25, -1});
    arena_free(p.arena);
}

/* The first of equal maxima takes all, for windows that tile and for windows that overlap. */
Test(kinks, first_maximum_of_a_window)
{
    const double x[] = {1, 1, 2, 2, 0, 2};
    for (int stride = 1; stride <= 2; stride++) {
        Point p = point_new(6, x, x);
        const Dim *zero = dim_const(p.g->dims, 0);
        Attr attr = {.kind = AT_WINDOW,
                     .window = {.rank = 1,
                                .size = {2},
                                .stride = {stride},
                                .dilate = {1},
                                .pad_low = {zero},
                                .pad_high = {zero}}};
        Node *max = graph_node(p.g, OP_WINDOW_MAX, &p.leaf[0], 1, &attr);
        expect_gradient(&p, max, 0, 6,
                        stride == 1 ? (double[]){1, 0, 2, 1, 0, 1} : (double[]){1, 0, 1, 0, 0, 1});
        arena_free(p.arena);
    }
}

/* What leads to no wrt gets no work, and what is not reached is zero. */
Test(gradients, no_idle_work)
{
    const double x[] = {1, 2}, y[] = {3, 4};
    Point p = point_new(2, x, y);
    Node *product = build_binary(p.g, OP_MUL, p.leaf[0], build_unary(p.g, OP_EXP, p.leaf[1]));
    expect_gradient(&p, product, 0, 2, (double[]){exp(3), exp(4)});
    uint32_t exps = 0;
    for (uint32_t i = 0; i < p.g->nodes.count; i++)
        exps += p.g->nodes.data[i]->op == OP_EXP || p.g->nodes.data[i]->op == OP_DIV;
    cr_expect_eq(exps, 1);
    expect_gradient(&p, build_unary(p.g, OP_EXP, p.leaf[0]), 1, 2, (double[]){0, 0});
    arena_free(p.arena);
}

/* A gradient can be differentiated again: d2/dx2 sum(x^3) = 6x. */
Test(gradients, second_order)
{
    const double x[] = {1, -2};
    Point p = point_new(2, x, x);
    Node *cube =
             build_binary(p.g, OP_MUL, p.leaf[0], build_binary(p.g, OP_MUL, p.leaf[0], p.leaf[0])),
         *first;
    Node *loss = build_reduce(p.g, OP_SUM, cube, axes_one(0));
    GradError error = {0};
    cr_assert(grad_build(p.g, loss, &p.leaf[0], 1, &first, &error));
    expect_gradient(&p, first, 0, 2, (double[]){6, -12});
    arena_free(p.arena);
}
