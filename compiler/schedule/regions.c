/* Loops and branches for the other stages: the tree of regions, the order between what is inside
 * and what is outside, and values that are in memory although no group writes them.
 *
 * Every region has two drafts without groups, its ends: `enter` runs before all drafts in it,
 * `leave` after. An order between drafts of different regions is an order of the ends, so nothing
 * that runs between two groups of a loop can be outside of it:
 *
 *   %9 = dot in the loop reads %3 from outside     group of %3 -> enter of the loop
 *   %20 reads the final %12                        leave of the loop -> group of %20
 *
 * `then` and `else` of a branch follow each other; for everyone else they are one. */
#include "compiler/schedule/internal.h"

#include "runtime/base/bug.h"

/* ---- the tree ---- */

void find_regions(Builder *b)
{
    Schedule *s = b->schedule;
    const Regions *regions = regions_of(b->graph, b->live, b->arena);
    for (uint32_t i = 0; i < regions->count; i++) {
        const Region *from = &regions->list[i];
        ScheduleRegion to = {.kind = from->kind,
                             .parent = i == 0 ? NO_REGION : (int32_t)from->parent,
                             .first = 0,
                             .last = -1,
                             .node = from->closer,
                             .condition = NO_BUFFER};
        vec_push(s->arena, &s->regions, to);
    }
    b->region = regions->of;
    b->ends = ARENA_ARRAY(b->arena, RegionEnds, regions->count);
}

int32_t region_of_loop(const Builder *b, const Node *closer)
{
    for (uint32_t i = 1; i < b->schedule->regions.count; i++) {
        if (b->schedule->regions.data[i].node == closer) {
            return (int32_t)i;
        }
    }
    NNC_BUG("%%%u closes no region", closer->id);
}

/* Parents have smaller numbers. */
int32_t schedule_common(const Schedule *s, int32_t a, int32_t b)
{
    while (a != b) {
        if (a > b) {
            a = s->regions.data[a].parent;
        } else {
            b = s->regions.data[b].parent;
        }
    }
    return a;
}

int32_t schedule_below(const Schedule *s, int32_t outer, int32_t inner)
{
    while (inner != outer && s->regions.data[inner].parent != outer) {
        inner = s->regions.data[inner].parent;
    }
    return inner;
}

int32_t buffer_home(const Schedule *s, int32_t buffer)
{
    while (buffer != NO_BUFFER && s->buffers.data[buffer].kind == STORAGE_SLICE) {
        buffer = s->buffers.data[buffer].base;
    }
    return buffer;
}

static bool is_written_in(const Schedule *s, const ScheduleRegion *region, int32_t home)
{
    for (int32_t g = region->first; g <= region->last; g++) {
        const Group *group = s->groups.data[g];
        for (uint32_t i = 0; i < group->outputs.count; i++) {
            if (buffer_home(s, group->outputs.data[i].buffer) == home) {
                return true;
            }
        }
    }
    return false;
}

static bool moves_in(const Schedule *s, int32_t region, int32_t buffer)
{
    for (; s->buffers.data[buffer].kind == STORAGE_SLICE; buffer = s->buffers.data[buffer].base) {
        if (schedule_common(s, s->buffers.data[buffer].region, region) == region) {
            return true;
        }
    }
    return false;
}

int32_t schedule_invariant(const Schedule *s, const Group *group, int32_t buffer)
{
    int32_t best = NO_REGION, region = group->region;
    while (s->regions.data[region].kind == REGION_LOOP && !moves_in(s, region, buffer) &&
           !is_written_in(s, &s->regions.data[region], buffer_home(s, buffer))) {
        best = region;
        region = s->regions.data[region].parent;
    }
    return best;
}

/* ---- what stands for what ---- */

Node *below_enters(Node *n)
{
    while (n->op == OP_ENTER) {
        n = n->src[0];
    }
    return n;
}

/* x[t] is a slice of memory also through reshapes that leave axis 0 alone. */
Node *sliced_value(const Node *at)
{
    Node *n = below_enters(at->src[0]);
    while (n->op == OP_RESHAPE && n->src[0]->type.rank > 0 && n->type.rank > 0 &&
           n->src[0]->type.dims[0] == n->type.dims[0]) {
        n = below_enters(n->src[0]);
    }
    return n;
}

const Node *memory_of(const Node *n)
{
    while (n->op == OP_AT) {
        n = sliced_value(n);
    }
    return n;
}

int32_t draft_making(const Builder *b, const Node *n)
{
    return b->draft_of[memory_of(n)->id];
}

static bool closes_region(const Node *n)
{
    return n->op == OP_LOOP || n->op == OP_BRANCH;
}

/* ---- order ---- */

static int32_t enter_of(const Builder *b, int32_t region)
{
    bool second = b->schedule->regions.data[region].kind == REGION_ELSE;
    return b->ends[region - second].enter;
}

static int32_t leave_of(const Builder *b, int32_t region)
{
    bool first = b->schedule->regions.data[region].kind == REGION_THEN;
    return b->ends[region + first].leave;
}

