/* Tables: allocation, look-up and release; and what the readers share (reader.h). */
#include "runtime/data/table.h"

#include "runtime/data/reader.h"
#include "runtime/data/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

DataTable *table_new(int64_t rows, int column_count)
{
    DataTable *table = calloc(1, sizeof *table);
    if (!table) {
        return NULL;
    }
    table->columns = calloc((size_t)column_count + 1, sizeof *table->columns);
    if (!table->columns) {
        free(table);
        return NULL;
    }
    table->rows = rows;
    table->column_count = column_count;
    return table;
}

void table_free(DataTable *table)
{
    if (!table) {
        return;
    }
    for (int i = 0; i < table->column_count; i++) {
        DataColumn *column = &table->columns[i];
        for (int64_t word = 0; column->categories && word < column->category_count; word++) {
            free(column->categories[word]);
        }
        free(column->categories);
        free(column->name);
        if (!column->borrowed)
            free(column->data);
        if (!column->shared)
            tokenizer_free(column->tokenizer);
    }
    free(table->columns);
    free(table);
}

const DataColumn *table_column(const DataTable *table, const char *name)
{
    for (int i = 0; i < table->column_count; i++) {
        if (table->columns[i].name && strcmp(table->columns[i].name, name) == 0) {
            return &table->columns[i];
        }
    }
    return NULL;
}

/* ---- shared by the readers ---- */

void shape_text(DType dtype, int rank, const int64_t *sizes, char *text, size_t length)
{
    size_t used = (size_t)snprintf(text, length, "%s[", dtype_name(dtype));
    for (int axis = 0; axis < rank && used < length; axis++) {
        used += (size_t)snprintf(text + used, length - used, "%s%lld", axis ? ", " : "",
                                 (long long)sizes[axis]);
    }
    if (used < length) {
        snprintf(text + used, length - used, "]");
    }
}

int64_t field_elements(const DataField *field)
{
    int64_t count = 1;
    for (int axis = 0; axis < field->rank; axis++) {
        if (field->sizes[axis] < 0 || __builtin_mul_overflow(count, field->sizes[axis], &count) ||
            count > INT64_MAX / 64) {
            return -1;
        }
    }
    return count;
}

static bool too_large(const DataField *field, int64_t rows, int64_t row_bytes, Diag *diag)
{
    diag_error(diag, ERR_E0617, field->span, NULL,
               "%s: %lld rows of %lld bytes do not fit into memory", field->name, (long long)rows,
               (long long)row_bytes);
    return false;
}

bool column_start(DataColumn *column, const DataField *field, int64_t rows, const char *shown,
                  size_t present, Diag *diag)
{
    int64_t elements = field_elements(field), bytes = 0;
    column->dtype = field->dtype;
    column->rank = field->rank;
    memcpy(column->sizes, field->sizes, sizeof column->sizes);
    if (elements < 0 ||
        __builtin_mul_overflow(elements, (int64_t)dtype_bytes(field->dtype), &column->row_bytes) ||
        __builtin_mul_overflow(column->row_bytes, rows, &bytes) || bytes >= LARGEST_DATA) {
        return too_large(field, rows, column->row_bytes, diag);
    }
    if (present != (size_t)bytes) {
        diag_error(diag, present < (size_t)bytes ? ERR_E0601 : ERR_E0603, field->span, NULL,
                   "%s: the header promises %lld rows, %lld bytes, and %zu follow", shown,
                   (long long)rows, (long long)bytes, present);
        return false;
    }
    column->name = strdup(field->name);
    column->data = malloc((size_t)bytes + 1);
    return (column->name && column->data) || too_large(field, rows, column->row_bytes, diag);
}

bool shape_matches(const DataField *field, const char *shown, DType dtype, int rank,
                   const int64_t *sizes, Diag *diag)
{
    char has[200], wants[200];
    shape_text(dtype, rank, sizes, has, sizeof has);
    shape_text(field->dtype, field->rank, field->sizes, wants, sizeof wants);
    if (dtype != field->dtype) {
        DiagItem *item = diag_error(diag, ERR_E0604, field->span, NULL,
                                    "%s: its rows are %s, and the field %s is %s", shown, has,
                                    field->name, wants);
        diag_help(item, "declare %s: %s and convert in map", field->name, has);
        return false;
    }
    bool same = rank == field->rank;
    for (int axis = 0; same && axis < rank; axis++) {
        same = sizes[axis] == field->sizes[axis];
    }
    if (!same) {
        diag_error(diag, ERR_E0605, field->span, NULL,
                   "%s: its rows are %s, and the field %s is %s", shown, has, field->name, wants);
    }
    return same;
}

bool same_rows(DataTable *table, int i, int64_t rows, const DataField *fields, const char *shown,
               Diag *diag)
{
    if (i == 0) {
        table->rows = rows;
    } else if (table->rows != rows) {
        diag_error(diag, ERR_E0606, fields[i].span, NULL, "%s has %lld rows, and %s has %lld",
                   shown, (long long)rows, fields[0].where ? fields[0].where : fields[0].name,
                   (long long)table->rows);
        return false;
    }
    return true;
}

bool truth_values(const DataColumn *column, int64_t rows, const char *shown, Span span, Diag *diag)
{
    if (column->dtype != DT_BOOL) {
        return true;
    }
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < column->row_bytes; i++) {
            if ((unsigned char)column->data[row * column->row_bytes + i] > 1) {
                diag_error(diag, ERR_E0608, span, NULL,
                           "%s, row %lld: a byte of type bool is neither 0 nor 1", shown,
                           (long long)row + 1);
                return false;
            }
        }
    }
    return true;
}
