/* Train blocks: settings, the model, and the graphs of a step (one written by hand: step.c).
 *
 *   train_step  rows -> map -> loss -> gradients -> optimizer, metrics
 *   eval_step   rows -> map -> loss, metrics
 *   predict     rows -> map -> model
 *   forward     arguments of the model -> its results */
#include "compiler/sema/internal.h"

#include <math.h>
#include <string.h>

typedef struct {
    Block block;
    Decl *decl, *dataset;
    TrainPlan *plan;
    Scope *scope; /* file, lets of the block, model */
    Instance *model;
    const AstExpr *loss, *metrics, *predict;
    const AstFunction *step; /* in place of model, loss and optimizer */
    uint32_t losses;         /* metrics that are losses: they come first */
    Applied *optimizer;
    Args sample; /* arguments of the first call of the model in eval_step */
    Graph *shown_map; /* of the graph of pictures, which no loader runs */
} Train;

/* ---- The model ---- */

static void read_lets(Sema *s, Train *t)
{
    const AstMembers *members = &t->decl->item->as.declaration.members;
    Scope *outer = s->scope;
    s->scope = t->scope;
    for (uint32_t i = 0; i < members->count; i++) {
        const AstMember *member = members->data[i];
        if (member->kind == AST_MEMBER_LET)
            eval_let(s, &member->as.let, BIND_MEMBER);
    }
    s->scope = outer;
}

static bool read_model(Sema *s, Train *t)
{
    const AstExpr *expr = block_value(s, &t->block, "model", NULL);
    Span name = t->decl->item->name.span;
    if (!expr && t->step)
        return true;
    if (!expr) {
        sema_error(s, ERR_E0402, name, NULL, "the train block %s needs model = ...", t->block.name);
        return false;
    }
    Value v = eval_in(s, t->scope, expr);
    AstName model = {"model", expr->span};
    scope_put(s, t->scope, "model", expr->span, BIND_MEMBER,
              v.kind == VALUE_INSTANCE ? v : value_poison);
    if (v.kind == VALUE_INSTANCE) {
        t->model = v.as.instance;
        t->plan->model_name = t->model->decl->item->name.text;
        if (!t->model->path) {
            t->model->name = "model";
            instance_root(s, t->model, "", &t->plan->tensors);
        }
        t->plan->model = t->model->shown;
        return true;
    }
    if (v.kind != VALUE_POISON) {
        DiagItem *item =
            sema_error(s, ERR_E0200, expr->span, NULL,
                       "model must be an instance of a module, and this is %s", value_text(s, &v));
        if (v.kind == VALUE_MODULE)
            diag_help(item, "write %s(...)", v.as.decl->item->name.text);
    }
    (void)model;
    return false;
}

static bool read_optimizer(Sema *s, Train *t)
{
    const AstExpr *expr = block_value(s, &t->block, "optimizer", NULL);
    if (!expr && t->step)
        return true;
    if (!expr) {
        sema_error(s, ERR_E0402, t->decl->item->name.span, NULL,
                   "the train block %s needs optimizer = ...", t->block.name);
        return false;
    }
    Value v = eval_in(s, t->scope, expr);
    scope_put(s, t->scope, "optimizer", expr->span, BIND_MEMBER, v);
    if (v.kind == VALUE_OPTIMIZER) {
        t->optimizer = v.as.applied;
        return true;
    }
    if (v.kind != VALUE_POISON) {
        DiagItem *item = sema_error(s, ERR_E0200, expr->span, NULL,
                                    "optimizer must be one like sgd(lr=0.01), and this is %s",
                                    value_text(s, &v));
        if (v.kind == VALUE_OPTIMIZER_DECL)
            diag_help(item, "write %s()", v.as.decl->item->name.text);
    }
    return false;
}

/* ---- The loss ---- */

