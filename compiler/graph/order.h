/* Orders of summation (the contract of numbers): the one place that decides them; ref and lower
 * obey.
 *
 * Reductions (sum, prod, amax.. over axes). If the innermost axis of the operand is reduced: per
 * output element and per index of the other reduced axes, element i of the innermost axis goes
 * to lane i mod LANES; every lane is an ascending chain from the identity; lanes are added by
 * halves (lane l += lane l + LANES/2, then LANES/4, ... 1). Lanes that got no element hold the
 * identity (+0 for sums), which changes nothing. Then the other reduced axes: an ascending chain
 * in row-major order over them from the identity, in leaves when the OUTERMOST reduced axis is
 * not constant. Contractions: one chain of fma from +0 in ascending k; dot: contracting axes as
 * listed, the last fastest; conv: taps row-major, then channels fastest; if the channel axis is
 * not constant: channels slowest, then taps, in leaves. Leaves: the chain over the outermost
 * summed axis is cut every `leaf` indices of it; each leaf starts at the identity, and leaf
 * totals are added in ascending order to an accumulator that starts at the identity. leaf = 0:
 * no cut. Prefix sums are sequential from the identity. Windows: an ascending chain over the
 * taps, row-major, from the identity. scatter_add: ascending updates, starting from the element
 * of x. A step of a chain is op(accumulator, element) and of lanes op(lane l, lane l + half),
 * which decides between +0 and -0 in amax, amin and window_max. */
#ifndef NNC_GRAPH_ORDER_H
#define NNC_GRAPH_ORDER_H
#include "compiler/graph/graph.h"
#include "runtime/base/scalar.h"

enum { SUM_LANES = 32 };

typedef struct {
    bool lanes;           /* reductions: the innermost axis is reduced, so its elements go through lanes */
    bool channels_slowest; /* conv */
    int64_t leaf;         /* rows of the outermost summed axis per leaf, 0: one chain */
} SumOrder;

/* A function of op, attribute and constant dims only. Leaves exist when the outermost summed
 * axis (for a reduction with lanes: the outermost reduced axis other than the innermost) is not
 * constant and the constant part of the output has at most 16384 elements: leaf = clamp(4096 /
 * (product of the constant dims of the other summed axes), 4, 64). */
SumOrder graph_sum_order(const Node *node);
/* What a step of a chain does in a reduction or a window of that op: accumulator, element. */
ScalarOp graph_combiner(OpCode op);

#endif
