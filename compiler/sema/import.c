/* Files: the library first, then NAME.nn beside the program. Each is parsed once; its declarations
 * are bindings of a file scope, and nothing of it is evaluated before it is used.
 *
 *   from nn import Linear, relu as act
 *   from models.resnet import ResNet18      compiler/std/models/resnet.nn
 *   import optim as o
 *   from "parts/blocks.nn" import Block */
#include "compiler/ast/parse.h"
#include "compiler/sema/internal.h"
#include "compiler/std/std.h"

#include <stdio.h>
#include <string.h>

enum { LIMIT_FILES = 200 };

/* Train blocks are named for the command line, not for expressions: train mnist on mnist is fine.
 */
static void declare_train(Sema *s, Scope *trains, const AstItem *item)
{
    const Binding *other = scope_find_local(trains, item->name.text);
    if (!other) {
        scope_put(s, trains, item->name.text, item->name.span, BIND_ITEM, value_none);
        return;
    }
    DiagItem *error = sema_error(s, ERR_E0101, item->name.span, "again here",
                                 "two train blocks are called %s", item->name.text);
    diag_note(error, other->span, "first here");
}

static void file_declare(Sema *s, SemaFile *file)
{
    Scope *trains = scope_new(s, NULL);
    for (uint32_t i = 0; i < file->ast->items.count; i++) {
        const AstItem *item = file->ast->items.data[i];
        if (item->kind == AST_ITEM_IMPORT || !item->name.text)
            continue;
        Decl *decl = ARENA_NEW(s->arena, Decl);
        decl->item = item;
        decl->file = file;
        vec_push(s->arena, &file->decls, decl);
        if (item->kind == AST_ITEM_TRAIN) {
            declare_train(s, trains, item);
            continue;
        }
        Value v = {.kind = VALUE_MODULE,
                   .span = item->name.span,
                   .as.decl = decl}; /* decl_value says what it is */
        scope_declare(s, file->scope, item->name, BIND_ITEM, v);
    }
}

static SemaFile *file_new(Sema *s, const char *name, const AstFile *ast, bool in_std)
{
    SemaFile *file = ARENA_NEW(s->arena, SemaFile);
    file->name = name;
    file->ast = ast;
    file->in_std = in_std;
    file->scope = scope_new(s, NULL);
    file->scope->file = file;
    file->next = s->files;
    s->files = file;
    return file;
}

static SemaFile *find_file(const Sema *s, const char *name, bool in_std)
{
    for (SemaFile *file = s->files; file; file = file->next)
        if (file->in_std == in_std && strcmp(file->name, name) == 0)
            return file;
    return NULL;
}

/* ---- Trees of the library ---- */

typedef struct {
    const char *name;
    const AstFile *ast;
} LibraryFile;

struct SemaLibrary {
    Arena *arena;
    VEC(LibraryFile) files;
};

SemaLibrary *sema_library_new(void)
{
    Arena *arena = arena_new();
    SemaLibrary *library = ARENA_NEW(arena, SemaLibrary);
    library->arena = arena;
    return library;
}

void sema_library_free(SemaLibrary *library)
{
    if (library)
        arena_free(library->arena);
}

static const AstFile *library_tree(Sema *s, SemaLibrary *library, const char *name,
                                   const char *shown, const char *text, size_t length)
{
    for (uint32_t i = 0; i < library->files.count; i++)
        if (strcmp(library->files.data[i].name, name) == 0)
            return library->files.data[i].ast;
    uint32_t index = source_add(s->map, shown, text, length);
    LibraryFile file = {arena_string(library->arena, name),
                        ast_parse(library->arena, s->map, index, s->diag)};
    vec_push(library->arena, &library->files, file);
    return file.ast;
}

static const AstFile *tree_of(Sema *s, const char *name, const char *shown, const char *text,
                              size_t length, bool in_std)
{
    if (in_std && s->options.library && !s->options.std_folder)
        return library_tree(s, s->options.library, name, shown, text, length);
    uint32_t index = source_add_owned(s->map, s->arena, shown, text, length);
    return ast_parse(s->arena, s->map, index, s->diag);
}

/* ---- Texts ---- */

static const char *read_std_folder(Sema *s, const char *name, size_t *length)
{
    FILE *in = fopen(arena_format(s->arena, "%s/%s.nn", s->options.std_folder, name), "rb");
    if (!in)
        return NULL;
    char *text = arena_alloc(s->arena, 1u << 20);
    *length = fread(text, 1, (1u << 20) - 1, in);
    fclose(in);
    return text;
}

static const char *std_text(Sema *s, const char *name, size_t *length)
{
    if (s->options.std_folder)
        return read_std_folder(s, name, length);
    uint32_t count;
    const StdSource *sources = std_sources(&count);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(sources[i].name, name) == 0) {
            *length = sources[i].length;
            return sources[i].text;
        }
    return NULL;
}

