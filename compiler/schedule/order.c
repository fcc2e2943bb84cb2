/* The order of execution. In: drafts with the groups that must run before each. Out:
 * Schedule.groups and group_of.
 *
 * A list scheduler: of the groups that may run now, one that frees more than it takes (at the hint
 * sizes) goes first, the most generous one; otherwise the oldest, which follows the program. So a
 * gradient is consumed by its optimiser update as soon as it is there, and a mask for the backward
 * pass is not drawn before its time. In the hostile build the order is any legal one, by seed.
 *
 * schedule_build tries other rules as well (OrderRule) and keeps the order that needs least. Where
 * every reader is to free its part, the three readers of a large gradient come before what makes
 * the next one:
 *
 *   dy 200 MB -> dw, db, dx 100 MB    dx -> 400 MB    oldest: dx and the 400 MB before db
  *
 * The ends of regions (regions.c) are in the list too: once a region is entered, only what is in it
 * may run until it is left, so its groups are neighbours.
 *
 * A draft that may not run yet waits for one that has to run before it, and looks for another one
 * when that has run; so only drafts that may run are looked at in a turn. */
#include "compiler/schedule/internal.h"

#include "runtime/base/bug.h"
#include "runtime/base/rng.h"

typedef struct {
    Builder *b;
    int64_t *bytes;    /* per buffer, at the hints; 0: not of the arena */
    uint32_t *waiting; /* per buffer: drafts not yet run that read it */
    uint64_t *done_bits; /* per draft */
    uint32_t *cursor;    /* per draft: words of `before` that are not known to be done, from 0 */
    int32_t *waiters;    /* per draft: the first that waits for it, NO_GROUP: none */
    int32_t *next_waiter;
    VEC(uint32_t) free; /* drafts that wait for nobody and have not run */
    int32_t region; /* where we are */
    int32_t next;   /* the only draft that may run now; NO_GROUP: any */
    uint64_t dice;
    OrderRule rule;
} Queue;

static void each_read(const Schedule *s, const Group *group, void (*visit)(Queue *, int32_t),
                      Queue *queue)
{
    for (uint32_t i = 0; i < group->operands.count; i++) {
        visit(queue, s->buffer_of[group->operands.data[i]->id]);
    }
    if (group->copy_from != NO_BUFFER) {
        visit(queue, group->copy_from);
    }
}

static void add_waiting(Queue *queue, int32_t buffer)
{
    queue->waiting[buffer]++;
}

static void take_waiting(Queue *queue, int32_t buffer)
{
    queue->waiting[buffer]--;
}

static int64_t balance(const Queue *queue, const Group *group)
{
    const Schedule *s = queue->b->schedule;
    int64_t taken = 0;
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        taken += queue->bytes[group->outputs.data[i].buffer];
    }
    for (uint32_t i = 0; i < group->operands.count; i++) {
        int32_t buffer = s->buffer_of[group->operands.data[i]->id];
        taken -= queue->waiting[buffer] == 1 ? queue->bytes[buffer] : 0;
    }
    return taken;
}

/* The same when every waiting reader of an operand frees an equal part of it. */
static int64_t shared_balance(const Queue *queue, const Group *group)
{
    const Schedule *s = queue->b->schedule;
    int64_t taken = 0;
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        taken += queue->bytes[group->outputs.data[i].buffer];
    }
    for (uint32_t i = 0; i < group->operands.count; i++) {
        int32_t buffer = s->buffer_of[group->operands.data[i]->id];
        taken -= queue->bytes[buffer] / (queue->waiting[buffer] ? queue->waiting[buffer] : 1);
    }
    return taken;
}

/* Finds somebody to wait for, or joins those who are free. The newest one is likely to run last:
 * most drafts wait once. */
static void wait_or_join(Queue *queue, uint32_t draft)
{
    const uint64_t *before = queue->b->drafts.data[draft].before;
    for (uint32_t *left = &queue->cursor[draft]; *left > 0; --*left) {
        uint32_t w = *left - 1;
        uint64_t missing = before[w] & ~queue->done_bits[w];
        if (missing) {
            uint32_t one = w * 64 + 63 - (uint32_t)__builtin_clzll(missing);
            queue->next_waiter[draft] = queue->waiters[one];
            queue->waiters[one] = (int32_t)draft;
            return;
        }
    }
    vec_push(queue->b->arena, &queue->free, draft);
}

static void wake_waiters(Queue *queue, int32_t draft)
{
    for (int32_t at = queue->waiters[draft], next; at != NO_GROUP; at = next) {
        next = queue->next_waiter[at];
        wait_or_join(queue, (uint32_t)at);
    }
    queue->waiters[draft] = NO_GROUP;
}

/* Of those who are free: is it in the region where we are? */
static bool is_ready(const Queue *queue, uint32_t draft)
{
    bool here = queue->b->drafts.data[draft].region == queue->region ||
                (int32_t)draft == queue->b->ends[queue->region].leave;
    return here && (queue->next == NO_GROUP || queue->next == (int32_t)draft);
}

