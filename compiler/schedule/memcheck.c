/* The independent check of a memory plan: it shares no code and no facts with the planner but the
 * offsets it judges.
 *
 * For given values of the dimensions it (1) finds again, from the graph alone, which groups write
 * and read each buffer; (2) lays the groups out as points of a flow graph, with the ways back and
 * around of loops and branches, and computes where each buffer holds a value that somebody still
 * reads, as a compiler does for registers; (3) compares: a group must not write to bytes that hold
 * such a value of another buffer; (4) lets a group write over what it reads itself, a dying operand
 * or the old value of a carry or param, only when the element read is the one written, which it
 * tries out on sampled elements by walking numeric indices through the moves. Quadratic on purpose.
 *
 *   loop:   -> enter -> head -> group .. group -> head          a stack is new at enter; a carry
 *                        |-> after                              lives on through the way back */
#include "compiler/schedule/schedule.h"

#include <string.h>

enum { SAMPLES = 5, NO_POINT = -1 };

typedef struct {
    int64_t begin, end; /* bytes */
} Extent;

typedef struct {
    int32_t group; /* NO_GROUP: an end of a region */
    int32_t next[2];
    uint64_t *reads, *writes; /* buffers; a slice counts for the whole */
    uint64_t *renews;         /* written from end to end: what was there is gone */
    uint64_t *live;           /* when it begins: somebody reads it before it is renewed */
    uint64_t *known;          /* when it ends: something has been written */
} Point;

typedef struct {
    const Schedule *s;
    const int64_t *symbols;
    Arena *arena;
    Extent *spans;  /* per buffer */
    uint32_t *mark; /* per node: visited in round */
    uint32_t round;
    VEC(Point) points;
    uint32_t words;
    int32_t last;   /* point that the next one follows, NO_POINT: none */
    int32_t *heads; /* per region: head of a loop, where a branch parts */
    int32_t *ends;  /* per region: last point of a side */
} Checker;

/* ---- sets ---- */

static bool has(const uint64_t *set, int32_t i)
{
    return set[i >> 6] >> (i & 63) & 1;
}

static void put(uint64_t *set, int32_t i)
{
    set[i >> 6] |= UINT64_C(1) << (i & 63);
}

static void touch(const Checker *c, uint64_t *set, int32_t buffer)
{
    while (buffer >= 0 && c->s->buffers.data[buffer].kind == STORAGE_SLICE) {
        buffer = c->s->buffers.data[buffer].base;
    }
    if (buffer >= 0) {
        put(set, buffer);
    }
}

/* ---- who reads and writes what ---- */

/* What computing n in the group reads of others. */
static void touch_below(Checker *c, uint64_t *set, const Node *n, int32_t group, bool top)
{
    if (c->mark[n->id] == c->round) {
        return;
    }
    c->mark[n->id] = c->round;
    if (!top && c->s->buffer_of[n->id] >= 0 && c->s->group_of[n->id] != group) {
        touch(c, set, c->s->buffer_of[n->id]);
        return;
    }
    for (int i = 0; i < n->nsrc; i++) {
        touch_below(c, set, n->src[i], group, false);
    }
}

static int32_t add_point(Checker *c, int32_t group)
{
    Point point = {.group = group, .next = {NO_POINT, NO_POINT}};
    point.reads = ARENA_ARRAY(c->arena, uint64_t, c->words);
    point.writes = ARENA_ARRAY(c->arena, uint64_t, c->words);
    point.renews = ARENA_ARRAY(c->arena, uint64_t, c->words);
    point.live = ARENA_ARRAY(c->arena, uint64_t, c->words);
    point.known = ARENA_ARRAY(c->arena, uint64_t, c->words);
    vec_push(c->arena, &c->points, point);
    int32_t at = (int32_t)c->points.count - 1;
    if (c->last != NO_POINT) {
        c->points.data[c->last].next[c->points.data[c->last].next[0] != NO_POINT] = at;
    }
    c->last = at;
    return at;
}