/* The drafts whose order says that `first` runs before `second`. */
static void lift(const Builder *b, int32_t *first, int32_t *second)
{
    const Schedule *s = b->schedule;
    int32_t x = b->drafts.data[*first].region, y = b->drafts.data[*second].region;
    int32_t common = schedule_common(s, x, y);
    if (x != common) {
        *first = leave_of(b, schedule_below(s, common, x));
    }
    if (y != common) {
        *second = enter_of(b, schedule_below(s, common, y));
    }
}

void draft_edge(Builder *b, int32_t first, int32_t second)
{
    lift(b, &first, &second);
    draft_edge_exact(b, first, second);
}

bool draft_may_precede(const Builder *b, int32_t first, int32_t second)
{
    lift(b, &first, &second);
    return first != second && !draft_runs_before(b, second, first);
}

int32_t region_enter(const Builder *b, int32_t region)
{
    return enter_of(b, region);
}

int32_t region_leave(const Builder *b, int32_t region)
{
    return leave_of(b, region);
}

static int32_t add_end(Builder *b, const ScheduleRegion *region)
{
    Group *none = group_new(b, GROUP_CALL);
    none->region = region->parent;
    int32_t draft = draft_add(b, none);
    b->drafts.data[draft].closed = true;
    b->drafts.data[draft].age = region->node->id;
    return draft;
}

void open_regions(Builder *b)
{
    const Schedule *s = b->schedule;
    b->ends[0] = (RegionEnds){NO_GROUP, NO_GROUP};
    for (int32_t i = 1; i < (int32_t)s->regions.count; i++) {
        const ScheduleRegion *region = &s->regions.data[i];
        b->ends[i].enter = add_end(b, region);
        b->ends[i].leave = add_end(b, region);
        draft_edge_exact(b, b->ends[i].enter, b->ends[i].leave);
        if (region->kind == REGION_ELSE) {
            draft_edge_exact(b, b->ends[i - 1].leave, b->ends[i].enter);
        }
    }
}

/* Drafts that are about to be added to a region run between its ends. */
void enter_region(Builder *b, int32_t draft)
{
    int32_t region = b->drafts.data[draft].region;
    if (region > 0) {
        draft_edge_exact(b, b->ends[region].enter, draft);
        draft_edge_exact(b, draft, b->ends[region].leave);
    }
}

/* ---- what closes a region ---- */

/* The value is there before the region `inside` begins, or made in it before it ends. */
static void wait_for(Builder *b, const Node *n, int32_t inside)
{
    int32_t from = draft_making(b, below_enters((Node *)n));
    if (from == NO_GROUP) {
        return;
    }
    int32_t common = schedule_common(b->schedule, b->drafts.data[from].region, inside);
    if (common != inside) {
        int32_t top = schedule_below(b->schedule, common, inside);
        draft_edge(b, from, enter_of(b, top));
    }
}

static void close_loop(Builder *b, const Node *loop)
{
    int32_t region = region_of_loop(b, loop);
    for (int i = 0; i < loop->nsrc; i++) {
        wait_for(b, loop->src[i], region);
    }
    for (uint32_t i = loop->id + 1; i < b->node_count; i++) {
        const Node *n = b->graph->nodes.data[i];
        if (b->live[i] && n->op == OP_STACK && n->src[0] == loop) {
            wait_for(b, n->src[1], region);
        }
    }
}

static void close_branch(Builder *b, const Node *branch)
{
    int32_t region = region_of_loop(b, branch);
    int count = branch->nsrc / 2;
    for (int i = 0; i < branch->nsrc; i++) {
        wait_for(b, branch->src[i], region + (i > count));
    }
}

void place_loop_node(Builder *b, const Node *n)
{
    if (n->op == OP_LOOP) {
        close_loop(b, n);
    } else if (n->op == OP_BRANCH) {
        close_branch(b, n);
    } else if (n->op == OP_FINAL || n->op == OP_STACK) {
        b->draft_of[n->id] = leave_of(b, region_of_loop(b, n->src[0]));
    }
}

/* ---- the order of grouping ---- */

typedef struct {
    const Builder *b;
    uint32_t **ids, *counts; /* per region its nodes, ascending */
    uint8_t *listed;
    uint32_t *out, count;
} Listing;

/* Of the loop or branch that closes `region`; of a branch both sides, THEN first. */
static bool is_of(const Listing *l, const Node *n, int32_t region)
{
    const Schedule *s = l->b->schedule;
    const int32_t at = (int32_t)l->b->region[n->id];
    return region != NO_GROUP &&
           (schedule_common(s, at, region) == region ||
            (s->regions.data[region].kind == REGION_THEN && schedule_common(s, at, region + 1) == region + 1));
}

/* What n reads is listed, or of `region`. */
static bool is_ready(const Listing *l, const Node *n, int32_t region)
{
    for (int i = 0; i < n->nsrc; i++) {
        const Node *x = n->src[i];
        if (l->b->live[x->id] && !l->listed[x->id] && !is_of(l, x, region)) {
            return false;
        }
    }
    return true;
}

