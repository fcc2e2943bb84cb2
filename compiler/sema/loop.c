/* scan and while: a body that is evaluated once becomes the body of a loop of the graph.
 *
 *   let hs, h = scan xt in x over T with h = zeros(B, H) { h = cell(xt, h); yield h }
 *
 * xt is `at x`, h at the top of the body is `carry`, its value at the bottom the next one; the loop
 * gives h after the last turn (`final`) and the yields of all turns (`stack`). Carried values may
 * be tuples and arrays: they are trees whose leaves are tensors. States that the body assigns
 * (batch-norm statistics) are carried without being named: the body is evaluated again with them.
 * Nodes that turn out not to depend on the loop are outside of it (graph/region.h). */
#include "compiler/graph/segment.h"
#include "compiler/sema/loop.h"

#include <string.h>

/* ---- Trees of values ---- */

bool tree_flatten(Sema *s, const Value *v, Span span, Nodes *out)
{
    if (v->kind == VALUE_TUPLE || v->kind == VALUE_ARRAY) {
        bool ok = true;
        for (uint32_t i = 0; i < v->as.list->count; i++)
            ok = tree_flatten(s, &v->as.list->items[i], span, out) && ok;
        return ok;
    }
    Node *node = value_node(s, v, v->weak ? sema_float(s) : DT_COUNT, span);
    if (node)
        vec_push(s->arena, out, node);
    return node != NULL;
}

Value tree_build(Sema *s, const Value *shape, Node *const *nodes, uint32_t *next, Span span)
{
    if (shape->kind != VALUE_TUPLE && shape->kind != VALUE_ARRAY)
        return value_tensor(nodes[(*next)++], span);
    Value list = value_list(s, shape->kind, shape->as.list->count, span);
    list.as.list->names = shape->as.list->names;
    for (uint32_t i = 0; i < shape->as.list->count; i++)
        list.as.list->items[i] = tree_build(s, &shape->as.list->items[i], nodes, next, span);
    return list;
}

/* The leaves of v in the types of like[*next..]; false: an error was reported. */
static bool tree_conform(Sema *s, const Value *shape, const Value *v, const char *name, Span span,
                         const Nodes *like, uint32_t *next, Nodes *out)
{
    bool list = shape->kind == VALUE_TUPLE || shape->kind == VALUE_ARRAY;
    bool other = v->kind == VALUE_TUPLE || v->kind == VALUE_ARRAY;
    if (v->kind == VALUE_POISON)
        return false;
    if (list != other || (list && shape->as.list->count != v->as.list->count)) {
        sema_error(s, ERR_E0312, span, NULL, "%s begins as %s and becomes %s", name,
                   value_text(s, shape), value_text(s, v));
        return false;
    }
    bool ok = true;
    for (uint32_t i = 0; list && ok && i < shape->as.list->count; i++)
        ok = tree_conform(s, &shape->as.list->items[i], &v->as.list->items[i], name, span, like,
                          next, out);
    if (list)
        return ok;
    const Type *type = &like->data[(*next)++]->type;
    Value fit = conform_state(s, v, type, name, span);
    if (fit.kind == VALUE_TENSOR)
        vec_push(s->arena, out, fit.as.node);
    return fit.kind == VALUE_TENSOR;
}

/* ---- Carried values ---- */

static bool read_begins(Sema *s, Loop *loop)
{
    bool ok = true;
    loop->begins = ARENA_ARRAY(s->arena, Value, loop->bindings->count + 1);
    for (uint32_t i = 0; i < loop->bindings->count; i++) {
        const AstExpr *expr = loop->bindings->data[i].value;
        loop->begins[i] = eval_expr(s, expr);
        ok = tree_flatten(s, &loop->begins[i], expr->span, &loop->inits) && ok;
    }
    return ok;
}

/* The bindings of `with` as names of the scope, with the leaves nodes[0..]. */
static void declare_bindings(Sema *s, Loop *loop, Scope *scope, Node *const *nodes)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < loop->bindings->count; i++) {
        AstName name = loop->bindings->data[i].name;
        Value v = tree_build(s, &loop->begins[i], nodes, &next, name.span);
        scope_declare(s, scope, name, BIND_LET, v);
    }
}

