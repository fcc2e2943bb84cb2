/* Entries of an axis by indices, one index per place: take_along_axis reads them, scatter and
 * scatter_add write them; these two also write the rows that take reads.
 *
 *   x = [[1, 2, 3], [4, 5, 6]], index = [[2, 0], [1, 1]]
 *   take_along_axis(x, index)                   [[3, 1], [5, 5]]
 *   scatter_add(x, index, 10, axis=1)           [[11, 2, 13], [4, 25, 6]]
 *   scatter(x, index, [[7, 8], [7, 8]], axis=1) [[8, 2, 7], [4, 8, 6]]
 *   scatter(x, [1], [[7, 8, 9]])                [[1, 2, 3], [7, 8, 9]]
 *
 * The axis goes last and the others become rows, so that all is a gather or scatter of one axis. Of
 * several values for one place scatter keeps the last along the axis: a stable sort of the indices
 * of a row finds it, and what each place gets is a gather by the number of its value (0: none, the
 * place keeps x). No arithmetic touches the values, and gradients are those of gather. */
#include "compiler/sema/builtins.h"

/* Integers of the sizes of x but for the axis. */
static bool same_but_axis(Sema *s, BuiltinCall *call, Node *x, Node **index, int axis)
{
    const char *name = call->row->name;
    bool fits = (*index)->type.rank == x->type.rank && dtype_kind((*index)->type.dtype) == KIND_INT;
    for (int i = 0; fits && i < x->type.rank; i++)
        fits = i == axis || x->type.dims[i] == (*index)->type.dims[i] ||
               settle_alike(s, index, i, x->type.dims[i], call->span, name);
    if (!fits)
        sema_error(s, ERR_E0312, call->span, NULL,
                   "%s of %s by %s: the indices are integers of the same sizes but for axis %d",
                   name, type_text(s, &x->type), type_text(s, &(*index)->type), axis);
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

static Node *checked(Sema *s, Node *index, const Dim *size)
{
    Graph *graph = s->elab->graph;
    Node *wide = build_convert(graph, index, DT_I64), *count = build_dim(graph, size, DT_I64);
    Node *inside = build_binary(graph, OP_AND,
                                build_binary(graph, OP_LE, build_scalar(graph, DT_I64, 0), wide),
                                build_binary(graph, OP_LT, wide, count));
    Attr attr = {.kind = AT_CHECK, .check = {ERR_E0205, "an index is out of range"}};
    return wide && inside ? graph_node(graph, OP_CHECK, (Node *[]){wide, inside}, 2, &attr) : NULL;
}

/* index[r, k] of rows of `size` as an index into the rows one after the other. */
static Node *in_all_rows(Sema *s, Node *index, const Dim *size)
{
    Graph *graph = s->elab->graph;
    if (!index)
        return NULL;
    Node *first = build_binary(graph, OP_MUL, build_iota(graph, index->type, 0),
                               build_dim(graph, size, DT_I64));
    return build_binary(graph, OP_ADD, index, first);
}

static Node *flat(Sema *s, Node *x)
{
    const Dim *total = x ? type_elements(s->dims, &x->type) : NULL;
    return total ? build_reshape(s->elab->graph, x, 1, &total) : NULL;
}

static Node *take_rows(Sema *s, Node *x, Node *index)
{
    Node *at = in_all_rows(s, index, x->type.dims[1]), *all = flat(s, x);
    return at && all ? build_gather(s->elab->graph, all, at, 0) : NULL;
}

/* ---- take_along_axis ---- */

Value builtin_take_along_axis(Sema *s, BuiltinCall *call)
{
    Node *x, *index;
    int axis;
    const Dim *rows;
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], "take_along_axis", &x) ||
        !want_tensor(s, &call->arg[1], call->arg_span[1], "index", &index) ||
        !axis_or_last(s, call, 2, x->type.rank, &axis) || !same_but_axis(s, call, x, &index, axis))
        return value_poison;
    Type type = index->type;
    Node *lines = axis_last(s, x, axis, &rows), *which = axis_last(s, index, axis, &rows);
    which = lines && which ? checked(s, which, lines->type.dims[1]) : NULL;
    Node *taken = which ? take_rows(s, lines, which) : NULL;
    return sema_node_value(s, taken ? axis_back(s, taken, &type, axis) : NULL, call->span);
}

/* ---- scatter and scatter_add ---- */

