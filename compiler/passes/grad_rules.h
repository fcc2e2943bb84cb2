/* What the gradient rules share. A rule of row R of ops.def is grad_NAME(grad, node, dy): it knows
 * dy, the derivative of the scalar by node, and adds to each operand that is wanted its part. Rules
 * are in grad_<class>.c. */
#ifndef NNC_PASSES_GRAD_RULES_H
#define NNC_PASSES_GRAD_RULES_H
#include "compiler/graph/build.h"
#include "compiler/graph/region.h"
#include "compiler/passes/grad.h"

typedef VEC(Node *) NodeVec;

/* Parts of a node that is outside of the region being walked. */
typedef struct {
    Node *of;
    NodeVec parts;
} Captured;

/* A region being walked, the innermost of a list. */
typedef struct GradLevel {
    uint32_t region;
    VEC(Captured) captured;
    struct GradLevel *up;
} GradLevel;

typedef struct {
    Graph *graph;
    Arena *scratch;
    uint32_t count;   /* nodes of the forward graph: ids below are differentiated */
    bool *wanted;     /* per id: leads to a wrt through floats and rules other than zero; a loop or
                         branch: one of its results does */
    Node **total;     /* per id: sum of the parts so far, NULL: none */
    Regions *regions; /* of the nodes that the scalar needs */
    const Node **closers; /* by number of a loop or branch that is closed */
    NodeVec *bodies;      /* per region its nodes in order */
    NodeVec *exits;       /* per id of a loop or branch: its finals and stacks */
    GradLevel *level;
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

void grad_fail(Grad *grad, const Node *node, const char *text); /* NULL: what the graph says */
/* Calls the rules of the nodes of a region, the last node first; their totals are set by then. What
 * they give to nodes outside of it is left in level->captured. */
void grad_enter_region(Grad *grad, GradLevel *level, uint32_t region);
void grad_leave_region(Grad *grad, GradLevel *level);
void grad_walk(Grad *grad);

/* Moves derivative nodes from the region of forward nodes into a loop or branch of their own
 * (grad_graft.c). */
typedef struct {
    uint32_t region;    /* the forward nodes are here */
    const Node *closer; /* the forward loop or branch */
    uint32_t number;    /* of the loop or branch being made; derivative ones have this or larger numbers */
    BranchSide side;    /* of a branch */
    bool keeps;         /* values are taken from stacks of the forward loop; else computed again */
    bool guarded;       /* slices are used inside of the side `then` of branch `guard` */
    uint32_t guard;
} Graft;
void grad_graft(Grad *grad, const Graft *graft, Node **nodes, uint32_t count);
/* Which nodes are inside of a loop or branch with this number or a larger one; a byte per id. */
uint8_t *grad_inside(Grad *grad, uint32_t number, Arena *arena);

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
/* The total of something that was cut into slices along an axis: the derivatives of the slices,
 * which are a sum of them with zeros around, one after the other. Anything else: itself. */
Node *grad_joined(Graph *g, Node *total);
bool grad_is_empty(const Type *type); /* some axis is the constant 0 */

#endif
