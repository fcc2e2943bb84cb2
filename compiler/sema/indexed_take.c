/* One access of an index statement: x[b, 2*t + k, idx[b, j]] becomes a node with named axes.
 *
 *   an index                b                 names the axis
 *   a constant              3                 takes one entry
 *   a sum of indices        2*t + k - 1       a slice of the axis; of several indices: a gather
 *   ... with a padding      t - 1 else 0.0    outside of the axis the value is 0.0
 *   integers                idx[b, j]         a gather; indices of both sides are followed in step
 *
 * A size is given by the axis that an index names; else by the first sum with no other open index:
 * as far as the axis reaches, or, with a padding, as if nothing were added. */
#include "compiler/sema/indexed.h"

#include <string.h>

enum { MAX_TERMS = 6 };

/* constant + sum of coefficient * index */
typedef struct {
    const Dim *constant;
    int count;
    int index[MAX_TERMS];
    int64_t coefficient[MAX_TERMS];
} Affine;

/* ---- What mentions an index ---- */

int index_find(const Indexing *ix, const char *name)
{
    for (int i = 0; i < ix->count; i++)
        if (strcmp(ix->index[i].name, name) == 0)
            return i;
    return -1;
}

static bool any_mentions(const Indexing *ix, const AstExprs *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (index_mentions(ix, list->data[i]))
            return true;
    return false;
}

static bool call_mentions(const Indexing *ix, const AstExpr *expr)
{
    if (index_mentions(ix, expr->as.call.callee))
        return true;
    for (uint32_t i = 0; i < expr->as.call.arguments.count; i++)
        if (index_mentions(ix, expr->as.call.arguments.data[i].value))
            return true;
    return false;
}

bool index_mentions(const Indexing *ix, const AstExpr *expr)
{
    switch (expr->kind) {
    case AST_EXPR_NAME:
        return index_find(ix, expr->as.name) >= 0;
    case AST_EXPR_CALL:
        return call_mentions(ix, expr);
    case AST_EXPR_INDEX:
        return index_mentions(ix, expr->as.index.base) || any_mentions(ix, &expr->as.index.items);
    case AST_EXPR_MEMBER:
        return index_mentions(ix, expr->as.member.base);
    case AST_EXPR_TUPLE:
    case AST_EXPR_ARRAY:
        return any_mentions(ix, &expr->as.list);
    case AST_EXPR_NEGATE:
    case AST_EXPR_NOT:
        return index_mentions(ix, expr->as.operand);
    case AST_EXPR_BINARY:
    case AST_EXPR_PIPE:
    case AST_EXPR_PADDED:
        return index_mentions(ix, expr->as.binary.left) ||
               index_mentions(ix, expr->as.binary.right);
    case AST_EXPR_RANGE:
        return (expr->as.range.low && index_mentions(ix, expr->as.range.low)) ||
               (expr->as.range.high && index_mentions(ix, expr->as.range.high)) ||
               (expr->as.range.step && index_mentions(ix, expr->as.range.step));
    default:
        return false;
    }
}

Value index_known(Indexing *ix, const AstExpr *expr)
{
    for (uint32_t i = 0; i < ix->known.count; i++)
        if (ix->known.data[i].expr == expr)
            return ix->known.data[i].value;
    KnownValue made = {expr, eval_expr(ix->s, expr)};
    vec_push(ix->s->arena, &ix->known, made);
    return made.value;
}

/* ---- Sums of indices ---- */

static bool affine_add(Sema *s, Affine *out, const Affine *more, int64_t by)
{
    const Dim *scaled = dim_mul(s->dims, more->constant, dim_const(s->dims, by));
    out->constant = scaled ? dim_add(s->dims, out->constant, scaled) : NULL;
    for (int i = 0; i < more->count; i++) {
        int at = 0;
        while (at < out->count && out->index[at] != more->index[i])
            at++;
        if (at == MAX_TERMS)
            return false;
        if (at == out->count) {
            out->index[out->count] = more->index[i];
            out->coefficient[out->count++] = 0;
        }
        if (__builtin_mul_overflow(more->coefficient[i], by, &(int64_t){0}) ||
            __builtin_add_overflow(out->coefficient[at], more->coefficient[i] * by,
                                   &out->coefficient[at]))
            return false;
    }
    return out->constant != NULL;
}

