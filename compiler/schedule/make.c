/* Which values exist in memory. In: the live nodes. Out: Builder.made; the others are computed
 * again by whoever reads them.
 *
 * Made: data leaves, results of reductions, contractions and windows, roots, what can fail (so that
 * it is evaluated once, everywhere), what a contraction or window reads, and elementwise values
 * that several readers share unless computing them again is cheaper than a load. Too much is made
 * here on purpose: when all readers of a value end up in its own group (form_groups), drop_unread
 * takes it out again.
 *
 *   h = relu(x + b) read by two products    made
 *   m = h > 0 read twice                    not made: one load and a comparison */
#include "compiler/schedule/internal.h"

#include <stdlib.h>

/* Work is in units of a simple vector operation. */
enum {
    COST_SIMPLE = 1,
    COST_DIVIDE = 4,
    COST_FUNCTION = 10,
    COST_RANDOM = 24,
    COST_WINDOW = 16,
    COST_LIMIT = 300
};
enum { CHEAP_COST = 3, CHEAP_LOADS = 1, BROADCAST_COST = 4, LOAD_LIMIT = 10, TURN_ELEMENTS = 4096 };

static int own_cost(const Node *n)
{
    static const struct {
        OpCode op;
        int cost;
    } table[] = {
        {OP_EXP, COST_FUNCTION},        {OP_LOG, COST_FUNCTION},  {OP_LOG1P, COST_FUNCTION},
        {OP_EXPM1, COST_FUNCTION},      {OP_TANH, COST_FUNCTION}, {OP_SIN, COST_FUNCTION},
        {OP_COS, COST_FUNCTION},        {OP_ERF, COST_FUNCTION},  {OP_POW, 2 * COST_FUNCTION},
        {OP_SQRT, COST_DIVIDE},         {OP_DIV, COST_DIVIDE},    {OP_MOD, 2 * COST_DIVIDE},
        {OP_FLOORDIV, 2 * COST_DIVIDE}, {OP_RANDOM, COST_RANDOM}, {OP_GATHER, COST_DIVIDE},
        {OP_CONCAT, COST_DIVIDE},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].op == n->op) {
            return table[i].cost;
        }
    }
    return class_of(n) == CLASS_ELEMENTWISE ? COST_SIMPLE
           : class_of(n) == CLASS_WINDOW    ? COST_WINDOW
                                            : 0;
}

static bool integer_failure(const Node *n)
{
    return (op_info[n->op].flags & FLAG_FAILS) &&
           (n->op == OP_CHECK || !dtype_is_float(n->type.dtype));
}

/* The value at the bottom of moves that a view can follow; what pads, joins or computes is itself
 * the bottom. Who reads a widened f16 or bf16 widens it. */
Node *below_moves(Node *n)
{
    while (n->op == OP_RESHAPE || n->op == OP_PERMUTE || n->op == OP_EXPAND || n->op == OP_SLICE ||
           n->op == OP_REVERSE || n->op == OP_ENTER || node_is_widening(n)) {
        n = n->src[0];
    }
    return n;
}

static void want_base(Builder *b, Node *n)
{
    Node *base = below_moves(n);
    if (class_of(base) != CLASS_LEAF || base->op == OP_RANDOM) {
        b->made[base->id] = 1;
    }
}

/* A contraction reads through views only. A chain of moves that is no view is made where it ends to
 * be one. */
static void want_view(Builder *b, Node *n)
{
    View view;
    Node *base = below_moves(n);
    int32_t known = b->schedule->buffer_of[base->id];
    b->made[base->id] = 1;
    b->schedule->buffer_of[base->id] = 0; /* for view_of: there will be one */
    while (n != base && !view_of(b->schedule, n, &view)) {
        Node *tail = n;
        while (tail != base && !view_of(b->schedule, tail->src[0], &view)) {
            tail = tail->src[0];
        }
        tail = tail->op == OP_RESHAPE ? tail->src[0] : tail; /* dense, it can be cut in any way */
        b->made[tail->id] = 1;
        b->schedule->buffer_of[base->id] = known;
        base = tail;
        known = b->schedule->buffer_of[base->id];
        b->schedule->buffer_of[base->id] = 0;
    }
    b->schedule->buffer_of[base->id] = known;
}

static bool grows(const Node *expand)
{
    return type_equal(&expand->type, &expand->src[0]->type) == false;
}

/* What this node needs of its operands. */
static void want_operands(Builder *b, Node *n)
{
    OpClass class = class_of(n);
    if (class == CLASS_CONTRACT) {
        want_view(b, n->src[0]);
        want_view(b, n->src[1]);
    } else if (class == CLASS_CALL) {
        for (int i = 0; i < n->nsrc; i++) {
            b->made[below_enters(n->src[i])->id] = 1;
        }
    } else if (class == CLASS_WINDOW || n->op == OP_GATHER || n->op == OP_CUMSUM) {
        want_base(b, n->src[0]);
    } else if (n->op == OP_ARGSORT) {
        b->made[below_enters(n->src[0])->id] = 1; /* read at an index that is data, often */
    } else if (n->op == OP_SCATTER_ADD) {
        b->made[below_enters(n->src[1])->id] = 1;
    }
}

/* ---- turned axes ---- */

static int last_axis(const Type *type)
{
    int axis = type->rank - 1;
    while (axis >= 0 && dim_is(type->dims[axis], 1)) {
        axis--;
    }
    return axis;
}

/* A permute of many elements that takes another axis to the end. Read element by element it would
 * cost a gather each; as a copy of its own it moves in squares (lower_transpose.c). Contractions
 * read it where it is. */
