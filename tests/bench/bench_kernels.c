/* How close to the machine are dots and convolutions? Every row is one graph node through the whole
 * back end, against the peak of fma in registers measured in the same run, just before: the ratio
 * comes first. One thread counts processor time, two count the clock, so neighbours on a shared
 * machine disturb the first column little and the second one much. Products are compared with those
 * of other libraries (support/blas.h), on one thread and in turns; the peer is the fastest of them.
 *
 *   bench_kernels [TEXT]         rows whose description contains TEXT
 *
 *     1T    2T  of peak |  GF/s 1T  GF/s 2T |   us 1T | compile ms | to peer     | what
 *   0.80  1.53    213.9 |    171.2    328.2 |  1567.7 |       20.0 | 1.02 oneDNN | dot 512x512x512 */
#include "compiler/codegen/codegen.h"
#include "compiler/graph/build.h"
#include "compiler/jit/jit.h"
#include "compiler/lower/lower.h"
#include "nnc/abi.h"
#include "runtime/train/pool.h"
#include "tests/bench/support/blas.h"
#include "tests/bench/support/machine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_BUFFERS = 8 };

typedef enum { FORWARD, DATA, WEIGHTS } Pass;

/* x is [rows, depth], or [depth, rows] when tx; y is [depth, columns], or [columns, depth] when ty.
 * The named size is free; with `steps` it is two axes, a free one and that many. With `batch` there
 * are as many products, a free number of them. */
typedef struct {
    int64_t rows, columns, depth;
    bool tx, ty;
    char free; /* 'r' 'c' 'd' or 0 */
    int64_t steps, batch;
} DotShape;

typedef struct {
    int64_t batch, size, in, out, taps, pad, stride;
    Pass pass;
} ConvShape;

static const DotShape dots[] = {
    {512, 512, 512, false, false, 0, 0, 0},
    {512, 512, 512, false, true, 0, 0, 0},
    {512, 512, 512, true, false, 0, 0, 0},
    {512, 512, 512, true, true, 0, 0, 0},
    {64, 128, 1600, false, true, 'r', 0, 0},
    {64, 1600, 128, false, false, 'r', 0, 0},
    {128, 1600, 64, true, false, 'd', 0, 0},
    {64, 10, 128, false, true, 'r', 0, 0},
    {64, 128, 10, false, false, 'r', 0, 0},
    {10, 128, 64, true, false, 'd', 0, 0},
    {1, 1024, 1024, false, true, 'r', 0, 0},
    {1, 1024, 1024, false, false, 'r', 0, 0},
    {256, 768, 768, false, true, 'r', 0, 0},
    {256, 3072, 768, false, true, 'r', 0, 0},
    {1024, 1024, 1024, false, false, 0, 0, 0},
    {100, 100, 100, false, false, 0, 0, 0},
    /* a block of a small transformer, forward, input and weight gradients */
    {768, 512, 128, false, true, 'r', 64, 0},
    {768, 128, 512, false, true, 'r', 64, 0},
    {768, 128, 512, false, false, 'r', 64, 0},
    {512, 128, 768, true, false, 'd', 64, 0},
    {128, 512, 768, true, false, 'd', 64, 0},
    {384, 128, 768, true, false, 'd', 64, 0},
    {128, 128, 768, true, false, 'd', 64, 0},
    /* of a large one */
    {3072, 768, 1024, true, false, 'd', 256, 0},
    {768, 3072, 1024, true, false, 'd', 256, 0},
    /* attention */
    {64, 64, 32, false, true, 0, 0, 48},
    {64, 32, 64, false, false, 0, 0, 48},
    {64, 32, 64, true, false, 0, 0, 48},
    {256, 256, 64, false, true, 0, 0, 48},
    {256, 64, 256, false, false, 0, 0, 48},
    /* a recurrent cell: its product and the gradient of its weights over all steps */
    {32, 1024, 256, false, true, 'r', 0, 0},
    {32, 256, 1024, false, false, 'r', 0, 0},
    {1024, 256, 4096, true, false, 'd', 128, 0},
    /* tall and thin, vector by matrix */
    {4096, 16, 64, false, true, 'r', 0, 0},
    {16, 64, 4096, true, false, 'd', 0, 0},
    {1, 1024, 1024, false, true, 0, 0, 0},
    {1, 1024, 1024, false, false, 0, 0, 0},
    {1, 4096, 4096, false, true, 0, 0, 0},
};

