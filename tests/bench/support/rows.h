/* The rows of the table and the engines that compete in them, as data. */
#ifndef NNC_BENCH_ROWS_H
#define NNC_BENCH_ROWS_H
#include <stdbool.h>

enum { MAX_SETTINGS = 8 };

/* What a row is made of, and with it which engines and modes apply. WILD: a step is so large that
 * roundings show in the third loss (batch norm at a rate of .1). TEXTS: a transformer, for which
 * ONNX Runtime has operators of its own. WRITES: a text, token by token; a kind beside TRAINS and
 * INFERS. */
enum { IMAGES = 1, TINY = 2, TRAINS = 4, INFERS = 8, WILD = 16, TEXTS = 32, WRITES = 64 };

typedef struct {
    const char *name;    /* "lenet-b64": ROWS=lenet takes all rows with that in their name */
    const char *program; /* tests/bench/programs/NAME.nn */
    const char *settings[MAX_SETTINGS]; /* -D of nnc */
    double gflop; /* of one step: multiplications and additions of products and convolutions */
    int flags;
    double gigabytes; /* of memory that the largest engine needs, about; 0: little */
} BenchRow;

typedef struct {
    const char *name;        /* "torch eager fused" */
    const char *environment; /* folder below PEERS: "torch" */
    const char *script;      /* of tests/bench/peers */
    const char *mode;
    const char *prepare; /* script that makes its files of a row from the weights, or NULL */
    int flags; /* all of these must be a row's: 0: every row */
    int kinds; /* TRAINS, INFERS, WRITES */
} BenchEngine;

extern const BenchRow bench_rows[]; /* the last has no name */
extern const BenchEngine bench_engines[];
bool engine_applies(const BenchEngine *engine, const BenchRow *row);

#endif
