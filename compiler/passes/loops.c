/* loops: products leave their loops, bit for bit.
 *
 * Forwards. A product of a slice and something from outside is a slice of one large product:
 *
 *   dot (at %x {0}) %w   =>   at (dot %x %w) {0}        for all T rows of an input at once
 *
 * also through elementwise operations, moves and reductions that lie between the slice and the
 * product. Backwards. When a product of something made in the loop with something from outside only
 * ends in a stack, the loop stacks what goes into the product, which is made behind the loop:
 *
 *   stack %loop (dot %h %w)   =>   dot (stack %loop %h) %w
 *
 * also with elementwise operations, moves and reductions behind the product (the output layer of a
 * recurrent network, written in its body; the gradient of its inputs).
 *
 * Both only when the order of every sum (graph/order.h) stays: rows of a product do not know of
 * each other. Loops that may end early stay as they are, and those that are to be computed again,
 * whose bodies are there to keep memory small. */
#include "compiler/graph/build.h"
#include "compiler/graph/order.h"
#include "compiler/graph/region.h"
#include "compiler/passes/pass_list.h"

#include <string.h>

enum { MOST_INSIDE = 48 }; /* operations that leave together */

typedef VEC(const Node *) Readers;

typedef struct {
    const Graph *old;
    Graph *g;
    Arena *scratch;
    Regions *regions;
    Readers *readers; /* per old id */
    Node **map;
} Loops;

/* Operations of one loop that leave together. */
typedef struct {
    Loops *l;
    const Node *loop;
    uint32_t region;
    const Node *inside[MOST_INSIDE]; /* ascending */
    Node *lifted[MOST_INSIDE];       /* with the axis of the loop in front */
    int count;
} Leaving;

static bool in_loop(const Leaving *s, const Node *n)
{
    return s->l->regions->of[n->id] == s->region;
}

static bool is_outside(const Leaving *s, const Node *n)
{
    return !region_within(s->l->regions, s->l->regions->of[n->id], s->region);
}

static bool is_slice(const Leaving *s, const Node *n)
{
    return n->op == OP_AT && n->attr.at.loop == s->loop->attr.loop.id;
}

static int place_of(const Leaving *s, const Node *n)
{
    for (int i = 0; i < s->count; i++)
        if (s->inside[i] == n)
            return i;
    return -1;
}

/* One operand of the product is from outside, which has no rows of its own. */
static bool is_product(const Leaving *s, const Node *n)
{
    return n->op == OP_DOT && is_outside(s, n->src[0]) != is_outside(s, n->src[1]);
}

static bool may_leave(const Leaving *s, const Node *n)
{
    const OpInfo *info = &op_info[n->op];
    if (!in_loop(s, n) || n->type.rank == MAX_RANK || (info->flags & FLAG_FAILS))
        return false;
    for (int i = 0; i < n->nsrc; i++)
        if (n->src[i]->type.rank == MAX_RANK)
            return false;
    if (n->op == OP_PAD && !is_outside(s, n->src[1]))
        return false;
    return info->op_class == CLASS_ELEMENTWISE || info->op_class == CLASS_MOVE ||
           info->op_class == CLASS_REDUCE || is_product(s, n);
}

/* ---- with the axis of the loop in front ---- */

static const Dim *length_of(const Leaving *s)
{
    return s->loop->attr.loop.length;
}

static Type with_length(const Leaving *s, const Type *type)
{
    Type longer = {.dtype = type->dtype, .rank = type->rank + 1, .dims = {length_of(s)}};
    for (int i = 0; i < type->rank; i++)
        longer.dims[i + 1] = type->dims[i];
    return longer;
}

/* A value from outside, the same in every iteration. */
static Node *repeated(const Leaving *s, const Node *n)
{
    Graph *g = s->l->g;
    Type longer = with_length(s, &n->type);
    if (n->op == OP_CONST) {
        Attr attr = n->attr;
        attr.constant.type = longer;
        return graph_node(g, OP_CONST, NULL, 0, &attr);
    }
    Type row = longer;
    row.dims[0] = dim_const(g->dims, 1);
    return build_expand(g, build_reshape(g, s->l->map[n->id], row.rank, row.dims), longer.rank,
                        longer.dims);
}

static Node *lifted(const Leaving *s, const Node *n)
{
    const int place = place_of(s, n);
    if (place >= 0)
        return s->lifted[place];
    if (is_slice(s, n))
        return s->l->map[n->src[0]->id];
    if (is_outside(s, n))
        return repeated(s, n);
    return build_stack(s->l->g, s->l->map[s->loop->id], s->l->map[n->id]);
}

static Axes shifted(Axes axes)
{
    for (int i = 0; i < axes.count; i++)
        axes.axis[i]++;
    return axes;
}

