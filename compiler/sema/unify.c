/* Types of signatures against values: a name in a shape is bound at its first use and compared
 * afterwards.
 *
 *   fn (x: f32[B, T, C]) -> f32[B, T, 4*C]
 *   C = 8 is known, x is f32[N, 10, 8]:  B = N, T = 10, the result is f32[N, 10, 32]
 *
 * Two sizes agree when they are the same polynomial; they differ when nothing but an
 * empty batch makes them equal; anything else is settled at run time (relation.c). */
#include "compiler/sema/internal.h"

#include <string.h>

/* ---- Names in dimension expressions ---- */

/* The size that a name stands for; NULL: not bound. */
static const Dim *dim_of_name(Sema *s, Scope *scope, const char *name, Span span)
{
    Binding *binding = scope_find(scope, name);
    if (!binding)
        return NULL;
    Value v = binding_value(s, binding, span);
    if (v.kind == VALUE_INT)
        return v.as.dim;
    return NULL;
}

static uint32_t count_unbound(Sema *s, Scope *scope, const AstExpr *expr)
{
    switch (expr->kind) {
    case AST_EXPR_NAME:
        return !scope_find(scope, expr->as.name) && !builtin_find(expr->as.name);
    case AST_EXPR_BINARY:
        return count_unbound(s, scope, expr->as.binary.left) +
               count_unbound(s, scope, expr->as.binary.right);
    case AST_EXPR_NEGATE:
        return count_unbound(s, scope, expr->as.operand);
    default:
        return 0;
    }
}

static const Dim *eval_dim(Sema *s, Scope *scope, const AstExpr *expr)
{
    Value v = eval_in(s, scope, expr);
    const Dim *dim;
    int64_t number;
    if (!want_dim(s, &v, expr->span, "a size", &dim))
        return NULL;
    if (dim_is_const(dim, &number) && number < 0) {
        sema_error(s, ERR_E0308, expr->span, NULL, "a size of %lld", (long long)number);
        return NULL;
    }
    return dim;
}

/* Binds the one unbound name of expr so that expr = dim. False: it cannot be solved this way. */
static bool solve(Sema *s, Scope *scope, const AstExpr *expr, const Dim *dim, Span from)
{
    if (!dim)
        return false;
    if (expr->kind == AST_EXPR_NAME) {
        scope_put(s, scope, expr->as.name, from, BIND_DIM, value_int(dim, from));
        return true;
    }
    if (expr->kind != AST_EXPR_BINARY)
        return false;
    const AstExpr *left = expr->as.binary.left, *right = expr->as.binary.right;
    bool in_left = count_unbound(s, scope, left) == 1;
    const Dim *known = eval_dim(s, scope, in_left ? right : left), *quotient = NULL;
    const AstExpr *open = in_left ? left : right;
    if (!known)
        return false;
    switch (expr->as.binary.op) {
    case AST_ADD:
        return solve(s, scope, open, dim_sub(s->dims, dim, known), from);
    case AST_SUB:
        return solve(s, scope, open,
                     in_left ? dim_add(s->dims, dim, known) : dim_sub(s->dims, known, dim), from);
    case AST_MUL:
        return !dim_is(known, 0) && dim_divides_exactly(s->dims, dim, known, &quotient) &&
               solve(s, scope, open, quotient, from);
    case AST_DIV:
        return in_left && solve(s, scope, open, dim_mul(s->dims, dim, known), from);
    default:
        return false;
    }
}

/* ---- Text of a declared type ---- */

static void expr_text(Sema *s, Scope *scope, const AstExpr *expr, StrBuf *out)
{
    if (expr->kind == AST_EXPR_ELLIPSIS) {
        strbuf_add(out, "...");
        return;
    }
    if (count_unbound(s, scope, expr) == 0) {
        Value v = eval_in(s, scope, expr);
        if (v.kind == VALUE_INT) {
            dim_print(s->dims, v.as.dim, out);
            return;
        }
    }
    size_t length;
    const char *text = source_text(s->map, expr->span.file, &length);
    strbuf_add_bytes(out, text + expr->span.begin, expr->span.end - expr->span.begin);
}

static void ellipsis_text(Sema *s, const Frame *frame, StrBuf *out)
{
    for (int i = 0; i < frame->ellipsis_rank; i++) {
        strbuf_add(out, i ? ", " : "");
        dim_print(s->dims, frame->ellipsis[i], out);
    }
}

