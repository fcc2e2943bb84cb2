/* Shape rules of gather and scatter_add: one axis of x is addressed by an integer tensor, whose
 * axes take its place.
 *
 *   gather      f32[V, C], i32[B, T] {0}               ->  f32[B, T, C]
 *   scatter_add f32[V, C], i32[B, T], f32[B, T, C] {0} ->  f32[V, C] */
#include "compiler/graph/shape.h"

static const char *gathered(Graph *graph, const Node *n, Type *out)
{
    const Type *x = &n->src[0]->type, *index = &n->src[1]->type;
    int axis = n->attr.axis;
    const char *wrong = shape_want_axis(graph, x, axis);
    if (wrong != NULL)
        return wrong;
    if (index->dtype != DT_I32 && index->dtype != DT_I64)
        return shape_refuse(graph, "an index is i32 or i64, not %s", shape_type_text(graph, index));
    if (x->rank - 1 + index->rank > MAX_RANK)
        return shape_refuse(graph, "the result would have more than %d dimensions", MAX_RANK);
    *out = (Type){.dtype = x->dtype};
    for (int i = 0; i < axis; i++)
        out->dims[out->rank++] = x->dims[i];
    for (int i = 0; i < index->rank; i++)
        out->dims[out->rank++] = index->dims[i];
    for (int i = axis + 1; i < x->rank; i++)
        out->dims[out->rank++] = x->dims[i];
    return NULL;
}

const char *shape_gather(Graph *graph, const Node *n, Type *out)
{
    return gathered(graph, n, out);
}

const char *shape_scatter_add(Graph *graph, const Node *n, Type *out)
{
    Type want;
    const char *wrong = gathered(graph, n, &want);
    if (wrong != NULL)
        return wrong;
    if (!type_equal(&want, &n->src[2]->type))
        return shape_refuse(graph, "%s is added where %s is needed",
                            shape_type_text(graph, &n->src[2]->type),
                            shape_type_text(graph, &want));
    *out = n->src[0]->type;
    return shape_want_numeric(graph, n, out);
}
