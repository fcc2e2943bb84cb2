/* Gradients of windows. Per axis: tap t of window r reads x at r*stride + t*dilate - pad_low.
 *
 * Windows that do not overlap (pooling: stride >= size, no dilation) give each element at most one
 * window, so dy is read once: repeated over the taps, kept where the tap is the first maximum, and
 * laid out flat again,
 *
 *   dy[R] -> [R, k] -> select(argmax == tap) -> pad to [R, stride] -> [R*stride] -> crop or pad
 *
 * Other windows of maxima sum one padded copy of dy per tap, in ascending order of taps; other
 * windows of sums are a window_sum of dy spaced by the stride. */
#include "compiler/passes/grad_rules.h"

static bool slides(const Attr *a, int axis)
{
    return a->window.size[axis] != 1 || a->window.stride[axis] != 1;
}

/* The two-axes-for-one form needs room in the rank. */
static bool is_tiling(const Attr *a)
{
    int rank = a->window.rank;
    for (int i = 0; i < a->window.rank; i++) {
        if (a->window.dilate[i] != 1 && a->window.size[i] > 1)
            return false;
        if (a->window.stride[i] < a->window.size[i])
            return false;
        rank += slides(a, i);
    }
    return rank <= MAX_RANK;
}

/* What must follow low and the rows, stride apart, to make the axis as long as that of x. */
static const Dim *far_side(Graph *g, const Dim *size, const Dim *rows, int64_t stride,
                           const Dim *low)
{
    return dim_sub(g->dims, size, dim_add(g->dims, low, grad_length(g, rows, stride)));
}

/* Axis i of y is axis at[i] of the split form, its taps (if it slides) axis at[i] + 1. */
typedef struct {
    int rank, at[MAX_RANK];
    const Dim *once[MAX_RANK], *repeated[MAX_RANK]; /* [R, 1, ..] and [R, k, ..] */
} Split;

static Split split_axes(Graph *g, const Node *node)
{
    const Attr *a = &node->attr;
    Split split = {0};
    for (int i = 0; i < a->window.rank; i++) {
        split.at[i] = split.rank;
        split.once[split.rank] = split.repeated[split.rank] = node->type.dims[i];
        split.rank++;
        if (slides(a, i)) {
            split.once[split.rank] = dim_const(g->dims, 1);
            split.repeated[split.rank++] = dim_const(g->dims, a->window.size[i]);
        }
    }
    return split;
}

static Node *repeat_taps(Graph *g, const Split *split, Node *x)
{
    return build_expand(g, build_reshape(g, x, split->rank, split->once), split->rank,
                        split->repeated);
}

/* Row-major index of the tap at every place of the split form. */
static Node *tap_index(Graph *g, const Attr *a, const Split *split)
{
    Type type = {.dtype = DT_I32, .rank = split->rank};
    for (int i = 0; i < split->rank; i++)
        type.dims[i] = split->repeated[i];
    Node *index = NULL;
    int64_t weight = 1;
    for (int i = a->window.rank - 1; i >= 0; i--) {
        if (a->window.size[i] == 1)
            continue;
        Node *along = build_iota(g, type, split->at[i] + 1);
        if (weight != 1)
            along = build_binary(g, OP_MUL, along, build_const(g, type, (double)weight));
        index = index ? build_binary(g, OP_ADD, along, index) : along;
        weight *= a->window.size[i];
    }
    return index ? index : build_const(g, type, 0);
}

/* [R, k, ..] -> [R, stride, ..] -> [R*stride, ..] -> the shape of x */
static Node *flatten_taps(Graph *g, Node *node, const Split *split, Node *spread)
{
    const Attr *a = &node->attr;
    const Type *x = &node->src[0]->type;
    if (!spread)
        return NULL;
    Attr fill = grad_same_pad(g, &spread->type), fit = grad_same_pad(g, x);
    const Dim *flat[MAX_RANK];
    for (int i = 0; i < a->window.rank; i++) {
        const Dim *stride = dim_const(g->dims, a->window.stride[i]);
        if (slides(a, i))
            fill.pad.high[split->at[i] + 1] =
                dim_const(g->dims, a->window.stride[i] - a->window.size[i]);
        flat[i] = dim_mul(g->dims, node->type.dims[i], stride);
        fit.pad.low[i] = dim_sub(g->dims, dim_const(g->dims, 0), a->window.pad_low[i]);
        fit.pad.high[i] = dim_sub(g->dims, x->dims[i], dim_add(g->dims, flat[i], fit.pad.low[i]));
    }
    Node *filled = grad_pad_zero(g, spread, &fill);
    return grad_pad_zero(g, filled ? build_reshape(g, filled, a->window.rank, flat) : NULL, &fit);
}