static bool loss_fits(Sema *s, Train *t, const Value *v, Node **out)
{
    Span span = t->loss->span;
    if (v->kind == VALUE_POISON)
        return false;
    Node *node = v->kind == VALUE_TENSOR ? v->as.node : NULL;
    if (!node) {
        sema_error(s, ERR_E0405, span, NULL, "a loss is a float for every row, and this is %s",
                   value_text(s, v));
        return false;
    }
    const Type *type = &node->type;
    if (!dtype_is_float(type->dtype) || type->rank > 2 ||
        (type->rank > 0 && type->dims[0] != t->plan->batch)) {
        DiagItem *item = sema_error(s, ERR_E0405, span, NULL,
                                    "a loss is one number, or a float for every row (f32[B]) or "
                                    "token (f32[B, T]), and this is %s",
                                    value_text(s, v));
        if (type->rank > 2)
            diag_help(item, "mean(...) over the last axes leaves one value per row");
        return false;
    }
    *out = node;
    return true;
}

Node *mean_loss(Sema *s, Node *loss)
{
    Graph *graph = s->elab->graph;
    if (loss->type.rank == 0)
        return loss;
    const Dim *count = type_elements(s->dims, &loss->type);
    Node *sum = build_reduce(graph, OP_SUM, loss, axes_range(0, loss->type.rank));
    return build_binary(graph, OP_DIV, sum, build_dim(graph, count, loss->type.dtype));
}

/* ---- Metrics ---- */

/* The second f1 of a list is f1.2. */
static const char *metric_name(Sema *s, const TrainPlan *plan, uint32_t index, const char *name)
{
    uint32_t same = 1;
    size_t length = strlen(name);
    for (uint32_t i = 0; i < index && i < plan->metrics.count; i++) {
        const char *other = plan->metrics.data[i].name;
        same += strncmp(other, name, length) == 0 && (!other[length] || other[length] == '.');
    }
    return same == 1 ? name : arena_format(s->arena, "%s.%u", name, same);
}

static bool one_metric(Sema *s, Train *t, uint32_t index, const Value *v, Span span, bool first)
{
    if (v->kind == VALUE_POISON)
        return false;
    if (v->kind != VALUE_METRIC) {
        DiagItem *item = sema_error(s, ERR_E0406, span, NULL, "%s is no metric", value_text(s, v));
        if (v->kind == VALUE_METRIC_DECL)
            diag_help(item, "give it what it measures: %s(model(...), y)",
                      v->as.decl->item->name.text);
        return false;
    }
    MetricPlan plan = {0};
    const char *name = first ? metric_name(s, t->plan, index, v->as.applied->decl->item->name.text)
                             : t->plan->metrics.data[index].name;
    if (!metric_step(s, v->as.applied, name, &t->plan->tensors, first ? &plan : NULL))
        return false;
    if (first)
        vec_push(s->arena, &t->plan->metrics, plan);
    return true;
}

/* In the list of metrics a name is first one of a metric: mse and mae are losses as well. */
static Scope *metric_scope(Sema *s, Scope *rows)
{
    Scope *scope = scope_new(s, rows);
    SemaFile *library = file_load_std(s, "metrics");
    for (uint32_t i = 0; library && i < library->decls.count; i++) {
        Decl *decl = library->decls.data[i];
        Binding *other = scope_find(rows, decl->item->name.text);
        bool own = other &&
                   (other->kind != BIND_IMPORT ||
                    binding_value(s, other, other->span).kind == VALUE_METRIC_DECL) &&
                   (other->kind != BIND_ITEM ||
                    binding_value(s, other, other->span).kind == VALUE_METRIC_DECL);
        if (decl->item->kind == AST_ITEM_METRIC && !own)
            scope_put(s, scope, decl->item->name.text, decl->item->name.span, BIND_MEMBER,
                      decl_value(s, decl));
    }
    return scope;
}

