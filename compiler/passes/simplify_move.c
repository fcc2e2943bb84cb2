/* Rules of simplify for moves: what goes there and back, twice in a row, nowhere, or moves a
 * constant. */
#include "compiler/passes/simplify.h"

#include <string.h>

Node *simplify_reshape_same(Graph *g, Node *n)
{
    (void)g;
    return simplify_same_dims(&n->type, &n->src[0]->type) ? n->src[0] : NULL;
}

Node *simplify_reshape_reshape(Graph *g, Node *n)
{
    return n->src[0]->op == OP_RESHAPE
               ? build_reshape(g, n->src[0]->src[0], n->type.rank, n->type.dims)
               : NULL;
}

Node *simplify_permute_same(Graph *g, Node *n)
{
    (void)g;
    for (int i = 0; i < n->type.rank; i++)
        if (n->attr.perm.axis[i] != i)
            return NULL;
    return n->src[0];
}

Node *simplify_permute_permute(Graph *g, Node *n)
{
    Node *inner = n->src[0];
    if (inner->op != OP_PERMUTE)
        return NULL;
    uint8_t perm[MAX_RANK];
    for (int i = 0; i < n->type.rank; i++)
        perm[i] = inner->attr.perm.axis[n->attr.perm.axis[i]];
    return build_permute(g, inner->src[0], perm);
}

/* Result axes of a dot: batch, free axes of x, free axes of y. Products commute, so the order of
 * every sum stays. */
Node *simplify_permute_dot(Graph *g, Node *n)
{
    const Node *dot = n->src[0];
    if (dot->op != OP_DOT)
        return NULL;
    int batch = dot->attr.dot.batch_x.count, contract = dot->attr.dot.contract_x.count;
    int free_x = dot->src[0]->type.rank - batch - contract;
    int free_y = dot->src[1]->type.rank - batch - contract;
    for (int i = 0; i < n->type.rank; i++) {
        int wanted = i < batch ? i : i < batch + free_y ? i + free_x : i - free_y;
        if (n->attr.perm.axis[i] != wanted)
            return NULL;
    }
    return build_dot(g, dot->src[1], dot->src[0], dot->attr.dot.batch_y, dot->attr.dot.batch_x,
                     dot->attr.dot.contract_y, dot->attr.dot.contract_x);
}

Node *simplify_permute_units(Graph *g, Node *n)
{
    int last = -1;
    for (int i = 0; i < n->type.rank; i++) {
        if (axis_is_unit(&n->type, i))
            continue;
        if (n->attr.perm.axis[i] < last)
            return NULL;
        last = n->attr.perm.axis[i];
    }
    return build_reshape(g, n->src[0], n->type.rank, n->type.dims);
}

Node *simplify_expand_same(Graph *g, Node *n)
{
    (void)g;
    return simplify_same_dims(&n->type, &n->src[0]->type) ? n->src[0] : NULL;
}

Node *simplify_expand_expand(Graph *g, Node *n)
{
    return n->src[0]->op == OP_EXPAND
               ? build_expand(g, n->src[0]->src[0], n->type.rank, n->type.dims)
               : NULL;
}

static bool takes_all(const Node *slice, int axis)
{
    return dim_is(slice->attr.slice.start[axis], 0) && slice->attr.slice.step[axis] == 1 &&
           slice->attr.slice.limit[axis] == slice->src[0]->type.dims[axis];
}

Node *simplify_slice_all(Graph *g, Node *n)
{
    (void)g;
    for (int i = 0; i < n->type.rank; i++)
        if (!takes_all(n, i))
            return NULL;
    return n->src[0];
}

/* One axis of outer(inner(x)): element i of the outer one is start + i*step of the inner one. A
 * stride over a free number of elements is left alone: its limit, the place after the last of them,
 * has no polynomial that is right for none, too. */
