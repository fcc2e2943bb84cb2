/* The names of checkpoints: step-N, N without leading zeros. */
#ifndef NNC_DRIVER_STEPS_H
#define NNC_DRIVER_STEPS_H
#include "runtime/base/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t *steps; /* the largest first */
    int64_t count;
} StepList;

bool step_of_name(const char *name, int64_t *step);
/* Of the checkpoints in a folder; empty when there is no such folder. */
StepList steps_list(const char *folder);
void steps_free(StepList *list);
/* The folder that a pointer file names, beside the file; NULL: it is no pointer. */
const char *steps_pointed(Arena *arena, const char *path);

#endif