static bool affine_of(Indexing *ix, const AstExpr *expr, Affine *out);

static bool affine_product(Indexing *ix, const AstExpr *expr, Affine *out)
{
    Affine a, b, zero = *out;
    int64_t factor;
    if (!affine_of(ix, expr->as.binary.left, &a) || !affine_of(ix, expr->as.binary.right, &b))
        return false;
    if (a.count == 0 && dim_is_const(a.constant, &factor))
        return affine_add(ix->s, out, &b, factor);
    *out = zero;
    return b.count == 0 && dim_is_const(b.constant, &factor) && affine_add(ix->s, out, &a, factor);
}

/* False: expr is no sum of indices and constants, which is no error. */
static bool affine_of(Indexing *ix, const AstExpr *expr, Affine *out)
{
    Affine part;
    *out = (Affine){.constant = dim_const(ix->s->dims, 0)};
    if (!index_mentions(ix, expr)) {
        Value v = index_known(ix, expr);
        out->constant = v.kind == VALUE_INT ? v.as.dim : NULL;
        return v.kind == VALUE_INT;
    }
    if (expr->kind == AST_EXPR_NAME) {
        out->count = 1;
        out->index[0] = index_find(ix, expr->as.name);
        out->coefficient[0] = 1;
        return true;
    }
    if (expr->kind == AST_EXPR_NEGATE)
        return affine_of(ix, expr->as.operand, &part) && affine_add(ix->s, out, &part, -1);
    if (expr->kind != AST_EXPR_BINARY)
        return false;
    AstBinary op = expr->as.binary.op;
    if (op == AST_MUL)
        return affine_product(ix, expr, out);
    if (op != AST_ADD && op != AST_SUB)
        return false;
    return affine_of(ix, expr->as.binary.left, &part) && affine_add(ix->s, out, &part, 1) &&
           affine_of(ix, expr->as.binary.right, &part) &&
           affine_add(ix->s, out, &part, op == AST_ADD ? 1 : -1);
}

static const AstExpr *without_padding(const AstExpr *item)
{
    return item->kind == AST_EXPR_PADDED ? item->as.binary.left : item;
}

/* ---- Sizes ---- */

static bool access_axes(Indexing *ix, const AstExpr *access, Node **x)
{
    Value base = index_known(ix, access->as.index.base);
    if (base.kind != VALUE_TENSOR || base.as.node->type.rank != (int)access->as.index.items.count)
        return false; /* index_take says so */
    *x = base.as.node;
    return true;
}

bool index_infer_plain(Indexing *ix, const AstExpr *access)
{
    Node *x;
    bool progress = false;
    if (!access_axes(ix, access, &x))
        return false;
    for (int i = 0; i < x->type.rank; i++) {
        const AstExpr *item = access->as.index.items.data[i];
        int index = item->kind == AST_EXPR_NAME ? index_find(ix, item->as.name) : -1;
        if (index < 0 || ix->index[index].size)
            continue;
        ix->index[index].size = x->type.dims[i];
        ix->index[index].span = item->span;
        progress = true;
    }
    return progress;
}

/* Smallest and largest value of the sum, over the indices with a size but for `open`. NULL: too
 * large for arithmetic. */
static void affine_range(Indexing *ix, const Affine *sum, int open, const Dim **low,
                         const Dim **high)
{
    DimTable *dims = ix->s->dims;
    *low = *high = sum->constant;
    for (int i = 0; i < sum->count; i++) {
        if (sum->index[i] == open)
            continue;
        const Dim *last = dim_sub(dims, ix->index[sum->index[i]].size, dim_const(dims, 1));
        const Dim *reach = last ? dim_mul(dims, last, dim_const(dims, sum->coefficient[i])) : NULL;
        const Dim **end = sum->coefficient[i] > 0 ? high : low;
        *end = *end && reach ? dim_add(dims, *end, reach) : NULL;
    }
}

