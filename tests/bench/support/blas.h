/* Matrix products of other libraries, as they are found on this machine: nothing here is needed to
 * build. All run on the calling thread alone.
 *
 *   Blas blas[BLAS_MOST];
 *   int found = blas_open(blas);
 *   blas_multiply(&blas[0], &(BlasProduct){.rows = 2, .columns = 3, .depth = 4, ..}); */
#ifndef NNC_BENCH_BLAS_H
#define NNC_BENCH_BLAS_H
#include <stdbool.h>
#include <stdint.h>

enum { BLAS_MOST = 3 };

typedef struct {
    const char *name;
    void *function;
    bool cblas; /* else the form of oneDNN */
} Blas;

/* Row-major. x is [rows, depth], or [depth, rows] when tx; y is [depth, columns], or
 * [columns, depth] when ty. */
typedef struct {
    int64_t rows, columns, depth;
    bool tx, ty;
    const float *x, *y;
    float *z;
} BlasProduct;

/* Before anything of this process uses OpenMP: it sets the number of threads. Returns how many. */
int blas_open(Blas *found);
void blas_multiply(const Blas *blas, const BlasProduct *product);

#endif