static void shift_slice(const Leaving *s, Attr *attr)
{
    const Attr one = *attr;
    attr->slice.rank++;
    attr->slice.start[0] = dim_const(s->l->g->dims, 0);
    attr->slice.limit[0] = length_of(s);
    attr->slice.step[0] = 1;
    for (int i = 0; i < one.slice.rank; i++) {
        attr->slice.start[i + 1] = one.slice.start[i];
        attr->slice.limit[i + 1] = one.slice.limit[i];
        attr->slice.step[i + 1] = one.slice.step[i];
    }
}

static void shift_pad(const Leaving *s, Attr *attr)
{
    const Attr one = *attr;
    attr->pad.rank++;
    attr->pad.low[0] = attr->pad.high[0] = dim_const(s->l->g->dims, 0);
    attr->pad.interior[0] = 0;
    for (int i = 0; i < one.pad.rank; i++) {
        attr->pad.low[i + 1] = one.pad.low[i];
        attr->pad.high[i + 1] = one.pad.high[i];
        attr->pad.interior[i + 1] = one.pad.interior[i];
    }
}

static void shift_attr(const Leaving *s, const Node *n, Attr *attr)
{
    switch (attr->kind) {
    case AT_SHAPE: {
        Type longer = with_length(s, &n->type);
        attr->shape.rank = longer.rank;
        memcpy(attr->shape.dims, longer.dims, sizeof attr->shape.dims);
        break;
    }
    case AT_PERM:
        attr->perm = shifted(attr->perm);
        memmove(attr->perm.axis + 1, attr->perm.axis, (size_t)attr->perm.count);
        attr->perm.axis[0] = 0;
        attr->perm.count++;
        break;
    case AT_SLICE:
        shift_slice(s, attr);
        break;
    case AT_PAD:
        shift_pad(s, attr);
        break;
    case AT_AXIS:
        attr->axis++;
        break;
    case AT_AXES:
        attr->axes = shifted(attr->axes);
        break;
    default:
        break;
    }
}

/* The axis of the loop is the first free one of its operand; it goes to the front. */
static Node *lift_product(const Leaving *s, const Node *n)
{
    Graph *g = s->l->g;
    const bool second = is_outside(s, n->src[0]);
    Node *x = second ? s->l->map[n->src[0]->id] : lifted(s, n->src[0]);
    Node *y = second ? lifted(s, n->src[1]) : s->l->map[n->src[1]->id];
    Attr attr = n->attr;
    if (second) {
        attr.dot.batch_y = shifted(attr.dot.batch_y);
        attr.dot.contract_y = shifted(attr.dot.contract_y);
    } else {
        attr.dot.batch_x = shifted(attr.dot.batch_x);
        attr.dot.contract_x = shifted(attr.dot.contract_x);
    }
    const int batch = attr.dot.batch_x.count, contract = attr.dot.contract_x.count;
    const int at = batch + (second ? n->src[0]->type.rank - batch - contract : 0);
    uint8_t perm[MAX_RANK] = {(uint8_t)at};
    for (int i = 0; i < n->type.rank; i++)
        perm[i + 1] = (uint8_t)(i < at ? i : i + 1);
    Node *dot = x && y ? graph_node(g, OP_DOT, (Node *[]){x, y}, 2, &attr) : NULL;
    return dot ? build_permute(g, dot, perm) : NULL;
}

static bool same_order(const Node *a, const Node *b)
{
    const SumOrder x = graph_sum_order(a), y = graph_sum_order(b);
    return x.lanes == y.lanes && x.channels_slowest == y.channels_slowest && x.leaf == y.leaf;
}

/* NULL: it cannot leave with the same bits. */
static Node *lift_node(const Leaving *s, const Node *n)
{
    if (n->op == OP_DOT) {
        Node *product = lift_product(s, n);
        const Node *dot = product && product->op == OP_PERMUTE ? product->src[0] : product;
        return dot && same_order(n, dot) ? product : NULL;
    }
    Node **src = ARENA_ARRAY(s->l->scratch, Node *, n->nsrc);
    Attr attr = n->attr;
    for (int i = 0; i < n->nsrc; i++) {
        src[i] = n->op == OP_PAD && i == 1 ? s->l->map[n->src[1]->id] : lifted(s, n->src[i]);
        if (!src[i])
            return NULL;
    }
    shift_attr(s, n, &attr);
    Node *longer = graph_node(s->l->g, n->op, src, n->nsrc, &attr);
    const bool sums = op_info[n->op].op_class == CLASS_REDUCE && op_info[n->op].attr == AT_AXES;
    return longer && (!sums || same_order(n, longer)) ? longer : NULL;
}

static Node *lift_all(Leaving *s)
{
    Node *last = NULL;
    for (int i = 0; i < s->count; i++) {
        last = lift_node(s, s->inside[i]);
        s->lifted[i] = last;
        if (!last)
            return NULL;
    }
    return last;
}

/* Puts n among the operations, in order. False: there are too many. */
static bool take(Leaving *s, const Node *n)
{
    if (place_of(s, n) >= 0)
        return true;
    if (s->count == MOST_INSIDE)
        return false;
    int at = s->count++;
    for (; at > 0 && s->inside[at - 1]->id > n->id; at--)
        s->inside[at] = s->inside[at - 1];
    s->inside[at] = n;
    return true;
}