static const char *pattern_text(Sema *s, const AstType *type, Scope *scope, const Frame *whole)
{
    StrBuf out = {0};
    if (type->kind == AST_TYPE_TUPLE) {
        strbuf_printf(&out, "%u results", type->as.tuple.count);
    } else {
        DType dtype;
        const char *name = type->as.named.path.data[type->as.named.path.count - 1].text;
        strbuf_add(&out, sema_dtype(s, name, &dtype) ? dtype_name(dtype) : name);
        for (uint32_t i = 0; i < type->as.named.dims.count; i++) {
            strbuf_add(&out, i ? ", " : "[");
            if (whole && type->as.named.dims.data[i]->kind == AST_EXPR_ELLIPSIS)
                ellipsis_text(s, whole, &out);
            else
                expr_text(s, scope, type->as.named.dims.data[i], &out);
        }
        if (type->as.named.has_dims)
            strbuf_add(&out, type->as.named.dims.count ? "]" : "[]");
    }
    const char *text = arena_string(s->arena, out.text ? out.text : "");
    strbuf_free(&out);
    return text;
}

const char *type_pattern_text(Sema *s, const AstType *type, Scope *scope)
{
    return pattern_text(s, type, scope, NULL);
}

/* ---- Errors ---- */

static DiagItem *mismatch(Sema *s, const Unify *u, ErrorCode code, const AstType *type,
                          const char *parameter, Span span, const Value *v, const char *label)
{
    const char *pattern = pattern_text(s, type, u->scope, u->whole ? u->frame : NULL),
               *given = value_text(s, v);
    DiagItem *item;
    if (u->is_result)
        item = sema_error(s, code, span, label, "%s returns %s, and this is %s", u->callee, pattern,
                          given);
    else if (strcmp(parameter, u->callee) == 0)
        item = sema_error(s, code, span, label, "%s is %s, and gets %s", u->callee, pattern, given);
    else if (u->single)
        item = sema_error(s, code, u->call, label, "cannot apply %s: it takes %s and gets %s",
                          u->callee, pattern, given);
    else
        item = sema_error(s, code, u->call, label, "cannot apply %s: %s takes %s and gets %s",
                          u->callee, parameter, pattern, given);
    return item;
}

/* A short argument as it is written. */
static const char *span_text(Sema *s, Span span, const char *otherwise)
{
    size_t length;
    const char *text = span.file ? source_text(s->map, span.file, &length) : NULL;
    bool brief = text && span.end <= length && span.end > span.begin && span.end - span.begin <= 32;
    return brief ? arena_substring(s->arena, text + span.begin, span.end - span.begin) : otherwise;
}

/* The number of axes that the type asks for, as far as it does. */
static bool may_have_rank(const AstType *type, int rank)
{
    const AstExprs *dims = &type->as.named.dims;
    for (uint32_t i = 0; i < dims->count; i++)
        if (dims->data[i]->kind == AST_EXPR_ELLIPSIS)
            return true;
    return !type->as.named.has_dims || (int)dims->count == rank;
}

static bool wrong_dtype(Sema *s, const Unify *u, const AstType *type, const char *parameter,
                        Span span, const Value *v, const char *wanted)
{
    DiagItem *item =
        mismatch(s, u, u->is_result ? ERR_E0207 : ERR_E0200, type, parameter, span, v, NULL);
    const Frame *frame = u->frame;
    const Type *given = v->kind == VALUE_TENSOR ? &v->as.node->type : NULL;
    if (given && frame && wanted && dtype_kind(given->dtype) == KIND_INT &&
        given->rank == frame->ellipsis_rank - 1)
        diag_help(item, "class numbers become a distribution: one_hot(%s, %s)",
                  span_text(s, span, parameter), dim_text(s, frame->ellipsis[given->rank]));
    else if (given && wanted && may_have_rank(type, given->rank))
        diag_help(item, "nothing is converted silently: write %s(...)", wanted);
    return false;
}

