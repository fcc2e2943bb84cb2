/* Expressions: one small function per kind, found in a table. The result is a Value; operations on
 * tensors add nodes to the current graph (s->elab), whose span is the innermost place in the user's
 * text. */
#include "compiler/sema/internal.h"

#include <string.h>

typedef Value EvalRule(Sema *s, const AstExpr *expr);

/* What is too large, as text; NULL: nothing. */
static const char *beyond_bounds(const Sema *s)
{
    if (s->elab->graph->nodes.count > LIMIT_NODES)
        return arena_format(s->arena, "the graph grows beyond %d operations here", LIMIT_NODES);
    if (s->nesting > LIMIT_NESTING)
        return arena_format(s->arena,
                            "expressions are nested more than %d deep here, through all calls",
                            LIMIT_NESTING);
    if (s->work > LIMIT_WORK)
        return arena_format(s->arena, "expanding this program takes more than %d steps",
                            LIMIT_WORK);
    return arena_used(s->arena) > LIMIT_MEMORY ? "expanding this program takes too much memory"
                                               : NULL;
}

bool sema_step(Sema *s, Span span)
{
    s->work++;
    const char *beyond = beyond_bounds(s);
    if (beyond && !s->work_reported) {
        s->work_reported = true;
        sema_error(s, ERR_E0408, span, NULL, "%s", beyond);
    }
    return !beyond;
}

/* ---- Names ---- */

static Value const_value(Sema *s, Decl *decl)
{
    if (decl->state == DECL_DONE)
        return decl->value;
    const AstItem *item = decl->item;
    if (decl->state == DECL_BUSY) {
        sema_error(s, ERR_E0407, item->name.span, NULL, "the constant %s is computed from itself",
                   item->name.text);
        decl->value = value_poison;
        return value_poison;
    }
    decl->state = DECL_BUSY;
    Elab *outer = s->elab;
    s->elab = &s->constants;
    Value v = eval_in(s, decl->file->scope, item->as.constant.value);
    if (item->as.constant.type) {
        Unify u = {.callee = item->name.text,
                   .call = item->name.span,
                   .scope = scope_new(s, decl->file->scope)};
        if (!unify_value(s, &u, item->as.constant.type, item->name.text,
                         item->as.constant.value->span, &v, true))
            v = value_poison;
    }
    s->elab = outer;
    if (v.kind == VALUE_TENSOR) {
        sema_error(s, ERR_E0203, item->as.constant.value->span, NULL,
                   "a const must be known when the program is compiled");
        v = value_poison;
    }
    decl->value = v;
    decl->state = DECL_DONE;
    return v;
}

static Value fn_value(Sema *s, Decl *decl)
{
    if (decl->state != DECL_DONE) {
        Closure *closure = ARENA_NEW(s->arena, Closure);
        *closure = (Closure){.function = &decl->item->as.function,
                             .name = decl->item->name.text,
                             .scope = decl->file->scope,
                             .file = decl->file,
                             .is_extern = decl->item->kind == AST_ITEM_EXTERN,
                             .decl = decl};
        decl->value =
            (Value){.kind = VALUE_FN, .span = decl->item->name.span, .as.closure = closure};
        decl->state = DECL_DONE;
    }
    return decl->value;
}

Value decl_value(Sema *s, Decl *decl)
{
    static const ValueKind kinds[] = {
        [AST_ITEM_MODULE] = VALUE_MODULE,      [AST_ITEM_OPTIMIZER] = VALUE_OPTIMIZER_DECL,
        [AST_ITEM_METRIC] = VALUE_METRIC_DECL, [AST_ITEM_SCHEDULE] = VALUE_SCHEDULE_DECL,
        [AST_ITEM_INIT] = VALUE_INIT_DECL,     [AST_ITEM_DATASET] = VALUE_DATASET,
        [AST_ITEM_TRAIN] = VALUE_TRAIN,
    };
    if (decl->item->kind == AST_ITEM_CONST)
        return const_value(s, decl);
    if (decl->item->kind == AST_ITEM_FN || decl->item->kind == AST_ITEM_EXTERN)
        return fn_value(s, decl);
    return (Value){.kind = kinds[decl->item->kind], .span = decl->item->name.span, .as.decl = decl};
}

