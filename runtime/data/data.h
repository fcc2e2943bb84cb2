/* Reading data files into tables, and cutting tables into parts. Every reader returns a table
 * that the caller frees with table_free, or NULL with exactly one error in `diag` (E06xx) that
 * names the file and, where there is one, the row and the column. Readers trust nothing in a
 * file: a damaged one ends in an error, never in a crash or a giant allocation. gzip is
 * recognised by its first bytes in every format but npz.
 *
 * A file of zero rows is a table of zero rows. Rows in messages count from 1; in CSV, lines are
 * those of the file, the header being line 1. */
#ifndef NNC_DATA_DATA_H
#define NNC_DATA_DATA_H
#include "runtime/base/diag.h"
#include "runtime/data/table.h"

/* What the program declares for one column of the table. Nothing is converted: the file must
 * have the field's type. */
typedef struct {
    const char *name;
    DType dtype;          /* I32 for a category */
    int rank;
    int64_t sizes[8];     /* of one row */
    bool category;        /* CSV: cells are words, the value is the index of the word */
    const char *const *words;
    int64_t word_count;   /* 0: the words that occur in the file, sorted by bytes; else the only ones allowed */
    /* CSV: a cell is text, the value its characters as numbers: i32[n], then SEQUENCE_END, then
     * SEQUENCE_PAD up to n. */
    bool sequence;
    const struct Tokenizer *tokenizer; /* of the training table, NULL: made from the cells of this file */
    int64_t vocabulary;   /* the most pieces that the model has room for, 0: any */
    /* Where it is. IDX and NPY: path of its file. NPZ: name of the array, NULL: `name`. CSV:
     * NULL or the columns: "name", "first..last" (names or numbers from 0, both ends included)
     * or "a, b, c". A field with NULL takes the column of its name. If there is none, or no
     * header, it takes the next columns in file order that no other field names, as many as a
     * row has elements; a single number in a file with a header must be named. */
    const char *where;
    Span span;            /* of the field in the program */
} DataField;

/* The first pieces of a sequence's tokenizer; characters follow in ascending order. */
enum { SEQUENCE_PAD, SEQUENCE_START, SEQUENCE_END, SEQUENCE_CHARS };

typedef struct {
    const char *path;     /* CSV, NPZ: to open; relative to the process, the caller joins folders */
    Span span;            /* of the source in the program */
} DataFile;

typedef struct {
    bool header;          /* the first line has names */
    char separator;       /* 0: the one of , ; tab that the first line has, comma when it has none */
} CsvOptions;

/* One file for each field; all have the same number of rows (first axis). */
DataTable *idx_read(const DataField *fields, int count, Diag *diag);
DataTable *npy_read(const DataField *fields, int count, Diag *diag);
DataTable *npz_read(DataFile file, const DataField *fields, int count, Diag *diag);
DataTable *csv_read(DataFile file, CsvOptions options, const DataField *fields, int count, Diag *diag);
/* CSV text that is already in memory (rows for predict); `shown` is its name in messages. */
DataTable *csv_read_text(const char *shown, Span span, const char *text, size_t length, CsvOptions options,
                         const DataField *fields, int count, Diag *diag);

/* A text as windows of tokens for a language model: columns `token` and `next`, i32[window]
 * each, where next is token one place further on. Training windows begin at every `stride`-th
 * token; validation and test windows lie end to end, so that every token but the last few (less
 * than a window) is predicted once. The parts are cut by characters before anything else:
 * training first, then validation, then test; the vocabulary is that of the training part. */
typedef enum { TEXT_BYTES, TEXT_CHARS, TEXT_BPE } TextTokens;

typedef struct {
    TextTokens tokens;
    int64_t vocabulary;   /* the most pieces that the model has room for; BPE without a file: how many to train; 0: any */
    const char *tokenizer; /* path of a tokenizer.json or of weights (.safetensors) that were saved with one, NULL: none */
    int64_t window, stride; /* at least 1 */
    double valid, test;   /* fractions */
} TextOptions;

/* In the order of SPLIT_TRAIN, SPLIT_VALID, SPLIT_TEST; parts of fraction 0 are NULL. With
 * `known` (of the training table) the whole text is tokenized by it and becomes parts[0], end to
 * end. false: one error, nothing to free. */
bool text_read(DataFile file, const TextOptions *options, struct Tokenizer *known, DataTable *parts[3], Diag *diag);

/* Rows of a table in up to three parts. Random rows (a function of seed), or the last ones; each
 * part in ascending order. */
typedef struct {
    double valid, test;         /* fractions of all rows; a part has the nearest number of rows */
    uint64_t seed;
    bool last;                  /* rows in file order: train, then valid, then test */
    const DataColumn *stratify; /* NULL, or an integer column with one element: each part has its share of every value,
                                   to within one row (largest remainder) */
    Span span;
} SplitOptions;

enum { SPLIT_TRAIN, SPLIT_VALID, SPLIT_TEST, SPLIT_PARTS };

typedef struct {
    int64_t *rows[SPLIT_PARTS];
    int64_t counts[SPLIT_PARTS];
} Split;

bool split_rows(int64_t rows, const SplitOptions *options, Split *split, Diag *diag); /* false: an error; nothing to free */
void split_free(Split *split);

/* The place in [0, n) of the i-th example of an epoch: a permutation that needs no memory and no
 * history. */
int64_t shuffled_index(uint64_t seed, uint64_t epoch, int64_t n, int64_t i);

/* Writes a picture as PNG: `values` is [channels, height, width] with 1 channel (grey) or 3
 * (red, green, blue); 0 is black, 1 white, what lies beyond is cut, NaN is black. The file is
 * whole or what it was. false: an error was reported. */
bool png_write(const char *path, const float *values, int64_t channels, int64_t height, int64_t width, Span span, Diag *diag);

/* Mean and standard deviation (of the population) of every element of a row over `count` of the
 * rows; rows NULL: the first `count`. Two passes in f64, rows in the given order. mean and
 * deviation have one number per element; no rows: NaN. */
void data_moments(const DataColumn *column, const int64_t *rows, int64_t count, double *mean, double *deviation);

#endif
