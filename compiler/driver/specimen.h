/* Arguments for one function of a program without its data: for measuring. Parameters and states
 * get their initial values, inputs random numbers that the program can work with. */
#ifndef NNC_DRIVER_SPECIMEN_H
#define NNC_DRIVER_SPECIMEN_H
#include "compiler/driver/compile.h"

typedef struct {
    void **buffers; /* one per argument; owned */
    int64_t *dims;  /* the free dimensions */
    char *arena;
    int64_t *table, *failures;
    int64_t arena_bytes;
} Specimen;

/* False: memory was refused. specimen_free in any case. `graph` is the final one. */
bool specimen_open(Specimen *specimen, const TrainPlan *plan, const Function *function,
                   const Graph *graph, int64_t rows);
/* Integers that were drawn and did not suit become zeros. */
void specimen_make_plain(Specimen *specimen, const Function *function);
void specimen_free(Specimen *specimen, const Function *function);

#endif
