/* Batching (batch.h). In: the graph of one example; out: the graph of many. Nodes are rebuilt in
 * order; beside each new node stands whether it has the batch axis. What has none is simply copied.
 * Rules by class put the axis in front of shapes, shift axes by one, and repeat operands that have
 * no batch axis where an operation mixes both kinds.
 *
 *   sum f32[3, 4] {1}                     ->  sum f32[B, 3, 4] {2}
 *   dot f32[3, 4], f32[4, 5] (a weight)   ->  dot f32[B, 3, 4], f32[4, 5]: one more row axis
 *   conv                                  ->  examples become images, or groups when both
 *                                             operands have them */
#include "compiler/passes/batch.h"

#include "compiler/graph/build.h"
#include "compiler/graph/region.h"

#include <string.h>

typedef struct {
    Graph *g;
    const Dim *batch;
    Node **map;       /* by old id */
    uint8_t *batched; /* by old id */
    const Node *old;  /* being rebuilt */
    const Regions *regions;
} Batcher;

static const Type *old_type(const Batcher *b, int i)
{
    return &b->old->src[i]->type;
}

static Node *operand(const Batcher *b, int i)
{
    return b->map[b->old->src[i]->id];
}

static bool has_batch(const Batcher *b, int i)
{
    return b->batched[b->old->src[i]->id];
}

static Type with_batch(const Batcher *b, const Type *type)
{
    Type out = {.dtype = type->dtype, .rank = type->rank + 1, .dims = {b->batch}};
    if (out.rank > MAX_RANK)
        out.rank = MAX_RANK;
    memcpy(out.dims + 1, type->dims, (size_t)(out.rank - 1) * sizeof *out.dims);
    return out;
}

/* Operand i with the batch axis, repeated when it has none. */
static Node *full(Batcher *b, int i)
{
    Type type = with_batch(b, old_type(b, i));
    return has_batch(b, i) ? operand(b, i)
                           : build_broadcast(b->g, operand(b, i), type.rank, type.dims);
}

static Axes shifted(Axes axes)
{
    for (int i = 0; i < axes.count; i++)
        axes.axis[i]++;
    return axes;
}

/* x[.., B at position, ..] with B first. */
static Node *batch_first(Batcher *b, Node *x, int position)
{
    uint8_t perm[MAX_RANK];
    if (x == NULL)
        return NULL;
    perm[0] = (uint8_t)position;
    for (int i = 0, at = 1; i < x->type.rank; i++)
        if (i != position)
            perm[at++] = (uint8_t)i;
    return build_permute(b->g, x, perm);
}

/* Elementwise */

/* A scalar condition per example becomes a condition per element. */
static Node *spread_condition(Batcher *b, const Node *x)
{
    const Dim *dims[MAX_RANK] = {b->batch};
    for (int i = 1; i < x->type.rank; i++)
        dims[i] = dim_const(b->g->dims, 1);
    return build_expand(b->g, build_reshape(b->g, operand(b, 1), x->type.rank, dims), x->type.rank,
                        x->type.dims);
}

static Node *batch_elementwise(Batcher *b)
{
    Node *src[3];
    for (int i = 0; i < b->old->nsrc; i++)
        src[i] = full(b, i);
    if (b->old->op == OP_CHECK && old_type(b, 1)->rank == 0 && src[0] != NULL)
        src[1] = has_batch(b, 1) ? spread_condition(b, src[0]) : operand(b, 1);
    return graph_node(b->g, b->old->op, src, b->old->nsrc, &b->old->attr);
}

/* Moves */

static void shift_list(Attr *attr)
{
    if (attr->kind == AT_PERM) {
        attr->perm = shifted(attr->perm);
        memmove(attr->perm.axis + 1, attr->perm.axis, (size_t)attr->perm.count);
        attr->perm.axis[0] = 0;
        attr->perm.count++;
    } else if (attr->kind == AT_AXES) {
        attr->axes = shifted(attr->axes);
    } else if (attr->kind == AT_AXIS) {
        attr->axis++;
    }
}

static Attr batched_shape(const Batcher *b)
{
    Attr attr = b->old->attr;
    memmove(attr.shape.dims + 1, attr.shape.dims,
            (size_t)attr.shape.rank * sizeof *attr.shape.dims);
    attr.shape.dims[0] = b->batch;
    attr.shape.rank++;
    return attr;
}

