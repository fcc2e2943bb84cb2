/* Datasets: a block becomes a DatasetPlan.
 *
 *   fields = [image: u8[28, 28]]    INPUT image u8[B, 28, 28]
 *   fn map(image) -> f32[784]       checked for one example, then for rows (map.c)
 *   let m, s = moments(x)           STATE stat.m, stat.s in the map; a StatPlan with x's graph */
#include "compiler/sema/batch.h"
#include "compiler/sema/builtins.h"
#include "compiler/sema/dataset.h"

#include <string.h>

bool dataset_is_moments(const AstExpr *expr)
{
    if (expr->kind == AST_EXPR_PIPE)
        expr = expr->as.binary.right;
    const AstExpr *head = expr->kind == AST_EXPR_CALL ? expr->as.call.callee : expr;
    return head->kind == AST_EXPR_NAME && strcmp(head->as.name, "moments") == 0;
}

/* The lets of the block that are no statistics, in scope. */
void dataset_lets(Sema *s, const Decl *decl, Scope *scope)
{
    const AstMembers *members = &decl->item->as.declaration.members;
    Scope *outer = s->scope;
    s->scope = scope;
    for (uint32_t i = 0; i < members->count; i++)
        if (members->data[i]->kind == AST_MEMBER_LET &&
            !dataset_is_moments(members->data[i]->as.let.value))
            eval_let(s, &members->data[i]->as.let, BIND_MEMBER);
    s->scope = outer;
}

/* ---- Statistics ---- */

void dataset_declare_fields(Sema *s, const DatasetPlan *plan, Scope *scope, const Dim *batch)
{
    for (uint32_t i = 0; i < plan->fields.count; i++) {
        const FieldPlan *field = &plan->fields.data[i];
        Type type = field->row;
        if (batch) {
            memmove(type.dims + 1, type.dims, sizeof *type.dims * (size_t)type.rank++);
            type.dims[0] = batch;
        }
        s->elab->graph->span = field->span;
        Node *leaf = build_leaf(s->elab->graph, OP_INPUT, field->name, type);
        scope_put(s, scope, field->name, field->span, BIND_ARGUMENT,
                  value_tensor(leaf, field->span));
    }
}

static const Dim *batch_symbol(Sema *s)
{
    return dim_symbol(s->dims, "B");
}

/* Reached when moments stands anywhere but at the right of a dataset's let. */
Value builtin_moments(Sema *s, BuiltinCall *call)
{
    sema_error(s, ERR_E0403, call->span, NULL,
               "moments stands in a dataset only: let m, s = moments(x)");
    return value_poison;
}

static const AstExpr *moments_argument(Sema *s, const AstExpr *expr)
{
    if (expr->kind == AST_EXPR_PIPE)
        return expr->as.binary.left;
    if (expr->kind == AST_EXPR_CALL && expr->as.call.arguments.count == 1)
        return expr->as.call.arguments.data[0].value;
    sema_error(s, ERR_E0201, expr->span, NULL, "moments takes one value of a row: moments(x)");
    return NULL;
}

static bool stat_graph(Sema *s, DatasetWork *work, const AstExpr *expr, StatPlan *stat)
{
    Elab *outer = s->elab, *one = elab_new(s, "row", false), *all = elab_new(s, "stat", false);
    s->elab = one;
    Scope *scope = scope_new(s, work->decl->file->scope);
    dataset_declare_fields(s, &work->plan, scope, NULL);
    Value v = eval_in(s, scope, expr);
    Node *x = NULL, *batched = NULL;
    bool ok = v.kind == VALUE_TENSOR;
    if (!ok && v.kind != VALUE_POISON)
        sema_error(s, ERR_E0200, expr->span, NULL, "moments needs a value of a row, and this is %s",
                   value_text(s, &v));
    if (ok) {
        x = build_convert(one->graph, v.as.node, DT_F64);
        stat->type = x->type;
        stat->type.dtype = sema_float(s);
        const char *failed = batch_into(one->graph, all->graph, batch_symbol(s), &x, 1, &batched);
        if (failed)
            sema_error(s, ERR_E0903, expr->span, NULL, "this cannot be computed for a batch: %s",
                       failed);
        ok = !failed;
    }
    s->elab = outer;
    if (ok)
        graph_root(all->graph, ROOT_OUTPUT, "value", batched);
    stat->graph = all->graph;
    return ok;
}

