/* How ops act on stored operands (layout.h): attributes follow their axes, reshapes pass where they
 * split or merge axes that are neighbours in storage. What cannot be done on the stored form is
 * done on the logical one.
 *
 *   x: [B, C, H, W] stored as [B, H, W, C]
 *   reduce {0, 2, 3}                      ->  reduce {0, 1, 2} of the stored form
 *   reshape to [B, C, H/2, 2, W/2, 2]     ->  stored as [B, H/2, 2, W/2, 2, C]
 *   reshape to [B, C*H*W]                 ->  C, H, W are not in order: a real permute first */
#include "compiler/passes/layout.h"
#include "runtime/base/bug.h"

static void finish(Layout *layout, const Node *old, Node *x, const Attr *attr, const Order *order)
{
    layout->order[old->id] = *order;
    if (old->op == OP_PAD)
        layout->stored[old->id] =
            graph_node(layout->g, old->op, (Node *[]){x, layout->stored[old->src[1]->id]}, 2, attr);
    else
        layout->stored[old->id] = graph_node(layout->g, old->op, &x, 1, attr);
}

static void move_shape(Attr *to, const Attr *from, const Order *order)
{
    for (int i = 0; i < from->shape.rank; i++)
        to->shape.dims[i] = from->shape.dims[order->axis[i]];
}

static void move_slice(Attr *to, const Attr *from, const Order *order)
{
    for (int i = 0; i < from->slice.rank; i++) {
        to->slice.start[i] = from->slice.start[order->axis[i]];
        to->slice.limit[i] = from->slice.limit[order->axis[i]];
        to->slice.step[i] = from->slice.step[order->axis[i]];
    }
}

static void move_pad(Attr *to, const Attr *from, const Order *order)
{
    for (int i = 0; i < from->pad.rank; i++) {
        to->pad.low[i] = from->pad.low[order->axis[i]];
        to->pad.high[i] = from->pad.high[order->axis[i]];
        to->pad.interior[i] = from->pad.interior[order->axis[i]];
    }
}

/* Axes of the value as places in storage, ascending. */
static Axes stored_axes(const Axes *axes, const Order *order, int rank)
{
    bool named[MAX_RANK] = {false};
    Axes result = {0};
    for (int i = 0; i < axes->count; i++)
        named[axes->axis[i]] = true;
    for (int i = 0; i < rank; i++)
        if (named[order->axis[i]])
            result.axis[result.count++] = (uint8_t)i;
    return result;
}

/* expand, slice, pad, reverse: one rank, attributes per axis. */
void layout_same_rank(Layout *layout, const Node *old)
{
    const Order order = layout->order[old->src[0]->id];
    Attr attr = old->attr;
    switch (attr.kind) {
    case AT_SHAPE:
        move_shape(&attr, &old->attr, &order);
        break;
    case AT_SLICE:
        move_slice(&attr, &old->attr, &order);
        break;
    case AT_PAD:
        move_pad(&attr, &old->attr, &order);
        break;
    case AT_AXES:
        attr.axes = stored_axes(&old->attr.axes, &order, old->type.rank);
        break;
    default:
        NNC_BUG("%s has no layout", op_info[old->op].text);
    }
    finish(layout, old, layout->stored[old->src[0]->id], &attr, &order);
}

/* The order of what remains when `axes` of the value leave. */
static Order without_axes(const Order *order, int rank, const Axes *axes)
{
    bool gone[MAX_RANK] = {false};
    int renamed[MAX_RANK], kept = 0, place = 0;
    Order result = order_identity();
    for (int i = 0; i < axes->count; i++)
        gone[axes->axis[i]] = true;
    for (int i = 0; i < rank; i++)
        renamed[i] = gone[i] ? -1 : kept++;
    for (int i = 0; i < rank; i++)
        if (!gone[order->axis[i]])
            result.axis[place++] = (uint8_t)renamed[order->axis[i]];
    return result;
}

void layout_reduce(Layout *layout, const Node *old)
{
    const Node *x = old->src[0];
    const Order *order = &layout->order[x->id];
    Attr attr = old->attr;
    attr.axes = stored_axes(&old->attr.axes, order, x->type.rank);
    const Order kept = without_axes(order, x->type.rank, &old->attr.axes);
    finish(layout, old, layout->stored[x->id], &attr, &kept);
}

