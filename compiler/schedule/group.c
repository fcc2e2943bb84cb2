/* Which made values share a kernel. In: Builder.made. Out: drafts of groups and the order they
 * need.
 *
 * Values are taken in creation order, producers first, and what is in a loop before the loop is
 * closed. A value joins the group of one of its operands when it reads that group's values only at
 * the element being computed (trace_is_element), and when no detour leads from the group through
 * others back into it; else it founds a group. The traces decide what "the element" is:
 *
 *   m = amax(x, 1)                reduce over [B, 10] axes 1
 *   e = exp(x - expand(m))        reads m at domain axis 0: joins as a full member (rows only)
 *   s = sum(e, 1)                 joins as the second reduction
 *   y = e / expand(s)             joins; x is read once from memory, and e never leaves the row
 *
 * Draft.before holds the groups that must run earlier, transitively closed, as one bit each. A
 * group is of one region: what is in a loop never joins what is outside (regions.c). */
#include "compiler/schedule/internal.h"

#include "runtime/base/bug.h"

#include <string.h>

enum {
    MEMBER_LIMIT = 12,
    OPERAND_LIMIT = 24,
    SIBLING_SPAN = 24,
    KEEP_COST = 8,
    SMALL_ROW = 64,
    WINDOW_SAVING = 4
};

Group *group_new(Builder *b, GroupKind kind)
{
    Group *group = ARENA_NEW(b->schedule->arena, Group);
    group->kind = kind;
    group->scratch = NO_BUFFER;
    group->copy_from = NO_BUFFER;
    group->packed = NO_BUFFER;
    group->hoisted = NO_REGION;
    return group;
}

/* ---- the order between drafts ---- */

static bool bit(const uint64_t *bits, int32_t i)
{
    return bits[i >> 6] >> (i & 63) & 1;
}

bool draft_runs_before(const Builder *b, int32_t first, int32_t second)
{
    return bit(b->drafts.data[second].before, first);
}

static void set_bit(uint64_t *bits, int32_t i)
{
    bits[i >> 6] |= UINT64_C(1) << (i & 63);
}

/* `first` and all that runs before it now run before d. */
static void add_before(Builder *b, uint32_t d, int32_t first)
{
    uint64_t *before = b->drafts.data[d].before;
    const uint64_t *more = b->drafts.data[first].before;
    for (uint32_t w = 0; w < b->words; w++) {
        before[w] |= more[w];
    }
    set_bit(before, first);
}

void draft_edge_exact(Builder *b, int32_t first, int32_t second)
{
    NNC_ASSERT(first != second && !draft_runs_before(b, second, first));
    if (draft_runs_before(b, first, second)) {
        return;
    }
    /* A new draft has nobody behind it, so most edges change one set. */
    bool followed = bit(b->followed, second);
    for (uint32_t d = followed ? 0 : (uint32_t)second; d < b->drafts.count; d++) {
        if ((int32_t)d == second || bit(b->drafts.data[d].before, second)) {
            add_before(b, d, first);
        }
        if (!followed) {
            break;
        }
    }
    set_bit(b->followed, first);
}

static void widen_bits(Builder *b)
{
    uint32_t words = b->words ? b->words * 2 : 1;
    for (uint32_t d = 0; d < b->drafts.count; d++) {
        uint64_t *wide = ARENA_ARRAY(b->arena, uint64_t, words);
        if (b->words) {
            memcpy(wide, b->drafts.data[d].before, b->words * sizeof *wide);
        }
        b->drafts.data[d].before = wide;
    }
    uint64_t *followed = ARENA_ARRAY(b->arena, uint64_t, words);
    if (b->words) {
        memcpy(followed, b->followed, b->words * sizeof *followed);
    }
    b->followed = followed;
    b->words = words;
}

int32_t draft_add(Builder *b, Group *group)
{
    if (b->drafts.count + 1 > b->words * 64) {
        widen_bits(b);
    }
    Draft draft = {.group = group,
                   .before = ARENA_ARRAY(b->arena, uint64_t, b->words),
                   .region = group->region,
                   .age = UINT32_MAX};
    vec_push(b->arena, &b->drafts, draft);
    enter_region(b, (int32_t)b->drafts.count - 1);
    return (int32_t)b->drafts.count - 1;
}

/* ---- what a value reads ---- */

typedef struct {
    const Node *value;
    Trace at;
} Read;

typedef struct {
    Builder *b;
    VEC(Read) list;
} Reads;

static void note_read(void *user, const Node *value, const Trace *at)
{
    Reads *reads = user;
    vec_push(reads->b->arena, &reads->list, (Read){value, *at});
}