Value binding_value(Sema *s, Binding *binding, Span span)
{
    switch (binding->kind) {
    case BIND_PARAM:
    case BIND_STATE:
        return binding->owner || binding->value.kind == VALUE_POISON ? slot_value(s, binding, span)
                                                                     : binding->value;
    case BIND_ITEM:
        return binding->value.kind == VALUE_NONE ? value_poison
                                                 : decl_value(s, binding->value.as.decl);
    case BIND_IMPORT:
        return binding->value.kind == VALUE_POISON || binding->value.kind == VALUE_NAMESPACE
                   ? binding->value
                   : decl_value(s, binding->value.as.decl);
    default:
        return binding->lazy && binding->owner ? lazy_value(s, binding) : binding->value;
    }
}

static Binding *find_in_prelude(Sema *s, const char *name)
{
    for (uint32_t i = 0; i < s->prelude_count; i++) {
        Binding *binding = scope_find_local(s->prelude[i]->scope, name);
        if (binding && binding->kind == BIND_ITEM)
            return binding;
    }
    return NULL;
}

static bool special_name(Sema *s, const char *name, Span span, Value *out)
{
    if (strcmp(name, "training") == 0)
        *out = value_bool(s->elab->training, span);
    else if (strcmp(name, "none") == 0)
        *out = (Value){.kind = VALUE_NONE, .span = span};
    else if (strcmp(name, "total_steps") == 0 && s->elab->total_steps.kind == VALUE_TENSOR)
        *out = s->elab->total_steps;
    else
        return false;
    return true;
}

Value eval_name(Sema *s, const char *name, Span span)
{
    Binding *binding = scope_find(s->scope, name);
    Value special;
    DType dtype;
    if (!binding && special_name(s, name, span, &special))
        return special;
    const Builtin *builtin = binding ? NULL : builtin_find(name);
    if (builtin)
        return (Value){.kind = VALUE_BUILTIN, .span = span, .as.builtin = builtin};
    if (!binding)
        binding = find_in_prelude(s, name);
    if (binding)
        return binding_value(s, binding, span);
    if (sema_dtype(s, name, &dtype))
        return (Value){.kind = VALUE_DTYPE, .span = span, .as.dtype = dtype};
    scope_unknown(s, s->scope, name, span);
    return value_poison;
}

/* ---- Literals ---- */

/* "weight_{i}" with names of constants between the braces. */
const char *sema_interpolate(Sema *s, const AstExpr *string)
{
    StrBuf out = {0};
    const char *text = string->as.string.text;
    for (const char *at = text; *at;) {
        const char *close = *at == '{' ? strchr(at, '}') : NULL;
        if (!close) {
            strbuf_add_char(&out, *at++);
            continue;
        }
        char *name = arena_substring(s->arena, at + 1, (size_t)(close - at - 1));
        Value v = eval_name(s, name, string->span);
        int64_t number;
        if (v.kind == VALUE_STRING)
            strbuf_add(&out, v.as.string.text);
        else if (value_int64(&v, &number))
            strbuf_printf(&out, "%lld", (long long)number);
        else if (v.kind != VALUE_POISON)
            sema_error(s, ERR_E0203, string->span, NULL, "{%s} must be an integer or a string",
                       name);
        at = close + 1;
    }
    const char *result = arena_string(s->arena, out.text ? out.text : "");
    strbuf_free(&out);
    return result;
}

static Value eval_int(Sema *s, const AstExpr *expr)
{
    return value_number(s, expr->as.integer, expr->span);
}

static Value eval_float(Sema *s, const AstExpr *expr)
{
    (void)s;
    return value_float(expr->as.real, expr->span);
}

static Value eval_string(Sema *s, const AstExpr *expr)
{
    (void)s;
    return value_string(expr->as.string.text, expr->as.string.length, expr->span);
}

static Value eval_bool(Sema *s, const AstExpr *expr)
{
    (void)s;
    return value_bool(expr->as.boolean, expr->span);
}

static Value eval_named(Sema *s, const AstExpr *expr)
{
    return eval_name(s, expr->as.name, expr->span);
}