static Node *tiling_part(Graph *g, Node *node, Node *argmax, Node *dy)
{
    Split split = split_axes(g, node);
    Node *spread = repeat_taps(g, &split, dy);
    if (argmax) {
        Node *chosen = build_binary(g, OP_EQ, repeat_taps(g, &split, argmax),
                                    tap_index(g, &node->attr, &split));
        spread = spread ? build_select(g, chosen, spread, grad_zeros_like(g, spread)) : NULL;
    }
    return flatten_taps(g, node, &split, spread);
}

static Node *sliding_sum_part(Graph *g, Node *node, Node *dy)
{
    const Attr *a = &node->attr;
    Attr space = grad_same_pad(g, &dy->type);
    Attr sum = {.kind = AT_WINDOW, .window.rank = a->window.rank};
    for (int i = 0; i < a->window.rank; i++) {
        const int64_t reach = (a->window.size[i] - 1) * a->window.dilate[i];
        space.pad.interior[i] = a->window.stride[i] - 1;
        sum.window.size[i] = a->window.size[i];
        sum.window.stride[i] = 1;
        sum.window.dilate[i] = a->window.dilate[i];
        sum.window.pad_low[i] = dim_sub(g->dims, dim_const(g->dims, reach), a->window.pad_low[i]);
        const Dim *low = dim_sub(g->dims, dim_const(g->dims, 0), a->window.pad_low[i]);
        sum.window.pad_high[i] =
            far_side(g, node->src[0]->type.dims[i], dy->type.dims[i], a->window.stride[i], low);
    }
    Node *spaced = grad_pad_zero(g, dy, &space);
    return spaced ? graph_node(g, OP_WINDOW_SUM, &spaced, 1, &sum) : NULL;
}

void grad_window_sum(Grad *grad, Node *node, Node *dy)
{
    if (grad_is_empty(&node->type))
        return;
    Node *part = is_tiling(&node->attr) ? tiling_part(grad->graph, node, NULL, dy)
                                        : sliding_sum_part(grad->graph, node, dy);
    grad_give(grad, node->src[0], part);
}

/* What tap (indices per axis) sends back to x. */
static Node *tap_part(Graph *g, Node *node, Node *chosen, const int64_t *tap)
{
    const Attr *a = &node->attr;
    Attr place = grad_same_pad(g, &node->type);
    for (int i = 0; i < a->window.rank; i++) {
        const Dim *at = dim_const(g->dims, tap[i] * a->window.dilate[i]);
        place.pad.low[i] = dim_sub(g->dims, at, a->window.pad_low[i]);
        place.pad.interior[i] = a->window.stride[i] - 1;
        place.pad.high[i] = far_side(g, node->src[0]->type.dims[i], node->type.dims[i],
                                     a->window.stride[i], place.pad.low[i]);
    }
    return grad_pad_zero(g, chosen, &place);
}

static Node *sliding_max_part(Graph *g, Node *node, Node *argmax, Node *dy)
{
    const Attr *a = &node->attr;
    Node *zero = grad_zeros_like(g, dy), *sum = NULL;
    int64_t taps = 1, tap[MAX_RANK];
    for (int i = 0; i < a->window.rank; i++)
        taps *= a->window.size[i];
    for (int64_t t = 0; t < taps; t++) {
        int64_t rest = t;
        for (int i = a->window.rank - 1; i >= 0; rest /= a->window.size[i--])
            tap[i] = rest % a->window.size[i];
        Node *is_tap = build_binary(g, OP_EQ, argmax, build_const_like(g, argmax, (double)t));
        Node *part = tap_part(g, node, build_select(g, is_tap, dy, zero), tap);
        sum = sum && part ? build_binary(g, OP_ADD, sum, part) : part;
        if (!sum)
            return NULL;
    }
    return sum;
}

void grad_window_max(Grad *grad, Node *node, Node *dy)
{
    Graph *g = grad->graph;
    Node *x = node->src[0];
    if (grad_is_empty(&node->type))
        return;
    Node *argmax = graph_node(g, OP_WINDOW_ARGMAX, &x, 1, &node->attr);
    if (!argmax)
        grad_give(grad, x, NULL);
    else
        grad_give(grad, x,
                  is_tiling(&node->attr) ? tiling_part(g, node, argmax, dy)
                                         : sliding_max_part(g, node, argmax, dy));
}
