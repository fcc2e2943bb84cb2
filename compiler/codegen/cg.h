/* The state of one translation from kernel IR to LLVM IR, and the helpers that the files of this
 * folder share. Internal: the only header of nnc, with jit's, that shows LLVM types. */
#ifndef NNC_CODEGEN_CG_H
#define NNC_CODEGEN_CG_H
#include "compiler/codegen/codegen.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

typedef struct CgAffine CgAffine;
typedef struct CgStrides CgStrides;

/* Of an access in an innermost loop: base + offset + constant, in bytes; offset may be NULL. */
typedef struct {
    LLVMValueRef base, offset;
    int64_t constant;
} CgAddress;

typedef struct {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMTargetMachineRef machine;
    const CodegenOptions *options;
    bool wide_vectors; /* 512-bit registers should be used */
    bool has_half;     /* instructions convert f16 */
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, pointer, nothing;
    LLVMTypeRef call_type;   /* struct nnc_call */
    LLVMTypeRef kernel_type; /* nnc_kernel */
    LLVMValueRef launcher;   /* see cg_entry.c */
    /* The kernel in hand. */
    const Kernel *kernel;
    LLVMValueRef function, call;
    LLVMBasicBlockRef entry; /* loads of dimensions go here; branches to the body at the end */
    LLVMValueRef *buffers;   /* base addresses */
    LLVMValueRef *values;    /* by id of the instruction */
    LLVMValueRef **results;  /* by id of a for or if */
    /* Of innermost loops, by id: see cg_stride.c. */
    const CgAffine **affine;
    const CgAddress **addresses;
    uint32_t *uses; /* in the loop, but by addresses that move with it */
    bool *skipped;  /* not to be translated: nobody uses it */
    Arena *scratch;          /* reset after each kernel */
    LLVMValueRef nowhere;    /* announce_ranges: what masked lanes pretend to touch */
} Cg;

/* Fields of struct nnc_call, in order (cg_entry.c asserts it). */
typedef enum {
    CALL_DIMS,
    CALL_TABLE,
    CALL_BUFFERS,
    CALL_ARENA,
    CALL_SEED,
    CALL_STEP,
    CALL_PARALLEL,
    CALL_POOL,
    CALL_FAILURES,
    CALL_EXTERNS,
    CALL_EXTERN_USERS,
    CALL_FIELDS
} CallField;

/* cg.c: types and small builders */
void cg_init(Cg *cg, LLVMTargetMachineRef machine, const char *module_name,
             const CodegenOptions *options);
void cg_free(Cg *cg);
LLVMTypeRef cg_type(const Cg *cg, KType type); /* in a register: bool is i1, f16 and bf16 are i16 */
LLVMTypeRef cg_memory_type(const Cg *cg, KType type);     /* in memory: bool is i8 */
LLVMTypeRef cg_vector_of(LLVMTypeRef element, int lanes); /* the element itself for 1 lane */
LLVMValueRef cg_index(const Cg *cg, int64_t value);
LLVMValueRef cg_int32(const Cg *cg, int64_t value);
LLVMValueRef cg_int_splat(const Cg *cg, KType type, int64_t value);
LLVMValueRef cg_float_splat(const Cg *cg, KType type, double value);
LLVMValueRef cg_splat(Cg *cg, LLVMValueRef scalar, int lanes);
LLVMValueRef cg_shuffle(Cg *cg, LLVMValueRef x, LLVMValueRef y, const int32_t *mask, int lanes);
LLVMValueRef cg_intrinsic(Cg *cg, const char *name, LLVMTypeRef *overloads, int overload_count,
                          LLVMValueRef *args, int arg_count);
LLVMValueRef cg_element(Cg *cg, LLVMTypeRef element, LLVMValueRef base, LLVMValueRef index);
LLVMValueRef cg_field(Cg *cg, LLVMValueRef call, CallField field); /* loads it */
LLVMValueRef cg_load_slot(Cg *cg, LLVMTypeRef type, LLVMValueRef base, int64_t index);
LLVMBasicBlockRef cg_block(Cg *cg, const char *name);
void cg_function_attribute(Cg *cg, LLVMValueRef function, const char *name);
void cg_param_attribute(Cg *cg, LLVMValueRef function, unsigned param, const char *name);
LLVMValueRef cg_add_function(Cg *cg, const char *name, LLVMTypeRef type, bool internal);

/* cg_inst.c, cg_memory.c, cg_loop.c: one small function per class of instruction, found through a
 * table */
typedef LLVMValueRef CgEmit(Cg *cg, const KInst *inst);
LLVMValueRef cg_value(const Cg *cg, const KInst *inst);
void cg_emit_block(Cg *cg, const KBlock *block);
CgEmit cg_emit_load, cg_emit_store, cg_emit_prefetch, cg_emit_fail, cg_emit_for, cg_emit_if,
    cg_emit_result;

/* cg_stride.c: addresses that move with an innermost loop. In order: in the block before the loop
 * (NULL: it is not innermost), after the phis of its head, and in its last block. */
CgStrides *cg_strides_before(Cg *cg, const KInst *loop);
void cg_strides_begin(Cg *cg, CgStrides *strides, LLVMBasicBlockRef before);
void cg_strides_end(Cg *cg, CgStrides *strides, LLVMBasicBlockRef latch);
LLVMValueRef cg_moving_address(Cg *cg, const CgAddress *address);
int cg_buffer_element(const Cg *cg, uint32_t buffer); /* bytes */

/* cg_small.c: f16 and bf16, as i16, to f32 and back, with as many lanes as they have */
LLVMValueRef cg_widen_small(Cg *cg, LLVMValueRef bits, KType from);
LLVMValueRef cg_round_small(Cg *cg, LLVMValueRef x, KType to);

/* cg_kernel.c: the function of a kernel, of type nnc_kernel; a module that only calls it declares
 * it */
LLVMValueRef cg_kernel(Cg *cg, const Kernel *kernel, const char *name, bool internal);
LLVMValueRef cg_declare_kernel(Cg *cg, const char *name);

/* cg_entry.c: NAME_plan and NAME_step; functions[i] is the code of program->kernels.data[i] */
void cg_program(Cg *cg, const KProgram *program, LLVMValueRef *functions, LLVMValueRef plan);

/* cg_module.c: checks the module, runs the passes, gives the dumps that were asked for and the
 * object */
bool cg_finish(Cg *cg, ObjectCode *object, char **error);

/* cg_list.c: the kernels of all programs, equal ones once. */
typedef struct {
    const Kernel *kernel;
    const char *name, *symbol; /* of its function: for readers, and one that only its content decides */
    CodeKey key;               /* of the kernel */
} CgItem;

typedef struct {
    Arena *arena;
    VEC(CgItem) items;
    uint32_t **of_program; /* by program: items of its kernels, then of its plan */
    uint32_t *slots;       /* hash table: 1 + item */
    uint32_t slot_count;   /* power of two */
} CgList;

void cg_list_init(CgList *list, Arena *arena, KProgram *const *programs, int count);

/* cg_key.c: what decides over machine code, besides the kernel or program itself. */
CodeKey cg_options_key(const CodegenOptions *options);
CodeKey cg_entry_key(const CgList *list, const KProgram *program, const uint32_t *items);
CodeKey cg_join_keys(CodeKey x, CodeKey y);

/* cg_target.c */
/* Processor, features and triple as LLVM will see them, in arena. */
const char *cg_machine_text(const CodegenOptions *options, Arena *arena);
LLVMTargetMachineRef cg_machine(const CodegenOptions *options, bool *wide_vectors, bool *has_half,
                                char **error);

#endif
