/* Gradients of moves: the elements of dy go back to where they came from. reshape, permute and
 * reverse undo themselves, slice and pad undo each other, concat becomes slices and expand a sum.
 *
 *   y = slice x {start = 1, limit = 6, step = 2}    x: f32[7], y: f32[3]
 *   dx = pad dy 0 {low = 1, high = 1, interior = 1}     low + 3 + 2*interior + high = 7
 *
 * Dims are polynomials, so the same lines serve constant and free sizes. */
#include "compiler/passes/grad_rules.h"

Node *grad_zeros_like(Graph *g, const Node *like)
{
    return build_const_like(g, like, 0);
}

bool grad_is_empty(const Type *type)
{
    for (int i = 0; i < type->rank; i++)
        if (dim_is(type->dims[i], 0))
            return true;
    return false;
}

const Dim *grad_reach(Graph *g, const Dim *n, int64_t step)
{
    return dim_mul(g->dims, dim_sub(g->dims, n, dim_const(g->dims, 1)), dim_const(g->dims, step));
}

const Dim *grad_length(Graph *g, const Dim *n, int64_t step)
{
    if (step == 1)
        return n;
    const Dim *length = dim_add(g->dims, grad_reach(g, n, step), dim_const(g->dims, 1));
    return dim_max(g->dims, length, dim_const(g->dims, 0));
}

Attr grad_same_pad(Graph *g, const Type *type)
{
    Attr pad = {.kind = AT_PAD, .pad.rank = type->rank};
    for (int i = 0; i < type->rank; i++)
        pad.pad.low[i] = pad.pad.high[i] = dim_const(g->dims, 0);
    return pad;
}

Attr grad_same_slice(Graph *g, const Type *type)
{
    Attr slice = {.kind = AT_SLICE, .slice.rank = type->rank};
    for (int i = 0; i < type->rank; i++) {
        slice.slice.start[i] = dim_const(g->dims, 0);
        slice.slice.limit[i] = type->dims[i];
        slice.slice.step[i] = 1;
    }
    return slice;
}

Node *grad_pad_zero(Graph *g, Node *x, const Attr *pad)
{
    if (!x)
        return NULL;
    return graph_node(g, OP_PAD, (Node *[]){x, build_scalar(g, x->type.dtype, 0)}, 2, pad);
}

Node *grad_spread(Graph *g, Node *x, Axes axes, const Node *like)
{
    const Dim *kept[MAX_RANK];
    for (int i = 0; i < like->type.rank; i++)
        kept[i] = like->type.dims[i];
    for (int i = 0; i < axes.count; i++)
        kept[axes.axis[i]] = dim_const(g->dims, 1);
    return build_expand(g, build_reshape(g, x, like->type.rank, kept), like->type.rank,
                        like->type.dims);
}

Node *grad_sum_all(Graph *g, Node *x)
{
    return x ? build_reduce(g, OP_SUM, x, axes_range(0, x->type.rank)) : NULL;
}

void grad_reshape(Grad *grad, Node *node, Node *dy)
{
    const Type *type = &node->src[0]->type;
    grad_give(grad, node->src[0], build_reshape(grad->graph, dy, type->rank, type->dims));
}

void grad_permute(Grad *grad, Node *node, Node *dy)
{
    uint8_t inverse[MAX_RANK];
    for (int i = 0; i < node->type.rank; i++)
        inverse[node->attr.perm.axis[i]] = (uint8_t)i;
    grad_give(grad, node->src[0], build_permute(grad->graph, dy, inverse));
}

void grad_expand(Grad *grad, Node *node, Node *dy)
{
    const Type *type = &node->src[0]->type;
    Axes axes = {0};
    for (int i = 0; i < type->rank; i++)
        if (type->dims[i] != node->type.dims[i])
            axes.axis[axes.count++] = (uint8_t)i;
    grad_give(grad, node->src[0], build_reduce_keep(grad->graph, OP_SUM, dy, axes));
}

void grad_slice(Grad *grad, Node *node, Node *dy)
{
    Graph *g = grad->graph;
    if (grad_is_empty(&node->type))
        return;
    Attr pad = grad_same_pad(g, &node->type);
    for (int i = 0; i < node->type.rank; i++) {
        const Dim *start = node->attr.slice.start[i];
        const int64_t step = node->attr.slice.step[i];
        const Dim *used = dim_add(g->dims, start, grad_length(g, node->type.dims[i], step));
        pad.pad.low[i] = start;
        pad.pad.high[i] = dim_sub(g->dims, node->src[0]->type.dims[i], used);
        pad.pad.interior[i] = step - 1;
    }
    grad_give(grad, node->src[0], grad_pad_zero(g, dy, &pad));
}

/* dy at the places that x took: widths are taken off (and cropped elements get 0), then steps pick
 * every element. The far side keeps `interior` more, so that n elements are n*step long and the
 * result provably has n. */
