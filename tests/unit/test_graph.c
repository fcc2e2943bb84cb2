/* Graphs: nodes, text, the verifier, the refusals of every shape rule, the constructors and the
 * orders of summation. */
#include "compiler/graph/build.h"
#include "compiler/graph/op.h"
#include "compiler/graph/order.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Arena *arena;
static DimTable *table;
static Graph *graph;

static void setup(void)
{
    arena = arena_new();
    table = dim_table_new(arena);
    graph = graph_new(arena, table, "g");
}

static void teardown(void)
{
    arena_free(arena);
}

TestSuite(graph, .init = setup, .fini = teardown);

static char *read_file(const char *path)
{
    FILE *file = fopen(arena_format(arena, "%s/%s", NNC_SOURCE_DIR, path), "rb");
    cr_assert_not_null(file, "%s", path);
    char *text = arena_alloc(arena, 1 << 20);
    size_t length = fread(text, 1, (1 << 20) - 1, file);
    text[length] = 0;
    fclose(file);
    return text;
}

static Graph *parse(const char *text)
{
    char *error = NULL;
    Graph *read = graph_read(arena, table, text, &error);
    cr_assert_not_null(read, "%s", error);
    return read;
}

static char *print(const Graph *g)
{
    StrBuf out = {0};
    graph_print(g, &out);
    char *text = arena_string(arena, out.text);
    strbuf_free(&out);
    return text;
}

static Type type_of(DType dtype, const char *dims)
{
    Type type = {.dtype = dtype};
    while (*dims != 0) {
        type.dims[type.rank++] = dim_read(table, &dims);
        dims += *dims == ',';
    }
    return type;
}

static Node *input(const char *name, DType dtype, const char *dims)
{
    return build_leaf(graph, OP_INPUT, name, type_of(dtype, dims));
}

/* Text */

Test(graph, every_op_reads_and_prints)
{
    static const char *const files[] = {"every_op", "loops"};
    bool seen[OP_COUNT] = {false};
    for (int f = 0; f < 2; f++) {
        StrBuf faults = {0};
        const char *path = arena_format(arena, "tests/golden/graph/%s.graph", files[f]);
        const char *text = read_file(path);
        Graph *g = parse(text);
        cr_expect_str_eq(print(g), text);
        cr_expect(graph_verify(g, &faults), "%s: %s", path, faults.text);
        for (uint32_t i = 0; i < g->nodes.count; i++)
            seen[g->nodes.data[i]->op] = true;
        strbuf_free(&faults);
    }
    for (int op = 0; op < OP_COUNT; op++)
        cr_expect(seen[op], "tests/golden/graph lacks %s", op_info[op].text);
}

Test(graph, the_page_of_operations_is_current)
{
    StrBuf out = {0};
    graph_list_ops(&out);
    const char *kept = read_file("docs/ops.md");
    if (strcmp(kept, out.text) != 0 && getenv("NNC_UPDATE_GOLDEN") != NULL) {
        FILE *file = fopen(NNC_SOURCE_DIR "/docs/ops.md", "wb");
        fputs(out.text, file);
        fclose(file);
    } else {
        cr_expect(strcmp(kept, out.text) == 0,
                  "docs/ops.md is old: run test_graph with NNC_UPDATE_GOLDEN=1");
    }
    strbuf_free(&out);
}

Test(graph, dead_nodes_are_not_printed)
{
    Node *x = input("x", DT_F32, "B,3");
    build_unary(graph, OP_EXP, x);
    graph_root(graph, ROOT_OUTPUT, "y", build_unary(graph, OP_NEG, x));
    cr_expect_str_eq(
        print(graph),
        "graph g {\n  %0 = input {x} : f32[B, 3]\n  %1 = neg %0 : f32[B, 3]\n  output y = %1\n}\n");
}

