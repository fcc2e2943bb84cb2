/* Initial values of parameters and states. Random ones are functions of (seed, name, element): the same whatever the order
 * in which tensors are filled.
 *
 *   INIT_CONSTANT a        INIT_UNIFORM a..b        INIT_NORMAL mean a, std b (Box-Muller on Philox, f64)
 *   INIT_TRUNC_NORMAL mean a, std b, cut at two std  INIT_ORTHOGONAL gain a: rows or columns orthonormal (Householder QR of a
 *   normal matrix, signs of R's diagonal folded in, as PyTorch does), the first axis against the product of the rest
 *   INIT_EYE: ones on the diagonal of a matrix */
#ifndef NNC_TRAIN_INIT_H
#define NNC_TRAIN_INIT_H
#include "runtime/base/dtype.h"

typedef enum { INIT_CONSTANT, INIT_UNIFORM, INIT_NORMAL, INIT_TRUNC_NORMAL, INIT_ORTHOGONAL, INIT_EYE } InitKind;

typedef struct {
    InitKind kind;
    double a, b;
} InitSpec;

/* Fills data (row-major, sizes[0..rank)). False: no memory for a work area (orthogonal only). */
bool init_fill(const InitSpec *spec, const char *name, uint64_t seed, DType dtype, int rank, const int64_t *sizes,
               void *data);

#endif
