/* The interpreter: every operation on small data against values worked out by hand or by a plain
 * model of the rule, the orders of summation against an explicit lane and leaf model, and the
 * failures. Graphs are written as text. */
#include "compiler/graph/order.h"
#include "compiler/ref/ref.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static Arena *arena;
static DimTable *table;
static const void *leaves[8]; /* data of input {a}, {b}, ... */
static int64_t symbols[8];
static RefRun run;

static void setup(void)
{
    arena = arena_new();
    table = dim_table_new(arena);
    memset(leaves, 0, sizeof leaves);
    run = (RefRun){0};
}

static void teardown(void)
{
    arena_free(arena);
}

TestSuite(ref, .init = setup, .fini = teardown);

static const void *find_leaf(void *user, const Node *leaf)
{
    (void)user;
    return leaves[leaf->attr.leaf.name[0] - 'a'];
}

static Graph *parse(const char *body)
{
    char *error = NULL, *text = arena_format(arena, "graph g {\n%s\n}\n", body);
    Graph *graph = graph_read(arena, table, text, &error);
    cr_assert_not_null(graph, "%s\n%s", error, text);
    StrBuf faults = {0};
    cr_assert(graph_verify(graph, &faults), "%s", faults.text);
    return graph;
}

/* Runs a graph of one output and gives its data; run.failed is left for the test. */
static const void *evaluate(const char *body)
{
    const void *values[8];
    Graph *graph = parse(body);
    run.graph = graph;
    run.symbols = symbols;
    run.leaf = find_leaf;
    ref_run(&run, arena, values);
    return values[0];
}

#define EXPECT_ARRAY(Type, data, ...)                                                              \
    do {                                                                                           \
        const Type want_[] = {__VA_ARGS__};                                                        \
        const Type *got_ = (data);                                                                 \
        cr_assert_not_null(got_);                                                                  \
        for (size_t i_ = 0; i_ < sizeof want_ / sizeof *want_; i_++)                               \
            cr_expect(got_[i_] == want_[i_] || (got_[i_] != got_[i_] && want_[i_] != want_[i_]),   \
                      "line %d, element %zu: %g, not %g", __LINE__, i_, (double)got_[i_],          \
                      (double)want_[i_]);                                                          \
    } while (0)

#define FLOATS(...) ((const float[]){__VA_ARGS__})

Test(ref, leaves)
{
    EXPECT_ARRAY(float, evaluate("%0 = const {-0.5} : f32[3]\noutput y = %0"), -0.5f, -0.5f, -0.5f);
    EXPECT_ARRAY(int32_t, evaluate("%0 = literal {4, -5} : i32[2]\noutput y = %0"), 4, -5);
    EXPECT_ARRAY(int64_t, evaluate("%0 = iota {0} : i64[3, 2]\noutput y = %0"), 0, 0, 1, 1, 2, 2);
    EXPECT_ARRAY(double, evaluate("%0 = iota {1} : f64[2, 3]\noutput y = %0"), 0, 1, 2, 0, 1, 2);
    symbols[0] = 5;
    EXPECT_ARRAY(int64_t, evaluate("%0 = dim {2*B + 1} : i64\noutput y = %0"), 11);
    leaves[0] = FLOATS(7);
    EXPECT_ARRAY(float, evaluate("%0 = param {a} : f32\noutput y = %0"), 7);
}

Test(ref, random_depends_on_the_element_only)
{
    run.seed = 3;
    run.step = 4;
    const float *small = evaluate("%0 = random {99} : f32[7]\noutput y = %0");
    const float *large = evaluate("%0 = random {99} : f32[20, 10]\noutput y = %0");
    for (int i = 0; i < 7; i++)
        cr_expect(small[i] == large[i] && small[i] >= 0 && small[i] < 1);
    run.step = 5;
    const float *next = evaluate("%0 = random {99} : f32[7]\noutput y = %0");
    cr_expect_neq(next[0], small[0]);
}

