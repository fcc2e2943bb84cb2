/* The memory plan: offsets of arena buffers as closed forms of the free dimensions.
 *
 * In: lifetimes. Out: Buffer.below, .hint_offset and Schedule.placement. At the hint sizes buffers
 * are placed one by one, the largest first, each into the smallest gap that fits between buffers
 * live at the same time (best fit). Where that needs more than the lower bound, other rules are
 * tried, then what ended highest is placed first and all is done again, a limited number of times;
 * the lowest arena counts. What is kept of that is only the vertical order: for two buffers that
 * live together, which is below the other. Then
 *
 *   offset(a) = max over b in below(a) of offset(b) + bytes(b)
 *
 * separates them at any size, never exceeds the placed offset at the hints, and grows with every
 * dimension: a smaller batch never needs more. `below` is thinned: what is below something below
 * needs no mention. */
#include "compiler/schedule/internal.h"

#include "runtime/base/bug.h"

#include <stdlib.h>
#include <string.h>

enum { SEARCH_WORK = 4 << 20, MAX_SEARCH = 200, CLOSE_TO_BOUND = 1000 };

/* One stretch of memory: a buffer and those made in its place one after the other. */
typedef struct {
    uint32_t buffer;
    int32_t first, last;
    int64_t bytes, offset;
} Slot;

typedef struct {
    Schedule *s;
    Slot *slots;
    uint32_t count;
    uint32_t *placed; /* slots that have an offset, by that */
    uint64_t *below;  /* count x words bits, before thinning */
    uint32_t words;
} Planner;

int64_t dim_at_hints(const Schedule *schedule, const Dim *dim)
{
    int64_t value = dim_eval(dim, schedule->hints);
    return value < 0 ? (int64_t)1 << 48 : value;
}

/* The same for many buffers: `homes` (NO_BUFFER at first) remembers, so that long chains are walked
 * once. */
static int32_t known_home(const Schedule *s, int32_t *homes, uint32_t buffer)
{
    int32_t home = (int32_t)buffer, next;
    while (homes[home] == NO_BUFFER && s->buffers.data[home].in_place_of != NO_BUFFER) {
        home = (int32_t)s->buffers.data[home].in_place_of;
    }
    home = homes[home] != NO_BUFFER ? homes[home] : home;
    for (int32_t at = (int32_t)buffer; at != home && homes[at] == NO_BUFFER; at = next) {
        next = (int32_t)s->buffers.data[at].in_place_of;
        homes[at] = home;
    }
    return home;
}

static int32_t home_of(const Schedule *s, uint32_t buffer)
{
    while (s->buffers.data[buffer].in_place_of != NO_BUFFER) {
        buffer = (uint32_t)s->buffers.data[buffer].in_place_of;
    }
    return (int32_t)buffer;
}

static void make_slots(Planner *p)
{
    Schedule *s = p->s;
    int32_t *slot_of = ARENA_ARRAY(s->arena, int32_t, s->buffers.count + 1);
    int32_t *homes = ARENA_ARRAY(s->arena, int32_t, s->buffers.count + 1);
    memset(homes, 0xff, (s->buffers.count + 1) * sizeof *homes); /* NO_BUFFER */
    p->slots = ARENA_ARRAY(s->arena, Slot, s->buffers.count + 1);
    for (uint32_t i = 0; i < s->buffers.count; i++) {
        const Buffer *buffer = &s->buffers.data[i];
        if (buffer->kind == STORAGE_ARENA && buffer->in_place_of == NO_BUFFER) {
            slot_of[i] = (int32_t)p->count;
            p->slots[p->count++] =
                (Slot){i, buffer->first, buffer->last, dim_at_hints(s, buffer->bytes), 0};
        }
    }
    for (uint32_t i = 0; i < s->buffers.count; i++) {
        const Buffer *buffer = &s->buffers.data[i];
        if (buffer->kind == STORAGE_ARENA && buffer->in_place_of != NO_BUFFER) {
            Slot *slot = &p->slots[slot_of[known_home(s, homes, i)]];
            slot->last = slot->last < buffer->last ? buffer->last : slot->last;
        }
    }
}

