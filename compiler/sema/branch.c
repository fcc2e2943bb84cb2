/* Decisions at run time: cond, and an if whose condition is a tensor.
 *
 *   cond loss > 10.0 { x = x * 0.5; f(x) } else { g(x) }
 *
 * Both sides are evaluated into the graph; names of the fn and states that a side assigns are
 * results of the branch beside its value. What a side takes from outside goes through `enter`
 * nodes (graph/region.h): the nodes of a side are copied with every such operand replaced. */
#include "compiler/graph/region.h"
#include "compiler/sema/internal.h"

#include <string.h>

/* ---- Into a side ---- */

typedef struct {
    Graph *graph;
    uint32_t branch, begin; /* nodes from `begin` on were made by this side */
    BranchSide side;
    uint32_t first_loop; /* numbers from here on belong to loops and branches inside of it */
    Node **image;
    bool *inside;   /* depends on an enter of this side */
    uint64_t *open; /* loops inside of the side that a node belongs to */
    bool *needed;   /* a result depends on it */
    uint32_t *moved; /* per number: that of the copy of a loop that only what it stacks takes inside */
} Side;

enum { LOOPS_OF_SIDE = 64 };

static bool is_plain(const Node *node)
{
    return node->op == OP_CONST || node->op == OP_LITERAL || node->op == OP_IOTA ||
           node->op == OP_DIM;
}

/* Comes from outside: made before, a leaf, or what the current turn of a loop around sees. */
static bool is_captured(const Side *side, const Node *node)
{
    if (is_plain(node))
        return false;
    if (node->id < side->begin)
        return true;
    if (node->op == OP_AT)
        return node->attr.at.loop < side->first_loop;
    if (node->op == OP_FINAL || node->op == OP_STACK)
        return node->src[0]->id < side->begin;
    return node->nsrc == 0 && node->op != OP_CARRY && node->op != OP_LOOP;
}

static uint64_t bit(const Side *side, uint32_t loop)
{
    return loop >= side->first_loop ? (uint64_t)1 << (loop - side->first_loop) % LOOPS_OF_SIDE : 0;
}

static uint64_t open_loops(const Side *side, const Node *node)
{
    uint64_t open = 0;
    for (int i = 0; i < node->nsrc; i++)
        open |= node->src[i]->id >= side->begin ? side->open[node->src[i]->id - side->begin] : 0;
    if (node->op == OP_CARRY)
        open |= bit(side, node->attr.carry.loop);
    if (node->op == OP_AT)
        open |= bit(side, node->attr.at.loop);
    if (node->op == OP_ENTER)
        open |= bit(side, node->attr.enter.branch);
    if (node->op == OP_LOOP)
        open &= ~bit(side, node->attr.loop.id);
    if (node->op == OP_BRANCH)
        open &= ~bit(side, node->attr.branch.id);
    if (node->op == OP_STACK)
        open &= ~bit(side, node->src[0]->attr.loop.id);
    return open;
}

static Node *enter(Side *side, Node *node)
{
    return build_enter(side->graph, side->branch, side->side, node);
}

/* The derivative that a stated gradient (custom_vjp) waits for: no value, another node takes its
 * place. */
static bool is_seed(const Side *side, const Node *node)
{
    for (uint32_t i = 0; node->op == OP_INPUT && i < side->graph->customs.count; i++)
        if (side->graph->customs.data[i].seed == node)
            return true;
    return false;
}

/* An operand as a node of the side sees it. */
static Node *operand(Side *side, Node *node)
{
    if (is_plain(node) || is_seed(side, node))
        return node;
    if (is_captured(side, node))
        return enter(side, node);
    uint32_t i = node->id - side->begin;
    return side->inside[i] || side->open[i] ? side->image[i] : enter(side, side->image[i]);
}

static bool depends(const Side *side, const Node *node)
{
    for (int i = 0; i < node->nsrc; i++)
        if (is_captured(side, node->src[i]) || is_seed(side, node->src[i]) ||
            (node->src[i]->id >= side->begin && side->inside[node->src[i]->id - side->begin]))
            return true;
    return false;
}

