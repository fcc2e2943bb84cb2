/* Products of tensors with named axes. Stage in: factors; stage out: nodes dot, mul and sum.
 *
 *   sum over d, k of a[b, d] * w[d, k] * v[k]    w*v over k first, then a with the rest over d
 *
 * The order comes from the sizes alone (dynamic programming over subsets, as in opt_einsum; greedy
 * beyond eight factors), with open sizes counted as OPEN_SIZE, so that it is the same for every
 * batch. Ties go to the order in which factors are written. */
#include "compiler/sema/indexed.h"

#include <math.h>

enum { OPEN_SIZE = 64, MAX_PLANNED = 8 };

const Labelled labelled_poison = {.value = {.kind = VALUE_POISON}};

IndexSet labelled_set(const Labelled *v)
{
    IndexSet set = 0;
    for (int i = 0; i < v->count; i++)
        set |= (IndexSet)1 << v->index[i];
    return set;
}

static bool too_many(Indexing *ix, Span span)
{
    sema_error(ix->s, ERR_E0301, span, NULL,
               "more than %d indices meet here, and a tensor has at most %d axes", MAX_RANK,
               MAX_RANK);
    return false;
}

bool index_order(Indexing *ix, IndexSet set, int *order, int *count, Span span)
{
    *count = 0;
    for (int i = 0; i < ix->count; i++) {
        if (!(set >> i & 1))
            continue;
        if (*count == MAX_RANK)
            return too_many(ix, span);
        order[(*count)++] = i;
    }
    return true;
}

Node *labelled_spread(Indexing *ix, const Labelled *v, const int *order, int count, bool full)
{
    Graph *graph = ix->s->elab->graph;
    const Dim *dims[MAX_RANK], *sizes[MAX_RANK];
    uint8_t perm[MAX_RANK];
    int rank = 0;
    for (int i = 0; i < count; i++) {
        dims[i] = dim_const(ix->s->dims, 1);
        sizes[i] = ix->index[order[i]].size;
        for (int k = 0; k < v->count; k++)
            if (v->index[k] == order[i]) {
                perm[rank++] = (uint8_t)k;
                dims[i] = sizes[i];
            }
    }
    Node *x = v->value.as.node;
    x = rank > 1 ? build_permute(graph, x, perm) : x;
    x = rank == count ? x : build_reshape(graph, x, count, dims);
    return x && full ? build_broadcast(graph, x, count, sizes) : x;
}

static Labelled labelled_node(Indexing *ix, Node *node, const int *order, int count, Span span)
{
    Labelled out = {.value = sema_node_value(ix->s, node, span), .count = count};
    for (int i = 0; i < count; i++)
        out.index[i] = order[i];
    return out;
}

Labelled labelled_binary(Indexing *ix, AstBinary op, const Labelled *a, const Labelled *b,
                         Span span)
{
    int order[MAX_RANK], count;
    Value sides[2] = {a->value, b->value};
    const Labelled *both[2] = {a, b};
    if (a->value.kind == VALUE_POISON || b->value.kind == VALUE_POISON ||
        !index_order(ix, labelled_set(a) | labelled_set(b), order, &count, span))
        return labelled_poison;
    for (int i = 0; i < 2; i++)
        if (both[i]->count > 0)
            sides[i].as.node = labelled_spread(ix, both[i], order, count, false);
    Labelled out = {.value = eval_binary(ix->s, op, &sides[0], &sides[1], span), .count = count};
    for (int i = 0; i < count; i++)
        out.index[i] = order[i];
    return out;
}

Labelled labelled_reduce(Indexing *ix, const Labelled *v, OpCode op, IndexSet over, Span span)
{
    Axes axes = {0};
    int order[MAX_RANK], count = 0;
    for (int i = 0; i < v->count; i++)
        if (over >> v->index[i] & 1)
            axes.axis[axes.count++] = (uint8_t)i;
        else
            order[count++] = v->index[i];
    if (v->value.kind == VALUE_POISON || axes.count == 0)
        return *v;
    Node *x = v->value.as.node;
    if (x->type.dtype == DT_BOOL && op == OP_SUM)
        x = build_convert(ix->s->elab->graph, x, DT_I64);
    return labelled_node(ix, build_reduce(ix->s->elab->graph, op, x, axes), order, count, span);
}

