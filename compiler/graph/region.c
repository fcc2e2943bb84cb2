/* Finds the regions of a graph (region.h). In: live nodes; out: a tree and a region per node.
 *
 * Each node gets the set of regions that it depends on, as bits. Operands come first, so one walk
 * upwards gives all sets but for two things: what is inside of a loop is inside of all that is
 * around the loop, which is known when the loop closes; and a loop is inside of what its stacked
 * values depend on, which are operands of its stacks. What a walk learns about the surroundings of
 * a region is added to its nodes by the next one, until nothing changes; sets only grow. A set is
 * then a path in the tree: its longest member is the region. */
#include "compiler/graph/region.h"
#include "runtime/base/bug.h"

#include <string.h>

typedef struct {
    const Graph *graph;
    const uint8_t *live;
    Arena *arena;
    Regions *regions;
    uint32_t *first;    /* number of a loop or branch -> its region (THEN of a branch), 0: none */
    uint32_t words;     /* of a set */
    uint64_t *deps;     /* per node id a set */
    uint64_t *around;   /* per region: the regions known to be around it */
    bool open;          /* what nothing closes is outside */
    const char *wrong;
} Finder;

static void complain(Finder *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(Finder *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (f->wrong == NULL)
        f->wrong = arena_vformat(f->arena, format, args);
    va_end(args);
}

static uint64_t *set_of(const Finder *f, const Node *node)
{
    return f->deps + (size_t)node->id * f->words;
}

static bool has(const uint64_t *set, uint32_t region)
{
    return set[region / 64] >> region % 64 & 1;
}

static void put(uint64_t *set, uint32_t region)
{
    set[region / 64] |= (uint64_t)1 << region % 64;
}

static void drop(uint64_t *set, uint32_t region)
{
    set[region / 64] &= ~((uint64_t)1 << region % 64);
}

/* True: that added something. */
static bool unite(const Finder *f, uint64_t *set, const uint64_t *other)
{
    bool grown = false;
    for (uint32_t i = 0; i < f->words; i++) {
        grown |= (other[i] & ~set[i]) != 0;
        set[i] |= other[i];
    }
    return grown;
}

static uint64_t *around(const Finder *f, uint32_t region)
{
    return f->around + (size_t)region * f->words;
}

/* ---- the list, in order of closing ---- */

static void add_region(Finder *f, RegionKind kind, const Node *closer)
{
    f->regions->list[f->regions->count++] = (Region){.kind = kind, .closer = closer};
}

static void list_regions(Finder *f)
{
    const Graph *graph = f->graph;
    uint32_t closers = 0;
    for (uint32_t i = 0; i < graph->nodes.count; i++)
        closers += f->live[i] &&
                   (graph->nodes.data[i]->op == OP_LOOP || graph->nodes.data[i]->op == OP_BRANCH);
    f->regions = ARENA_NEW(f->arena, Regions);
    f->regions->list = ARENA_ARRAY(f->arena, Region, 2 * closers + 1);
    f->regions->of = ARENA_ARRAY(f->arena, uint32_t, graph->nodes.count + 1);
    f->regions->count = 1;
    f->first = ARENA_ARRAY(f->arena, uint32_t, graph->next_loop + 1);
    for (uint32_t i = 0; closers > 0 && i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.data[i];
        if (!f->live[i] || (node->op != OP_LOOP && node->op != OP_BRANCH))
            continue;
        uint32_t id = node->op == OP_LOOP ? node->attr.loop.id : node->attr.branch.id;
        if (f->first[id] != 0)
            complain(f, "%%%u closes loop %u, which %%%u closed", i, id,
                     f->regions->list[f->first[id]].closer->id);
        f->first[id] = f->regions->count;
        add_region(f, node->op == OP_LOOP ? REGION_LOOP : REGION_THEN, node);
        if (node->op == OP_BRANCH)
            add_region(f, REGION_ELSE, node);
    }
}

/* ---- sets ---- */

/* The region that a carry, at or enter is in; 0: nothing closes it, which is a fault. */
static uint32_t opened_by(Finder *f, const Node *node)
{
    bool entered = node->op == OP_ENTER;
    uint32_t id = entered             ? node->attr.enter.branch
                  : node->op == OP_AT ? node->attr.at.loop
                                      : node->attr.carry.loop;
    uint32_t region = f->first[id];
    if (region == 0 || (f->regions->list[region].kind != REGION_LOOP) != entered) {
        if (!f->open)
            complain(f, "%%%u is inside of %s %u, which nothing closes", node->id,
                     entered ? "branch" : "loop", id);
        return 0;
    }
    return region + (entered && node->attr.enter.side == SIDE_ELSE);
}

static void set_opened(Finder *f, const Node *node, uint64_t *set)
{
    uint32_t region = opened_by(f, node);
    for (int i = 0; i < node->nsrc; i++)
        if (node->op == OP_AT && has(set_of(f, node->src[i]), region))
            complain(f, "%%%u walks along a value of its own loop", node->id);
    if (region == 0)
        return;
    put(set, region);
    unite(f, set, around(f, region));
}

/* What node depends on through operands [begin, end), without `inside`, which they may be in. */
static void set_closed(Finder *f, const Node *node, int begin, int end, uint32_t inside)
{
    for (int i = begin; i < end; i++) {
        const uint64_t *operand = set_of(f, node->src[i]);
        for (uint32_t w = 0; w < f->words; w++)
            set_of(f, node)[w] |=
                operand[w] & ~(w == inside / 64 ? (uint64_t)1 << inside % 64 : 0);
    }
}

/* The regions that a loop or branch closes learn what is around them. True: that is new. */
static bool set_closer(Finder *f, const Node *node)
{
    bool loop = node->op == OP_LOOP, grown;
    uint32_t region = f->first[loop ? node->attr.loop.id : node->attr.branch.id];
    uint64_t *set = set_of(f, node);
    int results = node->nsrc / 2;
    if (loop) {
        set_closed(f, node, 0, results, 0);
        set_closed(f, node, results, node->nsrc, region);
        unite(f, set, around(f, region));
        grown = unite(f, around(f, region), set);
    } else {
        set_closed(f, node, 0, 1, 0);
        set_closed(f, node, 1, 1 + results, region);
        set_closed(f, node, 1 + results, node->nsrc, region + 1);
        grown = unite(f, around(f, region), set);
        grown |= unite(f, around(f, region + 1), set);
    }
    if (has(set, region) || (!loop && has(set, region + 1)))
        complain(f, "%%%u needs a value from inside of it where it must not", node->id);
    return grown;
}

/* So does the loop of a stack from the stacked value. */
static bool set_stack(Finder *f, const Node *node)
{
    uint32_t region = f->first[node->src[0]->attr.loop.id];
    uint64_t *set = set_of(f, node);
    memcpy(set, set_of(f, node->src[1]), f->words * sizeof *set);
    drop(set, region);
    unite(f, set, set_of(f, node->src[0]));
    return unite(f, around(f, region), set);
}

static bool walk_sets(Finder *f)
{
    bool grown = false;
    for (uint32_t i = 0; f->wrong == NULL && i < f->graph->nodes.count; i++) {
        const Node *node = f->graph->nodes.data[i];
        if (!f->live[i])
            continue;
        if (node->op == OP_LOOP || node->op == OP_BRANCH) {
            grown |= set_closer(f, node);
        } else if (node->op == OP_STACK) {
            grown |= set_stack(f, node);
        } else {
            for (int j = 0; j < node->nsrc; j++)
                unite(f, set_of(f, node), set_of(f, node->src[j]));
            if (node->op == OP_CARRY || node->op == OP_AT || node->op == OP_ENTER)
                set_opened(f, node, set_of(f, node));
        }
    }
    return grown && f->wrong == NULL;
}

/* ---- the tree ---- */

static uint32_t count_bits(const Finder *f, const uint64_t *set)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->words; i++)
        count += (uint32_t)__builtin_popcountll(set[i]);
    return count;
}

