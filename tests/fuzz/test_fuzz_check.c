/* Damaged programs through the whole check: every example and every file of the library, cut off
 * and edited byte by byte, ends in a valid program or in errors that name a place, soon and without
 * a crash (run under ASan and UBSan). A seeded sample here; all of them with NNC_FUZZ_ALL=1 (make
 * fuzz). */
#include "tests/support/fuzz_text.h"
#include "tests/support/golden.h"

#include <nnc/nnc.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOWEST 20.0 /* seconds, for one program on a busy machine under sanitizers */

typedef struct {
    nnc_context *context;
    const char *name;
} Check;

/* A program that is refused says why. */
static bool check_text(void *user, const char *text, size_t length)
{
    Check *check = user;
    nnc_program *program = NULL;
    char *whole = malloc(length + 1);
    memcpy(whole, text, length);
    whole[length] = '\0';
    nnc_status status = nnc_program_parse(check->context, check->name, whole, NULL, &program);
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

static void check_file(nnc_context *context, const char *path, uint64_t sample)
{
    size_t length;
    char *text = test_read_file(path, &length);
    Check check = {context, path};
    cr_assert_not_null(text, "%s", path);
    FuzzReport report = fuzz_text(text, length, 3, fuzz_text_sample(sample), check_text, &check);
    cr_expect(!report.failed, "%s: mutant %llu", path, (unsigned long long)report.failed_mutant);
    cr_expect_lt(report.slowest_seconds, SLOWEST, "%s: mutant %llu took %.1f s", path,
                 (unsigned long long)report.slowest_mutant, report.slowest_seconds);
    free(text);
}

static void check_folder(const char *folder, uint64_t sample)
{
    nnc_context *context = NULL;
    size_t count;
    char **paths = test_list_files(folder, ".nn", &count);
    cr_assert_gt(count, 0, "%s", folder);
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    for (size_t i = 0; i < count; i++) {
        check_file(context, paths[i], sample);
    }
    nnc_context_release(context);
    test_free_list(paths, count);
}

Test(fuzz_check, examples, .timeout = 40000)
{
    check_folder("examples", 60);
}

Test(fuzz_check, digits, .timeout = 40000)
{
    check_folder("examples/mnist", 60);
}

Test(fuzz_check, library, .timeout = 40000)
{
    check_folder("compiler/std", 60);
    check_folder("compiler/std/nn", 60);
    check_folder("compiler/std/models", 60);
}

Test(fuzz_check, programs_of_the_language, .timeout = 40000)
{
    check_folder("tests/golden/ast", 60);
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
