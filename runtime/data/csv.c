/* CSV into a table: match fields to columns, then turn cells into elements row by row. Words of
 * category columns get numbers as they come; at the end the words are sorted and the numbers
 * replaced by places in that order, so that the codes are a function of the set of words and not
 * of the order of rows. */
#include "runtime/data/csv_rows.h"
#include "runtime/base/scalar.h"
#include "runtime/data/csv_tokens.h"
#include "runtime/data/reader.h"

#include "runtime/base/rng.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    VEC(const char *) words;
    uint32_t *slots; /* open addressing; 0: empty, else 1 + the number of a word */
    uint32_t slot_count;
    bool closed; /* only the words of the field are allowed */
} Vocabulary;

typedef struct {
    const DataField *field;
    VEC(uint32_t) columns; /* of the file, one per element of a row */
    Vocabulary vocabulary;
} FieldPlace;

typedef struct {
    CsvRows rows;
    CsvOptions options;
    const DataField *fields;
    int count;
    DataTable *table;
    Arena *arena;
    Diag *diag;
    locale_t numbers; /* the C locale: a decimal point is a point */
    uint32_t width;
    const char **names; /* of the header, NULL without one */
    FieldPlace *places;
    int64_t capacity; /* rows that the columns have room for */
} Csv;

/* ---- which columns ---- */

static bool find_column(const Csv *csv, const char *name, uint32_t *column)
{
    for (uint32_t i = 0; csv->names && i < csv->width; i++) {
        if (strcmp(csv->names[i], name) == 0) {
            *column = i;
            return true;
        }
    }
    return false;
}

static bool no_column(const Csv *csv, const DataField *field, const char *name)
{
    DiagItem *item = diag_error(csv->diag, ERR_E0607, field->span, NULL, "%s has no column %s",
                                csv->rows.shown, name);
    const char *nearest = csv->names ? diag_nearest(name, csv->names, csv->width) : NULL;
    if (nearest) {
        diag_help(item, "there is a column %s", nearest);
    } else if (!csv->names) {
        diag_help(item, "it has no header; columns are numbered 0 to %u", csv->width - 1);
    }
    return false;
}

/* A column by name or, when there is no such name, by number. */
static bool named_column(const Csv *csv, const DataField *field, const char *name, uint32_t *column)
{
    if (find_column(csv, name, column)) {
        return true;
    }
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    if (name[0] < '0' || name[0] > '9' || *end || number >= csv->width) {
        return no_column(csv, field, name);
    }
    *column = (uint32_t)number;
    return true;
}

/* A piece of `where` without the spaces around it. */
static const char *trimmed(const Csv *csv, const char *begin, const char *end)
{
    while (begin < end && *begin == ' ') {
        begin++;
    }
    while (end > begin && end[-1] == ' ') {
        end--;
    }
    return arena_substring(csv->arena, begin, (size_t)(end - begin));
}

/* "name", "first..last" or "a, b, c". */
static bool places_from_text(const Csv *csv, FieldPlace *place)
{
    const DataField *field = place->field;
    const char *at = field->where, *dots = strstr(at, "..");
    uint32_t first, last;
    if (find_column(csv, at, &first)) {
        vec_push(csv->arena, &place->columns, first);
        return true;
    }
    if (dots) {
        if (!named_column(csv, field, trimmed(csv, at, dots), &first) ||
            !named_column(csv, field, trimmed(csv, dots + 2, at + strlen(at)), &last)) {
            return false;
        }
        for (uint32_t column = first; column <= last; column++) {
            vec_push(csv->arena, &place->columns, column);
        }
        return true;
    }
    for (;;) {
        const char *comma = strchr(at, ','), *end = comma ? comma : at + strlen(at);
        if (!named_column(csv, field, trimmed(csv, at, end), &first)) {
            return false;
        }
        vec_push(csv->arena, &place->columns, first);
        if (!comma) {
            return true;
        }
        at = comma + 1;
    }
}

/* A text is one column, whatever the number of its tokens. */
static int64_t columns_of(const DataField *field)
{
    return field->sequence ? 1 : field_elements(field);
}

