/* carries: values of loops and results of branches that nothing needs go, and so do carries that
 * never change.
 *
 * `loop` and `branch` have all their values as operands, so an ordinary walk from the roots finds
 * every value in use. Here a value is needed when its carry or final is, and what it is computed
 * from only then. Derivative loops are full of them: the derivative of something that no weight
 * depends on, zeros that are handed round.
 *
 *   %5 = loop %0 %1 %2 %4 {0, ..}  with %2 = carry {0, 0}, no final {1}   =>   loop {0, ..} */
#include "compiler/graph/build.h"
#include "compiler/graph/region.h"
#include "compiler/passes/pass_list.h"

typedef VEC(const Node *) NodeStack;

typedef struct {
    const Graph *old;
    Graph *g;
    Arena *scratch;
    const Node **closers;
    uint8_t *needed; /* per old id */
    bool **keep;     /* per old id of a loop or branch: which of its values are needed */
    NodeStack todo;
    Node **map;
} Carries;

static void need(Carries *c, const Node *n)
{
    if (c->needed[n->id])
        return;
    c->needed[n->id] = 1;
    vec_push(c->scratch, &c->todo, n);
}

static void need_value(Carries *c, const Node *closer, int index)
{
    const int first = closer->op == OP_BRANCH, count = closer->nsrc / 2;
    bool **keep = &c->keep[closer->id];
    if (!*keep)
        *keep = ARENA_ARRAY(c->scratch, bool, count + 1);
    if ((*keep)[index])
        return;
    (*keep)[index] = true;
    need(c, closer->src[first + index]);
    need(c, closer->src[first + count + index]);
}

static void need_operands(Carries *c, const Node *n)
{
    if (n->op == OP_CARRY)
        need_value(c, c->closers[n->attr.carry.loop], n->attr.carry.index);
    if (n->op == OP_FINAL)
        need_value(c, n->src[0], n->attr.final.index);
    if (n->op == OP_LOOP && n->attr.loop.conditional)
        need_value(c, n, 0);
    if (n->op == OP_BRANCH && !c->keep[n->id])
        need_value(c, n, 0); /* a branch has results */
    const int count = n->op == OP_LOOP ? 0 : n->op == OP_BRANCH ? 1 : n->nsrc;
    for (int i = 0; i < count; i++)
        need(c, n->src[i]);
}

static void find_needed(Carries *c)
{
    for (uint32_t i = 0; i < c->old->roots.count; i++)
        need(c, c->old->roots.data[i].node);
    for (uint32_t i = 0; i < c->old->nodes.count; i++)
        if (graph_written(c->old, c->old->nodes.data[i]))
            need(c, c->old->nodes.data[i]);
    while (c->todo.count > 0)
        need_operands(c, c->todo.data[--c->todo.count]);
}

/* The first value of a carry that never changes, known before the carry is first read. */
static Node *constant_value(const Carries *c, const Node *loop, int index, const Node *reader)
{
    const Node *init = loop->src[index], *next = loop->src[loop->nsrc / 2 + index];
    const bool same = next->op == OP_CARRY && next->attr.carry.loop == loop->attr.loop.id &&
                      next->attr.carry.index == index;
    return same && next->id > init->id && reader->id > init->id &&
                   !(loop->attr.loop.conditional && index == 0)
               ? c->map[init->id]
               : NULL;
}

static bool stays(const Carries *c, const Node *closer, int index)
{
    return c->keep[closer->id] && c->keep[closer->id][index] &&
           (closer->op == OP_BRANCH || !constant_value(c, closer, index, closer));
}

/* The position among those that stay. */
static int new_index(const Carries *c, const Node *closer, int index)
{
    int place = 0;
    for (int i = 0; i < index; i++)
        place += stays(c, closer, i);
    return place;
}

static Node *copy_closer(PassContext *context, Carries *c, const Node *n)
{
    const int first = n->op == OP_BRANCH, count = n->nsrc / 2;
    Node **src = ARENA_ARRAY(c->scratch, Node *, n->nsrc + 1);
    int kept = first;
    if (first)
        src[0] = c->map[n->src[0]->id];
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < count; i++)
            if (stays(c, n, i))
                src[kept++] = c->map[n->src[first + side * count + i]->id];
    for (int i = kept; i < n->nsrc; i += 2)
        pass_count(context, first ? "results that nothing needs" : "carries that go");
    return graph_node(c->g, n->op, src, kept, &n->attr);
}

static Node *copy_value(Carries *c, const Node *n)
{
    const Node *closer = n->op == OP_FINAL ? n->src[0] : c->closers[n->attr.carry.loop];
    const int index = n->op == OP_FINAL ? n->attr.final.index : n->attr.carry.index;
    Node *known = closer->op == OP_LOOP ? constant_value(c, closer, index, n) : NULL;
    if (known)
        return known;
    if (n->op == OP_FINAL)
        return build_final(c->g, c->map[closer->id], new_index(c, closer, index));
    return build_carry(c->g, n->attr.carry.loop, new_index(c, closer, index), n->type);
}

Graph *pass_carries(PassContext *context, const Graph *old)
{
    Carries c = {.old = old, .g = pass_new_graph(old), .scratch = context->scratch};
    c.closers = graph_closers(old, graph_live(old, c.scratch), c.scratch);
    c.needed = ARENA_ARRAY(c.scratch, uint8_t, old->nodes.count + 1);
    c.keep = ARENA_ARRAY(c.scratch, bool *, old->nodes.count + 1);
    c.map = ARENA_ARRAY(c.scratch, Node *, old->nodes.count + 1);
    find_needed(&c);
    for (uint32_t id = 0; id < old->nodes.count; id++) {
        const Node *n = old->nodes.data[id];
        if (!c.needed[id])
            continue;
        c.g->span = n->span;
        if (n->op == OP_LOOP || n->op == OP_BRANCH)
            c.map[id] = copy_closer(context, &c, n);
        else if (n->op == OP_FINAL || n->op == OP_CARRY)
            c.map[id] = copy_value(&c, n);
        else
            c.map[id] = graph_copy_node(c.g, n, c.map);
    }
    pass_copy_roots(c.g, old, c.map);
    return c.g;
}
