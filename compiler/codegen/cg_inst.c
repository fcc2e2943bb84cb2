/* Arithmetic: from one instruction of kernel IR to a few of LLVM IR. Every emitter serves scalars
 * and vectors alike, for LLVM's builders do. The table at the end is the whole dispatch.
 *
 *   %4 = halves_add %3 : f32  (of f32x16)   ->   8 lanes + 8 lanes, 4 + 4, 2 + 2, lane 0 + lane 1
 */
#include "compiler/codegen/cg.h"
#include "compiler/kernel/kir_rules.h"
#include "runtime/base/bug.h"

static LLVMValueRef source(const Cg *cg, const KInst *inst, int which)
{
    return cg_value(cg, inst->src[which]);
}

static bool is_float(const KInst *inst)
{
    return dtype_is_float(inst->src[0]->type.dtype);
}

static bool is_unsigned(DType dtype)
{
    return dtype == DT_U8 || dtype == DT_BOOL;
}

/* A function of LLVM that is overloaded on its operand type only. */
static LLVMValueRef typed_intrinsic(Cg *cg, const char *name, LLVMValueRef *args, int count)
{
    LLVMTypeRef type = LLVMTypeOf(args[0]);
    return cg_intrinsic(cg, name, &type, 1, args, count);
}

/* ---- leaves ---- */

static LLVMValueRef emit_const(Cg *cg, const KInst *inst)
{
    return dtype_is_float(inst->type.dtype) ? cg_float_splat(cg, inst->type, inst->f)
                                            : cg_int_splat(cg, inst->type, inst->i);
}

/* Values of the call do not change while the kernel runs: they are loaded once, before everything
 * else. */
static LLVMValueRef emit_of_call(Cg *cg, const KInst *inst)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(cg->builder);
    LLVMPositionBuilderAtEnd(cg->builder, cg->entry);
    CallField field = inst->op == K_DIM ? CALL_DIMS : inst->op == K_SEED ? CALL_SEED : CALL_STEP;
    LLVMValueRef value = cg_field(cg, cg->call, field);
    if (inst->op == K_DIM) {
        value = cg_load_slot(cg, cg->i64, value, inst->i);
    }
    LLVMPositionBuilderAtEnd(cg->builder, here);
    return value;
}

static LLVMValueRef emit_iota(Cg *cg, const KInst *inst)
{
    LLVMTypeRef element = cg_type(cg, ktype(inst->type.dtype, 1));
    if (inst->type.lanes == 1) {
        return LLVMConstNull(element);
    }
    LLVMValueRef *lanes = ARENA_ARRAY(cg->scratch, LLVMValueRef, inst->type.lanes);
    for (int i = 0; i < inst->type.lanes; i++) {
        lanes[i] = LLVMConstInt(element, (uint64_t)i, false);
    }
    return LLVMConstVector(lanes, inst->type.lanes);
}

/* ---- arithmetic ---- */

/* The operation of integers and that of floats, by opcode; 0: there is none. */
static const struct {
    LLVMOpcode of_ints, of_floats;
} opcodes[K_COUNT] = {
    [K_ADD] = {LLVMAdd, LLVMFAdd}, [K_SUB] = {LLVMSub, LLVMFSub}, [K_MUL] = {LLVMMul, LLVMFMul},
    [K_DIV] = {0, LLVMFDiv},       [K_AND] = {LLVMAnd, 0},        [K_OR] = {LLVMOr, 0},
    [K_XOR] = {LLVMXor, 0},        [K_SHL] = {LLVMShl, 0},        [K_LSHR] = {LLVMLShr, 0},
};

static LLVMValueRef emit_binary(Cg *cg, const KInst *inst)
{
    LLVMOpcode opcode = is_float(inst) ? opcodes[inst->op].of_floats : opcodes[inst->op].of_ints;
    return LLVMBuildBinOp(cg->builder, opcode, source(cg, inst, 0), source(cg, inst, 1), "");
}

static LLVMValueRef emit_ashr(Cg *cg, const KInst *inst)
{
    LLVMOpcode opcode = is_unsigned(inst->type.dtype) ? LLVMLShr : LLVMAShr;
    return LLVMBuildBinOp(cg->builder, opcode, source(cg, inst, 0), source(cg, inst, 1), "");
}

static LLVMValueRef emit_neg(Cg *cg, const KInst *inst)
{
    LLVMValueRef x = source(cg, inst, 0);
    return is_float(inst) ? LLVMBuildFNeg(cg->builder, x, "") : LLVMBuildNeg(cg->builder, x, "");
}

