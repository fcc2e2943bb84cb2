/* From one example to a batch: the map of a dataset is written for one row and runs on B. */
#ifndef NNC_SEMA_BATCH_H
#define NNC_SEMA_BATCH_H
#include "compiler/graph/graph.h"

/* Rebuilds what `wanted` (nodes of `one`, which gets them as roots) need in graph `to`, with the
 * axis `batch` in front of every input and of every out[i]. Returns NULL, or the text of what
 * cannot be done for a batch. */
const char *batch_into(Graph *one, Graph *to, const Dim *batch, Node *const *wanted, uint32_t count,
                       Node **out);

#endif