/* argmax, argmin (the axis leaves), cumsum and argsort (it stays) */
void layout_axis(Layout *layout, const Node *old)
{
    const Node *x = old->src[0];
    Order order = layout->order[x->id];
    Attr attr = old->attr;
    attr.axis = order_place(&order, x->type.rank, old->attr.axis);
    const Axes axes = axes_one(old->attr.axis);
    if (old->type.rank < x->type.rank)
        order = without_axes(&order, x->type.rank, &axes);
    finish(layout, old, layout->stored[x->id], &attr, &order);
}

/* The order of taps must stay: it decides sums and which maximum is the first. */
static bool taps_keep_order(const Attr *attr, const Order *order)
{
    int last = -1;
    for (int i = 0; i < attr->window.rank; i++) {
        if (attr->window.size[order->axis[i]] == 1)
            continue;
        if (order->axis[i] < last)
            return false;
        last = order->axis[i];
    }
    return true;
}

void layout_window(Layout *layout, const Node *old)
{
    const Node *x = old->src[0];
    Order order = layout->order[x->id];
    Node *stored = layout->stored[x->id];
    Attr attr = old->attr;
    if (!taps_keep_order(&attr, &order)) {
        stored = layout_logical(layout, x);
        order = order_identity();
    }
    for (int i = 0; i < attr.window.rank; i++) {
        const int from = order.axis[i];
        attr.window.size[i] = old->attr.window.size[from];
        attr.window.stride[i] = old->attr.window.stride[from];
        attr.window.dilate[i] = old->attr.window.dilate[from];
        attr.window.pad_low[i] = old->attr.window.pad_low[from];
        attr.window.pad_high[i] = old->attr.window.pad_high[from];
    }
    finish(layout, old, stored, &attr, &order);
}

/* ---- dot: the attribute names axes, so any storage will do; the rest axes come out as they are
 * stored ---- */

static Axes places(const Axes *axes, const Order *order, int rank)
{
    Axes result = *axes;
    for (int i = 0; i < axes->count; i++)
        result.axis[i] = (uint8_t)order_place(order, rank, axes->axis[i]);
    return result;
}

/* Appends the order of the rest axes of an operand; `base`: the first of them in the logical
 * result. Returns their count. */
static int append_rest(Order *result, int at, int base, const Order *order, int rank,
                       const Axes *batch, const Axes *contract)
{
    Axes used = *batch;
    for (int i = 0; i < contract->count; i++)
        used.axis[used.count++] = contract->axis[i];
    const Order rest = without_axes(order, rank, &used);
    const int count = rank - used.count;
    for (int i = 0; i < count; i++)
        result->axis[at + i] = (uint8_t)(base + rest.axis[i]);
    return count;
}

void layout_dot(Layout *layout, const Node *old)
{
    const Node *x = old->src[0], *y = old->src[1];
    const Order *order_x = &layout->order[x->id], *order_y = &layout->order[y->id];
    const Attr *a = &old->attr;
    Attr attr = {.kind = AT_DOT,
                 .dot = {places(&a->dot.batch_x, order_x, x->type.rank),
                         places(&a->dot.batch_y, order_y, y->type.rank),
                         places(&a->dot.contract_x, order_x, x->type.rank),
                         places(&a->dot.contract_y, order_y, y->type.rank)}};
    Order order = order_identity();
    int at = a->dot.batch_x.count;
    at += append_rest(&order, at, at, order_x, x->type.rank, &a->dot.batch_x, &a->dot.contract_x);
    append_rest(&order, at, at, order_y, y->type.rank, &a->dot.batch_y, &a->dot.contract_y);
    layout->order[old->id] = order;
    layout->stored[old->id] = graph_node(
        layout->g, OP_DOT, (Node *[]){layout->stored[x->id], layout->stored[y->id]}, 2, &attr);
}

/* ---- reshape ---- */

/* Axes of size other than 1, in order. */
static Axes long_axes(const Type *type)
{
    Axes axes = {0};
    for (int i = 0; i < type->rank; i++)
        if (!dim_is(type->dims[i], 1))
            axes.axis[axes.count++] = (uint8_t)i;
    return axes;
}

