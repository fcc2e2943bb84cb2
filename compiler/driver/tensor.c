/* Tensors of the public API: row-major arrays, owned or wrapped. */
#include "compiler/driver/handles.h"
#include "runtime/base/memory.h"
#include "runtime/base/scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)NNC_F64 == (int)DT_F64 && (int)NNC_U8 == (int)DT_U8 &&
                   (int)NNC_I8 == (int)DT_I8 && (int)NNC_BF16 == (int)DT_BF16,
               "public element types follow DType");

static bool checked_bytes(DType dtype, int rank, const int64_t *sizes, size_t *bytes)
{
    int64_t count = (int64_t)dtype_bytes(dtype);
    for (int axis = 0; axis < rank; axis++)
        if (sizes[axis] < 0 || __builtin_mul_overflow(count, sizes[axis], &count))
            return false;
    *bytes = (size_t)count;
    return count < INT64_MAX / 2;
}

static nnc_status tensor_make(nnc_dtype dtype, int rank, const int64_t *sizes, void *data,
                              bool owned, nnc_tensor **out)
{
    size_t bytes;
    if (rank < 0 || rank > 8 || (rank > 0 && !sizes) || (int)dtype < 0 || (int)dtype >= DT_COUNT ||
        !checked_bytes((DType)dtype, rank, sizes, &bytes))
        return NNC_ARGUMENT;
    nnc_tensor *tensor = calloc(1, sizeof *tensor);
    if (!tensor)
        return NNC_MEMORY;
    *tensor = (nnc_tensor){
        .references = 1, .dtype = (DType)dtype, .rank = rank, .data = data, .owned = owned};
    for (int axis = 0; axis < rank; axis++)
        tensor->sizes[axis] = sizes[axis];
    if (owned && !(tensor->data = memory_new(bytes + 64))) {
        free(tensor);
        return NNC_MEMORY;
    }
    if (owned)
        memset(tensor->data, 0, bytes);
    *out = tensor;
    return NNC_OK;
}

nnc_status nnc_tensor_new(nnc_dtype dtype, int rank, const int64_t *sizes, nnc_tensor **tensor)
{
    return tensor_make(dtype, rank, sizes, NULL, true, tensor);
}

nnc_status nnc_tensor_wrap(nnc_dtype dtype, int rank, const int64_t *sizes, void *data,
                           nnc_tensor **tensor)
{
    return data ? tensor_make(dtype, rank, sizes, data, false, tensor) : NNC_ARGUMENT;
}

void nnc_tensor_release(nnc_tensor *tensor)
{
    if (!tensor || --tensor->references > 0)
        return;
    if (tensor->owned)
        free(tensor->data);
    nnc_model_release(tensor->model);
    free(tensor);
}

nnc_dtype nnc_tensor_dtype(const nnc_tensor *tensor)
{
    return (nnc_dtype)tensor->dtype;
}

int nnc_tensor_rank(const nnc_tensor *tensor)
{
    return tensor->rank;
}

int64_t nnc_tensor_size(const nnc_tensor *tensor, int axis)
{
    return axis >= 0 && axis < tensor->rank ? tensor->sizes[axis] : 1;
}

int64_t nnc_tensor_elements(const nnc_tensor *tensor)
{
    int64_t count = 1;
    for (int axis = 0; axis < tensor->rank; axis++)
        count *= tensor->sizes[axis];
    return count;
}

void *nnc_tensor_data(nnc_tensor *tensor)
{
    return tensor->data;
}

double nnc_tensor_number(const nnc_tensor *tensor, int64_t element)
{
    double value;
    if (element < 0 || element >= nnc_tensor_elements(tensor))
        return NAN;
    scalar_convert(tensor->dtype, DT_F64,
                   (const char *)tensor->data + (size_t)element * dtype_bytes(tensor->dtype),
                   &value, 1);
    return value;
}

nnc_status nnc_tensor_set_number(nnc_tensor *tensor, int64_t element, double value)
{
    if (element < 0 || element >= nnc_tensor_elements(tensor))
        return NNC_ARGUMENT;
    scalar_convert(DT_F64, tensor->dtype, &value,
                   (char *)tensor->data + (size_t)element * dtype_bytes(tensor->dtype), 1);
    return NNC_OK;
}
