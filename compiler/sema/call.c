/* Calls: arguments are matched by position and name, a fn's body is expanded in the caller's graph,
 * and its result is held against the declared one.
 *
 *   fc1(x)  ->  frame fc1, scope {x}, types unified (B bound), body, result checked
 *
 * Equal calls of one instance are one value (Memo). */
#include "compiler/sema/internal.h"
#include "runtime/base/rng.h"

#include <string.h>

/* ---- Arguments ---- */

Args make_args(Sema *s, const Value *values, uint32_t count, Span span)
{
    Args args = {ARENA_ARRAY(s->arena, Arg, count ? count : 1), count};
    for (uint32_t i = 0; i < count; i++)
        args.data[i] = (Arg){.value = values[i],
                             .span = sema_is_null_span(values[i].span) ? span : values[i].span};
    return args;
}

static bool too_many(Sema *s, const char *callee, Span call, uint32_t count, uint32_t given,
                     Span declared)
{
    DiagItem *item = sema_error(s, ERR_E0201, call, NULL, "%s takes %u argument%s and gets %u",
                                callee, count, count == 1 ? "" : "s", given);
    if (!sema_is_null_span(declared))
        diag_note(item, declared, "declared here");
    return false;
}

static bool unknown_argument(Sema *s, const char *callee, const Arg *arg, const ParamName *params,
                             uint32_t count)
{
    const char **names = ARENA_ARRAY(s->arena, const char *, count ? count : 1);
    for (uint32_t i = 0; i < count; i++)
        names[i] = params[i].name;
    sema_unknown(s, ERR_E0105, arg->name_span, arena_format(s->arena, "%s has no argument", callee),
                 arg->name, names, count);
    return false;
}

bool bind_arguments(Sema *s, const char *callee, Span call, const ParamName *params, uint32_t count,
                    const Args *args, int32_t *slots, Span declared)
{
    uint32_t position = 0;
    bool ok = true;
    if (args->count > LIMIT_ARGUMENTS || count > LIMIT_ARGUMENTS) {
        sema_error(s, ERR_E0408, call, NULL, "more than %d arguments", LIMIT_ARGUMENTS);
        return false;
    }
    for (uint32_t i = 0; i < count; i++)
        slots[i] = -1;
    for (uint32_t i = 0; i < args->count; i++) {
        const Arg *arg = &args->data[i];
        uint32_t at = position;
        if (!arg->name && position++ >= count)
            return too_many(s, callee, call, count, args->count, declared);
        for (at = arg->name ? 0 : at;
             arg->name && at < count && strcmp(params[at].name, arg->name) != 0; at++)
            ;
        if (at == count) {
            ok = unknown_argument(s, callee, arg, params, count);
        } else if (slots[at] >= 0) {
            DiagItem *item =
                sema_error(s, ERR_E0206, arg->name ? arg->name_span : arg->span, "again here",
                           "%s is given twice to %s", params[at].name, callee);
            diag_note(item, args->data[slots[at]].span, "first here");
            ok = false;
        } else {
            slots[at] = (int32_t)i;
        }
    }
    for (uint32_t i = 0; ok && i < count; i++)
        if (slots[i] < 0 && !params[i].optional) {
            DiagItem *item = sema_error(s, ERR_E0201, call, NULL, "%s needs the argument %s",
                                        callee, params[i].name);
            if (!sema_is_null_span(declared))
                diag_note(item, declared, "declared here");
            return false;
        }
    return ok;
}

static ParamName *param_names(Sema *s, const AstParameters *params)
{
    ParamName *names = ARENA_ARRAY(s->arena, ParamName, params->count ? params->count : 1);
    for (uint32_t i = 0; i < params->count; i++)
        names[i] = (ParamName){params->data[i].name.text, params->data[i].value != NULL};
    return names;
}

