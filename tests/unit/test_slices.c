/* Slices with a step: x[1:9:3], x[::2], x[::-1]; the values and sizes of numpy, gradients, compiled
 * code. */
#include "tests/support/values.h"

#include <criterion/criterion.h>

Test(slices, with_a_step)
{
    expect_values_and_gradient("", "x: f32[10]", "(x[1:9:3], x[::2], x[..:4], x[2..9:5], x[9::3])",
                               "f64[3] 0.51 0.29 0.07; f64[5] -1.25 -0.48 0.29 1.06 -0.92; f64[3] "
                               "-1.25 0.29 -0.92; f64[2] -0.48 0.07; f64[1] 0.84");
    expect_values_and_gradient("", "x: f32[3, 4]", "x[::2, 1::2]",
                               "f64[2, 2] 0.51 1.28 0.84 -1.14");
    expect_values("", "x: f32[10]", "(x[:4], x[-3:], x[2:4], x[-4:-1:2], x[3:3:2])",
                  "f64[4] -1.25 0.51 -0.48 1.28; f64[3] 0.07 -0.92 0.84; f64[2] -0.48 1.28; f64[2] "
                  "1.06 -0.92; f64[0]");
}

Test(slices, backwards)
{
    expect_values_and_gradient(
        "", "x: f32[10]", "(x[::-1], x[8:1:-3], x[::-4], x[2::-1], x[:6:-2], x[-2:-5:-1])",
        "f64[10] 0.84 -0.92 0.07 1.06 -0.7 0.29 1.28 -0.48 0.51 -1.25; f64[3] -0.92 -0.7 -0.48; "
        "f64[3] 0.84 -0.7 0.51; f64[3] -0.48 0.51 -1.25; f64[2] 0.84 0.07; f64[3] -0.92 0.07 1.06");
    expect_values_and_gradient("", "x: f32[3, 4]", "x[1, ::-3]", "f64[2] 0.07 0.29");
}

/* (T + 1)//2 elements of T, whatever T is. */
Test(slices, of_free_sizes)
{
    expect_values_and_gradient("fn odd(x: f32[T, 4]) -> f32[(T+1)//2, 2] { x[::2, ::2] }",
                               "x: f32[T, 4]", "odd(x)", "f64[1, 2] -1.25 -0.48");
    expect_values_and_gradient("fn back(x: f32[T]) -> f32[(T+1)//2] { x[::-2] }", "x: f32[T]",
                               "back(x)", "f64[1] 0.51");
    for (int size = 1; size < 8; size++)
        expect_equal_values(
            "", "x: f32[T]", "(x[::3], x[::-3])",
            "(take(x, 3 * arange((size(x, 0) + 2) // 3)), reverse(x, axis=0)[::3])", size);
}

Test(slices, of_arrays)
{
    expect_values("", "x: f32[1]",
                  "let a = [1.0, 2.0, 3.0, 4.0, 5.0]\n stack([for v in a[::2]: v * x[0]]) + "
                  "stack([for v in a[::-2]: v * x[0]]) + stack([for v in a[4:1:-1]: v * x[0]])",
                  "f64[3] -13.75 -12.5 -11.25");
}
