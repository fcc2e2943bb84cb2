/* Element types, one row each: DTYPE(enum, text, C type, bytes, kind). The text is the name in
 * the language. The numbers are those of nnc_dtype in nnc.h, so new types come last.
 *
 * f16 and bf16 are stored in two bytes and computed in f32: an operation widens its operands,
 * which is exact, and rounds its result once, to nearest even. In C they are their bits. bf16 is
 * the upper half of an f32. */
#ifndef NNC_BASE_DTYPE_H
#define NNC_BASE_DTYPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DTYPE_TABLE(DTYPE)                                                                         \
    DTYPE(BOOL, "bool", uint8_t, 1, KIND_BOOL)                                                     \
    DTYPE(U8, "u8", uint8_t, 1, KIND_INT)                                                          \
    DTYPE(I32, "i32", int32_t, 4, KIND_INT)                                                        \
    DTYPE(I64, "i64", int64_t, 8, KIND_INT)                                                        \
    DTYPE(F32, "f32", float, 4, KIND_FLOAT)                                                        \
    DTYPE(F64, "f64", double, 8, KIND_FLOAT)                                                       \
    DTYPE(I8, "i8", int8_t, 1, KIND_INT)                                                           \
    DTYPE(F16, "f16", uint16_t, 2, KIND_FLOAT)                                                     \
    DTYPE(BF16, "bf16", uint16_t, 2, KIND_FLOAT)

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
int64_t dtype_least(DType type);                     /* of an integer type; bool: 0 and 1 */
int64_t dtype_largest(DType type);
double
dtype_round(DType type,
            double value); /* the float nearest to value by way of f32, as it is computed with */
/* Stored in fewer bytes than it is computed in? */
static inline bool dtype_is_small_float(DType type)
{
    return type == DT_F16 || type == DT_BF16;
}
static inline bool dtype_is_float(DType type)
{
    return type == DT_F32 || type == DT_F64 || dtype_is_small_float(type);
}
/* The type that arithmetic on `type` is done in. */
static inline DType dtype_computed(DType type)
{
    return dtype_is_small_float(type) ? DT_F32 : type;
}

#endif