const char *args_detail(Sema *s, const Args *args)
{
    StrBuf out = {0};
    for (uint32_t i = 0; i < args->count; i++) {
        const Value *v = &args->data[i].value;
        if (v->kind == VALUE_TENSOR || v->kind == VALUE_INSTANCE || v->kind == VALUE_POISON)
            continue;
        strbuf_add(&out, out.length ? ", " : "");
        if (args->data[i].name)
            strbuf_printf(&out, "%s=", args->data[i].name);
        if (v->kind == VALUE_INT)
            dim_print(s->dims, v->as.dim, &out);
        else if (v->kind == VALUE_FLOAT)
            strbuf_printf(&out, "%.9g", v->as.real);
        else if (v->kind == VALUE_STRING)
            strbuf_add_json(&out, v->as.string.text);
        else if (v->kind == VALUE_FN || v->kind == VALUE_BUILTIN)
            strbuf_add(&out, v->kind == VALUE_FN ? v->as.closure->name : v->as.builtin->name);
        else if ((v->kind == VALUE_ARRAY || v->kind == VALUE_INIT || v->kind == VALUE_INIT_DECL) &&
                 args->data[i].span.file) {
            size_t length;
            const char *text = source_text(s->map, args->data[i].span.file, &length);
            size_t bytes = args->data[i].span.end - args->data[i].span.begin;
            strbuf_add_bytes(&out, text + args->data[i].span.begin, bytes < 40 ? bytes : 40);
        } else
            strbuf_add(&out, value_text(s, v));
    }
    const char *text = arena_string(s->arena, out.text ? out.text : "");
    strbuf_free(&out);
    return text;
}

/* ---- Parameters with types ---- */

typedef struct {
    const AstParameters *params;
    Value *values;
    Span *spans;
} Bound;

static bool unify_params(Sema *s, Unify *u, Bound *bound, bool constants, bool strict)
{
    u->strict = strict;
    for (uint32_t i = 0; i < bound->params->count; i++) {
        const AstParameter *param = &bound->params->data[i];
        Value *v = &bound->values[i];
        if (param->type && type_is_tensor(s, param->type) &&
            !unify_value(s, u, param->type, param->name.text, bound->spans[i], v, constants))
            return false;
    }
    return true;
}

/* Values of plain types in order, so that a default may use what stands before it; then the shapes.
 */
static bool bind_values(Sema *s, Unify *u, const AstParameters *params, const Args *args,
                        const int32_t *slots, Scope *defaults)
{
    Bound bound = {params, ARENA_ARRAY(s->arena, Value, params->count ? params->count : 1),
                   ARENA_ARRAY(s->arena, Span, params->count ? params->count : 1)};
    bool ok = true;
    for (uint32_t i = 0; i < params->count; i++) {
        const AstParameter *param = &params->data[i];
        Value v = slots[i] >= 0 ? args->data[slots[i]].value : eval_in(s, defaults, param->value);
        Span span = slots[i] >= 0 ? args->data[slots[i]].span : param->value->span;
        v.span = v.kind == VALUE_TENSOR || sema_is_null_span(v.span) ? span : v.span;
        if (param->type && !type_is_tensor(s, param->type) &&
            !(v.kind == VALUE_NONE && slots[i] < 0) && /* = none is a fine default of every type */
            !unify_value(s, u, param->type, param->name.text, span, &v, true)) {
            ok = false;
            v = value_poison;
        }
        bound.values[i] = v;
        bound.spans[i] = span;
        scope_declare(s, u->scope, param->name, BIND_ARGUMENT, v);
    }
    if (!ok || !unify_params(s, u, &bound, false, false) || !unify_params(s, u, &bound, true, true))
        return false;
    for (uint32_t i = 0; i < params->count; i++)
        scope_find_local(u->scope, params->data[i].name.text)->value = bound.values[i];
    return true;
}

bool bind_parameters(Sema *s, const char *callee, Span call, const AstParameters *params,
                     const Args *args, Scope *scope, Scope *defaults, Span declared)
{
    int32_t *slots = ARENA_ARRAY(s->arena, int32_t, params->count ? params->count : 1);
    if (!bind_arguments(s, callee, call, param_names(s, params), params->count, args, slots,
                        declared))
        return false;
    Unify u = {.callee = callee,
               .call = call,
               .scope = scope,
               .frame = s->frame,
               .single = params->count == 1};
    return bind_values(s, &u, params, args, slots, defaults);
}

/* ---- Frames ---- */