Test(ref, elementwise)
{
    leaves[0] = FLOATS(1, -2, 3);
    leaves[1] = FLOATS(4, 5, -6);
    const char *two = "%%0 = input {a} : f32[3]\n%%1 = input {b} : f32[3]\n%s\noutput y = %%2";
    EXPECT_ARRAY(float, evaluate(arena_format(arena, two, "%2 = sub %0 %1 : f32[3]")), -3, -7, 9);
    EXPECT_ARRAY(float, evaluate(arena_format(arena, two, "%2 = max %0 %1 : f32[3]")), 4, 5, 3);
    EXPECT_ARRAY(float, evaluate(arena_format(arena, two, "%2 = fma %0 %1 %0 : f32[3]")), 5, -12,
                 -15);
    EXPECT_ARRAY(uint8_t, evaluate(arena_format(arena, two, "%2 = lt %0 %1 : bool[3]")), 1, 1, 0);
    EXPECT_ARRAY(int32_t, evaluate(arena_format(arena, two, "%2 = convert %0 {i32} : i32[3]")), 1,
                 -2, 3);
    EXPECT_ARRAY(
        float,
        evaluate("%0 = input {a} : f32[3]\n%1 = input {b} : f32[3]\n%2 = lt %0 %1 : bool[3]\n"
                 "%3 = select %2 %0 %1 : f32[3]\noutput y = %3"),
        1, -2, -6);
}

Test(ref, integer_division_by_zero_fails)
{
    const int32_t a[] = {7, -7, 5}, b[] = {2, 2, 0};
    leaves[0] = a;
    leaves[1] = b;
    EXPECT_ARRAY(
        int32_t,
        evaluate("%0 = input {a} : i32[3]\n%1 = input {b} : i32[3]\n%2 = floordiv %0 %1 : i32[3]\n"
                 "output y = %2"),
        3, -4, 0);
    cr_assert_not_null(run.failed);
    cr_expect_eq(run.failed->op, OP_FLOORDIV);
    cr_expect_eq(run.failed_element, 2);
}

Test(ref, check_fails_where_false)
{
    const uint8_t good[] = {1, 1, 0, 0};
    leaves[0] = FLOATS(1, 2, 3, 4);
    leaves[1] = good;
    EXPECT_ARRAY(float,
                 evaluate("%0 = input {a} : f32[4]\n%1 = input {b} : bool[4]\n"
                          "%2 = check %0 %1 {E0001 \"a \\\"b\\\"\"} : f32[4]\noutput y = %2"),
                 1, 2, 3, 4);
    cr_assert_not_null(run.failed);
    cr_expect_eq(run.failed_element, 2);
    cr_expect_str_eq(run.failed->attr.check.message, "a \"b\"");
}

Test(ref, moves)
{
    leaves[0] = FLOATS(0, 1, 2, 3, 4, 5);
    const char *in = "%%0 = input {a} : f32[2, 3]\n%%1 = const {9} : f32\n%s\noutput y = %%%d";
#define MOVE(line) evaluate(arena_format(arena, in, line, 2))
    EXPECT_ARRAY(float, MOVE("%2 = reshape %0 {[3, 2]} : f32[3, 2]"), 0, 1, 2, 3, 4, 5);
    EXPECT_ARRAY(float, MOVE("%2 = permute %0 {1, 0} : f32[3, 2]"), 0, 3, 1, 4, 2, 5);
    EXPECT_ARRAY(float, MOVE("%2 = slice %0 {[0:2:1, 0:3:2]} : f32[2, 2]"), 0, 2, 3, 5);
    EXPECT_ARRAY(float, MOVE("%2 = slice %0 {[1:2:1, 1:2:3]} : f32[1, 1]"), 4);
    EXPECT_ARRAY(float, MOVE("%2 = pad %0 %1 {[0:1:0, 1:0:0]} : f32[3, 4]"), 9, 0, 1, 2, 9, 3, 4, 5,
                 9, 9, 9, 9);
    EXPECT_ARRAY(float, MOVE("%2 = pad %0 %1 {[0:0:0, -1:0:1]} : f32[2, 4]"), 9, 1, 9, 2, 9, 4, 9,
                 5);
    EXPECT_ARRAY(float, MOVE("%2 = pad %0 %1 {[-1:0:0, 0:-2:0]} : f32[1, 1]"), 3);
    EXPECT_ARRAY(float, MOVE("%2 = concat %0 %0 {1} : f32[2, 6]"), 0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4,
                 5);
    EXPECT_ARRAY(float, MOVE("%2 = reverse %0 {0, 1} : f32[2, 3]"), 5, 4, 3, 2, 1, 0);
    EXPECT_ARRAY(
        float,
        evaluate("%0 = input {a} : f32[1, 3]\n%1 = expand %0 {[2, 3]} : f32[2, 3]\noutput y = %1"),
        0, 1, 2, 0, 1, 2);
}