static Value eval_list(Sema *s, const AstExpr *expr)
{
    Value list = value_list(s, expr->kind == AST_EXPR_TUPLE ? VALUE_TUPLE : VALUE_ARRAY,
                            expr->as.list.count, expr->span);
    bool poison = false;
    for (uint32_t i = 0; i < expr->as.list.count; i++) {
        list.as.list->items[i] = eval_expr(s, expr->as.list.data[i]);
        poison |= list.as.list->items[i].kind == VALUE_POISON;
    }
    return poison ? value_poison : list;
}

/* A tuple whose entries have names: r.mean, or let m, s = r. */
static Value eval_record(Sema *s, const AstExpr *expr)
{
    const AstBindings *entries = &expr->as.record;
    Value list = value_list(s, VALUE_TUPLE, entries->count, expr->span);
    const char **names = ARENA_ARRAY(s->arena, const char *, entries->count);
    bool poison = false;
    for (uint32_t i = 0; i < entries->count; i++) {
        AstName name = entries->data[i].name;
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(names[k], name.text) == 0) {
                DiagItem *item = sema_error(s, ERR_E0206, name.span, "again here",
                                            "%s is given twice", name.text);
                diag_note(item, entries->data[k].name.span, "first here");
                poison = true;
            }
        names[i] = name.text;
        list.as.list->items[i] = eval_expr(s, entries->data[i].value);
        poison |= list.as.list->items[i].kind == VALUE_POISON;
    }
    list.as.list->names = names;
    return poison ? value_poison : list;
}

static Value eval_range(Sema *s, const AstExpr *expr)
{
    Value low = value_number(s, 0, expr->span), high = value_poison;
    if (expr->as.range.low)
        low = eval_expr(s, expr->as.range.low);
    if (expr->as.range.high)
        high = eval_expr(s, expr->as.range.high);
    else
        sema_error(s, ERR_E0203, expr->span, NULL, "a range without an end is for slices only");
    const Dim *a, *b;
    if (!want_dim(s, &low, expr->span, "the start of a range", &a) ||
        !want_dim(s, &high, expr->span, "the end of a range", &b))
        return value_poison;
    return (Value){.kind = VALUE_RANGE, .span = expr->span, .as.range = {a, b}};
}

static Value eval_comprehension(Sema *s, const AstExpr *expr)
{
    Value over = eval_expr(s, expr->as.comprehension.over);
    ValueList *turns = iterate(s, &over, expr->as.comprehension.over->span);
    if (!turns)
        return value_poison;
    Value result = value_list(s, VALUE_ARRAY, turns->count, expr->span);
    bool poison = false;
    Scope *outer = s->scope;
    for (uint32_t i = 0; i < turns->count && !s->work_reported; i++) {
        s->scope = scope_new(s, outer);
        bind_pattern(s, s->scope, expr->as.comprehension.pattern, &turns->items[i], BIND_LOOP);
        result.as.list->items[i] = eval_expr(s, expr->as.comprehension.body);
        poison |= result.as.list->items[i].kind == VALUE_POISON;
    }
    s->scope = outer;
    return poison ? value_poison : result;
}

static Value eval_misplaced(Sema *s, const AstExpr *expr)
{
    sema_error(s, ERR_E0403, expr->span, NULL,
               expr->kind == AST_EXPR_FIELD ? "name: type stands in the fields of a dataset only"
               : expr->kind == AST_EXPR_PADDED
                   ? "else between brackets stands in an index statement only"
                   : "... stands in an index or a type only");
    return value_poison;
}

static Value eval_lambda(Sema *s, const AstExpr *expr)
{
    Closure *closure = ARENA_NEW(s->arena, Closure);
    *closure = (Closure){.lambda = expr, .name = "fn", .scope = s->scope, .file = s->scope->file};
    return (Value){.kind = VALUE_FN, .span = expr->span, .as.closure = closure};
}

/* ---- Operators ---- */

static Value eval_operand_rule(Sema *s, const AstExpr *expr)
{
    Value v = eval_expr(s, expr->as.operand);
    return expr->kind == AST_EXPR_NOT ? eval_not(s, &v, expr->span)
                                      : eval_negate(s, &v, expr->span);
}

/* The right side of and/or is not looked at when the left side decides. */
static bool decided(AstBinary op, const Value *left)
{
    return left->kind == VALUE_BOOL &&
           ((op == AST_AND && !left->as.boolean) || (op == AST_OR && left->as.boolean));
}

