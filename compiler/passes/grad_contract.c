/* Gradients of contractions are contractions.
 *
 * dot: y[B, M, N] = sum_k x[B, M, K] z[B, N, K]. dx contracts dy with z over N, dz contracts dy
 * with x over M; a permute puts the axes where the operand has them. Of the two operand orders the
 * one that needs no permute is taken.
 *
 * conv, one spatial axis (s over x, k over the filter w, r over y; p = pad_low, u = stride, a =
 * dilate_x, b = dilate_y):
 *
 *   y[r] = sum of x[s] w[k] where  r*u + k*b = p + s*a
 *
 *   dx[s]: dy slides, dilated by u; window stride a; the filter reversed in k:
 *          s*a + (K-1-k)*b = (K-1)*b - p + r*u
 *   dw[k]: x slides, dilated by a; window stride b; dy is the filter, dilated by u:
 *          k*b + r*u = p + s*a
 *
 * so only the widths of the far side remain to be solved from the size of the result; they are
 * negative where the stride left rows of x over. Channels: dx sums over O (w as [G,K,O,C]), dw over
 * N (x as [G,C,S,N], dy as [G,R,N,O]). */
#include "compiler/passes/grad_rules.h"

/* The spatial axes of x and y begin here: [G, N, S.., C]; those of w at 1: [G, K.., C, O]. */
enum { CONV_FIRST = 2 };

static bool axes_have(const Axes *axes, int axis)
{
    for (int i = 0; i < axes->count; i++)
        if (axes->axis[i] == axis)
            return true;
    return false;
}

static Axes axes_rest(int rank, const Axes *a, const Axes *b)
{
    Axes rest = {0};
    for (int i = 0; i < rank; i++)
        if (!axes_have(a, i) && !axes_have(b, i))
            rest.axis[rest.count++] = (uint8_t)i;
    return rest;
}

/* How many of axes are below axis. */
static int axes_below(const Axes *axes, int axis)
{
    int below = 0;
    for (int i = 0; i < axes->count; i++)
        below += axes->axis[i] < axis;
    return below;
}

static bool is_identity(const uint8_t *perm, int rank)
{
    for (int i = 0; i < rank; i++)
        if (perm[i] != i)
            return false;
    return true;
}

/* The operand `mine` of a dot, with what its gradient needs to know of it and of the other. */
typedef struct {
    Node *mine, *other, *dy;
    Axes batch, contract, rest; /* of mine */
    Axes other_batch, other_contract, other_rest;
    Axes dy_batch, dy_mine, dy_other; /* axes of dy: batch, rest of mine, rest of other */
} DotSide;

static DotSide dot_side(Node *node, int i, Node *dy)
{
    const Attr *a = &node->attr;
    DotSide side = {.mine = node->src[i], .other = node->src[1 - i], .dy = dy};
    side.batch = i == 0 ? a->dot.batch_x : a->dot.batch_y;
    side.contract = i == 0 ? a->dot.contract_x : a->dot.contract_y;
    side.other_batch = i == 0 ? a->dot.batch_y : a->dot.batch_x;
    side.other_contract = i == 0 ? a->dot.contract_y : a->dot.contract_x;
    side.rest = axes_rest(side.mine->type.rank, &side.batch, &side.contract);
    side.other_rest = axes_rest(side.other->type.rank, &side.other_batch, &side.other_contract);
    const int batch = side.batch.count;
    const int first = batch + (i == 0 ? side.rest.count : side.other_rest.count);
    side.dy_batch = axes_range(0, batch);
    side.dy_mine = i == 0 ? axes_range(batch, first) : axes_range(first, node->type.rank);
    side.dy_other = i == 0 ? axes_range(first, node->type.rank) : axes_range(batch, first);
    return side;
}

/* perm: where each axis of mine is in the result of the gradient's dot. dy first: [batch, rest,
 * contract]; else [batch, contract, rest]. The contracted axes come in the order they have in the
 * other operand. */
static void dot_places(const DotSide *side, bool dy_first, uint8_t *perm)
{
    const int batch = side->batch.count;
    const int rest_at = batch + (dy_first ? 0 : side->contract.count);
    const int contract_at = batch + (dy_first ? side->rest.count : 0);
    for (int i = 0; i < batch; i++)
        perm[side->batch.axis[i]] = (uint8_t)i;
    for (int i = 0; i < side->rest.count; i++)
        perm[side->rest.axis[i]] = (uint8_t)(rest_at + i);
    for (int i = 0; i < side->contract.count; i++)
        perm[side->contract.axis[i]] =
            (uint8_t)(contract_at +
                      axes_below(&side->other_contract, side->other_contract.axis[i]));
}

static Node *dot_part(Graph *g, const DotSide *side)
{
    uint8_t perm[MAX_RANK];
    const int rank = side->mine->type.rank;
    dot_places(side, false, perm);
    const bool dy_first = !is_identity(perm, rank);
    dot_places(side, dy_first, perm);
    Node *dot = dy_first ? build_dot(g, side->dy, side->other, side->dy_batch, side->other_batch,
                                     side->dy_other, side->other_rest)
                         : build_dot(g, side->other, side->dy, side->other_batch, side->dy_batch,
                                     side->other_rest, side->dy_other);
    return dot && !is_identity(perm, rank) ? build_permute(g, dot, perm) : dot;
}