static bool run_metrics(Sema *s, Train *t, Scope *scope, bool first)
{
    if (!t->metrics)
        return true;
    Value v = eval_in(s, metric_scope(s, scope), t->metrics);
    bool ok = true;
    if (v.kind != VALUE_ARRAY && v.kind != VALUE_TUPLE)
        return one_metric(s, t, t->losses, &v, t->metrics->span, first);
    for (uint32_t i = 0; i < v.as.list->count; i++) {
        bool written = (t->metrics->kind == AST_EXPR_ARRAY || t->metrics->kind == AST_EXPR_TUPLE) &&
                       i < t->metrics->as.list.count;
        Span span = written ? t->metrics->as.list.data[i]->span : t->metrics->span;
        ok &= one_metric(s, t, t->losses + i, &v.as.list->items[i], span, first);
    }
    return ok;
}

/* ---- Steps ---- */

static void begin_graph(Sema *s, Train *t, const char *name, bool training)
{
    s->elab = elab_new(s, name, training);
    s->elab->checks = &t->plan->checks;
    s->elab->debugs = strcmp(name, "train_step") == 0;
    s->elab->loaded = s->elab->debugs                  ? &t->plan->train_map
                      : strcmp(name, "eval_step") == 0 ? &t->plan->eval_map
                      : strcmp(name, "predict") == 0   ? &t->plan->predict_map
                                                       : &t->shown_map;
    s->elab->graph->span = t->plan->span;
    s->elab->graph->products = t->plan->settings.precision;
}

/* A new graph with the values of the rows; false: an error was reported. */
static bool begin_rows(Sema *s, Train *t, const char *name, bool training, Scope **scope)
{
    begin_graph(s, t, name, training);
    if (!training)
        s->elab->averages = &t->plan->tensors;
    *scope = scope_new(s, t->scope);
    (*scope)->rows = true;
    return dataset_values(s, t->dataset, t->plan->batch, *scope);
}

/* Values of the rows and the loss in a new graph; NULL after an error. */
static Node *begin_step(Sema *s, Train *t, const char *name, bool training, Scope **scope)
{
    if (!begin_rows(s, t, name, training, scope))
        return NULL;
    Value v = eval_in(s, *scope, t->loss);
    Node *loss;
    return loss_fits(s, t, &v, &loss) ? loss : NULL;
}

/* The step that the block has a fn for, in a training or an evaluation. */
static bool written_step(Sema *s, Train *t, bool training)
{
    Scope *scope;
    if (!begin_rows(s, t, training ? "train_step" : "eval_step", training, &scope))
        return false;
    StepUse use = training ? STEP_TRAIN : STEP_MEASURE;
    bool ok = step_expand(s, t->plan, t->step, t->scope, scope, use);
    t->losses = training ? t->plan->metrics.count : t->losses;
    ok = ok && run_metrics(s, t, scope, training);
    if (training) {
        state_roots(s, &t->plan->tensors);
        debug_roots(s);
        t->plan->train_step = s->elab->graph;
    } else {
        t->plan->eval_step = s->elab->graph;
    }
    return ok;
}

/* The step as summaries and pictures see it. */
static bool shown_step(Sema *s, Train *t)
{
    Scope *scope;
    if (!begin_rows(s, t, "forward", false, &scope))
        return false;
    s->elab->calls = &t->plan->calls;
    t->plan->forward = s->elab->graph;
    return step_expand(s, t->plan, t->step, t->scope, scope, STEP_SHOW);
}

static bool train_step(Sema *s, Train *t)
{
    Scope *scope;
    if (t->step)
        return written_step(s, t, true);
    Node *loss = begin_step(s, t, "train_step", true, &scope);
    if (!loss)
        return false;
    MetricPlan plan;
    Node *mean = mean_loss(s, loss);
    graph_root(s->elab->graph, ROOT_OUTPUT, "loss", mean);
    metric_loss(s, "loss", loss, t->plan->batch, &t->plan->tensors, &plan, t->loss->span);
    t->losses = 1;
    vec_push(s->arena, &t->plan->metrics, plan);
    bool ok = run_metrics(s, t, scope, true);
    ok &= t->optimizer && train_update(s, t->plan, t->optimizer, mean, t->loss->span);
    state_roots(s, &t->plan->tensors);
    debug_roots(s);
    t->plan->train_step = s->elab->graph;
    return ok;
}

