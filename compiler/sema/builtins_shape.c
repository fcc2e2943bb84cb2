/* Built-in functions that move elements or ask for sizes. */
#include "compiler/sema/builtins.h"

static bool tensor_arg(Sema *s, BuiltinCall *call, Node **x)
{
    return want_tensor(s, &call->arg[0], call->arg_span[0], call->row->name, x);
}

static bool axis_arg(Sema *s, BuiltinCall *call, int index, int64_t fallback, int rank, int *axis)
{
    Value number = value_number(s, fallback, call->span);
    return want_axis(s, call->given[index] ? &call->arg[index] : &number,
                     call->given[index] ? call->arg_span[index] : call->span, rank, axis);
}

/* ---- Reshapes ---- */

/* total = rest * quotient, to the check of the whole shape when it is not known; a rest that may be
 * 0 divides as 1 does. */
static bool missing_size(Sema *s, const Dim *total, const Dim *rest, const Dim **quotient)
{
    const Dim *by = rest;
    if (dim_divides_exactly(s->dims, total, rest, quotient))
        return true;
    if (!dim_is_const(rest, NULL))
        by = dim_max(s->dims, rest, dim_const(s->dims, 1));
    *quotient = by ? dim_floordiv(s->dims, total, by) : NULL;
    const Dim *whole = dim_mul(s->dims, rest, *quotient);
    return whole && relate_sizes(s, whole, total) != SIZES_DIFFER;
}

/* Fills the size written as -1. */
static bool fill_missing(Sema *s, const Node *x, const Dim **dims, int rank, Span span)
{
    int missing = -1;
    const Dim *rest = dim_const(s->dims, 1), *total = type_elements(s->dims, &x->type), *quotient;
    for (int i = 0; i < rank && rest; i++) {
        if (!dim_is(dims[i], -1)) {
            rest = dim_mul(s->dims, rest, dims[i]);
        } else if (missing >= 0) {
            sema_error(s, ERR_E0303, span, NULL, "-1 stands twice in one shape");
            return false;
        } else {
            missing = i;
        }
    }
    if (missing < 0)
        return true;
    if (!rest || !total || !missing_size(s, total, rest, &quotient)) {
        sema_error(s, ERR_E0303, span, NULL, "the other sizes do not divide the %s elements of %s",
                   total ? dim_text(s, total) : "", type_text(s, &x->type));
        return false;
    }
    dims[missing] = quotient;
    return true;
}

Value builtin_reshape(Sema *s, BuiltinCall *call)
{
    Node *x;
    const Dim *dims[MAX_RANK];
    int rank;
    if (!tensor_arg(s, call, &x) ||
        !want_dims(s, call->rest, call->rest_count, call->rest_span, dims, &rank) ||
        !fill_missing(s, x, dims, rank, call->rest_span))
        return value_poison;
    const Dim *before = type_elements(s->dims, &x->type), *after = dim_product(s->dims, dims, rank);
    Type type = {.dtype = x->type.dtype, .rank = rank};
    for (int i = 0; i < rank; i++)
        type.dims[i] = dims[i];
    const char *what = arena_format(s->arena, "the elements of %s fill %s", type_text(s, &x->type),
                                    type_text(s, &type));
    if (!before || !after || !settle_elements(s, &x, after, call->span, what)) {
        sema_error(s, ERR_E0303, call->span, NULL, "%s has %s elements, and %s has %s",
                   type_text(s, &x->type), before ? dim_text(s, before) : "?", type_text(s, &type),
                   after ? dim_text(s, after) : "?");
        return value_poison;
    }
    return sema_node_value(s, build_reshape(s->elab->graph, x, rank, dims), call->span);
}

