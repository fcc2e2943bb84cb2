/* Gradients of loops and branches are loops and branches.
 *
 * A loop whose carries h begin as a and become f(h, x[t], w) has, with the derivatives of its
 * finals and stacks known, a derivative that runs the other way:
 *
 *   for t backwards:  dh = f'(dh) by h  +  what flows in from stack[t]
 *                     dx[t] = f'(dh) by x[t]     a stack of the new loop
 *                     dw += f'(dh) by w          see below
 *   da = dh
 *
 * The rules of the operations write f' (grad_walk over the region), grad_graft.c moves it into the
 * new loop. What many iterations give to one node outside is summed: a product of two values of the
 * iteration is not computed there at all, both operands are stacked and contracted over t, too, in
 * one product behind the loop (the weights of a recurrent layer; likewise rows that are added to a
 * table); anything else is added up in a carry. A loop over segments (graph/segment.h) adds up
 * everything, as operands of all turns are the memory that it is there to save.
 *
 * A loop that may end early remembers in the stack of its condition which iterations ran; its
 * derivative does nothing in the others, by a branch. The derivative of a branch is a branch on the
 * same condition; each side computes again what it needs. */
#include "compiler/passes/grad_rules.h"
#include "runtime/base/bug.h"

/* x[t] of a loop that is still being written, as inside of a body that holds a gradient: one row of
 * x gets something. For closed loops the walk leaves slices to the rule of the loop. */
void grad_at(Grad *grad, Node *node, Node *dy)
{
    Graph *g = grad->graph;
    Node *x = node->src[0];
    if (grad->closers[node->attr.at.loop])
        return;
    Type rows = {.dtype = DT_I64, .rank = 1, .dims = {x->type.dims[0]}};
    Node *t = build_at(g, node->attr.at.loop, build_iota(g, rows, 0));
    grad_give(grad, x, t ? build_scatter_add(g, grad_zeros_like(g, x), t, dy, 0) : NULL);
}

void grad_enter(Grad *grad, Node *node, Node *dy)
{
    grad_give(grad, node->src[0], dy);
}

/* ---- what leaves the new loop ---- */

typedef enum {
    AS_NEXT,  /* the next derivative of carry `index` */
    AS_STACK, /* per iteration, for `to` */
    AS_SUM,   /* added up, for `to` */
    AS_YIELD  /* per iteration, an operand of a product behind the loop */
} OutKind;

typedef struct {
    OutKind kind;
    int index;
    Node *to;
    Node *value; /* in the loop; NULL: nothing */
    Node *other; /* in an iteration that did not run */
    Node *after; /* behind the loop: the derivative for `to`, or the stack */
} Out;

/* A product, or a sum of what is yielded anyway, to be made of yields; the moves after it lead to
 * the part. */
typedef struct {
    Node *to, *core, *part;
    int yields[2]; /* the second of products only */
    bool whole;    /* the core itself is yielded */
} Late;

typedef struct {
    Grad *grad;
    Graph *g;
    Node *loop; /* the forward one */
    const LoopAttr *attr;
    int count;
    Graft graft;
    VEC(Out) outs;
    VEC(Late) lates;
} LoopGrad;

static bool carry_wanted(const LoopGrad *l, int i)
{
    const Node *init = l->loop->src[i], *next = l->loop->src[l->count + i];
    return dtype_is_float(init->type.dtype) &&
           (grad_wants(l->grad, init) || grad_wants(l->grad, next));
}

static Node *guarded(const LoopGrad *l, Node *x, BranchSide side)
{
    return l->graft.guarded && x ? build_enter(l->g, l->graft.guard, side, x) : x;
}

/* The derivatives that are known at the end of an iteration. */
static void seed(LoopGrad *l)
{
    const NodeVec *exits = &l->grad->exits[l->loop->id];
    for (int i = 0, k = 0; i < l->count; i++)
        if (carry_wanted(l, i)) {
            Node *carry = build_carry(l->g, l->graft.number, k++, l->loop->src[i]->type);
            grad_give(l->grad, l->loop->src[l->count + i], guarded(l, carry, SIDE_THEN));
        }
    for (uint32_t i = 0; i < exits->count; i++) {
        Node *exit = exits->data[i], *total = l->grad->total[exit->id];
        if (exit->op == OP_STACK && total)
            grad_give(l->grad, exit->src[1],
                      guarded(l, build_at(l->g, l->graft.number, total), SIDE_THEN));
    }
}

static void add_out(LoopGrad *l, Out out)
{
    vec_push(l->grad->scratch, &l->outs, out);
}