static Reads reads_in(Builder *b, const Group *group, const Node *member)
{
    Reads reads = {.b = b};
    draft_reads(b, group, member, note_read, &reads);
    return reads;
}

/* ---- kinds and domains ---- */

static GroupKind kind_of(const Node *n)
{
    switch (class_of(n)) {
    case CLASS_CONTRACT:
        return GROUP_CONTRACT;
    case CLASS_CALL:
        return GROUP_CALL;
    case CLASS_REDUCE:
        return n->op == OP_CUMSUM ? GROUP_CUMSUM : n->op == OP_ARGSORT ? GROUP_SORT : GROUP_REDUCE;
    default:
        return n->op == OP_SCATTER_ADD ? GROUP_SCATTER : GROUP_LOOP;
    }
}

static Axes reduced_axes(const Node *n)
{
    return op_info[n->op].attr == AT_AXES ? n->attr.axes : (Axes){1, {(uint8_t)n->attr.axis}};
}

static bool same_axes(const Axes *a, const Axes *c)
{
    return a->count == c->count && memcmp(a->axis, c->axis, (size_t)a->count) == 0;
}

static bool are_last(const Axes *axes, int rank)
{
    return axes->count > 0 && axes->axis[0] == rank - axes->count &&
           axes->axis[axes->count - 1] == rank - 1;
}

static void take_domain(Group *group, const Node *n)
{
    const Type *type = group->kind == GROUP_REDUCE ? &n->src[0]->type : &n->type;
    group->rank = type->rank;
    memcpy(group->dims, type->dims, sizeof group->dims);
    if (group->kind == GROUP_REDUCE) {
        group->reduced = reduced_axes(n);
        group->rows = are_last(&group->reduced, group->rank);
    }
}

/* Full members of rows want many rows: one row would make one thread do everything. */
static bool has_rows(const Axes *reduced, int rank)
{
    return reduced->count < rank;
}

/* May n, of kind LOOP by itself, be a member of this group? By shape and operation alone. */
static bool loop_fits(const Group *group, const Node *n)
{
    Trace at;
    if (!trace_start(group, n, &at) || n->type.rank == 0) {
        return group->kind == GROUP_REDUCE && trace_start(group, n, &at) &&
               class_of(n) == CLASS_ELEMENTWISE;
    }
    switch (group->kind) {
    case GROUP_LOOP:
        return true;
    case GROUP_CONTRACT:
        return class_of(n) == CLASS_ELEMENTWISE;
    case GROUP_REDUCE:
        return has_rows(&group->reduced, group->rank) &&
               (class_of(n) == CLASS_ELEMENTWISE || class_of(n) == CLASS_MOVE);
    default:
        return false;
    }
}

/* A reduction joins one over the same axes of an equal domain, or the rows of a loop. */
static bool reduce_fits(const Group *group, const Node *n)
{
    Axes axes = reduced_axes(n);
    if (!same_dims(&n->src[0]->type, group->rank, group->dims)) {
        return false;
    }
    if (group->kind == GROUP_LOOP) {
        return are_last(&axes, group->rank) && has_rows(&axes, group->rank);
    }
    return group->kind == GROUP_REDUCE && same_axes(&axes, &group->reduced);
}

/* The group as it would be with n in it. */
static Group with_member(const Group *group, const Node *n)
{
    Group wide = *group;
    if (kind_of(n) == GROUP_REDUCE && group->kind == GROUP_LOOP) {
        wide.kind = GROUP_REDUCE;
        wide.reduced = reduced_axes(n);
        wide.rows = true;
    }
    return wide;
}

static bool is_reduction(const Node *n)
{
    return kind_of(n) == GROUP_REDUCE;
}

/* Outside of rows there is one pass: reductions come first, and what follows from them is for the
 * kept axes. */
static bool stages_fit(const Group *group, const Node *n, const Node *read)
{
    (void)read;
    return group->kind != GROUP_REDUCE || group->rows || !is_reduction(n);
}

/* A loop takes members that differ from its domain in axes of size 1; rows tell by the shape
 * what is kept and what is not. */
static bool may_become_rows(const Draft *d)
{
    for (uint32_t i = 0; d->group->kind == GROUP_LOOP && i < d->members.count; i++) {
        if (!same_dims(&d->members.data[i]->type, d->group->rank, d->group->dims)) {
            return false;
        }
    }
    return true;
}

