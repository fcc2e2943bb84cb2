/* Tuples, records, functions and modules as values; asserts on sizes and on values. */
#include "tests/support/values.h"

#include <nnc/nnc.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* x: f32[2] is (-1.25, 0.51) by the rule of tests/support/values.h. */

Test(language, tuples_and_records_are_values)
{
    expect_values("fn pair(x) { (x, x + 1.0) }", "x: f32[2]",
                  "let a, (b, c) = (x * 2.0, pair(x))\n a + b - c", "f64[2] -3.5 0.02");
    expect_values("fn both(x) { return (low=min(x), high=max(x)) }", "x: f32[2]",
                  "let r = both(x)\n let l, h = r\n x - r.low + r.high * (l - h)",
                  "f64[2] -0.8976 0.8624");
    expect_values("fn both(x) -> (low: f32[], high: f32[]) { (min(x), max(x)) }", "x: f32[2]",
                  "both(x).high - both(x)[0]", "f64 1.76");
    expect_values("fn scaled(x, options = (by=2.0, shift=(left=0.5, right=1.0))) "
                  "{ x * options.by + options.shift.right }",
                  "x: f32[2]", "scaled(x) + scaled(x, (by=1.0, shift=(left=0.0, right=0.0),))",
                  "f64[2] -2.75 2.53");
    expect_values("", "x: f32[2]", "(first=x, second=x + 1.0)",
                  "f64[2] -1.25 0.51; f64[2] -0.25 1.51");
}

Test(language, functions_are_values)
{
    expect_values("fn twice(f: fn, x) { f(f(x)) }", "x: f32[2]", "twice(fn (v) -> v * x, x)",
                  "f64[2] -1.953125 0.132651");
    expect_values("fn apply(x, act: fn = tanh) { act(x) }", "x: f32[2]",
                  "apply(x) + apply(x, act=abs)", "f64[2] 0.401716360042488 0.979945198933038");
    expect_values("fn chosen(deep: bool) { if deep { fn (x) -> x * 3.0 } else { abs } }",
                  "x: f32[2]", "chosen(true)(x) + (x |> (chosen(false)))", "f64[2] -2.5 2.04");
}

Test(language, modules_are_arguments)
{
    expect_values(
        "from nn import relu, Sequential\n"
        "module Scale(by: float, act: fn = relu) { param w: f32[] = 0.0\n fn (x) { act(x * by) + w "
        "} }\n"
        "module Both(make: module, act: fn) { let a = make(2.0, act=act)\n let b = make(-1.0)\n"
        " fn (x) { a(x) + b(x) } }\n"
        "module F { let net = Sequential([Both(Scale, abs), tanh, fn (y) -> y * 10.0, "
        "Sequential([])])\n"
        " fn (x: f32[2]) { net(x) } }\n",
        NULL, NULL, "f64[2] 9.98177897611199 6.46929450441767");
}

Test(language, asserts_hold_or_name_their_line)
{
    expect_values(
        "", "x: f32[B, 2]",
        "assert(B > 0 and B <= 4, \"few rows\")\n assert(sum(x) < 100.0, \"too much\")\n x",
        "f64[2, 2] -1.25 0.51 -0.48 1.28");
    char *text =
        messages_about("fn f(x: f32[3]) { assert(size(x) == 4, \"four are needed\")\n x }\n"
                       "fn g(x: f32[B]) { if B > 3 { x } else { x + 1.0 } }\n"
                       "module M { fn (x: f32[B]) { g(x) } }\n"
                       "dataset d { source = csv(\"a.csv\")\n fields = [x: f32[1]] }\n"
                       "train t on d { model = M(); loss = model(x[:, 0]); optimizer = sgd() }\n");
    cr_expect_not_null(strstr(text, "four are needed"), "%s", text);
    free(text);
}

/* ---- debug(x) ---- */

typedef struct {
    int steps, reports;
    char name[80];
    nnc_debug last;
} Seen;

