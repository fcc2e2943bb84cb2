/* A finished module to an object: check, run a short list of LLVM's passes, and let LLVM select
 * instructions. Vectors, tiles and unrolling are in the kernels already, so the long pipelines of a
 * C compiler would cost twenty times as much and find nothing. */
#include "compiler/codegen/cg.h"
#include "runtime/base/bug.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

static const char *const passes = "function(early-cse,simplifycfg)";

static bool fail_with(char **error, char *message)
{
    *error = strdup(message ? message : "LLVM gave no reason");
    LLVMDisposeMessage(message);
    return false;
}

static bool check_module(Cg *cg, char **error)
{
#ifdef NDEBUG
    if (!cg->options->verify) {
        return true;
    }
#endif
    char *message = NULL;
    if (LLVMVerifyModule(cg->module, LLVMReturnStatusAction, &message)) {
        return fail_with(error, message);
    }
    LLVMDisposeMessage(message);
    return true;
}

static bool run_passes(Cg *cg, char **error)
{
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef failure = LLVMRunPasses(cg->module, passes, cg->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!failure) {
        return true;
    }
    char *message = LLVMGetErrorMessage(failure);
    *error = strdup(message);
    LLVMDisposeErrorMessage(message);
    return false;
}

static void dump_llvm(Cg *cg)
{
    if (cg->options->llvm) {
        char *text = LLVMPrintModuleToString(cg->module);
        strbuf_add(cg->options->llvm, text);
        LLVMDisposeMessage(text);
    }
}

/* Emission changes the module, so the text is made from a copy. */
static void dump_assembly(Cg *cg)
{
    if (!cg->options->assembly) {
        return;
    }
    LLVMModuleRef copy = LLVMCloneModule(cg->module);
    LLVMMemoryBufferRef text;
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(cg->machine, copy, LLVMAssemblyFile, &message, &text)) {
        strbuf_add(cg->options->assembly, message);
        LLVMDisposeMessage(message);
    } else {
        strbuf_add_bytes(cg->options->assembly, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
        LLVMDisposeMemoryBuffer(text);
    }
    LLVMDisposeModule(copy);
}

static bool emit_object(Cg *cg, ObjectCode *object, char **error)
{
    LLVMMemoryBufferRef buffer;
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(cg->machine, cg->module, LLVMObjectFile, &message,
                                            &buffer)) {
        return fail_with(error, message);
    }
    object->size = LLVMGetBufferSize(buffer);
    object->data = malloc(object->size);
    if (!object->data) {
        NNC_BUG("out of memory");
    }
    memcpy(object->data, LLVMGetBufferStart(buffer), object->size);
    LLVMDisposeMemoryBuffer(buffer);
    return true;
}

bool cg_finish(Cg *cg, ObjectCode *object, char **error)
{
    if (!check_module(cg, error) || !run_passes(cg, error)) {
        return false;
    }
    dump_llvm(cg);
    dump_assembly(cg);
    return emit_object(cg, object, error);
}
