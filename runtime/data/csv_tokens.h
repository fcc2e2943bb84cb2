/* Cells of text as rows of tokens: for the reader of CSV and for predict. */
#ifndef NNC_DATA_CSV_TOKENS_H
#define NNC_DATA_CSV_TOKENS_H
#include "runtime/data/csv_rows.h"
#include "runtime/data/reader.h"

/* Writes a cell into a row of field->sizes[0] numbers. NULL: done; else what is wrong with the
 * cell (arena). Without the field's tokenizer the numbers are code points until sequence_finish. */
const char *sequence_store(Arena *arena, const DataField *field, const CsvCell *cell, int32_t *row);
/* Gives the column its tokenizer; code points become numbers of pieces. false: one error. */
bool sequence_finish(const DataField *field, DataColumn *column, int64_t rows, const char *shown, Diag *diag);

#endif
