/* scatter_add and scatter: values of PyTorch (of equal indices scatter keeps the last), gradients,
 * compiled code, an index that is out of range. */
#include "tests/support/api.h"
#include "tests/support/values.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(scatter, entries_are_added)
{
    expect_values_and_gradient(
        "", "x: f32[2, 3, 2], i: i32[2, 4, 2], u: f32[2, 4, 2]", "scatter_add(x, i, u, axis=1)",
        "f64[2, 3, 2] -2.21 -1.41 -0.42 1.31 1.31 0.1 2.41 1.2 -1.55 -0.42 0.57 -0.78");
    expect_values_and_gradient("", "x: f32[B, 4], i: i32[B, 3], u: f32[B, 3]",
                               "(scatter_add(x, i, u, axis=-1), scatter_add(x, i, 0.5, axis=1))",
                               "f64[2, 4] -1.99 0.76 0.54 1.28 -0.67 -0.67 1.86 0.07; f64[2, 4] "
                               "-0.75 1.01 0.02 1.28 0.79 -0.2 1.56 0.07");
}

Test(scatter, entries_are_replaced_and_the_last_stays)
{
    expect_values_and_gradient(
        "", "x: f32[2, 3, 2], i: i32[2, 4, 2], u: f32[2, 4, 2]", "scatter(x, i, u, axis=1)",
        "f64[2, 3, 2] -0.96 -1.18 -0.19 0.03 1.02 0.8 1.35 1.13 -0.63 -0.85 0.14 0.36");
    expect_values_and_gradient("", "x: f32[B, 4], i: i32[B, 3], u: f32[B, 3]",
                               "(scatter(x, i, u, axis=1), scatter(x, i, 7, axis=1))",
                               "f64[2, 4] -0.74 0.25 1.02 1.28 -0.96 0.03 0.8 0.07; f64[2, 4] 7 7 "
                               "7 1.28 7 7 7 0.07");
    /* no arithmetic on the values */
    expect_values("", "x: f32[4]",
                  "let y = scatter(x, i32([3, 1, 3]), concat([log(x[1..2] * 0.0), sqrt(x[0..1]), "
                  "x[2..3]]))\n y",
                  "f64[4] -1.25 nan -0.48 -0.48");
}

Test(scatter, rows)
{
    expect_values_and_gradient("", "x: f32[4, 2], i: i32[3], u: f32[3, 2]",
                               "(scatter(x, i, u), scatter_add(x, i, u))",
                               "f64[4, 2] 1.02 0.03 0.25 -0.74 -0.96 0.8 1.06 0.07; f64[4, 2] "
                               "-0.23 0.54 -0.23 0.54 -0.67 0.1 1.06 0.07");
    expect_values_and_gradient("", "x: f32[2, 4], i: i32[2, 2], u: f32[2, 2, 2]",
                               "(scatter(x, i, u, axis=1), scatter_add(x, i, u, 1))",
                               "f64[2, 4] -0.74 0.03 1.02 1.28 0.8 -1.18 -0.19 0.07; f64[2, 4] "
                               "-1.99 0.79 0.54 1.28 1.09 -2.84 0.87 0.07");
    expect_values("", "x: f32[4, 2]", "(scatter(x, i32([2, 0]), 1.0), scatter_add(x, i32([2]), 2))",
                  "f64[4, 2] 1 1 -0.48 1.28 1 1 1.06 0.07; f64[4, 2] -1.25 0.51 -0.48 1.28 2.29 "
                  "1.3 1.06 0.07");
    expect_values("", "x: i32[4]", "(scatter(x, x, x), scatter_add(x, x, x))",
                  "i32[4] 0 1 2 0; i32[4] 0 3 3 0");
}

Test(scatter, nothing)
{
    expect_values_and_gradient("", "x: f32[2, 3]",
                               "(scatter(x, zeros(2, 0, dtype=i32), zeros(2, 0), axis=1), "
                               "scatter_add(x, zeros(2, 0, dtype=i32), zeros(2, 0), axis=1))",
                               "f64[2, 3] -1.25 0.51 -0.48 1.28 0.29 -0.7; f64[2, 3] -1.25 0.51 "
                               "-0.48 1.28 0.29 -0.7");
    expect_values("", "x: f32[3]", "scatter(x[0..0], zeros(0, dtype=i32), zeros(0))", "f64[0]");
}

/* Second order. */
Test(scatter, twice)
{
    expect_values_and_gradient(
        "fn f(x, i, u) { sum(scatter(x, i, u * u * u, axis=1) ** 2.0) + "
        "sum(scatter_add(x * x, i, u, axis=1) ** 2.0) }",
        "x: f32[2, 4], i: i32[2, 3], u: f32[2, 3]",
        "let g = grad(f, wrt=[0, 2])(x, i, u)\n (g[0], g[1])",
        "f64[2, 4] -4.1125 1.040604 -2.400768 10.948608 -1.016044 -1.456 8.156064 0.141372; f64[2, "
        "3] 1.026059375 0.3135960256 9.1252848192 1.0400001458 -6.6440361856 5.81328");
}

static void expect_stop(const char *expression)
{
    char text[700];
    nnc_context *context = api_context(1);
    nnc_trainer *trainer = NULL;
    nnc_trainer_options options = {.size = sizeof options};
    snprintf(
        text, sizeof text,
        "from optim import sgd\n"
        "module Net { param w: f32[3] = 0.5\n"
        " fn (i: i32[B, 2]) -> f32[B] {\n  sum(%s, axis=1)\n } }\n"
        "dataset d { source = arrays(i=reshape(arange(8), 4, 2)) }\n"
        "train t on d { model = Net()\n loss = model(i)\n optimizer = sgd(0.1)\n batch = 4 }\n",
        expression);
    nnc_program *program = api_parse(context, text, NULL);
    cr_assert_eq(nnc_trainer_new(program, "t", &options, &trainer), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    cr_expect_neq(nnc_trainer_run(trainer), NNC_OK);
    const char *said = nnc_diagnostics(context, NNC_TEXT);
    cr_expect(strstr(said, "an index is out of range") && strstr(said, ":4:"), "%s", said);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
}

/* Row 1 has the index 3. */
Test(scatter, an_index_out_of_range_names_the_line)
{
    expect_stop("scatter_add(expand(w, [B, 3]), i, 1, axis=1)");
    expect_stop("scatter(expand(w, [B, 3]), i, 1, axis=1)");
    expect_stop("expand(scatter(w, i[1], 1), [B, 3])");
    expect_stop("expand(scatter_add(w, i[1], 1), [B, 3])");
}

/* Embedding(empty=1): PyTorch's padding_idx=1 with a row of zeros, which gets no gradient. */
Test(scatter, an_embedding_with_an_empty_index)
{
    expect_values_and_gradient(
        "from nn import Embedding\n"
        "module F { let e = Embedding(5, 2, empty=1)\n fn (i: i32[2, 3]) { e(i) } }",
        NULL, "", "f64[2, 3, 2] -0.5 1.26 1.04 0.05 0 0 -0.5 1.26 1.04 0.05 0 0");
}
