/* Loads, stores, prefetches and checks.
 *
 *   load x[%i] : f32x16                 one vector load, aligned as an element is
 *   load x[%i] mask %m : f32x16         llvm.masked.load, zero where the mask is false
 *   load x[%v] : f32x16  (%v: i64x16)   llvm.masked.gather
 *
 * A bool is i1 in a register and one byte in memory. With announce_ranges every access first tells
 * the race detector what it touches; lanes that a mask turns off point to a byte of the stack. */
#include "compiler/codegen/cg.h"
#include "compiler/kernel/kir_rules.h"

static LLVMTypeRef element_in_memory(const Cg *cg, const KInst *inst)
{
    return cg_memory_type(cg, ktype(cg->kernel->buffers.data[inst->buffer].dtype, 1));
}

/* Lanes that a mask turns off, and prefetches, may point outside of the buffer: no promise to LLVM
 * about those. */
static LLVMValueRef address_of(Cg *cg, const KInst *inst)
{
    if (cg->addresses[inst->id]) {
        return cg_moving_address(cg, cg->addresses[inst->id]);
    }
    LLVMValueRef base = cg->buffers[inst->buffer], index = cg_value(cg, inst->src[0]);
    bool masked = inst->nsrc > kop_info(inst->op)->operands;
    if (masked || inst->op == K_PREFETCH) {
        return LLVMBuildGEP2(cg->builder, element_in_memory(cg, inst), base, &index, 1, "");
    }
    return cg_element(cg, element_in_memory(cg, inst), base, index);
}

int cg_buffer_element(const Cg *cg, uint32_t buffer)
{
    return (int)dtype_bytes(cg->kernel->buffers.data[buffer].dtype);
}

static unsigned alignment_of(const Cg *cg, const KInst *inst)
{
    return (unsigned)cg_buffer_element(cg, inst->buffer);
}

/* Scalars of kernel IR as vectors of one lane, which the masked intrinsics want. */
static LLVMValueRef at_least_vector(Cg *cg, LLVMValueRef x)
{
    if (LLVMGetTypeKind(LLVMTypeOf(x)) == LLVMVectorTypeKind) {
        return x;
    }
    LLVMTypeRef vector = LLVMVectorType(LLVMTypeOf(x), 1);
    return LLVMBuildInsertElement(cg->builder, LLVMGetPoison(vector), x, cg_index(cg, 0), "");
}

static LLVMValueRef all_true(Cg *cg, int lanes)
{
    LLVMTypeRef vector = LLVMVectorType(cg->i1, (unsigned)lanes);
    return LLVMConstAllOnes(vector);
}

/* ---- announcing ---- */

static void announce(Cg *cg, bool write, LLVMValueRef address, int64_t bytes)
{
    const char *name = write ? "__tsan_write_range" : "__tsan_read_range";
    LLVMTypeRef params[2] = {cg->pointer, cg->i64};
    LLVMTypeRef type = LLVMFunctionType(cg->nothing, params, 2, false);
    LLVMValueRef function = LLVMGetNamedFunction(cg->module, name);
    if (!function) {
        function = LLVMAddFunction(cg->module, name, type);
    }
    LLVMValueRef args[2] = {address, cg_index(cg, bytes)};
    LLVMBuildCall2(cg->builder, type, function, args, 2, "");
}

static void announce_lanes(Cg *cg, const KInst *inst, LLVMValueRef address, LLVMValueRef mask,
                           int lanes)
{
    bool scattered = inst->src[0]->type.lanes > 1;
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef one =
            scattered ? LLVMBuildExtractElement(cg->builder, address, cg_index(cg, i), "")
                      : cg_element(cg, element_in_memory(cg, inst), address, cg_index(cg, i));
        if (mask) {
            LLVMValueRef on =
                lanes > 1 ? LLVMBuildExtractElement(cg->builder, mask, cg_index(cg, i), "") : mask;
            one = LLVMBuildSelect(cg->builder, on, one, cg->nowhere, "");
        }
        announce(cg, inst->op == K_STORE, one, alignment_of(cg, inst));
    }
}

static void announce_access(Cg *cg, const KInst *inst, LLVMValueRef address, LLVMValueRef mask,
                            int lanes)
{
    if (!cg->options->announce_ranges) {
        return;
    }
    if (mask || inst->src[0]->type.lanes > 1) {
        announce_lanes(cg, inst, address, mask, lanes);
    } else {
        announce(cg, inst->op == K_STORE, address, (int64_t)alignment_of(cg, inst) * lanes);
    }
}

/* ---- loads ---- */

static LLVMValueRef masked_load(Cg *cg, const KInst *inst, LLVMValueRef address, LLVMValueRef mask)
{
    int lanes = inst->type.lanes;
    LLVMTypeRef vector = LLVMVectorType(element_in_memory(cg, inst), (unsigned)lanes);
    bool gathers = inst->src[0]->type.lanes > 1;
    LLVMTypeRef overloads[2] = {vector, LLVMTypeOf(address)};
    LLVMValueRef on = mask ? at_least_vector(cg, mask) : all_true(cg, lanes);
    LLVMValueRef args[4] = {address, cg_int32(cg, alignment_of(cg, inst)), on,
                            LLVMConstNull(vector)};
    LLVMValueRef loaded = cg_intrinsic(cg, gathers ? "llvm.masked.gather" : "llvm.masked.load",
                                       overloads, 2, args, 4);
    return lanes > 1 ? loaded : LLVMBuildExtractElement(cg->builder, loaded, cg_index(cg, 0), "");
}

