/* The pipeline as a whole: its driver, and that no pass changes what a graph computes.
 *
 * Values of the random graphs are small whole numbers (products and sums are taken modulo 8), so
 * that even a sum in another order has the same bits, and every pass can be held to equality. */
#include "compiler/graph/build.h"
#include "compiler/passes/grad.h"
#include "compiler/passes/pass.h"
#include "compiler/ref/ref.h"
#include "tests/support/op_samples.h"
#include "tests/support/random_graph.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- running a graph before and after ---- */

typedef struct {
    Arena *arena;
    int64_t *symbols;
    bool whole;        /* whole numbers in place of irregular ones */
    RandomData random; /* in place of samples, if its arena is set */
} Data;

static uint32_t hash_name(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash;
}

/* The same data for leaves of the same name. */
static const void *leaf_data(void *user, const Node *leaf)
{
    Data *data = user;
    if (data->random.arena)
        return random_leaf(&data->random, leaf);
    int64_t elements = 1;
    for (int i = 0; i < leaf->type.rank; i++)
        elements *= dim_eval(leaf->type.dims[i], data->symbols);
    void *memory = arena_alloc(data->arena, (size_t)elements * 8 + 8);
    const bool is_real = dtype_is_float(leaf->type.dtype);
    SampleLeaf sample = {(Node *)leaf,
                         is_real                       ? FILL_REAL
                         : leaf->type.dtype == DT_BOOL ? FILL_BOOL
                                                       : FILL_INDEX,
                         -4, 4.9};
    if (!is_real)
        sample.high = 2;
    sample_fill(&sample, hash_name(leaf->attr.leaf.name) % 1000, elements, memory);
    for (int64_t i = 0; data->whole && leaf->type.dtype == DT_F64 && i < elements; i++)
        ((double *)memory)[i] = floor(((double *)memory)[i]);
    return memory;
}

static bool run(const Graph *graph, Data *data, const void **values)
{
    RefRun ref = {.graph = graph,
                  .symbols = data->symbols,
                  .leaf = leaf_data,
                  .user = data,
                  .seed = 1,
                  .step = 2};
    return ref_run(&ref, data->arena, values);
}

static bool same_element(DType dtype, const char *a, const char *b)
{
    if (dtype == DT_F64 && isnan(*(const double *)a) && isnan(*(const double *)b))
        return true;
    if (dtype == DT_F32 && isnan(*(const float *)a) && isnan(*(const float *)b))
        return true;
    return !memcmp(a, b, dtype_bytes(dtype));
}

static bool same_values(const Type *type, const int64_t *symbols, const void *a, const void *b)
{
    const size_t bytes = dtype_bytes(type->dtype);
    int64_t elements = 1;
    for (int i = 0; i < type->rank; i++)
        elements *= dim_eval(type->dims[i], symbols);
    for (int64_t i = 0; i < elements; i++)
        if (!same_element(type->dtype, (const char *)a + (size_t)i * bytes,
                          (const char *)b + (size_t)i * bytes))
            return false;
    return true;
}

static void print_both(const char *what, const Graph *before, const Graph *after)
{
    StrBuf text = {0};
    graph_print(before, &text);
    strbuf_add(&text, "---\n");
    graph_print(after, &text);
    fprintf(stderr, "%s changed a value:\n%s\n", what, text.text);
    cr_expect(false, "%s changed a value", what);
    strbuf_free(&text);
}

/* `after` gives the bits of `before`. */
static bool expect_same(const char *what, const Graph *before, const Graph *after, Data *data)
{
    const uint32_t count = before->roots.count;
    cr_assert_eq(after->roots.count, count);
    const void **a = ARENA_ARRAY(data->arena, const void *, count + 1),
               **b = ARENA_ARRAY(data->arena, const void *, count + 1);
    if (!run(before, data, a))
        return true; /* what failed may have been computed in vain, and be gone */
    if (!run(after, data, b)) {
        print_both(what, before, after);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(type_equal(&before->roots.data[i].node->type, &after->roots.data[i].node->type));
        cr_assert_str_eq(before->roots.data[i].name, after->roots.data[i].name);
        if (!same_values(&before->roots.data[i].node->type, data->symbols, a[i], b[i])) {
            print_both(what, before, after);
            return false;
        }
    }
    return true;
}

