/* Drawing tokens: what temperature, top_k and top_p let through; text with and without a cache. */
#include "tests/support/values.h"

#include <criterion/criterion.h>

#define DRAW "from generate import draw\n"

Test(generate, temperature_zero_takes_the_first_of_the_most_likely)
{
    expect_values(DRAW, "x: f32[3]", "draw(f32([1.0, 4.0, 4.0, 2.0]), temperature=0.0)", "i32 1");
    expect_values(DRAW, "x: f32[3]", "draw(f32([1.0, 4.0, 4.0, 2.0]), top_k=1)", "i32 1");
    expect_values(DRAW, "x: f32[3]", "draw(f32([0.0, 0.0, 9.0]), top_p=0.5)", "i32 2");
}

/* 400 draws: only tokens that are let through, and about as often as they should. */
Test(generate, draws_follow_the_probabilities)
{
    static const char many[] =
        DRAW "fn often(logits, k, p, t) {\n"
             "    let hits, n = scan i in 0..400 with n = zeros(4) {\n"
             "        n = n + f32(arange(4) == draw(logits, temperature=t, top_k=k, top_p=p))\n"
             "        yield 0\n"
             "    }\n"
             "    n / 400.0\n"
             "}\n"
             "fn near(a, b) { all(abs(a - b) < 0.08) }\n";
    expect_values(
        many, "x: f32[3]",
        "near(often(log(f32([0.1, 0.2, 0.3, 0.4])), 4, 1.0, 1.0), f32([0.1, 0.2, 0.3, 0.4]))",
        "bool 1");
    expect_values(
        many, "x: f32[3]",
        "near(often(log(f32([0.1, 0.2, 0.3, 0.4])), 2, 1.0, 1.0), f32([0.0, 0.0, 0.4286, 0.5714]))",
        "bool 1");
    expect_values(many, "x: f32[3]",
                  "near(often(log(f32([0.1, 0.2, 0.3, 0.4])), 4, 0.75, 1.0), f32([0.0, 0.2222, "
                  "0.3333, 0.4444]))",
                  "bool 1");
    expect_values(many, "x: f32[3]",
                  "near(often(log(f32([0.1, 0.2, 0.3, 0.4])), 4, 1.0, 0.5), f32([0.0333, 0.1333, "
                  "0.3, 0.5333]))",
                  "bool 1");
    expect_values(many, "x: f32[3]", "often(log(f32([0.1, 0.2, 0.3, 0.4])), 1, 1.0, 1.0)",
                  "f64[4] 0 0 0 1");
}

/* A model whose next token is the sum of all before, modulo 5; its cache is the sum. */
Test(generate, a_cache_changes_nothing)
{
#define MODEL(call)                                                                                \
    "from generate import generate, generate_again\n"                                              \
    "module Sums {\n"                                                                              \
    "    fn (token: i32[B, T]) { f32(reshape(arange(5), 1, 1, 5) == reshape(cumsum(token, "        \
    "axis=1) % 5, B, T, 1)) }\n"                                                                   \
    "    fn cache() { (sum=zeros(dtype=i32), n=0.0) }\n"                                           \
    "    fn step(token, t, known) {\n"                                                             \
    "        let s = known.sum + token\n"                                                          \
    "        (f32(arange(5) == s % 5), (sum=s, n=known.n))\n"                                      \
    "    }\n"                                                                                      \
    "}\n"                                                                                          \
    "module F {\n"                                                                                 \
    "    let m = Sums()\n"                                                                         \
    "    fn (x: f32[3]) { " call "(m, i32([1, 2, 0, 0, 0, 0]), 2, temperature=0.0) }\n"            \
    "}\n"
    static const char *const expected = "i32[6] 1 2 3 1 2 4";
    expect_values(MODEL("generate"), NULL, NULL, expected);
    expect_values(MODEL("generate_again"), NULL, NULL, expected);
}
