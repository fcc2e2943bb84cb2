/* Damaged programs: a seeded sample of truncations, deletions, doublings, swaps and other
 * characters of every golden program and reference program ends in errors or in plans whose graphs
 * are sound, never in a crash or a hang. `make fuzz` tries more of them (the examples and the
 * library are tests/fuzz/test_fuzz_check.c). */
#include "compiler/ast/parse.h"
#include "compiler/sema/sema.h"
#include "tests/support/fuzz_text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SLOWEST 10.0 /* seconds, for one program under sanitizers */

static bool check_text(void *user, const char *name, const char *text, size_t length)
{
    (void)user;
    Arena *arena = arena_new();
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    uint32_t file = source_add(map, name, text, length);
    SemaProgram *program = sema_check(arena, map, ast_parse(arena, map, file, diag), NULL, diag);
    StrBuf out = {0};
    bool good = program != NULL;
    for (uint32_t i = 0; diag_error_count(diag) == 0 && i < program->trains.count; i++) {
        const TrainPlan *plan = program->trains.data[i];
        good &= plan->train_step && plan->eval_step && graph_verify(plan->train_step, &out) &&
                graph_verify(plan->eval_step, &out) && graph_verify(plan->forward, &out) &&
                (!plan->apply_step || graph_verify(plan->apply_step, &out));
    }
    diag_render_text(diag, &out, false);
    strbuf_free(&out);
    diag_free(diag);
    source_map_free(map);
    arena_free(arena);
    return good;
}

Test(sema_fuzz, programs_of_the_language, .timeout = 40000)
{
    fuzz_folder(&(FuzzFolder){"tests/golden/ast", ".nn", 7, 30, 0, SLOWEST, check_text, NULL, NULL});
}

Test(sema_fuzz, golden_programs, .timeout = 40000)
{
    fuzz_folder(&(FuzzFolder){"tests/golden/errors", ".nn", 8, 30, 500, SLOWEST, check_text, NULL, NULL});
}

Test(sema_fuzz, reference_programs, .timeout = 40000)
{
    fuzz_folder(&(FuzzFolder){"tests/reference", ".nn", 9, 30, 500, SLOWEST, check_text, NULL, NULL});
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
        cr_expect(check_text(NULL, "large.nn", text.text, text.length), "row %zu", i);
        strbuf_free(&text);
    }
}
