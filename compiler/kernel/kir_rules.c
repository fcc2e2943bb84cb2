/* The rules of kernel IR, one row per instruction: which element types it takes and the form of its
 * operands and result. A form is a small function that returns what is wrong; most instructions
 * share one of the first three. */
#include "compiler/kernel/kir_rules.h"

#include "runtime/base/bug.h"

#include <string.h>

static const KOpInfo infos[K_COUNT] = {
#define KOP(e, text, operands, imm, doc) [K_##e] = {text, operands, KIMM_##imm},
#include "compiler/kernel/kops.def"
};

const KOpInfo *kop_info(KOp op)
{
    NNC_ASSERT(op < K_COUNT);
    return &infos[op];
}

bool kop_from_text(const char *text, size_t length, KOp *op)
{
    for (int i = 0; i < K_COUNT; i++) {
        if (strlen(infos[i].text) == length && memcmp(infos[i].text, text, length) == 0) {
            *op = (KOp)i;
            return true;
        }
    }
    return false;
}

bool kop_has_value(KOp op)
{
    return op != K_STORE && op != K_PREFETCH && op != K_FAIL && op != K_FOR && op != K_IF &&
           op != K_YIELD;
}

bool kop_is_pure(KOp op)
{
    return kop_has_value(op) && op != K_LOAD && op != K_ARG;
}

/* ---- results of control flow ---- */

static const KInst *block_yield(const KBlock *block)
{
    if (!block || !block->insts.count || block->insts.data[block->insts.count - 1]->op != K_YIELD) {
        return NULL;
    }
    return block->insts.data[block->insts.count - 1];
}

uint32_t kir_result_count(const KInst *owner)
{
    if (owner->op == K_FOR) {
        return owner->nsrc - 2;
    }
    const KInst *last = owner->op == K_IF ? block_yield(owner->branch.then_block) : NULL;
    return last ? last->nsrc : 0;
}

bool kir_result_type(const KInst *owner, int64_t which, KType *type)
{
    if (which < 0 || which >= kir_result_count(owner)) {
        return false;
    }
    *type = owner->op == K_FOR ? owner->src[2 + which]->type
                               : block_yield(owner->branch.then_block)->src[which]->type;
    return true;
}

/* ---- forms ---- */

/* S: f16 and bf16, which are moved and converted only. */
typedef enum { B = 1, I = 2, F = 4, NUMBER = 7, S = 8, ANY = 15 } Kinds;
typedef const char *Form(const Kernel *kernel, const KInst *inst, Kinds kinds);

static Kinds kind_of(DType dtype)
{
    return dtype == DT_BOOL ? B : dtype_is_small_float(dtype) ? S : dtype_is_float(dtype) ? F : I;
}

static bool is(const KInst *inst, DType dtype, int lanes)
{
    return inst->type.dtype == dtype && inst->type.lanes == lanes;
}

static const char *operands_agree(const KInst *inst, uint32_t from, Kinds kinds)
{
    for (uint32_t i = from; i < inst->nsrc; i++) {
        if (!ktype_equal(inst->src[i]->type, inst->src[from]->type)) {
            return "the operands differ in type";
        }
        if (!(kind_of(inst->src[i]->type.dtype) & kinds)) {
            return "not for operands of this type";
        }
    }
    return NULL;
}

static const char *form_same(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel;
    const char *fault = operands_agree(inst, 0, kinds);
    return fault ? fault
           : !ktype_equal(inst->type, inst->src[0]->type)
               ? "the result is not of the operands' type"
               : NULL;
}

static const char *form_compare(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel;
    const char *fault = operands_agree(inst, 0, kinds);
    return fault ? fault
           : !is(inst, DT_BOOL, inst->src[0]->type.lanes)
               ? "the result is not bool of as many lanes"
               : NULL;
}

static const char *form_umulhi(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    return inst->type.dtype != DT_I32 ? "only for i32" : form_same(kernel, inst, kinds);
}

static const char *form_const(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel, (void)kinds;
    if (dtype_is_float(inst->type.dtype)) {
        bool exact = inst->f != inst->f || dtype_round(inst->type.dtype, inst->f) == inst->f;
        return exact ? NULL : "the constant is not exact in its type";
    }
    return kir_wrap(inst->type.dtype, (uint64_t)inst->i) == inst->i
               ? NULL
               : "the constant is out of range";
}

static const char *form_arg(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel, (void)inst, (void)kinds;
    return "a parameter stands at the head of a block";
}

static const char *form_i64(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel, (void)kinds;
    if (!is(inst, DT_I64, 1)) {
        return "the result is i64";
    }
    return inst->op == K_DIM && (inst->i < 0 || inst->i > UINT16_MAX) ? "no such dimension" : NULL;
}