static Value eval_binary_rule(Sema *s, const AstExpr *expr)
{
    Value left = eval_expr(s, expr->as.binary.left);
    if (decided(expr->as.binary.op, &left))
        return left;
    Value right = eval_expr(s, expr->as.binary.right);
    if (left.kind == VALUE_TENSOR || left.kind == VALUE_POISON)
        left.span = expr->as.binary.left->span;
    if (right.kind == VALUE_TENSOR || right.kind == VALUE_POISON)
        right.span = expr->as.binary.right->span;
    Span span = expr->span;
    if (!sema_in_std(s, span))
        s->elab->graph->span = s->at = span;
    return eval_binary(s, expr->as.binary.op, &left, &right, span);
}

static Value eval_pipe(Sema *s, const AstExpr *expr)
{
    Value left = eval_expr(s, expr->as.binary.left);
    const AstExpr *right = expr->as.binary.right;
    if (left.kind == VALUE_TENSOR)
        left.span = expr->as.binary.left->kind == AST_EXPR_PIPE
                        ? expr->as.binary.left->as.binary.right->span
                        : expr->as.binary.left->span;
    if (right->kind == AST_EXPR_CALL && !right->parenthesised)
        return eval_call(s, right, &left);
    Value callee = eval_expr(s, right);
    if (!sema_in_std(s, right->span))
        s->elab->graph->span = s->at = right->span;
    Args args = make_args(s, &left, 1, left.span);
    return call_value(s, &callee, &args, right->span,
                      right->kind == AST_EXPR_NAME ? right->as.name : NULL);
}

static Value eval_call_rule(Sema *s, const AstExpr *expr)
{
    return eval_call(s, expr, NULL);
}

static Value eval_error(Sema *s, const AstExpr *expr)
{
    (void)s, (void)expr;
    return value_poison;
}

Value eval_expr(Sema *s, const AstExpr *expr)
{
    static EvalRule *const rules[AST_EXPR_COUNT] = {
        [AST_EXPR_INT] = eval_int,
        [AST_EXPR_FLOAT] = eval_float,
        [AST_EXPR_STRING] = eval_string,
        [AST_EXPR_BOOL] = eval_bool,
        [AST_EXPR_NAME] = eval_named,
        [AST_EXPR_CALL] = eval_call_rule,
        [AST_EXPR_INDEX] = eval_index,
        [AST_EXPR_MEMBER] = eval_member,
        [AST_EXPR_PARAM] = eval_param,
        [AST_EXPR_TUPLE] = eval_list,
        [AST_EXPR_ARRAY] = eval_list,
        [AST_EXPR_RECORD] = eval_record,
        [AST_EXPR_FIELD] = eval_misplaced,
        [AST_EXPR_COMPREHENSION] = eval_comprehension,
        [AST_EXPR_IF] = eval_cond,
        [AST_EXPR_COND] = eval_cond,
        [AST_EXPR_NEGATE] = eval_operand_rule,
        [AST_EXPR_NOT] = eval_operand_rule,
        [AST_EXPR_BINARY] = eval_binary_rule,
        [AST_EXPR_PIPE] = eval_pipe,
        [AST_EXPR_RANGE] = eval_range,
        [AST_EXPR_ELLIPSIS] = eval_misplaced,
        [AST_EXPR_PADDED] = eval_misplaced,
        [AST_EXPR_LAMBDA] = eval_lambda,
        [AST_EXPR_SCAN] = eval_scan,
        [AST_EXPR_WHILE] = eval_while,
        [AST_EXPR_ERROR] = eval_error,
    };
    if (s->work_reported)
        return value_poison;
    Span outer = s->at;
    s->nesting++;
    Value result = value_poison;
    if (sema_step(s, expr->span)) {
        if (!sema_in_std(s, expr->span))
            s->elab->graph->span = s->at = expr->span;
        result = rules[expr->kind](s, expr);
    }
    s->nesting--;
    s->elab->graph->span = s->at = outer;
    return result;
}

Value eval_in(Sema *s, Scope *scope, const AstExpr *expr)
{
    Scope *outer = s->scope;
    s->scope = scope;
    Value v = eval_expr(s, expr);
    s->scope = outer;
    return v;
}
