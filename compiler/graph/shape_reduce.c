/* Shape rules of reductions and windows. Reduced axes leave the result; argmax and argmin give i32;
 * cumsum and argsort keep the shape.
 *
 *   sum f32[B, 3, 4] {0, 2}   ->   f32[3] */
#include "compiler/graph/shape.h"

static const char *drop_axes(Graph *graph, const Node *n, const Axes *axes, Type *out)
{
    const Type *x = &n->src[0]->type;
    const char *wrong = shape_want_axes(graph, x, axes, true);
    if (wrong != NULL)
        return wrong;
    if (axes->count == 0)
        return shape_refuse(graph, "%s needs at least one axis", op_info[n->op].text);
    *out = (Type){.dtype = x->dtype};
    for (int i = 0, next = 0; i < x->rank; i++) {
        if (next < axes->count && axes->axis[next] == i)
            next++;
        else
            out->dims[out->rank++] = x->dims[i];
    }
    return NULL;
}

const char *shape_reduce_arith(Graph *graph, const Node *n, Type *out)
{
    const char *wrong = shape_want_numeric(graph, n, &n->src[0]->type);
    return wrong != NULL ? wrong : drop_axes(graph, n, &n->attr.axes, out);
}

const char *shape_reduce_bool(Graph *graph, const Node *n, Type *out)
{
    if (n->src[0]->type.dtype != DT_BOOL)
        return shape_refuse(graph, "%s needs bool, not %s", op_info[n->op].text,
                            shape_type_text(graph, &n->src[0]->type));
    return drop_axes(graph, n, &n->attr.axes, out);
}

const char *shape_arg(Graph *graph, const Node *n, Type *out)
{
    const Type *x = &n->src[0]->type;
    const char *wrong = shape_want_numeric(graph, n, x);
    if (wrong == NULL)
        wrong = shape_want_axis(graph, x, n->attr.axis);
    if (wrong != NULL)
        return wrong;
    wrong = drop_axes(graph, n, &(Axes){1, {(uint8_t)n->attr.axis}}, out);
    out->dtype = DT_I32;
    return wrong;
}

const char *shape_cumsum(Graph *graph, const Node *n, Type *out)
{
    *out = n->src[0]->type;
    const char *wrong = shape_want_numeric(graph, n, out);
    return wrong != NULL ? wrong : shape_want_axis(graph, out, n->attr.axis);
}

const char *shape_argsort(Graph *graph, const Node *n, Type *out)
{
    const char *wrong = shape_cumsum(graph, n, out);
    out->dtype = DT_I32;
    return wrong;
}

/* Windows */

const Dim *shape_sliding(Graph *graph, const SlidingAxis *axis, const char **text)
{
    DimTable *dims = graph->dims;
    const Dim *one = dim_const(dims, 1), *zero = dim_const(dims, 0), *wide = axis->size;
    int64_t room, result;
    if (axis->gap < 1 || axis->dilate < 1 || axis->stride < 1) {
        *text = shape_refuse(graph, "strides and dilations are at least 1");
        return NULL;
    }
    if (axis->gap > 1)
        wide = dim_max(
            dims,
            dim_add(dims, dim_mul(dims, dim_sub(dims, wide, one), dim_const(dims, axis->gap)), one),
            zero);
    const Dim *reach = dim_add(
        dims, dim_mul(dims, dim_sub(dims, axis->taps, one), dim_const(dims, axis->dilate)), one);
    const Dim *padded = dim_add(dims, dim_add(dims, wide, axis->low), axis->high);
    const Dim *left = dim_sub(dims, padded, reach);
    const Dim *size = dim_add(dims, dim_floordiv(dims, left, dim_const(dims, axis->stride)), one);
    if (size == NULL)
        *text = shape_overflow(graph);
    else if ((dim_is_const(left, &room) && room < 0 && !dim_is(axis->size, 0)) ||
             (dim_is_const(size, &result) && result < 0))
        *text = shape_refuse(graph, "a window of %s does not fit into %s",
                             shape_dim_text(graph, reach), shape_dim_text(graph, padded));
    return *text == NULL ? size : NULL;
}

const char *shape_window(Graph *graph, const Node *n, Type *out)
{
    const Type *x = &n->src[0]->type;
    const char *wrong = shape_want_numeric(graph, n, x);
    if (wrong != NULL)
        return wrong;
    if (x->rank == 0)
        return shape_refuse(graph, "%s needs at least one dimension", op_info[n->op].text);
    if (n->attr.window.rank != x->rank)
        return shape_refuse(graph, "%s has %d dimension%s, but the window has %d",
                            shape_type_text(graph, x), x->rank, x->rank == 1 ? "" : "s",
                            n->attr.window.rank);
    *out = *x;
    for (int i = 0; i < x->rank && wrong == NULL; i++) {
        if (n->attr.window.size[i] < 1)
            return shape_refuse(graph, "a window has at least one element");
        SlidingAxis axis = {x->dims[i],
                            dim_const(graph->dims, n->attr.window.size[i]),
                            n->attr.window.pad_low[i],
                            n->attr.window.pad_high[i],
                            1,
                            n->attr.window.dilate[i],
                            n->attr.window.stride[i]};
        out->dims[i] = shape_sliding(graph, &axis, &wrong);
    }
    return wrong;
}

const char *shape_window_arg(Graph *graph, const Node *n, Type *out)
{
    const char *wrong = shape_window(graph, n, out);
    out->dtype = DT_I32;
    return wrong;
}