/* "64*6*6 = 2304": the factors of an axis that a reshape merged. */
static const char *dim_story(Sema *s, const Node *node, int axis)
{
    const Dim *dim = node->type.dims[axis];
    const char *text = dim_text(s, dim);
    if (node->op != OP_RESHAPE || !dim_is_const(dim, NULL))
        return text;
    const Node *x = node->src[0];
    StrBuf out = {0};
    const Dim *product = dim_const(s->dims, 1);
    for (int i = x->type.rank - 1; i >= 0 && product && product != dim; i--)
        product = dim_mul(s->dims, product, x->type.dims[i]);
    int first = x->type.rank;
    for (const Dim *part = dim_const(s->dims, 1); part != dim && first > 0;)
        part = dim_mul(s->dims, part, x->type.dims[--first]);
    if (product == dim && x->type.rank - first > 1) {
        for (int i = first; i < x->type.rank; i++) {
            strbuf_add(&out, i > first ? "*" : "");
            dim_print(s->dims, x->type.dims[i], &out);
        }
        text = arena_format(s->arena, "%s = %s", out.text, text);
    }
    strbuf_free(&out);
    return text;
}

static bool wrong_size(Sema *s, const Unify *u, const AstType *type, const char *parameter,
                       Span span, const Value *v, int axis, const Dim *wanted, Span origin)
{
    const Node *node = v->as.node;
    const char *label =
        arena_format(s->arena, "dimension %d: %s here ...", axis, dim_text(s, wanted));
    DiagItem *item = mismatch(s, u, ERR_E0312, type, parameter, span, v, label);
    Span from = sema_user_span(s, node->span.file ? node->span : span);
    diag_note(item, from, "... but %s here", dim_story(s, node, axis));
    if (origin.file && !sema_in_std(s, origin) && !u->is_result && origin.begin != from.begin)
        diag_note(item, origin, "%s comes from here", dim_text(s, wanted));
    hint_size(s, item, node, wanted);
    return false;
}

/* ---- Dimensions ---- */

/* The declared size and the value's agree, or are checked at run time. */
static bool agree(Sema *s, const Unify *u, const AstType *type, const char *parameter, Span span,
                  Value *v, int axis, const Dim *wanted, Span origin)
{
    const Dim *given = v->as.node->type.dims[axis];
    if (wanted == given)
        return true;
    if (relate_sizes(s, wanted, given) == SIZES_DIFFER)
        return wrong_size(s, u, type, parameter, span, v, axis, wanted, origin);
    const char *what = arena_format(s->arena, "%s takes %s and gets %s", u->callee,
                                    type_pattern_text(s, type, u->scope), value_text(s, v));
    settle_size(s, &v->as.node, axis, wanted, u->call, what);
    return true;
}

static bool unify_dim(Sema *s, const Unify *u, const AstType *type, const char *parameter,
                      Span span, Value *v, const AstExpr *expr, int axis)
{
    const Dim *given = v->as.node->type.dims[axis];
    if (expr->kind == AST_EXPR_NAME) {
        Binding *binding = scope_find(u->scope, expr->as.name);
        const Dim *known = binding ? dim_of_name(s, u->scope, expr->as.name, expr->span) : NULL;
        if (known)
            return agree(s, u, type, parameter, span, v, axis, known,
                         binding->kind == BIND_DIM ? binding->span : (Span){0, 0, 0});
        if (binding && binding->kind != BIND_ITEM && binding->value.kind == VALUE_POISON)
            return true;
        if (binding && binding->kind != BIND_ITEM && binding->kind != BIND_IMPORT) {
            sema_error(s, ERR_E0308, expr->span, NULL, "%s is %s and no size", expr->as.name,
                       value_text(s, &binding->value));
            return false;
        }
        if (u->is_result) {
            sema_error(s, ERR_E0307, expr->span, NULL, "nothing gives %s a size", expr->as.name);
            return false;
        }
        scope_put(s, u->scope, expr->as.name, span, BIND_DIM, value_int(given, span));
        return true;
    }
    uint32_t unbound = count_unbound(s, u->scope, expr);
    if (unbound == 0) {
        const Dim *wanted = eval_dim(s, u->scope, expr);
        return wanted && agree(s, u, type, parameter, span, v, axis, wanted, (Span){0, 0, 0});
    }
    if (!u->is_result && unbound == 1 && solve(s, u->scope, expr, given, span))
        return true;
    if (!u->strict && !u->is_result)
        return true;
    sema_error(s, ERR_E0307, expr->span, NULL,
               "a size in this expression is bound by nothing else");
    return false;
}

static int find_ellipsis(const AstExprs *dims)
{
    for (uint32_t i = 0; i < dims->count; i++)
        if (dims->data[i]->kind == AST_EXPR_ELLIPSIS)
            return (int)i;
    return -1;
}