static bool can_join(Builder *b, int32_t draft, const Node *n, Reads *reads)
{
    const Draft *d = &b->drafts.data[draft];
    bool fits = kind_of(n) == GROUP_REDUCE ? reduce_fits(d->group, n) && may_become_rows(d)
                                           : kind_of(n) == GROUP_LOOP && loop_fits(d->group, n);
    if (!fits || d->closed || b->turned[n->id] || d->members.count >= MEMBER_LIMIT ||
        d->region != (int32_t)b->region[n->id]) {
        return false;
    }
    Group wide = with_member(d->group, n);
    *reads = reads_in(b, &wide, n);
    if (reads->list.count > OPERAND_LIMIT) {
        return false;
    }
    for (uint32_t i = 0; i < reads->list.count; i++) {
        const Read *read = &reads->list.data[i];
        int32_t from = draft_making(b, read->value);
        if (from == draft ? !trace_is_element(&wide, read->value, &read->at) ||
                                !stages_fit(&wide, n, read->value)
                          : from != NO_GROUP && !draft_may_precede(b, from, draft)) {
            return false;
        }
    }
    return true;
}

static void join(Builder *b, int32_t draft, Node *n, const Reads *reads)
{
    Draft *d = &b->drafts.data[draft];
    *d->group = with_member(d->group, n);
    vec_push(b->arena, &d->members, n);
    b->draft_of[n->id] = draft;
    for (uint32_t i = 0; i < reads->list.count; i++) {
        int32_t from = draft_making(b, reads->list.data[i].value);
        if (from != NO_GROUP && from != draft) {
            draft_edge(b, from, draft);
        }
    }
}

static int32_t found_group(Builder *b, Node *n)
{
    Group *group = group_new(b, kind_of(n));
    group->node = group->kind == GROUP_LOOP || group->kind == GROUP_REDUCE ? NULL : n;
    group->region = (int32_t)b->region[n->id];
    take_domain(group, n);
    int32_t draft = draft_add(b, group);
    b->drafts.data[draft].closed = b->turned[n->id];
    b->drafts.data[draft].age = n->id;
    Reads reads = reads_in(b, group, n);
    join(b, draft, n, &reads);
    return draft;
}

/* ---- the choice ---- */

typedef struct {
    Builder *b;
    int32_t best;
    const Node *node;
    Reads reads;
} Choice;

static void try_draft(Choice *choice, int32_t draft)
{
    Reads reads;
    if (draft != NO_GROUP && draft > choice->best &&
        can_join(choice->b, draft, choice->node, &reads)) {
        choice->best = draft;
        choice->reads = reads;
    }
}

/* Producers: groups of the values that n reads. The youngest that can be joined wins. */
static void try_producer(void *user, const Node *value, const Trace *at)
{
    Choice *choice = user;
    (void)at;
    try_draft(choice, choice->b->draft_of[value->id]);
}

static bool reads_same(Builder *b, const Draft *draft, const Node *operand)
{
    for (uint32_t m = 0; m < draft->members.count; m++) {
        Reads reads = reads_in(b, draft->group, draft->members.data[m]);
        for (uint32_t i = 0; i < reads.list.count; i++) {
            if (reads.list.data[i].value == operand) {
                return true;
            }
        }
    }
    return false;
}

/* Siblings: reductions over the same domain and axes that read a value that n reads too. */
static void try_siblings(Choice *choice)
{
    Builder *b = choice->b;
    const Node *n = choice->node;
    Group alone = {.kind = GROUP_REDUCE};
    take_domain(&alone, n);
    Reads own = reads_in(b, &alone, n);
    int32_t last = (int32_t)b->drafts.count - 1;
    for (int32_t d = last; d >= 0 && d > last - SIBLING_SPAN && choice->best < 0; d--) {
        const Draft *draft = &b->drafts.data[d];
        if (draft->group->kind != GROUP_REDUCE || !reduce_fits(draft->group, n)) {
            continue;
        }
        for (uint32_t i = 0; i < own.list.count && choice->best < 0; i++) {
            bool full = own.list.data[i].value->type.rank == alone.rank;
            if (full && reads_same(b, draft, own.list.data[i].value)) {
                try_draft(choice, d);
            }
        }
    }
}

/* A window of a value joins another window of the same value that is as wide: what it reads is
 * large, and what it makes is small enough to be kept for later. */
static void try_windows(Choice *choice)
{
    Builder *b = choice->b;
    const Node *n = choice->node, *x = n->src[0];
    DimTable *dims = b->graph->dims;
    int64_t made = dim_at_hints(b->schedule, type_elements(dims, &n->type));
    int64_t read = dim_at_hints(b->schedule, type_elements(dims, &x->type));
    for (uint32_t d = 0; made <= read / WINDOW_SAVING && d < b->drafts.count; d++) {
        const Draft *draft = &b->drafts.data[d];
        for (uint32_t m = 0; m < draft->members.count; m++) {
            const Node *other = draft->members.data[m];
            if (class_of(other) == CLASS_WINDOW && other->src[0] == x) {
                try_draft(choice, (int32_t)d);
            }
        }
    }
}