static bool together(const Slot *a, const Slot *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static int by_size(const void *x, const void *y)
{
    const Slot *a = x, *b = y;
    if (a->bytes != b->bytes) {
        return a->bytes > b->bytes ? -1 : 1;
    }
    return a->buffer < b->buffer ? -1 : 1;
}

static int by_offset(const void *x, const void *y)
{
    const Slot *a = x, *b = y;
    if (a->offset != b->offset) {
        return a->offset < b->offset ? -1 : 1;
    }
    return a->buffer < b->buffer ? -1 : 1;
}

/* Of bytes times groups: what is large for long leaves least room for others. */
static int by_area(const void *x, const void *y)
{
    const Slot *a = x, *b = y;
    double first = (double)a->bytes * (a->last - a->first + 1),
           second = (double)b->bytes * (b->last - b->first + 1);
    return first != second ? (first > second ? -1 : 1) : by_size(x, y);
}

static int by_time(const void *x, const void *y)
{
    const Slot *a = x, *b = y;
    return a->first != b->first ? (a->first < b->first ? -1 : 1) : by_size(x, y);
}

/* How slots are placed: in which order, each into the smallest gap or the lowest one. */
typedef struct {
    int (*order)(const void *x, const void *y);
    bool lowest;
} PlaceRule;

static const PlaceRule place_rules[] = {
    {by_size, false}, {by_size, true}, {by_area, false},
    {by_area, true},  {by_time, true}, {by_time, false},
};

/* Gives a slot the place the rule asks for, between those already placed that live with it. */
static void place(Planner *p, uint32_t at, uint32_t placed, bool lowest)
{
    Slot *slot = &p->slots[at];
    int64_t top = 0, best = -1, best_gap = INT64_MAX;
    for (uint32_t i = 0; i < placed && !(lowest && best >= 0); i++) {
        const Slot *other = &p->slots[p->placed[i]];
        if (!together(slot, other)) {
            continue;
        }
        int64_t gap = other->offset - top;
        if (gap >= slot->bytes && gap < best_gap) {
            best = top;
            best_gap = gap;
        }
        int64_t end = other->offset + other->bytes;
        top = end > top ? end : top;
    }
    slot->offset = best >= 0 ? best : top;
    uint32_t i = placed;
    for (; i > 0 && by_offset(&p->slots[p->placed[i - 1]], slot) > 0; i--) {
        p->placed[i] = p->placed[i - 1];
    }
    p->placed[i] = at;
}

/* Places all slots in the order they are in; the bytes of the arena. */
static int64_t place_all(Planner *p, bool lowest)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        place(p, i, i, lowest);
        int64_t end = p->slots[i].offset + p->slots[i].bytes;
        total = end > total ? end : total;
    }
    return total;
}

/* The slot that ends highest becomes the first one. False: it is. */
static bool promote(Planner *p)
{
    uint32_t high = 0;
    for (uint32_t i = 1; i < p->count; i++) {
        const Slot *a = &p->slots[i], *b = &p->slots[high];
        high = a->offset + a->bytes > b->offset + b->bytes ? i : high;
    }
    Slot first = p->slots[high];
    memmove(p->slots + 1, p->slots, high * sizeof first);
    p->slots[0] = first;
    return high > 0;
}