static void add_group(Checker *c, int32_t g)
{
    const Group *group = c->s->groups.data[g];
    int32_t at = add_point(c, g);
    const Point *point = &c->points.data[at];
    touch(c, point->reads, group->copy_from);
    touch(c, point->writes, group->scratch);
    touch(c, group->hoisted == NO_REGION ? point->renews : point->reads, group->scratch);
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        const GroupOutput *output = &group->outputs.data[i];
        c->round++;
        touch(c, point->writes, output->buffer);
        if (c->s->buffers.data[output->buffer].kind != STORAGE_SLICE) {
            put(point->renews, output->buffer);
        }
        if (output->node != NULL) {
            touch_below(c, point->reads, output->node, g, true);
        }
    }
}

/* ---- the flow ---- */

/* A stack that no zeros were put in is new when its loop begins. */
static void renew_stacks(Checker *c, int32_t region, const Point *enter)
{
    const ScheduleRegion *loop = &c->s->regions.data[region];
    for (int32_t g = loop->first; !loop->node->attr.loop.conditional && g <= loop->last; g++) {
        const Group *group = c->s->groups.data[g];
        for (uint32_t i = 0; i < group->outputs.count; i++) {
            const Buffer *buffer = &c->s->buffers.data[group->outputs.data[i].buffer];
            if (buffer->kind == STORAGE_SLICE && buffer->region == region) {
                touch(c, enter->renews, buffer->base);
            }
        }
    }
}

/* Scratch memory that is filled once, before the loop. */
static void fill_hoisted(Checker *c, int32_t region, const Point *enter)
{
    for (int32_t g = c->s->regions.data[region].first; g <= c->s->regions.data[region].last; g++) {
        const Group *group = c->s->groups.data[g];
        if (group->hoisted == region) {
            touch(c, enter->writes, group->scratch);
            touch(c, enter->renews, group->scratch);
            touch(c, enter->reads, group->packed);
        }
    }
}

static void begin_region(Checker *c, int32_t r)
{
    const ScheduleRegion *region = &c->s->regions.data[r];
    if (region->kind == REGION_ELSE) {
        c->last = c->heads[r - 1];
        return;
    }
    if (region->kind == REGION_LOOP) {
        int32_t enter = add_point(c, NO_GROUP);
        renew_stacks(c, r, &c->points.data[enter]);
        fill_hoisted(c, r, &c->points.data[enter]);
    }
    int32_t head = add_point(c, NO_GROUP);
    c->heads[r] = head;
    touch(c, c->points.data[c->heads[r]].reads, region->condition);
}

static void end_region(Checker *c, int32_t r)
{
    if (c->s->regions.data[r].kind == REGION_LOOP) {
        c->points.data[c->last].next[c->points.data[c->last].next[0] != NO_POINT] = c->heads[r];
        c->last = c->heads[r];
        add_point(c, NO_GROUP);
    } else if (c->s->regions.data[r].kind == REGION_THEN) {
        c->ends[r] = c->last;
    } else {
        int32_t join = add_point(c, NO_GROUP);
        Point *side = &c->points.data[c->ends[r - 1]];
        side->next[side->next[0] != NO_POINT] = join;
    }
}

static void lay_out(Checker *c)
{
    int32_t regions = (int32_t)c->s->regions.count;
    c->last = NO_POINT;
    c->words = c->s->buffers.count / 64 + 1;
    c->heads = ARENA_ARRAY(c->arena, int32_t, regions);
    c->ends = ARENA_ARRAY(c->arena, int32_t, regions);
    for (int32_t g = 0; g < (int32_t)c->s->groups.count; g++) {
        for (int32_t r = 1; r < regions; r++) {
            if (c->s->regions.data[r].first == g && c->s->regions.data[r].last >= g) {
                begin_region(c, r);
            }
        }
        add_group(c, g);
        for (int32_t r = regions - 1; r > 0; r--) {
            if (c->s->regions.data[r].last == g && c->s->regions.data[r].first <= g) {
                end_region(c, r);
            }
        }
    }
}

