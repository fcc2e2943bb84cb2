/* Diagnostics: what is wrong with a user's program or data, where, and what would mend it.
 *
 * A SourceMap owns the texts; a Span is a byte range in one of them. Diag collects errors (at
 * most 20 are kept, one per statement span) and renders them as text with a caret line per span,
 * or as JSON. Codes are rows of errors.def: ERR(E0312, "shape-mismatch", "title", "the page that
 * nnc explain prints"). */
#ifndef NNC_BASE_DIAG_H
#define NNC_BASE_DIAG_H
#include "runtime/base/arena.h"
#include "runtime/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint32_t file; /* index in the SourceMap, 0 = no place */
    uint32_t begin, end;
} Span;

typedef struct SourceMap SourceMap;
SourceMap *source_map_new(void);
void source_map_free(SourceMap *map);
/* Copies text (length bytes, any bytes). Returns the file index, from 1. `shown` is the name
 * printed in errors. */
uint32_t source_add(SourceMap *map, const char *shown, const char *text, size_t length);
/* The same for a text of `owner` (any address, of the arena with its tree): source_disown says
 * that nothing but errors can speak of its texts any more, and source_collect, when there are no
 * such errors, frees them. Indices are used again. */
uint32_t source_add_owned(SourceMap *map, const void *owner, const char *shown, const char *text, size_t length);
void source_disown(SourceMap *map, const void *owner);
void source_collect(SourceMap *map);
const char *source_text(const SourceMap *map, uint32_t file, size_t *length);
const char *source_name(const SourceMap *map, uint32_t file);
void source_line_column(const SourceMap *map, Span span, uint32_t *line, uint32_t *column); /* from 1, column in bytes */

typedef enum {
#define ERR(code, slug, title, page) ERR_##code,
#include "runtime/base/errors.def"
    ERR_COUNT
} ErrorCode;

const char *error_code_text(ErrorCode code);  /* "E0312" */
const char *error_slug(ErrorCode code);       /* "shape-mismatch" */
const char *error_title(ErrorCode code);
const char *error_page(ErrorCode code);
bool error_from_text(const char *text, ErrorCode *code); /* "E0312", "e0312" or the slug */

typedef struct Diag Diag;          /* the collection */
typedef struct DiagItem DiagItem;  /* one error, open for notes until the next one */

Diag *diag_new(SourceMap *map);
void diag_free(Diag *diag);
/* `label` is the text beside the caret, NULL for none. Returns an item for notes (never NULL).
 * An error with a span that equals one already reported is dropped: its notes go nowhere. */
DiagItem *diag_error(Diag *diag, ErrorCode code, Span span, const char *label, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
DiagItem *diag_warning(Diag *diag, Span span, const char *format, ...) __attribute__((format(printf, 3, 4)));
void diag_note(DiagItem *item, Span span, const char *format, ...) __attribute__((format(printf, 3, 4))); /* a second place */
void diag_help(DiagItem *item, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint32_t diag_error_count(const Diag *diag);
uint32_t diag_count(const Diag *diag);
void diag_clear(Diag *diag);
void diag_render_text(const Diag *diag, StrBuf *out, bool colour);
void diag_render_json(const Diag *diag, StrBuf *out); /* one {"event":"error",...} line per item */
/* The nearest of `count` names within an edit distance of about a third of the length, or NULL. */
const char *diag_nearest(const char *name, const char *const *names, uint32_t count);

#endif