static Leaving leaving(Loops *l, uint32_t region)
{
    const Node *loop = l->regions->list[region].closer;
    return (Leaving){.l = l, .loop = loop, .region = region};
}

static bool lets_go(const Loops *l, uint32_t region)
{
    const Region *r = &l->regions->list[region];
    return r->kind == REGION_LOOP && !r->closer->attr.loop.conditional &&
           !r->closer->attr.loop.recompute;
}

/* ---- in front of the loop ---- */

/* What lies between slices and n, slices excluded. False: something of the loop is in between. */
static bool take_down(Leaving *s, const Node *n)
{
    if (is_outside(s, n) || is_slice(s, n))
        return true;
    if (!may_leave(s, n) || !take(s, n))
        return false;
    for (int i = 0; i < n->nsrc; i++)
        if (place_of(s, n->src[i]) < 0 && !take_down(s, n->src[i]))
            return false;
    return true;
}

static Node *hoist(Loops *l, const Node *n)
{
    const uint32_t region = l->regions->of[n->id];
    if (n->op != OP_DOT || !lets_go(l, region))
        return NULL;
    Leaving s = leaving(l, region);
    if (!is_product(&s, n) || !take_down(&s, n))
        return NULL;
    return build_at(l->g, s.loop->attr.loop.id, lift_all(&s));
}

/* ---- behind the loop ---- */

static bool reads_only(const Leaving *s, const Node *n, const Node *stack)
{
    const Readers *readers = &s->l->readers[n->id];
    for (uint32_t i = 0; i < readers->count; i++)
        if (readers->data[i] != stack && place_of(s, readers->data[i]) < 0)
            return false;
    return true;
}

/* What is above products only and read by nothing but what leaves: taken from the stack downwards,
 * the largest id first, so that all readers of a node are known when it is looked at. */
static bool take_up(Leaving *s, const Node *stack)
{
    const Node *open[MOST_INSIDE] = {stack->src[1]};
    const Node *other = NULL; /* the one value that is stacked */
    int count = 1;
    bool product = false;
    while (count > 0) {
        int last = 0;
        for (int i = 1; i < count; i++)
            last = open[i]->id > open[last]->id ? i : last;
        const Node *n = open[last];
        open[last] = open[--count];
        if (is_outside(s, n) || is_slice(s, n) || place_of(s, n) >= 0)
            continue;
        if (!may_leave(s, n) || !reads_only(s, n, stack)) {
            if (other && other != n)
                return false;
            other = n;
            continue;
        }
        if (!take(s, n) || count + n->nsrc > MOST_INSIDE)
            return false;
        product |= n->op == OP_DOT;
        for (int i = 0; i < n->nsrc; i++)
            open[count++] = n->src[i];
    }
    return product;
}

static Node *sink(Loops *l, const Node *n)
{
    if (n->op != OP_STACK)
        return NULL;
    Leaving s = leaving(l, region_closed_by(l->regions, n->src[0], SIDE_THEN));
    const uint32_t around = l->regions->of[n->id];
    /* What is made now must not be later than the loop around it. */
    if (!lets_go(l, s.region) || (around && l->regions->list[around].closer->id < n->id) ||
        !take_up(&s, n))
        return NULL;
    return lift_all(&s);
}

/* ---- the pass ---- */

static void find_readers(Loops *l, const uint8_t *live)
{
    l->readers = ARENA_ARRAY(l->scratch, Readers, l->old->nodes.count + 1);
    for (uint32_t id = 0; id < l->old->nodes.count; id++) {
        const Node *n = l->old->nodes.data[id];
        for (int i = 0; live[id] && i < n->nsrc; i++)
            vec_push(l->scratch, &l->readers[n->src[i]->id], n);
    }
}

static Node *move_out(PassContext *context, Loops *l, const Node *n)
{
    Node *before = hoist(l, n), *behind = before ? NULL : sink(l, n);
    if (before)
        pass_count(context, "products of slices");
    if (behind)
        pass_count(context, "products that are stacked");
    return before ? before : behind;
}

Graph *pass_loops(PassContext *context, const Graph *old)
{
    Loops l = {.old = old, .g = pass_new_graph(old), .scratch = context->scratch};
    const uint8_t *live = graph_live(old, l.scratch);
    const bool any = graph_has_regions(old, live);
    l.map = ARENA_ARRAY(l.scratch, Node *, old->nodes.count + 1);
    if (any) {
        l.regions = regions_of(old, live, l.scratch);
        find_readers(&l, live);
    }
    for (uint32_t id = 0; id < old->nodes.count; id++) {
        const Node *n = old->nodes.data[id];
        if (!live[id])
            continue;
        l.g->span = n->span;
        Node *moved = any ? move_out(context, &l, n) : NULL;
        l.map[id] = moved ? moved : graph_copy_node(l.g, n, l.map);
    }
    pass_copy_roots(l.g, old, l.map);
    return l.g;
}