/* Positions of an axis of that size that `coefficient * index + the rest` reaches. */
static const Dim *reach_of(Indexing *ix, const Affine *sum, int open, int64_t coefficient,
                           const Dim *size, bool padded)
{
    DimTable *dims = ix->s->dims;
    const Dim *low, *high, *one = dim_const(dims, 1);
    affine_range(ix, sum, open, &low, &high);
    const Dim *room = padded ? dim_sub(dims, size, one)
                      : high ? dim_sub(dims, dim_sub(dims, size, one), high)
                             : NULL;
    const Dim *steps = room ? dim_floordiv(dims, room, dim_const(dims, coefficient)) : NULL;
    return steps ? dim_add(dims, steps, one) : NULL;
}

static bool infer_item(Indexing *ix, const AstExpr *item, const Dim *size)
{
    Affine sum;
    int open = -1;
    if (!index_mentions(ix, item) || !affine_of(ix, without_padding(item), &sum))
        return false;
    int64_t coefficient = 0;
    for (int i = 0; i < sum.count; i++) {
        if (ix->index[sum.index[i]].size)
            continue;
        if (open >= 0 || sum.coefficient[i] <= 0)
            return false;
        open = sum.index[i];
        coefficient = sum.coefficient[i];
    }
    const Dim *found =
        open < 0 ? NULL
                 : reach_of(ix, &sum, open, coefficient, size, item->kind == AST_EXPR_PADDED);
    int64_t number;
    if (!found || (dim_is_const(found, &number) && number < 0))
        return false;
    elab_check_size(ix->s, found, item->span,
                    arena_format(ix->s->arena,
                                 "the index %s runs over %s, which must be at least 0",
                                 ix->index[open].name, dim_text(ix->s, found)));
    ix->index[open].size = found;
    ix->index[open].span = item->span;
    return true;
}

bool index_infer_affine(Indexing *ix, const AstExpr *access)
{
    Node *x;
    bool progress = false;
    if (!access_axes(ix, access, &x))
        return false;
    for (int i = 0; i < x->type.rank; i++)
        progress |= infer_item(ix, access->as.index.items.data[i], x->type.dims[i]);
    return progress;
}

/* ---- Axes of a value being indexed ---- */

bool taken_replace(Indexing *ix, Taken *t, int at, const int *labels, int count, Span span)
{
    if (t->rank - 1 + count > MAX_RANK) {
        sema_error(ix->s, ERR_E0301, span, NULL, "more than %d axes arise here", MAX_RANK);
        return false;
    }
    memmove(&t->axis[at + count], &t->axis[at + 1], sizeof(Axis) * (size_t)(t->rank - at - 1));
    for (int i = 0; i < count; i++)
        t->axis[at + i] = (Axis){NULL, labels[i]};
    t->rank += count - 1;
    return true;
}

static bool name_axis(Indexing *ix, Taken *t, int at, int index, Span span)
{
    Sema *s = ix->s;
    const Dim *wanted = ix->index[index].size, *given = t->x->type.dims[at];
    const char *what = arena_format(s->arena, "the index %s", ix->index[index].name);
    if (wanted != given && !settle_alike(s, &t->x, at, wanted, span, what)) {
        DiagItem *item = sema_error(
            s, ERR_E0312, span, arena_format(s->arena, "%s here ...", dim_text(s, given)),
            "the index %s runs over axes of two sizes", ix->index[index].name);
        diag_note(item, sema_user_span(s, ix->index[index].span), "... and %s here",
                  dim_text(s, wanted));
        return false;
    }
    t->axis[at] = (Axis){NULL, index};
    return true;
}

/* ---- Shifts and strides ---- */

static bool leaves_axis(Indexing *ix, const AstExpr *item, const Dim *low, const Dim *high,
                        const Dim *size)
{
    Sema *s = ix->s;
    int64_t number;
    const Dim *rest = dim_sub(s->dims, dim_sub(s->dims, size, dim_const(s->dims, 1)), high);
    if (!rest)
        return true;
    bool below = dim_is_const(low, &number) && number < 0,
         above = dim_is_const(rest, &number) && number < 0;
    if (below || above) {
        DiagItem *error = sema_error(s, ERR_E0305, item->span, NULL,
                                     "this index runs from %s to %s on an axis of size %s",
                                     dim_text(s, low), dim_text(s, high), dim_text(s, size));
        diag_help(error, "[... else 0.0] gives 0 outside of the axis");
        return true;
    }
    const char *text =
        arena_format(s->arena, "an index from %s to %s must stay inside of an axis of size %s",
                     dim_text(s, low), dim_text(s, high), dim_text(s, size));
    elab_check_size(s, low, item->span, text);
    elab_check_size(s, rest, item->span, text);
    return false;
}

