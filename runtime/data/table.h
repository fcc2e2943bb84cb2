/* Data in memory: named columns of equal length, each row a small tensor, contiguous and
 * row-major.
 *
 *   image: u8[28, 28] x 60000 rows,  label: u8[] x 60000 rows
 *
 * Ownership: the table owns its columns' data, names and vocabularies; table_free releases all
 * of it. */
#ifndef NNC_DATA_TABLE_H
#define NNC_DATA_TABLE_H
#include "runtime/base/dtype.h"

#include <stdbool.h>

typedef struct {
    char *name;
    DType dtype;
    int rank;             /* of one row */
    int64_t sizes[8];     /* of one row */
    int64_t row_bytes;
    int64_t stride;       /* bytes from a row to the next, 0: row_bytes; windows of a text overlap */
    char *data;           /* the rows */
    bool borrowed;        /* data belongs to another column of the table */
    struct Tokenizer *tokenizer; /* columns of tokens: of the first one of a table, which owns it unless `shared`; else NULL */
    bool shared;          /* the tokenizer belongs to another table */
    char **categories;    /* category columns: the text of every code, sorted; else NULL */
    int64_t category_count;
} DataColumn;

typedef struct {
    int64_t rows;
    int column_count;
    DataColumn *columns;
} DataTable;

DataTable *table_new(int64_t rows, int column_count); /* zeroed columns, no data yet; NULL: no memory */
void table_free(DataTable *table);
const DataColumn *table_column(const DataTable *table, const char *name); /* NULL: none */
static inline int64_t column_stride(const DataColumn *column)
{
    return column->stride ? column->stride : column->row_bytes;
}
static inline char *column_row(const DataColumn *column, int64_t row)
{
    return column->data + row * column_stride(column);
}

#endif
