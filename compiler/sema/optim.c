/* Optimizers: a declaration applied to arguments becomes, for every param and its gradient, nodes
 * for the next value.
 *
 *   adamw(1e-3, groups=[group(max_rank=1, weight_decay=0.0)])
 *
 * is an Applied with one rule: params with at most one axis take the arguments with weight_decay
 * replaced. What happens to gradients before (clipping) and to params after (averages) is here as
 * well. */
#include "compiler/passes/grad.h"
#include "compiler/sema/builtins.h"

#include <string.h>

/* ---- Patterns ---- */

bool pattern_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *retry = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            retry = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

bool report_pattern(Sema *s, const TensorSpecs *tensors, const char *pattern, Span span)
{
    const char **names = ARENA_ARRAY(s->arena, const char *, tensors->count + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < tensors->count; i++)
        if (tensors->data[i].role == TENSOR_PARAM)
            names[count++] = tensors->data[i].name;
    sema_unknown(s, ERR_E0411, span, "no parameter matches", pattern, names, count);
    return false;
}

static bool group_takes(const ParamGroup *group, const TensorSpec *spec)
{
    if (group->max_rank >= 0 && spec->type.rank > group->max_rank)
        return false;
    for (uint32_t i = 0; i < group->patterns.count; i++)
        if (pattern_matches(group->patterns.data[i], spec->name))
            return true;
    return group->patterns.count == 0;
}

/* ---- group(...) ---- */

static bool group_argument(Sema *s, ParamGroup *group, const Arg *arg)
{
    const char *pattern;
    if (arg->name && strcmp(arg->name, "max_rank") == 0)
        return want_int(s, &arg->value, arg->span, "max_rank", &group->max_rank);
    if (arg->name) {
        group->overrides.data[group->overrides.count++] = *arg;
        return arg->value.kind != VALUE_POISON;
    }
    if (arg->value.kind == VALUE_OPTIMIZER) {
        group->use = arg->value.as.applied;
        return true;
    }
    if (!want_string(s, &arg->value, arg->span, "a pattern of names", &pattern))
        return false;
    vec_push(s->arena, &group->patterns, pattern);
    return true;
}

Value builtin_group(Sema *s, BuiltinCall *call)
{
    ParamGroup *group = ARENA_NEW(s->arena, ParamGroup);
    group->max_rank = -1;
    group->span = call->span;
    group->overrides.data = ARENA_ARRAY(s->arena, Arg, call->all->count + 1);
    for (uint32_t i = 0; i < call->all->count; i++)
        if (!group_argument(s, group, &call->all->data[i]))
            return value_poison;
    const char *missing = group->patterns.count == 0 && group->max_rank < 0
                              ? "a group needs a pattern of names or max_rank"
                          : !group->use && group->overrides.count == 0
                              ? "a group says what is different: weight_decay=0.0, or an optimizer"
                          : group->use && group->overrides.count > 0
                              ? "the optimizer of a group has its arguments already"
                              : NULL;
    if (missing) {
        DiagItem *item = sema_error(s, ERR_E0201, call->span, NULL, "%s", missing);
        diag_help(item, "group(\"*.bias\", max_rank=1, weight_decay=0.0)");
        return value_poison;
    }
    return (Value){.kind = VALUE_GROUP, .span = call->span, .as.group = group};
}

/* The arguments of the optimizer with those of the group in their place. */
static Args merge_arguments(Sema *s, const Decl *decl, const Args *base, const Args *overrides)
{
    const AstParameters *params = &decl->item->as.declaration.parameters;
    Args merged = {ARENA_ARRAY(s->arena, Arg, base->count + overrides->count + 1), 0};
    for (uint32_t i = 0; i < overrides->count; i++)
        merged.data[merged.count++] = overrides->data[i];
    for (uint32_t i = 0; i < base->count; i++) {
        Arg arg = base->data[i];
        if (!arg.name && i < params->count)
            arg.name = params->data[i].name.text;
        bool replaced = false;
        for (uint32_t k = 0; arg.name && k < overrides->count; k++)
            replaced |= strcmp(overrides->data[k].name, arg.name) == 0;
        if (!replaced)
            merged.data[merged.count++] = arg;
    }
    return merged;
}

static bool add_group(Sema *s, Decl *decl, const Args *base, const Value *v, Span span,
                      Applied *applied)
{
    if (v->kind != VALUE_GROUP) {
        if (v->kind != VALUE_POISON)
            sema_error(s, ERR_E0200, span, NULL,
                       "groups are made by group(\"pattern\", ...), and this is %s",
                       value_text(s, v));
        return false;
    }
    const ParamGroup *group = v->as.group;
    OptimizerGroup *out = &applied->groups[applied->group_count];
    out->group = group;
    out->optimizer = group->use;
    if (!group->use) {
        Args merged = merge_arguments(s, decl, base, &group->overrides);
        Value own = apply_decl(s, decl, VALUE_OPTIMIZER, &merged, group->span);
        if (own.kind != VALUE_OPTIMIZER)
            return false;
        out->optimizer = own.as.applied;
    }
    applied->group_count++;
    return true;
}

