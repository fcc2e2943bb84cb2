/* Reverse mode on graphs. In: a graph with a float scalar. Out: the same graph with nodes for
 * its derivatives.
 *
 * Creation order is a topological order, so one walk over the forward nodes from the scalar down
 * to the first node visits every node after all its users: the sum of their parts is complete,
 * and the rule of its op hands parts to its operands.
 *
 *   %0 = param {w} : f32[3]              total[%2] = 1
 *   %1 = mul %0 %0 : f32[3]      =>      total[%1] = expand(reshape(1))       (rule of sum)
 *   %2 = sum %1 {axes = 0} : f32         total[%0] = t1*w + t1*w              (rule of mul, twice)
 *
 * A first walk upwards marks the nodes that lead to a wrt; the others cost nothing. Parts are
 * added in the order of the walk, so the same graph always gives the same derivative graph.
 *
 * The walk is over the nodes of one region, at first the outside. The rule of a loop or branch
 * walks over what is inside of it (grad_loop.c); what is given to nodes outside is set aside for
 * that rule. */
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

void grad_fail(Grad *grad, const Node *node, const char *text)
{
    if (grad->failed)
        return;
    grad->failed = node;
    grad->text = text                 ? text
                 : grad->graph->error ? grad->graph->error
                                      : "the gradient is too large";
}

void grad_none(Grad *grad, Node *node, Node *dy)
{
    (void)dy;
    grad_fail(grad, node,
              node->op == OP_CALL
                  ? arena_format(grad->graph->arena, "host function %s has no gradient",
                                 node->attr.call.name)
                  : arena_format(grad->graph->arena, "%s has no gradient", op_info[node->op].text));
}

bool grad_wants(const Grad *grad, const Node *operand)
{
    return operand->id < grad->count && grad->wanted[operand->id];
}

static void set_aside(Grad *grad, Node *operand, Node *part)
{
    GradLevel *level = grad->level;
    for (uint32_t i = 0; i < level->captured.count; i++) {
        if (level->captured.data[i].of == operand) {
            vec_push(grad->scratch, &level->captured.data[i].parts, part);
            return;
        }
    }
    Captured captured = {.of = operand};
    vec_push(grad->scratch, &captured.parts, part);
    vec_push(grad->scratch, &level->captured, captured);
}

void grad_give(Grad *grad, Node *operand, Node *part)
{
    if (!grad_wants(grad, operand) || grad->failed)
        return;
    Node **total = &grad->total[operand->id];
    if (part && !type_equal(&part->type, &operand->type))
        NNC_BUG("gradient of %s has another type", op_info[operand->op].text);
    if (part && grad->regions->of[operand->id] != grad->level->region)
        set_aside(grad, operand, part);
    else
        *total = *total ? build_binary(grad->graph, OP_ADD, *total, part) : part;
    if (!part || (grad->regions->of[operand->id] == grad->level->region && !*total))
        grad_fail(grad, operand, NULL);
}

/* ---- which nodes matter ---- */

/* Do the two values, of which a result of a loop or branch is one or the other, lead to a wrt? */
static bool pair_wanted(const Grad *grad, const Node *closer, int index)
{
    const int first = closer->op == OP_BRANCH, count = closer->nsrc / 2;
    const Node *a = closer->src[first + index], *b = closer->src[first + count + index];
    return dtype_is_float(a->type.dtype) && (grad->wanted[a->id] || grad->wanted[b->id]);
}

static bool token_wanted(const Grad *grad, const Node *token)
{
    bool wanted = false;
    for (int i = 0; i < token->nsrc / 2; i++)
        wanted |= pair_wanted(grad, token, i);
    for (uint32_t i = 0; i < grad->exits[token->id].count; i++)
        wanted |= grad->wanted[grad->exits[token->id].data[i]->id];
    return wanted;
}

static const CustomGradient *custom_of(const Grad *grad, const Node *node)
{
    for (uint32_t i = 0; i < grad->graph->customs.count; i++)
        if (grad->graph->customs.data[i].result == node)
            return &grad->graph->customs.data[i];
    return NULL;
}

