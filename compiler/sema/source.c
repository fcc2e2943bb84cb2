/* Sources of datasets: where rows come from. In: the call that a block names; out: a SourcePlan,
 * with the graph of the columns for arrays, and with the fields that a text has by itself.
 *
 *   source = idx("mnist/", image="a.gz")        arguments by field
 *   source = arrays(x=randn(10, 3))             OUTPUT x f32[10, 3] on a graph of its own
 *   source = text("book.txt", window=64)        fields token and next, i32[64] */
#include "compiler/sema/dataset.h"

#include <string.h>

/* ---- Sources ---- */

static const struct {
    const char *name;
    SourceKind kind;
} source_kinds[] = {{"idx", SOURCE_IDX},  {"csv", SOURCE_CSV},       {"npy", SOURCE_NPY},
                    {"npz", SOURCE_NPZ},  {"arrays", SOURCE_ARRAYS}, {"text", SOURCE_TEXT},
                    {"host", SOURCE_HOST}};

enum { SOURCE_KINDS = sizeof source_kinds / sizeof *source_kinds, SITES_PER_SOURCE = 4096 };

static bool source_kind(Sema *s, const AstExpr *expr, SourceKind *kind)
{
    const char *names[SOURCE_KINDS];
    const AstExpr *head = expr->kind == AST_EXPR_CALL ? expr->as.call.callee : expr;
    for (int i = 0; i < SOURCE_KINDS; i++) {
        names[i] = source_kinds[i].name;
        if (expr->kind == AST_EXPR_CALL && head->kind == AST_EXPR_NAME &&
            strcmp(head->as.name, names[i]) == 0) {
            *kind = source_kinds[i].kind;
            return true;
        }
    }
    if (head->kind == AST_EXPR_NAME && expr->kind == AST_EXPR_CALL)
        sema_unknown(s, ERR_E0100, head->span, "there is no source", head->as.name, names,
                     SOURCE_KINDS);
    else
        sema_error(
            s, ERR_E0200, expr->span, NULL,
            "a source is written idx(...), csv(...), npy(...), npz(...), text(...) or arrays(...)");
    return false;
}

/* Places are texts: a file, a column or several; a column of a CSV file may be a number. */
static bool argument_fits(Sema *s, SourceKind kind, SourceArgument *argument, const Value *v)
{
    bool header = argument->name && kind == SOURCE_CSV && strcmp(argument->name, "header") == 0;
    bool separator =
        argument->name && kind == SOURCE_CSV && strcmp(argument->name, "separator") == 0;
    int64_t column;
    if (kind == SOURCE_CSV && argument->name && !separator && value_int64(v, &column) &&
        column >= 0) {
        argument->kind = ARGUMENT_STRING;
        argument->text = arena_format(s->arena, "%lld", (long long)column);
    }
    if (argument->kind == (header ? ARGUMENT_BOOL : ARGUMENT_STRING))
        return true;
    sema_error(s, ERR_E0200, argument->span, NULL, "%s is %s, and gets %s",
               argument->name ? argument->name : "the path of a source",
               header      ? "true or false"
               : separator ? "a string"
                           : "a string that says where",
               value_text(s, v));
    return false;
}

static bool file_argument(Sema *s, SourceKind kind, const AstArgument *written, Scope *scope,
                          SourceArgument *out)
{
    Value v = eval_in(s, scope, written->value);
    *out = (SourceArgument){.name = written->name.text, .span = written->span};
    if (v.kind == VALUE_POISON)
        return false;
    if (v.kind == VALUE_STRING) {
        out->kind = ARGUMENT_STRING;
        out->text = v.as.string.text;
    } else if (v.kind == VALUE_BOOL) {
        out->kind = ARGUMENT_BOOL;
        out->flag = v.as.boolean;
    } else {
        out->kind = ARGUMENT_NUMBER;
        if (!want_real(s, &v, written->value->span, "an argument of a source", &out->number))
            return false;
    }
    return argument_fits(s, kind, out, &v);
}

static bool known_argument(Sema *s, SourceKind kind, const DatasetPlan *plan,
                           const AstArgument *written)
{
    VEC(const char *) names = {0};
    const char *name = written->name.text;
    size_t length = name ? strlen(name) : 0;
    for (uint32_t i = 0; i < plan->fields.count; i++) {
        const char *field = plan->fields.data[i].name;
        vec_push(s->arena, &names, field);
        bool plural = strlen(field) + 1 == length && strncmp(field, name, length - 1) == 0 &&
                      name[length - 1] == 's';
        if (!name || strcmp(field, name) == 0 || plural)
            return true;
    }
    if (kind == SOURCE_CSV) {
        vec_push(s->arena, &names, "header");
        vec_push(s->arena, &names, "separator");
        if (strcmp(name, "header") == 0 || strcmp(name, "separator") == 0)
            return true;
    }
    sema_unknown(s, ERR_E0105, written->name.span, "the dataset has no field", name, names.data,
                 names.count);
    return false;
}

