/* schedule_build: the stages one after the other, then the text and the check of the result.
 *
 *   make.c      which values exist in memory        buffers.c   where they live, updates in place
 *   group.c     which of them share a kernel        order.c     when each group runs
 *   liveness.c  from when to when, in place of what memplan.c   at which offset */
#include "compiler/schedule/internal.h"

#include "runtime/base/bug.h"

enum { DEFAULT_HINT = 64 };

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

Schedule *schedule_build(Arena *arena, const Graph *graph, const ScheduleOptions *options)
{
    Arena *scratch = arena_new();
    Builder b = builder_new(arena, scratch, graph, options);
    choose_made(&b);
    form_groups(&b);
    drop_unread(&b);
    assign_buffers(&b);
    choose_order(&b);
    find_lifetimes(&b);
    place_buffers(b.schedule, options->plan);
    check(b.schedule);
    arena_free(scratch);
    return b.schedule;
}

/* ---- text ---- */

static const char *const kind_names[GROUP_KINDS] = {"loop",   "reduce",  "contract",
                                                    "cumsum", "scatter", "call"};
static const char *const storage_names[] = {"input",  "param",    "state",
                                            "output", "constant", "arena"};

static void print_buffer(const Schedule *s, int32_t buffer, StrBuf *out)
{
    const Buffer *at = &s->buffers.data[buffer];
    if (at->kind == STORAGE_ARENA || at->kind == STORAGE_CONSTANT) {
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
                  group->copy_from != NO_BUFFER ? "copy" : kind_names[group->kind]);
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
    strbuf_add(out, "\n");
}

void schedule_print(const Schedule *schedule, StrBuf *out)
{
    strbuf_printf(out, "schedule %s {\n", schedule->graph->name);
    for (uint32_t g = 0; g < schedule->groups.count; g++) {
        strbuf_add(out, "  ");
        print_group(schedule, g, out);
    }
    strbuf_add(out, "}\n");
}

/* ---- legality ---- */

/* written[buffer]: 1 + the group that wrote it. A stage of rows may lie where the result of the
 * same rows will be. */
static bool verify_output(const Schedule *s, uint32_t g, const GroupOutput *output,
                          uint32_t *written, StrBuf *out)
{
    if (output->buffer < 0 || output->buffer >= (int32_t)s->buffers.count) {
        strbuf_printf(out, "group %u writes no buffer\n", g);
        return false;
    }
    bool same_rows = written[output->buffer] == g + 1 && s->groups.data[g]->rows;
    if (written[output->buffer] && !same_rows) {
        strbuf_printf(out, "buffer %d is written again by group %u\n", output->buffer, g);
        return false;
    }
    written[output->buffer] = g + 1;
    return true;
}

static bool verify_read(const Schedule *s, uint32_t g, int32_t buffer, const uint32_t *written,
                        StrBuf *out)
{
    if (buffer == NO_BUFFER ||
        (s->buffers.data[buffer].kind >= STORAGE_OUTPUT && !written[buffer] &&
         s->buffers.data[buffer].kind != STORAGE_CONSTANT)) {
        strbuf_printf(out, "group %u reads buffer %d before it is written\n", g, buffer);
        return false;
    }
    return true;
}

bool schedule_verify(const Schedule *schedule, StrBuf *out)
{
    Arena *scratch = arena_new();
    uint32_t *written = ARENA_ARRAY(scratch, uint32_t, schedule->buffers.count + 1);
    bool good = true;
    for (uint32_t g = 0; g < schedule->groups.count; g++) {
        const Group *group = schedule->groups.data[g];
        for (uint32_t i = 0; i < group->operands.count; i++) {
            const Node *n = group->operands.data[i];
            good &= verify_read(schedule, g, schedule->buffer_of[n->id], written, out);
            bool old = has_data(n) && written[schedule->buffer_of[n->id]];
            if (old) {
                strbuf_printf(out, "group %u reads %%%u after its update\n", g, n->id);
                good = false;
            }
        }
        if (group->copy_from != NO_BUFFER) {
            good &= verify_read(schedule, g, group->copy_from, written, out);
        }
        for (uint32_t i = 0; i < group->outputs.count; i++) {
            good &= verify_output(schedule, g, &group->outputs.data[i], written, out);
        }
    }
    for (uint32_t i = 0; i < schedule->buffers.count; i++) {
        if (schedule->buffers.data[i].kind == STORAGE_OUTPUT && !written[i]) {
            strbuf_printf(out, "output %s is never written\n", schedule->buffers.data[i].name);
            good = false;
        }
    }
    arena_free(scratch);
    return good;
}
