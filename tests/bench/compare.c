/* nnc against its peers, row by row: both sides are processes that hold their program and take
 * turns, A B A B.
 *
 *   compare WORKER SOURCE PEERS OUT [ROW ...]
 *
 * WORKER: the program of worker.c; SOURCE: the root of this tree; PEERS: where peers.sh put the
 * environments; OUT: gets table.json and table.html, and in OUT/work weights, batches and logs.
 * ROW: part of the names of the rows that are wanted. From the environment: THREADS ("1 2"),
 * ENGINES (parts of names, "torch eager,jax"; "none": nnc alone), ROUNDS (5) and TURN (seconds,
 * .3).
 *
 * README.md in this folder says how a row is measured. */
#include "tests/bench/support/child.h"
#include "tests/bench/support/machine.h"
#include "tests/bench/support/result.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, MAX_ROUNDS = 100, CHECKS = 3, ROW_SECONDS = 900 };

/* How far results of two sides may be apart, relative: the first is one forward pass, later ones
 * follow updates. */
static const double tolerance[CHECKS] = {2e-5, 2e-4, 2e-3};

typedef struct {
    const char *worker, *source, *peers, *out;
    char **wanted;
    int wanted_count, rounds;
    double turn;
    const char *threads, *engines;
    Results *results;
    Machine *machine;
    Limits limits; /* of the row and threads at work */
} Bench;

typedef struct {
    Child child;
    double checks[CHECKS];
    int check_count;
    double least[MAX_ROUNDS], median[MAX_ROUNDS];
    int rounds;
    Side side;
} Runner;

static bool contains_one(const char *text, const char *list)
{
    char part[64];
    for (const char *at = list; *at; at += *at == ',') {
        size_t length = strcspn(at, ",");
        snprintf(part, sizeof part, "%.*s", (int)length, at);
        if (length > 0 && strstr(text, part))
            return true;
        at += length;
    }
    return false;
}

static bool row_wanted(const Bench *bench, const BenchRow *row)
{
    for (int i = 0; i < bench->wanted_count; i++)
        if (strstr(row->name, bench->wanted[i]))
            return true;
    return bench->wanted_count == 0;
}

/* The last line of a log that says something. */
static void reason_of(const char *log, char *reason)
{
    char line[1024];
    FILE *file = fopen(log, "r");
    while (file && fgets(line, sizeof line, file))
        if (line[strspn(line, " \t\r\n")])
            snprintf(reason, REASON_BYTES, "%.*s", (int)strcspn(line, "\n"), line);
    if (file)
        fclose(file);
}

/* ---- one side ---- */

static bool read_checks(Runner *runner, const char *line)
{
    char *end;
    runner->check_count = 0;
    for (const char *at = line + 5; runner->check_count < CHECKS; at = end) {
        double value = strtod(at, &end);
        if (end == at)
            break;
        runner->checks[runner->check_count++] = value;
    }
    return runner->check_count > 0;
}

static bool runner_open(Runner *runner, char *const *arguments, int threads, const char *log)
{
    char line[512];
    *runner = (Runner){0};
    if (!child_start(&runner->child, arguments, threads, log))
        return false;
    do {
        if (!child_line(&runner->child, ROW_SECONDS, line, sizeof line))
            return false;
    } while (strcmp(line, "first") != 0);
    runner->side.first = child_clock() - runner->child.started;
    return child_line(&runner->child, ROW_SECONDS, line, sizeof line) &&
           strncmp(line, "check ", 6) == 0 && read_checks(runner, line);
}