static Node *unpadded(Graph *g, Node *node, Node *dy)
{
    Attr crop = grad_same_pad(g, &node->type);
    bool spaced = false;
    for (int i = 0; i < node->type.rank; i++) {
        crop.pad.low[i] = dim_sub(g->dims, dim_const(g->dims, 0), node->attr.pad.low[i]);
        crop.pad.high[i] = dim_sub(g->dims, dim_const(g->dims, node->attr.pad.interior[i]),
                                   node->attr.pad.high[i]);
        spaced |= node->attr.pad.interior[i] != 0;
    }
    Node *inner = grad_pad_zero(g, dy, &crop);
    if (!spaced || !inner)
        return inner;
    Attr pick = grad_same_slice(g, &inner->type);
    for (int i = 0; i < node->type.rank; i++) {
        const int64_t step = node->attr.pad.interior[i] + 1;
        pick.slice.step[i] = step;
        pick.slice.limit[i] =
            dim_mul(g->dims, node->src[0]->type.dims[i], dim_const(g->dims, step));
    }
    return graph_node(g, OP_SLICE, &inner, 1, &pick);
}

void grad_pad(Grad *grad, Node *node, Node *dy)
{
    Graph *g = grad->graph;
    Node *x = node->src[0], *value = node->src[1];
    if (grad_wants(grad, x) && !grad_is_empty(&x->type))
        grad_give(grad, x, unpadded(g, node, dy));
    if (!grad_wants(grad, value))
        return;
    Type flag = x->type;
    flag.dtype = DT_BOOL;
    Node *inside =
        graph_node(g, OP_PAD, (Node *[]){build_const(g, flag, 1), build_scalar(g, DT_BOOL, 0)}, 2,
                   &node->attr);
    grad_give(grad, value, grad_sum_all(g, build_select(g, inside, grad_zeros_like(g, dy), dy)));
}

void grad_concat(Grad *grad, Node *node, Node *dy)
{
    Graph *g = grad->graph;
    const int axis = node->attr.axis;
    const Dim *start = dim_const(g->dims, 0);
    for (int i = 0; i < node->nsrc; i++) {
        const Dim *limit = dim_add(g->dims, start, node->src[i]->type.dims[axis]);
        if (grad_wants(grad, node->src[i]))
            grad_give(grad, node->src[i], build_slice_axis(g, dy, axis, start, limit, 1));
        start = limit;
    }
}

void grad_reverse(Grad *grad, Node *node, Node *dy)
{
    grad_give(grad, node->src[0], build_reverse(grad->graph, dy, node->attr.axes));
}

/* ---- slices that cover a tensor ---- */

enum { MOST_SLICES = 32 };

typedef struct {
    Node *pads[MOST_SLICES];
    int count, axis;
} Slices;

/* The only axis of n with zeros around it, -1: there is none. */
static int padded_axis(const Node *n)
{
    int axis = -1;
    if (n->op != OP_PAD || n->src[1]->op != OP_CONST || n->src[1]->attr.constant.value.f != 0)
        return -1;
    for (int i = 0; i < n->type.rank; i++) {
        if (n->attr.pad.interior[i] != 0)
            return -1;
        if (dim_is(n->attr.pad.low[i], 0) && dim_is(n->attr.pad.high[i], 0))
            continue;
        if (axis >= 0)
            return -1;
        axis = i;
    }
    return axis;
}

/* The terms of a sum. False: they are not slices along one axis. */
static bool collect_slices(Slices *slices, Node *total)
{
    if (total->op == OP_ADD)
        return collect_slices(slices, total->src[0]) && collect_slices(slices, total->src[1]);
    const int axis = padded_axis(total);
    if (axis < 0 || slices->count == MOST_SLICES || (slices->count > 0 && axis != slices->axis))
        return false;
    slices->axis = axis;
    slices->pads[slices->count++] = total;
    return true;
}

/* The slice that begins at start; it is taken off the list. */
static Node *take_slice(Slices *slices, const Dim *start)
{
    for (int i = 0; i < slices->count; i++) {
        Node *pad = slices->pads[i];
        if (pad->attr.pad.low[slices->axis] != start)
            continue;
        slices->pads[i] = slices->pads[--slices->count];
        return pad->src[0];
    }
    return NULL;
}

Node *grad_joined(Graph *g, Node *total)
{
    Slices slices = {.count = 0};
    Node *parts[MOST_SLICES], *part;
    int count = 0;
    const Dim *start = dim_const(g->dims, 0);
    if (total->op != OP_ADD || !collect_slices(&slices, total))
        return total;
    while (slices.count > 0 && (part = take_slice(&slices, start)) != NULL) {
        parts[count++] = part;
        start = dim_add(g->dims, start, part->type.dims[slices.axis]);
    }
    if (slices.count > 0 || start != total->type.dims[slices.axis])
        return total;
    Node *joined = build_concat(g, parts, count, slices.axis);
    return joined ? joined : total;
}
