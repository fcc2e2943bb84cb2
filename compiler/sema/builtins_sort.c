/* argsort and take_along_axis, of which std makes sort and topk.
 *
 *   x = [3, 1, 2]   argsort(x) = [1, 2, 0]   take_along_axis(x, argsort(x)) = [1, 2, 3]
 *
 * Descending order is ascending order of the reversed axis, reversed, so that it is stable as well
 * and begins with NaN. */
#include "compiler/sema/builtins.h"

static bool axis_of(Sema *s, BuiltinCall *call, int index, int rank, int *axis)
{
    Value last = value_number(s, -1, call->span);
    return want_axis(s, call->given[index] ? &call->arg[index] : &last,
                     call->given[index] ? call->arg_span[index] : call->span, rank, axis);
}

Value builtin_argsort(Sema *s, BuiltinCall *call)
{
    Graph *graph = s->elab->graph;
    Node *x;
    int axis;
    bool descending = false;
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], "argsort", &x) ||
        !axis_of(s, call, 1, x->type.rank, &axis) ||
        (call->given[2] &&
         !want_bool(s, &call->arg[2], call->arg_span[2], "descending", &descending)))
        return value_poison;
    if (descending)
        x = build_reverse(graph, x, axes_one(axis));
    Node *order = build_axis_op(graph, OP_ARGSORT, x, axis);
    if (order && descending) {
        Node *last =
            build_dim(graph, dim_sub(s->dims, x->type.dims[axis], dim_const(s->dims, 1)), DT_I32);
        order = build_binary(graph, OP_SUB, last, build_reverse(graph, order, axes_one(axis)));
    }
    return sema_node_value(s, order, call->span);
}

/* ---- take_along_axis ---- */

static bool same_but_axis(Sema *s, BuiltinCall *call, Node *x, Node **index, int axis)
{
    bool fits = (*index)->type.rank == x->type.rank && dtype_kind((*index)->type.dtype) == KIND_INT;
    for (int i = 0; fits && i < x->type.rank; i++)
        fits = i == axis || x->type.dims[i] == (*index)->type.dims[i] ||
               settle_alike(s, index, i, x->type.dims[i], call->span, "take_along_axis");
    if (!fits)
        sema_error(s, ERR_E0312, call->span, NULL,
                   "take_along_axis of %s by %s: the indices are integers of the same sizes but "
                   "for axis %d",
                   type_text(s, &x->type), type_text(s, &(*index)->type), axis);
    return fits;
}

/* The axis last: [.., N, ..] becomes [rows, N]. */
static Node *axis_last(Sema *s, Node *x, int axis, const Dim **rows)
{
    uint8_t perm[MAX_RANK];
    int to = 0;
    const Dim *dims[2] = {dim_const(s->dims, 1), x->type.dims[axis]};
    for (int i = 0; i < x->type.rank; i++) {
        if (i == axis)
            continue;
        perm[to++] = (uint8_t)i;
        dims[0] = dims[0] ? dim_mul(s->dims, dims[0], x->type.dims[i]) : NULL;
    }
    perm[to] = (uint8_t)axis;
    *rows = dims[0];
    return dims[0] ? build_reshape(s->elab->graph, build_permute(s->elab->graph, x, perm), 2, dims)
                   : NULL;
}

/* [rows, K] back to the shape of `like`, with the last axis at `axis`. */
static Node *axis_back(Sema *s, Node *x, const Type *like, int axis)
{
    const Dim *dims[MAX_RANK];
    uint8_t perm[MAX_RANK];
    int to = 0;
    for (int i = 0; i < like->rank; i++)
        if (i != axis)
            dims[to++] = like->dims[i];
    dims[to] = like->dims[axis];
    for (int i = 0; i < like->rank; i++)
        perm[i] = (uint8_t)(i == axis ? like->rank - 1 : i - (i > axis));
    return build_permute(s->elab->graph, build_reshape(s->elab->graph, x, like->rank, dims), perm);
}

/* The rows one after the other; an index out of its row stops the run. */
static Node *take_rows(Sema *s, Node *x, Node *index, const Dim *rows)
{
    Graph *graph = s->elab->graph;
    const Dim *size = x->type.dims[1], *total = dim_mul(s->dims, rows, size);
    Node *wide = build_convert(graph, index, DT_I64), *count = build_dim(graph, size, DT_I64);
    if (!total)
        return NULL;
    Node *inside = build_binary(graph, OP_AND,
                                build_binary(graph, OP_LE, build_scalar(graph, DT_I64, 0), wide),
                                build_binary(graph, OP_LT, wide, count));
    Attr attr = {.kind = AT_CHECK, .check = {ERR_E0205, "an index is out of range"}};
    wide = graph_node(graph, OP_CHECK, (Node *[]){wide, inside}, 2, &attr);
    Node *first =
        wide ? build_binary(graph, OP_MUL, build_iota(graph, wide->type, 0), count) : NULL;
    return build_gather(graph, build_reshape(graph, x, 1, &total),
                        build_binary(graph, OP_ADD, wide, first), 0);
}

Value builtin_take_along_axis(Sema *s, BuiltinCall *call)
{
    Node *x, *index;
    int axis;
    const Dim *rows, *same;
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], "take_along_axis", &x) ||
        !want_tensor(s, &call->arg[1], call->arg_span[1], "index", &index) ||
        !axis_of(s, call, 2, x->type.rank, &axis) || !same_but_axis(s, call, x, &index, axis))
        return value_poison;
    Type type = index->type;
    Node *flat = axis_last(s, x, axis, &rows), *which = axis_last(s, index, axis, &same);
    Node *taken = flat && which ? take_rows(s, flat, which, rows) : NULL;
    return sema_node_value(s, taken ? axis_back(s, taken, &type, axis) : NULL, call->span);
}
