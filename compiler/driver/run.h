/* A Run is a compiled block with its tensors: what trainers, models and sessions share. */
#ifndef NNC_DRIVER_RUN_H
#define NNC_DRIVER_RUN_H
#include "compiler/driver/dataset.h"

typedef struct {
    nnc_program *program;
    TrainPlan *plan;
    Arena *arena; /* the spec */
    Compiled *compiled;
    Session *session;
    Dataset dataset;
    TrainSpec spec;
    const Function *predict;
    Trainer *trainer;
    const struct WeightsNotes *notes; /* what goes with the weights into a file */
} Run;

/* With `train` false only `predict` is compiled and no data is read. Errors are in the context;
 * run_close in any case. */
nnc_status run_open(Run *run, nnc_program *program, const char *block, uint64_t seed, bool train);
void run_close(Run *run);

#endif
