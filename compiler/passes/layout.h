/* What the files of the pass `layout` share: the stored form of every value. */
#ifndef NNC_PASSES_LAYOUT_H
#define NNC_PASSES_LAYOUT_H
#include "compiler/graph/build.h"
#include "compiler/passes/pass.h"

/* A value is stored as permute(value, order): axis i of the stored tensor is axis order[i] of the
 * value. */
typedef struct {
    uint8_t axis[MAX_RANK];
} Order;

typedef struct {
    const Graph *old;
    Graph *g;
    Node **stored;       /* per old id: the stored form in g */
    Order *order;        /* per old id */
    const int64_t *hint; /* per symbol: the size it is taken to have when costs are compared */
    const uint8_t *to_root; /* per old id: only elementwise ops are left on its ways to the roots */
    bool keep_ties;      /* between layouts of equal cost take the logical one, else a moved one */
} Layout;

Order order_identity(void);
bool order_is(const Order *a, const Order *b, int rank);
int order_place(const Order *order, int rank, int axis); /* i with order->axis[i] == axis */

/* The value of an old node in g, stored in that order: free if it is so already, or constant, or
 * repeated from something small; else a permute. */
Node *layout_stored_as(Layout *layout, const Node *old, const Order *order);
Node *layout_logical(Layout *layout, const Node *old);
/* Elements that layout_stored_as would have to move. */
int64_t layout_cost(const Layout *layout, const Node *old, const Order *order);

/* Rule of an op: fills stored and order of the old node. */
typedef void LayoutRule(Layout *layout, const Node *old);
LayoutRule layout_reshape, layout_same_rank, layout_reduce, layout_axis, layout_dot, layout_window;

#endif