static LLVMValueRef emit_abs(Cg *cg, const KInst *inst)
{
    LLVMValueRef x = source(cg, inst, 0);
    if (is_float(inst)) {
        return typed_intrinsic(cg, "llvm.fabs", &x, 1);
    }
    LLVMValueRef wraps[2] = {x, LLVMConstInt(cg->i1, 0, false)};
    return is_unsigned(inst->type.dtype) ? x : typed_intrinsic(cg, "llvm.abs", wraps, 2);
}

static LLVMValueRef emit_rounding(Cg *cg, const KInst *inst)
{
    static const char *const names[K_COUNT] = {
        [K_FLOOR] = "llvm.floor",
        [K_CEIL] = "llvm.ceil",
        [K_RINT] = "llvm.rint",
        [K_SQRT] = "llvm.sqrt",
    };
    LLVMValueRef x = source(cg, inst, 0);
    return typed_intrinsic(cg, names[inst->op], &x, 1);
}

static LLVMValueRef emit_fma(Cg *cg, const KInst *inst)
{
    LLVMValueRef args[3] = {source(cg, inst, 0), source(cg, inst, 1), source(cg, inst, 2)};
    return typed_intrinsic(cg, "llvm.fma", args, 3);
}

static LLVMValueRef minimum_or_maximum(Cg *cg, bool minimum, DType dtype, LLVMValueRef x,
                                       LLVMValueRef y)
{
    static const char *const names[2][2] = {{"llvm.smax", "llvm.umax"}, {"llvm.smin", "llvm.umin"}};
    LLVMValueRef args[2] = {x, y};
    return typed_intrinsic(cg, names[minimum][is_unsigned(dtype)], args, 2);
}

static LLVMValueRef emit_imin_imax(Cg *cg, const KInst *inst)
{
    return minimum_or_maximum(cg, inst->op == K_IMIN, inst->type.dtype, source(cg, inst, 0),
                              source(cg, inst, 1));
}

static LLVMValueRef emit_umulhi(Cg *cg, const KInst *inst)
{
    LLVMTypeRef wide = cg_vector_of(cg->i64, inst->type.lanes);
    LLVMValueRef x = LLVMBuildZExt(cg->builder, source(cg, inst, 0), wide, "");
    LLVMValueRef y = LLVMBuildZExt(cg->builder, source(cg, inst, 1), wide, "");
    LLVMValueRef product = LLVMBuildMul(cg->builder, x, y, "");
    LLVMValueRef high = LLVMBuildLShr(cg->builder, product,
                                      cg_int_splat(cg, ktype(DT_I64, inst->type.lanes), 32), "");
    return LLVMBuildTrunc(cg->builder, high, cg_type(cg, inst->type), "");
}

/* ---- division of integers ---- */

/* A divisor that no lane can trap on: 0 (only in lanes that do not count) and -1 (INT_MIN / -1
 * overflows) become 1. */
static LLVMValueRef safe_divisor(Cg *cg, KType type, LLVMValueRef y, LLVMValueRef *is_minus_one)
{
    LLVMValueRef bad = LLVMBuildICmp(cg->builder, LLVMIntEQ, y, cg_int_splat(cg, type, 0), "");
    *is_minus_one = NULL;
    if (!is_unsigned(type.dtype)) {
        *is_minus_one = LLVMBuildICmp(cg->builder, LLVMIntEQ, y, cg_int_splat(cg, type, -1), "");
        bad = LLVMBuildOr(cg->builder, bad, *is_minus_one, "");
    }
    return LLVMBuildSelect(cg->builder, bad, cg_int_splat(cg, type, 1), y, "");
}

/* Quotient towards zero, less one where the remainder is not zero and the signs differ. */
static LLVMValueRef floor_quotient(Cg *cg, KType type, LLVMValueRef x, LLVMValueRef y)
{
    LLVMBuilderRef b = cg->builder;
    if (is_unsigned(type.dtype)) {
        return LLVMBuildUDiv(b, x, y, "");
    }
    LLVMValueRef zero = cg_int_splat(cg, type, 0);
    LLVMValueRef quotient = LLVMBuildSDiv(b, x, y, "");
    LLVMValueRef rest = LLVMBuildSub(b, x, LLVMBuildMul(b, quotient, y, ""), "");
    LLVMValueRef inexact = LLVMBuildICmp(b, LLVMIntNE, rest, zero, "");
    LLVMValueRef differ = LLVMBuildICmp(b, LLVMIntSLT, LLVMBuildXor(b, x, y, ""), zero, "");
    LLVMValueRef less =
        LLVMBuildSExt(b, LLVMBuildAnd(b, inexact, differ, ""), cg_type(cg, type), "");
    return LLVMBuildAdd(b, quotient, less, "");
}

