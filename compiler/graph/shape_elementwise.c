/* Shape rules of leaves and elementwise operations, and what all rules share (shape.h). Elementwise
 * operands have provably equal shapes and one dtype; the result is like them, except for
 * comparisons and tests, which give bool.
 *
 *   add f32[B, 3], f32[4, 2]  ->  "f32[B, 3] and f32[4, 2] do not fit: B against 4 in .." */
#include "compiler/graph/shape.h"

const char *shape_refuse(Graph *graph, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = arena_vformat(graph->arena, format, args);
    va_end(args);
    return text;
}

const char *shape_type_text(Graph *graph, const Type *type)
{
    StrBuf text = {0};
    type_print(graph->dims, type, &text);
    const char *kept = arena_string(graph->arena, text.text);
    strbuf_free(&text);
    return kept;
}

const char *shape_dim_text(Graph *graph, const Dim *dim)
{
    StrBuf text = {0};
    dim_print(graph->dims, dim, &text);
    const char *kept = arena_string(graph->arena, text.text);
    strbuf_free(&text);
    return kept;
}

bool shape_equal(const Type *a, const Type *b)
{
    for (int i = 0; a->rank == b->rank && i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return a->rank == b->rank;
}

const char *shape_overflow(Graph *graph)
{
    return shape_refuse(graph, "a size is too large for 64 bits");
}

const char *shape_want_numeric(Graph *graph, const Node *n, const Type *type)
{
    return type->dtype != DT_BOOL ? NULL
                                  : shape_refuse(graph, "%s needs numbers, not %s",
                                                 op_info[n->op].text, shape_type_text(graph, type));
}

const char *shape_want_axis(Graph *graph, const Type *type, int axis)
{
    return axis >= 0 && axis < type->rank
               ? NULL
               : shape_refuse(graph, "%s has no axis %d", shape_type_text(graph, type), axis);
}

const char *shape_want_axes(Graph *graph, const Type *type, const Axes *axes, bool ascending)
{
    for (int i = 0; i < axes->count; i++) {
        const char *wrong = shape_want_axis(graph, type, axes->axis[i]);
        if (wrong != NULL)
            return wrong;
        for (int j = 0; j < i; j++)
            if (axes->axis[i] == axes->axis[j] || (ascending && axes->axis[i] < axes->axis[j]))
                return shape_refuse(graph, "axes must %s", ascending ? "ascend" : "differ");
    }
    return NULL;
}

const char *shape_pair_dtypes(Graph *graph, const Node *n)
{
    const Type *x = &n->src[0]->type, *y = &n->src[1]->type;
    if (x->dtype != y->dtype)
        return shape_refuse(graph, "%s and %s differ in type: %s against %s",
                            shape_type_text(graph, x), shape_type_text(graph, y),
                            dtype_name(x->dtype), dtype_name(y->dtype));
    return shape_want_numeric(graph, n, x);
}

static const char *fit(Graph *graph, const Type *x, const Type *y)
{
    if (shape_equal(x, y))
        return NULL;
    const char *left = shape_type_text(graph, x), *right = shape_type_text(graph, y);
    if (x->rank != y->rank)
        return shape_refuse(graph, "%s and %s do not fit: %d dimension%s against %d", left, right,
                            x->rank, x->rank == 1 ? "" : "s", y->rank);
    int axis = 0;
    while (x->dims[axis] == y->dims[axis])
        axis++;
    return shape_refuse(graph, "%s and %s do not fit: %s against %s in dimension %d", left, right,
                        shape_dim_text(graph, x->dims[axis]), shape_dim_text(graph, y->dims[axis]),
                        axis);
}

/* All operands from `first` on have the shape and dtype of that one, which becomes the result. */
static const char *alike(Graph *graph, const Node *n, int first, Type *out)
{
    *out = n->src[first]->type;
    for (int i = first + 1; i < n->nsrc; i++) {
        const Type *type = &n->src[i]->type;
        const char *wrong = fit(graph, out, type);
        if (wrong != NULL)
            return wrong;
        if (type->dtype != out->dtype)
            return shape_refuse(graph, "%s and %s differ in type: %s against %s",
                                shape_type_text(graph, out), shape_type_text(graph, type),
                                dtype_name(out->dtype), dtype_name(type->dtype));
    }
    return NULL;
}

const char *shape_same(Graph *graph, const Node *n, Type *out)
{
    return alike(graph, n, 0, out);
}

const char *shape_arith(Graph *graph, const Node *n, Type *out)
{
    const char *wrong = alike(graph, n, 0, out);
    return wrong != NULL ? wrong : shape_want_numeric(graph, n, out);
}

const char *shape_float(Graph *graph, const Node *n, Type *out)
{
    const char *wrong = alike(graph, n, 0, out);
    if (wrong == NULL && !dtype_is_float(out->dtype))
        return shape_refuse(graph, "%s needs floats, not %s", op_info[n->op].text,
                            shape_type_text(graph, out));
    return wrong;
}

const char *shape_logic(Graph *graph, const Node *n, Type *out)
{
    const char *wrong = alike(graph, n, 0, out);
    if (wrong == NULL && dtype_is_float(out->dtype))
        return shape_refuse(graph, "%s needs bool or integers, not %s", op_info[n->op].text,
                            shape_type_text(graph, out));
    return wrong;
}

const char *shape_test(Graph *graph, const Node *n, Type *out)
{
    const char *wrong = shape_float(graph, n, out);
    out->dtype = DT_BOOL;
    return wrong;
}

const char *shape_compare(Graph *graph, const Node *n, Type *out)
{
    const char *wrong = alike(graph, n, 0, out);
    out->dtype = DT_BOOL;
    return wrong;
}

const char *shape_convert(Graph *graph, const Node *n, Type *out)
{
    (void)graph;
    *out = n->src[0]->type;
    out->dtype = n->attr.dtype;
    return NULL;
}

static const char *want_bool(Graph *graph, const Node *n, const Type *type)
{
    return type->dtype == DT_BOOL ? NULL
                                  : shape_refuse(graph, "the condition of %s is bool, not %s",
                                                 op_info[n->op].text, shape_type_text(graph, type));
}

const char *shape_select(Graph *graph, const Node *n, Type *out)
{
    const char *wrong = want_bool(graph, n, &n->src[0]->type);
    if (wrong == NULL)
        wrong = alike(graph, n, 1, out);
    return wrong != NULL ? wrong : fit(graph, &n->src[0]->type, out);
}

const char *shape_check(Graph *graph, const Node *n, Type *out)
{
    const Type *condition = &n->src[1]->type;
    *out = n->src[0]->type;
    const char *wrong = want_bool(graph, n, condition);
    return wrong != NULL || condition->rank == 0 ? wrong : fit(graph, out, condition);
}

/* Leaves */

const char *shape_leaf(Graph *graph, const Node *n, Type *out)
{
    (void)graph;
    *out = n->attr.leaf.type;
    return NULL;
}

const char *shape_const(Graph *graph, const Node *n, Type *out)
{
    (void)graph;
    *out = n->attr.constant.type;
    return NULL;
}

const char *shape_literal(Graph *graph, const Node *n, Type *out)
{
    int64_t elements = 0;
    *out = n->attr.literal.type;
    for (int i = 0; i < out->rank; i++)
        if (!dim_is_const(out->dims[i], NULL))
            return shape_refuse(graph, "a literal has constant sizes, not %s",
                                shape_type_text(graph, out));
    if (!dim_is_const(type_elements(graph->dims, out), &elements))
        return shape_overflow(graph);
    if ((size_t)elements * dtype_bytes(out->dtype) != n->attr.literal.bytes)
        return shape_refuse(graph, "%s is not the type of %zu values", shape_type_text(graph, out),
                            n->attr.literal.bytes / dtype_bytes(out->dtype));
    return NULL;
}

const char *shape_iota(Graph *graph, const Node *n, Type *out)
{
    *out = n->attr.iota.type;
    const char *wrong = shape_want_axis(graph, out, n->attr.iota.axis);
    return wrong != NULL ? wrong : shape_want_numeric(graph, n, out);
}

const char *shape_dim(Graph *graph, const Node *n, Type *out)
{
    *out = (Type){.dtype = DT_I64};
    return n->attr.shape.dims[0] != NULL ? NULL : shape_overflow(graph);
}

const char *shape_random(Graph *graph, const Node *n, Type *out)
{
    *out = n->attr.random.type;
    return dtype_is_float(out->dtype) ? NULL
                                      : shape_refuse(graph, "random numbers are floats, not %s",
                                                     shape_type_text(graph, out));
}

const char *shape_call(Graph *graph, const Node *n, Type *out)
{
    (void)graph;
    *out = n->attr.call.type;
    return NULL;
}
