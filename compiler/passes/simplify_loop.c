/* Rules of simplify for what goes into loops and branches and comes out of them. */
#include "compiler/passes/simplify.h"

static Node *constant_of(Graph *g, const Node *constant, const Type *type)
{
    Attr attr = constant->attr;
    attr.constant.type = *type;
    return graph_node(g, OP_CONST, NULL, 0, &attr);
}

Node *simplify_at_const(Graph *g, Node *n)
{
    return n->src[0]->op == OP_CONST ? constant_of(g, n->src[0], &n->type) : NULL;
}

/* The row itself is outside of the loop. */
Node *simplify_at_expand(Graph *g, Node *n)
{
    Node *expand = n->src[0];
    if (expand->op != OP_EXPAND || !axis_is_unit(&expand->src[0]->type, 0))
        return NULL;
    const Type *one = &expand->src[0]->type;
    Node *row = build_reshape(g, expand->src[0], one->rank - 1, one->dims + 1);
    return row ? build_expand(g, row, n->type.rank, n->type.dims) : NULL;
}

Node *simplify_at_iota(Graph *g, Node *n)
{
    const Node *iota = n->src[0];
    return iota->op == OP_IOTA && iota->attr.iota.axis > 0
               ? build_iota(g, n->type, iota->attr.iota.axis - 1)
               : NULL;
}

/* A loop that ends early leaves zeros. */
static bool runs_all(const Node *stack)
{
    return !stack->src[0]->attr.loop.conditional;
}

Node *simplify_stack_slices(Graph *g, Node *n)
{
    (void)g;
    Node *value = n->src[1];
    return value->op == OP_AT && value->attr.at.loop == n->src[0]->attr.loop.id && runs_all(n)
               ? value->src[0]
               : NULL;
}

Node *simplify_stack_const(Graph *g, Node *n)
{
    Node *value = n->src[1];
    return value->op == OP_CONST && (runs_all(n) || is_const_value(value, 0))
               ? constant_of(g, value, &n->type)
               : NULL;
}

Node *simplify_enter_const(Graph *g, Node *n)
{
    (void)g;
    return n->src[0]->op == OP_CONST ? n->src[0] : NULL;
}

Node *simplify_enter_enter(Graph *g, Node *n)
{
    (void)g;
    Node *x = n->src[0];
    return x->op == OP_ENTER && x->attr.enter.branch == n->attr.enter.branch &&
                   x->attr.enter.side == n->attr.enter.side
               ? x
               : NULL;
}