/* Every pass of the pipeline in turn, each against its input. Returns the rewrites. */
static void count_rewrites(void *user, const PassReport *report)
{
    *(uint32_t *)user += report->rewrites;
}

static uint32_t check_passes(const Graph *graph, Data *data, bool layout_too)
{
    uint32_t rewrites = 0;
    PassOptions options = {.verify = true, .report = count_rewrites, .user = &rewrites};
    const Graph *current = graph;
    bool same = true;
    for (int i = 0; i < PASS_COUNT && same; i++) {
        StrBuf error = {0};
        if (i == PASS_LAYOUT && !layout_too)
            continue;
        Graph *next = pass_run_one(&pass_info[i], current, &options, &error);
        cr_assert(next, "%s", error.text);
        same = expect_same(pass_info[i].text, current, next, data);
        if (current != graph)
            arena_free(current->arena);
        current = next;
    }
    if (current != graph)
        arena_free(current->arena);
    return rewrites;
}

/* ---- gradients of all samples ---- */

static void add_gradients(Sample *sample)
{
    Graph *g = sample->graph;
    Node *y = build_convert(g, sample->result, DT_F64);
    Node *weights = build_leaf(g, OP_INPUT, "weights", y->type), *wrt[8], *gradient[8];
    Node *loss =
        build_reduce(g, OP_SUM, build_binary(g, OP_MUL, y, weights), axes_range(0, y->type.rank));
    GradError error = {0};
    for (int i = 0; i < sample->leaf_count; i++)
        wrt[i] = sample->leaves[i].node;
    cr_assert(grad_build(g, loss, wrt, sample->leaf_count, gradient, &error));
    graph_root(g, ROOT_OUTPUT, "y", sample->result);
    graph_root(g, ROOT_OUTPUT, "loss", loss);
    for (int i = 0; i < sample->leaf_count; i++)
        graph_root(g, ROOT_OUTPUT, arena_format(g->arena, "d%d", i), gradient[i]);
}

static bool check_sample(OpCode op, int index)
{
    Arena *arena = arena_new();
    DimTable *dims = dim_table_new(arena);
    Sample sample = {.graph = graph_new(arena, dims, "sample"),
                     .real = index % 2 ? DT_F64 : DT_F32};
    sample.free = dim_symbol(dims, "B");
    bool exists = op_samples[op](&sample, index);
    if (exists) {
        add_gradients(&sample);
        Data data = {.arena = arena,
                     .symbols = ARENA_ARRAY(arena, int64_t, dim_symbol_count(dims) + 1)};
        data.symbols[0] = index % 3 ? 3 : 2;
        check_passes(sample.graph, &data, false);
    }
    arena_free(arena);
    return exists;
}

/* Simplification and folding keep the bits of every operation and of its gradient. */
Test(passes, samples_and_their_gradients)
{
    for (int op = 0; op < OP_COUNT; op++)
        for (int index = 0; op != OP_CALL && check_sample((OpCode)op, index); index++) {
        }
}

/* ---- random graphs ---- */

typedef struct {
    Graph *g;
    uint64_t state;
    Node *pool[64]; /* f64 */
    int count;
} Maker;

static uint32_t draw(Maker *m, uint32_t bound)
{
    m->state = m->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(m->state >> 33) % bound;
}

/* Often one of the last, so that graphs grow deep. */
static Node *pick(Maker *m)
{
    const int recent = draw(m, 3) && m->count > 3 ? 3 : m->count;
    return m->pool[m->count - 1 - (int)draw(m, (uint32_t)recent)];
}