static const char *form_select(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel;
    const char *fault = operands_agree(inst, 1, kinds);
    if (fault) {
        return fault;
    }
    KType condition = inst->src[0]->type;
    if (condition.dtype != DT_BOOL ||
        (condition.lanes != 1 && condition.lanes != inst->type.lanes)) {
        return "the condition is not bool of one or as many lanes";
    }
    return !ktype_equal(inst->type, inst->src[1]->type) ? "the result is not of the operands' type"
                                                        : NULL;
}

static const char *form_convert(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel, (void)kinds;
    return inst->type.lanes != inst->src[0]->type.lanes ? "the number of lanes changes" : NULL;
}

static const char *form_bitcast(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel;
    KType from = inst->src[0]->type;
    if (!(kind_of(from.dtype) & kinds) || !(kind_of(inst->type.dtype) & kinds)) {
        return "not for bool";
    }
    size_t bytes = dtype_bytes(from.dtype) * from.lanes;
    return bytes != dtype_bytes(inst->type.dtype) * inst->type.lanes ? "the types differ in size"
                                                                     : NULL;
}

static const char *form_splat(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel, (void)kinds;
    return !is(inst->src[0], inst->type.dtype, 1)
               ? "the operand is not a scalar of the result's element type"
               : NULL;
}

static const char *form_iota(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel;
    return kind_of(inst->type.dtype) & kinds ? NULL : "only for integers";
}

static const char *form_extract(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel, (void)kinds;
    if (!is(inst, inst->src[0]->type.dtype, 1)) {
        return "the result is not a scalar of the operand's element type";
    }
    return inst->i < 0 || inst->i >= inst->src[0]->type.lanes ? "no such lane" : NULL;
}

static const char *form_shuffle(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel;
    const char *fault = operands_agree(inst, 0, kinds);
    if (fault) {
        return fault;
    }
    if (inst->type.dtype != inst->src[0]->type.dtype) {
        return "the result is not of the operands' element type";
    }
    for (int i = 0; i < inst->type.lanes; i++) {
        if (inst->mask[i] < -1 || inst->mask[i] >= 2 * inst->src[0]->type.lanes) {
            return "the mask picks a lane that is not there";
        }
    }
    return NULL;
}

static const char *form_halves(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel;
    KType from = inst->src[0]->type;
    if (!(kind_of(from.dtype) & kinds)) {
        return "not for operands of this type";
    }
    if (from.lanes & (from.lanes - 1)) {
        return "the number of lanes is not a power of two";
    }
    return !is(inst, from.dtype, 1) ? "the result is not a scalar of the operand's element type"
                                    : NULL;
}

static const char *check_access(const Kernel *kernel, const KInst *inst, KType moved,
                                uint32_t mask_at)
{
    if (inst->buffer >= kernel->buffers.count) {
        return "no such buffer";
    }
    if (kernel->buffers.data[inst->buffer].dtype != moved.dtype) {
        return "the value is not of the buffer's type";
    }
    KType index = inst->src[0]->type;
    if (index.dtype != DT_I64 || (index.lanes != 1 && index.lanes != moved.lanes)) {
        return "the index is not i64 of one or as many lanes";
    }
    if (inst->nsrc > mask_at + 1) {
        return "too many operands";
    }
    bool masked = inst->nsrc > mask_at;
    return masked && !is(inst->src[mask_at], DT_BOOL, moved.lanes)
               ? "the mask is not bool of as many lanes"
               : NULL;
}

static const char *form_load(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kinds;
    const char *fault = check_access(kernel, inst, inst->type, 1);
    return fault                                      ? fault
           : !kernel->buffers.data[inst->buffer].read ? "the buffer is not marked read"
                                                      : NULL;
}

static const char *form_store(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kinds;
    const char *fault = check_access(kernel, inst, inst->src[1]->type, 2);
    return fault                                         ? fault
           : !kernel->buffers.data[inst->buffer].written ? "the buffer is not marked written"
                                                         : NULL;
}

static const char *form_prefetch(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kinds;
    if (inst->buffer >= kernel->buffers.count) {
        return "no such buffer";
    }
    return is(inst->src[0], DT_I64, 1) ? NULL : "the index is not i64";
}

static const char *form_fail(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel, (void)kinds;
    int lanes = inst->src[0]->type.lanes;
    if (inst->i < 0 || inst->i > INT32_MAX) {
        return "no such failure site";
    }
    return is(inst->src[0], DT_BOOL, lanes) && is(inst->src[1], DT_I64, lanes)
               ? NULL
               : "the operands are not bool and i64";
}