/* The number in the attribute of a node that opens or closes a moved loop, or NULL. */
static uint32_t *moved_number(const Side *side, Attr *attr)
{
    uint32_t *number = region_number(attr);
    return number && side->moved[*number] ? number : NULL;
}

/* What is inside. The carries of a loop may not depend on an enter where what it stacks does; as
 * the copy of such a loop would be the loop itself, which stands before the enter, the copy gets
 * a number of its own. False: a loop of this kind was found, and what belongs to it has to be
 * found again. */
static bool find_inside(Side *side, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        Node *node = side->graph->nodes.data[side->begin + i];
        Attr attr = node->attr;
        if (!side->needed[i])
            continue;
        side->open[i] = open_loops(side, node);
        side->inside[i] =
            !is_captured(side, node) && (depends(side, node) || moved_number(side, &attr));
        if (node->op != OP_STACK || !side->inside[i] || side->inside[node->src[0]->id - side->begin])
            continue;
        side->moved[node->src[0]->attr.loop.id] = graph_next_loop(side->graph);
        return false;
    }
    return true;
}

static Node *copy_inside(Side *side, Arena *arena, Node *node)
{
    Node **src = ARENA_ARRAY(arena, Node *, node->nsrc + 1);
    bool token = node->op == OP_FINAL || node->op == OP_STACK;
    for (int i = 0; i < node->nsrc; i++)
        src[i] = token && i == 0 ? side->image[node->src[0]->id - side->begin]
                                 : operand(side, node->src[i]);
    Attr attr = node->attr;
    uint32_t *number = moved_number(side, &attr);
    if (number)
        *number = side->moved[*number];
    side->graph->span = node->span;
    return graph_node(side->graph, node->op, src, node->nsrc, &attr);
}

static void mark_one(Side *side, const Node *node)
{
    if (node && node->id >= side->begin)
        side->needed[node->id - side->begin] = true;
}

/* What a loop stacks is entered before it: a gradient walks back from the loop to what it read. */
static void enter_stacked(Side *side, const Node *loop, uint32_t count)
{
    for (uint32_t i = loop->id - side->begin; i < count; i++) {
        const Node *node = side->graph->nodes.data[side->begin + i];
        if (node->op == OP_STACK && node->src[0] == loop && side->needed[i] &&
            node->src[1]->id < loop->id)
            operand(side, node->src[1]);
    }
}

static void mark_needed(Side *side, uint32_t count, const Nodes *results)
{
    for (uint32_t i = 0; i < side->graph->customs.count; i++) {
        const CustomGradient *custom = &side->graph->customs.data[i];
        for (uint32_t k = 0; custom->result->id >= side->begin && k < custom->count; k++) {
            mark_one(side, custom->inputs[k]);
            mark_one(side, custom->parts[k]);
        }
    }
    for (uint32_t i = 0; i < results->count; i++)
        mark_one(side, results->data[i]);
    for (uint32_t i = count; i-- > 0;) {
        const Node *node = side->graph->nodes.data[side->begin + i];
        for (int k = 0; side->needed[i] && !is_captured(side, node) && k < node->nsrc; k++)
            if (node->src[k]->id >= side->begin)
                side->needed[node->src[k]->id - side->begin] = true;
    }
}

/* Gradients that the program states for nodes of the side hold for their copies. */
static void move_customs(Side *side)
{
    Graph *graph = side->graph;
    for (uint32_t i = 0, count = graph->customs.count; i < count; i++) {
        const CustomGradient old = graph->customs.data[i];
        if (old.result->id < side->begin || !side->inside[old.result->id - side->begin])
            continue;
        CustomGradient made = {operand(side, old.result), old.seed,
                               ARENA_ARRAY(graph->arena, Node *, old.count + 1),
                               ARENA_ARRAY(graph->arena, Node *, old.count + 1), old.count};
        for (uint32_t k = 0; k < old.count; k++) {
            const Node *input = old.inputs[k];
            bool moved = input->id >= side->begin && side->inside[input->id - side->begin];
            made.inputs[k] = moved ? side->image[input->id - side->begin] : old.inputs[k];
            made.parts[k] = old.parts[k] ? operand(side, old.parts[k]) : NULL;
        }
        vec_push(graph->arena, &graph->customs, made);
    }
}