/* ---- Costs ---- */

static double size_for_costs(const Indexing *ix, int index)
{
    const DimTable *dims = ix->s->dims;
    uint32_t symbols = dim_symbol_count(dims);
    int64_t *values = ARENA_ARRAY(ix->s->arena, int64_t, symbols + 1), size;
    for (uint32_t i = 0; i < symbols; i++)
        values[i] = OPEN_SIZE;
    size = dim_eval(ix->index[index].size, values);
    return size > 0 ? (double)size : 1;
}

static double volume(const double *sizes, IndexSet set)
{
    double product = 1;
    for (int i = 0; i < MAX_INDICES; i++)
        if (set >> i & 1)
            product *= sizes[i];
    return product;
}

/* ---- Pairs ---- */

typedef struct {
    Axes batch, contract;
    int rest[MAX_RANK], rest_count;
} Side;

static Side side_of(const Labelled *v, const int *batch, int batch_count, const int *sum,
                    int sum_count)
{
    Side side = {0};
    bool used[MAX_RANK] = {false};
    for (int i = 0; i < batch_count + sum_count; i++)
        for (int k = 0; k < v->count; k++) {
            bool shared = i < batch_count;
            if (v->index[k] != (shared ? batch[i] : sum[i - batch_count]))
                continue;
            Axes *axes = shared ? &side.batch : &side.contract;
            axes->axis[axes->count++] = (uint8_t)k;
            used[k] = true;
        }
    for (int k = 0; k < v->count; k++)
        if (!used[k])
            side.rest[side.rest_count++] = v->index[k];
    return side;
}

static Labelled pair_by_dot(Indexing *ix, const Labelled *a, const Labelled *b, IndexSet over,
                            Span span)
{
    int batch[MAX_RANK], sum[MAX_RANK], order[2 * MAX_RANK], batch_count, sum_count, count = 0;
    IndexSet shared = labelled_set(a) & labelled_set(b);
    if (!index_order(ix, shared & ~over, batch, &batch_count, span) ||
        !index_order(ix, shared & over, sum, &sum_count, span))
        return labelled_poison;
    Side x = side_of(a, batch, batch_count, sum, sum_count);
    Side y = side_of(b, batch, batch_count, sum, sum_count);
    if (x.rest_count > 0 && y.rest_count > 0 && y.rest[0] < x.rest[0])
        return pair_by_dot(ix, b, a, over, span);
    for (int i = 0; i < batch_count; i++)
        order[count++] = batch[i];
    for (int i = 0; i < x.rest_count; i++)
        order[count++] = x.rest[i];
    for (int i = 0; i < y.rest_count; i++)
        order[count++] = y.rest[i];
    if (count > MAX_RANK)
        return (too_many(ix, span), labelled_poison);
    Node *node = build_dot(ix->s->elab->graph, a->value.as.node, b->value.as.node, x.batch, y.batch,
                           x.contract, y.contract);
    return labelled_node(ix, node, order, count, span);
}

/* a * b, summed over `over`. */
static Labelled multiply_pair(Indexing *ix, const Labelled *a, const Labelled *b, IndexSet over,
                              Span span)
{
    if (a->value.kind == VALUE_POISON || b->value.kind == VALUE_POISON)
        return labelled_poison;
    bool dot = (labelled_set(a) & labelled_set(b) & over) != 0;
    const Node *x = a->value.as.node, *y = b->value.as.node;
    if (dot && x->type.dtype == y->type.dtype && dtype_is_float(x->type.dtype))
        return pair_by_dot(ix, a, b, over, span);
    Labelled product = labelled_binary(ix, AST_MUL, a, b, span);
    return labelled_reduce(ix, &product, OP_SUM, over, span);
}

/* ---- Order ---- */

typedef struct {
    IndexSet indices; /* of the product of a subset */
    double cost;
    uint32_t left; /* the part that is multiplied with the rest last; 0: one factor */
} Plan;

