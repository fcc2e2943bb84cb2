/* What no train block uses is checked all the same, with symbols for sizes and inputs of the
 * declared types.
 *
 *   fn scale(x: f32[B, C], w: f32[C]) { x * w }   is expanded with inputs of exactly these types
 *
 * Sizes that come from a module's int arguments are not symbols of a shape: what they make
 * impossible to prove is not reported (elab->unsure). */
#include "compiler/sema/internal.h"

#include <string.h>

/* ---- Symbolic arguments ---- */

/* Binds the names of an expression of sizes that nothing else binds: to symbols, or to poison. */
static void bind_sizes(Sema *s, Scope *scope, const AstExpr *expr, bool known)
{
    if (expr->kind == AST_EXPR_BINARY) {
        bind_sizes(s, scope, expr->as.binary.left, known);
        bind_sizes(s, scope, expr->as.binary.right, known);
    }
    if (expr->kind != AST_EXPR_NAME || scope_find(scope, expr->as.name))
        return;
    known = known && dim_symbol_count(s->dims) < LIMIT_SYMBOLS;
    Value v = known ? value_int(dim_symbol(s->dims, expr->as.name), expr->span) : value_poison;
    scope_put(s, scope, expr->as.name, expr->span, BIND_DIM, v);
}

bool declared_type(Sema *s, const AstType *type, Scope *scope, Type *out)
{
    const AstExprs *dims = &type->as.named.dims;
    const char *name = type->as.named.path.data[0].text;
    *out = (Type){.dtype = sema_float(s)};
    if (!sema_dtype(s, name, &out->dtype) && strcmp(name, "int") == 0)
        out->dtype = DT_I32;
    for (uint32_t i = 0; i < dims->count; i++) {
        const AstExpr *expr = dims->data[i];
        if (out->rank >= MAX_RANK)
            return false;
        if (expr->kind == AST_EXPR_ELLIPSIS) {
            out->dims[out->rank++] = dim_symbol(s->dims, "B");
            s->elab->unsure |= s->elab->generic; /* any number of axes would do */
            continue;
        }
        bind_sizes(s, scope, expr, true);
        Value v = eval_in(s, scope, expr);
        if (v.kind != VALUE_INT)
            return false;
        out->dims[out->rank++] = v.as.dim;
    }
    return true;
}

/* A value for a parameter; poison where nothing sensible is known. */
static Value symbolic_value(Sema *s, const AstParameter *param, Scope *scope)
{
    Type type;
    if (!param->type || param->type->kind != AST_TYPE_NAMED)
        return value_poison;
    if (type_is_tensor(s, param->type)) {
        if (!declared_type(s, param->type, scope, &type))
            return value_poison;
        return value_tensor(build_leaf(s->elab->graph, OP_INPUT, param->name.text, type),
                            param->span);
    }
    if (strcmp(param->type->as.named.path.data[0].text, "int") == 0) {
        s->elab->unsure = true;
        return value_int(dim_symbol(s->dims, param->name.text), param->span);
    }
    type_is_declared(s, scope, param->type);
    return value_poison;
}

static Args symbolic_args(Sema *s, const AstParameters *params, Scope *parent, bool *known)
{
    Scope *scope = scope_new(s, parent), *names = scope_new(s, NULL);
    Args args = {ARENA_ARRAY(s->arena, Arg, params->count + 1), 0};
    *known = true;
    for (uint32_t i = 0; i < params->count; i++) {
        const AstParameter *param = &params->data[i];
        bool again = scope_find_local(names, param->name.text) != NULL;
        scope_declare(s, names, param->name, BIND_ARGUMENT, value_none);
        *known &= !again;
        if (param->value || again)
            continue;
        Value v = symbolic_value(s, param, scope);
        *known &= v.kind != VALUE_POISON;
        args.data[args.count++] = (Arg){param->name.text, param->name.span, v, param->span};
    }
    return args;
}

/* ---- Declarations ---- */

static void begin_generic(Sema *s)
{
    s->elab = elab_new(s, "generic", true);
    s->elab->generic = true;
    s->elab->checks = &s->program->checks;
    s->elab->time = value_tensor(
        build_leaf(s->elab->graph, OP_INPUT, "step", (Type){.dtype = DT_F64}), (Span){0, 0, 0});
    s->elab->time.weak = true;
    s->elab->total_steps = s->elab->time;
}

/* A body whose arguments are not all known: names in it are poison, and what does not depend on
 * them is checked. */
static void check_body(Sema *s, const AstFunction *function, Scope *parent, const char *name,
                       const void *key, bool in_std)
{
    Scope *scope = scope_new(s, parent);
    scope->is_function = true;
    for (uint32_t i = 0; i < function->parameters.count; i++) {
        const AstType *type = function->parameters.data[i].type;
        scope_declare(s, scope, function->parameters.data[i].name, BIND_ARGUMENT, value_poison);
        for (uint32_t k = 0; type && type->kind == AST_TYPE_NAMED && k < type->as.named.dims.count;
             k++)
            bind_sizes(s, scope, type->as.named.dims.data[k], false);
    }
    Frame frame = {.name = name, .function = key, .in_std = in_std, .ellipsis_rank = -1};
    s->frame = &frame;
    eval_block(s, &function->body, scope);
    s->frame = NULL;
}