/* The results of a side, made of nodes begin.. , inside of the side. */
static void move_inside(Sema *s, Side *side, Nodes *results)
{
    uint32_t end = side->graph->nodes.count, count = end - side->begin;
    Span span = side->graph->span;
    side->needed = ARENA_ARRAY(s->arena, bool, count + 1);
    side->image = ARENA_ARRAY(s->arena, Node *, count + 1);
    side->inside = ARENA_ARRAY(s->arena, bool, count + 1);
    side->open = ARENA_ARRAY(s->arena, uint64_t, count + 1);
    side->moved = ARENA_ARRAY(s->arena, uint32_t, side->graph->next_loop + 1);
    mark_needed(side, count, results);
    while (!find_inside(side, count)) {
    }
    for (uint32_t i = 0; i < count; i++) {
        Node *node = side->graph->nodes.data[side->begin + i];
        side->image[i] = node;
        if (side->inside[i] && node->op == OP_LOOP)
            enter_stacked(side, node, count);
        if (side->inside[i])
            side->image[i] = copy_inside(side, s->arena, node);
    }
    move_customs(side);
    for (uint32_t i = 0; i < results->count; i++)
        results->data[i] = operand(side, results->data[i]);
    side->graph->span = span;
}

/* ---- What a side changes ---- */

typedef struct {
    Binding *binding;
    Value before, after[2];
} Change;

struct BranchRun {
    VEC(Change) changes;
};

void branch_assign(Sema *s, BranchRun *branch, Binding *binding)
{
    for (uint32_t i = 0; i < branch->changes.count; i++)
        if (branch->changes.data[i].binding == binding)
            return;
    Change change = {binding, binding->value, {binding->value, binding->value}};
    vec_push(s->arena, &branch->changes, change);
}

typedef struct {
    Value value;
    VEC(Pending) states; /* newest values that the side made */
} Result;

static const Node *find_pending(const Pending *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return list[i].node;
    return NULL;
}

/* One side evaluated; what it assigned is noted and taken back. */
static bool run_side(Sema *s, BranchRun *branch, const AstBlock *block, int index, Result *out)
{
    Elab *elab = s->elab;
    uint32_t count = elab->pending.count, memos = elab->memos.count;
    uint32_t errors = diag_error_count(s->diag), asserts = s->frame ? s->frame->asserts.count : 0;
    Pending *before = ARENA_ARRAY(s->arena, Pending, count + 1);
    for (uint32_t i = 0; i < count; i++)
        before[i] = elab->pending.data[i];
    Repeat repeat = {.outer = s->repeat, .frame = s->frame, .elab = elab, .kind = REPEAT_BRANCH};
    Scope *scope = scope_new(s, s->scope);
    scope->barrier = BARRIER_BRANCH;
    scope->branch = branch;
    s->repeat = &repeat;
    out->value = block ? eval_block(s, block, scope) : value_none;
    s->repeat = repeat.outer;
    for (uint32_t i = 0; i < branch->changes.count; i++) {
        Change *change = &branch->changes.data[i];
        change->after[index] = change->binding->value;
        change->binding->value = change->before;
    }
    for (uint32_t i = 0; i < elab->pending.count; i++)
        if (find_pending(before, count, elab->pending.data[i].name) != elab->pending.data[i].node)
            vec_push(s->arena, &out->states, elab->pending.data[i]);
    for (uint32_t i = 0; i < count; i++)
        elab->pending.data[i] = before[i];
    elab->pending.count = count;
    elab->memos.count = memos;
    if (s->frame && s->frame->returned) {
        s->frame->returned = false;
        sema_error(s, ERR_E0403, block->span, NULL,
                   "one side of a decision at run time cannot return from the fn around it");
    }
    if (s->frame && s->frame->asserts.count > asserts) {
        s->frame->asserts.count = s->frame->assert_texts.count = asserts;
        s->frame->assert_spans.count = asserts;
        sema_error(s, ERR_E0403, block->span, NULL,
                   "an assert on a tensor cannot stand on one side of a decision at run time");
    }
    return diag_error_count(s->diag) == errors && !s->work_reported;
}

