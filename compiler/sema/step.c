/* Steps written by hand: fn step of a train block, and minimize.
 *
 *   fn step(image: f32[B, 1, 28, 28]) {
 *       let fake = G(randn(B, 100))
 *       minimize bce(D(image), 1.0) + bce(D(stop(fake)), 0.0) wrt D using optD
 *       minimize bce(D(fake), 1.0) wrt G using optG
 *   }
 *
 * The fn is expanded into the graph of the training step. A minimize differentiates its loss and
 * gives the params their next values at once: what is computed after it sees them, as after
 * optimizer.step() of PyTorch, and no gradient flows back through an update. With accumulate the
 * updates come after the last batch of the step, in order, and all gradients are those of the
 * weights before. In an evaluation the same fn measures the losses and changes nothing. */
#include "compiler/sema/internal.h"

#include <string.h>

typedef struct {
    const AstStmt *stmt;
    const char *name; /* "loss_D" */
    Node *sum;        /* of its values in this step; a minimize in a for has several */
    int count;
} StepLoss;

typedef struct {
    const char *param;
    const Applied *optimizer;
} Ownership;

struct StepRun {
    TrainPlan *plan;
    const AstFunction *function;
    VEC(StepLoss) losses;
    VEC(Ownership) owners;
    VEC(HeldUpdate) held; /* with accumulate */
};

/* ---- The block ---- */

bool step_find(Sema *s, const Block *block, const AstFunction **out)
{
    *out = NULL;
    for (uint32_t i = 0; i < block->members->count; i++) {
        const AstMember *member = block->members->data[i];
        if (member->kind != AST_MEMBER_FN)
            continue;
        const AstFunction *function = &member->as.function;
        const char *name = function->name.text ? function->name.text : "";
        if (*out || strcmp(name, "step") != 0) {
            sema_error(s, ERR_E0403, function->header, NULL,
                       *out ? "a train block has one fn step" : "the fn of a train block is step");
            return false;
        }
        *out = function;
    }
    const AstMember *key = *out ? block_member(block, "loss") : NULL;
    if (key) {
        DiagItem *item = sema_error(s, ERR_E0409, key->as.key.name.span, NULL,
                                    "loss beside a step written by hand");
        diag_note(item, (*out)->header, "the step");
        return false;
    }
    return true;
}

static void root_value(Sema *s, const Value *v, const char *name, TrainPlan *plan,
                       SemaInstance *parent)
{
    if (v->kind == VALUE_INSTANCE && !v->as.instance->path && !v->as.instance->parent) {
        v->as.instance->name = name;
        instance_root(s, v->as.instance, name, &plan->tensors);
        v->as.instance->shown->parent = parent;
        vec_push(s->arena, &parent->children, v->as.instance->shown);
    }
    if (v->kind == VALUE_ARRAY || v->kind == VALUE_TUPLE)
        for (uint32_t i = 0; i < v->as.list->count; i++)
            root_value(s, &v->as.list->items[i], arena_format(s->arena, "%s.%u", name, i), plan,
                       parent);
}

void step_instances(Sema *s, const Scope *scope, TrainPlan *plan)
{
    SemaInstance *root = plan->model;
    if (!root) {
        root = ARENA_NEW(s->arena, SemaInstance);
        *root = (SemaInstance){
            .path = "", .name = "", .module = plan->name, .detail = "", .span = plan->span};
    }
    for (uint32_t i = 0; i < scope->bindings.count; i++)
        root_value(s, &scope->bindings.data[i]->value, scope->bindings.data[i]->name, plan, root);
    if (!plan->model) {
        plan->model = root;
        plan->model_name = plan->name;
    }
}

/* ---- minimize ---- */

