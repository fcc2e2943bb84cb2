/* Sorting, taking along an axis and running products against numpy: tests/support/values.h says
 * what the parameters hold. */
#include "tests/support/values.h"

#include <criterion/criterion.h>

Test(order, argsort_is_stable_in_both_directions)
{
    expect_values("", "x: f32[B, 6]", "argsort(x)", "i32[2, 6] 0 5 2 4 1 3 5 2 4 1 3 0 ");
    expect_values("", "x: f32[B, 6]", "argsort(x, descending=true)",
                  "i32[2, 6] 3 1 4 2 5 0 0 3 1 4 2 5 ");
    expect_values("", "x: f32[5, 3]", "argsort(x, axis=0)",
                  "i32[5, 3] 0 4 3 4 3 2 3 2 1 2 1 0 1 0 4 ");
    expect_values("", "i: i32[B, 7]", "argsort(i)", "i32[2, 7] 0 3 6 2 5 1 4 2 5 1 4 0 3 6 ");
    expect_values("", "i: i32[B, 7]", "argsort(i, -1, true)",
                  "i32[2, 7] 1 4 2 5 0 3 6 0 3 6 1 4 2 5 ");
}

Test(order, sort_and_topk)
{
    expect_values_and_gradient(
        "from nn import sort", "x: f32[B, 6]", "sort(x).values * f32(arange(6))",
        "f64[2, 6] -0 -0.7 -0.96 0.87 2.04 6.4 -0 -0.92 -0.3 0.21 3.36 5.3 ");
    expect_values_and_gradient(
        "from nn import sort", "x: f32[5, 3]", "sort(x, axis=0, descending=true).values",
        "f64[5, 3] 1.28 0.51 1.39 1.06 0.29 -0.48 0.84 0.07 -0.7 0.62 -0.15 -0.92 -1.25 -0.37 "
        "-1.14 ");
    expect_values_and_gradient("from nn import topk", "x: f32[B, 6]",
                               "let v, i = topk(x, 2)\n v * f32(i)", "f64[2, 2] 3.84 0.51 0 2.52 ");
    expect_values("from nn import topk", "x: f32[B, 6]", "topk(x, 3, largest=false).indices",
                  "i32[2, 3] 0 5 2 5 2 4 ");
    expect_values_and_gradient("from nn import median", "x: f32[B, 6]", "median(x)",
                               "f64[2] -0.48 -0.15 ");
}

Test(order, take_along_axis_takes_an_entry_per_place)
{
    expect_values_and_gradient(
        "", "x: f32[B, 3, 2], i: i32[B, 4, 2]", "take_along_axis(x, i, axis=1)",
        "f64[2, 4, 2] -0.48 0.51 0.29 1.28 -1.25 -0.7 -0.48 0.51 -0.15 0.84 1.06 -1.14 -0.92 0.07 "
        "-0.15 0.84 ");
}

Test(order, running_products)
{
    expect_values_and_gradient(
        "from nn import cumprod", "x: f32[B, 5]", "cumprod(x)",
        "f64[2, 5] -1.25 -0.6375 0.306 0.39168 0.1135872 -0.7 -0.742 -0.05194 0.0477848 "
        "0.040139232 ");
    expect_values_and_gradient(
        "from nn import cumprod", "x: f32[2, T]",
        "(cumprod(x), cumprod(x, axis=0), cumprod(where(x > 0.6, 0.0, x)))",
        "f64[2, 2] -1.25 -0.6375 -0.48 -0.6144; f64[2, 2] -1.25 0.51 0.6 0.6528; f64[2, 2] -1.25 "
        "-0.6375 -0.48 0");
    expect_values_and_gradient("from nn import cumprod", "x: f32[3, 2]",
                               "cumprod(where(x > 0.6, 0.0, x), axis=0)",
                               "f64[3, 2] -1.25 0.51 0.6 0 0.174 -0 ");
    expect_values("from nn import length_mask", "n: i32[B]", "f32(length_mask(n + 1, 3))",
                  "f64[2, 3] 1 0 0 1 1 1 ");
}