static Labelled follow_plan(Indexing *ix, const Plan *plans, const Labelled *factors, uint32_t set,
                            Span span)
{
    if (plans[set].left == 0)
        return factors[__builtin_ctz(set)];
    Labelled a = follow_plan(ix, plans, factors, plans[set].left, span);
    Labelled b = follow_plan(ix, plans, factors, set & ~plans[set].left, span);
    return multiply_pair(ix, &a, &b, labelled_set(&a) & labelled_set(&b) & ~plans[set].indices,
                         span);
}

static IndexSet union_of(const Labelled *factors, int count, uint32_t set)
{
    IndexSet out = 0;
    for (int i = 0; i < count; i++)
        if (set >> i & 1)
            out |= labelled_set(&factors[i]);
    return out;
}

static Labelled planned_product(Indexing *ix, const Labelled *factors, int count, IndexSet kept,
                                const double *sizes, Span span)
{
    uint32_t all = (1u << count) - 1;
    Plan *plans = ARENA_ARRAY(ix->s->arena, Plan, all + 1);
    for (uint32_t set = 1; set <= all; set++) {
        IndexSet outside = kept | union_of(factors, count, all & ~set);
        Plan *plan = &plans[set];
        *plan = (Plan){union_of(factors, count, set) & outside, INFINITY, 0};
        if ((set & (set - 1)) == 0)
            *plan = (Plan){union_of(factors, count, set), 0, 0};
        for (uint32_t left = (set - 1) & set; left > 0; left = (left - 1) & set) {
            uint32_t right = set & ~left;
            if (!(left & set & -set) ||
                right == 0) /* each pair once, the first factor on the left */
                continue;
            double cost = plans[left].cost + plans[right].cost + volume(sizes, plan->indices) +
                          volume(sizes, plans[left].indices | plans[right].indices);
            if (cost < plan->cost) {
                plan->cost = cost;
                plan->left = left;
            }
        }
    }
    return follow_plan(ix, plans, factors, all, span);
}

static Labelled greedy_product(Indexing *ix, Labelled *factors, int count, IndexSet kept,
                               const double *sizes, Span span)
{
    while (count > 1) {
        int first = 0, second = 1;
        double best = INFINITY;
        for (int i = 0; i < count; i++)
            for (int k = i + 1; k < count; k++) {
                double cost = volume(sizes, labelled_set(&factors[i]) | labelled_set(&factors[k]));
                if (cost < best) {
                    best = cost;
                    first = i;
                    second = k;
                }
            }
        IndexSet outside = kept;
        for (int i = 0; i < count; i++)
            outside |= i == first || i == second ? 0 : labelled_set(&factors[i]);
        IndexSet shared = labelled_set(&factors[first]) & labelled_set(&factors[second]);
        factors[first] =
            multiply_pair(ix, &factors[first], &factors[second], shared & ~outside, span);
        if (factors[first].value.kind == VALUE_POISON)
            return labelled_poison;
        factors[second] = factors[--count];
    }
    return factors[0];
}

/* Sums over what stands in one factor only come first. */
static void sum_alone(Indexing *ix, Labelled *factors, int count, IndexSet kept, Span span)
{
    for (int i = 0; i < count; i++) {
        IndexSet others = kept;
        for (int k = 0; k < count; k++)
            others |= k == i ? 0 : labelled_set(&factors[k]);
        factors[i] =
            labelled_reduce(ix, &factors[i], OP_SUM, labelled_set(&factors[i]) & ~others, span);
    }
}

Labelled labelled_product(Indexing *ix, Labelled *factors, int count, IndexSet kept, Span span)
{
    double sizes[MAX_INDICES];
    for (int i = 0; i < ix->count; i++)
        sizes[i] = size_for_costs(ix, i);
    sum_alone(ix, factors, count, kept, span);
    for (int i = 0; i < count; i++)
        if (factors[i].value.kind == VALUE_POISON)
            return labelled_poison;
    Labelled out = count <= MAX_PLANNED ? planned_product(ix, factors, count, kept, sizes, span)
                                        : greedy_product(ix, factors, count, kept, sizes, span);
    return labelled_reduce(ix, &out, OP_SUM, labelled_set(&out) & ~kept, span);
}