static bool merge_slices(Graph *g, const Node *inner, const Node *outer, int axis, Attr *merged)
{
    const int64_t step = inner->attr.slice.step[axis];
    const Dim *start = outer->attr.slice.start[axis], *limit = outer->attr.slice.limit[axis];
    if (takes_all(outer, axis)) {
        merged->slice.start[axis] = inner->attr.slice.start[axis];
        merged->slice.limit[axis] = inner->attr.slice.limit[axis];
        merged->slice.step[axis] = step;
        return true;
    }
    if (step != 1) {
        int64_t first, end;
        if (!dim_is_const(start, &first) || !dim_is_const(limit, &end) || end <= first ||
            step > INT32_MAX || outer->attr.slice.step[axis] > INT32_MAX)
            return false;
        start = dim_const(g->dims, first * step);
        limit = dim_const(g->dims, (end - 1) * step + 1);
    }
    merged->slice.step[axis] = outer->attr.slice.step[axis] * step;
    merged->slice.start[axis] = dim_add(g->dims, inner->attr.slice.start[axis], start);
    merged->slice.limit[axis] = dim_add(g->dims, inner->attr.slice.start[axis], limit);
    return true;
}

Node *simplify_slice_slice(Graph *g, Node *n)
{
    Node *inner = n->src[0];
    if (inner->op != OP_SLICE)
        return NULL;
    Attr merged = n->attr;
    for (int i = 0; i < n->type.rank; i++)
        if (!merge_slices(g, inner, n, i, &merged))
            return NULL;
    Node *slice = graph_node(g, OP_SLICE, &inner->src[0], 1, &merged);
    return slice && type_equal(&slice->type, &n->type) ? slice : NULL;
}

/* The operand that a slice of a concat takes whole, with nothing of the others. */
Node *simplify_slice_concat(Graph *g, Node *n)
{
    Node *concat = n->src[0];
    if (concat->op != OP_CONCAT)
        return NULL;
    const int axis = concat->attr.axis;
    const Dim *start = dim_const(g->dims, 0);
    for (int i = 0; i < n->type.rank; i++)
        if (n->attr.slice.step[i] != 1 ||
            (i != axis && (!dim_is(n->attr.slice.start[i], 0) ||
                           n->attr.slice.limit[i] != concat->type.dims[i])))
            return NULL;
    for (int i = 0; i < concat->nsrc; i++) {
        const Dim *limit = dim_add(g->dims, start, concat->src[i]->type.dims[axis]);
        if (n->attr.slice.start[axis] == start && n->attr.slice.limit[axis] == limit)
            return concat->src[i];
        start = limit;
    }
    return NULL;
}

Node *simplify_pad_none(Graph *g, Node *n)
{
    (void)g;
    for (int i = 0; i < n->type.rank; i++)
        if (!dim_is(n->attr.pad.low[i], 0) || !dim_is(n->attr.pad.high[i], 0) ||
            (n->attr.pad.interior[i] && !axis_is_unit(&n->src[0]->type, i)))
            return NULL;
    return n->src[0];
}

static bool is_plain_growth(const Attr *pad, int axis)
{
    int64_t low, high;
    return pad->pad.interior[axis] == 0 && dim_is_const(pad->pad.low[axis], &low) && low >= 0 &&
           dim_is_const(pad->pad.high[axis], &high) && high >= 0;
}

/* Widths add up when the inner pad crops nothing and the outer one puts nothing in between. */
Node *simplify_pad_pad(Graph *g, Node *n)
{
    Node *inner = n->src[0];
    if (inner->op != OP_PAD || inner->src[1] != n->src[1])
        return NULL;
    Attr attr = n->attr;
    for (int i = 0; i < n->type.rank; i++) {
        bool inner_idle = dim_is(inner->attr.pad.low[i], 0) && dim_is(inner->attr.pad.high[i], 0);
        if (!(inner_idle && (!n->attr.pad.interior[i] || !inner->attr.pad.interior[i])) &&
            !(is_plain_growth(&inner->attr, i) && n->attr.pad.interior[i] == 0))
            return NULL;
        attr.pad.low[i] = dim_add(g->dims, inner->attr.pad.low[i], n->attr.pad.low[i]);
        attr.pad.high[i] = dim_add(g->dims, inner->attr.pad.high[i], n->attr.pad.high[i]);
        attr.pad.interior[i] = inner->attr.pad.interior[i] + n->attr.pad.interior[i];
    }
    Node *pad = graph_node(g, OP_PAD, (Node *[]){inner->src[0], n->src[1]}, 2, &attr);
    return pad && type_equal(&pad->type, &n->type) ? pad : NULL;
}

Node *simplify_concat_one(Graph *g, Node *n)
{
    (void)g;
    return n->nsrc == 1 ? n->src[0] : NULL;
}

