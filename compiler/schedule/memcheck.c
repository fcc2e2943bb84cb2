/* The independent check of a memory plan: it shares no code and no facts with the planner but the
 * offsets it judges.
 *
 * For given values of the dimensions it (1) finds again, from the graph alone, which groups write
 * and read each arena buffer; (2) compares every pair of buffers: two that are alive at the same
 * time must not share a byte; (3) lets a group write over a buffer that it reads only when the
 * element read is the one written, which it tries out on sampled elements by walking numeric
 * indices through the moves. Quadratic on purpose. */
#include "compiler/schedule/schedule.h"

#include <string.h>

enum { SAMPLES = 5 };

typedef struct {
    int64_t begin, end; /* bytes */
    int32_t born, dies; /* groups */
} Extent;

typedef struct {
    const Schedule *s;
    const int64_t *symbols;
    Arena *arena;
    Extent *spans;  /* per buffer */
    uint32_t *mark; /* per node: visited in round */
    uint32_t round;
} Checker;

/* ---- who reads what ---- */

static void touch(Checker *c, int32_t buffer, int32_t group)
{
    if (buffer < 0 || c->s->buffers.data[buffer].kind != STORAGE_ARENA) {
        return;
    }
    Extent *span = &c->spans[buffer];
    span->born = span->born < 0 || group < span->born ? group : span->born;
    span->dies = group > span->dies ? group : span->dies;
}

static void touch_below(Checker *c, const Node *n, int32_t group, bool top)
{
    if (c->mark[n->id] == c->round) {
        return;
    }
    c->mark[n->id] = c->round;
    if (!top && c->s->buffer_of[n->id] >= 0) {
        touch(c, c->s->buffer_of[n->id], group);
        if (c->s->group_of[n->id] != group) {
            return;
        }
    }
    for (int i = 0; i < n->nsrc; i++) {
        touch_below(c, n->src[i], group, false);
    }
}

static void find_spans(Checker *c)
{
    for (uint32_t i = 0; i < c->s->buffers.count; i++) {
        c->spans[i] = (Extent){0, 0, -1, -1};
    }
    for (uint32_t g = 0; g < c->s->groups.count; g++) {
        const Group *group = c->s->groups.data[g];
        touch(c, group->scratch, (int32_t)g);
        touch(c, group->copy_from, (int32_t)g);
        for (uint32_t i = 0; i < group->outputs.count; i++) {
            c->round++;
            touch(c, group->outputs.data[i].buffer, (int32_t)g);
            if (group->outputs.data[i].node != NULL) {
                touch_below(c, group->outputs.data[i].node, (int32_t)g, true);
            }
        }
    }
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
        if (c->spans[i].begin < 0 || c->spans[i].begin % 64 != 0 ||
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
    Extent kept = w->c->spans[w->buffer];
    w->c->round++;
    w->c->spans[w->buffer] = (Extent){0, 0, -1, -1};
    touch_below(w->c, n, w->group, top);
    w->good &= w->c->spans[w->buffer].born < 0;
    w->c->spans[w->buffer] = kept;
}

static void walk(Walker *w, const Node *n, const int64_t *index, bool top)
{
    int32_t buffer = w->c->s->buffer_of[n->id];
    if (!top && buffer == w->buffer) {
        w->good &= elements_of(w->c, n) == w->elements && flatten(w->c, n, index) == w->home;
        return;
    }
    if (!top && buffer != NO_BUFFER && w->c->s->group_of[n->id] != w->group) {
        return;
    }
    int64_t source[MAX_RANK];
    OpClass class = op_info[n->op].op_class;
    bool moved = class == CLASS_MOVE && follow(w->c, n, index, source);
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
    for (int k = 0; k < SAMPLES && elements > 0; k++) {
        int64_t home = (elements - 1) * k / (SAMPLES - 1);
        unflatten(c, n, home, index);
        Walker walker = {c, group, old, home, elements, true};
        walk(&walker, n, index, true);
        if (!walker.good) {
            return false;
        }
    }
    return true;
}

static bool may_overlap(Checker *c, int32_t old, int32_t new)
{
    const Buffer *buffer = &c->s->buffers.data[new];
    const Group *group = c->s->groups.data[c->spans[new].born];
    bool in_place = buffer->in_place_of == old && c->spans[old].dies == c->spans[new].born &&
                    c->spans[old].begin == c->spans[new].begin &&
                    c->spans[old].end == c->spans[new].end &&
                    (group->kind == GROUP_LOOP || group->kind == GROUP_CONTRACT ||
                     (group->kind == GROUP_REDUCE && group->rows));
    bool good = in_place;
    for (uint32_t i = 0; in_place && i < group->outputs.count; i++) {
        if (group->outputs.data[i].node != NULL) {
            good &= element_only(c, c->spans[new].born, old, &group->outputs.data[i]);
        }
    }
    return good;
}

static bool check_pairs(Checker *c, StrBuf *out)
{
    bool good = true;
    for (int32_t a = 0; a < (int32_t)c->s->buffers.count; a++) {
        for (int32_t b = 0; b < (int32_t)c->s->buffers.count; b++) {
            const Extent *x = &c->spans[a], *y = &c->spans[b];
            bool alive = x->born >= 0 && y->born >= 0 && x->born <= y->dies && y->born <= x->dies;
            bool touching = x->begin < y->end && y->begin < x->end;
            bool later =
                y->born > x->born || (y->born == x->born && c->s->buffers.data[b].in_place_of == a);
            if (a == b || !alive || !touching) {
                continue;
            }
            if (later ? !may_overlap(c, a, b)
                      : y->born == x->born && c->s->buffers.data[a].in_place_of != b) {
                strbuf_printf(
                    out,
                    "buffers %d and %d are alive together at bytes %lld..%lld and %lld..%lld\n", a,
                    b, (long long)x->begin, (long long)x->end, (long long)y->begin,
                    (long long)y->end);
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
    find_spans(&c);
    bool good = find_bytes(&c, out) && check_pairs(&c, out);
    arena_free(arena);
    return good;
}
