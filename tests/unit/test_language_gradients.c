/* grad, value_and_grad, jvp and custom_vjp as the language has them: values made with PyTorch by
 * the rule of tests/support/values.h. */
#include "tests/support/values.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define F "fn f(x, m) { sum(tanh(m @ x) ** 2.0) }"
#define G "fn g(x, m) { grad(fn (v) -> f(v, m))(x) }"
#define HVP "f64[3] 0.157881097249264 -0.834480207244943 0.929717667411425"

Test(gradients, of_a_function)
{
    expect_values_and_gradient(F, "x: f32[3], w: f32[3], m: f32[3, 3]", "grad(f)(x, m)",
                               "f64[3] -0.0051018126078711 1.95829020422416 -1.53218449236612");
    expect_values(F, "x: f32[3], w: f32[3], m: f32[3, 3]", "value_and_grad(f)(x, m)",
                  "f64 1.52639676544648; f64[3] -0.0051018126078711 1.95829020422416 -1.53218449236612");
    expect_values("", "x: f32[3], w: f32[3]", "grad(fn (a, b) -> sum(a * sin(b)), wrt=[0, 1])(x, w)",
                  "f64[3] -0.479425538604203 0.952090341590516 0.266731436688831; "
                  "f64[3] -1.09697820236297 0.155966623272928 -0.462610030255627");
    expect_values("", "x: f32[3], w: f32[3]",
                  "let (value, rest), slope = value_and_grad(fn (p) -> (sum(p.a * sin(p.b)), p.a))((a=x, b=w))\n slope.b",
                  "f64[3] -1.09697820236297 0.155966623272928 -0.462610030255627");
}

Test(gradients, of_gradients)
{
    expect_values_and_gradient(F "\n" G, "x: f32[3], w: f32[3], m: f32[3, 3]",
                               "grad(fn (v) -> sum(g(v, m) * w))(x)", HVP);
    expect_values_and_gradient(F "\n" G, "x: f32[3], w: f32[3], m: f32[3, 3]",
                               "let y, hv = jvp(fn (v) -> g(v, m))(x, w)\n hv", HVP);
    expect_values("", "x: f32[3]", "grad(fn (v) -> sum(grad(fn (y) -> sum(y ** 3.0 * v))(v)))(x)",
                  "f64[3] 14.0625 2.3409 2.0736");
}

Test(gradients, in_a_direction)
{
    expect_values_and_gradient("", "x: f32[3], w: f32[3], m: f32[3, 3]", "jvp(fn (v) -> tanh(m @ v))(x, w)",
                               "f64[3] -0.827293883849795 -0.721659800489459 -0.566735147620754; "
                               "f64[3] -0.246787336860373 -0.483328313695789 -0.838467683731823");
    expect_values("", "x: f32[3], w: f32[3]", "let y, t = jvp(fn (a, b) -> a * b)(x, w, 1.0, 0.0)\n t - w", "f64[3] 0 0 0");
    expect_values("", "x: f32[3]", "let y, t = jvp(fn (v) -> f32([1, 2, 3]))(x, x)\n t", "f64[3] 0 0 0");
}

Test(gradients, through_loops_and_in_them)
{
    const char *scanned = "fn f(x, w) { let h = scan v in x with h = 0.0 { h = tanh(h + v * w[0] + w[1]) }\n h }";
    expect_values_and_gradient(scanned, "x: f32[3], w: f32[2]", "grad(f)(x, w) * 1.0",
                               "f64[3] -9.65261541929834e-05 -0.00109564706566208 -0.014356731540001");
    expect_values_and_gradient("", "x: f32[3]",
                               "scan v in x with s = 1.0 { s = s - 0.1 * grad(fn (u) -> (u - v) ** 2.0)(s) }",
                               "f64 0.3376");
}

