/* What a group has to do, whatever its kernels look like: arithmetic, and bytes that must come from
 * memory and go there. Measured times are compared with it (nnc time, docs/performance.md). */
#ifndef NNC_SCHEDULE_WORK_H
#define NNC_SCHEDULE_WORK_H
#include "compiler/schedule/schedule.h"

typedef struct {
    double flops;                     /* operations on floating point; a product and a sum are two */
    double read_bytes, written_bytes; /* every value once */
} Work;

/* Per group, at the given values of all symbols (per symbol of graph->dims); of a group in a loop:
 * for one iteration. */
Work *schedule_work(Arena *arena, const Schedule *schedule, const int64_t *symbols);

#endif