/* The next columns that nobody has taken. */
static void places_in_order(const Csv *csv, FieldPlace *place, bool *taken)
{
    int64_t wanted = columns_of(place->field);
    for (uint32_t column = 0; column < csv->width && place->columns.count < wanted; column++) {
        if (!taken[column]) {
            taken[column] = true;
            vec_push(csv->arena, &place->columns, column);
        }
    }
}

static bool check_width(const Csv *csv, const FieldPlace *place)
{
    const DataField *field = place->field;
    int64_t wanted = columns_of(field);
    if (wanted == place->columns.count) {
        return true;
    }
    char shape[200];
    shape_text(field->dtype, field->rank, field->sizes, shape, sizeof shape);
    diag_error(csv->diag, ERR_E0607, field->span, NULL,
               "%s: the field %s is %s, which takes %lld columns, and there %s %u", csv->rows.shown,
               field->name, shape, (long long)wanted, place->columns.count == 1 ? "is" : "are",
               place->columns.count);
    return false;
}

static bool place_fields(Csv *csv)
{
    bool *taken = ARENA_ARRAY(csv->arena, bool, csv->width + 1);
    for (int i = 0; i < csv->count; i++) {
        FieldPlace *place = &csv->places[i];
        uint32_t column;
        if (place->field->where && !places_from_text(csv, place)) {
            return false;
        }
        if (!place->field->where && find_column(csv, place->field->name, &column)) {
            vec_push(csv->arena, &place->columns, column);
        }
        for (uint32_t k = 0; k < place->columns.count; k++) {
            taken[place->columns.data[k]] = true;
        }
    }
    for (int i = 0; i < csv->count; i++) {
        FieldPlace *place = &csv->places[i];
        bool unplaced = place->columns.count == 0 && !place->field->where;
        if (unplaced && csv->names && (place->field->rank == 0 || place->field->sequence)) {
            return no_column(csv, place->field, place->field->name);
        }
        if (unplaced) {
            places_in_order(csv, place, taken);
        }
        if (!check_width(csv, place)) {
            return false;
        }
    }
    return true;
}

/* ---- words ---- */

static void insert_slot(Vocabulary *vocabulary, uint32_t word)
{
    const char *text = vocabulary->words.data[word];
    uint32_t slot = (uint32_t)rng_hash(text, strlen(text), 0) & (vocabulary->slot_count - 1);
    while (vocabulary->slots[slot]) {
        slot = (slot + 1) & (vocabulary->slot_count - 1);
    }
    vocabulary->slots[slot] = word + 1;
}

static void add_word(Csv *csv, Vocabulary *vocabulary, const char *text)
{
    vec_push(csv->arena, &vocabulary->words, text);
    if (vocabulary->words.count * 2 <= vocabulary->slot_count) {
        insert_slot(vocabulary, vocabulary->words.count - 1);
        return;
    }
    vocabulary->slot_count = vocabulary->slot_count ? vocabulary->slot_count * 4 : 64;
    vocabulary->slots = ARENA_ARRAY(csv->arena, uint32_t, vocabulary->slot_count);
    for (uint32_t word = 0; word < vocabulary->words.count; word++) {
        insert_slot(vocabulary, word);
    }
}

static bool find_word(const Vocabulary *vocabulary, const char *text, uint32_t *word)
{
    if (vocabulary->slot_count == 0) {
        return false;
    }
    uint32_t slot = (uint32_t)rng_hash(text, strlen(text), 0) & (vocabulary->slot_count - 1);
    for (; vocabulary->slots[slot]; slot = (slot + 1) & (vocabulary->slot_count - 1)) {
        uint32_t found = vocabulary->slots[slot] - 1;
        if (strcmp(vocabulary->words.data[found], text) == 0) {
            *word = found;
            return true;
        }
    }
    return false;
}

/* ---- cells ---- */

/* "iris.csv, line 17, column 3 (petal_width)" */
static const char *cell_place(const Csv *csv, uint32_t column)
{
    const char *name = csv->names ? arena_format(csv->arena, " (%.60s)", csv->names[column]) : "";
    return arena_format(csv->arena, "%s, line %llu, column %u%s", csv->rows.shown,
                        (unsigned long long)csv->rows.row_line, column + 1, name);
}

