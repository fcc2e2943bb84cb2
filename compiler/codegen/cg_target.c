/* Which machine: names to LLVM's target machine. */
#include "compiler/codegen/cg.h"

#include <llvm-c/Target.h>
#include <stdlib.h>
#include <string.h>

/* LLVM's table of targets is LLVM's own, and filling it is not safe from two threads at once; before main there is one. */
__attribute__((constructor)) static void fill_target_table(void) {
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
}

static bool mentions(const char *features, const char *feature) {
    return features && strstr(features, feature);
}

static LLVMTargetMachineRef make_machine(LLVMTargetRef target, const char *triple, const char *cpu, const char *features) {
    LLVMTargetMachineOptionsRef options = LLVMCreateTargetMachineOptions();
    LLVMTargetMachineOptionsSetCPU(options, cpu);
    LLVMTargetMachineOptionsSetFeatures(options, features);
    LLVMTargetMachineOptionsSetCodeGenOptLevel(options, LLVMCodeGenLevelDefault);
    LLVMTargetMachineOptionsSetRelocMode(options, LLVMRelocPIC);
    LLVMTargetMachineOptionsSetCodeModel(options, LLVMCodeModelSmall);
    LLVMTargetMachineRef machine = LLVMCreateTargetMachineWithOptions(target, triple, options);
    LLVMDisposeTargetMachineOptions(options);
    return machine;
}

LLVMTargetMachineRef cg_machine(const CodegenOptions *options, bool *wide_vectors, char **error) {
    char *host_triple = LLVMGetDefaultTargetTriple();
    char *host_cpu = LLVMGetHostCPUName(), *host_features = LLVMGetHostCPUFeatures();
    const char *triple = options->triple ? options->triple : host_triple;
    const char *cpu = options->cpu ? options->cpu : host_cpu;
    const char *features = options->cpu ? options->features ? options->features : "" : host_features;
    LLVMTargetRef target;
    LLVMTargetMachineRef machine = NULL;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(triple, &target, &message)) {
        *error = strdup(message);
        LLVMDisposeMessage(message);
    } else {
        machine = make_machine(target, triple, cpu, features);
        *wide_vectors = mentions(features, "+avx512f");
    }
    LLVMDisposeMessage(host_triple);
    LLVMDisposeMessage(host_cpu);
    LLVMDisposeMessage(host_features);
    return machine;
}
