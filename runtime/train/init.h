/* Initial values of parameters and states. Random ones are functions of (seed, name, element):
 * the same whatever the order in which tensors are filled. Normal numbers come from Box and
 * Muller's method on Philox, in f64; orthogonal matrices from a Householder QR of a normal
 * matrix with the signs of R's diagonal folded in, as PyTorch does. */
#ifndef NNC_TRAIN_INIT_H
#define NNC_TRAIN_INIT_H
#include "runtime/base/dtype.h"
#include "runtime/base/initial.h"

/* Fills data (row-major, sizes[0..rank)). False: no memory for a work area (orthogonal only). */
bool init_fill(const InitSpec *spec, const char *name, uint64_t seed, DType dtype, int rank, const int64_t *sizes,
               void *data);

#endif
