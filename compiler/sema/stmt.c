/* Statements and blocks. A block's value is that of its last statement when that is an expression;
 * a for is unrolled; an assignment gives a name of the same fn a new value, or a state its next
 * one.
 *
 *   let a, b = split(x, 2)
 *   x = block(x)
 *   hit += sum(y == t) */
#include "compiler/sema/internal.h"

#include <string.h>

/* ---- Iteration ---- */

static ValueList *iterate_range(Sema *s, const Value *over, Span span)
{
    int64_t low, high;
    if (!dim_is_const(over->as.range.low, &low) || !dim_is_const(over->as.range.high, &high)) {
        if (!s->elab->generic)
            sema_error(
                s, ERR_E0203, span, NULL,
                "a for is unrolled when the program is compiled, so its range must be known");
        return NULL;
    }
    int64_t count = high > low ? high - low : 0;
    if (count > LIMIT_LIST || high < low - LIMIT_LIST) {
        sema_error(s, ERR_E0408, span, NULL, "a range of %lld turns; at most %d are unrolled",
                   (long long)count, LIMIT_LIST);
        return NULL;
    }
    Value list = value_list(s, VALUE_ARRAY, (uint32_t)count, span);
    s->work += (uint32_t)count / 8;
    for (int64_t i = 0; i < count; i++)
        list.as.list->items[i] = value_number(s, low + i, span);
    return list.as.list;
}

ValueList *iterate(Sema *s, const Value *over, Span span)
{
    if (over->kind == VALUE_RANGE)
        return iterate_range(s, over, span);
    if (over->kind == VALUE_ARRAY || over->kind == VALUE_TUPLE)
        return over->as.list;
    if (over->kind != VALUE_POISON)
        sema_error(s, ERR_E0200, span, NULL, "for goes over a range or an array, and this is %s",
                   value_text(s, over));
    return NULL;
}

/* ---- Patterns ---- */

static void bind_poison(Sema *s, Scope *scope, const AstPattern *pattern, BindKind kind)
{
    if (!pattern->is_tuple) {
        scope_declare(s, scope, pattern->name, kind, value_poison);
        return;
    }
    for (uint32_t i = 0; i < pattern->entries.count; i++)
        bind_poison(s, scope, pattern->entries.data[i], kind);
}

bool bind_pattern(Sema *s, Scope *scope, const AstPattern *pattern, const Value *value,
                  BindKind kind)
{
    if (!pattern->is_tuple) {
        scope_declare(s, scope, pattern->name, kind, *value);
        return true;
    }
    bool list = value->kind == VALUE_TUPLE || value->kind == VALUE_ARRAY;
    if (!list || value->as.list->count != pattern->entries.count) {
        if (value->kind != VALUE_POISON)
            sema_error(s, ERR_E0201, pattern->span, NULL, "%u names for %s", pattern->entries.count,
                       value_text(s, value));
        bind_poison(s, scope, pattern, kind);
        return false;
    }
    bool ok = true;
    for (uint32_t i = 0; i < pattern->entries.count; i++)
        ok &= bind_pattern(s, scope, pattern->entries.data[i], &value->as.list->items[i], kind);
    return ok;
}

void eval_let(Sema *s, const AstLet *let, BindKind kind)
{
    Value v = eval_expr(s, let->value);
    if (let->type && v.kind != VALUE_POISON) {
        const char *name = let->pattern->is_tuple ? "the value" : let->pattern->name.text;
        Unify u = {.callee = name, .call = let->value->span, .scope = s->scope};
        if (!unify_value(s, &u, let->type, name, let->value->span, &v, true))
            v = value_poison;
    }
    if (v.kind == VALUE_NONE && let->value->kind != AST_EXPR_NAME &&
        let->value->kind != AST_EXPR_IF)
        v.span = let->value->span;
    bind_pattern(s, s->scope, let->pattern, &v, kind);
}

/* ---- Assignment ---- */