/* The totals of carries and slices, after the walk. */
static void collect(LoopGrad *l)
{
    const NodeVec *body = &l->grad->bodies[l->graft.region];
    Node **of_carry = ARENA_ARRAY(l->grad->scratch, Node *, l->count + 1);
    for (uint32_t i = 0; i < body->count; i++)
        if (body->data[i]->op == OP_CARRY)
            of_carry[body->data[i]->attr.carry.index] = l->grad->total[body->data[i]->id];
    for (int i = 0, k = 0; i < l->count; i++)
        if (carry_wanted(l, i))
            add_out(
                l,
                (Out){.kind = AS_NEXT, .index = k++, .to = l->loop->src[i], .value = of_carry[i]});
    for (uint32_t i = 0; i < body->count; i++) {
        Node *node = body->data[i], *total = l->grad->total[node->id];
        if (node->op == OP_AT && total && grad_wants(l->grad, node->src[0]))
            add_out(l, (Out){.kind = AS_STACK, .to = node->src[0], .value = total});
    }
}

/* ---- parts of nodes outside ---- */

enum { MOST_PARTS = 16, MOST_DEPTH = 6 }; /* of one node, that are looked at one by one */

static bool fits_stack(const Node *x)
{
    return x->type.rank < MAX_RANK;
}

/* The product or sum of rows under the moves of a part. */
static Node *core_of(Node *part)
{
    while (part->op == OP_PERMUTE || part->op == OP_RESHAPE)
        part = part->src[0];
    return part;
}

static bool is_zeros(const Node *x)
{
    return x->op == OP_CONST && dtype_is_float(x->type.dtype) && x->attr.constant.value.f == 0;
}

/* The operands that are stacked when the part is summed behind the loop. */
static int yields_of(const Node *core, const uint8_t *inside, Node *yields[2])
{
    int first = core->op == OP_SCATTER_ADD;
    bool late = core->op == OP_DOT ||
                (core->op == OP_SCATTER_ADD && core->attr.axis == 0 && is_zeros(core->src[0]));
    if (!late || core->type.rank == MAX_RANK)
        return 0;
    for (int i = 0; i < 2; i++) {
        yields[i] = core->src[first + i];
        if (!inside[yields[i]->id] || !fits_stack(yields[i]))
            return 0;
    }
    return 2;
}

static int find_yield(const LoopGrad *l, const Node *value)
{
    for (uint32_t i = 0; i < l->outs.count; i++)
        if (l->outs.data[i].kind == AS_YIELD && l->outs.data[i].value == value)
            return (int)i;
    return -1;
}

static int add_yield(LoopGrad *l, Node *value)
{
    int at = find_yield(l, value);
    if (at >= 0)
        return at;
    add_out(l, (Out){.kind = AS_YIELD, .value = value});
    return (int)l->outs.count - 1;
}

/* Is there a product among the terms of a sum? */
static bool has_product(const Node *part, const uint8_t *inside, int depth)
{
    Node *yields[2];
    if (part->op == OP_ADD && depth > 0)
        return has_product(part->src[0], inside, depth - 1) ||
               has_product(part->src[1], inside, depth - 1);
    return yields_of(core_of((Node *)part), inside, yields) > 0;
}

/* Terms of sums with products are parts of their own. */
static void split_sums(LoopGrad *l, NodeVec *parts, const uint8_t *inside)
{
    for (uint32_t i = 0; i < parts->count && parts->count < MOST_PARTS;) {
        Node *part = parts->data[i];
        if (part->op != OP_ADD || !has_product(part, inside, MOST_DEPTH)) {
            i++;
            continue;
        }
        parts->data[i] = part->src[0];
        vec_push(l->grad->scratch, parts, part->src[1]);
    }
}

static bool make_late(LoopGrad *l, Node *to, Node *part, const uint8_t *inside, bool sums)
{
    Node *core = core_of(part), *yields[2];
    Late late = {.to = to, .core = core, .part = part, .yields = {-1, -1}};
    int count = sums ? 0 : yields_of(core, inside, yields);
    for (int i = 0; i < count; i++)
        late.yields[i] = add_yield(l, yields[i]);
    if (sums) {
        late.yields[0] = find_yield(l, core);
        if (late.yields[0] < 0 && core->op == OP_SUM)
            late.yields[0] = find_yield(l, core->src[0]);
        late.whole = late.yields[0] >= 0 && find_yield(l, core) >= 0;
        count = late.yields[0] >= 0;
    }
    if (count > 0)
        vec_push(l->grad->scratch, &l->lates, late);
    return count > 0;
}

