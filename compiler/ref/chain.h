/* The loop of all contractions: acc[i][j] = fma(x[i][k], y[k][j], acc[i][j]) for k ascending.
 * Integers wrap. Strides are in elements; j is dense in acc and y. */
#ifndef NNC_REF_CHAIN_H
#define NNC_REF_CHAIN_H
#include "runtime/base/dtype.h"

typedef struct {
    int64_t rows, columns, depth;
    void *acc;
    int64_t acc_row;
    const void *x;
    int64_t x_row, x_depth;
    const void *y;
    int64_t y_depth;
} Chain;

void chain_run(DType dtype, const Chain *chain);

#endif
