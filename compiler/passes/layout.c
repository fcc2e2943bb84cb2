/* layout: permutes sink. In: a graph whose convolutions are written channels-first (permute, conv,
 * permute back, as the library does). Out: an equal one in which images stay channels-last between
 * convolutions, so that those permutes meet their inverses. Elementwise values keep their bits; a
 * reduction may sum in another order, since numbers.md defines the order on the final graph.
 *
 * Every value gets a stored form, a permutation of itself. A permute is then only a note that the
 * value is stored in another order, and each op works on stored operands where it can:
 *
 *   %2 = conv ..           : [1, B, R, S, O]            stored as is
 *   %3 = reshape %2        : [B, R, S, O]
 *   %4 = permute {0,3,1,2} : [B, O, R, S]               %3, order 0 2 3 1
 *   %5 = max %4 0                                       max on %3, order 0 2 3 1
 *   %6 = permute {0,2,3,1} : [B, R, S, O]               the same, order 0 1 2 3: no permute is left
 *
 * Where operands of an elementwise op disagree, the order is taken that moves the fewest elements
 * (free sizes count as 32), counting that what goes to a root must come back. The walk is made
 * twice, breaking ties for moved and for logical orders; the better graph is kept if fewer elements
 * are permuted in it than before, so the pass never makes a graph worse. */
#include "compiler/passes/layout.h"
#include "compiler/passes/pass_list.h"
#include "runtime/base/bug.h"

#include <string.h>

enum { FREE_SIZE = 32, MAX_DEPTH = 6 };

Order order_identity(void)
{
    Order order;
    for (int i = 0; i < MAX_RANK; i++)
        order.axis[i] = (uint8_t)i;
    return order;
}

bool order_is(const Order *a, const Order *b, int rank)
{
    return !memcmp(a->axis, b->axis, (size_t)rank);
}

int order_place(const Order *order, int rank, int axis)
{
    for (int i = 0; i < rank; i++)
        if (order->axis[i] == axis)
            return i;
    NNC_BUG("axis %d is not in the order", axis);
}

static int64_t count_elements(const int64_t *hint, const Type *type)
{
    int64_t product = 1;
    for (int i = 0; i < type->rank; i++) {
        int64_t size = dim_eval(type->dims[i], hint);
        if (size <= 0)
            return 0;
        product = product > INT32_MAX || size > INT32_MAX ? INT32_MAX : product * size;
    }
    return product;
}

/* Whether two orders of a type differ only in where axes of size 1 are: a reshape goes between
 * them. */
static bool differ_by_units(const Type *type, const Order *a, const Order *b)
{
    int j = 0;
    for (int i = 0; i < type->rank; i++) {
        if (dim_is(type->dims[a->axis[i]], 1))
            continue;
        while (dim_is(type->dims[b->axis[j]], 1))
            j++;
        if (a->axis[i] != b->axis[j++])
            return false;
    }
    return true;
}

static bool is_cheap_elementwise(const Node *node)
{
    return op_info[node->op].op_class == CLASS_ELEMENTWISE &&
           !(op_info[node->op].flags & FLAG_FAILS);
}

static int64_t cost_at(const Layout *layout, const Node *old, const Order *order, int depth)
{
    if (order_is(order, &layout->order[old->id], old->type.rank) || old->op == OP_CONST ||
        old->op == OP_IOTA || differ_by_units(&old->type, order, &layout->order[old->id]))
        return 0;
    if (old->op == OP_EXPAND)
        return cost_at(layout, old->src[0], order, depth + 1);
    int64_t own = count_elements(layout->hint, &old->type), operands = 0;
    if (!is_cheap_elementwise(old) || depth >= MAX_DEPTH)
        return own;
    for (int i = 0; i < old->nsrc && operands < own; i++)
        operands += cost_at(layout, old->src[i], order, depth + 1);
    return operands < own ? operands : own;
}

int64_t layout_cost(const Layout *layout, const Node *old, const Order *order)
{
    return cost_at(layout, old, order, 0);
}

static Node *permute_stored(Layout *layout, const Node *old, const Order *order)
{
    uint8_t perm[MAX_RANK];
    for (int i = 0; i < old->type.rank; i++)
        perm[i] = (uint8_t)order_place(&layout->order[old->id], old->type.rank, order->axis[i]);
    return build_permute(layout->g, layout->stored[old->id], perm);
}

static Node *leaf_as(Layout *layout, const Node *old, const Order *order)
{
    Attr attr = old->attr;
    Type *type = old->op == OP_CONST ? &attr.constant.type : &attr.iota.type;
    for (int i = 0; i < old->type.rank; i++)
        type->dims[i] = old->type.dims[order->axis[i]];
    if (old->op == OP_IOTA)
        attr.iota.axis = order_place(order, old->type.rank, old->attr.iota.axis);
    return graph_node(layout->g, old->op, NULL, 0, &attr);
}