static Node *read_condition(Sema *s, Loop *loop, Scope *scope)
{
    Value v = eval_in(s, scope, loop->condition);
    Node *node = v.kind == VALUE_BOOL ? value_node(s, &v, DT_BOOL, loop->condition->span)
                                      : value_node(s, &v, DT_COUNT, loop->condition->span);
    if (!node || (node->type.dtype == DT_BOOL && node->type.rank == 0))
        return node;
    DiagItem *item =
        sema_error(s, ERR_E0200, loop->condition->span, NULL,
                   "the condition of a while is one bool, and this is %s", value_text(s, &v));
    if (node->type.dtype == DT_BOOL)
        diag_help(item, "any(...) or all(...) makes one of many");
    return NULL;
}

/* A while knows its condition at the beginning, in the names of its carried values. */
static bool first_condition(Sema *s, Loop *loop)
{
    Scope *scope = scope_new(s, s->scope);
    declare_bindings(s, loop, scope, loop->inits.data);
    Node *node = read_condition(s, loop, scope);
    Nodes all = {0};
    if (!node)
        return false;
    vec_push(s->arena, &all, node);
    for (uint32_t i = 0; i < loop->inits.count; i++)
        vec_push(s->arena, &all, loop->inits.data[i]);
    loop->inits = all;
    return true;
}

/* ---- Rows that have ended ---- */

/* The bool of row i is true while t < lengths[i]; given the shape of `like`. NULL: its first axis
 * is not the rows. */
static Node *active_rows(Sema *s, Loop *loop, const Type *like)
{
    Graph *graph = s->elab->graph;
    Type type = {.dtype = loop->lengths->type.dtype, .rank = 1, .dims = {loop->attr.length}};
    if (like->rank == 0 || like->dims[0] != loop->lengths->type.dims[0])
        return NULL;
    Node *t = build_at(graph, loop->attr.id, build_iota(graph, type, 0));
    Node *active = build_binary(graph, OP_LT, t, loop->lengths);
    const Dim *dims[MAX_RANK] = {like->dims[0]};
    for (int i = 1; i < like->rank; i++)
        dims[i] = dim_const(s->dims, 1);
    active = build_reshape(graph, active, like->rank, dims);
    return build_expand(graph, active, like->rank, like->dims);
}

/* x where the row is active, else `rest`. */
static Node *hold(Sema *s, Loop *loop, Node *x, Node *rest, const char *what, Span span)
{
    Node *active = active_rows(s, loop, &x->type);
    if (active)
        return build_select(s->elab->graph, active, x, rest);
    sema_error(s, ERR_E0312, span, NULL,
               "with lengths %s has the rows as its first axis, and this is %s", what,
               type_text(s, &x->type));
    return NULL;
}

static bool hold_rows(Sema *s, Loop *loop, Nodes *yields, Node *const *carries)
{
    uint32_t carried = loop->bindings->count ? loop->inits.count : 0;
    Span span = loop->expr->span;
    for (uint32_t i = 0; i < carried; i++)
        if (!(loop->nexts.data[i] =
                  hold(s, loop, loop->nexts.data[i], carries[i], "a carried value", span)))
            return false;
    for (uint32_t i = 0; i < yields->count; i++) {
        Node *zero = build_const_like(s->elab->graph, yields->data[i], 0);
        if (!(yields->data[i] = hold(s, loop, yields->data[i], zero, "what a scan yields", span)))
            return false;
    }
    return true;
}

/* ---- The body ---- */

typedef struct {
    Pending *pending;
    uint32_t pending_count, memos, asserts, debugs;
    int32_t calls;
} Before;

static Before remember(Sema *s)
{
    const Elab *elab = s->elab;
    Before before = {.pending = ARENA_ARRAY(s->arena, Pending, elab->pending.count + 1),
                     .pending_count = elab->pending.count,
                     .memos = elab->memos.count,
                     .asserts = s->frame ? s->frame->asserts.count : 0,
                     .debugs = elab->debug_count,
                     .calls = elab->calls ? (int32_t)elab->calls->count : 0};
    for (uint32_t i = 0; i < elab->pending.count; i++)
        before.pending[i] = elab->pending.data[i];
    return before;
}

/* The newest values of states as they were, and no call of the body is another's value. */
static void forget(Sema *s, const Before *before)
{
    for (uint32_t i = 0; i < before->pending_count; i++)
        s->elab->pending.data[i] = before->pending[i];
    s->elab->pending.count = before->pending_count;
    s->elab->memos.count = before->memos;
}

static Node *state_before(Sema *s, const Before *before, const char *name, const Node *like)
{
    for (uint32_t i = 0; i < before->pending_count; i++)
        if (strcmp(before->pending[i].name, name) == 0)
            return before->pending[i].node;
    return elab_first(s, name, &like->type);
}