/* First the products, then sums of what a product needs anyway (biases), then the rest is added
 * up in the loop. */
static void place_captured(LoopGrad *l, GradLevel *level, Node ***grafted)
{
    Arena *arena = arena_new();
    const uint8_t *inside = grad_inside(l->grad, l->graft.number, arena);
    NodeVec *parts = ARENA_ARRAY(arena, NodeVec, level->captured.count + 1);
    for (uint32_t i = 0; i < level->captured.count; i++) {
        Captured *captured = &level->captured.data[i];
        for (uint32_t j = 0; j < captured->parts.count; j++, (*grafted)++)
            vec_push(l->grad->scratch, &parts[i], **grafted);
        split_sums(l, &parts[i], inside);
    }
    for (int sums = 0; sums < 2 && !l->attr->adds; sums++)
        for (uint32_t i = 0; i < level->captured.count; i++)
            for (uint32_t j = 0; j < parts[i].count; j++)
                if (parts[i].data[j] &&
                    make_late(l, level->captured.data[i].of, parts[i].data[j], inside, sums))
                    parts[i].data[j] = NULL;
    for (uint32_t i = 0; i < level->captured.count; i++) {
        Node *sum = NULL;
        for (uint32_t j = 0; j < parts[i].count; j++)
            if (parts[i].data[j])
                sum = sum ? build_binary(l->g, OP_ADD, sum, parts[i].data[j]) : parts[i].data[j];
        if (sum)
            add_out(l, (Out){.kind = AS_SUM, .to = level->captured.data[i].of, .value = sum});
    }
    arena_free(arena);
}

/* Moves everything into the new loop: the outs so far, then the parts of what is outside. */
static void graft_all(LoopGrad *l, GradLevel *level)
{
    uint32_t count = 0, known = l->outs.count, next = 0;
    for (uint32_t i = 0; i < level->captured.count; i++)
        count += level->captured.data[i].parts.count;
    Node **nodes = ARENA_ARRAY(l->grad->scratch, Node *, known + count + 1), **at = nodes;
    for (uint32_t i = 0; i < known; i++)
        if (l->outs.data[i].value)
            nodes[next++] = l->outs.data[i].value;
    for (uint32_t i = 0; i < level->captured.count; i++)
        for (uint32_t j = 0; j < level->captured.data[i].parts.count; j++)
            nodes[next++] = level->captured.data[i].parts.data[j];
    grad_graft(l->grad, &l->graft, nodes, next);
    if (l->grad->failed)
        return;
    for (uint32_t i = 0; i < known; i++)
        if (l->outs.data[i].value)
            l->outs.data[i].value = *at++;
    place_captured(l, level, &at);
}

/* ---- the new loop ---- */

/* Values of an iteration that did not run: nothing flows, and derivatives of carries stay. */
static void guard_outs(LoopGrad *l)
{
    const uint32_t count = l->outs.count;
    Node **thens = ARENA_ARRAY(l->grad->scratch, Node *, count + 1);
    Node **elses = ARENA_ARRAY(l->grad->scratch, Node *, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        const Out *out = &l->outs.data[i];
        Type type = out->kind == AS_NEXT ? out->to->type : out->value->type;
        thens[i] = out->value ? out->value : build_const(l->g, type, 0);
        elses[i] = out->kind == AS_NEXT
                       ? guarded(l, build_carry(l->g, l->graft.number, out->index, type), SIDE_ELSE)
                       : build_const(l->g, type, 0);
    }
    Node *ran = build_at(
        l->g, l->graft.number,
        build_stack(l->g, l->loop, build_carry(l->g, l->attr->id, 0, l->loop->src[0]->type)));
    Node *branch = ran ? build_branch(l->g, l->graft.guard, ran, thens, elses, (int)count) : NULL;
    for (uint32_t i = 0; i < count; i++)
        l->outs.data[i].value = branch ? build_final(l->g, branch, (int)i) : NULL;
    if (!branch)
        grad_fail(l->grad, l->loop, NULL);
}

/* The derivative of the loop by carry i after it, or zeros. */
static Node *known_final(const LoopGrad *l, int i)
{
    const NodeVec *exits = &l->grad->exits[l->loop->id];
    for (uint32_t j = 0; j < exits->count; j++)
        if (exits->data[j]->op == OP_FINAL && exits->data[j]->attr.final.index == i &&
            l->grad->total[exits->data[j]->id])
            return l->grad->total[exits->data[j]->id];
    return grad_zeros_like(l->g, l->loop->src[i]);
}

