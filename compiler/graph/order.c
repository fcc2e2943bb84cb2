/* The orders of summation (order.h) as a function of operation, attribute and constant dims.
 *
 *   sum f32[B, 512] {0}      leaf = clamp(4096 / 1, 4, 64) = 64 rows, no lanes
 *   sum f32[B, 28, 28] {0,2} leaf = clamp(4096 / 28, 4, 64) = 64, lanes over the last axis */
#include "compiler/graph/order.h"

enum { LEAF_OUTPUT_LIMIT = 16384, LEAF_WORK = 4096, LEAF_MIN = 4, LEAF_MAX = 64 };

/* acc * dim, for constant dims, not above `limit`. */
static int64_t times_constant(int64_t product, const Dim *dim, int64_t limit)
{
    int64_t size;
    if (!dim_is_const(dim, &size))
        return product;
    if (size == 0)
        return 0;
    return product > limit / size ? limit : product * size;
}

static int64_t leaf_rows(const Type *output, const Dim *const *others, int count)
{
    int64_t constant = 1, work = 1;
    for (int i = 0; i < output->rank; i++)
        constant = times_constant(constant, output->dims[i], LEAF_OUTPUT_LIMIT + 1);
    if (constant > LEAF_OUTPUT_LIMIT)
        return 0;
    for (int i = 0; i < count; i++)
        work = times_constant(work, others[i], LEAF_WORK);
    int64_t leaf = work == 0 ? LEAF_MAX : LEAF_WORK / work;
    return leaf < LEAF_MIN ? LEAF_MIN : leaf > LEAF_MAX ? LEAF_MAX : leaf;
}

static SumOrder reduce_order(const Node *node)
{
    const Type *x = &node->src[0]->type;
    const Axes *axes = &node->attr.axes;
    SumOrder order = {.lanes = axes->axis[axes->count - 1] == x->rank - 1};
    const Dim *others[MAX_RANK];
    for (int i = 1; i < axes->count; i++)
        others[i - 1] = x->dims[axes->axis[i]];
    bool has_outer = axes->count > 1 || !order.lanes;
    if (has_outer && !dim_is_const(x->dims[axes->axis[0]], NULL))
        order.leaf = leaf_rows(&node->type, others, axes->count - 1);
    return order;
}

static SumOrder dot_order(const Node *node)
{
    const Axes *axes = &node->attr.dot.contract_x;
    const Dim *summed[MAX_RANK];
    for (int i = 0; i < axes->count; i++)
        summed[i] = node->src[0]->type.dims[axes->axis[i]];
    SumOrder order = {0};
    if (axes->count > 0 && !dim_is_const(summed[0], NULL))
        order.leaf = leaf_rows(&node->type, summed + 1, axes->count - 1);
    return order;
}

static SumOrder conv_order(const Node *node)
{
    int spatial = node->attr.conv.spatial;
    const Type *y = &node->src[1]->type;
    const Dim *channels = y->dims[spatial + 1], *summed[MAX_RANK];
    SumOrder order = {.channels_slowest = !dim_is_const(channels, NULL)};
    int count = 0;
    if (order.channels_slowest)
        summed[count++] = channels;
    for (int i = 0; i < spatial; i++)
        summed[count++] = y->dims[1 + i];
    if (!order.channels_slowest)
        summed[count++] = channels;
    if (!dim_is_const(summed[0], NULL))
        order.leaf = leaf_rows(&node->type, summed + 1, count - 1);
    return order;
}

SumOrder graph_sum_order(const Node *node)
{
    if (node->op == OP_DOT)
        return dot_order(node);
    if (node->op == OP_CONV)
        return conv_order(node);
    if (op_info[node->op].op_class == CLASS_REDUCE && op_info[node->op].attr == AT_AXES)
        return reduce_order(node);
    return (SumOrder){0};
}

ScalarOp graph_combiner(OpCode op)
{
    switch (op) {
    case OP_PROD:
        return SCALAR_MUL;
    case OP_AMAX:
    case OP_WINDOW_MAX:
        return SCALAR_MAX;
    case OP_AMIN:
        return SCALAR_MIN;
    case OP_ALL:
        return SCALAR_AND;
    case OP_ANY:
        return SCALAR_OR;
    default:
        return SCALAR_ADD;
    }
}
