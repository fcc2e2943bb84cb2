/* Buffers: one for every value that is stored. In: drafts with their outputs. Out:
 * Schedule.buffers, buffer_of, and the extra edges and copies that updates need.
 *
 * An output of the graph is written where the caller wants it. The new value of a param or state
 * goes straight into the leaf's own buffer when everyone else who reads the old value can run
 * before (an edge for each), and the group itself reads it only at the element it writes; otherwise
 * into the arena, and a copy runs last:
 *
 *   p' = p - lr * g          written in place, after the products that read p
 *   a' = b, b' = a           t1 = b, t2 = a, then a = t1, b = t2 */
#include "compiler/schedule/internal.h"

#include "runtime/base/bug.h"

#include <string.h>

/* ---- making buffers ---- */

int32_t add_buffer(Builder *b, StorageKind kind, const char *name, const Type *type)
{
    Schedule *s = b->schedule;
    DimTable *dims = b->graph->dims;
    Buffer buffer = {.kind = kind,
                     .name = name,
                     .type = *type,
                     .in_place_of = NO_BUFFER,
                     .base = NO_BUFFER,
                     .region = NO_REGION,
                     .first = -1,
                     .last = -1};
    const Dim *bytes = dim_mul(dims, type_elements(dims, type),
                               dim_const(dims, (int64_t)dtype_bytes(type->dtype)));
    const Dim *line = dim_const(dims, 64);
    const Dim *lines = bytes == NULL ? NULL : dim_ceildiv(dims, bytes, line);
    buffer.bytes = lines == NULL ? NULL : dim_mul(dims, lines, line);
    if (buffer.bytes == NULL) {
        buffer.bytes =
            dim_const(dims, INT64_MAX / 2 / 64 * 64); /* cannot be allocated: refused at run time */
    }
    vec_push(s->arena, &s->buffers, buffer);
    return (int32_t)s->buffers.count - 1;
}

static Node *leaf_named(const Builder *b, const char *name)
{
    for (uint32_t i = 0; i < b->node_count; i++) {
        Node *n = b->graph->nodes.data[i];
        if ((n->op == OP_PARAM || n->op == OP_STATE) && strcmp(n->attr.leaf.name, name) == 0) {
            return n;
        }
    }
    return NULL;
}

static bool is_updated(const Builder *b, const char *name)
{
    return graph_root_find(b->graph, ROOT_UPDATE, name) != NULL;
}

static void add_leaves(Builder *b, OpCode op, StorageKind kind)
{
    for (uint32_t i = 0; i < b->node_count; i++) {
        const Node *n = b->graph->nodes.data[i];
        bool wanted =
            n->op == op && (b->live[i] || (op != OP_INPUT && is_updated(b, n->attr.leaf.name)));
        if (wanted) {
            b->schedule->buffer_of[i] = add_buffer(b, kind, n->attr.leaf.name, &n->type);
        }
    }
}

static void add_literals(Builder *b)
{
    for (uint32_t i = 0; i < b->node_count; i++) {
        const Node *n = b->graph->nodes.data[i];
        if (b->live[i] && n->op == OP_LITERAL) {
            int32_t at = add_buffer(b, STORAGE_CONSTANT, "literal", &n->type);
            b->schedule->buffers.data[at].data = n->attr.literal.data;
            b->schedule->buffers.data[at].data_bytes = n->attr.literal.bytes;
            b->schedule->buffer_of[i] = at;
        }
    }
}

/* ---- who reads leaves ---- */

/* Does a kernel of this group load everything of an element before it stores anything of it? An
 * epilogue does, once the sum is complete; rows with values of the whole domain store in several
 * passes. */
static bool loads_before_stores(const Draft *draft)
{
    const Group *group = draft->group;
    for (uint32_t i = 0; group->kind == GROUP_REDUCE && i < draft->members.count; i++) {
        if (same_dims(&draft->members.data[i]->type, group->rank, group->dims)) {
            return false;
        }
    }
    return group->kind == GROUP_LOOP || group->kind == GROUP_REDUCE ||
           group->kind == GROUP_CONTRACT;
}

