/* Dimensions: arithmetic, canonical forms, text and evaluation. */
#include "compiler/graph/dim.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static Arena *arena;
static DimTable *table;

static void setup(void)
{
    arena = arena_new();
    table = dim_table_new(arena);
}

static void teardown(void)
{
    arena_free(arena);
}

TestSuite(dim, .init = setup, .fini = teardown);

static const Dim *parse(const char *text)
{
    const Dim *dim = dim_read(table, &text);
    cr_assert(dim != NULL && *text == 0, "left over: %s", text);
    return dim;
}

static void expect_text(const Dim *dim, const char *want)
{
    StrBuf out = {0};
    cr_assert_not_null(dim);
    dim_print(table, dim, &out);
    cr_expect_str_eq(out.text, want);
    strbuf_free(&out);
}

Test(dim, equal_polynomials_are_one_pointer)
{
    cr_expect_eq(parse("B*T + B"), parse("B*(1 + T)"));
    cr_expect_eq(parse("28*28"), dim_const(table, 784));
    cr_expect_eq(parse("(B + 1)*(B - 1)"), parse("B*B - 1"));
    cr_expect_eq(parse("T - K + K - T"), dim_const(table, 0));
    cr_expect_neq(parse("B"), parse("T"));
    cr_expect_neq(dim_fresh(table, "B"), dim_symbol(table, "B"));
}

Test(dim, text_of_canonical_forms)
{
    expect_text(parse("T - K + 1"), "T - K + 1");
    expect_text(parse("3 + 4*B"), "4*B + 3");
    expect_text(parse("0*B"), "0");
    expect_text(parse("-B"), "-B");
    expect_text(parse("B*B*2 - B"), "2*B*B - B");
    expect_text(parse("(B + 63)//64"), "(B + 63)//64");
    expect_text(parse("2*(B//2)*T - B//3"), "2*T*(B//2) - (B//3)");
    expect_text(parse("max(B, 1)"), "max(B, 1)");
}

