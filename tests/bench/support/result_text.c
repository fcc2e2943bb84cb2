/* The table as text. */
#include "tests/bench/support/result.h"

#include <math.h>
#include <string.h>

double pair_ratio(const Pair *pair)
{
    return pair->peer.least / pair->nnc.least;
}

double pair_median_ratio(const Pair *pair)
{
    return pair->peer.median / pair->nnc.median;
}

double pair_share(const Results *results, const Pair *pair)
{
    double peak = results->peak[pair->threads > 1];
    return 1e-9 * (1e9 * pair->row->gflop) / pair->nnc.least / peak;
}

double pair_roofline(const Pair *pair)
{
    return pair->limits.roofline / pair->nnc.least;
}

double pair_memory(const Pair *pair)
{
    return 1.05 * (pair->limits.argument_bytes + pair->limits.live_bytes) + 30e6;
}

void print_head(const Results *results)
{
    printf("%s, load %.1f\n", results->processor, results->load);
    printf("fma peak %.1f GFLOP/s on 1 thread, %.1f on %d; triad %.1f GB/s, %.1f on %d\n\n",
           results->peak[0], results->peak[1], results->most, results->stream[0],
           results->stream[1], results->most);
    printf("ratio: the peer's time over nnc's, of the least and of the medians; above 1 nnc is "
           "faster\n");
    printf("ratio  median |   nnc ms   median |  peer ms   median | T | of peak roofline | "
           "MB nnc  bound   peer | 1st s   peer | "
           "load | row, peer\n");
}

void print_pair(const Results *results, const Pair *pair)
{
    const char *engine = pair->engine ? pair->engine->name : "nnc alone";
    static const char *const words[] = {"", "missing", "not equal", "failed"};
    if (pair->status != PAIR_OK) {
        printf("%-13s | %d threads | %s, %s: %s\n", words[pair->status], pair->threads,
               pair->row->name, engine, pair->reason);
        fflush(stdout);
        return;
    }
    if (!pair->engine) {
        printf("              | %8.4g %8.4g |                   | %d | %6.1f%%  %6.1f%% | "
               "%6.0f %6.0f      - | %6.2f      - | %4.1f | %s, %s\n",
               1e3 * pair->nnc.least, 1e3 * pair->nnc.median, pair->threads,
               100 * pair_share(results, pair), 100 * pair_roofline(pair),
               1e-6 * pair->nnc.peak_bytes, 1e-6 * pair_memory(pair), pair->nnc.first,
               pair->load, pair->row->name, engine);
        fflush(stdout);
        return;
    }
    printf("%5.2f  %6.2f | %8.4g %8.4g | %8.4g %8.4g | %d | %6.1f%%  %6.1f%% | "
           "%6.0f %6.0f %6.0f | %6.2f %6.2f | %4.1f | %s, %s\n",
           pair_ratio(pair), pair_median_ratio(pair), 1e3 * pair->nnc.least, 1e3 * pair->nnc.median,
           1e3 * pair->peer.least, 1e3 * pair->peer.median, pair->threads,
           100 * pair_share(results, pair), 100 * pair_roofline(pair),
           1e-6 * pair->nnc.peak_bytes, 1e-6 * pair_memory(pair), 1e-6 * pair->peer.peak_bytes,
           pair->nnc.first, pair->peer.first, pair->load, pair->row->name, engine);
    fflush(stdout);
}

static const Pair *best_pair(const Results *results, const BenchRow *row, int threads)
{
    const Pair *best = NULL;
    for (int i = 0; i < results->count; i++) {
        const Pair *pair = &results->pairs[i];
        if (pair->row == row && pair->threads == threads && pair->status == PAIR_OK &&
            pair->engine && (!best || pair_ratio(pair) < pair_ratio(best)))
            best = pair;
    }
    return best;
}

static void summarise(const Results *results, int threads, int kind, const char *what)
{
    double logs = 0;
    int rows = 0;
    for (const BenchRow *row = bench_rows; row->name; row++) {
        const Pair *best = best_pair(results, row, threads);
        if (!best || !(row->flags & kind))
            continue;
        printf("%5.2f  %d threads  %s, %s\n", pair_ratio(best), threads, row->name,
               best->engine->name);
        if (!(row->flags & TINY)) {
            logs += log(pair_ratio(best));
            rows++;
        }
    }
    if (rows > 0)
        printf("%5.2f  %d threads  geometric mean of %d rows of %s (without simple)\n",
               exp(logs / rows), threads, rows, what);
}

void print_summary(const Results *results)
{
    printf("\nagainst the best peer of each row\n");
    for (int threads = 1; threads <= results->most;
         threads += results->most > 1 ? results->most - 1 : 1) {
        summarise(results, threads, TRAINS, "training");
        summarise(results, threads, INFERS, "inference");
        summarise(results, threads, WRITES, "writing");
    }
    printf(
        "at the end: fma peak %.1f GFLOP/s on 1 thread, %.1f on %d; triad %.1f GB/s, %.1f on %d\n",
        results->peak_end[0], results->peak_end[1], results->most, results->stream_end[0],
        results->stream_end[1], results->most);
}
