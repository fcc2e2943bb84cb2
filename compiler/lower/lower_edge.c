/* Moves with edges: pad and concat. The element of the operand exists only where a condition on the
 * index holds; elsewhere nothing may be loaded. A condition that is the same in all lanes becomes
 * the guard, one per lane narrows the mask. */
#include "compiler/lower/context.h"

#include "runtime/base/bug.h"

static KInst *and_also(LowerContext *c, KInst *x, KInst *y)
{
    return x == NULL ? y : y == NULL ? x : kir_binary(&c->b, K_AND, x, y);
}

/* 0 <= x < size, in one unsigned comparison. */
static KInst *in_range(LowerContext *c, KInst *x, const Dim *size)
{
    return kir_binary(&c->b, K_ULT, x, lower_dim(c, size));
}

/* Source index of one padded axis; *condition is joined with: there is one. */
static Index unpad(LowerContext *c, const Node *node, int axis, Index index, KInst **condition)
{
    KBuilder *b = &c->b;
    int64_t gap = node->attr.pad.interior[axis] + 1;
    DimTable *dims = c->schedule->graph->dims;
    const Dim *back = dim_sub(dims, dim_const(dims, 0), node->attr.pad.low[axis]);
    Index shifted = index_add(c, index, index_scalar(lower_dim(c, back)));
    if (gap > 1) {
        KInst *value = index_value(c, shifted), *step = kir_index(b, gap);
        KInst *hit = kir_binary(b, K_EQ, kir_binary(b, K_IMOD, value, step), kir_index(b, 0));
        *condition = and_also(c, *condition, hit);
        shifted = index_vector(kir_binary(b, K_IDIV, value, step));
    }
    *condition = and_also(c, *condition,
                          in_range(c, index_value(c, shifted), node->src[0]->type.dims[axis]));
    return shifted;
}

static bool is_padded(const Node *node, int axis)
{
    return !dim_is(node->attr.pad.low[axis], 0) || !dim_is(node->attr.pad.high[axis], 0) ||
           node->attr.pad.interior[axis];
}

/* The operand at a place, loaded only where conditions on lanes and on all lanes hold; else
 * `other`. */
static KInst *value_where(LowerContext *c, const Node *x, const Place *place, KInst *lanes,
                          KInst *all, KInst *other)
{
    int64_t size;
    for (int i = 0; i < x->type.rank; i++) {
        if (dim_is_const(x->type.dims[i], &size) && size == 0) {
            return other;
        }
    }
    Narrowing saved = lower_narrow(c, lanes);
    lower_narrow(c, all);
    KInst *value = lower_value(c, x, place);
    lower_widen(c, saved);
    KInst *condition = and_also(c, lanes, all);
    return condition == NULL ? value : kir_select(&c->b, condition, value, other);
}

static void sort_condition(LowerContext *c, KInst *condition, KInst **lanes, KInst **all)
{
    KInst **side = condition->type.lanes == 1 ? all : lanes;
    *side = and_also(c, *side, condition);
}

KInst *lower_pad(LowerContext *c, const Node *node, const Place *place)
{
    const Node *x = node->src[0];
    Segment segments[MAX_RANK];
    KInst *lanes = NULL, *all = NULL;
    int count = 0;
    for (int axis = 0; axis < x->type.rank;) {
        int end = axis;
        while (end < x->type.rank && !is_padded(node, end)) {
            end++;
        }
        if (end > axis) {
            count += place_take(c, place, axis, end - axis, axis, segments + count);
            axis = end;
            continue;
        }
        KInst *condition = NULL;
        Index index = unpad(c, node, axis, place_axis(c, place, axis), &condition);
        sort_condition(c, condition, &lanes, &all);
        segments[count++] = (Segment){(uint8_t)axis, 1, 0, 0, index};
        axis++;
    }
    KInst *fill = lower_value(c, node->src[1], place_axes(c, 0, NULL, NULL));
    const Place *source = place_segments(c, x->type.rank, x->type.dims, segments, count);
    return value_where(c, x, source, lanes, all, fill);
}

static const Place *shifted_place(LowerContext *c, const Place *place, int axis, const Node *x,
                                  Index index)
{
    Segment segments[MAX_RANK];
    int count = place_take(c, place, 0, axis, 0, segments);
    segments[count++] = (Segment){(uint8_t)axis, 1, 0, 0, index};
    count += place_take(c, place, axis + 1, place->rank - axis - 1, axis + 1, segments + count);
    return place_segments(c, x->type.rank, x->type.dims, segments, count);
}

KInst *lower_concat(LowerContext *c, const Node *node, const Place *place)
{
    DimTable *dims = c->schedule->graph->dims;
    int axis = node->attr.axis;
    Index index = place_axis(c, place, axis);
    const Dim *start = dim_const(dims, 0);
    DType dtype = node->type.dtype;
    KInst *value = dtype_is_float(dtype) ? kir_float(&c->b, dtype, 0) : kir_int(&c->b, dtype, 0);
    for (int i = 0; i < node->nsrc; i++) {
        const Node *x = node->src[i];
        const Dim *back = dim_sub(dims, dim_const(dims, 0), start);
        Index own = index_add(c, index, index_scalar(lower_dim(c, back)));
        KInst *lanes = NULL, *all = NULL;
        sort_condition(c, in_range(c, index_value(c, own), x->type.dims[axis]), &lanes, &all);
        value = value_where(c, x, shifted_place(c, place, axis, x, own), lanes, all, value);
        start = dim_add(dims, start, x->type.dims[axis]);
    }
    return value;
}
