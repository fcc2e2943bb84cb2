/* Buffers of loops and branches, and who writes them.
 *
 *   carry    one buffer from its first value to the last reader of its final; the next value is
 *            written in place where all readers of the old one run before, else copied at the end
 *   stack    one buffer; the group of the stacked value writes to its slice t
 *   at       slice t of the buffer of what is sliced: nothing is copied
 *   result   of a branch: one buffer, written by both sides
 *
 * A value that its own group cannot write there (it is outside, or is itself a carry, a slice, a
 * result of something) is copied by a group of the region. What needs no memory, like a constant,
 * is computed where it is wanted.
 *
 *   h' = o * tanh(c')  is stacked and the next h:   one group writes slice t and the carry */
#include "compiler/schedule/internal.h"

#include "runtime/base/bug.h"

#include <string.h>

/* ---- buffers ---- */

/* An output of the graph can be the memory of what a loop leaves behind. */
static int32_t output_of(const BufferPlan *plan, const Node *n)
{
    const Graph *graph = plan->b->graph;
    int32_t buffer = plan->first_output;
    for (uint32_t r = 0; r < graph->roots.count; r++) {
        if (graph->roots.data[r].kind == ROOT_OUTPUT && graph->roots.data[r].node == n) {
            return buffer;
        }
        buffer += graph->roots.data[r].kind == ROOT_OUTPUT;
    }
    return NO_BUFFER;
}

static int32_t *row_of(const BufferPlan *plan, const Node *closer)
{
    return plan->rows[closer->id];
}

static void add_row(BufferPlan *plan, const Node *closer)
{
    Builder *b = plan->b;
    bool loop = closer->op == OP_LOOP;
    int count = closer->nsrc / 2;
    int32_t *row = ARENA_ARRAY(b->arena, int32_t, count + 1);
    for (int i = 0; i < count; i++) {
        row[i] = NO_BUFFER;
    }
    for (uint32_t i = closer->id + 1; i < b->node_count; i++) {
        const Node *n = b->graph->nodes.data[i];
        if (b->live[i] && n->op == OP_FINAL && n->src[0] == closer) {
            row[n->attr.final.index] = output_of(plan, n);
        }
    }
    for (int i = 0; i < count; i++) {
        if (row[i] == NO_BUFFER) {
            row[i] = add_buffer(b, STORAGE_ARENA, loop ? "carry" : "result",
                                &closer->src[loop ? i : 1 + i]->type);
        }
        b->schedule->buffers.data[row[i]].carried = loop;
    }
    plan->rows[closer->id] = row;
}

static int32_t add_slice(Builder *b, const Type *type, int32_t base, int32_t region)
{
    int32_t slice = add_buffer(b, STORAGE_SLICE, "slice", type);
    Buffer *buffer = &b->schedule->buffers.data[slice];
    DimTable *dims = b->graph->dims;
    const Dim *bytes = dim_mul(dims, type_elements(dims, type),
                               dim_const(dims, (int64_t)dtype_bytes(type->dtype)));
    buffer->bytes = bytes != NULL ? bytes : buffer->bytes;
    buffer->base = base;
    buffer->region = region;
    return slice;
}

static int32_t loop_numbered(const Builder *b, uint32_t id)
{
    const Schedule *s = b->schedule;
    for (uint32_t i = 1; i < s->regions.count; i++) {
        if (s->regions.data[i].kind == REGION_LOOP && s->regions.data[i].node->attr.loop.id == id) {
            return (int32_t)i;
        }
    }
    NNC_BUG("loop %u is not there", id);
}

static int32_t loop_buffer(BufferPlan *plan, const Node *n)
{
    Builder *b = plan->b;
    int32_t region;
    switch (n->op) {
    case OP_CARRY:
        region = loop_numbered(b, n->attr.carry.loop);
        return row_of(plan, b->schedule->regions.data[region].node)[n->attr.carry.index];
    case OP_FINAL:
        return row_of(plan, n->src[0])[n->attr.final.index];
    case OP_AT:
        return add_slice(b, &n->type, NO_BUFFER, loop_numbered(b, n->attr.at.loop));
    case OP_STACK:
        region = output_of(plan, n);
        return region != NO_BUFFER ? region : add_buffer(b, STORAGE_ARENA, "stack", &n->type);
    default:
        return NO_BUFFER;
    }
}