static void search(Planner *p)
{
    enum { RULES = sizeof place_rules / sizeof *place_rules };
    int64_t bound = p->s->live_bytes, least = INT64_MAX;
    int64_t tries = SEARCH_WORK / ((int64_t)p->count * p->count / 4 + 1);
    size_t bytes = p->count * sizeof(Slot);
    Slot *best = ARENA_ARRAY(p->s->arena, Slot, p->count + 1);
    bool lowest = false;
    tries = tries > MAX_SEARCH ? MAX_SEARCH : tries;
    for (int64_t i = 0; i <= tries && (i == 0 || least - bound > bound / CLOSE_TO_BOUND); i++) {
        if (i < RULES) {
            qsort(p->slots, p->count, sizeof(Slot), place_rules[i].order);
        } else if (!promote(p)) {
            break;
        }
        bool low = i < RULES ? place_rules[i].lowest : lowest;
        int64_t total = place_all(p, low);
        if (total < least) {
            least = total;
            lowest = low;
            memcpy(best, p->slots, bytes);
        }
        if (i == RULES - 1) {
            memcpy(p->slots, best, bytes);
        }
    }
    memcpy(p->slots, best, bytes);
}

/* No sharing: one after the other. */
static void stack(Planner *p)
{
    int64_t top = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        p->slots[i].first = 0;
        p->slots[i].last = INT32_MAX;
        p->slots[i].offset = top;
        top += p->slots[i].bytes;
    }
}

static bool is_below(const Planner *p, uint32_t a, uint32_t b)
{
    return p->below[(size_t)a * p->words + (b >> 6)] >> (b & 63) & 1;
}

/* Slots are sorted by offset, so what is below has a smaller index. */
static void find_below(Planner *p)
{
    p->words = (p->count + 63) / 64;
    p->below = ARENA_ARRAY(p->s->arena, uint64_t, (size_t)p->count * p->words + 1);
    for (uint32_t a = 0; a < p->count; a++) {
        for (uint32_t b = 0; b < a; b++) {
            if (together(&p->slots[a], &p->slots[b])) {
                p->below[(size_t)a * p->words + (b >> 6)] |= UINT64_C(1) << (b & 63);
            }
        }
    }
}

static void thin(Planner *p)
{
    for (uint32_t a = 0; a < p->count; a++) {
        Buffer *buffer = &p->s->buffers.data[p->slots[a].buffer];
        for (uint32_t b = a; b-- > 0;) {
            bool implied = false;
            for (uint32_t k = 0; is_below(p, a, b) && k < buffer->below.count && !implied; k++) {
                uint32_t c = buffer->below.data[k];
                implied = is_below(p, c, b);
            }
            if (is_below(p, a, b) && !implied) {
                vec_push(p->s->arena, &buffer->below, b);
            }
        }
    }
    for (uint32_t a = 0; a < p->count; a++) {
        Buffer *buffer = &p->s->buffers.data[p->slots[a].buffer];
        for (uint32_t k = 0; k < buffer->below.count; k++) {
            buffer->below.data[k] = p->slots[buffer->below.data[k]].buffer;
        }
    }
}

static int64_t most_live(const Planner *p, uint32_t groups)
{
    int64_t most = 0, live = 0;
    int64_t *change = ARENA_ARRAY(p->s->arena, int64_t, groups + 1);
    for (uint32_t i = 0; i < p->count; i++) {
        const Slot *slot = &p->slots[i];
        if (slot->first >= 0 && slot->first < (int32_t)groups) {
            change[slot->first] += slot->bytes;
            change[slot->last < (int32_t)groups ? slot->last + 1 : (int32_t)groups] -= slot->bytes;
        }
    }
    for (uint32_t g = 0; g < groups; g++) {
        live += change[g];
        most = live > most ? live : most;
    }
    return most;
}

int64_t most_live_bytes(Schedule *schedule)
{
    Planner planner = {.s = schedule};
    make_slots(&planner);
    return most_live(&planner, schedule->groups.count);
}

void place_buffers(Schedule *schedule, bool share)
{
    Planner planner = {.s = schedule};
    make_slots(&planner);
    planner.placed = ARENA_ARRAY(schedule->arena, uint32_t, planner.count + 1);
    schedule->live_bytes = most_live(&planner, schedule->groups.count);
    if (share && !schedule->guarded) {
        search(&planner);
    } else {
        stack(&planner);
    }
    qsort(planner.slots, planner.count, sizeof(Slot), by_offset);
    find_below(&planner);
    thin(&planner);
    for (uint32_t i = 0; i < planner.count; i++) {
        vec_push(schedule->arena, &schedule->placement, planner.slots[i].buffer);
        schedule->buffers.data[planner.slots[i].buffer].hint_offset = planner.slots[i].offset;
    }
    schedule->hint_bytes = plan_bytes(schedule, schedule->hints);
}

