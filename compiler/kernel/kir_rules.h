/* What each instruction of kernel IR demands, as a table made from kops.def: shared by the builder
 * (which asserts it), the verifier (which reports it) and the reader (which refuses a text by it).
 * Internal to compiler/kernel and codegen. */
#ifndef NNC_KERNEL_KIR_RULES_H
#define NNC_KERNEL_KIR_RULES_H
#include "compiler/kernel/kir.h"

typedef struct {
    const char *text;  /* "fma" */
    uint32_t operands; /* fewest */
    KImm imm;
} KOpInfo;

const KOpInfo *kop_info(KOp op);
bool kop_from_text(const char *text, size_t length, KOp *op);
bool kop_has_value(KOp op); /* false: STORE PREFETCH FAIL FOR IF YIELD */
bool kop_is_pure(KOp op);   /* equal operands give an equal value: may be reused */

static inline bool ktype_equal(KType a, KType b)
{
    return a.dtype == b.dtype && a.lanes == b.lanes;
}

static inline KType ktype(DType dtype, int lanes)
{
    return (KType){dtype, (uint16_t)lanes};
}

/* The most lanes a value may have. */
enum { KIR_MAX_LANES = 1024 };

/* What is wrong with the operand types, the result type or the immediate of inst; NULL: nothing. A
 * static text. */
const char *kir_fault(const Kernel *kernel, const KInst *inst);

/* Type of result `which` of a FOR or IF whose blocks are closed (FOR: at any time); false: there is
 * none. */
bool kir_result_type(const KInst *owner, int64_t which, KType *type);
uint32_t kir_result_count(const KInst *owner);

/* Copies the draft into the kernel at the end of the builder's block, or returns an equal value
 * that is already there. */
KInst *kir_emit(KBuilder *b, const KInst *draft);
/* The simplest value equal to op(src...), or NULL when the instruction itself is needed
 * (kir_fold.c). */
KInst *kir_simplify(KBuilder *b, KOp op, KType type, KInst *const *src);
KInst *kir_splat_int(KBuilder *b, KType type, int64_t value); /* an integer in every lane */
int64_t kir_wrap(DType dtype,
                 uint64_t value); /* cut to the width of an integer type and extended */
uint64_t kir_shallow_hash(const KInst *inst);
bool kir_same_immediate(const KInst *a, const KInst *b);

#endif
