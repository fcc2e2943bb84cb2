/* Golden tests of the passes. A file of tests/golden/passes is a graph, the name of a pass and
 * the graph that it makes:
 *
 *   # x * 1 is x
 *   pass simplify
 *   graph t {
 *     ...
 *   }
 *   ---
 *   graph t {
 *     ...
 *   }
 *
 * `pass grad NAME..` appends the gradients of the output `loss` by the leaves of those names, as
 * outputs dNAME. NNC_UPDATE_GOLDEN=1 writes the second half anew: look at the difference before
 * keeping it. */
#include "compiler/graph/graph.h"
#include "compiler/passes/grad.h"
#include "compiler/passes/pass.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const folder = NNC_SOURCE_DIR "/tests/golden/passes";

static char *read_text(Arena *arena, const char *path)
{
    FILE *file = fopen(path, "rb");
    cr_assert(file, "cannot open %s", path);
    StrBuf text = {0};
    char part[4096];
    size_t count;
    while ((count = fread(part, 1, sizeof part, file)) > 0)
        strbuf_add_bytes(&text, part, count);
    fclose(file);
    char *copy = arena_string(arena, text.text ? text.text : "");
    strbuf_free(&text);
    return copy;
}

static Node *leaf_named(const Graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->nodes.count; i++)
        if (g->nodes.data[i]->attr.kind == AT_LEAF &&
            !strcmp(g->nodes.data[i]->attr.leaf.name, name))
            return g->nodes.data[i];
    return NULL;
}

static void run_grad(const char *path, Graph *g, char *names)
{
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
        Node *wrt = leaf_named(g, name), *loss = graph_root_find(g, ROOT_OUTPUT, "loss"), *gradient;
        GradError error = {0};
        cr_assert(wrt && loss, "%s: no leaf %s or no output loss", path, name);
        cr_assert(grad_build(g, loss, &wrt, 1, &gradient, &error), "%s: %s", path, error.text);
        graph_root(g, ROOT_OUTPUT, arena_format(g->arena, "d%s", name), gradient);
    }
}

static char *run_pass(const char *path, Arena *arena, Graph *g, char *pass)
{
    StrBuf text = {0}, error = {0};
    if (!strncmp(pass, "grad ", 5)) {
        run_grad(path, g, pass + 5);
        cr_assert(graph_verify(g, &error), "%s: %s", path, error.text);
        graph_print(g, &text);
    } else {
        const PassInfo *info = pass_find(pass);
        cr_assert(info, "%s: there is no pass %s", path, pass);
        Graph *made = pass_run_one(info, g, NULL, &error);
        cr_assert(made, "%s: %s", path, error.text);
        graph_print(made, &text);
        arena_free(made->arena);
    }
    char *copy = arena_string(arena, text.text);
    strbuf_free(&text);
    strbuf_free(&error);
    return copy;
}

static void update(const char *path, const char *whole, const char *end, const char *got)
{
    FILE *file = fopen(path, "wb");
    cr_assert(file, "cannot write %s", path);
    fprintf(file, "%.*s---\n%s", (int)(end - whole), whole, got);
    fclose(file);
}

static void check_file(const char *path)
{
    Arena *arena = arena_new();
    char *whole = read_text(arena, path), *error = NULL;
    char *divider = strstr(whole, "---\n"), *pass = strstr(whole, "pass "),
         *text = strstr(whole, "graph ");
    cr_assert(pass && text && pass < text, "%s: needs a line `pass NAME` and a graph", path);
    if (!divider)
        divider = whole + strlen(whole);
    char *name = arena_substring(arena, pass + 5, strcspn(pass + 5, "\n"));
    char *input = arena_substring(arena, text, (size_t)(divider - text));
    Graph *g = graph_read(arena, dim_table_new(arena), input, &error);
    cr_assert(g, "%s: %s", path, error);
    char *got = run_pass(path, arena, g, name);
    if (getenv("NNC_UPDATE_GOLDEN"))
        update(path, whole, divider, got);
    else
        cr_expect_str_eq(got, *divider ? divider + 4 : "", "%s", path);
    arena_free(arena);
}

Test(golden_passes, files)
{
    DIR *dir = opendir(folder);
    cr_assert(dir, "cannot open %s", folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        char path[4096];
        if (!dot || strcmp(dot, ".txt"))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        check_file(path);
        count++;
    }
    closedir(dir);
    cr_assert(count > 0);
}

/* Every rule of simplify has its file. */
Test(golden_passes, every_rule)
{
    static const char *const names[] = {
#define RULE(op, name, doc) #name,
#include "compiler/passes/simplify.def"
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/simplify-%s.txt", folder, names[i]);
        FILE *file = fopen(path, "rb");
        cr_expect(file, "no %s", path);
        if (file)
            fclose(file);
    }
}