/* One line after `%0 = input {x} : f32[B, 4]`, `%1 = input {i} : i32[B]` and `%2 = input {b} :
 * bool[B, 4]`. */
static const struct {
    const char *line, *error;
} refusals[] = {
    /* text */
    {"%4 = neg %0 : f32[B, 4]", "the next node is %3"},
    {"%3 = nag %0 : f32[B, 4]", "no operation is called nag"},
    {"%3 = neg %7 : f32[B, 4]", "no such node"},
    {"%3 = neg %0 %0 : f32[B, 4]", "neg takes 1 operand, not 2"},
    {"%3 = neg %0 : f32[B, 5]", "the type is f32[B, 4]"},
    {"%3 = neg %0 : q8[B, 4]", "no type is called q8"},
    {"%3 = neg %0 : f32[B, 4] x", "more text than expected:  x"},
    {"%3 = neg %0 {1} : f32[B, 4]", "expected :"},
    {"%3 = input {x} : f32[B, 4]", "this node repeats %0"},
    {"%3 = input {x : f32[B, 4]", "expected }"},
    {"%3 = input {x y} : f32[B, 4]", "expected }"},
    {"%3 = input {\"x} : f32[B, 4]", "expected }"},
    {"%3 = const {1.5} : i32", "expected }"},
    {"%3 = const {300} : u8", "expected a value of u8"},
    {"%3 = convert %0 {q8} : f32[B, 4]", "no type is called q8"},
    {"%3 = check %0 %2 {E9999 \"m\"} : f32[B, 4]", "no error code is called E9999"},
    {"%3 = sum %0 {9} : f32[B]", "9 is not in 0..7"},
    {"%3 = sum %0 {1 : f32[B]", "expected }"},
    {"%3 = reshape %0 {[4, ]} : f32[B, 4]", "expected a dimension"},
    /* leaves */
    {"%3 = literal {1, 2, 3} : f32[2]", "f32[2] is not the type of 3 values"},
    {"%3 = literal {1} : f32[B]", "a literal has constant sizes, not f32[B]"},
    {"%3 = iota {2} : i32[B, 4]", "i32[B, 4] has no axis 2"},
    {"%3 = iota {0} : bool[B]", "iota needs numbers, not bool[B]"},
    {"%3 = random {7} : i32[B]", "random numbers are floats, not i32[B]"},
    {"%3 = input {z} : f32[-1]", "a size is negative"},
    {"%3 = input {z} : f32[4000000000, 4000000000]", "a tensor is too large for 64 bits"},
    /* elementwise */
    {"%3 = add %0 %1 : f32[B, 4]", "f32[B, 4] and i32[B] do not fit: 2 dimensions against 1"},
    {"%3 = add %0 %2 : f32[B, 4]", "f32[B, 4] and bool[B, 4] differ in type: f32 against bool"},
    {"%3 = add %2 %2 : bool[B, 4]", "add needs numbers, not bool[B, 4]"},
    {"%3 = exp %1 : i32[B]", "exp needs floats, not i32[B]"},
    {"%3 = not %0 : f32[B, 4]", "not needs bool or integers, not f32[B, 4]"},
    {"%3 = is_nan %1 : bool[B]", "is_nan needs floats, not i32[B]"},
    {"%3 = eq %0 %2 : bool[B, 4]", "f32[B, 4] and bool[B, 4] differ in type: f32 against bool"},
    {"%3 = select %0 %0 %0 : f32[B, 4]", "the condition of select is bool, not f32[B, 4]"},
    {"%3 = select %2 %0 %1 : f32[B, 4]", "f32[B, 4] and i32[B] do not fit: 2 dimensions against 1"},
    {"%3 = select %2 %1 %1 : i32[B]", "bool[B, 4] and i32[B] do not fit: 2 dimensions against 1"},
    {"%3 = check %0 %1 {E0001 m} : f32[B, 4]", "the condition of check is bool, not i32[B]"},
    {"%3 = check %1 %2 {E0001 m} : i32[B]",
     "i32[B] and bool[B, 4] do not fit: 1 dimension against 2"},
    /* moves */
    {"%3 = reshape %0 {[B, 3]} : f32[B, 3]",
     "f32[B, 4] cannot become f32[B, 3]: 4*B elements against 3*B"},
    {"%3 = reshape %0 {[-4, -1*B]} : f32[B, 4]", "dimension 0 of the result would be -4"},
    {"%3 = permute %0 {0} : f32[B]", "f32[B, 4] has 2 dimensions, but permute is given 1"},
    {"%3 = permute %0 {1, 1} : f32[4, 4]", "axes must differ"},
    {"%3 = permute %0 {1, 2} : f32[4, 4]", "f32[B, 4] has no axis 2"},
    {"%3 = expand %0 {[B, 8]} : f32[B, 8]",
     "f32[B, 4] cannot be repeated to f32[B, 8]: dimension 1 is 4, not 1"},
    {"%3 = expand %0 {[1, B, 4]} : f32[1, B, 4]",
     "f32[B, 4] has 2 dimensions, but expand is given 3"},
    {"%3 = slice %0 {[0:B:1]} : f32[B, 4]", "f32[B, 4] has 2 dimensions, but slice is given 1"},
    {"%3 = slice %0 {[0:B:1, 0:5:1]} : f32[B, 5]", "0:5:1 is not in dimension 1 of f32[B, 4]"},
    {"%3 = slice %0 {[0:B + 1:1, 0:4:1]} : f32[B, 4]",
     "0:B + 1:1 is not in dimension 0 of f32[B, 4]"},
    {"%3 = slice %0 {[0:B:1, 3:2:1]} : f32[B, 4]", "3:2:1 is not in dimension 1 of f32[B, 4]"},
    {"%3 = slice %0 {[-1:B:1, 0:4:1]} : f32[B, 4]", "-1:B:1 is not in dimension 0 of f32[B, 4]"},
    {"%3 = pad %0 %0 {[0:0:0, 0:0:0]} : f32[B, 4]",
     "f32[B, 4] is padded with a scalar of its type, not f32[B, 4]"},
    {"%3 = pad %0 %0 {[0:0:0]} : f32[B, 4]", "f32[B, 4] has 2 dimensions, but pad is given 1"},
    {"%3 = concat %0 %1 {0} : f32[B, 4]",
     "f32[B, 4] and i32[B] cannot follow each other along axis 0"},
    {"%3 = concat %0 %0 {2} : f32[B, 8]", "f32[B, 4] has no axis 2"},
    {"%3 = reverse %0 {1, 0} : f32[B, 4]", "axes must ascend"},
    /* reductions and windows */
    {"%3 = sum %2 {0} : bool[4]", "sum needs numbers, not bool[B, 4]"},
    {"%3 = sum %0 {} : f32[B, 4]", "sum needs at least one axis"},
    {"%3 = sum %0 {2} : f32[B]", "f32[B, 4] has no axis 2"},
    {"%3 = all %0 {0} : bool[4]", "all needs bool, not f32[B, 4]"},
    {"%3 = argmax %2 {0} : i32[4]", "argmax needs numbers, not bool[B, 4]"},
    {"%3 = argmax %1 {1} : i32", "i32[B] has no axis 1"},
    {"%3 = cumsum %0 {2} : f32[B, 4]", "f32[B, 4] has no axis 2"},
    {"%3 = window_sum %0 {size = [5, 5], stride = [1, 1], dilate = [1, 1], pad = [0:0, 0:0]} : "
     "f32[B, 0]",
     "a window of 5 does not fit into 4"},
    {"%3 = window_sum %0 {size = [5], stride = [1], dilate = [1], pad = [0:0]} : f32[B]",
     "f32[B, 4] has 2 dimensions, but the window has 1"},
    {"%3 = window_sum %0 {size = [1, 2], stride = [1], dilate = [1, 1], pad = [0:0, 0:0]} : f32[B]",
     "stride has 1 entries, not 2"},
    {"%3 = window_max %0 {size = [0, 1], stride = [1, 1], dilate = [1, 1], pad = [0:0, 0:0]} : "
     "f32[B]",
     "0 is not in 1..9223372036854775807"},
    /* contractions */
    {"%3 = dot %0 %0 {contract = 0:1} : f32[4, B]",
     "f32[B, 4] and f32[B, 4] do not fit: B against 4"},
    {"%3 = dot %0 %1 {contract = 0:0} : f32[4]",
     "f32[B, 4] and i32[B] differ in type: f32 against i32"},
    {"%3 = dot %2 %2 {contract = 0:0} : bool[4, 4]", "dot needs numbers, not bool[B, 4]"},
    {"%3 = dot %0 %0 {batch = 0:0, contract = 0:0} : f32[B, 4, 4]", "axes must differ"},
    {"%3 = dot %0 %0 {batch = 0:0 1:1, contract = 0:0} : f32[B, 4, 4]",
     "f32[B, 4] has fewer axes than dot uses"},
    {"%3 = dot %0 %0 {contract = 2:2} : f32[B, 4]", "f32[B, 4] has no axis 2"},
    {"%3 = conv %0 %0 {stride = [1], pad = [0:0], dilate_x = [1], dilate_y = [1]} : f32[B, 4]",
     "conv over 1 spatial axis needs 4 dimensions, not f32[B, 4] and f32[B, 4]"},
    /* indices */
    {"%3 = gather %0 %0 {0} : f32[B, 4, 4]", "an index is i32 or i64, not f32[B, 4]"},
    {"%3 = gather %0 %1 {2} : f32[B, 4]", "f32[B, 4] has no axis 2"},
    {"%3 = scatter_add %0 %1 %1 {0} : f32[B, 4]", "i32[B] is added where f32[B, 4] is needed"},
};