static bool cell_error(const Csv *csv, const FieldPlace *place, uint32_t column, const char *what)
{
    const CsvCell *cell = &csv->rows.cells.data[column];
    if (cell->length == 0) {
        diag_error(csv->diag, ERR_E0608, place->field->span, NULL, "%s: the cell is empty",
                   cell_place(csv, column));
    } else {
        diag_error(csv->diag, ERR_E0608, place->field->span, NULL, "%s: \"%.60s\" %s",
                   cell_place(csv, column), cell->text, what);
    }
    return false;
}

/* Decimal notation only: no hexadecimal, no names for infinity or NaN. */
static bool is_decimal(const CsvCell *cell)
{
    for (uint32_t i = 0; i < cell->length; i++) {
        if (!cell->text[i] || !strchr("0123456789+-.eE", cell->text[i])) {
            return false;
        }
    }
    return cell->length > 0;
}

static bool store_float(const Csv *csv, const FieldPlace *place, uint32_t column, void *out)
{
    const CsvCell *cell = &csv->rows.cells.data[column];
    char *end = cell->text;
    double wide = 0;
    DType dtype = place->field->dtype;
    if (is_decimal(cell)) {
        wide = dtype == DT_F64 ? strtod_l(cell->text, &end, csv->numbers)
                               : (double)strtof_l(cell->text, &end, csv->numbers);
        wide = dtype_round(dtype, wide);
        scalar_convert(DT_F64, dtype, &wide, out, 1);
    }
    if (end == cell->text || *end) {
        return cell_error(csv, place, column, "is not a number");
    }
    return !isinf(wide) || cell_error(csv, place, column, "is too large for the type of the field");
}

static bool store_int(const Csv *csv, const FieldPlace *place, uint32_t column, void *out)
{
    const CsvCell *cell = &csv->rows.cells.data[column];
    char *end = cell->text;
    errno = 0;
    long long value = is_decimal(cell) ? strtoll(cell->text, &end, 10) : 0;
    if (end == cell->text || *end) {
        return cell_error(csv, place, column, "is not an integer");
    }
    DType dtype = place->field->dtype;
    bool fits = errno == 0 && value >= dtype_least(dtype) && value <= dtype_largest(dtype);
    scalar_convert(DT_I64, dtype, &(int64_t){fits ? value : 0}, out, 1);
    return fits || cell_error(csv, place, column, "does not fit into the type of the field");
}

static bool store_bool(const Csv *csv, const FieldPlace *place, uint32_t column, void *out)
{
    static const char *const words[] = {"0",     "1",    "false", "true",
                                        "False", "True", "FALSE", "TRUE"};
    for (int i = 0; i < 8; i++) {
        if (strcmp(csv->rows.cells.data[column].text, words[i]) == 0) {
            *(uint8_t *)out = (uint8_t)(i & 1);
            return true;
        }
    }
    return cell_error(csv, place, column, "is not one of true, false, 1 and 0");
}

static bool unknown_word(Csv *csv, const FieldPlace *place, uint32_t column)
{
    const Vocabulary *vocabulary = &place->vocabulary;
    const char *word = csv->rows.cells.data[column].text;
    DiagItem *item =
        diag_error(csv->diag, ERR_E0611, place->field->span, NULL,
                   "%s: \"%.60s\" is none of the %u words of %s", cell_place(csv, column), word,
                   vocabulary->words.count, place->field->name);
    const char *nearest = diag_nearest(word, vocabulary->words.data, vocabulary->words.count);
    if (nearest) {
        diag_help(item, "there is \"%s\"", nearest);
    }
    return false;
}

static bool store_word(Csv *csv, FieldPlace *place, uint32_t column, void *out)
{
    const CsvCell *cell = &csv->rows.cells.data[column];
    Vocabulary *vocabulary = &place->vocabulary;
    uint32_t word = vocabulary->words.count;
    if (cell->length == 0) {
        return cell_error(csv, place, column, "");
    }
    if (memchr(cell->text, '\0', cell->length)) {
        return cell_error(csv, place, column, "has a NUL character");
    }
    if (!find_word(vocabulary, cell->text, &word)) {
        if (vocabulary->closed) {
            return unknown_word(csv, place, column);
        }
        add_word(csv, vocabulary, cell->text);
    }
    memcpy(out, &(int32_t){(int32_t)word}, sizeof(int32_t));
    return true;
}

