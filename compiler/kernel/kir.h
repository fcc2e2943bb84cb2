/* Kernel IR: how it is computed. One Kernel is a function over buffers that does items [begin, end)
 * of its outermost loop; a KProgram is the list of launches of one compiled function, with the plan
 * kernel that computes arena offsets and trip counts from the free dimensions. Loops over launches
 * are regions of that list; kernels know nothing of them. Nothing here knows of LLVM or of graphs.
 *
 *   kernel relu_0 (x: f32 read, y: f32 write) {
 *     %0 = for %1 = %begin .. %end step 16 { %2 = load x[%1] : f32x16 ... store y[%1], %5 yield }
 *   }
 *
 * Ownership: kernels live in the arena given to their builder. Blocks are lists of instructions; an
 * instruction may use values defined earlier in its own block or in an enclosing one. */
#ifndef NNC_KERNEL_KIR_H
#define NNC_KERNEL_KIR_H
#include "runtime/base/arena.h"
#include "runtime/base/dtype.h"
#include "runtime/base/strbuf.h"
#include "runtime/base/vec.h"

typedef enum {
#define KOP(e, text, operands, imm, doc) K_##e,
#include "compiler/kernel/kops.def"
    K_COUNT
} KOp;

/* The immediate of an instruction: which member of KInst's union counts. */
typedef enum {
    KIMM_NONE,
    KIMM_INT,
    KIMM_VALUE,
    KIMM_BUFFER,
    KIMM_LOOP,
    KIMM_BRANCH,
    KIMM_MASK
} KImm;

/* Element types are those of tensors; DT_BOOL is i1 in a register, a byte (0 or 1) in memory. f16
 * and bf16 are bits that are moved, selected and converted: arithmetic is done on the f32 that
 * CONVERT makes of them, and CONVERT back rounds. */
typedef struct {
    DType dtype;
    uint16_t lanes; /* 1: scalar */
} KType;

typedef struct KInst KInst;
typedef struct KBlock KBlock;

struct KBlock {
    KInst *parent; /* the for or if, NULL: the kernel's own block */
    VEC(KInst *) args;
    VEC(KInst *) insts; /* the last one of a loop or branch body is YIELD */
    KInst **known; /* the builder's hash table of values without effects, for reuse (see kir.c) */
    uint32_t known_count, known_cap;
};

struct KInst {
    KOp op;
    KType type; /* STORE FAIL YIELD FOR IF PREFETCH: no value, lanes 0 */
    uint32_t id;
    uint32_t nsrc;
    KInst **src;
    KBlock *block; /* where it is (ARG: whose argument) */
    union {
        int64_t i;       /* ints of CONST, ARG, DIM, EXTRACT, FAIL (site), RESULT (which) */
        double f;        /* floats of CONST (exact in the type) */
        uint32_t buffer; /* LOAD STORE PREFETCH */
        struct {
            int64_t step;
            KBlock *body;
        } loop; /* FOR */
        struct {
            KBlock *then_block, *else_block;
        } branch;            /* IF; then/else yield equally many */
        const int32_t *mask; /* SHUFFLE: type.lanes entries, -1: any */
    };
    bool write_hint; /* PREFETCH */
};

typedef struct {
    const char *name; /* for reading; unique in the kernel */
    DType dtype;
    bool read, written;
    bool
        shares; /* may be the same memory as another buffer (in-place update): equal indices only */
} KBuffer;

typedef struct {
    const char *name; /* unique in the program; a C identifier */
    Arena *arena;
    VEC(KBuffer) buffers; /* the order of args */
    KBlock *body;         /* args: begin, end */
    uint32_t next_id;
} Kernel;

/* Builder: appends to `block`; operands are checked with NNC_ASSERT. Lanes of operands must agree
 * except where noted in kops.def; builders splat scalar operands of vector arithmetic by
 * themselves. Constants are folded and i64 index arithmetic is simplified (x+0, x*1, x*0, constants
 * gathered) as it is built. */
typedef struct {
    Kernel *kernel;
    KBlock *block;
} KBuilder;

Kernel *kernel_new(Arena *arena, const char *name);
uint32_t kernel_buffer(Kernel *kernel, const char *name, DType dtype, bool read, bool written);
KBuilder kernel_builder(Kernel *kernel);

KInst *kir_int(KBuilder *b, DType dtype, int64_t value);  /* scalar; BOOL U8 I8 I32 I64 */
KInst *kir_index(KBuilder *b, int64_t value);             /* i64 scalar */
KInst *kir_float(KBuilder *b, DType dtype, double value); /* scalar */
KInst *kir_dim(KBuilder *b, uint32_t position);           /* position in nnc_call.dims */
KInst *kir_seed(KBuilder *b);
KInst *kir_step(KBuilder *b);
KInst *kir_unary(KBuilder *b, KOp op, KInst *x);
KInst *kir_binary(KBuilder *b, KOp op, KInst *x, KInst *y);
KInst *kir_fma(KBuilder *b, KInst *x, KInst *y, KInst *z);
KInst *kir_select(KBuilder *b, KInst *condition, KInst *x, KInst *y);
KInst *kir_convert(KBuilder *b, KInst *x, DType dtype);
KInst *kir_bitcast(KBuilder *b, KInst *x, DType dtype);
/* x itself for 1 lane or when already that wide */
KInst *kir_splat(KBuilder *b, KInst *x, int lanes);
KInst *kir_iota(KBuilder *b, DType dtype, int lanes);
KInst *kir_extract(KBuilder *b, KInst *x, int lane);
KInst *kir_shuffle(KBuilder *b, KInst *x, KInst *y, const int32_t *mask, int lanes);
KInst *kir_halves(KBuilder *b, KOp op, KInst *x); /* one of HALVES_* */
/* The mask may be NULL. */
KInst *kir_load(KBuilder *b, uint32_t buffer, KInst *index, int lanes, KInst *mask);
void kir_store(KBuilder *b, uint32_t buffer, KInst *index, KInst *value, KInst *mask);
void kir_prefetch(KBuilder *b, uint32_t buffer, KInst *index, bool write);
void kir_fail(KBuilder *b, int64_t site, KInst *condition, KInst *element);

