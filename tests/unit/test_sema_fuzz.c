/* Damaged programs: a seeded sample of truncations, deletions, doublings, swaps and other
 * characters of every library file, golden program and reference program ends in errors or in
 * plans, never in a crash or a hang. `make fuzz` tries all of them. */
#include "compiler/ast/parse.h"
#include "compiler/sema/sema.h"
#include "tests/support/fuzz_text.h"
#include "tests/support/golden.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static bool check_text(void *user, const char *text, size_t length)
{
    (void)user;
    Arena *arena = arena_new();
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    uint32_t file = source_add(map, "mutant.nn", text, length);
    SemaProgram *program = sema_check(arena, map, ast_parse(arena, map, file, diag), NULL, diag);
    StrBuf out = {0};
    bool good = program != NULL;
    for (uint32_t i = 0; diag_error_count(diag) == 0 && i < program->trains.count; i++) {
        const TrainPlan *plan = program->trains.data[i];
        good &= plan->train_step && plan->eval_step && graph_verify(plan->train_step, &out) &&
                graph_verify(plan->eval_step, &out);
    }
    diag_render_text(diag, &out, false);
    strbuf_free(&out);
    diag_free(diag);
    source_map_free(map);
    arena_free(arena);
    return good;
}

static void fuzz_folder(const char *folder, uint64_t sample)
{
    size_t count;
    char **paths = test_list_files(folder, ".nn", &count);
    cr_assert_gt(count, 0, "%s", folder);
    for (size_t i = 0; i < count; i++) {
        size_t length;
        char *text = test_read_file(paths[i], &length);
        FuzzReport report =
            fuzz_text(text, length, 7 + i, fuzz_text_sample(sample), check_text, NULL);
        cr_expect(!report.failed, "%s: mutant %llu", paths[i],
                  (unsigned long long)report.failed_mutant);
        cr_expect_lt(report.slowest_seconds, 30.0, "%s: mutant %llu takes %g s", paths[i],
                     (unsigned long long)report.slowest_mutant, report.slowest_seconds);
        free(text);
    }
    test_free_list(paths, count);
}

Test(sema_fuzz, library)
{
    fuzz_folder("compiler/std", 60);
    fuzz_folder("compiler/std/nn", 60);
}

Test(sema_fuzz, golden_programs)
{
    fuzz_folder("tests/golden/errors", 30);
}

Test(sema_fuzz, reference_programs)
{
    fuzz_folder("tests/reference", 100);
}

/* ---- Programs that want to be large ---- */

static void repeat(StrBuf *out, const char *text, int times)
{
    for (int i = 0; i < times; i++)
        strbuf_add(out, text);
}

Test(sema_fuzz, growth_is_bounded)
{
    static const struct {
        const char *head, *body, *tail;
        int times;
    } rows[] = {
        {"const x = ", "(", "1", 100000},
        {"const x = ", "-", "1", 100000},
        {"const x = 1", " + 1", "\n", 100000},
        {"const x = 9223372036854775807", " * 9223372036854775807", "\n", 50},
        {"const x = [for i in 0..100000: [for j in 0..100000: i * j]]\n", "", "", 0},
        {"fn f(x: f32[B]) { x", " |> exp", " }\n", 5000},
        {"fn f(x: f32[B]) {\n", "let x1 = x\n", "}\n", 3000},
        {"module M { let a = [for i in 0..100000: N(i)] }\nmodule N(n: int) { param w: f32[n, n] = "
         "0 }\n",
         "", "", 0},
        {"fn f(x: f32[", "N+", "1]) { x }\n", 150},
        {"fn f(x: f32[", "N*", "N]) { reshape(x, -1) }\nfn g(x: f32[7]) { f(x) }\n", 150},
        {"const s = \"a\"", " + \"aaaaaaaaaaaaaaaa\"", "\n", 150},
        {"module M(n: int) { let m = M(n - 1) }\nmodule T { let m = M(100) }\n", "", "", 0},
        {"fn f(x: f32[B]) { let y = zeros(9223372036854775807, 9223372036854775807)\n y }\n", "",
         "", 0},
        {"fn f(x: f32[A, C, D, E, F, G, H]) { reshape(x, (A+C+D+E+F+G+H) ** 30) }\n", "", "", 0},
        {"fn f(x: f32[A, C]) {\n let n = A\n for i in 0..90000 { n = (n + i*A) // (C + 1) }\n x "
         "}\n",
         "", "", 0},
        {"fn f(x: f32[A, C]) {\n let n = A\n for i in 0..90000 { n = n + (i*A) // (C + 1) }\n x "
         "}\n",
         "", "", 0},
        {"fn f(x: f32[B]) { let y = [for i in 0..60000: [x, x]]\n concat(y[0]) }\n", "", "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        StrBuf text = {0};
        strbuf_add(&text, rows[i].head);
        repeat(&text, rows[i].body, rows[i].times);
        strbuf_add(&text, rows[i].tail);
        cr_expect(check_text(NULL, text.text, text.length), "row %zu", i);
        strbuf_free(&text);
    }
}
