/* Cells of text as rows of tokens: the characters, SEQUENCE_END, and SEQUENCE_PAD up to the length of the field.
 *
 *   chars(6), cell "4 may"     4 6 5 3 ...: first the code points, then, when the characters of all cells are known,
 *                              their numbers; a field with a tokenizer (test rows) has them at once */
#include "runtime/data/csv_tokens.h"

#include "runtime/data/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *too_long(Arena *arena, const DataField *field)
{
    return arena_format(arena, "has more than %lld characters, and one place is for the end",
                        (long long)field->sizes[0] - 1);
}

static const char *unknown_character(Arena *arena, const char *at, size_t length)
{
    size_t bytes;
    int32_t code = utf8_next(at, length, &bytes);
    return code < ' '
               ? arena_format(arena,
                              "has the character U+%04X, which the training data does not have",
                              (unsigned)code)
               : arena_format(arena,
                              "has the character '%.*s', which the training data does not have",
                              (int)bytes, at);
}

static const char *store_known(Arena *arena, const DataField *field, const CsvCell *cell,
                               int32_t *row)
{
    Tokens tokens = {0};
    size_t unknown;
    const char *problem = NULL;
    if (!tokenizer_encode(field->tokenizer, cell->text, cell->length, &tokens, &unknown))
        problem = unknown == SIZE_MAX
                      ? "does not fit into memory"
                      : unknown_character(arena, cell->text + unknown, cell->length - unknown);
    else if ((int64_t)tokens.count >= field->sizes[0])
        problem = too_long(arena, field);
    for (size_t i = 0; !problem && i < tokens.count; i++)
        row[i] = tokens.data[i];
    if (!problem)
        row[tokens.count] = SEQUENCE_END;
    free(tokens.data);
    return problem;
}

const char *sequence_store(Arena *arena, const DataField *field, const CsvCell *cell, int32_t *row)
{
    int64_t count = 0;
    memset(row, 0, (size_t)field->sizes[0] * sizeof *row);
    if (field->tokenizer)
        return store_known(arena, field, cell, row);
    for (size_t at = 0, bytes; at < cell->length; at += bytes) {
        int32_t code = utf8_next(cell->text + at, cell->length - at, &bytes);
        if (code < 0)
            return "is not UTF-8";
        if (code == 0)
            return "has a NUL character";
        if (count + 1 >= field->sizes[0])
            return too_long(arena, field);
        row[count++] = code + SEQUENCE_CHARS;
    }
    row[count] = SEQUENCE_END;
    return NULL;
}

/* The characters of all rows, as a text. */
static bool all_characters(const DataColumn *column, int64_t rows, StrBuf *text)
{
    enum { CODES = 0x110000 };
    const int32_t *cells = (const int32_t *)(const void *)column->data;
    uint8_t *seen = calloc(CODES, 1);
    for (int64_t i = 0; seen && i < rows * column->sizes[0]; i++)
        if (cells[i] >= SEQUENCE_CHARS)
            seen[cells[i] - SEQUENCE_CHARS] = 1;
    for (int32_t code = 0; seen && code < CODES; code++)
        if (seen[code])
            utf8_add(text, code);
    free(seen);
    return seen != NULL;
}

static bool number_cells(DataColumn *column, int64_t rows)
{
    int32_t *cells = (int32_t *)(void *)column->data;
    StrBuf piece = {0};
    Tokens one = {0};
    bool good = true;
    for (int64_t i = 0; good && i < rows * column->sizes[0]; i++) {
        size_t unknown;
        if (cells[i] < SEQUENCE_CHARS)
            continue;
        strbuf_clear(&piece);
        one.count = 0;
        utf8_add(&piece, cells[i] - SEQUENCE_CHARS);
        good = tokenizer_encode(column->tokenizer, piece.text, piece.length, &one, &unknown);
        if (good)
            cells[i] = one.data[0];
    }
    free(one.data);
    strbuf_free(&piece);
    return good;
}

static bool fits(const DataField *field, const DataColumn *column, const char *shown, Diag *diag)
{
    int64_t size = tokenizer_size(column->tokenizer);
    if (field->vocabulary == 0 || size <= field->vocabulary)
        return true;
    diag_error(diag, ERR_E0618, field->span, NULL,
               "%s: %s has %lld different characters, which makes %lld tokens with padding, start "
               "and end, and "
               "vocab is %lld",
               shown, field->name, (long long)size - SEQUENCE_CHARS, (long long)size,
               (long long)field->vocabulary);
    return false;
}

bool sequence_finish(const DataField *field, DataColumn *column, int64_t rows, const char *shown,
                     Diag *diag)
{
    static const char *const special[] = {"<pad>", "<start>", "<end>"};
    if (field->tokenizer) {
        column->tokenizer = (Tokenizer *)field->tokenizer;
        column->shared = true;
        return true;
    }
    StrBuf text = {0};
    if (all_characters(column, rows, &text))
        column->tokenizer =
            tokenizer_chars(special, SEQUENCE_CHARS, text.text ? text.text : "", text.length);
    strbuf_free(&text);
    if (column->tokenizer && number_cells(column, rows))
        return fits(field, column, shown, diag);
    diag_error(diag, ERR_E0617, field->span, NULL, "%s does not fit into memory", shown);
    return false;
}