static bool turns(const Builder *b, const Node *n)
{
    const Dim *elements = type_elements(b->graph->dims, &n->type);
    int last = last_axis(&n->type);
    return n->op == OP_PERMUTE && last >= 0 &&
           n->attr.perm.axis[last] != last_axis(&n->src[0]->type) &&
           dim_at_hints(b->schedule, elements) >= TURN_ELEMENTS;
}

static bool reads_turned(const Node *reader)
{
    OpClass class = class_of(reader);
    return class == CLASS_ELEMENTWISE || class == CLASS_REDUCE || class == CLASS_WINDOW ||
           reader->op == OP_RESHAPE;
}

static void make_turned(Builder *b, const Node *reader)
{
    for (int i = 0; reads_turned(reader) && i < reader->nsrc; i++) {
        Node *n = reader->src[i];
        if (turns(b, n)) {
            b->made[n->id] = b->turned[n->id] = 1;
            want_base(b, n->src[0]);
        }
    }
}

static bool made_by_itself(const Builder *b, const Node *n)
{
    OpClass class = class_of(n);
    if (class == CLASS_LEAF) {
        return has_data(n) || b->is_root[n->id] || (!b->options->fuse && n->op == OP_RANDOM);
    }
    if (class == CLASS_LOOP) {
        return has_memory(n);
    }
    return !b->options->fuse || class == CLASS_REDUCE || class == CLASS_CONTRACT ||
           class == CLASS_CALL || class == CLASS_WINDOW || class == CLASS_INDEX ||
           n->op == OP_CONCAT || b->is_root[n->id] || integer_failure(n);
}

/* Work and loads to compute one element of n from made values. */
static void add_costs(Builder *b, const Node *n)
{
    int cost = own_cost(n), loads = 0;
    for (int i = 0; i < n->nsrc; i++) {
        const Node *x = n->src[i];
        cost += b->made[x->id] ? 0 : b->cost[x->id];
        loads += b->made[x->id] ? class_of(x) != CLASS_LEAF || x->type.rank > 0 : b->loads[x->id];
    }
    if (n->op == OP_EXPAND && grows(n)) {
        loads = 0;
    }
    b->cost[n->id] = (uint16_t)(cost > COST_LIMIT ? COST_LIMIT : cost);
    b->loads[n->id] = (uint8_t)(loads > 100 ? 100 : loads);
}

/* To f16 or bf16: what is kept is half as large as what it is made of. */
static bool rounds(const Node *n)
{
    return n->op == OP_CONVERT && dtype_is_small_float(n->type.dtype) &&
           !dtype_is_small_float(n->src[0]->type.dtype);
}

static bool worth_making(const Builder *b, const Node *n)
{
    if (class_of(n) != CLASS_ELEMENTWISE && n->op != OP_RANDOM) {
        return false;
    }
    bool cheap = b->cost[n->id] <= CHEAP_COST && b->loads[n->id] <= CHEAP_LOADS;
    bool shared = b->uses[n->id] > 1 && (!cheap || rounds(n));
    return shared || b->cost[n->id] >= COST_LIMIT || b->loads[n->id] > LOAD_LIMIT;
}

static void count_uses(Builder *b)
{
    for (uint32_t i = 0; i < b->node_count; i++) {
        const Node *n = b->graph->nodes.data[i];
        for (int k = 0; b->live[i] && k < n->nsrc; k++) {
            bool again = false;
            for (int j = 0; j < k; j++) {
                again |= n->src[j] == n->src[k];
            }
            b->uses[n->src[k]->id] += !again;
        }
    }
    for (uint32_t i = b->node_count; i-- > 0;) { /* who reads it widened reads it */
        const Node *n = b->graph->nodes.data[i];
        if (b->live[i] && node_is_widening(n) && b->uses[i] > 1) {
            b->uses[n->src[0]->id] += b->uses[i] - 1;
        }
    }
    for (uint32_t r = 0; r < b->graph->roots.count; r++) {
        b->uses[b->graph->roots.data[r].node->id]++;
        b->is_root[b->graph->roots.data[r].node->id] = 1;
    }
}

/* Is it all that becomes of a contraction, which can store it in place of its own result? */
static bool ends_contraction(const Builder *b, const Node *n)
{
    for (int i = 0; i < n->nsrc; i++) {
        const Node *x = n->src[i];
        while (x->op == OP_RESHAPE && !b->made[x->id]) {
            x = x->src[0];
        }
        if (class_of(x) == CLASS_CONTRACT && b->uses[x->id] == 1) {
            return true;
        }
    }
    return false;
}

void choose_made(Builder *b)
{
    count_uses(b);
    make_for_regions(b);
    for (uint32_t i = b->node_count; i-- > 0;) {
        Node *n = b->graph->nodes.data[i];
        if (b->live[i]) {
            b->made[i] |= made_by_itself(b, n);
            want_operands(b, n);
            make_turned(b, n);
        }
    }
    for (uint32_t i = 0; i < b->node_count; i++) {
        Node *n = b->graph->nodes.data[i];
        if (!b->live[i]) {
            b->made[i] = 0;
            continue;
        }
        if (n->op == OP_EXPAND && grows(n)) {
            Node *base = below_moves(n);
            bool costly = (b->cost[base->id] >= BROADCAST_COST || ends_contraction(b, base)) &&
                          !b->made[base->id];
            if (costly && (class_of(base) == CLASS_ELEMENTWISE || base->op == OP_RANDOM)) {
                b->made[base->id] = 1;
            }
        }
        add_costs(b, n);
        b->made[i] |= worth_making(b, n);
    }
}
