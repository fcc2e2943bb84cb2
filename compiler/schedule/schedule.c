/* schedule_build: the stages one after the other, then the text and the check of the result.
 *
 *   make.c      which values exist in memory   buffers.c   where they live, updates in place
 *   group.c     which of them share a kernel   carries.c   buffers of loops and branches
 *   order.c     when each group runs           liveness.c  from when to when, in place of what
 *   memplan.c   at which offset                regions.c   loops and branches for all of them */
#include "compiler/schedule/internal.h"

#include "runtime/base/bug.h"

#include <string.h>

enum {
    DEFAULT_HINT = 64,
    WORTH_REORDERING = 200, /* half a percent */
    REORDERED_BYTES = 65536,
    MOST_TRIED = 8192 /* groups: with more one order has to do */
};

static const int64_t *settle_hints(Arena *arena, const Graph *graph, const int64_t *hints)
{
    uint32_t count = dim_symbol_count(graph->dims);
    int64_t *settled = ARENA_ARRAY(arena, int64_t, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        settled[i] = hints != NULL ? hints[i] : DEFAULT_HINT;
    }
    return settled;
}

static Builder builder_new(Arena *arena, Arena *scratch, const Graph *graph,
                           const ScheduleOptions *options)
{
    Builder b = {
        .arena = scratch, .graph = graph, .options = options, .node_count = graph->nodes.count};
    uint32_t n = graph->nodes.count + 1;
    b.schedule = ARENA_NEW(arena, Schedule);
    b.schedule->graph = graph;
    b.schedule->arena = arena;
    b.schedule->buffer_of = ARENA_ARRAY(arena, int32_t, n);
    b.schedule->group_of = ARENA_ARRAY(arena, int32_t, n);
    b.schedule->hints = settle_hints(arena, graph, options->hints);
    b.schedule->symbol_count = graph_symbols(graph, arena, &b.schedule->symbols);
    b.live = graph_live(graph, scratch);
    b.made = ARENA_ARRAY(scratch, uint8_t, n);
    b.is_root = ARENA_ARRAY(scratch, uint8_t, n);
    b.pinned = ARENA_ARRAY(scratch, uint8_t, n);
    b.turned = ARENA_ARRAY(scratch, uint8_t, n);
    b.stage_only = ARENA_ARRAY(scratch, uint8_t, n);
    b.uses = ARENA_ARRAY(scratch, uint32_t, n);
    b.cost = ARENA_ARRAY(scratch, uint16_t, n);
    b.loads = ARENA_ARRAY(scratch, uint8_t, n);
    b.draft_of = ARENA_ARRAY(scratch, int32_t, n);
    for (uint32_t i = 0; i < n; i++) {
        b.schedule->buffer_of[i] = NO_BUFFER;
        b.schedule->group_of[i] = NO_GROUP;
        b.draft_of[i] = NO_GROUP;
    }
    return b;
}

static void check(const Schedule *schedule)
{
#ifndef NDEBUG
    StrBuf faults = {0};
    if (!schedule_verify(schedule, &faults) || !plan_check(schedule, schedule->hints, &faults)) {
        schedule_print(schedule, &faults);
        NNC_BUG("schedule of %s: %s", schedule->graph->name, faults.text);
    }
    strbuf_free(&faults);
#else
    (void)schedule;
#endif
}

/* The order that needs least: that of the program unless another one saves half a percent and more
 * than a few pages. */
static void order_groups(Builder *b)
{
    Schedule *s = b->schedule;
    const Buffer *before = s->buffers.data;
    size_t bytes = s->buffers.count * sizeof(Buffer);
    Buffer *fresh = ARENA_ARRAY(b->arena, Buffer, s->buffers.count + 1);
    memcpy(fresh, before, bytes);
    OrderRule best = ORDER_OLDEST, last = ORDERS;
    int64_t least = INT64_MAX;
    bool choice = b->options->plan && b->options->stress_seed == 0 && b->drafts.count <= MOST_TRIED;
    int rules = choice ? ORDERS : 1;
    for (int rule = 0; rule <= rules; rule++) {
        OrderRule now = rule < rules ? (OrderRule)rule : best;
        if (now == last) {
            break; /* the best one was tried last */
        }
        memcpy(s->buffers.data, fresh, bytes);
        s->groups.count = 0;
        choose_order(b, now);
        find_lifetimes(b);
        last = now;
        int64_t live = most_live_bytes(s);
        if (rule == 0 || live < least - least / WORTH_REORDERING - REORDERED_BYTES) {
            best = now;
            least = live;
        }
    }
}

