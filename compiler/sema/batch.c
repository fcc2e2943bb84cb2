/* A graph about one example becomes one about B of them: every value that depends on an input gets B as its first axis.
 *
 *   f32[28, 28] -> unsqueeze -> f32[1, 28, 28]      becomes      f32[B, 28, 28] -> reshape -> f32[B, 1, 28, 28]
 *
 * Values that depend on no input (constants, statistics) stay as they are and are broadcast where they meet. */
#include "compiler/sema/batch.h"

#include <string.h>

typedef struct {
    Graph *to;
    const Dim *batch;
    Node **map;      /* per id of the old graph */
    bool *batched;   /* per id: has the axis B */
    const char *failed;
} Batch;

/* An operand with the axis B. */
static Node *with_batch(Batch *b, const Node *old)
{
    Node *x = b->map[old->id];
    if (b->batched[old->id])
        return x;
    const Dim *dims[MAX_RANK] = {b->batch};
    for (int i = 0; i < old->type.rank; i++)
        dims[i + 1] = old->type.dims[i];
    return build_broadcast(b->to, x, old->type.rank + 1, dims);
}

static Axes shift_axes(Axes axes)
{
    for (int i = 0; i < axes.count; i++)
        axes.axis[i]++;
    return axes;
}

static Axes prepend_axis(Axes axes)
{
    Axes out = {.count = axes.count + 1};
    for (int i = 0; i < axes.count; i++)
        out.axis[i + 1] = (uint8_t)(axes.axis[i] + 1);
    return out;
}

static void shift_dims(const Dim **dims, int rank, const Dim *first)
{
    memmove(dims + 1, dims, sizeof *dims * (size_t)rank);
    dims[0] = first;
}

static void shift_numbers(int64_t *numbers, int rank, int64_t first)
{
    memmove(numbers + 1, numbers, sizeof *numbers * (size_t)rank);
    numbers[0] = first;
}

/* The attribute of an operation on values with one more leading axis. */
static void shift_attr(const Batch *b, Attr *attr)
{
    const Dim *zero = dim_const(b->to->dims, 0);
    switch (attr->kind) {
    case AT_SHAPE:
        shift_dims(attr->shape.dims, attr->shape.rank++, b->batch);
        break;
    case AT_PERM:
        attr->perm = prepend_axis(attr->perm);
        break;
    case AT_SLICE:
        shift_dims(attr->slice.start, attr->slice.rank, zero);
        shift_dims(attr->slice.limit, attr->slice.rank, b->batch);
        shift_numbers(attr->slice.step, attr->slice.rank++, 1);
        break;
    case AT_PAD:
        shift_dims(attr->pad.low, attr->pad.rank, zero);
        shift_dims(attr->pad.high, attr->pad.rank, zero);
        shift_numbers(attr->pad.interior, attr->pad.rank++, 0);
        break;
    case AT_AXIS:
        attr->axis++;
        break;
    case AT_AXES:
        attr->axes = shift_axes(attr->axes);
        break;
    case AT_DOT:
        attr->dot.batch_x = prepend_axis(attr->dot.batch_x);
        attr->dot.batch_y = prepend_axis(attr->dot.batch_y);
        attr->dot.contract_x = shift_axes(attr->dot.contract_x);
        attr->dot.contract_y = shift_axes(attr->dot.contract_y);
        break;
    case AT_WINDOW:
        shift_numbers(attr->window.size, attr->window.rank, 1);
        shift_numbers(attr->window.stride, attr->window.rank, 1);
        shift_numbers(attr->window.dilate, attr->window.rank, 1);
        shift_dims(attr->window.pad_low, attr->window.rank, zero);
        shift_dims(attr->window.pad_high, attr->window.rank++, zero);
        break;
    default:
        break;
    }
}