static bool grow(uint64_t *set, uint64_t more)
{
    uint64_t old = *set;
    *set |= more;
    return *set != old;
}

/* Backwards for what will be read, forwards for what has been written, until nothing changes. */
static void find_live(Checker *c)
{
    for (bool grown = true; grown;) {
        grown = false;
        for (int32_t p = (int32_t)c->points.count - 1; p >= 0; p--) {
            const Point *at = &c->points.data[p];
            for (uint32_t w = 0; w < c->words; w++) {
                grown |= grow(&at->live[w], at->reads[w]);
                for (int k = 0; k < 2 && at->next[k] != NO_POINT; k++) {
                    const Point *next = &c->points.data[at->next[k]];
                    grown |= grow(&at->live[w], next->live[w] & ~at->renews[w]);
                }
            }
        }
        for (int32_t p = 0; p < (int32_t)c->points.count; p++) {
            const Point *at = &c->points.data[p];
            for (uint32_t w = 0; w < c->words; w++) {
                grown |= grow(&at->known[w], at->writes[w]);
                for (int k = 0; k < 2 && at->next[k] != NO_POINT; k++) {
                    grown |= grow(&c->points.data[at->next[k]].known[w], at->known[w]);
                }
            }
        }
    }
}

static bool lives_after(const Checker *c, const Point *at, int32_t buffer)
{
    bool live = false;
    for (int k = 0; k < 2 && at->next[k] != NO_POINT; k++) {
        live |= has(c->points.data[at->next[k]].live, buffer);
    }
    return live && has(at->known, buffer);
}

static bool find_bytes(Checker *c, StrBuf *out)
{
    for (uint32_t i = 0; i < c->s->buffers.count; i++) {
        const Buffer *buffer = &c->s->buffers.data[i];
        if (buffer->kind != STORAGE_ARENA) {
            continue;
        }
        int64_t bytes = (int64_t)dtype_bytes(buffer->type.dtype);
        for (int k = 0; k < buffer->type.rank; k++) {
            bytes *= dim_eval(buffer->type.dims[k], c->symbols);
        }
        c->spans[i].begin = plan_offset(c->s, i, c->symbols);
        c->spans[i].end = c->spans[i].begin + bytes;
        int64_t line = c->s->guarded ? (int64_t)dtype_bytes(buffer->type.dtype) : 64;
        if (c->spans[i].begin < 0 || c->spans[i].begin % line != 0 ||
            c->spans[i].end > plan_bytes(c->s, c->symbols)) {
            strbuf_printf(
                out, "buffer %u at %lld of %lld bytes is outside of the arena or not aligned\n", i,
                (long long)c->spans[i].begin, (long long)bytes);
            return false;
        }
    }
    return true;
}

/* ---- which element is read ---- */

typedef struct {
    Checker *c;
    int32_t group;
    int32_t buffer;
    uint64_t *touched;
    int64_t home, elements; /* the element written, of so many; the shapes of outputs may differ */
    bool good;
} Walker;

static int64_t size_of(const Checker *c, const Node *n, int axis)
{
    return dim_eval(n->type.dims[axis], c->symbols);
}

static int64_t elements_of(const Checker *c, const Node *n)
{
    int64_t elements = 1;
    for (int i = 0; i < n->type.rank; i++) {
        elements *= size_of(c, n, i);
    }
    return elements;
}

static int64_t flatten(const Checker *c, const Node *n, const int64_t *index)
{
    int64_t flat = 0;
    for (int i = 0; i < n->type.rank; i++) {
        flat = flat * size_of(c, n, i) + index[i];
    }
    return flat;
}

static void unflatten(const Checker *c, const Node *n, int64_t flat, int64_t *index)
{
    for (int i = n->type.rank - 1; i >= 0; i--) {
        int64_t size = size_of(c, n, i);
        index[i] = size > 0 ? flat % size : 0;
        flat = size > 0 ? flat / size : 0;
    }
}

/* The element of src[0] that element `index` of a move shows. False: not a move that is followed
 * here. */
