/* Kernel IR to LLVM IR to an object file, through LLVM's C API. One LLVMContext and one target
 * machine per call, so calls may run on several threads. Nothing is kept between calls. */
#ifndef NNC_CODEGEN_CODEGEN_H
#define NNC_CODEGEN_CODEGEN_H
#include "compiler/kernel/kir.h"
#include "nnc/abi.h"

typedef struct {
    char *data; /* malloc'd; the caller frees it */
    size_t size;
} ObjectCode;

/* What machine code was made of: its kernel, the compiler, options and processor, as a hash. */
typedef struct {
    uint64_t a, b;
} CodeKey;

/* Where finished objects are kept for another time. Called from several threads at once. */
typedef struct {
    bool (*find)(void *user, CodeKey key, ObjectCode *object); /* false: it is not there */
    void (*keep)(void *user, CodeKey key, const ObjectCode *object);
    void *user;
} ObjectStore;

typedef struct {
    const char *triple;   /* NULL: this machine */
    const char *cpu;      /* NULL: this machine, with its detected features */
    const char *features; /* NULL with cpu NULL */
    bool verify;          /* run LLVM's verifier (always in Debug) */
    bool announce_ranges; /* for TSan: every load and store tells the ranges it touches */
    /* NULL, or called before every launch of NAME_step with its number, and at the end with their
     * count: for measuring. Its address is part of the code. */
    void (*observer)(const nnc_call *call, int64_t launch);
    const ObjectStore *store; /* for codegen_objects; NULL: none */
    /* Texts wanted for --dump: NULL, or appended to. */
    StrBuf *llvm, *assembly;
} CodegenOptions;

/* All programs in one object. Symbols: for every program NAME_plan and NAME_step (external),
 * kernels internal. False: *error (malloc'd, the caller frees it) says why. */
bool codegen_object(KProgram *const *programs, int count, const CodegenOptions *options,
                    ObjectCode *object, char **error);
void codegen_object_free(ObjectCode *object);
/* The same as one object per kernel and one per program's entries, which call the kernels by names
 * that only their contents decide; made by at most `threads` threads, or taken from the store. They
 * belong into one unit (jit_add_all). */
typedef struct {
    ObjectCode *objects; /* malloc'd */
    int count, found;    /* found: of the store */
} ObjectList;

bool codegen_objects(KProgram *const *programs, int count, const CodegenOptions *options,
                     int threads, ObjectList *list, char **error);
void codegen_list_free(ObjectList *list);

/* Calls `visit` with every symbol of an object and the bytes of its code. False: it is no object. */
bool codegen_symbols(const ObjectCode *object,
                     void (*visit)(void *user, const char *name, uint64_t bytes), void *user);

/* Is nnc itself built with the thread sanitizer? Then code that runs in this process should
 * announce its ranges. */
bool codegen_under_race_detector(void);

/* What the generated code may use: vector width in bytes and register count, cache sizes; known
 * without LLVM types. */
typedef struct {
    int vector_bytes;     /* 64 AVX-512, 32 AVX2, 16 NEON/SSE2 */
    int vector_registers; /* 32 or 16 */
    bool has_fma;
    int64_t l1_bytes, l2_bytes, l3_bytes;
} TargetDescription;

bool codegen_describe(const char *triple, const char *cpu, const char *features,
                      TargetDescription *target, char **error);

/* For records of a run: the processor that code is made for ("znver4"; cpu NULL: this machine) and
 * the version of LLVM that makes it. */
typedef struct {
    char cpu[64], llvm[32];
} CodeIdentity;

CodeIdentity codegen_identity(const char *cpu);

#endif