static bool store_sequence(const Csv *csv, const FieldPlace *place, uint32_t column, void *out)
{
    const char *problem =
        sequence_store(csv->arena, place->field, &csv->rows.cells.data[column], out);
    return !problem || cell_error(csv, place, column, problem);
}

static bool store_cell(Csv *csv, FieldPlace *place, uint32_t column, void *out)
{
    if (place->field->sequence) {
        return store_sequence(csv, place, column, out);
    }
    if (place->field->category) {
        return store_word(csv, place, column, out);
    }
    switch (dtype_kind(place->field->dtype)) {
    case KIND_FLOAT:
        return store_float(csv, place, column, out);
    case KIND_INT:
        return store_int(csv, place, column, out);
    default:
        return store_bool(csv, place, column, out);
    }
}

/* ---- rows ---- */

static bool reserve_row(Csv *csv)
{
    if (csv->table->rows < csv->capacity) {
        return true;
    }
    csv->capacity = csv->capacity ? csv->capacity * 2 : 256;
    for (int i = 0; i < csv->count; i++) {
        DataColumn *column = &csv->table->columns[i];
        int64_t bytes;
        bool fits = !__builtin_mul_overflow(csv->capacity, column->row_bytes, &bytes) &&
                    bytes < LARGEST_DATA;
        char *data = fits ? realloc(column->data, (size_t)bytes + 1) : NULL;
        if (!data) {
            diag_error(csv->diag, ERR_E0617, csv->fields[i].span, NULL,
                       "%s does not fit into memory", csv->rows.shown);
            return false;
        }
        column->data = data;
    }
    return true;
}

