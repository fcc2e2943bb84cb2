/* What the gradient rules share. A rule of row R of ops.def is grad_NAME(grad, node, dy): it knows
 * dy, the derivative of the scalar by node, and adds to each operand that is wanted its part. Rules
 * are in grad_<class>.c. */
#ifndef NNC_PASSES_GRAD_RULES_H
#define NNC_PASSES_GRAD_RULES_H
#include "compiler/graph/build.h"
#include "compiler/passes/grad.h"

typedef struct {
    Graph *graph;
    uint32_t count; /* nodes of the forward graph: ids below are differentiated */
    bool *wanted;   /* per id: leads to a wrt through floats and rules other than zero */
    Node **total;   /* per id: sum of the parts so far, NULL: none */
    const Node *failed;
    const char *text;
} Grad;

typedef void GradRule(Grad *grad, Node *node, Node *dy);

#define OP(e, text, lo, hi, cls, attr, flags, shape, grad, doc) GradRule grad_##grad;
#include "compiler/graph/ops.def"

bool grad_wants(const Grad *grad, const Node *operand);
/* Adds part (of operand's type) to what operand has. A NULL part is a refused node: the run fails
 * with graph->error. */
void grad_give(Grad *grad, Node *operand, Node *part);

/* Zeros of the type of like. */
Node *grad_zeros_like(Graph *g, const Node *like);
/* x, whose shape is that of `like` without `axes`, repeated along them. */
Node *grad_spread(Graph *g, Node *x, Axes axes, const Node *like);
/* Sum over all axes: rank 0. */
Node *grad_sum_all(Graph *g, Node *x);
/* x padded with its zero: per axis low, high (may be negative) and interior. */
Node *grad_pad_zero(Graph *g, Node *x, const Attr *pad);
/* {kind = AT_PAD} or {kind = AT_SLICE} that changes nothing in a tensor of that type. */
Attr grad_same_pad(Graph *g, const Type *type);
Attr grad_same_slice(Graph *g, const Type *type);
/* (n - 1) * step: the distance from the first to the last of n elements. */
const Dim *grad_reach(Graph *g, const Dim *n, int64_t step);
/* The length of n elements that are `step` apart, as the shape rules write it: none of none. */
const Dim *grad_length(Graph *g, const Dim *n, int64_t step);
bool grad_is_empty(const Type *type); /* some axis is the constant 0 */

#endif
