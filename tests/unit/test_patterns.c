/* einops patterns and einsum against numpy: tests/support/values.h says what the parameters hold.
 * */
#include "tests/support/values.h"

#include <criterion/criterion.h>

Test(patterns, rearrange_splits_moves_and_merges)
{
    expect_values_and_gradient(
        "", "x: f32[B, 3, 6]",
        "let q, k = rearrange(x, \"b t (s d) -> s b t d\", s=2) |> unstack(0)\n q - k * 2.0",
        "f64[2, 3, 3] -3.81 -0.07 0.92 -0.62 0.37 1.36 -0.18 0.81 -0.95 0.26 1.25 -0.51 0.7 -1.06 "
        "-0.07 1.14 -0.62 0.37 ");
    expect_values_and_gradient(
        "", "x: f32[B, 3, 6]", "rearrange(x, \"b t (h d) -> b h (t d)\", d=2)",
        "f64[2, 3, 6] -1.25 0.51 1.06 0.07 0.62 -0.37 -0.48 1.28 -0.92 0.84 1.39 0.4 0.29 -0.7 "
        "-0.15 -1.14 -0.59 1.17 0.18 -0.81 -0.26 1.5 -0.7 1.06 0.95 -0.04 0.51 -0.48 0.07 -0.92 "
        "-1.03 0.73 1.28 0.29 0.84 -0.15 ");
    expect_values_and_gradient(
        "", "x: f32[B, 3, 6]", "rearrange(x, \"b ... -> (...) b\")",
        "f64[18, 2] -1.25 0.18 0.51 -0.81 -0.48 0.95 1.28 -0.04 0.29 -1.03 -0.7 0.73 1.06 -0.26 "
        "0.07 1.5 -0.92 0.51 0.84 -0.48 -0.15 1.28 -1.14 0.29 0.62 -0.7 -0.37 1.06 1.39 0.07 0.4 "
        "-0.92 -0.59 0.84 1.17 -0.15 ");
    expect_values_and_gradient(
        "", "x: f32[B, 3, 6]", "rearrange(x, \"... c -> c ... 1\")",
        "f64[6, 2, 3, 1] -1.25 1.06 0.62 0.18 -0.26 -0.7 0.51 0.07 -0.37 -0.81 1.5 1.06 -0.48 "
        "-0.92 1.39 0.95 0.51 0.07 1.28 0.84 0.4 -0.04 -0.48 -0.92 0.29 -0.15 -0.59 -1.03 1.28 "
        "0.84 -0.7 -1.14 1.17 0.73 0.29 -0.15 ");
    expect_values_and_gradient("", "x: f32[B, 1, 3]", "rearrange(x, \"b 1 c -> c b\")",
                               "f64[3, 2] -1.25 1.28 0.51 0.29 -0.48 -0.7 ");
    expect_values_and_gradient(
        "", "x: f32[B, 3], y: f32[B, 3]", "rearrange([x, y], \"k b c -> b (c k)\")",
        "f64[2, 6] -1.25 -0.5 0.51 1.26 -0.48 0.27 1.28 -0.72 0.29 1.04 -0.7 0.05 ");
    expect_values_and_gradient("", "x: f32[B, 3]", "rearrange(x, \"b c -> b () c ()\")",
                               "f64[2, 1, 3, 1] -1.25 0.51 -0.48 1.28 0.29 -0.7 ");
}