#ifdef NNC_GUARD
enum { ALWAYS_GUARDED = true };
#else
enum { ALWAYS_GUARDED = false };
#endif

Schedule *schedule_build(Arena *arena, const Graph *graph, const ScheduleOptions *options)
{
    Arena *scratch = arena_new();
    Builder b = builder_new(arena, scratch, graph, options);
    find_regions(&b);
    choose_made(&b);
    form_groups(&b);
    drop_unread(&b);
    assign_buffers(&b);
    order_groups(&b);
    b.schedule->guarded = options->guard || ALWAYS_GUARDED;
    place_buffers(b.schedule, options->plan);
    check(b.schedule);
    arena_free(scratch);
    return b.schedule;
}

/* ---- text ---- */

static const char *const kind_names[GROUP_KINDS] = {"loop", "reduce",  "contract", "cumsum",
                                                    "sort", "scatter", "call"};
static const char *const storage_names[] = {"input",  "param",    "state",
                                            "output", "constant", "arena"};

static void print_buffer(const Schedule *s, int32_t buffer, StrBuf *out)
{
    const Buffer *at = &s->buffers.data[buffer];
    if (at->kind == STORAGE_SLICE) {
        print_buffer(s, at->base, out);
        strbuf_printf(out, "[t%d]", at->region);
    } else if (at->kind == STORAGE_ARENA || at->kind == STORAGE_CONSTANT) {
        strbuf_printf(out, "%s.%d", storage_names[at->kind], buffer);
    } else {
        strbuf_printf(out, "%s {%s}", storage_names[at->kind], at->name);
    }
}

static void print_dims(const Schedule *s, const Group *group, StrBuf *out)
{
    strbuf_add(out, "[");
    for (int i = 0; i < group->rank; i++) {
        strbuf_add(out, i > 0 ? ", " : "");
        dim_print(s->graph->dims, group->dims[i], out);
    }
    strbuf_add(out, "]");
}

static void print_group(const Schedule *s, uint32_t position, StrBuf *out)
{
    const Group *group = s->groups.data[position];
    strbuf_printf(out, "group %u %s ", position,
                  group->copy_from != NO_BUFFER ? "copy"
                  : group->zeros                ? "zeros"
                                                : kind_names[group->kind]);
    print_dims(s, group, out);
    for (int i = 0; i < group->reduced.count; i++) {
        strbuf_printf(out, "%s%d", i > 0 ? "," : " over ", group->reduced.axis[i]);
    }
    if (group->node != NULL) {
        strbuf_printf(out, " %s %%%u", op_info[group->node->op].text, group->node->id);
    }
    for (uint32_t i = 0; i < group->reductions.count; i++) {
        const Node *n = group->reductions.data[i];
        strbuf_printf(out, "%s%s %%%u", i > 0 ? ", " : ": ", op_info[n->op].text, n->id);
    }
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        const GroupOutput *output = &group->outputs.data[i];
        strbuf_add(out, i > 0 ? ", " : " -> ");
        if (output->node != NULL) {
            strbuf_printf(out, "%%%u in ", output->node->id);
        }
        print_buffer(s, output->buffer, out);
    }
    for (uint32_t i = 0; i < group->operands.count; i++) {
        strbuf_add(out, i > 0 ? ", " : " reads ");
        print_buffer(s, s->buffer_of[group->operands.data[i]->id], out);
    }
    if (group->copy_from != NO_BUFFER) {
        strbuf_add(out, " reads ");
        print_buffer(s, group->copy_from, out);
    }
    if (group->hoisted != NO_REGION) {
        strbuf_printf(out, " packs before t%d", group->hoisted);
    }
    strbuf_add(out, "\n");
}

