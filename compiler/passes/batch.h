/* From a function of one example to a function of a batch: the `map` of a dataset speaks of one
 * example, its compiled form takes a row per example.
 *
 *   input x : u8[28, 28]  ->  input x : u8[B, 28, 28]    every INPUT gets `batch` in front
 *   param w : f32[10]     ->  the same                   params, states, constants do not
 *   random  : f32[4]      ->  random : f32[B, 4]         every example draws its own numbers
 *
 * Row b of every output is what the function gives for row b of the inputs, to the bit (random
 * numbers excepted: element counters run over the batched shape). An output that no example reaches
 * is repeated for every row. */
#ifndef NNC_PASSES_BATCH_H
#define NNC_PASSES_BATCH_H
#include "compiler/graph/graph.h"

/* A new graph in the arena of `one`. NULL: it cannot be batched, one->error (set by this function)
 * says why: a host function of an example, an update that depends on an example, or more than
 * MAX_RANK axes. */
Graph *batch_graph(Graph *one, const Dim *batch);

#endif
