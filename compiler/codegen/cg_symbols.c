/* What is in an object: names and sizes, for people who ask what code costs. */
#include "compiler/codegen/codegen.h"

#include <llvm-c/Core.h>
#include <llvm-c/Object.h>

bool codegen_symbols(const ObjectCode *object,
                     void (*visit)(void *user, const char *name, uint64_t bytes), void *user)
{
    char *message = NULL;
    LLVMMemoryBufferRef memory =
        LLVMCreateMemoryBufferWithMemoryRange(object->data, object->size, "nnc", false);
    LLVMBinaryRef binary = LLVMCreateBinary(memory, NULL, &message);
    if (!binary) {
        LLVMDisposeMessage(message);
        LLVMDisposeMemoryBuffer(memory);
        return false;
    }
    LLVMSymbolIteratorRef at = LLVMObjectFileCopySymbolIterator(binary);
    for (; !LLVMObjectFileIsSymbolIteratorAtEnd(binary, at); LLVMMoveToNextSymbol(at)) {
        visit(user, LLVMGetSymbolName(at), LLVMGetSymbolSize(at));
    }
    LLVMDisposeSymbolIterator(at);
    LLVMDisposeBinary(binary);
    LLVMDisposeMemoryBuffer(memory);
    return true;
}