static bool find_sample(Sema *s, Train *t)
{
    const AstFunction *function = instance_forward(t->model);
    for (uint32_t i = 0; i < s->elab->memos.count; i++) {
        const Memo *memo = &s->elab->memos.data[i];
        if (memo->self != t->model || memo->function != function)
            continue;
        t->sample = *memo->arguments;
        return true;
    }
    return false;
}

static bool eval_step(Sema *s, Train *t)
{
    Scope *scope;
    if (t->step)
        return written_step(s, t, false);
    Node *loss = begin_step(s, t, "eval_step", false, &scope);
    if (!loss)
        return false;
    metric_loss(s, "loss", loss, t->plan->batch, &t->plan->tensors, NULL, t->loss->span);
    bool ok = run_metrics(s, t, scope, false);
    t->plan->eval_step = s->elab->graph;
    find_sample(s, t);
    return ok;
}

/* ---- Prediction ---- */

static bool is_model(const AstExpr *expr)
{
    return expr->kind == AST_EXPR_NAME && strcmp(expr->as.name, "model") == 0;
}

/* The first call of the model inside of the loss. */
static const AstExpr *find_model_call(const AstExpr *expr)
{
    const AstExpr *found = NULL;
    switch (expr->kind) {
    case AST_EXPR_CALL:
        if (is_model(expr->as.call.callee))
            return expr;
        for (uint32_t i = 0; i < expr->as.call.arguments.count && !found; i++)
            found = find_model_call(expr->as.call.arguments.data[i].value);
        return found ? found : find_model_call(expr->as.call.callee);
    case AST_EXPR_PIPE:
        if (is_model(expr->as.binary.right))
            return expr;
        found = find_model_call(expr->as.binary.left);
        return found ? found : find_model_call(expr->as.binary.right);
    case AST_EXPR_BINARY:
        found = find_model_call(expr->as.binary.left);
        return found ? found : find_model_call(expr->as.binary.right);
    case AST_EXPR_NEGATE:
    case AST_EXPR_NOT:
        return find_model_call(expr->as.operand);
    case AST_EXPR_INDEX:
        return find_model_call(expr->as.index.base);
    case AST_EXPR_MEMBER:
        return find_model_call(expr->as.member.base);
    default:
        return NULL;
    }
}

/* OUTPUT roots of a value: "output", or one per entry of a tuple. */
static bool output_roots(Sema *s, const Value *v, Span span)
{
    if (v->kind == VALUE_TUPLE) {
        bool ok = true;
        for (uint32_t i = 0; i < v->as.list->count; i++) {
            Node *node = value_node(s, &v->as.list->items[i], DT_COUNT, span);
            const char *name = v->as.list->names && v->as.list->names[i]
                                   ? v->as.list->names[i]
                                   : arena_format(s->arena, "output%u", i);
            if (node)
                graph_root(s->elab->graph, ROOT_OUTPUT, name, node);
            ok &= node != NULL;
        }
        return ok;
    }
    Node *node = value_node(s, v, DT_COUNT, span);
    if (node)
        graph_root(s->elab->graph, ROOT_OUTPUT, "output", node);
    return node != NULL;
}

/* A row in gives a row out: the batch is the first axis of everything that predict computes. */
static bool rows_out(Sema *s, const Train *t, Span span)
{
    bool ok = true;
    for (uint32_t i = 0; i < s->elab->graph->roots.count; i++) {
        const Root *root = &s->elab->graph->roots.data[i];
        const Type *type = &root->node->type;
        if (root->kind != ROOT_OUTPUT || (type->rank > 0 && type->dims[0] == t->plan->batch))
            continue;
        sema_error(s, ERR_E0405, span, NULL,
                   "predict gives one row for every row of its inputs, and this is %s",
                   type_text(s, type));
        ok = false;
    }
    return ok;
}