static void check_function(Sema *s, const AstFunction *function, Scope *scope, Instance *self,
                           Decl *decl, const char *name)
{
    bool known;
    Args args = symbolic_args(s, &function->parameters, scope, &known);
    Closure closure = {.function = function,
                       .name = name,
                       .scope = scope,
                       .self = self,
                       .file = decl->file,
                       .is_extern = decl->item->kind == AST_ITEM_EXTERN};
    if (known)
        call_closure(s, &closure, &args, (Span){0, 0, 0});
    else
        check_body(s, function, scope, name, function, decl->file->in_std);
}

static void check_methods(Sema *s, Instance *self, Decl *decl)
{
    const AstMembers *members = &decl->item->as.declaration.members;
    for (uint32_t i = 0; i < members->count; i++)
        if (members->data[i]->kind == AST_MEMBER_FN) {
            const AstFunction *function = &members->data[i]->as.function;
            check_function(s, function, self->scope, self, decl,
                           function->name.text ? function->name.text : decl->item->name.text);
        }
}

static void check_module(Sema *s, Decl *decl)
{
    bool known;
    Args args = symbolic_args(s, &decl->item->as.declaration.parameters, decl->file->scope, &known);
    if (!known) {
        decl->used = true;
        return;
    }
    Value v = instantiate(s, decl, &args, (Span){0, 0, 0});
    if (v.kind != VALUE_INSTANCE)
        return;
    v.as.instance->name = decl->item->name.text;
    instance_root(s, v.as.instance, "", NULL);
    check_methods(s, v.as.instance, decl);
}

/* Optimizers, metrics and schedules: their fns with the arguments' defaults or poison. */
static void check_applied(Sema *s, Decl *decl)
{
    Scope *scope = scope_new(s, decl->file->scope);
    const AstParameters *params = &decl->item->as.declaration.parameters;
    const AstMembers *members = &decl->item->as.declaration.members;
    for (uint32_t i = 0; i < params->count; i++) {
        const AstType *type = params->data[i].type;
        scope_declare(s, scope, params->data[i].name, BIND_ARGUMENT, value_poison);
        for (uint32_t k = 0; type && type->kind == AST_TYPE_NAMED && k < type->as.named.dims.count;
             k++)
            bind_sizes(s, scope, type->as.named.dims.data[k], false);
    }
    scope_put(s, scope, "p", decl->item->name.span, BIND_ARGUMENT, value_poison);
    for (uint32_t i = 0; i < members->count; i++) {
        const AstMember *member = members->data[i];
        AstName name = member->as.variable.name;
        bool tensor = member->kind == AST_MEMBER_STATE || member->kind == AST_MEMBER_PARAM;
        if (tensor && name.text && builtin_find(name.text)) /* which it may hide */
            scope_put(s, scope, name.text, name.span, BIND_LET, value_poison);
        else if (tensor && name.text)
            scope_declare(s, scope, name, BIND_LET, value_poison);
        if (member->kind == AST_MEMBER_LET)
            bind_pattern(s, scope, member->as.let.pattern, &value_poison, BIND_MEMBER);
    }
    for (uint32_t i = 0; i < members->count; i++)
        if (members->data[i]->kind == AST_MEMBER_FN)
            check_body(s, &members->data[i]->as.function, scope, decl->item->name.text,
                       members->data[i], decl->file->in_std);
}

static void check_init(Sema *s, Decl *decl)
{
    static const char *const names[] = {"fan_in", "fan_out", "dims"};
    Scope *scope = scope_new(s, decl->file->scope);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        scope_put(s, scope, names[i], decl->item->name.span, BIND_ARGUMENT, value_poison);
    check_body(s, &decl->item->as.function, scope, decl->item->name.text, decl->item,
               decl->file->in_std);
}

static void check_decl(Sema *s, Decl *decl)
{
    begin_generic(s);
    switch (decl->item->kind) {
    case AST_ITEM_FN:
        check_function(s, &decl->item->as.function, decl->file->scope, NULL, decl,
                       decl->item->name.text);
        break;
    case AST_ITEM_EXTERN:
        if (!decl->item->as.function.result)
            sema_error(s, ERR_E0902, decl->item->as.function.header, NULL,
                       "an extern fn must declare its result: -> f32[...]");
        break;
    case AST_ITEM_MODULE:
        check_module(s, decl);
        break;
    case AST_ITEM_INIT:
        check_init(s, decl);
        break;
    case AST_ITEM_OPTIMIZER:
    case AST_ITEM_METRIC:
    case AST_ITEM_SCHEDULE:
        check_applied(s, decl);
        break;
    default:
        break;
    }
}

void generic_checks(Sema *s)
{
    for (SemaFile *file = s->files; file; file = file->next)
        for (uint32_t i = 0; !file->in_std && i < file->decls.count; i++)
            if (!file->decls.data[i]->used) {
                s->frame = NULL;
                s->scope = file->scope;
                check_decl(s, file->decls.data[i]);
            }
    s->elab = &s->constants;
}
