/* The rules of the house that a program can check: who includes whom, no mutable file-scope
 * state, nothing but nnc_* exported, and no library code that prints, exits or installs
 * handlers. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *folder;
    const char *allowed[16]; /* prefixes of include paths from the repository root */
} Layer;

/* docs/architecture.md, "Who may include whom". Every folder may include itself and
 * runtime/base. */
static const Layer layers[] = {
    {"runtime/base", {NULL}},
    {"runtime/tensor", {"include/nnc/", NULL}},
    {"runtime/data", {"include/nnc/", "runtime/tensor/", NULL}},
    {"runtime/train", {"include/nnc/", "runtime/tensor/", "runtime/data/", NULL}},
    {"compiler/ast", {"grammar/", NULL}},
    {"compiler/graph", {NULL}},
    {"compiler/kernel", {NULL}},
    {"compiler/sema",
     {"compiler/ast/", "compiler/graph/", "compiler/std/", "compiler/passes/grad.h",
      "compiler/passes/batch.h", NULL}},
    {"compiler/ref", {"compiler/graph/", "include/nnc/abi.h", NULL}},
    {"compiler/passes", {"compiler/graph/", "compiler/ref/", NULL}},
    {"compiler/schedule", {"compiler/graph/", NULL}},
    {"compiler/lower", {"compiler/graph/", "compiler/schedule/", "compiler/kernel/", NULL}},
    {"compiler/codegen", {"compiler/kernel/", "include/nnc/abi.h", "nnc/abi.h", NULL}},
    {"compiler/jit",
     {"compiler/codegen/", "compiler/kernel/", "include/nnc/abi.h", "nnc/abi.h", NULL}},
    {"compiler/driver", {"compiler/", "runtime/", "include/nnc/", NULL}},
    {"compiler/cli", {"nnc/", NULL}},
};

enum { LAYER_COUNT = sizeof layers / sizeof *layers };

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_allowed(const Layer *layer, const char *path)
{
    if (starts_with(path, layer->folder) || starts_with(path, "runtime/base/"))
        return true;
    if (!strchr(path, '/'))
        return true; /* generated beside the sources */
    for (int i = 0; layer->allowed[i]; i++)
        if (starts_with(path, layer->allowed[i]))
            return true;
    return false;
}

static bool is_source(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcmp(dot, ".c") == 0 || strcmp(dot, ".h") == 0 || strcmp(dot, ".inc") == 0);
}

typedef void Visitor(const Layer *layer, const char *path, const char *line, int number,
                     int *count);

static int visit_lines(const Layer *layer, Visitor *visit)
{
    char folder[1024], path[2048], line[1024];
    int count = 0;
    snprintf(folder, sizeof folder, "%s/%s", NNC_SOURCE_DIR, layer->folder);
    DIR *directory = opendir(folder);
    cr_assert_not_null(directory, "no folder %s", folder);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (!is_source(entry->d_name))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = fopen(path, "r");
        cr_assert_not_null(file);
        for (int number = 1; fgets(line, sizeof line, file); number++)
            visit(layer, path + strlen(NNC_SOURCE_DIR) + 1, line, number, &count);
        fclose(file);
    }
    closedir(directory);
    return count;
}

static void check_include(const Layer *layer, const char *path, const char *line, int number,
                          int *count)
{
    char target[512];
    if (sscanf(line, " # include \"%511[^\"]\"", target) != 1 &&
        sscanf(line, "#include <nnc/%511[^>]>", target) != 1)
        return;
    ++*count;
    cr_expect(is_allowed(layer, target), "%s:%d: %s may not include %s", path, number,
              layer->folder, target);
}

Test(architecture, includes_follow_the_layers)
{
    int includes = 0;
    for (int i = 0; i < LAYER_COUNT; i++)
        includes += visit_lines(&layers[i], check_include);
    cr_assert_gt(includes, 100);
}