static LLVMValueRef divide(Cg *cg, const KInst *inst)
{
    LLVMValueRef x = source(cg, inst, 0), y = source(cg, inst, 1);
    int64_t constant;
    if (kir_constant(inst->src[1], &constant) && constant > 0) {
        bool power = (constant & (constant - 1)) == 0;
        if (power && !is_unsigned(inst->type.dtype)) {
            return LLVMBuildAShr(cg->builder, x,
                                 cg_int_splat(cg, inst->type, __builtin_ctzll((uint64_t)constant)),
                                 "");
        }
        return floor_quotient(cg, inst->type, x, y);
    }
    LLVMValueRef is_minus_one;
    LLVMValueRef divisor = safe_divisor(cg, inst->type, y, &is_minus_one);
    LLVMValueRef quotient = floor_quotient(cg, inst->type, x, divisor);
    if (!is_minus_one) {
        return quotient;
    }
    return LLVMBuildSelect(cg->builder, is_minus_one, LLVMBuildNeg(cg->builder, x, ""), quotient,
                           "");
}

static LLVMValueRef emit_idiv(Cg *cg, const KInst *inst)
{
    return divide(cg, inst);
}

static LLVMValueRef emit_imod(Cg *cg, const KInst *inst)
{
    LLVMValueRef x = source(cg, inst, 0), y = source(cg, inst, 1);
    int64_t constant;
    if (kir_constant(inst->src[1], &constant) && constant > 0 && (constant & (constant - 1)) == 0) {
        return LLVMBuildAnd(cg->builder, x, cg_int_splat(cg, inst->type, constant - 1), "");
    }
    return LLVMBuildSub(cg->builder, x, LLVMBuildMul(cg->builder, divide(cg, inst), y, ""), "");
}

/* ---- comparisons and choices ---- */

static LLVMValueRef emit_compare(Cg *cg, const KInst *inst)
{
    static const struct {
        LLVMIntPredicate of_signed, of_unsigned;
        LLVMRealPredicate of_floats;
    } predicates[K_COUNT] = {
        [K_EQ] = {LLVMIntEQ, LLVMIntEQ, LLVMRealOEQ},
        [K_NE] = {LLVMIntNE, LLVMIntNE, LLVMRealUNE},
        [K_LT] = {LLVMIntSLT, LLVMIntULT, LLVMRealOLT},
        [K_LE] = {LLVMIntSLE, LLVMIntULE, LLVMRealOLE},
        [K_ULT] = {LLVMIntULT, LLVMIntULT, LLVMRealOLT},
    };
    LLVMValueRef x = source(cg, inst, 0), y = source(cg, inst, 1);
    if (is_float(inst)) {
        return LLVMBuildFCmp(cg->builder, predicates[inst->op].of_floats, x, y, "");
    }
    bool is_u = is_unsigned(inst->src[0]->type.dtype);
    return LLVMBuildICmp(cg->builder,
                         is_u ? predicates[inst->op].of_unsigned : predicates[inst->op].of_signed,
                         x, y, "");
}

static LLVMValueRef emit_select(Cg *cg, const KInst *inst)
{
    return LLVMBuildSelect(cg->builder, source(cg, inst, 0), source(cg, inst, 1),
                           source(cg, inst, 2), "");
}

/* ---- conversions ---- */

static LLVMValueRef float_to_int(Cg *cg, LLVMValueRef x, LLVMTypeRef to, DType dtype)
{
    LLVMTypeRef overloads[2] = {to, LLVMTypeOf(x)};
    return cg_intrinsic(cg, is_unsigned(dtype) ? "llvm.fptoui.sat" : "llvm.fptosi.sat", overloads,
                        2, &x, 1);
}

static LLVMValueRef convert_float(Cg *cg, LLVMValueRef x, KType from, KType to)
{
    LLVMTypeRef type = cg_type(cg, to);
    if (to.dtype == DT_BOOL) {
        return LLVMBuildFCmp(cg->builder, LLVMRealUNE, x, LLVMConstNull(cg_type(cg, from)), "");
    }
    if (!dtype_is_float(to.dtype)) {
        return float_to_int(cg, x, type, to.dtype);
    }
    return from.dtype == DT_F64 ? LLVMBuildFPTrunc(cg->builder, x, type, "")
                                : LLVMBuildFPExt(cg->builder, x, type, "");
}

