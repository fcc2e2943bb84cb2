/* scan .. checkpoint is a loop over segments (compiler/graph/segment.h): the values of a scan
 * without it, its gradients, and the memory of about 2 sqrt(T) turns. */
#include "compiler/graph/segment.h"
#include "tests/support/values.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void check(const char *declarations, const char *parameters, const char *body, int64_t size)
{
    char with[1000], without[1000];
    const char *at = strchr(body, '!');
    cr_assert_not_null(at);
    snprintf(with, sizeof with, "%.*scheckpoint%s", (int)(at - body), body, at + 1);
    snprintf(without, sizeof without, "%.*s%s", (int)(at - body), body, at + 1);
    expect_equal_values(declarations, parameters, with, without, size);
}

Test(segments, lengths)
{
    static const int64_t expected[][2] = {{4, 2},     {5, 3},      {6, 3},         {12, 4},
                                          {13, 4},    {16, 4},     {1000, 32 - 7}, {1024, 32},
                                          {1009, 32}, {65536, 256}};
    Arena *arena = arena_new();
    DimTable *dims = dim_table_new(arena);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int64_t got = 0;
        const Dim *segment = segment_length(dims, dim_const(dims, expected[i][0]));
        cr_assert(segment && dim_is_const(segment, &got));
        cr_expect_eq(got, expected[i][1], "%d turns: segments of %d", (int)expected[i][0],
                     (int)got);
    }
    cr_expect_null(segment_length(dims, dim_const(dims, 3)));
    cr_expect_null(segment_length(dims, dim_const(dims, 0)));
    cr_expect(dim_is(segment_length(dims, dim_symbol(dims, "T")), SEGMENT_TURNS));
    arena_free(arena);
}

/* With and without turns that are left, forwards and backwards. */
Test(segments, the_values_of_one_loop)
{
    static const int lengths[] = {3, 4, 7, 9, 13};
    char parameters[100], body[500];
    for (int i = 0; i < 10; i++) {
        snprintf(parameters, sizeof parameters, "x: f32[2, %d, 2], w: f32[2, 2]", lengths[i / 2]);
        snprintf(body, sizeof body,
                 "let hs, h = scan xt in x over %d %s! with h = zeros(2, 2) "
                 "{ h = tanh(xt @ w * 0.3 + 0.5 * h @ w)\n yield h }\n (hs, h)",
                 lengths[i / 2], i % 2 ? "reverse " : "");
        check("", parameters, body, 2);
    }
}

Test(segments, rows_of_different_lengths)
{
    check("", "x: f32[2, 7, 2], w: f32[2, 2], n: i32[2]",
          "let hs, h = scan xt in x over 7 lengths n + 2 ! with h = zeros(2, 2) "
          "{ h = tanh(xt * 0.5 + 0.5 * h)\n yield h }\n (hs, h)",
          2);
}

Test(segments, of_a_free_length)
{
    static const int64_t sizes[] = {0, 1, 31, 32, 33, 70};
    for (size_t i = 1; i < sizeof sizes / sizeof *sizes; i++) {
        check("", "x: f32[T, 2], w: f32[2]",
              "let hs, h = scan xt in x ! with h = zeros(2) { h = tanh(xt * w + 0.5 * h)\n yield h "
              "* w }\n (hs, h)",
              sizes[i]);
        check("", "x: f32[T, 2], w: f32[2]",
              "let hs, h = scan xt in x reverse ! with h = zeros(2) { h = tanh(xt * w + 0.5 * h)\n "
              "yield h }\n (hs, h)",
              sizes[i]);
    }
}

Test(segments, loops_and_decisions_in_the_body)
{
    check(
        "", "x: f32[6, 3], w: f32[3]",
        "scan row in x ! with s = zeros(3) { let p = scan v in row with p = s { p = p * 0.9 + v * "
        "w }\n if sum(p) > 0.0 { s = tanh(p) } else { s = sin(p) * w } }",
        2);
    check(
        "", "x: f32[5, 3], w: f32[3]",
        "let ys = scan row in x ! { let p = scan v in row checkpoint with p = w { p = p * 0.9 + v "
        "}\n yield (p, sum(p)) }\n ys",
        2);
}

Test(segments, nothing_is_carried_or_yielded)
{
    check("", "x: f32[6, 3]", "scan row in x ! { yield row * row }", 2);
    check("", "x: f32[6, 3]", "scan row in x ! with s = 1.0 { s = s * (1.0 + 0.1 * sum(row)) }", 2);
}

Test(segments, gradients_that_the_program_states)
{
    check("fn bent(x) { custom_vjp(fn (v) -> tanh(v), fn (v, y, dy) -> dy * (1.0 - y * y))(x) }",
          "x: f32[6, 3]", "scan row in x ! with s = zeros(3) { s = bent(s * 0.5 + row) }", 2);
    check("fn bent(x) { custom_vjp(fn (v) -> tanh(v), fn (v, y, dy) -> dy * (1.0 - y * y))(x) }",
          "x: f32[3, 2]",
          "let y, slope = jvp(fn (u) -> scan n in 0..3 ! with s = tanh(u) { s = sin(0.3 * s + "
          "bent(s)) })(x, 0.5 * x)\n tanh(slope)",
          2);
}

/* The squares of a gradient, differentiated by the test: second order. By the sequence it has the
 * same bits; what the turns give to w is summed by segments. */
Test(segments, of_higher_order)
{
    check("", "x: f32[7, 2], w: f32[2, 2]",
          "sum(grad(fn (v) -> sum(scan row in v ! with h = zeros(2) { h = tanh(h @ w + row) } ** "
          "2.0))(x) ** 2.0)",
          2);
    expect_values_and_gradient(
        "", "x: f32[7, 2], w: f32[2, 2]",
        "sum(grad(fn (u) -> sum(scan row in x checkpoint with h = zeros(2) { h = tanh(h @ u + row) "
        "} ** 2.0))(w) ** 2.0)",
        "f64 0.897726482171217");
}

/* A recurrent network of 1024 turns, whose step makes 64 numbers from 16. */
Test(segments, memory_of_the_square_root)
{
    const char *parameters = "x: f32[1024, 4], u: f32[16, 64], v: f32[64, 16]";
    const char *format = "sum(scan xt in x %s with h = zeros(4, 16) { h = tanh(tanh(h @ u) @ v + "
                         "expand(unsqueeze(xt, 1), [4, 16])) })";
    char with[300], without[300];
    snprintf(with, sizeof with, format, "checkpoint");
    snprintf(without, sizeof without, format, "");
    int64_t few = gradient_bytes("", parameters, with, 2);
    int64_t many = gradient_bytes("", parameters, without, 2);
    cr_expect_lt(few, many / 10, "%lld bytes with checkpoint, %lld without", (long long)few,
                 (long long)many);
}
