/* Initial values, in f64 and rounded once to the tensor's type. */
#include "runtime/train/init.h"

#include "runtime/base/rng.h"
#include "runtime/base/scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t seed;
    uint32_t site;
} Stream;

static Stream stream_of(uint64_t seed, const char *name)
{
    return (Stream){seed, (uint32_t)rng_hash(name, strlen(name), 0)};
}

static double uniform_at(Stream s, uint64_t step, int64_t element)
{
    return rng_uniform_f64(s.seed, step, s.site, (uint64_t)element);
}

/* Box and Muller, "A note on the generation of random normal deviates", 1958; 1 - u keeps the
 * logarithm finite. */
static double normal_at(Stream s, uint64_t step, int64_t element)
{
    double radius = sqrt(-2.0 * log(1.0 - uniform_at(s, 2 * step, element)));
    return radius * cos(2.0 * M_PI * uniform_at(s, 2 * step + 1, element));
}

/* Drawn again until within two standard deviations: attempt is part of the counter. */
static double truncated_normal_at(Stream s, int64_t element)
{
    for (uint64_t attempt = 0; attempt < 64; attempt++) {
        double value = normal_at(s, attempt, element);
        if (fabs(value) <= 2.0)
            return value;
    }
    return 0.0;
}

static void put(DType dtype, void *data, int64_t element, double value)
{
    scalar_convert(DT_F64, dtype, &value, (char *)data + (size_t)element * dtype_bytes(dtype), 1);
}

static double value_at(const InitSpec *spec, Stream s, int64_t element)
{
    switch (spec->kind) {
    case INIT_UNIFORM:
        return spec->a + (spec->b - spec->a) * uniform_at(s, 0, element);
    case INIT_NORMAL:
        return spec->a + spec->b * normal_at(s, 0, element);
    case INIT_TRUNC_NORMAL:
        return spec->a + spec->b * truncated_normal_at(s, element);
    default:
        return spec->a;
    }
}

/* Reflects the columns from `from` on of the m x n matrix (row-major) by I - 2 v v^T / |v|^2, v
 * on rows from..m. */
static void reflect(double *matrix, int64_t n, int64_t m, int64_t from, int64_t first_column,
                    const double *v)
{
    double norm = 0;
    for (int64_t i = from; i < m; i++)
        norm += v[i] * v[i];
    if (norm == 0)
        return;
    for (int64_t j = first_column; j < n; j++) {
        double dot = 0;
        for (int64_t i = from; i < m; i++)
            dot += v[i] * matrix[i * n + j];
        for (int64_t i = from; i < m; i++)
            matrix[i * n + j] -= 2 * dot / norm * v[i];
    }
}

/* a (m x n, m >= n) becomes R above the diagonal; reflectors go to v (n rows of m); q becomes
 * the first n columns of Q. */
static void householder_qr(double *a, double *v, double *q, int64_t m, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        double norm = 0, *column = v + k * m;
        for (int64_t i = k; i < m; i++)
            norm += a[i * n + k] * a[i * n + k];
        norm = sqrt(norm);
        for (int64_t i = k; i < m; i++)
            column[i] = a[i * n + k];
        column[k] += column[k] >= 0 ? norm : -norm;
        reflect(a, n, m, k, k, column);
    }
    for (int64_t i = 0; i < m * n; i++)
        q[i] = i / n == i % n;
    for (int64_t k = n - 1; k >= 0; k--)
        reflect(q, n, m, k, 0, v + k * m);
}

static bool fill_orthogonal(double gain, Stream s, DType dtype, int64_t rows, int64_t columns,
                            void *data)
{
    bool tall = rows >= columns;
    int64_t m = tall ? rows : columns, n = tall ? columns : rows;
    if (m == 0 || n == 0)
        return true;
    double *work = malloc(sizeof(double) * (size_t)(3 * m * n));
    if (!work)
        return false;
    double *a = work, *v = work + m * n, *q = work + 2 * m * n;
    for (int64_t i = 0; i < m * n; i++)
        a[i] = normal_at(s, 0, i);
    householder_qr(a, v, q, m, n);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double value = gain * (a[j * n + j] < 0 ? -q[i * n + j] : q[i * n + j]);
            put(dtype, data, tall ? i * n + j : j * m + i, value);
        }
    free(work);
    return true;
}

bool init_fill(const InitSpec *spec, const char *name, uint64_t seed, DType dtype, int rank,
               const int64_t *sizes, void *data)
{
    Stream s = stream_of(seed, name);
    int64_t count = 1;
    for (int axis = 0; axis < rank; axis++)
        count *= sizes[axis];
    if (spec->kind == INIT_ORTHOGONAL && rank >= 2 && sizes[0] > 0)
        return fill_orthogonal(spec->a, s, dtype, sizes[0], count / sizes[0], data);
    for (int64_t i = 0; i < count; i++)
        put(dtype, data, i,
            spec->kind == INIT_EYE ? spec->a * (rank == 2 && i / sizes[1] == i % sizes[1])
                                   : value_at(spec, s, i));
    return true;
}