typedef struct {
    Node *x, *index, *updates;
    int axis;
    bool rows;                 /* of the axis, as take reads them; else entries */
    Node *lines, *at, *values; /* [rows, N], [rows, K] and [rows, K]; `at` is i64 and inside */
} Scattered;

/* The sizes of what `take` would read: those of the index in place of the axis. */
static int sizes_of_rows(const Scattered *to, const Dim **dims)
{
    const Type *x = &to->x->type, *index = &to->index->type;
    const int more = index->rank - 1, rank = x->rank + more;
    for (int i = 0; i < rank && i < MAX_RANK; i++)
        dims[i] = i < to->axis          ? x->dims[i]
                  : i > to->axis + more ? x->dims[i - more]
                                        : index->dims[i - to->axis];
    return rank;
}

static bool sizes_fit(Sema *s, const BuiltinCall *call, Node **x, int rank, const Dim *const *dims,
                      int but)
{
    bool fits = (*x)->type.rank == rank;
    for (int i = 0; fits && i < rank; i++)
        fits = i == but || (*x)->type.dims[i] == dims[i] ||
               settle_alike(s, x, i, dims[i], call->span, call->row->name);
    return fits;
}

/* A number is as many updates as are needed: entries, where the index has the axes of x. */
static bool updates_fit(Sema *s, const BuiltinCall *call, Scattered *to)
{
    const Dim *dims[MAX_RANK];
    const int rank = to->x->type.rank;
    const bool number = to->updates->type.rank == 0 && rank + to->index->type.rank > 1;
    if (dtype_kind(to->index->type.dtype) != KIND_INT ||
        to->updates->type.dtype != to->x->type.dtype)
        return false;
    to->rows =
        rank == 1 || to->index->type.rank != rank || (!number && to->updates->type.rank != rank);
    if (!to->rows && !sizes_fit(s, call, &to->index, rank, to->x->type.dims, to->axis))
        return false;
    int wanted = to->rows ? sizes_of_rows(to, dims) : rank;
    for (int i = 0; !to->rows && i < rank; i++)
        dims[i] = to->index->type.dims[i];
    if (number && wanted <= MAX_RANK)
        to->updates = build_broadcast(s->elab->graph, to->updates, wanted, dims);
    return to->updates && sizes_fit(s, call, &to->updates, wanted, dims, -1);
}

static bool read_scatter(Sema *s, const BuiltinCall *call, Scattered *to)
{
    const Value first = value_number(s, 0, call->span);
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], call->row->name, &to->x) ||
        !want_tensor(s, &call->arg[1], call->arg_span[1], "index", &to->index) ||
        !want_axis(s, call->given[3] ? &call->arg[3] : &first,
                   call->given[3] ? call->arg_span[3] : call->span, to->x->type.rank, &to->axis) ||
        !(to->updates = value_node(s, &call->arg[2], to->x->type.dtype, call->arg_span[2])))
        return false;
    const Type given = to->updates->type;
    if (updates_fit(s, call, to))
        return true;
    DiagItem *item =
        sema_error(s, ERR_E0312, call->span, NULL, "%s into axis %d of %s by %s of %s does not fit",
                   call->row->name, to->axis, type_text(s, &to->x->type),
                   type_text(s, &to->index->type), type_text(s, &given));
    diag_help(
        item,
        "an update for each row, as take reads them, or an index and an update for each entry");
    return false;
}

/* Rows as entries: updates [.., K, ..], and for each the index of its row. */
static void rows_as_entries(Sema *s, Scattered *to)
{
    Graph *graph = s->elab->graph;
    const Type *x = &to->x->type;
    const Dim *dims[MAX_RANK], *ones[MAX_RANK];
    for (int i = 0; i < x->rank; i++) {
        dims[i] = i == to->axis ? type_elements(s->dims, &to->index->type) : x->dims[i];
        ones[i] = i == to->axis ? dims[i] : dim_const(s->dims, 1);
    }
    to->updates = build_reshape(graph, to->updates, x->rank, dims);
    to->index = build_reshape(graph, to->index, x->rank, ones);
    to->index = to->index ? build_expand(graph, to->index, x->rank, dims) : NULL;
}