static Node *stored_at(Layout *layout, const Node *old, const Order *order, int depth)
{
    if (order_is(order, &layout->order[old->id], old->type.rank))
        return layout->stored[old->id];
    if (old->op == OP_CONST || old->op == OP_IOTA)
        return leaf_as(layout, old, order);
    if (old->op == OP_EXPAND) {
        const Dim *dims[MAX_RANK];
        for (int i = 0; i < old->type.rank; i++)
            dims[i] = old->type.dims[order->axis[i]];
        return build_expand(layout->g, stored_at(layout, old->src[0], order, depth + 1),
                            old->type.rank, dims);
    }
    bool again = is_cheap_elementwise(old) && depth < MAX_DEPTH &&
                 cost_at(layout, old, order, depth) < count_elements(layout->hint, &old->type) &&
                 !differ_by_units(&old->type, order, &layout->order[old->id]);
    if (!again)
        return permute_stored(layout, old, order);
    Node *src[3];
    for (int i = 0; i < old->nsrc; i++)
        src[i] = stored_at(layout, old->src[i], order, depth + 1);
    return graph_node(layout->g, old->op, src, old->nsrc, &old->attr);
}

Node *layout_stored_as(Layout *layout, const Node *old, const Order *order)
{
    return stored_at(layout, old, order, 0);
}

Node *layout_logical(Layout *layout, const Node *old)
{
    const Order identity = order_identity();
    return layout_stored_as(layout, old, &identity);
}

/* ---- the rules that need no arithmetic on axes ---- */

static void keep_logical(Layout *layout, const Node *old)
{
    Node **src = ARENA_ARRAY(layout->g->arena, Node *, old->nsrc);
    for (int i = 0; i < old->nsrc; i++)
        src[i] = layout_logical(layout, old->src[i]);
    layout->order[old->id] = order_identity();
    layout->stored[old->id] = graph_node(layout->g, old->op, src, old->nsrc, &old->attr);
}

/* Axis k of the stored operand is axis order[k] of the operand, hence axis j of the result where
 * perm[j] is that. */
static void note_permute(Layout *layout, const Node *old)
{
    const Node *x = old->src[0];
    const int rank = old->type.rank;
    Order perm = {{0}};
    memcpy(perm.axis, old->attr.perm.axis, (size_t)rank);
    for (int k = 0; k < rank; k++)
        layout->order[old->id].axis[k] =
            (uint8_t)order_place(&perm, rank, layout->order[x->id].axis[k]);
    layout->stored[old->id] = layout->stored[x->id];
}

static bool has_own_order(const Node *node)
{
    while (node->op == OP_EXPAND)
        node = node->src[0];
    return node->op != OP_CONST && node->op != OP_IOTA && node->type.rank > 0;
}

/* What it costs to work in that order: the operands that must move, and the result that must move
 * back where it goes to a root, which is logical. */
static int64_t cost_of_order(const Layout *layout, const Node *old, const Order *order)
{
    const Order identity = order_identity();
    int64_t cost = 0;
    if (layout->to_root[old->id] && !order_is(order, &identity, old->type.rank))
        cost = count_elements(layout->hint, &old->type);
    for (int i = 0; i < old->nsrc; i++)
        cost += layout_cost(layout, old->src[i], order);
    return cost;
}

/* The order of one of the operands (all of one rank), or the logical one on the way to a root, that
 * costs least. */
static Order choose_order(const Layout *layout, const Node *old)
{
    const int rank = old->type.rank;
    const bool to_root = layout->to_root[old->id], keep_ties = layout->keep_ties || to_root;
    Order best = order_identity(), identity = best;
    int64_t best_cost = to_root ? cost_of_order(layout, old, &identity) : INT64_MAX;
    for (int i = 0; i < old->nsrc; i++) {
        const Order *order = &layout->order[old->src[i]->id];
        if (!has_own_order(old->src[i]))
            continue;
        int64_t cost = cost_of_order(layout, old, order);
        bool wins_tie = order_is(order, &identity, rank) == keep_ties &&
                        order_is(&best, &identity, rank) != keep_ties;
        if (cost < best_cost || (cost == best_cost && wins_tie)) {
            best = *order;
            best_cost = cost;
        }
    }
    return best;
}

static void layout_elementwise(Layout *layout, const Node *old)
{
    const Order order = choose_order(layout, old);
    Node **src = ARENA_ARRAY(layout->g->arena, Node *, old->nsrc);
    Attr attr = old->attr;
    for (int i = 0; i < old->nsrc; i++)
        src[i] = layout_stored_as(layout, old->src[i], &order);
    if (old->op == OP_CONCAT)
        attr.axis = order_place(&order, old->type.rank, old->attr.axis);
    layout->order[old->id] = order;
    layout->stored[old->id] = graph_node(layout->g, old->op, src, old->nsrc, &attr);
}