Test(patterns, reduce_takes_axes_away)
{
    expect_values_and_gradient("", "x: f32[B, 1, 4, 4]",
                               "reduce(x, \"b c (h 2) (w 2) -> b c h w\", \"max\")",
                               "f64[2, 1, 2, 2] 0.51 1.28 0.84 1.39 1.17 0.73 1.5 1.06 ");
    expect_values_and_gradient(
        "", "x: f32[B, 3, 6]",
        "reduce(x, \"b t c -> b c\", \"mean\") + reduce(x, \"b t c -> c\", \"sum\")",
        "f64[2, 6] -0.206666666667 2.03 1.51666666667 1.92 0.49 -0.0233333333333 -0.61 "
        "2.54333333333 2.03 0.6 1.00333333333 0.49 ");
    expect_values_and_gradient(
        "", "x: f32[B, 3, 6]", "reduce(x, \"... (c k) -> k ...\", min, k=3)",
        "f64[3, 2, 3] -1.25 0.84 0.4 -0.04 -0.48 -0.92 0.29 -0.15 -0.59 -1.03 1.28 0.84 -0.7 "
        "-1.14 1.17 0.73 0.29 -0.15 ");
    expect_values_and_gradient(
        "", "x: f32[B, 3, 6]", "reduce(x, \"b t c -> b 1 c\", \"prod\")",
        "f64[2, 1, 6] -0.8215 -0.013209 0.613824 0.43008 0.025665 0.93366 0.03276 -1.2879 "
        "0.033915 -0.017664 -1.107456 -0.031755 ");
}

/* A size that is open is compared before a batch is computed. */
Test(patterns, parts_of_open_sizes)
{
    expect_values_and_gradient("", "x: f32[B, 3]", "reduce(x, \"(b 2) c -> b c\", \"sum\")",
                               "f64[1, 3] 0.03 0.8 -1.18 ");
    expect_values_and_gradient("", "x: f32[B, 2]", "rearrange(x, \"(b k) c -> b (k c)\", k=2)",
                               "f64[1, 4] -1.25 0.51 -0.48 1.28 ");
}

Test(patterns, repeat_makes_new_axes)
{
    expect_values_and_gradient(
        "", "x: f32[B, 3]", "repeat(x, \"b c -> b c k\", k=2)",
        "f64[2, 3, 2] -1.25 -1.25 0.51 0.51 -0.48 -0.48 1.28 1.28 0.29 0.29 -0.7 -0.7 ");
    expect_values_and_gradient(
        "", "x: f32[B, 3]", "repeat(x, \"b c -> (b 2) (k c)\", k=2)",
        "f64[4, 6] -1.25 0.51 -0.48 -1.25 0.51 -0.48 -1.25 0.51 -0.48 -1.25 0.51 -0.48 1.28 0.29 "
        "-0.7 1.28 0.29 -0.7 1.28 0.29 -0.7 1.28 0.29 -0.7 ");
}

Test(patterns, einsum_sums_products)
{
    expect_values_and_gradient(
        "", "a: f32[B, 2, 3], b: f32[B, 3, 4]", "einsum(\"bij,bjk->bik\", a, b)",
        "f64[2, 2, 4] 1.237 -0.9927 -1.1049 1.5054 -0.2194 2.4393 -0.347 -0.4108 2.4294 -0.3085 "
        "-0.3239 -0.1468 2.3238 -0.3657 -0.3327 -0.7122 ");
    expect_values_and_gradient(
        "", "a: f32[B, 2, 3], b: f32[B, 3, 4]", "einsum(\"bij, bjk\", a, b)",
        "f64[2, 4] 3.6664 -1.3012 -1.4288 1.3586 2.1044 2.0736 -0.6797 -1.123 ");
    expect_values_and_gradient(
        "", "a: f32[2, 3], b: f32[3, 4], c: f32[4]",
        "einsum(\"ij,jk,k->i\", a, b, c) + einsum(\"ij->i\", a) * einsum(\"k->\", c)",
        "f64[2] -0.721188 -1.738996 ");
    expect_values_and_gradient(
        "", "a: f32[2, 3], b: f32[3]", "einsum(\"ij,k->kji\", a, b)",
        "f64[3, 3, 2] 0.625 -0.64 -0.255 -0.145 0.24 0.35 -1.575 1.6128 0.6426 0.3654 -0.6048 "
        "-0.882 -0.3375 0.3456 0.1377 0.0783 -0.1296 -0.189 ");
}
