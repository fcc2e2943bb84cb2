/* IDX, the format of MNIST: two zero bytes, a byte for the type, a byte for the number of axes, the sizes and the elements, all
 * big-endian. The first axis is the row.
 *
 *   00 00 08 03  00 00 EA 60  00 00 00 1C  00 00 00 1C  ...      u8, 3 axes: 60000 rows of u8[28, 28] */
#include "runtime/data/reader.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_AXES = 9 }; /* the row and the eight axes of a tensor */

typedef struct {
    DType dtype;
    int rank; /* of a row */
    int64_t rows, sizes[8];
    size_t data_at;
} IdxHeader;

static const struct {
    unsigned char code;
    const char *name;
    int dtype; /* -1: not a type of nnc */
} idx_types[] = {{0x08, "u8", DT_U8},   {0x09, "i8", DT_I8},   {0x0B, "i16", -1},
                 {0x0C, "i32", DT_I32}, {0x0D, "f32", DT_F32}, {0x0E, "f64", DT_F64}};

static bool find_type(const DataField *field, unsigned char code, DType *dtype, Diag *diag)
{
    for (size_t i = 0; i < sizeof idx_types / sizeof idx_types[0]; i++) {
        if (idx_types[i].code == code && idx_types[i].dtype >= 0) {
            *dtype = (DType)idx_types[i].dtype;
            return true;
        }
        if (idx_types[i].code == code) {
            diag_error(diag, ERR_E0604, field->span, NULL,
                       "%s: its elements are %s, which nnc does not read", field->where,
                       idx_types[i].name);
            return false;
        }
    }
    diag_error(diag, ERR_E0602, field->span, NULL,
               "%s is not an IDX file: 0x%02X is no type of elements", field->where, code);
    return false;
}

static int64_t big_endian(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;
    return (int64_t)((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]);
}

static bool read_header(const DataField *field, const Bytes *file, IdxHeader *header, Diag *diag)
{
    const char *bytes = file->data;
    if (file->length < 4 || bytes[0] != 0 || bytes[1] != 0) {
        diag_error(diag, ERR_E0602, field->span, NULL,
                   "%s is not an IDX file: it does not begin with two zero bytes", field->where);
        return false;
    }
    int axes = (unsigned char)bytes[3];
    if (!find_type(field, (unsigned char)bytes[2], &header->dtype, diag)) {
        return false;
    }
    if (axes < 1 || axes > MOST_AXES) {
        diag_error(diag, ERR_E0602, field->span, NULL,
                   "%s: an IDX file of %d axes; nnc reads 1 to %d", field->where, axes, MOST_AXES);
        return false;
    }
    header->data_at = 4 + 4 * (size_t)axes;
    if (file->length < header->data_at) {
        diag_error(diag, ERR_E0601, field->span, NULL,
                   "%s: the header of %d axes has %zu bytes, and the file has %zu", field->where,
                   axes, header->data_at, file->length);
        return false;
    }
    header->rows = big_endian(bytes + 4);
    header->rank = axes - 1;
    for (int axis = 1; axis < axes; axis++) {
        header->sizes[axis - 1] = big_endian(bytes + 4 + 4 * axis);
    }
    return true;
}

/* Big-endian elements to those of the machine. */
static void swap_elements(char *data, size_t bytes, size_t element)
{
    for (size_t at = 0; at + element <= bytes; at += element) {
        for (size_t i = 0; i < element / 2; i++) {
            char low = data[at + i];
            data[at + i] = data[at + element - 1 - i];
            data[at + element - 1 - i] = low;
        }
    }
}

static bool fill_column(const DataField *field, const Bytes *file, const IdxHeader *header,
                        DataColumn *column, Diag *diag)
{
    size_t present = file->length - header->data_at;
    if (!column_start(column, field, header->rows, field->where, present, diag)) {
        return false;
    }
    memcpy(column->data, file->data + header->data_at, present);
    swap_elements(column->data, present, dtype_bytes(header->dtype));
    return true;
}

static bool read_field(const DataField *fields, int i, DataTable *table, Diag *diag)
{
    const DataField *field = &fields[i];
    Bytes file;
    IdxHeader header = {0};
    if (!bytes_read(field->where, field->span, diag, &file)) {
        return false;
    }
    bool done = read_header(field, &file, &header, diag) &&
                shape_matches(field, field->where, header.dtype, header.rank, header.sizes, diag) &&
                same_rows(table, i, header.rows, fields, field->where, diag) &&
                fill_column(field, &file, &header, &table->columns[i], diag);
    free(file.data);
    return done;
}

DataTable *idx_read(const DataField *fields, int count, Diag *diag)
{
    DataTable *table = table_new(0, count);
    for (int i = 0; table && i < count; i++) {
        if (!read_field(fields, i, table, diag)) {
            table_free(table);
            return NULL;
        }
    }
    return table;
}