/* One turn: steps for `seconds`, at least one. */
static bool runner_turn(Runner *runner, double seconds)
{
    char line[256];
    long steps;
    snprintf(line, sizeof line, "run %.3f 200000\n", seconds);
    if (!child_say(&runner->child, line) ||
        !child_line(&runner->child, ROW_SECONDS, line, sizeof line) ||
        sscanf(line, "time %ld %lf %lf", &steps, &runner->least[runner->rounds],
               &runner->median[runner->rounds]) != 3)
        return false;
    runner->side.steps += steps;
    runner->rounds++;
    return true;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The least of all steps, and the median over the turns of their medians. */
static void runner_finish(Runner *runner)
{
    runner->side.peak_bytes = child_peak_bytes(&runner->child);
    qsort(runner->least, (size_t)runner->rounds, sizeof(double), compare_doubles);
    qsort(runner->median, (size_t)runner->rounds, sizeof(double), compare_doubles);
    runner->side.least = runner->least[0];
    runner->side.median = runner->median[runner->rounds / 2];
}

/* ---- command lines ---- */

typedef struct {
    char *words[32];
    char texts[8][PATH_BYTES];
} Command;

static void nnc_command(const Bench *bench, const BenchRow *row, const char *mode, int threads,
                        Command *command)
{
    int count = 0;
    snprintf(command->texts[0], PATH_BYTES, "%s/tests/bench/programs/%s.nn", bench->source,
             row->program);
    snprintf(command->texts[1], PATH_BYTES, "%d", threads);
    snprintf(command->texts[2], PATH_BYTES, "%s/work/%s", bench->out, row->name);
    command->words[count++] = (char *)bench->worker;
    command->words[count++] = (char *)mode;
    for (int i = 0; i < 3; i++)
        command->words[count++] = command->texts[i];
    for (int i = 0; i < MAX_SETTINGS && row->settings[i]; i++)
        command->words[count++] = (char *)row->settings[i];
    command->words[count] = NULL;
}

static void peer_command(const Bench *bench, const BenchRow *row, const BenchEngine *engine,
                         int threads, Command *command)
{
    snprintf(command->texts[0], PATH_BYTES, "%s/%s/bin/python", bench->peers, engine->environment);
    snprintf(command->texts[1], PATH_BYTES, "%s/tests/bench/peers/%s", bench->source,
             engine->script);
    snprintf(command->texts[2], PATH_BYTES, "%d", threads);
    snprintf(command->texts[3], PATH_BYTES, "%s/work/%s", bench->out, row->name);
    char *words[] = {command->texts[0],
                     command->texts[1],
                     row->flags & TRAINS ? "train" : "infer",
                     (char *)row->name,
                     (char *)engine->mode,
                     command->texts[2],
                     command->texts[3],
                     NULL};
    memcpy(command->words, words, sizeof words);
}

/* ---- a pair ---- */

/* Has an engine's script make its files of a row, unless another engine's has. */
static bool prepare_peer(const Bench *bench, const BenchRow *row, const BenchEngine *engine,
                         char *reason)
{
    char line[8], log[PATH_BYTES], made[PATH_BYTES];
    Command command;
    Child child;
    snprintf(made, sizeof made, "%s/work/%s/model.onnx", bench->out, row->name);
    snprintf(log, sizeof log, "%s/work/%s/prepare.log", bench->out, row->name);
    if (access(made, R_OK) == 0)
        return true;
    snprintf(command.texts[0], PATH_BYTES, "%s/%s/bin/python", bench->peers, engine->environment);
    snprintf(command.texts[1], PATH_BYTES, "%s/tests/bench/peers/%s", bench->source,
             engine->prepare);
    snprintf(command.texts[2], PATH_BYTES, "%s/work/%s", bench->out, row->name);
    char *words[] = {command.texts[0], command.texts[1], (char *)row->name, command.texts[2], NULL};
    if (child_start(&child, words, 1, log)) {
        child_line(&child, ROW_SECONDS, line, sizeof line); /* its end */
        child_stop(&child);
    }
    if (access(made, R_OK) == 0)
        return true;
    reason_of(log, reason);
    return false;
}

static bool same_work(const BenchRow *row, const Runner *nnc, const Runner *peer, char *reason)
{
    for (int i = 0; i < CHECKS && i < nnc->check_count && i < peer->check_count; i++) {
        double x = nnc->checks[i], y = peer->checks[i];
        double most = row->flags & WILD && i == CHECKS - 1 ? 1e-2 : tolerance[i];
        if (fabs(x - y) <= most * fmax(fabs(x), fabs(y)))
            continue;
        snprintf(reason, REASON_BYTES, "result %d is %.9g here and %.9g there", i + 1, x, y);
        return false;
    }
    return true;
}

static PairStatus take_turns(const Bench *bench, Runner *nnc, Runner *peer)
{
    if (!runner_turn(nnc, 0) || (peer && !runner_turn(peer, 0)))
        return PAIR_FAILED;
    nnc->rounds = 0; /* the first turn warmed up */
    if (peer)
        peer->rounds = 0;
    for (int round = 0; round < bench->rounds; round++)
        if (!runner_turn(nnc, bench->turn) || (peer && !runner_turn(peer, bench->turn)))
            return PAIR_FAILED;
    runner_finish(nnc);
    if (peer)
        runner_finish(peer);
    return PAIR_OK;
}

static void measure_pair(const Bench *bench, Runner *nnc, Pair *pair)
{
    char log[PATH_BYTES];
    Command command;
    Runner peer;
    snprintf(log, sizeof log, "%s/work/%s/peer.log", bench->out, pair->row->name);
    nnc->rounds = 0;
    nnc->side.steps = 0;
    if (!pair->engine) {
        pair->status = take_turns(bench, nnc, NULL);
        pair->nnc = nnc->side;
        return;
    }
    peer_command(bench, pair->row, pair->engine, pair->threads, &command);
    if (access(command.words[0], X_OK) != 0) {
        pair->status = PAIR_MISSING;
        snprintf(pair->reason, REASON_BYTES, "not installed (tests/bench/peers.sh)");
        return;
    }
    pair->status = PAIR_FAILED;
    if (pair->engine->prepare && !prepare_peer(bench, pair->row, pair->engine, pair->reason))
        return;
    if (runner_open(&peer, command.words, pair->threads, log))
        pair->status = same_work(pair->row, nnc, &peer, pair->reason)
                           ? take_turns(bench, nnc, &peer)
                           : PAIR_UNEQUAL;
    if (pair->status == PAIR_FAILED)
        reason_of(log, pair->reason);
    pair->nnc = nnc->side;
    pair->peer = peer.side;
    child_stop(&peer.child);
}

static Pair *new_pair(const Bench *bench, const BenchRow *row, const BenchEngine *engine,
                      int threads)
{
    Results *results = bench->results;
    if (results->count == MAX_PAIRS)
        exit(1);
    Pair *pair = &results->pairs[results->count++];
    *pair = (Pair){.row = row, .engine = engine, .threads = threads, .limits = bench->limits};
    return pair;
}

/* ---- a row ---- */

static bool make_folders(const Bench *bench, const BenchRow *row)
{
    char path[PATH_BYTES];
    for (int i = 0; i < 3; i++) {
        int length = snprintf(path, sizeof path, "%s%s%s%s", bench->out, i > 0 ? "/work" : "",
                              i > 1 ? "/" : "", i > 1 ? row->name : "");
        if (length >= (int)sizeof path || (mkdir(path, 0755) != 0 && errno != EEXIST))
            return false;
    }
    return true;
}

/* Weights and a batch for all sides. */
static bool export_files(const Bench *bench, const BenchRow *row, char *reason)
{
    char log[PATH_BYTES], line[8];
    Command command;
    Child child;
    snprintf(log, sizeof log, "%s/work/%s/nnc.log", bench->out, row->name);
    nnc_command(bench, row, row->flags & TRAINS ? "export" : "export-infer", 1, &command);
    if (!child_start(&child, command.words, 1, log))
        return false;
    child_line(&child, ROW_SECONDS, line, sizeof line); /* its end */
    child_stop(&child);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/work/%s/batch.safetensors", bench->out, row->name);
    if (access(path, R_OK) == 0)
        return true;
    reason_of(log, reason);
    return false;
}

/* The roofline and the bytes of the row, by a process of its own: it holds all of them once. */
static Limits measure_limits(const Bench *bench, const BenchRow *row, int threads)
{
    char log[PATH_BYTES], line[128] = "";
    Command command;
    Child child;
    Limits limits = {0};
    snprintf(log, sizeof log, "%s/work/%s/limits.log", bench->out, row->name);
    nnc_command(bench, row, row->flags & TRAINS ? "limits" : "limits-infer", threads, &command);
    if (!child_start(&child, command.words, threads, log))
        return limits;
    if (child_line(&child, ROW_SECONDS, line, sizeof line) &&
        sscanf(line, "limits %lf %lf %lf", &limits.roofline, &limits.argument_bytes,
               &limits.live_bytes) == 3)
        limits.roofline *= 1e-3;
    child_stop(&child);
    return limits;
}

static void remove_files(const Bench *bench, const BenchRow *row)
{
    static const char *const names[] = {"weights.safetensors", "batch.safetensors", "model.onnx",
                                        "fused.onnx"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s/work/%s/%s", bench->out, row->name, names[i]);
        unlink(path);
    }
}

static double free_gigabytes(void)
{
    char line[256];
    double kilobytes = 1e12;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lf kB", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return 1e-6 * kilobytes;
}

static void show(const Bench *bench, Pair *pair)
{
    pair->load = machine_load();
    print_pair(bench->results, pair);
}

static void fail_row(const Bench *bench, const BenchRow *row, int threads, const char *reason)
{
    Pair *pair = new_pair(bench, row, NULL, threads);
    pair->status = PAIR_FAILED;
    snprintf(pair->reason, REASON_BYTES, "%s", reason);
    show(bench, pair);
}

static void run_engines(const Bench *bench, const BenchRow *row, int threads, Runner *nnc)
{
    Pair *alone = new_pair(bench, row, NULL, threads);
    measure_pair(bench, nnc, alone);
    show(bench, alone);
    for (const BenchEngine *engine = bench_engines; engine->name; engine++) {
        if (!engine_applies(engine, row) ||
            (bench->engines && !contains_one(engine->name, bench->engines)))
            continue;
        Pair *pair = new_pair(bench, row, engine, threads);
        measure_pair(bench, nnc, pair);
        show(bench, pair);
    }
}

static void run_row(Bench *bench, const BenchRow *row, int threads)
{
    char log[PATH_BYTES], reason[REASON_BYTES] = "it ended";
    Command command;
    Runner nnc;
    if (free_gigabytes() < row->gigabytes) {
        snprintf(reason, sizeof reason, "needs about %.0f GB of memory, %.1f are free",
                 row->gigabytes, free_gigabytes());
        fail_row(bench, row, threads, reason);
        return;
    }
    bool folders = make_folders(bench, row);
    remove_files(bench, row);
    if (!folders || !export_files(bench, row, reason)) {
        fail_row(bench, row, threads, reason);
        return;
    }
    bench->limits = measure_limits(bench, row, threads);
    snprintf(log, sizeof log, "%s/work/%s/nnc.log", bench->out, row->name);
    nnc_command(bench, row, row->flags & TRAINS ? "train" : "infer", threads, &command);
    if (runner_open(&nnc, command.words, threads, log)) {
        run_engines(bench, row, threads, &nnc);
    } else {
        reason_of(log, reason);
        fail_row(bench, row, threads, reason);
    }
    child_stop(&nnc.child);
    remove_files(bench, row);
}

/* ---- the whole ---- */

static void measure_machine(Bench *bench, double *peak, double *stream)
{
    for (int i = 0; i < 2; i++) {
        int threads = i ? bench->results->most : 1;
        peak[i] = machine_peak(bench->machine, threads);
        stream[i] = machine_stream(bench->machine, threads);
    }
}

static void describe(Bench *bench)
{
    Results *results = bench->results;
    time_t now = time(NULL);
    struct tm tm;
    machine_name(results->processor, sizeof results->processor);
    strftime(results->started, sizeof results->started, "%Y-%m-%d %H:%M", gmtime_r(&now, &tm));
    results->load = machine_load();
    measure_machine(bench, results->peak, results->stream);
}

static const char *setting(const char *name, const char *usual)
{
    const char *value = getenv(name);
    return value && *value ? value : usual;
}

static bool write_files(const Bench *bench)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/table.json", bench->out);
    bool written = write_json(bench->results, path);
    printf("\n%s\n", path);
    snprintf(path, sizeof path, "%s/table.html", bench->out);
    written = write_page(bench->results, path) && written;
    printf("%s\n", path);
    return written;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "compare WORKER SOURCE PEERS OUT [ROW ...]\n");
        return 1;
    }
    Bench bench = {.worker = argv[1],
                   .source = argv[2],
                   .peers = argv[3],
                   .out = argv[4],
                   .wanted = argv + 5,
                   .wanted_count = argc - 5,
                   .rounds = atoi(setting("ROUNDS", "5")),
                   .turn = atof(setting("TURN", "0.3")),
                   .threads = setting("THREADS", "1 2"),
                   .engines = setting("ENGINES", NULL),
                   .results = calloc(1, sizeof(Results)),
                   .machine = machine_open()};
    bench.rounds = bench.rounds < 1 ? 1 : bench.rounds > MAX_ROUNDS ? MAX_ROUNDS : bench.rounds;
    bench.results->most = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1;
    describe(&bench);
    print_head(bench.results);
    for (const BenchRow *row = bench_rows; row->name; row++)
        for (int threads = 1; threads <= bench.results->most; threads++)
            if (row_wanted(&bench, row) && strchr(bench.threads, '0' + threads))
                run_row(&bench, row, threads);
    measure_machine(&bench, bench.results->peak_end, bench.results->stream_end);
    print_summary(bench.results);
    bool written = write_files(&bench);
    machine_close(bench.machine);
    free(bench.results);
    return written ? 0 : 1;
}
