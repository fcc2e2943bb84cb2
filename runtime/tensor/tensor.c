/* Host tensors: sizes are multiplied with overflow checks once, here, and trusted afterwards. */
#include "runtime/tensor/tensor.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

bool tensor_measure(DType dtype, int rank, const int64_t *sizes, int64_t *count, size_t *bytes)
{
    if (rank < 0 || rank > TENSOR_MAX_RANK) {
        return false;
    }
    int64_t elements = 1, product = (int64_t)dtype_bytes(dtype);
    bool empty = false;
    for (int axis = 0; axis < rank; axis++) {
        if (sizes[axis] < 0) {
            return false;
        }
        if (sizes[axis] == 0) {
            empty = true; /* the other sizes must still multiply, so that strides exist */
        } else if (__builtin_mul_overflow(product, sizes[axis], &product) ||
                   product > INT64_MAX / 2) {
            return false;
        } else {
            elements *= sizes[axis];
        }
    }
    *count = empty ? 0 : elements;
    *bytes = empty ? 0 : (size_t)product;
    return true;
}

Tensor *tensor_new(DType dtype, int rank, const int64_t *sizes)
{
    Tensor shape = {.dtype = dtype, .rank = rank};
    if (!tensor_measure(dtype, rank, sizes, &shape.count, &shape.bytes)) {
        return NULL;
    }
    Tensor *tensor = malloc(sizeof *tensor);
    shape.data = tensor ? memory_new(shape.bytes) : NULL;
    if (!shape.data) {
        free(tensor);
        return NULL;
    }
    memset(shape.data, 0, shape.bytes);
    *tensor = shape;
    if (rank > 0) {
        memcpy(tensor->sizes, sizes, sizeof *sizes * (size_t)rank);
    }
    return tensor;
}

void tensor_free(Tensor *tensor)
{
    if (tensor) {
        free(tensor->data);
        free(tensor);
    }
}

bool tensor_same_shape(int rank_a, const int64_t *a, int rank_b, const int64_t *b)
{
    if (rank_a != rank_b) {
        return false;
    }
    for (int axis = 0; axis < rank_a; axis++) {
        if (a[axis] != b[axis]) {
            return false;
        }
    }
    return true;
}
