/* Mixed precision of products; graph_node calls it where Graph.products is f16 or bf16. */
#ifndef NNC_GRAPH_MIXED_H
#define NNC_GRAPH_MIXED_H
#include "compiler/graph/graph.h"

/* What stands in place of the node, or NULL: the node itself. */
Node *graph_mixed(Graph *graph, OpCode op, Node *const *src, int nsrc, const Attr *attr);

#endif