void add_loop_buffers(BufferPlan *plan)
{
    Builder *b = plan->b;
    plan->rows = ARENA_ARRAY(b->arena, int32_t *, b->node_count + 1);
    for (uint32_t i = 1; i < b->schedule->regions.count; i++) {
        if (b->schedule->regions.data[i].kind != REGION_ELSE) {
            add_row(plan, b->schedule->regions.data[i].node);
        }
    }
    for (uint32_t i = 0; b->schedule->regions.count > 1 && i < b->node_count; i++) {
        const Node *n = b->graph->nodes.data[i];
        if (b->live[i] && class_of(n) == CLASS_LOOP) {
            b->schedule->buffer_of[i] = loop_buffer(plan, n);
        }
    }
}

void settle_slices(Builder *b)
{
    for (uint32_t i = 0; b->schedule->regions.count > 1 && i < b->node_count; i++) {
        const Node *n = b->graph->nodes.data[i];
        if (b->live[i] && n->op == OP_AT) {
            int32_t base = b->schedule->buffer_of[sliced_value(n)->id];
            NNC_ASSERT(base != NO_BUFFER);
            b->schedule->buffers.data[b->schedule->buffer_of[i]].base = base;
        }
    }
}

/* ---- who writes them ---- */

/* A group that computes a value without operands, or (NULL) zeros. */
static int32_t add_fill(BufferPlan *plan, Node *n, int32_t to, int32_t region)
{
    Builder *b = plan->b;
    Group *group = group_new(b, GROUP_LOOP);
    const Type *type = &b->schedule->buffers.data[to].type;
    group->region = region;
    group->zeros = n == NULL;
    group->rank = type->rank;
    memcpy(group->dims, type->dims, sizeof group->dims);
    vec_push(b->schedule->arena, &group->outputs, (GroupOutput){n, to});
    return draft_add(b, group);
}

static bool needs_no_memory(const Builder *b, const Node *n)
{
    return class_of(n) == CLASS_LEAF && !has_data(n) && !b->made[n->id];
}

/* Where a value is read that a group makes. */
static int32_t place_of(Builder *b, const Node *n)
{
    if (b->schedule->buffer_of[n->id] == NO_BUFFER) {
        give_place(b, n);
    }
    return b->schedule->buffer_of[n->id];
}

static bool is_made_in(const Builder *b, const Node *n, int32_t region)
{
    return !has_memory(n) && b->drafts.data[b->draft_of[n->id]].region == region;
}

/* Brings the value of n to the buffer, within the region. `alone`: its own group may take this
 * buffer for the only place of the value. Returns the draft that does it. */
static int32_t bring(BufferPlan *plan, Node *n, int32_t to, int32_t region, bool alone)
{
    Builder *b = plan->b;
    n = below_enters(n);
    if (needs_no_memory(b, n)) {
        return add_fill(plan, n, to, region);
    }
    if (is_made_in(b, n, region)) {
        if (!alone) {
            place_of(b, n);
        }
        if (write_to(b, n, to)) {
            return b->draft_of[n->id];
        }
    }
    return add_copy(plan, n, place_of(b, n), to, region);
}

static void settle_stacks(BufferPlan *plan, const Node *loop, int32_t region)
{
    Builder *b = plan->b;
    const Schedule *s = b->schedule;
    for (uint32_t i = loop->id + 1; i < b->node_count; i++) {
        const Node *n = b->graph->nodes.data[i];
        if (!b->live[i] || n->op != OP_STACK || n->src[0] != loop) {
            continue;
        }
        int32_t whole = s->buffer_of[i];
        if (loop->attr.loop.conditional) {
            int32_t zeros = add_fill(plan, NULL, whole, s->regions.data[region].parent);
            draft_edge_exact(b, zeros, region_enter(b, region));
        }
        bring(plan, n->src[1], add_slice(b, &n->src[1]->type, whole, region), region, true);
    }
}

/* The condition is read where the branch begins. */
static void settle_condition(BufferPlan *plan, Node *n, int32_t region)
{
    Builder *b = plan->b;
    int32_t enter = region_enter(b, region), place;
    if (needs_no_memory(b, n)) {
        place = add_buffer(b, STORAGE_ARENA, "condition", &n->type);
        int32_t parent = b->schedule->regions.data[region].parent;
        draft_edge_exact(b, add_fill(plan, n, place, parent), enter);
    } else {
        place = place_of(b, n);
        vec_push(b->arena, &plan->readers, (Reader){enter, memory_of(n), false});
    }
    ScheduleRegion *sides = &b->schedule->regions.data[region];
    sides[0].condition = sides[1].condition = place;
}