static LLVMValueRef convert_int(Cg *cg, LLVMValueRef x, KType from, KType to)
{
    LLVMTypeRef type = cg_type(cg, to);
    LLVMBuilderRef b = cg->builder;
    bool is_u = is_unsigned(from.dtype);
    if (to.dtype == DT_BOOL) {
        return LLVMBuildICmp(b, LLVMIntNE, x, LLVMConstNull(cg_type(cg, from)), "");
    }
    if (dtype_is_float(to.dtype)) {
        return is_u ? LLVMBuildUIToFP(b, x, type, "") : LLVMBuildSIToFP(b, x, type, "");
    }
    if (from.dtype != DT_BOOL && dtype_bytes(from.dtype) > dtype_bytes(to.dtype)) {
        return LLVMBuildTrunc(b, x, type, "");
    }
    return is_u ? LLVMBuildZExt(b, x, type, "") : LLVMBuildSExt(b, x, type, "");
}

static LLVMValueRef emit_convert(Cg *cg, const KInst *inst)
{
    KType from = inst->src[0]->type, to = inst->type;
    LLVMValueRef x = source(cg, inst, 0);
    if (from.dtype == to.dtype) {
        return x;
    }
    if (dtype_is_small_float(from.dtype)) {
        x = cg_widen_small(cg, x, from);
        from.dtype = DT_F32;
    }
    to.dtype = dtype_computed(to.dtype);
    if (from.dtype != to.dtype) {
        x = dtype_is_float(from.dtype) ? convert_float(cg, x, from, to)
                                       : convert_int(cg, x, from, to);
    }
    return dtype_is_small_float(inst->type.dtype) ? cg_round_small(cg, x, inst->type) : x;
}

static LLVMValueRef emit_bitcast(Cg *cg, const KInst *inst)
{
    return LLVMBuildBitCast(cg->builder, source(cg, inst, 0), cg_type(cg, inst->type), "");
}

/* ---- lanes ---- */

static LLVMValueRef emit_splat(Cg *cg, const KInst *inst)
{
    return cg_splat(cg, source(cg, inst, 0), inst->type.lanes);
}

static LLVMValueRef lane(Cg *cg, LLVMValueRef vector, int64_t which)
{
    return LLVMBuildExtractElement(cg->builder, vector, cg_index(cg, which), "");
}

static LLVMValueRef emit_extract(Cg *cg, const KInst *inst)
{
    LLVMValueRef x = source(cg, inst, 0);
    return inst->src[0]->type.lanes == 1 ? x : lane(cg, x, inst->i);
}

static LLVMValueRef as_vector(Cg *cg, LLVMValueRef x, KType type)
{
    if (type.lanes > 1) {
        return x;
    }
    LLVMTypeRef vector = LLVMVectorType(cg_type(cg, type), 1);
    return LLVMBuildInsertElement(cg->builder, LLVMGetPoison(vector), x, cg_index(cg, 0), "");
}

static LLVMValueRef emit_shuffle(Cg *cg, const KInst *inst)
{
    LLVMValueRef x = as_vector(cg, source(cg, inst, 0), inst->src[0]->type);
    LLVMValueRef y = as_vector(cg, source(cg, inst, 1), inst->src[1]->type);
    LLVMValueRef picked = cg_shuffle(cg, x, y, inst->mask, inst->type.lanes);
    return inst->type.lanes == 1 ? lane(cg, picked, 0) : picked;
}

/* x where x > y (or x < y) or x is NaN, else y: a NaN on either side survives. */
static LLVMValueRef propagate_extreme(Cg *cg, bool minimum, LLVMValueRef x, LLVMValueRef y)
{
    LLVMValueRef wins = LLVMBuildFCmp(cg->builder, minimum ? LLVMRealOLT : LLVMRealOGT, x, y, "");
    LLVMValueRef is_nan = LLVMBuildFCmp(cg->builder, LLVMRealUNO, x, x, "");
    return LLVMBuildSelect(cg->builder, LLVMBuildOr(cg->builder, wins, is_nan, ""), x, y, "");
}