Value conform_state(Sema *s, const Value *v, const Type *type, const char *name, Span span)
{
    Node *node = value_node(s, v, type->dtype, span);
    if (!node)
        return value_poison;
    if (node->type.dtype != type->dtype) {
        DiagItem *item = sema_error(s, ERR_E0200, span, NULL, "%s is %s and gets %s", name,
                                    type_text(s, type), type_text(s, &node->type));
        diag_help(item, "convert: %s(...)", dtype_name(type->dtype));
        return value_poison;
    }
    Type out;
    const char *what = arena_format(s->arena, "%s is %s and gets %s", name, type_text(s, type),
                                    type_text(s, &node->type));
    bool fits = settle_shape(s, &node, type, span, what) &&
                broadcast_shapes(s, &node->type, type, &out) && out.rank == type->rank;
    for (int i = 0; fits && i < type->rank; i++)
        fits = out.dims[i] == type->dims[i];
    if (!fits) {
        sema_error(s, ERR_E0312, span, NULL, "%s is %s and gets %s", name, type_text(s, type),
                   type_text(s, &node->type));
        return value_poison;
    }
    return value_tensor(build_broadcast(s->elab->graph, node, type->rank, type->dims), span);
}

static void assign_state(Sema *s, Binding *binding, const Value *v, Span span)
{
    const Slot *slot = &binding->owner->slots.data[binding->tensor];
    Value next = conform_state(s, v, &slot->type, slot->name, span);
    if (next.kind == VALUE_TENSOR && !s->elab->scratch && !s->elab->frozen)
        elab_assign(s, slot_name(s, binding->owner, slot), next.as.node);
}

static bool same_function(const Scope *from, const Binding *binding)
{
    for (; from; from = from->parent) {
        if (scope_find_local(from, binding->name) == binding)
            return true;
        if (from->is_function)
            return false;
    }
    return false;
}

/* An assignment out of the body of a loop is an error, one out of a side of a decision is noted. */
static bool cross_barriers(Sema *s, Binding *binding, AstName name)
{
    for (const Scope *from = s->scope; from; from = from->parent) {
        if (scope_find_local(from, binding->name) == binding)
            return true;
        if (from->barrier == BARRIER_LOOP)
            break;
        if (from->barrier == BARRIER_BRANCH)
            branch_assign(s, from->branch, binding);
    }
    DiagItem *item = sema_error(s, ERR_E0106, name.span, NULL,
                                "%s stands outside of this loop and keeps its value", name.text);
    diag_note(item, binding->span, "declared here");
    diag_help(item, "carry it from turn to turn: with %s = %s", name.text, name.text);
    return false;
}

static void assign(Sema *s, AstName name, const Value *v, Span span)
{
    Binding *binding = scope_find(s->scope, name.text);
    if (!binding) {
        if (builtin_find(name.text))
            scope_hides_builtin(s, name);
        else
            scope_unknown(s, s->scope, name.text, name.span);
        return;
    }
    if (binding->kind == BIND_STATE && binding->owner) {
        assign_state(s, binding, v, span);
        return;
    }
    if (binding->kind == BIND_LET && same_function(s->scope, binding)) {
        if (cross_barriers(s, binding, name))
            binding->value = *v;
        return;
    }
    if (binding->kind == BIND_ARGUMENT && same_function(s->scope, binding) &&
        sema_in_std(s, name.span)) {
        binding->value = *v;
        return;
    }
    static const char *const words[] = {
        [BIND_LET] = "a let of an outer scope",
        [BIND_ARGUMENT] = "an argument",
        [BIND_DIM] = "a dimension",
        [BIND_LOOP] = "the variable of a loop",
        [BIND_MEMBER] = "a let of the module",
        [BIND_PARAM] = "a parameter",
        [BIND_STATE] = "a state",
        [BIND_ITEM] = "a declaration of the file",
        [BIND_IMPORT] = "an imported name",
    };
    if (binding->value.kind == VALUE_POISON && binding->kind != BIND_PARAM)
        return;
    DiagItem *item = sema_error(s, ERR_E0106, name.span, NULL, "%s is %s and keeps its value",
                                name.text, words[binding->kind]);
    if (!sema_is_null_span(binding->span) && !sema_in_std(s, binding->span))
        diag_note(item, binding->span, "declared here");
    if (binding->kind == BIND_ARGUMENT)
        diag_help(item, "give the new value a name of its own: let y = ...");
    if (binding->kind == BIND_ARGUMENT && same_function(s->scope, binding))
        binding->value = value_poison; /* what follows was meant for the new value */
}

