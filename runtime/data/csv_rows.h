/* Cutting CSV text into rows of cells (RFC 4180 with any separator). Internal. */
#ifndef NNC_DATA_CSV_ROWS_H
#define NNC_DATA_CSV_ROWS_H
#include "runtime/base/diag.h"
#include "runtime/base/vec.h"

typedef struct {
    char *text;       /* NUL-terminated, unquoted; spaces around an unquoted cell are gone */
    uint32_t length;
    bool quoted;
} CsvCell;

typedef struct {
    char *at, *end;   /* the rest of the text, which is changed in place: cells are unquoted and ended there */
    char separator;
    uint64_t line;    /* of the next row, from 1 */
    const char *shown;
    Span span;
    Diag *diag;
    Arena *arena;     /* of the list of cells */
    VEC(CsvCell) cells; /* of the row that was read last */
    uint64_t row_line;
} CsvRows;

/* text[length] must be writable. A byte order mark is skipped; separator 0 is found from the
 * first line. */
void csv_rows_begin(CsvRows *rows, char *text, size_t length, char separator);
/* Reads the next row into rows->cells. Empty lines at the end of the text are no rows. 1: a row,
 * 0: the end, -1: an error. */
int csv_rows_next(CsvRows *rows);

#endif