static bool is_std(Sema *s, const char *name)
{
    size_t length;
    return std_text(s, name, &length) != NULL;
}

static void load_imports(Sema *s, SemaFile *file);

static SemaFile *parse_file(Sema *s, const char *name, const char *shown, const char *text,
                            size_t length, bool in_std)
{
    uint32_t before = diag_error_count(s->diag);
    const AstFile *ast = tree_of(s, name, shown, text, length, in_std);
    SemaFile *file = file_new(s, name, ast, in_std);
    file->broken = diag_error_count(s->diag) != before;
    file->busy = true;
    file_declare(s, file);
    load_imports(s, file);
    file->busy = false;
    return file;
}

SemaFile *file_load_std(Sema *s, const char *name)
{
    SemaFile *file = find_file(s, name, true);
    size_t length;
    const char *text = file ? NULL : std_text(s, name, &length);
    if (text)
        file = parse_file(s, name, arena_format(s->arena, "std/%s.nn", name), text, length, true);
    return file;
}

static const char *user_text(Sema *s, const char *path, size_t *length)
{
    return s->options.read_file ? s->options.read_file(s->options.user, path, length) : NULL;
}

static SemaFile *file_load_user(Sema *s, const char *path, Span span)
{
    SemaFile *file = find_file(s, path, false);
    uint32_t count = 0;
    size_t length;
    if (file && file->busy) {
        sema_error(s, ERR_E0103, span, NULL,
                   "%s is imported while it is itself being read: the imports go round in a circle",
                   path);
        return NULL;
    }
    if (file)
        return file;
    for (SemaFile *other = s->files; other; other = other->next)
        count++;
    const char *text = count < LIMIT_FILES ? user_text(s, path, &length) : NULL;
    return text ? parse_file(s, path, path, text, length, false) : NULL;
}

static void unknown_file(Sema *s, const char *name, Span span)
{
    const char *names[64];
    uint32_t count = 0, sources_count;
    const StdSource *sources = std_sources(&sources_count);
    for (uint32_t i = 0; i < sources_count && count < 64; i++)
        names[count++] = sources[i].name;
    DiagItem *item =
        sema_error(s, ERR_E0103, span, NULL,
                   "there is no %s in the library and no %s.nn beside this file", name, name);
    const char *nearest = diag_nearest(name, names, count);
    if (nearest)
        diag_help(item, "did you mean %s?", nearest);
}

/* The library has the first word; a file of the user's with the same name is refused rather than
 * ignored. */
static SemaFile *file_load(Sema *s, const char *name, Span span)
{
    size_t length;
    const char *path = arena_format(s->arena, "%s.nn", name);
    if (is_std(s, name)) {
        if (!sema_in_std(s, span) && user_text(s, path, &length)) {
            DiagItem *item =
                sema_error(s, ERR_E0102, span, NULL, "%s would hide %s of the library", path, name);
            diag_help(item, "rename the file");
            return NULL;
        }
        return file_load_std(s, name);
    }
    uint32_t before = diag_error_count(s->diag);
    SemaFile *file = file_load_user(s, path, span);
    if (!file && diag_error_count(s->diag) == before)
        unknown_file(s, name, span);
    return file;
}

/* ---- Import statements ---- */

static const char *path_text(Sema *s, const AstNames *path)
{
    const char *text = path->count ? path->data[0].text : "";
    for (uint32_t i = 1; i < path->count; i++)
        text = arena_format(s->arena, "%s/%s", text, path->data[i].text);
    return text;
}

static SemaFile *import_target(Sema *s, const AstItem *item)
{
    const AstNames *path = &item->as.import.path;
    if (!item->as.import.file) {
        Span span = path->count ? path->data[0].span : item->span;
        span.end = path->count ? path->data[path->count - 1].span.end : span.end;
        return file_load(s, path_text(s, path), span);
    }
    if (item->as.import.file->kind != AST_EXPR_STRING)
        return NULL;
    const char *name = item->as.import.file->as.string.text;
    uint32_t before = diag_error_count(s->diag);
    SemaFile *file = file_load_user(s, name, item->as.import.file->span);
    if (!file && diag_error_count(s->diag) == before)
        sema_error(s, ERR_E0103, item->as.import.file->span, NULL,
                   "there is no file %s beside this one", name);
    return file;
}

/* What needs no import may be imported from the library all the same: from nn import tanh. */
static bool import_builtin(Sema *s, SemaFile *into, const SemaFile *from,
                           const AstImported *imported)
{
    const Builtin *builtin = builtin_find(imported->name.text);
    if (!builtin || !from || !from->in_std || scope_find_local(from->scope, imported->name.text))
        return false;
    Value v = {.kind = VALUE_BUILTIN, .span = imported->name.span, .as.builtin = builtin};
    if (imported->alias.text)
        scope_declare(s, into->scope, imported->alias, BIND_LOOP, v);
    return true;
}