/* Single elements have the same trace as operands of a contraction, which are read all along, and
 * of its epilogue. */
static bool may_contract(const Draft *draft, const Node *value)
{
    bool single = draft->group->kind == GROUP_CONTRACT;
    for (int i = 0; i < value->type.rank; i++) {
        single &= dim_is(value->type.dims[i], 1);
    }
    return single;
}

static void note_reader(void *user, const Node *value, const Trace *at)
{
    BufferPlan *plan = user;
    const Node *memory = memory_of(value);
    if (!has_data(memory) && memory->op != OP_CARRY) {
        return;
    }
    const Draft *draft = &plan->b->drafts.data[plan->draft];
    bool element = memory == value && loads_before_stores(draft) && !may_contract(draft, value) &&
                   trace_is_element(draft->group, value, at);
    vec_push(plan->b->arena, &plan->readers, (Reader){plan->draft, memory, element});
}

static void find_readers(BufferPlan *plan)
{
    Builder *b = plan->b;
    for (uint32_t d = 0; d < b->drafts.count; d++) {
        const Draft *draft = &b->drafts.data[d];
        plan->draft = (int32_t)d;
        for (uint32_t m = 0; m < draft->members.count; m++) {
            draft_reads(b, draft->group, draft->members.data[m], note_reader, plan);
        }
    }
}

/* ---- roots ---- */

int32_t add_copy(BufferPlan *plan, const Node *value, int32_t from, int32_t to, int32_t region)
{
    Builder *b = plan->b;
    Group *group = group_new(b, GROUP_LOOP);
    group->copy_from = from;
    group->region = region;
    group->rank = b->schedule->buffers.data[to].type.rank;
    memcpy(group->dims, b->schedule->buffers.data[to].type.dims, sizeof group->dims);
    vec_push(b->schedule->arena, &group->outputs, (GroupOutput){NULL, to});
    int32_t copy = draft_add(b, group);
    if (value != NULL) {
        int32_t maker = draft_making(b, value);
        if (maker != NO_GROUP) {
            draft_edge(b, maker, copy);
        }
        vec_push(b->arena, &plan->readers, (Reader){copy, memory_of(value), false});
    }
    return copy;
}

static int32_t copy_leaf(BufferPlan *plan, const Node *leaf, int32_t to)
{
    return add_copy(plan, leaf, plan->b->schedule->buffer_of[leaf->id], to, 0);
}

static bool writes_many(const Group *group)
{
    return group->kind == GROUP_LOOP || group->kind == GROUP_REDUCE ||
           group->kind == GROUP_CONTRACT;
}

bool write_to(Builder *b, const Node *n, int32_t buffer)
{
    Group *group = b->drafts.data[b->draft_of[n->id]].group;
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        if (group->outputs.data[i].node == n && group->outputs.data[i].buffer == NO_BUFFER) {
            group->outputs.data[i].buffer = buffer;
            b->schedule->buffer_of[n->id] = buffer;
            return true;
        }
    }
    if (writes_many(group)) {
        vec_push(b->schedule->arena, &group->outputs, (GroupOutput){(Node *)n, buffer});
    }
    return writes_many(group);
}

/* Does computing `from` inside of its own group come by n? */
static bool comes_by(const Builder *b, const Node *from, const Node *n, int32_t draft,
                     uint8_t *seen)
{
    if (from == n) {
        return true;
    }
    if (seen[from->id] || from->id < n->id ||
        (b->made[from->id] && b->draft_of[from->id] != draft)) {
        return false;
    }
    seen[from->id] = 1;
    for (int i = 0; i < from->nsrc; i++) {
        if (comes_by(b, from->src[i], n, draft, seen)) {
            return true;
        }
    }
    return false;
}