static bool unify_ellipsis(Sema *s, const Unify *u, const AstType *type, const char *parameter,
                           Span span, Value *v, int begin, int count)
{
    Frame *frame = u->frame;
    Unify whole = *u;
    whole.whole = true;
    if (!frame)
        return true;
    if (frame->ellipsis_rank < 0) {
        frame->ellipsis_rank = count;
        for (int i = 0; i < count; i++)
            frame->ellipsis[i] = v->as.node->type.dims[begin + i];
        return true;
    }
    if (frame->ellipsis_rank != count) {
        mismatch(s, &whole, ERR_E0301, type, parameter, span, v, NULL);
        return false;
    }
    for (int i = 0; i < count; i++)
        if (!agree(s, &whole, type, parameter, span, v, begin + i, frame->ellipsis[i],
                   (Span){0, 0, 0}))
            return false;
    return true;
}

static bool unify_dims(Sema *s, const Unify *u, const AstType *type, const char *parameter,
                       Span span, Value *v)
{
    const AstExprs *dims = &type->as.named.dims;
    int rank = v->as.node->type.rank, open = find_ellipsis(dims), written = (int)dims->count;
    if (open < 0 ? rank != written : rank < written - 1) {
        DiagItem *item = mismatch(s, u, ERR_E0301, type, parameter, span, v, NULL);
        diag_note(item, sema_user_span(s, v->as.node->span.file ? v->as.node->span : span),
                  "%d %s here", rank, rank == 1 ? "axis" : "axes");
        return false;
    }
    int inner = open < 0 ? 0 : rank - (written - 1);
    if (open >= 0 && !unify_ellipsis(s, u, type, parameter, span, v, open, inner))
        return false;
    for (int i = 0, axis = 0; i < written; i++) {
        if (i == open) {
            axis += inner;
            continue;
        }
        if (!unify_dim(s, u, type, parameter, span, v, dims->data[i], axis++))
            return false;
    }
    return true;
}

/* ---- Tensors and constants ---- */

typedef enum { WANT_DTYPE, WANT_FLOAT, WANT_INT, WANT_ANY, WANT_OTHER } Want;

static Want tensor_want(Sema *s, const AstType *type, DType *dtype)
{
    if (type->kind != AST_TYPE_NAMED || type->as.named.path.count != 1)
        return WANT_OTHER;
    const char *name = type->as.named.path.data[0].text;
    if (sema_dtype(s, name, dtype))
        return WANT_DTYPE;
    if (strcmp(name, "float") == 0)
        return WANT_FLOAT;
    if (strcmp(name, "int") == 0)
        return WANT_INT;
    return strcmp(name, "any") == 0 ? WANT_ANY : WANT_OTHER;
}

bool type_is_tensor(Sema *s, const AstType *type)
{
    DType dtype;
    return tensor_want(s, type, &dtype) != WANT_OTHER && type->as.named.has_dims;
}

static bool dtype_fits(Want want, DType wanted, DType given)
{
    return want == WANT_ANY || (want == WANT_DTYPE && wanted == given) ||
           (want == WANT_FLOAT && dtype_is_float(given)) ||
           (want == WANT_INT && dtype_kind(given) == KIND_INT);
}

static bool unify_tensor(Sema *s, const Unify *u, const AstType *type, const char *parameter,
                         Span span, Value *v)
{
    DType dtype = DT_F32;
    Want want = tensor_want(s, type, &dtype);
    if (v->weak && want == WANT_DTYPE && dtype_is_float(dtype)) {
        v->as.node = weak_to(s, v, dtype);
        v->weak = dtype == DT_F64;
    }
    if (!dtype_fits(want, dtype, v->as.node->type.dtype))
        return wrong_dtype(s, u, type, parameter, span, v,
                           want == WANT_DTYPE   ? dtype_name(dtype)
                           : want == WANT_FLOAT ? "f32"
                                                : "i32");
    return unify_dims(s, u, type, parameter, span, v);
}

/* A constant where a tensor is declared: in the declared shape when every size is known, else a
 * scalar. */