static void place_value(Builder *b, Node *n)
{
    Choice choice = {.b = b, .best = NO_GROUP, .node = n};
    GroupKind kind = kind_of(n);
    if (b->options->fuse && (kind == GROUP_LOOP || kind == GROUP_REDUCE)) {
        Group alone = {.kind = kind};
        take_domain(&alone, n);
        draft_reads(b, &alone, n, try_producer, &choice);
        if (choice.best < 0 && kind == GROUP_REDUCE) {
            try_siblings(&choice);
        } else if (choice.best < 0 && class_of(n) == CLASS_WINDOW) {
            try_windows(&choice);
        }
    }
    if (choice.best >= 0) {
        join(b, choice.best, n, &choice.reads);
    } else {
        found_group(b, n);
    }
}

/* ---- loops that meet in a value ---- */

typedef struct {
    Builder *b;
    int32_t into;
    int32_t other; /* a loop that could become part of it */
    int32_t tried;
} Meeting;

static void find_meeting(void *user, const Node *value, const Trace *at)
{
    Meeting *m = user;
    int32_t draft = m->b->draft_of[value->id];
    (void)at;
    if (draft != NO_GROUP && draft != m->into && draft > m->tried &&
        (m->other == NO_GROUP || draft < m->other)) {
        m->other = draft;
    }
}

/* Does anything run between the two, because it needs the one and is needed by the other? */
static bool something_between(const Builder *b, int32_t first, int32_t second)
{
    const uint64_t *before = b->drafts.data[second].before;
    for (uint32_t w = 0; bit(b->followed, first) && w < b->words; w++) {
        for (uint64_t left = before[w]; left; left &= left - 1) {
            int32_t d = (int32_t)(w * 64) + __builtin_ctzll(left);
            if (d != first && draft_runs_before(b, first, d)) {
                return true;
            }
        }
    }
    return false;
}

/* Do all members of `draft` read values of `from` only at their element? */
static bool reads_at_element(Builder *b, int32_t draft, int32_t from)
{
    const Draft *d = &b->drafts.data[draft];
    for (uint32_t m = 0; m < d->members.count; m++) {
        Reads reads = reads_in(b, d->group, d->members.data[m]);
        for (uint32_t i = 0; i < reads.list.count; i++) {
            const Read *read = &reads.list.data[i];
            if (b->draft_of[read->value->id] == from &&
                !trace_is_element(d->group, read->value, &read->at)) {
                return false;
            }
        }
    }
    return true;
}

static bool may_merge(Builder *b, int32_t other, int32_t into)
{
    const Draft *x = &b->drafts.data[other], *y = &b->drafts.data[into];
    return !x->closed && !y->closed && x->region == y->region && x->group->kind == GROUP_LOOP &&
           y->group->kind == GROUP_LOOP && x->group->rank == y->group->rank &&
           memcmp(x->group->dims, y->group->dims,
                  sizeof *x->group->dims * (size_t)x->group->rank) == 0 &&
           x->members.count + y->members.count <= MEMBER_LIMIT &&
           !draft_runs_before(b, into, other) && !something_between(b, other, into) &&
           reads_at_element(b, into, other);
}

/* All of `other` moves into `into`; the empty draft stays behind and needs nothing. */
static void merge(Builder *b, int32_t other, int32_t into)
{
    Draft *x = &b->drafts.data[other], *y = &b->drafts.data[into];
    VEC(Node *) all = {0};
    for (uint32_t i = 0, k = 0; i < x->members.count || k < y->members.count;) {
        bool left = k == y->members.count ||
                    (i < x->members.count && x->members.data[i]->id < y->members.data[k]->id);
        vec_push(b->arena, &all, left ? x->members.data[i++] : y->members.data[k++]);
    }
    for (uint32_t i = 0; i < x->members.count; i++) {
        b->draft_of[x->members.data[i]->id] = into;
    }
    memcpy(&y->members, &all, sizeof all);
    x->members.count = 0;
    x->region = 0; /* no end of a region waits for it */
    y->before[other >> 6] &= ~(UINT64_C(1) << (other & 63));
    for (uint32_t w = 0; w < b->words; w++) {
        y->before[w] |= x->before[w];
        x->before[w] = 0;
    }
    for (uint32_t d = 0; d < b->drafts.count; d++) {
        uint64_t *before = b->drafts.data[d].before;
        if ((int32_t)d != into && (bit(before, other) || bit(before, into))) {
            before[other >> 6] &= ~(UINT64_C(1) << (other & 63));
            set_bit(before, into);
            set_bit(b->followed, into);
            for (uint32_t w = 0; w < b->words; w++) {
                before[w] |= y->before[w];
            }
        }
    }
}

