/* The passes over a program: the library's prelude, imports, constants, datasets, train blocks, and
 * then what nothing used. */
#include "compiler/sema/sema.h"

#include "compiler/ast/parse.h"
#include "compiler/sema/internal.h"

#include <string.h>

/* Library files whose names need no import. */
static const char *const prelude[] = {"metrics", "init"};

static Sema *sema_new(Arena *arena, SourceMap *map, const SemaOptions *options, Diag *diag)
{
    Sema *s = ARENA_NEW(arena, Sema);
    s->arena = arena;
    s->map = map;
    s->diag = diag;
    if (options)
        s->options = *options;
    s->override_values = ARENA_ARRAY(arena, const AstExpr *, s->options.override_count + 1);
    s->override_used = ARENA_ARRAY(arena, bool, s->options.override_count + 1);
    s->dims = dim_table_new(arena);
    s->program = ARENA_NEW(arena, SemaProgram);
    s->program->arena = arena;
    s->program->dims = s->dims;
    s->program->sema = s;
    dim_symbol(s->dims, "B");
    s->constants.graph = graph_new(arena, s->dims, "constants");
    s->constants.scratch = true;
    s->constants.current_call = -1;
    s->elab = &s->constants;
    return s;
}

static void load_prelude(Sema *s)
{
    for (size_t i = 0; i < sizeof prelude / sizeof *prelude; i++) {
        SemaFile *file = file_load_std(s, prelude[i]);
        if (file)
            s->prelude[s->prelude_count++] = file;
    }
}

static void list_items(Sema *s)
{
    for (uint32_t i = 0; i < s->main->decls.count; i++) {
        const AstItem *item = s->main->decls.data[i]->item;
        SemaItem shown = {item->name.text, item->kind, item->doc, item->name.span};
        vec_push(s->arena, &s->program->items, shown);
    }
}

static void check_constants(Sema *s)
{
    for (uint32_t i = 0; i < s->main->decls.count; i++)
        if (s->main->decls.data[i]->item->kind == AST_ITEM_CONST)
            decl_value(s, s->main->decls.data[i]);
}

static void add_checks(Sema *s, const DimChecks *checks)
{
    for (uint32_t i = 0; i < checks->count; i++)
        vec_push(s->arena, &s->program->checks, checks->data[i]);
}

static void build_plans(Sema *s)
{
    for (uint32_t i = 0; i < s->main->decls.count; i++)
        if (s->main->decls.data[i]->item->kind == AST_ITEM_DATASET)
            vec_push(s->arena, &s->program->datasets, dataset_plan(s, s->main->decls.data[i]));
    for (uint32_t i = 0; i < s->main->decls.count; i++) {
        Decl *decl = s->main->decls.data[i];
        if (decl->item->kind != AST_ITEM_TRAIN)
            continue;
        s->scope = s->main->scope;
        s->frame = NULL;
        TrainPlan *plan = train_plan(s, decl);
        decl->used = true;
        vec_push(s->arena, &s->program->trains, plan);
        add_checks(s, &plan->checks);
    }
}

SemaProgram *sema_check(Arena *arena, SourceMap *map, const AstFile *file,
                        const SemaOptions *options, Diag *diag)
{
    Sema *s = sema_new(arena, map, options, diag);
    s->mute = diag_new(map);
    load_prelude(s);
    s->main = file_main(s, file);
    s->scope = s->main->scope;
    list_items(s);
    options_defines(s);
    check_constants(s);
    build_plans(s);
    options_check_overrides(s);
    generic_checks(s);
    s->scope = s->main->scope;
    diag_free(s->mute);
    s->mute = NULL;
    return s->program;
}

/* ---- Modules for hosts ---- */

static Decl *find_module(Sema *s, const char *name, Diag *diag)
{
    const char **names = ARENA_ARRAY(s->arena, const char *, s->main->decls.count + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->main->decls.count; i++) {
        Decl *decl = s->main->decls.data[i];
        if (decl->item->kind != AST_ITEM_MODULE)
            continue;
        if (strcmp(decl->item->name.text, name) == 0)
            return decl;
        names[count++] = decl->item->name.text;
    }
    DiagItem *item =
        diag_error(diag, ERR_E0100, (Span){0, 0, 0}, NULL, "the file has no module %s", name);
    const char *nearest = diag_nearest(name, names, count);
    if (nearest)
        diag_help(item, "did you mean %s?", nearest);
    return NULL;
}

/* Arguments of the model's fn with the declared types; names of sizes are symbols of their own
 * name. */
static bool declared_sample(Sema *s, Instance *model, Args *sample)
{
    const AstFunction *function = instance_forward(model);
    uint32_t count = function ? function->parameters.count : 0;
    *sample = (Args){ARENA_ARRAY(s->arena, Arg, count + 1), 0};
    for (uint32_t i = 0; i < count; i++) {
        const AstParameter *param = &function->parameters.data[i];
        Type type;
        if (!param->type || !type_is_tensor(s, param->type) ||
            !declared_type(s, param->type, model->scope, &type))
            return false;
        Node *leaf = build_leaf(s->elab->graph, OP_INPUT, param->name.text, type);
        sample->data[sample->count++] =
            (Arg){.value = value_tensor(leaf, param->span), .span = param->span};
    }
    return count > 0;
}

TrainPlan *sema_module(SemaProgram *program, const char *name, const char *arguments, Diag *diag)
{
    Sema *s = program->sema;
    s->diag = diag;
    s->mute = diag_new(s->map);
    uint32_t errors = diag_error_count(diag);
    Decl *decl = find_module(s, name, diag);
    TrainPlan *plan = NULL;
    if (decl) {
        const char *text = arena_format(s->arena, "%s(%s)", name, arguments ? arguments : "");
        const AstExpr *expr = parse_option(s, text, text);
        s->elab = elab_new(s, "module", false);
        Value v = expr ? eval_in(s, s->main->scope, expr) : value_poison;
        Args sample;
        if (v.kind == VALUE_INSTANCE) {
            plan = module_plan(s, decl, &v, decl->item->name.span);
            if (declared_sample(s, v.as.instance, &sample))
                forward_graph(s, plan, v.as.instance, &sample);
        }
        s->elab = &s->constants;
    }
    diag_free(s->mute);
    s->mute = NULL;
    return diag_error_count(diag) == errors ? plan : NULL;
}