/* The axis from position `low` to `high`, with the padding outside of it. */
static bool cut_axis(Indexing *ix, Taken *t, int at, const AstExpr *item, const Dim *low,
                     const Dim *high)
{
    Sema *s = ix->s;
    Graph *graph = s->elab->graph;
    const Dim *size = t->x->type.dims[at], *one = dim_const(s->dims, 1),
              *end = dim_add(s->dims, high, one);
    if (item->kind != AST_EXPR_PADDED) {
        if (leaves_axis(ix, item, low, high, size))
            return false;
        t->x = build_slice_axis(graph, t->x, at, low, end, 1);
        return t->x != NULL;
    }
    Value padding = index_known(ix, item->as.binary.right);
    Node *value = value_node(s, &padding, t->x->type.dtype, item->as.binary.right->span);
    if (value && (value->type.rank > 0 || value->type.dtype != t->x->type.dtype)) {
        sema_error(s, ERR_E0200, item->as.binary.right->span, NULL,
                   "the padding must be one %s, and this is %s", dtype_name(t->x->type.dtype),
                   type_text(s, &value->type));
        return false;
    }
    const Dim *before = dim_sub(s->dims, dim_const(s->dims, 0), low),
              *after = dim_sub(s->dims, end, size);
    t->x = value && before && after ? build_pad_axis(graph, t->x, value, at, before, after) : NULL;
    return t->x != NULL;
}

/* Positions coefficient * index from 0 on: every step-th, backwards when it is negative. */
static bool stride_axis(Indexing *ix, Taken *t, int at, int index, int64_t coefficient)
{
    Graph *graph = ix->s->elab->graph;
    if (coefficient < 0)
        t->x = build_reverse(graph, t->x, axes_one(at));
    int64_t step = coefficient < 0 ? -coefficient : coefficient;
    if (t->x && step != 1)
        t->x =
            build_slice_axis(graph, t->x, at, dim_const(ix->s->dims, 0), t->x->type.dims[at], step);
    if (t->x) /* the same size, perhaps written in another way */
        t->x =
            build_slice_axis(graph, t->x, at, dim_const(ix->s->dims, 0), ix->index[index].size, 1);
    if (t->x)
        t->axis[at] = (Axis){NULL, index};
    return t->x != NULL;
}

/* Positions as a tensor over the indices of the sum, from 0 on. */
static bool gather_sum(Indexing *ix, Taken *t, int at, const Affine *sum, const Dim *low, Span span)
{
    Graph *graph = ix->s->elab->graph;
    const Dim *base = dim_sub(ix->s->dims, sum->constant, low);
    Type type = {.dtype = DT_I64, .rank = sum->count};
    for (int i = 0; i < sum->count; i++)
        type.dims[i] = ix->index[sum->index[i]].size;
    Node *position = base ? build_dim(graph, base, DT_I64) : NULL;
    for (int i = 0; position && i < sum->count; i++) {
        Node *scale = build_scalar(graph, DT_I64, (double)sum->coefficient[i]);
        position =
            build_binary(graph, OP_ADD,
                         build_binary(graph, OP_MUL, build_iota(graph, type, i), scale), position);
    }
    t->x = position ? build_gather(graph, t->x, position, at) : NULL;
    return t->x && taken_replace(ix, t, at, sum->index, sum->count, span);
}

static bool take_affine(Indexing *ix, Taken *t, int at, const AstExpr *item, const Affine *sum)
{
    const Dim *low, *high;
    affine_range(ix, sum, -1, &low, &high);
    if (!low || !high || !cut_axis(ix, t, at, item, low, high))
        return false;
    if (sum->count == 1)
        return stride_axis(ix, t, at, sum->index[0], sum->coefficient[0]);
    return gather_sum(ix, t, at, sum, low, item->span);
}

/* ---- The access ---- */