static const ConvShape convs[] = {
    {64, 28, 1, 32, 3, 0, 1, FORWARD},  {64, 28, 1, 32, 3, 0, 1, WEIGHTS},
    {64, 13, 32, 64, 3, 0, 1, FORWARD}, {64, 13, 32, 64, 3, 0, 1, DATA},
    {64, 13, 32, 64, 3, 0, 1, WEIGHTS}, {8, 56, 64, 64, 3, 1, 1, FORWARD},
    {8, 56, 64, 64, 3, 1, 1, DATA},     {8, 56, 64, 64, 3, 1, 1, WEIGHTS},
    {8, 224, 3, 64, 7, 3, 2, FORWARD},  {8, 56, 64, 128, 3, 1, 2, FORWARD},
    {8, 56, 64, 128, 3, 1, 2, DATA},    {8, 56, 64, 128, 3, 1, 2, WEIGHTS},
    {8, 56, 64, 256, 1, 0, 1, FORWARD}, {8, 14, 256, 256, 3, 1, 1, FORWARD},
};

typedef struct {
    Pool *pool;
    TargetDescription target;
    Machine *machine;
    const char *only;
    Blas blas[BLAS_MOST];
    int blas_count;
    double log_ratios; /* of the rows with a peer */
    int ratios;
} Bench;

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void give_up(const char *what, const char *error)
{
    fprintf(stderr, "bench_kernels: %s: %s\n", what, error ? error : "refused");
    exit(1);
}

/* ---- code ---- */

typedef struct {
    Jit *jit;
    int64_t (*plan)(const int64_t *dims, int64_t *table);
    void (*step)(const nnc_call *call);
    double milliseconds; /* of processor time, from the schedule to callable code */
} Code;

static Code code_of(KProgram *program, double started)
{
    char *error = NULL;
    ObjectCode object;
    if (!codegen_object(&program, 1, &(CodegenOptions){0}, &object, &error)) {
        give_up("codegen", error);
    }
    Code code = {.jit = jit_new(&error)};
    JitUnit *unit = code.jit ? jit_add(code.jit, &object, &error) : NULL;
    if (!unit) {
        give_up("link", error);
    }
    code.plan = (int64_t(*)(const int64_t *, int64_t *))jit_symbol(unit, "bench_plan");
    code.step = (void (*)(const nnc_call *))jit_symbol(unit, "bench_step");
    code.milliseconds = 1e3 * (seconds(CLOCK_PROCESS_CPUTIME_ID) - started);
    return code;
}

/* ---- one row ---- */

typedef struct {
    Arena *arena;
    DimTable *dims;
    Graph *graph;
    int64_t symbols[1];
    double flops;
    const char *what;
    BlasProduct product; /* rows 0: none */
} Row;

static Row row_new(void)
{
    Row row = {.arena = arena_new()};
    row.dims = dim_table_new(row.arena);
    row.graph = graph_new(row.arena, row.dims, "bench");
    return row;
}

/* Best time of a step: of runs of at least 200 us, for `limit` seconds. */
static double best_time(const Code *code, const nnc_call *call, clockid_t clock, double limit)
{
    double best = 1e9;
    code->step(call);
    double end = seconds(clock) + limit;
    do {
        double start = seconds(clock), time;
        int runs = 0;
        do {
            code->step(call);
            runs++;
            time = seconds(clock) - start;
        } while (time < 200e-6);
        best = time / runs < best ? time / runs : best;
    } while (seconds(clock) < end);
    return best;
}

static void *filled(const Buffer *buffer, const int64_t *symbols)
{
    int64_t count = 1;
    for (int i = 0; i < buffer->type.rank; i++) {
        count *= dim_eval(buffer->type.dims[i], symbols);
    }
    float *data = aligned_alloc(64, ((size_t)count * 4 + 63) / 64 * 64);
    for (int64_t i = 0; i < count; i++) {
        data[i] = (float)(i % 17) / 16 - 0.5f;
    }
    return data;
}