/* States that the body has assigned and that are not carried yet; true: there are some. */
static bool find_states(Sema *s, Loop *loop, const Before *before)
{
    uint32_t known = loop->states.count;
    for (uint32_t i = 0; i < s->elab->pending.count; i++) {
        const Pending *pending = &s->elab->pending.data[i];
        if (i < before->pending_count && before->pending[i].node == pending->node)
            continue;
        bool carried = false;
        for (uint32_t k = 0; k < known; k++)
            carried |= strcmp(loop->states.data[k], pending->name) == 0;
        if (carried)
            continue;
        vec_push(s->arena, &loop->states, pending->name);
        vec_push(s->arena, &loop->state_inits,
                 state_before(s, before, pending->name, pending->node));
    }
    return loop->states.count > known;
}

static bool bind_turn(Sema *s, Loop *loop, Scope *scope, Node *const *carries)
{
    Nodes parts = {0};
    uint32_t next = 0;
    for (uint32_t i = 0; i < loop->sequences.count; i++)
        vec_push(s->arena, &parts,
                 build_at(s->elab->graph, loop->attr.id, loop->sequences.data[i]));
    bool ok = true;
    if (!loop->condition) {
        Value v = tree_build(s, &loop->source, parts.data, &next, loop->expr->as.scan.source->span);
        ok = bind_pattern(s, scope, loop->expr->as.scan.pattern, &v, BIND_LOOP);
    }
    declare_bindings(s, loop, scope, carries);
    return ok;
}

static bool read_nexts(Sema *s, Loop *loop, Scope *scope)
{
    uint32_t next = loop->condition ? 1 : 0;
    bool ok = true;
    loop->nexts = (Nodes){0};
    if (loop->condition) {
        Node *condition = read_condition(s, loop, scope);
        ok = condition != NULL;
        vec_push(s->arena, &loop->nexts, condition);
    }
    for (uint32_t i = 0; i < loop->bindings->count && ok; i++) {
        AstName name = loop->bindings->data[i].name;
        const Binding *binding = scope_find_local(scope, name.text);
        Span span = sema_is_null_span(binding->value.span) ? name.span : binding->value.span;
        ok = tree_conform(s, &loop->begins[i], &binding->value, name.text, span, &loop->inits,
                          &next, &loop->nexts);
    }
    return ok;
}

static void attach_body_asserts(Sema *s, Loop *loop, const Before *before, Nodes *yields)
{
    uint32_t count = s->frame ? s->frame->asserts.count : 0;
    Frame own = {0};
    for (uint32_t i = before->asserts; i < count; i++) {
        vec_push(s->arena, &own.asserts, s->frame->asserts.data[i]);
        vec_push(s->arena, &own.assert_texts, s->frame->assert_texts.data[i]);
        vec_push(s->arena, &own.assert_spans, s->frame->assert_spans.data[i]);
    }
    if (own.asserts.count == 0)
        return;
    s->frame->asserts.count = s->frame->assert_texts.count = before->asserts;
    s->frame->assert_spans.count = before->asserts;
    Node **target = loop->nexts.count ? &loop->nexts.data[loop->nexts.count - 1]
                    : yields->count   ? &yields->data[0]
                                      : NULL;
    if (target)
        *target = attach_asserts(s, &own, *target);
}

static bool body_ends_well(Sema *s, const Value *result, Span span)
{
    if (s->frame && s->frame->returned) {
        s->frame->returned = false;
        sema_error(s, ERR_E0403, span, NULL,
                   "a body of a loop cannot return from the fn around it");
        return false;
    }
    if (result->kind == VALUE_NONE || result->kind == VALUE_POISON)
        return true;
    DiagItem *item = sema_error(s, ERR_E0403, span, NULL, "a value that nothing uses");
    diag_help(item, "yield gives a value of every turn, a carried value the last one");
    return false;
}

