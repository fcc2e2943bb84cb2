/* Shape rules of contractions.
 *
 *   dot  f32[B, M, K], f32[B, N, K] {batch = 0:0, contract = 2:2}   ->  f32[B, M, N]
 *   conv f32[G, N, S.., C], f32[G, K.., C, O]                       ->  f32[G, N, R.., O] */
#include "compiler/graph/shape.h"

static const char *pair_axes(Graph *graph, const Node *n, const Axes *left, const Axes *right)
{
    const Type *x = &n->src[0]->type, *y = &n->src[1]->type;
    if (left->count != right->count)
        return shape_refuse(graph, "dot pairs %d axes with %d", left->count, right->count);
    for (int i = 0; i < left->count; i++) {
        const Dim *a = x->dims[left->axis[i]], *b = y->dims[right->axis[i]];
        if (a != b)
            return shape_refuse(graph, "%s and %s do not fit: %s against %s",
                                shape_type_text(graph, x), shape_type_text(graph, y),
                                shape_dim_text(graph, a), shape_dim_text(graph, b));
    }
    return NULL;
}

/* Axes of one operand: batch and contracting ones exist, none twice. The others are appended to
 * out. */
static const char *take_rest(Graph *graph, const Type *type, const Axes *batch,
                             const Axes *contract, Type *out)
{
    bool used[MAX_RANK] = {false};
    Axes all = *batch;
    for (int i = 0; i < contract->count && all.count < MAX_RANK; i++)
        all.axis[all.count++] = contract->axis[i];
    const char *wrong = shape_want_axes(graph, type, &all, false);
    if (wrong != NULL)
        return wrong;
    for (int i = 0; i < all.count; i++)
        used[all.axis[i]] = true;
    for (int i = 0; i < type->rank; i++) {
        if (used[i])
            continue;
        if (out->rank == MAX_RANK)
            return shape_refuse(graph, "the result would have more than %d dimensions", MAX_RANK);
        out->dims[out->rank++] = type->dims[i];
    }
    return NULL;
}

const char *shape_dot(Graph *graph, const Node *n, Type *out)
{
    const Type *x = &n->src[0]->type, *y = &n->src[1]->type;
    const Axes *batch_x = &n->attr.dot.batch_x, *batch_y = &n->attr.dot.batch_y;
    const Axes *contract_x = &n->attr.dot.contract_x, *contract_y = &n->attr.dot.contract_y;
    const char *wrong = shape_pair_dtypes(graph, n);
    *out = (Type){.dtype = x->dtype};
    if (wrong == NULL && batch_x->count + contract_x->count > x->rank)
        return shape_refuse(graph, "%s has fewer axes than dot uses", shape_type_text(graph, x));
    if (wrong == NULL && batch_y->count + contract_y->count > y->rank)
        return shape_refuse(graph, "%s has fewer axes than dot uses", shape_type_text(graph, y));
    for (int i = 0; wrong == NULL && i < batch_x->count; i++) {
        wrong = shape_want_axis(graph, x, batch_x->axis[i]);
        if (wrong == NULL)
            out->dims[out->rank++] = x->dims[batch_x->axis[i]];
    }
    if (wrong == NULL)
        wrong = take_rest(graph, x, batch_x, contract_x, out);
    if (wrong == NULL)
        wrong = take_rest(graph, y, batch_y, contract_y, out);
    if (wrong == NULL)
        wrong = pair_axes(graph, n, batch_x, batch_y);
    return wrong != NULL ? wrong : pair_axes(graph, n, contract_x, contract_y);
}

static const char *conv_operands(Graph *graph, const Node *n, int spatial)
{
    const Type *x = &n->src[0]->type, *y = &n->src[1]->type;
    if (spatial < 1 || spatial > MAX_SPATIAL)
        return shape_refuse(graph, "conv has one to %d spatial axes, not %d", MAX_SPATIAL, spatial);
    if (x->rank != spatial + 3 || y->rank != spatial + 3)
        return shape_refuse(graph, "conv over %d spatial ax%s needs %d dimensions, not %s and %s",
                            spatial, spatial == 1 ? "is" : "es", spatial + 3,
                            shape_type_text(graph, x), shape_type_text(graph, y));
    if (x->dims[0] != y->dims[0])
        return shape_refuse(graph, "%s and %s differ in groups: %s against %s",
                            shape_type_text(graph, x), shape_type_text(graph, y),
                            shape_dim_text(graph, x->dims[0]), shape_dim_text(graph, y->dims[0]));
    if (x->dims[spatial + 2] != y->dims[spatial + 1])
        return shape_refuse(graph, "%s and %s differ in channels: %s against %s",
                            shape_type_text(graph, x), shape_type_text(graph, y),
                            shape_dim_text(graph, x->dims[spatial + 2]),
                            shape_dim_text(graph, y->dims[spatial + 1]));
    return shape_pair_dtypes(graph, n);
}

const char *shape_conv(Graph *graph, const Node *n, Type *out)
{
    const Type *x = &n->src[0]->type, *y = &n->src[1]->type;
    int spatial = n->attr.conv.spatial;
    const char *wrong = conv_operands(graph, n, spatial);
    if (wrong != NULL)
        return wrong;
    *out = *x;
    out->dims[spatial + 2] = y->dims[spatial + 2];
    for (int i = 0; i < spatial && wrong == NULL; i++) {
        SlidingAxis axis = {x->dims[2 + i],           y->dims[1 + i],
                            n->attr.conv.pad_low[i],  n->attr.conv.pad_high[i],
                            n->attr.conv.dilate_x[i], n->attr.conv.dilate_y[i],
                            n->attr.conv.stride[i]};
        out->dims[2 + i] = shape_sliding(graph, &axis, &wrong);
    }
    return wrong;
}
