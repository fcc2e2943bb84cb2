/* What predict takes: the fields that it reads itself, and those of the map that makes rows before
 * it (sema/map.c). */
#ifndef NNC_DRIVER_INPUTS_H
#define NNC_DRIVER_INPUTS_H
#include "compiler/driver/run.h"

/* run->inputs from run->predict and run->predict_map. */
void inputs_list(Run *run);
/* Sizes of an input for so many rows. */
void input_sizes(const Run *run, const PredictInput *input, int64_t rows, int64_t *sizes);
/* Predicts: `in` in the order of run->inputs, `out` in the order of the outputs of run->predict. */
nnc_status inputs_call(Run *run, int64_t rows, const void *const *in, void *const *out);

#endif