static const char *form_for(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel, (void)kinds;
    if (!is(inst->src[0], DT_I64, 1) || !is(inst->src[1], DT_I64, 1)) {
        return "the limits are not i64";
    }
    return inst->loop.step < 1 ? "the step is not positive" : NULL;
}

static const char *form_if(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel, (void)kinds;
    return is(inst->src[0], DT_BOOL, 1) ? NULL : "the condition is not a scalar bool";
}

static const char *form_result(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel, (void)kinds;
    KType type;
    KOp owner = inst->src[0]->op;
    if ((owner != K_FOR && owner != K_IF) || !kir_result_type(inst->src[0], inst->i, &type)) {
        return "no such result";
    }
    return ktype_equal(type, inst->type) ? NULL : "the result is not of the type that is yielded";
}

static const char *form_free(const Kernel *kernel, const KInst *inst, Kinds kinds)
{
    (void)kernel, (void)inst, (void)kinds;
    return NULL;
}

/* ---- the table ---- */

static const struct {
    Form *form;
    Kinds kinds;
} rules[K_COUNT] = {
    [K_CONST] = {form_const, ANY},
    [K_ARG] = {form_arg, ANY},
    [K_DIM] = {form_i64, I},
    [K_SEED] = {form_i64, I},
    [K_STEP] = {form_i64, I},
    [K_ADD] = {form_same, I | F},
    [K_SUB] = {form_same, I | F},
    [K_MUL] = {form_same, I | F},
    [K_DIV] = {form_same, F},
    [K_NEG] = {form_same, I | F},
    [K_ABS] = {form_same, I | F},
    [K_FLOOR] = {form_same, F},
    [K_CEIL] = {form_same, F},
    [K_RINT] = {form_same, F},
    [K_SQRT] = {form_same, F},
    [K_FMA] = {form_same, F},
    [K_IDIV] = {form_same, I},
    [K_IMOD] = {form_same, I},
    [K_IMIN] = {form_same, I | B},
    [K_IMAX] = {form_same, I | B},
    [K_UMULHI] = {form_umulhi, I},
    [K_AND] = {form_same, I | B},
    [K_OR] = {form_same, I | B},
    [K_XOR] = {form_same, I | B},
    [K_SHL] = {form_same, I},
    [K_LSHR] = {form_same, I},
    [K_ASHR] = {form_same, I},
    [K_EQ] = {form_compare, NUMBER},
    [K_NE] = {form_compare, NUMBER},
    [K_LT] = {form_compare, NUMBER},
    [K_LE] = {form_compare, NUMBER},
    [K_ULT] = {form_compare, I | B},
    [K_SELECT] = {form_select, ANY},
    [K_CONVERT] = {form_convert, ANY},
    [K_BITCAST] = {form_bitcast, I | F},
    [K_SPLAT] = {form_splat, ANY},
    [K_IOTA] = {form_iota, I},
    [K_EXTRACT] = {form_extract, ANY},
    [K_SHUFFLE] = {form_shuffle, ANY},
    [K_HALVES_ADD] = {form_halves, I | F},
    [K_HALVES_MUL] = {form_halves, I | F},
    [K_HALVES_MAX] = {form_halves, NUMBER},
    [K_HALVES_MIN] = {form_halves, NUMBER},
    [K_LOAD] = {form_load, ANY},
    [K_STORE] = {form_store, ANY},
    [K_PREFETCH] = {form_prefetch, ANY},
    [K_FAIL] = {form_fail, ANY},
    [K_FOR] = {form_for, ANY},
    [K_IF] = {form_if, ANY},
    [K_RESULT] = {form_result, ANY},
    [K_YIELD] = {form_free, ANY},
};

static bool takes_more(KOp op)
{
    return op == K_LOAD || op == K_STORE || op == K_FOR || op == K_YIELD;
}

const char *kir_fault(const Kernel *kernel, const KInst *inst)
{
    const KOpInfo *info = kop_info(inst->op);
    if (inst->nsrc < info->operands || (inst->nsrc > info->operands && !takes_more(inst->op))) {
        return "the wrong number of operands";
    }
    for (uint32_t i = 0; i < inst->nsrc; i++) {
        bool names_control = inst->op == K_RESULT;
        if (!names_control && !kop_has_value(inst->src[i]->op)) {
            return "an operand has no value";
        }
    }
    if (kop_has_value(inst->op) ? inst->type.lanes < 1 || inst->type.lanes > KIR_MAX_LANES
                                : inst->type.lanes != 0) {
        return "the wrong number of lanes";
    }
    return rules[inst->op].form(kernel, inst, rules[inst->op].kinds);
}