static Attr batched_slice(const Batcher *b)
{
    Attr attr = b->old->attr;
    size_t rank = (size_t)attr.slice.rank++;
    memmove(attr.slice.start + 1, attr.slice.start, rank * sizeof *attr.slice.start);
    memmove(attr.slice.limit + 1, attr.slice.limit, rank * sizeof *attr.slice.limit);
    memmove(attr.slice.step + 1, attr.slice.step, rank * sizeof *attr.slice.step);
    attr.slice.start[0] = dim_const(b->g->dims, 0);
    attr.slice.limit[0] = b->batch;
    attr.slice.step[0] = 1;
    return attr;
}

static Attr batched_pad(const Batcher *b)
{
    Attr attr = b->old->attr;
    size_t rank = (size_t)attr.pad.rank++;
    memmove(attr.pad.low + 1, attr.pad.low, rank * sizeof *attr.pad.low);
    memmove(attr.pad.high + 1, attr.pad.high, rank * sizeof *attr.pad.high);
    memmove(attr.pad.interior + 1, attr.pad.interior, rank * sizeof *attr.pad.interior);
    attr.pad.low[0] = attr.pad.high[0] = dim_const(b->g->dims, 0);
    attr.pad.interior[0] = 0;
    return attr;
}

/* A pad value per example cannot be the scalar of one pad: where a padded mask is false, it is
 * selected. */
static Node *pad_per_example(Batcher *b, const Attr *attr)
{
    Graph *g = b->g;
    Node *x = full(b, 0);
    if (x == NULL)
        return NULL;
    Type mask_type = x->type;
    mask_type.dtype = DT_BOOL;
    Node *zero = build_scalar(g, x->type.dtype, 0), *no = build_scalar(g, DT_BOOL, 0);
    Node *inside = graph_node(g, OP_PAD, (Node *[]){build_const(g, mask_type, 1), no}, 2, attr);
    Node *padded = graph_node(g, OP_PAD, (Node *[]){x, zero}, 2, attr);
    const Dim *dims[MAX_RANK] = {b->batch};
    for (int i = 1; i < x->type.rank; i++)
        dims[i] = dim_const(g->dims, 1);
    return build_select(g, inside, padded, build_reshape(g, operand(b, 1), x->type.rank, dims));
}

static Node *batch_pad(Batcher *b)
{
    Attr attr = batched_pad(b);
    if (has_batch(b, 1))
        return pad_per_example(b, &attr);
    return graph_node(b->g, OP_PAD, (Node *[]){full(b, 0), operand(b, 1)}, 2, &attr);
}

static Node *batch_concat(Batcher *b)
{
    Node **src = ARENA_ARRAY(b->g->arena, Node *, b->old->nsrc);
    for (int i = 0; i < b->old->nsrc; i++)
        src[i] = full(b, i);
    return build_concat(b->g, src, b->old->nsrc, b->old->attr.axis + 1);
}

/* Operations of one operand whose attribute alone changes. */
static Node *batch_unary(Batcher *b)
{
    Attr attr = b->old->attr;
    Node *x = full(b, 0);
    if (attr.kind == AT_SHAPE)
        attr = batched_shape(b);
    else if (attr.kind == AT_SLICE)
        attr = batched_slice(b);
    else
        shift_list(&attr);
    return graph_node(b->g, b->old->op, &x, 1, &attr);
}

static Node *batch_move(Batcher *b)
{
    return b->old->op == OP_PAD      ? batch_pad(b)
           : b->old->op == OP_CONCAT ? batch_concat(b)
                                     : batch_unary(b);
}

static Node *batch_window(Batcher *b)
{
    Attr attr = b->old->attr;
    Node *x = full(b, 0);
    size_t rank = (size_t)attr.window.rank++;
    memmove(attr.window.size + 1, attr.window.size, rank * sizeof *attr.window.size);
    memmove(attr.window.stride + 1, attr.window.stride, rank * sizeof *attr.window.stride);
    memmove(attr.window.dilate + 1, attr.window.dilate, rank * sizeof *attr.window.dilate);
    memmove(attr.window.pad_low + 1, attr.window.pad_low, rank * sizeof *attr.window.pad_low);
    memmove(attr.window.pad_high + 1, attr.window.pad_high, rank * sizeof *attr.window.pad_high);
    attr.window.size[0] = attr.window.stride[0] = attr.window.dilate[0] = 1;
    attr.window.pad_low[0] = attr.window.pad_high[0] = dim_const(b->g->dims, 0);
    return graph_node(b->g, b->old->op, &x, 1, &attr);
}

/* Contractions */

static Axes axis_in_front(Axes axes)
{
    memmove(axes.axis + 1, axes.axis, (size_t)axes.count);
    axes.axis[0] = 0;
    axes.count++;
    return axes;
}