static void keep(Maker *m, Node *node)
{
    if (node && m->count < 64 && node->type.rank <= 6)
        m->pool[m->count++] = node;
}

static Node *modulo(Graph *g, Node *x)
{
    return x ? build_binary(g, OP_MOD, x, build_const_like(g, x, 8)) : NULL;
}

static Node *random_permute(Maker *m, Node *x)
{
    uint8_t perm[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) {
        uint32_t j = draw(m, (uint32_t)i + 1);
        perm[i] = perm[j];
        perm[j] = (uint8_t)i;
    }
    return build_permute(m->g, x, perm);
}

/* A value of the shape of x: one of the pool as it is or permuted, a constant, or a repeated
 * slice. */
static Node *partner(Maker *m, Node *x)
{
    for (int tries = 0; tries < 20; tries++) {
        Node *y = pick(m);
        Node *permuted = random_permute(m, y);
        if (type_equal(&y->type, &x->type) && y != x)
            return y;
        if (permuted && type_equal(&permuted->type, &x->type))
            return permuted;
    }
    if (draw(m, 2) || x->type.rank == 0)
        return build_const_like(m->g, x, (double)draw(m, 4) - 1);
    Type type = x->type;
    for (int i = 0; i < type.rank; i++)
        if (draw(m, 2))
            type.dims[i] = dim_const(m->g->dims, 1);
    Node *small =
        build_leaf(m->g, OP_PARAM, arena_format(m->g->arena, "p%u", m->g->nodes.count), type);
    return build_expand(m->g, small, x->type.rank, x->type.dims);
}

static Node *make_elementwise(Maker *m, Node *x)
{
    static const OpCode binary[] = {OP_ADD, OP_SUB, OP_MAX, OP_MIN, OP_MUL};
    Graph *g = m->g;
    const uint32_t kind = draw(m, 8);
    if (kind == 0)
        return build_unary(g, OP_NEG, x);
    if (kind == 1)
        return build_unary(g, OP_ABS, x);
    if (kind == 2)
        return build_select(g, build_binary(g, OP_LT, x, partner(m, x)), x, partner(m, x));
    return modulo(g, build_binary(g, binary[kind - 3], x, partner(m, x)));
}

static Axes random_axes(Maker *m, int rank)
{
    Axes axes = {0};
    for (int i = 0; i < rank; i++)
        if (draw(m, 2))
            axes.axis[axes.count++] = (uint8_t)i;
    return axes;
}

static Node *make_reduce(Maker *m, Node *x)
{
    static const OpCode ops[] = {OP_SUM, OP_AMAX, OP_AMIN, OP_SUM};
    const OpCode op = ops[draw(m, 4)];
    const Axes axes = random_axes(m, x->type.rank);
    if (x->type.rank > 0 && !draw(m, 5))
        return modulo(m->g,
                      build_axis_op(m->g, OP_CUMSUM, x, (int)draw(m, (uint32_t)x->type.rank)));
    if (x->type.rank > 0 && !draw(m, 5))
        return build_convert(
            m->g, build_axis_op(m->g, OP_ARGMAX, x, (int)draw(m, (uint32_t)x->type.rank)), DT_F64);
    if (!draw(m, 2))
        return modulo(m->g, build_reduce(m->g, op, x, axes));
    Node *kept = build_reduce_keep(m->g, op, x, axes);
    return modulo(m->g, build_expand(m->g, kept, x->type.rank, x->type.dims));
}

