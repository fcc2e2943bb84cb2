/* What the readers of this folder share. Internal. */
#ifndef NNC_DATA_READER_H
#define NNC_DATA_READER_H
#include "runtime/data/data.h"

/* No file, decompressed or not, and no column may be larger. */
#define LARGEST_DATA ((int64_t)1 << 36)

typedef struct {
    char *data;    /* malloc'ed, one NUL after the end */
    size_t length;
} Bytes;

/* The whole file, unpacked when it is gzip. false: an error was reported and there is nothing to
 * free. */
bool bytes_read(const char *path, Span span, Diag *diag, Bytes *bytes);
/* Raw deflate data (an entry of a zip archive) of a known unpacked length. */
bool bytes_inflate(const char *packed, size_t packed_length, size_t length, char *out);

void shape_text(DType dtype, int rank, const int64_t *sizes, char *text, size_t length); /* "u8[28, 28]" */
int64_t field_elements(const DataField *field); /* of one row; -1: too many */
/* Fills a column's description and allocates its data. `present` is the number of bytes that the
 * file has for the rows: more or fewer than they need is an error, found before any memory is
 * asked for. false: E0601, E0603 or E0617 was reported. */
bool column_start(DataColumn *column, const DataField *field, int64_t rows, const char *shown, size_t present, Diag *diag);
/* Does the file have the type and row shape of the field? Else E0604 or E0605. */
bool shape_matches(const DataField *field, const char *shown, DType dtype, int rank, const int64_t *sizes, Diag *diag);
/* The first field sets the number of rows of the table, the others must agree (E0606). */
bool same_rows(DataTable *table, int i, int64_t rows, const DataField *fields, const char *shown, Diag *diag);
/* A column of bool has bytes 0 and 1 only. */
bool truth_values(const DataColumn *column, int64_t rows, const char *shown, Span span, Diag *diag);

/* One .npy file in memory becomes column i of the table. */
bool npy_column(const char *shown, const char *bytes, size_t length, const DataField *fields, int i, DataTable *table,
                Diag *diag);

#endif