static bool on_stack(const Sema *s, const void *function, const Instance *self)
{
    for (const Frame *frame = s->frame; frame; frame = frame->parent)
        if (frame->function == function && frame->self == self)
            return true;
    return false;
}

static bool may_call(Sema *s, const Closure *closure, Span span)
{
    const void *function = closure->function ? (const void *)closure->function : closure->lambda;
    const char *name = closure->name ? closure->name : "fn";
    if (on_stack(s, function, closure->self)) {
        sema_error(s, ERR_E0407, span, NULL, "%s calls itself, directly or through others", name);
        return false;
    }
    if (s->calls >= LIMIT_CALLS) {
        if (!s->depth_reported)
            sema_error(s, ERR_E0407, span, NULL, "calls are nested more than %d deep here",
                       LIMIT_CALLS);
        s->depth_reported = true;
        return false;
    }
    return true;
}

/* How many times this fn of this instance was expanded in the current graph before. */
static uint32_t expansions_before(Sema *s, const Closure *closure)
{
    const void *function = closure->function ? (const void *)closure->function : closure->lambda;
    for (uint32_t i = 0; i < s->elab->expansions.count; i++) {
        Expansion *known = &s->elab->expansions.data[i];
        if (known->function == function && known->self == closure->self)
            return known->count++;
    }
    vec_push(s->arena, &s->elab->expansions, (Expansion){function, closure->self, 1});
    return 0;
}

static uint64_t frame_site(Sema *s, const Closure *closure)
{
    if (closure->self && closure->self->path) {
        const char *name = closure->name ? closure->name : "";
        uint64_t site = rng_hash(closure->self->path, strlen(closure->self->path),
                                 rng_hash(name, strlen(name), 1));
        uint64_t again = expansions_before(s, closure);
        return again ? rng_hash(&again, sizeof again, site) : site;
    }
    uint64_t key[2] = {s->frame ? s->frame->site : 0,
                       s->frame ? ++s->frame->ordinal : ++s->elab->ordinal};
    return rng_hash(key, sizeof key, 2);
}

/* ---- Results ---- */

Node *attach_asserts(Sema *s, Frame *frame, Node *node)
{
    Graph *graph = s->elab->graph;
    for (uint32_t i = 0; i < frame->asserts.count; i++) {
        Node *condition =
            build_broadcast(graph, frame->asserts.data[i], node->type.rank, node->type.dims);
        Node *src[2] = {node, condition};
        Attr attr = {.kind = AT_CHECK, .check = {ERR_E0205, frame->assert_texts.data[i]}};
        Span at = graph->span;
        graph->span = frame->assert_spans.data[i];
        Node *checked = graph_node(graph, OP_CHECK, src, 2, &attr);
        graph->span = at;
        node = checked ? checked : node;
    }
    return node;
}

static void attach_to_value(Sema *s, Frame *frame, Value *v)
{
    if (v->kind == VALUE_TENSOR)
        v->as.node = attach_asserts(s, frame, v->as.node);
    if (v->kind == VALUE_TUPLE && v->as.list->count > 0) {
        Value copy = value_list(s, VALUE_TUPLE, v->as.list->count, v->span);
        for (uint32_t i = 0; i < v->as.list->count; i++)
            copy.as.list->items[i] = v->as.list->items[i];
        attach_to_value(s, frame, &copy.as.list->items[0]);
        copy.as.list->names = v->as.list->names;
        *v = copy;
    }
}

static Span result_span(const AstBlock *body, Span fallback)
{
    return body->stmts.count ? body->stmts.data[body->stmts.count - 1]->span : fallback;
}

static Value check_result(Sema *s, const AstFunction *function, Unify *u, Value v)
{
    if (!function->result || v.kind == VALUE_POISON)
        return v;
    Span span = result_span(&function->body, function->header);
    u->is_result = true;
    if (v.kind == VALUE_NONE) {
        DiagItem *item =
            sema_error(s, ERR_E0207, span, NULL, "%s returns %s, and its body ends without a value",
                       u->callee, type_pattern_text(s, function->result, u->scope));
        diag_help(item, "the last line of a fn is its result");
        return value_poison;
    }
    return unify_value(s, u, function->result, "the result", span, &v, true) ? v : value_poison;
}

