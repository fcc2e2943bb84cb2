/* Random loops and branches: a body of operations drawn like all others, over a pool that holds
 * what is outside, the carries and the slices. What a carry becomes is any node of its type. */
#include "compiler/graph/build.h"
#include "tests/support/random_maker.h"

enum { MOST_CARRIES = 3, MOST_RESULTS = 3, MOST_STACKS = 3, TRIES = 8 };

static Node *any_of(Maker *m)
{
    return m->pool.data[maker_draw(m, m->pool.count)];
}

static NodeList open_pool(Maker *m)
{
    NodeList outside = m->pool;
    m->pool = (NodeList){0};
    m->depth++;
    return outside;
}

static void close_pool(Maker *m, NodeList outside)
{
    m->pool = outside;
    m->depth--;
}

static void take_over(Maker *m, const NodeList *outside)
{
    for (uint32_t i = 0; i < outside->count; i++)
        vec_push(m->g->arena, &m->pool, outside->data[i]);
}

/* ---- loops ---- */

typedef struct {
    LoopAttr attr;
    Node *inits[MOST_CARRIES + 1], *nexts[MOST_CARRIES + 1], *carries[MOST_CARRIES + 1];
    int count;
} Draft;

/* As long as a tensor that is there, so that there is something to walk along. */
static const Dim *draw_length(Maker *m)
{
    for (int i = 0; i < TRIES; i++) {
        Node *x = any_of(m);
        if (x->type.rank > 0)
            return x->type.dims[0];
    }
    return dim_const(m->g->dims, (int64_t)maker_draw(m, 4));
}

static void draw_carries(Maker *m, Draft *loop)
{
    loop->attr.conditional = maker_draw(m, 4) == 0;
    if (loop->attr.conditional)
        loop->inits[loop->count++] = maker_condition(m);
    int more = (int)maker_draw(m, MOST_CARRIES);
    for (int i = 0; i < more; i++)
        loop->inits[loop->count++] = any_of(m);
    for (int i = 0; i < loop->count; i++)
        loop->carries[i] = build_carry(m->g, loop->attr.id, i, loop->inits[i]->type);
}

static void enter_loop(Maker *m, Draft *loop, const NodeList *outside)
{
    take_over(m, outside);
    for (int i = 0; i < loop->count; i++)
        maker_keep(m, loop->carries[i]);
    for (uint32_t i = 0; i < outside->count; i++) {
        Node *x = outside->data[i];
        if (x->type.rank > 0 && x->type.dims[0] == loop->attr.length && maker_draw(m, 3) > 0)
            maker_keep(m, build_at(m->g, loop->attr.id, x));
    }
}

static Node *draw_like(Maker *m, Node *otherwise)
{
    for (int i = 0; i < 3 * TRIES; i++) {
        Node *x = any_of(m);
        if (type_equal(&x->type, &otherwise->type) && x != otherwise)
            return x;
    }
    return otherwise;
}

/* Something of the body that is not what the carry was, if there is. */
static Node *draw_next(Maker *m, Node *carry)
{
    Node *next = draw_like(m, carry);
    if (next == carry && maker_draw(m, 3) > 0 && carry->type.dtype != DT_BOOL)
        next = build_binary(m->g, OP_ADD, carry, carry);
    return next;
}

void make_loop(Maker *m)
{
    Draft loop = {.attr = {.id = graph_next_loop(m->g), .reverse = maker_draw(m, 2) == 0}};
    Node *stacked[MOST_STACKS];
    int stacks = 1 + (int)maker_draw(m, MOST_STACKS);
    loop.attr.length = draw_length(m);
    draw_carries(m, &loop);
    NodeList outside = open_pool(m);
    enter_loop(m, &loop, &outside);
    maker_grow(m, 1 + (int)maker_draw(m, 6));
    for (int i = 0; i < loop.count; i++)
        loop.nexts[i] = draw_next(m, loop.carries[i]);
    for (int i = 0; i < stacks; i++)
        stacked[i] = m->pool.data[m->pool.count - 1 - maker_draw(m, (m->pool.count + 2) / 3)];
    close_pool(m, outside);
    Node *token = build_loop(m->g, loop.attr, loop.inits, loop.nexts, loop.count);
    for (int i = 0; i < loop.count; i++)
        maker_keep(m, build_final(m->g, token, i));
    for (int i = 0; i < stacks; i++)
        maker_keep(m, build_stack(m->g, token, stacked[i]));
}

/* ---- branches ---- */

static void grow_side(Maker *m, uint32_t branch, BranchSide side, Node *const *entered, int count)
{
    m->sides[m->side_count].branch = branch;
    m->sides[m->side_count++].side = side;
    for (int i = 0; i < count; i++)
        maker_keep(m, build_enter(m->g, branch, side, entered[i]));
    maker_grow(m, 1 + (int)maker_draw(m, 4));
    m->side_count--;
}

void make_branch(Maker *m)
{
    uint32_t branch = graph_next_loop(m->g);
    Node *condition = maker_condition(m), *entered[MOST_RESULTS], *results[2][MOST_RESULTS];
    int count = 1 + (int)maker_draw(m, MOST_RESULTS);
    for (int i = 0; i < count; i++)
        entered[i] = any_of(m);
    for (int side = 0; side < 2; side++) {
        NodeList outside = open_pool(m);
        grow_side(m, branch, (BranchSide)side, entered, count);
        for (int i = 0; i < count; i++)
            results[side][i] =
                draw_like(m, build_enter(m->g, branch, (BranchSide)side, entered[i]));
        close_pool(m, outside);
    }
    Node *token = build_branch(m->g, branch, condition, results[0], results[1], count);
    for (int i = 0; i < count; i++)
        maker_keep(m, build_final(m->g, token, i));
}
