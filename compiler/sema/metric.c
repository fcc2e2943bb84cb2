/* Metrics: sums over rows that are kept as states, and a result made of them in a graph of its own.
 *
 *   accuracy(model(x), y)  ->  in the step: UPDATE metric.accuracy.hit, metric.accuracy.n
 *                              its graph: both states -> OUTPUT value */
#include "compiler/sema/internal.h"

#include <string.h>

/* ---- The result ---- */

static void read_better(Sema *s, const Decl *decl, MetricPlan *plan)
{
    Block block = {"metric", decl->item->name.text, &decl->item->as.declaration.members};
    static const char *const known[] = {"better", NULL};
    block_check(s, &block, known);
    const AstMember *member = block_member(&block, "better");
    if (!member || member->kind != AST_MEMBER_KEY)
        return;
    const AstExpr *value = member->as.key.value;
    const char *word = value->kind == AST_EXPR_NAME ? value->as.name : "";
    plan->higher_is_better = strcmp(word, "higher") == 0;
    plan->has_better = plan->higher_is_better || strcmp(word, "lower") == 0;
    if (!plan->has_better)
        sema_error(s, ERR_E0205, value->span, NULL, "better is higher or lower");
}

/* The tensors of the step are not there when the result is made. */
static Value *hide_tensors(Sema *s, Scope *scope)
{
    Value *saved = ARENA_ARRAY(s->arena, Value, scope->bindings.count + 1);
    for (uint32_t i = 0; i < scope->bindings.count; i++) {
        saved[i] = scope->bindings.data[i]->value;
        if (saved[i].kind == VALUE_TENSOR)
            scope->bindings.data[i]->value = value_none;
    }
    return saved;
}

static void show_tensors(Scope *scope, const Value *saved)
{
    for (uint32_t i = 0; i < scope->bindings.count; i++)
        scope->bindings.data[i]->value = saved[i];
}

static void result_graph(Sema *s, Instance *self, MetricPlan *plan)
{
    const AstFunction *function = decl_function(self->decl, "result");
    if (!function) {
        sema_error(s, ERR_E0402, self->decl->item->name.span, NULL,
                   "a metric needs fn result() { ... }");
        return;
    }
    Elab *outer = s->elab;
    s->elab = elab_new(s, arena_format(s->arena, "metric.%s", plan->name), false);
    Value *own = hide_tensors(s, self->scope), *arguments = hide_tensors(s, self->scope->parent);
    Closure closure = {.function = function,
                       .name = self->decl->item->name.text,
                       .scope = self->scope,
                       .self = NULL,
                       .file = self->decl->file};
    Args none = {NULL, 0};
    Value v = call_closure(s, &closure, &none, self->span);
    show_tensors(self->scope, own);
    show_tensors(self->scope->parent, arguments);
    Node *node = v.kind == VALUE_POISON ? NULL : value_node(s, &v, DT_F64, self->span);
    if (node && node->type.rank > 2)
        sema_error(s, ERR_E0406, self->span, NULL,
                   "a metric gives a number, a vector or a matrix, and this is %s",
                   type_text(s, &node->type));
    if (node) {
        node = build_convert(s->elab->graph, node, DT_F64);
        graph_root(s->elab->graph, ROOT_OUTPUT, "value", node);
        plan->type = node->type;
        plan->result = s->elab->graph;
    }
    s->elab = outer;
}

/* ---- The update ---- */

static void update_roots(Sema *s, const Instance *self)
{
    for (uint32_t i = 0; i < self->slots.count; i++) {
        const char *name = slot_name(s, self, &self->slots.data[i]);
        Node *leaf = build_leaf(s->elab->graph, OP_STATE, name, self->slots.data[i].type);
        graph_root(s->elab->graph, ROOT_UPDATE, name, elab_state(s, name, leaf));
    }
}

