/* Gradients of random graphs: what a training step makes of them. */
#ifndef NNC_TESTS_RANDOM_GRADIENT_H
#define NNC_TESTS_RANDOM_GRADIENT_H
#include "compiler/graph/graph.h"

enum { MOST_GRADIENTS = 64 };

/* A graph whose outputs are the gradients of the sum of old's float outputs by its float leaves,
 * under their names; its loops are marked to be computed again or not. NULL: old has none, or is
 * refused (too many axes to be kept, a window over nothing). */
Graph *random_gradient(Arena *arena, const Graph *old, bool recompute);

#endif
