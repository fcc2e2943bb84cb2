/* Texts about a program: stages of the compiler and views of the model. */
#ifndef NNC_DRIVER_TEXT_H
#define NNC_DRIVER_TEXT_H
#include "compiler/driver/handles.h"

/* summary.c: a table of the model's layers with shapes, parameters and bytes. */
void summary_print(const SemaProgram *program, const TrainPlan *plan, StrBuf *out);
/* picture.c: the calls of the forward function as a layered drawing. */
void picture_dot(const SemaProgram *program, const TrainPlan *plan, StrBuf *out);
void picture_svg(const SemaProgram *program, const TrainPlan *plan, StrBuf *out);

#endif
