/* Reverse-mode differentiation of a graph: stage in graph, stage out the same graph with derivative
 * nodes appended. */
#ifndef NNC_PASSES_GRAD_H
#define NNC_PASSES_GRAD_H
#include "compiler/graph/graph.h"

typedef struct {
    const Node *node; /* the node that could not be differentiated */
    const char *text; /* why, in the words of a user (the graph's arena) */
} GradError;

/* gradients[i] = d scalar / d wrt[i], of the type of wrt[i]; zeros where scalar does not depend on
 * it, or where wrt[i] is not a float. `scalar` is a float of rank 0. Derivative nodes are ordinary
 * nodes, so a gradient can be differentiated again; each carries the span of the node it
 * differentiates. Nodes that lead to no wrt get no work. False: *error. */
bool grad_build(Graph *g, Node *scalar, Node *const *wrt, int count, Node **gradients,
                GradError *error);

#endif
