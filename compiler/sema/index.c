/* Slices and entries: x[0..T, :, -1] on tensors, list[2] on arrays and tuples.
 *
 *   x: f32[B, 10, 4]   x[:, 2..8, 0] -> f32[B, 6]   x[..., 1..] -> f32[B, 10, 3]
 *                      x[:, 1..9:3] -> f32[B, 3, 4]   x[:, ::-1] is x backwards along axis 1
 *   wte: f32[V, C]     wte[token] gathers rows of axis 0
 *
 * Negative constants count from the end. A plain index drops its axis; ... stands for the axes not
 * written. */
#include "compiler/sema/internal.h"

static Value list_entry(Sema *s, const Value *base, const Value *index, Span span)
{
    int64_t i, count = base->as.list->count;
    if (!want_int(s, index, span, "an index", &i))
        return value_poison;
    if (i < -count || i >= count) {
        sema_error(s, ERR_E0305, span, NULL, "entry %lld of %s", (long long)i, value_text(s, base));
        return value_poison;
    }
    Value entry = base->as.list->items[i < 0 ? i + count : i];
    return entry;
}

/* The step of a slice, a whole number other than 0; none written: 1. */
static bool read_step(Sema *s, const AstExpr *range, int64_t *step)
{
    const AstExpr *expr = range->as.range.step;
    *step = 1;
    if (!expr)
        return true;
    Value v = eval_expr(s, expr);
    if (!want_int(s, &v, expr->span, "the step of a slice", step))
        return false;
    if (*step == 0 || *step > INT32_MAX || *step < -INT32_MAX) {
        sema_error(s, ERR_E0305, expr->span, NULL,
                   *step == 0 ? "the step of a slice is not 0" : "the step of a slice is too long");
        return false;
    }
    return true;
}

/* An end of a range of a list; `open` when none is written. */
static bool list_end(Sema *s, const AstExpr *expr, int64_t count, int64_t open, int64_t *out)
{
    *out = open;
    if (!expr)
        return true;
    Value v = eval_expr(s, expr);
    if (!want_int(s, &v, expr->span, "an index", out))
        return false;
    *out += *out < 0 ? count : 0;
    return true;
}

static Value list_range(Sema *s, const Value *base, const AstExpr *range)
{
    int64_t count = base->as.list->count, low, high, step;
    if (!read_step(s, range, &step) ||
        !list_end(s, range->as.range.low, count, step < 0 ? count - 1 : 0, &low) ||
        !list_end(s, range->as.range.high, count, step < 0 ? -1 : count, &high))
        return value_poison;
    int64_t span = step < 0 ? low - high : high - low, each = step < 0 ? -step : step;
    if (span < 0 || (step < 0 ? high < -1 || low >= count : low < 0 || high > count)) {
        sema_error(s, ERR_E0305, range->span, NULL, "entries %lld..%lld of %s", (long long)low,
                   (long long)high, value_text(s, base));
        return value_poison;
    }
    Value result = value_list(s, base->kind, (uint32_t)((span + each - 1) / each), range->span);
    for (uint32_t i = 0; i < result.as.list->count; i++)
        result.as.list->items[i] = base->as.list->items[low + i * step];
    return result;
}

static Value index_list(Sema *s, const Value *base, const AstExpr *expr)
{
    if (expr->as.index.items.count != 1) {
        sema_error(s, ERR_E0305, expr->span, NULL, "%s has one axis", value_text(s, base));
        return value_poison;
    }
    const AstExpr *item = expr->as.index.items.data[0];
    if (item->kind == AST_EXPR_RANGE)
        return list_range(s, base, item);
    Value index = eval_expr(s, item);
    return list_entry(s, base, &index, item->span);
}

/* An end of a range or an index as an offset from the start of an axis of that size. */
static bool offset_of(Sema *s, const AstExpr *expr, const Dim *size, const Dim **out)
{
    Value v = eval_expr(s, expr);
    int64_t number;
    if (!want_dim(s, &v, expr->span, "an end of a slice", out))
        return false;
    if (dim_is_const(*out, &number) && number < 0)
        *out = dim_add(s->dims, size, *out);
    return *out != NULL;
}

/* `what` is how a message calls the elements from low to high. */
static bool slice_fits(Sema *s, const Dim *low, const Dim *high, const Dim *size, const char *what,
                       Span span)
{
    int64_t a = 0, b = 0, n = 0;
    const Dim *length = dim_sub(s->dims, high, low), *rest = dim_sub(s->dims, size, high);
    bool bad = (dim_is_const(low, &a) && a < 0) || (length && dim_is_const(length, &b) && b < 0) ||
               (rest && dim_is_const(rest, &n) && n < 0);
    if (bad)
        sema_error(s, ERR_E0305, span, NULL, "the slice %s leaves an axis of size %s", what,
                   dim_text(s, size));
    if (bad || !length || !rest)
        return false;
    const char *text = arena_format(s->arena, "the slice %s must lie inside of an axis of size %s",
                                    what, dim_text(s, size));
    elab_check_size(s, low, span, text);
    elab_check_size(s, length, span, text);
    elab_check_size(s, rest, span, text);
    return true;
}

