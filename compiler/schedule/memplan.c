/* The memory plan: offsets of arena buffers as closed forms of the free dimensions.
 *
 * In: lifetimes. Out: Buffer.below, .hint_offset and Schedule.placement. At the hint sizes buffers
 * are placed one by one, the largest first, each into the smallest gap that fits between buffers
 * live at the same time (best fit). What is kept of that is only the vertical order: for two
 * buffers that live together, which is below the other. Then
 *
 *   offset(a) = max over b in below(a) of offset(b) + bytes(b)
 *
 * separates them at any size, never exceeds the placed offset at the hints, and grows with every
 * dimension: a smaller batch never needs more. `below` is thinned: what is below something below
 * needs no mention. */
#include "compiler/schedule/internal.h"

#include "runtime/base/bug.h"

#include <stdlib.h>

/* One stretch of memory: a buffer and those made in its place one after the other. */
typedef struct {
    uint32_t buffer;
    int32_t first, last;
    int64_t bytes, offset;
    bool placed;
} Slot;

typedef struct {
    Schedule *s;
    Slot *slots;
    uint32_t count;
    uint64_t *below; /* count x words bits, before thinning */
    uint32_t words;
} Planner;

int64_t dim_at_hints(const Schedule *schedule, const Dim *dim)
{
    int64_t value = dim_eval(dim, schedule->hints);
    return value < 0 ? (int64_t)1 << 48 : value;
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
    p->slots = ARENA_ARRAY(s->arena, Slot, s->buffers.count + 1);
    for (uint32_t i = 0; i < s->buffers.count; i++) {
        const Buffer *buffer = &s->buffers.data[i];
        if (buffer->kind == STORAGE_ARENA && buffer->in_place_of == NO_BUFFER) {
            slot_of[i] = (int32_t)p->count;
            p->slots[p->count++] =
                (Slot){i, buffer->first, buffer->last, dim_at_hints(s, buffer->bytes), 0, false};
        }
    }
    for (uint32_t i = 0; i < s->buffers.count; i++) {
        const Buffer *buffer = &s->buffers.data[i];
        if (buffer->kind == STORAGE_ARENA && buffer->in_place_of != NO_BUFFER) {
            Slot *slot = &p->slots[slot_of[home_of(s, i)]];
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

/* Neighbours that live at the same time as `slot`, by offset. */
static uint32_t placed_neighbours(const Planner *p, const Slot *slot, Slot *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->slots[i].placed && together(slot, &p->slots[i])) {
            out[count++] = p->slots[i];
        }
    }
    qsort(out, count, sizeof *out, by_offset);
    return count;
}

static void place(const Planner *p, Slot *slot, Slot *scratch)
{
    uint32_t count = placed_neighbours(p, slot, scratch);
    int64_t top = 0, best = -1, best_gap = INT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        int64_t gap = scratch[i].offset - top;
        if (gap >= slot->bytes && gap < best_gap) {
            best = top;
            best_gap = gap;
        }
        int64_t end = scratch[i].offset + scratch[i].bytes;
        top = end > top ? end : top;
    }
    slot->offset = best >= 0 ? best : top;
    slot->placed = true;
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

void place_buffers(Schedule *schedule, bool share)
{
    Planner planner = {.s = schedule};
    make_slots(&planner);
    schedule->live_bytes = most_live(&planner, schedule->groups.count);
    if (share) {
        Slot *scratch = ARENA_ARRAY(schedule->arena, Slot, planner.count + 1);
        qsort(planner.slots, planner.count, sizeof(Slot), by_size);
        for (uint32_t i = 0; i < planner.count; i++) {
            place(&planner, &planner.slots[i], scratch);
        }
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

/* ---- the closed forms, evaluated ---- */

/* offsets[buffer] for all; the total, or -1 when it does not fit into 63 bits. */
static int64_t offsets_at(const Schedule *schedule, const int64_t *symbols, int64_t *offsets)
{
    int64_t total = 0;
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
