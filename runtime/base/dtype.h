/* Element types, one row each: DTYPE(enum, text, C type, bytes, kind). The text is the name in the language. */
#ifndef NNC_BASE_DTYPE_H
#define NNC_BASE_DTYPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DTYPE_TABLE(DTYPE)                     \
    DTYPE(BOOL, "bool", uint8_t, 1, KIND_BOOL) \
    DTYPE(U8, "u8", uint8_t, 1, KIND_INT)      \
    DTYPE(I32, "i32", int32_t, 4, KIND_INT)    \
    DTYPE(I64, "i64", int64_t, 8, KIND_INT)    \
    DTYPE(F32, "f32", float, 4, KIND_FLOAT)    \
    DTYPE(F64, "f64", double, 8, KIND_FLOAT)

typedef enum { KIND_BOOL, KIND_INT, KIND_FLOAT } DTypeKind;

typedef enum {
#define DTYPE(e, text, ctype, bytes, kind) DT_##e,
    DTYPE_TABLE(DTYPE)
#undef DTYPE
    DT_COUNT
} DType;

const char *dtype_name(DType type);
size_t dtype_bytes(DType type);
DTypeKind dtype_kind(DType type);
bool dtype_from_name(const char *name, DType *type); /* false: no such type */
static inline bool dtype_is_float(DType type) { return type >= DT_F32; }

#endif