/* What others may take from a file: its declarations, and of nn in the library also what it imports
 * from its own folder nn/. */
static Binding *file_export(const SemaFile *from, const char *name)
{
    Binding *binding = scope_find_local(from->scope, name);
    if (!binding || binding->kind == BIND_ITEM)
        return binding;
    const char *home = binding->kind == BIND_IMPORT && from->in_std &&
                               binding->value.kind == VALUE_MODULE
                           ? binding->value.as.decl->file->name
                           : "";
    size_t length = strlen(from->name);
    return strncmp(home, from->name, length) == 0 && home[length] == '/' ? binding : NULL;
}

static void import_name(Sema *s, SemaFile *into, SemaFile *from, const AstImported *imported)
{
    AstName bound = imported->alias.text ? imported->alias : imported->name;
    Binding *binding = from ? file_export(from, imported->name.text) : NULL;
    Value v = value_poison;
    if (import_builtin(s, into, from, imported))
        return;
    if (binding && from->in_std && builtin_find(bound.text) &&
        !scope_find_local(into->scope, bound.text)) {
        scope_put(s, into->scope, bound.text, bound.span, BIND_IMPORT,
                  binding->value); /* the library may: optim.constant */
        return;
    }
    if (binding)
        v = binding->value;
    else if (from && !from->broken) {
        const Scope *scope = from->scope;
        const char **names = ARENA_ARRAY(s->arena, const char *, scope->bindings.count + 1);
        uint32_t count = 0;
        for (uint32_t i = 0; i < scope->bindings.count; i++)
            if (file_export(from, scope->bindings.data[i]->name))
                names[count++] = scope->bindings.data[i]->name;
        const char *what = arena_format(s->arena, "%s does not declare", from->name);
        const char *elsewhere = std_import(s, imported->name.text);
        if (elsewhere && !sema_nearest(imported->name.text, names, count)) {
            DiagItem *error = sema_error(s, ERR_E0103, imported->name.span, NULL, "%s %s", what,
                                         imported->name.text);
            diag_help(error, "it is in the library: %s", elsewhere);
        } else
            sema_unknown(s, ERR_E0103, imported->name.span, what, imported->name.text, names,
                         count);
    }
    scope_declare(s, into->scope, bound, BIND_IMPORT, v);
}

static void import_one(Sema *s, SemaFile *file, const AstItem *item)
{
    SemaFile *from = import_target(s, item);
    if (item->as.import.names.count == 0) {
        const AstNames *path = &item->as.import.path;
        AstName name = item->as.import.alias.text ? item->as.import.alias
                       : path->count              ? path->data[path->count - 1]
                                                  : (AstName){0};
        Value v = from ? (Value){.kind = VALUE_NAMESPACE, .span = item->span, .as.file = from}
                       : value_poison;
        if (name.text)
            scope_declare(s, file->scope, name, BIND_IMPORT, v);
        return;
    }
    for (uint32_t i = 0; i < item->as.import.names.count; i++)
        import_name(s, file, from, &item->as.import.names.data[i]);
}

static void load_imports(Sema *s, SemaFile *file)
{
    for (uint32_t i = 0; i < file->ast->items.count; i++)
        if (file->ast->items.data[i]->kind == AST_ITEM_IMPORT)
            import_one(s, file, file->ast->items.data[i]);
}

SemaFile *file_main(Sema *s, const AstFile *ast)
{
    SemaFile *file = file_new(s, "", ast, false);
    file->busy = true;
    file_declare(s, file);
    load_imports(s, file);
    file->busy = false;
    return file;
}

/* models/resnet as it is written after `from`. */
static const char *dotted(Sema *s, const char *name)
{
    char *text = arena_format(s->arena, "%s", name);
    for (char *at = text; *at; at++)
        if (*at == '/')
            *at = '.';
    return text;
}

const char *std_where(Sema *s, const char *name)
{
    uint32_t count;
    const StdSource *sources = std_sources(&count);
    for (uint32_t i = 0; i < count; i++) {
        SemaFile *file = file_load_std(s, sources[i].name);
        if (file && file_export(file, name))
            return dotted(s, sources[i].name);
    }
    return NULL;
}

const char *std_import(Sema *s, const char *name)
{
    uint32_t row = 0;
    for (const char *ours = name; ours; ours = sema_foreign(name, &row)) {
        const char *library = std_where(s, ours);
        if (library)
            return arena_format(s->arena, "from %s import %s", library, ours);
    }
    return is_std(s, name) ? arena_format(s->arena, "import %s", name) : NULL;
}