static bool add_instance(Sema *s, ParamSet *set, TensorSpecs *tensors, const SemaInstance *shown)
{
    for (uint32_t i = 0; i < shown->tensors.count; i++) {
        const TensorSpec *spec = &tensors->data[shown->tensors.data[i]];
        if (spec->role == TENSOR_PARAM && spec->trainable)
            param_set_add(s, set, tensors, shown->tensors.data[i]);
    }
    for (uint32_t i = 0; i < shown->children.count; i++)
        add_instance(s, set, tensors, shown->children.data[i]);
    return true;
}

static bool add_param(Sema *s, ParamSet *set, TensorSpecs *tensors, const Node *node)
{
    for (uint32_t i = 0; i < tensors->count; i++) {
        TensorSpec *spec = &tensors->data[i];
        if (spec->role != TENSOR_PARAM || param_node(s, spec->name, spec->type) != node)
            continue;
        if (spec->trainable)
            param_set_add(s, set, tensors, i);
        return true;
    }
    return false;
}

static bool add_value(Sema *s, ParamSet *set, const Value *v, Span span)
{
    TensorSpecs *tensors = &s->step->plan->tensors;
    bool ok = true;
    switch (v->kind) {
    case VALUE_POISON:
        return false;
    case VALUE_ARRAY:
    case VALUE_TUPLE:
        for (uint32_t i = 0; i < v->as.list->count; i++)
            ok = add_value(s, set, &v->as.list->items[i], span) && ok;
        return ok;
    case VALUE_INSTANCE:
        if (!v->weak && v->as.instance->shown)
            return add_instance(s, set, tensors, v->as.instance->shown);
        break;
    case VALUE_TENSOR:
        if (add_param(s, set, tensors, v->as.node))
            return true;
        break;
    default:
        break;
    }
    DiagItem *item = sema_error(
        s, ERR_E0200, span, NULL, "minimize ... wrt takes modules and their params, and this is %s",
        v->kind == VALUE_INSTANCE && v->weak ? "frozen by eval(...)" : value_text(s, v));
    if (v->kind == VALUE_INSTANCE && !v->weak)
        diag_help(item, "give it a name with let in the train block, outside of the step");
    return false;
}

/* A loss that one of the params has no part in is a mistake of the program. */
static bool all_reached(Sema *s, const ParamSet *set, const Node *loss, Span span)
{
    const bool *reached = reached_from(s, loss);
    bool ok = true;
    for (uint32_t i = 0; i < set->count; i++) {
        const Node *node = set->nodes[i];
        if (node->id <= loss->id && reached[node->id])
            continue;
        const TensorSpec *spec = &s->step->plan->tensors.data[set->indices[i]];
        if (ok)
            sema_error(s, ERR_E0501, span, NULL, "this loss does not depend on the parameter %s",
                       spec->name);
        ok = false;
    }
    return ok;
}

static void forget_calls(Sema *s)
{
    for (uint32_t i = 0; i < s->elab->memos.count; i++)
        s->elab->memos.data[i].stale = true;
}

static bool update(Sema *s, const AstStmt *stmt, Node *mean)
{
    TrainPlan *plan = s->step->plan;
    ParamSet set = param_set_new(s, &plan->tensors);
    Value rule = eval_expr(s, stmt->as.minimize.optimizer);
    bool ok = true;
    for (uint32_t i = 0; i < stmt->as.minimize.wrt.count; i++) {
        const AstExpr *wrt = stmt->as.minimize.wrt.data[i];
        Value v = eval_expr(s, wrt);
        ok = add_value(s, &set, &v, wrt->span) && ok;
    }
    if (rule.kind != VALUE_OPTIMIZER) {
        if (rule.kind != VALUE_POISON)
            sema_error(s, ERR_E0200, stmt->as.minimize.optimizer->span, NULL,
                       "minimize ... using takes an optimizer such as sgd(lr=0.01), and this is %s",
                       value_text(s, &rule));
        return false;
    }
    Span span = stmt->as.minimize.loss->span;
    if (!ok || !all_reached(s, &set, mean, span) ||
        !param_set_gradients(s, &set, plan->settings.loss_scale, mean, span))
        return false;
    if (plan->settings.accumulate > 1) {
        HeldUpdate held = {rule.as.applied, set};
        update_hold(s, plan, &set, s->step->held.count);
        vec_push(s->arena, &s->step->held, held);
        return true;
    }
    optimizer_time(s, rule.as.applied->span);
    clip_gradients(s, &set, &plan->settings);
    ok = optimizer_step(s, rule.as.applied, &plan->tensors, &set);
    forget_calls(s);
    return ok;
}