/* Sums: the rule of order.h written down a second time, one element at a time. */

static float lane_sum(const float *x, int64_t count)
{
    float lanes[SUM_LANES] = {0};
    for (int64_t i = 0; i < count; i++)
        lanes[i % SUM_LANES] += x[i];
    for (int half = SUM_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

static float *wild_floats(int64_t count, unsigned seed)
{
    float *x = ARENA_ARRAY(arena, float, count);
    srand(seed);
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)(rand() - RAND_MAX / 2) * exp2f((float)(rand() % 40 - 50));
    return x;
}

Test(ref, innermost_sums_use_lanes)
{
    float *x = wild_floats(5 * 333, 1);
    leaves[0] = x;
    const float *y =
        evaluate("%0 = input {a} : f32[5, 333]\n%1 = sum %0 {1} : f32[5]\noutput y = %1");
    for (int i = 0; i < 5; i++)
        cr_expect_eq(y[i], lane_sum(x + i * 333, 333));
}

Test(ref, outer_sums_are_chains)
{
    float *x = wild_floats(300 * 7, 2);
    leaves[0] = x;
    const float *y =
        evaluate("%0 = input {a} : f32[300, 7]\n%1 = sum %0 {0} : f32[7]\noutput y = %1");
    for (int j = 0; j < 7; j++) {
        float want = 0;
        for (int i = 0; i < 300; i++)
            want += x[i * 7 + j];
        cr_expect_eq(y[j], want);
    }
}

Test(ref, sums_over_a_free_axis_have_leaves)
{
    float *x = wild_floats(300 * 7, 3);
    leaves[0] = x;
    symbols[0] = 300;
    const float *y =
        evaluate("%0 = input {a} : f32[B, 7]\n%1 = sum %0 {0} : f32[7]\noutput y = %1");
    for (int j = 0; j < 7; j++) {
        float want = 0;
        for (int first = 0; first < 300; first += 64) {
            float leaf = 0;
            for (int i = first; i < 300 && i < first + 64; i++)
                leaf += x[i * 7 + j];
            want += leaf;
        }
        cr_expect_eq(y[j], want);
    }
}

Test(ref, full_sums_are_lanes_then_leaves)
{
    float *x = wild_floats(150 * 100, 4);
    leaves[0] = x;
    symbols[0] = 150;
    const float *y =
        evaluate("%0 = input {a} : f32[B, 100]\n%1 = sum %0 {0, 1} : f32\noutput y = %1");
    float want = 0;
    int rows = 4096 / 100;
    for (int first = 0; first < 150; first += rows) {
        float leaf = 0;
        for (int i = first; i < 150 && i < first + rows; i++)
            leaf += lane_sum(x + i * 100, 100);
        want += leaf;
    }
    cr_expect_eq(y[0], want);
}

Test(ref, other_reductions)
{
    leaves[0] = FLOATS(3, NAN, 1, 5, 2, 5);
    const char *in = "%%0 = input {a} : f32[2, 3]\n%%1 = %s\noutput y = %%1";
#define REDUCE(line) evaluate(arena_format(arena, in, line))
    EXPECT_ARRAY(float, REDUCE("amax %0 {1} : f32[2]"), NAN, 5);
    EXPECT_ARRAY(float, REDUCE("amin %0 {0} : f32[3]"), 3, NAN, 1);
    EXPECT_ARRAY(int32_t, REDUCE("argmax %0 {1} : i32[2]"), 1, 0);
    EXPECT_ARRAY(int32_t, REDUCE("argmin %0 {1} : i32[2]"), 1, 1);
    EXPECT_ARRAY(int32_t, REDUCE("argmax %0 {0} : i32[3]"), 1, 0, 1);
    EXPECT_ARRAY(int32_t, REDUCE("argsort %0 {1} : i32[2, 3]"), 2, 0, 1, 1, 0, 2);
    EXPECT_ARRAY(int32_t, REDUCE("argsort %0 {0} : i32[2, 3]"), 0, 1, 0, 1, 0, 1);
    leaves[0] = FLOATS(1, 2, 3, 4, 5, 6);
    EXPECT_ARRAY(float, REDUCE("prod %0 {0, 1} : f32"), 720);
    EXPECT_ARRAY(float, REDUCE("cumsum %0 {1} : f32[2, 3]"), 1, 3, 6, 4, 9, 15);
    EXPECT_ARRAY(float, REDUCE("cumsum %0 {0} : f32[2, 3]"), 1, 2, 3, 5, 7, 9);
    const uint8_t truth[] = {1, 0, 1, 1, 1, 1};
    leaves[0] = truth;
    EXPECT_ARRAY(uint8_t,
                 evaluate("%0 = input {a} : bool[2, 3]\n%1 = all %0 {1} : bool[2]\noutput y = %1"),
                 0, 1);
    EXPECT_ARRAY(uint8_t,
                 evaluate("%0 = input {a} : bool[2, 3]\n%1 = any %0 {0} : bool[3]\noutput y = %1"),
                 1, 1, 1);
    const uint8_t bytes[] = {200, 100};
    leaves[0] = bytes;
    EXPECT_ARRAY(uint8_t, evaluate("%0 = input {a} : u8[2]\n%1 = sum %0 {0} : u8\noutput y = %1"),
                 44);
}

Test(ref, empty_reductions)
{
    leaves[0] = FLOATS(0);
    symbols[0] = 0;
    const char *in = "%%0 = input {a} : f32[B, 2]\n%%1 = %s\noutput y = %%1";
    EXPECT_ARRAY(float, REDUCE("sum %0 {0} : f32[2]"), 0, 0);
    EXPECT_ARRAY(float, REDUCE("prod %0 {0, 1} : f32"), 1);
    EXPECT_ARRAY(float, REDUCE("amax %0 {0} : f32[2]"), -INFINITY, -INFINITY);
    EXPECT_ARRAY(float, REDUCE("amin %0 {0, 1} : f32"), INFINITY);
    cr_expect_null(run.failed);
    EXPECT_ARRAY(int32_t, REDUCE("argmax %0 {0} : i32[2]"), 0, 0);
    cr_expect_not_null(run.failed);
}

/* Contractions */

static float dot_chain(const float *x, int64_t x_step, const float *y, int64_t y_step,
                       int64_t depth, int64_t leaf)
{
    float total = 0;
    for (int64_t first = 0; first < depth; first += leaf) {
        float acc = 0;
        for (int64_t k = first; k < depth && k < first + leaf; k++)
            acc = fmaf(x[k * x_step], y[k * y_step], acc);
        total = leaf < depth ? total + acc : acc;
    }
    return total;
}

Test(ref, matrix_product_is_one_chain)
{
    enum { M = 19, K = 70, N = 37 };
    float *x = wild_floats(M * K, 5), *y = wild_floats(K * N, 6);
    leaves[0] = x;
    leaves[1] = y;
    const float *z = evaluate("%0 = input {a} : f32[19, 70]\n%1 = input {b} : f32[70, 37]\n"
                              "%2 = dot %0 %1 {contract = 1:0} : f32[19, 37]\noutput y = %2");
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            cr_assert_eq(z[i * N + j], dot_chain(x + i * K, 1, y + j, N, K, K));
}

Test(ref, narrow_products_change_sides_and_no_bits)
{
    enum { M = 40, K = 9, N = 3 };
    float *x = wild_floats(2 * M * K, 7), *y = wild_floats(2 * K * N, 8);
    leaves[0] = x;
    leaves[1] = y;
    const float *z =
        evaluate("%0 = input {a} : f32[2, 40, 9]\n%1 = input {b} : f32[2, 3, 9]\n"
                 "%2 = dot %0 %1 {batch = 0:0, contract = 2:2} : f32[2, 40, 3]\noutput y = %2");
    for (int b = 0; b < 2; b++)
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++)
                cr_assert_eq(z[(b * M + i) * N + j],
                             dot_chain(x + (b * M + i) * K, 1, y + (b * N + j) * K, 1, K, K));
}