/* ---- Host functions ---- */

static Value call_extern(Sema *s, const Closure *closure, Scope *scope, Span span)
{
    const AstFunction *function = closure->function;
    uint32_t count = function->parameters.count;
    Node **src = ARENA_ARRAY(s->arena, Node *, count ? count : 1);
    for (uint32_t i = 0; i < count; i++) {
        Binding *binding = scope_find_local(scope, function->parameters.data[i].name.text);
        src[i] = value_node(s, &binding->value, sema_float(s), span);
        if (!src[i])
            return value_poison;
    }
    Scope *outer = s->scope;
    s->scope = scope;
    Attr attr = {.kind = AT_CALL, .call = {.name = closure->name}};
    bool ok = function->result && eval_type(s, function->result, &attr.call.type);
    s->scope = outer;
    if (!function->result)
        sema_error(s, ERR_E0902, function->header, NULL,
                   "an extern fn must declare its result: -> f32[...]");
    return ok ? sema_node_value(s, graph_node(s->elab->graph, OP_CALL, src, (int)count, &attr),
                                span)
              : value_poison;
}

/* ---- Calls of functions ---- */

/* The instance's name for its fn without a name, else the fn's. */
static const char *closure_name(const Closure *closure)
{
    bool named = closure->function && closure->function->name.text;
    if (!named && closure->self && closure->self->name)
        return closure->self->name;
    return closure->name ? closure->name : "fn";
}

static int32_t trace_begin(Sema *s, const Closure *closure, const Args *args, Span span)
{
    Elab *elab = s->elab;
    if (!elab->calls)
        return -1;
    const Instance *self = closure->self;
    SemaCall call = {.name = closure_name(closure),
                     .parent = elab->current_call,
                     .instance = self ? self->shown : NULL,
                     .in_std = closure->file && closure->file->in_std,
                     .detail = args_detail(s, args),
                     .span = sema_user_span(s, span)};
    for (uint32_t i = 0; i < args->count; i++)
        if (args->data[i].value.kind == VALUE_TENSOR)
            vec_push(s->arena, &call.inputs, args->data[i].value.as.node);
    vec_push(s->arena, elab->calls, call);
    elab->current_call = (int32_t)elab->calls->count - 1;
    return elab->current_call;
}

static void trace_end(Sema *s, int32_t index, const Value *v)
{
    if (index < 0)
        return;
    SemaCall *call = &s->elab->calls->data[index];
    if (v->kind == VALUE_TENSOR)
        vec_push(s->arena, &call->outputs, v->as.node);
    for (uint32_t i = 0; v->kind == VALUE_TUPLE && i < v->as.list->count; i++)
        if (v->as.list->items[i].kind == VALUE_TENSOR)
            vec_push(s->arena, &call->outputs, v->as.list->items[i].as.node);
    s->elab->current_call = call->parent;
}

static Value run_lambda(Sema *s, const Closure *closure, const Args *args, Scope *scope, Span span)
{
    const AstNames *names = &closure->lambda->as.lambda.parameters;
    if (names->count != args->count) {
        too_many(s, "this fn", span, names->count, args->count, closure->lambda->span);
        return value_poison;
    }
    for (uint32_t i = 0; i < names->count; i++)
        scope_declare(s, scope, names->data[i], BIND_ARGUMENT, args->data[i].value);
    return eval_in(s, scope, closure->lambda->as.lambda.body);
}

static Value run_function(Sema *s, const Closure *closure, const Args *args, Scope *scope,
                          Frame *frame, Span span)
{
    const AstFunction *function = closure->function;
    const char *name = closure_name(closure);
    int32_t *slots =
        ARENA_ARRAY(s->arena, int32_t, function->parameters.count ? function->parameters.count : 1);
    Span declared = closure->file && closure->file->in_std ? (Span){0, 0, 0} : function->header;
    Frame *inner = s->frame;
    s->frame = frame->parent; /* arguments are the caller's */
    bool ok = bind_arguments(s, name, span, param_names(s, &function->parameters),
                             function->parameters.count, args, slots, declared);
    Unify u = {.callee = name,
               .call = span,
               .scope = scope,
               .frame = frame,
               .single = function->parameters.count == 1};
    ok = ok && bind_values(s, &u, &function->parameters, args, slots, scope);
    s->frame = inner;
    if (!ok)
        return value_poison;
    if (closure->is_extern)
        return call_extern(s, closure, scope, span);
    Value v = eval_block(s, &function->body, scope);
    if (frame->returned)
        v = frame->result;
    return check_result(s, function, &u, v);
}

