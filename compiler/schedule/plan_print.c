/* The memory plan as text: a table for --dump=plan, and a few lines for people before training.
 *
 *   arena 5013504 bytes at B=64, lower bound 4998144 (1.003)
 *   buffer 12 relu f32[B, 26, 32] bytes 3328*B groups 2..9 offset 4096 above 7, 9 */
#include "compiler/schedule/internal.h"

#include <stdlib.h>

enum { SHOWN_AT_PEAK = 6 };

static void print_hints(const Schedule *s, StrBuf *out)
{
    for (uint32_t i = 0; i < s->symbol_count; i++) {
        strbuf_printf(out, "%s%s=%lld", i > 0 ? " " : " at ",
                      dim_symbol_name(s->graph->dims, s->symbols[i]),
                      (long long)s->hints[s->symbols[i]]);
    }
}

static void print_line(const Schedule *s, uint32_t at, StrBuf *out)
{
    const Buffer *buffer = &s->buffers.data[at];
    strbuf_printf(out, "  buffer %u %s ", at, buffer->name);
    type_print(s->graph->dims, &buffer->type, out);
    strbuf_add(out, " bytes ");
    dim_print(s->graph->dims, buffer->bytes, out);
    strbuf_printf(out, " groups %d..%d", buffer->first, buffer->last);
    if (buffer->in_place_of != NO_BUFFER) {
        strbuf_printf(out, " in place of %d\n", buffer->in_place_of);
        return;
    }
    strbuf_printf(out, " offset %lld", (long long)plan_offset(s, at, s->hints));
    for (uint32_t k = 0; k < buffer->below.count; k++) {
        strbuf_printf(out, "%s%u", k > 0 ? ", " : " above ", buffer->below.data[k]);
    }
    strbuf_add(out, "\n");
}

void plan_print(const Schedule *schedule, StrBuf *out)
{
    strbuf_printf(out, "plan %s: %lld bytes", schedule->graph->name,
                  (long long)schedule->hint_bytes);
    print_hints(schedule, out);
    strbuf_printf(out, ", lower bound %lld\n", (long long)schedule->live_bytes);
    for (uint32_t i = 0; i < schedule->buffers.count; i++) {
        if (schedule->buffers.data[i].kind == STORAGE_ARENA) {
            print_line(schedule, i, out);
        }
    }
}

/* ---- for people ---- */

typedef struct {
    uint32_t buffer;
    int64_t bytes;
} Live;

static int by_bytes(const void *x, const void *y)
{
    const Live *a = x, *b = y;
    if (a->bytes != b->bytes) {
        return a->bytes > b->bytes ? -1 : 1;
    }
    return a->buffer < b->buffer ? -1 : 1;
}

static bool alive_at(const Buffer *buffer, int32_t group)
{
    return buffer->kind == STORAGE_ARENA && buffer->first <= group && group <= buffer->last;
}

/* The first group while which most is live. */
static int32_t find_peak(const Schedule *s)
{
    int64_t *change = ARENA_ARRAY(s->arena, int64_t, s->groups.count + 1), live = 0, most = 0;
    int32_t peak = 0;
    for (uint32_t i = 0; i < s->buffers.count; i++) {
        const Buffer *buffer = &s->buffers.data[i];
        if (buffer->kind == STORAGE_ARENA && buffer->first >= 0) {
            int64_t bytes = dim_at_hints(s, buffer->bytes);
            change[buffer->first] += bytes;
            change[buffer->last + 1] -= bytes;
        }
    }
    for (uint32_t g = 0; g < s->groups.count; g++) {
        live += change[g];
        peak = live > most ? (int32_t)g : peak;
        most = live > most ? live : most;
    }
    return peak;
}

static Span span_of(const Schedule *s, uint32_t buffer)
{
    const Group *group = s->groups.data[s->buffers.data[buffer].first];
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        if (group->outputs.data[i].buffer == (int32_t)buffer &&
            group->outputs.data[i].node != NULL) {
            return group->outputs.data[i].node->span;
        }
    }
    return (Span){0, 0, 0};
}

static void print_live(const Schedule *s, const SourceMap *sources, const Live *live, StrBuf *out)
{
    Span span = span_of(s, live->buffer);
    strbuf_printf(out, "  %10.1f KiB  ", (double)live->bytes / 1024);
    type_print(s->graph->dims, &s->buffers.data[live->buffer].type, out);
    strbuf_printf(out, "  %s", s->buffers.data[live->buffer].name);
    if (sources != NULL && span.file != 0) {
        uint32_t line, column;
        source_line_column(sources, span, &line, &column);
        strbuf_printf(out, "  %s:%u", source_name(sources, span.file), line);
    }
    strbuf_add(out, "\n");
}

void plan_summary(const Schedule *schedule, const SourceMap *sources, StrBuf *out)
{
    int32_t peak = find_peak(schedule);
    double bound =
        schedule->live_bytes > 0 ? (double)schedule->hint_bytes / (double)schedule->live_bytes : 1;
    strbuf_printf(out, "memory for values: %.1f KiB", (double)schedule->hint_bytes / 1024);
    print_hints(schedule, out);
    strbuf_printf(out, ", %.3f of the least possible in this order\n", bound);
    Live *live = ARENA_ARRAY(schedule->arena, Live, schedule->buffers.count + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < schedule->buffers.count; i++) {
        if (alive_at(&schedule->buffers.data[i], peak) &&
            schedule->buffers.data[i].in_place_of == NO_BUFFER) {
            live[count++] = (Live){i, dim_at_hints(schedule, schedule->buffers.data[i].bytes)};
        }
    }
    qsort(live, count, sizeof *live, by_bytes);
    for (uint32_t i = 0; i < count && i < SHOWN_AT_PEAK; i++) {
        print_live(schedule, sources, &live[i], out);
    }
}
