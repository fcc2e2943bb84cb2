/* The arena as a picture. In: a schedule with its plan at the hint sizes. Out: a rectangle for
 * every buffer, as wide as it lives and as high as it is large, and a line for the sum of what
 * lives.
 *
 *   address |   +------+
 *           |   | conv |+----+
 *           | +-+------++ dW |      the planned size is the top of the highest rectangle,
 *           | | x       |----+      the lower bound the top of the line
 *           +------------------- time (groups in their order) */
#include "compiler/driver/memory_picture.h"


#include <stdlib.h>
#include <string.h>

enum { LEFT = 70, TOP = 40, WIDE = 900, HIGH = 520, LEGEND = 330, LEGEND_LINES = 20 };

typedef struct {
    const char *place;
    int64_t bytes; /* at the peak */
    int hue;
} Line;

typedef struct {
    const Schedule *s;
    const SourceMap *sources;
    Arena *arena;
    int64_t *live; /* per group */
    int32_t peak;
    int64_t most;
    VEC(Line) lines;
    StrBuf *out;
} Drawing;

/* ---- figures ---- */

static int64_t bytes_of(const Drawing *d, const Buffer *buffer)
{
    return dim_eval(buffer->bytes, d->s->hints);
}

/* A buffer in place of another one lives in its memory: the memory counts once. */
static bool owns_memory(const Buffer *buffer)
{
    return buffer->kind == STORAGE_ARENA && buffer->in_place_of == NO_BUFFER && buffer->first >= 0;
}

/* The last group in which the memory of a buffer is used, by itself or in its place. */
static int32_t *memory_ends(const Drawing *d)
{
    const Schedule *s = d->s;
    int32_t *ends = ARENA_ARRAY(d->arena, int32_t, s->buffers.count + 1);
    for (uint32_t i = 0; i < s->buffers.count; i++)
        ends[i] = s->buffers.data[i].last;
    for (uint32_t i = 0; i < s->buffers.count; i++) {
        int32_t home = (int32_t)i;
        while (s->buffers.data[home].in_place_of != NO_BUFFER)
            home = s->buffers.data[home].in_place_of;
        if (s->buffers.data[i].kind == STORAGE_ARENA && s->buffers.data[i].last > ends[home])
            ends[home] = s->buffers.data[i].last;
    }
    return ends;
}

static void sum_live(Drawing *d)
{
    const Schedule *s = d->s;
    int32_t *ends = memory_ends(d);
    int64_t now = 0;
    d->live = ARENA_ARRAY(d->arena, int64_t, s->groups.count + 2);
    for (uint32_t i = 0; i < s->buffers.count; i++)
        if (owns_memory(&s->buffers.data[i])) {
            d->live[s->buffers.data[i].first] += bytes_of(d, &s->buffers.data[i]);
            d->live[ends[i] + 1] -= bytes_of(d, &s->buffers.data[i]);
        }
    for (uint32_t g = 0; g < s->groups.count; g++) {
        now += d->live[g];
        d->live[g] = now;
        d->peak = now > d->most ? (int32_t)g : d->peak;
        d->most = now > d->most ? now : d->most;
    }
}

static const char *place_of(const Drawing *d, const Buffer *buffer)
{
    const char *place =
        timing_place(d->arena, d->sources, group_span(d->s->groups.data[buffer->first]));
    return place[0] ? place : "made by the compiler";
}

static Line *line_of(Drawing *d, const char *place)
{
    for (uint32_t i = 0; i < d->lines.count; i++)
        if (strcmp(d->lines.data[i].place, place) == 0)
            return &d->lines.data[i];
    Line line = {place, 0, (int)(d->lines.count * 137 % 360)}; /* neighbours far apart on the wheel */
    vec_push(d->arena, &d->lines, line);
    return &d->lines.data[d->lines.count - 1];
}

static bool is_live(const Buffer *buffer, int32_t group)
{
    return buffer->kind == STORAGE_ARENA && buffer->first <= group && group <= buffer->last;
}

static Drawing new_drawing(const Schedule *schedule, const SourceMap *sources, StrBuf *out)
{
    Drawing d = {.s = schedule, .sources = sources, .arena = arena_new(), .out = out};
    sum_live(&d);
    return d;
}

static void add_bytes(StrBuf *out, int64_t bytes)
{
    if (bytes >= 10 << 20)
        strbuf_printf(out, "%.1f MiB", (double)bytes / (1 << 20));
    else
        strbuf_printf(out, "%.1f KiB", (double)bytes / 1024);
}

static void add_sizes(const Drawing *d)
{
    const Schedule *s = d->s;
    for (uint32_t i = 0; i < s->symbol_count; i++)
        strbuf_printf(d->out, "%s%s=%lld", i ? ", " : " at ",
                      dim_symbol_name(s->graph->dims, s->symbols[i]),
                      (long long)s->hints[s->symbols[i]]);
}