/* ---- Both sides together ---- */

/* Leaves of a and b in pairs of one type. */
static bool pair_values(Sema *s, const Value *a, const Value *b, const char *what, Span span,
                        Nodes *thens, Nodes *elses)
{
    bool list = a->kind == VALUE_TUPLE || a->kind == VALUE_ARRAY;
    if (a->kind == VALUE_POISON || b->kind == VALUE_POISON)
        return false;
    if (list && b->kind == a->kind && a->as.list->count == b->as.list->count) {
        bool ok = true;
        for (uint32_t i = 0; ok && i < a->as.list->count; i++)
            ok = pair_values(s, &a->as.list->items[i], &b->as.list->items[i], what, span, thens,
                             elses);
        return ok;
    }
    bool tensors = (a->kind == VALUE_TENSOR || value_is_constant(a)) &&
                   (b->kind == VALUE_TENSOR || value_is_constant(b));
    if (!tensors) {
        sema_error(s, ERR_E0312, span, NULL, "%s is %s on one side and %s on the other", what,
                   value_text(s, a), value_text(s, b));
        return false;
    }
    bool strong_a = a->kind == VALUE_TENSOR && !a->weak,
         strong_b = b->kind == VALUE_TENSOR && !b->weak;
    bool real = a->kind == VALUE_FLOAT || b->kind == VALUE_FLOAT || a->weak || b->weak;
    DType dtype = strong_a   ? a->as.node->type.dtype
                  : strong_b ? b->as.node->type.dtype
                  : real     ? sema_float(s)
                             : DT_COUNT;
    Node *x = value_node(s, a, dtype, span), *y = value_node(s, b, dtype, span);
    if (!x || !y)
        return false;
    if (!strong_a)
        x = build_broadcast(s->elab->graph, x, y->type.rank, y->type.dims);
    if (!strong_b)
        y = build_broadcast(s->elab->graph, y, x->type.rank, x->type.dims);
    if (!x || !y || !type_equal(&x->type, &y->type)) {
        sema_error(s, ERR_E0312, span, NULL, "%s is %s on one side and %s on the other", what,
                   value_text(s, a), value_text(s, b));
        return false;
    }
    vec_push(s->arena, thens, x);
    vec_push(s->arena, elses, y);
    return true;
}

typedef struct {
    VEC(const char *) names;
} StateNames;

static bool pair_states(Sema *s, const Result *sides, StateNames *names, Nodes *thens, Nodes *elses)
{
    for (int side = 0; side < 2; side++)
        for (uint32_t i = 0; i < sides[side].states.count; i++) {
            const Pending *pending = &sides[side].states.data[i];
            bool seen = false;
            for (uint32_t k = 0; k < names->names.count; k++)
                seen |= strcmp(names->names.data[k], pending->name) == 0;
            if (seen)
                continue;
            Node *old = elab_state(s, pending->name,
                                   elab_first(s, pending->name, &pending->node->type));
            const Node *a =
                find_pending(sides[0].states.data, sides[0].states.count, pending->name);
            const Node *b =
                find_pending(sides[1].states.data, sides[1].states.count, pending->name);
            vec_push(s->arena, &names->names, pending->name);
            vec_push(s->arena, thens, a ? (Node *)a : old);
            vec_push(s->arena, elses, b ? (Node *)b : old);
        }
    return true;
}

