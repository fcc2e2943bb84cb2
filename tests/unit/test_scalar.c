/* Scalar functions: accuracy over samples of all bit patterns, values at the edges, integers
 * against plain C, conversions. */
#include "runtime/base/scalar.h"

#include "tests/support/ulp.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 1 << 20 };

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state ^ (*state >> 29);
}

static bool same_f32(float a, float b)
{
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

static bool same_f64(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

static double worst_f32(const UlpFunction *function, double *at)
{
    float *x = malloc(SAMPLES * sizeof *x), *y = malloc(SAMPLES * sizeof *y);
    size_t count = 0;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        uint32_t bits = (uint32_t)(i * 4095 + i / 1048573);
        memcpy(&x[count], &bits, sizeof bits);
        count += !(fabsf(x[count]) > function->limit_f32);
    }
    const void *args[] = {x};
    scalar_map(function->op, DT_F32, args, y, count);
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        double error = ulp_error_f32(y[i], function->in_double(x[i]));
        if (error > worst) {
            worst = error;
            *at = x[i];
        }
    }
    free(x);
    free(y);
    return worst;
}

static double worst_f64(const UlpFunction *function, double *at)
{
    double worst = 0;
    uint64_t state = 7;
    for (uint64_t i = 0; i < SAMPLES / 4; i++) {
        uint64_t bits = next_random(&state);
        double x = ((double)(bits >> 11) * 0x1p-53 - 0.5) * (i % 8 < 4 ? 40 : 3);
        if (i % 2) {
            memcpy(&x, &bits, sizeof x);
        }
        if (fabs(x) > function->limit_f64) {
            continue;
        }
        double error =
            ulp_error_f64(scalar_eval_f64(function->op, &x), function->in_long_double(x));
        if (error > worst) {
            worst = error;
            *at = x;
        }
    }
    return worst;
}

Test(scalar, accuracy)
{
    for (int i = 0; i < ulp_function_count; i++) {
        const UlpFunction *function = &ulp_functions[i];
        double at32 = 0, at64 = 0;
        double f32 = worst_f32(function, &at32), f64 = worst_f64(function, &at64);
        printf("%-6s f32 %.4f ulp at %a, f64 %.4f ulp at %a\n", scalar_name(function->op), f32,
               at32, f64, at64);
        cr_expect_leq(f32, 1.0, "%s f32: %g ulp at %a", scalar_name(function->op), f32, at32);
        cr_expect_leq(f64, 2.0, "%s f64: %g ulp at %a", scalar_name(function->op), f64, at64);
    }
}

Test(scalar, pow_accuracy)
{
    uint64_t state = 3;
    double worst32 = 0, worst64 = 0;
    for (int i = 0; i < SAMPLES / 4; i++) {
        double base = ldexp(1 + (double)(next_random(&state) >> 12) * 0x1p-52,
                            (int)(next_random(&state) % 40) - 20);
        double exponent = ((double)(next_random(&state) >> 11) * 0x1p-53 - 0.5) * (i % 2 ? 12 : 60);
        double args[] = {base, exponent};
        double error = ulp_error_f64(scalar_eval_f64(SCALAR_POW, args), powl(base, exponent));
        worst64 = error > worst64 ? error : worst64;
        float args32[] = {(float)base, (float)exponent};
        error = ulp_error_f32(scalar_eval_f32(SCALAR_POW, args32), pow(args32[0], args32[1]));
        worst32 = error > worst32 ? error : worst32;
    }
    printf("pow    f32 %.4f ulp, f64 %.4f ulp\n", worst32, worst64);
    cr_expect_leq(worst32, 1.0, "f32: %g", worst32);
    cr_expect_leq(worst64, 2.0, "f64: %g", worst64);
}

static const double edges[] = {
    0.0,  -0.0,     1.0,       -1.0,           2.0,     -2.0,  0.5,    -0.5,     3.0,
    -3.0, 2.5,      -2.5,      1e30,           -1e30,   1e-30, -1e-30, INFINITY, -INFINITY,
    NAN,  0x1p-149, -0x1p-149, 88.5,           -100.0,  7.0,   1e-7,   16777217, -16777216,
    0.75, 1.5,      -1.5,      0x1.fffffep127, 0x1p-126};
enum { EDGES = sizeof edges / sizeof edges[0] };

