/* The body of a loop is copied twice: into a loop inside of a loop over the segments, and into a
 * loop over the turns that are left.
 *
 *   h, ys = loop t < 10 { h' = f(h, x[t]) }                     segments of 4
 *
 *   xs = reshape(x[0..8], [2, 4, ..])
 *   h1, y1 = loop n < 2 { loop s < 4 { h' = f(h, xs[n][s]) } }  recompute, adds
 *   h,  y2 = loop t < 2 { h' = f(h, x[8..10][t]) }
 *   ys = concat(reshape(y1, [8, ..]), y2)
 *
 * The gradient of the outer loop keeps h at the beginning of each segment and runs the segment
 * again, this time keeping what the gradient of an inner loop keeps: for segments of sqrt(T) turns
 * the memory of 2 sqrt(T) turns in place of T, for one more run forwards. Griewank, Achieving
 * logarithmic growth of temporal and spatial complexity in reverse automatic differentiation
 * (1992), has the idea with more levels. */
#include "compiler/graph/segment.h"
#include "compiler/graph/build.h"
#include "compiler/graph/region.h"

/* ---- lengths ---- */

static int64_t root_above(int64_t n)
{
    int64_t root = 1;
    while (root * root < n)
        root++;
    return root;
}

const Dim *segment_length(DimTable *dims, const Dim *length)
{
    int64_t turns;
    if (!dim_is_const(length, &turns))
        return dim_const(dims, SEGMENT_TURNS);
    if (turns < 4 || turns >= LOOP_UNBOUNDED)
        return NULL;
    const int64_t root = turns > INT32_MAX ? INT16_MAX : root_above(turns);
    for (int64_t i = 0; i <= root / 2; i++)
        if (turns % (root - i) == 0)
            return dim_const(dims, root - i);
        else if (turns % (root + i) == 0)
            return dim_const(dims, root + i);
    return dim_const(dims, root);
}

/* ---- a copy of the body ---- */

typedef struct {
    Graph *g;
    Arena *arena;
    const OpenLoop *loop;
    const uint8_t *inside; /* per id: of the body */
    const uint8_t *inner;  /* per number: a loop or branch in the body */
    uint32_t end;          /* nodes before the copies */
} Body;

/* Where a copy runs: turns `start` to `start + turns`, in segments if `outer` is not 0. */
typedef struct {
    const Dim *start, *turns, *segments, *segment;
    uint32_t outer, number;
    uint32_t *fresh; /* per number of an inner loop that of the copy */
    Node **map;
} Copy;

static Node *part_of(Graph *g, Node *x, const Copy *copy)
{
    const Dim *dims[MAX_RANK];
    Node *part =
        build_slice_axis(g, x, 0, copy->start, dim_add(g->dims, copy->start, copy->turns), 1);
    if (!part || copy->outer == copy->number)
        return part;
    dims[0] = copy->segments;
    dims[1] = copy->segment;
    for (int i = 1; i < x->type.rank; i++)
        dims[i + 1] = x->type.dims[i];
    part = build_reshape(g, part, x->type.rank + 1, dims);
    return part ? build_at(g, copy->outer, part) : NULL;
}

static Node *copy_node(const Body *body, const Copy *copy, const Node *node)
{
    Graph *g = body->g;
    const uint32_t own = body->loop->attr.id;
    if (node->op == OP_CARRY && node->attr.carry.loop == own)
        return build_carry(g, copy->number, node->attr.carry.index, node->type);
    if (node->op == OP_AT && node->attr.at.loop == own) {
        Node *part = part_of(g, node->src[0], copy);
        return part ? build_at(g, copy->number, part) : NULL;
    }
    Attr attr = node->attr;
    uint32_t *number = region_number(&attr);
    Node **src = ARENA_ARRAY(body->arena, Node *, node->nsrc + 1);
    for (int i = 0; i < node->nsrc; i++)
        src[i] = copy->map[node->src[i]->id];
    if (number && body->inner[*number]) {
        uint32_t *fresh = &copy->fresh[*number];
        *fresh = *fresh ? *fresh : graph_next_loop(g);
        *number = *fresh;
    }
    return graph_node(g, node->op, src, node->nsrc, &attr);
}

static Node **mapped(const Body *body, const Copy *copy, Node *const *nodes, int count)
{
    Node **result = ARENA_ARRAY(body->arena, Node *, count + 1);
    for (int i = 0; i < count; i++)
        result[i] = copy->map[nodes[i]->id];
    return result;
}