static Node *close_loop(LoopGrad *l)
{
    int total = 0, k = 0;
    for (uint32_t i = 0; i < l->outs.count; i++)
        total += l->outs.data[i].kind == AS_NEXT || l->outs.data[i].kind == AS_SUM;
    Node **inits = ARENA_ARRAY(l->grad->scratch, Node *, total + 1);
    Node **nexts = ARENA_ARRAY(l->grad->scratch, Node *, total + 1);
    for (int i = 0; i < l->count; i++)
        if (carry_wanted(l, i))
            inits[k++] = known_final(l, i);
    for (uint32_t i = 0; i < l->outs.count; i++) {
        Out *out = &l->outs.data[i];
        if (out->kind == AS_NEXT)
            nexts[out->index] = out->value ? out->value : grad_zeros_like(l->g, inits[out->index]);
        if (out->kind != AS_SUM)
            continue;
        out->index = k++;
        inits[out->index] = grad_zeros_like(l->g, out->value);
        nexts[out->index] = build_binary(
            l->g, OP_ADD, build_carry(l->g, l->graft.number, out->index, out->value->type),
            out->value);
    }
    LoopAttr attr = {l->graft.number, l->attr->length, .reverse = !l->attr->reverse,
                     .recompute = l->attr->recompute, .adds = l->attr->adds};
    return build_loop(l->g, attr, inits, nexts, total);
}

static Axes shifted(Axes axes, bool with_first)
{
    Axes result = {.count = with_first};
    for (int i = 0; i < axes.count; i++)
        result.axis[result.count++] = (uint8_t)(axes.axis[i] + 1);
    return result;
}

/* The sum over all iterations of what `core` is in one. */
static Node *late_core(const LoopGrad *l, const Late *late)
{
    const Attr *attr = &late->core->attr;
    const Out *first = &l->outs.data[late->yields[0]];
    Node *x = first->after;
    Node *y = late->yields[1] >= 0 ? l->outs.data[late->yields[1]].after : NULL;
    if (!y)
        return build_reduce(l->g, OP_SUM, x, late->whole ? axes_one(0) : shifted(attr->axes, true));
    if (late->core->op == OP_SCATTER_ADD)
        return build_scatter_add(l->g, late->core->src[0], x, y, 0);
    return build_dot(l->g, x, y, shifted(attr->dot.batch_x, false),
                     shifted(attr->dot.batch_y, false), shifted(attr->dot.contract_x, true),
                     shifted(attr->dot.contract_y, true));
}

/* The moves from core to part, on the sum. */
static Node *late_part(const LoopGrad *l, const Late *late, const Node *part)
{
    if (part == late->core)
        return late_core(l, late);
    Node *x = late_part(l, late, part->src[0]);
    return x ? graph_node(l->g, part->op, &x, 1, &part->attr) : NULL;
}

static void give_outs(LoopGrad *l, Node *loop)
{
    for (uint32_t i = 0; i < l->outs.count; i++) {
        Out *out = &l->outs.data[i];
        const bool carried = out->kind == AS_NEXT || out->kind == AS_SUM;
        out->after =
            carried ? build_final(l->g, loop, out->index) : build_stack(l->g, loop, out->value);
        if (out->kind != AS_YIELD)
            grad_give(l->grad, out->to, out->after);
        else if (!out->after)
            grad_fail(l->grad, l->loop, NULL);
    }
    for (uint32_t i = 0; i < l->lates.count && !l->grad->failed; i++)
        grad_give(l->grad, l->lates.data[i].to,
                  late_part(l, &l->lates.data[i], l->lates.data[i].part));
}

static bool has_totals(const Grad *grad, const Node *token)
{
    for (uint32_t i = 0; i < grad->exits[token->id].count; i++)
        if (grad->total[grad->exits[token->id].data[i]->id])
            return true;
    return false;
}