Test(ref, products_over_a_free_axis_have_leaves)
{
    enum { B = 200, M = 5, N = 20 };
    float *x = wild_floats(B * M, 9), *y = wild_floats(B * N, 10);
    leaves[0] = x;
    leaves[1] = y;
    symbols[0] = B;
    const float *z = evaluate("%0 = input {a} : f32[B, 5]\n%1 = input {b} : f32[B, 20]\n"
                              "%2 = dot %0 %1 {contract = 0:0} : f32[5, 20]\noutput y = %2");
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            cr_assert_eq(z[i * N + j], dot_chain(x + i, M, y + j, N, B, 64));
}

Test(ref, products_over_two_axes_count_leaves_in_rows)
{
    enum { B = 37, T = 100, M = 3, N = 17 };
    float *x = wild_floats(B * T * M, 13), *y = wild_floats(B * T * N, 14);
    leaves[0] = x;
    leaves[1] = y;
    symbols[0] = B;
    const float *z = evaluate("%0 = input {a} : f32[B, 100, 3]\n%1 = input {b} : f32[B, 100, 17]\n"
                              "%2 = dot %0 %1 {contract = 0:0 1:1} : f32[3, 17]\noutput y = %2");
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) /* 4096 / 100 rows of 100 terms */
            cr_assert_eq(z[i * N + j],
                         dot_chain(x + i, M, y + j, N, B * T, 40 * T > B * T ? B * T : 40 * T));
    symbols[0] = 15;
    leaves[0] = x = wild_floats(15 * 2048 * M, 15);
    leaves[1] = y = wild_floats(15 * 2048 * N, 16);
    z = evaluate("%0 = input {a} : f32[B, 2048, 3]\n%1 = input {b} : f32[B, 2048, 17]\n"
                 "%2 = dot %0 %1 {contract = 0:0 1:1} : f32[3, 17]\noutput y = %2");
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            cr_assert_eq(z[i * N + j], dot_chain(x + i, M, y + j, N, 15 * 2048, 4 * 2048));
}

