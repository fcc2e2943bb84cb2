/* What stands before the body of a scan: the sequences, the axis to walk along, the settings.
 *
 *   scan u, t in (x, 0..T) over T reverse lengths n
 *
 * gives two sequences with the axis of time in front, its length, and where that axis was. */
#include "compiler/sema/loop.h"

#include <string.h>

/* ---- Settings of a scan ---- */

/* Which axis of the argument `source` was declared with the size called `over`; -1: unknown. */
static int declared_axis(Sema *s, const AstExpr *source, const AstExpr *over, int rank)
{
    const AstFunction *function = s->frame ? s->frame->declared : NULL;
    if (!function || source->kind != AST_EXPR_NAME || over->kind != AST_EXPR_NAME)
        return -1;
    for (uint32_t i = 0; i < function->parameters.count; i++) {
        const AstParameter *param = &function->parameters.data[i];
        const AstType *type = param->type;
        if (!type || type->kind != AST_TYPE_NAMED || strcmp(param->name.text, source->as.name) != 0)
            continue;
        uint32_t count = type->as.named.dims.count;
        bool after = false; /* an ellipsis: axes count from the end */
        for (uint32_t k = 0; k < count; k++) {
            const AstExpr *dim = type->as.named.dims.data[k];
            after |= dim->kind == AST_EXPR_ELLIPSIS;
            if (dim->kind == AST_EXPR_NAME && strcmp(dim->as.name, over->as.name) == 0)
                return after ? rank - (int)(count - k) : (int)k;
        }
    }
    return -1;
}

/* The axis of x that has the size `size`. */
static bool axis_of_size(Sema *s, const Node *x, const Dim *size, const AstExpr *source,
                         const AstExpr *over, int *axis)
{
    int found = 0, declared = declared_axis(s, source, over, x->type.rank);
    if (declared >= 0 && declared < x->type.rank && x->type.dims[declared] == size) {
        *axis = declared;
        return true;
    }
    for (int i = x->type.rank; i-- > 0;)
        if (x->type.dims[i] == size) {
            *axis = i;
            found++;
        }
    if (found == 1)
        return true;
    DiagItem *item =
        sema_error(s, ERR_E0304, over->span, NULL,
                   found ? "%s has several axes of the size %s" : "%s has no axis of the size %s",
                   type_text(s, &x->type), dim_text(s, size));
    if (found)
        diag_help(item, "name the axis: over axis=%d", *axis);
    return false;
}

typedef struct {
    const AstExpr *over, *axis, *lengths;
} Settings;

static bool read_settings(Sema *s, Loop *loop, Settings *out)
{
    const AstArguments *given = &loop->expr->as.scan.options.settings;
    for (uint32_t i = 0; i < given->count; i++) {
        AstName name = given->data[i].name;
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(given->data[k].name.text, name.text) == 0) {
                sema_error(s, ERR_E0206, name.span, NULL, "%s is given twice", name.text);
                return false;
            }
        if (strcmp(name.text, "over") == 0)
            out->over = given->data[i].value;
        else if (strcmp(name.text, "axis") == 0)
            out->axis = given->data[i].value;
        else if (strcmp(name.text, "lengths") == 0)
            out->lengths = given->data[i].value;
        else if (strcmp(name.text, "reverse") == 0)
            loop->attr.reverse = true;
        else if (strcmp(name.text, "checkpoint") == 0)
            loop->attr.recompute = true;
        else {
            DiagItem *item =
                sema_error(s, ERR_E0105, name.span, NULL, "a scan has no setting %s", name.text);
            diag_help(item, "over axis=1 names an axis");
            return false;
        }
    }
    return true;
}

/* ---- Sequences ---- */

