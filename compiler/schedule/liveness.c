/* Lifetimes of arena buffers in the execution order, and which output may take the memory of a
 * dying operand.
 *
 * In: the groups in order. Out: Buffer.first and .last (positions of groups, both included),
 * Buffer.in_place_of. An output is made in place of an operand that dies in its group when every
 * read of that operand is at the element being written: the kernel loads before it stores (an
 * epilogue does so once its sum is complete). In rows this also holds for a stage of the same row:
 *
 *   e = exp(x) in one loop, y = e / 2 in the next      y takes the place of e
 *
 * Loops: a buffer belongs to the innermost region that holds all who touch it (Buffer.region). In a
 * loop inside of that it lives from end to end, for every iteration may read what was there before,
 * and dies nowhere in it. So carries, stacks and what a body reads from outside need no rule of
 * their own. */
#include "compiler/schedule/internal.h"

typedef struct {
    Builder *b;
    const Group *group;
    const Node *operand;
    bool read, elsewhere; /* is it read, and at another element than the one written? */
} Probe;

static void probe_read(void *user, const Node *value, const Trace *at)
{
    Probe *probe = user;
    if (value == probe->operand) {
        probe->read = true;
        probe->elsewhere |= !same_dims(&value->type, probe->group->rank, probe->group->dims) ||
                            !trace_is_element(probe->group, value, at);
    }
}

static bool reads_elements_only(Builder *b, const Group *group, const Node *operand)
{
    Probe probe = {b, group, operand, false, false};
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        draft_reads(b, group, group->outputs.data[i].node, probe_read, &probe);
    }
    for (uint32_t i = 0; i < group->reductions.count; i++) {
        draft_reads(b, group, group->reductions.data[i], probe_read, &probe);
    }
    if (group->node != NULL) {
        draft_reads(b, group, group->node, probe_read, &probe);
    }
    return probe.read && !probe.elsewhere;
}

static bool is_arena(const Schedule *s, int32_t buffer)
{
    return buffer != NO_BUFFER && s->buffers.data[buffer].kind == STORAGE_ARENA;
}

/* Does a reduction of the group, or another output, read this output? Then it is a stage and stored
 * before the last pass. */
static bool is_stage(Builder *b, const Group *group, const Node *n)
{
    Probe probe = {b, group, n, false, false};
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        if (group->outputs.data[i].node != n) {
            draft_reads(b, group, group->outputs.data[i].node, probe_read, &probe);
        }
    }
    for (uint32_t i = 0; i < group->reductions.count; i++) {
        draft_reads(b, group, group->reductions.data[i], probe_read, &probe);
    }
    return probe.read;
}

/* A contraction reads its two operands all along, also where they are single elements. */
static bool is_contracted(const Group *group, int32_t buffer)
{
    return group->kind == GROUP_CONTRACT &&
           (group->views[0].buffer == buffer || group->views[1].buffer == buffer);
}

static bool may_replace(Builder *b, int32_t position, const Group *group, const Node *operand,
                        const Node *output)
{
    const Schedule *s = b->schedule;
    int32_t buffer = s->buffer_of[operand->id];
    return is_arena(s, buffer) && operand != output && buffer != s->buffer_of[output->id] &&
           s->buffers.data[buffer].last == position &&
           s->buffers.data[buffer].region == group->region && !is_contracted(group, buffer) &&
           dtype_bytes(operand->type.dtype) == dtype_bytes(output->type.dtype) &&
           same_dims(&operand->type, output->type.rank, output->type.dims) &&
           reads_elements_only(b, group, operand);
}

/* A stage that lies in the same buffer is stored while later stages may still read the operand. */
static bool holds_stage(const Group *group, const GroupOutput *output)
{
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        const GroupOutput *other = &group->outputs.data[i];
        if (other->buffer == output->buffer && other->node != output->node) {
            return true;
        }
    }
    return false;
}