/* Least processor time of a product, of groups of at least 200 us, for a fiftieth of a second. */
static double peer_time(const Blas *blas, const BlasProduct *product)
{
    const clockid_t clock = CLOCK_THREAD_CPUTIME_ID;
    double best = 1e9;
    blas_multiply(blas, product);
    double end = seconds(clock) + 0.02;
    do {
        double start = seconds(clock), time;
        int runs = 0;
        do {
            blas_multiply(blas, product);
            runs++;
            time = seconds(clock) - start;
        } while (time < 200e-6);
        best = time / runs < best ? time / runs : best;
    } while (seconds(clock) < end);
    return best;
}

/* Turns of nnc and of every library; "1.02 oneDNN", or nothing when there is none. */
static const char *against_peers(Bench *bench, Row *row, const Code *code, nnc_call *call)
{
    enum { TURNS = 4 };
    double ours = 1e9, theirs[BLAS_MOST] = {1e9, 1e9, 1e9};
    int fastest = 0;
    if (bench->blas_count == 0 || row->product.rows == 0)
        return "";
    call->parallel = NULL;
    for (int turn = 0; turn < TURNS; turn++) {
        double time = best_time(code, call, CLOCK_THREAD_CPUTIME_ID, 0.02);
        ours = time < ours ? time : ours;
        for (int i = 0; i < bench->blas_count; i++) {
            time = peer_time(&bench->blas[i], &row->product);
            theirs[i] = time < theirs[i] ? time : theirs[i];
            fastest = theirs[i] < theirs[fastest] ? i : fastest;
        }
    }
    bench->log_ratios += log(theirs[fastest] / ours);
    bench->ratios++;
    return arena_format(row->arena, "%.2f %s", theirs[fastest] / ours, bench->blas[fastest].name);
}

static void report(Bench *bench, Row *row, const Code *code, nnc_call *call)
{
    double peak = machine_peak(bench->machine, 1);
    call->parallel = NULL;
    double one = best_time(code, call, CLOCK_THREAD_CPUTIME_ID, 0.2);
    call->parallel = pool_run;
    call->pool = bench->pool;
    double two = best_time(code, call, CLOCK_MONOTONIC, 0.2);
    double rate = 1e-9 * row->flops / one, rate2 = 1e-9 * row->flops / two;
    printf("%5.2f %5.2f %10.1f | %9.1f %9.1f | %10.1f | %10.1f | %-15s | %s\n", rate / peak,
           rate2 / peak, peak, rate, rate2, one * 1e6, code->milliseconds,
           against_peers(bench, row, code, call), row->what);
    fflush(stdout);
}

static void run_row(Bench *bench, Row *row)
{
    if (bench->only && !strstr(row->what, bench->only)) {
        arena_free(row->arena);
        return;
    }
    const TargetDescription *t = &bench->target;
    LowerOptions lower = {.vector_bytes = t->vector_bytes,
                          .vector_registers = t->vector_registers,
                          .l1_bytes = t->l1_bytes,
                          .l2_bytes = t->l2_bytes,
                          .l3_bytes = t->l3_bytes};
    ScheduleOptions options = {.fuse = true,
                               .plan = true,
                               .hints = row->symbols,
                               .vector_bytes = t->vector_bytes,
                               .scratch = lower_contract_scratch,
                               .scratch_user = &lower};
    double started = seconds(CLOCK_PROCESS_CPUTIME_ID);
    Schedule *schedule = schedule_build(row->arena, row->graph, &options);
    KProgram *program = lower_program(row->arena, schedule, &lower, "bench").program;
    Code code = code_of(program, started);
    int64_t *table = ARENA_ARRAY(row->arena, int64_t, program->table_size + 1), failures[8];
    void *buffers[MAX_BUFFERS];
    for (uint32_t i = 0; i < schedule->externals && i < MAX_BUFFERS; i++) {
        buffers[i] = filled(&schedule->buffers.data[i], row->symbols);
    }
    int64_t bytes = code.plan(row->symbols, table);
    char *memory = aligned_alloc(64, (size_t)(bytes + 127) / 64 * 64);
    nnc_call call = {.dims = row->symbols,
                     .table = table,
                     .buffers = buffers,
                     .arena = memory,
                     .failures = failures};
    if (row->product.rows > 0) {
        row->product.x = buffers[0];
        row->product.y = buffers[1];
        row->product.z = malloc((size_t)(row->product.rows * row->product.columns) * 4);
    }
    report(bench, row, &code, &call);
    free(row->product.z);
    for (uint32_t i = 0; i < schedule->externals && i < MAX_BUFFERS; i++) {
        free(buffers[i]);
    }
    free(memory);
    jit_free(code.jit);
    arena_free(row->arena);
}