/* Neighbouring axes become one, an axis of even size two, or axes of size 1 come. */
static Node *make_reshape(Maker *m, Node *x)
{
    const Dim *dims[MAX_RANK + 1];
    int rank = 0;
    int64_t size;
    for (int i = 0; i < x->type.rank; i++) {
        const Dim *dim = x->type.dims[i];
        if (rank > 0 && !draw(m, 3))
            dims[rank - 1] = dim_mul(m->g->dims, dims[rank - 1], dim);
        else if (dim_is_const(dim, &size) && size % 2 == 0 && size > 0 && rank < 5 && !draw(m, 2)) {
            dims[rank++] = dim_const(m->g->dims, size / 2);
            dims[rank++] = dim_const(m->g->dims, 2);
        } else
            dims[rank++] = dim;
        if (rank > 5)
            return NULL;
        if (rank < 5 && !draw(m, 5))
            dims[rank++] = dim_const(m->g->dims, 1);
    }
    return build_reshape(m->g, x, rank, dims);
}

static Node *make_move(Maker *m, Node *x)
{
    Graph *g = m->g;
    const int rank = x->type.rank;
    const int axis = rank ? (int)draw(m, (uint32_t)rank) : 0;
    const Dim *zero = dim_const(g->dims, 0), *one = dim_const(g->dims, 1);
    int64_t size = 0;
    if (rank == 0)
        return NULL;
    bool known = dim_is_const(x->type.dims[axis], &size);
    switch (draw(m, 6)) {
    case 0:
        return known && size > 1
                   ? build_slice_axis(g, x, axis, one, x->type.dims[axis], 1 + draw(m, 2))
                   : NULL;
    case 1:
        return build_pad_axis(g, x, build_scalar(g, DT_F64, draw(m, 2)), axis, one, zero);
    case 2:
        return build_pad_axis(g, x, build_scalar(g, DT_F64, 0), axis, zero,
                              dim_const(g->dims, size > 1 ? -1 : 2));
    case 3:
        return build_concat(g, (Node *[]){x, partner(m, x)}, 2, axis);
    case 4:
        return build_reverse(g, x, random_axes(m, rank));
    default:
        return make_reshape(m, x);
    }
}

static Node *make_window(Maker *m, Node *x)
{
    Attr attr = {.kind = AT_WINDOW, .window = {.rank = x->type.rank}};
    for (int i = 0; i < x->type.rank; i++) {
        int64_t size;
        bool slides = dim_is_const(x->type.dims[i], &size) && size >= 2 && draw(m, 2);
        attr.window.size[i] = attr.window.stride[i] = slides ? 2 : 1;
        attr.window.dilate[i] = 1;
        attr.window.pad_low[i] = attr.window.pad_high[i] = dim_const(m->g->dims, 0);
    }
    Node *sum = graph_node(m->g, draw(m, 2) ? OP_WINDOW_MAX : OP_WINDOW_SUM, &x, 1, &attr);
    return modulo(m->g, sum);
}

/* All axes of one size contract in pairs; axes of the same size may be batch axes. */
static Node *make_dot(Maker *m, Node *x)
{
    Node *y = pick(m);
    Attr attr = {.kind = AT_DOT};
    bool used[MAX_RANK] = {false};
    for (int i = 0; i < x->type.rank; i++)
        for (int j = 0; j < y->type.rank; j++) {
            if (used[j] || x->type.dims[i] != y->type.dims[j] || !draw(m, 2))
                continue;
            used[j] = true;
            Axes *left = draw(m, 2) ? &attr.dot.batch_x : &attr.dot.contract_x;
            Axes *right = left == &attr.dot.batch_x ? &attr.dot.batch_y : &attr.dot.contract_y;
            left->axis[left->count++] = (uint8_t)i;
            right->axis[right->count++] = (uint8_t)j;
            break;
        }
    int rank = x->type.rank + y->type.rank - attr.dot.batch_x.count - 2 * attr.dot.contract_x.count;
    return rank > 5 ? NULL : modulo(m->g, graph_node(m->g, OP_DOT, (Node *[]){x, y}, 2, &attr));
}

