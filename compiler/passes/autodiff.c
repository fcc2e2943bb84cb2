/* Reverse mode on graphs. In: a graph with a float scalar. Out: the same graph with nodes for its
 * derivatives.
 *
 * Creation order is a topological order, so one walk over the forward nodes from the scalar down to
 * the first node visits every node after all its users: the sum of their parts is complete, and the
 * rule of its op hands parts to its operands.
 *
 *   %0 = param {w} : f32[3]              total[%2] = 1
 *   %1 = mul %0 %0 : f32[3]      =>      total[%1] = expand(reshape(1))       (rule of sum)
 *   %2 = sum %1 {axes = 0} : f32         total[%0] = t1*w + t1*w              (rule of mul, twice)
 *
 * A first walk upwards marks the nodes that lead to a wrt; the others cost nothing. Parts are added
 * in the order of the walk, so the same graph always gives the same derivative graph. */
#include "compiler/passes/grad_rules.h"
#include "runtime/base/bug.h"

static GradRule *const rules[OP_COUNT] = {
#define OP(e, text, lo, hi, cls, attr, flags, shape, grad, doc) [OP_##e] = grad_##grad,
#include "compiler/graph/ops.def"
};

void grad_leaf(Grad *grad, Node *node, Node *dy)
{
    (void)grad, (void)node, (void)dy;
}

void grad_zero(Grad *grad, Node *node, Node *dy)
{
    (void)grad, (void)node, (void)dy;
}

void grad_none(Grad *grad, Node *node, Node *dy)
{
    (void)dy;
    grad->failed = node;
    grad->text =
        node->op == OP_CALL
            ? arena_format(grad->graph->arena, "host function %s has no gradient",
                           node->attr.call.name)
            : arena_format(grad->graph->arena, "%s has no gradient", op_info[node->op].text);
}

bool grad_wants(const Grad *grad, const Node *operand)
{
    return operand->id < grad->count && grad->wanted[operand->id];
}

void grad_give(Grad *grad, Node *operand, Node *part)
{
    if (!grad_wants(grad, operand) || grad->failed)
        return;
    Node **total = &grad->total[operand->id];
    if (part && !type_equal(&part->type, &operand->type))
        NNC_BUG("gradient of %s has another type", op_info[operand->op].text);
    *total = *total ? build_binary(grad->graph, OP_ADD, *total, part) : part;
    if (!*total) {
        grad->failed = operand;
        grad->text = grad->graph->error ? grad->graph->error : "the gradient is too large";
    }
}

static bool leads_to_wanted(const bool *wanted, const Node *node)
{
    if (!dtype_is_float(node->type.dtype) || rules[node->op] == grad_zero)
        return false;
    for (int i = 0; i < node->nsrc; i++)
        if (wanted[node->src[i]->id])
            return true;
    return false;
}

static void mark_wanted(Grad *grad, Node *const *wrt, int count)
{
    for (int i = 0; i < count; i++)
        if (wrt[i]->id < grad->count && dtype_is_float(wrt[i]->type.dtype))
            grad->wanted[wrt[i]->id] = true;
    for (uint32_t id = 0; id < grad->count; id++)
        if (!grad->wanted[id])
            grad->wanted[id] = leads_to_wanted(grad->wanted, grad->graph->nodes.data[id]);
}

static void walk_back(Grad *grad)
{
    for (uint32_t id = grad->count; id-- > 0 && !grad->failed;) {
        Node *node = grad->graph->nodes.data[id];
        if (!grad->wanted[id] || !grad->total[id] || !leads_to_wanted(grad->wanted, node))
            continue;
        grad->graph->span = node->span;
        rules[node->op](grad, node, grad->total[id]);
    }
}

bool grad_build(Graph *g, Node *scalar, Node *const *wrt, int count, Node **gradients,
                GradError *error)
{
    if (scalar->type.rank != 0 || !dtype_is_float(scalar->type.dtype)) {
        *error = (GradError){scalar, "only a float scalar can be differentiated"};
        return false;
    }
    const Span span = g->span;
    Grad grad = {.graph = g, .count = scalar->id + 1};
    Arena *scratch = arena_new();
    grad.wanted = ARENA_ARRAY(scratch, bool, grad.count);
    grad.total = ARENA_ARRAY(scratch, Node *, grad.count);
    mark_wanted(&grad, wrt, count);
    g->span = scalar->span;
    grad.total[scalar->id] = build_const(g, scalar->type, 1);
    walk_back(&grad);
    for (int i = 0; i < count && !grad.failed; i++) {
        g->span = wrt[i]->span;
        Node *total = grad_wants(&grad, wrt[i]) ? grad.total[wrt[i]->id] : NULL;
        gradients[i] = total ? total : grad_zeros_like(g, wrt[i]);
    }
    arena_free(scratch);
    g->span = span;
    if (grad.failed)
        *error = (GradError){grad.failed, grad.text};
    return !grad.failed;
}