static void exec_assign(Sema *s, const AstStmt *stmt)
{
    static const AstBinary operators[AST_ASSIGN_COUNT] = {
        [AST_ASSIGN_ADD] = AST_ADD,
        [AST_ASSIGN_SUB] = AST_SUB,
        [AST_ASSIGN_MUL] = AST_MUL,
        [AST_ASSIGN_DIV] = AST_DIV,
    };
    const AstNames *targets = &stmt->as.assign.targets;
    Span span = stmt->as.assign.value->span;
    Value v = eval_expr(s, stmt->as.assign.value);
    if (stmt->as.assign.op != AST_ASSIGN_SET && v.kind != VALUE_POISON) {
        Value old = eval_name(s, targets->data[0].text, targets->data[0].span);
        v = eval_binary(s, operators[stmt->as.assign.op], &old, &v, stmt->span);
    }
    if (targets->count == 1) {
        assign(s, targets->data[0], &v, span);
        return;
    }
    bool list = v.kind == VALUE_TUPLE || v.kind == VALUE_ARRAY;
    if (!list || v.as.list->count != targets->count) {
        if (v.kind != VALUE_POISON)
            sema_error(s, ERR_E0201, stmt->span, NULL, "%u names for %s", targets->count,
                       value_text(s, &v));
        return;
    }
    for (uint32_t i = 0; i < targets->count; i++)
        assign(s, targets->data[i], &v.as.list->items[i], span);
}

/* ---- Statements ---- */

/* Ends with the first turn that has errors: the others would have the same. */
static void exec_for(Sema *s, const AstStmt *stmt)
{
    Value over = eval_expr(s, stmt->as.loop.over);
    ValueList *turns = iterate(s, &over, stmt->as.loop.over->span);
    const uint32_t known = diag_error_count(s->diag);
    for (uint32_t i = 0; turns && i < turns->count && diag_error_count(s->diag) == known &&
                         !s->work_reported && sema_step(s, stmt->span);
         i++) {
        Scope *scope = scope_new(s, s->scope);
        bind_pattern(s, scope, stmt->as.loop.pattern, &turns->items[i], BIND_LOOP);
        eval_block(s, &stmt->as.loop.body, scope);
        if (s->frame && s->frame->returned)
            return;
    }
}

static void exec_return(Sema *s, const AstStmt *stmt)
{
    if (!s->frame) {
        sema_error(s, ERR_E0403, stmt->span, NULL, "return outside of a fn");
        return;
    }
    s->frame->result = stmt->as.expr ? eval_expr(s, stmt->as.expr) : value_none;
    s->frame->returned = true;
}

static Value exec_stmt(Sema *s, const AstStmt *stmt)
{
    switch (stmt->kind) {
    case AST_STMT_LET:
        eval_let(s, &stmt->as.let, BIND_LET);
        break;
    case AST_STMT_INDEXED:
        eval_indexed(s, stmt);
        break;
    case AST_STMT_ASSIGN:
        exec_assign(s, stmt);
        break;
    case AST_STMT_EXPR:
        return eval_expr(s, stmt->as.expr);
    case AST_STMT_RETURN:
        exec_return(s, stmt);
        break;
    case AST_STMT_FOR:
        exec_for(s, stmt);
        break;
    case AST_STMT_YIELD:
        loop_yield(s, stmt);
        break;
    case AST_STMT_MINIMIZE:
        exec_minimize(s, stmt);
        break;
    default: /* an error of the grammar */
        break;
    }
    return value_none;
}

static void warn_unused(Sema *s, const AstStmt *stmt, const Value *v)
{
    AstExprKind kind = stmt->as.expr->kind;
    bool call = kind == AST_EXPR_CALL || kind == AST_EXPR_IF || kind == AST_EXPR_PIPE ||
                kind == AST_EXPR_COND || kind == AST_EXPR_SCAN || kind == AST_EXPR_WHILE;
    if (v->kind == VALUE_POISON || v->kind == VALUE_NONE || call ||
        (s->frame && s->frame->returned))
        return;
    DiagItem *item = sema_error(s, ERR_E0403, stmt->span, NULL, "a value that nothing uses");
    diag_help(item, "only the last expression of a block is its result");
}

Value eval_block(Sema *s, const AstBlock *block, Scope *scope)
{
    Scope *outer = s->scope;
    s->scope = scope;
    Value result = value_none;
    for (uint32_t i = 0; i < block->stmts.count && !s->work_reported; i++) {
        const AstStmt *stmt = block->stmts.data[i];
        result = exec_stmt(s, stmt);
        if (s->frame && s->frame->returned)
            break;
        if (stmt->kind == AST_STMT_EXPR && i + 1 < block->stmts.count)
            warn_unused(s, stmt, &result);
    }
    s->scope = outer;
    return s->work_reported ? value_poison : result;
}