static bool follow(const Checker *c, const Node *n, const int64_t *index, int64_t *source)
{
    memset(source, 0, sizeof *source * MAX_RANK);
    switch (n->op) {
    case OP_ENTER:
        memcpy(source, index, sizeof *source * MAX_RANK);
        return true;
    case OP_RESHAPE:
        unflatten(c, n->src[0], flatten(c, n, index), source);
        return true;
    case OP_PERMUTE:
        for (int i = 0; i < n->type.rank; i++) {
            source[n->attr.perm.axis[i]] = index[i];
        }
        return true;
    case OP_EXPAND:
        for (int i = 0; i < n->type.rank; i++) {
            source[i] = size_of(c, n->src[0], i) == 1 ? 0 : index[i];
        }
        return true;
    case OP_SLICE:
        for (int i = 0; i < n->type.rank; i++) {
            source[i] =
                dim_eval(n->attr.slice.start[i], c->symbols) + index[i] * n->attr.slice.step[i];
        }
        return true;
    case OP_PAD:
        for (int i = 0; i < n->type.rank; i++) {
            source[i] = index[i] - dim_eval(n->attr.pad.low[i], c->symbols);
            if (n->attr.pad.interior[i] > 0 || source[i] < 0 ||
                source[i] >= size_of(c, n->src[0], i)) {
                return false;
            }
        }
        return true;
    case OP_REVERSE:
        memcpy(source, index, sizeof *source * MAX_RANK);
        for (int i = 0; i < n->attr.axes.count; i++) {
            source[n->attr.axes.axis[i]] =
                size_of(c, n, n->attr.axes.axis[i]) - 1 - index[n->attr.axes.axis[i]];
        }
        return true;
    default:
        return false;
    }
}

/* Elements that are not known must not come from the buffer that is written over. */
static void walk_unknown(Walker *w, const Node *n, bool top)
{
    memset(w->touched, 0, w->c->words * sizeof *w->touched);
    w->c->round++;
    touch_below(w->c, w->touched, n, w->group, top);
    w->good &= !has(w->touched, w->buffer);
}

static void walk(Walker *w, const Node *n, const int64_t *index, bool top)
{
    int32_t buffer = w->c->s->buffer_of[n->id];
    if (!top && buffer == w->buffer) {
        w->good &= elements_of(w->c, n) == w->elements && flatten(w->c, n, index) == w->home;
        return;
    }
    if (buffer != NO_BUFFER && w->c->s->buffers.data[buffer].kind == STORAGE_SLICE) {
        w->good &= top || w->c->s->group_of[n->id] == w->group ||
                   buffer_home(w->c->s, buffer) != w->buffer;
    }
    if (!top && buffer != NO_BUFFER && w->c->s->group_of[n->id] != w->group) {
        return;
    }
    int64_t source[MAX_RANK];
    OpClass class = op_info[n->op].op_class;
    bool moved = (class == CLASS_MOVE || n->op == OP_ENTER) && follow(w->c, n, index, source);
    if (n->op == OP_GATHER) {
        walk(w, n->src[1], index + n->attr.axis, false);
        walk_unknown(w, n->src[0], false);
        return;
    }
    if (class != CLASS_ELEMENTWISE && !moved && class != CLASS_REDUCE) {
        walk_unknown(w, n, true);
        return;
    }
    for (int i = 0; i < n->nsrc && class != CLASS_REDUCE; i++) {
        walk(w, n->src[i], moved ? source : index, false);
    }
}

/* Reductions run before the last pass, over the row that is being written: they are judged by
 * liveness alone. */
static bool element_only(Checker *c, int32_t group, int32_t old, const GroupOutput *output)
{
    const Node *n = output->node;
    int64_t elements = elements_of(c, n), index[MAX_RANK] = {0};
    uint64_t *touched = ARENA_ARRAY(c->arena, uint64_t, c->words);
    for (int k = 0; k < SAMPLES && elements > 0; k++) {
        int64_t home = (elements - 1) * k / (SAMPLES - 1);
        unflatten(c, n, home, index);
        Walker walker = {c, group, old, touched, home, elements, true};
        walk(&walker, n, index, true);
        if (!walker.good) {
            return false;
        }
    }
    return true;
}

