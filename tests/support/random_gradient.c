/* See random_gradient.h. */
#include "tests/support/random_gradient.h"

#include "compiler/graph/build.h"
#include "compiler/passes/grad.h"
#include "runtime/base/bug.h"

static Graph *with_recompute(Arena *arena, const Graph *old, bool recompute, Node **map)
{
    Graph *g = graph_new(arena, old->dims, "gradient");
    for (uint32_t i = 0; i < old->nodes.count; i++) {
        const Node *n = old->nodes.data[i];
        Node **src = ARENA_ARRAY(arena, Node *, n->nsrc + 1);
        Attr attr = n->attr;
        for (int j = 0; j < n->nsrc; j++)
            src[j] = map[n->src[j]->id];
        if (n->op == OP_LOOP)
            attr.loop.recompute = recompute;
        map[i] = graph_node(g, n->op, src, n->nsrc, &attr);
        if (map[i] == NULL)
            NNC_BUG("a copy of a graph: %s", g->error);
    }
    return g;
}

/* The sum of the float outputs. */
static Node *make_loss(Graph *g, const Graph *old, Node *const *map)
{
    Node *loss = build_scalar(g, DT_F64, 0);
    for (uint32_t i = 0; i < old->roots.count; i++) {
        Node *x = map[old->roots.data[i].node->id];
        if (!dtype_is_float(x->type.dtype))
            continue;
        x = build_convert(g, x, DT_F64);
        loss =
            build_binary(g, OP_ADD, loss, build_reduce(g, OP_SUM, x, axes_range(0, x->type.rank)));
    }
    return loss;
}

Graph *random_gradient(Arena *arena, const Graph *old, bool recompute)
{
    Node **map = ARENA_ARRAY(arena, Node *, old->nodes.count + 1);
    Node *wrt[MOST_GRADIENTS], *gradients[MOST_GRADIENTS];
    Graph *g = with_recompute(arena, old, recompute, map);
    int count = 0;
    for (uint32_t i = 0; i < old->nodes.count && count < MOST_GRADIENTS; i++)
        if (old->nodes.data[i]->attr.kind == AT_LEAF &&
            dtype_is_float(old->nodes.data[i]->type.dtype))
            wrt[count++] = map[i];
    GradError error = {0};
    Node *loss = make_loss(g, old, map);
    if (count == 0 || !grad_build(g, loss, wrt, count, gradients, &error))
        return NULL;
    for (int i = 0; i < count; i++)
        graph_root(g, ROOT_OUTPUT, wrt[i]->attr.leaf.name, gradients[i]);
    return g;
}