Test(ref, sums_of_f64_and_of_middle_axes)
{
    double *x = ARENA_ARRAY(arena, double, 6 * 5 * 70);
    for (int i = 0; i < 6 * 5 * 70; i++)
        x[i] = ldexp((double)((i * 7919) % 1000) - 500, (i * 31) % 60);
    leaves[0] = x;
    const double *y =
        evaluate("%0 = input {a} : f64[6, 5, 70]\n%1 = sum %0 {1, 2} : f64[6]\noutput y = %1");
    for (int i = 0; i < 6; i++) {
        double want = 0;
        for (int j = 0; j < 5; j++) {
            double lanes[SUM_LANES] = {0};
            for (int k = 0; k < 70; k++)
                lanes[k % SUM_LANES] += x[(i * 5 + j) * 70 + k];
            for (int half = SUM_LANES / 2; half > 0; half /= 2)
                for (int k = 0; k < half; k++)
                    lanes[k] += lanes[k + half];
            want += lanes[0];
        }
        cr_expect_eq(y[i], want);
    }
    y = evaluate("%0 = input {a} : f64[6, 5, 70]\n%1 = sum %0 {1} : f64[6, 70]\noutput y = %1");
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < 70; k++) {
            double want = 0;
            for (int j = 0; j < 5; j++)
                want += x[(i * 5 + j) * 70 + k];
            cr_expect_eq(y[i * 70 + k], want);
        }
}

