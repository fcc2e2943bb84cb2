/* The list of operations as a page. */
#ifndef NNC_GRAPH_OP_H
#define NNC_GRAPH_OP_H
#include "compiler/graph/graph.h"

void graph_list_ops(StrBuf *out);                /* the text of docs/ops.md */
bool op_from_text(const char *text, OpCode *op); /* false: no such operation */

#endif