static bool leads_to_wanted(const Grad *grad, const Node *node)
{
    const Node *loop = NULL;
    const CustomGradient *custom = custom_of(grad, node);
    for (uint32_t i = 0; custom && i < custom->count; i++)
        if (custom->inputs[i]->id < grad->count && grad->wanted[custom->inputs[i]->id])
            return true;
    if (custom)
        return false;
    if (node->op == OP_LOOP || node->op == OP_BRANCH)
        return token_wanted(grad, node);
    if (!dtype_is_float(node->type.dtype) || rules[node->op] == grad_zero)
        return false;
    if (node->op == OP_CARRY)
        loop = grad->closers[node->attr.carry.loop];
    if (loop)
        return pair_wanted(grad, loop, node->attr.carry.index);
    if (node->op == OP_FINAL)
        return pair_wanted(grad, node->src[0], node->attr.final.index);
    if (node->op == OP_STACK)
        return grad->wanted[node->src[1]->id];
    for (int i = 0; i < node->nsrc; i++)
        if (grad->wanted[node->src[i]->id])
            return true;
    return false;
}

/* What comes around in a loop is found by another round. */
static void mark_wanted(Grad *grad, Node *const *wrt, int count)
{
    bool more = true;
    for (int i = 0; i < count; i++)
        if (wrt[i]->id < grad->count && dtype_is_float(wrt[i]->type.dtype))
            grad->wanted[wrt[i]->id] = true;
    while (more) {
        more = false;
        for (uint32_t id = 0; id < grad->count; id++) {
            if (grad->wanted[id] || !leads_to_wanted(grad, grad->graph->nodes.data[id]))
                continue;
            grad->wanted[id] = true;
            more |= grad->regions->count > 1;
        }
    }
}

/* ---- gradients that the program states ---- */

/* What a stated gradient is made of, from its seed to its end; places count from the seed. */
typedef struct {
    const Graph *graph;
    const Node *seed;
    uint32_t first, count;
    bool *needed, *again; /* the end comes of it; it comes of the seed */
    uint32_t *fresh;      /* the new number of a loop or branch that is made again, 0: it is not */
} Stated;

static void find_needed(const Stated *s)
{
    s->needed[s->count - 1] = true;
    for (uint32_t i = s->count; i-- > 0;) {
        const Node *node = s->graph->nodes.data[s->first + i];
        for (int k = 0; s->needed[i] && k < node->nsrc; k++)
            if (node->src[k]->id >= s->first)
                s->needed[node->src[k]->id - s->first] = true;
    }
}

static bool comes_of_seed(const Stated *s, const Node *node)
{
    Attr attr = node->attr;
    const uint32_t *number = region_number(&attr);
    bool result = node == s->seed || (number && s->fresh[*number] != 0);
    for (int k = 0; k < node->nsrc && !result; k++)
        result = node->src[k]->id >= s->first && s->again[node->src[k]->id - s->first];
    return result;
}

/* A loop or branch that gives something of the seed is made again as a whole: whatever opens it
 * comes of the seed, too. True: there may be more. */
static bool find_again(const Stated *s, Graph *graph)
{
    bool more = false;
    for (uint32_t i = 0; i < s->count; i++) {
        const Node *node = s->graph->nodes.data[s->first + i];
        if (!s->needed[i] || s->again[i] || !comes_of_seed(s, node))
            continue;
        s->again[i] = more = true;
        const Node *closer = node->op == OP_STACK || node->op == OP_FINAL ? node->src[0] : node;
        if ((closer->op != OP_LOOP && closer->op != OP_BRANCH) || closer->id < s->first)
            continue;
        Attr attr = closer->attr;
        uint32_t *fresh = &s->fresh[*region_number(&attr)];
        *fresh = *fresh ? *fresh : graph_next_loop(graph);
    }
    return more;
}

/* `part` with dy in place of the seed: what comes of the seed is made again. */
static Node *substitute(Grad *grad, const CustomGradient *custom, Node *part, Node *dy)
{
    Graph *graph = grad->graph;
    if (part->id < custom->seed->id)
        return part;
    Stated s = {.graph = graph, .seed = custom->seed, .first = custom->seed->id};
    s.count = part->id - s.first + 1;
    s.needed = ARENA_ARRAY(grad->scratch, bool, s.count);
    s.again = ARENA_ARRAY(grad->scratch, bool, s.count);
    s.fresh = ARENA_ARRAY(grad->scratch, uint32_t, graph->next_loop + 1);
    find_needed(&s);
    while (find_again(&s, graph)) {
    }
    Node **image = ARENA_ARRAY(grad->scratch, Node *, s.count);
    for (uint32_t i = 0; i < s.count; i++) {
        Node *node = graph->nodes.data[s.first + i];
        Node **src = ARENA_ARRAY(grad->scratch, Node *, node->nsrc + 1);
        Attr attr = node->attr;
        uint32_t *number = region_number(&attr);
        image[i] = node == s.seed ? dy : node;
        if (!s.again[i] || node == s.seed)
            continue;
        for (int k = 0; k < node->nsrc; k++)
            src[k] = node->src[k]->id < s.first ? node->src[k] : image[node->src[k]->id - s.first];
        if (number && s.fresh[*number] != 0)
            *number = s.fresh[*number];
        image[i] = graph_node(graph, node->op, src, node->nsrc, &attr);
        if (!image[i])
            return NULL;
    }
    return image[s.count - 1];
}