/* Equal operands of max give the second one: of zeros the last counts. */
Test(ref, zeros_in_amax)
{
    leaves[0] = FLOATS(0.0f, -0.0f, -0.0f, 0.0f);
    const float *y =
        evaluate("%0 = input {a} : f32[2, 2]\n%1 = amax %0 {0} : f32[2]\noutput y = %1");
    cr_expect(signbit(y[0]) && !signbit(y[1]));
    leaves[0] = FLOATS(-0.0f, -0.0f);
    y = evaluate("%0 = input {a} : f32[2]\n%1 = cumsum %0 {0} : f32[2]\noutput y = %1");
    cr_expect(!signbit(y[0]) && !signbit(y[1]));
}

Test(ref, integer_products_wrap)
{
    const int32_t x[] = {INT32_MAX, 2}, y[] = {2, 3};
    leaves[0] = x;
    leaves[1] = y;
    EXPECT_ARRAY(int32_t,
                 evaluate("%0 = input {a} : i32[2]\n%1 = input {b} : i32[2]\n"
                          "%2 = dot %0 %1 {contract = 0:0} : i32\noutput y = %2"),
                 4);
}

typedef struct {
    int groups, images, height, width, channels, outputs, kh, kw, stride, low, high, gap, dilate;
} ConvCase;

/* One output of a convolution, term by term. */
static float conv_element(const ConvCase *c, const float *x, const float *y, const int *at,
                          bool channels_slowest, int leaf)
{
    float total = 0, acc = 0;
    int outer = channels_slowest ? c->channels : 1, inner = channels_slowest ? 1 : c->channels;
    for (int a = 0; a < outer; a++) {
        if (leaf > 0 && a % leaf == 0) {
            total += acc;
            acc = 0;
        }
        for (int i = 0; i < c->kh; i++) {
            for (int j = 0; j < c->kw; j++) {
                int row = at[2] * c->stride + i * c->dilate - c->low,
                    column = at[3] * c->stride + j * c->dilate - c->low;
                if (row < 0 || column < 0 || row % c->gap || column % c->gap ||
                    row / c->gap >= c->height || column / c->gap >= c->width)
                    continue;
                for (int b = 0; b < inner; b++) {
                    int ch = channels_slowest ? a : b;
                    int64_t px =
                        (((int64_t)(at[0] * c->images + at[1]) * c->height + row / c->gap) *
                             c->width +
                         column / c->gap) *
                            c->channels +
                        ch;
                    int64_t py = (((int64_t)(at[0] * c->kh + i) * c->kw + j) * c->channels + ch) *
                                     c->outputs +
                                 at[4];
                    acc = fmaf(x[px], y[py], acc);
                }
            }
        }
    }
    return leaf > 0 ? total + acc : acc;
}

static void try_conv(const ConvCase *c, bool free_channels)
{
    int reach = (c->kh - 1) * c->dilate + 1, wide = (c->kw - 1) * c->dilate + 1;
    int h = ((c->height - 1) * c->gap + 1 + c->low + c->high - reach) / c->stride + 1;
    int w = ((c->width - 1) * c->gap + 1 + c->low + c->high - wide) / c->stride + 1;
    float *x = wild_floats((int64_t)c->groups * c->images * c->height * c->width * c->channels, 11);
    float *y = wild_floats((int64_t)c->groups * c->kh * c->kw * c->channels * c->outputs, 12);
    const char *ch = free_channels ? "C" : arena_format(arena, "%d", c->channels);
    leaves[0] = x;
    leaves[1] = y;
    symbols[0] = c->channels;
    char *body = arena_format(
        arena,
        "%%0 = input {a} : f32[%d, %d, %d, %d, %s]\n%%1 = input {b} : f32[%d, %d, %d, %s, %d]\n"
        "%%2 = conv %%0 %%1 {stride = [%d, %d], pad = [%d:%d, %d:%d], dilate_x = [%d, %d], "
        "dilate_y = [%d, %d]} : "
        "f32[%d, %d, %d, %d, %d]\noutput y = %%2",
        c->groups, c->images, c->height, c->width, ch, c->groups, c->kh, c->kw, ch, c->outputs,
        c->stride, c->stride, c->low, c->high, c->low, c->high, c->gap, c->gap, c->dilate,
        c->dilate, c->groups, c->images, h, w, c->outputs);
    const float *z = evaluate(body);
    int leaf = free_channels ? 4096 / (c->kh * c->kw) : 0;
    leaf = leaf > 64 ? 64 : leaf;
    int at[5];
    for (at[0] = 0; at[0] < c->groups; at[0]++)
        for (at[1] = 0; at[1] < c->images; at[1]++)
            for (at[2] = 0; at[2] < h; at[2]++)
                for (at[3] = 0; at[3] < w; at[3]++)
                    for (at[4] = 0; at[4] < c->outputs; at[4]++, z++)
                        cr_assert_eq(*z, conv_element(c, x, y, at, free_channels, leaf),
                                     "at %d %d %d %d %d", at[0], at[1], at[2], at[3], at[4]);
}