Value apply_optimizer(Sema *s, Decl *decl, const Args *args, Span span)
{
    Args base = {ARENA_ARRAY(s->arena, Arg, args->count + 1), 0};
    const Arg *groups = NULL;
    for (uint32_t i = 0; i < args->count; i++) {
        if (args->data[i].name && strcmp(args->data[i].name, "groups") == 0)
            groups = &args->data[i];
        else
            base.data[base.count++] = args->data[i];
    }
    Value v = apply_decl(s, decl, VALUE_OPTIMIZER, &base, span);
    if (v.kind != VALUE_OPTIMIZER || !groups)
        return v;
    bool list = groups->value.kind == VALUE_ARRAY || groups->value.kind == VALUE_TUPLE;
    const Value *items = list ? groups->value.as.list->items : &groups->value;
    uint32_t count = list ? groups->value.as.list->count : 1;
    v.as.applied->groups = ARENA_ARRAY(s->arena, OptimizerGroup, count + 1);
    for (uint32_t i = 0; i < count; i++)
        if (!add_group(s, decl, &base, &items[i], groups->span, v.as.applied))
            return value_poison;
    return v;
}

/* ---- Params and gradients ---- */

ParamSet param_set_new(Sema *s, const TensorSpecs *tensors)
{
    ParamSet set = {.capacity = tensors->count + 1};
    set.nodes = ARENA_ARRAY(s->arena, Node *, set.capacity);
    set.gradients = ARENA_ARRAY(s->arena, Node *, set.capacity);
    set.indices = ARENA_ARRAY(s->arena, uint32_t, set.capacity);
    return set;
}

void param_set_add(Sema *s, ParamSet *set, const TensorSpecs *tensors, uint32_t index)
{
    const TensorSpec *spec = &tensors->data[index];
    for (uint32_t i = 0; i < set->count; i++)
        if (set->indices[i] == index)
            return;
    set->indices[set->count] = index;
    set->nodes[set->count++] = param_node(s, spec->name, spec->type);
}

bool param_set_gradients(Sema *s, ParamSet *set, double scale, Node *scalar, Span span)
{
    GradError error;
    Graph *graph = s->elab->graph;
    if (scale != 1)
        scalar =
            build_binary(graph, OP_MUL, scalar, build_scalar(graph, scalar->type.dtype, scale));
    if (grad_build(graph, scalar, set->nodes, (int)set->count, set->gradients, &error)) {
        for (uint32_t i = 0; scale != 1 && i < set->count; i++) {
            Node *g = set->gradients[i];
            set->gradients[i] =
                build_binary(graph, OP_DIV, g, build_scalar(graph, g->type.dtype, scale));
        }
        return true;
    }
    DiagItem *item =
        sema_error(s, ERR_E0500, error.node ? error.node->span : span, NULL, "%s", error.text);
    diag_help(item, "stop(x) where no gradient is wanted");
    return false;
}

/* torch.nn.utils.clip_grad_norm_: all gradients times min(1, limit / (norm + 1e-6)). */
static void clip_by_norm(Sema *s, ParamSet *set, double limit)
{
    Graph *graph = s->elab->graph;
    DType dtype = sema_float(s);
    Node *total = NULL;
    for (uint32_t i = 0; i < set->count; i++) {
        Node *g = build_convert(graph, set->gradients[i], dtype);
        Node *square = build_reduce(graph, OP_SUM, build_binary(graph, OP_MUL, g, g),
                                    axes_range(0, g->type.rank));
        total = total ? build_binary(graph, OP_ADD, total, square) : square;
    }
    if (!total)
        return;
    double scaled = dtype_round(dtype, limit);
    double least = dtype_round(dtype, 1e-6);
    Node *norm = build_unary(graph, OP_SQRT, total);
    Node *ratio =
        build_binary(graph, OP_DIV, build_scalar(graph, dtype, scaled),
                     build_binary(graph, OP_ADD, norm, build_scalar(graph, dtype, least)));
    Node *factor = build_binary(graph, OP_MIN, ratio, build_scalar(graph, dtype, 1));
    for (uint32_t i = 0; i < set->count; i++) {
        Node *own = build_convert(graph, factor, set->gradients[i]->type.dtype);
        set->gradients[i] = build_binary(graph, OP_MUL, set->gradients[i], own);
    }
}

