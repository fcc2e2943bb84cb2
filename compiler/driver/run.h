/* A Run is a compiled block with its tensors: what trainers, models and sessions share. */
#ifndef NNC_DRIVER_RUN_H
#define NNC_DRIVER_RUN_H
#include "compiler/driver/dataset.h"

/* A field that predict takes; see inputs.h. */
typedef struct {
    const char *name, *shape; /* "u8[B, 28, 28]" */
    DType dtype;
    int rank;
    bool mapped; /* read by predict_map alone */
    int arg;     /* of predict, or of predict_map */
    struct Tokenizer *tokenizer; /* of a text, once one was read (cells.c) */
} PredictInput;

typedef struct {
    nnc_program *program;
    TrainPlan *plan;
    Arena *arena; /* the spec */
    Compiled *compiled;
    Session *session;
    Dataset dataset;
    TrainSpec spec;
    const Function *predict;
    const Function *predict_map; /* makes rows before it; NULL: predict takes the fields */
    PredictInput *inputs;
    int input_count;
    Trainer *trainer;
    const struct WeightsNotes *notes; /* what goes with the weights into a file */
} Run;

/* With `train` false only `predict` is compiled and no data is read. loader_threads as in
 * nnc_trainer_options. Errors are in the context; run_close in any case. */
nnc_status run_open(Run *run, nnc_program *program, const char *block, uint64_t seed, bool train,
                    int loader_threads);
void run_close(Run *run);

#endif
