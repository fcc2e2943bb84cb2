/* Derivatives of the nodes in a loop are written by the usual rules in terms of those nodes, as if
 * they were in the same loop; then they are grafted: moved to a loop of their own that runs the
 * other way, where the forward nodes have stand-ins. In: derivative nodes between the two loops;
 * out: the same in the new loop alone. What was between is read by nobody.
 *
 *   forward loop 0:  %4 = carry {0, 0}   %6 = dot %4 %1   %7 = tanh %6   %8 = loop ..
 *   a derivative:    %20 = carry {1, 0}  %22 = mul %7 %7  %23 = sub 1 %22  %24 = mul %20 %23
 *   grafted:         %30 = stack %8 %6   %31 = at %30 {1}  %32 = tanh %31
 *                    %33 = mul %32 %32   %34 = sub 1 %33   %35 = mul %20 %34
 *
 * Stand-ins. A slice is the same slice in the new loop. Carries, contractions, reductions, windows,
 * indexed reads and results of inner loops are slices of stacks that the forward loop keeps;
 * elementwise operations and moves between them are computed again. When nothing is kept
 * (`recompute`, sides of a branch), all is computed again from the carries or the entered values,
 * inner loops under new numbers; inner loops of the derivative get new numbers, too.
 *
 * What is where is told by numbers: loops made for derivatives have numbers from graft->number on,
 * forward ones smaller numbers. */
#include "compiler/passes/grad_rules.h"
#include "runtime/base/bug.h"

typedef enum {
    OUTSIDE, /* of both: stays */
    FORWARD, /* depends on the forward region only: gets a stand-in */
    DERIVED  /* depends on the new loop: is rebuilt */
} Kind;

typedef struct {
    Grad *grad;
    const Graft *graft;
    Graph *g;
    Arena *arena;
    uint32_t end;     /* nodes when the graft begins */
    uint8_t *inner;   /* per number: a loop or branch in the forward region, or that region */
    uint32_t *number; /* per number of a copied loop its new one, 0: none yet */
    uint8_t *kind, *needed;
    Node **map;
} Grafter;

/* The number that a node opens; false: it opens none. */
static bool opens(const Node *node, uint32_t *number)
{
    if (node->op == OP_CARRY)
        *number = node->attr.carry.loop;
    else if (node->op == OP_AT)
        *number = node->attr.at.loop;
    else if (node->op == OP_ENTER)
        *number = node->attr.enter.branch;
    else
        return false;
    return true;
}

static bool closes(const Node *node, uint32_t *number)
{
    if (node->op == OP_LOOP)
        *number = node->attr.loop.id;
    else if (node->op == OP_BRANCH)
        *number = node->attr.branch.id;
    else
        return false;
    return true;
}

static void find_inner(Grafter *f)
{
    const Regions *regions = f->grad->regions;
    for (uint32_t i = 1; i < regions->count; i++) {
        const Node *closer = regions->list[i].closer;
        if (region_within(regions, i, f->graft->region))
            f->inner[closer->op == OP_LOOP ? closer->attr.loop.id : closer->attr.branch.id] = 1;
    }
}

static Kind kind_of(const Grafter *f, const Node *node)
{
    uint32_t number;
    Kind kind = OUTSIDE;
    if (node == f->graft->closer ||
        ((node->op == OP_FINAL || node->op == OP_STACK) && node->src[0] == f->graft->closer))
        return OUTSIDE;
    /* A loop without values has no operands that would tell. */
    const bool numbered = opens(node, &number) || closes(node, &number);
    if (numbered && number >= f->graft->number)
        return DERIVED;
    if (numbered && f->inner[number])
        kind = FORWARD;
    for (int i = 0; i < node->nsrc; i++)
        kind = f->kind[node->src[i]->id] > kind ? f->kind[node->src[i]->id] : kind;
    return kind;
}