Test(graph, refusals)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        char *error = NULL;
        const char *text =
            arena_format(arena,
                         "graph g {\n  %%0 = input {x} : f32[B, 4]\n  %%1 = input {i} : i32[B]\n"
                         "  %%2 = input {b} : bool[B, 4]\n  %s\n}\n",
                         refusals[i].line);
        cr_expect_null(graph_read(arena, table, text, &error), "accepted: %s", refusals[i].line);
        cr_assert_not_null(error);
        cr_expect_str_eq(error, arena_format(arena, "line 5: %s", refusals[i].error), "%s\n%s",
                         refusals[i].line, error);
    }
}

Test(graph, refused_frames)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"", "line 1: expected graph "},
        {"graph g", "line 1: expected {"},
        {"graph g {\n", "line 2: expected }"},
        {"graph g {\n}\nx", "line 3: more text after the graph"},
        {"graph g {\n output y = %0\n}\n", "line 2: no such node"},
        {"graph g {\n} }\n", "line 2: more text than expected:  }"},
        {"# comment\n\ngraph g {\n hello\n}\n", "line 4: expected %"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *error = NULL;
        cr_expect_null(graph_read(arena, table, rows[i].text, &error));
        cr_assert_not_null(error);
        cr_expect_str_eq(error, rows[i].error);
    }
}

