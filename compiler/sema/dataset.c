/* Datasets: a block becomes a DatasetPlan, and its map runs inside of every graph that uses the
 * rows.
 *
 *   fields = [image: u8[28, 28]]    INPUT image u8[B, 28, 28]
 *   fn map(image) -> f32[784]       checked for one example, then given the axis B (batch.h)
 *   let m, s = moments(x)           STATE stat.m, stat.s in the map; a StatPlan with x's graph */
#include "compiler/sema/batch.h"
#include "compiler/sema/builtins.h"

#include <string.h>

typedef struct {
    DatasetPlan plan;
    Decl *decl;
    bool bad;
} Work;

static Block as_block(const Decl *decl)
{
    return (Block){"dataset", decl->item->name.text, &decl->item->as.declaration.members};
}

/* ---- Sources ---- */

static const struct {
    const char *name;
    SourceKind kind;
} source_kinds[] = {{"idx", SOURCE_IDX}, {"csv", SOURCE_CSV},       {"npy", SOURCE_NPY},
                    {"npz", SOURCE_NPZ}, {"arrays", SOURCE_ARRAYS}, {"text", SOURCE_TEXT},
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
        sema_error(s, ERR_E0200, expr->span, NULL,
                   "a source is written idx(...), csv(...), npy(...), npz(...), text(...) or arrays(...)");
    return false;
}

