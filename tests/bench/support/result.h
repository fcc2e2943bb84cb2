/* What was measured, and the forms in which it is shown: lines of text while it goes on, a JSON
 * file, a page with bars. */
#ifndef NNC_BENCH_RESULT_H
#define NNC_BENCH_RESULT_H
#include "tests/bench/support/rows.h"

#include <stdio.h>

enum { MAX_PAIRS = 1024, REASON_BYTES = 200 };

typedef enum { PAIR_OK, PAIR_MISSING, PAIR_UNEQUAL, PAIR_FAILED } PairStatus;

/* What no schedule of nnc's for a row can go below on this machine: `nnc time`. */
typedef struct {
    double roofline;       /* seconds: 0: unknown */
    double argument_bytes; /* parameters, states of the optimiser, batch */
    double live_bytes;     /* the least for everything between */
} Limits;

/* One side of a pair. */
typedef struct {
    double least, median; /* seconds of a step: README.md, Clocks */
    double first;         /* seconds from the start of the process to the end of the first step */
    double peak_bytes;    /* largest resident size */
    long steps;           /* timed */
} Side;

/* nnc against one engine in one row with some threads. Without an engine: nnc alone. */
typedef struct {
    const BenchRow *row;
    const BenchEngine *engine;
    int threads;
    PairStatus status;
    char reason[REASON_BYTES]; /* when it is not PAIR_OK */
    Side nnc, peer;
    Limits limits;
    double load; /* of the machine when the pair was done */
} Pair;

typedef struct {
    char processor[128], started[32];
    double peak[2], stream[2]; /* GFLOP/s and GB/s on one thread and on `most` */
    double peak_end[2], stream_end[2];
    int most;
    double load;
    Pair pairs[MAX_PAIRS];
    int count;
} Results;

double pair_ratio(const Pair *pair); /* of the least times; above 1 nnc is faster */
double pair_median_ratio(const Pair *pair);
double pair_roofline(const Pair *pair); /* the share of it that nnc reached; 0: unknown */
double pair_memory(const Pair *pair);   /* bytes that nnc may take: README.md, Memory */
double pair_share(const Results *results, const Pair *pair); /* of the peak that nnc reached */

void print_head(const Results *results);
void print_pair(const Results *results, const Pair *pair);
/* The best peer of every row, and the geometric mean of those ratios. */
void print_summary(const Results *results);
bool write_json(const Results *results, const char *path);
bool write_page(const Results *results, const char *path);

#endif