/* "2..8", "8..1:-3"; what is not written and ends nowhere inside is empty. */
static const char *slice_text(Sema *s, const Dim *low, const Dim *high, int64_t step)
{
    const char *ends = arena_format(s->arena, "%s..%s", low ? dim_text(s, low) : "",
                                    high ? dim_text(s, high) : "");
    return step == 1 ? ends : arena_format(s->arena, "%s:%lld", ends, (long long)step);
}

/* Backwards is forwards along the reversed axis, where element i is number size - 1 - i. */
static Node *slice_axis(Sema *s, Node *x, int axis, const AstExpr *item)
{
    Graph *graph = s->elab->graph;
    const Dim *size = x->type.dims[axis], *low = NULL, *high = NULL;
    int64_t step;
    if (!read_step(s, item, &step) ||
        (item->as.range.low && !offset_of(s, item->as.range.low, size, &low)) ||
        (item->as.range.high && !offset_of(s, item->as.range.high, size, &high)))
        return NULL;
    if (step > 0) {
        low = low ? low : dim_const(s->dims, 0);
        high = high ? high : size;
    }
    const char *what = slice_text(s, low, high, step);
    if (step < 0) {
        const Dim *last = dim_sub(s->dims, size, dim_const(s->dims, 1));
        low = low ? dim_sub(s->dims, last, low) : dim_const(s->dims, 0);
        high = high ? dim_sub(s->dims, last, high) : size;
        x = build_reverse(graph, x, axes_one(axis));
    }
    if (!slice_fits(s, low, high, size, what, item->span))
        return NULL;
    return build_slice_axis(graph, x, axis, low, high, step < 0 ? -step : step);
}

static Node *drop_axis(Sema *s, Node *x, int axis)
{
    const Dim *dims[MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->type.rank; i++)
        if (i != axis)
            dims[rank++] = x->type.dims[i];
    return build_reshape(s->elab->graph, x, rank, dims);
}

Node *index_entry(Sema *s, Node *x, int axis, const Value *v, Span span)
{
    const Dim *at, *size = x->type.dims[axis];
    int64_t number;
    if (!want_dim(s, v, span, "an index", &at))
        return NULL;
    if (dim_is_const(at, &number) && number < 0)
        at = dim_add(s->dims, size, at);
    const Dim *next = at ? dim_add(s->dims, at, dim_const(s->dims, 1)) : NULL;
    if (!next || !slice_fits(s, at, next, size, slice_text(s, at, next, 1), span))
        return NULL;
    x = build_slice_axis(s->elab->graph, x, axis, at, next, 1);
    return x ? drop_axis(s, x, axis) : NULL;
}

/* One item on one axis; *axis moves on when the axis stays. */
static Node *index_item(Sema *s, Node *x, int *axis, const AstExpr *item)
{
    if (item->kind == AST_EXPR_RANGE)
        return slice_axis(s, x, (*axis)++, item);
    Value v = eval_expr(s, item);
    if (v.kind == VALUE_TENSOR) {
        Node *index = v.as.node;
        if (dtype_kind(index->type.dtype) != KIND_INT) {
            sema_error(s, ERR_E0200, item->span, NULL,
                       "an index must be an integer tensor, and this is %s", value_text(s, &v));
            return NULL;
        }
        Node *node = build_gather(s->elab->graph, x, index, *axis);
        *axis += index->type.rank;
        return sema_node_value(s, node, item->span).as.node;
    }
    return index_entry(s, x, *axis, &v, item->span);
}

static Value index_tensor(Sema *s, Node *x, const AstExpr *expr)
{
    const AstExprs *items = &expr->as.index.items;
    int written = 0, axis = 0;
    for (uint32_t i = 0; i < items->count; i++)
        written += items->data[i]->kind != AST_EXPR_ELLIPSIS;
    if (written > x->type.rank) {
        sema_error(s, ERR_E0301, expr->span, NULL, "%d indices on %s", written,
                   type_text(s, &x->type));
        return value_poison;
    }
    bool open = false;
    int rest = x->type.rank - written;
    for (uint32_t i = 0; i < items->count; i++) {
        if (items->data[i]->kind == AST_EXPR_ELLIPSIS) {
            if (open) {
                sema_error(s, ERR_E0305, items->data[i]->span, NULL,
                           "... stands twice in one index");
                return value_poison;
            }
            open = true;
            axis += rest;
            continue;
        }
        x = index_item(s, x, &axis, items->data[i]);
        if (!x)
            return value_poison;
    }
    return value_tensor(x, expr->span);
}

Value eval_index(Sema *s, const AstExpr *expr)
{
    Value base = eval_expr(s, expr->as.index.base);
    switch (base.kind) {
    case VALUE_POISON:
        return value_poison;
    case VALUE_TENSOR:
        return index_tensor(s, base.as.node, expr);
    case VALUE_ARRAY:
    case VALUE_TUPLE:
        return index_list(s, &base, expr);
    default:
        sema_error(s, ERR_E0204, expr->span, NULL, "%s has no entries to take with [ ]",
                   value_text(s, &base));
        return value_poison;
    }
}