/* Gradients that the program states in the body hold for its copies. */
static void copy_customs(const Body *body, const Copy *copy, uint32_t customs)
{
    Graph *g = body->g;
    for (uint32_t i = 0; i < customs; i++) {
        const CustomGradient old = g->customs.data[i];
        if (old.result->id >= body->end || !body->inside[old.result->id])
            continue;
        CustomGradient made = {copy->map[old.result->id], old.seed,
                               ARENA_ARRAY(g->arena, Node *, old.count + 1),
                               ARENA_ARRAY(g->arena, Node *, old.count + 1), old.count};
        for (uint32_t k = 0; k < old.count; k++) {
            made.inputs[k] = copy->map[old.inputs[k]->id];
            made.parts[k] = old.parts[k] ? copy->map[old.parts[k]->id] : NULL;
        }
        vec_push(g->arena, &g->customs, made);
    }
}

static bool copy_body(const Body *body, Copy *copy)
{
    Graph *g = body->g;
    const Span span = g->span;
    const uint32_t customs = g->customs.count;
    copy->fresh = ARENA_ARRAY(body->arena, uint32_t, g->next_loop + 1);
    copy->map = ARENA_ARRAY(body->arena, Node *, body->end + 1);
    bool good = true;
    for (uint32_t id = 0; good && id < body->end; id++) {
        Node *node = g->nodes.data[id];
        g->span = node->span;
        copy->map[id] = body->inside[id] ? copy_node(body, copy, node) : node;
        good = copy->map[id] != NULL;
    }
    if (good)
        copy_customs(body, copy, customs);
    g->span = span;
    return good;
}

/* ---- closing ---- */

static bool take_results(Graph *g, Node *token, const OpenLoop *loop, Node *const *yields,
                         Node **finals, Node **stacks)
{
    bool good = token != NULL;
    for (int i = 0; good && i < loop->yield_count; i++)
        good = (stacks[i] = build_stack(g, token, yields[i])) != NULL;
    for (int i = 0; good && i < loop->count; i++)
        good = (finals[i] = build_final(g, token, i)) != NULL;
    return good;
}

/* The loop over whole segments; stacks[] without the axis of segments. */
static bool close_segments(const Body *body, Copy *copy, Node **finals, Node **stacks)
{
    Graph *g = body->g;
    const OpenLoop *loop = body->loop;
    copy->outer = graph_next_loop(g);
    copy->number = graph_next_loop(g);
    Node **begins = ARENA_ARRAY(body->arena, Node *, loop->count + 1);
    for (int i = 0; i < loop->count; i++)
        begins[i] = build_carry(g, copy->outer, i, loop->inits[i]->type);
    if (!copy_body(body, copy))
        return false;
    LoopAttr inner = {copy->number, copy->segment, .reverse = loop->attr.reverse};
    Node **nexts = mapped(body, copy, loop->nexts, loop->count);
    Node **yields = mapped(body, copy, loop->yields, loop->yield_count);
    Node *token = build_loop(g, inner, begins, nexts, loop->count);
    if (!take_results(g, token, loop, yields, nexts, yields))
        return false;
    LoopAttr outer = {copy->outer, copy->segments, .reverse = loop->attr.reverse, .recompute = true,
                      .adds = true};
    token = build_loop(g, outer, loop->inits, nexts, loop->count);
    bool good = take_results(g, token, loop, yields, finals, stacks);
    for (int i = 0; good && i < loop->yield_count; i++) {
        const Type *type = &stacks[i]->type;
        const Dim *dims[MAX_RANK] = {copy->turns};
        for (int k = 2; k < type->rank; k++)
            dims[k - 1] = type->dims[k];
        good = (stacks[i] = build_reshape(g, stacks[i], type->rank - 1, dims)) != NULL;
    }
    return good;
}

/* The loop over what is left, from finals[] on; the turns of stacks[] and its own are joined. */
static bool close_rest(const Body *body, Copy *copy, Node **finals, Node **stacks)
{
    Graph *g = body->g;
    const OpenLoop *loop = body->loop;
    copy->outer = copy->number = graph_next_loop(g);
    if (!copy_body(body, copy))
        return false;
    LoopAttr attr = {copy->number, copy->turns, .reverse = loop->attr.reverse};
    Node **nexts = mapped(body, copy, loop->nexts, loop->count);
    Node **yields = mapped(body, copy, loop->yields, loop->yield_count);
    Node *token = build_loop(g, attr, finals, nexts, loop->count);
    Node **rest = ARENA_ARRAY(body->arena, Node *, loop->yield_count + 1);
    bool good = take_results(g, token, loop, yields, finals, rest);
    for (int i = 0; good && i < loop->yield_count; i++) {
        Node *both[2] = {stacks[i], rest[i]};
        if (loop->attr.reverse)
            both[0] = rest[i], both[1] = stacks[i];
        good = (stacks[i] = build_concat(g, both, 2, 0)) != NULL;
    }
    return good;
}

