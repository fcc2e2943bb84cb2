/* The cutter of csv_rows.h: a small machine that moves through the text once and writes the
 * unquoted cells over it; what it writes is never longer than what it has read. */
#include "runtime/data/csv_rows.h"

#include <string.h>

static char find_separator(const char *at, const char *end)
{
    static const char candidates[] = {',', ';', '\t'};
    size_t counts[3] = {0}, best = 0;
    bool quoted = false;
    for (; at < end && (quoted || (*at != '\n' && *at != '\r')); at++) {
        quoted ^= *at == '"';
        for (size_t i = 0; i < 3; i++) {
            counts[i] += !quoted && *at == candidates[i];
        }
    }
    for (size_t i = 1; i < 3; i++) {
        best = counts[i] > counts[best] ? i : best;
    }
    return candidates[best];
}

void csv_rows_begin(CsvRows *rows, char *text, size_t length, char separator)
{
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        length -= 3;
    }
    rows->at = text;
    rows->end = text + length;
    rows->line = 1;
    rows->separator = separator ? separator : find_separator(text, rows->end);
}

static bool quote_error(const CsvRows *rows, const char *what)
{
    diag_error(rows->diag, ERR_E0610, rows->span, NULL, "%s, line %llu, column %u: %s", rows->shown,
               (unsigned long long)rows->line, rows->cells.count + 1, what);
    return false;
}

static bool ends_cell(const CsvRows *rows, const char *at)
{
    return at == rows->end || *at == rows->separator || *at == '\n' || *at == '\r';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The cell behind an opening quote. */
static bool read_quoted(CsvRows *rows, CsvCell *cell)
{
    char *out = ++rows->at;
    uint64_t line = rows->line;
    *cell = (CsvCell){.text = out, .quoted = true};
    for (;;) {
        if (rows->at == rows->end) {
            rows->line = line;
            return quote_error(rows, "a quoted cell is not closed");
        }
        if (*rows->at == '"') {
            if (rows->at + 1 == rows->end || rows->at[1] != '"') {
                break;
            }
            rows->at++;
        }
        rows->line += *rows->at == '\n';
        *out++ = *rows->at++;
    }
    rows->at++;
    while (rows->at < rows->end && is_blank(*rows->at) && *rows->at != rows->separator) {
        rows->at++;
    }
    cell->length = (uint32_t)(out - cell->text);
    return ends_cell(rows, rows->at) || quote_error(rows, "there is text after a closing quote");
}

static void read_plain(CsvRows *rows, CsvCell *cell)
{
    char *first = rows->at;
    while (!ends_cell(rows, rows->at)) {
        rows->at++;
    }
    char *last = rows->at;
    while (last > first && is_blank(last[-1])) {
        last--;
    }
    *cell = (CsvCell){.text = first, .length = (uint32_t)(last - first)};
}

static bool read_cell(CsvRows *rows, CsvCell *cell)
{
    while (rows->at < rows->end && is_blank(*rows->at) && *rows->at != rows->separator) {
        rows->at++;
    }
    if (rows->at < rows->end && *rows->at == '"') {
        return read_quoted(rows, cell);
    }
    read_plain(rows, cell);
    return true;
}

/* Steps over the end of a line: LF, CR LF or CR. */
static void skip_line_end(CsvRows *rows)
{
    if (rows->at < rows->end && *rows->at == '\r') {
        rows->at++;
        if (rows->at == rows->end || *rows->at != '\n') {
            rows->line++;
            return;
        }
    }
    if (rows->at < rows->end) {
        rows->at++;
        rows->line++;
    }
}

static bool only_line_ends_are_left(const CsvRows *rows)
{
    for (const char *at = rows->at; at < rows->end; at++) {
        if (*at != '\n' && *at != '\r') {
            return false;
        }
    }
    return true;
}

int csv_rows_next(CsvRows *rows)
{
    rows->cells.count = 0;
    if (only_line_ends_are_left(rows)) {
        return 0;
    }
    rows->row_line = rows->line;
    for (;;) {
        CsvCell cell;
        if (!read_cell(rows, &cell)) {
            return -1;
        }
        vec_push(rows->arena, &rows->cells, cell);
        bool more = rows->at < rows->end && *rows->at == rows->separator;
        if (more) {
            rows->at++;
        } else {
            skip_line_end(rows);
        }
        cell.text[cell.length] =
            '\0'; /* over the separator, the line end, a closing quote or the NUL after the text */
        if (!more) {
            return 1;
        }
    }
}