static const char *loss_name(Sema *s, const AstStmt *stmt)
{
    const AstExpr *wrt = stmt->as.minimize.wrt.data[0];
    const char *name = wrt->kind == AST_EXPR_NAME     ? wrt->as.name
                       : wrt->kind == AST_EXPR_MEMBER ? wrt->as.member.name.text
                                                      : "part";
    const char *base = arena_format(s->arena, "loss_%s", name), *out = base;
    for (uint32_t i = 0, n = 2; i < s->step->losses.count; i++)
        if (strcmp(s->step->losses.data[i].name, out) == 0) {
            out = arena_format(s->arena, "%s.%u", base, n++);
            i = (uint32_t)-1;
        }
    return out;
}

static void note_loss(Sema *s, const AstStmt *stmt, Node *mean)
{
    for (uint32_t i = 0; i < s->step->losses.count; i++) {
        StepLoss *loss = &s->step->losses.data[i];
        if (loss->stmt != stmt)
            continue;
        loss->sum = build_binary(s->elab->graph, OP_ADD, loss->sum, mean);
        loss->count++;
        return;
    }
    StepLoss loss = {stmt, loss_name(s, stmt), mean, 1};
    vec_push(s->arena, &s->step->losses, loss);
}

void exec_minimize(Sema *s, const AstStmt *stmt)
{
    Span span = stmt->as.minimize.loss->span;
    if (!s->step || !s->frame || s->frame->function != s->step->function || s->repeat) {
        bool repeated = s->step && s->repeat;
        DiagItem *item =
            sema_error(s, ERR_E0403, stmt->span, NULL,
                       repeated
                           ? "a minimize stands neither in a loop nor in a decision at run time"
                           : "minimize stands in the fn step of a train block");
        if (repeated)
            diag_help(item, "for i in 0..5 { minimize ... } updates five times in one step: which "
                            "updates a step has is known when it is compiled, as the states of "
                            "its optimizers belong to it");
        return;
    }
    Value v = eval_expr(s, stmt->as.minimize.loss);
    Node *loss;
    if (!want_tensor(s, &v, span, "a loss", &loss))
        return;
    if (!dtype_is_float(loss->type.dtype)) {
        sema_error(s, ERR_E0405, span, NULL, "a loss is a float, and this is %s",
                   value_text(s, &v));
        return;
    }
    Node *mean = mean_loss(s, loss);
    note_loss(s, stmt, mean);
    if (s->elab->training)
        update(s, stmt, mean);
}

/* ---- Optimizers ---- */

/* States of an optimizer are called optim.STATE.PARAM; those of a second one of the same param
 * optim2.STATE.PARAM. */
const char *step_optimizer_path(Sema *s, const Applied *optimizer, const char *param)
{
    uint32_t others = 0;
    if (!s->step)
        return "optim";
    for (uint32_t i = 0; i < s->step->owners.count; i++) {
        const Ownership *owner = &s->step->owners.data[i];
        if (strcmp(owner->param, param) != 0)
            continue;
        if (owner->optimizer == optimizer)
            return others ? arena_format(s->arena, "optim%u", others + 1) : "optim";
        others++;
    }
    Ownership made = {param, optimizer};
    vec_push(s->arena, &s->step->owners, made);
    return others ? arena_format(s->arena, "optim%u", others + 1) : "optim";
}

/* ---- The step ---- */

