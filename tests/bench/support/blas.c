/* Libraries are opened by the names that Debian gives them (peers.sh system). libxsmm has no shared
 * one there, so it is missing. */
#include "tests/bench/support/blas.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_MAJOR = 101, PLAIN = 111, TURNED = 112 };

typedef void CblasProduct(int order, int tx, int ty, int rows, int columns, int depth, float alpha,
                          const float *x, int ldx, const float *y, int ldy, float beta, float *z,
                          int ldz);
typedef int DnnlProduct(char tx, char ty, int64_t rows, int64_t columns, int64_t depth, float alpha,
                        const float *x, int64_t ldx, const float *y, int64_t ldy, float beta,
                        float *z, int64_t ldz);

int blas_open(Blas *found)
{
    static const struct {
        const char *name, *file, *symbol;
    } known[BLAS_MOST] = {{"OpenBLAS", "libopenblas.so.0", "cblas_sgemm"},
                          {"BLIS", "libblis.so.4", "cblas_sgemm"},
                          {"oneDNN", "libdnnl.so.2", "dnnl_sgemm"}};
    int count = 0;
    setenv("OMP_NUM_THREADS", "1", 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    setenv("BLIS_NUM_THREADS", "1", 1);
    for (int i = 0; i < BLAS_MOST; i++) {
        void *library = dlopen(known[i].file, RTLD_NOW | RTLD_LOCAL);
        void *function = library ? dlsym(library, known[i].symbol) : NULL;
        if (function)
            found[count++] = (Blas){known[i].name, function, known[i].symbol[0] == 'c'};
    }
    return count;
}

void blas_multiply(const Blas *blas, const BlasProduct *p)
{
    int64_t ldx = p->tx ? p->rows : p->depth, ldy = p->ty ? p->depth : p->columns;
    if (blas->cblas) {
        CblasProduct *product;
        memcpy(&product, &blas->function, sizeof product);
        product(ROW_MAJOR, p->tx ? TURNED : PLAIN, p->ty ? TURNED : PLAIN, (int)p->rows,
                (int)p->columns, (int)p->depth, 1, p->x, (int)ldx, p->y, (int)ldy, 0, p->z,
                (int)p->columns);
        return;
    }
    DnnlProduct *product;
    memcpy(&product, &blas->function, sizeof product);
    product(p->tx ? 'T' : 'N', p->ty ? 'T' : 'N', p->rows, p->columns, p->depth, 1, p->x, ldx, p->y,
            ldy, 0, p->z, p->columns);
}
