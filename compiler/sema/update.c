/* The end of a training step: which params the loss reaches, their gradients, and the graph that
 * applies them.
 *
 *   accumulate = 1   train_step: loss -> gradients -> clip -> optimizer -> new params
 *   accumulate = 4   train_step: loss -> gradients -> optim.sum.NAME += rows * gradient
 *                    apply_step: optim.sum.NAME / optim.rows -> clip -> optimizer -> new params */
#include "compiler/sema/internal.h"

static bool unused_param(Sema *s, const TensorSpec *spec)
{
    DiagItem *item = sema_error(s, ERR_E0501, spec->span, NULL,
                                "the loss does not depend on the parameter %s", spec->name);
    diag_help(item, "use it, remove it, or make it a state");
    return false;
}

bool *reached_from(Sema *s, const Node *scalar)
{
    const Graph *graph = s->elab->graph;
    bool *reached = ARENA_ARRAY(s->arena, bool, graph->nodes.count + 1);
    reached[scalar->id] = true;
    for (uint32_t i = scalar->id + 1; i-- > 0;) {
        const Node *node = graph->nodes.data[i];
        for (int k = 0; reached[i] && node->op != OP_STOP && k < node->nsrc; k++)
            reached[node->src[k]->id] = true;
    }
    return reached;
}

/* stop(w), as eval(M) reads its params. */
static bool is_stopped(const Graph *graph, const Node *leaf)
{
    for (uint32_t i = leaf->id + 1; i < graph->nodes.count; i++)
        if (graph->nodes.data[i]->op == OP_STOP && graph->nodes.data[i]->src[0] == leaf)
            return true;
    return false;
}

static bool trained_params(Sema *s, TrainPlan *plan, const Node *loss, ParamSet *set)
{
    Graph *graph = s->elab->graph;
    uint32_t before = graph->nodes.count;
    const bool *reached = reached_from(s, loss);
    bool ok = true;
    for (uint32_t i = 0; i < plan->tensors.count; i++) {
        TensorSpec *spec = &plan->tensors.data[i];
        if (spec->role != TENSOR_PARAM || !spec->trainable)
            continue;
        const Node *leaf = param_node(s, spec->name, spec->type);
        if (leaf->id < before && reached[leaf->id])
            param_set_add(s, set, &plan->tensors, i);
        else if (spec->file || (leaf->id < before && is_stopped(graph, leaf)))
            spec->trainable = false;
        else
            ok = unused_param(s, spec);
    }
    return ok;
}

/* ---- Updates ---- */

/* The gradients of the batches so far, each times its rows, for update `number` of a step:
 * optim.sum.NAME, optim.sum2.NAME, ...; the rows: optim.rows. */
static const char *sum_name(Sema *s, uint32_t number, const char *param)
{
    return number == 0 ? arena_format(s->arena, "optim.sum.%s", param)
                       : arena_format(s->arena, "optim.sum%u.%s", number + 1, param);
}

static Node *sum_leaf(Sema *s, TrainPlan *plan, const char *name, Type type, Span span)
{
    TensorSpec spec = {.name = name, .role = TENSOR_OPTIM, .type = type, .span = span};
    vec_push(s->arena, &plan->tensors, spec);
    return build_leaf(s->elab->graph, OP_STATE, name, type);
}

void update_hold(Sema *s, TrainPlan *plan, const ParamSet *set, uint32_t number)
{
    Graph *graph = s->elab->graph;
    Node *batch = build_dim(graph, plan->batch, DT_F64);
    if (number == 0) {
        Node *rows = sum_leaf(s, plan, "optim.rows", (Type){.dtype = DT_F64}, plan->span);
        elab_assign(s, "optim.rows", build_binary(graph, OP_ADD, rows, batch));
    }
    for (uint32_t i = 0; i < set->count; i++) {
        const char *name = sum_name(s, number, plan->tensors.data[set->indices[i]].name);
        Node *g = set->gradients[i];
        Node *old = sum_leaf(s, plan, name, g->type, plan->span);
        Node *part = build_binary(graph, OP_MUL, g, build_convert(graph, batch, g->type.dtype));
        elab_assign(s, name, build_binary(graph, OP_ADD, old, part));
    }
}

/* The gradients of all batches of the step, in the graph that applies them; the sums begin anew. */
static void take_sums(Sema *s, TrainPlan *plan, ParamSet *set, uint32_t number)
{
    Graph *graph = s->elab->graph;
    Node *rows = build_leaf(graph, OP_STATE, "optim.rows", (Type){.dtype = DT_F64});
    elab_assign(s, "optim.rows", build_scalar(graph, DT_F64, 0));
    for (uint32_t i = 0; i < set->count; i++) {
        const TensorSpec *spec = &plan->tensors.data[set->indices[i]];
        const char *name = sum_name(s, number, spec->name);
        Node *sum = build_leaf(graph, OP_STATE, name, spec->type);
        set->nodes[i] = param_node(s, spec->name, spec->type);
        set->gradients[i] =
            build_binary(graph, OP_DIV, sum, build_convert(graph, rows, spec->type.dtype));
        elab_assign(s, name, build_const(graph, spec->type, 0));
    }
}

static bool update_params(Sema *s, TrainPlan *plan, Applied *optimizer, ParamSet *set)
{
    s->elab->graph->span = optimizer->span;
    optimizer_time(s, optimizer->span);
    clip_gradients(s, set, &plan->settings);
    return optimizer_step(s, optimizer, &plan->tensors, set);
}

static void average(Sema *s, TrainPlan *plan)
{
    if (plan->settings.ema > 0)
        average_params(s, &plan->tensors, plan->settings.ema, plan->span);
}

bool updates_apply(Sema *s, TrainPlan *plan, HeldUpdate *held, uint32_t count)
{
    Elab *outer = s->elab;
    bool ok = true;
    s->elab = elab_new(s, "apply_step", true);
    s->elab->checks = &plan->checks;
    s->elab->graph->span = plan->span;
    for (uint32_t i = 0; ok && i < count; i++) {
        take_sums(s, plan, &held[i].set, i);
        ok = update_params(s, plan, held[i].optimizer, &held[i].set);
    }
    if (ok)
        average(s, plan);
    state_roots(s, &plan->tensors);
    plan->apply_step = s->elab->graph;
    s->elab = outer;
    return ok;
}

bool train_update(Sema *s, TrainPlan *plan, Applied *optimizer, Node *mean, Span span)
{
    HeldUpdate held = {optimizer, param_set_new(s, &plan->tensors)};
    if (!trained_params(s, plan, mean, &held.set) ||
        !param_set_gradients(s, &held.set, plan->settings.loss_scale, mean, span))
        return false;
    if (plan->settings.accumulate > 1) {
        update_hold(s, plan, &held.set, 0);
        return updates_apply(s, plan, &held, 1);
    }
    bool ok = update_params(s, plan, optimizer, &held.set);
    if (ok)
        average(s, plan);
    return ok;
}
