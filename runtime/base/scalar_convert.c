/* Conversions between element types: a loop for each pair, in a table by source and destination.
 * The rules are those of scalar.h; CONVERT of kernel IR follows the same ones. */
#include "runtime/base/bug.h"
#include "runtime/base/scalar.h"
#include "runtime/base/small_float.h"

/* A float cut towards zero and held within [low, high]; both bounds are exact as doubles or lie
 * beyond the last integer. */
static inline int64_t cut_f64(double x, int64_t low, int64_t high)
{
    if (x != x) {
        return 0;
    }
    if (x <= (double)low) {
        return low;
    }
    return x >= (double)high ? high : (int64_t)x;
}

#define AS_BOOL(x) ((uint8_t)((x) != 0))
#define WRAP_U8(x) ((uint8_t)(uint64_t)(x))
#define WRAP_I8(x) ((int8_t)(uint8_t)(uint64_t)(x))
#define WRAP_I32(x) ((int32_t)(uint32_t)(uint64_t)(x))
#define WRAP_I64(x) ((int64_t)(x))
#define CUT_U8(x) ((uint8_t)cut_f64((double)(x), 0, UINT8_MAX))
#define CUT_I8(x) ((int8_t)cut_f64((double)(x), INT8_MIN, INT8_MAX))
#define CUT_I32(x) ((int32_t)cut_f64((double)(x), INT32_MIN, INT32_MAX))
#define CUT_I64(x) cut_f64((double)(x), INT64_MIN, INT64_MAX)
#define AS_F32(x) ((float)(x))
#define AS_F64(x) ((double)(x))
#define AS_F16(x) f16_of_f32((float)(x))
#define AS_BF16(x) bf16_of_f32((float)(x))
#define SAME(x) (x)

/* READ makes a number of C out of an element: f16 and bf16 are widened. */
#define CONVERT_LOOP(from_tag, From, READ, to_tag, To, rule)                                       \
    static void convert_##from_tag##_##to_tag(const void *in, void *out, size_t count)             \
    {                                                                                              \
        const From *x = in;                                                                        \
        To *y = out;                                                                               \
        for (size_t i = 0; i < count; i++) {                                                       \
            y[i] = rule(READ(x[i]));                                                               \
        }                                                                                          \
    }
#define CONVERT_TO_FLOATS(tag, From, READ)                                                         \
    CONVERT_LOOP(tag, From, READ, b1, uint8_t, AS_BOOL)                                            \
    CONVERT_LOOP(tag, From, READ, f32, float, AS_F32)                                              \
    CONVERT_LOOP(tag, From, READ, f64, double, AS_F64)                                             \
    CONVERT_LOOP(tag, From, READ, f16, uint16_t, AS_F16)                                           \
    CONVERT_LOOP(tag, From, READ, bf16, uint16_t, AS_BF16)
#define CONVERT_FROM_INT(tag, From)                                                                \
    CONVERT_TO_FLOATS(tag, From, SAME)                                                             \
    CONVERT_LOOP(tag, From, SAME, u8, uint8_t, WRAP_U8)                                            \
    CONVERT_LOOP(tag, From, SAME, i8, int8_t, WRAP_I8)                                             \
    CONVERT_LOOP(tag, From, SAME, i32, int32_t, WRAP_I32)                                          \
    CONVERT_LOOP(tag, From, SAME, i64, int64_t, WRAP_I64)
#define CONVERT_FROM_FLOAT(tag, From, READ)                                                        \
    CONVERT_TO_FLOATS(tag, From, READ)                                                             \
    CONVERT_LOOP(tag, From, READ, u8, uint8_t, CUT_U8)                                             \
    CONVERT_LOOP(tag, From, READ, i8, int8_t, CUT_I8)                                              \
    CONVERT_LOOP(tag, From, READ, i32, int32_t, CUT_I32)                                           \
    CONVERT_LOOP(tag, From, READ, i64, int64_t, CUT_I64)
CONVERT_FROM_INT(b1, uint8_t)
CONVERT_FROM_INT(u8, uint8_t)
CONVERT_FROM_INT(i8, int8_t)
CONVERT_FROM_INT(i32, int32_t)
CONVERT_FROM_INT(i64, int64_t)
CONVERT_FROM_FLOAT(f32, float, SAME)
CONVERT_FROM_FLOAT(f64, double, SAME)
CONVERT_FROM_FLOAT(f16, uint16_t, f32_of_f16)
CONVERT_FROM_FLOAT(bf16, uint16_t, f32_of_bf16)

typedef void ConvertFunction(const void *in, void *out, size_t count);

#define CONVERT_ROW(tag)                                                                           \
    {                                                                                              \
        [DT_BOOL] = convert_##tag##_b1, [DT_U8] = convert_##tag##_u8,                              \
        [DT_I32] = convert_##tag##_i32, [DT_I64] = convert_##tag##_i64,                            \
        [DT_F32] = convert_##tag##_f32, [DT_F64] = convert_##tag##_f64,                            \
        [DT_I8] = convert_##tag##_i8, [DT_F16] = convert_##tag##_f16,                              \
        [DT_BF16] = convert_##tag##_bf16                                                           \
    }
static ConvertFunction *const conversions[DT_COUNT][DT_COUNT] = {
    [DT_BOOL] = CONVERT_ROW(b1), [DT_U8] = CONVERT_ROW(u8),   [DT_I32] = CONVERT_ROW(i32),
    [DT_I64] = CONVERT_ROW(i64), [DT_F32] = CONVERT_ROW(f32), [DT_F64] = CONVERT_ROW(f64),
    [DT_I8] = CONVERT_ROW(i8),   [DT_F16] = CONVERT_ROW(f16), [DT_BF16] = CONVERT_ROW(bf16),
};

void scalar_convert(DType from, DType to, const void *in, void *out, size_t count)
{
    NNC_ASSERT(from < DT_COUNT && to < DT_COUNT);
    conversions[from][to](in, out, count);
}