/* Loops: KInst *loop = kir_for(b, low, high, step, inits, n); the builder is now inside the body:
 * counter and carried values are kir_loop_arg(loop, 0) and kir_loop_arg(loop, 1 + k).
 * kir_end_for(b, loop, values) closes it; results by kir_result(b, loop, k). The loop runs while
 * counter < high. */
KInst *kir_for(KBuilder *b, KInst *low, KInst *high, int64_t step, KInst *const *inits, int count);
KInst *kir_loop_arg(KInst *loop, int which);
void kir_end_for(KBuilder *b, KInst *loop, KInst *const *values);
/* Branches: after kir_if the builder is in the then block; kir_else yields its values and goes
 * to the else block, kir_end_if yields those of the else block and goes back. */
KInst *kir_if(KBuilder *b, KInst *condition);
void kir_else(KBuilder *b, KInst *branch, KInst *const *values, int count);
void kir_end_if(KBuilder *b, KInst *branch, KInst *const *values, int count);
KInst *kir_result(KBuilder *b, KInst *loop_or_if, int which);
bool kir_constant(const KInst *inst, int64_t *value); /* an integer CONST? */

/* Programs */
typedef enum {
    BUFFER_INPUT,
    BUFFER_PARAM,
    BUFFER_STATE,
    BUFFER_OUTPUT,
    BUFFER_CONSTANT,
    BUFFER_ARENA,
    BUFFER_SLICE
} BufferKind;

typedef struct {
    BufferKind kind;
    const char *name; /* externals: of the leaf or root; updated in place is one buffer */
    DType dtype;
    int rank;
    int64_t dims[8];   /* constant sizes; -1: free, see the manifest text */
    const char *shape; /* "f32[B, 3]" */
    uint32_t slot;     /* ARENA: table[slot] is the byte offset; SLICE: the bytes of one index */
    uint32_t base;     /* SLICE: at the address of this buffer + t * table[slot], */
    uint32_t region;   /* with the t of this loop, one of those around the launch */
    const void *data;  /* CONSTANT: literal bytes, 64-byte aligned in the object */
    size_t bytes;      /* CONSTANT */
} ProgramBuffer;

typedef struct {
    uint32_t kernel; /* index in kernels; extern call: index in externs */
    bool is_extern;
    VEC(uint32_t) args;  /* buffer indices; extern: inputs then the output */
    uint32_t count_slot; /* table[count_slot]: number of items, begin..end covers [0, count) */
    int64_t grain;       /* smallest chunk handed to one thread; 0: never split */
    uint32_t dims_slot,
        dims_count; /* extern: table slots with rank and sizes of every operand and the result */
} Launch;

typedef enum { KREGION_LOOP, KREGION_THEN, KREGION_ELSE } KRegionKind;

/* Launches [first, last) that run for t = 0, 1, .. or only if a condition holds. They nest; outer
 * ones come first in the list, and the sides of a branch follow each other. Empty ones are not
 * listed. */
typedef struct {
    KRegionKind kind;
    uint32_t first, last;
    uint32_t count_slot; /* LOOP: table[count_slot] iterations */
    bool reverse;        /* LOOP: from the last t to 0 */
    int32_t condition;   /* buffer of a bool: LOOP: an iteration begins only while it is true, -1:
                            always; THEN, ELSE: which side runs */
} KRegion;

typedef struct {
    const char *name; /* symbols are NAME_plan and NAME_step */
    Arena *arena;
    VEC(const char *) dims; /* names of the free dimensions, in order */
    /* Externals first, in the order of nnc_call.buffers; then constants, then the arena's. */
    VEC(ProgramBuffer) buffers;
    uint32_t externals;    /* how many of them */
    VEC(Kernel *) kernels; /* equal kernels appear once */
    VEC(Launch) launches;
    VEC(KRegion) regions;
    Kernel *plan; /* one buffer, the i64 table; item 0 fills it. table[0]: arena bytes */
    uint32_t table_size;
    uint32_t guards; /* the last entries of the table: where pages lie that nobody may touch; with
                        any, the first page of the arena is one, too */
    uint32_t failure_sites;    /* length of nnc_call.failures */
    VEC(const char *) externs; /* host functions by name */
} KProgram;

/* The buffer whose memory a slice is part of, itself when it is none. */
static inline uint32_t kprogram_whole(const KProgram *program, uint32_t buffer)
{
    while (program->buffers.data[buffer].kind == BUFFER_SLICE) {
        buffer = program->buffers.data[buffer].base;
    }
    return buffer;
}

/* Text: print o read is the identity. */
void kernel_print(const Kernel *kernel, StrBuf *out);
Kernel *kernel_read(Arena *arena, const char *text, char **error);
void kprogram_print(const KProgram *program, StrBuf *out);
/* Buffers, launches and regions fit together; kernels are verified on their own. */
bool kprogram_verify(const KProgram *program, StrBuf *out);
bool kernel_verify(const Kernel *kernel, StrBuf *out);
bool kernel_equal(const Kernel *a, const Kernel *b); /* up to names */
uint64_t kernel_hash(const Kernel *kernel);
void kernel_key(const Kernel *kernel, uint64_t key[2]); /* 128 bits: equal keys, equal kernels */

#endif