static bool constant_to_tensor(Sema *s, const Unify *u, const AstType *type, const char *parameter,
                               Span span, Value *v)
{
    DType dtype = DT_COUNT;
    Want want = tensor_want(s, type, &dtype);
    if (want == WANT_FLOAT)
        dtype = sema_float(s);
    bool wrong_bool = (v->kind == VALUE_BOOL) != (dtype == DT_BOOL) && want == WANT_DTYPE;
    if (wrong_bool || (v->kind == VALUE_FLOAT && dtype != DT_COUNT && !dtype_is_float(dtype)))
        return wrong_dtype(s, u, type, parameter, span, v, NULL);
    Node *node = value_node(s, v, dtype, span);
    if (!node)
        return false;
    *v = value_tensor(node, span);
    const AstExprs *dims = &type->as.named.dims;
    Type full = {.dtype = node->type.dtype};
    for (uint32_t i = 0; i < dims->count; i++) {
        if (dims->data[i]->kind == AST_EXPR_ELLIPSIS || count_unbound(s, u->scope, dims->data[i]) ||
            i >= MAX_RANK)
            return true;
        const Dim *dim = eval_dim(s, u->scope, dims->data[i]);
        if (!dim)
            return false;
        full.dims[full.rank++] = dim;
    }
    v->as.node = build_broadcast(s->elab->graph, node, full.rank, full.dims);
    return v->as.node != NULL;
}

/* f32, i64, bool, int, float without brackets: a constant stays one, a tensor must be a scalar. */
static bool unify_scalar(Sema *s, const Unify *u, const AstType *type, const char *parameter,
                         Span span, Value *v)
{
    DType dtype = DT_F32;
    Want want = tensor_want(s, type, &dtype);
    int64_t number;
    bool floating = want == WANT_FLOAT || (want == WANT_DTYPE && dtype_is_float(dtype));
    if (want == WANT_ANY)
        return true;
    if (v->kind == VALUE_TENSOR) {
        if (want == WANT_INT || (v->as.node->type.rank > 0 && want == WANT_FLOAT))
            return wrong_dtype(s, u, type, parameter, span, v, NULL);
        if (v->weak && want == WANT_FLOAT)
            return true;
        return unify_tensor(s, u, type, parameter, span, v);
    }
    bool fits = floating ? v->kind == VALUE_INT || v->kind == VALUE_FLOAT
                : dtype == DT_BOOL && want == WANT_DTYPE ? v->kind == VALUE_BOOL
                                                         : v->kind == VALUE_INT;
    if (!fits)
        return wrong_dtype(s, u, type, parameter, span, v, NULL);
    if (floating && value_int64(v, &number))
        *v = value_float((double)number, v->span);
    return true;
}

/* ---- Other types ---- */

/* Types that are neither tensors nor modules, and what has them. */
static const struct {
    const char *name;
    ValueKind kinds[5];
} value_types[] = {
    {"string", {VALUE_STRING}},
    {"array", {VALUE_ARRAY, VALUE_TUPLE}},
    {"init", {VALUE_INIT, VALUE_INT, VALUE_FLOAT}},
    {"fn", {VALUE_FN, VALUE_BUILTIN, VALUE_INSTANCE, VALUE_SCHEDULE, VALUE_MODULE}},
    {"module", {VALUE_INSTANCE, VALUE_MODULE}},
    {"dtype", {VALUE_DTYPE, VALUE_BUILTIN}},
    {"range", {VALUE_RANGE}},
    {"schedule", {VALUE_SCHEDULE}},
};

enum { VALUE_TYPES = sizeof value_types / sizeof *value_types };

static int value_type(const char *name)
{
    int at = 0;
    while (at < VALUE_TYPES && strcmp(value_types[at].name, name) != 0)
        at++;
    return at;
}

/* The module that a type names: poison and an error where there is none. */
static Value module_type(Sema *s, const Scope *scope, const AstType *type)
{
    const char *name = type->as.named.path.data[0].text;
    Binding *binding = scope_find(scope, name);
    if (binding && (binding->kind == BIND_ITEM || binding->kind == BIND_IMPORT)) {
        Value declared = binding_value(s, binding, type->span);
        if (declared.kind == VALUE_MODULE || declared.kind == VALUE_POISON)
            return declared;
    }
    const char *names[DT_COUNT + 4 + VALUE_TYPES] = {"int", "float", "any"};
    uint32_t count = 3;
    for (int i = 0; i < DT_COUNT; i++)
        names[count++] = dtype_name((DType)i);
    for (int i = 0; i < VALUE_TYPES; i++)
        names[count++] = value_types[i].name;
    sema_unknown(s, ERR_E0100, type->span, "there is no type", name, names, count);
    return value_poison;
}

bool type_is_declared(Sema *s, const Scope *scope, const AstType *type)
{
    DType dtype;
    return tensor_want(s, type, &dtype) != WANT_OTHER ||
           value_type(type->as.named.path.data[0].text) < VALUE_TYPES ||
           module_type(s, scope, type).kind != VALUE_POISON;
}

