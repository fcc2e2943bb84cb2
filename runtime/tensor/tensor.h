/* Tensors in host memory: an element type, up to eight sizes, elements contiguous and row-major,
 * 64-byte aligned. */
#ifndef NNC_TENSOR_TENSOR_H
#define NNC_TENSOR_TENSOR_H
#include "runtime/base/dtype.h"

enum { TENSOR_MAX_RANK = 8 };

typedef struct {
    DType dtype;
    int rank;
    int64_t sizes[TENSOR_MAX_RANK];
    int64_t count; /* elements */
    size_t bytes;
    void *data;    /* never NULL, also when there are no elements */
} Tensor;

/* Elements and bytes of a shape; false when a size is negative, the rank is not 0..8 or the
 * product leaves 2^62. */
bool tensor_measure(DType dtype, int rank, const int64_t *sizes, int64_t *count, size_t *bytes);
/* Zeroed. NULL when the shape is impossible or memory is refused. */
Tensor *tensor_new(DType dtype, int rank, const int64_t *sizes);
void tensor_free(Tensor *tensor); /* NULL is allowed */
bool tensor_same_shape(int rank_a, const int64_t *a, int rank_b, const int64_t *b);

#endif