void clip_gradients(Sema *s, ParamSet *set, const TrainSettings *settings)
{
    Graph *graph = s->elab->graph;
    for (uint32_t i = 0; settings->clip_value > 0 && i < set->count; i++) {
        DType dtype = set->gradients[i]->type.dtype;
        double limit = settings->clip_value;
        limit = dtype_round(dtype, limit);
        Node *low =
            build_binary(graph, OP_MAX, set->gradients[i], build_scalar(graph, dtype, -limit));
        set->gradients[i] = build_binary(graph, OP_MIN, low, build_scalar(graph, dtype, limit));
    }
    if (settings->clip_norm > 0)
        clip_by_norm(s, set, settings->clip_norm);
}

/* ---- Updates ---- */

/* A declaration with states, made for one param or one metric. */
Instance *owner_new(Sema *s, const Applied *applied, const char *path, const char *suffix)
{
    Instance *self = ARENA_NEW(s->arena, Instance);
    self->decl = (Decl *)applied->decl;
    self->scope = scope_new(s, applied->scope);
    self->path = path;
    self->suffix = suffix;
    self->span = applied->span;
    return self;
}

static uint32_t add_state(Sema *s, const Instance *self, const Slot *slot, TensorRole role,
                          TensorSpecs *tensors)
{
    const char *name = slot_name(s, self, slot);
    for (uint32_t i = 0; i < tensors->count; i++)
        if (strcmp(tensors->data[i].name, name) == 0)
            return i; /* made for the training step, or for an earlier minimize, already */
    TensorSpec spec = {
        .name = name, .role = role, .type = slot->type, .init = slot->init, .span = slot->span};
    vec_push(s->arena, tensors, spec);
    return tensors->count - 1;
}

void owner_states(Sema *s, const Instance *self, TensorRole role, TensorSpecs *tensors,
                  uint32_t *first)
{
    for (uint32_t i = 0; i < self->slots.count; i++) {
        uint32_t index = add_state(s, self, &self->slots.data[i], role, tensors);
        if (i == 0 && first)
            *first = index;
    }
}

static Value run_update(Sema *s, Instance *self, const AstFunction *function, const Value *values,
                        Span span)
{
    Frame frame = {.parent = s->frame,
                   .name = self->decl->item->name.text,
                   .call = span,
                   .in_std = self->decl->file->in_std,
                   .ellipsis_rank = -1};
    Scope *scope = scope_new(s, self->scope);
    scope->is_function = true;
    const AstParameters *params = &function->parameters;
    for (uint32_t i = 0; i < params->count; i++)
        scope_put(s, scope, params->data[i].name.text, params->data[i].name.span,
                  i == 0 ? BIND_LET : BIND_ARGUMENT, values[i]);
    s->frame = &frame;
    Scope *outer = s->scope;
    eval_block(s, &function->body, scope);
    s->scope = outer;
    s->frame = frame.parent;
    Binding *p = scope_find_local(scope, params->data[0].name.text);
    Value next = p->value;
    if (frame.asserts.count && next.kind == VALUE_TENSOR)
        next.as.node = attach_asserts(s, &frame, next.as.node);
    return next;
}

static bool step_param(Sema *s, Applied *optimizer, TensorSpecs *tensors, Node *p, Node *g,
                       const TensorSpec *spec)
{
    const AstFunction *function = decl_function(optimizer->decl, "update");
    if (!function || function->parameters.count != 3) {
        sema_error(s, ERR_E0402, optimizer->decl->item->name.span, NULL,
                   "an optimizer needs fn update(p, g, t) { ... }");
        return false;
    }
    Instance *self =
        owner_new(s, optimizer, step_optimizer_path(s, optimizer, spec->name), spec->name);
    Value values[3] = {value_tensor(p, spec->span), value_tensor(g, spec->span), s->elab->time};
    uint32_t errors = diag_error_count(s->diag);
    scope_put(s, self->scope, "p", spec->span, BIND_ARGUMENT, values[0]);
    Scope *outer = s->scope;
    s->scope = self->scope;
    declare_members(s, self);
    s->scope = outer;
    owner_states(s, self, TENSOR_OPTIM, tensors, NULL);
    Value next = run_update(s, self, function, values, optimizer->span);
    Type type = p->type;
    next = conform_state(s, &next, &type, spec->name, optimizer->span);
    if (next.kind == VALUE_TENSOR)
        elab_assign(s, spec->name, next.as.node);
    return diag_error_count(s->diag) == errors && next.kind == VALUE_TENSOR;
}