static bool unify_named(Sema *s, const Unify *u, const AstType *type, const char *parameter,
                        Span span, Value *v)
{
    const char *name = type->as.named.path.data[0].text;
    int at = value_type(name);
    if (strcmp(name, "schedule") == 0)
        return value_to_schedule(s, v, v) || wrong_dtype(s, u, type, parameter, span, v, NULL);
    for (int k = 0; at < VALUE_TYPES && k < 5; k++)
        if (value_types[at].kinds[k] != VALUE_POISON && v->kind == value_types[at].kinds[k])
            return true;
    if (at < VALUE_TYPES)
        return wrong_dtype(s, u, type, parameter, span, v, NULL);
    Value declared = module_type(s, u->scope, type);
    if (declared.kind == VALUE_POISON)
        return false;
    if (v->kind != VALUE_INSTANCE || v->as.instance->decl != declared.as.decl)
        return wrong_dtype(s, u, type, parameter, span, v, NULL);
    return true;
}

static bool unify_tuple(Sema *s, const Unify *u, const AstType *type, Span span, Value *v,
                        bool constants)
{
    const AstTypeEntries *entries = &type->as.tuple;
    if (v->kind == VALUE_POISON)
        return true;
    if (v->kind != VALUE_TUPLE || v->as.list->count != entries->count) {
        sema_error(s, u->is_result ? ERR_E0207 : ERR_E0201, span, NULL,
                   "%s %s %u values, and this is %s", u->callee, u->is_result ? "returns" : "takes",
                   entries->count, value_text(s, v));
        return false;
    }
    Value copy = value_list(s, VALUE_TUPLE, entries->count, v->span);
    const char **names = ARENA_ARRAY(s->arena, const char *, entries->count);
    bool named = false;
    for (uint32_t i = 0; i < entries->count; i++) {
        copy.as.list->items[i] = v->as.list->items[i];
        names[i] = entries->data[i].name.text;
        named |= names[i] != NULL;
        if (!unify_value(s, u, entries->data[i].type, names[i] ? names[i] : "a result", span,
                         &copy.as.list->items[i], constants))
            return false;
    }
    if (named)
        copy.as.list->names = names;
    *v = copy;
    return true;
}

bool unify_value(Sema *s, const Unify *u, const AstType *type, const char *parameter, Span span,
                 Value *v, bool constants)
{
    DType dtype;
    if (v->kind == VALUE_POISON)
        return true;
    if (type->kind == AST_TYPE_TUPLE)
        return unify_tuple(s, u, type, span, v, constants);
    if (tensor_want(s, type, &dtype) == WANT_OTHER)
        return unify_named(s, u, type, parameter, span, v);
    if (!type->as.named.has_dims)
        return unify_scalar(s, u, type, parameter, span, v);
    if (v->kind == VALUE_TENSOR)
        return unify_tensor(s, u, type, parameter, span, v);
    if (value_is_constant(v))
        return !constants || constant_to_tensor(s, u, type, parameter, span, v);
    return wrong_dtype(s, u, type, parameter, span, v, NULL);
}

bool eval_type(Sema *s, const AstType *type, Type *out)
{
    DType dtype;
    if (type->kind != AST_TYPE_NAMED || tensor_want(s, type, &dtype) != WANT_DTYPE) {
        static const char *const names[] = {"f32", "f64", "f16", "bf16", "i32",
                                            "i64", "i8",  "u8",  "bool"};
        const char *name =
            type->kind == AST_TYPE_NAMED ? type->as.named.path.data[0].text : "(...)";
        sema_unknown(s, ERR_E0200, type->span, "an element type is needed here, and not", name,
                     names, sizeof names / sizeof *names);
        return false;
    }
    const AstExprs *dims = &type->as.named.dims;
    *out = (Type){.dtype = dtype};
    if (dims->count > MAX_RANK) {
        sema_error(s, ERR_E0301, type->span, NULL, "%u axes; a tensor has at most %d", dims->count,
                   MAX_RANK);
        return false;
    }
    for (uint32_t i = 0; i < dims->count; i++) {
        if (dims->data[i]->kind == AST_EXPR_ELLIPSIS) {
            sema_error(s, ERR_E0308, dims->data[i]->span, NULL, "every size must be written here");
            return false;
        }
        out->dims[out->rank] = eval_dim(s, s->scope, dims->data[i]);
        if (!out->dims[out->rank++])
            return false;
    }
    return true;
}
