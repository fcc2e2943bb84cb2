/* Keys of dataset and train blocks, and what the command line puts in their place.
 *
 *   batch = 128           block_int(..., "batch", 1, &batch, &span)
 *   --set train.batch=64  the text 64 is parsed as an expression and stands where 128 stood */
#include "compiler/ast/parse.h"
#include "compiler/sema/internal.h"

#include <string.h>

/* ---- Options ---- */

const AstExpr *parse_option(Sema *s, const char *shown, const char *text)
{
    const char *program = arena_format(s->arena, "const value = %s\n", text);
    uint32_t index = source_add_owned(s->map, s->arena, shown, program, strlen(program));
    const AstFile *file = ast_parse(s->arena, s->map, index, s->diag);
    bool good = file->items.count == 1 && file->items.data[0]->kind == AST_ITEM_CONST &&
                file->items.data[0]->as.constant.value;
    return good ? file->items.data[0]->as.constant.value : NULL;
}

static void option_error(Sema *s, const char *option, const char *text, const char *const *names,
                         uint32_t count)
{
    DiagItem *item = diag_error(s->diag, ERR_E0901, (Span){0, 0, 0}, NULL, "%s: %s", option, text);
    const char *equal = strchr(option, '='), *space = strrchr(option, ' ');
    const char *begin = space ? space + 1 : option;
    const char *given =
        equal ? arena_substring(s->arena, begin, (size_t)(equal - begin)) : NULL;
    const char *nearest = given ? diag_nearest(given, names, count) : NULL;
    for (uint32_t i = 0; given && i < count; i++) { /* epochs: train.epochs */
        const char *dot = strrchr(names[i], '.');
        if (dot && strcmp(dot + 1, given) == 0)
            nearest = names[i];
    }
    if (nearest)
        diag_help(item, "did you mean %s?", nearest);
}

/* A bare word for a const that is a string: the shell has taken its quotes. */
static bool lost_quotes(Sema *s, const AstItem *item, const char *shown, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
    const AstExpr *now = item->as.constant.value;
    if (!now || now->kind != AST_EXPR_STRING || strspn(text, plain) != strlen(text) ||
        scope_find_local(s->main->scope, text))
        return false;
    DiagItem *error = diag_error(s->diag, ERR_E0901, (Span){0, 0, 0}, NULL,
                                 "%s: %s is a string, which stands in quotes", shown, item->name.text);
    diag_help(error, "the shell takes one pair of quotes: -D '%s=\"%s\"'", item->name.text, text);
    return true;
}

static void define_one(Sema *s, const char *define)
{
    const char *equal = strchr(define, '=');
    const char *shown = arena_format(s->arena, "-D %s", define);
    const char **names = ARENA_ARRAY(s->arena, const char *, s->main->decls.count + 1);
    uint32_t count = 0;
    char *name = equal ? arena_substring(s->arena, define, (size_t)(equal - define)) : NULL;
    for (uint32_t i = 0; i < s->main->decls.count; i++) {
        Decl *decl = s->main->decls.data[i];
        if (decl->item->kind != AST_ITEM_CONST)
            continue;
        names[count++] = decl->item->name.text;
        if (!name || strcmp(name, decl->item->name.text) != 0)
            continue;
        if (lost_quotes(s, decl->item, shown, equal + 1))
            return;
        const AstExpr *value = parse_option(s, shown, equal + 1);
        AstItem *item = arena_copy(s->arena, decl->item, sizeof *item);
        item->as.constant.value = (AstExpr *)value;
        if (value)
            decl->item = item;
        return;
    }
    option_error(s, shown, name ? "the file has no const of this name" : "name=value is needed",
                 names, count);
}

void options_defines(Sema *s)
{
    for (uint32_t i = 0; i < s->options.define_count; i++)
        define_one(s, s->options.defines[i]);
}

/* The text after = of an override "what.key=..." or "name.key=...", NULL: none. Marks it as used.
 */
static const char *override_text(Sema *s, const Block *block, const char *key, uint32_t *index)
{
    for (uint32_t i = s->options.override_count; i-- > 0;) {
        const char *text = s->options.overrides[i], *equal = strchr(text, '=');
        if (!equal)
            continue;
        char *path = arena_substring(s->arena, text, (size_t)(equal - text));
        bool by_kind = strcmp(path, arena_format(s->arena, "%s.%s", block->what, key)) == 0;
        if (by_kind || strcmp(path, arena_format(s->arena, "%s.%s", block->name, key)) == 0) {
            *index = i;
            return equal + 1;
        }
    }
    return NULL;
}

void options_check_overrides(Sema *s)
{
    static const char *const names[] = {"train.batch",
                                        "train.epochs",
                                        "train.steps",
                                        "train.seed",
                                        "train.shuffle",
                                        "train.drop_last",
                                        "train.model",
                                        "train.loss",
                                        "train.metrics",
                                        "train.optimizer",
                                        "train.early_stop.patience",
                                        "train.early_stop.monitor",
                                        "train.early_stop.min_delta",
                                        "train.checkpoint.every",
                                        "train.checkpoint.minutes",
                                        "train.checkpoint.keep",
                                        "train.accumulate",
                                        "train.clip_norm",
                                        "train.clip_value",
                                        "train.ema",
                                        "train.freeze",
                                        "train.trainable",
                                        "train.predict"};
    for (uint32_t i = 0; i < s->options.override_count; i++)
        if (!s->override_used[i])
            option_error(s, arena_format(s->arena, "--set %s", s->options.overrides[i]),
                         "no block has this key", names, sizeof names / sizeof *names);
}