/* False: the graph refused. */
static bool entries_to_lines(Sema *s, Scattered *to)
{
    const Dim *rows;
    if (to->rows)
        rows_as_entries(s, to);
    if (!to->index || !to->updates)
        return false;
    to->lines = axis_last(s, to->x, to->axis, &rows);
    to->at = axis_last(s, to->index, to->axis, &rows);
    to->values = axis_last(s, to->updates, to->axis, &rows);
    to->at = to->lines && to->at ? checked(s, to->at, to->lines->type.dims[1]) : NULL;
    return to->at && to->values;
}

static Node *lines_back(Sema *s, const Scattered *to, Node *all)
{
    Node *lines = all ? build_reshape(s->elab->graph, all, 2, to->lines->type.dims) : NULL;
    return lines ? axis_back(s, lines, &to->x->type, to->axis) : NULL;
}

static Node *add_entries(Sema *s, const Scattered *to)
{
    Node *at = flat(s, in_all_rows(s, to->at, to->lines->type.dims[1]));
    return lines_back(
        s, to, build_scatter_add(s->elab->graph, flat(s, to->lines), at, flat(s, to->values), 0));
}

Value builtin_scatter_add(Sema *s, BuiltinCall *call)
{
    Scattered to = {0};
    if (!read_scatter(s, call, &to))
        return value_poison;
    Node *sum = to.rows ? build_scatter_add(s->elab->graph, to.x, to.index, to.updates, to.axis)
                : entries_to_lines(s, &to) ? add_entries(s, &to)
                                           : NULL;
    return sema_node_value(s, sum, call->span);
}

/* Is sorted[r, k] the last of its kind in row r? */
static Node *last_of_kind(Sema *s, Node *sorted)
{
    Graph *graph = s->elab->graph;
    const Dim *count = sorted->type.dims[1];
    Type type = {.dtype = DT_I64, .rank = 1, .dims = {count}};
    Node *k = build_iota(graph, type, 0);
    Node *end = build_dim(graph, dim_sub(s->dims, count, dim_const(s->dims, 1)), DT_I64);
    Node *after = build_binary(graph, OP_ADD, k, build_scalar(graph, DT_I64, 1));
    Node *next = build_gather(graph, sorted, build_binary(graph, OP_MIN, after, end), 1);
    Node *ends = build_broadcast(graph, build_binary(graph, OP_EQ, k, end), 2, sorted->type.dims);
    return build_binary(graph, OP_OR, build_binary(graph, OP_NE, sorted, next), ends);
}

/* Per place of the rows one after the other the number of its value, from 1 on; 0: none. */
static Node *winners(Sema *s, const Scattered *to)
{
    Graph *graph = s->elab->graph;
    Node *order = build_axis_op(graph, OP_ARGSORT, to->at, 1);
    order = order ? build_convert(graph, order, DT_I64) : NULL;
    Node *sorted = order ? take_rows(s, to->at, order) : NULL;
    Node *last = sorted ? last_of_kind(s, sorted) : NULL;
    if (!last)
        return NULL;
    Node *number = build_binary(graph, OP_ADD, in_all_rows(s, order, to->at->type.dims[1]),
                                build_scalar(graph, DT_I64, 1));
    number = build_select(graph, last, number, build_const_like(graph, number, 0));
    Type all = {DT_I64, 1, {type_elements(s->dims, &to->lines->type)}};
    return build_scatter_add(graph, build_const(graph, all, 0),
                             flat(s, in_all_rows(s, sorted, to->lines->type.dims[1])),
                             flat(s, number), 0);
}

static Node *put_entries(Sema *s, const Scattered *to)
{
    Graph *graph = s->elab->graph;
    Node *number = winners(s, to);
    if (!number)
        return NULL;
    Node *nothing = build_const(graph, (Type){to->x->type.dtype, 1, {dim_const(s->dims, 1)}}, 0);
    Node *values = build_concat(graph, (Node *[]){nothing, flat(s, to->values)}, 2, 0);
    Node *some = build_binary(graph, OP_LT, build_const_like(graph, number, 0), number);
    return lines_back(
        s, to,
        build_select(graph, some, build_gather(graph, values, number, 0), flat(s, to->lines)));
}

Value builtin_scatter(Sema *s, BuiltinCall *call)
{
    Scattered to = {0};
    if (!read_scatter(s, call, &to))
        return value_poison;
    Node *all = entries_to_lines(s, &to) ? put_entries(s, &to) : NULL;
    return sema_node_value(s, all, call->span);
}