/* Is it stored before the last pass over the rows, because a reduction needs it? */
static bool is_early(const Builder *b, const Group *group, const Node *n)
{
    uint8_t *seen = ARENA_ARRAY(b->arena, uint8_t, b->node_count);
    for (uint32_t i = 0; i < group->reductions.count; i++) {
        if (comes_by(b, group->reductions.data[i], n, b->draft_of[n->id], seen)) {
            return true;
        }
    }
    return false;
}

/* Where a result of the whole rows will be, the stage before it can lie: it is read back at the
 * element that is then written. Not where an old value is still read: in params, states and
 * carries. */
static int32_t place_of_result(const Builder *b, const Group *group, const Node *stage)
{
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        const GroupOutput *result = &group->outputs.data[i];
        if (b->stage_only[result->node->id] || result->buffer == NO_BUFFER ||
            !same_dims(&result->node->type, group->rank, group->dims) ||
            is_early(b, group, result->node)) {
            continue;
        }
        const Buffer *place = &b->schedule->buffers.data[result->buffer];
        if ((place->kind == STORAGE_OUTPUT || place->kind == STORAGE_ARENA) && !place->carried &&
            result->node->type.dtype == stage->type.dtype) {
            return result->buffer;
        }
    }
    return NO_BUFFER;
}

static bool is_taken(const Group *group, int32_t buffer, uint32_t before)
{
    int taken = 0;
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        taken += group->outputs.data[i].buffer == buffer && i != before;
    }
    return taken > 1;
}

static void give_buffer(Builder *b, const Group *group, uint32_t i)
{
    GroupOutput *output = &group->outputs.data[i];
    bool stage = b->stage_only[output->node->id];
    int32_t place = stage ? place_of_result(b, group, output->node) : NO_BUFFER;
    if (place == NO_BUFFER || is_taken(group, place, i)) {
        place = add_buffer(b, STORAGE_ARENA, op_info[output->node->op].text, &output->node->type);
    }
    output->buffer = place;
    b->schedule->buffer_of[output->node->id] = place;
}

void give_place(Builder *b, const Node *n)
{
    const Group *group = b->drafts.data[b->draft_of[n->id]].group;
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        if (group->outputs.data[i].node == n && group->outputs.data[i].buffer == NO_BUFFER) {
            give_buffer(b, group, i);
        }
    }
}

static void give_buffers(Builder *b, const Group *group)
{
    for (int stages = 0; stages < 2; stages++) {
        for (uint32_t i = 0; i < group->outputs.count; i++) {
            const GroupOutput *output = &group->outputs.data[i];
            if (output->buffer == NO_BUFFER && b->stage_only[output->node->id] == stages) {
                give_buffer(b, group, i);
            }
        }
    }
}

static void set_output(BufferPlan *plan, const Root *root, int32_t buffer)
{
    Builder *b = plan->b;
    if (b->schedule->buffer_of[root->node->id] == buffer) {
        return; /* a loop writes it there */
    }
    if (has_memory(root->node)) {
        copy_leaf(plan, root->node, buffer);
    } else if (!write_to(b, root->node, buffer)) {
        copy_leaf(plan, root->node, buffer);
    }
}

/* May the draft overwrite the leaf? The edges that make it so are added when it may. */
static bool may_overwrite(BufferPlan *plan, int32_t draft, const Node *leaf)
{
    Builder *b = plan->b;
    for (uint32_t i = 0; i < plan->readers.count; i++) {
        const Reader *reader = &plan->readers.data[i];
        if (reader->value == leaf &&
            (reader->draft == draft ? !reader->element
                                    : !draft_may_precede(b, reader->draft, draft))) {
            return false;
        }
    }
    after_readers(plan, leaf, draft);
    return true;
}

void after_readers(BufferPlan *plan, const Node *leaf, int32_t draft)
{
    for (uint32_t i = 0; i < plan->readers.count; i++) {
        const Reader *reader = &plan->readers.data[i];
        if (reader->value == leaf && reader->draft != draft) {
            draft_edge(plan->b, reader->draft, draft);
        }
    }
}