/* x with `axis` in front and the length of the loop there. */
static bool add_sequence(Sema *s, Loop *loop, Node *x, int axis, Span span)
{
    Graph *graph = s->elab->graph;
    uint8_t perm[MAX_RANK];
    for (int i = 0, k = 0; i < x->type.rank; i++)
        if (i != axis)
            perm[++k] = (uint8_t)i;
    perm[0] = (uint8_t)axis;
    if (axis > 0)
        x = build_permute(graph, x, perm);
    if (!loop->attr.length) {
        loop->attr.length = x->type.dims[0];
        loop->repeat.axis = axis;
    }
    const char *what =
        arena_format(s->arena, "sequences of one scan, the first of length %s and this %s",
                     dim_text(s, loop->attr.length), dim_text(s, x->type.dims[0]));
    if (!settle_size(s, &x, 0, loop->attr.length, span, what)) {
        sema_error(s, ERR_E0312, span, NULL, "the sequences of a scan are of one length: %s and %s",
                   dim_text(s, loop->attr.length), dim_text(s, x->type.dims[0]));
        return false;
    }
    vec_push(s->arena, &loop->sequences, x);
    return true;
}

static bool sequence_axis(Sema *s, const Node *x, const Settings *settings, const AstExpr *source,
                          int *axis)
{
    const Dim *size;
    *axis = 0;
    if (settings->axis) {
        Value v = eval_expr(s, settings->axis);
        return want_axis(s, &v, settings->axis->span, x->type.rank, axis);
    }
    if (!settings->over)
        return true;
    Value v = eval_expr(s, settings->over);
    return want_dim(s, &v, settings->over->span, "what a scan goes over", &size) &&
           axis_of_size(s, x, size, source, settings->over, axis);
}

/* low, low+1, ... as i32. */
static Value range_sequence(Sema *s, const Value *range, Span span)
{
    Graph *graph = s->elab->graph;
    Type type = {.dtype = DT_I32, .rank = 1};
    type.dims[0] = dim_sub(s->dims, range->as.range.high, range->as.range.low);
    if (!type.dims[0])
        return value_poison;
    Node *low = build_dim(graph, range->as.range.low, DT_I32);
    return sema_node_value(s, build_binary(graph, OP_ADD, build_iota(graph, type, 0), low), span);
}

static bool read_sequence(Sema *s, Loop *loop, const Settings *settings, const Value *v,
                          const AstExpr *source)
{
    if (v->kind == VALUE_TUPLE || v->kind == VALUE_ARRAY) {
        bool list = source->kind == AST_EXPR_TUPLE || source->kind == AST_EXPR_ARRAY;
        bool ok = true;
        for (uint32_t i = 0; ok && i < v->as.list->count; i++)
            ok = read_sequence(s, loop, settings, &v->as.list->items[i],
                               list ? source->as.list.data[i] : source);
        return ok;
    }
    Node *x;
    int axis;
    Value counted = v->kind == VALUE_RANGE ? range_sequence(s, v, source->span) : *v;
    if (!want_tensor(s, &counted, source->span, "what a scan walks along", &x))
        return false;
    if (v->kind == VALUE_RANGE)
        return add_sequence(s, loop, x, 0, source->span);
    if (x->type.rank == 0) {
        sema_error(s, ERR_E0301, source->span, NULL, "a scan walks along an axis, and %s has none",
                   type_text(s, &x->type));
        return false;
    }
    return sequence_axis(s, x, settings, source, &axis) &&
           add_sequence(s, loop, x, axis, source->span);
}

static bool read_lengths(Sema *s, Loop *loop, const AstExpr *expr)
{
    Value v = expr ? eval_expr(s, expr) : value_none;
    if (v.kind == VALUE_NONE)
        return true; /* all rows to the end */
    if (!want_tensor(s, &v, expr->span, "lengths", &loop->lengths))
        return false;
    const Type *type = &loop->lengths->type;
    if (type->rank != 1 || (type->dtype != DT_I32 && type->dtype != DT_I64)) {
        sema_error(s, ERR_E0200, expr->span, NULL,
                   "lengths are one integer for every row, i32[B], and this is %s",
                   type_text(s, type));
        return false;
    }
    return true;
}

bool scan_source(Sema *s, Loop *loop)
{
    Settings settings = {0};
    const AstExpr *source = loop->expr->as.scan.source;
    loop->source = eval_expr(s, source);
    if (loop->source.kind == VALUE_POISON || !read_settings(s, loop, &settings))
        return false;
    if (!read_sequence(s, loop, &settings, &loop->source, source))
        return false;
    if (!loop->attr.length) {
        sema_error(s, ERR_E0200, source->span, NULL, "a scan needs something to walk along");
        return false;
    }
    loop->repeat.length = loop->attr.length;
    return read_lengths(s, loop, settings.lengths);
}
