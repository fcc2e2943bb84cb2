/* docs/library.md is made from the ## comments of compiler/std: this test makes the page and
 * compares. With NNC_UPDATE_GOLDEN=1 it writes it.
 *
 *     ## 2-d convolution: ...                        ### Conv2d
 *     module Conv2d(in: int, out: int, k) {     ->   `module Conv2d(in: int, out: int, k)`
 *                                                    2-d convolution: ... */
#include "compiler/ast/parse.h"
#include "tests/support/golden.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const folders[] = {"compiler/std", "compiler/std/nn", "compiler/std/models"};

static const char head[] = "# The library\n\n"
                           "Made from the comments of `compiler/std/`, whose files are part of the "
                           "program `nnc`. What stands under `nn.` "
                           "may be imported from `nn`.\n";

/* Prose: signs that Markdown reads keep their meaning, lines that are indented become code. */
static void add_prose(StrBuf *out, const char *doc)
{
    bool code = false;
    for (const char *line = doc; *line;) {
        size_t length = strcspn(line, "\n");
        bool indented = strncmp(line, "    ", 4) == 0;
        if (indented && !code)
            strbuf_add(out, "\n");
        for (size_t i = 0; i < length; i++) {
            if (!indented && strchr("*_<>|`[]", line[i]))
                strbuf_printf(out, "\\");
            strbuf_printf(out, "%c", line[i]);
        }
        strbuf_add(out, "\n");
        code = indented;
        line += length + (line[length] == '\n');
    }
}

/* The declaration up to its body, on one line. */
static void add_signature(StrBuf *out, const char *source, const AstItem *item)
{
    const char *at = source + item->span.begin, *end = strstr(at, " {\n");
    bool space = false;
    strbuf_add(out, "`");
    for (; at < end; at++) {
        bool blank = *at == ' ' || *at == '\n';
        if (!blank && space)
            strbuf_add(out, " ");
        if (!blank)
            strbuf_printf(out, "%c", *at);
        space = blank;
    }
    strbuf_add(out, "`\n\n");
}

static const char *file_name(const char *path, char *name, size_t room)
{
    snprintf(name, room, "%s", strstr(path, "compiler/std/") + strlen("compiler/std/"));
    *strrchr(name, '.') = '\0';
    char *slash = strchr(name, '/');
    if (slash != NULL)
        *slash = '.';
    return name;
}

static void add_file(StrBuf *out, const char *path)
{
    char name[128];
    size_t length;
    char *source = test_read_file(path, &length);
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    Arena *arena = arena_new();
    AstFile *file = ast_parse(arena, map, source_add(map, path, source, length), diag);
    strbuf_printf(out, "\n## %s\n\n", file_name(path, name, sizeof name));
    cr_expect_not_null(file->doc, "%s begins with a ## comment", path);
    add_prose(out, file->doc ? file->doc : "");
    for (uint32_t i = 0; i < file->items.count; i++) {
        const AstItem *item = file->items.data[i];
        if (!item->doc)
            continue; /* helpers have a plain comment */
        strbuf_printf(out, "\n### %s\n\n", item->name.text);
        add_signature(out, source, item);
        add_prose(out, item->doc);
    }
    arena_free(arena);
    diag_free(diag);
    source_map_free(map);
    free(source);
}

Test(library_page, is_made_from_the_comments)
{
    StrBuf page = {0};
    strbuf_add(&page, head);
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        size_t count;
        char **paths = test_list_files(folders[f], ".nn", &count);
        for (size_t i = 0; i < count; i++)
            add_file(&page, paths[i]);
        test_free_list(paths, count);
    }
    cr_expect(test_golden(NNC_SOURCE_DIR "/docs/library.md", page.text),
              "NNC_UPDATE_GOLDEN=1 writes docs/library.md");
    strbuf_free(&page);
}