/* ---- shapes ---- */

static const Dim *size_of(Row *row, int64_t value, bool is_free)
{
    if (!is_free) {
        return dim_const(row->dims, value);
    }
    row->symbols[0] = value;
    return dim_symbol(row->dims, "B");
}

/* An axis of a product, which may be two: the free one and the steps. */
typedef struct {
    const Dim *dims[2];
    int count;
} Side;

static Side side_of(Row *row, const DotShape *s, int64_t value, char name)
{
    if (s->free == name && s->steps > 0) {
        return (Side){{size_of(row, value / s->steps, true), size_of(row, s->steps, false)}, 2};
    }
    return (Side){{size_of(row, value, s->free == name)}, 1};
}

static Node *operand(Row *row, const DotShape *s, const char *name, const Side *first,
                     const Side *second)
{
    Type type = {.dtype = DT_F32};
    if (s->batch > 0) {
        type.dims[type.rank++] = size_of(row, s->batch, true);
    }
    for (int i = 0; i < first->count + second->count; i++) {
        type.dims[type.rank++] = i < first->count ? first->dims[i] : second->dims[i - first->count];
    }
    return build_leaf(row->graph, OP_INPUT, name, type);
}

static Axes axes_of(const DotShape *s, const Side *before, const Side *side)
{
    Axes axes = {.count = (uint8_t)side->count};
    for (int i = 0; i < side->count; i++) {
        axes.axis[i] = (uint8_t)((s->batch > 0) + (before ? before->count : 0) + i);
    }
    return axes;
}

static void run_dot(Bench *bench, const DotShape *s)
{
    Row row = row_new();
    Side rows = side_of(&row, s, s->rows, 'r'), columns = side_of(&row, s, s->columns, 'c');
    Side depth = side_of(&row, s, s->depth, 'd');
    Axes batch = s->batch > 0 ? axes_one(0) : (Axes){0};
    Node *x = s->tx ? operand(&row, s, "x", &depth, &rows) : operand(&row, s, "x", &rows, &depth);
    Node *y =
        s->ty ? operand(&row, s, "y", &columns, &depth) : operand(&row, s, "y", &depth, &columns);
    Node *dot = build_dot(row.graph, x, y, batch, batch, axes_of(s, s->tx ? NULL : &rows, &depth),
                          axes_of(s, s->ty ? &columns : NULL, &depth));
    graph_root(row.graph, ROOT_OUTPUT, "z", dot);
    int64_t products = s->batch > 0 ? s->batch : 1;
    row.flops = 2.0 * (double)(s->rows * s->columns * products) * (double)s->depth;
    if (s->batch == 0) {
        row.product = (BlasProduct){s->rows, s->columns, s->depth, s->tx, s->ty, NULL, NULL, NULL};
    }
    const char *many = s->batch > 0 ? arena_format(row.arena, "%ld x ", (long)products) : "";
    row.what =
        arena_format(row.arena, "dot %s%ldx%ldx%ld%s%s%s%s", many, (long)s->rows, (long)s->columns,
                     (long)s->depth, s->tx ? " x transposed" : "", s->ty ? " y transposed" : "",
                     s->free ? " free" : "", s->steps > 0 ? " steps" : "");
    run_row(bench, &row);
}

static void set_window(Row *row, Attr *attr, int64_t low, int64_t high, int64_t stride,
                       int64_t dilate_x, int64_t dilate_y)
{
    attr->conv.spatial = 2;
    for (int i = 0; i < 2; i++) {
        attr->conv.stride[i] = stride;
        attr->conv.dilate_x[i] = dilate_x;
        attr->conv.dilate_y[i] = dilate_y;
        attr->conv.pad_low[i] = dim_const(row->dims, low);
        attr->conv.pad_high[i] = dim_const(row->dims, high);
    }
}