/* Every prefix and many mutations of a good text are refused or read, never worse. */
Test(graph, broken_text_is_only_refused)
{
    char *text = read_file("tests/golden/graph/every_op.graph");
    size_t length = strlen(text);
    srand(5);
    for (int i = 0; i < 3000; i++) {
        char *error = NULL, *copy = arena_string(arena, text);
        if (i % 3 == 0)
            copy[(size_t)rand() % length] = 0;
        for (int j = 0; j < 1 + rand() % 3; j++)
            copy[(size_t)rand() % length] = (char)" %{}[]:,=\"\\0129abx-*"[rand() % 20];
        Arena *scratch = arena_new();
        Graph *g = graph_read(scratch, dim_table_new(scratch), copy, &error);
        cr_expect(g != NULL || error != NULL);
        arena_free(scratch);
    }
}

/* Nodes */

Test(graph, equal_nodes_are_one)
{
    Node *x = input("x", DT_F32, "B,3"), *y = input("y", DT_F32, "B,3");
    cr_expect_eq(input("x", DT_F32, "B,3"), x);
    cr_expect_neq(input("x2", DT_F32, "B,3"), x);
    cr_expect_eq(build_binary(graph, OP_ADD, x, y), build_binary(graph, OP_ADD, y, x));
    cr_expect_neq(build_binary(graph, OP_SUB, x, y), build_binary(graph, OP_SUB, y, x));
    cr_expect_eq(build_reduce(graph, OP_SUM, x, axes_one(1)),
                 build_reduce(graph, OP_SUM, x, axes_one(1)));
    cr_expect_neq(build_reduce(graph, OP_SUM, x, axes_one(1)),
                  build_reduce(graph, OP_SUM, x, axes_one(0)));
    cr_expect_neq(build_scalar(graph, DT_F32, 0.0), build_scalar(graph, DT_F32, -0.0));
    cr_expect_eq(build_scalar(graph, DT_F32, 0.1), build_scalar(graph, DT_F32, (double)0.1f));
    cr_expect_neq(build_scalar(graph, DT_F64, 0.1), build_scalar(graph, DT_F64, (double)0.1f));
    cr_expect_eq(build_scalar(graph, DT_F32, NAN), build_scalar(graph, DT_F32, NAN));
    for (int i = 0; i < 2000; i++)
        build_scalar(graph, DT_I64, i);
    uint32_t count = graph->nodes.count;
    for (int i = 0; i < 2000; i++)
        build_scalar(graph, DT_I64, i);
    cr_expect_eq(graph->nodes.count, count);
}

