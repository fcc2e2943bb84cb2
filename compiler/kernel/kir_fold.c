/* Arithmetic that needs no instruction. Applied as the builder appends, so a kernel never holds
 * what can be known here.
 *
 * Integers only: constants are computed, neutral operands vanish, a constant operand goes to the
 * right, and sums and products of i64 scalars (indices) are kept in the form  (terms without
 * constants) + constant:
 *
 *   (i + 1) * 8 + j   ->   i*8 + j + 8      so that the eight neighbours of a tile share i*8 + j
 *
 * All of it is exact in wrapping arithmetic. Floats are left as written: the contract of numbers
 * wants the operations in their order. */
#include "compiler/kernel/kir_rules.h"
#include "runtime/base/bug.h"

int64_t kir_wrap(DType dtype, uint64_t value)
{
    switch (dtype) {
    case DT_BOOL:
        return (int64_t)(value & 1);
    case DT_U8:
        return (int64_t)(value & 255);
    case DT_I8:
        return (int64_t)(int8_t)(uint8_t)value;
    case DT_I32:
        return (int64_t)(int32_t)(uint32_t)value;
    default:
        return (int64_t)value;
    }
}

static uint64_t bits_of(DType dtype)
{
    return dtype == DT_BOOL ? 1 : dtype_bytes(dtype) * 8;
}

static uint64_t unsigned_value(DType dtype, int64_t value)
{
    return dtype == DT_I32 ? (uint32_t)value : dtype == DT_I8 ? (uint8_t)value : (uint64_t)value;
}

static int64_t floor_divide(int64_t x, int64_t y)
{
    int64_t quotient = (int64_t)((uint64_t)0 - (uint64_t)x); /* y == -1 wraps instead of trapping */
    if (y != -1) {
        quotient = x / y - (x % y != 0 && (x < 0) != (y < 0));
    }
    return quotient;
}

static uint64_t multiply_high(uint64_t x, uint64_t y)
{
    return (uint64_t)(uint32_t)x * (uint32_t)y >> 32;
}

/* x op y of two constants of one type; false: not defined (a division by zero, a shift by too
 * much). */
static bool compute(KOp op, DType dtype, int64_t x, int64_t y, int64_t *result)
{
    uint64_t a = (uint64_t)x, c = (uint64_t)y, ua = unsigned_value(dtype, x),
             uc = unsigned_value(dtype, y);
    if ((op == K_IDIV || op == K_IMOD) && y == 0) {
        return false;
    }
    if (op >= K_SHL && op <= K_ASHR && uc >= bits_of(dtype)) {
        return false;
    }
    switch (op) {
    case K_ADD:
        *result = (int64_t)(a + c);
        return true;
    case K_SUB:
        *result = (int64_t)(a - c);
        return true;
    case K_MUL:
        *result = (int64_t)(a * c);
        return true;
    case K_IDIV:
        *result = floor_divide(x, y);
        return true;
    case K_IMOD:
        *result = (int64_t)(a - c * (uint64_t)floor_divide(x, y));
        return true;
    case K_IMIN:
        *result = x < y ? x : y;
        return true;
    case K_IMAX:
        *result = x > y ? x : y;
        return true;
    case K_UMULHI:
        *result = (int64_t)multiply_high(a, c);
        return true;
    case K_AND:
        *result = x & y;
        return true;
    case K_OR:
        *result = x | y;
        return true;
    case K_XOR:
        *result = x ^ y;
        return true;
    case K_SHL:
        *result = (int64_t)(a << c);
        return true;
    case K_LSHR:
        *result = (int64_t)(ua >> c);
        return true;
    case K_ASHR:
        *result = x >> y;
        return true;
    case K_EQ:
        *result = x == y;
        return true;
    case K_NE:
        *result = x != y;
        return true;
    case K_LT:
        *result = x < y;
        return true;
    case K_LE:
        *result = x <= y;
        return true;
    case K_ULT:
        *result = ua < uc;
        return true;
    default:
        return false;
    }
}

static bool commutes(KOp op)
{
    return op == K_ADD || op == K_MUL || op == K_AND || op == K_OR || op == K_XOR || op == K_IMIN ||
           op == K_IMAX || op == K_UMULHI || op == K_EQ || op == K_NE;
}

