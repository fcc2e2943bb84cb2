/* Diagnostics: the texts of a program, the errors found in them, and how both are shown.
 *
 *   lenet.nn:14:17: error[E0312]: cannot apply fc1: it takes f32[..., 3136] and gets f32[B, 2304]
 *      14 |           |> fc1 |> relu |> dropout(0.5)
 *         |              ^^^ dimension 1: 3136 here ...
 *      13 |           |> flatten(from=1)
 *         |              ------- ... but 64*6*6 = 2304 here
 *      help: Conv2d(32, 64, k=3, pad=1) keeps 14x14
 *
 * Each item holds its main place first and its notes after it; rendering walks them in order and
 * prints one source line with an underline per place. The collection allocates from one arena
 * and copies every text, so callers may pass anything. Items over the limit, and repetitions of
 * a place, land in a spare item that is never shown. */
#include "runtime/base/diag.h"

#include "runtime/base/bug.h"
#include "runtime/base/vec.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_ITEMS 20
#define SHOWN_COLUMNS 160 /* a longer source line is cut around the place */

typedef struct {
    Arena *arena; /* of the rest; NULL: the place is free */
    const void *owner;
    bool is_dropped; /* disowned */
    char *name, *text;
    size_t length;
    VEC(uint32_t) lines; /* offset of the first byte of each line */
} Source;

struct SourceMap {
    Arena *arena;
    VEC(Source) files;
};

typedef struct {
    Span span;
    const char *text; /* NULL: no label */
} Place;

struct DiagItem {
    Arena *arena;
    bool is_warning;
    ErrorCode code;
    const char *message;
    VEC(Place) places; /* the main one first */
    VEC(const char *) helps;
};

struct Diag {
    Arena *arena;
    SourceMap *map;
    VEC(DiagItem *) items;
    DiagItem *spare;
    uint32_t errors;
    bool is_full; /* something was not kept */
};

/* ---- the table of errors ---- */

typedef struct {
    const char *code, *slug, *title, *page;
} ErrorRow;

static const ErrorRow error_rows[ERR_COUNT] = {
#define ERR(code, slug, title, page) {#code, slug, title, page},
#include "runtime/base/errors.def"
};

static const ErrorRow *error_row(ErrorCode code)
{
    NNC_ASSERT((unsigned)code < ERR_COUNT);
    return &error_rows[code];
}

const char *error_code_text(ErrorCode code)
{
    return error_row(code)->code;
}

const char *error_slug(ErrorCode code)
{
    return error_row(code)->slug;
}

const char *error_title(ErrorCode code)
{
    return error_row(code)->title;
}

const char *error_page(ErrorCode code)
{
    return error_row(code)->page;
}

bool error_from_text(const char *text, ErrorCode *code)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        bool same_letter = text[0] == 'E' || text[0] == 'e';
        if ((same_letter && strcmp(error_rows[i].code + 1, text + 1) == 0) ||
            strcmp(error_rows[i].slug, text) == 0) {
            *code = (ErrorCode)i;
            return true;
        }
    }
    return false;
}

/* ---- sources ---- */

SourceMap *source_map_new(void)
{
    Arena *arena = arena_new();
    SourceMap *map = ARENA_NEW(arena, SourceMap);
    map->arena = arena;
    return map;
}

void source_map_free(SourceMap *map)
{
    for (uint32_t i = 0; map && i < map->files.count; i++) {
        arena_free(map->files.data[i].arena);
    }
    if (map) {
        arena_free(map->arena);
    }
}

static uint32_t free_place(SourceMap *map)
{
    uint32_t place = 0;
    while (place < map->files.count && map->files.data[place].arena) {
        place++;
    }
    if (place == map->files.count) {
        vec_push(map->arena, &map->files, (Source){0});
    }
    return place;
}

