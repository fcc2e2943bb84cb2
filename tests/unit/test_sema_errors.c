/* Golden tests of the analysis' messages: tests/golden/errors/NAME.nn is checked, and what is said
 * about it is NAME.txt. Every error code that compiler/sema uses is in one of them.
 * NNC_UPDATE_GOLDEN=1 in the environment writes the .txt files anew. */
#include "compiler/ast/parse.h"
#include "compiler/sema/sema.h"
#include "tests/support/golden.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *read_beside(void *user, const char *path, size_t *length)
{
    char full[1024];
    snprintf(full, sizeof full, NNC_SOURCE_DIR "/tests/golden/errors/files/%s", path);
    char *text = test_read_file(full, length);
    if (!text)
        return NULL;
    char *kept = arena_substring(user, text, *length);
    free(text);
    return kept;
}

/* Lines "#! define width=3" and "#! set train.batch=4" at the top stand for options of the command.
 */
static void read_directives(Arena *arena, const char *text, SemaOptions *options)
{
    VEC(const char *) defines = {0}, overrides = {0};
    for (const char *at = text; strncmp(at, "#! ", 3) == 0; at = strchr(at, '\n') + 1) {
        bool define = strncmp(at + 3, "define ", 7) == 0;
        const char *value = strchr(at + 3, ' ') + 1;
        const char *kept = arena_substring(arena, value, strcspn(value, "\n"));
        if (define)
            vec_push(arena, &defines, kept);
        else
            vec_push(arena, &overrides, kept);
    }
    options->defines = defines.data;
    options->define_count = defines.count;
    options->overrides = overrides.data;
    options->override_count = overrides.count;
}

static char *messages(const char *path)
{
    size_t length;
    char *text = test_read_file(path, &length);
    cr_assert_not_null(text, "%s", path);
    Arena *arena = arena_new();
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    const char *slash = strrchr(path, '/');
    uint32_t file = source_add(map, slash ? slash + 1 : path, text, length);
    SemaOptions options = {.read_file = read_beside, .user = arena};
    read_directives(arena, text, &options);
    SemaProgram *program =
        sema_check(arena, map, ast_parse(arena, map, file, diag), &options, diag);
    StrBuf out = {0};
    diag_render_text(diag, &out, false);
    for (uint32_t i = 0; i < program->checks.count; i++)
        strbuf_printf(&out, "check at run time: %s\n", program->checks.data[i].text);
    char *result = strdup(out.text ? out.text : "");
    strbuf_free(&out);
    diag_free(diag);
    source_map_free(map);
    arena_free(arena);
    free(text);
    return result;
}

Test(sema_errors, messages_are_the_golden_ones)
{
    size_t count;
    bool good = true;
    char **paths = test_list_files("tests/golden/errors", ".nn", &count);
    cr_assert_gt(count, 10);
    for (size_t i = 0; i < count; i++) {
        char golden[1024];
        char *text = messages(paths[i]);
        snprintf(golden, sizeof golden, "%.*s.txt", (int)(strlen(paths[i]) - 3), paths[i]);
        cr_expect(strlen(text) > 0, "%s: no message", paths[i]);
        good &= test_golden(golden, text);
        free(text);
    }
    test_free_list(paths, count);
    cr_expect(good);
}

/* ---- Completeness ---- */

static void collect_codes(const char *folder, const char *suffix, const char *mark, bool *seen)
{
    size_t count;
    char **paths = test_list_files(folder, suffix, &count);
    for (size_t i = 0; i < count; i++) {
        size_t length;
        char *text = test_read_file(paths[i], &length);
        for (const char *at = text; (at = strstr(at, mark)); at++) {
            char code[6] = {0};
            ErrorCode found;
            memcpy(code, at + strlen(mark), 5);
            if (error_from_text(code, &found))
                seen[found] = true;
        }
        free(text);
    }
    test_free_list(paths, count);
}

Test(sema_errors, every_code_has_a_golden_message)
{
    bool used[ERR_COUNT] = {false}, shown[ERR_COUNT] = {false};
    collect_codes("compiler/sema", ".c", "ERR_", used);
    collect_codes("tests/golden/errors", ".txt", "error[", shown);
    for (int code = 0; code < ERR_COUNT; code++)
        cr_expect(!used[code] || shown[code], "%s is never shown by a golden test",
                  error_code_text((ErrorCode)code));
}