static bool step_arguments(Sema *s, const AstFunction *function, const Scope *rows, Args *out)
{
    const AstParameters *params = &function->parameters;
    *out = (Args){ARENA_ARRAY(s->arena, Arg, params->count + 1), params->count};
    for (uint32_t i = 0; i < params->count; i++) {
        const Binding *binding = scope_find_local(rows, params->data[i].name.text);
        if (!binding) {
            const char **names = ARENA_ARRAY(s->arena, const char *, rows->bindings.count + 1);
            for (uint32_t k = 0; k < rows->bindings.count; k++)
                names[k] = rows->bindings.data[k]->name;
            sema_unknown(s, ERR_E0100, params->data[i].name.span, "the dataset has no",
                         params->data[i].name.text, names, rows->bindings.count);
            return false;
        }
        out->data[i] = (Arg){.value = binding->value, .span = params->data[i].span};
    }
    return true;
}

static Node *mean_of(Sema *s, const StepLoss *loss)
{
    Graph *graph = s->elab->graph;
    Node *count = build_scalar(graph, loss->sum->type.dtype, loss->count);
    return loss->count == 1 ? loss->sum : build_binary(graph, OP_DIV, loss->sum, count);
}

static void measure(Sema *s, const char *name, Node *value, bool first, Span span)
{
    TrainPlan *plan = s->step->plan;
    MetricPlan metric;
    metric_loss(s, name, value, plan->batch, &plan->tensors, first ? &metric : NULL, span);
    if (first)
        vec_push(s->arena, &plan->metrics, metric);
}

static void show_losses(Sema *s)
{
    for (uint32_t i = 0; i < s->step->losses.count; i++) {
        const StepLoss *loss = &s->step->losses.data[i];
        graph_root(s->elab->graph, ROOT_OUTPUT, loss->name, mean_of(s, loss));
    }
}

/* The sum of all losses is "loss"; when there are several, each has a number of its own. */
static bool measure_losses(Sema *s, StepUse use)
{
    Graph *graph = s->elab->graph;
    bool first = use == STEP_TRAIN;
    if (use == STEP_SHOW) {
        show_losses(s);
        return true;
    }
    Node *total = NULL;
    Span span = s->step->function->header;
    for (uint32_t i = 0; i < s->step->losses.count; i++) {
        Node *mean = build_convert(graph, mean_of(s, &s->step->losses.data[i]), sema_float(s));
        total = total ? build_binary(graph, OP_ADD, total, mean) : mean;
    }
    if (!total) {
        sema_error(s, ERR_E0402, span, NULL, "a step needs minimize ... wrt ... using ...");
        return false;
    }
    measure(s, "loss", total, first, span);
    for (uint32_t i = 0; s->step->losses.count > 1 && i < s->step->losses.count; i++)
        measure(s, s->step->losses.data[i].name, mean_of(s, &s->step->losses.data[i]), first, span);
    if (s->elab->training)
        graph_root(graph, ROOT_OUTPUT, "loss", total);
    return true;
}

bool step_expand(Sema *s, TrainPlan *plan, const AstFunction *function, Scope *scope,
                 const Scope *rows, StepUse use)
{
    struct StepRun run = {.plan = plan, .function = function};
    Closure closure = {.function = function, .name = "step", .scope = scope, .file = scope->file};
    uint32_t errors = diag_error_count(s->diag);
    Args args;
    if (!step_arguments(s, function, rows, &args))
        return false;
    s->step = &run;
    call_closure(s, &closure, &args, function->header);
    bool ok = diag_error_count(s->diag) == errors && measure_losses(s, use);
    if (ok && run.held.count > 0)
        ok = updates_apply(s, plan, run.held.data, run.held.count);
    else if (ok && s->elab->training && plan->settings.ema > 0)
        average_params(s, &plan->tensors, plan->settings.ema, plan->span);
    s->step = NULL;
    return ok && diag_error_count(s->diag) == errors;
}