LLVMValueRef cg_emit_load(Cg *cg, const KInst *inst)
{
    LLVMValueRef address = address_of(cg, inst);
    LLVMValueRef mask = inst->nsrc > 1 ? cg_value(cg, inst->src[1]) : NULL;
    LLVMTypeRef type = cg_memory_type(cg, inst->type);
    announce_access(cg, inst, address, mask, inst->type.lanes);
    LLVMValueRef loaded;
    if (mask || inst->src[0]->type.lanes > 1) {
        loaded = masked_load(cg, inst, address, mask);
    } else {
        loaded = LLVMBuildLoad2(cg->builder, type, address, "");
        LLVMSetAlignment(loaded, alignment_of(cg, inst));
    }
    bool is_bool = inst->type.dtype == DT_BOOL;
    return is_bool ? LLVMBuildICmp(cg->builder, LLVMIntNE, loaded, LLVMConstNull(type), "")
                   : loaded;
}

/* ---- stores ---- */

static void masked_store(Cg *cg, const KInst *inst, LLVMValueRef address, LLVMValueRef value,
                         LLVMValueRef mask)
{
    LLVMValueRef vector = at_least_vector(cg, value);
    bool scatters = inst->src[0]->type.lanes > 1;
    LLVMTypeRef overloads[2] = {LLVMTypeOf(vector), LLVMTypeOf(address)};
    LLVMValueRef on = mask ? at_least_vector(cg, mask) : all_true(cg, inst->src[1]->type.lanes);
    LLVMValueRef args[4] = {vector, address, cg_int32(cg, alignment_of(cg, inst)), on};
    cg_intrinsic(cg, scatters ? "llvm.masked.scatter" : "llvm.masked.store", overloads, 2, args, 4);
}

LLVMValueRef cg_emit_store(Cg *cg, const KInst *inst)
{
    LLVMValueRef address = address_of(cg, inst), value = cg_value(cg, inst->src[1]);
    LLVMValueRef mask = inst->nsrc > 2 ? cg_value(cg, inst->src[2]) : NULL;
    KType type = inst->src[1]->type;
    announce_access(cg, inst, address, mask, type.lanes);
    if (type.dtype == DT_BOOL) {
        value = LLVMBuildZExt(cg->builder, value, cg_memory_type(cg, type), "");
    }
    if (mask || inst->src[0]->type.lanes > 1) {
        masked_store(cg, inst, address, value, mask);
    } else {
        LLVMSetAlignment(LLVMBuildStore(cg->builder, value, address), alignment_of(cg, inst));
    }
    return NULL;
}

LLVMValueRef cg_emit_prefetch(Cg *cg, const KInst *inst)
{
    enum { KEEP_IN_ALL_CACHES = 3, DATA = 1 };
    LLVMValueRef args[4] = {address_of(cg, inst), cg_int32(cg, inst->write_hint),
                            cg_int32(cg, KEEP_IN_ALL_CACHES), cg_int32(cg, DATA)};
    cg_intrinsic(cg, "llvm.prefetch", &cg->pointer, 1, args, 4);
    return NULL;
}

/* ---- checks ---- */

static LLVMValueRef reduce(Cg *cg, const char *name, LLVMValueRef vector)
{
    LLVMTypeRef type = LLVMTypeOf(vector);
    return cg_intrinsic(cg, name, &type, 1, &vector, 1);
}

/* The slot of the site starts as -1, the largest number without sign; the lowest failing element
 * stays. */
LLVMValueRef cg_emit_fail(Cg *cg, const KInst *inst)
{
    LLVMValueRef failing = cg_value(cg, inst->src[0]), element = cg_value(cg, inst->src[1]);
    int lanes = inst->src[0]->type.lanes;
    LLVMValueRef any = lanes > 1 ? reduce(cg, "llvm.vector.reduce.or", failing) : failing;
    LLVMBasicBlockRef failed = cg_block(cg, "failed"), after = cg_block(cg, "checked");
    LLVMBuildCondBr(cg->builder, any, failed, after);
    LLVMPositionBuilderAtEnd(cg->builder, failed);
    if (lanes > 1) {
        LLVMValueRef none = cg_int_splat(cg, ktype(DT_I64, lanes), -1);
        element = reduce(cg, "llvm.vector.reduce.umin",
                         LLVMBuildSelect(cg->builder, failing, element, none, ""));
    }
    LLVMValueRef slots = cg_field(cg, cg->call, CALL_FAILURES);
    LLVMValueRef slot = cg_element(cg, cg->i64, slots, cg_index(cg, inst->i));
    LLVMBuildAtomicRMW(cg->builder, LLVMAtomicRMWBinOpUMin, slot, element,
                       LLVMAtomicOrderingMonotonic, false);
    LLVMBuildBr(cg->builder, after);
    LLVMPositionBuilderAtEnd(cg->builder, after);
    return NULL;
}