bool metric_step(Sema *s, Applied *metric, const char *name, TensorSpecs *tensors, MetricPlan *plan)
{
    const Decl *decl = metric->decl;
    const AstFunction *update = decl_function(decl, "update");
    uint32_t errors = diag_error_count(s->diag);
    if (!update) {
        sema_error(s, ERR_E0402, decl->item->name.span, NULL, "a metric needs fn update() { ... }");
        return false;
    }
    Instance *self = owner_new(s, metric, arena_format(s->arena, "metric.%s", name), NULL);
    Scope *outer = s->scope;
    s->scope = self->scope;
    declare_members(s, self);
    s->scope = outer;
    if (diag_error_count(s->diag) != errors)
        return false;
    uint32_t before = tensors->count;
    owner_states(s, self, TENSOR_METRIC, tensors, NULL);
    Closure closure = {.function = update,
                       .name = decl->item->name.text,
                       .scope = self->scope,
                       .file = decl->file};
    Args none = {NULL, 0};
    call_closure(s, &closure, &none, metric->span);
    update_roots(s, self);
    if (plan && diag_error_count(s->diag) == errors) {
        *plan = (MetricPlan){.name = name, .span = metric->span};
        for (uint32_t i = before; i < tensors->count; i++)
            vec_push(s->arena, &plan->states, i);
        read_better(s, decl, plan);
        result_graph(s, self, plan);
    }
    return diag_error_count(s->diag) == errors;
}

/* ---- The loss as a metric ---- */

static uint32_t loss_state(Sema *s, const char *name, DType dtype, TensorSpecs *tensors, Span span)
{
    for (uint32_t i = 0; i < tensors->count; i++)
        if (strcmp(tensors->data[i].name, name) == 0)
            return i;
    TensorSpec spec = {.name = name, .role = TENSOR_METRIC, .type = {.dtype = dtype}, .span = span};
    vec_push(s->arena, tensors, spec);
    return tensors->count - 1;
}

static void loss_result(Sema *s, const char *sum_name, const char *count_name, MetricPlan *plan)
{
    Elab *outer = s->elab;
    s->elab = elab_new(s, arena_format(s->arena, "metric.%s", plan->name), false);
    Graph *graph = s->elab->graph;
    Node *sum = build_leaf(graph, OP_STATE, sum_name, (Type){.dtype = DT_F64});
    Node *count = build_leaf(graph, OP_STATE, count_name, (Type){.dtype = DT_I64});
    graph_root(graph, ROOT_OUTPUT, "value",
               build_binary(graph, OP_DIV, sum, build_convert(graph, count, DT_F64)));
    plan->type = (Type){.dtype = DT_F64};
    plan->result = graph;
    s->elab = outer;
}

void metric_loss(Sema *s, const char *name, Node *loss, const Dim *batch, TensorSpecs *tensors,
                 MetricPlan *plan, Span span)
{
    Graph *graph = s->elab->graph;
    const char *sum_name = arena_format(s->arena, "metric.%s.sum", name);
    const char *count_name = arena_format(s->arena, "metric.%s.n", name);
    uint32_t sum_index = loss_state(s, sum_name, DT_F64, tensors, span);
    uint32_t count_index = loss_state(s, count_name, DT_I64, tensors, span);
    Node *sum = build_leaf(graph, OP_STATE, sum_name, (Type){.dtype = DT_F64});
    Node *count = build_leaf(graph, OP_STATE, count_name, (Type){.dtype = DT_I64});
    Node *total = build_convert(graph, loss, DT_F64);
    const Dim *rows = loss->type.rank ? type_elements(s->dims, &loss->type) : batch;
    if (loss->type.rank)
        total = build_reduce(graph, OP_SUM, total, axes_range(0, loss->type.rank));
    else
        total = build_binary(graph, OP_MUL, total, build_dim(graph, batch, DT_F64));
    graph_root(graph, ROOT_UPDATE, sum_name, build_binary(graph, OP_ADD, sum, total));
    graph_root(graph, ROOT_UPDATE, count_name,
               build_binary(graph, OP_ADD, count, build_dim(graph, rows, DT_I64)));
    if (!plan)
        return;
    *plan = (MetricPlan){.name = name, .has_better = true, .span = span};
    vec_push(s->arena, &plan->states, sum_index);
    vec_push(s->arena, &plan->states, count_index);
    loss_result(s, sum_name, count_name, plan);
}