static void on_event(void *user, const nnc_event *event)
{
    Seen *seen = user;
    if (event->kind != NNC_EVENT_STEP)
        return;
    seen->steps++;
    for (size_t i = 0; i < event->debug_count; i++) {
        seen->reports++;
        seen->last = event->debug[i];
        snprintf(seen->name, sizeof seen->name, "%s", event->debug[i].name);
    }
}

static Seen train_with_debug(const char *body, bool interpret)
{
    char text[700];
    snprintf(text, sizeof text,
             "from optim import sgd\n"
             "module M { param w: f32[2] = 1.0\n"
             "    fn (x: f32[B, 2]) { %s } }\n"
             "dataset d { source = arrays(x=f32([[1, 2], [3, -4], [5, 6], [7, 8]])) }\n"
             "train t on d { model = M(); loss = model(x); optimizer = sgd(lr=0.0); batch = 2; "
             "epochs = 2; shuffle = false }\n",
             body);
    nnc_context *context;
    nnc_program *program;
    nnc_trainer *trainer;
    Seen seen = {0};
    nnc_program_options options = {.size = sizeof options, .f64 = true, .interpret = interpret};
    nnc_trainer_options training = {.size = sizeof training, .on_event = on_event, .user = &seen};
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    cr_assert_eq(nnc_program_parse(context, "debug.nn", text, &options, &program), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    cr_assert_eq(nnc_trainer_new(program, NULL, &training, &trainer), NNC_OK);
    cr_assert_eq(nnc_trainer_run(trainer), NNC_OK);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    return seen;
}

Test(language, debug_reports_with_the_event_of_the_step)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        Seen seen =
            train_with_debug("sum(debug(x * w, name=\"rows\", every=2), axis=1)", interpret);
        cr_expect_eq(seen.steps, 4);
        cr_expect_eq(seen.reports, 2, "every second step");
        cr_expect_str_eq(seen.name, "rows: f64[B, 2] at debug.nn:3");
        cr_expect_eq(seen.last.min, 5);
        cr_expect_eq(seen.last.mean, 6.5);
        cr_expect_eq(seen.last.max, 8);
        cr_assert_eq(seen.last.first_count, 4);
        for (int i = 0; i < 4; i++)
            cr_expect_eq(seen.last.first[i], 5 + i);
    }
}

/* Of all turns together: v and the running sums of the rows (5, 6), (7, 8) in steps 2 and 4. */
Test(language, debug_in_scans_sees_all_turns)
{
    static const char *const bodies[] = {
        "scan v in x over axis=1 with s = zeros(B) { s = debug(s + v * w[0], name=\"sums\", "
        "every=2) }",
        "scan v in x over axis=1 checkpoint with s = zeros(B) { s = debug(s + v * w[0], "
        "name=\"sums\", every=2) }",
        "scan v in x over axis=1 with s = zeros(B) { s = s + (scan k in 0..1 with q = v * w[1] { "
        "q = debug(q + s, name=\"sums\", every=2) - s }) }"};
    for (int i = 0; i < 6; i++) {
        Seen seen = train_with_debug(bodies[i / 2], i % 2 == 0);
        cr_expect_eq(seen.reports, 2, "%d reports of %s", seen.reports, bodies[i / 2]);
        cr_expect_str_eq(seen.name, "sums: f64[B] at debug.nn:3");
        cr_expect_eq(seen.last.min, 5);
        cr_expect_eq(seen.last.max, 15);
        cr_expect_eq(seen.last.mean, (5 + 7 + 11 + 15) / 4.0);
        cr_assert_eq(seen.last.first_count, 4);
        cr_expect(seen.last.first[1] == 7 && seen.last.first[2] == 11);
    }
}

/* Rows (5, 6), (7, 8) in step 4; (1, 2), (3, -4) in step 3 of 4. A while reports what its turns
 * saw, with a bound or without; a side of a decision when it is taken. */