Value builtin_merge_axes(Sema *s, BuiltinCall *call)
{
    Node *x;
    int from, to;
    if (!tensor_arg(s, call, &x) || !axis_arg(s, call, 1, 0, x->type.rank, &from) ||
        !axis_arg(s, call, 2, -1, x->type.rank, &to))
        return value_poison;
    if (from > to) {
        sema_error(s, ERR_E0304, call->span, NULL, "axis %d comes after axis %d", from, to);
        return value_poison;
    }
    const Dim *dims[MAX_RANK];
    int rank = 0;
    for (int i = 0; i < from; i++)
        dims[rank++] = x->type.dims[i];
    dims[rank++] = dim_product(s->dims, &x->type.dims[from], to - from + 1);
    for (int i = to + 1; i < x->type.rank; i++)
        dims[rank++] = x->type.dims[i];
    if (!dims[from]) {
        sema_error(s, ERR_E0208, call->span, NULL, "the product of these sizes leaves 63 bits");
        return value_poison;
    }
    return sema_node_value(s, build_reshape(s->elab->graph, x, rank, dims), call->span);
}

Value builtin_split_axis(Sema *s, BuiltinCall *call)
{
    Node *x;
    int axis, parts, rank = 0;
    const Dim *inner[MAX_RANK], *dims[MAX_RANK];
    if (!tensor_arg(s, call, &x) || !axis_arg(s, call, 1, 0, x->type.rank, &axis) ||
        !want_dims(s, call->rest, call->rest_count, call->rest_span, inner, &parts))
        return value_poison;
    if (x->type.rank - 1 + parts > MAX_RANK) {
        sema_error(s, ERR_E0301, call->span, NULL, "a tensor has at most %d axes", MAX_RANK);
        return value_poison;
    }
    for (int i = 0; i < x->type.rank; i++) {
        if (i != axis)
            dims[rank++] = x->type.dims[i];
        for (int p = 0; i == axis && p < parts; p++)
            dims[rank++] = inner[p];
    }
    BuiltinCall reshape = *call;
    Value list = value_list(s, VALUE_ARRAY, (uint32_t)rank, call->rest_span);
    for (int i = 0; i < rank; i++)
        list.as.list->items[i] = value_int(dims[i], call->rest_span);
    reshape.rest = &list;
    reshape.rest_count = 1;
    return builtin_reshape(s, &reshape);
}

Value builtin_unsqueeze(Sema *s, BuiltinCall *call)
{
    Node *x;
    int axis, rank = 0;
    if (!tensor_arg(s, call, &x))
        return value_poison;
    if (x->type.rank == MAX_RANK) {
        sema_error(s, ERR_E0301, call->span, NULL, "a tensor has at most %d axes", MAX_RANK);
        return value_poison;
    }
    if (!axis_arg(s, call, 1, 0, x->type.rank + 1, &axis))
        return value_poison;
    const Dim *dims[MAX_RANK];
    for (int i = 0; i <= x->type.rank; i++)
        dims[i] = i == axis ? dim_const(s->dims, 1) : x->type.dims[rank++];
    return sema_node_value(s, build_reshape(s->elab->graph, x, x->type.rank + 1, dims), call->span);
}

Value builtin_squeeze(Sema *s, BuiltinCall *call)
{
    Node *x;
    int axis, rank = 0;
    if (!tensor_arg(s, call, &x) || !axis_arg(s, call, 1, 0, x->type.rank, &axis))
        return value_poison;
    const char *what = arena_format(s->arena, "squeeze drops axis %d of %s", axis,
                                    type_text(s, &x->type));
    if (!settle_size(s, &x, axis, dim_const(s->dims, 1), call->span, what)) {
        sema_error(s, ERR_E0303, call->span, NULL, "axis %d of %s has not the size 1", axis,
                   type_text(s, &x->type));
        return value_poison;
    }
    const Dim *dims[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++)
        if (i != axis)
            dims[rank++] = x->type.dims[i];
    return sema_node_value(s, build_reshape(s->elab->graph, x, rank, dims), call->span);
}

/* ---- Order of axes ---- */

