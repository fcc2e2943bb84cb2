/* Gradients of gather and scatter_add: each is the other. Indices carry no gradient; an index out
 * of range is reported by the forward node, the gradient's own check names the same line. */
#include "compiler/passes/grad_rules.h"

void grad_gather(Grad *grad, Node *node, Node *dy)
{
    Node *x = node->src[0], *index = node->src[1];
    Node *zeros = grad_zeros_like(grad->graph, x);
    grad_give(grad, x, build_scatter_add(grad->graph, zeros, index, dy, node->attr.axis));
}

void grad_scatter_add(Grad *grad, Node *node, Node *dy)
{
    grad_give(grad, node->src[0], dy);
    if (grad_wants(grad, node->src[2]))
        grad_give(grad, node->src[2], build_gather(grad->graph, dy, node->src[1], node->attr.axis));
}