/* The member whose own set has one member less: the end of the path. 0: the set is no path. */
static uint32_t path_end(Finder *f, const uint64_t *set)
{
    uint32_t length = count_bits(f, set);
    for (uint32_t w = 0; length > 0 && w < f->words; w++) {
        for (uint64_t left = set[w]; left != 0; left &= left - 1) {
            uint32_t region = w * 64 + (uint32_t)__builtin_ctzll(left);
            const uint64_t *own = set_of(f, f->regions->list[region].closer);
            if (count_bits(f, own) != length - 1)
                continue;
            bool same = true;
            for (uint32_t i = 0; i < f->words; i++)
                same &= (own[i] | (i == region / 64 ? (uint64_t)1 << region % 64 : 0)) == set[i];
            if (same)
                return region;
        }
    }
    return 0;
}

static bool place(Finder *f, const Node *node, const uint64_t *set, uint32_t *region)
{
    *region = path_end(f, set);
    if (*region == 0 && count_bits(f, set) > 0)
        complain(f, "%%%u needs values of loops that are not inside of each other", node->id);
    return f->wrong == NULL;
}

static void place_nodes(Finder *f)
{
    Regions *regions = f->regions;
    uint32_t end;
    for (uint32_t i = 1; i < regions->count; i++)
        if (!place(f, regions->list[i].closer, set_of(f, regions->list[i].closer),
                   &regions->list[i].parent))
            return;
    for (uint32_t i = 0; i < f->graph->nodes.count; i++) {
        const Node *node = f->graph->nodes.data[i];
        if (f->live[i] && place(f, node, set_of(f, node), &end))
            regions->of[i] = end;
    }
}

