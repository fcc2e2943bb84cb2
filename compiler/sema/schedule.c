/* Schedules: rates as functions of the step, and those that watch a metric.
 *
 *   cosine(1e-3, warmup=500)(t)     fn (t) with lr and warmup
 *   plateau(0.1, patience=3)        states, fn (t), and fn epoch(value), which changes the states
 *
 * A schedule with states is for one train block; its states are tensors of the block, so that
 * checkpoints have them. What happens after an epoch is a graph of its own:
 *
 *   epoch_step   INPUT "valid/loss" f64, states "schedule.plateau.rate", .. -> UPDATE states */
#include "compiler/sema/internal.h"

#include <string.h>

bool value_to_schedule(Sema *s, const Value *v, Value *out)
{
    double real;
    if (v->kind == VALUE_SCHEDULE || v->kind == VALUE_POISON) {
        *out = *v;
        return true;
    }
    if (!value_real(v, &real))
        return false;
    Applied *constant = ARENA_NEW(s->arena, Applied);
    constant->constant = real;
    constant->span = v->span;
    *out = (Value){.kind = VALUE_SCHEDULE, .span = v->span, .as.applied = constant};
    return true;
}

Value schedule_binary(Sema *s, AstBinary op, const Value *a, const Value *b, Span span)
{
    Value x, y;
    if (!value_to_schedule(s, a, &x) || !value_to_schedule(s, b, &y) || op < AST_ADD ||
        op > AST_DIV) {
        sema_error(s, ERR_E0204, span, NULL, "%s is not defined for %s and %s", ast_binary_text(op),
                   value_text(s, a), value_text(s, b));
        return value_poison;
    }
    Applied *joined = ARENA_NEW(s->arena, Applied);
    *joined = (Applied){.op = (int)op, .left = x.as.applied, .right = y.as.applied, .span = span};
    return (Value){.kind = VALUE_SCHEDULE, .span = span, .as.applied = joined};
}

/* ---- States ---- */

typedef struct {
    const Applied *schedule;
    Instance *self;
} Watcher;

struct Watchers {
    TrainPlan *plan;
    VEC(Watcher) list;
};

static bool has_states(const Decl *decl)
{
    const AstMembers *members = &decl->item->as.declaration.members;
    for (uint32_t i = 0; i < members->count; i++)
        if (members->data[i]->kind == AST_MEMBER_STATE)
            return true;
    return false;
}

/* "schedule.plateau"; of a second one of that name "schedule.plateau2". */
static const char *watcher_path(Sema *s, const Decl *decl)
{
    uint32_t same = 1;
    for (uint32_t i = 0; i < s->watchers->list.count; i++)
        same += s->watchers->list.data[i].schedule->decl == decl;
    const char *name = decl->item->name.text;
    return same == 1 ? arena_format(s->arena, "schedule.%s", name)
                     : arena_format(s->arena, "schedule.%s%u", name, same);
}

/* The schedule in this train block; NULL after an error. */
static Instance *watcher_of(Sema *s, const Applied *schedule, Span span)
{
    if (!s->watchers) {
        sema_error(s, ERR_E0403, span, NULL,
                   "the schedule %s has states: it belongs to an optimizer of a train block",
                   schedule->decl->item->name.text);
        return NULL;
    }
    for (uint32_t i = 0; i < s->watchers->list.count; i++)
        if (s->watchers->list.data[i].schedule == schedule)
            return s->watchers->list.data[i].self;
    uint32_t errors = diag_error_count(s->diag);
    Instance *self = owner_new(s, schedule, watcher_path(s, schedule->decl), NULL);
    Scope *outer = s->scope;
    s->scope = self->scope;
    declare_members(s, self);
    s->scope = outer;
    if (diag_error_count(s->diag) != errors)
        return NULL;
    owner_states(s, self, TENSOR_OPTIM, &s->watchers->plan->tensors, NULL);
    Watcher made = {schedule, self};
    vec_push(s->arena, &s->watchers->list, made);
    return self;
}

/* Has fn (t) changed a state? It runs once for every param. */
static bool keeps_states(Sema *s, const Instance *self, Span span)
{
    for (uint32_t i = 0; i < self->slots.count; i++) {
        const char *name = slot_name(s, self, &self->slots.data[i]);
        for (uint32_t k = 0; k < s->elab->pending.count; k++)
            if (strcmp(s->elab->pending.data[k].name, name) == 0) {
                DiagItem *item =
                    sema_error(s, ERR_E0403, span, NULL, "the rate at a step changes the state %s",
                               self->slots.data[i].name);
                diag_help(item, "fn epoch(value), which runs after every epoch, may change it");
                return false;
            }
    }
    return true;
}