FieldPlan *dataset_field(DatasetPlan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->fields.count; i++)
        if (strcmp(plan->fields.data[i].name, name) == 0)
            return &plan->fields.data[i];
    return NULL;
}

static Type row_type(const Type *type)
{
    Type row = {.dtype = type->dtype, .rank = type->rank - 1};
    for (int i = 0; i < row.rank; i++)
        row.dims[i] = type->dims[i + 1];
    return row;
}

/* One column: its rows agree with the others', its rows' type with the field's. */
static bool array_column(Sema *s, DatasetPlan *plan, SourcePlan *source, bool declared,
                         const AstArgument *written, Node *node)
{
    int64_t rows;
    Span span = written->value->span;
    if (node->type.rank == 0 || !dim_is_const(node->type.dims[0], &rows) || rows < 1) {
        sema_error(s, ERR_E0605, span, NULL, "a column needs rows, and this is %s",
                   type_text(s, &node->type));
        return false;
    }
    if (source->rows && source->rows != rows) {
        sema_error(s, ERR_E0606, span, NULL, "%lld rows here and %lld in the columns before",
                   (long long)rows, (long long)source->rows);
        return false;
    }
    source->rows = rows;
    Type row = row_type(&node->type);
    FieldPlan *field = dataset_field(plan, written->name.text);
    if (!field && !declared) {
        FieldPlan made = {.name = written->name.text, .row = row, .span = written->name.span};
        vec_push(s->arena, &plan->fields, made);
    } else if (!field) {
        sema_error(s, ERR_E0105, written->name.span, NULL, "the dataset has no field %s",
                   written->name.text);
        return false;
    } else if (!type_equal(&field->row, &row)) {
        DiagItem *item = sema_error(s, field->row.dtype != row.dtype ? ERR_E0604 : ERR_E0605, span,
                                    NULL, "the field %s is %s, and the rows here are %s",
                                    field->name, type_text(s, &field->row), type_text(s, &row));
        diag_note(item, field->span, "declared here");
        return false;
    }
    graph_root(s->elab->graph, ROOT_OUTPUT, written->name.text, node);
    return true;
}

static bool arrays_source(Sema *s, DatasetWork *work, const AstExpr *expr, uint32_t role,
                          SourcePlan *source)
{
    DatasetPlan *plan = &work->plan;
    bool declared = plan->fields.count > 0, ok = true;
    Elab *outer = s->elab;
    s->elab = elab_new(s, "arrays", false);
    Scope *scope = scope_new(s, work->decl->file->scope);
    dataset_lets(s, work->decl, scope);
    s->elab->ordinal =
        SITES_PER_SOURCE * (role + 1); /* test rows are not the training rows again */
    const AstArguments *arguments = &expr->as.call.arguments;
    for (uint32_t i = 0; i < arguments->count; i++) {
        const AstArgument *written = &arguments->data[i];
        Value v = eval_in(s, scope, written->value);
        Node *node;
        if (!written->name.text) {
            sema_error(s, ERR_E0201, written->span, NULL,
                       "columns are given by name: arrays(x=..., y=...)");
            ok = false;
        } else if (strcmp(written->name.text, "seed") == 0 && !dataset_field(plan, "seed")) {
            ok &= want_int(s, &v, written->value->span, "seed", &plan->arrays_seed);
        } else {
            ok = want_tensor(s, &v, written->value->span, "a column", &node) &&
                 array_column(s, plan, source, declared || role > 0, written, node) && ok;
        }
    }
    source->arrays = s->elab->graph;
    s->elab = outer;
    for (uint32_t i = 0; ok && i < plan->fields.count; i++)
        if (!graph_root_find(source->arrays, ROOT_OUTPUT, plan->fields.data[i].name)) {
            sema_error(s, ERR_E0402, expr->span, NULL, "the field %s has no column here",
                       plan->fields.data[i].name);
            ok = false;
        }
    return ok;
}

/* ---- Texts ---- */

static bool text_tokens(Sema *s, const Value *v, Span span, TokenKind *kind)
{
    static const char *const names[] = {"bytes", "chars", "bpe"};
    const char *name;
    if (!want_string(s, v, span, "tokens", &name))
        return false;
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *kind = (TokenKind)i;
            return true;
        }
    sema_unknown(s, ERR_E0105, span, "there are no tokens", name, names, 3);
    return false;
}

bool dataset_count(Sema *s, const Value *v, Span span, const char *name, int64_t *count)
{
    if (!want_int(s, v, span, name, count))
        return false;
    if (*count >= 1 && *count <= INT32_MAX)
        return true;
    sema_error(s, ERR_E0409, span, NULL, "%s is %lld, and it must be at least 1", name,
               (long long)*count);
    return false;
}