Test(dim, floor_division_simplifies)
{
    const struct {
        const char *left, *right, *want;
    } rows[] = {
        {"64*B", "64", "B"},
        {"T - K + 1", "1", "T - K + 1"},
        {"5*B + 7", "4", "B + (B + 3)//4 + 1"},
        {"4*B + 3", "4", "B"},
        {"-7", "2", "-4"},
        {"4*B + 7", "8", "(B + 1)//2"},
        {"B*T + B", "B", "T + 1"},
        {"B*T + 3", "B", "T + 3//B"},
        {"B*B - 1", "B + 1", "B - 1"},
        {"(B + 1)//2 + 1", "2", "(B + 3)//4"},
        {"B", "2*B", "B//(2*B)"},
        {"6*B", "-3", "-2*B"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_text(dim_floordiv(table, parse(rows[i].left), parse(rows[i].right)), rows[i].want);
    cr_expect_null(dim_floordiv(table, parse("B"), parse("0")));
    expect_text(dim_ceildiv(table, parse("B"), parse("64")), "(B + 63)//64");
    expect_text(dim_mod(table, parse("5*B + 7"), parse("1")), "0");
}

Test(dim, exact_division)
{
    const Dim *quotient;
    cr_expect(dim_divides_exactly(table, parse("784*B"), parse("28"), &quotient));
    expect_text(quotient, "28*B");
    cr_expect(dim_divides_exactly(table, parse("B*T + T + B + 1"), parse("T + 1"), &quotient));
    expect_text(quotient, "B + 1");
    cr_expect_not(dim_divides_exactly(table, parse("B + 2"), parse("2"), &quotient));
    cr_expect_not(dim_divides_exactly(table, parse("B"), parse("T"), &quotient));
    cr_expect_not(dim_divides_exactly(table, parse("B"), parse("0"), &quotient));
}

Test(dim, maximum)
{
    expect_text(dim_max(table, parse("3"), parse("7")), "7");
    expect_text(dim_max(table, parse("B"), parse("0")), "B");
    expect_text(dim_max(table, parse("B + T"), parse("T")), "B + T");
    cr_expect_eq(dim_max(table, parse("B"), parse("T")), dim_max(table, parse("T"), parse("B")));
}

Test(dim, overflow_is_null)
{
    const Dim *large = dim_const(table, INT64_MAX);
    cr_expect_null(dim_add(table, large, dim_const(table, 1)));
    cr_expect_null(dim_mul(table, large, dim_const(table, 2)));
    cr_expect_null(
        dim_mul(table, dim_mul(table, large, dim_symbol(table, "B")), dim_const(table, 3)));
    cr_expect_null(dim_add(table, NULL, large));
    const char *text = "9223372036854775808";
    cr_expect_null(dim_read(table, &text));
}

Test(dim, reading_refuses)
{
    const char *bad[] = {"", "*B", "B*", "B//", "B//0", "max(B, ", "(B", "+", "B + "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *text = bad[i];
        cr_expect_null(dim_read(table, &text), "%s", bad[i]);
    }
    char deep[400];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    const char *text = deep;
    cr_expect_null(dim_read(table, &text));
}

Test(dim, substitution_and_symbols)
{
    const Dim *dim = parse("((B + 63)//64)*T + max(B, 5)");
    const char *b = "B", *t = "T";
    uint32_t batch = 0, time = 1;
    cr_assert_str_eq(dim_symbol_name(table, batch), b);
    cr_assert_str_eq(dim_symbol_name(table, time), t);
    cr_expect(dim_uses_symbol(dim, batch) && dim_uses_symbol(dim, time));
    expect_text(dim_substitute(table, dim, batch, dim_const(table, 128)), "2*T + 128");
    expect_text(dim_substitute(table, parse("B*B"), batch, parse("T + 1")), "T*T + 2*T + 1");
}

Test(dim, evaluation_agrees_with_integers)
{
    const Dim *b = parse("B"), *t = parse("T");
    srand(7);
    for (int i = 0; i < 3000; i++) {
        int64_t values[2] = {rand() % 50, rand() % 50}, p = rand() % 9 - 4, q = rand() % 30 - 9,
                k = 1 + rand() % 12;
        const Dim *sum = dim_add(table, dim_mul(table, dim_const(table, p), b),
                                 dim_add(table, dim_mul(table, b, t), dim_const(table, q)));
        const Dim *half = dim_floordiv(table, sum, dim_const(table, k));
        const Dim *quarter =
            dim_floordiv(table, dim_add(table, half, dim_const(table, p)), dim_const(table, 3));
        int64_t want = p * values[0] + values[0] * values[1] + q;
        int64_t want_half = want / k - (want % k < 0);
        int64_t nested = want_half + p, want_quarter = nested / 3 - (nested % 3 < 0);
        cr_assert_eq(dim_eval(sum, values), want);
        cr_assert_eq(dim_eval(half, values), want_half);
        cr_assert_eq(dim_eval(quarter, values), want_quarter);
        cr_assert_eq(dim_eval(dim_mod(table, sum, dim_const(table, k)), values),
                     want - k * want_half);
        int64_t big = want > q ? want : q;
        cr_assert_eq(dim_eval(dim_max(table, sum, dim_const(table, q)), values), big);
    }
    int64_t values[2] = {INT64_MAX, 2};
    cr_expect_eq(dim_eval(parse("B*T"), values), INT64_MIN);
    values[0] = 0;
    cr_expect_eq(dim_eval(parse("3//B"), values), INT64_MIN);
}

Test(dim, text_round_trip)
{
    const char *texts[] = {"0",
                           "7",
                           "B",
                           "-B - 1",
                           "T - K + 1",
                           "((B*T + 3)//7)*T - 2",
                           "max(B, T//3)",
                           "T//(B + 1)", "T//(T//(B + 1) + 1) - 2*(B//3)"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const Dim *dim = parse(texts[i]);
        StrBuf out = {0}, again = {0};
        dim_print(table, dim, &out);
        cr_expect_eq(parse(out.text), dim);
        DimTable *other = dim_table_new(arena);
        const char *text = out.text;
        dim_print(other, dim_read(other, &text), &again);
        cr_expect_str_eq(again.text, out.text);
        strbuf_free(&out);
        strbuf_free(&again);
    }
}

Test(dim, growth_ends_in_a_refusal)
{
    const Dim *sum = parse("A + C + D + E + F + G + H + I"), *power = sum;
    for (int i = 0; i < 40 && power != NULL; i++)
        power = dim_mul(table, power, sum);
    cr_expect_null(power);
    const Dim *nested = sum;
    for (int i = 0; i < 100000 && nested != NULL; i++)
        nested =
            dim_floordiv(table, dim_add(table, nested, dim_symbol(table, "A")), parse("C + 1"));
    cr_expect_null(nested);
    cr_expect_not_null(dim_mul(table, parse("A + 1"), parse("C + 1")));
}