/* What the region reads is listed, and what its loop stacks from outside. */
static bool region_is_ready(const Listing *l, int32_t region, const Node *closer)
{
    const Builder *b = l->b;
    bool ready = is_ready(l, closer, region);
    for (uint32_t i = 0; ready && i < b->node_count; i++) {
        const Node *n = b->graph->nodes.data[i];
        bool stacks = b->live[i] && n->op == OP_STACK && n->src[0] == closer;
        if (stacks && !is_of(l, n->src[1], region)) {
            ready = l->listed[n->src[1]->id];
        } else if (b->live[i] && is_of(l, n, region)) {
            ready = is_ready(l, n, region);
        }
    }
    return ready;
}

static void list_region(Listing *l, int32_t region);

/* False: it has to wait. */
static bool list_node(Listing *l, const Node *n, bool anyway)
{
    const Schedule *s = l->b->schedule;
    int32_t region = NO_GROUP;
    for (int32_t i = (int32_t)s->regions.count - 1; closes_region(n) && i > 0; i--) {
        region = s->regions.data[i].node == n ? i : region; /* the first */
    }
    if (!anyway && !(region == NO_GROUP ? is_ready(l, n, region) : region_is_ready(l, region, n))) {
        return false;
    }
    for (int32_t i = region; i != NO_GROUP && i < (int32_t)s->regions.count; i++) {
        if (s->regions.data[i].node == n) {
            list_region(l, i);
        }
    }
    l->listed[n->id] = 1;
    l->out[l->count++] = n->id;
    return true;
}

/* Nodes of a region in ascending order, with all that is in an inner region before the node that
 * closes it: when that comes, everything it needs has a group. A loop that stacks a value from
 * outside waits for that, and what reads the loop waits with it. */
static void list_region(Listing *l, int32_t region)
{
    uint32_t left = l->counts[region];
    for (bool anyway = false; left > 0;) {
        uint32_t before = left;
        for (uint32_t k = 0; k < l->counts[region]; k++) {
            const Node *n = l->b->graph->nodes.data[l->ids[region][k]];
            left -= !l->listed[n->id] && list_node(l, n, anyway);
        }
        anyway = left == before;
    }
}

uint32_t *grouping_order(const Builder *b, uint32_t *count)
{
    uint32_t regions = b->schedule->regions.count;
    Listing l = {.b = b,
                 .ids = ARENA_ARRAY(b->arena, uint32_t *, regions),
                 .counts = ARENA_ARRAY(b->arena, uint32_t, regions),
                 .listed = ARENA_ARRAY(b->arena, uint8_t, b->node_count + 1),
                 .out = ARENA_ARRAY(b->arena, uint32_t, b->node_count + 1)};
    for (uint32_t i = 0; i < b->node_count; i++) {
        l.counts[b->region[i]] += b->live[i];
    }
    for (uint32_t r = 0; r < regions; r++) {
        l.ids[r] = ARENA_ARRAY(b->arena, uint32_t, l.counts[r] + 1);
        l.counts[r] = 0;
    }
    for (uint32_t i = 0; i < b->node_count; i++) {
        if (b->live[i]) {
            l.ids[b->region[i]][l.counts[b->region[i]]++] = i;
        }
    }
    list_region(&l, 0);
    *count = l.count;
    return l.out;
}

/* ---- what has to be in memory ---- */

static void pin(Builder *b, Node *n)
{
    n = below_enters(n);
    b->made[n->id] |= class_of(n) != CLASS_LEAF || n->op == OP_RANDOM;
    b->pinned[n->id] += b->pinned[n->id] < 255;
}

/* What is sliced is memory, whatever it is. */
static void pin_sliced(Builder *b, const Node *at)
{
    Node *n = sliced_value(at);
    b->made[n->id] = 1;
    b->pinned[n->id] += b->pinned[n->id] < 255;
}

/* A value that another region reads is computed where it is, once: it is made, or a view of
 * something made. What costs nothing is computed again. */
static void make_crossing(Builder *b, Node *n)
{
    Node *base = below_moves(below_enters(n));
    if (class_of(base) != CLASS_LEAF || base->op == OP_RANDOM) {
        b->made[base->id] = 1;
    }
}

void make_for_regions(Builder *b)
{
    for (uint32_t i = 0; b->schedule->regions.count > 1 && i < b->node_count; i++) {
        const Node *n = b->graph->nodes.data[i];
        if (!b->live[i]) {
            continue;
        }
        if (n->op == OP_AT) {
            pin_sliced(b, n);
        }
        bool pins = n->op == OP_LOOP || n->op == OP_BRANCH || n->op == OP_STACK;
        for (int k = 0; k < n->nsrc; k++) {
            if (pins && (n->op != OP_STACK || k == 1)) {
                pin(b, n->src[k]);
            } else if (b->region[n->src[k]->id] != b->region[i]) {
                make_crossing(b, n->src[k]);
            }
        }
    }
}
