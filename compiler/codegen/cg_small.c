/* f16 and bf16 in generated code: i16 in, f32 out, and back with one rounding. The steps are those
 * of runtime/base/small_float.h on vectors, with selects in place of branches, so the bits agree
 * with the interpreter's; where the machine converts f16 itself (F16C, NEON) it gives the same bits in one
 * instruction. LLVM's own conversions are not used elsewhere: without such an instruction they call
 * a routine of the compiler's library, which code made at run time cannot find.
 *
 *   %2 = convert %1 : bf16x16   ->   (w + 0x7fff + (w >> 16 & 1)) >> 16, a NaN kept one */
#include "compiler/codegen/cg.h"

typedef struct {
    Cg *cg;
    KType type; /* i32 of as many lanes */
} Words;

static Words words_of(Cg *cg, int lanes)
{
    return (Words){cg, {DT_I32, (uint16_t)lanes}};
}

static LLVMValueRef number(Words *w, int64_t value)
{
    return cg_int_splat(w->cg, w->type, value);
}

static LLVMValueRef op(Words *w, LLVMOpcode code, LLVMValueRef x, LLVMValueRef y)
{
    return LLVMBuildBinOp(w->cg->builder, code, x, y, "");
}

static LLVMValueRef op_number(Words *w, LLVMOpcode code, LLVMValueRef x, int64_t value)
{
    return op(w, code, x, number(w, value));
}

static LLVMValueRef choose(Words *w, LLVMIntPredicate test, LLVMValueRef x, int64_t limit,
                           LLVMValueRef yes, LLVMValueRef no)
{
    LLVMValueRef condition = LLVMBuildICmp(w->cg->builder, test, x, number(w, limit), "");
    return LLVMBuildSelect(w->cg->builder, condition, yes, no, "");
}

static LLVMTypeRef floats(Words *w)
{
    return cg_vector_of(w->cg->f32, w->type.lanes);
}

static LLVMValueRef as_float(Words *w, LLVMValueRef x)
{
    return LLVMBuildBitCast(w->cg->builder, x, floats(w), "");
}

static LLVMValueRef as_word(Words *w, LLVMValueRef x)
{
    return LLVMBuildBitCast(w->cg->builder, x, cg_type(w->cg, w->type), "");
}

/* Adds just under half of the last of the `places` that go, one more where what stays is odd, and
 * cuts. */
static LLVMValueRef round_off(Words *w, LLVMValueRef word, int places)
{
    LLVMValueRef odd = op_number(w, LLVMAnd, op_number(w, LLVMLShr, word, places), 1);
    LLVMValueRef half = op_number(w, LLVMAdd, word, ((int64_t)1 << (places - 1)) - 1);
    return op_number(w, LLVMLShr, op(w, LLVMAdd, half, odd), places);
}

static LLVMValueRef widen_bf16(Words *w, LLVMValueRef bits)
{
    return as_float(w, op_number(w, LLVMShl, bits, 16));
}

static LLVMValueRef round_bf16(Words *w, LLVMValueRef word)
{
    LLVMValueRef quiet = op_number(w, LLVMOr, op_number(w, LLVMLShr, word, 16), 0x40);
    return choose(w, LLVMIntUGT, op_number(w, LLVMAnd, word, 0x7FFFFFFF), 0x7F800000, quiet,
                  round_off(w, word, 16));
}

static LLVMValueRef widen_f16(Words *w, LLVMValueRef bits)
{
    LLVMValueRef sign = op_number(w, LLVMShl, op_number(w, LLVMAnd, bits, 0x8000), 16);
    LLVMValueRef rest = op_number(w, LLVMShl, op_number(w, LLVMAnd, bits, 0x7FFF), 13);
    LLVMValueRef scale = cg_float_splat(w->cg, (KType){DT_F32, w->type.lanes}, 0x1p112);
    LLVMValueRef finite = as_word(w, LLVMBuildFMul(w->cg->builder, as_float(w, rest), scale, ""));
    LLVMValueRef special = op_number(w, LLVMOr, rest, 0x7F800000);
    LLVMValueRef magnitude = choose(w, LLVMIntUGE, rest, 0x0F800000, special, finite);
    return as_float(w, op(w, LLVMOr, sign, magnitude));
}

static LLVMValueRef round_f16(Words *w, LLVMValueRef word)
{
    LLVMValueRef sign = op_number(w, LLVMAnd, op_number(w, LLVMLShr, word, 16), 0x8000);
    LLVMValueRef rest = op_number(w, LLVMAnd, word, 0x7FFFFFFF);
    LLVMValueRef payload = op_number(w, LLVMAnd, op_number(w, LLVMLShr, rest, 13), 0x3FF);
    LLVMValueRef half = cg_float_splat(w->cg, (KType){DT_F32, w->type.lanes}, 0.5);
    LLVMValueRef tiny = as_word(w, LLVMBuildFAdd(w->cg->builder, as_float(w, rest), half, ""));
    LLVMValueRef bits = round_off(w, op_number(w, LLVMSub, rest, 0x38000000), 13);
    bits = choose(w, LLVMIntULT, rest, 0x38800000, op_number(w, LLVMSub, tiny, 0x3F000000), bits);
    bits = choose(w, LLVMIntUGE, rest, 0x47800000, number(w, 0x7C00), bits);
    bits = choose(w, LLVMIntUGT, rest, 0x7F800000, op_number(w, LLVMOr, payload, 0x7E00), bits);
    return op(w, LLVMOr, sign, bits);
}

/* ---- either way ---- */

static LLVMTypeRef halves(Cg *cg, int lanes)
{
    return cg_vector_of(LLVMHalfTypeInContext(cg->context), lanes);
}

LLVMValueRef cg_widen_small(Cg *cg, LLVMValueRef bits, KType from)
{
    Words w = words_of(cg, from.lanes);
    if (from.dtype == DT_F16 && cg->has_half) {
        LLVMValueRef half = LLVMBuildBitCast(cg->builder, bits, halves(cg, from.lanes), "");
        return LLVMBuildFPExt(cg->builder, half, floats(&w), "");
    }
    LLVMValueRef word = LLVMBuildZExt(cg->builder, bits, cg_type(cg, w.type), "");
    return from.dtype == DT_F16 ? widen_f16(&w, word) : widen_bf16(&w, word);
}

LLVMValueRef cg_round_small(Cg *cg, LLVMValueRef x, KType to)
{
    Words w = words_of(cg, to.lanes);
    if (to.dtype == DT_F16 && cg->has_half) {
        LLVMValueRef half = LLVMBuildFPTrunc(cg->builder, x, halves(cg, to.lanes), "");
        return LLVMBuildBitCast(cg->builder, half, cg_type(cg, to), "");
    }
    LLVMValueRef word = as_word(&w, x);
    LLVMValueRef bits = to.dtype == DT_F16 ? round_f16(&w, word) : round_bf16(&w, word);
    return LLVMBuildTrunc(cg->builder, bits, cg_type(cg, to), "");
}