/* Places are texts: a file, a column or several; a column of a CSV file may be a number. */
static bool argument_fits(Sema *s, SourceKind kind, SourceArgument *argument, const Value *v)
{
    bool header = argument->name && kind == SOURCE_CSV && strcmp(argument->name, "header") == 0;
    bool separator = argument->name && kind == SOURCE_CSV && strcmp(argument->name, "separator") == 0;
    int64_t column;
    if (kind == SOURCE_CSV && argument->name && !separator && value_int64(v, &column) && column >= 0) {
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

static bool is_moments(const AstExpr *expr)
{
    if (expr->kind == AST_EXPR_PIPE)
        expr = expr->as.binary.right;
    const AstExpr *head = expr->kind == AST_EXPR_CALL ? expr->as.call.callee : expr;
    return head->kind == AST_EXPR_NAME && strcmp(head->as.name, "moments") == 0;
}

/* The lets of the block that are no statistics, in scope. */
static void plain_lets(Sema *s, const Decl *decl, Scope *scope)
{
    const AstMembers *members = &decl->item->as.declaration.members;
    Scope *outer = s->scope;
    s->scope = scope;
    for (uint32_t i = 0; i < members->count; i++)
        if (members->data[i]->kind == AST_MEMBER_LET && !is_moments(members->data[i]->as.let.value))
            eval_let(s, &members->data[i]->as.let, BIND_MEMBER);
    s->scope = outer;
}

static FieldPlan *find_field(DatasetPlan *plan, const char *name)
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
    FieldPlan *field = find_field(plan, written->name.text);
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

static bool arrays_source(Sema *s, Work *work, const AstExpr *expr, uint32_t role,
                          SourcePlan *source)
{
    DatasetPlan *plan = &work->plan;
    bool declared = plan->fields.count > 0, ok = true;
    Elab *outer = s->elab;
    s->elab = elab_new(s, "arrays", false);
    Scope *scope = scope_new(s, work->decl->file->scope);
    plain_lets(s, work->decl, scope);
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
        } else if (strcmp(written->name.text, "seed") == 0 && !find_field(plan, "seed")) {
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

static bool text_count(Sema *s, const Value *v, Span span, const char *name, int64_t *count)
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
        return text_count(s, &v, written->value->span, name, count);
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
        sema_error(s, ERR_E0605, expr->span, NULL, "the windows here are %s, and those of source %s",
                   type_text(s, &row),
                   plan->fields.count ? type_text(s, &plan->fields.data[0].row) : "are no tokens");
        return false;
    }
    for (int i = 0; i < 2 && role == 0; i++) {
        FieldPlan field = {.name = names[i], .row = row, .span = expr->span};
        vec_push(s->arena, &plan->fields, field);
    }
    return true;
}

static bool text_source(Sema *s, Work *work, const AstExpr *expr, uint32_t role, SourcePlan *source)
{
    TextPlan *text = &source->text;
    text->tokens = TOKENS_CHARS;
    text->stride = 1;
    for (uint32_t i = 0; i < expr->as.call.arguments.count; i++)
        if (!text_argument(s, &expr->as.call.arguments.data[i], work->decl->file->scope, source))
            return false;
    if (text->window == 0 || source->arguments.count != 1) {
        sema_error(s, ERR_E0201, expr->span, NULL,
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

static bool read_source(Sema *s, Work *work, const char *key, uint32_t role, bool *has,
                        SourcePlan *source)
{
    Block block = as_block(work->decl);
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

/* ---- Fields ---- */

static bool read_category(Sema *s, const AstType *type, FieldPlan *field)
{
    const AstArguments *arguments = &type->as.named.arguments;
    const char **words = ARENA_ARRAY(s->arena, const char *, arguments->count + 1);
    for (uint32_t i = 0; i < arguments->count; i++) {
        Value v = eval_expr(s, arguments->data[i].value);
        if (!want_string(s, &v, arguments->data[i].span, "a category", &words[i]))
            return false;
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(words[k], words[i]) == 0) {
                sema_error(s, ERR_E0206, arguments->data[i].span, NULL,
                           "the category \"%s\" is given twice", words[i]);
                return false;
            }
    }
    field->category = true;
    field->row = (Type){.dtype = DT_I32};
    field->words = words;
    field->word_count = arguments->count;
    return true;
}

/* chars(20), chars(20, vocab=40) */
static bool read_sequence(Sema *s, const AstType *type, FieldPlan *field)
{
    const AstArguments *arguments = &type->as.named.arguments;
    int64_t length = 0;
    for (uint32_t i = 0; i < arguments->count; i++) {
        const AstArgument *written = &arguments->data[i];
        bool is_vocab = written->name.text && strcmp(written->name.text, "vocab") == 0;
        Value v = eval_expr(s, written->value);
        if (!is_vocab && (written->name.text || i > 0)) {
            sema_error(s, ERR_E0201, written->span, NULL, "a field of text is written chars(20) or chars(20, vocab=40)");
            return false;
        }
        if (!text_count(s, &v, written->value->span, is_vocab ? "vocab" : "the length of a text",
                        is_vocab ? &field->vocabulary : &length))
            return false;
    }
    if (length < 2) {
        sema_error(s, ERR_E0201, type->span, NULL, "a text needs a length of at least 2: chars(20)");
        return false;
    }
    field->sequence = true;
    field->row = (Type){.dtype = DT_I32, .rank = 1, .dims = {dim_const(s->dims, length)}};
    return true;
}

static bool read_field(Sema *s, const AstExpr *expr, FieldPlan *field)
{
    const AstType *type = expr->as.field.type;
    *field = (FieldPlan){.name = expr->as.field.name.text, .span = expr->span};
    if (strcmp(field->name, "step") == 0 || strcmp(field->name, "total_steps") == 0) {
        sema_error(s, ERR_E0409, expr->as.field.name.span, NULL,
                   "a field cannot be called %s: it is the name of a number of the run",
                   field->name);
        return false;
    }
    if (type->kind == AST_TYPE_NAMED && strcmp(type->as.named.path.data[0].text, "category") == 0)
        return read_category(s, type, field);
    if (type->kind == AST_TYPE_NAMED && strcmp(type->as.named.path.data[0].text, "chars") == 0)
        return read_sequence(s, type, field);
    if (!eval_type(s, type, &field->row))
        return false;
    for (int i = 0; i < field->row.rank; i++)
        if (!dim_is_const(field->row.dims[i], NULL)) {
            sema_error(s, ERR_E0308, type->span, NULL, "the sizes of a field must be numbers");
            return false;
        }
    if (field->row.rank < MAX_RANK)
        return true;
    sema_error(s, ERR_E0301, type->span, NULL, "a field has at most %d axes", MAX_RANK - 1);
    return false;
}

static bool read_fields(Sema *s, Work *work)
{
    Block block = as_block(work->decl);
    const AstExpr *expr = block_value(s, &block, "fields", NULL);
    bool ok = true;
    if (!expr)
        return true;
    if (expr->kind != AST_EXPR_ARRAY || expr->as.list.count == 0) {
        sema_error(s, ERR_E0200, expr->span, NULL, "fields are written [name: type, ...]");
        return false;
    }
    if (expr->as.list.count > LIMIT_ARGUMENTS) {
        sema_error(s, ERR_E0408, expr->span, NULL, "more than %d fields", LIMIT_ARGUMENTS);
        return false;
    }
    Scope *outer = s->scope;
    s->scope = work->decl->file->scope;
    for (uint32_t i = 0; i < expr->as.list.count; i++) {
        const AstExpr *entry = expr->as.list.data[i];
        FieldPlan field;
        if (entry->kind != AST_EXPR_FIELD) {
            sema_error(s, ERR_E0200, entry->span, NULL, "a field is written name: type");
            ok = false;
        } else if (find_field(&work->plan, entry->as.field.name.text)) {
            sema_error(s, ERR_E0101, entry->as.field.name.span, NULL,
                       "the field %s is declared twice", entry->as.field.name.text);
            ok = false;
        } else if (read_field(s, entry, &field))
            vec_push(s->arena, &work->plan.fields, field);
        else
            ok = false;
    }
    s->scope = outer;
    return ok;
}

/* ---- Split ---- */

static bool read_split(Sema *s, Work *work)
{
    static const char *const known[] = {"valid", "test", "stratify", "seed", "last", NULL};
    Block block = as_block(work->decl), split;
    DatasetPlan *plan = &work->plan;
    const AstMember *member = block_member(&block, "split");
    Scope *scope = work->decl->file->scope;
    plan->split_seed = -1;
    bool written = block_sub(s, &block, "split", &split);
    if (written) {
        plan->split_span = member->as.block.name.span;
        split.what = "split";
        block_check(s, &split, known);
        split.what = "dataset.split";
    }
    bool ok = block_real(s, &split, scope, "valid", 0, 1, &plan->valid_fraction, NULL) &&
              block_real(s, &split, scope, "test", 0, 1, &plan->test_fraction, NULL) &&
              block_int(s, &split, scope, "seed", 0, &plan->split_seed, NULL) &&
              block_bool(s, &split, scope, "last", &plan->split_last);
    if (ok && plan->valid_fraction + plan->test_fraction >= 1) {
        sema_error(s, ERR_E0409, plan->split_span, NULL, "the split leaves no rows for training");
        ok = false;
    }
    const AstExpr *stratify = block_value(s, &split, "stratify", &plan->stratify_span);
    if (!stratify)
        return ok;
    if (plan->source.kind == SOURCE_TEXT) {
        sema_error(s, ERR_E0616, stratify->span, NULL, "a text is cut in its order, without stratify");
        return false;
    }
    const char *name = stratify->kind == AST_EXPR_NAME ? stratify->as.name : "";
    FieldPlan *field = find_field(plan, name);
    if (!field) {
        const char **names = ARENA_ARRAY(s->arena, const char *, plan->fields.count + 1);
        for (uint32_t i = 0; i < plan->fields.count; i++)
            names[i] = plan->fields.data[i].name;
        sema_unknown(s, ERR_E0100, stratify->span, "the dataset has no field", name, names,
                     plan->fields.count);
        return false;
    }
    plan->stratify = field->name;
    if (field->row.rank == 0 && !dtype_is_float(field->row.dtype))
        return ok;
    sema_error(s, ERR_E0616, stratify->span, NULL, "stratify needs an integer column, and %s is %s",
               field->name, type_text(s, &field->row));
    return false;
}

/* ---- Statistics ---- */

static void declare_fields(Sema *s, const DatasetPlan *plan, Scope *scope, const Dim *batch)
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

static bool stat_graph(Sema *s, Work *work, const AstExpr *expr, StatPlan *stat)
{
    Elab *outer = s->elab, *one = elab_new(s, "row", false), *all = elab_new(s, "stat", false);
    s->elab = one;
    Scope *scope = scope_new(s, work->decl->file->scope);
    declare_fields(s, &work->plan, scope, NULL);
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

static bool read_stats(Sema *s, Work *work)
{
    const AstMembers *members = &work->decl->item->as.declaration.members;
    bool ok = true;
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->data[i]->kind != AST_MEMBER_LET || !is_moments(members->data[i]->as.let.value))
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

static void declare_stats(Sema *s, const DatasetPlan *plan, Scope *scope)
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

/* ---- The map ---- */

/* The map of one example: its results by name, as nodes of the current graph. */
static bool run_map(Sema *s, Work *work, const AstFunction *map, Value *results, const char **names,
                    uint32_t *count)
{
    Scope *scope = scope_new(s, work->decl->file->scope);
    Scope *rows = scope_new(s, scope);
    declare_fields(s, &work->plan, rows, NULL);
    declare_stats(s, &work->plan, scope);
    plain_lets(s, work->decl, scope);
    Args args = {ARENA_ARRAY(s->arena, Arg, map->parameters.count + 1), map->parameters.count};
    const char **fields = ARENA_ARRAY(s->arena, const char *, work->plan.fields.count + 1);
    for (uint32_t i = 0; i < work->plan.fields.count; i++)
        fields[i] = work->plan.fields.data[i].name;
    for (uint32_t i = 0; i < map->parameters.count; i++) {
        AstName name = map->parameters.data[i].name;
        Binding *field = scope_find_local(rows, name.text);
        if (!field) {
            sema_unknown(s, ERR_E0100, name.span, "the dataset has no field", name.text, fields,
                         work->plan.fields.count);
            return false;
        }
        args.data[i] = (Arg){.value = field->value, .span = name.span};
    }
    Closure closure = {.function = map, .name = "map", .scope = scope, .file = work->decl->file};
    Value v = call_closure(s, &closure, &args, map->header);
    if (v.kind == VALUE_POISON)
        return false;
    *count = v.kind == VALUE_TUPLE ? v.as.list->count : 1;
    const char *const *given = v.kind == VALUE_TUPLE ? v.as.list->names : NULL;
    if (!given && *count != map->parameters.count) {
        DiagItem *item =
            sema_error(s, ERR_E0207, map->header, NULL, "map takes %u fields and gives %u values",
                       map->parameters.count, *count);
        diag_help(item, "name the results: -> (x: f32[3], y: i32)");
        return false;
    }
    for (uint32_t i = 0; i < *count; i++) {
        results[i] = v.kind == VALUE_TUPLE ? v.as.list->items[i] : v;
        names[i] = given && given[i]           ? given[i]
                   : i < map->parameters.count ? map->parameters.data[i].name.text
                                               : "?";
    }
    return true;
}

static bool map_into(Sema *s, Work *work, const AstFunction *map, const Dim *batch, Scope *scope)
{
    enum { RESULTS = 64 };
    Value results[RESULTS];
    const char *names[RESULTS];
    Node *wanted[RESULTS], *batched[RESULTS];
    uint32_t count = 0;
    Elab *outer = s->elab, *one = elab_new(s, "row", outer->training);
    if (map->parameters.count > RESULTS || (map->result && map->result->kind == AST_TYPE_TUPLE &&
                                            map->result->as.tuple.count > RESULTS)) {
        sema_error(s, ERR_E0201, map->header, NULL, "a map has at most %d values", RESULTS);
        return false;
    }
    s->elab = one;
    bool ok = run_map(s, work, map, results, names, &count);
    for (uint32_t i = 0; ok && i < count; i++) {
        wanted[i] = value_node(s, &results[i], DT_COUNT, map->header);
        ok = wanted[i] != NULL;
    }
    s->elab = outer;
    const char *failed =
        ok ? batch_into(one->graph, outer->graph, batch, wanted, count, batched) : NULL;
    if (failed)
        sema_error(s, ERR_E0903, map->header, NULL, "this map cannot run on a batch: %s", failed);
    for (uint32_t i = 0; ok && !failed && i < count; i++)
        scope_put(s, scope, names[i], map->header, BIND_ARGUMENT,
                  value_tensor(batched[i], results[i].span));
    return ok && !failed;
}

bool dataset_values(Sema *s, Decl *decl, const Dim *batch, Scope *scope)
{
    Work *work = decl->plan;
    const AstFunction *map = decl_function(decl, "map");
    if (work->bad)
        return false;
    if (map && map_into(s, work, map, batch, scope))
        return true;
    if (!map)
        declare_fields(s, &work->plan, scope, batch);
    work->bad |= map != NULL;
    return !map;
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
        return &((Work *)decl->plan)->plan;
    Work *work = ARENA_NEW(s->arena, Work);
    DatasetPlan *plan = &work->plan;
    decl->plan = work;
    decl->used = true;
    work->decl = decl;
    plan->name = decl->item->name.text;
    plan->span = decl->item->name.span;
    plan->has_map = decl_function(decl, "map") != NULL;
    uint32_t errors = diag_error_count(s->diag);
    Block block = as_block(decl);
    Elab *outer = s->elab;
    s->elab = &s->constants;
    block_check(s, &block, known);
    check_functions(s, decl);
    bool ok = read_fields(s, work) &&
              read_source(s, work, "source", 0, &plan->has_source, &plan->source) &&
              read_source(s, work, "test", 1, &plan->has_test, &plan->test) &&
              read_source(s, work, "valid", 2, &plan->has_valid, &plan->valid);
    if (ok && !plan->has_source) {
        sema_error(s, ERR_E0402, plan->span, NULL, "the dataset %s has no source", plan->name);
        ok = false;
    }
    ok = ok && read_split(s, work) && read_stats(s, work);
    if (ok && plan->has_map) {
        s->elab = elab_new(s, "map", false);
        ok = dataset_values(s, decl, batch_symbol(s), scope_new(s, decl->file->scope));
    }
    s->elab = outer;
    work->bad = !ok || diag_error_count(s->diag) != errors;
    return plan;
}