static void mark_live(const Graph *g, uint8_t *live)
{
    for (uint32_t id = g->nodes.count; id-- > 0;)
        for (int i = 0; live[id] && i < g->nodes.data[id]->nsrc; i++)
            live[g->nodes.data[id]->src[i]->id] = 1;
}

static Node *close_one(Graph *g, const OpenLoop *loop, Node **finals, Node **stacks)
{
    Node *token = build_loop(g, loop->attr, loop->inits, loop->nexts, loop->count);
    return take_results(g, token, loop, loop->yields, finals, stacks) ? token : NULL;
}

/* What is in the body: found as if `token` closed the loop. Nothing reads it later. */
static void find_body(Body *body, const Node *token, Node *const *stacks)
{
    const Graph *g = body->g;
    const OpenLoop *loop = body->loop;
    uint8_t *live = ARENA_ARRAY(body->arena, uint8_t, g->nodes.count + 1);
    uint8_t *inside = ARENA_ARRAY(body->arena, uint8_t, g->nodes.count + 1);
    uint8_t *inner = ARENA_ARRAY(body->arena, uint8_t, g->next_loop + 1);
    live[token->id] = 1;
    for (int i = 0; i < loop->yield_count; i++)
        live[stacks[i]->id] = 1;
    for (uint32_t i = 0; i < g->customs.count; i++)
        for (uint32_t k = 0; k < g->customs.data[i].count; k++)
            if (g->customs.data[i].parts[k])
                live[g->customs.data[i].parts[k]->id] = 1;
    mark_live(g, live);
    const Regions *regions = regions_so_far(g, live, body->arena);
    const uint32_t own = region_closed_by(regions, token, SIDE_THEN);
    body->end = token->id;
    for (uint32_t id = 0; id < body->end; id++)
        inside[id] = live[id] && region_within(regions, regions->of[id], own);
    for (uint32_t i = 1; i < regions->count; i++) {
        Attr attr = regions->list[i].closer->attr;
        inner[*region_number(&attr)] = i != own && region_within(regions, i, own);
    }
    body->inside = inside;
    body->inner = inner;
}

/* Two more axes fit wherever one does now. */
static bool has_room(const Body *body)
{
    const OpenLoop *loop = body->loop;
    bool room = true;
    for (int i = 0; i < loop->yield_count; i++)
        room &= loop->yields[i]->type.rank + 2 <= MAX_RANK;
    for (uint32_t id = 0; id < body->end; id++) {
        const Node *node = body->g->nodes.data[id];
        room &= !body->inside[id] || node->op != OP_AT || node->attr.at.loop != loop->attr.id ||
                node->src[0]->type.rank < MAX_RANK;
    }
    return room;
}

static bool close_both(Body *body, const Dim *segment, Node **finals, Node **stacks)
{
    DimTable *dims = body->g->dims;
    const LoopAttr *attr = &body->loop->attr;
    const Dim *zero = dim_const(dims, 0);
    Copy whole = {.segment = segment, .segments = dim_floordiv(dims, attr->length, segment)};
    whole.turns = dim_mul(dims, whole.segments, segment);
    Copy rest = {.turns = dim_sub(dims, attr->length, whole.turns)};
    whole.start = attr->reverse ? rest.turns : zero;
    rest.start = attr->reverse ? zero : whole.turns;
    return close_segments(body, &whole, finals, stacks) &&
           (rest.turns == zero || close_rest(body, &rest, finals, stacks));
}

bool segment_close(Graph *g, const OpenLoop *loop, const Dim *segment, Node **finals, Node **stacks)
{
    Node *token = close_one(g, loop, finals, stacks);
    if (!token || !segment)
        return token != NULL;
    Body body = {.g = g, .arena = arena_new(), .loop = loop};
    find_body(&body, token, stacks);
    bool good = !has_room(&body) || close_both(&body, segment, finals, stacks);
    arena_free(body.arena);
    return good;
}
