/* Gathers of index statements: x[b, idx[b, k]]. Indices of the integers that x has as well are
 * followed in step, by one gather from the axes of x merged into rows:
 *
 *   x: f32[B, V, C], idx: i32[B, K]    rows = x as [B*V, C], at idx + V*b    ->    f32[B, K, C] */
#include "compiler/sema/indexed.h"

/* index + size * (row-major number of the entry over `count` leading axes of sizes `dims`) */
static Node *offset_rows(Indexing *ix, Node *index, int count, const Dim *size)
{
    Graph *graph = ix->s->elab->graph;
    Type type = index->type;
    Node *row = NULL;
    for (int i = 0; i < count; i++) {
        Node *iota = build_iota(graph, type, i);
        Node *scaled =
            row ? build_binary(graph, OP_MUL, row, build_dim(graph, type.dims[i], DT_I64)) : NULL;
        row = scaled ? build_binary(graph, OP_ADD, scaled, iota) : iota;
    }
    return build_binary(graph, OP_ADD, index,
                        build_binary(graph, OP_MUL, row, build_dim(graph, size, DT_I64)));
}

static Node *check_bounds(Indexing *ix, Node *index, const Dim *size)
{
    Graph *graph = ix->s->elab->graph;
    Node *zero = build_const_like(graph, index, 0);
    Node *limit =
        build_broadcast(graph, build_dim(graph, size, DT_I64), index->type.rank, index->type.dims);
    Node *inside = build_binary(graph, OP_AND, build_binary(graph, OP_LE, zero, index),
                                build_binary(graph, OP_LT, index, limit));
    Attr attr = {.kind = AT_CHECK, .check = {ERR_E0205, "an index is out of range"}};
    return graph_node(graph, OP_CHECK, (Node *[]){index, inside}, 2, &attr);
}

static bool among(int label, const int *labels, int count)
{
    for (int i = 0; i < count; i++)
        if (labels[i] == label)
            return true;
    return false;
}

static int axis_with(const Taken *t, int label)
{
    for (int k = 0; k < t->rank; k++)
        if (!t->axis[k].item && t->axis[k].label == label)
            return k;
    return -1;
}

/* The axes of x in `perm`: those with shared indices, the gathered one, then the others, which are
 * the last axes of the result as well. */
static void follow_axes(Taken *t, const Taken *old, int at, const int *shared, int count,
                        uint8_t *perm, const Dim **dims)
{
    int rank = 0, to = 1;
    for (int i = 0; i < count; i++)
        perm[rank++] = (uint8_t)axis_with(old, shared[i]);
    perm[rank++] = (uint8_t)at;
    for (int k = 0; k < old->rank; k++) {
        bool done = !old->axis[k].item && among(old->axis[k].label, shared, count);
        if (k == at || done)
            continue;
        perm[rank++] = (uint8_t)k;
        dims[to++] = old->x->type.dims[k];
        t->axis[t->rank++] = old->axis[k];
    }
}

/* Indices that both the axes of x and the integers have are followed in step: those axes and the
 * gathered one are merged. */
static bool gather_in_step(Indexing *ix, Taken *t, int at, const Labelled *where, const int *shared,
                           int shared_count)
{
    Sema *s = ix->s;
    Graph *graph = s->elab->graph;
    const Taken old = *t;
    const Dim *size = old.x->type.dims[at], *rows = size, *dims[MAX_RANK];
    uint8_t perm[MAX_RANK];
    int order[2 * MAX_RANK], count = 0, rank = old.rank - shared_count;
    for (int i = 0; i < shared_count; i++) {
        order[count++] = shared[i];
        rows = rows ? dim_mul(s->dims, rows, ix->index[shared[i]].size) : NULL;
    }
    for (int k = 0; k < where->count; k++)
        if (!among(where->index[k], shared, shared_count))
            order[count++] = where->index[k];
    if (!rows || count + rank - 1 > MAX_RANK)
        return false;
    t->rank = count;
    for (int i = 0; i < count; i++)
        t->axis[i] = (Axis){NULL, order[i]};
    follow_axes(t, &old, at, shared, shared_count, perm, dims);
    dims[0] = rows;
    Node *index = build_convert(graph, labelled_spread(ix, where, order, count, true), DT_I64);
    if (!index)
        return false;
    index = offset_rows(ix, check_bounds(ix, index, size), shared_count, size);
    Node *merged = build_reshape(graph, build_permute(graph, old.x, perm), rank, dims);
    t->x = build_gather(graph, merged, index, 0);
    return t->x != NULL;
}

bool index_gather(Indexing *ix, Taken *t, int at, const AstExpr *item)
{
    Sema *s = ix->s;
    Labelled where = index_part(ix, item);
    if (where.value.kind == VALUE_POISON)
        return false;
    if (where.value.kind != VALUE_TENSOR ||
        dtype_kind(where.value.as.node->type.dtype) != KIND_INT) {
        sema_error(s, ERR_E0200, item->span, NULL, "an index must be integers, and this is %s",
                   value_text(s, &where.value));
        return false;
    }
    int shared[MAX_RANK], count = 0;
    for (int k = 0; k < where.count; k++)
        for (int i = 0; i < t->rank; i++)
            if (!t->axis[i].item && t->axis[i].label == where.index[k])
                shared[count++] = where.index[k];
    if (count > 0)
        return gather_in_step(ix, t, at, &where, shared, count);
    t->x = build_gather(s->elab->graph, t->x, where.value.as.node, at);
    return t->x && taken_replace(ix, t, at, where.index, where.count, item->span);
}