Value builtin_permute(Sema *s, BuiltinCall *call)
{
    Node *x;
    if (!tensor_arg(s, call, &x))
        return value_poison;
    const Value *values = call->rest;
    uint32_t count = call->rest_count;
    if (count == 1 && (values->kind == VALUE_ARRAY || values->kind == VALUE_TUPLE)) {
        count = values->as.list->count;
        values = values->as.list->items;
    }
    uint8_t perm[MAX_RANK];
    bool seen[MAX_RANK] = {false};
    if (count != (uint32_t)x->type.rank) {
        sema_error(s, ERR_E0304, call->span, NULL, "%u axes for %s", count, type_text(s, &x->type));
        return value_poison;
    }
    for (uint32_t i = 0; i < count; i++) {
        int axis;
        if (!want_axis(s, &values[i], call->rest_span, x->type.rank, &axis))
            return value_poison;
        if (seen[axis]) {
            sema_error(s, ERR_E0304, call->rest_span, NULL, "axis %d is named twice", axis);
            return value_poison;
        }
        seen[axis] = true;
        perm[i] = (uint8_t)axis;
    }
    return sema_node_value(s, build_permute(s->elab->graph, x, perm), call->span);
}

Value builtin_transpose(Sema *s, BuiltinCall *call)
{
    Node *x;
    int a, b;
    if (!tensor_arg(s, call, &x) || !axis_arg(s, call, 1, -2, x->type.rank, &a) ||
        !axis_arg(s, call, 2, -1, x->type.rank, &b))
        return value_poison;
    return sema_node_value(s, build_swap_axes(s->elab->graph, x, a, b), call->span);
}

Value builtin_reverse(Sema *s, BuiltinCall *call)
{
    Node *x;
    Axes axes;
    if (!tensor_arg(s, call, &x) ||
        !want_axes(s, &call->arg[1], call->arg_span[1], x->type.rank, &axes))
        return value_poison;
    return sema_node_value(s, axes.count ? build_reverse(s->elab->graph, x, axes) : x, call->span);
}

Value builtin_expand(Sema *s, BuiltinCall *call)
{
    Node *x;
    Type wanted = {0}, out;
    if (!tensor_arg(s, call, &x) ||
        !want_sizes(s, call->rest, call->rest_count, call->rest_span, wanted.dims, &wanted.rank))
        return value_poison;
    wanted.dtype = x->type.dtype;
    const char *what = arena_format(s->arena, "expand of %s to %s", type_text(s, &x->type),
                                    type_text(s, &wanted));
    bool fits = settle_shape(s, &x, &wanted, call->span, what) &&
                broadcast_shapes(s, &x->type, &wanted, &out) && out.rank == wanted.rank;
    for (int i = 0; fits && i < out.rank; i++)
        fits = out.dims[i] == wanted.dims[i];
    if (!fits) {
        sema_error(s, ERR_E0302, call->span, NULL, "%s cannot become %s", type_text(s, &x->type),
                   type_text(s, &wanted));
        return value_poison;
    }
    return sema_node_value(s, build_broadcast(s->elab->graph, x, wanted.rank, wanted.dims),
                           call->span);
}

/* ---- Joining and cutting ---- */