/* The forward node's own loop or side begins with it. */
static bool is_opening(const Grafter *f, const Node *node)
{
    const Node *closer = f->graft->closer;
    uint32_t number;
    return opens(node, &number) &&
           number == (closer->op == OP_LOOP ? closer->attr.loop.id : closer->attr.branch.id);
}

/* Is this forward value taken from a stack? Only of nodes that were there when their loop was
 * closed: what they read was there, too. */
static bool is_kept(const Grafter *f, const Node *node)
{
    if (!f->graft->keeps || is_opening(f, node))
        return false;
    if (node->op == OP_FINAL || node->op == OP_STACK)
        return true;
    const OpClass op_class = op_info[node->op].op_class;
    if (op_class == CLASS_LOOP)
        NNC_BUG("%s of an inner loop in a derivative", op_info[node->op].text);
    return node->id < f->graft->closer->id && node->op != OP_CHECK &&
           ((op_class != CLASS_ELEMENTWISE && op_class != CLASS_MOVE) ||
            op_info[node->op].flags & FLAG_FAILS);
}

static void mark_needed(Grafter *f)
{
    for (uint32_t id = f->end; id-- > 0;) {
        const Node *node = f->g->nodes.data[id];
        if (!f->needed[id] || f->kind[id] == OUTSIDE)
            continue;
        if (f->kind[id] == FORWARD && (is_opening(f, node) || is_kept(f, node)))
            continue;
        /* The condition of a check has been looked at on the way forwards. */
        const int count = f->kind[id] == FORWARD && node->op == OP_CHECK ? 1 : node->nsrc;
        for (int i = 0; i < count; i++)
            f->needed[node->src[i]->id] = 1;
    }
}

/* ---- building ---- */

static Node *guard(Grafter *f, Node *slice)
{
    return f->graft->guarded && slice ? build_enter(f->g, f->graft->guard, SIDE_THEN, slice)
                                      : slice;
}

static Node *stand_in(Grafter *f, Node *node)
{
    const Graft *graft = f->graft;
    if (node->op == OP_ENTER && is_opening(f, node))
        return build_enter(f->g, graft->number, graft->side, node->src[0]);
    if (node->op == OP_AT && is_opening(f, node))
        return guard(f, build_at(f->g, graft->number, node->src[0]));
    return guard(f, build_at(f->g, graft->number, build_stack(f->g, (Node *)graft->closer, node)));
}

/* Forward loops that are computed again are loops of their own. So are derivative loops that were
 * made inside: what they read from outside is made now, so they have to be made later. */
static bool gets_number(const Grafter *f, uint32_t number)
{
    const Graft *graft = f->graft;
    return number < graft->number
               ? f->inner[number]
               : number > graft->number && !(graft->guarded && number == graft->guard);
}

/* A copy on stand-ins. */
static Node *rebuild(Grafter *f, const Node *node)
{
    Attr attr = node->attr;
    Node **src = ARENA_ARRAY(f->arena, Node *, node->nsrc + 1);
    uint32_t *number = region_number(&attr);
    for (int i = 0; i < node->nsrc; i++)
        src[i] = f->map[node->src[i]->id];
    if (number && gets_number(f, *number)) {
        uint32_t *fresh = &f->number[*number];
        *fresh = *fresh ? *fresh : graph_next_loop(f->g);
        *number = *fresh;
    }
    return graph_node(f->g, node->op, src, node->nsrc, &attr);
}

static Node *graft_node(Grafter *f, Node *node)
{
    if (f->kind[node->id] == OUTSIDE)
        return node;
    if (f->kind[node->id] == DERIVED)
        return rebuild(f, node);
    if (is_opening(f, node) || is_kept(f, node))
        return stand_in(f, node);
    return node->op == OP_CHECK ? f->map[node->src[0]->id] : rebuild(f, node);
}

static void find_kinds(Grafter *f)
{
    for (uint32_t id = 0; id < f->end; id++)
        f->kind[id] = (uint8_t)kind_of(f, f->g->nodes.data[id]);
}

