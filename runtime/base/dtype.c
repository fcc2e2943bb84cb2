/* Element types, read out of DTYPE_TABLE: names, sizes and kinds. */
#include "runtime/base/dtype.h"

#include "runtime/base/bug.h"
#include "runtime/base/small_float.h"

#include <string.h>

typedef struct {
    const char *name;
    size_t bytes;
    DTypeKind kind;
} DTypeRow;

static const DTypeRow rows[DT_COUNT] = {
#define DTYPE(e, text, ctype, bytes, kind) [DT_##e] = {text, bytes, kind},
    DTYPE_TABLE(DTYPE)
#undef DTYPE
};

#define DTYPE(e, text, ctype, bytes, kind)                                                         \
    _Static_assert(sizeof(ctype) == (bytes), "the size in the table is the size of the C type");
DTYPE_TABLE(DTYPE)
#undef DTYPE

const char *dtype_name(DType type)
{
    NNC_ASSERT(type < DT_COUNT);
    return rows[type].name;
}

size_t dtype_bytes(DType type)
{
    NNC_ASSERT(type < DT_COUNT);
    return rows[type].bytes;
}

DTypeKind dtype_kind(DType type)
{
    NNC_ASSERT(type < DT_COUNT);
    return rows[type].kind;
}

bool dtype_from_name(const char *name, DType *type)
{
    for (int i = 0; i < DT_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *type = (DType)i;
            return true;
        }
    }
    return false;
}

double dtype_round(DType type, double value)
{
    switch (type) {
    case DT_F32:
        return (double)(float)value;
    case DT_F16:
        return (double)f32_of_f16(f16_of_f32((float)value));
    case DT_BF16:
        return (double)f32_of_bf16(bf16_of_f32((float)value));
    default:
        return value;
    }
}

int64_t dtype_least(DType type)
{
    return type == DT_I64 ? INT64_MIN : type == DT_I32 ? INT32_MIN : type == DT_I8 ? INT8_MIN : 0;
}

int64_t dtype_largest(DType type)
{
    return type == DT_I64    ? INT64_MAX
           : type == DT_I32  ? INT32_MAX
           : type == DT_I8   ? INT8_MAX
           : type == DT_BOOL ? 1
                             : UINT8_MAX;
}
