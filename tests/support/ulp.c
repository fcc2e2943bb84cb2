#include "tests/support/ulp.h"

#include <float.h>
#include <math.h>

static double error_in_units(long double got, long double want, int digits, int lowest, int highest)
{
    if (isnan(want) || isnan(got)) {
        return isnan(want) && isnan(got) ? 0 : INFINITY;
    }
    if (got == want) {
        return signbit(got) == signbit(want) ? 0 : INFINITY;
    }
    long double largest = ldexpl(1, highest) * (2 - ldexpl(1, 1 - digits));
    long double unit_at_top = ldexpl(1, highest + 1 - digits);
    if (isinf(got)) { /* overflow stands for the first number that does not exist */
        got = copysignl(largest + unit_at_top, got);
        if (fabsl(want) >= fabsl(got) - unit_at_top / 2 && signbit(want) == signbit(got)) {
            return 0;
        }
    }
    if (isinf(want)) {
        return INFINITY;
    }
    int exponent = want == 0 ? lowest : ilogbl(want);
    exponent = exponent < lowest ? lowest : exponent > highest ? highest : exponent;
    return (double)(fabsl(got - want) / ldexpl(1, exponent + 1 - digits));
}

double ulp_error_f32(float got, double want)
{
    return error_in_units(got, want, FLT_MANT_DIG, FLT_MIN_EXP - 1, FLT_MAX_EXP - 1);
}

double ulp_error_f64(double got, long double want)
{
    return error_in_units(got, want, DBL_MANT_DIG, DBL_MIN_EXP - 1, DBL_MAX_EXP - 1);
}

const UlpFunction ulp_functions[] = {
    {SCALAR_EXP, exp, expl, INFINITY, INFINITY},
    {SCALAR_LOG, log, logl, INFINITY, INFINITY},
    {SCALAR_LOG1P, log1p, log1pl, INFINITY, INFINITY},
    {SCALAR_EXPM1, expm1, expm1l, INFINITY, INFINITY},
    {SCALAR_TANH, tanh, tanhl, INFINITY, INFINITY},
    {SCALAR_SIN, sin, sinl, 0x1p17, 0x1p46},
    {SCALAR_COS, cos, cosl, 0x1p17, 0x1p46},
    {SCALAR_ERF, erf, erfl, INFINITY, INFINITY},
    {SCALAR_SQRT, sqrt, sqrtl, INFINITY, INFINITY},
};
const int ulp_function_count = sizeof ulp_functions / sizeof ulp_functions[0];