static Node *make_node(Maker *m)
{
    Node *x = pick(m);
    int64_t constant = 1;
    for (int i = 0, size = 0; i < x->type.rank; i++, size = 0) {
        int64_t dim;
        constant *= dim_is_const(x->type.dims[i], &dim) ? dim : 3 + size;
    }
    if (constant > 3000)
        return NULL;
    switch (draw(m, 12)) {
    case 0:
    case 1:
    case 2:
        return random_permute(m, x);
    case 3:
        return make_reduce(m, x);
    case 4:
    case 5:
    case 6:
        return make_move(m, x);
    case 7:
        return x->type.rank ? make_window(m, x) : NULL;
    case 8:
        return make_dot(m, x);
    default:
        return make_elementwise(m, x);
    }
}

static Graph *permuted_graph(Arena *arena, uint64_t seed)
{
    Maker m = {.g = graph_new(arena, dim_table_new(arena), "random"), .state = seed * 77 + 5};
    const Dim *free = dim_symbol(m.g->dims, "B");
    for (int i = 0; i < 3; i++) {
        Type type = {.dtype = DT_F64, .rank = 1 + (int)draw(&m, 4)};
        for (int j = 0; j < type.rank; j++)
            type.dims[j] =
                !draw(&m, 5) ? free : dim_const(m.g->dims, (int64_t[]){1, 2, 3, 4, 6}[draw(&m, 5)]);
        keep(&m, build_leaf(m.g, OP_INPUT, arena_format(arena, "x%d", i), type));
    }
    const int length = 8 + (int)draw(&m, 50);
    for (int i = 0; i < length; i++)
        keep(&m, make_node(&m));
    for (int i = 0; i < 3; i++)
        graph_root(m.g, ROOT_OUTPUT, arena_format(arena, "y%d", i),
                   m.pool[m.count - 1 - (int)draw(&m, 3)]);
    graph_root(m.g, ROOT_OUTPUT, "y3", pick(&m));
    return m.g;
}

/* NNC_SEEDS=N tries N graphs from seed NNC_SEED on. */
Test(passes, permuted_graphs, .timeout = 3000)
{
    const char *seeds = getenv("NNC_SEEDS"), *first = getenv("NNC_SEED");
    const uint64_t begin = first ? strtoull(first, NULL, 10) : 0,
                   count = seeds ? strtoull(seeds, NULL, 10) : 1500;
    uint32_t rewrites = 0;
    for (uint64_t seed = begin; seed < begin + count; seed++) {
        Arena *arena = arena_new();
        Graph *g = permuted_graph(arena, seed);
        StrBuf faults = {0};
        cr_assert(graph_verify(g, &faults), "seed %d: %s", (int)seed, faults.text);
        Data data = {.arena = arena, .symbols = (int64_t[]){seed % 3 ? 3 : 2}, .whole = true};
        rewrites += check_passes(g, &data, true);
        arena_free(arena);
    }
    cr_expect(rewrites > count, "only %u rewrites", rewrites);
}

/* All operations on all kinds of values, infinities, NaN and signed zeros included. A graph that
 * sums nothing keeps its bits in layout, too. */
static uint32_t check_random(uint64_t seed)
{
    uint8_t allowed[OP_COUNT];
    for (int op = 0; op < OP_COUNT; op++) {
        const OpClass op_class = op_info[op].op_class;
        allowed[op] = op != OP_CALL && op_class != CLASS_CONTRACT && op_class != CLASS_INDEX &&
                      op != OP_SUM && op != OP_PROD;
    }
    const bool sums = seed % 2;
    Arena *arena = arena_new();
    DimTable *dims = dim_table_new(arena);
    RandomGraphOptions options = {.operations = 8 + (int)(seed % 20),
                                  .small_types = seed % 7 / 3 == 1,
                                  .max_elements = 512,
                                  .free_symbol = true,
                                  .loops = true,
                                  .may_fail = seed % 7 == 0,
                                  .allowed = sums ? NULL : allowed};
    Graph *g = random_graph(arena, dims, seed, &options);
    Data data = {.arena = arena,
                 .symbols = ARENA_ARRAY(arena, int64_t, dim_symbol_count(dims) + 8)};
    for (uint32_t i = 0; i < dim_symbol_count(dims); i++)
        data.symbols[i] = (int64_t[]){3, 1, 0, 2}[seed / 2 % 4];
    data.random = (RandomData){arena, data.symbols, seed, seed % 3 == 0};
    uint32_t rewrites = check_passes(g, &data, !sums);
    arena_free(arena);
    return rewrites;
}

