/* Names: chains of scopes, each a list of bindings that grows a hash table when it gets long.
 *
 *   block -> fn (arguments, sizes) -> instance (params, lets) -> file (declarations, imports)
 *
 * What no scope has is looked up among the built-ins and in the library's prelude (expr.c). */
#include "compiler/sema/internal.h"
#include "runtime/base/rng.h"

#include <string.h>

enum { SCOPE_LINEAR = 8 };

static uint64_t name_hash(const char *name)
{
    return rng_hash(name, strlen(name), 0x5c09e);
}

Scope *scope_new(Sema *s, Scope *parent)
{
    Scope *scope = ARENA_NEW(s->arena, Scope);
    scope->parent = parent;
    scope->file = parent ? parent->file : NULL;
    return scope;
}

static void scope_rehash(Sema *s, Scope *scope)
{
    scope->bucket_count = 4;
    while (scope->bucket_count < scope->bindings.count * 2)
        scope->bucket_count *= 2;
    scope->buckets = ARENA_ARRAY(s->arena, Binding *, scope->bucket_count);
    for (uint32_t i = 0; i < scope->bindings.count; i++) {
        Binding *binding = scope->bindings.data[i];
        Binding **bucket = &scope->buckets[binding->hash & (scope->bucket_count - 1)];
        binding->next = *bucket;
        *bucket = binding;
    }
}

static Binding *find_hashed(const Scope *scope, const char *name, uint64_t hash)
{
    if (scope->buckets) {
        Binding *binding = scope->buckets[hash & (scope->bucket_count - 1)];
        while (binding && (binding->hash != hash || strcmp(binding->name, name) != 0))
            binding = binding->next;
        return binding;
    }
    for (uint32_t i = 0; i < scope->bindings.count; i++)
        if (scope->bindings.data[i]->hash == hash &&
            strcmp(scope->bindings.data[i]->name, name) == 0)
            return scope->bindings.data[i];
    return NULL;
}

Binding *scope_find_local(const Scope *scope, const char *name)
{
    return find_hashed(scope, name, name_hash(name));
}

Binding *scope_find(const Scope *scope, const char *name)
{
    uint64_t hash = name_hash(name);
    for (; scope; scope = scope->parent) {
        Binding *binding = find_hashed(scope, name, hash);
        if (binding)
            return binding;
    }
    return NULL;
}

Binding *scope_put(Sema *s, Scope *scope, const char *name, Span span, BindKind kind, Value value)
{
    Binding *binding = scope_find_local(scope, name);
    if (!binding) {
        binding = ARENA_NEW(s->arena, Binding);
        binding->name = name;
        binding->hash = name_hash(name);
        vec_push(s->arena, &scope->bindings, binding);
        if (scope->bindings.count > SCOPE_LINEAR && scope->bindings.count * 2 > scope->bucket_count)
            scope_rehash(s, scope);
        else if (scope->buckets) {
            Binding **bucket = &scope->buckets[binding->hash & (scope->bucket_count - 1)];
            binding->next = *bucket;
            *bucket = binding;
        }
    }
    binding->kind = kind;
    binding->value = value;
    binding->span = span;
    binding->lazy = NULL;
    binding->pattern = NULL;
    binding->owner = NULL;
    return binding;
}

bool scope_hides_builtin(Sema *s, AstName name)
{
    if (sema_in_std(s, name.span) ||
        (!builtin_find(name.text) && strcmp(name.text, "training") != 0 &&
         strcmp(name.text, "none") != 0))
        return false;
    DiagItem *item = sema_error(s, ERR_E0102, name.span, NULL, "%s would hide the built-in %s",
                                name.text, name.text);
    diag_help(item, "choose another name, for example my_%s", name.text);
    return true;
}

/* A param or state may take the name of an argument of its module, a dim bound by a signature is no
 * declaration. */
static bool may_replace(const Binding *old, BindKind kind)
{
    if (kind == BIND_PARAM || kind == BIND_STATE || kind == BIND_MEMBER)
        return old->kind == BIND_ARGUMENT;
    return old->kind == BIND_DIM && kind != BIND_ARGUMENT;
}

Binding *scope_declare(Sema *s, Scope *scope, AstName name, BindKind kind, Value value)
{
    bool checked =
        kind == BIND_LET || kind == BIND_ITEM || kind == BIND_LOOP || kind == BIND_IMPORT;
    if (checked && !sema_in_std(s, name.span))
        scope_hides_builtin(s, name);
    Binding *old = scope_find_local(scope, name.text);
    if (old && !may_replace(old, kind)) {
        DiagItem *item = sema_error(s, ERR_E0101, name.span, "declared again here",
                                    "%s is declared twice", name.text);
        diag_note(item, old->span, "first declared here");
        if (old->kind == BIND_LET && kind == BIND_LET)
            diag_help(item, "%s = ... without let gives it a new value", name.text);
        return old;
    }
    return scope_put(s, scope, name.text, name.span, kind, value);
}

static void collect(Sema *s, const Scope *scope, const char ***names, uint32_t *count)
{
    VEC(const char *) all = {0};
    for (; scope; scope = scope->parent)
        for (uint32_t i = 0; i < scope->bindings.count && all.count < 4000; i++)
            vec_push(s->arena, &all, scope->bindings.data[i]->name);
    const char **builtins;
    uint32_t builtin_count;
    builtin_names(s, &builtins, &builtin_count);
    for (uint32_t i = 0; i < builtin_count; i++)
        vec_push(s->arena, &all, builtins[i]);
    static const char *const words[] = {"true", "false", "none"};
    for (uint32_t i = 0; i < 3; i++)
        vec_push(s->arena, &all, words[i]);
    *names = all.data;
    *count = all.count;
}

/* "image, label": what the dataset of the train block around gives; NULL: there is none. */
static const char *row_names(Sema *s, const Scope *scope)
{
    const char *text = NULL;
    while (scope && !scope->rows)
        scope = scope->parent;
    for (uint32_t i = 0; scope && i < scope->bindings.count && i < 12; i++)
        if (scope->bindings.data[i]->kind == BIND_ARGUMENT)
            text = arena_format(s->arena, "%s%s%s", text ? text : "", text ? ", " : "",
                                scope->bindings.data[i]->name);
    return text;
}

void scope_unknown(Sema *s, const Scope *scope, const char *name, Span span)
{
    DiagItem *item = sema_error(s, ERR_E0100, span, NULL, "nothing is called %s here", name);
    const char **names;
    uint32_t count;
    collect(s, scope, &names, &count);
    const char *import = std_import(s, name), *nearest = sema_nearest(name, names, count),
               *rows = row_names(s, scope);
    if (strcmp(name, "range") == 0) {
        diag_help(item, "0..n counts from 0 up to and without n");
        return;
    }
    if (import)
        diag_help(item, "it is in the library: %s", import);
    else if (nearest)
        diag_help(item, "did you mean %s?", nearest);
    else if (name[0] >= 'A' && name[0] <= 'Z' && !name[1])
        diag_help(item, "the name of a size is known in the fn whose signature gives it: elsewhere "
                        "size(x, 0) is the number of rows");
    else if (rows)
        diag_help(item, "the dataset gives %s", rows);
}