/* A legal order by dice: reservoir sampling over what is ready. */
static int32_t pick_any(Queue *queue)
{
    int32_t picked = NO_GROUP;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < queue->free.count; i++) {
        uint32_t d = queue->free.data[i];
        if (is_ready(queue, d)) {
            queue->dice = rng_hash(&queue->dice, sizeof queue->dice, ++seen);
            picked = queue->dice % seen == 0 ? (int32_t)d : picked;
        }
    }
    return picked;
}

/* By age, then by number. */
static bool is_older(const Queue *queue, int32_t d, int32_t than)
{
    uint32_t a = queue->b->drafts.data[d].age, b = queue->b->drafts.data[than].age;
    return a != b ? a < b : d < than;
}

static int32_t pick_best(const Queue *queue)
{
    int32_t first = NO_GROUP, generous = NO_GROUP;
    int64_t least = 0, best = 0;
    for (uint32_t i = 0; i < queue->free.count; i++) {
        int32_t d = (int32_t)queue->free.data[i];
        if (!is_ready(queue, queue->free.data[i])) {
            continue;
        }
        const Group *group = queue->b->drafts.data[d].group;
        int64_t taken = balance(queue, group);
        int64_t score = queue->rule == ORDER_SHARING ? shared_balance(queue, group)
                        : queue->rule == ORDER_LEAST ? taken
                                                     : 0;
        if (first == NO_GROUP || score < best || (score == best && is_older(queue, d, first))) {
            first = d;
            best = score;
        }
        if (taken < least || (taken == least && generous != NO_GROUP && d < generous)) {
            least = taken;
            generous = d;
        }
    }
    return generous != NO_GROUP ? generous : first;
}

static void leave_free(Queue *queue, int32_t d)
{
    for (uint32_t i = 0; i < queue->free.count; i++) {
        if (queue->free.data[i] == (uint32_t)d) {
            queue->free.data[i] = queue->free.data[--queue->free.count];
            return;
        }
    }
}

/* Entering or leaving a region. After `then` nothing may come but `else`. */
static void pass_end(Queue *queue, int32_t d)
{
    const Builder *b = queue->b;
    int32_t groups = (int32_t)b->schedule->groups.count;
    for (int32_t i = 1; i < (int32_t)b->schedule->regions.count; i++) {
        ScheduleRegion *region = &b->schedule->regions.data[i];
        if (b->ends[i].enter == d) {
            region->first = groups;
            queue->region = i;
            queue->next = NO_GROUP;
        } else if (b->ends[i].leave == d) {
            region->last = groups - 1;
            queue->region = region->parent;
            queue->next = region->kind == REGION_THEN ? b->ends[i + 1].enter : NO_GROUP;
        }
    }
}

static void run(Queue *queue, int32_t d)
{
    Schedule *s = queue->b->schedule;
    const Draft *draft = &queue->b->drafts.data[d];
    leave_free(queue, d);
    queue->done_bits[d >> 6] |= UINT64_C(1) << (d & 63);
    for (uint32_t m = 0; m < draft->members.count; m++) {
        s->group_of[draft->members.data[m]->id] = (int32_t)s->groups.count;
    }
    if (draft->group->outputs.count > 0) { /* else merged into another */
        vec_push(s->arena, &s->groups, draft->group);
    }
    each_read(s, draft->group, take_waiting, queue);
    pass_end(queue, d);
    wake_waiters(queue, d);
}

#ifdef NNC_STRESS
enum { STRESS_SEED = 1 };
#else
enum { STRESS_SEED = 0 };
#endif

void choose_order(Builder *b, OrderRule rule)
{
    Schedule *s = b->schedule;
    uint64_t stress = b->options->stress_seed ? b->options->stress_seed : STRESS_SEED;
    Queue queue = {.b = b, .next = NO_GROUP, .dice = stress, .rule = rule};
    queue.bytes = ARENA_ARRAY(b->arena, int64_t, s->buffers.count + 1);
    queue.waiting = ARENA_ARRAY(b->arena, uint32_t, s->buffers.count + 1);
    queue.cursor = ARENA_ARRAY(b->arena, uint32_t, b->drafts.count + 1);
    queue.waiters = ARENA_ARRAY(b->arena, int32_t, b->drafts.count + 1);
    queue.next_waiter = ARENA_ARRAY(b->arena, int32_t, b->drafts.count + 1);
    queue.done_bits = ARENA_ARRAY(b->arena, uint64_t, b->words + 1);
    for (uint32_t i = 0; i < s->buffers.count; i++) {
        queue.bytes[i] = s->buffers.data[i].kind == STORAGE_ARENA
                             ? dim_at_hints(s, s->buffers.data[i].bytes)
                             : 0;
    }
    for (uint32_t d = 0; d < b->drafts.count; d++) {
        each_read(s, b->drafts.data[d].group, add_waiting, &queue);
        queue.waiters[d] = NO_GROUP;
        queue.cursor[d] = b->words;
    }
    for (uint32_t d = 0; d < b->drafts.count; d++) {
        wait_or_join(&queue, d);
    }
    for (uint32_t i = 0; i < b->drafts.count; i++) {
        int32_t next = stress ? pick_any(&queue) : pick_best(&queue);
        if (next == NO_GROUP) {
            NNC_BUG("groups wait for each other");
        }
        run(&queue, next);
    }
    s->regions.data[0].last = (int32_t)s->groups.count - 1;
}