static void give_custom(Grad *grad, const CustomGradient *custom, Node *dy)
{
    for (uint32_t i = 0; i < custom->count; i++)
        if (custom->parts[i] && grad_wants(grad, custom->inputs[i]))
            grad_give(grad, custom->inputs[i], substitute(grad, custom, custom->parts[i], dy));
}

/* ---- the walk ---- */

void grad_walk(Grad *grad)
{
    const NodeVec *body = &grad->bodies[grad->level->region];
    for (uint32_t i = body->count; i-- > 0 && !grad->failed;) {
        Node *node = body->data[i], *total = grad->total[node->id];
        const bool closes = node->op == OP_LOOP || node->op == OP_BRANCH;
        if (!grad->wanted[node->id] || (!total && !closes) || !leads_to_wanted(grad, node))
            continue;
        grad->graph->span = node->span;
        const CustomGradient *custom = custom_of(grad, node);
        if (custom)
            give_custom(grad, custom, total);
        else
            rules[node->op](grad, node, total ? grad_joined(grad->graph, total) : NULL);
    }
}

void grad_enter_region(Grad *grad, GradLevel *level, uint32_t region)
{
    *level = (GradLevel){.region = region, .up = grad->level};
    grad->level = level;
}

void grad_leave_region(Grad *grad, GradLevel *level)
{
    NNC_ASSERT(grad->level == level);
    grad->level = level->up;
}

static void find_bodies(Grad *grad, const Node *scalar)
{
    const Graph *g = grad->graph;
    uint8_t *live = ARENA_ARRAY(grad->scratch, uint8_t, g->nodes.count + 1);
    live[scalar->id] = 1;
    for (uint32_t id = grad->count; id-- > 0;)
        for (int i = 0; live[id] && i < g->nodes.data[id]->nsrc; i++)
            live[g->nodes.data[id]->src[i]->id] = 1;
    grad->regions = regions_so_far(g, live, grad->scratch);
    grad->closers = graph_closers(g, live, grad->scratch);
    grad->bodies = ARENA_ARRAY(grad->scratch, NodeVec, grad->regions->count);
    grad->exits = ARENA_ARRAY(grad->scratch, NodeVec, grad->count);
    for (uint32_t id = 0; id < grad->count; id++) {
        Node *node = g->nodes.data[id];
        if (live[id])
            vec_push(grad->scratch, &grad->bodies[grad->regions->of[id]], node);
        if (live[id] && (node->op == OP_FINAL || node->op == OP_STACK))
            vec_push(grad->scratch, &grad->exits[node->src[0]->id], node);
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
    const DType products = g->products;
    GradLevel outside;
    Grad grad = {.graph = g, .scratch = arena_new(), .count = scalar->id + 1};
    grad.wanted = ARENA_ARRAY(grad.scratch, bool, grad.count);
    grad.total = ARENA_ARRAY(grad.scratch, Node *, grad.count);
    find_bodies(&grad, scalar);
    mark_wanted(&grad, wrt, count);
    grad_enter_region(&grad, &outside, 0);
    g->span = scalar->span;
    g->products = DT_BOOL; /* derivatives of what was rounded are rounded by themselves */
    grad.total[scalar->id] = build_const(g, scalar->type, 1);
    grad_walk(&grad);
    for (int i = 0; i < count && !grad.failed; i++) {
        g->span = wrt[i]->span;
        Node *total = grad_wants(&grad, wrt[i]) ? grad.total[wrt[i]->id] : NULL;
        gradients[i] = total ? grad_joined(g, total) : grad_zeros_like(g, wrt[i]);
    }
    arena_free(grad.scratch);
    g->span = span;
    g->products = products;
    if (grad.failed)
        *error = (GradError){grad.failed, grad.text};
    return !grad.failed;
}