Test(graph, verifier_finds_faults)
{
    Node *x = input("x", DT_F32, "B,3");
    Node *y = build_unary(graph, OP_NEG, x);
    StrBuf out = {0};
    graph_root(graph, ROOT_UPDATE, "x", y);
    cr_expect_not(graph_verify(graph, &out));
    cr_expect_str_eq(out.text, "the input x is updated\n");
    strbuf_clear(&out);
    y->type.dims[1] = dim_const(table, 4);
    cr_expect_not(graph_verify(graph, &out));
    cr_expect(strstr(out.text, "%1: the type is not the one of the shape rule of neg") != NULL,
              "%s", out.text);
    strbuf_clear(&out);
    y->src[0] = y;
    cr_expect_not(graph_verify(graph, &out));
    cr_expect_str_eq(out.text, "%1: operand 0 is not an earlier node of this graph\n");
    strbuf_free(&out);
}

Test(graph, one_leaf_per_name)
{
    StrBuf out = {0};
    input("x", DT_F32, "3");
    input("x", DT_F32, "4");
    cr_expect_not(graph_verify(graph, &out));
    cr_expect_str_eq(out.text, "%0 and %1 are both called x\n");
    strbuf_free(&out);
}

Test(graph, symbols_in_use)
{
    uint32_t *symbols;
    dim_symbol(table, "A");
    Node *x = input("x", DT_F32, "T,B*3");
    input("dead", DT_F32, "D");
    graph_root(graph, ROOT_OUTPUT, "y", build_unary(graph, OP_NEG, x));
    cr_assert_eq(graph_symbols(graph, arena, &symbols), 2);
    cr_expect_str_eq(dim_symbol_name(table, symbols[0]), "T");
    cr_expect_str_eq(dim_symbol_name(table, symbols[1]), "B");
    cr_expect_eq(graph_root_find(graph, ROOT_OUTPUT, "y")->src[0], x);
    cr_expect_null(graph_root_find(graph, ROOT_UPDATE, "y"));
}