static Node *batch_dot(Batcher *b)
{
    Attr attr = b->old->attr;
    bool in_x = has_batch(b, 0), in_y = has_batch(b, 1);
    if (in_x) {
        attr.dot.batch_x = shifted(attr.dot.batch_x);
        attr.dot.contract_x = shifted(attr.dot.contract_x);
    }
    if (in_y) {
        attr.dot.batch_y = shifted(attr.dot.batch_y);
        attr.dot.contract_y = shifted(attr.dot.contract_y);
    }
    int position = attr.dot.batch_x.count;
    if (in_x && in_y) {
        attr.dot.batch_x = axis_in_front(attr.dot.batch_x);
        attr.dot.batch_y = axis_in_front(attr.dot.batch_y);
        position = 0;
    } else if (in_y) { /* the axes of x come before those of y */
        position += old_type(b, 0)->rank - attr.dot.batch_x.count - attr.dot.contract_x.count;
    }
    return batch_first(
        b, graph_node(b->g, OP_DOT, (Node *[]){operand(b, 0), operand(b, 1)}, 2, &attr), position);
}

/* Axes `axis` and axis+1 of x as one. */
static Node *join_axes(Batcher *b, Node *x, int axis)
{
    const Dim *dims[MAX_RANK];
    int rank = 0;
    for (int i = 0; x != NULL && i < x->type.rank; i++) {
        if (i == axis + 1)
            dims[rank - 1] = dim_mul(b->g->dims, dims[rank - 1], x->type.dims[i]);
        else
            dims[rank++] = x->type.dims[i];
    }
    return x == NULL ? NULL : build_reshape(b->g, x, rank, dims);
}

/* The inverse: axis as [first, second]. */
static Node *split_axis(Batcher *b, Node *x, int axis, const Dim *first, const Dim *second)
{
    const Dim *dims[MAX_RANK];
    int rank = 0;
    if (x == NULL || x->type.rank == MAX_RANK)
        return NULL;
    for (int i = 0; i < x->type.rank; i++) {
        dims[rank++] = i == axis ? first : x->type.dims[i];
        if (i == axis)
            dims[rank++] = second;
    }
    return build_reshape(b->g, x, rank, dims);
}

static Node *batch_conv(Batcher *b)
{
    const Attr *attr = &b->old->attr;
    const Dim *groups = old_type(b, 0)->dims[0], *images = old_type(b, 0)->dims[1];
    if (has_batch(b, 1)) { /* kernels per example: examples are groups */
        Node *x = join_axes(b, full(b, 0), 0), *y = join_axes(b, operand(b, 1), 0);
        return split_axis(b, graph_node(b->g, OP_CONV, (Node *[]){x, y}, 2, attr), 0, b->batch,
                          groups);
    }
    Node *x = join_axes(b, build_swap_axes(b->g, operand(b, 0), 0, 1), 1);
    Node *result = graph_node(b->g, OP_CONV, (Node *[]){x, operand(b, 1)}, 2, attr);
    return build_swap_axes(b->g, split_axis(b, result, 1, b->batch, images), 0, 1);
}

static Node *batch_contract(Batcher *b)
{
    return b->old->op == OP_DOT ? batch_dot(b) : batch_conv(b);
}

/* Indices. Where every example has indices of its own into rows of its own, the rows of all
 * examples become one axis: index + example * size, or -1 when the index is out of range, which
 * stays a failure. */

static Node *global_index(Batcher *b, const Dim *size)
{
    Graph *g = b->g;
    Node *index = build_convert(g, full(b, 1), DT_I64);
    if (index == NULL)
        return NULL;
    Node *example = build_iota(g, index->type, 0), *rows = build_dim(g, size, DT_I64);
    Node *shifted_index = build_binary(g, OP_ADD, index, build_binary(g, OP_MUL, example, rows));
    Node *low = build_binary(g, OP_LE, build_scalar(g, DT_I64, 0), index);
    Node *high = build_binary(g, OP_LT, index, rows);
    return build_select(g, build_binary(g, OP_AND, low, high), shifted_index,
                        build_scalar(g, DT_I64, -1));
}

/* x[B, pre.., moved.., post..] (pre: `before` axes, moved: `count`) as [B, moved.., pre.., post..],
 * or back. */
static Node *rows_first(Batcher *b, Node *x, int before, int count, bool back)
{
    uint8_t perm[MAX_RANK];
    if (x == NULL)
        return NULL;
    int first = back ? count : before, second = back ? before : count;
    for (int i = 0; i < x->type.rank && i < MAX_RANK; i++)
        perm[i] = (uint8_t)(i == 0 || i > before + count ? i
                            : i <= second                ? i + first
                                                         : i - second);
    return build_permute(b->g, x, perm);
}