static bool tensor_list(Sema *s, BuiltinCall *call, Node ***nodes, uint32_t *count)
{
    const Value *v = &call->arg[0];
    if (v->kind != VALUE_ARRAY && v->kind != VALUE_TUPLE) {
        sema_error(s, ERR_E0200, call->arg_span[0], NULL,
                   "%s takes an array of tensors, and this is %s", call->row->name,
                   value_text(s, v));
        return false;
    }
    *count = v->as.list->count;
    *nodes = ARENA_ARRAY(s->arena, Node *, *count ? *count : 1);
    if (*count == 0) {
        sema_error(s, ERR_E0205, call->arg_span[0], NULL, "%s of an empty array", call->row->name);
        return false;
    }
    for (uint32_t i = 0; i < *count; i++) {
        DType dtype = i ? (*nodes)[0]->type.dtype : DT_COUNT;
        (*nodes)[i] = value_node(s, &v->as.list->items[i], dtype, call->arg_span[0]);
        if (!(*nodes)[i])
            return false;
        if (i && (*nodes)[i]->type.dtype != dtype) {
            sema_error(s, ERR_E0200, call->span, NULL, "%s of %s and %s", call->row->name,
                       type_text(s, &(*nodes)[0]->type), type_text(s, &(*nodes)[i]->type));
            return false;
        }
    }
    return true;
}

/* b as a but for `axis`. */
static bool same_but(Sema *s, const Node *a, Node **b, int axis, Span span, const char *what)
{
    if (a->type.rank != (*b)->type.rank)
        return false;
    for (int i = 0; i < a->type.rank; i++)
        if (i != axis && !settle_alike(s, b, i, a->type.dims[i], span, what))
            return false;
    return true;
}

static Value join(Sema *s, BuiltinCall *call, Node **nodes, uint32_t count, int axis, bool stacked)
{
    for (uint32_t i = 1; i < count; i++) {
        const char *what = arena_format(s->arena, "%s of %s and %s along axis %d", call->row->name,
                                        type_text(s, &nodes[0]->type),
                                        type_text(s, &nodes[i]->type), axis);
        if (!same_but(s, nodes[0], &nodes[i], stacked ? -1 : axis, call->span, what)) {
            sema_error(s, ERR_E0312, call->span, NULL, "%s", what);
            return value_poison;
        }
    }
    return value_none;
}

Value builtin_concat(Sema *s, BuiltinCall *call)
{
    Node **nodes;
    uint32_t count;
    int axis;
    if (!tensor_list(s, call, &nodes, &count) ||
        !axis_arg(s, call, 1, 0, nodes[0]->type.rank, &axis))
        return value_poison;
    if (join(s, call, nodes, count, axis, false).kind == VALUE_POISON)
        return value_poison;
    return sema_node_value(s, build_concat(s->elab->graph, nodes, (int)count, axis), call->span);
}

Value builtin_stack(Sema *s, BuiltinCall *call)
{
    Node **nodes;
    uint32_t count;
    int axis;
    if (!tensor_list(s, call, &nodes, &count))
        return value_poison;
    if (nodes[0]->type.rank == MAX_RANK) {
        sema_error(s, ERR_E0301, call->span, NULL, "a tensor has at most %d axes", MAX_RANK);
        return value_poison;
    }
    if (!axis_arg(s, call, 1, 0, nodes[0]->type.rank + 1, &axis) ||
        join(s, call, nodes, count, axis, true).kind == VALUE_POISON)
        return value_poison;
    for (uint32_t n = 0; n < count; n++) {
        const Dim *dims[MAX_RANK];
        for (int i = 0, at = 0; i <= nodes[n]->type.rank; i++)
            dims[i] = i == axis ? dim_const(s->dims, 1) : nodes[n]->type.dims[at++];
        nodes[n] = build_reshape(s->elab->graph, nodes[n], nodes[n]->type.rank + 1, dims);
    }
    return sema_node_value(s, build_concat(s->elab->graph, nodes, (int)count, axis), call->span);
}

static const char *split_text(Sema *s, const Node *x, int axis)
{
    return arena_format(s->arena, "the parts of %s fill axis %d", type_text(s, &x->type), axis);
}

