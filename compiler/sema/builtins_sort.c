/* argsort, of which and of take_along_axis std makes sort and topk.
 *
 *   x = [3, 1, 2]   argsort(x) = [1, 2, 0]   take_along_axis(x, argsort(x)) = [1, 2, 3]
 *
 * Descending order is ascending order of the reversed axis, reversed, so that it is stable as well
 * and begins with NaN. */
#include "compiler/sema/builtins.h"

bool axis_or_last(Sema *s, const BuiltinCall *call, int index, int rank, int *axis)
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
        !axis_or_last(s, call, 1, x->type.rank, &axis) ||
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