/* What reads a value from outside is beside it the node that closes the reader's region. */
static void check_order(Finder *f, const Node *node)
{
    const Regions *regions = f->regions;
    for (int i = 0; i < node->nsrc; i++) {
        uint32_t home = regions->of[node->src[i]->id], at = regions->of[node->id];
        const Node *reader = node;
        if (!region_within(regions, at, home))
            continue;
        for (; at != home; at = regions->list[at].parent)
            reader = regions->list[at].closer;
        if (reader->id <= node->src[i]->id)
            complain(f, "%%%u is read inside of %%%u, but was made after it", node->src[i]->id,
                     reader->id);
    }
}

/* Inner loops close before outer ones, so the list backwards has parents first. Both sides of a
 * branch keep their order. */
static void put_parents_first(Finder *f)
{
    Regions *regions = f->regions;
    Region *list = ARENA_ARRAY(f->arena, Region, regions->count);
    uint32_t *place_of = ARENA_ARRAY(f->arena, uint32_t, regions->count), next = 1;
    for (uint32_t i = regions->count; i-- > 1;) {
        bool second = regions->list[i].kind == REGION_ELSE;
        place_of[i] = next + second;
        if (second)
            place_of[--i] = next;
        next += 1 + second;
    }
    for (uint32_t i = 1; i < regions->count; i++) {
        list[place_of[i]] = regions->list[i];
        list[place_of[i]].parent = place_of[regions->list[i].parent];
    }
    regions->list = list;
    for (uint32_t i = 1; i < regions->count; i++)
        list[i].depth = list[list[i].parent].depth + 1;
    for (uint32_t i = 0; i < f->graph->nodes.count; i++)
        regions->of[i] = place_of[regions->of[i]];
}

