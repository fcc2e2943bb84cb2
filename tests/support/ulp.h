/* How far a result is from the true value, in units of its last place: 0.5 is the most that
 * correct rounding gives. */
#ifndef NNC_TESTS_ULP_H
#define NNC_TESTS_ULP_H
#include "runtime/base/scalar.h"

/* 0 for agreeing infinities, NaN and signed zeros; infinite where one is NaN and the other is
 * not. The unit of a denormal is the smallest denormal; beyond the largest number the unit goes
 * on, so that a wrong overflow costs what it is wrong by. */
double ulp_error_f32(float got, double want);
double ulp_error_f64(double got, long double want);

/* A function of one argument with a reference of higher precision. */
typedef struct {
    ScalarOp op;
    double (*in_double)(double);
    long double (*in_long_double)(long double);
    double limit_f32, limit_f64; /* |x| up to which the function promises its bound */
} UlpFunction;

extern const UlpFunction ulp_functions[];
extern const int ulp_function_count;
#endif
