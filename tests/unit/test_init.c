/* Initial values: moments and ranges of the random ones, orthogonality of matrices both ways, and
 * values that depend on the seed, the name and the element only. */
#include "runtime/train/init.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 200000 };

static double *filled(const InitSpec *spec, const char *name, uint64_t seed, int64_t count)
{
    double *data = malloc((size_t)count * sizeof *data + 1);
    cr_assert(init_fill(spec, name, seed, DT_F64, 1, &count, data));
    return data;
}

/* Mean, standard deviation, and kurtosis of what the spec makes. */
static void moments(const InitSpec *spec, double *mean, double *deviation, double *kurtosis,
                    double *low, double *high)
{
    double *data = filled(spec, "w", 3, MANY), sum = 0, square = 0, fourth = 0;
    *low = INFINITY;
    *high = -INFINITY;
    for (int i = 0; i < MANY; i++) {
        sum += data[i];
        *low = fmin(*low, data[i]);
        *high = fmax(*high, data[i]);
    }
    *mean = sum / MANY;
    for (int i = 0; i < MANY; i++) {
        double d = data[i] - *mean;
        square += d * d;
        fourth += d * d * d * d;
    }
    *deviation = sqrt(square / MANY);
    *kurtosis = fourth / MANY / (square / MANY * square / MANY);
    free(data);
}

/* Bounds are five standard errors of each estimate. */
Test(init, moments_of_random_values)
{
    double mean, deviation, kurtosis, low, high, root = sqrt((double)MANY);
    moments(&(InitSpec){INIT_UNIFORM, -1, 3}, &mean, &deviation, &kurtosis, &low, &high);
    cr_assert_float_eq(mean, 1, 5 * 1.1547 / root);
    cr_assert_float_eq(deviation, 4 / sqrt(12), 5 * 0.6 / root);
    cr_assert_float_eq(kurtosis, 1.8, 0.02);
    cr_assert(low >= -1 && high < 3 && low < -0.999 && high > 2.999);
    moments(&(InitSpec){INIT_NORMAL, 2, 0.5}, &mean, &deviation, &kurtosis, &low, &high);
    cr_assert_float_eq(mean, 2, 5 * 0.5 / root);
    cr_assert_float_eq(deviation, 0.5, 5 * 0.36 / root);
    cr_assert_float_eq(kurtosis, 3, 5 * sqrt(24) / root);
    cr_assert(low < 0.2 && high > 3.8);
    moments(&(InitSpec){INIT_TRUNC_NORMAL, 1, 2}, &mean, &deviation, &kurtosis, &low, &high);
    cr_assert_float_eq(mean, 1, 5 * 1.76 / root);
    cr_assert_float_eq(deviation, 2 * 0.8796, 5 * 1.3 / root, "of a normal cut at two deviations");
    cr_assert(low >= -3 && high <= 5 && low < -2.99 && high > 4.99);
}

Test(init, values_are_functions_of_seed_name_and_element)
{
    const InitSpec spec = {INIT_NORMAL, 0, 1};
    double *a = filled(&spec, "conv1.weight", 5, 100),
           *again = filled(&spec, "conv1.weight", 5, 50);
    double *name = filled(&spec, "conv2.weight", 5, 100);
    double *seed = filled(&spec, "conv1.weight", 6, 100);
    cr_assert_arr_eq(a, again, 50 * sizeof *a);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        same += (a[i] == name[i]) + (a[i] == seed[i]);
    }
    cr_assert_eq(same, 0);
    free(a);
    free(again);
    free(name);
    free(seed);
}