static LLVMValueRef combine(Cg *cg, KOp op, DType dtype, LLVMValueRef x, LLVMValueRef y)
{
    bool is_f = dtype_is_float(dtype);
    if (op == K_HALVES_ADD || op == K_HALVES_MUL) {
        KOp plain = op == K_HALVES_ADD ? K_ADD : K_MUL;
        return LLVMBuildBinOp(cg->builder, is_f ? opcodes[plain].of_floats : opcodes[plain].of_ints,
                              x, y, "");
    }
    bool minimum = op == K_HALVES_MIN;
    return is_f ? propagate_extreme(cg, minimum, x, y)
                : minimum_or_maximum(cg, minimum, dtype, x, y);
}

static LLVMValueRef emit_halves(Cg *cg, const KInst *inst)
{
    int lanes = inst->src[0]->type.lanes;
    LLVMValueRef x = source(cg, inst, 0);
    if (lanes == 1) {
        return x;
    }
    for (; lanes > 2; lanes /= 2) {
        int32_t *picks = ARENA_ARRAY(cg->scratch, int32_t, lanes);
        for (int i = 0; i < lanes; i++) {
            picks[i] = i;
        }
        LLVMValueRef low = cg_shuffle(cg, x, x, picks, lanes / 2);
        LLVMValueRef high = cg_shuffle(cg, x, x, picks + lanes / 2, lanes / 2);
        x = combine(cg, inst->op, inst->type.dtype, low, high);
    }
    return combine(cg, inst->op, inst->type.dtype, lane(cg, x, 0), lane(cg, x, 1));
}

/* ---- dispatch ---- */

static LLVMValueRef emit_nothing(Cg *cg, const KInst *inst)
{
    (void)cg, (void)inst;
    return NULL;
}

static CgEmit *const emitters[K_COUNT] = {
    [K_CONST] = emit_const,       [K_DIM] = emit_of_call,       [K_SEED] = emit_of_call,
    [K_STEP] = emit_of_call,      [K_ADD] = emit_binary,        [K_SUB] = emit_binary,
    [K_MUL] = emit_binary,        [K_DIV] = emit_binary,        [K_NEG] = emit_neg,
    [K_ABS] = emit_abs,           [K_FLOOR] = emit_rounding,    [K_CEIL] = emit_rounding,
    [K_RINT] = emit_rounding,     [K_SQRT] = emit_rounding,     [K_FMA] = emit_fma,
    [K_IDIV] = emit_idiv,         [K_IMOD] = emit_imod,         [K_IMIN] = emit_imin_imax,
    [K_IMAX] = emit_imin_imax,    [K_UMULHI] = emit_umulhi,     [K_AND] = emit_binary,
    [K_OR] = emit_binary,         [K_XOR] = emit_binary,        [K_SHL] = emit_binary,
    [K_LSHR] = emit_binary,       [K_ASHR] = emit_ashr,         [K_EQ] = emit_compare,
    [K_NE] = emit_compare,        [K_LT] = emit_compare,        [K_LE] = emit_compare,
    [K_ULT] = emit_compare,       [K_SELECT] = emit_select,     [K_CONVERT] = emit_convert,
    [K_BITCAST] = emit_bitcast,   [K_SPLAT] = emit_splat,       [K_IOTA] = emit_iota,
    [K_EXTRACT] = emit_extract,   [K_SHUFFLE] = emit_shuffle,   [K_HALVES_ADD] = emit_halves,
    [K_HALVES_MUL] = emit_halves, [K_HALVES_MAX] = emit_halves, [K_HALVES_MIN] = emit_halves,
    [K_LOAD] = cg_emit_load,      [K_STORE] = cg_emit_store,    [K_PREFETCH] = cg_emit_prefetch,
    [K_FAIL] = cg_emit_fail,      [K_FOR] = cg_emit_for,        [K_IF] = cg_emit_if,
    [K_RESULT] = cg_emit_result,  [K_YIELD] = emit_nothing,
};

LLVMValueRef cg_value(const Cg *cg, const KInst *inst)
{
    LLVMValueRef value = cg->values[inst->id];
    NNC_ASSERT(value);
    return value;
}

void cg_emit_block(Cg *cg, const KBlock *block)
{
    for (uint32_t i = 0; i < block->insts.count; i++) {
        const KInst *inst = block->insts.data[i];
        CgEmit *emit = emitters[inst->op];
        if (!emit) {
            NNC_BUG("no code for %s", kop_info(inst->op)->text);
        }
        if (!cg->skipped[inst->id]) {
            cg->values[inst->id] = emit(cg, inst);
        }
    }
}