/* One evaluation of the body with the states known so far; 1: done, 0: more states, -1: errors. */
static int run_body(Sema *s, Loop *loop, Nodes *yields)
{
    Graph *graph = s->elab->graph;
    Before before = remember(s);
    uint32_t errors = diag_error_count(s->diag), named = loop->inits.count;
    Nodes carries = {0};
    loop->attr.id = loop->repeat.id = graph_next_loop(graph);
    loop->repeat.yields.count = 0;
    for (uint32_t i = 0; i < named; i++)
        vec_push(s->arena, &carries,
                 build_carry(graph, loop->attr.id, (int)i, loop->inits.data[i]->type));
    for (uint32_t i = 0; i < loop->states.count; i++)
        elab_assign(
            s, loop->states.data[i],
            build_carry(graph, loop->attr.id, (int)(named + i), loop->state_inits.data[i]->type));
    Scope *scope = scope_new(s, s->scope);
    scope->barrier = BARRIER_LOOP;
    loop->repeat.outer = s->repeat;
    loop->repeat.frame = s->frame;
    loop->repeat.elab = s->elab;
    s->repeat = &loop->repeat;
    Node *const *first = carries.data + (loop->condition ? 1 : 0);
    bool ok = bind_turn(s, loop, scope, first);
    Value result = eval_block(s, loop->body, scope);
    Span last = loop->body->stmts.count ? loop->body->stmts.data[loop->body->stmts.count - 1]->span
                                        : loop->body->span;
    ok = body_ends_well(s, &result, last) && ok && diag_error_count(s->diag) == errors &&
         read_nexts(s, loop, scope);
    yields->count = 0;
    for (uint32_t i = 0; ok && i < loop->repeat.yields.count; i++)
        ok =
            tree_flatten(s, &loop->repeat.yields.data[i], loop->repeat.yields.data[i].span, yields);
    ok = ok && (!loop->lengths || hold_rows(s, loop, yields, carries.data));
    if (ok)
        attach_body_asserts(s, loop, &before, yields);
    s->repeat = loop->repeat.outer;
    bool more = ok && find_states(s, loop, &before);
    for (uint32_t i = 0; ok && !more && i < loop->states.count; i++)
        vec_push(s->arena, &loop->nexts, elab_state(s, loop->states.data[i], NULL));
    forget(s, &before);
    if (more)
        s->elab->debug_count = before.debugs;
    if (s->elab->calls && more)
        s->elab->calls->count = (uint32_t)before.calls;
    return !ok ? -1 : more ? 0 : 1;
}

/* ---- After the loop ---- */

/* The values of all turns with the axis of time where the sequence had it. */
static Node *turned(Sema *s, const Loop *loop, Node *all)
{
    const int rank = all->type.rank - 1;
    const int axis = loop->repeat.axis < rank ? loop->repeat.axis : rank;
    uint8_t perm[MAX_RANK];
    for (int i = 0; i <= rank; i++)
        perm[i] = (uint8_t)(i < axis ? i + 1 : i == axis ? 0 : i);
    return axis > 0 ? build_permute(s->elab->graph, all, perm) : all;
}

static Value yielded(Sema *s, const Loop *loop, Node *const *stacks, uint32_t stack_count)
{
    Nodes all = {0};
    uint32_t next = 0, count = loop->repeat.yields.count;
    for (uint32_t i = 0; i < stack_count; i++) {
        Value v = sema_node_value(s, turned(s, loop, stacks[i]), loop->expr->span);
        if (v.kind != VALUE_TENSOR)
            return value_poison;
        vec_push(s->arena, &all, v.as.node);
    }
    Value list = value_list(s, VALUE_TUPLE, count, loop->expr->span);
    for (uint32_t i = 0; i < count; i++)
        list.as.list->items[i] =
            tree_build(s, &loop->repeat.yields.data[i], all.data, &next, loop->expr->span);
    return count == 1 ? list.as.list->items[0] : list;
}

static Value carried(Sema *s, const Loop *loop, Node *const *finals)
{
    uint32_t count = loop->bindings->count, next = loop->condition ? 1 : 0;
    Value list = value_list(s, VALUE_TUPLE, count, loop->expr->span);
    const char **names = ARENA_ARRAY(s->arena, const char *, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        list.as.list->items[i] =
            tree_build(s, &loop->begins[i], finals, &next, loop->expr->span);
        names[i] = loop->bindings->data[i].name.text;
    }
    list.as.list->names = names;
    return count == 1 ? list.as.list->items[0] : list;
}

static Value finish(Sema *s, Loop *loop, const Nodes *yields)
{
    Graph *graph = s->elab->graph;
    Nodes inits = {0};
    for (uint32_t i = 0; i < loop->inits.count; i++)
        vec_push(s->arena, &inits, loop->inits.data[i]);
    for (uint32_t i = 0; i < loop->states.count; i++)
        vec_push(s->arena, &inits, loop->state_inits.data[i]);
    Node **finals = ARENA_ARRAY(s->arena, Node *, inits.count + 1);
    Node **stacks = ARENA_ARRAY(s->arena, Node *, yields->count + 1);
    OpenLoop open = {loop->attr,         inits.data,   loop->nexts.data,
                     (int)inits.count,   yields->data, (int)yields->count};
    const Dim *segment =
        loop->attr.recompute ? segment_length(s->dims, loop->attr.length) : NULL;
    if (!segment_close(graph, &open, segment, finals, stacks)) {
        sema_node_value(s, NULL, loop->expr->span);
        return value_poison;
    }
    Value all = yielded(s, loop, stacks, yields->count);
    for (uint32_t i = 0; i < loop->states.count; i++)
        elab_assign(s, loop->states.data[i], finals[loop->inits.count + i]);
    bool yields_any = loop->repeat.yields.count > 0;
    if (loop->bindings->count == 0)
        return yields_any ? all : value_none;
    Value last = carried(s, loop, finals);
    if (!yields_any)
        return last;
    Value both = value_list(s, VALUE_TUPLE, 2, loop->expr->span);
    both.as.list->items[0] = all;
    both.as.list->items[1] = last;
    return both;
}