/* Infinities, NaN, zeros and their signs are those of C. */
Test(scalar, edges_of_one_argument)
{
    for (int f = 0; f < ulp_function_count; f++) {
        const UlpFunction *function = &ulp_functions[f];
        for (int i = 0; i < EDGES; i++) {
            if (fabs(edges[i]) > function->limit_f32 &&
                (function->op == SCALAR_SIN || function->op == SCALAR_COS)) {
                continue;
            }
            float x = (float)edges[i];
            double error = ulp_error_f32(scalar_eval_f32(function->op, &x), function->in_double(x));
            cr_expect_leq(error, 1.0, "%s(%g) f32", scalar_name(function->op), (double)x);
            error = ulp_error_f64(scalar_eval_f64(function->op, &edges[i]),
                                  function->in_long_double(edges[i]));
            cr_expect_leq(error, 2.0, "%s(%g) f64", scalar_name(function->op), edges[i]);
        }
    }
}

Test(scalar, trigonometry_beyond_its_limit_is_nan)
{
    float far = 0x1p18f;
    double farther = 0x1p47, infinite = INFINITY;
    cr_expect(isnan(scalar_eval_f32(SCALAR_SIN, &far)));
    cr_expect(isnan(scalar_eval_f64(SCALAR_COS, &farther)));
    cr_expect(isnan(scalar_eval_f64(SCALAR_SIN, &infinite)));
}

Test(scalar, pow_edges_are_those_of_c)
{
    for (int i = 0; i < EDGES; i++) {
        for (int j = 0; j < EDGES; j++) {
            double args[] = {edges[i], edges[j]};
            double error =
                ulp_error_f64(scalar_eval_f64(SCALAR_POW, args), powl(edges[i], edges[j]));
            cr_expect_leq(error, 2.0, "pow(%g, %g) f64", edges[i], edges[j]);
            float args32[] = {(float)edges[i], (float)edges[j]};
            error = ulp_error_f32(scalar_eval_f32(SCALAR_POW, args32),
                                  (float)powl(args32[0], args32[1]));
            cr_expect_leq(error, 1.5, "pow(%g, %g) f32", edges[i], edges[j]);
        }
    }
}

