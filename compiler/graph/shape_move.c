/* Shape rules of moves: the same elements under another shape, order or padding.
 *
 *   reshape f32[B, 4] to [2*B, 2]         fine: B*4 == 2*B*2 as polynomials
 *   slice   f32[10] {[2:9:3]}             ceil((9 - 2) / 3) = 3 elements */
#include "compiler/graph/shape.h"

static const char *shape_rank_text(Graph *graph, const Node *n, int rank)
{
    return shape_refuse(graph, "%s has %d dimension%s, but %s is given %d",
                        shape_type_text(graph, &n->src[0]->type), n->src[0]->type.rank,
                        n->src[0]->type.rank == 1 ? "" : "s", op_info[n->op].text, rank);
}

static const char *want_sizes(Graph *graph, const Type *type)
{
    for (int i = 0; i < type->rank; i++) {
        int64_t size;
        if (type->dims[i] == NULL)
            return shape_overflow(graph);
        if (dim_is_const(type->dims[i], &size) && size < 0)
            return shape_refuse(graph, "dimension %d of the result would be %lld", i,
                                (long long)size);
    }
    return type_elements(graph->dims, type) == NULL ? shape_overflow(graph) : NULL;
}

static void take_shape(const Node *n, Type *out)
{
    out->dtype = n->src[0]->type.dtype;
    out->rank = n->attr.shape.rank;
    for (int i = 0; i < out->rank; i++)
        out->dims[i] = n->attr.shape.dims[i];
}

const char *shape_reshape(Graph *graph, const Node *n, Type *out)
{
    take_shape(n, out);
    const char *wrong = want_sizes(graph, out);
    if (wrong != NULL)
        return wrong;
    const Dim *before = type_elements(graph->dims, &n->src[0]->type),
              *after = type_elements(graph->dims, out);
    if (before != after)
        return shape_refuse(graph, "%s cannot become %s: %s elements against %s",
                            shape_type_text(graph, &n->src[0]->type), shape_type_text(graph, out),
                            shape_dim_text(graph, before), shape_dim_text(graph, after));
    return NULL;
}

const char *shape_permute(Graph *graph, const Node *n, Type *out)
{
    const Type *x = &n->src[0]->type;
    *out = *x;
    if (n->attr.perm.count != x->rank)
        return shape_rank_text(graph, n, n->attr.perm.count);
    const char *wrong = shape_want_axes(graph, x, &n->attr.perm, false);
    for (int i = 0; wrong == NULL && i < x->rank; i++)
        out->dims[i] = x->dims[n->attr.perm.axis[i]];
    return wrong;
}

const char *shape_expand(Graph *graph, const Node *n, Type *out)
{
    const Type *x = &n->src[0]->type;
    take_shape(n, out);
    if (out->rank != x->rank)
        return shape_rank_text(graph, n, out->rank);
    for (int i = 0; i < x->rank; i++)
        if (out->dims[i] != NULL && x->dims[i] != out->dims[i] && !dim_is(x->dims[i], 1))
            return shape_refuse(graph, "%s cannot be repeated to %s: dimension %d is %s, not 1",
                                shape_type_text(graph, x), shape_type_text(graph, out), i,
                                shape_dim_text(graph, x->dims[i]));
    return want_sizes(graph, out);
}

/* Bounds of a slice that are known to be wrong; the others are checked when the sizes are known. */
static const char *want_bounds(Graph *graph, const Type *x, const Attr *attr, int axis)
{
    const Dim *start = attr->slice.start[axis], *limit = attr->slice.limit[axis];
    int64_t low, length, rest;
    if (start == NULL || limit == NULL)
        return shape_overflow(graph);
    bool bad = attr->slice.step[axis] < 1 || (dim_is_const(start, &low) && low < 0) ||
               (dim_is_const(dim_sub(graph->dims, limit, start), &length) && length < 0) ||
               (dim_is_const(dim_sub(graph->dims, x->dims[axis], limit), &rest) && rest < 0);
    return !bad ? NULL
                : shape_refuse(graph, "%s:%s:%lld is not in dimension %d of %s",
                               shape_dim_text(graph, start), shape_dim_text(graph, limit),
                               (long long)attr->slice.step[axis], axis, shape_type_text(graph, x));
}

const char *shape_slice(Graph *graph, const Node *n, Type *out)
{
    const Type *x = &n->src[0]->type;
    *out = *x;
    if (n->attr.slice.rank != x->rank)
        return shape_rank_text(graph, n, n->attr.slice.rank);
    for (int i = 0; i < x->rank; i++) {
        const char *wrong = want_bounds(graph, x, &n->attr, i);
        if (wrong != NULL)
            return wrong;
        const Dim *length = dim_sub(graph->dims, n->attr.slice.limit[i], n->attr.slice.start[i]);
        out->dims[i] =
            dim_ceildiv(graph->dims, length, dim_const(graph->dims, n->attr.slice.step[i]));
    }
    return want_sizes(graph, out);
}

/* size elements with interior zeros between them; none of none. */
static const Dim *spread(DimTable *dims, const Dim *size, int64_t gap)
{
    if (gap == 1)
        return size;
    const Dim *one = dim_const(dims, 1);
    const Dim *wide =
        dim_add(dims, dim_mul(dims, dim_sub(dims, size, one), dim_const(dims, gap)), one);
    return dim_max(dims, wide, dim_const(dims, 0));
}

const char *shape_pad(Graph *graph, const Node *n, Type *out)
{
    const Type *x = &n->src[0]->type, *value = &n->src[1]->type;
    *out = *x;
    if (n->attr.pad.rank != x->rank)
        return shape_rank_text(graph, n, n->attr.pad.rank);
    if (value->rank != 0 || value->dtype != x->dtype)
        return shape_refuse(graph, "%s is padded with a scalar of its type, not %s",
                            shape_type_text(graph, x), shape_type_text(graph, value));
    for (int i = 0; i < x->rank; i++) {
        if (n->attr.pad.interior[i] < 0 || n->attr.pad.interior[i] == INT64_MAX)
            return shape_refuse(graph, "%lld elements cannot be put between neighbours",
                                (long long)n->attr.pad.interior[i]);
        const Dim *wide = spread(graph->dims, x->dims[i], n->attr.pad.interior[i] + 1);
        out->dims[i] = dim_add(graph->dims, dim_add(graph->dims, wide, n->attr.pad.low[i]),
                               n->attr.pad.high[i]);
    }
    return want_sizes(graph, out);
}

const char *shape_concat(Graph *graph, const Node *n, Type *out)
{
    int axis = n->attr.axis;
    *out = n->src[0]->type;
    const char *wrong = shape_want_axis(graph, out, axis);
    for (int i = 1; wrong == NULL && i < n->nsrc; i++) {
        Type x = n->src[i]->type, want = *out;
        bool good = x.rank == want.rank;
        if (good) {
            want.dims[axis] = x.dims[axis];
            out->dims[axis] = dim_add(graph->dims, out->dims[axis], x.dims[axis]);
        }
        if (!good || !type_equal(&x, &want))
            return shape_refuse(graph, "%s and %s cannot follow each other along axis %d",
                                shape_type_text(graph, &n->src[0]->type),
                                shape_type_text(graph, &x), axis);
        if (out->dims[axis] == NULL)
            return shape_overflow(graph);
    }
    return wrong;
}

const char *shape_reverse(Graph *graph, const Node *n, Type *out)
{
    *out = n->src[0]->type;
    return shape_want_axes(graph, out, &n->attr.axes, true);
}
