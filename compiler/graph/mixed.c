/* Mixed precision: what becomes of f32 products in a graph whose `products` is f16 or bf16. In: a
 * node that is about to be made. Out: the nodes that are made in its place, or NULL: it itself.
 *
 *   dot x w   ->  %2 = convert x {bf16}   %3 = convert %2 {f32}   likewise w
 *                 %6 = dot %3 %5 : f32    %7 = convert %6 {bf16}   %8 = convert %7 {f32}
 *
 * Operands and result are rounded and still are f32 to whoever reads them, and the sum between is
 * f32. Differentiation of the conversions rounds the gradients of the result before they become
 * operands of the gradients' products, and adds up in f32. A bias, an addition of something
 * repeated, comes before the rounding of the result; a move of a rounded value is a rounded move,
 * so that it does not come between the two. */
#include "compiler/graph/build.h"
#include "compiler/graph/mixed.h"

static Node *rounded(Graph *graph, Node *x)
{
    return x == NULL ? NULL
                     : build_convert(graph, build_convert(graph, x, graph->products), DT_F32);
}

/* What was rounded to be n, or NULL. */
static Node *before_rounding(const Graph *graph, const Node *n)
{
    bool is = n->op == OP_CONVERT && n->type.dtype == DT_F32 && n->src[0]->op == OP_CONVERT &&
              n->src[0]->type.dtype == graph->products && n->src[0]->src[0]->type.dtype == DT_F32;
    return is ? n->src[0]->src[0] : NULL;
}

static const Node *below_permutes(const Node *n)
{
    while (n->op == OP_RESHAPE || n->op == OP_PERMUTE)
        n = n->src[0];
    return n;
}

/* The result of a product, perhaps moved. */
static bool is_product(const Node *n)
{
    return n != NULL && op_info[below_permutes(n)->op].op_class == CLASS_CONTRACT;
}

/* Rounded where it lies, below its moves: one rounded weight serves products that read it either
 * way. */
static Node *rounded_operand(Graph *graph, Node *x)
{
    if (x != NULL && (x->op == OP_PERMUTE || x->op == OP_RESHAPE)) {
        Node *below = rounded_operand(graph, x->src[0]);
        return graph_node(graph, x->op, &below, 1, &x->attr);
    }
    bool is = x != NULL && x->op == OP_CONVERT && x->src[0]->type.dtype == graph->products;
    return is ? x : rounded(graph, x);
}

static Node *mixed_product(Graph *graph, OpCode op, Node *const *src, const Attr *attr)
{
    if (src[0]->type.dtype != DT_F32 || src[1]->type.dtype != DT_F32)
        return NULL;
    const DType products = graph->products;
    Node *operands[2] = {rounded_operand(graph, src[0]), rounded_operand(graph, src[1])};
    graph->products = DT_BOOL;
    Node *result = graph_node(graph, op, operands, 2, attr);
    graph->products = products;
    return rounded(graph, result);
}

static Node *mixed_bias(Graph *graph, Node *const *src)
{
    for (int i = 0; i < 2; i++) {
        Node *exact = before_rounding(graph, src[i]);
        if (is_product(exact) && src[1 - i]->op == OP_EXPAND)
            return rounded(graph, build_binary(graph, OP_ADD, exact, src[1 - i]));
    }
    return NULL;
}

static Node *mixed_move(Graph *graph, OpCode op, Node *const *src, const Attr *attr)
{
    Node *exact = before_rounding(graph, src[0]);
    return is_product(exact) ? rounded(graph, graph_node(graph, op, &exact, 1, attr)) : NULL;
}

Node *graph_mixed(Graph *graph, OpCode op, Node *const *src, int nsrc, const Attr *attr)
{
    for (int i = 0; i < nsrc; i++)
        if (src[i] == NULL)
            return NULL;
    switch (op) {
    case OP_DOT:
    case OP_CONV:
        return mixed_product(graph, op, src, attr);
    case OP_ADD:
        return mixed_bias(graph, src);
    case OP_RESHAPE:
    case OP_PERMUTE:
        return mixed_move(graph, op, src, attr);
    default:
        return NULL;
    }
}