static bool read_stats(Sema *s, DatasetWork *work)
{
    const AstMembers *members = &work->decl->item->as.declaration.members;
    bool ok = true;
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->data[i]->kind != AST_MEMBER_LET ||
            !dataset_is_moments(members->data[i]->as.let.value))
            continue;
        const AstLet *let = &members->data[i]->as.let;
        const AstPattern *pattern = let->pattern;
        StatPlan stat = {.span = let->value->span};
        if (!pattern->is_tuple || pattern->entries.count != 2 ||
            pattern->entries.data[0]->is_tuple || pattern->entries.data[1]->is_tuple) {
            sema_error(s, ERR_E0201, pattern->span, NULL,
                       "moments gives two values: let m, s = moments(x)");
            ok = false;
            continue;
        }
        const AstExpr *argument = moments_argument(s, let->value);
        stat.mean = arena_format(s->arena, "stat.%s", pattern->entries.data[0]->name.text);
        stat.deviation = arena_format(s->arena, "stat.%s", pattern->entries.data[1]->name.text);
        if (argument && stat_graph(s, work, argument, &stat))
            vec_push(s->arena, &work->plan.stats, stat);
        else
            ok = false;
    }
    return ok;
}

void dataset_declare_stats(Sema *s, const DatasetPlan *plan, Scope *scope)
{
    for (uint32_t i = 0; i < plan->stats.count; i++) {
        const StatPlan *stat = &plan->stats.data[i];
        const char *names[2] = {stat->mean, stat->deviation};
        for (int k = 0; k < 2; k++) {
            Node *leaf = build_leaf(s->elab->graph, OP_STATE, names[k], stat->type);
            scope_put(s, scope, names[k] + strlen("stat."), stat->span, BIND_MEMBER,
                      value_tensor(leaf, stat->span));
        }
    }
}

void dataset_tensors(Sema *s, Decl *decl, TensorSpecs *tensors)
{
    const DatasetPlan *plan = decl->plan;
    for (uint32_t i = 0; i < plan->stats.count; i++) {
        const StatPlan *stat = &plan->stats.data[i];
        TensorSpec mean = {
            .name = stat->mean, .role = TENSOR_STAT, .type = stat->type, .span = stat->span};
        TensorSpec deviation = mean;
        deviation.name = stat->deviation;
        deviation.init.a = 1;
        vec_push(s->arena, tensors, mean);
        vec_push(s->arena, tensors, deviation);
    }
}

/* ---- The plan ---- */

static void check_functions(Sema *s, const Decl *decl)
{
    const AstMembers *members = &decl->item->as.declaration.members;
    static const char *const known[] = {"map"};
    for (uint32_t i = 0; i < members->count; i++) {
        const AstMember *member = members->data[i];
        if (member->kind != AST_MEMBER_FN)
            continue;
        const char *name = member->as.function.name.text;
        if (!name || strcmp(name, "map") != 0)
            sema_unknown(s, ERR_E0400, member->as.function.header, "a dataset has no fn",
                         name ? name : "without a name", known, 1);
    }
}

DatasetPlan *dataset_plan(Sema *s, Decl *decl)
{
    static const char *const known[] = {"source", "test", "valid", "fields", "split", NULL};
    if (decl->plan)
        return &((DatasetWork *)decl->plan)->plan;
    DatasetWork *work = ARENA_NEW(s->arena, DatasetWork);
    DatasetPlan *plan = &work->plan;
    decl->plan = work;
    decl->used = true;
    work->decl = decl;
    plan->name = decl->item->name.text;
    plan->span = decl->item->name.span;
    plan->has_map = decl_function(decl, "map") != NULL;
    uint32_t errors = diag_error_count(s->diag);
    Block block = dataset_block(decl);
    Elab *outer = s->elab;
    s->elab = &s->constants;
    block_check(s, &block, known);
    check_functions(s, decl);
    bool ok = dataset_fields(s, work) &&
              dataset_source(s, work, "source", 0, &plan->has_source, &plan->source) &&
              dataset_source(s, work, "test", 1, &plan->has_test, &plan->test) &&
              dataset_source(s, work, "valid", 2, &plan->has_valid, &plan->valid);
    if (ok && !plan->has_source) {
        sema_error(s, ERR_E0402, plan->span, NULL, "the dataset %s has no source", plan->name);
        ok = false;
    }
    ok = ok && dataset_split(s, work) && read_stats(s, work);
    if (ok && plan->has_map) {
        Graph *loaded = NULL;
        s->elab = elab_new(s, "map", false);
        s->elab->loaded = &loaded;
        ok = dataset_values(s, decl, batch_symbol(s), scope_new(s, decl->file->scope));
    }
    s->elab = outer;
    work->bad = !ok || diag_error_count(s->diag) != errors;
    return plan;
}