static Node *batch_gather(Batcher *b)
{
    int axis = b->old->attr.axis, index_rank = old_type(b, 1)->rank;
    if (!has_batch(b, 1))
        return build_gather(b->g, operand(b, 0), operand(b, 1), axis + 1);
    if (!has_batch(b, 0))
        return batch_first(b, build_gather(b->g, operand(b, 0), operand(b, 1), axis), axis);
    Node *rows = join_axes(b, rows_first(b, operand(b, 0), axis, 1, false), 0);
    Node *found = build_gather(b->g, rows, global_index(b, old_type(b, 0)->dims[axis]), 0);
    return rows_first(b, found, axis, index_rank, true);
}

static Node *batch_scatter_add(Batcher *b)
{
    int axis = b->old->attr.axis, index_rank = old_type(b, 1)->rank;
    const Dim *size = old_type(b, 0)->dims[axis];
    if (!has_batch(b, 1))
        return build_scatter_add(b->g, full(b, 0), operand(b, 1), full(b, 2), axis + 1);
    Node *rows = join_axes(b, rows_first(b, full(b, 0), axis, 1, false), 0);
    Node *updates = rows_first(b, full(b, 2), axis, index_rank, false);
    Node *sums = build_scatter_add(b->g, rows, global_index(b, size), updates, 0);
    return rows_first(b, split_axis(b, sums, 0, b->batch, size), axis, 1, true);
}

static Node *batch_index(Batcher *b)
{
    return b->old->op == OP_GATHER ? batch_gather(b) : batch_scatter_add(b);
}

static Node *batch_call(Batcher *b)
{
    b->g->error =
        arena_format(b->g->arena, "the host function %s takes one example", b->old->attr.call.name);
    return NULL;
}

/* Loops and branches. A loop runs once for all examples, so all its carries have the batch axis;
 * sequences and stacks have the axis of the loop in front of it while they are in its hands. A
 * branch is decided by each example: both sides are computed, and each takes its own. */

static Node *batch_at(Batcher *b)
{
    Node *x = operand(b, 0);
    return build_at(b->g, b->old->attr.at.loop,
                    has_batch(b, 0) ? build_swap_axes(b->g, x, 0, 1) : x);
}

static Node *batch_stack(Batcher *b)
{
    Node *stack = build_stack(b->g, operand(b, 0), operand(b, 1));
    return has_batch(b, 1) && stack != NULL ? build_swap_axes(b->g, stack, 0, 1) : stack;
}

static Node *batch_loop(Batcher *b)
{
    Node **src = ARENA_ARRAY(b->g->arena, Node *, b->old->nsrc + 1);
    if (b->old->attr.loop.conditional) {
        b->g->error = "a while loop takes one example";
        return NULL;
    }
    for (int i = 0; i < b->old->nsrc; i++)
        src[i] = full(b, i);
    return graph_node(b->g, OP_LOOP, src, b->old->nsrc, &b->old->attr);
}

/* A value of the node `of` with the batch axis. */
static Node *full_of(Batcher *b, const Node *of)
{
    Type type = with_batch(b, &of->type);
    return b->batched[of->id] ? b->map[of->id]
                              : build_broadcast(b->g, b->map[of->id], type.rank, type.dims);
}

static Node *batch_decision(Batcher *b, const Node *branch)
{
    const int index = b->old->attr.final.index, count = branch->nsrc / 2;
    const Dim *dims[MAX_RANK] = {b->batch};
    Node *then = full_of(b, branch->src[1 + index]),
         *other = full_of(b, branch->src[1 + count + index]);
    Node *condition = full_of(b, branch->src[0]);
    if (then == NULL || condition == NULL)
        return NULL;
    for (int i = 1; i < then->type.rank; i++)
        dims[i] = dim_const(b->g->dims, 1);
    condition = build_reshape(b->g, condition, then->type.rank, dims);
    return build_select(b->g, condition, then, other);
}

static Node *batch_final(Batcher *b)
{
    const Node *closer = b->old->src[0];
    return closer->op == OP_BRANCH ? batch_decision(b, closer)
                                   : build_final(b->g, operand(b, 0), b->old->attr.final.index);
}

static Node *batch_carry(Batcher *b)
{
    const Attr *attr = &b->old->attr;
    return build_carry(b->g, attr->carry.loop, attr->carry.index, with_batch(b, &attr->carry.type));
}

