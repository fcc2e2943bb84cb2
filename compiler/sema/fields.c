/* The fields of a dataset and how it is split.
 *
 *   fields = [image: u8[28, 28], kind: category, date: chars(20)]
 *   split  { valid = 0.1; stratify = kind } */
#include "compiler/sema/dataset.h"

#include <string.h>

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
            sema_error(s, ERR_E0201, written->span, NULL,
                       "a field of text is written chars(20) or chars(20, vocab=40)");
            return false;
        }
        if (!dataset_count(s, &v, written->value->span, is_vocab ? "vocab" : "the length of a text",
                           is_vocab ? &field->vocabulary : &length))
            return false;
    }
    if (length < 2) {
        sema_error(s, ERR_E0201, type->span, NULL,
                   "a text needs a length of at least 2: chars(20)");
        return false;
    }
    field->sequence = true;
    field->row = (Type){.dtype = DT_I32, .rank = 1, .dims = {dim_const(s->dims, length)}};
    return true;
}

static bool is_called(const AstType *type, const char *name)
{
    return type->kind == AST_TYPE_NAMED && strcmp(type->as.named.path.data[0].text, name) == 0;
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
    if (is_called(type, "category"))
        return read_category(s, type, field);
    if (is_called(type, "chars"))
        return read_sequence(s, type, field);
    if (is_called(type, "string") || is_called(type, "str")) {
        DiagItem *item = sema_error(s, ERR_E0200, type->span, NULL,
                                    "a field has numbers, and %s is none of their types",
                                    type->as.named.path.data[0].text);
        diag_help(item, "a column of words is a category, one of texts chars(20): one more than "
                        "the longest has characters");
        return false;
    }
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

bool dataset_fields(Sema *s, DatasetWork *work)
{
    Block block = dataset_block(work->decl);
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
        } else if (dataset_field(&work->plan, entry->as.field.name.text)) {
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

bool dataset_split(Sema *s, DatasetWork *work)
{
    static const char *const known[] = {"valid", "test", "stratify", "seed", "last", NULL};
    Block block = dataset_block(work->decl), split;
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
        sema_error(s, ERR_E0616, stratify->span, NULL,
                   "a text is cut in its order, without stratify");
        return false;
    }
    const char *name = stratify->kind == AST_EXPR_NAME ? stratify->as.name : "";
    FieldPlan *field = dataset_field(plan, name);
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