Test(graph, copies_keep_spans)
{
    graph->span = (Span){1, 2, 3};
    Node *x = input("x", DT_F32, "B");
    Graph *other = graph_new(arena, table, "h");
    Node *map[1] = {NULL};
    Node *copy = graph_copy_node(other, x, map);
    cr_expect(copy != x && copy->span.begin == 2 && type_equal(&copy->type, &x->type));
    cr_expect_eq(other->span.begin, 0);
}

/* Constructors */

static void expect_built(Node *node, const char *want)
{
    cr_assert_not_null(node, "%s", graph->error);
    graph_root(graph, ROOT_OUTPUT, "y", node);
    const char *text = print(graph);
    cr_expect_not_null(strstr(text, want), "%s\nis not in\n%s", want, text);
    graph->roots.count = 0;
}

Test(graph, broadcasting_is_explicit)
{
    Node *x = input("x", DT_F32, "B,3"), *bias = input("bias", DT_F32, "3");
    expect_built(build_binary(graph, OP_ADD, x, bias),
                 "  %2 = reshape %1 {[1, 3]} : f32[1, 3]\n  %3 = expand %2 {[B, 3]} : f32[B, 3]\n  "
                 "%4 = add %0 %3 : f32[B, 3]");
    expect_built(build_binary(graph, OP_MUL, x, build_scalar(graph, DT_F32, 2)),
                 "const {2} : f32[B, 3]");
    expect_built(build_binary(graph, OP_MUL, input("p", DT_F32, "4,1"), input("q", DT_F32, "1,5")),
                 ": f32[4, 5]");
    cr_expect_null(build_binary(graph, OP_ADD, x, input("z", DT_F32, "4,2")));
    cr_expect_str_eq(graph->error,
                     "f32[B, 3] and f32[4, 2] do not fit: B against 4 in dimension 0");
    cr_expect_null(build_binary(graph, OP_ADD, x, NULL));
    cr_expect_null(build_binary(graph, OP_ADD, input("b", DT_F32, "B"), input("t", DT_F32, "T")));
}

Test(graph, moves_that_move_nothing)
{
    Node *x = input("x", DT_F32, "B,3");
    const Dim *zero = dim_const(table, 0), *three = dim_const(table, 3);
    cr_expect_eq(build_reshape(graph, x, 2, x->type.dims), x);
    cr_expect_eq(build_expand(graph, x, 2, x->type.dims), x);
    cr_expect_eq(build_permute(graph, x, (const uint8_t[]){0, 1}), x);
    cr_expect_eq(build_slice_axis(graph, x, 1, zero, three, 1), x);
    cr_expect_eq(build_pad_axis(graph, x, build_scalar(graph, DT_F32, 0), 0, zero, zero), x);
    cr_expect_eq(build_convert(graph, x, DT_F32), x);
    cr_expect_eq(build_concat(graph, &x, 1, 0), x);
    cr_expect_eq(build_reduce(graph, OP_SUM, x, (Axes){0}), x);
    cr_expect_eq(build_reverse(graph, x, (Axes){0}), x);
}

