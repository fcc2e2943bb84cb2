/* What this machine can do at most, measured with generated code: fused multiplications and
 * additions in registers, and a triad a = b + s*c over arrays that fit each level of memory. */
#ifndef NNC_DRIVER_PEAK_H
#define NNC_DRIVER_PEAK_H
#include "compiler/driver/compile.h"
#include "runtime/train/pool.h"

typedef enum { LEVEL_L1, LEVEL_L2, LEVEL_L3, LEVEL_MEMORY, LEVEL_COUNT } MemoryLevel;

typedef struct {
    int threads;
    double flops;                     /* a second, f32, all threads together */
    double bytes_second[LEVEL_COUNT]; /* of all threads: two reads and a write count */
    int64_t bytes[LEVEL_COUNT];       /* what fits, all threads together; MEMORY: INT64_MAX */
} Peak;

/* `cpu` as in CompileOptions, pool NULL: one thread. Takes about a tenth of a second. False: an
 * error is in diag. */
bool peak_measure(Jit *jit, const char *cpu, Pool *pool, Peak *peak, Diag *diag);
const char *peak_level_name(MemoryLevel level); /* "L1" */
/* The smallest level that holds so many bytes. */
MemoryLevel peak_level(const Peak *peak, double bytes);

#endif