static LayoutRule *rule_of(const Node *old)
{
    static LayoutRule *const by_class[] = {
        [CLASS_ELEMENTWISE] = layout_elementwise,
        [CLASS_MOVE] = layout_same_rank,
        [CLASS_REDUCE] = layout_reduce,
        [CLASS_WINDOW] = layout_window,
        [CLASS_CALL] = keep_logical,
    };
    static LayoutRule *const by_op[OP_COUNT] = {
        [OP_PERMUTE] = note_permute,   [OP_CONCAT] = layout_elementwise,
        [OP_RESHAPE] = layout_reshape, [OP_ARGMAX] = layout_axis,
        [OP_ARGMIN] = layout_axis,     [OP_CUMSUM] = layout_axis,
        [OP_ARGSORT] = layout_axis,
        [OP_DOT] = layout_dot,
    };
    LayoutRule *rule = by_op[old->op] ? by_op[old->op] : by_class[op_info[old->op].op_class];
    return rule ? rule : keep_logical;
}

/* ---- the walk ---- */

/* Nodes from which every way to a root passes elementwise ops only: the update of an optimiser. */
static uint8_t *ways_to_roots(PassContext *context, const Graph *g, const uint8_t *live)
{
    uint8_t *used = ARENA_ARRAY(context->scratch, uint8_t, g->nodes.count + 1);
    uint8_t *stopped = ARENA_ARRAY(context->scratch, uint8_t, g->nodes.count + 1);
    for (uint32_t i = 0; i < g->roots.count; i++)
        used[g->roots.data[i].node->id] = 1;
    for (uint32_t id = g->nodes.count; id-- > 0;) {
        const Node *node = g->nodes.data[id];
        used[id] = live[id] && used[id] && !stopped[id];
        bool passes = used[id] && op_info[node->op].op_class == CLASS_ELEMENTWISE;
        for (int i = 0; live[id] && i < node->nsrc; i++) {
            used[node->src[i]->id] = 1;
            stopped[node->src[i]->id] |= !passes;
        }
    }
    return used;
}

static Graph *walk(PassContext *context, const Graph *old, const int64_t *hint, bool keep_ties)
{
    Graph *g = pass_new_graph(old);
    const uint8_t *live = graph_live(old, context->scratch);
    Layout layout = {.old = old, .g = g, .hint = hint, .keep_ties = keep_ties};
    layout.to_root = ways_to_roots(context, old, live);
    layout.stored = ARENA_ARRAY(context->scratch, Node *, old->nodes.count + 1);
    layout.order = ARENA_ARRAY(context->scratch, Order, old->nodes.count + 1);
    for (uint32_t id = 0; id < old->nodes.count; id++) {
        const Node *node = old->nodes.data[id];
        if (!live[id])
            continue;
        g->span = node->span;
        layout.order[id] = order_identity();
        rule_of(node)(&layout, node);
        if (!layout.stored[id])
            NNC_BUG("layout of %s: %s", op_info[node->op].text, g->error ? g->error : "refused");
    }
    for (uint32_t i = 0; i < old->roots.count; i++) {
        const Root *root = &old->roots.data[i];
        g->span = root->node->span;
        graph_root(g, root->kind, root->name, layout_logical(&layout, root->node));
    }
    return g;
}

/* Elements that permutes of a graph move. */
static int64_t permuted_elements(const Graph *g, const int64_t *hint, Arena *scratch)
{
    const uint8_t *live = graph_live(g, scratch);
    const Order identity = order_identity();
    int64_t total = 0;
    for (uint32_t id = 0; id < g->nodes.count; id++) {
        const Node *node = g->nodes.data[id];
        if (!live[id] || node->op != OP_PERMUTE)
            continue;
        Order perm = identity;
        memcpy(perm.axis, node->attr.perm.axis, (size_t)node->type.rank);
        if (!differ_by_units(&node->src[0]->type, &perm, &identity))
            total += count_elements(hint, &node->type);
    }
    return total;
}

static Graph *copy_live(PassContext *context, const Graph *old)
{
    Graph *g = pass_new_graph(old);
    const uint8_t *live = graph_live(old, context->scratch);
    Node **map = ARENA_ARRAY(context->scratch, Node *, old->nodes.count + 1);
    for (uint32_t id = 0; id < old->nodes.count; id++)
        if (live[id])
            map[id] = graph_copy_node(g, old->nodes.data[id], map);
    pass_copy_roots(g, old, map);
    return g;
}

Graph *pass_layout(PassContext *context, const Graph *old)
{
    const uint32_t symbols = dim_symbol_count(old->dims);
    int64_t *hint = ARENA_ARRAY(context->scratch, int64_t, symbols + 1);
    for (uint32_t i = 0; i < symbols; i++)
        hint[i] = FREE_SIZE;
    int64_t best_cost = permuted_elements(old, hint, context->scratch);
    Graph *best = NULL;
    for (int keep_ties = 0; keep_ties < 2 && best_cost > 0; keep_ties++) {
        Graph *g = walk(context, old, hint, keep_ties);
        int64_t cost = permuted_elements(g, hint, context->scratch);
        Graph *loser = cost < best_cost ? best : g;
        if (cost < best_cost) {
            best = g;
            best_cost = cost;
        }
        if (loser)
            arena_free(loser->arena);
    }
    if (best)
        pass_count(context, "moved");
    return best ? best : copy_live(context, old);
}