static void add_summary(const Drawing *d)
{
    strbuf_printf(d->out, "%s", d->s->graph->name);
    add_sizes(d);
    strbuf_add(d->out, ": planned ");
    add_bytes(d->out, d->s->hint_bytes);
    strbuf_add(d->out, ", lower bound ");
    add_bytes(d->out, d->s->live_bytes);
    strbuf_printf(d->out, " (%.4f)",
                  d->s->live_bytes ? (double)d->s->hint_bytes / (double)d->s->live_bytes : 1.0);
}

/* ---- text ---- */

static int by_bytes(const void *x, const void *y, void *user)
{
    const Drawing *d = user;
    const Buffer *const *a = x, *const *b = y;
    int64_t p = bytes_of(d, *a), q = bytes_of(d, *b);
    return p != q ? (p < q) - (p > q) : ((*a)->first > (*b)->first) - ((*a)->first < (*b)->first);
}

static int64_t bytes_of_kind(const Drawing *d, StorageKind kind)
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < d->s->buffers.count; i++)
        if (d->s->buffers.data[i].kind == kind)
            bytes += bytes_of(d, &d->s->buffers.data[i]);
    return bytes;
}

/* What a step needs beside the arena. */
static void add_externals(const Drawing *d)
{
    int64_t params = bytes_of_kind(d, STORAGE_PARAM), states = bytes_of_kind(d, STORAGE_STATE);
    strbuf_add(d->out, "\nparameters ");
    add_bytes(d->out, params);
    strbuf_add(d->out, ", states of the optimizer, of the model and of metrics ");
    add_bytes(d->out, states);
    strbuf_add(d->out, ", with the plan ");
    add_bytes(d->out, params + states + d->s->hint_bytes);
}

void memory_text(const Schedule *schedule, const SourceMap *sources, StrBuf *out)
{
    Drawing d = new_drawing(schedule, sources, out);
    const Buffer **live = ARENA_ARRAY(d.arena, const Buffer *, schedule->buffers.count + 1);
    size_t count = 0;
    add_summary(&d);
    add_externals(&d);
    strbuf_printf(out, "\nmost is live in group %d of %u; then:\n", d.peak,
                  schedule->groups.count);
    for (uint32_t i = 0; i < schedule->buffers.count; i++)
        if (is_live(&schedule->buffers.data[i], d.peak))
            live[count++] = &schedule->buffers.data[i];
    qsort_r(live, count, sizeof *live, by_bytes, &d);
    for (size_t i = 0; i < count; i++) {
        int64_t bytes = bytes_of(&d, live[i]);
        strbuf_printf(out, "%12.1f KiB %5.1f %%  ", (double)bytes / 1024,
                      d.most ? 100.0 * (double)bytes / (double)d.most : 0);
        type_print(schedule->graph->dims, &live[i]->type, out);
        strbuf_printf(out, "  %s  %s%s\n", live[i]->name, place_of(&d, live[i]),
                      live[i]->in_place_of != NO_BUFFER ? "  (in place of another one)" : "");
    }
    arena_free(d.arena);
}

/* ---- picture ---- */

static void add_escaped(StrBuf *out, const char *text)
{
    for (; *text; text++) {
        const char *safe = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
        if (safe)
            strbuf_add(out, safe);
        else
            strbuf_add_char(out, *text);
    }
}

static double x_of(const Drawing *d, int32_t group)
{
    return LEFT + WIDE * (double)group / (double)(d->s->groups.count ? d->s->groups.count : 1);
}

static double y_of(const Drawing *d, int64_t address)
{
    return TOP + HIGH - HIGH * (double)address / (double)(d->s->hint_bytes ? d->s->hint_bytes : 1);
}

static void draw_buffer(Drawing *d, uint32_t at)
{
    const Schedule *s = d->s;
    const Buffer *buffer = &s->buffers.data[at], *home = buffer;
    while (home->in_place_of != NO_BUFFER)
        home = &s->buffers.data[home->in_place_of];
    int64_t bytes = bytes_of(d, buffer);
    Line *line = line_of(d, place_of(d, buffer));
    double x = x_of(d, buffer->first), y = y_of(d, home->hint_offset + bytes);
    line->bytes += is_live(buffer, d->peak) ? bytes : 0;
    strbuf_printf(d->out,
                  "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" "
                  "fill=\"hsl(%d,60%%,72%%)\"><title>",
                  x, y, x_of(d, buffer->last + 1) - x, y_of(d, home->hint_offset) - y, line->hue);
    add_escaped(d->out, buffer->name);
    strbuf_add(d->out, " ");
    type_print(s->graph->dims, &buffer->type, d->out);
    strbuf_add(d->out, ", ");
    add_bytes(d->out, bytes);
    strbuf_printf(d->out, ", groups %d to %d, ", buffer->first, buffer->last);
    add_escaped(d->out, line->place);
    strbuf_add(d->out, "</title></rect>\n");
}

