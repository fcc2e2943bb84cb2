/* Gradients in f16 and bf16: of every sample of every operation, by its float leaves, near those
 * of the same graph in f32 at the same values. Differences would drown in roundings, so the f32
 * gradient, which test_gradients.c checks, is the measure. */
#include "compiler/passes/grad.h"
#include "compiler/ref/ref.h"
#include "runtime/base/scalar.h"
#include "tests/support/op_samples.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

enum { MOST_LEAVES = 8, FREE = 3 };

typedef struct {
    Arena *arena;
    Sample sample;
    Node *wrt[MOST_LEAVES], *gradients[MOST_LEAVES];
    int count; /* of float leaves */
    void *data[MOST_LEAVES];
    int64_t elements[MOST_LEAVES];
    int64_t symbols[8];
    const void *values[MOST_LEAVES];
} Case;

static const void *leaf_data(void *user, const Node *leaf)
{
    Case *c = user;
    for (int i = 0; i < c->sample.leaf_count; i++)
        if (c->sample.leaves[i].node == leaf)
            return c->data[i];
    return NULL;
}

/* False: there is no such sample, or nothing to differentiate. */
static bool open_case(Case *c, OpCode op, int index, DType real, bool *exists)
{
    *c = (Case){.arena = arena_new()};
    DimTable *dims = dim_table_new(c->arena);
    c->sample = (Sample){
        .graph = graph_new(c->arena, dims, "small"), .real = real, .free = dim_symbol(dims, "B")};
    *exists = op_samples[op](&c->sample, index);
    if (!*exists || c->sample.result == NULL || !dtype_is_float(c->sample.result->type.dtype))
        return false;
    for (int i = 0; i < 8; i++)
        c->symbols[i] = FREE;
    for (int i = 0; i < c->sample.leaf_count; i++) {
        const Type *type = &c->sample.leaves[i].node->type;
        c->elements[i] = dim_eval(type_elements(dims, type), c->symbols);
        c->data[i] = arena_alloc(c->arena, (size_t)c->elements[i] * 8 + 8);
        sample_fill(&c->sample.leaves[i], 99u + (uint32_t)i, c->elements[i], c->data[i]);
        if (dtype_is_float(type->dtype))
            c->wrt[c->count++] = c->sample.leaves[i].node;
    }
    return c->count > 0;
}

static bool run_case(Case *c)
{
    Graph *g = c->sample.graph;
    GradError error = {0};
    Node *y = build_convert(g, c->sample.result, DT_F32);
    Node *loss = build_reduce(g, OP_SUM, y, axes_range(0, y->type.rank));
    if (!grad_build(g, loss, c->wrt, c->count, c->gradients, &error))
        return false;
    for (int i = 0; i < c->count; i++)
        graph_root(g, ROOT_OUTPUT, arena_format(c->arena, "d%d", i), c->gradients[i]);
    RefRun run = {
        .graph = g, .symbols = c->symbols, .leaf = leaf_data, .user = c, .seed = 11, .step = 5};
    return ref_run(&run, c->arena, c->values);
}

static double element(const Node *node, const void *data, int64_t i)
{
    double value;
    scalar_convert(node->type.dtype, DT_F64,
                   (const char *)data + (size_t)i * dtype_bytes(node->type.dtype), &value, 1);
    return value;
}

static int64_t elements_of(const Case *c, const Node *node)
{
    return dim_eval(type_elements(c->sample.graph->dims, &node->type), c->symbols);
}

/* One gradient of the two cases. */
static void compare(const Case *small, const Case *wide, int k, double bound, const char *what)
{
    const int64_t count = elements_of(small, small->gradients[k]);
    double largest = 0;
    cr_assert_eq(small->gradients[k]->type.dtype, small->wrt[k]->type.dtype, "%s", what);
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(element(wide->gradients[k], wide->values[k], i)));
    for (int64_t i = 0; i < count; i++) {
        double got = element(small->gradients[k], small->values[k], i),
               wanted = element(wide->gradients[k], wide->values[k], i);
        cr_expect(fabs(got - wanted) <= bound * (1 + largest), "%s: d%d[%d] is %g, in f32 %g", what,
                  k, (int)i, got, wanted);
    }
}

static int check(OpCode op, int index, DType real, double bound, bool *exists)
{
    Case small, wide;
    bool other, good = open_case(&small, op, index, real, exists) &&
                       open_case(&wide, op, index, DT_F32, &other);
    int compared = 0;
    if (good && small.count == wide.count) {
        for (int i = 0; i < small.sample.leaf_count; i++) {
            DType from = small.sample.leaves[i].node->type.dtype,
                  to = wide.sample.leaves[i].node->type.dtype;
            scalar_convert(from, to, small.data[i], wide.data[i], (size_t)small.elements[i]);
        }
        char what[64];
        snprintf(what, sizeof what, "%s %d in %s", op_info[op].text, index, dtype_name(real));
        bool ran = run_case(&small) && run_case(&wide);
        for (int k = 0; ran && k < small.count; k++, compared++)
            compare(&small, &wide, k, bound, what);
    }
    if (good)
        arena_free(wide.arena);
    arena_free(small.arena);
    return compared;
}

/* A recurrence rounds at every turn: three times the bound. */
static void check_all(DType real, double bound)
{
    int compared = 0;
    for (int op = 0; op < OP_COUNT; op++) {
        bool exists = op != OP_CALL;
        for (int index = 0; exists; index++)
            compared += check((OpCode)op, index, real,
                              op_info[op].op_class == CLASS_LOOP ? 3 * bound : bound, &exists);
    }
    cr_assert_gt(compared, 500, "only %d gradients", compared);
}

Test(small_gradients, bf16_near_f32)
{
    check_all(DT_BF16, 0.05);
}

Test(small_gradients, f16_near_f32)
{
    check_all(DT_F16, 0.01);
}