/* m' and v' of an optimiser are loops of their own until p' reads both. */
static void merge_producers(Builder *b, const Node *n)
{
    int32_t into = b->draft_of[n->id];
    Meeting meeting = {b, into, NO_GROUP, NO_GROUP};
    while (b->drafts.data[into].group->kind == GROUP_LOOP) {
        meeting.other = NO_GROUP;
        draft_reads(b, b->drafts.data[into].group, n, find_meeting, &meeting);
        if (meeting.other == NO_GROUP) {
            return;
        }
        meeting.tried = meeting.other;
        if (may_merge(b, meeting.other, into)) {
            merge(b, meeting.other, into);
        }
    }
}

void form_groups(Builder *b)
{
    uint32_t count, *order = grouping_order(b, &count);
    open_regions(b);
    for (uint32_t i = 0; i < count; i++) {
        Node *n = b->graph->nodes.data[order[i]];
        if (class_of(n) == CLASS_LOOP) {
            place_loop_node(b, n);
        } else if (b->made[n->id] && !has_data(n)) {
            place_value(b, n);
            if (b->options->fuse && kind_of(n) == GROUP_LOOP) {
                merge_producers(b, n);
            }
        }
    }
}

/* ---- values that need no memory after all ---- */

typedef struct {
    Builder *b;
    int32_t draft;
    uint8_t *elsewhere; /* per node: read by another group than its own */
    uint8_t *readers;   /* per node: members of its own group that read it */
} Census;

static void count_reader(void *user, const Node *value, const Trace *at)
{
    Census *census = user;
    (void)at;
    if (census->b->draft_of[value->id] != census->draft) {
        census->elsewhere[value->id] = census->elsewhere[memory_of(value)->id] = 1;
    } else if (census->readers[value->id] < 255) {
        census->readers[value->id]++;
    }
}

static bool small_row(const Group *group)
{
    int64_t size, row = 1;
    for (int i = 0; i < group->reduced.count; i++) {
        if (!dim_is_const(group->dims[group->reduced.axis[i]], &size) || size > SMALL_ROW) {
            return false;
        }
        row *= size;
    }
    return row <= SMALL_ROW;
}

/* A value that stages of one row share stays in memory when it is costly: the row is in cache. */
static bool keeps_stage(const Builder *b, const Group *group, const Node *n, const Census *census)
{
    return group->kind == GROUP_REDUCE && group->rows &&
           same_dims(&n->type, group->rank, group->dims) && census->readers[n->id] > 1 &&
           b->cost[n->id] >= KEEP_COST && !small_row(group);
}

void drop_unread(Builder *b)
{
    Census census = {.b = b};
    census.elsewhere = b->read = ARENA_ARRAY(b->arena, uint8_t, b->node_count);
    census.readers = ARENA_ARRAY(b->arena, uint8_t, b->node_count);
    for (uint32_t d = 0; d < b->drafts.count; d++) {
        census.draft = (int32_t)d;
        const Draft *draft = &b->drafts.data[d];
        for (uint32_t m = 0; m < draft->members.count; m++) {
            draft_reads(b, draft->group, draft->members.data[m], count_reader, &census);
        }
    }
    for (uint32_t d = 0; d < b->drafts.count; d++) {
        Draft *draft = &b->drafts.data[d];
        uint32_t kept = 0;
        for (uint32_t m = 0; m < draft->members.count; m++) {
            Node *n = draft->members.data[m];
            bool stored = census.elsewhere[n->id] || b->is_root[n->id] || b->pinned[n->id];
            b->stage_only[n->id] = !stored && keeps_stage(b, draft->group, n, &census);
            stored |= b->stage_only[n->id];
            bool dropped = !stored && kind_of(n) == GROUP_LOOP && census.readers[n->id] > 0;
            if (is_reduction(n) && draft->group->kind == GROUP_REDUCE) {
                vec_push(b->schedule->arena, &draft->group->reductions, n);
            }
            if (stored) {
                vec_push(b->schedule->arena, &draft->group->outputs, (GroupOutput){n, NO_BUFFER});
            }
            if (dropped) {
                b->made[n->id] = 0;
                b->draft_of[n->id] = NO_GROUP;
            } else {
                draft->members.data[kept++] = n;
            }
        }
        draft->members.count = kept;
    }
}
