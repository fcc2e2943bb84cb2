/* Statistics of a column: the mean first, then the mean square of the distances from it. */
#include "runtime/data/data.h"

#include "runtime/base/bug.h"
#include "runtime/base/scalar.h"

#include <math.h>
#include <stdlib.h>

/* Adds every element of the rows to `sums`: as it is, or squared after its mean was taken off. */
static void accumulate(const DataColumn *column, const int64_t *rows, int64_t count,
                       const double *mean, double *cells, double *sums)
{
    size_t elements = (size_t)column->row_bytes / dtype_bytes(column->dtype);
    for (size_t i = 0; i < elements; i++) {
        sums[i] = 0;
    }
    for (int64_t k = 0; k < count; k++) {
        int64_t row = rows ? rows[k] : k;
        scalar_convert(column->dtype, DT_F64, column->data + row * column->row_bytes, cells,
                       elements);
        for (size_t i = 0; i < elements; i++) {
            double distance = mean ? cells[i] - mean[i] : 0;
            sums[i] += mean ? distance * distance : cells[i];
        }
    }
    for (size_t i = 0; i < elements; i++) {
        sums[i] /= (double)count;
    }
}

void data_moments(const DataColumn *column, const int64_t *rows, int64_t count, double *mean,
                  double *deviation)
{
    size_t elements = (size_t)column->row_bytes / dtype_bytes(column->dtype);
    double *cells = malloc((elements + 1) * sizeof *cells);
    if (!cells) {
        NNC_BUG("out of memory");
    }
    accumulate(column, rows, count, NULL, cells, mean);
    accumulate(column, rows, count, mean, cells, deviation);
    for (size_t i = 0; i < elements; i++) {
        deviation[i] = sqrt(deviation[i]);
    }
    free(cells);
}
