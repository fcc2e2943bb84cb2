/* NumPy's .npy: a magic string, a version, the length of a header and the header, the literal of
 * a Python dictionary:
 *
 *   \x93NUMPY 1 0 118 {'descr': '<f4', 'fortran_order': False, 'shape': (150, 4), }      then the elements
 *
 * Versions 1, 2 and 3, little endian, C order. The first axis is the row. */
#include "runtime/data/reader.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *at, *end;
} Text;

typedef struct {
    DType dtype;
    bool known_type, fortran;
    char descr[16];
    int rank; /* with the row axis */
    int64_t sizes[9];
    size_t data_at;
} NpyHeader;

static const struct {
    const char *descr;
    DType dtype;
} npy_types[] = {{"<f4", DT_F32}, {"<f8", DT_F64},  {"<i4", DT_I32}, {"<i8", DT_I64},
                 {"|u1", DT_U8},  {"|b1", DT_BOOL}, {"|i1", DT_I8},  {"<f2", DT_F16}};

static void skip_spaces(Text *text)
{
    while (text->at < text->end && memchr(" \t\r\n", *text->at, 4)) {
        text->at++;
    }
}

static bool take(Text *text, char sign)
{
    skip_spaces(text);
    if (text->at == text->end || *text->at != sign) {
        return false;
    }
    text->at++;
    return true;
}

static bool take_word(Text *text, const char *word)
{
    size_t length = strlen(word);
    skip_spaces(text);
    if ((size_t)(text->end - text->at) < length || memcmp(text->at, word, length) != 0) {
        return false;
    }
    text->at += length;
    return true;
}

/* A short quoted string without escapes. */
static bool take_string(Text *text, char *out, size_t capacity)
{
    skip_spaces(text);
    if (text->at == text->end || (*text->at != '\'' && *text->at != '"')) {
        return false;
    }
    char quote = *text->at++;
    size_t length = 0;
    while (text->at < text->end && *text->at != quote) {
        if (*text->at == '\\' || length + 1 == capacity) {
            return false;
        }
        out[length++] = *text->at++;
    }
    out[length] = '\0';
    return take(text, quote);
}

static bool take_number(Text *text, int64_t *number)
{
    skip_spaces(text);
    const char *first = text->at;
    *number = 0;
    while (text->at < text->end && *text->at >= '0' && *text->at <= '9') {
        if (__builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, *text->at - '0', number)) {
            return false;
        }
        text->at++;
    }
    return text->at > first;
}

/* (), (3,), (3, 4) or (3, 4,) */
static bool take_shape(Text *text, NpyHeader *header)
{
    if (!take(text, '(')) {
        return false;
    }
    while (!take(text, ')')) {
        if (header->rank == 9 || !take_number(text, &header->sizes[header->rank])) {
            return false;
        }
        header->rank++;
        if (!take(text, ',')) {
            return take(text, ')');
        }
    }
    return true;
}

static bool read_dictionary(Text *text, NpyHeader *header)
{
    unsigned seen = 0;
    char key[24];
    if (!take(text, '{')) {
        return false;
    }
    while (!take(text, '}')) {
        if (!take_string(text, key, sizeof key) || !take(text, ':')) {
            return false;
        }
        bool understood = false;
        if (strcmp(key, "descr") == 0 && !(seen & 1)) {
            seen |= 1;
            understood = take_string(text, header->descr, sizeof header->descr);
        } else if (strcmp(key, "fortran_order") == 0 && !(seen & 2)) {
            seen |= 2;
            header->fortran = take_word(text, "True");
            understood = header->fortran || take_word(text, "False");
        } else if (strcmp(key, "shape") == 0 && !(seen & 4)) {
            seen |= 4;
            understood = take_shape(text, header);
        }
        if (!understood || (!take(text, ',') && !(text->at < text->end && *text->at == '}'))) {
            return false;
        }
    }
    skip_spaces(text);
    return seen == 7 && text->at == text->end;
}

static bool not_npy(const DataField *field, const char *shown, const char *why, Diag *diag)
{
    diag_error(diag, ERR_E0602, field->span, NULL, "%s is not an .npy file that nnc reads: %s",
               shown, why);
    return false;
}

static bool find_type(const DataField *field, const char *shown, NpyHeader *header, Diag *diag)
{
    for (size_t i = 0; i < sizeof npy_types / sizeof npy_types[0]; i++) {
        if (strcmp(npy_types[i].descr, header->descr) == 0) {
            header->dtype = npy_types[i].dtype;
            return true;
        }
    }
    diag_error(diag, ERR_E0604, field->span, NULL,
               "%s: its elements are '%s'; nnc reads <f4 <f8 <i4 <i8 |u1 |b1", shown,
               header->descr);
    return false;
}

static bool read_header(const DataField *field, const char *shown, const char *bytes, size_t length,
                        NpyHeader *header, Diag *diag)
{
    const unsigned char *b = (const unsigned char *)bytes;
    if (length < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0) {
        return not_npy(field, shown, "it does not begin with the signature", diag);
    }
    bool is_long = b[6] >= 2;
    if (b[6] < 1 || b[6] > 3 || (is_long && length < 12)) {
        return not_npy(field, shown, "its version is not 1, 2 or 3", diag);
    }
    size_t begin = is_long ? 12 : 10;
    size_t header_length = b[8] | (size_t)b[9] << 8;
    if (is_long) {
        header_length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    }
    if (header_length > length - begin) {
        diag_error(diag, ERR_E0601, field->span, NULL,
                   "%s: the header should have %zu bytes, and %zu follow", shown, header_length,
                   length - begin);
        return false;
    }
    header->data_at = begin + header_length;
    Text text = {bytes + begin, bytes + header->data_at};
    if (!read_dictionary(&text, header)) {
        return not_npy(field, shown,
                       "its header is not the dictionary of descr, fortran_order and shape", diag);
    }
    if (header->rank == 0) {
        return not_npy(field, shown, "it holds a single number and not rows", diag);
    }
    if (header->fortran && header->rank > 1) {
        return not_npy(field, shown,
                       "its elements are in Fortran order (save np.ascontiguousarray(x))", diag);
    }
    return find_type(field, shown, header, diag);
}

bool npy_column(const char *shown, const char *bytes, size_t length, const DataField *fields, int i,
                DataTable *table, Diag *diag)
{
    const DataField *field = &fields[i];
    DataColumn *column = &table->columns[i];
    NpyHeader header = {0};
    if (!read_header(field, shown, bytes, length, &header, diag) ||
        !shape_matches(field, shown, header.dtype, header.rank - 1, header.sizes + 1, diag) ||
        !same_rows(table, i, header.sizes[0], fields, shown, diag) ||
        !column_start(column, field, header.sizes[0], shown, length - header.data_at, diag)) {
        return false;
    }
    memcpy(column->data, bytes + header.data_at, length - header.data_at);
    return truth_values(column, header.sizes[0], shown, field->span, diag);
}

DataTable *npy_read(const DataField *fields, int count, Diag *diag)
{
    DataTable *table = table_new(0, count);
    for (int i = 0; table && i < count; i++) {
        Bytes file;
        bool done = bytes_read(fields[i].where, fields[i].span, diag, &file);
        if (done) {
            done = npy_column(fields[i].where, file.data, file.length, fields, i, table, diag);
            free(file.data);
        }
        if (!done) {
            table_free(table);
            return NULL;
        }
    }
    return table;
}
