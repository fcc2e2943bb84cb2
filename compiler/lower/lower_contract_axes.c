/* From a dot or conv node and the views of its operands to a Contraction: axes with strides,
 * merged.
 *
 *   dot f32[B, T, 64] f32[64, 10] {contract = 2:0}
 *     out (B*T: 64, 0) (10: 0, 1)   k (64: 1, 10)            size: stride on x, stride on y
 *
 * B and T became one axis, because B has the stride T * 64 on x and none on y. Merging makes tiles
 * full and loops long, and keeps the order of the sums: only neighbours in the order of k are
 * merged. */
#include "compiler/lower/lower_contract.h"

typedef struct {
    DimTable *dims;
    const View *view[SIDES];
    Contraction *to;
} Analysis;

static const Dim *scaled(const Analysis *a, const Dim *dim, int64_t by)
{
    return dim_mul(a->dims, dim, dim_const(a->dims, by));
}

static ContractAxis axis_new(const Analysis *a, const Dim *size, const Dim *x, const Dim *y)
{
    const Dim *zero = dim_const(a->dims, 0);
    ContractAxis axis = {
        .size = size, .count = -1, .stride = {x ? x : zero, y ? y : zero}, .window = NO_WINDOW};
    dim_is_const(size, &axis.count);
    return axis;
}

static ContractAxis *add_out(Analysis *a, const Dim *size, const Dim *x, const Dim *y)
{
    Contraction *to = a->to;
    to->out[to->outs] = axis_new(a, size, x, y);
    to->out[to->outs].first = (uint8_t)to->outs;
    to->out[to->outs].axes = 1;
    return &to->out[to->outs++];
}

static ContractAxis *add_k(Analysis *a, const Dim *size, const Dim *x, const Dim *y)
{
    a->to->k[a->to->ks] = axis_new(a, size, x, y);
    return &a->to->k[a->to->ks++];
}

static bool has(Axes axes, int axis)
{
    for (int i = 0; i < axes.count; i++) {
        if (axes.axis[i] == axis) {
            return true;
        }
    }
    return false;
}

static void analyse_dot(Analysis *a, const Node *node)
{
    const Axes batch[SIDES] = {node->attr.dot.batch_x, node->attr.dot.batch_y};
    const Axes summed[SIDES] = {node->attr.dot.contract_x, node->attr.dot.contract_y};
    const View *x = a->view[SIDE_X], *y = a->view[SIDE_Y];
    for (int i = 0; i < batch[SIDE_X].count; i++) {
        int ax = batch[SIDE_X].axis[i], ay = batch[SIDE_Y].axis[i];
        add_out(a, x->dims[ax], x->stride[ax], y->stride[ay]);
    }
    for (int side = 0; side < SIDES; side++) {
        const View *view = a->view[side];
        for (int i = 0; i < view->rank; i++) {
            if (!has(batch[side], i) && !has(summed[side], i)) {
                add_out(a, view->dims[i], side == SIDE_X ? view->stride[i] : NULL,
                        side == SIDE_Y ? view->stride[i] : NULL);
            }
        }
    }
    for (int i = 0; i < summed[SIDE_X].count; i++) {
        int ax = summed[SIDE_X].axis[i], ay = summed[SIDE_Y].axis[i];
        add_k(a, x->dims[ax], x->stride[ax], y->stride[ay]);
    }
}

/* Is every tap of every position inside of x and on an element? */
static bool window_is_free(const Window *window, const ContractAxis *position,
                           const ContractAxis *tap, const Dim *pad_high)
{
    int64_t low, high, extent;
    if (window->dilate_x != 1 || !dim_is_const(window->pad, &low) || low > 0) {
        return false;
    }
    if (dim_is_const(pad_high, &high) && high <= 0) {
        return true; /* the shape rule took the number of positions from this */
    }
    return dim_is_const(window->extent, &extent) && position->count >= 0 && tap->count >= 0 &&
           (position->count - 1) * window->stride + (tap->count - 1) * window->dilate_y - low <
               extent;
}

/* Spatial axis i: its position among the out axes, its tap among the k axes. */
static void analyse_window(Analysis *a, const Node *node, int i, ContractAxis *position,
                           ContractAxis *tap)
{
    const View *x = a->view[SIDE_X];
    Contraction *to = a->to;
    const Dim *unit = x->stride[2 + i];
    Window window = {x->dims[2 + i],
                     node->attr.conv.pad_low[i],
                     unit,
                     node->attr.conv.stride[i],
                     node->attr.conv.dilate_x[i],
                     node->attr.conv.dilate_y[i]};
    if (window.dilate_x == 1) {
        position->stride[SIDE_X] = scaled(a, unit, window.stride);
        tap->stride[SIDE_X] = scaled(a, unit, window.dilate_y);
        to->offset[SIDE_X] =
            dim_sub(a->dims, to->offset[SIDE_X], dim_mul(a->dims, window.pad, unit));
    }
    to->overlaps |= position->count != 1 && tap->count != 1;
    if (!window_is_free(&window, position, tap, node->attr.conv.pad_high[i])) {
        position->window = tap->window = (int8_t)to->window_count;
        to->windows[to->window_count++] = window;
    }
}