static Node *batch_control(Batcher *b)
{
    const OpCode op = b->old->op;
    b->batched[b->old->id] = op == OP_CARRY || op == OP_FINAL ||
                             (op == OP_STACK && has_batch(b, 1)) ||
                             ((op == OP_AT || op == OP_ENTER) && has_batch(b, 0));
    switch (op) {
    case OP_CARRY:
        return batch_carry(b);
    case OP_AT:
        return batch_at(b);
    case OP_LOOP:
        return batch_loop(b);
    case OP_FINAL:
        return batch_final(b);
    case OP_STACK:
        return batch_stack(b);
    default: /* inside of a branch is outside of it, and the branch is its condition */
        return operand(b, 0);
    }
}

/* Computed for examples that decide otherwise, it could fail where it must not. */
static bool may_fail_in_a_side(const Batcher *b)
{
    uint32_t region = b->regions->of[b->old->id];
    if (!(op_info[b->old->op].flags & FLAG_FAILS))
        return false;
    while (region != 0 && b->regions->list[region].kind == REGION_LOOP)
        region = b->regions->list[region].parent;
    return region != 0;
}

/* Inputs and random numbers: the leaves that differ from example to example. */
static Node *batch_leaf(Batcher *b)
{
    Attr attr = b->old->attr;
    if (attr.kind == AT_RANDOM)
        attr.random.type = with_batch(b, &attr.random.type);
    else
        attr.leaf.type = with_batch(b, &attr.leaf.type);
    return graph_node(b->g, b->old->op, NULL, 0, &attr);
}

static Node *(*const batchers[])(Batcher *) = {
    [CLASS_LEAF] = batch_leaf,         [CLASS_ELEMENTWISE] = batch_elementwise,
    [CLASS_MOVE] = batch_move,         [CLASS_REDUCE] = batch_unary,
    [CLASS_CONTRACT] = batch_contract, [CLASS_WINDOW] = batch_window,
    [CLASS_INDEX] = batch_index,       [CLASS_LOOP] = batch_control,
    [CLASS_CALL] = batch_call,
};

static bool rebuild(Batcher *b)
{
    uint32_t id = b->old->id;
    b->batched[id] = b->old->op == OP_INPUT || b->old->op == OP_RANDOM || b->old->op == OP_CARRY;
    for (int i = 0; i < b->old->nsrc; i++)
        b->batched[id] |= has_batch(b, i);
    b->g->span = b->old->span;
    if (may_fail_in_a_side(b))
        b->g->error = arena_format(b->g->arena, "%s may fail for examples that decide otherwise",
                                   op_info[b->old->op].text);
    else if (b->batched[id] && b->old->type.rank == MAX_RANK)
        b->g->error = "a tensor of one example has too many axes to be batched";
    else if (b->batched[id] || op_info[b->old->op].op_class == CLASS_LOOP)
        b->map[id] = batchers[op_info[b->old->op].op_class](b);
    else
        b->map[id] = graph_copy_node(b->g, b->old, b->map);
    return b->map[id] != NULL;
}

static bool rebuild_roots(Batcher *b, const Graph *one)
{
    for (uint32_t i = 0; i < one->roots.count; i++) {
        const Root *root = &one->roots.data[i];
        Node *node = b->map[root->node->id];
        if (root->kind == ROOT_UPDATE && b->batched[root->node->id]) {
            b->g->error =
                arena_format(b->g->arena, "the update of %s depends on an example", root->name);
            return false;
        }
        if (root->kind == ROOT_OUTPUT && !b->batched[root->node->id]) {
            Type type = with_batch(b, &node->type);
            node = build_broadcast(b->g, node, type.rank, type.dims);
        }
        if (node == NULL)
            return false;
        graph_root(b->g, root->kind, root->name, node);
    }
    return true;
}

Graph *batch_graph(Graph *one, const Dim *batch)
{
    Arena *arena = one->arena;
    Batcher b = {.g = graph_new(arena, one->dims, one->name),
                 .batch = batch,
                 .map = ARENA_ARRAY(arena, Node *, one->nodes.count + 1),
                 .batched = ARENA_ARRAY(arena, uint8_t, one->nodes.count + 1)};
    uint8_t *live = graph_live(one, arena);
    b.regions = regions_of(one, live, arena);
    bool good = true;
    for (uint32_t i = 0; good && i < one->nodes.count; i++) {
        b.old = one->nodes.data[i];
        good = !live[i] || rebuild(&b);
    }
    b.g->span = (Span){0};
    good = good && rebuild_roots(&b, one);
    if (!good)
        one->error = b.g->error;
    return good ? b.g : NULL;
}
