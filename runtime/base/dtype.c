/* Element types, read out of DTYPE_TABLE: names, sizes and kinds. */
#include "runtime/base/dtype.h"

#include "runtime/base/bug.h"

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
