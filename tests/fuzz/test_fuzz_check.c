/* Damaged programs through the whole check: every example and every file of the library, cut off
 * and edited byte by byte, ends in a valid program or in errors that name a place, soon and without
 * a crash (run under ASan and UBSan). A seeded sample here; all of them with NNC_FUZZ_ALL=1 (make
 * fuzz). */
#include "compiler/ast/parse.h"
#include "compiler/ast/print.h"
#include "tests/support/fuzz_text.h"

#include <nnc/nnc.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOWEST 10.0 /* seconds, for one program under sanitizers */

typedef struct {
    nnc_context *context;
    StrBuf bare, form; /* of the file that is being damaged */
} Check;

/* The tree of a text without its comments, in `out`: empty if it has errors. Two texts of one form
 * have one meaning. */
static void form_of(const char *text, size_t length, StrBuf *out)
{
    Arena *arena = arena_new();
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    StrBuf tree = {0};
    ast_print(ast_parse(arena, map, source_add(map, "form.nn", text, length), diag), &tree);
    const char *at = diag_error_count(diag) == 0 && tree.text ? tree.text : "";
    for (const char *doc; (doc = strstr(at, "(doc \"")) != NULL;) {
        strbuf_add_bytes(out, at, (size_t)(doc - at));
        for (at = doc + strlen("(doc \""); *at != '"'; at++) {
            at += *at == '\\';
        }
    }
    strbuf_add(out, at);
    strbuf_free(&tree);
    diag_free(diag);
    source_map_free(map);
    arena_free(arena);
}

/* The text from each # to the end of its line left out. */
static void bare_of(const char *text, size_t length, StrBuf *out)
{
    bool inside = false;
    for (size_t i = 0; i < length; i++) {
        inside = text[i] == '#' || (inside && text[i] != '\n');
        if (!inside) {
            strbuf_add_char(out, text[i]);
        }
    }
}

static void begin_file(void *user, const char *text, size_t length)
{
    Check *check = user;
    strbuf_free(&check->bare);
    strbuf_free(&check->form);
    bare_of(text, length, &check->bare);
    form_of(text, length, &check->form);
    cr_assert(check->form.length > 0 && check->bare.length > 0);
}

static bool is_equal(const StrBuf *a, const StrBuf *b)
{
    return a->length == b->length && a->length > 0 && memcmp(a->text, b->text, a->length) == 0;
}

static bool is_same_program(const Check *check, const char *text, size_t length)
{
    StrBuf bare = {0}, form = {0};
    bare_of(text, length, &bare);
    bool same = is_equal(&bare, &check->bare);
    if (same) {
        form_of(text, length, &form);
        same = is_equal(&form, &check->form);
    }
    strbuf_free(&bare);
    strbuf_free(&form);
    return same;
}

/* A program that is refused says why. What differs from the file in its comments only is not
 * checked again. */
static bool check_text(void *user, const char *name, const char *text, size_t length)
{
    const Check *check = user;
    nnc_program *program = NULL;
    if (is_same_program(check, text, length)) {
        return true;
    }
    char *whole = malloc(length + 1);
    memcpy(whole, text, length);
    whole[length] = '\0';
    nnc_status status = nnc_program_parse(check->context, name, whole, NULL, &program);
    const char *words = nnc_diagnostics(check->context, NNC_TEXT);
    bool good =
        status == NNC_OK ? program != NULL : program == NULL && words && strstr(words, "error[E");
    if (!good) {
        fprintf(stderr, "status %d: %s\n%s\n", status, words ? words : "no words", whole);
    }
    nnc_program_release(program);
    free(whole);
    return good;
}

static void check_folder(const char *folder)
{
    Check check = {0};
    cr_assert_eq(nnc_context_new(NULL, &check.context), NNC_OK);
    FuzzFolder files = {folder, ".nn", 3, 60, 0, SLOWEST, check_text, &check, begin_file};
    fuzz_folder(&files);
    strbuf_free(&check.bare);
    strbuf_free(&check.form);
    nnc_context_release(check.context);
}

Test(fuzz_check, examples, .timeout = 40000)
{
    check_folder("examples");
}

Test(fuzz_check, library, .timeout = 40000)
{
    check_folder("compiler/std");
}

/* ---- programs made to hurt ---- */

static void expect_refused(const char *text)
{
    nnc_context *context = NULL;
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    nnc_program *program = NULL;
    nnc_status status = nnc_program_parse(context, "hostile.nn", text, NULL, &program);
    const char *words = nnc_diagnostics(context, NNC_TEXT);
    cr_expect_eq(status, NNC_PROGRAM, "%s", text);
    cr_expect(words && strstr(words, "error[E"), "%s", text);
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(fuzz_check, programs_without_measure_are_refused, .timeout = 300)
{
    static const char *const texts[] = {
        "const a = [for i in 0..1000000000000: i]\n",
        "const a = [for i in 0..9000: [for k in 0..9000: [for l in 0..9000: 1]]]\n",
        "fn f(x) { f(x) }\nconst a = f(1)\n",
        "fn f(x) { g(x) }\nfn g(x) { f(x) }\nconst a = f(1)\n",
        "module M { let m = M()\n fn (x) { x } }\n",
        "const a = b\nconst b = a\n",
        "const a = 9223372036854775807 * 9223372036854775807\n",
        "const a = 10 ** 400 ** 400\n",
        "const a = 1 // 0\n",
        "fn f(x: f32[9223372036854775807, 9223372036854775807]) { x }\nconst a = f(1)\nconst b = "
        "c\n",
        "module M { param w: f32[-5] = 0 }\ntrain t on d { model = M() }\n",
        "fn f(x) { let y = x\n for i in 0..1000000000 { y = y + i }\n y }\nconst a = f(1)\n",
        "import \"hostile.nn\" as h\nfrom nowhere import a\n",
        "from nn import Linear\nmodule M { let a = Linear(9000000000000000000, "
        "9000000000000000000)\n"
        " fn (x: f32[B, 1]) { x |> a } }\ndataset d { source = arrays(x=zeros(1, 1))\n fields = "
        "[x: f32[1]] }\n"
        "train t on d { model = M(); loss = sum(model(x)); batch = 1 }\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        expect_refused(texts[i]);
    }
}
