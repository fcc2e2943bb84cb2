/* What the two forms of NAME_step share: straight code (cg_entry.c) and a walk over tables
 * (cg_table.c). */
#ifndef NNC_CODEGEN_CG_STEP_H
#define NNC_CODEGEN_CG_STEP_H
#include "compiler/codegen/cg.h"

typedef struct {
    const KProgram *program;
    LLVMValueRef *functions;
    LLVMValueRef *constants; /* by buffer index; NULL where the buffer is not constant */
    LLVMValueRef call, args, buffers, table, arena, externs, users;
    struct Around *around; /* by region */
    LLVMValueRef walk;     /* the function, NULL: straight code */
    LLVMValueRef turns;    /* with a walk: t by region, in memory */
} Step;

LLVMTypeRef cg_extern_type(const Cg *cg);
void cg_load_call(Cg *cg, Step *step);                          /* what the fields say, from step->call */
void cg_observe(Cg *cg, const Step *step, LLVMValueRef launch); /* nothing without an observer */
/* nnc.walk(call, first, last, turns, args) */
LLVMValueRef cg_walk(Cg *cg, const Step *step);

#endif