/* The sizes of the pieces: equal parts, or as written in an array. */
static bool piece_sizes(Sema *s, BuiltinCall *call, Node **x, int axis, const Dim ***sizes,
                        uint32_t *count)
{
    const Value *v = &call->arg[1];
    const Dim *each, *size = (*x)->type.dims[axis];
    int64_t parts;
    if (v->kind == VALUE_ARRAY || v->kind == VALUE_TUPLE) {
        *count = v->as.list->count;
        *sizes = ARENA_ARRAY(s->arena, const Dim *, *count ? *count : 1);
        const Dim *total = dim_const(s->dims, 0);
        for (uint32_t i = 0; i < *count && total; i++) {
            if (!want_dim(s, &v->as.list->items[i], call->arg_span[1], "a size", &(*sizes)[i]))
                return false;
            total = dim_add(s->dims, total, (*sizes)[i]);
        }
        if (total && settle_size(s, x, axis, total, call->span, split_text(s, *x, axis)))
            return true;
        sema_error(s, ERR_E0305, call->arg_span[1], NULL, "the parts add up to %s of %s",
                   total ? dim_text(s, total) : "?", dim_text(s, size));
        return false;
    }
    if (!want_int(s, v, call->arg_span[1], "the number of parts", &parts))
        return false;
    each = parts < 1 ? NULL : dim_floordiv(s->dims, size, dim_const(s->dims, parts));
    if (!each || parts > 4096 ||
        !settle_size(s, x, axis, dim_mul(s->dims, each, dim_const(s->dims, parts)), call->span,
                     split_text(s, *x, axis))) {
        sema_error(s, ERR_E0305, call->arg_span[1], NULL,
                   "an axis of size %s has no %lld equal parts", dim_text(s, size),
                   (long long)parts);
        return false;
    }
    *count = (uint32_t)parts;
    *sizes = ARENA_ARRAY(s->arena, const Dim *, *count);
    for (uint32_t i = 0; i < *count; i++)
        (*sizes)[i] = each;
    return true;
}

Value builtin_split(Sema *s, BuiltinCall *call)
{
    Node *x;
    int axis;
    const Dim **sizes, *start = dim_const(s->dims, 0);
    uint32_t count;
    if (!tensor_arg(s, call, &x) || !axis_arg(s, call, 2, 0, x->type.rank, &axis) ||
        !piece_sizes(s, call, &x, axis, &sizes, &count))
        return value_poison;
    Value result = value_list(s, VALUE_TUPLE, count, call->span);
    for (uint32_t i = 0; i < count; i++) {
        const Dim *end = dim_add(s->dims, start, sizes[i]);
        result.as.list->items[i] = sema_node_value(
            s, build_slice_axis(s->elab->graph, x, axis, start, end, 1), call->span);
        start = end;
    }
    return result;
}

Value builtin_unstack(Sema *s, BuiltinCall *call)
{
    Node *x;
    int axis;
    int64_t count;
    if (!tensor_arg(s, call, &x) || !axis_arg(s, call, 1, 0, x->type.rank, &axis))
        return value_poison;
    if (!dim_is_const(x->type.dims[axis], &count) || count > 4096) {
        sema_error(s, ERR_E0203, call->span, NULL,
                   "unstack needs an axis of a known size of at most 4096, and it is %s",
                   dim_text(s, x->type.dims[axis]));
        return value_poison;
    }
    const Dim *dims[MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->type.rank; i++)
        if (i != axis)
            dims[rank++] = x->type.dims[i];
    Value result = value_list(s, VALUE_TUPLE, (uint32_t)count, call->span);
    for (int64_t i = 0; i < count; i++) {
        Node *row = build_slice_axis(s->elab->graph, x, axis, dim_const(s->dims, i),
                                     dim_const(s->dims, i + 1), 1);
        result.as.list->items[i] =
            sema_node_value(s, build_reshape(s->elab->graph, row, rank, dims), call->span);
    }
    return result;
}