static void check_llvm(const Layer *layer, const char *path, const char *line, int number,
                       int *count)
{
    if (!strstr(line, "#include") || !strstr(line, "llvm"))
        return;
    bool may = starts_with(layer->folder, "compiler/codegen") ||
               starts_with(layer->folder, "compiler/jit");
    ++*count;
    cr_expect(may, "%s:%d: only codegen and jit know LLVM", path, number);
}

Test(architecture, only_code_generation_knows_llvm)
{
    int includes = 0;
    for (int i = 0; i < LAYER_COUNT; i++)
        includes += visit_lines(&layers[i], check_llvm);
    cr_assert_gt(includes, 0);
}

static void check_calls(const Layer *layer, const char *path, const char *line, int number,
                        int *count)
{
    static const char *const banned[] = {" exit(",   "\texit(",    " abort(",  "longjmp(",
                                         " printf(", "sigaction(", " signal(", "getenv("};
    if (strcmp(layer->folder, "compiler/cli") == 0)
        return;
    for (size_t i = 0; i < sizeof banned / sizeof *banned; i++) {
        const char *found = strstr(line, banned[i]);
        bool comment = found && (strstr(line, "/*") || starts_with(line + strspn(line, " "), "*"));
        bool bug = strstr(path, "runtime/base/bug.c") != NULL;
        cr_expect(!found || comment || bug, "%s:%d: a library calls%s...)", path, number,
                  banned[i]);
    }
    ++*count;
}

Test(architecture, libraries_do_not_print_exit_or_catch)
{
    int lines = 0;
    for (int i = 0; i < LAYER_COUNT; i++)
        lines += visit_lines(&layers[i], check_calls);
    cr_assert_gt(lines, 1000);
}

/* A line of `objdump -t`: address, seven flag characters, section, size, perhaps .hidden, name.
 * Tables of constants with addresses inside are in .data.rel.ro, which is read-only once loaded.
 * The scanner's and the parser's own tables are not ours, nor is what sanitizers add. */
static bool is_mutable(const char *line)
{
    char flags[8], section[256], size[64], name[512], hidden[512];
    if (strlen(line) < 26)
        return false;
    int fields =
        sscanf(line + 17, "%7c %255s %63s %511s %511s", flags, section, size, name, hidden);
    if (fields < 4)
        return false;
    const char *symbol = fields == 5 ? hidden : name;
    bool writable = starts_with(section, ".bss") ||
                    (starts_with(section, ".data") && !starts_with(section, ".data.rel.ro"));
    return writable && memchr(flags, 'O', 7) && !starts_with(symbol, "nn_") &&
           !starts_with(symbol, "yy") && !starts_with(symbol, "__");
}

Test(architecture, no_mutable_file_scope_state)
{
    char line[2048];
    int total = 0, faults = 0;
    FILE *pipe = popen("objdump -t " NNC_BINARY_DIR "/libnnc_*.a 2>/dev/null", "r");
    cr_assert_not_null(pipe);
    for (; fgets(line, sizeof line, pipe); total++)
        if (is_mutable(line)) {
            cr_log_error("%s", line);
            faults++;
        }
    pclose(pipe);
    cr_assert_gt(total, 100);
    cr_assert_eq(faults, 0);
}

static bool is_foreign(char type, const char *name)
{
    return strchr("TDBRW", type) && !starts_with(name, "nnc_") && name[0] != '_';
}

Test(architecture, only_the_public_api_is_exported)
{
    char line[1024], type, name[512];
    int total = 0, faults = 0;
    FILE *pipe = popen("nm -D --defined-only " NNC_BINARY_DIR "/libnnc.so", "r");
    cr_assert_not_null(pipe);
    while (fgets(line, sizeof line, pipe)) {
        if (sscanf(line, "%*x %c %511s", &type, name) != 2)
            continue;
        total++;
        if (is_foreign(type, name)) {
            cr_log_error("exported: %s", name);
            faults++;
        }
    }
    pclose(pipe);
    cr_assert_gt(total, 20);
    cr_assert_eq(faults, 0);
}