/* May the group write over `old`, which it reads and nobody reads after it? */
static bool may_write_over(Checker *c, int32_t g, int32_t old)
{
    const Group *group = c->s->groups.data[g];
    bool good =
        group->kind == GROUP_LOOP || group->kind == GROUP_CONTRACT || group->kind == GROUP_REDUCE;
    for (uint32_t i = 0; good && i < group->outputs.count; i++) {
        good &=
            group->outputs.data[i].node == NULL || element_only(c, g, old, &group->outputs.data[i]);
    }
    return good && group->copy_from == NO_BUFFER;
}

static bool same_span(const Checker *c, int32_t a, int32_t b)
{
    return c->spans[a].begin == c->spans[b].begin && c->spans[a].end == c->spans[b].end;
}

static bool touching(const Checker *c, int32_t a, int32_t b)
{
    const Extent *x = &c->spans[a], *y = &c->spans[b];
    bool arena =
        c->s->buffers.data[a].kind == STORAGE_ARENA && c->s->buffers.data[b].kind == STORAGE_ARENA;
    return a == b || (arena && x->begin < y->end && y->begin < x->end);
}

/* Rows store a stage before their last pass, which reads it at its element only: what that pass
 * stores may lie there. */
static bool replaces_stage(Checker *c, const Point *at, int32_t later, int32_t stage)
{
    const Group *group = c->s->groups.data[at->group];
    return group->rows && c->s->buffers.data[later].in_place_of == stage &&
           has(at->writes, stage) && !lives_after(c, at, stage) && same_span(c, later, stage) &&
           may_write_over(c, at->group, stage);
}

/* The group writes `written`; may `other` be in the same bytes? */
static bool check_pair(Checker *c, const Point *at, int32_t written, int32_t other)
{
    if (at->group == NO_GROUP) {
        return written == other ||
               !(has(at->reads, other) || has(at->writes, other) || lives_after(c, at, other));
    }
    const Group *group = c->s->groups.data[at->group];
    if (written == other) {
        return !has(at->reads, written) || written == group->scratch ||
               may_write_over(c, at->group, written);
    }
    bool dies = has(at->reads, other) && !has(at->writes, other) && !lives_after(c, at, other);
    bool whole = group->kind != GROUP_REDUCE || group->rows;
    if (replaces_stage(c, at, written, other) || replaces_stage(c, at, other, written)) {
        return true;
    }
    if (dies) {
        return c->s->buffers.data[written].in_place_of == other && whole &&
               same_span(c, written, other) && may_write_over(c, at->group, other);
    }
    return !has(at->writes, other) && !lives_after(c, at, other);
}

static bool check_point(Checker *c, const Point *at, StrBuf *out)
{
    bool good = true;
    for (int32_t a = 0; a < (int32_t)c->s->buffers.count; a++) {
        for (int32_t b = 0; has(at->writes, a) && b < (int32_t)c->s->buffers.count; b++) {
            if (touching(c, a, b) && !check_pair(c, at, a, b)) {
                strbuf_printf(out, "group %d writes buffer %d at bytes %lld..%lld over buffer %d\n",
                              at->group, a, (long long)c->spans[a].begin,
                              (long long)c->spans[a].end, b);
                good = false;
            }
        }
    }
    return good;
}

bool plan_check(const Schedule *schedule, const int64_t *symbols, StrBuf *out)
{
    Arena *arena = arena_new();
    Checker c = {.s = schedule, .symbols = symbols, .arena = arena};
    c.spans = ARENA_ARRAY(arena, Extent, schedule->buffers.count + 1);
    c.mark = ARENA_ARRAY(arena, uint32_t, schedule->graph->nodes.count + 1);
    lay_out(&c);
    find_live(&c);
    bool good = find_bytes(&c, out);
    for (uint32_t p = 0; good && p < c.points.count; p++) {
        good = check_point(&c, &c.points.data[p], out);
    }
    arena_free(arena);
    return good;
}