Test(ref, convolutions)
{
    const ConvCase cases[] = {
        {1, 2, 9, 8, 3, 20, 3, 3, 1, 1, 1, 1, 1},  {1, 1, 9, 11, 2, 5, 3, 2, 2, 0, 1, 1, 1},
        {2, 1, 7, 7, 4, 17, 3, 3, 1, 2, 2, 1, 2},  {1, 1, 5, 6, 2, 3, 3, 3, 1, 2, 1, 2, 1},
        {1, 1, 5, 5, 2, 3, 3, 3, 2, 2, 3, 3, 2},   {3, 2, 6, 6, 1, 1, 3, 3, 1, 1, 1, 1, 1},
        {1, 1, 8, 8, 2, 4, 3, 3, 1, -1, -2, 1, 1}, {1, 1, 4, 4, 2, 4, 1, 1, 3, 0, 0, 2, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        try_conv(&cases[i], false);
    try_conv(&(ConvCase){1, 2, 6, 6, 150, 5, 4, 4, 1, 1, 1, 1, 1}, true);
}

Test(ref, windows)
{
    leaves[0] = FLOATS(1, 5, 3, 4, NAN, 0);
    EXPECT_ARRAY(
        float,
        evaluate(
            "%0 = input {a} : f32[6]\n%1 = window_max %0 {size = [2], stride = [2], dilate = [1], "
            "pad = [0:0]} : f32[3]\noutput y = %1"),
        5, 4, NAN);
    EXPECT_ARRAY(
        int32_t,
        evaluate("%0 = input {a} : f32[6]\n%1 = window_argmax %0 {size = [3], stride = [1], "
                 "dilate = [1], pad = [1:1]} : i32[6]\noutput y = %1"),
        2, 1, 0, 2, 1, 0);
    leaves[0] = FLOATS(0, 1, 2, 3, 4, 5, 6, 7, 8);
    EXPECT_ARRAY(
        float,
        evaluate("%0 = input {a} : f32[3, 3]\n%1 = window_sum %0 {size = [2, 2], stride = [1, 2], "
                 "dilate = [1, 1], pad = [1:0, 0:1]} : f32[3, 2]\noutput y = %1"),
        1, 2, 8, 7, 20, 13);
    EXPECT_ARRAY(
        float,
        evaluate("%0 = input {a} : f32[3, 3]\n%1 = window_sum %0 {size = [2, 1], stride = [1, 1], "
                 "dilate = [2, 1], pad = [0:0, 0:-1]} : f32[1, 2]\noutput y = %1"),
        6, 8);
}

Test(ref, gather_and_scatter)
{
    const int32_t index[] = {2, 0, 2};
    const int64_t bad[] = {1, -1, 9};
    leaves[0] = FLOATS(0, 1, 10, 11, 20, 21);
    leaves[1] = index;
    leaves[2] = FLOATS(1, 2, 3, 4, 5, 6);
    leaves[3] = bad;
    EXPECT_ARRAY(float,
                 evaluate("%0 = input {a} : f32[3, 2]\n%1 = input {b} : i32[3]\n"
                          "%2 = gather %0 %1 {0} : f32[3, 2]\noutput y = %2"),
                 20, 21, 0, 1, 20, 21);
    EXPECT_ARRAY(float,
                 evaluate("%0 = input {a} : f32[2, 3]\n%1 = input {b} : i32[3, 1]\n"
                          "%2 = gather %0 %1 {1} : f32[2, 3, 1]\noutput y = %2"),
                 10, 0, 10, 21, 11, 21);
    EXPECT_ARRAY(
        float,
        evaluate("%0 = input {a} : f32[3, 2]\n%1 = input {b} : i32[3]\n%2 = input {c} : f32[3, 2]\n"
                 "%3 = scatter_add %0 %1 %2 {0} : f32[3, 2]\noutput y = %3"),
        3, 5, 10, 11, 26, 29);
    cr_expect_null(run.failed);
    EXPECT_ARRAY(float,
                 evaluate("%0 = input {a} : f32[3, 2]\n%1 = input {d} : i64[3]\n"
                          "%2 = gather %0 %1 {0} : f32[3, 2]\noutput y = %2"),
                 10, 11, 0, 1, 20, 21);
    cr_assert_not_null(run.failed);
    cr_expect_eq(run.failed_element, 2);
    EXPECT_ARRAY(
        float,
        evaluate("%0 = input {a} : f32[3, 2]\n%1 = input {d} : i64[3]\n%2 = input {c} : f32[3, 2]\n"
                 "%3 = scatter_add %0 %1 %2 {0} : f32[3, 2]\noutput y = %3"),
        0, 1, 11, 13, 20, 21);
    cr_assert_not_null(run.failed);
    cr_expect_eq(run.failed_element, 1);
}

static void twice(void *user, const void *const *in, void *const *out, const int64_t *dims)
{
    cr_expect_eq(user, &run);
    cr_expect(dims[0] == 1 && dims[1] == 3 && dims[2] == 1 && dims[3] == 3);
    for (int64_t i = 0; i < dims[1]; i++)
        ((float *)out[0])[i] = 2 * ((const float *)in[0])[i];
}

static nnc_extern *find_extern(void *user, const char *name, void **extern_user)
{
    (void)user;
    *extern_user = &run;
    return strcmp(name, "twice") == 0 ? twice : NULL;
}

Test(ref, host_functions)
{
    leaves[0] = FLOATS(1, 2, 3);
    run.find_extern = find_extern;
    EXPECT_ARRAY(float,
                 evaluate("%0 = input {a} : f32[3]\n%1 = call %0 {twice} : f32[3]\noutput y = %1"),
                 2, 4, 6);
    cr_expect_null(run.failed);
    EXPECT_ARRAY(
        float, evaluate("%0 = input {a} : f32[3]\n%1 = call %0 {missing} : f32[3]\noutput y = %1"),
        0, 0, 0);
    cr_expect_not_null(run.failed);
}

Test(ref, impossible_sizes_fail)
{
    leaves[0] = FLOATS(1, 2, 3);
    symbols[0] = 5;
    cr_expect_null(evaluate(
        "%0 = input {a} : f32[3]\n%1 = slice %0 {[0:3 - B:1]} : f32[3 - B]\noutput y = %1"));
    cr_expect_not_null(run.failed);
    symbols[0] = INT64_MAX / 2;
    cr_expect_null(evaluate("%0 = const {1} : f32[B]\noutput y = %0"));
    symbols[0] = 4;
    evaluate("%0 = input {a} : f32[3]\n%1 = slice %0 {[0:B:1]} : f32[B]\noutput y = %1");
    cr_expect_not_null(run.failed);
}

static void count_visits(void *user, const Node *node, const void *data)
{
    cr_expect(node != NULL && data != NULL);
    ++*(int *)user;
}

Test(ref, visits_every_live_node)
{
    int visits = 0;
    leaves[0] = FLOATS(1);
    run.graph = parse("%0 = input {a} : f32\n%1 = neg %0 : f32\n%2 = exp %0 : f32\noutput y = %1");
    run.symbols = symbols;
    run.leaf = find_leaf;
    cr_expect(ref_visit(&run, arena, count_visits, &visits));
    cr_expect_eq(visits, 2);
}
