/* The thread pool: runs the items of one kernel on several threads (nnc_parallel of
 * include/nnc/abi.h).
 *
 *   Pool *pool = pool_new(4, true);
 *   call.parallel = pool_run; call.pool = pool;
 *
 * A job of `count` items is cut into chunks that are multiples of `grain`; threads take chunks from
 * a shared counter, and the caller takes part. Which thread does which chunk varies, what a chunk
 * computes does not, so results never depend on the number of threads. A call made while the pool
 * is at work (from inside a kernel, or from a second host thread) runs on the calling thread alone.
 */
#ifndef NNC_TRAIN_POOL_H
#define NNC_TRAIN_POOL_H
#include "include/nnc/abi.h"

#include <stdbool.h>

typedef struct Pool Pool;

/* threads counts the caller; 0: one per CPU this process may use. pin: ties each worker to a CPU of
 * its own where the system allows it and there are enough CPUs. When threads cannot be started
 * there are fewer of them. NULL: out of memory. */
Pool *pool_new(int threads, bool pin);
void pool_free(Pool *pool);                /* no job may be running; NULL is allowed */
int pool_threads(const Pool *pool);        /* with the caller, at least 1 */
void pool_resize(Pool *pool, int threads); /* as in pool_new; no job may be running */
int pool_cpus(void);                       /* CPUs this process may use, at least 1 */

/* An nnc_parallel. count <= grain, or grain <= 0: everything on the calling thread, as one chunk.
 */
void pool_run(void *pool, nnc_kernel *kernel, const nnc_call *call, void *const *args,
              int64_t count, int64_t grain);

#endif
