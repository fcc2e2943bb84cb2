/* Elementwise functions as kernel IR: the second reading of runtime/base/scalar_math.inc and
 * scalar_int.inc (the first is C, in runtime/base/scalar.c). Each text is included once per type
 * with its base operations defined as calls of the builder, so that `VALUE r = FMA(x, y, z)` in the
 * text emits one instruction here and computes one number there, and both give the same bits. */
#include "compiler/graph/order.h"
#include "compiler/lower/context.h"

#include "runtime/base/bug.h"
#include "runtime/base/scalar.h"

#include <math.h>
#include <string.h>

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define NAMED(name) JOIN(name, JOIN(_, TYPE_NAME))
#define BUILD __attribute__((unused)) static KInst *
#define SCALAR_1(name, RESULT, x)                                                                  \
    BUILD NAMED(name)(__attribute__((unused)) KBuilder * at, KInst * x)
#define SCALAR_2(name, RESULT, x, y)                                                               \
    BUILD NAMED(name)(__attribute__((unused)) KBuilder * at, KInst * x, KInst * y)
#define SCALAR_3(name, RESULT, x, y, z)                                                            \
    BUILD NAMED(name)(__attribute__((unused)) KBuilder * at, KInst * x, KInst * y, KInst * z)
#define SCALAR_SELECT(name, c, x, y)                                                               \
    BUILD NAMED(name)(__attribute__((unused)) KBuilder * at, KInst * c, KInst * x, KInst * y)
#define SCALAR_CALL_2(name, x, y) NAMED(name)(at, x, y)
#define VALUE KInst *
#define INTEGER KInst *
#define BOOLEAN KInst *

#define BAND(c, d) kir_binary(at, K_AND, c, d)
#define BOR(c, d) kir_binary(at, K_OR, c, d)
#define BXOR(c, d) kir_binary(at, K_XOR, c, d)
#define BNOT(c) kir_binary(at, K_XOR, c, kir_int(at, DT_BOOL, 1))
#define SELECT(c, x, y) kir_select(at, c, x, y)
#define ISELECT(c, x, y) kir_select(at, c, x, y)

#define CONST(c) kir_float(at, FLOAT_TYPE, (double)(c))
#define ICONST(i) kir_int(at, INT_TYPE, (int64_t)(i))
#define ADD(x, y) kir_binary(at, K_ADD, x, y)
#define SUB(x, y) kir_binary(at, K_SUB, x, y)
#define MUL(x, y) kir_binary(at, K_MUL, x, y)
#define DIV(x, y) kir_binary(at, K_DIV, x, y)
#define NEG(x) kir_unary(at, K_NEG, x)
#define ABS(x) kir_unary(at, K_ABS, x)
#define FMA(x, y, z) kir_fma(at, x, y, z)
#define FLOOR(x) kir_unary(at, K_FLOOR, x)
#define CEIL(x) kir_unary(at, K_CEIL, x)
#define RINT(x) kir_unary(at, K_RINT, x)
#define SQRT(x) kir_unary(at, K_SQRT, x)
#define LT(x, y) kir_binary(at, K_LT, x, y)
#define LE(x, y) kir_binary(at, K_LE, x, y)
#define EQ(x, y) kir_binary(at, K_EQ, x, y)
#define NE(x, y) kir_binary(at, K_NE, x, y)
#define BITS(x) kir_bitcast(at, x, INT_TYPE)
#define FLOATBITS(i) kir_bitcast(at, i, FLOAT_TYPE)
#define IEQ(i, j) kir_binary(at, K_EQ, i, j)
#define ILT(i, j) kir_binary(at, K_LT, i, j)
#define ILE(i, j) kir_binary(at, K_LE, i, j)
#define IADD(i, j) kir_binary(at, K_ADD, i, j)
#define ISUB(i, j) kir_binary(at, K_SUB, i, j)
#define IAND(i, j) kir_binary(at, K_AND, i, j)
#define IOR(i, j) kir_binary(at, K_OR, i, j)
#define IXOR(i, j) kir_binary(at, K_XOR, i, j)
#define ISHL(i, n) kir_binary(at, K_SHL, i, kir_int(at, INT_TYPE, n))
#define IASHR(i, n) kir_binary(at, K_ASHR, i, kir_int(at, INT_TYPE, n))
#define IMUL(i, j) kir_binary(at, K_MUL, i, j)
#define INEG(i) kir_binary(at, K_SUB, kir_int(at, INT_TYPE, 0), i)
#define IDIV(i, j) kir_binary(at, K_IDIV, i, j)
#define IMOD(i, j) kir_binary(at, K_IMOD, i, j)
#define ISHLV(i, n) kir_binary(at, K_SHL, i, n)
#define ILSHRV(i, n) kir_binary(at, K_LSHR, i, n)
#define SCALAR_SIGNED 1
#define SCALAR_UNSIGNED 2
#define SCALAR_BOOL 3

#define TYPE_NAME f32
#define SCALAR_WIDTH 32
#define FLOAT_TYPE DT_F32
#define INT_TYPE DT_I32
#include "runtime/base/scalar_math.inc"
#undef TYPE_NAME
#undef SCALAR_WIDTH
#undef FLOAT_TYPE
#undef INT_TYPE

#define TYPE_NAME f64
#define SCALAR_WIDTH 64
#define FLOAT_TYPE DT_F64
#define INT_TYPE DT_I64
#include "runtime/base/scalar_math.inc"
#undef TYPE_NAME
#undef SCALAR_WIDTH
#undef FLOAT_TYPE
#undef INT_TYPE

