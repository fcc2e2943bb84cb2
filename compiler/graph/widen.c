/* What arithmetic on f16 and bf16 is: operands widened to f32, which is exact, the operation in
 * f32, and one rounding. In: a node that computes with them. Out: the nodes that say so.
 *
 *   %2 = dot %0 %1 {..} : bf16[B, 8]
 *     ->  %2 = convert %0 {f32}   %3 = convert %1 {f32}   %4 = dot %2 %3 {..} : f32[B, 8]
 *         %5 = convert %4 {bf16}
 *
 * Moves, gathers, loops and selections take the bits as they are. */
#include "compiler/graph/build.h"

static bool has_small(const Node *node)
{
    bool found = dtype_is_small_float(node->type.dtype);
    for (int i = 0; i < node->nsrc; i++)
        found |= dtype_is_small_float(node->src[i]->type.dtype);
    return found;
}

bool node_is_widening(const Node *node)
{
    return node->op == OP_CONVERT && dtype_is_small_float(node->src[0]->type.dtype) &&
           dtype_is_float(node->type.dtype) && !dtype_is_small_float(node->type.dtype);
}

bool node_computes_small(const Node *node)
{
    switch (op_info[node->op].op_class) {
    case CLASS_LEAF:
        return (node->op == OP_RANDOM || node->op == OP_IOTA) && has_small(node);
    case CLASS_ELEMENTWISE:
        return node->op != OP_CONVERT && node->op != OP_SELECT && node->op != OP_STOP &&
               node->op != OP_CHECK && has_small(node);
    case CLASS_INDEX:
        return node->op == OP_SCATTER_ADD && has_small(node);
    case CLASS_REDUCE:
    case CLASS_CONTRACT:
    case CLASS_WINDOW:
        return has_small(node);
    default:
        return false;
    }
}

Node *graph_widened(Graph *graph, const Node *node, Node *const *src)
{
    enum { MOST = 3 };
    Node *wide[MOST] = {NULL};
    Attr attr = node->attr;
    for (int i = 0; i < node->nsrc && i < MOST; i++)
        wide[i] = build_convert(graph, src[i], dtype_computed(src[i]->type.dtype));
    if (attr.kind == AT_RANDOM)
        attr.random.type.dtype = DT_F32;
    if (attr.kind == AT_IOTA)
        attr.iota.type.dtype = DT_F32;
    Node *result = graph_node(graph, node->op, wide, node->nsrc, &attr);
    return dtype_is_small_float(node->type.dtype) ? build_convert(graph, result, node->type.dtype)
                                                  : result;
}
