/* The documents and the tables they describe agree: every built-in function is in
 * docs/language.md, and the programs shown there are read and checked without an error, and run
 * where they have data of their own. */
#include "compiler/ast/parse.h"
#include "tests/support/api.h"
#include "tests/support/golden.h"

#include <criterion/criterion.h>
#include <math.h>
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

/* What a block of the page leaves to its surroundings. */
static const char surroundings[] =
    "from losses import mse, bce_with_logits, cross_entropy, kl\n"
    "from optim import adam, adamw, cosine\n"
    "from nn import log_softmax, softmax, Linear, flatten\n"
    "from models.lenet import LeNet\n"
    "module Generator(z: int) { let fc = Linear(z, 784)\n"
    "    fn (x: f32[B, z]) -> f32[B, 1, 28, 28] { reshape(fc(x), B, 1, 28, 28) } }\n"
    "module Discriminator { let fc = Linear(784, 1)\n"
    "    fn (x: f32[B, 1, 28, 28]) -> f32[B, 1] { x |> flatten |> fc } }\n"
    "module VAE { let fc = Linear(20, 784)\n"
    "    fn (x: f32[B, 1, 28, 28]) { mean(fc(randn(B, 20)) - flatten(x), axis=1) }\n"
    "    fn decode(z: f32[B, 20]) { reshape(fc(z), B, 1, 28, 28) } }\n"
    "module Small { let fc = Linear(784, 10)\n"
    "    fn (x: f32[B, 1, 28, 28]) -> f32[B, 10] { x |> flatten |> fc } }\n"
    "dataset digits { source = arrays(image=rand(6, 1, 28, 28, seed=1), label=randint(0, 10, 6, "
    "seed=2))\n    fields = [image: f32[1, 28, 28], label: i32]\n    split { valid = 0.2 } }\n";

static void check_block(const char *block, bool alone)
{
    nnc_context *context = api_context(1);
    nnc_program_options options = {.size = sizeof options, .interpret = true};
    StrBuf text = {0};
    strbuf_add(&text, alone ? "" : surroundings);
    strbuf_add(&text, block);
    nnc_program *program = NULL;
    nnc_status status = nnc_program_parse(context, "test.nn", text.text, &options, &program);
    cr_expect_eq(status, NNC_OK, "%s\n%s", nnc_diagnostics(context, NNC_TEXT), block);
    nnc_program_release(program);
    nnc_context_release(context);
    strbuf_free(&text);
}

static void run_block(const char *block)
{
    static const char *const settings[] = {"train.steps=2"};
    nnc_program_options options = {
        .size = sizeof options, .interpret = true, .settings = settings, .setting_count = 1};
    ApiRun run = api_train(block, &options, 1, 1);
    cr_expect(run.status == NNC_OK && run.steps == 2 && isfinite(run.losses[1]), "%s", block);
    api_free(&run);
}

Test(docs, programs_are_right_and_run, .timeout = 300)
{
    char *text = language();
    int ran = 0;
    for (char *p = strstr(text, "\n```\n"); p != NULL;) {
        char *begin = p + 5, *end = strstr(begin, "\n```\n");
        cr_assert_not_null(end);
        end[1] = '\0';
        bool trains = strncmp(begin, "train ", 6) == 0, fetches = strstr(begin, "load(") != NULL,
             written = strncmp(begin, "from ", 5) == 0 || strncmp(begin, "fn ", 3) == 0 ||
                       strncmp(begin, "module ", 7) == 0;
        bool shown = strncmp(begin, "from image import grid", 22) == 0;
        if ((trains || written) && !fetches)
            check_block(begin, written && !shown);
        if (strstr(begin, "arrays(") && strstr(begin, "\ntrain ")) {
            run_block(begin);
            ran++;
        }
        p = strstr(end + 5, "\n```\n");
    }
    cr_expect_geq(ran, 2);
    free(text);
}