#define SCALAR_KIND SCALAR_SIGNED
#define TYPE_NAME i32
#define SCALAR_WIDTH 32
#define INT_TYPE DT_I32
#include "runtime/base/scalar_int.inc"
#undef TYPE_NAME
#undef SCALAR_WIDTH
#undef INT_TYPE

#define TYPE_NAME i64
#define SCALAR_WIDTH 64
#define INT_TYPE DT_I64
#include "runtime/base/scalar_int.inc"
#undef TYPE_NAME
#undef SCALAR_WIDTH
#undef INT_TYPE
#undef SCALAR_KIND

#define SCALAR_KIND SCALAR_SIGNED
#define TYPE_NAME i8
#define SCALAR_WIDTH 8
#define INT_TYPE DT_I8
#include "runtime/base/scalar_int.inc"
#undef TYPE_NAME
#undef SCALAR_WIDTH
#undef INT_TYPE
#undef SCALAR_KIND

#define SCALAR_KIND SCALAR_UNSIGNED
#define TYPE_NAME u8
#define SCALAR_WIDTH 8
#define INT_TYPE DT_U8
#include "runtime/base/scalar_int.inc"
#undef TYPE_NAME
#undef SCALAR_WIDTH
#undef INT_TYPE
#undef SCALAR_KIND

#define SCALAR_KIND SCALAR_BOOL
#define TYPE_NAME bool
#define INT_TYPE DT_BOOL
#include "runtime/base/scalar_int.inc"
#undef TYPE_NAME
#undef INT_TYPE

/* ---- the table: builders by function and type, with the arity that scalar.def gives them ---- */

typedef struct {
    KInst *(*one)(KBuilder *, KInst *);
    KInst *(*two)(KBuilder *, KInst *, KInst *);
    KInst *(*three)(KBuilder *, KInst *, KInst *, KInst *);
} Builders;

#define FIELD_1 one
#define FIELD_2 two
#define FIELD_3 three
#define PUT_YES(e, name, operands, type, dt) [SCALAR_##e][dt] = {.FIELD_##operands = name##_##type},
#define PUT_NO(e, name, operands, type, dt)
#define PUT(legal, e, name, operands, type, dt) PUT_##legal(e, name, operands, type, dt)

static const Builders builders[SCALAR_COUNT][DT_COUNT] = {
#define SCALAR(e, name, operands, on_float, on_int, on_bool, result)                               \
    PUT(on_float, e, name, operands, f32, DT_F32)                                                  \
    PUT(on_float, e, name, operands, f64, DT_F64)                                                  \
    PUT(on_int, e, name, operands, u8, DT_U8)                                                      \
    PUT(on_int, e, name, operands, i8, DT_I8)                                                      \
    PUT(on_int, e, name, operands, i32, DT_I32)                                                    \
    PUT(on_int, e, name, operands, i64, DT_I64)                                                    \
    PUT(on_bool, e, name, operands, bool, DT_BOOL)
#include "runtime/base/scalar.def"
};

static KInst *build(KBuilder *b, ScalarOp op, DType dtype, KInst *const *x)
{
    const Builders *at = &builders[op][dtype];
    if (at->one != NULL) {
        return at->one(b, x[0]);
    }
    if (at->two != NULL) {
        return at->two(b, x[0], x[1]);
    }
    if (at->three == NULL) {
        NNC_BUG("%s has no definition on %s", scalar_name(op), dtype_name(dtype));
    }
    return at->three(b, x[0], x[1], x[2]);
}

/* Operations and functions have the same names. */
static ScalarOp function_of(OpCode op)
{
    ScalarOp function;
    if (!scalar_from_name(op_info[op].text, &function)) {
        NNC_BUG("%s is not elementwise", op_info[op].text);
    }
    return function;
}

KInst *lower_scalar(LowerContext *c, const Node *node, KInst *const *operands)
{
    if (node->op == OP_CONVERT) {
        return kir_convert(&c->b, operands[0], node->type.dtype);
    }
    if (node->op == OP_STOP || node->op == OP_CHECK) {
        return operands[0];
    }
    DType dtype = operands[node->op == OP_SELECT ? 1 : 0]->type.dtype;
    if (node->op == OP_SELECT && dtype_is_small_float(dtype)) {
        return kir_select(&c->b, operands[0], operands[1], operands[2]);
    }
    return build(&c->b, function_of(node->op), dtype, operands);
}

/* ---- reductions ---- */

KInst *lower_combine(LowerContext *c, OpCode op, KInst *acc, KInst *x)
{
    return build(&c->b, graph_combiner(op), acc->type.dtype, (KInst *[3]){acc, x});
}

KInst *lower_identity(LowerContext *c, OpCode op, DType dtype)
{
    ScalarOp combiner = graph_combiner(op);
    if (dtype_is_float(dtype)) {
        double value = combiner == SCALAR_MUL   ? 1
                       : combiner == SCALAR_MAX ? -INFINITY
                       : combiner == SCALAR_MIN ? INFINITY
                                                : 0;
        return kir_float(&c->b, dtype, value);
    }
    int64_t value = combiner == SCALAR_MAX   ? dtype_least(dtype)
                    : combiner == SCALAR_MIN ? dtype_largest(dtype)
                                             : combiner == SCALAR_MUL || combiner == SCALAR_AND;
    return kir_int(&c->b, dtype, value);
}