static bool predict_graph(Sema *s, Train *t)
{
    const AstExpr *expr = t->predict ? t->predict : t->loss ? find_model_call(t->loss) : NULL;
    Scope *scope;
    bool rows = begin_rows(s, t, "predict", false, &scope);
    t->plan->predict = s->elab->graph;
    if (!rows || !expr)
        return rows;
    Value v = eval_in(s, scope, expr);
    bool ok =
        v.kind != VALUE_POISON && output_roots(s, &v, expr->span) && rows_out(s, t, expr->span);
    return ok;
}

static bool sample_plan(Sema *s, Train *t)
{
    begin_graph(s, t, "sample", false);
    s->elab->averages = &t->plan->tensors;
    return sample_graph(s, &t->block, t->scope, t->plan);
}

/* The model on inputs of its own: `sample` are arguments like those of the real calls. */
bool forward_graph(Sema *s, TrainPlan *plan, Instance *model, const Args *sample)
{
    const AstFunction *function = instance_forward(model);
    if (!function || sample->count > function->parameters.count)
        return true;
    s->elab = elab_new(s, "forward", false);
    s->elab->graph->products = plan->settings.precision;
    s->elab->averages = &plan->tensors;
    s->elab->calls = &plan->calls;
    s->elab->checks = &plan->checks;
    Args args = {ARENA_ARRAY(s->arena, Arg, sample->count + 1), sample->count};
    for (uint32_t i = 0; i < sample->count; i++) {
        args.data[i] = sample->data[i];
        if (sample->data[i].value.kind != VALUE_TENSOR)
            continue;
        const char *name =
            sample->data[i].name ? sample->data[i].name : function->parameters.data[i].name.text;
        Node *leaf =
            build_leaf(s->elab->graph, OP_INPUT, name, sample->data[i].value.as.node->type);
        args.data[i].value = value_tensor(leaf, function->parameters.data[i].span);
    }
    Value v = call_method(s, model, function, &args, function->header);
    bool ok = v.kind != VALUE_POISON && output_roots(s, &v, function->header);
    plan->forward = s->elab->graph;
    return ok;
}

/* ---- The block ---- */

bool train_monitors(Sema *s, const TrainPlan *plan, const char *monitor, Span span)
{
    const char *slash = strchr(monitor, '/'), *name = slash ? slash + 1 : monitor;
    const DatasetPlan *data = plan->dataset;
    bool valid = data->has_valid || data->valid_fraction > 0;
    bool part = slash && ((strncmp(monitor, "valid/", 6) == 0 && valid) ||
                          strncmp(monitor, "train/", 6) == 0);
    if (!part) {
        bool test = strncmp(monitor, "test/", 5) == 0;
        DiagItem *item = sema_error(s, ERR_E0406, span, NULL, "monitor = \"%s\": %s", monitor,
                                    test ? "the test rows have no say in the training"
                                         : "the dataset has no such part");
        diag_help(item,
                  valid ? "write \"valid/%s\""
                        : "give the dataset a part to watch: split { valid = 0.1 }",
                  name);
        return false;
    }
    const char **names = ARENA_ARRAY(s->arena, const char *, plan->metrics.count + 1);
    for (uint32_t i = 0; i < plan->metrics.count; i++) {
        names[i] = plan->metrics.data[i].name;
        if (strcmp(names[i], name) == 0)
            return true;
    }
    sema_unknown(s, ERR_E0406, span, "there is no metric", name, names, plan->metrics.count);
    return false;
}

static bool monitor_exists(Sema *s, const TrainPlan *plan)
{
    const TrainSettings *set = &plan->settings;
    Span span = sema_is_null_span(set->monitor_span) ? plan->span : set->monitor_span;
    return !set->has_early_stop || train_monitors(s, plan, set->monitor, span);
}