Test(language, debug_in_whiles_and_decisions_reports_what_happened)
{
    static const struct {
        const char *body;
        int reports;
        double min, mean, max, first[3];
        int first_count;
    } rows[] = {
        {"let y, n = while n < 3 bound 9 with y = sum(x, axis=1), n = 0 { y = debug(y * w[0] + 1.0); "
         "n = n + 1 }\n y",
         4, 12, 15, 18, {12, 16, 13}, 6},
        {"let n = while sum(x) * f64(n) < 100.0 with n = 0 { n = debug(n + 1) }\n sum(x * w, axis=1) "
         "* f64(n)",
         4, 1, 2.5, 4, {1, 2, 3}, 4},
        {"if sum(x) > 10.0 { debug(sum(x * w, axis=1)) } else { sum(x * w, axis=1) }",
         2, 11, 13, 15, {11, 15}, 2},
        {"if sum(x) > 10.0 { debug(x[0, 0]) }\n sum(x * w, axis=1)", 2, 5, 5, 5, {5}, 1},
        {"let y = scan v in x over axis=1 with y = zeros(B) { y = if sum(v) > 12.5 { debug(v * w[0]) "
         "} else { y + v * w[1] } }\n y",
         2, 6, 7, 8, {6, 8}, 2},
        {"let y, n = while n < 4 bound 9 with y = zeros(B), n = 0 { if sum(x) > 10.0 { if n % 2 == 1 "
         "{ debug(f64(n)) } }\n y = y + w[0] * x[:, 0]; n = n + 1 }\n y",
         2, 1, 2, 3, {1, 3}, 2},
        {"let n = while sum(x) < 0.0 bound 4 with n = 0 { n = debug(n + 1) }\n sum(x * w, axis=1) + "
         "f64(n)",
         0, 0, 0, 0, {0}, 0}};
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        const char *body = rows[i / 2].body;
        Seen seen = train_with_debug(body, i % 2 == 0);
        cr_expect_eq(seen.reports, rows[i / 2].reports, "%d reports of %s", seen.reports, body);
        cr_expect(seen.last.min == rows[i / 2].min && seen.last.mean == rows[i / 2].mean &&
                      seen.last.max == rows[i / 2].max,
                  "%g %g %g of %s", seen.last.min, seen.last.mean, seen.last.max, body);
        cr_expect_eq(seen.last.first_count, rows[i / 2].first_count, "%d first of %s",
                     seen.last.first_count, body);
        for (int k = 0; k < 3 && k < seen.last.first_count; k++)
            cr_expect_eq(seen.last.first[k], rows[i / 2].first[k], "%g of %s", seen.last.first[k],
                         body);
    }
}

Test(language, an_assert_that_fails_names_its_own_line)
{
    static const char text[] =
        "from optim import sgd\n"
        "module M { param w: f32[2] = 1.0\n"
        "    fn (x: f32[B, 2]) {\n"
        "        assert(sum(x) < 10.0, \"the rows are too large\")\n"
        "        sum(x * w, axis=1)\n"
        "    } }\n"
        "dataset d { source = arrays(x=f32([[1, 2], [3, 9]])) }\n"
        "train t on d { model = M(); loss = model(x); optimizer = sgd(); batch = 2 }\n";
    nnc_context *context;
    nnc_program *program;
    nnc_trainer *trainer;
    nnc_program_options options = {.size = sizeof options, .interpret = true};
    nnc_trainer_options training = {.size = sizeof training};
    cr_assert_eq(nnc_context_new(NULL, &context), NNC_OK);
    cr_assert_eq(nnc_program_parse(context, "line.nn", text, &options, &program), NNC_OK);
    cr_assert_eq(nnc_trainer_new(program, NULL, &training, &trainer), NNC_OK);
    cr_expect_neq(nnc_trainer_run(trainer), NNC_OK);
    const char *said = nnc_diagnostics(context, NNC_TEXT);
    cr_expect_not_null(strstr(said, "line.nn:4:9: error[E0205]: the rows are too large"), "%s",
                       said);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
}