static Regions *find_regions(const Graph *graph, const uint8_t *live, Arena *arena, bool open,
                             const char **wrong)
{
    Finder f = {.graph = graph, .live = live, .arena = arena, .open = open};
    list_regions(&f);
    f.words = f.regions->count / 64 + 1;
    if (f.wrong == NULL && (f.regions->count > 1 || graph->next_loop > 0)) {
        f.deps = ARENA_ARRAY(arena, uint64_t, (size_t)(graph->nodes.count + 1) * f.words);
        f.around = ARENA_ARRAY(arena, uint64_t, (size_t)f.regions->count * f.words);
        while (walk_sets(&f)) {
        }
        if (f.wrong == NULL)
            place_nodes(&f);
        if (f.wrong == NULL)
            put_parents_first(&f);
        for (uint32_t i = 0; f.wrong == NULL && i < graph->nodes.count; i++)
            if (live[i])
                check_order(&f, graph->nodes.data[i]);
    }
    if (f.wrong != NULL && wrong != NULL)
        *wrong = f.wrong;
    return f.wrong == NULL ? f.regions : NULL;
}

Regions *regions_find(const Graph *graph, const uint8_t *live, Arena *arena, const char **wrong)
{
    return find_regions(graph, live, arena, false, wrong);
}

Regions *regions_of(const Graph *graph, const uint8_t *live, Arena *arena)
{
    const char *wrong = "";
    Regions *regions = find_regions(graph, live, arena, false, &wrong);
    if (regions == NULL)
        NNC_BUG("regions of a graph: %s", wrong);
    return regions;
}

Regions *regions_so_far(const Graph *graph, const uint8_t *live, Arena *arena)
{
    const char *wrong = "";
    Regions *regions = find_regions(graph, live, arena, true, &wrong);
    if (regions == NULL)
        NNC_BUG("regions of a part of a graph: %s", wrong);
    return regions;
}

/* ---- questions ---- */

bool region_within(const Regions *regions, uint32_t inner, uint32_t outer)
{
    while (regions->list[inner].depth > regions->list[outer].depth)
        inner = regions->list[inner].parent;
    return inner == outer;
}

uint32_t region_common(const Regions *regions, uint32_t a, uint32_t b)
{
    while (a != b) {
        if (regions->list[a].depth >= regions->list[b].depth)
            a = regions->list[a].parent;
        else
            b = regions->list[b].parent;
    }
    return a;
}

uint32_t region_closed_by(const Regions *regions, const Node *closer, BranchSide side)
{
    for (uint32_t i = 1; i < regions->count; i++)
        if (regions->list[i].closer == closer)
            return i + (closer->op == OP_BRANCH && side == SIDE_ELSE);
    NNC_BUG("%%%u closes no region", closer->id);
}

const Node **graph_closers(const Graph *graph, const uint8_t *live, Arena *arena)
{
    const Node **closers = ARENA_ARRAY(arena, const Node *, graph->next_loop + 1);
    for (uint32_t i = 0; graph->next_loop > 0 && i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.data[i];
        if (live[i] && node->op == OP_LOOP)
            closers[node->attr.loop.id] = node;
        if (live[i] && node->op == OP_BRANCH)
            closers[node->attr.branch.id] = node;
    }
    return closers;
}

bool graph_has_regions(const Graph *graph, const uint8_t *live)
{
    for (uint32_t i = 0; graph->next_loop > 0 && i < graph->nodes.count; i++)
        if (live[i] && op_info[graph->nodes.data[i]->op].op_class == CLASS_LOOP)
            return true;
    return false;
}

bool loop_is_bounded(const LoopAttr *loop)
{
    int64_t length;
    return !dim_is_const(loop->length, &length) || length < LOOP_UNBOUNDED;
}

uint32_t *region_number(Attr *attr)
{
    switch (attr->kind) {
    case AT_CARRY:
        return &attr->carry.loop;
    case AT_AT:
        return &attr->at.loop;
    case AT_LOOP:
        return &attr->loop.id;
    case AT_ENTER:
        return &attr->enter.branch;
    case AT_BRANCH:
        return &attr->branch.id;
    default:
        return NULL;
    }
}
