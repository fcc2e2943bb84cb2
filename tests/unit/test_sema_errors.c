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

/* ---- Every wording is in a golden text ---- */

/* Guards against what the parser does not let through, and what takes a program of 1000
 * arguments. */
static const char *const unshown[] = {
    "the sizes of a field must be numbers", "more than %d axes arise here",
    "a range without an end is for slices only", "more than %d fields", "more than %d arguments",
    "the file has no module %s" /* sema_module: test_sema */,
};

/* The literals of a C call that follow each other, as one text; moves *at behind them. */
static void read_literal(const char **at, StrBuf *out)
{
    while (**at == '"') {
        for (++*at; **at && **at != '"'; ++*at) {
            if (**at == '\\')
                ++*at;
            strbuf_add_char(out, **at);
        }
        *at += **at == '"';
        *at += strspn(*at, " \n");
    }
}

/* Are the words between the conversions of a format in this order in one line of the text? */
static bool line_fits(const char *line, const char *end, const char *format)
{
    while (*format) {
        if (*format == '%' && format[1] != '%') {
            format += strcspn(format, "diufgsxXc") + 1;
            continue;
        }
        format += *format == '%';
        size_t length = 1 + strcspn(format + 1, "%");
        const char *found = line;
        while (found + length <= end && memcmp(found, format, length) != 0)
            found++;
        if (found + length > end)
            return false;
        line = found + length;
        format += length;
    }
    return true;
}

static bool is_shown(const char *goldens, const char *format)
{
    for (size_t i = 0; i < sizeof unshown / sizeof *unshown; i++)
        if (strcmp(unshown[i], format) == 0)
            return true;
    for (const char *line = goldens; *line;) {
        const char *end = line + strcspn(line, "\n");
        if (line_fits(line, end, format))
            return true;
        line = end + (*end == '\n');
    }
    return false;
}

/* Each literal among the arguments of the call that begins at `at`. */
static void check_call(const char *path, const char *at, const char *goldens)
{
    for (int depth = 1; *at && depth > 0;) {
        StrBuf format = {0};
        depth += *at == '(' ? 1 : *at == ')' ? -1 : 0;
        if (*at != '"') {
            at++;
            continue;
        }
        read_literal(&at, &format);
        if (format.length > 5)
            cr_expect(is_shown(goldens, format.text), "%s: \"%s\" is in no golden text", path,
                      format.text);
        strbuf_free(&format);
    }
}

static void check_source(const char *path, const char *goldens)
{
    static const char *const calls[] = {"sema_error(", "sema_unknown(", "diag_error(", "diag_help(",
                                        "diag_note("};
    size_t length;
    char *text = test_read_file(path, &length);
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
        for (const char *at = text; (at = strstr(at, calls[c]));) {
            at += strlen(calls[c]);
            check_call(path, at, goldens);
        }
    free(text);
}

Test(sema_errors, every_wording_has_a_golden_message)
{
    StrBuf goldens = {0};
    size_t count;
    char **paths = test_list_files("tests/golden/errors", ".txt", &count);
    for (size_t i = 0; i < count; i++) {
        size_t length;
        char *text = test_read_file(paths[i], &length);
        strbuf_add_bytes(&goldens, text, length);
        free(text);
    }
    test_free_list(paths, count);
    paths = test_list_files("compiler/sema", ".c", &count);
    for (size_t i = 0; i < count; i++)
        check_source(paths[i], goldens.text);
    test_free_list(paths, count);
    strbuf_free(&goldens);
}