static void draw_live(const Drawing *d)
{
    strbuf_add(d->out, "<path class=\"live\" d=\"");
    for (uint32_t g = 0; g < d->s->groups.count; g++) {
        double y = y_of(d, d->live[g]);
        strbuf_printf(d->out, "%s%.2f %.2fH%.2f", g ? "L" : "M", x_of(d, (int32_t)g), y,
                      x_of(d, (int32_t)g + 1));
    }
    strbuf_printf(d->out, "\"/>\n<path class=\"peak\" d=\"M%.2f %dV%d\"/>\n",
                  (x_of(d, d->peak) + x_of(d, d->peak + 1)) / 2, TOP, TOP + HIGH);
}

static void draw_axes(const Drawing *d)
{
    enum { MARKS = 4 };
    for (int i = 0; i <= MARKS; i++) {
        int64_t bytes = d->s->hint_bytes / MARKS * i;
        int32_t group = (int32_t)((int64_t)d->s->groups.count * i / MARKS);
        strbuf_printf(d->out, "<text x=\"%d\" y=\"%.2f\" class=\"left\">", LEFT - 6,
                      y_of(d, bytes) + 4);
        add_bytes(d->out, bytes);
        strbuf_printf(d->out, "</text>\n<text x=\"%.2f\" y=\"%d\" class=\"below\">%d</text>\n",
                      x_of(d, group), TOP + HIGH + 18, group);
    }
    strbuf_printf(d->out, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>\n", LEFT, TOP, TOP + HIGH,
                  LEFT + WIDE);
    strbuf_printf(d->out, "<text x=\"%d\" y=\"%d\" class=\"below\">groups, in their order</text>\n",
                  LEFT + WIDE / 2, TOP + HIGH + 36);
}

static int by_weight(const void *x, const void *y)
{
    const Line *a = x, *b = y;
    return a->bytes != b->bytes ? (a->bytes < b->bytes) - (a->bytes > b->bytes)
                                : strcmp(a->place, b->place);
}

static void draw_legend(Drawing *d)
{
    int x = LEFT + WIDE + 20, y = TOP + 10;
    strbuf_printf(d->out, "<text x=\"%d\" y=\"%d\">live at the peak, by line</text>\n", x, y);
    qsort(d->lines.data, d->lines.count, sizeof(Line), by_weight);
    for (uint32_t i = 0; i < d->lines.count && i < LEGEND_LINES; i++) {
        const Line *line = &d->lines.data[i];
        y += 22;
        strbuf_printf(d->out,
                      "<rect x=\"%d\" y=\"%d\" width=\"14\" height=\"14\" "
                      "fill=\"hsl(%d,60%%,72%%)\"/>\n<text x=\"%d\" y=\"%d\">",
                      x, y - 11, line->hue, x + 22, y);
        add_escaped(d->out, line->place);
        strbuf_add(d->out, ": ");
        add_bytes(d->out, line->bytes);
        strbuf_add(d->out, "</text>\n");
    }
    y += 30;
    strbuf_printf(d->out,
                  "<path class=\"live\" d=\"M%d %dh16\"/>\n<text x=\"%d\" y=\"%d\">sum of what is "
                  "live</text>\n",
                  x, y - 4, x + 22, y);
}

void memory_svg(const Schedule *schedule, const SourceMap *sources, StrBuf *out)
{
    Drawing d = new_drawing(schedule, sources, out);
    int width = LEFT + WIDE + LEGEND, height = TOP + HIGH + 50;
    strbuf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                  "viewBox=\"0 0 %d %d\">\n",
                  width, height, width, height);
    strbuf_add(out, "<style>text{font:12px sans-serif;fill:#222}.left{text-anchor:end}"
                    ".below{text-anchor:middle}rect{stroke:#fff;stroke-width:.4}"
                    ".live{fill:none;stroke:#111;stroke-width:1.4}"
                    ".peak{stroke:#c00;stroke-dasharray:4 3}.axis{fill:none;stroke:#666}"
                    ".head{font-size:15px}</style>\n");
    strbuf_printf(out, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height);
    strbuf_printf(out, "<text x=\"%d\" y=\"22\" class=\"head\">", LEFT);
    add_summary(&d);
    strbuf_add(out, "</text>\n");
    for (uint32_t i = 0; i < schedule->buffers.count; i++)
        if (schedule->buffers.data[i].kind == STORAGE_ARENA && schedule->buffers.data[i].first >= 0)
            draw_buffer(&d, i);
    draw_live(&d);
    draw_axes(&d);
    draw_legend(&d);
    strbuf_add(out, "</svg>\n");
    arena_free(d.arena);
}
