/* The C reading of scalar_math.inc and scalar_int.inc. Each text is included once per type:
 * floats of 32 and 64 bits, integers u8 i8 i32 i64, bool. Around each function a loop over
 * arrays is made, and the loops are put into one table by op and type. */
#include "runtime/base/scalar.h"

#include "runtime/base/bug.h"

#include <math.h>
#include <string.h>

/* ---- floats ---- */

static inline int32_t bits_of_f32(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float f32_of_bits(int32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline int64_t bits_of_f64(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double f64_of_bits(int64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define NAMED(name) JOIN(name, JOIN(_, TYPE_NAME))
#define SCALAR_1(name, RESULT, x) static inline RESULT NAMED(name)(VALUE x)
#define SCALAR_2(name, RESULT, x, y) static inline RESULT NAMED(name)(VALUE x, VALUE y)
#define SCALAR_3(name, RESULT, x, y, z) static inline RESULT NAMED(name)(VALUE x, VALUE y, VALUE z)
#define SCALAR_SELECT(name, c, x, y) static inline VALUE NAMED(name)(BOOLEAN c, VALUE x, VALUE y)
#define SCALAR_CALL_2(name, x, y) NAMED(name)(x, y)
#define BOOLEAN uint8_t
#define BAND(c, d) ((BOOLEAN)((c) & (d)))
#define BOR(c, d) ((BOOLEAN)((c) | (d)))
#define BXOR(c, d) ((BOOLEAN)((c) ^ (d)))
#define BNOT(c) ((BOOLEAN)((c) ^ 1))

#define CONST(c) ((VALUE)(c))
#define ICONST(i) ((INTEGER)(i))
#define ADD(x, y) ((x) + (y))
#define SUB(x, y) ((x) - (y))
#define MUL(x, y) ((x) * (y))
#define DIV(x, y) ((x) / (y))
#define NEG(x) (-(x))
#define LT(x, y) ((BOOLEAN)((x) < (y)))
#define LE(x, y) ((BOOLEAN)((x) <= (y)))
#define EQ(x, y) ((BOOLEAN)((x) == (y)))
#define NE(x, y) ((BOOLEAN)((x) != (y)))
#define SELECT(c, x, y) ((c) ? (x) : (y))
#define IEQ(i, j) ((BOOLEAN)((i) == (j)))
#define ILT(i, j) ((BOOLEAN)((i) < (j)))
#define ILE(i, j) ((BOOLEAN)((i) <= (j)))
#define IADD(i, j) ((INTEGER)((UNSIGNED)(i) + (UNSIGNED)(j)))
#define ISUB(i, j) ((INTEGER)((UNSIGNED)(i) - (UNSIGNED)(j)))
#define IAND(i, j) ((INTEGER)((i) & (j)))
#define IOR(i, j) ((INTEGER)((i) | (j)))
#define IXOR(i, j) ((INTEGER)((i) ^ (j)))
#define ISHL(i, n) ((INTEGER)((UNSIGNED)(i) << (n)))
#define IASHR(i, n) ((INTEGER)((i) >> (n))) /* arithmetic in every compiler that we build with */

#define TYPE_NAME f32
#define SCALAR_WIDTH 32
#define VALUE float
#define INTEGER int32_t
#define UNSIGNED uint32_t
#define ABS(x) fabsf(x)
#define FMA(x, y, z) fmaf(x, y, z)
#define FLOOR(x) floorf(x)
#define CEIL(x) ceilf(x)
#define RINT(x) rintf(x)
#define SQRT(x) sqrtf(x)
#define BITS(x) bits_of_f32(x)
#define FLOATBITS(i) f32_of_bits(i)
#include "runtime/base/scalar_math.inc"
#undef TYPE_NAME
#undef SCALAR_WIDTH
#undef VALUE
#undef INTEGER
#undef UNSIGNED
#undef ABS
#undef FMA
#undef FLOOR
#undef CEIL
#undef RINT
#undef SQRT
#undef BITS
#undef FLOATBITS

#define TYPE_NAME f64
#define SCALAR_WIDTH 64
#define VALUE double
#define INTEGER int64_t
#define UNSIGNED uint64_t
#define ABS(x) fabs(x)
#define FMA(x, y, z) fma(x, y, z)
#define FLOOR(x) floor(x)
#define CEIL(x) ceil(x)
#define RINT(x) rint(x)
#define SQRT(x) sqrt(x)
#define BITS(x) bits_of_f64(x)
#define FLOATBITS(i) f64_of_bits(i)
#include "runtime/base/scalar_math.inc"
#undef TYPE_NAME
#undef SCALAR_WIDTH
#undef VALUE
#undef INTEGER
#undef UNSIGNED
#undef ABS

/* ---- integers ---- */

/* Floor division for y other than 0 and -1. */
static inline int64_t divide_down(int64_t x, int64_t y)
{
    int64_t quotient = x / y;
    return quotient - (x % y != 0 && (x < 0) != (y < 0));
}

static inline int64_t remainder_up(int64_t x, int64_t y)
{
    int64_t remainder = x % y;
    return remainder != 0 && (remainder < 0) != (y < 0) ? remainder + y : remainder;
}

#undef ICONST
#define ICONST(i) ((VALUE)(i))
#define INTEGER VALUE
#define IMUL(i, j) ((VALUE)((WIDE)(i) * (WIDE)(j)))
#define INEG(i) ((VALUE)(0 - (WIDE)(i)))
#define IDIV(i, j) ((VALUE)divide_down((int64_t)(i), (int64_t)(j)))
#define IMOD(i, j) ((VALUE)remainder_up((int64_t)(i), (int64_t)(j)))
#define ISHLV(i, n) ((VALUE)((WIDE)(i) << (n)))
#define ILSHRV(i, n) ((VALUE)((UNSIGNED)(i) >> (n)))
#define ISELECT(c, x, y) ((VALUE)((c) ? (x) : (y)))
#define SCALAR_SIGNED 1
#define SCALAR_UNSIGNED 2
#define SCALAR_BOOL 3

#define SCALAR_KIND SCALAR_SIGNED
#define TYPE_NAME i32
#define SCALAR_WIDTH 32
#define VALUE int32_t
#define UNSIGNED uint32_t
#define WIDE uint32_t
#include "runtime/base/scalar_int.inc"
#undef TYPE_NAME
#undef SCALAR_WIDTH
#undef VALUE
#undef UNSIGNED
#undef WIDE

#define TYPE_NAME i64
#define SCALAR_WIDTH 64
#define VALUE int64_t
#define UNSIGNED uint64_t
#define WIDE uint64_t
#include "runtime/base/scalar_int.inc"
#undef TYPE_NAME
#undef SCALAR_WIDTH
#undef VALUE
#undef UNSIGNED
#undef WIDE
#undef SCALAR_KIND

#define SCALAR_KIND SCALAR_SIGNED
#define TYPE_NAME i8
#define SCALAR_WIDTH 8
#define VALUE int8_t
#define UNSIGNED uint8_t
#define WIDE uint32_t
#include "runtime/base/scalar_int.inc"
#undef TYPE_NAME
#undef SCALAR_WIDTH
#undef VALUE
#undef UNSIGNED
#undef WIDE
#undef SCALAR_KIND

#define SCALAR_KIND SCALAR_UNSIGNED
#define TYPE_NAME u8
#define SCALAR_WIDTH 8
#define VALUE uint8_t
#define UNSIGNED uint8_t
#define WIDE uint32_t
#include "runtime/base/scalar_int.inc"
#undef TYPE_NAME
#undef SCALAR_KIND

#define SCALAR_KIND SCALAR_BOOL
#define TYPE_NAME b1
#include "runtime/base/scalar_int.inc"

/* ---- loops over arrays ---- */

typedef void MapFunction(const void *const *args, void *out, size_t count);

#define LOOP_1(name, tag, Type, Result)                                                            \
    static void map_##name##_##tag(const void *const *args, void *out, size_t count)               \
    {                                                                                              \
        const Type *x = args[0];                                                                   \
        Result *result = out;                                                                      \
        for (size_t i = 0; i < count; i++) {                                                       \
            result[i] = name##_##tag(x[i]);                                                        \
        }                                                                                          \
    }
#define LOOP_2(name, tag, Type, Result)                                                            \
    static void map_##name##_##tag(const void *const *args, void *out, size_t count)               \
    {                                                                                              \
        const Type *x = args[0], *y = args[1];                                                     \
        Result *result = out;                                                                      \
        for (size_t i = 0; i < count; i++) {                                                       \
            result[i] = name##_##tag(x[i], y[i]);                                                  \
        }                                                                                          \
    }
#define LOOP_3(name, tag, Type, Result)                                                            \
    static void map_##name##_##tag(const void *const *args, void *out, size_t count)               \
    {                                                                                              \
        const First_##name##_##tag *x = args[0];                                                   \
        const Type *y = args[1], *z = args[2];                                                     \
        Result *result = out;                                                                      \
        for (size_t i = 0; i < count; i++) {                                                       \
            result[i] = name##_##tag(x[i], y[i], z[i]);                                            \
        }                                                                                          \
    }
typedef uint8_t First_select_f32, First_select_f64, First_select_u8, First_select_i8,
    First_select_i32, First_select_i64, First_select_b1, First_select_small;
typedef float First_fma_f32;
typedef double First_fma_f64;

#define RESULT_SAME(Type) Type
#define RESULT_TEST(Type) uint8_t
#define ON_NO(...)
#define ON_YES(name, operands, tag, Type, result)                                                  \
    LOOP_##operands(name, tag, Type, RESULT_##result(Type))
#define SCALAR(e, name, operands, on_float, on_int, on_bool, result)                               \
    ON_##on_float(name, operands, f32, float, result)                                              \
        ON_##on_float(name, operands, f64, double, result)                                         \
            ON_##on_int(name, operands, u8, uint8_t, result)                                       \
                ON_##on_int(name, operands, i8, int8_t, result)                                    \
                    ON_##on_int(name, operands, i32, int32_t, result)                              \
                        ON_##on_int(name, operands, i64, int64_t, result)                          \
                            ON_##on_bool(name, operands, b1, uint8_t, result)
#include "runtime/base/scalar.def"

/* What moves an f16 or a bf16 needs not know what it means. */
static inline uint16_t select_small(uint8_t condition, uint16_t x, uint16_t y)
{
    return condition ? x : y;
}
LOOP_3(select, small, uint16_t, uint16_t)

typedef struct {
    const char *name;
    int operands;
    bool is_test;
    MapFunction *map[DT_COUNT]; /* NULL: not legal on the type */
} ScalarRow;

#define IS_SAME false
#define IS_TEST true
#define AT_NO(name, tag) NULL
#define AT_YES(name, tag) map_##name##_##tag
static const ScalarRow rows[SCALAR_COUNT] = {
#define SCALAR(e, name, operands, on_float, on_int, on_bool, result)                               \
    [SCALAR_##e] = {#name,                                                                         \
                    operands,                                                                      \
                    IS_##result,                                                                   \
                    {[DT_F32] = AT_##on_float(name, f32),                                          \
                     [DT_F64] = AT_##on_float(name, f64),                                          \
                     [DT_U8] = AT_##on_int(name, u8),                                              \
                     [DT_I8] = AT_##on_int(name, i8),                                              \
                     [DT_I32] = AT_##on_int(name, i32),                                            \
                     [DT_I64] = AT_##on_int(name, i64),                                            \
                     [DT_BOOL] = AT_##on_bool(name, b1)}},
#include "runtime/base/scalar.def"
};

const char *scalar_name(ScalarOp op)
{
    return rows[op].name;
}

bool scalar_from_name(const char *name, ScalarOp *op)
{
    for (int i = 0; i < SCALAR_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *op = (ScalarOp)i;
            return true;
        }
    }
    return false;
}

int scalar_operands(ScalarOp op)
{
    return rows[op].operands;
}

bool scalar_is_test(ScalarOp op)
{
    return rows[op].is_test;
}

static MapFunction *map_of(ScalarOp op, DType type)
{
    bool moves = op == SCALAR_SELECT && dtype_is_small_float(type);
    return moves ? map_select_small : rows[op].map[type];
}

bool scalar_legal(ScalarOp op, DType type)
{
    return map_of(op, type) != NULL;
}

void scalar_map(ScalarOp op, DType type, const void *const *args, void *out, size_t count)
{
    MapFunction *map = map_of(op, type);
    if (!map) {
        NNC_BUG("%s is not defined on %s", scalar_name(op), dtype_name(type));
    }
    map(args, out, count);
}

/* ---- single values ---- */

float scalar_eval_f32(ScalarOp op, const float *args)
{
    uint8_t condition = op == SCALAR_SELECT && args[0] != 0, test = 0;
    const void *pointers[3] = {args, args + 1, args + 2};
    float value = 0;
    if (op == SCALAR_SELECT) {
        pointers[0] = &condition;
    }
    scalar_map(op, DT_F32, pointers, scalar_is_test(op) ? (void *)&test : (void *)&value, 1);
    return scalar_is_test(op) ? (float)test : value;
}

double scalar_eval_f64(ScalarOp op, const double *args)
{
    uint8_t condition = op == SCALAR_SELECT && args[0] != 0, test = 0;
    const void *pointers[3] = {args, args + 1, args + 2};
    double value = 0;
    if (op == SCALAR_SELECT) {
        pointers[0] = &condition;
    }
    scalar_map(op, DT_F64, pointers, scalar_is_test(op) ? (void *)&test : (void *)&value, 1);
    return scalar_is_test(op) ? (double)test : value;
}

int64_t scalar_eval_int(ScalarOp op, DType type, const int64_t *args)
{
    int64_t cells[3] = {0}, result_cell = 0, result = 0;
    const void *pointers[3] = {&cells[0], &cells[1], &cells[2]};
    for (int i = 0; i < scalar_operands(op); i++) {
        DType from = op == SCALAR_SELECT && i == 0 ? DT_BOOL : type;
        scalar_convert(DT_I64, from, &args[i], &cells[i], 1);
    }
    scalar_map(op, type, pointers, &result_cell, 1);
    scalar_convert(scalar_is_test(op) ? DT_BOOL : type, DT_I64, &result_cell, &result, 1);
    return result;
}