static void print_indent(StrBuf *out, int depth)
{
    for (int i = 0; i < depth; i++) {
        strbuf_add(out, "  ");
    }
}

static void print_begin(const Schedule *s, uint32_t at, int depth, StrBuf *out)
{
    const ScheduleRegion *region = &s->regions.data[at];
    print_indent(out, depth);
    if (region->kind == REGION_LOOP) {
        strbuf_printf(out, "loop t%u < ", at);
        dim_print(s->graph->dims, region->node->attr.loop.length, out);
        strbuf_add(out, region->node->attr.loop.reverse ? " backwards" : "");
        strbuf_add(out, region->condition != NO_BUFFER ? " while " : "");
    } else {
        strbuf_add(out, region->kind == REGION_THEN ? "if " : "else of ");
    }
    if (region->condition != NO_BUFFER) {
        print_buffer(s, region->condition, out);
    }
    strbuf_add(out, " {\n");
}

/* Regions that begin before this group, and those that end after it. */
static void print_edges(const Schedule *s, int32_t position, bool begin, int *depth, StrBuf *out)
{
    for (uint32_t i = 1; i < s->regions.count; i++) {
        const ScheduleRegion *region = &s->regions.data[i];
        if (region->first > region->last) {
            continue;
        }
        if (begin && region->first == position) {
            print_begin(s, i, (*depth)++, out);
        } else if (!begin && region->last == position) {
            print_indent(out, --(*depth));
            strbuf_add(out, "}\n");
        }
    }
}

void schedule_print(const Schedule *schedule, StrBuf *out)
{
    int depth = 1;
    strbuf_printf(out, "schedule %s {\n", schedule->graph->name);
    for (uint32_t g = 0; g < schedule->groups.count; g++) {
        print_edges(schedule, (int32_t)g, true, &depth, out);
        print_indent(out, depth);
        print_group(schedule, g, out);
        print_edges(schedule, (int32_t)g, false, &depth, out);
    }
    strbuf_add(out, "}\n");
}

/* ---- legality ---- */

typedef struct {
    const Schedule *s;
    uint32_t *written; /* per buffer: 1 + the last group that wrote it */
    int32_t *region;   /* per buffer: that group's region */
    StrBuf *out;
    bool good;
} Legality;

static void fault(Legality *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fault(Legality *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    strbuf_vprintf(l->out, format, args);
    va_end(args);
    l->good = false;
}

/* A stage of rows may lie where the result of the same rows will be. A carry is written before its
 * loop and in it, the result of a branch on both sides, a stack may be zeroed before its slices
 * are. Nothing is written twice in one region. */
static void verify_output(Legality *l, uint32_t g, const GroupOutput *output)
{
    const Schedule *s = l->s;
    const Group *group = s->groups.data[g];
    if (output->buffer < 0 || output->buffer >= (int32_t)s->buffers.count) {
        fault(l, "group %u writes no buffer\n", g);
        return;
    }
    uint32_t *written = &l->written[output->buffer];
    int32_t other = l->region[output->buffer], common;
    bool same_rows = *written == g + 1 && group->rows;
    if (*written && !same_rows) {
        common = schedule_common(s, other, group->region);
        bool sides = s->regions.data[other].kind == REGION_THEN && other + 1 == group->region;
        bool carry = s->buffers.data[output->buffer].carried && common != group->region;
        if (!sides && !carry) {
            fault(l, "buffer %d is written again by group %u\n", output->buffer, g);
        }
    }
    *written = g + 1;
    l->region[output->buffer] = group->region;
}

static void verify_read(Legality *l, uint32_t g, int32_t buffer)
{
    const Schedule *s = l->s;
    int32_t home = buffer_home(s, buffer);
    if (home == NO_BUFFER || (s->buffers.data[home].kind >= STORAGE_OUTPUT && !l->written[home] &&
                              s->buffers.data[home].kind != STORAGE_CONSTANT)) {
        fault(l, "group %u reads buffer %d before it is written\n", g, buffer);
    }
}

/* The old value of a leaf, or of a carry in this iteration. */
static void verify_age(Legality *l, uint32_t g, const Node *n)
{
    const Schedule *s = l->s;
    const Node *memory = memory_of(n);
    int32_t home = buffer_home(s, s->buffer_of[n->id]);
    if (home == NO_BUFFER || !l->written[home]) {
        return;
    }
    bool in_loop = memory->op == OP_CARRY && l->region[home] > 0 &&
                   s->regions.data[l->region[home]].kind == REGION_LOOP &&
                   s->regions.data[l->region[home]].node->attr.loop.id == memory->attr.carry.loop;
    if (has_data(memory) || in_loop) {
        fault(l, "group %u reads %%%u after its update\n", g, n->id);
    }
}

static void verify_group(Legality *l, uint32_t g)
{
    const Group *group = l->s->groups.data[g];
    for (uint32_t i = 0; i < group->operands.count; i++) {
        const Node *n = group->operands.data[i];
        verify_read(l, g, l->s->buffer_of[n->id]);
        verify_age(l, g, n);
    }
    if (group->copy_from != NO_BUFFER) {
        verify_read(l, g, group->copy_from);
    }
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        verify_output(l, g, &group->outputs.data[i]);
    }
    for (uint32_t i = 0; i < l->s->buffers.count; i++) { /* a whole stack, by its slices */
        const Buffer *slice = &l->s->buffers.data[i];
        if (slice->kind == STORAGE_SLICE && l->written[i] == g + 1) {
            l->written[slice->base] = g + 1;
            l->region[slice->base] = l->s->regions.data[slice->region].parent;
        }
    }
}