/* ---- guard pages ---- */

const Dim *guarded_bytes(const Schedule *schedule, uint32_t buffer)
{
    const Buffer *at = &schedule->buffers.data[buffer];
    DimTable *dims = schedule->graph->dims;
    const Dim *bytes = dim_mul(dims, type_elements(dims, &at->type),
                               dim_const(dims, (int64_t)dtype_bytes(at->type.dtype)));
    return bytes == NULL ? at->bytes : bytes;
}

const Dim *guarded_pages(const Schedule *schedule, uint32_t buffer)
{
    DimTable *dims = schedule->graph->dims;
    const Dim *page = dim_const(dims, GUARD_PAGE);
    return dim_mul(dims, dim_ceildiv(dims, guarded_bytes(schedule, buffer), page), page);
}

static int64_t guarded_offsets_at(const Schedule *schedule, const int64_t *symbols,
                                  int64_t *offsets)
{
    int64_t top = GUARD_PAGE;
    for (uint32_t i = 0; i < schedule->placement.count; i++) {
        uint32_t at = schedule->placement.data[i];
        int64_t bytes = dim_eval(guarded_bytes(schedule, at), symbols);
        int64_t pages = dim_eval(guarded_pages(schedule, at), symbols);
        if (bytes < 0 || top > INT64_MAX / 2 - GUARD_PAGE - pages) {
            return -1;
        }
        offsets[at] = top + pages - bytes;
        top += pages + GUARD_PAGE;
    }
    return schedule->placement.count > 0 ? top : 0;
}

/* ---- the closed forms, evaluated ---- */

/* offsets[buffer] for all; the total, or -1 when it does not fit into 63 bits. */
static int64_t offsets_at(const Schedule *schedule, const int64_t *symbols, int64_t *offsets)
{
    int64_t total = 0;
    if (schedule->guarded) {
        return guarded_offsets_at(schedule, symbols, offsets);
    }
    for (uint32_t i = 0; i < schedule->placement.count; i++) {
        uint32_t at = schedule->placement.data[i];
        const Buffer *buffer = &schedule->buffers.data[at];
        int64_t offset = 0, bytes = dim_eval(buffer->bytes, symbols);
        for (uint32_t k = 0; k < buffer->below.count; k++) {
            uint32_t under = buffer->below.data[k];
            int64_t end = offsets[under] + dim_eval(schedule->buffers.data[under].bytes, symbols);
            offset = end > offset ? end : offset;
        }
        offsets[at] = offset;
        if (bytes < 0 || offset > INT64_MAX / 2 - bytes) {
            return -1;
        }
        total = offset + bytes > total ? offset + bytes : total;
    }
    return total;
}

int64_t plan_bytes(const Schedule *schedule, const int64_t *symbols)
{
    Arena *scratch = arena_new();
    int64_t *offsets = ARENA_ARRAY(scratch, int64_t, schedule->buffers.count + 1);
    int64_t bytes = offsets_at(schedule, symbols, offsets);
    arena_free(scratch);
    return bytes;
}

int64_t plan_offset(const Schedule *schedule, uint32_t buffer, const int64_t *symbols)
{
    NNC_ASSERT(schedule->buffers.data[buffer].kind == STORAGE_ARENA);
    Arena *scratch = arena_new();
    int64_t *offsets = ARENA_ARRAY(scratch, int64_t, schedule->buffers.count + 1);
    int64_t bytes = offsets_at(schedule, symbols, offsets);
    int64_t offset = bytes < 0 ? -1 : offsets[home_of(schedule, buffer)];
    arena_free(scratch);
    return offset;
}