/* ---- The rate at a step ---- */

static Scope *lets_scope(Sema *s, const Applied *schedule)
{
    const AstMembers *members = &schedule->decl->item->as.declaration.members;
    Scope *outer = s->scope, *scope = scope_new(s, schedule->scope);
    s->scope = scope;
    for (uint32_t i = 0; i < members->count; i++)
        if (members->data[i]->kind == AST_MEMBER_LET)
            eval_let(s, &members->data[i]->as.let, BIND_LET);
    s->scope = outer;
    return scope;
}

static Value call_declared(Sema *s, const Applied *schedule, const AstFunction *function,
                           const Args *args, Span span)
{
    Instance *self = NULL;
    if (has_states(schedule->decl) && !(self = watcher_of(s, schedule, span)))
        return value_poison;
    Closure closure = {.function = function,
                       .name = schedule->decl->item->name.text,
                       .scope = self ? self->scope : lets_scope(s, schedule),
                       .file = schedule->decl->file};
    Value v = call_closure(s, &closure, args, span);
    return !self || keeps_states(s, self, function->header) ? v : value_poison;
}

Value call_schedule(Sema *s, Applied *schedule, const Args *args, Span span)
{
    if (args->count != 1) {
        sema_error(s, ERR_E0201, span, NULL, "a schedule takes the step: lr(t)");
        return value_poison;
    }
    if (schedule->left) {
        Value a = call_schedule(s, schedule->left, args, span),
              b = call_schedule(s, schedule->right, args, span);
        return eval_binary(s, (AstBinary)schedule->op, &a, &b, span);
    }
    if (!schedule->decl)
        return value_float(schedule->constant, span);
    const AstFunction *function = decl_function(schedule->decl, NULL);
    if (!function) {
        sema_error(s, ERR_E0402, schedule->decl->item->name.span, NULL,
                   "a schedule needs fn (t) { ... }");
        return value_poison;
    }
    Value v = call_declared(s, schedule, function, args, span);
    if (v.kind == VALUE_TENSOR && v.as.node->type.rank == 0 &&
        dtype_is_float(v.as.node->type.dtype)) {
        v.as.node = build_convert(s->elab->graph, v.as.node, DT_F64);
        v.weak = true;
    } else if (v.kind != VALUE_POISON && !value_is_constant(&v)) {
        sema_error(s, ERR_E0207, function->header, NULL,
                   "a schedule gives one number, and this one gives %s", value_text(s, &v));
        return value_poison;
    }
    return v;
}

/* ---- After an epoch ---- */

static bool epoch_of(Sema *s, const Watcher *watcher)
{
    const Applied *schedule = watcher->schedule;
    const AstFunction *function = decl_function(schedule->decl, "epoch");
    const Binding *binding = scope_find_local(schedule->scope, "monitor");
    const char *monitor;
    if (!function || function->parameters.count != 1 || !binding) {
        sema_error(s, ERR_E0402, schedule->decl->item->name.span, NULL,
                   "a schedule with states needs fn epoch(value) { ... } and an argument monitor");
        return false;
    }
    if (!want_string(s, &binding->value, schedule->span, "monitor", &monitor) ||
        !train_monitors(s, s->watchers->plan, monitor, schedule->span))
        return false;
    Node *leaf = build_leaf(s->elab->graph, OP_INPUT, monitor, (Type){.dtype = DT_F64});
    Value value = value_tensor(leaf, schedule->span);
    Args args = make_args(s, &value, 1, schedule->span);
    Closure closure = {.function = function,
                       .name = schedule->decl->item->name.text,
                       .scope = watcher->self->scope,
                       .file = schedule->decl->file};
    return call_closure(s, &closure, &args, schedule->span).kind != VALUE_POISON;
}

void watchers_begin(Sema *s, TrainPlan *plan)
{
    s->watchers = ARENA_NEW(s->arena, struct Watchers);
    s->watchers->plan = plan;
}

bool watchers_end(Sema *s)
{
    struct Watchers *watchers = s->watchers;
    TrainPlan *plan = watchers->plan;
    uint32_t errors = diag_error_count(s->diag);
    Elab *outer = s->elab;
    bool ok = true;
    if (watchers->list.count > 0) {
        s->elab = elab_new(s, "epoch_step", true);
        s->elab->checks = &plan->checks;
        s->elab->graph->span = plan->span;
        for (uint32_t i = 0; ok && i < watchers->list.count; i++)
            ok = epoch_of(s, &watchers->list.data[i]);
        state_roots(s, &plan->tensors);
        plan->epoch_step = s->elab->graph;
    }
    s->elab = outer;
    s->watchers = NULL;
    return ok && diag_error_count(s->diag) == errors;
}