uint32_t source_add_owned(SourceMap *map, const void *owner, const char *shown, const char *text,
                          size_t length)
{
    NNC_ASSERT(length < UINT32_MAX);
    uint32_t place = free_place(map);
    Arena *arena = arena_new();
    Source source = {.arena = arena,
                     .owner = owner,
                     .name = arena_string(arena, shown),
                     .text = arena_substring(arena, text, length),
                     .length = length};
    vec_push(arena, &source.lines, 0);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n') {
            vec_push(arena, &source.lines, (uint32_t)i + 1);
        }
    }
    map->files.data[place] = source;
    return place + 1;
}

uint32_t source_add(SourceMap *map, const char *shown, const char *text, size_t length)
{
    return source_add_owned(map, NULL, shown, text, length);
}

void source_disown(SourceMap *map, const void *owner)
{
    for (uint32_t i = 0; i < map->files.count; i++) {
        Source *source = &map->files.data[i];
        source->is_dropped |= source->arena && source->owner == owner;
    }
}

void source_collect(SourceMap *map)
{
    for (uint32_t i = 0; i < map->files.count; i++) {
        Source *source = &map->files.data[i];
        if (source->is_dropped) {
            arena_free(source->arena);
            *source = (Source){0};
        }
    }
}

static const Source *source_of(const SourceMap *map, uint32_t file)
{
    NNC_ASSERT(map && file >= 1 && file <= map->files.count && map->files.data[file - 1].arena);
    return &map->files.data[file - 1];
}

const char *source_text(const SourceMap *map, uint32_t file, size_t *length)
{
    const Source *source = source_of(map, file);
    if (length) {
        *length = source->length;
    }
    return source->text;
}

const char *source_name(const SourceMap *map, uint32_t file)
{
    return source_of(map, file)->name;
}