/* Axes [from, from_end) of long_axes(x) become axes [to, to_end) of long_axes(y): the smallest such
 * runs. */
typedef struct {
    int from, from_end, to, to_end;
} Run;

static Run next_run(DimTable *dims, const Type *x, const Axes *xs, int from, const Type *y,
                    const Axes *ys, int to)
{
    Run run = {from, from, to, to};
    const Dim *left = dim_const(dims, 1), *right = left;
    do {
        bool take_left = run.from_end < xs->count &&
                         (run.to_end == ys->count || dim_divides_exactly(dims, right, left, NULL));
        if (!take_left && run.to_end == ys->count)
            break;
        if (take_left)
            left = dim_mul(dims, left, x->dims[xs->axis[run.from_end++]]);
        else
            right = dim_mul(dims, right, y->dims[ys->axis[run.to_end++]]);
    } while (left != right || run.from == run.from_end || run.to == run.to_end);
    return run;
}

/* Whether the axes of a run lie side by side in storage (axes of size 1 aside). *place: the first
 * one's. */
static bool is_adjacent(const Order *order, const Type *x, const Axes *xs, const Run *run,
                        int *place)
{
    *place = order_place(order, x->rank, xs->axis[run->from]);
    int at = *place;
    for (int i = run->from + 1; i < run->from_end; i++) {
        do
            at++;
        while (at < x->rank && dim_is(x->dims[order->axis[at]], 1));
        if (at == x->rank || order->axis[at] != xs->axis[i])
            return false;
    }
    return true;
}

typedef struct {
    Run run;
    int place;
} PlacedRun;

/* The runs in the order of storage; returns their count, 0: some run is scattered. */
static int place_runs(DimTable *dims, const Type *x, const Order *order, const Type *y,
                      PlacedRun *runs)
{
    const Axes xs = long_axes(x), ys = long_axes(y);
    int count = 0, from = 0, to = 0;
    while (from < xs.count || to < ys.count) {
        PlacedRun placed = {.run = next_run(dims, x, &xs, from, y, &ys, to)};
        if (placed.run.from == placed.run.from_end ||
            !is_adjacent(order, x, &xs, &placed.run, &placed.place))
            return 0;
        int at = count++;
        for (; at > 0 && runs[at - 1].place > placed.place; at--)
            runs[at] = runs[at - 1];
        runs[at] = placed;
        from = placed.run.from_end;
        to = placed.run.to_end;
    }
    return count;
}

/* The long axes of y run by run; an axis of size 1 follows the axis before it. */
static Order order_of_runs(const Type *y, const PlacedRun *runs, int count)
{
    const Axes ys = long_axes(y);
    Order order = order_identity();
    int at = 0;
    for (int i = 0; i < y->rank && dim_is(y->dims[i], 1); i++)
        order.axis[at++] = (uint8_t)i;
    for (int r = 0; r < count; r++)
        for (int i = runs[r].run.to; i < runs[r].run.to_end; i++) {
            int axis = ys.axis[i];
            do
                order.axis[at++] = (uint8_t)axis++;
            while (axis < y->rank && dim_is(y->dims[axis], 1));
        }
    return order;
}

static bool is_moved(const Order *order, int rank)
{
    const Order identity = order_identity();
    return !order_is(order, &identity, rank);
}

static bool has_zero(const Type *type)
{
    for (int i = 0; i < type->rank; i++)
        if (dim_is(type->dims[i], 0))
            return true;
    return false;
}

void layout_reshape(Layout *layout, const Node *old)
{
    const Node *x = old->src[0];
    const Order *order = &layout->order[x->id];
    PlacedRun runs[MAX_RANK];
    const Dim *dims[MAX_RANK];
    int count = 0;
    Order result = order_identity();
    Node *stored = layout->stored[x->id];
    if (is_moved(order, x->type.rank) && !has_zero(&x->type))
        count = place_runs(layout->g->dims, &x->type, order, &old->type, runs);
    if (count > 0)
        result = order_of_runs(&old->type, runs, count);
    else
        stored = layout_logical(layout, x);
    for (int i = 0; i < old->type.rank; i++)
        dims[i] = old->type.dims[result.axis[i]];
    layout->order[old->id] = result;
    layout->stored[old->id] = build_reshape(layout->g, stored, old->type.rank, dims);
}