void copy_at_end(BufferPlan *plan, const Node *value, int32_t before, int32_t from,
                 const Node *leaf, int32_t home, int32_t region)
{
    int32_t copy = add_copy(plan, value, from, home, region);
    if (before != NO_GROUP) {
        draft_edge(plan->b, before, copy);
    }
    after_readers(plan, leaf, copy);
}

/* Copies of leaves are readers of them, so all are made before anything may be overwritten. */
static void put_aside(BufferPlan *plan, uint32_t r)
{
    const Root *root = &plan->b->graph->roots.data[r];
    if (root->kind == ROOT_UPDATE && has_data(root->node) &&
        root->node != leaf_named(plan->b, root->name)) {
        int32_t kept = add_buffer(plan->b, STORAGE_ARENA, "kept", &root->node->type);
        plan->early[r] = copy_leaf(plan, root->node, kept);
    }
}

void write_over(BufferPlan *plan, const Node *n, const Node *leaf, int32_t home)
{
    Builder *b = plan->b;
    int32_t draft = b->draft_of[n->id];
    bool single =
        !writes_many(b->drafts.data[draft].group) && b->schedule->buffer_of[n->id] != NO_BUFFER;
    if (!single && may_overwrite(plan, draft, leaf)) {
        write_to(b, n, home);
        return;
    }
    give_place(b, n);
    copy_at_end(plan, n, draft, b->schedule->buffer_of[n->id], leaf, home,
                b->drafts.data[draft].region);
}

static void set_update(BufferPlan *plan, uint32_t r)
{
    Builder *b = plan->b;
    const Root *root = &b->graph->roots.data[r];
    const Node *leaf = leaf_named(b, root->name), *n = root->node;
    NNC_ASSERT(leaf != NULL);
    int32_t home = b->schedule->buffer_of[leaf->id];
    if (n == leaf) {
        return;
    }
    if (has_data(n)) {
        const Group *early = b->drafts.data[plan->early[r]].group;
        copy_at_end(plan, NULL, plan->early[r], early->outputs.data[0].buffer, leaf, home, 0);
    } else if (has_memory(n)) {
        copy_at_end(plan, n, NO_GROUP, b->schedule->buffer_of[n->id], leaf, home, 0);
    } else {
        write_over(plan, n, leaf, home);
    }
}

static void add_outputs(Builder *b)
{
    for (uint32_t r = 0; r < b->graph->roots.count; r++) {
        const Root *root = &b->graph->roots.data[r];
        if (root->kind == ROOT_OUTPUT) {
            add_buffer(b, STORAGE_OUTPUT, root->name, &root->node->type);
        }
    }
}

/* `first`: the buffer of the first output. */
static void add_roots(BufferPlan *plan, int32_t first)
{
    const Graph *graph = plan->b->graph;
    for (uint32_t r = 0; r < graph->roots.count; r++) {
        if (graph->roots.data[r].kind == ROOT_OUTPUT) {
            set_output(plan, &graph->roots.data[r], first++);
        }
    }
    plan->early = ARENA_ARRAY(plan->b->arena, int32_t, graph->roots.count + 1);
    for (uint32_t r = 0; r < graph->roots.count; r++) {
        put_aside(plan, r);
    }
    for (uint32_t r = 0; r < graph->roots.count; r++) {
        if (graph->roots.data[r].kind == ROOT_UPDATE) {
            set_update(plan, r);
        }
    }
}

/* ---- operands and views ---- */

typedef struct {
    Builder *b;
    int32_t draft;
    Group *group;
} Collector;

static void add_operand(void *user, const Node *value, const Trace *at)
{
    Collector *c = user;
    (void)at;
    for (uint32_t i = 0; i < c->group->operands.count; i++) {
        if (c->group->operands.data[i] == value) {
            return;
        }
    }
    if (c->b->draft_of[value->id] != c->draft) {
        vec_push(c->b->schedule->arena, &c->group->operands, (Node *)value);
    }
}

static void finish_group(Builder *b, uint32_t d)
{
    const Draft *draft = &b->drafts.data[d];
    Collector collector = {b, (int32_t)d, draft->group};
    give_buffers(b, draft->group);
    for (uint32_t m = 0; m < draft->members.count; m++) {
        draft_reads(b, draft->group, draft->members.data[m], add_operand, &collector);
    }
}