Node *simplify_concat_empty(Graph *g, Node *n)
{
    Node **kept = ARENA_ARRAY(g->arena, Node *, n->nsrc);
    int count = 0;
    for (int i = 0; i < n->nsrc; i++)
        if (!dim_is(n->src[i]->type.dims[n->attr.axis], 0))
            kept[count++] = n->src[i];
    return count > 0 && count < n->nsrc ? build_concat(g, kept, count, n->attr.axis) : NULL;
}

Node *simplify_concat_flat(Graph *g, Node *n)
{
    int total = 0, count = 0;
    for (int i = 0; i < n->nsrc; i++)
        total += n->src[i]->op == OP_CONCAT && n->src[i]->attr.axis == n->attr.axis
                     ? n->src[i]->nsrc
                     : 1;
    if (total == n->nsrc || total > UINT16_MAX)
        return NULL;
    Node **flat = ARENA_ARRAY(g->arena, Node *, total);
    for (int i = 0; i < n->nsrc; i++) {
        Node *part = n->src[i];
        bool nested = part->op == OP_CONCAT && part->attr.axis == n->attr.axis;
        for (int j = 0; j < (nested ? part->nsrc : 1); j++)
            flat[count++] = nested ? part->src[j] : part;
    }
    return build_concat(g, flat, count, n->attr.axis);
}

Node *simplify_reverse_units(Graph *g, Node *n)
{
    Axes axes = {0};
    for (int i = 0; i < n->attr.axes.count; i++)
        if (!axis_is_unit(&n->type, n->attr.axes.axis[i]))
            axes.axis[axes.count++] = n->attr.axes.axis[i];
    if (axes.count == n->attr.axes.count)
        return NULL;
    return axes.count ? build_reverse(g, n->src[0], axes) : n->src[0];
}

Node *simplify_reverse_reverse(Graph *g, Node *n)
{
    Node *inner = n->src[0];
    if (inner->op != OP_REVERSE)
        return NULL;
    bool turned[MAX_RANK] = {false};
    for (int i = 0; i < n->attr.axes.count; i++)
        turned[n->attr.axes.axis[i]] ^= true;
    for (int i = 0; i < inner->attr.axes.count; i++)
        turned[inner->attr.axes.axis[i]] ^= true;
    Axes axes = {0};
    for (int i = 0; i < n->type.rank; i++)
        if (turned[i])
            axes.axis[axes.count++] = (uint8_t)i;
    return axes.count ? build_reverse(g, inner->src[0], axes) : inner->src[0];
}

static bool same_constant(const Node *a, const Node *b)
{
    return a->op == OP_CONST && b->op == OP_CONST && a->type.dtype == b->type.dtype &&
           !memcmp(&a->attr.constant.value, &b->attr.constant.value, sizeof a->attr.constant.value);
}

Node *simplify_move_const(Graph *g, Node *n)
{
    if (op_info[n->op].op_class != CLASS_MOVE)
        return NULL;
    for (int i = 0; i < n->nsrc; i++)
        if (!same_constant(n->src[0], n->src[i]))
            return NULL;
    Attr attr = n->src[0]->attr;
    attr.constant.type = n->type;
    return graph_node(g, OP_CONST, NULL, 0, &attr);
}

/* op(expand a, expand b) is expand(op(a, b)) when a and b have one shape; constants take any. */
Node *simplify_expand_last(Graph *g, Node *n)
{
    const Type *small = NULL;
    Node *src[3];
    if (op_info[n->op].op_class != CLASS_ELEMENTWISE || (op_info[n->op].flags & FLAG_FAILS))
        return NULL;
    for (int i = 0; i < n->nsrc; i++)
        if (n->src[i]->op == OP_EXPAND) {
            if (small && !simplify_same_dims(small, &n->src[i]->src[0]->type))
                return NULL;
            small = &n->src[i]->src[0]->type;
        } else if (n->src[i]->op != OP_CONST)
            return NULL;
    if (!small)
        return NULL;
    for (int i = 0; i < n->nsrc; i++) {
        Attr attr = n->src[i]->attr;
        src[i] = n->src[i]->src ? n->src[i]->src[0] : NULL;
        if (n->src[i]->op == OP_CONST) {
            attr.constant.type = *small;
            attr.constant.type.dtype = n->src[i]->type.dtype;
            src[i] = graph_node(g, OP_CONST, NULL, 0, &attr);
        }
    }
    Node *once = graph_node(g, n->op, src, n->nsrc, &n->attr);
    return once ? build_expand(g, once, n->type.rank, n->type.dims) : NULL;
}