/* Index of the last line that begins at or before `offset`. */
static uint32_t line_of(const Source *source, uint32_t offset)
{
    uint32_t low = 0, high = source->lines.count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (source->lines.data[middle] <= offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

void source_line_column(const SourceMap *map, Span span, uint32_t *line, uint32_t *column)
{
    const Source *source = source_of(map, span.file);
    uint32_t offset = span.begin < source->length ? span.begin : (uint32_t)source->length;
    uint32_t index = line_of(source, offset);
    *line = index + 1;
    *column = offset - source->lines.data[index] + 1;
}

/* ---- collecting ---- */

Diag *diag_new(SourceMap *map)
{
    Arena *arena = arena_new();
    Diag *diag = ARENA_NEW(arena, Diag);
    diag->arena = arena;
    diag->map = map;
    return diag;
}

void diag_free(Diag *diag)
{
    if (diag) {
        arena_free(diag->arena);
    }
}

void diag_clear(Diag *diag)
{
    diag->items.count = 0;
    diag->errors = 0;
    diag->is_full = false;
}

static DiagItem *new_item(Diag *diag)
{
    DiagItem *item = ARENA_NEW(diag->arena, DiagItem);
    item->arena = diag->arena;
    return item;
}

static DiagItem *spare_item(Diag *diag)
{
    if (!diag->spare) {
        diag->spare = new_item(diag);
        diag->spare->arena = NULL;
    }
    return diag->spare;
}

static bool same_span(Span a, Span b)
{
    return a.file == b.file && a.begin == b.begin && a.end == b.end;
}

/* Is there an item of this kind for the place already? Items without a place repeat when their
 * message does. */
static bool already_reported(const Diag *diag, bool is_warning, Span span, const char *message)
{
    for (uint32_t i = 0; i < diag->items.count; i++) {
        const DiagItem *item = diag->items.data[i];
        if (item->is_warning == is_warning && same_span(item->places.data[0].span, span) &&
            ((span.file != 0 && !is_warning) || strcmp(item->message, message) == 0)) {
            return true;
        }
    }
    return false;
}

static DiagItem *add_item(Diag *diag, bool is_warning, ErrorCode code, Span span, const char *label,
                          const char *format, va_list args)
{
    StrBuf message = {0};
    strbuf_vprintf(&message, format, args);
    DiagItem *item = NULL;
    if (!already_reported(diag, is_warning, span, message.text)) {
        diag->errors += !is_warning;
        if (diag->items.count < KEPT_ITEMS) {
            item = new_item(diag);
            item->is_warning = is_warning;
            item->code = code;
            item->message = arena_string(diag->arena, message.text);
            Place place = {span, label ? arena_string(diag->arena, label) : NULL};
            vec_push(diag->arena, &item->places, place);
            vec_push(diag->arena, &diag->items, item);
        } else {
            diag->is_full = true;
        }
    }
    strbuf_free(&message);
    return item ? item : spare_item(diag);
}

DiagItem *diag_error(Diag *diag, ErrorCode code, Span span, const char *label, const char *format,
                     ...)
{
    va_list args;
    va_start(args, format);
    DiagItem *item = add_item(diag, false, code, span, label, format, args);
    va_end(args);
    return item;
}

DiagItem *diag_warning(Diag *diag, Span span, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    DiagItem *item = add_item(diag, true, (ErrorCode)0, span, NULL, format, args);
    va_end(args);
    return item;
}

void diag_note(DiagItem *item, Span span, const char *format, ...)
{
    if (!item->arena) {
        return;
    }
    va_list args;
    va_start(args, format);
    Place place = {span, arena_vformat(item->arena, format, args)};
    va_end(args);
    vec_push(item->arena, &item->places, place);
}

void diag_help(DiagItem *item, const char *format, ...)
{
    if (!item->arena) {
        return;
    }
    va_list args;
    va_start(args, format);
    const char *help = arena_vformat(item->arena, format, args);
    va_end(args);
    vec_push(item->arena, &item->helps, help);
}

uint32_t diag_error_count(const Diag *diag)
{
    return diag->errors;
}

uint32_t diag_count(const Diag *diag)
{
    return diag->items.count;
}

/* ---- text ---- */

typedef struct {
    const char *error, *warning, *place, *note, *bold, *plain;
} Palette;

static const Palette colourful = {"\033[1;31m", "\033[1;33m", "\033[1;31m",
                                  "\033[1;34m", "\033[1m",    "\033[0m"};
static const Palette colourless = {"", "", "", "", "", ""};

/* Source text may hold anything: what a terminal would obey is shown as '?', a tab stays (the
 * underline copies it). */
static void add_visible(StrBuf *out, const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned char c = (unsigned char)text[i];
        strbuf_add_char(out, (c < 0x20 && c != '\t') || c == 0x7F ? '?' : (char)c);
    }
}

static bool continues_character(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

typedef struct {
    uint32_t begin, end; /* the shown part of the line, as offsets in the text */
    uint32_t mark_begin, mark_end;
    bool cut_before, cut_after;
} Window;

/* The part of the line that is shown: all of a short line, else the surroundings of the place. */
static Window window_of(const Source *source, Span span)
{
    uint32_t length = (uint32_t)source->length;
    uint32_t begin = span.begin < length ? span.begin : length;
    uint32_t index = line_of(source, begin);
    Window w = {.begin = source->lines.data[index]};
    w.end = index + 1 < source->lines.count ? source->lines.data[index + 1] - 1 : length;
    if (w.end > w.begin && source->text[w.end - 1] == '\r') {
        w.end--;
    }
    w.mark_begin = begin < w.end ? begin : w.end;
    w.mark_end = span.end < w.end ? span.end : w.end;
    if (w.end - w.begin > SHOWN_COLUMNS) {
        uint32_t margin = SHOWN_COLUMNS / 4;
        if (w.mark_begin - w.begin > margin * 2) {
            w.begin = w.mark_begin - margin;
            w.cut_before = true;
        }
        while (w.begin < w.mark_begin && continues_character(source->text[w.begin])) {
            w.begin++;
        }
        if (w.end - w.begin > SHOWN_COLUMNS) {
            w.end = w.begin + SHOWN_COLUMNS;
            w.cut_after = true;
        }
        while (w.end > w.mark_begin && w.end < length && continues_character(source->text[w.end])) {
            w.end--;
        }
        w.mark_end = w.mark_end < w.end ? w.mark_end : w.end;
    }
    return w;
}

static void add_underline(StrBuf *out, const Source *source, Window w, char mark)
{
    strbuf_add(out, w.cut_before ? "    " : "");
    for (uint32_t i = w.begin; i < w.mark_begin; i++) {
        if (!continues_character(source->text[i])) {
            strbuf_add_char(out, source->text[i] == '\t' ? '\t' : ' ');
        }
    }
    uint32_t marks = 0;
    for (uint32_t i = w.mark_begin; i < w.mark_end; i++) {
        marks += !continues_character(source->text[i]);
    }
    for (uint32_t i = 0; i < (marks ? marks : 1); i++) {
        strbuf_add_char(out, mark);
    }
}

static void render_place(const Diag *diag, Place place, uint32_t home, char mark, const char *paint,
                         StrBuf *out, const Palette *palette)
{
    if (place.span.file == 0) {
        if (place.text) {
            strbuf_printf(out, "   note: %s\n", place.text);
        }
        return;
    }
    const Source *source = source_of(diag->map, place.span.file);
    uint32_t line, column;
    source_line_column(diag->map, place.span, &line, &column);
    if (place.span.file != home) {
        strbuf_printf(out, "   in %s:%u:%u:\n", source->name, line, column);
    }
    Window w = window_of(source, place.span);
    strbuf_printf(out, "%5u | %s", line, w.cut_before ? "... " : "");
    add_visible(out, source->text + w.begin, w.end - w.begin);
    strbuf_printf(out, "%s\n      | ", w.cut_after ? " ..." : "");
    strbuf_add(out, paint);
    add_underline(out, source, w, mark);
    if (place.text && place.text[0]) {
        strbuf_printf(out, " %s", place.text);
    }
    strbuf_printf(out, "%s\n", palette->plain);
}

static void render_item(const Diag *diag, const DiagItem *item, StrBuf *out, const Palette *palette)
{
    Place main_place = item->places.data[0];
    strbuf_add(out, palette->bold);
    if (main_place.span.file) {
        uint32_t line, column;
        source_line_column(diag->map, main_place.span, &line, &column);
        strbuf_printf(out, "%s:%u:%u: ", source_name(diag->map, main_place.span.file), line,
                      column);
    }
    if (item->is_warning) {
        strbuf_printf(out, "%swarning%s", palette->warning, palette->plain);
    } else {
        strbuf_printf(out, "%serror[%s]%s", palette->error, error_code_text(item->code),
                      palette->plain);
    }
    strbuf_printf(out, "%s: %s%s\n", palette->bold, item->message, palette->plain);
    for (uint32_t i = 0; i < item->places.count; i++) {
        render_place(diag, item->places.data[i], main_place.span.file, i == 0 ? '^' : '-',
                     i == 0 ? palette->place : palette->note, out, palette);
    }
    for (uint32_t i = 0; i < item->helps.count; i++) {
        strbuf_printf(out, "   help: %s\n", item->helps.data[i]);
    }
}

void diag_render_text(const Diag *diag, StrBuf *out, bool colour)
{
    for (uint32_t i = 0; i < diag->items.count; i++) {
        render_item(diag, diag->items.data[i], out, colour ? &colourful : &colourless);
    }
    if (diag->is_full) {
        strbuf_printf(out, "more errors follow; these are the first %d\n", KEPT_ITEMS);
    }
}

/* ---- JSON ---- */

static void json_place(const Diag *diag, Span span, StrBuf *out)
{
    if (span.file == 0) {
        return;
    }
    uint32_t line, column, end_line, end_column;
    source_line_column(diag->map, span, &line, &column);
    Span end = {span.file, span.end, span.end};
    source_line_column(diag->map, end, &end_line, &end_column);
    strbuf_add(out, ",\"file\":");
    strbuf_add_json(out, source_name(diag->map, span.file));
    strbuf_printf(out, ",\"line\":%u,\"column\":%u,\"end_line\":%u,\"end_column\":%u", line, column,
                  end_line, end_column);
}

static void json_text(StrBuf *out, const char *key, const char *text)
{
    strbuf_printf(out, ",\"%s\":", key);
    strbuf_add_json(out, text);
}

static void json_note(const Diag *diag, Place place, bool first, StrBuf *out)
{
    StrBuf fields = {0};
    json_place(diag, place.span, &fields);
    json_text(&fields, "message", place.text ? place.text : "");
    strbuf_printf(out, "%s{%s}", first ? "" : ",", fields.text + 1);
    strbuf_free(&fields);
}

static void json_item(const Diag *diag, const DiagItem *item, StrBuf *out)
{
    strbuf_printf(out, "{\"event\":\"%s\"", item->is_warning ? "warning" : "error");
    if (!item->is_warning) {
        json_text(out, "code", error_code_text(item->code));
    }
    json_place(diag, item->places.data[0].span, out);
    json_text(out, "message", item->message);
    if (item->places.data[0].text) {
        json_text(out, "label", item->places.data[0].text);
    }
    strbuf_add(out, ",\"notes\":[");
    for (uint32_t i = 1; i < item->places.count; i++) {
        json_note(diag, item->places.data[i], i == 1, out);
    }
    strbuf_add(out, "],\"help\":[");
    for (uint32_t i = 0; i < item->helps.count; i++) {
        strbuf_add(out, i ? "," : "");
        strbuf_add_json(out, item->helps.data[i]);
    }
    strbuf_add(out, "]}\n");
}

void diag_render_json(const Diag *diag, StrBuf *out)
{
    for (uint32_t i = 0; i < diag->items.count; i++) {
        json_item(diag, diag->items.data[i], out);
    }
}

/* ---- suggestions ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Edits (insertion, deletion, replacement, swap of neighbours) that turn a into b, upper and
 * lower case being equal; names longer than the rows of the table are never near. The classic
 * table of Wagner and Fischer, three rows of it. */
static uint32_t edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    size_t rows = strlen(a), columns = strlen(b);
    if (rows > LONGEST || columns > LONGEST) {
        return UINT32_MAX;
    }
    uint32_t table[3][LONGEST + 1];
    for (uint32_t j = 0; j <= columns; j++) {
        table[0][j] = j;
    }
    for (uint32_t i = 1; i <= rows; i++) {
        uint32_t *now = table[i % 3], *before = table[(i + 2) % 3],
                 *before_that = table[(i + 1) % 3];
        now[0] = i;
        for (uint32_t j = 1; j <= columns; j++) {
            char x = lower(a[i - 1]), y = lower(b[j - 1]);
            uint32_t best = before[j - 1] + (x != y);
            best = before[j] + 1 < best ? before[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y &&
                before_that[j - 2] + 1 < best) {
                best = before_that[j - 2] + 1;
            }
            now[j] = best;
        }
    }
    return table[rows % 3][columns];
}

const char *diag_nearest(const char *name, const char *const *names, uint32_t count)
{
    size_t length = strlen(name);
    uint32_t best = (uint32_t)(length / 3 + (length >= 2 ? 1 : 0));
    const char *nearest = NULL;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t distance = edit_distance(name, names[i]);
        size_t other = strlen(names[i]);
        bool unrelated = 2 * distance > length || 2 * distance > other;
        if (!unrelated && (distance < best || (distance == best && !nearest))) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}
