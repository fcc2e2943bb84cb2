/* nnc/abi.h: the contract between generated code and whoever calls it (the JIT session, or a C
 * program that links the output of `nnc compile`). Plain C, no dependency.
 *
 * A compiled function FN is three symbols:
 *
 *   int64_t FN_plan(const int64_t *dims, int64_t *table)
 *       fills table[0 .. FN_TABLE) and returns the bytes of the arena
 *   void FN_step(const nnc_call *call)
 *       runs every kernel once, in order
 *
 * `dims` are the run-time values of the free dimensions (batch, sequence length) in the order of
 * the graph. The table holds the byte offsets of arena buffers and the trip counts of launches; it
 * is a function of dims only. */
#ifndef NNC_ABI_H
#define NNC_ABI_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nnc_call nnc_call;

/* One kernel: does items [begin, end) of its outermost loop. `args` are the addresses of its
 * buffers. Items are independent, so any split over threads gives the same bits. */
typedef void nnc_kernel(const nnc_call *call, void *const *args, int64_t begin, int64_t end);

/* Runs kernel over [0, count) in chunks that are multiples of `grain`, on any threads, and returns
 * when all are done. */
typedef void nnc_parallel(void *pool, nnc_kernel *kernel, const nnc_call *call, void *const *args,
                          int64_t count, int64_t grain);

/* A host function called from compiled code (`extern fn`): see compiler/graph/ops.def, row CALL.
 * `in` and `out` are arrays of addresses, contiguous and row-major; dims has, for every operand and
 * then the result, its rank followed by its sizes. */
typedef void nnc_extern(void *user, const void *const *in, void *const *out, const int64_t *dims);

struct nnc_call {
    const int64_t *dims;          /* free dimensions */
    const int64_t *table;         /* filled by FN_plan */
    void *const *buffers;         /* inputs, params, states, outputs, in the order of the
                                     manifest */
    char *arena;                  /* 64-byte aligned, at least as large as FN_plan said */
    uint64_t seed;                /* key of the random numbers */
    uint64_t step;                /* counter of the random numbers */
    nnc_parallel *parallel;       /* NULL: everything on the calling thread */
    void *pool;                   /* first argument of parallel */
    int64_t *failures;            /* one slot per check site: -1 before, the lowest failing element
                                     after the call */
    nnc_extern *const *externs;   /* host functions, in the order of the manifest */
    void *const *extern_users;    /* their first arguments */
};

#ifdef __cplusplus
}
#endif
#endif
