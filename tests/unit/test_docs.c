/* The documents and the tables they describe agree: every built-in function is in
 * docs/language.md, and the programs shown there are read without an error. */
#include "compiler/ast/parse.h"
#include "tests/support/golden.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *language(void)
{
    char *text = test_read_file(NNC_SOURCE_DIR "/docs/language.md", NULL);
    cr_assert_not_null(text);
    return text;
}

Test(docs, every_built_in_function_is_described)
{
    static const char *const names[] = {
#define BUILTIN(name, parameters, function, op, doc) #name,
#include "compiler/sema/builtins.def"
    };
    char *text = language(), row[80];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(row, sizeof row, "| `%s(", names[i]);
        cr_expect(strstr(text, row) != NULL, "docs/language.md has no row for %s", names[i]);
    }
    free(text);
}

/* Between lines of three backquotes; those that begin with a declaration are whole programs. */
Test(docs, programs_are_read_without_errors)
{
    static const char *const beginnings[] = {"from ",      "fn ",       "module ", "init ",
                                             "optimizer ", "schedule ", "metric ", "dataset ",
                                             "train ",     "extern ",   "## "};
    char *text = language();
    int programs = 0;
    for (char *p = strstr(text, "\n```\n"); p != NULL;) {
        char *begin = p + 5, *end = strstr(begin, "\n```\n");
        cr_assert_not_null(end);
        bool program = false;
        for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
            program |= strncmp(begin, beginnings[i], strlen(beginnings[i])) == 0;
        }
        SourceMap *map = source_map_new();
        Diag *diag = diag_new(map);
        Arena *arena = arena_new();
        uint32_t file = source_add(map, "language.md", begin, (size_t)(end - begin) + 1);
        ast_parse(arena, map, file, diag);
        StrBuf errors = {0};
        strbuf_add(&errors, "");
        diag_render_text(diag, &errors, false);
        cr_expect(!program || diag_error_count(diag) == 0, "%s", errors.text);
        programs += program;
        strbuf_free(&errors);
        arena_free(arena);
        diag_free(diag);
        source_map_free(map);
        p = strstr(end + 5, "\n```\n");
    }
    cr_expect_geq(programs, 9);
    free(text);
}