Test(gradients, that_the_program_states)
{
    /* 3 dy in place of the cosine's; the value is the sine. */
    const char *odd = "fn odd(x) { custom_vjp(fn (v) -> sin(v), fn (v, y, dy) -> 3.0 * dy * y)(x) }";
    expect_values(odd, "x: f32[2]", "grad(fn (v) -> sum(odd(v) * v))(x) - (3.0 * sin(x) * x + sin(x))", "f64[2] 0 0");
    expect_values("fn rounded(x) { custom_vjp(fn (v) -> round(v), fn (v, y, dy) -> dy)(x) }", "x: f32[2]",
                  "grad(fn (v) -> sum(rounded(v) * v))(x) - (round(x) + x)", "f64[2] 0 0");
    expect_values("fn clipped(x, w) { custom_vjp(fn (a, b) -> a * b, fn (a, b, y, dy) -> (clamp(dy * b, -1.0, 1.0), none))(x, w) }",
                  "x: f32[2], w: f32[2]", "grad(fn (a, b) -> sum(clipped(a, b) * 10.0), wrt=[0, 1])(x, w)",
                  "f64[2] -1 1; f64[2] 0 0");
    expect_values(odd, "x: f32[2]",
                  "grad(fn (v) -> (scan u in v with s = 0.0 { s = 0.5 * s + odd(u) }))(x) - 3.0 * f32([0.5, 1.0]) * sin(x)",
                  "f64[2] 0 0");
    expect_values("fn slow(x) { custom_vjp(fn (v) -> v, fn (v, y, dy) -> scan t in 0..3 with s = dy { s = if sum(s) > 100.0 { s } "
                  "else { s * v } })(x) }",
                  "x: f32[2]", "grad(fn (v) -> sum(slow(v) * f32([1, 2])))(x) - x ** 3.0 * f32([1, 2])", "f64[2] 0 0");
    expect_values(odd, "x: f32[2]", "grad(fn (v) -> sum(grad(fn (u) -> sum(odd(u)))(v)))(x) - 9.0 * sin(x)", "f64[2] 0 0");
}

/* On the side of a decision that is taken, on both, inside of each other, in a loop, twice. */
Test(gradients, that_the_program_states_on_a_side)
{
    const char *odd = "fn odd(x) { custom_vjp(fn (v) -> sin(v), fn (v, y, dy) -> 3.0 * dy * y)(x) }\n"
                      "fn one(v) { if sum(v) < 0.0 { odd(v) * v } else { v } }\n"
                      "fn both(v) { if sum(v) > 0.0 { odd(v) } else { odd(2.0 * v) } }\n"
                      "fn deep(v) { let c = 2.0 * v\n if sum(v) < 0.0 { if sum(c) < 0.0 { odd(c) } else { c } } else { v } }\n"
                      "fn rounded(x) { custom_vjp(fn (v) -> round(v), fn (v, y, dy) -> dy)(x) }\n"
                      "fn scaled(x, w) { custom_vjp(fn (a, b) -> a * b, fn (a, b, y, dy) -> (dy * b * 2.0, none))(x, w) }";
    const char *x = "x: f32[2]", *zeros = "f64[2] 0 0";
    expect_values(odd, x, "grad(fn (v) -> sum(one(v)))(x) - (3.0 * sin(x) * x + sin(x))", zeros);
    expect_values(odd, x, "grad(fn (v) -> sum(both(v)))(x) - 6.0 * sin(2.0 * x)", zeros);
    expect_values(odd, x, "grad(fn (v) -> sum(deep(v)))(x) - 6.0 * sin(2.0 * x)", zeros);
    expect_values(odd, x, "grad(fn (v) -> sum(if v[0] < 0.0 { rounded(v) * v } else { v }))(x) - (round(x) + x)", zeros);
    expect_values(odd, x, "grad(fn (v) -> sum(if v[0] < 0.0 { scaled(v, x) } else { v }))(x) - 2.0 * x", zeros);
    expect_values(odd, x, "grad(fn (v) -> (scan u in v with s = 0.0 { s = 0.5 * s + (if u < 9.0 { odd(u) } else { u }) }))(x) "
                          "- 3.0 * f32([0.5, 1.0]) * sin(x)", zeros);
    expect_values(odd, x, "grad(fn (v) -> (scan u in v checkpoint with s = 0.0 { s = 0.5 * s + (if u < 9.0 { odd(u) } else { u }) }))(x) "
                          "- 3.0 * f32([0.5, 1.0]) * sin(x)", zeros);
    expect_values(odd, x, "grad(fn (v) -> sum(grad(fn (u) -> sum(both(u)))(v)))(x) - 36.0 * sin(2.0 * x)", zeros);
    expect_values_and_gradient("fn bent(x) { custom_vjp(fn (v) -> tanh(v), fn (v, y, dy) -> dy * (1.0 - y * y))(x) }", x,
                  "if sum(x) < 0.0 { bent(x) * x } else { x }", "f64[2] 1.0603545499468912 0.23967205145584916");
}
