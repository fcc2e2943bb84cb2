/* One kernel becomes two functions:
 *
 *   NAME(call, args, begin, end)              an nnc_kernel: loads the buffers' addresses, calls
 *   NAME.body(call, x, y, ..., begin, end)    the code, whose buffer parameters are noalias
 *
 * LLVM takes the promise that two buffers do not overlap from parameters only, hence the inner
 * function, never inlined. A kernel with a buffer that shares its memory makes no promise at all.
 */
#include "compiler/codegen/cg.h"
#include "runtime/base/bug.h"

#include <string.h>

static LLVMValueRef declare_body(Cg *cg, const Kernel *kernel, const char *name)
{
    uint32_t buffers = kernel->buffers.count;
    LLVMTypeRef *params = ARENA_ARRAY(cg->scratch, LLVMTypeRef, buffers + 3);
    bool shares = false;
    for (uint32_t i = 0; i <= buffers; i++) {
        params[i] = cg->pointer;
        shares |= i < buffers && kernel->buffers.data[i].shares;
    }
    params[buffers + 1] = params[buffers + 2] = cg->i64;
    LLVMTypeRef type = LLVMFunctionType(cg->nothing, params, buffers + 3, false);
    LLVMValueRef function =
        cg_add_function(cg, arena_format(cg->scratch, "%s.body", name), type, true);
    cg_function_attribute(cg, function, "noinline");
    cg_function_attribute(cg, function, "willreturn");
    for (uint32_t i = 0; i < buffers; i++) {
        if (!shares) {
            cg_param_attribute(cg, function, i + 1, "noalias");
        }
        LLVMSetValueName2(LLVMGetParam(function, i + 1), kernel->buffers.data[i].name,
                          strlen(kernel->buffers.data[i].name));
    }
    return function;
}

static void begin_function(Cg *cg, const Kernel *kernel, LLVMValueRef function)
{
    uint32_t buffers = kernel->buffers.count;
    cg->kernel = kernel;
    cg->function = function;
    cg->call = LLVMGetParam(function, 0);
    cg->buffers = ARENA_ARRAY(cg->scratch, LLVMValueRef, buffers + 1);
    for (uint32_t i = 0; i < buffers; i++) {
        cg->buffers[i] = LLVMGetParam(function, i + 1);
    }
    cg->values = ARENA_ARRAY(cg->scratch, LLVMValueRef, kernel->next_id + 1);
    cg->results = ARENA_ARRAY(cg->scratch, LLVMValueRef *, kernel->next_id + 1);
    cg->affine = ARENA_ARRAY(cg->scratch, const CgAffine *, kernel->next_id + 1);
    cg->addresses = ARENA_ARRAY(cg->scratch, const CgAddress *, kernel->next_id + 1);
    cg->uses = ARENA_ARRAY(cg->scratch, uint32_t, kernel->next_id + 1);
    cg->skipped = ARENA_ARRAY(cg->scratch, bool, kernel->next_id + 1);
    cg->values[kernel->body->args.data[0]->id] = LLVMGetParam(function, buffers + 1);
    cg->values[kernel->body->args.data[1]->id] = LLVMGetParam(function, buffers + 2);
    cg->entry = cg_block(cg, "entry");
    LLVMPositionBuilderAtEnd(cg->builder, cg->entry);
    cg->nowhere =
        cg->options->announce_ranges ? LLVMBuildAlloca(cg->builder, cg->i64, "nowhere") : NULL;
}

static void emit_body(Cg *cg, const Kernel *kernel, LLVMValueRef function)
{
    begin_function(cg, kernel, function);
    LLVMBasicBlockRef body = cg_block(cg, "body");
    LLVMPositionBuilderAtEnd(cg->builder, body);
    cg_emit_block(cg, kernel->body);
    LLVMBuildRetVoid(cg->builder);
    LLVMPositionBuilderAtEnd(cg->builder, cg->entry);
    LLVMBuildBr(cg->builder, body);
}

/* Loads the addresses and calls the body with them. */
static void emit_shell(Cg *cg, const Kernel *kernel, LLVMValueRef shell, LLVMValueRef body)
{
    uint32_t buffers = kernel->buffers.count;
    cg->function = shell;
    LLVMPositionBuilderAtEnd(cg->builder, cg_block(cg, "entry"));
    LLVMValueRef *args = ARENA_ARRAY(cg->scratch, LLVMValueRef, buffers + 3);
    args[0] = LLVMGetParam(shell, 0);
    for (uint32_t i = 0; i < buffers; i++) {
        args[i + 1] = cg_load_slot(cg, cg->pointer, LLVMGetParam(shell, 1), i);
    }
    args[buffers + 1] = LLVMGetParam(shell, 2);
    args[buffers + 2] = LLVMGetParam(shell, 3);
    LLVMBuildCall2(cg->builder, LLVMGlobalGetValueType(body), body, args, buffers + 3, "");
    LLVMBuildRetVoid(cg->builder);
}

LLVMValueRef cg_kernel(Cg *cg, const Kernel *kernel, const char *name, bool internal)
{
    LLVMValueRef shell = cg_add_function(cg, name, cg->kernel_type, internal);
    LLVMValueRef body = declare_body(cg, kernel, name);
    emit_body(cg, kernel, body);
    emit_shell(cg, kernel, shell, body);
    cg->kernel = NULL;
    arena_reset(cg->scratch);
    return shell;
}

LLVMValueRef cg_declare_kernel(Cg *cg, const char *name)
{
    return LLVMAddFunction(cg->module, name, cg->kernel_type);
}
