/* See op_samples.h. Shapes are tables; -1 in them is the free dimension B. */
#include "tests/support/op_samples.h"
#include "runtime/base/scalar.h"

#include <math.h>
#include <string.h>

enum { B = -1 };

typedef struct {
    int rank;
    int64_t dims[MAX_RANK];
} Shape;

static const Shape shapes[] = {
    {0, {0}},          {1, {5}},          {1, {1}},          {1, {0}},
    {1, {B}},          {2, {3, 4}},       {2, {1, 4}},       {2, {4, 1}},
    {2, {0, 3}},       {2, {3, 0}},       {2, {B, 4}},       {2, {3, B}},
    {3, {2, 3, 4}},    {3, {1, 3, 1}},    {3, {2, 1, 3}},    {3, {1, 1, 1}},
    {3, {B, 2, 3}},    {3, {2, B, 3}},    {3, {2, 0, 3}},    {3, {2, 3, B}},
    {4, {2, 3, 2, 2}}, {4, {B, 2, 1, 3}}, {4, {1, 2, B, 2}}, {5, {2, 1, 2, 2, 2}},
    {2, {2, 37}},      {1, {70}},
};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static Type type_of(const Sample *s, DType dtype, const Shape *shape)
{
    Type type = {.dtype = dtype, .rank = shape->rank};
    for (int i = 0; i < shape->rank; i++)
        type.dims[i] = shape->dims[i] == B ? s->free : dim_const(s->graph->dims, shape->dims[i]);
    return type;
}

static Node *leaf(Sample *s, DType dtype, const Shape *shape, Fill fill, double low, double high)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    Node *node = build_leaf(s->graph, OP_INPUT, names[s->leaf_count], type_of(s, dtype, shape));
    s->leaves[s->leaf_count++] = (SampleLeaf){node, fill, low, high};
    return node;
}

static Node *real(Sample *s, const Shape *shape)
{
    return leaf(s, s->real, shape, FILL_REAL, -2, 2);
}

static bool done(Sample *s, Node *result)
{
    s->result = result;
    s->refused = result == NULL ? s->graph->error : NULL;
    return true;
}

static bool node(Sample *s, OpCode op, Node **src, int count, const Attr *attr)
{
    return done(s, graph_node(s->graph, op, src, count, attr));
}

/* ---- leaves ---- */

static bool leaf_sample(Sample *s, OpCode op, int index)
{
    if (index >= SHAPES)
        return false;
    Node *made = build_leaf(s->graph, op, "a", type_of(s, s->real, &shapes[index]));
    s->leaves[s->leaf_count++] = (SampleLeaf){made, FILL_REAL, -2, 2};
    return done(s, made);
}

static bool sample_INPUT(Sample *s, int index)
{
    return leaf_sample(s, OP_INPUT, index);
}

static bool sample_PARAM(Sample *s, int index)
{
    return leaf_sample(s, OP_PARAM, index);
}

static bool sample_STATE(Sample *s, int index)
{
    return leaf_sample(s, OP_STATE, index);
}

static bool sample_CONST(Sample *s, int index)
{
    static const double values[] = {0, -0.0, 1.5, -2, INFINITY};
    return index < SHAPES &&
           done(s, build_const(s->graph, type_of(s, s->real, &shapes[index]), values[index % 5]));
}

static bool sample_LITERAL(Sample *s, int index)
{
    static const int64_t values[] = {3, -1, 0, 7, 1LL << 40, 5};
    Type type = {.dtype = DT_I64, .rank = 2};
    type.dims[0] = dim_const(s->graph->dims, index);
    type.dims[1] = dim_const(s->graph->dims, 2);
    Attr attr = {.kind = AT_LITERAL, .literal = {type, values, (size_t)index * 16}};
    return index <= 3 && node(s, OP_LITERAL, NULL, 0, &attr);
}

static bool sample_IOTA(Sample *s, int index)
{
    static const DType dtypes[] = {DT_I32, DT_F32, DT_I64, DT_F64};
    if (index >= SHAPES - 1)
        return false;
    Type type = type_of(s, dtypes[index % 4], &shapes[index + 1]);
    return done(s, build_iota(s->graph, type, index % type.rank));
}

static bool sample_DIM(Sample *s, int index)
{
    const Dim *dims[] = {s->free, dim_mul(s->graph->dims, s->free, s->free),
                         dim_const(s->graph->dims, 7)};
    if (index >= 3)
        return false;
    Attr attr = {.kind = AT_DIM, .shape = {1, {dims[index]}}};
    return node(s, OP_DIM, NULL, 0, &attr);
}

static bool sample_RANDOM(Sample *s, int index)
{
    if (index >= SHAPES)
        return false;
    Attr attr = {.kind = AT_RANDOM,
                 .random = {type_of(s, s->real, &shapes[index]), 17u + (uint32_t)index}};
    return node(s, OP_RANDOM, NULL, 0, &attr);
}

/* ---- elementwise ---- */

static bool unary(Sample *s, OpCode op, int index, Fill fill, double low, double high)
{
    if (index >= SHAPES)
        return false;
    return done(s, build_unary(s->graph, op, leaf(s, s->real, &shapes[index], fill, low, high)));
}