static Value run_loop(Sema *s, Loop *loop)
{
    Nodes yields = {0};
    int state;
    while ((state = run_body(s, loop, &yields)) == 0)
        ;
    return state > 0 ? finish(s, loop, &yields) : value_poison;
}

Value eval_scan(Sema *s, const AstExpr *expr)
{
    Loop loop = {.expr = expr,
                 .bindings = &expr->as.scan.options.state,
                 .body = &expr->as.scan.body,
                 .repeat.kind = REPEAT_LOOP};
    bool source = scan_source(s, &loop), begins = read_begins(s, &loop);
    return source && begins ? run_loop(s, &loop) : value_poison;
}

Value eval_while(Sema *s, const AstExpr *expr)
{
    Loop loop = {.expr = expr,
                 .bindings = &expr->as.loop.state,
                 .body = &expr->as.loop.body,
                 .condition = expr->as.loop.condition,
                 .repeat.kind = REPEAT_LOOP,
                 .attr = {.length = dim_const(s->dims, LOOP_UNBOUNDED), .conditional = true}};
    const AstExpr *bound = expr->as.loop.bound;
    if (bound) {
        Value v = eval_expr(s, bound);
        if (!want_dim(s, &v, bound->span, "the bound of a while", &loop.attr.length))
            return value_poison;
        loop.repeat.length = loop.attr.length;
    }
    if (!read_begins(s, &loop) || !first_condition(s, &loop))
        return value_poison;
    return run_loop(s, &loop);
}

void loop_yield(Sema *s, const AstStmt *stmt)
{
    Repeat *repeat = s->repeat;
    Value v = eval_expr(s, stmt->as.expr);
    if (!repeat || repeat->frame != s->frame || repeat->elab != s->elab ||
        repeat->kind != REPEAT_LOOP) {
        bool side = repeat && repeat->kind == REPEAT_BRANCH && repeat->frame == s->frame;
        sema_error(s, ERR_E0403, stmt->span, NULL,
                   side ? "a yield happens in every turn, not on one side of a decision"
                        : "yield outside of a scan");
        return;
    }
    if (!repeat->length) {
        DiagItem *item = sema_error(s, ERR_E0403, stmt->span, NULL,
                                    "a while without a bound cannot keep what it yields");
        diag_help(item, "while condition bound 100 ... runs at most 100 turns");
        return;
    }
    v.span = stmt->as.expr->span;
    vec_push(s->arena, &repeat->yields, v);
}

/* ---- Random numbers in bodies ---- */

/* The axes of all loops around in front of a random tensor, which `loop_turn` takes off again. */
bool loop_axes(Sema *s, Type *type, Span span)
{
    for (const Repeat *repeat = s->repeat; repeat; repeat = repeat->outer) {
        if (repeat->kind != REPEAT_LOOP || repeat->elab != s->elab)
            continue;
        if (!repeat->length || type->rank == MAX_RANK) {
            DiagItem *item =
                sema_error(s, ERR_E0403, span, NULL,
                           repeat->length ? "too many axes for random numbers of a loop"
                                          : "random numbers in a while without a bound");
            if (!repeat->length)
                diag_help(item, "while condition bound 100 ... runs at most 100 turns");
            return false;
        }
        for (int i = type->rank++; i > 0; i--)
            type->dims[i] = type->dims[i - 1];
        type->dims[0] = repeat->length;
    }
    return true;
}

static Node *turn_of(Sema *s, const Repeat *repeat, Node *x)
{
    if (!repeat)
        return x;
    x = turn_of(s, repeat->outer, x);
    bool counts = repeat->kind == REPEAT_LOOP && repeat->elab == s->elab;
    return counts && x ? build_at(s->elab->graph, repeat->id, x) : x;
}

Node *loop_turn(Sema *s, Node *x)
{
    return turn_of(s, s->repeat, x);
}