/* The convolution whose result is the layer's output, the gradient of its input, or that of its
 * weights. */
static Node *conv_pass(Row *row, const ConvShape *s, int64_t positions)
{
    Graph *g = row->graph;
    const Dim *one = size_of(row, 1, false), *batch = size_of(row, s->batch, true),
              *size = size_of(row, s->size, false);
    const Dim *in = size_of(row, s->in, false), *out = size_of(row, s->out, false),
              *taps = size_of(row, s->taps, false);
    const Dim *results = size_of(row, positions, false);
    Node *image = build_leaf(g, OP_INPUT, "image", (Type){DT_F32, 5, {one, batch, size, size, in}});
    Node *weight = build_leaf(g, OP_INPUT, "weight", (Type){DT_F32, 5, {one, taps, taps, in, out}});
    Node *slope =
        build_leaf(g, OP_INPUT, "slope", (Type){DT_F32, 5, {one, batch, results, results, out}});
    Attr attr = {.kind = AT_CONV};
    int64_t rest = (s->size + 2 * s->pad - s->taps) % s->stride;
    if (s->pass == FORWARD) {
        set_window(row, &attr, s->pad, s->pad, s->stride, 1, 1);
        return graph_node(g, OP_CONV, (Node *[]){image, weight}, 2, &attr);
    }
    if (s->pass == DATA) {
        int64_t around = s->taps - 1 - s->pad;
        set_window(row, &attr, around, around + rest, 1, s->stride, 1);
        Node *mirrored = build_swap_axes(g, build_reverse(g, weight, (Axes){2, {1, 2}}), 3, 4);
        return graph_node(g, OP_CONV, (Node *[]){slope, mirrored}, 2, &attr);
    }
    set_window(row, &attr, s->pad, s->pad - rest, 1, 1, s->stride);
    Node *channels_first = build_permute(g, image, (const uint8_t[]){0, 4, 2, 3, 1});
    Node *batch_last = build_permute(g, slope, (const uint8_t[]){0, 2, 3, 1, 4});
    return graph_node(g, OP_CONV, (Node *[]){channels_first, batch_last}, 2, &attr);
}

static void run_conv(Bench *bench, const ConvShape *s)
{
    static const char *const names[] = {"forward", "data gradient", "weight gradient"};
    Row row = row_new();
    int64_t positions = (s->size + 2 * s->pad - s->taps) / s->stride + 1;
    Node *conv = conv_pass(&row, s, positions);
    if (!conv) {
        give_up("conv", row.graph->error);
    }
    graph_root(row.graph, ROOT_OUTPUT, "z", conv);
    row.flops = 2.0 * (double)(s->batch * positions * positions * s->in) *
                (double)(s->out * s->taps * s->taps);
    row.what =
        arena_format(row.arena, "conv %ldx%ldx%ldx%ld -> %ld, %ldx%ld, pad %ld, stride %ld, %s",
                     (long)s->batch, (long)s->size, (long)s->size, (long)s->in, (long)s->out,
                     (long)s->taps, (long)s->taps, (long)s->pad, (long)s->stride, names[s->pass]);
    run_row(bench, &row);
}

int main(int argc, char **argv)
{
    Bench bench = {
        .pool = pool_new(2, true), .machine = machine_open(), .only = argc > 1 ? argv[1] : NULL};
    char *error = NULL;
    bench.blas_count = blas_open(bench.blas);
    if (!codegen_describe(NULL, NULL, NULL, &bench.target, &error)) {
        give_up("target", error);
    }
    printf(
        "   1T    2T    of peak |   GF/s 1T   GF/s 2T |      us 1T | compile ms | to peer         "
        "|\n");
    for (size_t i = 0; i < sizeof dots / sizeof *dots; i++) {
        run_dot(&bench, &dots[i]);
    }
    for (size_t i = 0; i < sizeof convs / sizeof *convs; i++) {
        run_conv(&bench, &convs[i]);
    }
    if (bench.ratios > 0)
        printf("%.2f geometric mean of %d products against the best peer of each, one thread\n",
               exp(bench.log_ratios / bench.ratios), bench.ratios);
    machine_close(bench.machine);
    pool_free(bench.pool);
    return 0;
}