/* What is packed before a loop must not change in it. */
static void verify_hoisted(Legality *l, uint32_t g)
{
    const Schedule *s = l->s;
    const Group *group = s->groups.data[g];
    if (group->hoisted == NO_REGION) {
        return;
    }
    const ScheduleRegion *loop = &s->regions.data[group->hoisted];
    for (int32_t other = loop->first; other <= loop->last; other++) {
        for (uint32_t i = 0; i < s->groups.data[other]->outputs.count; i++) {
            int32_t written = s->groups.data[other]->outputs.data[i].buffer;
            if (buffer_home(s, written) == buffer_home(s, group->packed)) {
                fault(l, "group %u packs what group %d changes before a loop of both\n", g, other);
            }
        }
    }
}

/* Regions are made of neighbours, one inside of the other, and hold the groups that say so. */
static void verify_regions(Legality *l)
{
    const Schedule *s = l->s;
    for (uint32_t i = 1; i < s->regions.count; i++) {
        const ScheduleRegion *region = &s->regions.data[i],
                             *parent = &s->regions.data[region->parent];
        bool empty = region->first > region->last;
        if (!empty && (region->first < parent->first || region->last > parent->last)) {
            fault(l, "region %u is not inside of region %d\n", i, region->parent);
        }
        if (region->kind == REGION_ELSE && region->first != region[-1].last + 1) {
            fault(l, "region %u does not follow the other side\n", i);
        }
        for (int32_t g = 0; g < (int32_t)s->groups.count; g++) {
            bool here = region->first <= g && g <= region->last;
            bool says = schedule_common(s, s->groups.data[g]->region, (int32_t)i) == (int32_t)i;
            if (here != says) {
                fault(l, "group %d is on the wrong side of region %u\n", g, i);
            }
        }
    }
}

bool schedule_verify(const Schedule *schedule, StrBuf *out)
{
    Arena *scratch = arena_new();
    Legality l = {.s = schedule, .out = out, .good = true};
    l.written = ARENA_ARRAY(scratch, uint32_t, schedule->buffers.count + 1);
    l.region = ARENA_ARRAY(scratch, int32_t, schedule->buffers.count + 1);
    verify_regions(&l);
    for (uint32_t g = 0; g < schedule->groups.count; g++) {
        verify_group(&l, g);
        verify_hoisted(&l, g);
    }
    for (uint32_t i = 0; i < schedule->buffers.count; i++) {
        if (schedule->buffers.data[i].kind == STORAGE_OUTPUT && !l.written[i]) {
            fault(&l, "output %s is never written\n", schedule->buffers.data[i].name);
        }
    }
    arena_free(scratch);
    return l.good;
}
