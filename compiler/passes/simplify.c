/* simplify: exact rewrites. In: any graph. Out: an equal one, bit for bit, with fewer and cheaper
 * nodes.
 *
 * Nodes are copied in order; a node whose operands are simple is offered to the rules of its op
 * (simplify.def) until none fires, so what the next node sees is simple already. The pass runs to a
 * fixpoint for what rules build on the way.
 *
 *   %1 = const 1 : f32[B, 3]
 *   %2 = mul %0 %1 : f32[B, 3]        mul_one
 *   %3 = permute %2 {1, 0}            => %1 = reshape %0 when B is the literal 1 (permute_units) */
#include "compiler/passes/simplify.h"
#include "compiler/passes/pass_list.h"
#include "runtime/base/bug.h"

#include <math.h>

typedef struct {
    OpCode op;
    const char *name;
    Node *(*apply)(Graph *g, Node *n);
} Rule;

#define RULE(op, name, doc) {(OpCode)OP_##op, #name, simplify_##name},
static const Rule rules[] = {
#include "compiler/passes/simplify.def"
};

enum { RULE_COUNT = sizeof rules / sizeof rules[0], MAX_STEPS = 32 };

bool is_const_number(const Node *node, double *value)
{
    if (node->op != OP_CONST)
        return false;
    bool is_float = dtype_is_float(node->type.dtype);
    *value = is_float ? node->attr.constant.value.f : (double)node->attr.constant.value.i;
    return is_float || (int64_t)*value == node->attr.constant.value.i;
}

bool is_const_value(const Node *node, double value)
{
    double number;
    return is_const_number(node, &number) && number == value && signbit(number) == signbit(value);
}

bool axis_is_unit(const Type *type, int axis)
{
    return dim_is(type->dims[axis], 1);
}

bool axes_are_unit(const Type *type, const Axes *axes)
{
    for (int i = 0; i < axes->count; i++)
        if (!axis_is_unit(type, axes->axis[i]))
            return false;
    return true;
}

bool simplify_same_dims(const Type *a, const Type *b)
{
    for (int i = 0; a->rank == b->rank && i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return a->rank == b->rank;
}

static Node *apply_one(PassContext *context, Graph *g, Node *n)
{
    for (int i = 0; i < RULE_COUNT; i++) {
        if (rules[i].op != n->op && rules[i].op != (OpCode)OP_ANY_OP)
            continue;
        Node *better = rules[i].apply(g, n);
        if (!better || better == n)
            continue;
        if (!type_equal(&better->type, &n->type))
            NNC_BUG("rule %s changed a type", rules[i].name);
        pass_count(context, rules[i].name);
        return better;
    }
    return NULL;
}

Graph *pass_simplify(PassContext *context, const Graph *old)
{
    Graph *g = pass_new_graph(old);
    const uint8_t *live = graph_live(old, context->scratch);
    Node **map = ARENA_ARRAY(context->scratch, Node *, old->nodes.count + 1);
    for (uint32_t id = 0; id < old->nodes.count; id++) {
        if (!live[id])
            continue;
        Node *node = graph_copy_node(g, old->nodes.data[id], map), *better = node;
        g->span = old->nodes.data[id]->span;
        for (int step = 0; better && step < MAX_STEPS; step++) {
            node = better;
            better = apply_one(context, g, node);
        }
        map[id] = better ? better : node;
    }
    pass_copy_roots(g, old, map);
    return g;
}