static bool text_argument(Sema *s, const AstArgument *written, Scope *scope, SourcePlan *source)
{
    static const char *const known[] = {"tokens", "window", "stride", "vocab", "tokenizer"};
    TextPlan *text = &source->text;
    const char *name = written->name.text;
    Value v = eval_in(s, scope, written->value);
    if (v.kind == VALUE_POISON)
        return false;
    if (!name) {
        SourceArgument path = {.kind = ARGUMENT_STRING, .span = written->span};
        bool ok = want_string(s, &v, written->span, "the path of the text", &path.text);
        vec_push(s->arena, &source->arguments, path);
        return ok;
    }
    if (strcmp(name, "tokens") == 0)
        return text_tokens(s, &v, written->value->span, &text->tokens);
    if (strcmp(name, "tokenizer") == 0)
        return want_string(s, &v, written->value->span, name, &text->tokenizer);
    int64_t *count = strcmp(name, "window") == 0   ? &text->window
                     : strcmp(name, "stride") == 0 ? &text->stride
                     : strcmp(name, "vocab") == 0  ? &text->vocabulary
                                                   : NULL;
    if (count)
        return dataset_count(s, &v, written->value->span, name, count);
    sema_unknown(s, ERR_E0105, written->name.span, "text has no argument", name, known, 5);
    return false;
}

/* The fields of a text are those of its windows. */
static bool text_fields(Sema *s, DatasetPlan *plan, const AstExpr *expr, const TextPlan *text,
                        uint32_t role)
{
    static const char *const names[] = {"token", "next"};
    if (plan->fields.count > 0 && role == 0) {
        sema_error(s, ERR_E0403, plan->fields.data[0].span, NULL,
                   "a text has its own fields: token and next, i32[window] each");
        return false;
    }
    Type row = {.dtype = DT_I32, .rank = 1, .dims = {dim_const(s->dims, text->window)}};
    if (role > 0 && (plan->fields.count != 2 || !type_equal(&plan->fields.data[0].row, &row))) {
        sema_error(s, ERR_E0605, expr->span, NULL,
                   "the windows here are %s, and those of source %s", type_text(s, &row),
                   plan->fields.count ? type_text(s, &plan->fields.data[0].row) : "are no tokens");
        return false;
    }
    for (int i = 0; i < 2 && role == 0; i++) {
        FieldPlan field = {.name = names[i], .row = row, .span = expr->span};
        vec_push(s->arena, &plan->fields, field);
    }
    return true;
}

static bool text_source(Sema *s, DatasetWork *work, const AstExpr *expr, uint32_t role,
                        SourcePlan *source)
{
    TextPlan *text = &source->text;
    text->tokens = TOKENS_CHARS;
    text->stride = 1;
    for (uint32_t i = 0; i < expr->as.call.arguments.count; i++)
        if (!text_argument(s, &expr->as.call.arguments.data[i], work->decl->file->scope, source))
            return false;
    if (text->window == 0 || source->arguments.count != 1) {
        sema_error(
            s, ERR_E0201, expr->span, NULL,
            "a text needs a path and a window: text(\"book.txt\", tokens=\"chars\", window=64)");
        return false;
    }
    if (text->tokens == TOKENS_BPE && !text->tokenizer && text->vocabulary < 256) {
        sema_error(s, ERR_E0409, expr->span, NULL,
                   "tokens=\"bpe\" needs vocab, at least 256, or a tokenizer's file");
        return false;
    }
    return text_fields(s, &work->plan, expr, text, role);
}

bool dataset_source(Sema *s, DatasetWork *work, const char *key, uint32_t role, bool *has,
                    SourcePlan *source)
{
    Block block = dataset_block(work->decl);
    const AstExpr *expr = block_value(s, &block, key, &source->span);
    if (!expr)
        return true;
    *has = true;
    if (!source_kind(s, expr, &source->kind))
        return false;
    if (source->kind == SOURCE_ARRAYS)
        return arrays_source(s, work, expr, role, source);
    if (source->kind == SOURCE_TEXT)
        return text_source(s, work, expr, role, source);
    bool ok = true;
    if (work->plan.fields.count == 0) {
        sema_error(s, ERR_E0402, expr->span, NULL,
                   "a dataset of files needs fields = [name: type, ...]");
        return false;
    }
    for (uint32_t i = 0; i < expr->as.call.arguments.count; i++) {
        SourceArgument argument;
        const AstArgument *written = &expr->as.call.arguments.data[i];
        if (!known_argument(s, source->kind, &work->plan, written) ||
            !file_argument(s, source->kind, written, work->decl->file->scope, &argument))
            ok = false;
        else
            vec_push(s->arena, &source->arguments, argument);
    }
    return ok;
}