/* Of loops only: the rule of a carry, final or stack is that of its loop. */
void grad_loop(Grad *grad, Node *node, Node *dy)
{
    (void)dy;
    if (node->op != OP_LOOP || !has_totals(grad, node))
        return;
    const LoopAttr *attr = &node->attr.loop;
    if (!loop_is_bounded(attr)) {
        grad_fail(grad, node, "a gradient through a loop needs a bound on its iterations");
        return;
    }
    LoopGrad l = {
        .grad = grad, .g = grad->graph, .loop = node, .attr = attr, .count = node->nsrc / 2};
    l.graft = (Graft){.region = region_closed_by(grad->regions, node, SIDE_THEN),
                      .closer = node,
                      .number = graph_next_loop(l.g),
                      .keeps = !attr->recompute,
                      .guarded = attr->conditional};
    l.graft.guard = attr->conditional ? graph_next_loop(l.g) : 0;
    GradLevel level;
    grad_enter_region(grad, &level, l.graft.region);
    seed(&l);
    grad_walk(grad);
    if (!grad->failed)
        collect(&l);
    if (!grad->failed)
        graft_all(&l, &level);
    if (!grad->failed && attr->conditional)
        guard_outs(&l);
    grad_leave_region(grad, &level);
    if (grad->failed)
        return;
    l.g->span = node->span;
    Node *loop = close_loop(&l);
    if (loop)
        give_outs(&l, loop);
    else
        grad_fail(grad, node, NULL);
}

/* ---- branches ---- */

typedef struct {
    Node *to, *sides[2]; /* NULL: nothing on that side */
} Shared;

typedef struct {
    Grad *grad;
    Node *branch;
    uint32_t number;
    VEC(Shared) shared;
} BranchGrad;

static void share(BranchGrad *b, Node *to, BranchSide side, Node *value)
{
    for (uint32_t i = 0; i < b->shared.count; i++) {
        if (b->shared.data[i].to == to) {
            b->shared.data[i].sides[side] = value;
            return;
        }
    }
    Shared shared = {.to = to};
    shared.sides[side] = value;
    vec_push(b->grad->scratch, &b->shared, shared);
}

static void walk_side(BranchGrad *b, BranchSide side)
{
    Grad *grad = b->grad;
    Graph *g = grad->graph;
    const NodeVec *exits = &grad->exits[b->branch->id];
    const int first = 1 + (side == SIDE_ELSE ? b->branch->nsrc / 2 : 0);
    GradLevel level;
    Graft graft = {.region = region_closed_by(grad->regions, b->branch, side),
                   .closer = b->branch,
                   .number = b->number,
                   .side = side};
    grad_enter_region(grad, &level, graft.region);
    for (uint32_t i = 0; i < exits->count; i++) {
        Node *total = grad->total[exits->data[i]->id];
        if (total)
            grad_give(grad, b->branch->src[first + exits->data[i]->attr.final.index],
                      build_enter(g, b->number, side, total));
    }
    grad_walk(grad);
    Node **sums = ARENA_ARRAY(grad->scratch, Node *, level.captured.count + 1);
    for (uint32_t i = 0; i < level.captured.count && !grad->failed; i++) {
        const NodeVec *parts = &level.captured.data[i].parts;
        sums[i] = parts->data[0];
        for (uint32_t j = 1; j < parts->count && sums[i]; j++)
            sums[i] = build_binary(g, OP_ADD, sums[i], parts->data[j]);
        if (!sums[i])
            grad_fail(grad, b->branch, NULL);
    }
    if (!grad->failed)
        grad_graft(grad, &graft, sums, level.captured.count);
    for (uint32_t i = 0; i < level.captured.count && !grad->failed; i++)
        share(b, level.captured.data[i].of, side, sums[i]);
    grad_leave_region(grad, &level);
}

void grad_branch(Grad *grad, Node *node, Node *dy)
{
    (void)dy;
    Graph *g = grad->graph;
    if (!has_totals(grad, node))
        return;
    BranchGrad b = {.grad = grad, .branch = node, .number = graph_next_loop(g)};
    for (int side = SIDE_THEN; side <= SIDE_ELSE && !grad->failed; side++)
        walk_side(&b, (BranchSide)side);
    const int count = (int)b.shared.count;
    if (grad->failed || count == 0)
        return;
    Node **thens = ARENA_ARRAY(grad->scratch, Node *, count);
    Node **elses = ARENA_ARRAY(grad->scratch, Node *, count);
    for (int i = 0; i < count; i++) {
        const Shared *shared = &b.shared.data[i];
        thens[i] = shared->sides[0] ? shared->sides[0] : grad_zeros_like(g, shared->to);
        elses[i] = shared->sides[1] ? shared->sides[1] : grad_zeros_like(g, shared->to);
    }
    g->span = node->span;
    Node *branch = build_branch(g, b.number, node->src[0], thens, elses, count);
    for (int i = 0; i < count; i++)
        grad_give(grad, b.shared.data[i].to, branch ? build_final(g, branch, i) : NULL);
}