Test(passes, random_graphs, .timeout = 3000)
{
    const char *seeds = getenv("NNC_SEEDS"), *first = getenv("NNC_SEED");
    const uint64_t begin = first ? strtoull(first, NULL, 10) : 0,
                   count = seeds ? strtoull(seeds, NULL, 10) : 1500;
    uint32_t rewrites = 0;
    for (uint64_t seed = begin; seed < begin + count; seed++)
        rewrites += check_random(seed);
    cr_expect(rewrites > count / 2, "only %u rewrites", rewrites);
}

/* ---- the driver ---- */

static const char *const text = "graph t {\n"
                                "  %0 = input {x} : f32[B, 3]\n"
                                "  %1 = const {1} : f32[B, 3]\n"
                                "  %2 = mul %0 %1 : f32[B, 3]\n"
                                "  %3 = neg %2 : f32[B, 3]\n"
                                "  %4 = neg %3 : f32[B, 3]\n"
                                "  %5 = exp %4 : f32[B, 3]\n"
                                "  output y = %5\n"
                                "}\n";

typedef struct {
    StrBuf dumped;
    int reports;
    uint32_t rewrites, before, after;
} Heard;

static void hear_dump(void *user, const char *pass, const Graph *graph)
{
    Heard *heard = user;
    cr_expect_eq(graph->roots.count, 1);
    strbuf_printf(&heard->dumped, "%s ", pass);
}

static void hear_report(void *user, const PassReport *report)
{
    Heard *heard = user;
    heard->reports++;
    if (strcmp(report->pass, "simplify") == 0 && heard->before == 0) {
        heard->rewrites = report->rewrites;
        heard->before = report->nodes_before;
        heard->after = report->nodes_after;
        cr_expect_eq(report->rule_count, 2);
        cr_expect_geq(report->rounds, 2);
    }
}

Test(passes, driver_dumps_and_reports)
{
    Arena *arena = arena_new();
    char *refused = NULL;
    Graph *g = graph_read(arena, dim_table_new(arena), text, &refused);
    cr_assert(g, "%s", refused);
    g->nodes.data[5]->span = (Span){1, 10, 20};
    Heard heard = {0};
    StrBuf error = {0};
    PassOptions options = {
        .verify = true, .dump = hear_dump, .report = hear_report, .user = &heard};
    Graph *final = passes_run(g, &options, &error);
    cr_assert(final);
    cr_expect_str_eq(heard.dumped.text, "widen simplify fold carries loops layout tidy ");
    cr_expect_eq(heard.reports, PASS_COUNT);
    cr_expect_eq(heard.rewrites, 2);
    cr_expect_eq(heard.before, 6);
    cr_expect_eq(heard.after, 2);
    cr_expect_eq(final->roots.data[0].node->span.begin, 10);
    cr_expect_eq(final->dims, g->dims);
    arena_free(final->arena);

    strbuf_clear(&heard.dumped);
    options.stop_after = "fold";
    final = passes_run(g, &options, &error);
    cr_assert(final);
    cr_expect_str_eq(heard.dumped.text, "widen simplify fold ");
    arena_free(final->arena);

    options.stop_after = "nothing";
    cr_expect_null(passes_run(g, &options, &error));
    cr_expect_str_eq(error.text, "there is no pass nothing");
    strbuf_free(&error);
    strbuf_free(&heard.dumped);
    arena_free(arena);
}