/* x op c with a constant c that makes it trivial. */
static KInst *neutral(KBuilder *b, KOp op, KType type, KInst *x, int64_t c)
{
    int64_t ones = kir_wrap(type.dtype, UINT64_MAX);
    bool keeps = (c == 0 && (op == K_ADD || op == K_SUB || op == K_OR || op == K_XOR ||
                             (op >= K_SHL && op <= K_ASHR))) ||
                 (c == 1 && (op == K_MUL || op == K_IDIV)) || (c == ones && op == K_AND);
    bool vanishes = (c == 0 && (op == K_MUL || op == K_AND)) || (c == 1 && op == K_IMOD);
    return keeps                     ? x
           : vanishes                ? kir_splat_int(b, type, 0)
           : op == K_OR && c == ones ? kir_splat_int(b, type, c)
                                     : NULL;
}

/* x op x */
static KInst *of_equals(KBuilder *b, KOp op, KType type, KInst *x)
{
    switch (op) {
    case K_AND:
    case K_OR:
    case K_IMIN:
    case K_IMAX:
        return x;
    case K_SUB:
    case K_XOR:
        return kir_splat_int(b, type, 0);
    case K_EQ:
    case K_LE:
        return kir_splat_int(b, type, 1);
    case K_NE:
    case K_LT:
    case K_ULT:
        return kir_splat_int(b, type, 0);
    default:
        return NULL;
    }
}

/* inst = base + constant or base * constant? */
static bool with_constant(const KInst *inst, KOp op, KInst **base, int64_t *constant)
{
    if (inst->op == op && kir_constant(inst->src[1], constant)) {
        *base = inst->src[0];
        return true;
    }
    return false;
}

static KInst *plus(KBuilder *b, KInst *x, uint64_t constant)
{
    return kir_binary(b, K_ADD, x, kir_splat_int(b, x->type, (int64_t)constant));
}

/* Sums and products of indices: the constant goes outermost. c is NULL when y is not constant. */
static KInst *gather_constants(KBuilder *b, KOp op, KInst *x, KInst *y, const int64_t *c)
{
    KInst *base;
    int64_t inner;
    if (op == K_SUB && c) {
        return plus(b, x, (uint64_t)0 - (uint64_t)*c);
    }
    if (op == K_MUL && c && with_constant(x, K_MUL, &base, &inner)) {
        return kir_binary(b, K_MUL, base,
                          kir_splat_int(b, x->type, (int64_t)((uint64_t)inner * (uint64_t)*c)));
    }
    if (op == K_MUL && c && with_constant(x, K_ADD, &base, &inner)) {
        return plus(b, kir_binary(b, K_MUL, base, y), (uint64_t)inner * (uint64_t)*c);
    }
    if (op == K_ADD && c && with_constant(x, K_ADD, &base, &inner)) {
        return plus(b, base, (uint64_t)inner + (uint64_t)*c);
    }
    if ((op == K_ADD || op == K_SUB) && !c && with_constant(x, K_ADD, &base, &inner)) {
        return plus(b, kir_binary(b, op, base, y), (uint64_t)inner);
    }
    if ((op == K_ADD || op == K_SUB) && !c && with_constant(y, K_ADD, &base, &inner)) {
        return plus(b, kir_binary(b, op, x, base),
                    op == K_ADD ? (uint64_t)inner : (uint64_t)0 - (uint64_t)inner);
    }
    return NULL;
}

static KInst *simplify_binary(KBuilder *b, KOp op, KType type, KInst *x, KInst *y)
{
    int64_t left, right, result;
    bool left_known = kir_constant(x, &left), right_known = kir_constant(y, &right);
    if (left_known && right_known) {
        return compute(op, x->type.dtype, left, right, &result) ? kir_splat_int(b, type, result)
                                                                : NULL;
    }
    if (left_known && commutes(op)) {
        return kir_binary(b, op, y, x);
    }
    KInst *simpler = right_known ? neutral(b, op, type, x, right) : NULL;
    if (!simpler && x == y) {
        simpler = of_equals(b, op, type, x);
    }
    if (!simpler && x->type.dtype == DT_I64 && x->type.lanes == 1) {
        simpler = gather_constants(b, op, x, y, right_known ? &right : NULL);
    }
    return simpler;
}

KInst *kir_simplify(KBuilder *b, KOp op, KType type, KInst *const *src)
{
    int64_t value;
    if (op == K_SELECT) {
        bool known = kir_constant(src[0], &value);
        return known ? src[value ? 1 : 2] : src[1] == src[2] ? src[1] : NULL;
    }
    if (dtype_is_float(src[0]->type.dtype)) {
        return NULL;
    }
    if (op == K_NEG && kir_constant(src[0], &value)) {
        return kir_splat_int(b, type, (int64_t)((uint64_t)0 - (uint64_t)value));
    }
    return kop_info(op)->operands == 2 ? simplify_binary(b, op, type, src[0], src[1]) : NULL;
}