static void add_rate(Sema *s, Applied *optimizer)
{
    Binding *lr = scope_find_local(optimizer->scope, "lr");
    Value rate = lr ? lr->value : value_none;
    if (!lr || !value_to_schedule(s, &rate, &rate) ||
        graph_root_find(s->elab->graph, ROOT_OUTPUT, "lr"))
        return;
    Args args = make_args(s, &s->elab->time, 1, optimizer->span);
    rate = call_schedule(s, rate.as.applied, &args, optimizer->span);
    Node *node = value_node(s, &rate, DT_F64, optimizer->span);
    if (node)
        graph_root(s->elab->graph, ROOT_OUTPUT, "lr", build_convert(s->elab->graph, node, DT_F64));
}

static bool groups_used(Sema *s, const Applied *optimizer, const TensorSpecs *tensors)
{
    for (uint32_t i = 0; i < optimizer->group_count; i++) {
        const ParamGroup *group = optimizer->groups[i].group;
        for (uint32_t k = 0; k < group->patterns.count; k++) {
            bool found = false;
            for (uint32_t n = 0; n < tensors->count && !found; n++)
                found = tensors->data[n].role == TENSOR_PARAM &&
                        pattern_matches(group->patterns.data[k], tensors->data[n].name);
            if (!found && !report_pattern(s, tensors, group->patterns.data[k], group->span))
                return false;
        }
    }
    return true;
}

void optimizer_time(Sema *s, Span span)
{
    Graph *graph = s->elab->graph;
    static const char *const names[2] = {"step", "total_steps"};
    Value *values[2] = {&s->elab->time, &s->elab->total_steps};
    for (int i = 0; i < 2; i++) {
        Node *leaf = build_leaf(graph, OP_INPUT, names[i], (Type){.dtype = DT_I64});
        *values[i] = value_tensor(build_convert(graph, leaf, DT_F64), span);
        values[i]->weak = true;
    }
}

bool optimizer_step(Sema *s, Applied *optimizer, TensorSpecs *tensors, const ParamSet *set)
{
    DType products = s->elab->graph->products;
    bool ok = groups_used(s, optimizer, tensors);
    s->elab->graph->products = DT_BOOL; /* of the model, not of its optimizer */
    for (uint32_t i = 0; ok && i < set->count; i++) {
        TensorSpec spec = tensors->data[set->indices[i]];
        Applied *rule = optimizer;
        for (uint32_t k = optimizer->group_count; k-- > 0;)
            if (group_takes(optimizer->groups[k].group, &spec))
                rule = optimizer->groups[k].optimizer;
        ok = step_param(s, rule, tensors, set->nodes[i], set->gradients[i],
                        &spec); /* one message for all params */
    }
    s->elab->graph->products = products;
    if (ok)
        add_rate(s, optimizer);
    return ok;
}

/* ---- After the updates ---- */

void average_params(Sema *s, TensorSpecs *tensors, double decay, Span span)
{
    Graph *graph = s->elab->graph;
    uint32_t count = tensors->count;
    Node *first = build_binary(graph, OP_EQ, s->elab->time.as.node, build_scalar(graph, DT_F64, 0));
    for (uint32_t i = 0; i < count; i++) {
        TensorSpec spec = tensors->data[i];
        Node *p = spec.role == TENSOR_PARAM ? elab_state(s, spec.name, NULL) : NULL;
        if (!p)
            continue;
        DType dtype = spec.type.dtype;
        double d = dtype_round(dtype, decay);
        double rest = dtype_round(dtype, 1 - decay);
        spec.name = arena_format(s->arena, "ema.%s", spec.name);
        spec.role = TENSOR_AVERAGE;
        spec.init = (InitSpec){INIT_CONSTANT, 0, 0};
        spec.trainable = false;
        spec.file = spec.file_name = NULL;
        spec.span = span;
        Node *old = build_leaf(graph, OP_STATE, spec.name, spec.type);
        Node *kept = build_binary(graph, OP_MUL, old, build_scalar(graph, dtype, d));
        Node *added = build_binary(graph, OP_MUL, p, build_scalar(graph, dtype, rest));
        Node *start = build_broadcast(graph, first, p->type.rank, p->type.dims);
        Node *next = build_select(graph, start, p, build_binary(graph, OP_ADD, kept, added));
        elab_assign(s, spec.name, next);
        vec_push(s->arena, tensors, spec);
    }
}

void state_roots(Sema *s, const TensorSpecs *tensors)
{
    for (uint32_t i = 0; i < tensors->count; i++) {
        const TensorSpec *spec = &tensors->data[i];
        Node *node = spec->role == TENSOR_METRIC || spec->role == TENSOR_STAT
                         ? NULL
                         : elab_state(s, spec->name, NULL);
        if (!node)
            continue;
        /* it has a place even if nobody reads it */
        build_leaf(s->elab->graph, spec->role == TENSOR_PARAM ? OP_PARAM : OP_STATE, spec->name,
                   spec->type);
        graph_root(s->elab->graph, ROOT_UPDATE, spec->name, node);
    }
}
