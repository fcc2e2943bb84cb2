/* Words and texts as inputs of predict. */
#ifndef NNC_DRIVER_CELLS_H
#define NNC_DRIVER_CELLS_H
#include "compiler/driver/run.h"

/* The field of the input holds words or texts (category, chars). */
bool input_is_text(const Run *run, const PredictInput *input);
/* Writes one row of such an input: the number of a word, or the tokens of a text. The context of
 * the program has the error. */
nnc_status input_read_text(Run *run, PredictInput *input, const char *text, int32_t *row);
void inputs_close(Run *run); /* what reading made */

#endif