Test(order, windows_are_put_back)
{
    expect_values_and_gradient(
        "from nn import fold", "x: f32[B, 8, 9]", "fold(x, [4, 5], 2, stride=2, pad=1)",
        "f64[2, 2, 4, 5] -0.48 -0.81 1.28 0.95 0.29 0.62 0.29 -0.37 -0.7 1.39 -0.7 -1.03 1.06 "
        "0.73 0.07 0.4 0.07 -0.59 -0.92 1.17 -0.37 -0.7 1.39 1.06 0.4 0.73 0.4 -0.26 -0.59 1.5 "
        "-0.59 1.83 1.17 0.84 0.18 0.51 0.18 -0.48 -0.81 1.28 -0.26 2.16 1.5 1.17 0.51 0.84 0.51 "
        "-0.15 -0.48 1.61 2.27 1.94 1.28 0.95 0.29 0.62 0.29 -0.37 2.05 1.39 2.6 2.27 1.61 1.28 "
        "0.62 0.95 0.62 -0.04 2.38 1.72 2.38 2.05 1.39 1.06 0.4 0.73 0.4 2.49 2.16 1.5 ");
    expect_values_and_gradient(
        "from nn import fold", "x: f32[B, 9, 4]", "fold(x, [6, 6], 3, dilation=2)",
        "f64[2, 1, 6, 6] -1.25 0.51 0.29 -0.7 -0.92 0.84 -0.48 1.28 1.06 0.07 -0.15 -1.14 0.62 "
        "-0.37 -0.59 1.17 0.95 -0.04 1.39 0.4 0.18 -0.81 -1.03 0.73 -0.26 1.5 1.28 0.29 0.07 "
        "-0.92 0.51 -0.48 -0.7 1.06 0.84 -0.15 1.61 0.62 0.4 -0.59 -0.81 0.95 -0.37 1.39 1.17 "
        "0.18 -0.04 1.72 0.73 -0.26 -0.48 1.28 1.06 0.07 1.5 0.51 0.29 -0.7 1.83 0.84 -0.15 1.61 "
        "1.39 0.4 0.18 1.94 0.62 -0.37 -0.59 1.17 0.95 -0.04 ");
    expect_values_and_gradient(
        "from nn import fold, unfold", "x: f32[B, 1, 3, 3]", "fold(unfold(x, 2), [3, 3], 2)",
        "f64[2, 1, 3, 3] -1.25 1.02 -0.48 2.56 1.16 -1.4 1.06 0.14 -0.92 0.84 -0.3 -1.14 1.24 "
        "-1.48 2.78 0.4 -1.18 1.17 ");
    expect_values_and_gradient(
        "from nn import interpolate_nearest", "x: f32[B, 2, 3]", "interpolate_nearest(x, [5])",
        "f64[2, 2, 5] -1.25 -1.25 0.51 0.51 -0.48 1.28 1.28 0.29 0.29 -0.7 1.06 1.06 0.07 0.07 "
        "-0.92 0.84 0.84 -0.15 -0.15 -1.14 ");
    expect_values_and_gradient(
        "from nn import interpolate_nearest", "x: f32[B, 1, 3, 4]",
        "interpolate_nearest(x, [2, 6])",
        "f64[2, 1, 2, 6] -1.25 -1.25 0.51 -0.48 -0.48 1.28 0.29 0.29 -0.7 1.06 1.06 0.07 0.62 "
        "0.62 -0.37 1.39 1.39 0.4 -0.59 -0.59 1.17 0.18 0.18 -0.81 ");
}

Test(order, put_along_axis_replaces)
{
    expect_values_and_gradient("from nn import put_along_axis", "x: f32[2, 5], u: f32[2, 2]",
                               "put_along_axis(x, i32([[1, 0], [0, 2]]), u)",
                               "f64[2, 5] 1.26 -0.5 -0.48 1.28 0.29 0.27 1.06 -0.72 -0.92 0.84 ");
    expect_values_and_gradient("from nn import put_along_axis", "x: f32[4, 2], u: f32[2, 2]",
                               "put_along_axis(x, i32([[1, 0], [3, 2]]), u, axis=0)",
                               "f64[4, 2] -1.25 1.26 -0.5 1.28 0.29 -0.72 0.27 0.07 ");
}