static void settle_branch(BufferPlan *plan, const Node *branch, int32_t region)
{
    int count = branch->nsrc / 2;
    for (int i = 0; i < 2 * count; i++) {
        bring(plan, branch->src[1 + i], row_of(plan, branch)[i % count], region + i / count, true);
    }
    settle_condition(plan, below_enters(branch->src[0]), region);
}

/* A first value that nobody else wants can be made in the carry itself. */
static bool is_alone(const Builder *b, const Node *init)
{
    return !b->read[init->id] && b->pinned[init->id] == 1 && !b->is_root[init->id];
}

static void settle_inits(BufferPlan *plan, const Node *loop, int32_t region)
{
    Builder *b = plan->b;
    int32_t parent = b->schedule->regions.data[region].parent;
    for (int i = 0; i < loop->nsrc / 2; i++) {
        Node *init = loop->src[i];
        int32_t draft = bring(plan, init, row_of(plan, loop)[i], parent, is_alone(b, init));
        draft_edge(b, draft, region_enter(b, region));
    }
    if (loop->attr.loop.conditional) {
        b->schedule->regions.data[region].condition = row_of(plan, loop)[0];
    }
}

static const Node *carry_numbered(const Builder *b, const Node *loop, int index)
{
    for (uint32_t i = 0; i < b->node_count; i++) {
        const Node *n = b->graph->nodes.data[i];
        if (n->op == OP_CARRY && n->attr.carry.loop == loop->attr.loop.id &&
            n->attr.carry.index == index) {
            return b->live[i] ? n : NULL;
        }
    }
    return NULL;
}

/* A carry of the loop itself that becomes another one is put aside before anything is written over.
 */
static void put_carries_aside(BufferPlan *plan, const Node *loop, int32_t region, int32_t *kept)
{
    Builder *b = plan->b;
    int count = loop->nsrc / 2;
    for (int i = 0; i < count; i++) {
        const Node *next = loop->src[count + i];
        kept[i] = NO_GROUP;
        if (next->op == OP_CARRY && next->attr.carry.loop == loop->attr.loop.id &&
            next->attr.carry.index != i) {
            int32_t to = add_buffer(b, STORAGE_ARENA, "kept", &next->type);
            kept[i] = add_copy(plan, next, b->schedule->buffer_of[next->id], to, region);
        }
    }
}

static void settle_next(BufferPlan *plan, const Node *loop, int32_t region, int index, int32_t kept)
{
    Builder *b = plan->b;
    Node *next = below_enters(loop->src[loop->nsrc / 2 + index]);
    const Node *carry = carry_numbered(b, loop, index);
    int32_t home = row_of(plan, loop)[index];
    if (next == carry) {
        return;
    }
    if (kept != NO_GROUP) {
        int32_t from = b->drafts.data[kept].group->outputs.data[0].buffer;
        copy_at_end(plan, NULL, kept, from, carry, home, region);
    } else if (needs_no_memory(b, next)) {
        after_readers(plan, carry, add_fill(plan, next, home, region));
    } else if (is_made_in(b, next, region)) {
        write_over(plan, next, carry, home);
    } else {
        copy_at_end(plan, next, NO_GROUP, place_of(b, next), carry, home, region);
    }
}

static void settle_nexts(BufferPlan *plan, const Node *loop, int32_t region)
{
    int count = loop->nsrc / 2;
    int32_t *kept = ARENA_ARRAY(plan->b->arena, int32_t, count + 1);
    put_carries_aside(plan, loop, region, kept);
    for (int i = 0; i < count; i++) {
        settle_next(plan, loop, region, i, kept[i]);
    }
}

/* Copies of carries read them, so all are there before anything is written over: inner loops first,
 * which read the carries of outer ones. */
void settle_loops(BufferPlan *plan)
{
    const Schedule *s = plan->b->schedule;
    for (int32_t i = 1; i < (int32_t)s->regions.count; i++) {
        const Node *closer = s->regions.data[i].node;
        if (s->regions.data[i].kind == REGION_LOOP) {
            settle_inits(plan, closer, i);
            settle_stacks(plan, closer, i);
        } else if (s->regions.data[i].kind == REGION_THEN) {
            settle_branch(plan, closer, i);
        }
    }
    for (int32_t i = (int32_t)s->regions.count - 1; i > 0; i--) {
        if (s->regions.data[i].kind == REGION_LOOP) {
            settle_nexts(plan, s->regions.data[i].node, i);
        }
    }
}