static double python_mod(double x, double y)
{
    double r = fmod(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

Test(scalar, plain_float_operations)
{
    for (int i = 0; i < EDGES; i++) {
        double x = edges[i];
        float small = (float)x;
        cr_expect(same_f64(scalar_eval_f64(SCALAR_NEG, &x), -x));
        cr_expect(same_f64(scalar_eval_f64(SCALAR_ABS, &x), fabs(x)));
        cr_expect(same_f64(scalar_eval_f64(SCALAR_FLOOR, &x), floor(x)));
        cr_expect(same_f64(scalar_eval_f64(SCALAR_CEIL, &x), ceil(x)));
        cr_expect(same_f64(scalar_eval_f64(SCALAR_ROUND, &x), rint(x)));
        cr_expect(same_f64(scalar_eval_f64(SCALAR_SIGN, &x), x > 0 ? 1 : x < 0 ? -1 : x));
        cr_expect(same_f32(scalar_eval_f32(SCALAR_ROUND, &small), rintf(small)));
        cr_expect_eq(scalar_eval_f64(SCALAR_IS_NAN, &x), isnan(x) ? 1 : 0);
        for (int j = 0; j < EDGES; j++) {
            double y = edges[j], args[] = {x, y};
            bool nan = isnan(x) || isnan(y);
            cr_expect(same_f64(scalar_eval_f64(SCALAR_ADD, args), x + y));
            cr_expect(same_f64(scalar_eval_f64(SCALAR_DIV, args), x / y));
            cr_expect(same_f64(scalar_eval_f64(SCALAR_MAX, args), nan     ? (double)NAN
                                                                  : x > y ? x
                                                                          : y));
            cr_expect(same_f64(scalar_eval_f64(SCALAR_MIN, args), nan     ? (double)NAN
                                                                  : x < y ? x
                                                                          : y));
            cr_expect_eq(scalar_eval_f64(SCALAR_EQ, args), x == y);
            cr_expect_eq(scalar_eval_f64(SCALAR_NE, args), x != y);
            cr_expect_eq(scalar_eval_f64(SCALAR_LT, args), x < y);
            cr_expect_eq(scalar_eval_f64(SCALAR_LE, args), x <= y);
            double select_args[] = {x > 0, x, y};
            cr_expect(same_f64(scalar_eval_f64(SCALAR_SELECT, select_args), x > 0 ? x : y));
            if (fabs(x / y) < 1e15) {
                double got = scalar_eval_f64(SCALAR_MOD, args), want = python_mod(x, y);
                cr_expect(same_f64(got, want) || fabs(got - want) <= 1e-12 * fabs(y), "%g mod %g",
                          x, y);
            }
        }
    }
}

/* The remainder never leaves [0, |y|) on the side of y, however x / y rounds. */
Test(scalar, mod_and_floordiv_agree)
{
    uint64_t state = 11;
    for (int i = 0; i < 200000; i++) {
        float x = (float)((double)(int64_t)next_random(&state) * 0x1p-60),
              y = (float)((double)(int64_t)next_random(&state) * 0x1p-62);
        if (i % 3 == 0) {
            x = y * (float)(i % 17 - 8);
        }
        float args[] = {x, y};
        float r = scalar_eval_f32(SCALAR_MOD, args), q = scalar_eval_f32(SCALAR_FLOORDIV, args);
        cr_assert(y > 0 ? r >= 0 && r <= y : r <= 0 && r >= y, "%a mod %a = %a", (double)x,
                  (double)y, (double)r);
        cr_assert_eq(q, floorf(q));
        cr_assert_leq(fabs((double)q * y + r - x), 1e-6 * (fabs(x) + fabs(y)));
    }
}

static const int64_t integers[] = {0,         1,         -1,        2,         -2,
                                   3,         -3,        7,         -7,        12,
                                   31,        63,        64,        100,       127,
                                   128,       255,       256,       -128,      65536,
                                   INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, (int64_t)1 << 40,
                                   -5};
enum { INTEGERS = sizeof integers / sizeof integers[0] };

static int64_t wrap(DType type, int64_t x)
{
    return type == DT_U8 ? (uint8_t)x : type == DT_I32 ? (int32_t)(uint32_t)(uint64_t)x : x;
}

static int64_t floor_divide(int64_t x, int64_t y, bool remainder)
{
    if (y == 0) {
        return 0;
    }
    if (y == -1) {
        return remainder ? 0 : (int64_t)(0 - (uint64_t)x);
    }
    int64_t q = x / y - (x % y != 0 && (x < 0) != (y < 0));
    return remainder ? (int64_t)((uint64_t)x - (uint64_t)q * (uint64_t)y) : q;
}

static void check_integers(DType type, int64_t x, int64_t y)
{
    uint64_t u = (uint64_t)x, v = (uint64_t)y;
    int bits = (int)dtype_bytes(type) * 8;
    uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    bool shifts = y >= 0 && y < bits;
    const struct {
        ScalarOp op;
        int64_t want;
    } cases[] = {
        {SCALAR_ADD, (int64_t)(u + v)},
        {SCALAR_SUB, (int64_t)(u - v)},
        {SCALAR_MUL, (int64_t)(u * v)},
        {SCALAR_NEG, (int64_t)(0 - u)},
        {SCALAR_ABS, x < 0 ? (int64_t)(0 - u) : x},
        {SCALAR_SIGN, (x > 0) - (x < 0)},
        {SCALAR_NOT, ~x},
        {SCALAR_AND, x & y},
        {SCALAR_OR, x | y},
        {SCALAR_XOR, x ^ y},
        {SCALAR_MAX, x > y ? x : y},
        {SCALAR_MIN, x < y ? x : y},
        {SCALAR_FLOORDIV, floor_divide(x, y, false)},
        {SCALAR_MOD, floor_divide(x, y, true)},
        {SCALAR_SHL, shifts ? (int64_t)(u << y) : 0},
        {SCALAR_SHR, shifts ? (int64_t)((u & mask) >> y) : 0},
        {SCALAR_EQ, x == y},
        {SCALAR_NE, x != y},
        {SCALAR_LT, x < y},
        {SCALAR_LE, x <= y},
    };
    int64_t args[] = {x, y, 0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(scalar_eval_int(cases[i].op, type, args), wrap(type, cases[i].want),
                     "%s %s %lld %lld", scalar_name(cases[i].op), dtype_name(type), (long long)x,
                     (long long)y);
    }
}

Test(scalar, integers_wrap_and_round_down)
{
    const DType types[] = {DT_U8, DT_I32, DT_I64};
    for (int t = 0; t < 3; t++) {
        for (int i = 0; i < INTEGERS; i++) {
            for (int j = 0; j < INTEGERS; j++) {
                check_integers(types[t], wrap(types[t], integers[i]), wrap(types[t], integers[j]));
            }
        }
    }
}

Test(scalar, truth_values)
{
    for (int64_t x = 0; x < 2; x++) {
        for (int64_t y = 0; y < 2; y++) {
            int64_t args[] = {x, y, 0}, select_args[] = {x, y, !y};
            cr_expect_eq(scalar_eval_int(SCALAR_NOT, DT_BOOL, args), !x);
            cr_expect_eq(scalar_eval_int(SCALAR_AND, DT_BOOL, args), x && y);
            cr_expect_eq(scalar_eval_int(SCALAR_OR, DT_BOOL, args), x || y);
            cr_expect_eq(scalar_eval_int(SCALAR_XOR, DT_BOOL, args), x != y);
            cr_expect_eq(scalar_eval_int(SCALAR_EQ, DT_BOOL, args), x == y);
            cr_expect_eq(scalar_eval_int(SCALAR_NE, DT_BOOL, args), x != y);
            cr_expect_eq(scalar_eval_int(SCALAR_LT, DT_BOOL, args), x < y);
            cr_expect_eq(scalar_eval_int(SCALAR_LE, DT_BOOL, args), x <= y);
            cr_expect_eq(scalar_eval_int(SCALAR_MAX, DT_BOOL, args), x || y);
            cr_expect_eq(scalar_eval_int(SCALAR_MIN, DT_BOOL, args), x && y);
            cr_expect_eq(scalar_eval_int(SCALAR_SELECT, DT_BOOL, select_args), x ? y : !y);
        }
    }
}

Test(scalar, every_row_has_the_loops_that_it_promises)
{
    for (int op = 0; op < SCALAR_COUNT; op++) {
        ScalarOp found;
        cr_assert(scalar_from_name(scalar_name((ScalarOp)op), &found));
        cr_assert_eq((int)found, op);
        cr_assert_eq(scalar_legal((ScalarOp)op, DT_F32), scalar_legal((ScalarOp)op, DT_F64));
        cr_assert_eq(scalar_legal((ScalarOp)op, DT_I32), scalar_legal((ScalarOp)op, DT_U8));
        cr_assert(scalar_legal((ScalarOp)op, DT_F32) || scalar_legal((ScalarOp)op, DT_I64));
    }
    cr_assert_not(scalar_legal(SCALAR_DIV, DT_I32));
    cr_assert_not(scalar_legal(SCALAR_AND, DT_F32));
}

Test(scalar, conversions)
{
    const double in[] = {0.9, -0.9, 2.5,   -7.99,       300,
                         -5,  1e20, -1e20, (double)NAN, (double)INFINITY};
    const int64_t as_i64[] = {0, 0, 2, -7, 300, -5, INT64_MAX, INT64_MIN, 0, INT64_MAX};
    const int32_t as_i32[] = {0, 0, 2, -7, 300, -5, INT32_MAX, INT32_MIN, 0, INT32_MAX};
    const uint8_t as_u8[] = {0, 0, 2, 0, 255, 0, 255, 0, 0, 255};
    int64_t wide[10];
    int32_t middle[10];
    uint8_t small[10];
    float single[10];
    scalar_convert(DT_F64, DT_I64, in, wide, 10);
    scalar_convert(DT_F64, DT_I32, in, middle, 10);
    scalar_convert(DT_F64, DT_U8, in, small, 10);
    scalar_convert(DT_F64, DT_F32, in, single, 10);
    cr_assert_arr_eq(wide, as_i64, sizeof as_i64);
    cr_assert_arr_eq(middle, as_i32, sizeof as_i32);
    cr_assert_arr_eq(small, as_u8, sizeof as_u8);
    cr_assert_eq(single[0], 0.9f);
    scalar_convert(DT_F32, DT_I64, single, wide, 10);
    cr_assert_eq(wide[6], INT64_MAX);
    scalar_convert(DT_F64, DT_BOOL, in, small, 10);
    cr_assert_eq(small[0] + small[8], 2);
    const int64_t integer = 0x1FFFFFF01;
    scalar_convert(DT_I64, DT_U8, &integer, small, 1);
    scalar_convert(DT_I64, DT_I32, &integer, middle, 1);
    scalar_convert(DT_I64, DT_F32, &integer, single, 1);
    cr_assert_eq(small[0], 1);
    cr_assert_eq(middle[0], -255);
    cr_assert_eq(single[0], 8589934337.0f);
}