Test(graph, products_and_the_rest)
{
    Node *x = input("x", DT_F32, "B,T,C"), *y = input("y", DT_F32, "B,C,5"),
         *i = input("i", DT_I32, "T");
    expect_built(build_matmul(graph, x, y), "{batch = 0:0, contract = 2:1} : f32[B, T, 5]");
    cr_expect_null(build_matmul(graph, x, i));
    expect_built(build_swap_axes(graph, x, 1, 2), "permute %0 {0, 2, 1} : f32[B, C, T]");
    expect_built(build_reduce_keep(graph, OP_AMAX, x, axes_one(2)), "{[B, T, 1]} : f32[B, T, 1]");
    expect_built(build_gather(graph, x, i, 0), ": f32[T, T, C]");
    expect_built(build_dim(graph, dim_const(table, 7), DT_F32), "const {7} : f32");
    expect_built(build_dim(graph, x->type.dims[0], DT_F32), "convert %0 {f32} : f32");
    expect_built(build_axis_op(graph, OP_ARGMAX, x, 2), "argmax %0 {2} : i32[B, T]");
    expect_built(build_iota(graph, i->type, 0), "iota {0} : i32[T]");
    Node *condition = build_binary(graph, OP_LT, x, build_scalar(graph, DT_F32, 0));
    expect_built(build_select(graph, condition, build_scalar(graph, DT_F32, 0), x), "select");
    expect_built(build_fma(graph, x, build_scalar(graph, DT_F32, 2), x), "fma %0");
}

/* Orders */

static void expect_order(Node *node, bool lanes, bool channels_slowest, int64_t leaf)
{
    cr_assert_not_null(node, "%s", graph->error);
    SumOrder order = graph_sum_order(node);
    cr_expect(order.lanes == lanes && order.channels_slowest == channels_slowest &&
                  order.leaf == leaf,
              "node %u: lanes %d, slowest %d, leaf %lld", node->id, order.lanes,
              order.channels_slowest, (long long)order.leaf);
}

Test(graph, orders_of_reductions)
{
    Node *x = input("x", DT_F32, "B,28,32"), *c = input("c", DT_F32, "9,28,32"),
         *w = input("w", DT_F32, "B,200,100");
    expect_order(build_reduce(graph, OP_SUM, x, axes_one(2)), true, false, 0);
    expect_order(build_reduce(graph, OP_SUM, x, axes_one(1)), false, false, 0);
    expect_order(build_reduce(graph, OP_SUM, x, axes_one(0)), false, false, 64);
    expect_order(build_reduce(graph, OP_SUM, c, axes_one(0)), false, false, 0);
    expect_order(build_reduce(graph, OP_SUM, x, axes_range(0, 3)), true, false, 4);
    expect_order(build_reduce(graph, OP_SUM, x, axes_range(0, 2)), false, false, 64);
    expect_order(build_reduce(graph, OP_SUM, c, axes_range(0, 3)), true, false, 0);
    expect_order(build_reduce(graph, OP_SUM, w, axes_one(0)), false, false, 0); /* 20000 outputs */
    expect_order(build_reduce(graph, OP_AMAX, w, axes_range(0, 2)), false, false, 20);
}

Test(graph, orders_of_contractions)
{
    Node *x = input("x", DT_F32, "B,64"), *y = input("y", DT_F32, "B,32"),
         *big = input("big", DT_F32, "B,512");
    Axes none = {0};
    expect_order(build_dot(graph, x, y, none, none, axes_one(0), axes_one(0)), false, false, 64);
    expect_order(build_dot(graph, x, big, none, none, axes_one(0), axes_one(0)), false, false, 0);
    expect_order(build_dot(graph, x, x, none, none, axes_one(1), axes_one(1)), false, false, 0);
    Node *s = input("s", DT_F32, "B,T,4"), *r = input("r", DT_F32, "B,100,4");
    (void)r;
    expect_order(build_dot(graph, s, s, none, none, axes_range(0, 2), axes_range(0, 2)), false,
                 false, 64);
    Graph *g = parse("graph g {\n"
                     "  %0 = input {x} : f32[1, 4, 28, 28, B]\n"
                     "  %1 = input {y} : f32[1, 10, 10, B, 8]\n"
                     "  %2 = conv %0 %1 {stride = [1, 1], pad = [0:0, 0:0], dilate_x = [1, 1], "
                     "dilate_y = [1, 1]} : "
                     "f32[1, 4, 19, 19, 8]\n  output y = %2\n}\n");
    expect_order(g->nodes.data[2], false, true, 40);
}