static bool find_dataset(Sema *s, Train *t)
{
    const AstExpr *on = t->decl->item->as.declaration.on;
    if (!on)
        return false; /* an error of the grammar */
    Value v = eval_in(s, t->decl->file->scope, on);
    if (v.kind == VALUE_DATASET) {
        t->dataset = v.as.decl;
        t->plan->dataset = dataset_plan(s, t->dataset);
        return true;
    }
    if (v.kind != VALUE_POISON)
        sema_error(s, ERR_E0200, on->span, NULL, "train ... on needs a dataset, and this is %s",
                   value_text(s, &v));
    return false;
}

static bool read_block(Sema *s, Train *t)
{
    static const char *const known[] = {
        "model",      "loss",      "metrics",    "optimizer", "batch",      "epochs",
        "steps",      "seed",      "shuffle",    "drop_last", "predict",    "early_stop",
        "freeze",     "trainable", "accumulate", "clip_norm", "clip_value", "ema",
        "checkpoint", "sample",    "prefetch",   "precision", "loss_scale", NULL};
    s->elab = &s->constants;
    block_check(s, &t->block, known);
    bool function = step_find(s, &t->block, &t->step);
    read_lets(s, t);
    t->loss = block_value(s, &t->block, "loss", NULL);
    t->metrics = block_value(s, &t->block, "metrics", NULL);
    t->predict = block_value(s, &t->block, "predict", NULL);
    if (!t->loss && !t->step && function)
        sema_error(s, ERR_E0402, t->decl->item->name.span, NULL,
                   "the train block %s needs loss = ...", t->block.name);
    bool settings = train_settings(s, &t->block, t->scope, &t->plan->settings),
         model = read_model(s, t), optimizer = read_optimizer(s, t);
    step_instances(s, t->scope, t->plan);
    return settings && model && train_frozen(s, &t->block, t->scope, &t->plan->tensors) &&
           optimizer && function && (t->loss || t->step);
}

TrainPlan *train_plan(Sema *s, Decl *decl)
{
    TrainPlan *plan = ARENA_NEW(s->arena, TrainPlan);
    Train t = {.block = {"train", decl->item->name.text, &decl->item->as.declaration.members},
               .decl = decl,
               .plan = plan};
    Elab *outer = s->elab;
    plan->name = decl->item->name.text;
    plan->span = decl->item->name.span;
    plan->batch = dim_symbol(s->dims, "B");
    t.scope = scope_new(s, decl->file->scope);
    bool data = find_dataset(s, &t), block = read_block(s, &t);
    plan->by_hand = t.step != NULL;
    if ((t.step ? block : t.loss && t.model) && data) {
        dataset_tensors(s, t.dataset, &plan->tensors);
        watchers_begin(s, plan);
        bool ok = train_step(s, &t) && block && eval_step(s, &t) && predict_graph(s, &t) &&
                  sample_plan(s, &t) && monitor_exists(s, plan);
        ok = watchers_end(s) && ok;
        if (ok && t.step)
            shown_step(s, &t);
        else if (ok && t.sample.count)
            forward_graph(s, plan, t.model, &t.sample);
        else
            plan->forward = plan->predict;
        plan->train_map = map_read_by(plan->train_map, plan->train_step);
        plan->eval_map = map_read_by(plan->eval_map, plan->eval_step);
        plan->predict_map = map_read_by(plan->predict_map, plan->predict);
    }
    s->elab = outer;
    return plan;
}

TrainPlan *module_plan(Sema *s, Decl *decl, const Value *model, Span span)
{
    TrainPlan *plan = ARENA_NEW(s->arena, TrainPlan);
    plan->name = plan->model_name = decl->item->name.text;
    plan->span = span;
    plan->batch = dim_symbol(s->dims, "B");
    model->as.instance->name = "model";
    instance_root(s, model->as.instance, "", &plan->tensors);
    plan->model = model->as.instance->shown;
    return plan;
}