/* ---- Members ---- */

const AstMember *block_member(const Block *block, const char *key)
{
    for (uint32_t i = 0; block->members && i < block->members->count; i++) {
        const AstMember *member = block->members->data[i];
        if (member->kind == AST_MEMBER_KEY && strcmp(member->as.key.name.text, key) == 0)
            return member;
        if (member->kind == AST_MEMBER_BLOCK && strcmp(member->as.block.name.text, key) == 0)
            return member;
    }
    return NULL;
}

const AstExpr *block_value(Sema *s, const Block *block, const char *key, Span *span)
{
    uint32_t index;
    const AstMember *member = block_member(block, key);
    const char *text = override_text(s, block, key, &index);
    const AstExpr *value = NULL;
    if (text) {
        if (!s->override_values[index])
            s->override_values[index] = parse_option(
                s, arena_format(s->arena, "--set %s", s->options.overrides[index]), text);
        s->override_used[index] = true;
        value = s->override_values[index];
    } else if (member && member->kind == AST_MEMBER_KEY) {
        value = member->as.key.value;
    } else if (member) {
        sema_error(s, ERR_E0200, member->as.block.name.span, NULL,
                   "%s is a key with a value: %s = ...", key, key);
    }
    if (value && span)
        *span = value->span;
    return value;
}

static AstName member_name(const AstMember *member)
{
    return member->kind == AST_MEMBER_KEY ? member->as.key.name : member->as.block.name;
}

static void check_duplicate(Sema *s, Scope *seen, AstName name)
{
    const Binding *other = scope_find_local(seen, name.text);
    if (!other) {
        scope_put(s, seen, name.text, name.span, BIND_ITEM, value_none);
        return;
    }
    DiagItem *item =
        sema_error(s, ERR_E0401, name.span, "again here", "%s is given twice", name.text);
    diag_note(item, other->span, "first here");
}

void block_check(Sema *s, const Block *block, const char *const *known)
{
    Scope *seen = scope_new(s, NULL);
    uint32_t count = 0;
    while (known[count])
        count++;
    for (uint32_t i = 0; block->members && i < block->members->count; i++) {
        const AstMember *member = block->members->data[i];
        if (member->kind != AST_MEMBER_KEY && member->kind != AST_MEMBER_BLOCK)
            continue;
        AstName name = member_name(member);
        bool found = false;
        for (uint32_t k = 0; k < count; k++)
            found |= strcmp(known[k], name.text) == 0;
        if (!found)
            sema_unknown(s, ERR_E0400, name.span,
                         arena_format(s->arena, "%s %s block has no key",
                                      strchr("aeiou", *block->what) ? "an" : "a", block->what),
                         name.text, known, count);
        check_duplicate(s, seen, name);
    }
}

bool block_sub(Sema *s, const Block *block, const char *key, Block *out)
{
    const AstMember *member = block_member(block, key);
    *out = (Block){arena_format(s->arena, "%s.%s", block->what, key),
                   arena_format(s->arena, "%s.%s", block->name, key), NULL};
    if (!member)
        return false;
    if (member->kind != AST_MEMBER_BLOCK) {
        sema_error(s, ERR_E0200, member->as.key.name.span, NULL, "%s is a block: %s { ... }", key,
                   key);
        return false;
    }
    out->members = &member->as.block.members;
    return true;
}

/* ---- Values ---- */

bool block_int(Sema *s, const Block *block, Scope *scope, const char *key, int64_t least,
               int64_t *out, Span *span)
{
    const AstExpr *expr = block_value(s, block, key, span);
    if (!expr)
        return true;
    Value v = eval_in(s, scope, expr);
    int64_t number;
    if (!want_int(s, &v, expr->span, key, &number))
        return false;
    const int64_t most = (int64_t)1 << 40;
    if (number < least || number > most) {
        sema_error(s, ERR_E0205, expr->span, NULL, "%s must be at %s %lld, and this is %lld", key,
                   number < least ? "least" : "most", (long long)(number < least ? least : most),
                   (long long)number);
        return false;
    }
    *out = number;
    return true;
}

bool block_real(Sema *s, const Block *block, Scope *scope, const char *key, double low, double high,
                double *out, Span *span)
{
    const AstExpr *expr = block_value(s, block, key, span);
    if (!expr)
        return true;
    Value v = eval_in(s, scope, expr);
    double number;
    if (!want_real(s, &v, expr->span, key, &number))
        return false;
    if (!(number >= low && number <= high)) {
        sema_error(s, ERR_E0205, expr->span, NULL, "%s must be between %g and %g, and this is %g",
                   key, low, high, number);
        return false;
    }
    *out = number;
    return true;
}

bool block_bool(Sema *s, const Block *block, Scope *scope, const char *key, bool *out)
{
    Span span;
    const AstExpr *expr = block_value(s, block, key, &span);
    if (!expr)
        return true;
    Value v = eval_in(s, scope, expr);
    return want_bool(s, &v, expr->span, key, out);
}