Test(init, every_type_is_rounded_from_f64)
{
    const int64_t size = 64;
    double wide[64];
    float narrow[64];
    const InitSpec spec = {INIT_UNIFORM, -1, 1}, three = {INIT_CONSTANT, 3, 0};
    init_fill(&spec, "w", 1, DT_F64, 1, &size, wide);
    init_fill(&spec, "w", 1, DT_F32, 1, &size, narrow);
    for (int i = 0; i < 64; i++) {
        cr_assert_eq(narrow[i], (float)wide[i]);
    }
    int64_t long_one;
    int32_t int_one;
    uint8_t byte, truth;
    init_fill(&three, "w", 1, DT_I64, 0, NULL, &long_one);
    init_fill(&three, "w", 1, DT_I32, 0, NULL, &int_one);
    init_fill(&three, "w", 1, DT_U8, 0, NULL, &byte);
    init_fill(&three, "w", 1, DT_BOOL, 0, NULL, &truth);
    cr_assert(long_one == 3 && int_one == 3 && byte == 3 && truth == 1);
}

/* gain^-2 times the product with its own transpose over the short side is the identity. */
static void check_orthogonal(int64_t rows, int64_t columns, double gain)
{
    const int64_t sizes[] = {rows, columns};
    double *data = calloc((size_t)(rows * columns) + 1, sizeof *data);
    cr_assert(init_fill(&(InitSpec){INIT_ORTHOGONAL, gain, 0}, "w", 9, DT_F64, 2, sizes, data));
    bool tall = rows >= columns;
    int64_t small = tall ? columns : rows, large = tall ? rows : columns;
    for (int64_t i = 0; i < small; i++) {
        for (int64_t j = 0; j < small; j++) {
            double dot = 0;
            for (int64_t k = 0; k < large; k++) {
                dot += tall ? data[k * columns + i] * data[k * columns + j]
                            : data[i * columns + k] * data[j * columns + k];
            }
            cr_assert_float_eq(dot, i == j ? gain * gain : 0, 1e-12 * (double)large, "%ld x %ld",
                               (long)rows, (long)columns);
        }
    }
    free(data);
}

Test(init, orthogonal_matrices)
{
    static const int64_t sizes[][2] = {{1, 1}, {4, 4}, {3, 7}, {7, 3}, {64, 64}, {1, 20}, {20, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_orthogonal(sizes[i][0], sizes[i][1], 1);
        check_orthogonal(sizes[i][0], sizes[i][1], 1.5);
    }
    check_orthogonal(0, 5, 1);
    check_orthogonal(5, 0, 1);
}

/* Uniform over rotations: signs of the diagonal are as often plus as minus. */
Test(init, orthogonal_signs_are_fair)
{
    const int64_t sizes[] = {3, 3};
    int positive = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        double data[9];
        init_fill(&(InitSpec){INIT_ORTHOGONAL, 1, 0}, "w", seed, DT_F64, 2, sizes, data);
        positive += (data[0] > 0) + (data[4] > 0) + (data[8] > 0);
    }
    cr_assert(positive > 500 && positive < 700, "%d of 1200", positive);
}

Test(init, orthogonal_kernels_are_matrices_of_their_first_axis)
{
    const int64_t sizes[] = {8, 2, 3, 3}, flat[] = {8, 18};
    double kernel[144], matrix[144];
    const InitSpec spec = {INIT_ORTHOGONAL, 1, 0};
    init_fill(&spec, "w", 2, DT_F64, 4, sizes, kernel);
    init_fill(&spec, "w", 2, DT_F64, 2, flat, matrix);
    cr_assert_arr_eq(kernel, matrix, sizeof kernel);
}

Test(init, eye_and_constants)
{
    const int64_t sizes[] = {2, 3};
    double data[6];
    static const double expected[] = {2, 0, 0, 0, 2, 0};
    init_fill(&(InitSpec){INIT_EYE, 2, 0}, "w", 2, DT_F64, 2, sizes, data);
    cr_assert_arr_eq(data, expected, sizeof data);
    init_fill(&(InitSpec){INIT_CONSTANT, -0.25, 0}, "w", 2, DT_F64, 2, sizes, data);
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(data[i], -0.25);
    }
}
