/* The functions that pipeline.def names. */
#ifndef NNC_PASSES_PASS_LIST_H
#define NNC_PASSES_PASS_LIST_H
#include "compiler/passes/pass.h"

#define PASS(e, text, function, mode, doc) Graph *function(PassContext *context, const Graph *old);
#include "compiler/passes/pipeline.def"

#endif
