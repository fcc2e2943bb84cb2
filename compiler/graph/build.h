/* Short constructors over graph_node for sema, gradients and rewrites. Elementwise ones take
 * operands of equal shape, or a scalar constant made by build_scalar; build_binary broadcasts
 * explicitly. All return NULL with graph->error set when a shape rule refuses; passing NULL in
 * gives NULL out. */
#ifndef NNC_GRAPH_BUILD_H
#define NNC_GRAPH_BUILD_H
#include "compiler/graph/graph.h"

Node *build_leaf(Graph *g, OpCode op, const char *name, Type type);
Node *build_const(Graph *g, Type type, double value);          /* any dtype; the value must be exact in it */
Node *build_const_like(Graph *g, const Node *like, double value); /* same type as like */
Node *build_scalar(Graph *g, DType dtype, double value);       /* rank 0 */
Node *build_unary(Graph *g, OpCode op, Node *x);
Node *build_binary(Graph *g, OpCode op, Node *x, Node *y);     /* broadcasts literal-1 and missing leading axes */
Node *build_select(Graph *g, Node *condition, Node *x, Node *y);
Node *build_fma(Graph *g, Node *x, Node *y, Node *z);
Node *build_convert(Graph *g, Node *x, DType dtype);           /* x itself when it has that dtype */
Node *build_reshape(Graph *g, Node *x, int rank, const Dim *const *dims);
Node *build_permute(Graph *g, Node *x, const uint8_t *perm);
Node *build_swap_axes(Graph *g, Node *x, int a, int b);
Node *build_expand(Graph *g, Node *x, int rank, const Dim *const *dims);
/* x given the shape of `type` by numpy's rule: missing leading axes are added, axes of size 1
 * are repeated. */
Node *build_broadcast(Graph *g, Node *x, int rank, const Dim *const *dims);
Node *build_slice_axis(Graph *g, Node *x, int axis, const Dim *start, const Dim *limit, int64_t step);
Node *build_pad_axis(Graph *g, Node *x, Node *value, int axis, const Dim *low, const Dim *high);
Node *build_concat(Graph *g, Node *const *x, int count, int axis);
Node *build_reverse(Graph *g, Node *x, Axes axes);
Node *build_reduce(Graph *g, OpCode op, Node *x, Axes axes);             /* axes leave; none: x itself */
Node *build_reduce_keep(Graph *g, OpCode op, Node *x, Axes axes);        /* axes stay with size 1 */
Node *build_axis_op(Graph *g, OpCode op, Node *x, int axis);             /* argmax argmin cumsum argsort */
/* The usual product: x[.., M, K] times y[.., K, N] over equal leading (batch) axes. */
Node *build_matmul(Graph *g, Node *x, Node *y);
Node *build_dot(Graph *g, Node *x, Node *y, Axes batch_x, Axes batch_y, Axes contract_x, Axes contract_y);
Node *build_gather(Graph *g, Node *x, Node *index, int axis);
Node *build_scatter_add(Graph *g, Node *x, Node *index, Node *updates, int axis);
Node *build_iota(Graph *g, Type type, int axis);
Node *build_dim(Graph *g, const Dim *dim, DType dtype);                   /* scalar of that dtype */
/* Loops and branches (ops.def, region.h). The number comes from graph_next_loop; the nodes of a
 * body or side are built before the loop or branch itself. count: carries, or results. */
Node *build_carry(Graph *g, uint32_t loop, int index, Type type);
Node *build_at(Graph *g, uint32_t loop, Node *x);
Node *build_loop(Graph *g, LoopAttr attr, Node *const *inits, Node *const *nexts, int count);
Node *build_final(Graph *g, Node *token, int index);   /* token: a loop or branch */
Node *build_stack(Graph *g, Node *loop, Node *value);
Node *build_enter(Graph *g, uint32_t branch, BranchSide side, Node *x);
Node *build_branch(Graph *g, uint32_t id, Node *condition, Node *const *thens, Node *const *elses, int count);
Axes axes_one(int axis);
Axes axes_range(int begin, int end);

#endif
