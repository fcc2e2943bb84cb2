/* scan, while and decisions at run time as the language has them: values made with numpy by the
 * rule of tests/support/values.h. */
#include "tests/support/values.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(loops, running_sums)
{
    expect_values_and_gradient("", "x: f32[3, 2]", "let sums, total = scan row in x with s = zeros(2) { s = s + row\n yield s }\n (sums, total)",
                  "f64[3, 2] -1.25 0.51 -1.73 1.79 -1.44 1.09; f64[2] -1.44 1.09");
}

Test(loops, the_axis_of_time_stays_where_it_is)
{
    expect_values_and_gradient("", "x: f32[A, T, 2]",
                  "let sums, s = scan xt in x over T with s = zeros(A, 2) { s = s + xt\n yield s }\n sums",
                  "f64[2, 2, 2] -1.25 0.51 -1.73 1.79 0.29 -0.7 1.35 -0.63");
    expect_values_and_gradient("", "x: f32[2, 3, 2], w: f32[2, 2]",
                  "let hs, h = scan xt in x over 3 with h = zeros(2, 2) { h = tanh(xt @ w + 0.5 * h)\n yield h }\n (hs, h)",
                  "f64[2, 3, 2] 0.642664564223559 -0.959708085930561 0.719656586936036 -0.964466779678742 0.0258225516422385 "
                  "0.368915020025331 -0.470801822425825 0.85786421469152 0.423048378757553 -0.870482511446318 -0.0212726009653962 "
                  "0.194065890796064; f64[2, 2] 0.0258225516422385 0.368915020025331 -0.0212726009653962 0.194065890796064");
}

Test(loops, backwards)
{
    expect_values_and_gradient("", "x: f32[2, 3, 2], w: f32[2, 2]",
                  "let hs, h = scan xt in x over 3 reverse with h = zeros(2, 2) { h = tanh(xt @ w + 0.5 * h)\n yield h }\n (hs, h)",
                  "f64[2, 3, 2] 0.745645846250882 -0.982160779719638 0.400752276651208 -0.826143411600164 -0.322110362386832 "
                  "0.701069158037777 -0.247284954856265 0.682649831331556 0.517162298185088 -0.902280686891354 -0.228683616192893 "
                  "0.55929041036761; f64[2, 2] 0.745645846250882 -0.982160779719638 -0.247284954856265 0.682649831331556");
}

Test(loops, rows_of_different_lengths)
{
    const char *forward = "f64[2, 3, 2] 0.642664564223559 -0.959708085930561 0.719656586936036 -0.964466779678742 0 0 "
                          "-0.470801822425825 0.85786421469152 0 0 0 0; f64[2, 2] 0.719656586936036 -0.964466779678742 "
                          "-0.470801822425825 0.85786421469152";
    const char *backward = "f64[2, 3, 2] 0.772324063092774 -0.983580782412027 0.526723705740273 -0.909806513382238 0 0 "
                           "-0.470801822425825 0.85786421469152 0 0 0 0; f64[2, 2] 0.772324063092774 -0.983580782412027 "
                           "-0.470801822425825 0.85786421469152";
    expect_values_and_gradient("", "x: f32[2, 3, 2], w: f32[2, 2], n: i32[2]",
                  "let hs, h = scan xt in x over 3 lengths n with h = zeros(2, 2) { h = tanh(xt @ w + 0.5 * h)\n yield h }\n (hs, h)",
                  forward);
    expect_values_and_gradient("", "x: f32[2, 3, 2], w: f32[2, 2], n: i32[2]",
                  "let hs, h = scan xt in x over 3 reverse lengths n with h = zeros(2, 2) "
                  "{ h = tanh(xt @ w + 0.5 * h)\n yield h }\n (hs, h)",
                  backward);
}

Test(loops, several_of_everything)
{
    const char *expected = "f64[3] 0.625 1.2676 1.138; f64[3] 0.125 -0.47565 -0.053001; f64 1.138; f64 -0.1963";
    expect_values_and_gradient("", "u: f32[3], v: f32[3]",
                  "let (ys, zs), (s, p) = scan a, b in (u, v) with s = 0.0, p = 1.0 {\n"
                  " s = s + a * b\n p *= 1.0 + a\n yield (s, p * b) }\n (ys, zs, s, p)",
                  expected);
    expect_values_and_gradient("", "u: f32[3], v: f32[3]",
                  "let (ys, zs), state = scan a, b in (u, v) with state = (s=0.0, rest=[1.0]) {\n"
                  " let p = state.rest[0] * (1.0 + a)\n state = (s=state.s + a * b, rest=[p])\n yield state.s\n yield p * b }\n"
                  " (ys, zs, state.s, state.rest[0])",
                  expected);
}

Test(loops, a_range_counts)
{
    expect_values("", "x: f32[3]", "let y = scan t in 1..5 { yield t * t }\n y", "i32[4] 1 4 9 16");
    expect_values_and_gradient("", "x: f32[3]", "scan t in 0..3 reverse with s = 0.0 { s = 0.5 * s + x[t] }",
                  "f64 -1.115");
    expect_values_and_gradient("", "x: f32[3]", "scan v, t in (x, 0..3) { yield v * f32(t) }", "f64[3] 0 0.51 -0.96");
}