/* `taken` says per buffer whether another one is in its place already. */
static void try_in_place(Builder *b, int32_t position, const Group *group,
                         const GroupOutput *output, bool *taken)
{
    Schedule *s = b->schedule;
    bool full = same_dims(&output->node->type, group->rank, group->dims);
    bool kind = group->kind == GROUP_LOOP || group->kind == GROUP_CONTRACT ||
                (group->kind == GROUP_REDUCE && group->rows);
    bool begins = is_arena(s, output->buffer) &&
                  s->buffers.data[output->buffer].first == position &&
                  s->buffers.data[output->buffer].region == group->region;
    if (!full || !kind || !begins || is_stage(b, group, output->node) ||
        holds_stage(group, output)) {
        return;
    }
    /* In rows an earlier stage may be replaced, too. */
    uint32_t from = group->rows ? 0 : group->outputs.count;
    for (uint32_t i = from; i < group->outputs.count + group->operands.count; i++) {
        const Node *operand = i < group->outputs.count
                                  ? group->outputs.data[i].node
                                  : group->operands.data[i - group->outputs.count];
        if (may_replace(b, position, group, operand, output->node) &&
            !taken[s->buffer_of[operand->id]]) {
            s->buffers.data[output->buffer].in_place_of = s->buffer_of[operand->id];
            taken[s->buffer_of[operand->id]] = true;
            return;
        }
    }
}

/* Calls visit for all that a group touches. */
typedef void Touch(Schedule *s, int32_t buffer, int32_t region, int32_t position);

static void touch_all(Schedule *s, Touch *touch)
{
    for (int32_t g = 0; g < (int32_t)s->groups.count; g++) {
        const Group *group = s->groups.data[g];
        for (uint32_t i = 0; i < group->outputs.count; i++) {
            touch(s, group->outputs.data[i].buffer, group->region, g);
        }
        for (uint32_t i = 0; i < group->operands.count; i++) {
            touch(s, s->buffer_of[group->operands.data[i]->id], group->region, g);
        }
        touch(s, group->copy_from, group->region, g);
        touch(s, group->scratch, group->region, g);
        if (group->hoisted != NO_REGION) {
            const ScheduleRegion *loop = &s->regions.data[group->hoisted];
            touch(s, group->scratch, loop->parent, loop->first);
        }
    }
    for (uint32_t i = 1; i < s->regions.count; i++) {
        const ScheduleRegion *region = &s->regions.data[i];
        bool runs = region->first <= region->last;
        if (runs) {
            touch(s, region->condition, region->parent, region->first);
        }
        if (runs && region->kind == REGION_LOOP) {
            touch(s, region->condition, region->parent, region->last);
        }
    }
}

static void find_region(Schedule *s, int32_t buffer, int32_t region, int32_t position)
{
    buffer = buffer_home(s, buffer);
    (void)position;
    if (is_arena(s, buffer)) {
        Buffer *at = &s->buffers.data[buffer];
        at->region = at->region == NO_REGION ? region : schedule_common(s, at->region, region);
    }
}

static void extend(Schedule *s, int32_t buffer, int32_t region, int32_t position)
{
    buffer = buffer_home(s, buffer);
    if (!is_arena(s, buffer)) {
        return;
    }
    Buffer *at = &s->buffers.data[buffer];
    int32_t first = position, last = position;
    if (region != at->region) {
        const ScheduleRegion *inner = &s->regions.data[schedule_below(s, at->region, region)];
        first = inner->first;
        last = inner->last;
    }
    at->first = at->first < 0 || first < at->first ? first : at->first;
    at->last = at->last < last ? last : at->last;
}

void find_lifetimes(Builder *b)
{
    Schedule *s = b->schedule;
    for (uint32_t g = 0; g < s->groups.count; g++) {
        Group *group = s->groups.data[g];
        group->hoisted =
            group->packed != NO_BUFFER ? schedule_invariant(s, group, group->packed) : NO_REGION;
    }
    touch_all(s, find_region);
    touch_all(s, extend);
    bool *taken = ARENA_ARRAY(b->arena, bool, s->buffers.count + 1);
    for (uint32_t i = 0; i < s->buffers.count; i++) {
        if (s->buffers.data[i].in_place_of != NO_BUFFER) {
            taken[s->buffers.data[i].in_place_of] = true;
        }
    }
    for (uint32_t g = 0; b->options->plan && g < s->groups.count; g++) {
        const Group *group = s->groups.data[g];
        for (uint32_t i = 0; i < group->outputs.count; i++) {
            if (group->outputs.data[i].node != NULL) {
                try_in_place(b, (int32_t)g, group, &group->outputs.data[i], taken);
            }
        }
    }
}
