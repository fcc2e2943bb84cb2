/* Types, constants and small builders over LLVM's C API. No fast-math flag is ever set here or
 * elsewhere: the order and the rounding of float operations are those of kernel IR. */
#include "compiler/codegen/cg.h"

#include "runtime/base/bug.h"
#include "runtime/base/small_float.h"

#include <stdlib.h>
#include <string.h>

static LLVMTypeRef struct_of_call(const Cg *cg)
{
    LLVMTypeRef fields[CALL_FIELDS];
    for (int i = 0; i < CALL_FIELDS; i++) {
        fields[i] = i == CALL_SEED || i == CALL_STEP ? cg->i64 : cg->pointer;
    }
    return LLVMStructTypeInContext(cg->context, fields, CALL_FIELDS, false);
}

/* Errors surface as return values; remarks and warnings are not for the host's terminal. */
static void swallow_diagnostic(LLVMDiagnosticInfoRef info, void *state)
{
    (void)info, (void)state;
}

void cg_init(Cg *cg, LLVMTargetMachineRef machine, const char *module_name,
             const CodegenOptions *options)
{
    cg->context = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(cg->context, swallow_diagnostic, NULL);
    cg->module = LLVMModuleCreateWithNameInContext(module_name, cg->context);
    cg->builder = LLVMCreateBuilderInContext(cg->context);
    cg->machine = machine;
    cg->options = options;
    cg->scratch = arena_new();
    char *triple = LLVMGetTargetMachineTriple(machine);
    LLVMSetTarget(cg->module, triple);
    LLVMDisposeMessage(triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(cg->module, layout);
    LLVMDisposeTargetData(layout);
    cg->i1 = LLVMInt1TypeInContext(cg->context);
    cg->i8 = LLVMInt8TypeInContext(cg->context);
    cg->i16 = LLVMInt16TypeInContext(cg->context);
    cg->i32 = LLVMInt32TypeInContext(cg->context);
    cg->i64 = LLVMInt64TypeInContext(cg->context);
    cg->f32 = LLVMFloatTypeInContext(cg->context);
    cg->f64 = LLVMDoubleTypeInContext(cg->context);
    cg->pointer = LLVMPointerTypeInContext(cg->context, 0);
    cg->nothing = LLVMVoidTypeInContext(cg->context);
    cg->call_type = struct_of_call(cg);
    LLVMTypeRef params[4] = {cg->pointer, cg->pointer, cg->i64, cg->i64};
    cg->kernel_type = LLVMFunctionType(cg->nothing, params, 4, false);
}

void cg_free(Cg *cg)
{
    LLVMDisposeBuilder(cg->builder);
    LLVMDisposeModule(cg->module);
    LLVMContextDispose(cg->context);
    arena_free(cg->scratch);
}

/* ---- types ---- */

LLVMTypeRef cg_vector_of(LLVMTypeRef element, int lanes)
{
    return lanes == 1 ? element : LLVMVectorType(element, (unsigned)lanes);
}

static LLVMTypeRef element_type(const Cg *cg, DType dtype, bool in_memory)
{
    switch (dtype) {
    case DT_BOOL:
        return in_memory ? cg->i8 : cg->i1;
    case DT_U8:
    case DT_I8:
        return cg->i8;
    case DT_F16:
    case DT_BF16:
        return cg->i16;
    case DT_I32:
        return cg->i32;
    case DT_I64:
        return cg->i64;
    case DT_F32:
        return cg->f32;
    case DT_F64:
        return cg->f64;
    default:
        NNC_BUG("element type %d", (int)dtype);
    }
}

LLVMTypeRef cg_type(const Cg *cg, KType type)
{
    return cg_vector_of(element_type(cg, type.dtype, false), type.lanes);
}

LLVMTypeRef cg_memory_type(const Cg *cg, KType type)
{
    return cg_vector_of(element_type(cg, type.dtype, true), type.lanes);
}

/* ---- constants ---- */

LLVMValueRef cg_index(const Cg *cg, int64_t value)
{
    return LLVMConstInt(cg->i64, (uint64_t)value, true);
}

LLVMValueRef cg_int32(const Cg *cg, int64_t value)
{
    return LLVMConstInt(cg->i32, (uint64_t)value, true);
}

static LLVMValueRef constant_splat(const Cg *cg, LLVMValueRef scalar, int lanes)
{
    if (lanes == 1) {
        return scalar;
    }
    LLVMValueRef *elements = ARENA_ARRAY(cg->scratch, LLVMValueRef, lanes);
    for (int i = 0; i < lanes; i++) {
        elements[i] = scalar;
    }
    return LLVMConstVector(elements, (unsigned)lanes);
}

LLVMValueRef cg_int_splat(const Cg *cg, KType type, int64_t value)
{
    LLVMTypeRef element = element_type(cg, type.dtype, false);
    uint64_t bits = type.dtype == DT_BOOL ? (uint64_t)value & 1
                    : type.dtype == DT_U8 ? (uint64_t)value & 255
                                          : (uint64_t)value;
    return constant_splat(cg, LLVMConstInt(element, bits, true), type.lanes);
}

LLVMValueRef cg_float_splat(const Cg *cg, KType type, double value)
{
    LLVMTypeRef element = element_type(cg, type.dtype, false);
    if (dtype_is_small_float(type.dtype)) {
        uint16_t bits = type.dtype == DT_F16 ? f16_of_f32((float)value) : bf16_of_f32((float)value);
        return constant_splat(cg, LLVMConstInt(element, bits, false), type.lanes);
    }
    return constant_splat(cg, LLVMConstReal(element, value), type.lanes);
}

/* ---- values ---- */

LLVMValueRef cg_splat(Cg *cg, LLVMValueRef scalar, int lanes)
{
    if (lanes == 1) {
        return scalar;
    }
    LLVMTypeRef type = cg_vector_of(LLVMTypeOf(scalar), lanes);
    LLVMValueRef first =
        LLVMBuildInsertElement(cg->builder, LLVMGetPoison(type), scalar, cg_index(cg, 0), "");
    LLVMValueRef zeros = LLVMConstNull(cg_vector_of(cg->i32, lanes));
    return LLVMBuildShuffleVector(cg->builder, first, LLVMGetPoison(type), zeros, "");
}

/* A mask of one lane is an extraction: our scalars are not LLVM's vectors of one. */
LLVMValueRef cg_shuffle(Cg *cg, LLVMValueRef x, LLVMValueRef y, const int32_t *mask, int lanes)
{
    LLVMValueRef *picks = ARENA_ARRAY(cg->scratch, LLVMValueRef, lanes);
    for (int i = 0; i < lanes; i++) {
        picks[i] = mask[i] < 0 ? LLVMGetPoison(cg->i32) : cg_int32(cg, mask[i]);
    }
    return LLVMBuildShuffleVector(cg->builder, x, y, LLVMConstVector(picks, (unsigned)lanes), "");
}

LLVMValueRef cg_intrinsic(Cg *cg, const char *name, LLVMTypeRef *overloads, int overload_count,
                          LLVMValueRef *args, int arg_count)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (!id) {
        NNC_BUG("LLVM has no intrinsic %s", name);
    }
    LLVMValueRef function =
        LLVMGetIntrinsicDeclaration(cg->module, id, overloads, (size_t)overload_count);
    LLVMTypeRef type = LLVMIntrinsicGetType(cg->context, id, overloads, (size_t)overload_count);
    return LLVMBuildCall2(cg->builder, type, function, args, (unsigned)arg_count, "");
}