/* What stands for the results after the branch, in the order of pairs. */
static Value take_results(Sema *s, BranchRun *branch, const Result *sides, bool has_value,
                          const StateNames *names, Node *token, uint32_t count, Span span)
{
    Nodes finals = {0};
    uint32_t next = 0;
    for (uint32_t i = 0; i < count; i++)
        vec_push(s->arena, &finals, build_final(s->elab->graph, token, (int)i));
    Value v = has_value ? tree_build(s, &sides[0].value, finals.data, &next, span) : value_none;
    for (uint32_t i = 0; i < branch->changes.count; i++) {
        Change *change = &branch->changes.data[i];
        change->binding->value = tree_build(s, &change->after[0], finals.data, &next, span);
    }
    for (uint32_t i = 0; i < names->names.count; i++)
        elab_assign(s, names->names.data[i], finals.data[next++]);
    return v;
}

static Value eval_branch(Sema *s, const AstExpr *expr, Node *condition)
{
    Graph *graph = s->elab->graph;
    const AstBlock *blocks[2] = {&expr->as.branch.then,
                                 expr->as.branch.has_otherwise ? &expr->as.branch.otherwise : NULL};
    Result sides[2] = {0};
    BranchRun branch = {0};
    StateNames names = {0};
    Nodes pairs[2] = {{0}, {0}};
    Side place = {.graph = graph, .begin = graph->nodes.count, .first_loop = graph->next_loop};
    for (int side = 0; side < 2; side++)
        if (!run_side(s, &branch, blocks[side], side, &sides[side]))
            return value_poison;
    bool has_value = sides[0].value.kind != VALUE_NONE && sides[1].value.kind != VALUE_NONE;
    if (has_value && !pair_values(s, &sides[0].value, &sides[1].value, "the value", expr->span,
                                  &pairs[0], &pairs[1]))
        return value_poison;
    for (uint32_t i = 0; i < branch.changes.count; i++) {
        const Change *change = &branch.changes.data[i];
        if (!pair_values(s, &change->after[0], &change->after[1], change->binding->name, expr->span,
                         &pairs[0], &pairs[1]))
            return value_poison;
    }
    if (!pair_states(s, sides, &names, &pairs[0], &pairs[1]))
        return value_poison;
    if (pairs[0].count == 0)
        return value_none;
    if (graph->next_loop - place.first_loop > LOOPS_OF_SIDE) {
        sema_error(s, ERR_E0408, expr->span, NULL, "more than %d loops and decisions in this one",
                   LOOPS_OF_SIDE);
        return value_poison;
    }
    uint32_t id = place.branch = graph_next_loop(graph);
    for (int side = 0; side < 2; side++) {
        place.side = side == 0 ? SIDE_THEN : SIDE_ELSE;
        move_inside(s, &place, &pairs[side]);
    }
    Value token = sema_node_value(
        s, build_branch(graph, id, condition, pairs[0].data, pairs[1].data, (int)pairs[0].count),
        expr->span);
    return token.kind == VALUE_TENSOR ? take_results(s, &branch, sides, has_value, &names,
                                                     token.as.node, pairs[0].count, expr->span)
                                      : value_poison;
}

Value eval_cond(Sema *s, const AstExpr *expr)
{
    const AstExpr *written = expr->as.branch.condition;
    Value condition = eval_expr(s, written);
    bool take;
    if (condition.kind == VALUE_TENSOR) {
        const Type *type = &condition.as.node->type;
        if (type->dtype == DT_BOOL && type->rank == 0)
            return eval_branch(s, expr, condition.as.node);
        DiagItem *item =
            sema_error(s, ERR_E0200, written->span, NULL,
                       "a decision needs one bool, and this is %s", value_text(s, &condition));
        diag_help(item, type->dtype == DT_BOOL && type->rank > 0
                            ? "where(condition, a, b) chooses element by element, any(...) and "
                              "all(...) make one bool of many"
                            : "compare: x > 0");
        return value_poison;
    }
    if (!want_bool(s, &condition, written->span, "the condition", &take))
        return value_poison;
    if (take)
        return eval_block(s, &expr->as.branch.then, scope_new(s, s->scope));
    if (expr->as.branch.has_otherwise)
        return eval_block(s, &expr->as.branch.otherwise, scope_new(s, s->scope));
    return value_none;
}
