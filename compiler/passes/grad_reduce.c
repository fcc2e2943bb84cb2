/* Gradients of reductions: dy is spread over the axes that left, times the slope of each element.
 *
 * amax and amin share dy equally among the elements that are the extreme. prod multiplies dy by the
 * product of the OTHER elements, so zeros are exact: over an axis of constant size by doubling (the
 * product of all elements before i, in log2(n) shifted products, times the same from the other
 * end),
 *
 *   x = a b c d   shifted: 1 a b c   by 1: 1 a ab bc   by 2: 1 a ab abc
 *
 * over a free size by dividing, with the count of zeros deciding. */
#include "compiler/passes/grad_rules.h"

void grad_sum(Grad *grad, Node *node, Node *dy)
{
    grad_give(grad, node->src[0], grad_spread(grad->graph, dy, node->attr.axes, node->src[0]));
}

/* x moved by `by` along axis (towards the end when forward), ones coming in. */
static Node *shifted(Graph *g, Node *x, int axis, int64_t by, bool forward)
{
    if (!x)
        return NULL;
    Attr pad = grad_same_pad(g, &x->type);
    pad.pad.low[axis] = dim_const(g->dims, forward ? by : -by);
    pad.pad.high[axis] = dim_const(g->dims, forward ? -by : by);
    return graph_node(g, OP_PAD, (Node *[]){x, build_scalar(g, x->type.dtype, 1)}, 2, &pad);
}

/* Per element the product of those before it (forward) or after it. */
static Node *running_product(Graph *g, Node *x, int axis, int64_t n, bool forward)
{
    Node *product = shifted(g, x, axis, 1, forward);
    for (int64_t by = 1; by < n - 1; by *= 2)
        product = build_binary(g, OP_MUL, product, shifted(g, product, axis, by, forward));
    return product;
}

/* The product of the other elements by division: of all others when none is zero, of the rest at
 * the only zero. */
static Node *others_by_division(Graph *g, Node *x, int axis)
{
    Node *zero = build_const_like(g, x, 0), *one = build_const_like(g, x, 1);
    Node *is_zero = build_binary(g, OP_EQ, x, zero);
    Node *safe = build_select(g, is_zero, one, x);
    Node *count = build_reduce_keep(g, OP_SUM, build_select(g, is_zero, one, zero), axes_one(axis));
    Node *rest = build_reduce_keep(g, OP_PROD, safe, axes_one(axis));
    if (!rest || !count)
        return NULL;
    rest = build_expand(g, rest, x->type.rank, x->type.dims);
    count = build_expand(g, count, x->type.rank, x->type.dims);
    Node *others_zero = build_select(g, is_zero, build_binary(g, OP_SUB, count, one), count);
    return build_select(g, build_binary(g, OP_EQ, others_zero, zero),
                        build_binary(g, OP_DIV, rest, safe), zero);
}

static Node *product_of_others(Graph *g, Node *x, int axis)
{
    int64_t n;
    if (!x)
        return NULL;
    if (!dim_is_const(x->type.dims[axis], &n))
        return others_by_division(g, x, axis);
    if (n < 2)
        return build_const_like(g, x, 1);
    Node *before = running_product(g, x, axis, n, true),
         *after = running_product(g, x, axis, n, false);
    return build_binary(g, OP_MUL, before, after);
}

/* One axis after another, the last one first: dx = dy * others(x, last) and so on from the outside
 * in. */
void grad_prod(Grad *grad, Node *node, Node *dy)
{
    Graph *g = grad->graph;
    const Axes axes = node->attr.axes;
    Node *stage[MAX_RANK + 1] = {node->src[0]};
    for (int i = 0; i < axes.count; i++)
        stage[i + 1] = stage[i] ? build_reduce_keep(g, OP_PROD, stage[i],
                                                    axes_one(axes.axis[axes.count - 1 - i]))
                                : NULL;
    if (!stage[axes.count]) {
        grad_give(grad, node->src[0], NULL);
        return;
    }
    Node *part = build_reshape(g, dy, node->src[0]->type.rank, stage[axes.count]->type.dims);
    for (int i = axes.count - 1; i >= 0; i--) {
        part = build_expand(g, part, stage[i]->type.rank, stage[i]->type.dims);
        part = build_binary(g, OP_MUL, part,
                            product_of_others(g, stage[i], axes.axis[axes.count - 1 - i]));
    }
    grad_give(grad, node->src[0], part);
}

void grad_amax(Grad *grad, Node *node, Node *dy)
{
    Graph *g = grad->graph;
    Node *x = node->src[0];
    const Axes axes = node->attr.axes;
    Node *zero = build_const_like(g, x, 0), *one = build_const_like(g, x, 1);
    Node *equal = build_binary(g, OP_EQ, x, grad_spread(g, node, axes, x));
    Node *count = build_reduce(g, OP_SUM, build_select(g, equal, one, zero), axes);
    Node *share = grad_spread(g, build_binary(g, OP_DIV, dy, count), axes, x);
    grad_give(grad, x, build_select(g, equal, share, zero));
}

void grad_amin(Grad *grad, Node *node, Node *dy)
{
    grad_amax(grad, node, dy);
}

void grad_cumsum(Grad *grad, Node *node, Node *dy)
{
    Graph *g = grad->graph;
    const Axes axis = axes_one(node->attr.axis);
    Node *backwards = build_axis_op(g, OP_CUMSUM, build_reverse(g, dy, axis), node->attr.axis);
    grad_give(grad, node->src[0], build_reverse(g, backwards, axis));
}