LLVMValueRef cg_element(Cg *cg, LLVMTypeRef element, LLVMValueRef base, LLVMValueRef index)
{
    return LLVMBuildInBoundsGEP2(cg->builder, element, base, &index, 1, "");
}

LLVMValueRef cg_field(Cg *cg, LLVMValueRef call, CallField field)
{
    LLVMValueRef address = LLVMBuildStructGEP2(cg->builder, cg->call_type, call, field, "");
    return LLVMBuildLoad2(cg->builder, LLVMStructGetTypeAtIndex(cg->call_type, field), address, "");
}

LLVMValueRef cg_load_slot(Cg *cg, LLVMTypeRef type, LLVMValueRef base, int64_t index)
{
    return LLVMBuildLoad2(cg->builder, type, cg_element(cg, type, base, cg_index(cg, index)), "");
}

LLVMBasicBlockRef cg_block(Cg *cg, const char *name)
{
    return LLVMAppendBasicBlockInContext(cg->context, cg->function, name);
}

/* ---- functions ---- */

static LLVMAttributeRef enum_attribute(Cg *cg, const char *name)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    if (!kind) {
        NNC_BUG("LLVM has no attribute %s", name);
    }
    return LLVMCreateEnumAttribute(cg->context, kind, 0);
}

void cg_function_attribute(Cg *cg, LLVMValueRef function, const char *name)
{
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            enum_attribute(cg, name));
}

void cg_param_attribute(Cg *cg, LLVMValueRef function, unsigned param, const char *name)
{
    LLVMAddAttributeAtIndex(function, param + 1, enum_attribute(cg, name));
}

static void text_attribute(Cg *cg, LLVMValueRef function, const char *name, const char *value)
{
    LLVMAttributeRef attribute = LLVMCreateStringAttribute(
        cg->context, name, (unsigned)strlen(name), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
}

/* Vectors of 512 bits must be asked for: LLVM's tuning for some processors that have them prefers
 * 256. */
LLVMValueRef cg_add_function(Cg *cg, const char *name, LLVMTypeRef type, bool internal)
{
    LLVMValueRef function = LLVMAddFunction(cg->module, name, type);
    if (internal) {
        LLVMSetLinkage(function, LLVMInternalLinkage);
    }
    cg_function_attribute(cg, function, "nounwind");
    if (cg->wide_vectors) {
        text_attribute(cg, function, "prefer-vector-width", "512");
        text_attribute(cg, function, "min-legal-vector-width", "512");
    }
    return function;
}