void grad_dot(Grad *grad, Node *node, Node *dy)
{
    for (int i = 0; i < 2; i++)
        if (grad_wants(grad, node->src[i])) {
            DotSide side = dot_side(node, i, dy);
            grad_give(grad, node->src[i], dot_part(grad->graph, &side));
        }
}

/* w[G, K.., C, O] -> reversed in K, [G, K.., O, C] */
static Node *turned_filter(Graph *g, Node *w)
{
    const int rank = w->type.rank;
    Node *reversed = build_reverse(g, w, axes_range(1, rank - 2));
    return reversed ? build_swap_axes(g, reversed, rank - 2, rank - 1) : NULL;
}

static Node *conv_by_x(Graph *g, Node *node, Node *dy)
{
    Node *x = node->src[0], *w = node->src[1];
    const Attr *a = &node->attr;
    Attr back = {.kind = AT_CONV, .conv.spatial = a->conv.spatial};
    for (int i = 0; i < a->conv.spatial; i++) {
        const Dim *size = x->type.dims[CONV_FIRST + i], *rows = dy->type.dims[CONV_FIRST + i];
        const Dim *reach =
            dim_add(g->dims, grad_reach(g, size, a->conv.dilate_x[i]), dim_const(g->dims, 1));
        const Dim *slid = grad_length(g, rows, a->conv.stride[i]);
        const Dim *filter = grad_reach(g, w->type.dims[1 + i], a->conv.dilate_y[i]);
        back.conv.stride[i] = a->conv.dilate_x[i];
        back.conv.dilate_x[i] = a->conv.stride[i];
        back.conv.dilate_y[i] = a->conv.dilate_y[i];
        back.conv.pad_low[i] = dim_sub(g->dims, filter, a->conv.pad_low[i]);
        back.conv.pad_high[i] = dim_add(g->dims, dim_sub(g->dims, reach, slid), a->conv.pad_low[i]);
    }
    Node *turned = turned_filter(g, w);
    return turned ? graph_node(g, OP_CONV, (Node *[]){dy, turned}, 2, &back) : NULL;
}

/* perm that swaps axis 1 of [G, N, S.., C] with the last one. */
static Node *swap_batch_and_channels(Graph *g, Node *x)
{
    return build_swap_axes(g, x, 1, x->type.rank - 1);
}

/* [G, N, R.., O] -> [G, R.., N, O], or [G, C, K.., O] -> [G, K.., C, O] */
static Node *second_axis_inside(Graph *g, Node *x)
{
    if (!x)
        return NULL;
    uint8_t perm[MAX_RANK] = {0};
    const int rank = x->type.rank;
    for (int i = 1; i < rank - 2; i++)
        perm[i] = (uint8_t)(i + 1);
    perm[rank - 2] = 1;
    perm[rank - 1] = (uint8_t)(rank - 1);
    return build_permute(g, x, perm);
}

static Node *conv_by_filter(Graph *g, Node *node, Node *dy)
{
    Node *x = node->src[0], *w = node->src[1];
    const Attr *a = &node->attr;
    Attr back = {.kind = AT_CONV, .conv.spatial = a->conv.spatial};
    for (int i = 0; i < a->conv.spatial; i++) {
        const Dim *size = x->type.dims[CONV_FIRST + i], *rows = dy->type.dims[CONV_FIRST + i];
        const Dim *length = grad_length(g, size, a->conv.dilate_x[i]);
        const Dim *slid =
            dim_add(g->dims, grad_reach(g, rows, a->conv.stride[i]), dim_const(g->dims, 1));
        const Dim *filter = grad_reach(g, w->type.dims[1 + i], a->conv.dilate_y[i]);
        back.conv.stride[i] = a->conv.dilate_y[i];
        back.conv.dilate_x[i] = a->conv.dilate_x[i];
        back.conv.dilate_y[i] = a->conv.stride[i];
        back.conv.pad_low[i] = a->conv.pad_low[i];
        back.conv.pad_high[i] = dim_sub(g->dims, dim_add(g->dims, filter, slid),
                                        dim_add(g->dims, a->conv.pad_low[i], length));
    }
    Node *slides = swap_batch_and_channels(g, x), *filter = second_axis_inside(g, dy);
    if (!slides || !filter)
        return NULL;
    return second_axis_inside(g, graph_node(g, OP_CONV, (Node *[]){slides, filter}, 2, &back));
}

void grad_conv(Grad *grad, Node *node, Node *dy)
{
    if (grad_is_empty(&node->type))
        return;
    Node *x = node->src[0], *w = node->src[1];
    if (grad_wants(grad, x) && !grad_is_empty(&x->type) && !grad_is_empty(&w->type))
        grad_give(grad, x, conv_by_x(grad->graph, node, dy));
    if (grad_wants(grad, w) && !grad_is_empty(&w->type) && !grad_is_empty(&x->type))
        grad_give(grad, w, conv_by_filter(grad->graph, node, dy));
}