/* x[G,N,S..,C] y[G,K..,C,O] -> [G,N,R..,O] */
static void analyse_conv(Analysis *a, const Node *node, bool channels_slowest)
{
    const View *x = a->view[SIDE_X], *y = a->view[SIDE_Y];
    int spatial = node->attr.conv.spatial, channel = 2 + spatial;
    ContractAxis *position[MAX_SPATIAL], *tap[MAX_SPATIAL];
    add_out(a, x->dims[0], x->stride[0], y->stride[0]);
    add_out(a, x->dims[1], x->stride[1], NULL);
    for (int i = 0; i < spatial; i++) {
        position[i] = add_out(a, node->type.dims[2 + i], NULL, NULL);
    }
    add_out(a, y->dims[channel], NULL, y->stride[channel]);
    if (channels_slowest) {
        add_k(a, x->dims[channel], x->stride[channel], y->stride[channel - 1]);
    }
    for (int i = 0; i < spatial; i++) {
        tap[i] = add_k(a, y->dims[1 + i], NULL, y->stride[1 + i]);
    }
    if (!channels_slowest) {
        add_k(a, x->dims[channel], x->stride[channel], y->stride[channel - 1]);
    }
    for (int i = 0; i < spatial; i++) {
        analyse_window(a, node, i, position[i], tap[i]);
    }
}

/* Makes one axis of an outer and an inner one where that is possible. */
static bool merge(DimTable *dims, ContractAxis *outer, const ContractAxis *inner, bool only_ones)
{
    if (inner->count == 1 && inner->window == NO_WINDOW) {
        outer->axes += inner->axes;
        return true;
    }
    ContractAxis merged = *inner;
    merged.first = outer->first;
    merged.axes = (uint8_t)(outer->axes + inner->axes);
    if (outer->count == 1 && outer->window == NO_WINDOW) {
        *outer = merged;
        return true;
    }
    if (only_ones || outer->window != NO_WINDOW || inner->window != NO_WINDOW) {
        return false;
    }
    for (int side = 0; side < SIDES; side++) {
        if (outer->stride[side] != dim_mul(dims, inner->size, inner->stride[side])) {
            return false;
        }
    }
    merged.size = dim_mul(dims, outer->size, inner->size);
    merged.count = -1;
    dim_is_const(merged.size, &merged.count);
    *outer = merged;
    return true;
}

/* keep_first: the first axis is cut in leaves, so its indices must stay what they are. */
static int merge_all(DimTable *dims, ContractAxis *axes, int count, bool keep_first)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (kept == 0 || !merge(dims, &axes[kept - 1], &axes[i], keep_first && kept == 1)) {
            axes[kept++] = axes[i];
        }
    }
    return kept;
}

/* A product commutes: the operand along the last axis of the result becomes y, which is the one
 * that may be packed. */
static void orient(Contraction *c)
{
    const ContractAxis *last = c->outs > 0 ? &c->out[c->outs - 1] : NULL;
    if (!last || c->window_count > 0 || !dim_is(last->stride[SIDE_Y], 0)) {
        return;
    }
    int32_t buffer = c->buffer[SIDE_X];
    c->buffer[SIDE_X] = c->buffer[SIDE_Y];
    c->buffer[SIDE_Y] = buffer;
    const Dim *offset = c->offset[SIDE_X];
    c->offset[SIDE_X] = c->offset[SIDE_Y];
    c->offset[SIDE_Y] = offset;
    ContractAxis *lists[2] = {c->out, c->k};
    for (int i = 0; i < c->outs + c->ks; i++) {
        ContractAxis *axis = i < c->outs ? &lists[0][i] : &lists[1][i - c->outs];
        const Dim *stride = axis->stride[SIDE_X];
        axis->stride[SIDE_X] = axis->stride[SIDE_Y];
        axis->stride[SIDE_Y] = stride;
    }
}

Contraction contraction_of(const Schedule *schedule, const Group *group)
{
    const Node *node = group->node;
    SumOrder order = graph_sum_order(node);
    Contraction result = {.dtype = node->type.dtype, .leaf = order.leaf,
                          .repeated = group->region != 0};
    Analysis a = {schedule->graph->dims, {&group->views[SIDE_X], &group->views[SIDE_Y]}, &result};
    for (int side = 0; side < SIDES; side++) {
        result.buffer[side] = group->views[side].buffer;
        result.offset[side] = group->views[side].offset;
    }
    if (node->op == OP_DOT) {
        analyse_dot(&a, node);
    } else {
        analyse_conv(&a, node, order.channels_slowest);
    }
    result.outs = merge_all(a.dims, result.out, result.outs, false);
    result.ks = merge_all(a.dims, result.k, result.ks, order.leaf > 0);
    orient(&result);
    return result;
}