/* x[i, i]: the diagonal, as a sum in which every other term is 0. */
static bool take_diagonals(Indexing *ix, Taken *t)
{
    Graph *graph = ix->s->elab->graph;
    for (int i = 0; i < t->rank; i++)
        for (int k = i + 1; k < t->rank; k++) {
            if (t->axis[i].label != t->axis[k].label)
                continue;
            Type type = {.dtype = DT_I32, .rank = t->rank};
            for (int d = 0; d < t->rank; d++)
                type.dims[d] = t->x->type.dims[d];
            Node *same =
                build_binary(graph, OP_EQ, build_iota(graph, type, i), build_iota(graph, type, k));
            Node *only = build_select(graph, same, t->x, build_const_like(graph, t->x, 0));
            t->x = build_reduce(graph, t->x->type.dtype == DT_BOOL ? OP_ANY : OP_SUM, only,
                                axes_one(k));
            if (!t->x || !taken_replace(ix, t, k, NULL, 0, (Span){0}))
                return false;
            k--;
        }
    return true;
}

static bool take_item(Indexing *ix, Taken *t, int at)
{
    Sema *s = ix->s;
    const AstExpr *item = t->axis[at].item;
    Affine sum;
    if (!index_mentions(ix, item)) {
        Value v = index_known(ix, item);
        if (v.kind == VALUE_TENSOR)
            return index_gather(ix, t, at, item);
        t->x = index_entry(s, t->x, at, &v, item->span);
        return t->x && taken_replace(ix, t, at, NULL, 0, item->span);
    }
    if (affine_of(ix, without_padding(item), &sum) && sum.count > 0) {
        bool plain = item->kind == AST_EXPR_NAME;
        return plain ? name_axis(ix, t, at, sum.index[0], item->span)
                     : take_affine(ix, t, at, item, &sum);
    }
    if (item->kind == AST_EXPR_PADDED) {
        sema_error(s, ERR_E0403, item->span, NULL,
                   "else stands after a sum of indices only, as in x[t - 1 else 0.0]");
        return false;
    }
    return index_gather(ix, t, at, item);
}

/* Gathers come last: they look at the names of the other axes. */
static bool is_gather(Indexing *ix, const AstExpr *item)
{
    Affine sum;
    return index_mentions(ix, item) && !affine_of(ix, without_padding(item), &sum);
}

static bool start_access(Indexing *ix, const AstExpr *access, Taken *t)
{
    Sema *s = ix->s;
    const AstExprs *items = &access->as.index.items;
    Value base = index_known(ix, access->as.index.base);
    if (base.kind == VALUE_POISON)
        return false;
    if (base.kind != VALUE_TENSOR) {
        sema_error(s, ERR_E0204, access->span, NULL, "%s has no axes for indices",
                   value_text(s, &base));
        return false;
    }
    t->x = base.as.node;
    t->rank = base.as.node->type.rank;
    if (t->rank != (int)items->count) {
        sema_error(s, ERR_E0301, access->span, NULL, "%u indices on %s", items->count,
                   type_text(s, &t->x->type));
        return false;
    }
    for (int i = 0; i < t->rank; i++) {
        t->axis[i] = (Axis){items->data[i], -1};
        if (items->data[i]->kind == AST_EXPR_RANGE || items->data[i]->kind == AST_EXPR_ELLIPSIS) {
            sema_error(s, ERR_E0403, items->data[i]->span, NULL,
                       "in an index statement every axis has an index with a name");
            return false;
        }
    }
    return true;
}

bool index_check(Indexing *ix, const AstExpr *access)
{
    Taken t;
    start_access(ix, access, &t);
    return false;
}

Labelled index_take(Indexing *ix, const AstExpr *access)
{
    Taken t;
    if (!start_access(ix, access, &t))
        return labelled_poison;
    ix->s->elab->graph->error = NULL;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < t.rank;) {
            const AstExpr *item = t.axis[i].item;
            if (!item || (pass == 0 && is_gather(ix, item))) {
                i++;
                continue;
            }
            if (!take_item(ix, &t, i))
                return (sema_node_value(ix->s, t.x, item->span), labelled_poison);
            i = 0; /* axes have come, gone or moved */
        }
    if (!take_diagonals(ix, &t))
        return (sema_node_value(ix->s, t.x, access->span), labelled_poison);
    Labelled out = {.value = sema_node_value(ix->s, t.x, access->span), .count = t.rank};
    for (int i = 0; i < t.rank; i++)
        out.index[i] = t.axis[i].label;
    return out;
}
