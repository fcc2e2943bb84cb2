/* Built-in functions that check and that describe initial values. */
#include "compiler/sema/builtins.h"

#include <math.h>
#include <string.h>

static bool code_arg(Sema *s, BuiltinCall *call, ErrorCode *code)
{
    const char *text;
    *code = ERR_E0205;
    if (!call->given[3])
        return true;
    if (!want_string(s, &call->arg[3], call->arg_span[3], "code", &text))
        return false;
    if (error_from_text(text, code))
        return true;
    sema_error(s, ERR_E0205, call->arg_span[3], NULL, "there is no error %s", text);
    return false;
}

/* A condition that is known: true passes, false is an error of the program. */
static bool known_condition(Sema *s, const Value *v, const char *message, ErrorCode code, Span span)
{
    if (v->kind == VALUE_BOOL && !v->as.boolean)
        sema_error(s, code, span, NULL, "%s", message);
    return v->kind == VALUE_BOOL;
}

static bool bool_node(Sema *s, const Value *v, Span span, Node **out)
{
    if (!want_tensor(s, v, span, "a condition", out))
        return false;
    if ((*out)->type.dtype == DT_BOOL)
        return true;
    sema_error(s, ERR_E0200, span, NULL, "a condition must be bool, and this is %s",
               type_text(s, &(*out)->type));
    return false;
}

Value builtin_check(Sema *s, BuiltinCall *call)
{
    Graph *graph = s->elab->graph;
    const char *message;
    ErrorCode code;
    Node *x, *condition;
    if (!want_string(s, &call->arg[2], call->arg_span[2], "the message", &message) ||
        !code_arg(s, call, &code))
        return value_poison;
    if (known_condition(s, &call->arg[1], message, code, call->span))
        return call->arg[1].as.boolean ? call->arg[0] : value_poison;
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], "x", &x) ||
        !bool_node(s, &call->arg[1], call->arg_span[1], &condition))
        return value_poison;
    Type type;
    if (!settle_operands(s, &condition, &x, 0, call->span, "check") ||
        !broadcast_shapes(s, &condition->type, &x->type, &type) || type.rank != x->type.rank) {
        sema_error(s, ERR_E0302, call->span, NULL, "a condition %s for %s",
                   type_text(s, &condition->type), type_text(s, &x->type));
        return value_poison;
    }
    Node *src[2] = {x, build_broadcast(graph, condition, x->type.rank, x->type.dims)};
    Attr attr = {.kind = AT_CHECK, .check = {code, message}};
    return sema_node_value(s, src[1] ? graph_node(graph, OP_CHECK, src, 2, &attr) : NULL,
                           call->span);
}

Value builtin_assert(Sema *s, BuiltinCall *call)
{
    const char *message;
    Node *condition;
    if (!want_string(s, &call->arg[1], call->arg_span[1], "the message", &message))
        return value_poison;
    if (known_condition(s, &call->arg[0], message, ERR_E0205, call->span))
        return call->arg[0].as.boolean ? value_none : value_poison;
    if (!bool_node(s, &call->arg[0], call->arg_span[0], &condition))
        return value_poison;
    if (!s->frame) {
        sema_error(s, ERR_E0403, call->span, NULL, "an assert on a tensor stands in a fn");
        return value_poison;
    }
    if (condition->type.rank > 0)
        condition =
            build_reduce(s->elab->graph, OP_ALL, condition, axes_range(0, condition->type.rank));
    vec_push(s->arena, &s->frame->asserts, condition);
    vec_push(s->arena, &s->frame->assert_texts, message);
    vec_push(s->arena, &s->frame->assert_spans, sema_user_span(s, call->span));
    return value_none;
}

/* ---- Initial values ---- */

Value builtin_init(Sema *s, BuiltinCall *call)
{
    static const struct {
        const char *name;
        InitKind kind;
        double a, b;
        const char *words[2];
    } rows[] = {
        {"uniform", INIT_UNIFORM, 0, 1, {"low", "high"}},
        {"normal", INIT_NORMAL, 0, 1, {"mean", "std"}},
        {"trunc_normal", INIT_TRUNC_NORMAL, 0, 1, {"mean", "std"}},
        {"orthogonal", INIT_ORTHOGONAL, 1, 0, {"gain", ""}},
        {"identity", INIT_EYE, 1, 0, {"gain", ""}},
        {"constant", INIT_CONSTANT, 0, 0, {"value", ""}},
    };
    size_t row = 0;
    while (strcmp(rows[row].name, call->row->name) != 0)
        row++;
    InitSpec *init = ARENA_NEW(s->arena, InitSpec);
    *init = (InitSpec){rows[row].kind, rows[row].a, rows[row].b};
    double *targets[2] = {&init->a, &init->b};
    for (int i = 0; i < 2; i++)
        if (call->given[i] &&
            !want_real(s, &call->arg[i], call->arg_span[i], rows[row].words[i], targets[i]))
            return value_poison;
    bool spread = init->kind == INIT_NORMAL || init->kind == INIT_TRUNC_NORMAL;
    if ((spread && init->b < 0) || (init->kind == INIT_UNIFORM && init->a > init->b)) {
        sema_error(s, ERR_E0205, call->span, NULL,
                   spread ? "std is negative" : "low is greater than high");
        return value_poison;
    }
    return (Value){.kind = VALUE_INIT, .span = call->span, .as.init = init};
}
