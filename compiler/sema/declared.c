/* Declarations applied to arguments, and initialisers (optimizers: optim.c, schedules: schedule.c).
 *
 *   cosine(1e-3, warmup=500)  an Applied: the declaration and a scope with lr and warmup
 *   kaiming_uniform(a=2)      runs at once, with fan_in and fan_out of its param: an InitSpec */
#include "compiler/sema/internal.h"

#include <math.h>
#include <string.h>

Value apply_decl(Sema *s, Decl *decl, ValueKind kind, const Args *args, Span span)
{
    const AstItem *item = decl->item;
    for (uint32_t i = 0; i < args->count; i++)
        if (args->data[i].value.kind == VALUE_POISON)
            return value_poison;
    Applied *applied = ARENA_NEW(s->arena, Applied);
    applied->decl = decl;
    applied->scope = scope_new(s, decl->file->scope);
    applied->detail = args_detail(s, args);
    applied->span = sema_user_span(s, span);
    Span declared = decl->file->in_std ? (Span){0, 0, 0} : item->as.declaration.header;
    decl->used = true;
    if (!bind_parameters(s, item->name.text, span, &item->as.declaration.parameters, args,
                         applied->scope, applied->scope, declared))
        return value_poison;
    return (Value){.kind = kind, .span = span, .as.applied = applied};
}

/* ---- Initialisers ---- */

static bool fans(Sema *s, const Type *type, Span span, const Dim **in, const Dim **out)
{
    if (!type || type->rank < 2) {
        sema_error(s, ERR_E0410, span, NULL,
                   type ? "fan_in and fan_out need at least two axes, and this is %s"
                        : "fan_in and fan_out exist at a param only%s",
                   type ? type_text(s, type) : "");
        return false;
    }
    const Dim *kernel = dim_product(s->dims, type->dims + 2, type->rank - 2);
    *in = kernel ? dim_mul(s->dims, type->dims[1], kernel) : NULL;
    *out = kernel ? dim_mul(s->dims, type->dims[0], kernel) : NULL;
    return *in && *out;
}

static bool mentions(const AstBlock *block, const char *name, Sema *s)
{
    size_t length;
    const char *text = source_text(s->map, block->span.file, &length);
    char *body =
        arena_substring(s->arena, text + block->span.begin, block->span.end - block->span.begin);
    return strstr(body, name) != NULL;
}

Value call_init(Sema *s, Decl *decl, const Args *args, Span span)
{
    const AstFunction *function = &decl->item->as.function;
    Scope *scope = scope_new(s, decl->file->scope);
    const Dim *in, *out;
    decl->used = true;
    if (mentions(&function->body, "fan_", s)) {
        if (!fans(s, s->init_type, span, &in, &out))
            return value_poison;
        scope_put(s, scope, "fan_in", span, BIND_ARGUMENT, value_int(in, span));
        scope_put(s, scope, "fan_out", span, BIND_ARGUMENT, value_int(out, span));
    }
    if (s->init_type) {
        Value dims = value_list(s, VALUE_ARRAY, (uint32_t)s->init_type->rank, span);
        for (int i = 0; i < s->init_type->rank; i++)
            dims.as.list->items[i] = value_int(s->init_type->dims[i], span);
        scope_put(s, scope, "dims", span, BIND_ARGUMENT, dims);
    }
    Closure closure = {
        .function = function, .name = decl->item->name.text, .scope = scope, .file = decl->file};
    Value v = call_closure(s, &closure, args, span);
    double real;
    if (v.kind == VALUE_INIT || v.kind == VALUE_POISON || value_real(&v, &real))
        return v;
    sema_error(s, ERR_E0207, span, NULL,
               "the initialiser %s ends with %s instead of uniform(), normal() or the like",
               decl->item->name.text, value_text(s, &v));
    return value_poison;
}

static bool init_fits(Sema *s, const InitSpec *init, const Type *type, Span span)
{
    bool matrix = init->kind == INIT_ORTHOGONAL || init->kind == INIT_EYE;
    if (matrix && type->rank < 2) {
        sema_error(s, ERR_E0410, span, NULL,
                   "this initialiser needs at least two axes, and this is %s", type_text(s, type));
        return false;
    }
    if (init->kind != INIT_CONSTANT && !dtype_is_float(type->dtype)) {
        sema_error(s, ERR_E0410, span, NULL, "%s begins with a constant", type_text(s, type));
        return false;
    }
    if (isfinite(init->a) && isfinite(init->b))
        return true;
    sema_error(s, ERR_E0410, span, NULL, "the initial value is not a finite number");
    return false;
}

static bool init_of_node(Sema *s, const Node *node, const Type *type, Span span, InitSpec *out)
{
    Type both;
    if (node->op != OP_CONST || node->type.dtype != type->dtype ||
        !broadcast_shapes(s, &node->type, type, &both) || both.rank != type->rank) {
        sema_error(s, ERR_E0410, span, NULL,
                   "%s cannot begin with %s: a number, an initialiser or zeros(...) is needed",
                   type_text(s, type), type_text(s, &node->type));
        return false;
    }
    bool real = dtype_is_float(node->type.dtype);
    *out = (InitSpec){INIT_CONSTANT,
                      real ? node->attr.constant.value.f : (double)node->attr.constant.value.i, 0};
    return true;
}

bool init_of_value(Sema *s, const Value *v, const Type *type, Span span, InitSpec *out)
{
    double real;
    if (v->kind == VALUE_POISON)
        return false;
    if (v->kind == VALUE_TENSOR)
        return init_of_node(s, v->as.node, type, span, out);
    if (v->kind == VALUE_INIT) {
        *out = *v->as.init;
    } else if (v->kind == VALUE_BOOL && type->dtype == DT_BOOL) {
        *out = (InitSpec){INIT_CONSTANT, v->as.boolean, 0};
    } else if (value_real(v, &real) && type->dtype != DT_BOOL &&
               (v->kind == VALUE_INT || dtype_is_float(type->dtype))) {
        *out = (InitSpec){INIT_CONSTANT, real, 0};
    } else if (v->kind == VALUE_INT && s->elab->generic) {
        *out = (InitSpec){INIT_CONSTANT, 0, 0};
    } else {
        sema_error(s, ERR_E0410, span, NULL, "%s cannot begin with %s", type_text(s, type),
                   value_text(s, v));
        return false;
    }
    return init_fits(s, out, type, span);
}