Test(loops, one_inside_of_the_other)
{
    expect_values_and_gradient("", "m: f32[2, 3]",
                  "let ys, c = scan row in m with c = 0.0 {\n"
                  " let r = scan v in row with r = c { r = tanh(r + v) }\n c = c + r\n yield r }\n (ys, c)",
                  "f64[2] -0.667346823650192 -0.0163182081687324; f64 -0.683665031818924");
}

Test(loops, while_has_a_bound_or_not)
{
    const char *body = "let y, k = while sum(abs(y)) < 10.0 with y = x, k = 0 { y = y * 2.0\n k = k + 1 }\n (y, k)";
    expect_values("", "x: f32[2]", body, "f64[2] -10 4.08; i32 3");
    expect_values_and_gradient("", "x: f32[2]",
                  "let ys, (y, k) = while sum(abs(y)) < 10.0 bound 6 with y = x, k = 0 {\n"
                  " y = y * 2.0\n k = k + 1\n yield y[0] }\n (ys, y, k)",
                  "f64[6] -2.5 -5 -10 0 0 0; f64[2] -10 4.08; i32 3");
}

Test(loops, decisions)
{
    const char *body = "let z = x * 2.0\n let r = cond sum(z) * %s > 0.0 { z = z + 1.0\n tanh(z) } else { z * z }\n (r, z)";
    char text[256];
    snprintf(text, sizeof text, body, "1.0");
    expect_values_and_gradient("", "x: f32[2]", text, "f64[2] 6.25 1.0404; f64[2] -2.5 1.02");
    snprintf(text, sizeof text, body, "(-1.0)");
    expect_values_and_gradient("", "x: f32[2]", text, "f64[2] -0.905148253644867 0.965413686860189; f64[2] -1.5 2.02");
    expect_values_and_gradient("", "x: f32[2]", "let y = x\n if sum(x) < 0.0 { y = -y }\n y", "f64[2] 1.25 -0.51");
    expect_values_and_gradient("", "x: f32[2]", "let y = x\n if sum(x) > 0.0 { y = -y } else { if x[1] > 0.0 { y = y + 1.0 } else { y = 0.0 * y } }\n y",
                  "f64[2] -0.25 1.51");
}

Test(loops, decisions_in_loops_and_loops_in_decisions)
{
    expect_values_and_gradient("", "x: f32[4]",
                  "scan v in x with s = 0.0 { if v > 0.0 { s = s + v } else { s = s * 0.5 } }",
                  "f64 1.535");
    expect_values_and_gradient("", "x: f32[4]",
                  "cond x[0] < 0.0 { scan v in x with s = x[1] { s = s + v * v } } else { 0.0 }", "f64 4.2014");
    expect_values_and_gradient("", "x: f32[4]",
                  "scan v in x with s = 0.0 { s = s + (cond v > 0.0 { scan u in x with p = v { p = p + 0.1 * u } } else { -v }) }",
                  "f64 3.532");
}

/* Only what these loops stack depends on the decision, not their carries. */
Test(loops, that_stack_on_one_side)
{
    expect_values_and_gradient("", "x: f32[4]", "if x[1] > 0.0 { scan v in x { yield v * v } } else { x }",
                               "f64[4] 1.5625 0.2601 0.2304 1.6384");
    expect_values_and_gradient("", "x: f32[4]",
                               "cond x[1] > 0.0 { let ys, k = scan v in x with k = 0 { k = k + 1\n yield v * f32(k) }\n ys } else { x }",
                               "f64[4] -1.25 1.02 -1.44 5.12");
    expect_values_and_gradient("", "x: f32[2]", "if x[1] > 0.0 { scan t in 0..2 { yield x } } else { zeros(2, 2) }",
                               "f64[2, 2] -1.25 0.51 -1.25 0.51");
}

Test(loops, of_higher_order)
{
    /* A penalty on the gradient of a recurrence, itself differentiated by the test. */
    expect_values_and_gradient(
        "fn f(x, w) { scan v in x with h = 0.1 { if v > 0.0 { h = tanh(h * w[0] + v) } else { h = h * w[1] } } }", "x: f32[3], w: f32[2]",
        "let s = grad(f)(x, w)\n sum(s * s)", "f64 1.078147881901");
    expect_values_and_gradient(
        "fn f(x, w) { let y, n = while sum(y * y) < 4.0 bound 5 with y = x, n = 0 { y = y * w\n n = n + 1 }\n sum(y) }",
        "x: f32[2], w: f32[2]", "let y, t = jvp(fn (v) -> f(v, w))(x, x)\n (y, t)", "f64 1.658718938176; f64 1.658718938176");
    expect_values_and_gradient(
        "fn f(x) { scan row in x checkpoint with s = zeros(2) { s = s + (scan v in row with p = s { p = p * 0.9 + v }) } }", "x: f32[2, 3]",
        "sum(value_and_grad(fn (z) -> sum(f(z) ** 2.0))(x)[1])", "f64 -35.17702029674");
}