Value builtin_pad(Sema *s, BuiltinCall *call)
{
    Node *x, *value;
    int axis;
    const Dim *low, *high;
    Value zero = value_number(s, 0, call->span);
    if (!tensor_arg(s, call, &x) || !axis_arg(s, call, 1, 0, x->type.rank, &axis) ||
        !want_dim(s, &call->arg[2], call->arg_span[2], "low", &low) ||
        !want_dim(s, &call->arg[3], call->arg_span[3], "high", &high))
        return value_poison;
    value = value_node(s, call->given[4] ? &call->arg[4] : &zero, x->type.dtype, call->span);
    if (!value)
        return value_poison;
    return sema_node_value(s, build_pad_axis(s->elab->graph, x, value, axis, low, high),
                           call->span);
}

/* ---- Indices ---- */

static bool index_arg(Sema *s, BuiltinCall *call, int at, Node **index)
{
    if (!want_tensor(s, &call->arg[at], call->arg_span[at], "index", index))
        return false;
    if (dtype_kind((*index)->type.dtype) == KIND_INT)
        return true;
    sema_error(s, ERR_E0200, call->arg_span[at], NULL,
               "an index must be an integer tensor, and this is %s", type_text(s, &(*index)->type));
    return false;
}

Value builtin_take(Sema *s, BuiltinCall *call)
{
    Node *x, *index;
    int axis;
    if (!tensor_arg(s, call, &x) || !index_arg(s, call, 1, &index) ||
        !axis_arg(s, call, 2, 0, x->type.rank, &axis))
        return value_poison;
    return sema_node_value(s, build_gather(s->elab->graph, x, index, axis), call->span);
}

/* ---- Sizes ---- */

Value builtin_shape(Sema *s, BuiltinCall *call)
{
    Node *x;
    if (!tensor_arg(s, call, &x))
        return value_poison;
    Value list = value_list(s, VALUE_ARRAY, (uint32_t)x->type.rank, call->span);
    for (int i = 0; i < x->type.rank; i++)
        list.as.list->items[i] = value_int(x->type.dims[i], call->span);
    return list;
}

Value builtin_size(Sema *s, BuiltinCall *call)
{
    Node *x;
    int axis;
    if (!tensor_arg(s, call, &x))
        return value_poison;
    if (!call->given[1]) {
        const Dim *total = type_elements(s->dims, &x->type);
        return total ? value_int(total, call->span) : value_poison;
    }
    return axis_arg(s, call, 1, 0, x->type.rank, &axis) ? value_int(x->type.dims[axis], call->span)
                                                        : value_poison;
}

Value builtin_rank(Sema *s, BuiltinCall *call)
{
    Node *x;
    return tensor_arg(s, call, &x) ? value_number(s, x->type.rank, call->span) : value_poison;
}

Value builtin_is_known(Sema *s, BuiltinCall *call)
{
    (void)s;
    double number;
    return call->arg[0].kind == VALUE_POISON
               ? value_poison
               : value_bool(value_real(&call->arg[0], &number), call->span);
}

Value builtin_len(Sema *s, BuiltinCall *call)
{
    const Value *v = &call->arg[0];
    switch (v->kind) {
    case VALUE_ARRAY:
    case VALUE_TUPLE:
        return value_number(s, v->as.list->count, call->span);
    case VALUE_STRING:
        return value_number(s, v->as.string.length, call->span);
    case VALUE_RANGE: {
        const Dim *count = dim_sub(s->dims, v->as.range.high, v->as.range.low);
        return count ? value_int(count, call->span) : value_poison;
    }
    case VALUE_TENSOR:
        if (v->as.node->type.rank > 0)
            return value_int(v->as.node->type.dims[0], call->span);
        break;
    default:
        break;
    }
    sema_error(s, ERR_E0204, call->span, NULL, "len is not defined for %s", value_text(s, v));
    return value_poison;
}

Value builtin_dtype(Sema *s, BuiltinCall *call)
{
    Node *x;
    if (!tensor_arg(s, call, &x))
        return value_poison;
    return (Value){.kind = VALUE_DTYPE, .span = call->span, .as.dtype = x->type.dtype};
}