static void find_views(Builder *b, Group *group)
{
    for (int k = 0; group->kind == GROUP_CONTRACT && k < 2; k++) {
        if (!view_of(b->schedule, group->node->src[k], &group->views[k])) {
            NNC_BUG("operand %d of node %u is no view", k, group->node->id);
        }
    }
}

enum { PART_WORK = 32768, PART_COLUMNS = 16384 };

/* Room for the leaves of sums over the leading axes, when there is work for threads in them: leaves
 * x reductions x columns of one type. NULL: one pass does it. */
static const Dim *room_for_leaves(Builder *b, const Group *group)
{
    DimTable *dims = b->graph->dims;
    int64_t columns, leaf = 0, work = 1, size;
    int count = group->reduced.count;
    if (count == 0 || group->reduced.axis[count - 1] != count - 1 || count == group->rank ||
        !dim_is_const(dim_product(dims, group->dims + count, group->rank - count), &columns)) {
        return NULL;
    }
    for (uint32_t i = 0; i < group->reductions.count; i++) {
        const Node *n = group->reductions.data[i];
        leaf = op_info[n->op].attr == AT_AXES ? graph_sum_order(n).leaf : 0;
        if (leaf == 0 || n->type.dtype == DT_BOOL ||
            n->type.dtype != group->reductions.data[0]->type.dtype) {
            return NULL;
        }
    }
    for (int i = 1; i < count; i++) {
        work *=
            dim_is_const(group->dims[i], &size) && size < PART_WORK && work < PART_WORK ? size : 1;
    }
    if (columns > PART_COLUMNS || columns * work * leaf < PART_WORK) {
        return NULL;
    }
    const Dim *leaves = dim_ceildiv(dims, group->dims[0], dim_const(dims, leaf));
    return dim_mul(dims, leaves, dim_const(dims, columns * (int64_t)group->reductions.count));
}

static void add_scratch(Builder *b, Group *group)
{
    if (group->kind == GROUP_REDUCE && b->options->fuse) {
        const Dim *room = room_for_leaves(b, group);
        if (room != NULL) {
            Type type = {.dtype = group->reductions.data[0]->type.dtype, .rank = 1, .dims = {room}};
            group->scratch = add_buffer(b, STORAGE_ARENA, "leaves", &type);
        }
    }
    if (group->kind == GROUP_SORT) {
        group->scratch = add_buffer(b, STORAGE_ARENA, "order", &group->node->type);
    }
    if (group->kind != GROUP_CONTRACT || b->options->scratch == NULL) {
        return;
    }
    const Dim *bytes =
        b->options->scratch(b->options->scratch_user, b->schedule, group, &group->packed);
    if (bytes != NULL && !dim_is(bytes, 0)) {
        Type type = {.dtype = DT_U8, .rank = 1, .dims = {bytes}};
        group->scratch = add_buffer(b, STORAGE_ARENA, "scratch", &type);
    }
}

void assign_buffers(Builder *b)
{
    BufferPlan plan = {.b = b};
    add_leaves(b, OP_INPUT, STORAGE_INPUT);
    add_leaves(b, OP_PARAM, STORAGE_PARAM);
    add_leaves(b, OP_STATE, STORAGE_STATE);
    plan.first_output = (int32_t)b->schedule->buffers.count;
    add_outputs(b);
    b->schedule->externals = b->schedule->buffers.count;
    add_literals(b);
    find_readers(&plan);
    add_loop_buffers(&plan);
    settle_loops(&plan);
    add_roots(&plan, plan.first_output);
    for (uint32_t d = 0; d < b->drafts.count; d++) {
        finish_group(b, d);
    }
    settle_slices(b);
    for (uint32_t d = 0; d < b->drafts.count; d++) {
        find_views(b, b->drafts.data[d].group);
        add_scratch(b, b->drafts.data[d].group);
    }
}