Value call_closure(Sema *s, const Closure *closure, const Args *args, Span span)
{
    if (!may_call(s, closure, span))
        return value_poison;
    for (uint32_t i = 0; i < args->count; i++)
        if (args->data[i].value.kind == VALUE_POISON)
            return value_poison;
    if (closure->decl)
        closure->decl->used = true;
    Frame frame = {.parent = s->frame,
                   .call = span,
                   .in_std = closure->file && closure->file->in_std,
                   .self = closure->self,
                   .function =
                       closure->function ? (const void *)closure->function : closure->lambda,
                   .ellipsis_rank = -1};
    frame.declared = closure->function;
    frame.name = closure_name(closure);
    frame.site = frame_site(s, closure);
    frame.quiet = closure->function && closure->function->header.begin == span.begin &&
                  closure->function->header.file == span.file;
    Scope *scope = scope_new(s, closure->scope);
    scope->is_function = true;
    int32_t trace = trace_begin(s, closure, args, span);
    s->frame = &frame;
    s->calls++;
    Value v = closure->lambda ? run_lambda(s, closure, args, scope, span)
                              : run_function(s, closure, args, scope, &frame, span);
    s->calls--;
    if (frame.asserts.count)
        attach_to_value(s, &frame, &v);
    s->frame = frame.parent;
    trace_end(s, trace, &v);
    if (v.kind == VALUE_TENSOR)
        v.span = span;
    return v;
}

/* ---- Calls of instances: equal calls are one value ---- */

static bool args_equal(const Args *a, const Args *b)
{
    bool equal = a->count == b->count;
    for (uint32_t i = 0; equal && i < a->count; i++) {
        const char *x = a->data[i].name, *y = b->data[i].name;
        equal = value_equal(&a->data[i].value, &b->data[i].value) &&
                (x && y ? strcmp(x, y) == 0 : x == y);
    }
    return equal;
}

static const Memo *find_memo(const Sema *s, const void *function, const Instance *self,
                             const Args *args)
{
    const Elab *elab = s->elab;
    for (uint32_t i = 0; i < elab->memos.count; i++) {
        const Memo *memo = &elab->memos.data[i];
        if (memo->function == function && memo->self == self && !memo->stale &&
            memo->frozen == elab->frozen && args_equal(memo->arguments, args))
            return memo;
    }
    return NULL;
}

static const Args *args_copy(Sema *s, const Args *args)
{
    Args *copy = ARENA_NEW(s->arena, Args);
    copy->count = args->count;
    copy->data = ARENA_ARRAY(s->arena, Arg, args->count ? args->count : 1);
    if (args->count)
        memcpy(copy->data, args->data, args->count * sizeof *copy->data);
    return copy;
}

Value call_method(Sema *s, Instance *self, const AstFunction *function, const Args *args, Span span)
{
    const Memo *memo = find_memo(s, function, self, args);
    if (memo)
        return memo->result;
    Closure closure = {.function = function,
                       .name =
                           function->name.text ? function->name.text : self->decl->item->name.text,
                       .scope = self->scope,
                       .self = self,
                       .file = self->decl->file};
    Value v = call_closure(s, &closure, args, span);
    Memo made = {.function = function,
                 .self = self,
                 .frozen = s->elab->frozen,
                 .arguments = args_copy(s, args),
                 .result = v};
    vec_push(s->arena, &s->elab->memos, made);
    return v;
}

static Value call_instance(Sema *s, Instance *self, const Args *args, Span span)
{
    const AstFunction *function = instance_forward(self);
    if (!function) {
        DiagItem *item = sema_error(s, ERR_E0202, span, NULL, "%s has no fn without a name to call",
                                    self->decl->item->name.text);
        diag_note(item, self->decl->item->name.span, "declared here");
        return value_poison;
    }
    if (!self->path) {
        DiagItem *item =
            sema_error(s, ERR_E0403, span, NULL, "an instance of %s that belongs to no module",
                       self->decl->item->name.text);
        diag_help(item, "give it a name with let in the module, outside of its fn");
        return value_poison;
    }
    return call_method(s, self, function, args, span);
}