/* x[.., i, ..]: only one of the two sides may have the axis B. */
static Node *batch_gather(Batch *b, const Node *old)
{
    const Node *table = old->src[0], *index = old->src[1];
    int axis = old->attr.axis;
    if (b->batched[table->id] && b->batched[index->id]) {
        b->failed = "indexing one field by another";
        return NULL;
    }
    if (b->batched[table->id])
        return build_gather(b->to, b->map[table->id], b->map[index->id], axis + 1);
    Node *y = build_gather(b->to, b->map[table->id], b->map[index->id], axis);
    uint8_t perm[MAX_RANK] = {(uint8_t)axis}; /* B stands where the index was */
    for (int i = 0, at = 1; y && i < y->type.rank; i++)
        if (i != axis)
            perm[at++] = (uint8_t)i;
    return y ? build_permute(b->to, y, perm) : NULL;
}

static bool supported(Batch *b, const Node *old)
{
    bool rank = old->type.rank + 1 > MAX_RANK;
    bool pad = old->op == OP_PAD && b->batched[old->src[1]->id];
    bool other = old->op == OP_CONV || old->op == OP_CALL || old->op == OP_SCATTER_ADD;
    if (rank || pad || other)
        b->failed = rank ? "so many axes" : pad ? "padding with a value of the row" : op_info[old->op].text;
    return !b->failed;
}

static Node *batch_node(Batch *b, const Node *old)
{
    Node *src[64];
    if (!supported(b, old))
        return NULL;
    if (old->op == OP_GATHER)
        return batch_gather(b, old);
    if (old->nsrc > 64) {
        b->failed = "an operation on so many values";
        return NULL;
    }
    for (int i = 0; i < old->nsrc; i++)
        src[i] = old->op == OP_PAD && i == 1 ? b->map[old->src[1]->id] : with_batch(b, old->src[i]);
    Attr attr = old->attr;
    shift_attr(b, &attr);
    return graph_node(b->to, old->op, src, old->nsrc, &attr);
}

static Node *batch_leaf(Batch *b, const Node *old)
{
    if (old->op == OP_INPUT || old->op == OP_RANDOM) {
        Attr attr = old->attr;
        Type *type = old->op == OP_INPUT ? &attr.leaf.type : &attr.random.type;
        shift_dims(type->dims, type->rank++, b->batch);
        b->batched[old->id] = true;
        return graph_node(b->to, old->op, NULL, 0, &attr);
    }
    return graph_copy_node(b->to, old, b->map);
}

const char *batch_graph(const Graph *one, Graph *to, const Dim *batch, Node *const *wanted, uint32_t count, Node **out)
{
    Arena *arena = to->arena;
    Batch b = {.to = to, .batch = batch, .map = ARENA_ARRAY(arena, Node *, one->nodes.count + 1),
               .batched = ARENA_ARRAY(arena, bool, one->nodes.count + 1)};
    Span at = to->span;
    bool *live = ARENA_ARRAY(arena, bool, one->nodes.count + 1);
    for (uint32_t i = 0; i < count; i++)
        live[wanted[i]->id] = true;
    for (uint32_t i = one->nodes.count; i-- > 0;)
        for (int k = 0; live[i] && k < one->nodes.data[i]->nsrc; k++)
            live[one->nodes.data[i]->src[k]->id] = true;
    for (uint32_t i = 0; i < one->nodes.count && !b.failed; i++) {
        const Node *old = one->nodes.data[i];
        if (!live[i])
            continue;
        for (int k = 0; k < old->nsrc; k++)
            b.batched[i] |= b.batched[old->src[k]->id];
        to->span = old->span;
        b.map[i] = old->nsrc == 0 ? batch_leaf(&b, old) : b.batched[i] ? batch_node(&b, old)
                                                                     : graph_copy_node(to, old, b.map);
        if (!b.map[i] && !b.failed)
            b.failed = to->error ? to->error : op_info[old->op].text;
    }
    for (uint32_t i = 0; i < count && !b.failed; i++)
        out[i] = with_batch(&b, wanted[i]);
    to->span = at;
    return b.failed;
}