#define UNARY(e, fill, low, high)                                                                  \
    static bool sample_##e(Sample *s, int index)                                                   \
    {                                                                                              \
        return unary(s, OP_##e, index, fill, low, high);                                           \
    }
UNARY(NEG, FILL_REAL, -2, 2)
UNARY(ABS, FILL_AWAY, 0.2, 2)
UNARY(SIGN, FILL_AWAY, 0.2, 2)
UNARY(FLOOR, FILL_REAL, -5, 5)
UNARY(CEIL, FILL_REAL, -5, 5)
UNARY(ROUND, FILL_REAL, -5, 5)
UNARY(SQRT, FILL_REAL, 0.1, 3)
UNARY(EXP, FILL_REAL, -3, 3)
UNARY(LOG, FILL_REAL, 0.1, 5)
UNARY(LOG1P, FILL_REAL, -0.8, 3)
UNARY(EXPM1, FILL_REAL, -2, 2)
UNARY(TANH, FILL_REAL, -2, 2)
UNARY(SIN, FILL_REAL, -4, 4)
UNARY(COS, FILL_REAL, -4, 4)
UNARY(ERF, FILL_REAL, -2, 2)
UNARY(IS_NAN, FILL_REAL, -2, 2)
UNARY(STOP, FILL_REAL, -2, 2)

static bool sample_NOT(Sample *s, int index)
{
    if (index >= SHAPES)
        return false;
    DType dtype = index % 2 ? DT_I32 : DT_BOOL;
    return done(
        s, build_unary(s->graph, OP_NOT,
                       leaf(s, dtype, &shapes[index], index % 2 ? FILL_INDEX : FILL_BOOL, 0, 9)));
}

static bool sample_CONVERT(Sample *s, int index)
{
    static const DType to[] = {DT_F32, DT_F64, DT_I32, DT_I64};
    if (index >= 4 * SHAPES)
        return false;
    Node *x = leaf(s, s->real, &shapes[index / 4], FILL_REAL, -9, 9);
    return node(s, OP_CONVERT, &x, 1, &(Attr){.kind = AT_DTYPE, .dtype = to[index % 4]});
}

/* The operand of index-th shape as it is, or with some axes of size 1 repeated. */
static Node *broadcast(Sample *s, const Shape *shape, unsigned ones, DType dtype, Fill fill,
                       double low, double high)
{
    Shape small = *shape;
    for (int i = 0; i < shape->rank; i++)
        if (ones >> i & 1)
            small.dims[i] = 1;
    Type type = type_of(s, dtype, shape);
    return build_expand(s->graph, leaf(s, dtype, &small, fill, low, high), type.rank, type.dims);
}

typedef struct {
    Fill fill;
    double low, high;
} Domain;

static bool binary(Sample *s, OpCode op, int index, DType dtype, Domain x, Domain y)
{
    static const unsigned ones[][2] = {{0, 0}, {1, 0}, {0, 2}, {2, 5}};
    if (index >= 4 * SHAPES)
        return false;
    const Shape *shape = &shapes[index / 4];
    Node *left = broadcast(s, shape, ones[index % 4][0], dtype, x.fill, x.low, x.high);
    Node *right = broadcast(s, shape, ones[index % 4][1], dtype, y.fill, y.low, y.high);
    return done(s, build_binary(s->graph, op, left, right));
}

#define BINARY(e, fill_x, low_x, high_x, fill_y, low_y, high_y)                                    \
    static bool sample_##e(Sample *s, int index)                                                   \
    {                                                                                              \
        return binary(s, OP_##e, index, s->real, (Domain){fill_x, low_x, high_x},                  \
                      (Domain){fill_y, low_y, high_y});                                            \
    }
BINARY(ADD, FILL_REAL, -2, 2, FILL_REAL, -3, 1)
BINARY(SUB, FILL_REAL, -2, 2, FILL_REAL, -3, 1)
BINARY(MUL, FILL_REAL, -2, 2, FILL_REAL, -3, 1)
BINARY(DIV, FILL_REAL, -2, 2, FILL_AWAY, 0.5, 2)
BINARY(FLOORDIV, FILL_REAL, -9, 9, FILL_AWAY, 0.7, 2)
BINARY(MOD, FILL_REAL, -5, 5, FILL_AWAY, 0.7, 2)
BINARY(POW, FILL_REAL, 0.2, 2, FILL_REAL, -2, 3)
BINARY(MAX, FILL_REAL, -2, 2, FILL_REAL, -1.9, 2.2)
BINARY(MIN, FILL_REAL, -2, 2, FILL_REAL, -1.9, 2.2)
BINARY(EQ, FILL_REAL, -2, 2, FILL_REAL, -1.9, 2.2)
BINARY(NE, FILL_REAL, -2, 2, FILL_REAL, -1.9, 2.2)
BINARY(LT, FILL_REAL, -2, 2, FILL_REAL, -1.9, 2.2)
BINARY(LE, FILL_REAL, -2, 2, FILL_REAL, -1.9, 2.2)

#define LOGIC(e)                                                                                   \
    static bool sample_##e(Sample *s, int index)                                                   \
    {                                                                                              \
        Domain domain = {index % 3 ? FILL_BOOL : FILL_INDEX, 0, 200};                              \
        return binary(s, OP_##e, index,                                                            \
                      index % 3   ? DT_BOOL                                                        \
                      : index % 2 ? DT_U8                                                          \
                                  : DT_I64,                                                        \
                      domain, domain);                                                             \
    }
LOGIC(AND)
LOGIC(OR)
LOGIC(XOR)

static bool sample_SELECT(Sample *s, int index)
{
    static const unsigned ones[][3] = {{0, 0, 0}, {1, 0, 2}, {0, 3, 0}};
    if (index >= 3 * SHAPES)
        return false;
    const Shape *shape = &shapes[index / 3];
    Node *condition = broadcast(s, shape, ones[index % 3][0], DT_BOOL, FILL_BOOL, 0, 1);
    Node *x = broadcast(s, shape, ones[index % 3][1], s->real, FILL_REAL, -2, 2);
    Node *y = broadcast(s, shape, ones[index % 3][2], s->real, FILL_REAL, -3, 1);
    return done(s, build_select(s->graph, condition, x, y));
}

static bool sample_FMA(Sample *s, int index)
{
    static const unsigned ones[][3] = {{0, 0, 0}, {1, 0, 2}, {0, 3, 0}};
    if (index >= 3 * SHAPES)
        return false;
    Node *src[3];
    for (int i = 0; i < 3; i++)
        src[i] =
            broadcast(s, &shapes[index / 3], ones[index % 3][i], s->real, FILL_REAL, -2, 2 + i);
    return done(s, build_fma(s->graph, src[0], src[1], src[2]));
}

static bool sample_CHECK(Sample *s, int index)
{
    if (index >= SHAPES)
        return false;
    Node *x = real(s, &shapes[index]);
    Node *fine = build_binary(s->graph, OP_LT, x, build_const_like(s->graph, x, 99));
    return node(s, OP_CHECK, (Node *[]){x, fine}, 2,
                &(Attr){.kind = AT_CHECK, .check = {(ErrorCode)0, "too large"}});
}

/* ---- moves ---- */

static bool sample_RESHAPE(Sample *s, int index)
{
    static const Shape pairs[][2] = {
        {{1, {6}}, {2, {2, 3}}},          {{2, {2, 3}}, {1, {6}}},
        {{2, {2, 6}}, {2, {3, 4}}},       {{0, {0}}, {1, {1}}},
        {{3, {1, 1, 1}}, {0, {0}}},       {{2, {B, 4}}, {3, {B, 2, 2}}},
        {{2, {B, 4}}, {3, {2, B, 2}}},    {{3, {2, B, 3}}, {2, {6, B}}},
        {{1, {0}}, {2, {0, 5}}},          {{2, {0, 5}}, {3, {5, 0, 2}}},
        {{4, {2, 3, 2, 2}}, {2, {6, 4}}}, {{2, {6, 4}}, {4, {3, 2, 1, 4}}},
        {{2, {B, 1}}, {1, {B}}},          {{1, {B}}, {2, {1, B}}},
        {{1, {1}}, {4, {1, 1, 1, 1}}},    {{3, {4, 1, 2}}, {3, {1, 8, 1}}},
        {{2, {3, 5}}, {2, {5, 3}}},       {{5, {2, 1, 2, 1, 2}}, {3, {2, 2, 2}}},
        {{3, {B, 2, 3}}, {2, {B, 6}}},    {{1, {12}}, {4, {2, 1, 3, 2}}},
        {{2, {5, 1}}, {2, {1, 5}}},
    };
    if (index >= (int)(sizeof pairs / sizeof pairs[0]))
        return false;
    Type to = type_of(s, s->real, &pairs[index][1]);
    Attr attr = {.kind = AT_SHAPE, .shape = {.rank = to.rank}};
    memcpy(attr.shape.dims, to.dims, sizeof attr.shape.dims);
    Node *x = real(s, &pairs[index][0]);
    return node(s, OP_RESHAPE, &x, 1, &attr);
}

/* The index-th permutation of 0 .. n-1 in lexicographic order. */
static void nth_permutation(int n, int index, uint8_t *perm)
{
    uint8_t left[MAX_RANK];
    int total = 1;
    for (int i = 0; i < n; i++) {
        left[i] = (uint8_t)i;
        total *= i + 1;
    }
    index %= total;
    for (int i = 0; i < n; i++) {
        total /= n - i;
        int pick = index / total;
        index %= total;
        perm[i] = left[pick];
        memmove(left + pick, left + pick + 1, (size_t)(n - i - 1 - pick));
    }
}

static bool sample_PERMUTE(Sample *s, int index)
{
    if (index >= 4 * SHAPES)
        return false;
    const Shape *shape = &shapes[index / 4];
    Attr attr = {.kind = AT_PERM, .perm = {.count = shape->rank}};
    nth_permutation(shape->rank, 1 + index % 4 * 7, attr.perm.axis);
    Node *x = real(s, shape);
    return node(s, OP_PERMUTE, &x, 1, &attr);
}

static bool sample_EXPAND(Sample *s, int index)
{
    if (index >= 4 * SHAPES)
        return false;
    const Shape *shape = &shapes[index / 4];
    const unsigned ones = (unsigned)(index % 4 * 2 + 1);
    Shape small = *shape;
    Type type = type_of(s, s->real, shape);
    for (int i = 0; i < shape->rank; i++)
        small.dims[i] = ones >> i & 1 ? 1 : shape->dims[i];
    Attr attr = {.kind = AT_SHAPE, .shape = {.rank = type.rank}};
    memcpy(attr.shape.dims, type.dims, sizeof attr.shape.dims);
    Node *x = real(s, &small);
    return node(s, OP_EXPAND, &x, 1, &attr);
}

static bool sample_SLICE(Sample *s, int index)
{
    static const struct {
        Shape shape;
        int64_t start[3], limit[3], step[3];
    } cases[] = {
        {{1, {7}}, {0}, {7}, {1}},
        {{1, {7}}, {2}, {5}, {1}},
        {{1, {7}}, {0}, {7}, {2}},
        {{1, {7}}, {1}, {6}, {3}},
        {{1, {8}}, {1}, {8}, {3}},
        {{1, {7}}, {3}, {3}, {1}},
        {{1, {7}}, {6}, {7}, {5}},
        {{1, {0}}, {0}, {0}, {1}},
        {{1, {1}}, {0}, {1}, {1}},
        {{1, {1}}, {0}, {1}, {4}},
        {{1, {1}}, {1}, {1}, {2}},
        {{0, {0}}, {0}, {0}, {0}},
        {{2, {4, 6}}, {1, 2}, {3, 6}, {1, 2}},
        {{2, {B, 6}}, {0, 1}, {B, 5}, {1, 3}},
        {{2, {B, 6}}, {0, 0}, {B, 6}, {2, 1}},
        {{2, {3, B}}, {1, 0}, {2, B}, {1, 3}},
        {{3, {2, 3, 4}}, {0, 1, 0}, {2, 2, 4}, {1, 1, 3}},
        {{3, {2, B, 4}}, {1, 0, 1}, {2, B, 3}, {1, 2, 1}},
        {{2, {5, 1}}, {4, 0}, {5, 1}, {1, 1}},
        {{2, {5, 0}}, {0, 0}, {5, 0}, {2, 1}},
        {{3, {5, 5, 5}}, {0, 1, 2}, {5, 5, 5}, {2, 2, 2}},
        {{3, {1, 6, 1}}, {0, 5, 0}, {1, 6, 1}, {1, 1, 1}},
    };
    if (index >= (int)(sizeof cases / sizeof cases[0]))
        return false;
    Attr attr = {.kind = AT_SLICE, .slice = {.rank = cases[index].shape.rank}};
    for (int i = 0; i < attr.slice.rank; i++) {
        const int64_t limit = cases[index].limit[i];
        attr.slice.start[i] = dim_const(s->graph->dims, cases[index].start[i]);
        attr.slice.limit[i] = limit == B ? s->free : dim_const(s->graph->dims, limit);
        attr.slice.step[i] = cases[index].step[i];
    }
    Node *x = real(s, &cases[index].shape);
    return node(s, OP_SLICE, &x, 1, &attr);
}

static bool sample_PAD(Sample *s, int index)
{
    static const struct {
        Shape shape;
        int64_t low[3], high[3], interior[3];
    } cases[] = {
        {{1, {4}}, {1}, {2}, {0}},
        {{1, {4}}, {0}, {0}, {2}},
        {{1, {4}}, {1}, {0}, {1}},
        {{1, {4}}, {-1}, {0}, {0}},
        {{1, {5}}, {-1}, {-2}, {0}},
        {{1, {4}}, {-1}, {3}, {1}},
        {{1, {4}}, {2}, {-3}, {2}},
        {{1, {0}}, {2}, {1}, {0}},
        {{1, {0}}, {2}, {1}, {3}},
        {{1, {1}}, {1}, {1}, {3}},
        {{1, {1}}, {0}, {-1}, {0}},
        {{0, {0}}, {0}, {0}, {0}},
        {{2, {3, 4}}, {0, 1}, {2, 0}, {1, 0}},
        {{2, {B, 4}}, {0, -1}, {0, 2}, {0, 1}},
        {{2, {B, 4}}, {1, 0}, {2, 0}, {0, 0}},
        {{2, {3, B}}, {0, 1}, {0, 0}, {0, 2}},
        {{3, {2, 3, 4}}, {1, 0, -2}, {0, 1, 3}, {0, 2, 0}},
        {{3, {2, B, 4}}, {0, 3, 0}, {-1, 0, 0}, {0, 1, 0}},
        {{2, {5, 1}}, {-2, 1}, {-3, 1}, {0, 5}},
        {{2, {3, 0}}, {1, 1}, {1, 1}, {0, 0}},
        {{3, {1, 6, 1}}, {0, -3, 0}, {1, -3, 1}, {0, 0, 0}},
        {{1, {6}}, {-3}, {-2}, {1}},
    };
    if (index >= (int)(sizeof cases / sizeof cases[0]))
        return false;
    Attr attr = {.kind = AT_PAD, .pad = {.rank = cases[index].shape.rank}};
    for (int i = 0; i < attr.pad.rank; i++) {
        attr.pad.low[i] = dim_const(s->graph->dims, cases[index].low[i]);
        attr.pad.high[i] = dim_const(s->graph->dims, cases[index].high[i]);
        attr.pad.interior[i] = cases[index].interior[i];
    }
    Node *x = real(s, &cases[index].shape), *value = real(s, &shapes[0]);
    return node(s, OP_PAD, (Node *[]){x, value}, 2, &attr);
}

static bool sample_CONCAT(Sample *s, int index)
{
    static const int64_t sizes[][3] = {{2, 1, 3}, {1, 0, 2}, {0, 0, 0}, {4, 4, 1}};
    if (index >= 2 * (SHAPES - 1))
        return false;
    Shape shape = shapes[1 + index / 2];
    const int axis = index % shape.rank, count = 1 + index % 3;
    Node *src[3];
    for (int i = 0; i < count; i++) {
        shape.dims[axis] = shape.dims[axis] == B && i == 0 ? B : sizes[index % 4][i];
        src[i] = real(s, &shape);
    }
    return node(s, OP_CONCAT, src, count, &(Attr){.kind = AT_AXIS, .axis = axis});
}

/* The index-th pair of a shape of rank 1 or more and a set of axes of it; false: none. */
static bool shape_and_axes(int index, const Shape **shape, Axes *axes)
{
    for (int i = 0; i < SHAPES; i++) {
        const int sets = (1 << shapes[i].rank) - 1;
        if (index >= sets) {
            index -= sets;
            continue;
        }
        *shape = &shapes[i];
        *axes = (Axes){0};
        for (int axis = 0; axis < shapes[i].rank; axis++)
            if ((index + 1) >> axis & 1)
                axes->axis[axes->count++] = (uint8_t)axis;
        return true;
    }
    return false;
}

static bool sample_REVERSE(Sample *s, int index)
{
    const Shape *shape;
    Axes axes;
    if (!shape_and_axes(index, &shape, &axes))
        return false;
    Node *x = real(s, shape);
    return node(s, OP_REVERSE, &x, 1, &(Attr){.kind = AT_AXES, .axes = axes});
}

/* ---- reductions ---- */

static bool reduce(Sample *s, OpCode op, int index, DType dtype, Fill fill, double low, double high)
{
    const Shape *shape;
    Axes axes;
    if (!shape_and_axes(index, &shape, &axes))
        return false;
    Node *x = leaf(s, dtype, shape, fill, low, high);
    return node(s, op, &x, 1, &(Attr){.kind = AT_AXES, .axes = axes});
}

#define REDUCE(e, low, high)                                                                       \
    static bool sample_##e(Sample *s, int index)                                                   \
    {                                                                                              \
        return reduce(s, OP_##e, index, s->real, FILL_REAL, low, high);                            \
    }
REDUCE(SUM, -2, 2)
REDUCE(PROD, 0.7, 1.4)
REDUCE(AMAX, -2, 2)
REDUCE(AMIN, -2, 2)

static bool sample_ALL(Sample *s, int index)
{
    return reduce(s, OP_ALL, index, DT_BOOL, FILL_BOOL, 0, 1);
}

static bool sample_ANY(Sample *s, int index)
{
    return reduce(s, OP_ANY, index, DT_BOOL, FILL_BOOL, 0, 1);
}

/* Every axis of every shape; `empty`: axes that may have no elements too. */
static bool along_axis(Sample *s, OpCode op, int index, bool empty)
{
    for (int i = 0; i < SHAPES; i++)
        for (int axis = 0; axis < shapes[i].rank; axis++) {
            if ((!empty && shapes[i].dims[axis] <= 0) || index-- > 0)
                continue;
            return done(s, build_axis_op(s->graph, op, real(s, &shapes[i]), axis));
        }
    return false;
}

static bool sample_ARGMAX(Sample *s, int index)
{
    return along_axis(s, OP_ARGMAX, index, false);
}

static bool sample_ARGMIN(Sample *s, int index)
{
    return along_axis(s, OP_ARGMIN, index, false);
}

static bool sample_CUMSUM(Sample *s, int index)
{
    return along_axis(s, OP_CUMSUM, index, true);
}

/* Irregular values: no two of a row are equal. */
static bool sample_ARGSORT(Sample *s, int index)
{
    return along_axis(s, OP_ARGSORT, index, true);
}

/* ---- contractions ---- */

static bool sample_DOT(Sample *s, int index)
{
    static const struct {
        Shape x, y;
        Axes batch_x, batch_y, contract_x, contract_y;
    } cases[] = {
        {{2, {3, 4}}, {2, {4, 5}}, {0, {0}}, {0, {0}}, {1, {1}}, {1, {0}}},
        {{2, {3, 4}}, {2, {5, 4}}, {0, {0}}, {0, {0}}, {1, {1}}, {1, {1}}},
        {{2, {4, 3}}, {2, {4, 5}}, {0, {0}}, {0, {0}}, {1, {0}}, {1, {0}}},
        {{2, {4, 3}}, {2, {5, 4}}, {0, {0}}, {0, {0}}, {1, {0}}, {1, {1}}},
        {{1, {4}}, {1, {4}}, {0, {0}}, {0, {0}}, {1, {0}}, {1, {0}}},
        {{1, {4}}, {1, {3}}, {0, {0}}, {0, {0}}, {0, {0}}, {0, {0}}},
        {{1, {4}}, {2, {3, 4}}, {0, {0}}, {0, {0}}, {1, {0}}, {1, {1}}},
        {{2, {B, 4}}, {2, {5, 4}}, {0, {0}}, {0, {0}}, {1, {1}}, {1, {1}}},
        {{2, {B, 4}}, {2, {B, 5}}, {0, {0}}, {0, {0}}, {1, {0}}, {1, {0}}},
        {{3, {2, 3, 4}}, {3, {2, 4, 5}}, {1, {0}}, {1, {0}}, {1, {2}}, {1, {1}}},
        {{3, {2, 3, 4}}, {3, {4, 5, 2}}, {1, {0}}, {1, {2}}, {1, {2}}, {1, {0}}},
        {{3, {3, 2, 4}}, {3, {2, 5, 4}}, {1, {1}}, {1, {0}}, {1, {2}}, {1, {2}}},
        {{3, {2, 3, 4}}, {3, {3, 4, 5}}, {0, {0}}, {0, {0}}, {2, {1, 2}}, {2, {0, 1}}},
        {{3, {2, 3, 4}}, {3, {4, 5, 3}}, {0, {0}}, {0, {0}}, {2, {2, 1}}, {2, {0, 2}}},
        {{4, {2, 3, B, 4}}, {4, {2, 3, B, 4}}, {2, {0, 1}}, {2, {0, 1}}, {1, {3}}, {1, {3}}},
        {{4, {2, B, 3, 4}}, {4, {B, 2, 5, 4}}, {2, {0, 1}}, {2, {1, 0}}, {1, {3}}, {1, {3}}},
        {{4, {2, B, 3, 4}}, {4, {B, 2, 5, 4}}, {2, {1, 0}}, {2, {0, 1}}, {1, {3}}, {1, {3}}},
        {{2, {0, 4}}, {2, {4, 5}}, {0, {0}}, {0, {0}}, {1, {1}}, {1, {0}}},
        {{2, {3, 0}}, {2, {0, 5}}, {0, {0}}, {0, {0}}, {1, {1}}, {1, {0}}},
        {{2, {1, 1}}, {2, {1, 1}}, {0, {0}}, {0, {0}}, {1, {1}}, {1, {0}}},
        {{2, {3, 4}}, {2, {3, 4}}, {2, {0, 1}}, {2, {0, 1}}, {0, {0}}, {0, {0}}},
        {{2, {3, 4}}, {2, {4, 3}}, {0, {0}}, {0, {0}}, {2, {0, 1}}, {2, {1, 0}}},
        {{3, {B, 2, 3}}, {2, {3, 5}}, {0, {0}}, {0, {0}}, {1, {2}}, {1, {0}}},
        {{2, {5, 3}}, {3, {B, 3, 2}}, {0, {0}}, {0, {0}}, {1, {1}}, {1, {1}}},
    };
    if (index >= (int)(sizeof cases / sizeof cases[0]))
        return false;
    Node *x = real(s, &cases[index].x), *y = real(s, &cases[index].y);
    return done(s, build_dot(s->graph, x, y, cases[index].batch_x, cases[index].batch_y,
                             cases[index].contract_x, cases[index].contract_y));
}

typedef struct {
    int spatial;
    int64_t groups, batch, channels, out;
    int64_t size[3], taps[3], stride[3], low[3], high[3], dilate_x[3], dilate_y[3];
} ConvCase;

static const ConvCase conv_cases[] = {
    {1, 1, 2, 3, 2, {5}, {3}, {1}, {0}, {0}, {1}, {1}},
    {1, 1, 2, 3, 2, {5}, {3}, {1}, {1}, {1}, {1}, {1}},
    {1, 1, 2, 1, 2, {6}, {3}, {2}, {0}, {0}, {1}, {1}}, /* a row left over */
    {1, 1, 2, 2, 1, {7}, {2}, {3}, {1}, {0}, {1}, {1}},
    {1, 1, 1, 2, 2, {8}, {3}, {1}, {0}, {2}, {1}, {2}},
    {1, 1, 1, 2, 2, {4}, {3}, {1}, {2}, {2}, {2}, {1}}, /* transposed */
    {1, 1, 1, 2, 2, {4}, {3}, {3}, {2}, {1}, {2}, {2}},
    {1, 2, 2, 2, 3, {5}, {2}, {1}, {0}, {1}, {1}, {1}},
    {1, 3, 1, 1, 1, {5}, {3}, {2}, {1}, {1}, {1}, {1}}, /* depthwise */
    {1, 1, 2, 2, 2, {6}, {2}, {1}, {-1}, {-2}, {1}, {1}},
    {1, 1, 2, 2, 2, {5}, {3}, {2}, {-1}, {3}, {2}, {1}},
    {1, 1, 1, 1, 1, {1}, {1}, {1}, {0}, {0}, {1}, {1}},
    {1, 1, B, 2, 3, {5}, {3}, {1}, {1}, {1}, {1}, {1}},
    {1, 1, 0, 2, 3, {5}, {3}, {1}, {0}, {0}, {1}, {1}},
    {1, 1, 2, 0, 3, {5}, {3}, {1}, {0}, {0}, {1}, {1}},
    {1, 1, 1, 2, 3, {B}, {1}, {1}, {1}, {0}, {1}, {1}},
    {1, 1, 1, 2, 3, {B}, {3}, {2}, {1}, {1}, {1}, {1}},
    {1, 1, 2, 1, 2, {B}, {2}, {3}, {2}, {2}, {2}, {1}},
    {2, 1, B, 2, 2, {4, 5}, {3, 2}, {1, 2}, {1, 0}, {1, 1}, {1, 1}, {1, 1}},
    {2, 1, B, 1, 2, {5, 5}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 2, 1, 2, 1, {4, 3}, {2, 3}, {1, 1}, {0, 2}, {1, 1}, {1, 2}, {2, 1}},
    {2, 1, 2, 1, 1, {6, 4}, {2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},
    {2, 1, 1, 2, 1, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}},
    {2, 1, 1, 1, 1, {3, 3}, {5, 5}, {1, 1}, {2, 2}, {2, 2}, {1, 1}, {1, 1}}, /* taps outside */
    {3, 1, 1, 1, 2, {3, 3, 2}, {2, 2, 2}, {1, 2, 1}, {0, 1, 0}, {0, 0, 1}, {1, 1, 1}, {1, 1, 1}},
    {3, 2, B, 1, 1, {3, 2, 3}, {2, 1, 2}, {1, 1, 2}, {1, 0, 0}, {0, 0, 1}, {1, 2, 1}, {2, 1, 1}},
};

static bool sample_CONV(Sample *s, int index)
{
    if (index >= (int)(sizeof conv_cases / sizeof conv_cases[0]))
        return false;
    const ConvCase *c = &conv_cases[index];
    Shape x = {c->spatial + 3, {c->groups, c->batch}}, w = {c->spatial + 3, {c->groups}};
    Attr attr = {.kind = AT_CONV, .conv = {.spatial = c->spatial}};
    for (int i = 0; i < c->spatial; i++) {
        x.dims[2 + i] = c->size[i];
        w.dims[1 + i] = c->taps[i];
        attr.conv.stride[i] = c->stride[i];
        attr.conv.pad_low[i] = dim_const(s->graph->dims, c->low[i]);
        attr.conv.pad_high[i] = dim_const(s->graph->dims, c->high[i]);
        attr.conv.dilate_x[i] = c->dilate_x[i];
        attr.conv.dilate_y[i] = c->dilate_y[i];
    }
    x.dims[c->spatial + 2] = w.dims[c->spatial + 1] = c->channels;
    w.dims[c->spatial + 2] = c->out;
    Node *image = real(s, &x), *filter = real(s, &w);
    return node(s, OP_CONV, (Node *[]){image, filter}, 2, &attr);
}

/* ---- windows ---- */

static bool window(Sample *s, OpCode op, int index)
{
    static const struct {
        Shape shape;
        int64_t size[4], stride[4], dilate[4], low[4], high[4];
    } cases[] = {
        {{1, {6}}, {2}, {2}, {1}, {0}, {0}},
        {{1, {7}}, {2}, {2}, {1}, {0}, {0}},
        {{1, {7}}, {2}, {3}, {1}, {0}, {0}},
        {{1, {7}}, {3}, {1}, {1}, {0}, {0}},
        {{1, {7}}, {3}, {2}, {1}, {1}, {1}},
        {{1, {8}}, {3}, {2}, {2}, {0}, {1}},
        {{1, {6}}, {2}, {2}, {1}, {1}, {1}},
        {{1, {7}}, {2}, {2}, {1}, {-1}, {0}},
        {{1, {7}}, {3}, {1}, {1}, {-1}, {-2}},
        {{1, {1}}, {1}, {1}, {1}, {0}, {0}},
        {{1, {5}}, {1}, {2}, {1}, {0}, {0}},
        {{2, {0, 4}}, {1, 2}, {1, 2}, {1, 1}, {0, 0}, {0, 0}},
        {{2, {B, 6}}, {1, 3}, {1, 3}, {1, 1}, {0, 0}, {0, 0}},
        {{2, {B, 6}}, {1, 3}, {1, 2}, {1, 1}, {0, 1}, {0, 1}},
        {{2, {5, 4}}, {2, 2}, {2, 2}, {1, 1}, {0, 0}, {0, 0}},
        {{2, {5, 4}}, {2, 3}, {1, 1}, {1, 1}, {1, 0}, {0, 1}},
        {{3, {2, 4, 3}}, {1, 2, 1}, {1, 2, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
        {{3, {2, 4, 3}}, {2, 2, 2}, {1, 2, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
        {{4, {B, 2, 4, 4}}, {1, 1, 2, 2}, {1, 1, 2, 2}, {1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}},
        {{4, {B, 2, 5, 5}}, {1, 1, 2, 2}, {1, 1, 2, 2}, {1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}},
        {{4, {2, 5, 5, 2}}, {1, 3, 3, 1}, {1, 2, 2, 1}, {1, 1, 1, 1}, {0, 1, 1, 0}, {0, 1, 1, 0}},
        {{4, {1, 4, 6, 2}}, {1, 2, 2, 1}, {1, 2, 3, 1}, {1, 1, 1, 1}, {0, 1, 0, 0}, {0, 1, 0, 0}},
        {{2, {3, B}}, {2, 1}, {1, 2}, {1, 1}, {0, 0}, {0, 0}},
    };
    if (index >= (int)(sizeof cases / sizeof cases[0]))
        return false;
    Attr attr = {.kind = AT_WINDOW, .window = {.rank = cases[index].shape.rank}};
    for (int i = 0; i < attr.window.rank; i++) {
        attr.window.size[i] = cases[index].size[i];
        attr.window.stride[i] = cases[index].stride[i];
        attr.window.dilate[i] = cases[index].dilate[i];
        attr.window.pad_low[i] = dim_const(s->graph->dims, cases[index].low[i]);
        attr.window.pad_high[i] = dim_const(s->graph->dims, cases[index].high[i]);
    }
    Node *x = real(s, &cases[index].shape);
    return node(s, op, &x, 1, &attr);
}

static bool sample_WINDOW_SUM(Sample *s, int index)
{
    return window(s, OP_WINDOW_SUM, index);
}

static bool sample_WINDOW_MAX(Sample *s, int index)
{
    return window(s, OP_WINDOW_MAX, index);
}

static bool sample_WINDOW_ARGMAX(Sample *s, int index)
{
    return window(s, OP_WINDOW_ARGMAX, index);
}

/* ---- indices ---- */

typedef struct {
    Shape x, index;
    int axis;
} IndexCase;

static const IndexCase index_cases[] = {
    {{1, {5}}, {1, {3}}, 0},          {{1, {5}}, {0, {0}}, 0},
    {{1, {5}}, {2, {2, 3}}, 0},       {{1, {1}}, {1, {4}}, 0},
    {{2, {5, 3}}, {1, {4}}, 0},       {{2, {5, 3}}, {1, {4}}, 1},
    {{2, {5, 3}}, {2, {B, 2}}, 0},    {{2, {5, 3}}, {2, {B, 2}}, 1},
    {{2, {5, 0}}, {1, {4}}, 0},       {{2, {5, 3}}, {1, {0}}, 0},
    {{2, {B, 4}}, {1, {2}}, 1},       {{2, {B, 4}}, {0, {0}}, 1},
    {{3, {2, 5, 3}}, {1, {4}}, 0},    {{3, {2, 5, 3}}, {1, {4}}, 1},
    {{3, {2, 5, 3}}, {1, {4}}, 2},    {{3, {2, 5, 3}}, {0, {0}}, 1},
    {{3, {2, 5, 3}}, {2, {1, 2}}, 1}, {{3, {B, 5, 3}}, {1, {B}}, 1},
    {{2, {1, 1}}, {1, {1}}, 0},       {{2, {1, 1}}, {2, {2, 0}}, 1},
    {{2, {7, 2}}, {1, {9}}, 0},       {{4, {2, 3, 2, 2}}, {1, {3}}, 2},
};

enum { INDEX_CASES = sizeof index_cases / sizeof index_cases[0] };

static Node *index_leaf(Sample *s, int index)
{
    const IndexCase *c = &index_cases[index];
    return leaf(s, index % 2 ? DT_I64 : DT_I32, &c->index, FILL_INDEX, 0,
                (double)c->x.dims[c->axis]);
}

static bool sample_GATHER(Sample *s, int index)
{
    if (index >= INDEX_CASES)
        return false;
    Node *x = real(s, &index_cases[index].x);
    return done(s, build_gather(s->graph, x, index_leaf(s, index), index_cases[index].axis));
}

static bool sample_SCATTER_ADD(Sample *s, int index)
{
    if (index >= INDEX_CASES)
        return false;
    const IndexCase *c = &index_cases[index];
    Shape update = {0, {0}};
    for (int i = 0; i < c->axis; i++)
        update.dims[update.rank++] = c->x.dims[i];
    for (int i = 0; i < c->index.rank; i++)
        update.dims[update.rank++] = c->index.dims[i];
    for (int i = c->axis + 1; i < c->x.rank; i++)
        update.dims[update.rank++] = c->x.dims[i];
    Node *x = real(s, &c->x), *rows = index_leaf(s, index), *updates = real(s, &update);
    return done(s, build_scatter_add(s->graph, x, rows, updates, c->axis));
}

/* ---- loops and branches ---- */

/* One loop or branch being written: what it computes depends on the operation to be sampled. */
typedef struct {
    Sample *s;
    Graph *g;
    uint32_t loop;
    const Dim *length;
    Type type;   /* of an element of the sequence */
    Node *x, *w; /* the sequence, and something captured */
    bool reverse, recompute;
} LoopSample;

enum { LOOP_SAMPLES = 4 * (SHAPES - 2) };

/* Sequences of every shape that leaves room for an axis, of 3, B, 1 and 0 elements. */
static LoopSample loop_sample(Sample *s, int index)
{
    static const int64_t lengths[] = {3, B, 1, 0};
    const Shape *shape = &shapes[index / 4];
    LoopSample l = {.s = s, .g = s->graph, .type = type_of(s, s->real, shape)};
    Shape sequence = {.rank = shape->rank + 1};
    sequence.dims[0] = lengths[index % 4];
    memcpy(sequence.dims + 1, shape->dims, sizeof *shape->dims * (size_t)shape->rank);
    l.reverse = index / 2 % 2;
    l.recompute = index / 3 % 2;
    l.x = leaf(s, s->real, &sequence, FILL_REAL, -1, 1);
    l.w = leaf(s, s->real, shape, FILL_REAL, -1.5, 1);
    l.length = l.x->type.dims[0];
    l.loop = graph_next_loop(s->graph);
    return l;
}

static Node *close_sample(LoopSample *l, Node *init, Node *next)
{
    LoopAttr attr = {l->loop, l->length, .reverse = l->reverse, .recompute = l->recompute};
    return build_loop(l->g, attr, &init, &next, 1);
}

/* h = tanh(h * w + x[t]), from the second leaf. */
static Node *recurrence(LoopSample *l, Node **next)
{
    Node *h = build_carry(l->g, l->loop, 0, l->type);
    *next = build_unary(l->g, OP_TANH,
                        build_binary(l->g, OP_ADD, build_binary(l->g, OP_MUL, h, l->w),
                                     build_at(l->g, l->loop, l->x)));
    return close_sample(l, l->w, *next);
}

static bool sample_CARRY(Sample *s, int index)
{
    Node *next;
    if (index >= LOOP_SAMPLES)
        return false;
    LoopSample l = loop_sample(s, index);
    return done(s, build_final(s->graph, recurrence(&l, &next), 0));
}

static bool sample_FINAL(Sample *s, int index)
{
    return sample_CARRY(s, index);
}

static bool sample_STACK(Sample *s, int index)
{
    Node *next;
    if (index >= LOOP_SAMPLES)
        return false;
    LoopSample l = loop_sample(s, index);
    Node *loop = recurrence(&l, &next);
    return done(s, build_stack(s->graph, loop, next));
}

/* Two values that change places, kept before they do; the loop has a loop inside. */
static bool sample_LOOP(Sample *s, int index)
{
    if (index >= LOOP_SAMPLES)
        return false;
    LoopSample l = loop_sample(s, index);
    Graph *g = s->graph;
    uint32_t inner = graph_next_loop(g);
    Node *a = build_carry(g, l.loop, 0, l.type), *b = build_carry(g, l.loop, 1, l.type);
    Node *c = build_carry(g, inner, 0, l.type), *slice = build_at(g, l.loop, l.x);
    Node *next =
        build_binary(g, OP_ADD, build_unary(g, OP_SIN, c), build_binary(g, OP_MUL, b, l.w));
    Node *within = build_loop(g, (LoopAttr){inner, dim_const(g->dims, 2), .reverse = !l.reverse},
                              &slice, &next, 1);
    Node *last = build_final(g, within, 0), *kept = build_stack(g, within, next);
    Node *loop =
        build_loop(g, (LoopAttr){l.loop, l.length, .reverse = l.reverse, .recompute = l.recompute},
                   (Node *[]){l.w, l.w}, (Node *[]){b, build_binary(g, OP_MUL, a, last)}, 2);
    Node *sum = build_reduce(g, OP_SUM, build_stack(g, loop, kept), axes_range(0, 2));
    return done(s, build_binary(g, OP_ADD, sum, build_final(g, loop, 1)));
}

/* A loop without carries. */
static bool sample_AT(Sample *s, int index)
{
    if (index >= LOOP_SAMPLES)
        return false;
    LoopSample l = loop_sample(s, index);
    Node *y = build_binary(l.g, OP_MUL, build_at(l.g, l.loop, l.x), l.w);
    Node *loop = build_loop(l.g, (LoopAttr){l.loop, l.length, .reverse = l.reverse}, NULL, NULL, 0);
    return done(s, build_stack(l.g, loop, y));
}

/* One side multiplies twice in a loop, the other takes the sine. */
static bool sample_BRANCH(Sample *s, int index)
{
    if (index >= 2 * SHAPES)
        return false;
    Graph *g = s->graph;
    uint32_t branch = graph_next_loop(g), loop = graph_next_loop(g);
    Node *x = real(s, &shapes[index / 2]), *w = real(s, &shapes[index / 2]);
    Node *condition = build_const(g, (Type){.dtype = DT_BOOL}, index % 2);
    Node *h = build_carry(g, loop, 0, x->type);
    Node *first = build_enter(g, branch, SIDE_THEN, x);
    Node *next = build_binary(g, OP_MUL, h, build_enter(g, branch, SIDE_THEN, w));
    Node *twice =
        build_loop(g, (LoopAttr){.id = loop, .length = dim_const(g->dims, 2)}, &first, &next, 1);
    Node *then = build_final(g, twice, 0);
    Node *other = build_unary(g, OP_SIN, build_enter(g, branch, SIDE_ELSE, x));
    Node *token =
        build_branch(g, branch, condition, (Node *[]){then, first}, (Node *[]){other, w}, 2);
    return done(s, build_binary(g, OP_ADD, build_final(g, token, 0), build_final(g, token, 1)));
}

static bool sample_ENTER(Sample *s, int index)
{
    return sample_BRANCH(s, index);
}

static bool sample_CALL(Sample *s, int index)
{
    if (index >= 2)
        return false;
    Node *x = real(s, &shapes[5]);
    Attr attr = {.kind = AT_CALL, .call = {"host_function", x->type}};
    return node(s, OP_CALL, &x, 1, &attr);
}

/* ---- the table, and data ---- */

OpSample *const op_samples[OP_COUNT] = {
#define OP(e, text, lo, hi, cls, attr, flags, shape, grad, doc) [OP_##e] = sample_##e,
#include "compiler/graph/ops.def"
};

static double real_value(const SampleLeaf *leaf, uint32_t seed, int64_t i)
{
    const double golden = 0.6180339887498949;
    double unit = ((double)i + 1) * golden + (double)seed * 0.37;
    unit -= floor(unit);
    double value = leaf->low + (leaf->high - leaf->low) * unit;
    return leaf->fill == FILL_AWAY && (i * 5 + seed) % 3 == 0 ? -value : value;
}

static int64_t whole_value(const SampleLeaf *leaf, uint32_t seed, int64_t i)
{
    if (leaf->fill == FILL_INDEX)
        return (i * 7 + seed) % (int64_t)leaf->high;
    return leaf->fill == FILL_BOOL ? (i * 7 + seed) % 3 % 2 : 0;
}

void sample_fill(const SampleLeaf *leaf, uint32_t seed, int64_t elements, void *data)
{
    for (int64_t i = 0; i < elements; i++) {
        const int64_t whole = whole_value(leaf, seed, i);
        const double real = real_value(leaf, seed, i);
        const DType dtype = leaf->node->type.dtype;
        const bool floats = dtype_is_float(dtype);
        scalar_convert(floats ? DT_F64 : DT_I64, dtype,
                       floats ? (const void *)&real : (const void *)&whole,
                       (char *)data + (size_t)i * dtype_bytes(dtype), 1);
    }
}