/* eval(M)(x): as in an evaluation, and nothing of M learns from it. */
static Value call_frozen(Sema *s, Instance *self, const Args *args, Span span)
{
    bool training = s->elab->training, frozen = s->elab->frozen;
    s->elab->training = false;
    s->elab->frozen = true;
    Value v = call_instance(s, self, args, span);
    s->elab->training = training;
    s->elab->frozen = frozen;
    return v;
}

Value call_value(Sema *s, const Value *callee, const Args *args, Span span, const char *name)
{
    double real;
    if (!sema_step(s, span))
        return value_poison;
    switch (callee->kind) {
    case VALUE_POISON:
        return value_poison;
    case VALUE_BUILTIN:
        return call_builtin(s, callee->as.builtin, args, span);
    case VALUE_DTYPE: /* dtype(x)(3) is f32(3) */
        return call_builtin(s, builtin_find(dtype_name(callee->as.dtype)), args, span);
    case VALUE_FN:
        if (callee->as.closure->transform)
            return call_transform(s, callee->as.closure->transform, args, span);
        if (callee->as.closure->self && callee->as.closure->function)
            return call_method(s, callee->as.closure->self, callee->as.closure->function, args,
                               span);
        return call_closure(s, callee->as.closure, args, span);
    case VALUE_INSTANCE:
        return callee->weak ? call_frozen(s, callee->as.instance, args, span)
                            : call_instance(s, callee->as.instance, args, span);
    case VALUE_MODULE:
        return instantiate(s, callee->as.decl, args, span);
    case VALUE_INIT_DECL:
        return call_init(s, callee->as.decl, args, span);
    case VALUE_SCHEDULE_DECL:
        return apply_decl(s, callee->as.decl, VALUE_SCHEDULE, args, span);
    case VALUE_OPTIMIZER_DECL:
        return apply_optimizer(s, callee->as.decl, args, span);
    case VALUE_METRIC_DECL:
        return apply_decl(s, callee->as.decl, VALUE_METRIC, args, span);
    case VALUE_SCHEDULE:
        return call_schedule(s, callee->as.applied, args, span);
    default:
        if (value_real(callee, &real) && s->elab->time.kind == VALUE_TENSOR && args->count == 1)
            return *callee; /* a number is the constant schedule */
        sema_error(s, ERR_E0202, span, NULL, "%s%s%s and cannot be called", name ? name : "",
                   name ? " is " : "", name ? value_text(s, callee) : value_text(s, callee));
        return value_poison;
    }
}

Value eval_call(Sema *s, const AstExpr *expr, const Value *piped)
{
    const AstExpr *head = expr->as.call.callee;
    Value callee = eval_expr(s, head);
    const AstArguments *written = &expr->as.call.arguments;
    Args args = {ARENA_ARRAY(s->arena, Arg, written->count + 1), 0};
    if (piped)
        args.data[args.count++] = (Arg){.value = *piped, .span = piped->span};
    bool outer = s->in_assert;
    s->in_assert = callee.kind == VALUE_BUILTIN && strcmp(callee.as.builtin->name, "assert") == 0;
    for (uint32_t i = 0; i < written->count; i++) {
        const AstArgument *arg = &written->data[i];
        Value v = eval_expr(s, arg->value);
        args.data[args.count++] = (Arg){arg->name.text, arg->name.span, v, arg->value->span};
    }
    s->in_assert = outer;
    const char *name = head->kind == AST_EXPR_NAME     ? head->as.name
                       : head->kind == AST_EXPR_MEMBER ? head->as.member.name.text
                                                       : NULL;
    Span span =
        head->kind == AST_EXPR_NAME || head->kind == AST_EXPR_MEMBER ? head->span : expr->span;
    if (!sema_in_std(s, span))
        s->elab->graph->span = s->at = piped ? span : expr->span;
    return call_value(s, &callee, &args, span, name);
}