static bool read_row(Csv *csv)
{
    if (csv->rows.cells.count != csv->width) {
        diag_error(csv->diag, ERR_E0609, csv->rows.span, NULL,
                   "%s, line %llu: %u cells, and the first line has %u", csv->rows.shown,
                   (unsigned long long)csv->rows.row_line, csv->rows.cells.count, csv->width);
        return false;
    }
    if (!reserve_row(csv)) {
        return false;
    }
    for (int i = 0; i < csv->count; i++) {
        FieldPlace *place = &csv->places[i];
        DataColumn *column = &csv->table->columns[i];
        char *out = column->data + csv->table->rows * column->row_bytes;
        for (uint32_t k = 0; k < place->columns.count; k++, out += dtype_bytes(column->dtype)) {
            if (!store_cell(csv, place, place->columns.data[k], out)) {
                return false;
            }
        }
    }
    csv->table->rows++;
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool check_names(const Csv *csv)
{
    const char **sorted = arena_copy(csv->arena, csv->names, csv->width * sizeof *csv->names);
    qsort(sorted, csv->width, sizeof *sorted, by_text);
    for (uint32_t i = 1; i < csv->width; i++) {
        if (sorted[i][0] && strcmp(sorted[i - 1], sorted[i]) == 0) {
            diag_error(csv->diag, ERR_E0607, csv->rows.span, NULL, "%s has two columns %s",
                       csv->rows.shown, sorted[i]);
            return false;
        }
    }
    return true;
}

/* The first row: names, or the first data. */
static bool read_first(Csv *csv)
{
    int found = csv_rows_next(&csv->rows);
    if (found <= 0) {
        if (found == 0) {
            diag_error(csv->diag, ERR_E0612, csv->rows.span, NULL, "%s is empty", csv->rows.shown);
        }
        return false;
    }
    csv->width = csv->rows.cells.count;
    if (csv->options.header) {
        csv->names = ARENA_ARRAY(csv->arena, const char *, csv->width);
        for (uint32_t i = 0; i < csv->width; i++) {
            csv->names[i] = csv->rows.cells.data[i].text;
        }
        if (!check_names(csv)) {
            return false;
        }
    }
    return place_fields(csv) && (csv->options.header || read_row(csv));
}

/* Sorts the words that were found and renumbers the cells. */
static bool finish_words(Csv *csv, int i)
{
    Vocabulary *vocabulary = &csv->places[i].vocabulary;
    DataColumn *column = &csv->table->columns[i];
    uint32_t count = vocabulary->words.count;
    const char **sorted = arena_copy(csv->arena, vocabulary->words.data, count * sizeof *sorted);
    if (!vocabulary->closed) {
        qsort(sorted, count, sizeof *sorted, by_text);
    }
    int32_t *code = ARENA_ARRAY(csv->arena, int32_t, count);
    column->categories = calloc((size_t)count + 1, sizeof *column->categories);
    for (uint32_t place = 0; column->categories && place < count; place++) {
        uint32_t word = 0;
        find_word(vocabulary, sorted[place], &word);
        code[word] = (int32_t)place;
        column->categories[place] = strdup(sorted[place]);
        column->category_count = place + 1;
    }
    int32_t *cells = (int32_t *)(void *)column->data;
    int64_t elements = csv->table->rows * (column->row_bytes / 4);
    for (int64_t k = 0; k < elements; k++) {
        cells[k] = code[cells[k]];
    }
    return column->categories != NULL;
}

static bool read_table(Csv *csv)
{
    for (int i = 0; i < csv->count; i++) {
        const DataField *field = &csv->fields[i];
        csv->places[i].field = field;
        csv->places[i].vocabulary.closed = field->word_count > 0;
        for (int64_t word = 0; field->category && word < field->word_count; word++) {
            add_word(csv, &csv->places[i].vocabulary, field->words[word]);
        }
        if (!column_start(&csv->table->columns[i], field, 0, csv->rows.shown, 0, csv->diag)) {
            return false;
        }
    }
    int found = read_first(csv) ? 1 : -1;
    while (found > 0 && (found = csv_rows_next(&csv->rows)) > 0) {
        found = read_row(csv) ? 1 : -1;
    }
    for (int i = 0; found == 0 && i < csv->count; i++) {
        if (csv->fields[i].category && !finish_words(csv, i)) {
            return false;
        }
        if (csv->fields[i].sequence &&
            !sequence_finish(&csv->fields[i], &csv->table->columns[i], csv->table->rows,
                             csv->rows.shown, csv->diag)) {
            return false;
        }
    }
    return found == 0;
}

/* Takes over `text`, which has room for a NUL at text[length]. */
static DataTable *read_owned(const char *shown, Span span, char *text, size_t length,
                             CsvOptions options, const DataField *fields, int count, Diag *diag)
{
    Csv csv = {
        .options = options, .fields = fields, .count = count, .diag = diag, .arena = arena_new()};
    csv.rows = (CsvRows){.shown = shown, .span = span, .diag = diag, .arena = csv.arena};
    csv.table = table_new(0, count);
    csv.places = ARENA_ARRAY(csv.arena, FieldPlace, count + 1);
    csv.numbers = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    csv_rows_begin(&csv.rows, text, length, options.separator);
    bool done = csv.table && csv.numbers && read_table(&csv);
    if (csv.numbers) {
        freelocale(csv.numbers);
    }
    arena_free(csv.arena);
    free(text);
    if (!done) {
        table_free(csv.table);
        return NULL;
    }
    return csv.table;
}

DataTable *csv_read(DataFile file, CsvOptions options, const DataField *fields, int count,
                    Diag *diag)
{
    Bytes bytes;
    if (!bytes_read(file.path, file.span, diag, &bytes)) {
        return NULL;
    }
    return read_owned(file.path, file.span, bytes.data, bytes.length, options, fields, count, diag);
}

DataTable *csv_read_text(const char *shown, Span span, const char *text, size_t length,
                         CsvOptions options, const DataField *fields, int count, Diag *diag)
{
    char *copy = malloc(length + 1);
    if (!copy) {
        diag_error(diag, ERR_E0617, span, NULL, "%s does not fit into memory", shown);
        return NULL;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    return read_owned(shown, span, copy, length, options, fields, count, diag);
}