/* Where all is computed again, gradients that the program states are as well. (Parts of them cannot
 * be kept: they depend on a derivative that is not known yet.) */
static bool is_again(const Grafter *f, const CustomGradient *custom)
{
    const Node *node = custom->result;
    return !f->graft->keeps && node->id < f->end && f->needed[node->id] &&
           f->kind[node->id] == FORWARD;
}

/* True: there is more that is needed. */
static bool need_customs(Grafter *f)
{
    bool more = false;
    for (uint32_t i = 0; i < f->g->customs.count; i++) {
        const CustomGradient *custom = &f->g->customs.data[i];
        for (uint32_t k = 0; is_again(f, custom) && k < custom->count; k++) {
            const Node *both[2] = {custom->inputs[k], custom->parts[k]};
            for (int n = 0; n < 2; n++)
                if (both[n] && !f->needed[both[n]->id])
                    f->needed[both[n]->id] = more = true;
        }
    }
    return more;
}

static void copy_customs(Grafter *f)
{
    Graph *g = f->g;
    for (uint32_t i = 0, count = g->customs.count; i < count; i++) {
        const CustomGradient old = g->customs.data[i];
        if (!is_again(f, &old))
            continue;
        CustomGradient made = {f->map[old.result->id], old.seed,
                               ARENA_ARRAY(g->arena, Node *, old.count + 1),
                               ARENA_ARRAY(g->arena, Node *, old.count + 1), old.count};
        for (uint32_t k = 0; k < old.count; k++) {
            made.inputs[k] = f->map[old.inputs[k]->id];
            made.parts[k] = old.parts[k] ? f->map[old.parts[k]->id] : NULL;
        }
        vec_push(g->arena, &g->customs, made);
    }
}

void grad_graft(Grad *grad, const Graft *graft, Node **nodes, uint32_t count)
{
    Graph *g = grad->graph;
    Arena *arena = arena_new();
    const Span span = g->span;
    Grafter f = {.grad = grad, .graft = graft, .g = g, .arena = arena, .end = g->nodes.count};
    f.inner = ARENA_ARRAY(arena, uint8_t, g->next_loop + 1);
    f.number = ARENA_ARRAY(arena, uint32_t, g->next_loop + 1);
    f.kind = ARENA_ARRAY(arena, uint8_t, f.end + 1);
    f.needed = ARENA_ARRAY(arena, uint8_t, f.end + 1);
    f.map = ARENA_ARRAY(arena, Node *, f.end + 1);
    find_inner(&f);
    find_kinds(&f);
    for (uint32_t i = 0; i < count; i++)
        f.needed[nodes[i]->id] = 1;
    do
        mark_needed(&f);
    while (need_customs(&f));
    for (uint32_t id = 0; id < f.end && !grad->failed; id++) {
        if (!f.needed[id])
            continue;
        Node *node = g->nodes.data[id];
        g->span = node->span;
        f.map[id] = graft_node(&f, node);
        if (!f.map[id])
            grad_fail(grad, node, NULL);
    }
    for (uint32_t i = 0; i < count && !grad->failed; i++)
        nodes[i] = f.map[nodes[i]->id];
    if (!grad->failed)
        copy_customs(&f);
    g->span = span;
    arena_free(arena);
}

uint8_t *grad_inside(Grad *grad, uint32_t number, Arena *arena)
{
    const Graph *g = grad->graph;
    uint8_t *inside = ARENA_ARRAY(arena, uint8_t, g->nodes.count + 1);
    for (uint32_t id = 0; id < g->nodes.count; id++) {
        const Node *node = g->nodes.data[id];
        uint32_t opened;
        inside[id] = opens(node, &opened) && opened >= number;
        for (int i = 0; i < node->nsrc; i++)
            inside[id] |= inside[node->src[i]->id];
    }
    return inside;
}
