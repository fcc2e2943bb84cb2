/* Random graphs (random_graph.h). A pool of nodes grows by operations drawn at random; an operand
 * of a given type is one of the pool or a new leaf. What a shape rule refuses is simply not added.
 */
#include "tests/support/random_maker.h"

#include "compiler/graph/build.h"
#include "compiler/graph/op.h"
#include "runtime/base/bug.h"
#include "runtime/base/rng.h"
#include "runtime/base/scalar.h"

#include <math.h>
#include <string.h>

enum { LARGEST_B = 8, MOST_AXES = 5 };

static uint64_t draw(Maker *m, uint64_t limit)
{
    uint64_t counter = m->draws++;
    return rng_hash(&counter, sizeof counter, m->seed) % limit;
}

static bool chance(Maker *m, int percent)
{
    return (int)draw(m, 100) < percent;
}

static const Dim *constant(Maker *m, int64_t value)
{
    return dim_const(m->g->dims, value);
}

/* The value of a dim at B = LARGEST_B. */
static int64_t size_of(Maker *m, const Dim *dim)
{
    int64_t values[64];
    NNC_ASSERT(dim_symbol_count(m->g->dims) <= 64);
    for (int i = 0; i < 64; i++)
        values[i] = LARGEST_B;
    return dim == NULL ? INT64_MAX : dim_eval(dim, values);
}

static bool small_enough(Maker *m, const Type *type)
{
    int64_t count = 1;
    for (int i = 0; i < type->rank; i++) {
        int64_t size = size_of(m, type->dims[i]);
        if (size < 0 || (size > 0 && count > m->max_elements / size))
            return false;
        count *= size == 0 ? 1 : size;
    }
    return true;
}

/* Puts a node into the pool; NULL and too large ones stay out. */
static Node *keep(Maker *m, Node *node)
{
    if (node == NULL || !small_enough(m, &node->type))
        return NULL;
    vec_push(m->g->arena, &m->pool, node);
    return node;
}

/* Leaves and operands */

static const Dim *random_size(Maker *m)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 16, 33};
    if (chance(m, 3))
        return constant(m, 0);
    if (m->options->free_symbol && chance(m, 25))
        return dim_symbol(m->g->dims, "B");
    return constant(m, sizes[draw(m, sizeof sizes)]);
}

static DType random_dtype(Maker *m)
{
    static const DType dtypes[] = {DT_F32, DT_F32, DT_F32, DT_F32, DT_F64,
                                   DT_I32, DT_I64, DT_U8,  DT_BOOL};
    static const DType with_small[] = {DT_F32, DT_BF16, DT_F16, DT_BF16, DT_F16, DT_F64,
                                       DT_I32, DT_I8,   DT_I8,  DT_U8,   DT_BOOL};
    DType dtype = m->options->small_types
                      ? with_small[draw(m, sizeof with_small / sizeof *with_small)]
                      : dtypes[draw(m, sizeof dtypes / sizeof *dtypes)];
    return dtype == DT_F64 && m->options->only_f32 ? DT_F32 : dtype;
}

static Type random_type(Maker *m, DType dtype)
{
    Type type = {.dtype = dtype, .rank = (int)draw(m, MOST_AXES + 1)};
    for (int i = 0; i < type.rank; i++)
        type.dims[i] = random_size(m);
    while (!small_enough(m, &type))
        type.rank--;
    return type;
}

/* A new value inside of branches has come through them all. */
static Node *enter_sides(Maker *m, Node *node)
{
    for (int i = 0; i < m->side_count; i++)
        node = build_enter(m->g, m->sides[i].branch, m->sides[i].side, node);
    return node;
}

static Node *new_leaf(Maker *m, Type type)
{
    static const OpCode kinds[] = {OP_INPUT, OP_INPUT, OP_INPUT, OP_PARAM, OP_STATE};
    const char *name = arena_format(m->g->arena, "in%d", m->leaves++);
    return keep(m, enter_sides(m, build_leaf(m->g, kinds[draw(m, 5)], name, type)));
}

static bool sizes_known(const Type *type)
{
    for (int i = 0; i < type->rank; i++)
        if (!dim_is_const(type->dims[i], NULL))
            return false;
    return true;
}

static Node *new_literal(Maker *m, Type type)
{
    int64_t count = random_elements(&type, NULL);
    RandomData data = {m->g->arena, NULL, draw(m, 1 << 20), false};
    Node leaf = {
        .op = OP_INPUT, .type = type, .attr = {.kind = AT_LEAF, .leaf = {"literal", type}}};
    const void *values = random_leaf(&data, &leaf);
    Attr attr = {.kind = AT_LITERAL,
                 .literal = {type, values, (size_t)count * dtype_bytes(type.dtype)}};
    return graph_node(m->g, OP_LITERAL, NULL, 0, &attr);
}

/* A constant, iota, random tensor, literal or leaf of a type. */
static Node *new_operand(Maker *m, Type type)
{
    uint32_t site = (uint32_t)draw(m, 1000);
    switch (draw(m, 8)) {
    case 0:
        return keep(m, build_const(m->g, type, (double)draw(m, 2)));
    case 1:
        if (type.rank > 0 && type.dtype != DT_BOOL)
            return keep(m, build_iota(m->g, type, (int)draw(m, (uint64_t)type.rank)));
        break;
    case 2:
        if (dtype_is_float(type.dtype))
            return keep(
                m, enter_sides(m, graph_node(m->g, OP_RANDOM, NULL, 0,
                                             &(Attr){.kind = AT_RANDOM, .random = {type, site}})));
        break;
    case 3:
        if (sizes_known(&type))
            return keep(m, enter_sides(m, new_literal(m, type)));
        break;
    default:
        break;
    }
    return new_leaf(m, type);
}

static Node *operand_like(Maker *m, Type type)
{
    for (int tries = 0; tries < 12; tries++) {
        Node *node = m->pool.data[draw(m, m->pool.count)];
        if (type_equal(&node->type, &type))
            return node;
    }
    return new_operand(m, type);
}

typedef enum { WANT_ANY, WANT_NUMBER, WANT_FLOAT, WANT_LOGIC, WANT_BOOL, WANT_INTEGER } Want;

static bool wanted(DType dtype, Want want)
{
    bool flags[] = {true,
                    dtype != DT_BOOL,
                    dtype_is_float(dtype),
                    !dtype_is_float(dtype),
                    dtype == DT_BOOL,
                    dtype == DT_I32 || dtype == DT_I64};
    return flags[want];
}

/* A node of the pool with a wanted dtype and at least `rank` axes, or a new one. */
static Node *operand(Maker *m, Want want, int rank)
{
    for (int tries = 0; tries < 10; tries++) {
        uint32_t recent =
            m->pool.count > 6 && chance(m, 50) ? m->pool.count - 6 : 0; /* for depth */
        Node *node = m->pool.data[recent + draw(m, m->pool.count - recent)];
        if (wanted(node->type.dtype, want) && node->type.rank >= rank)
            return node;
    }
    DType dtype = random_dtype(m);
    while (!wanted(dtype, want))
        dtype = random_dtype(m);
    Type type = random_type(m, dtype);
    while (type.rank < rank)
        type.dims[type.rank++] = constant(m, 1 + (int64_t)draw(m, 3));
    return new_operand(m, type);
}

static int random_axis(Maker *m, const Node *x)
{
    return (int)draw(m, (uint64_t)x->type.rank);
}

static Axes random_axes(Maker *m, const Node *x)
{
    Axes axes = {0};
    for (int i = 0; i < x->type.rank; i++)
        if (chance(m, 50))
            axes.axis[axes.count++] = (uint8_t)i;
    return axes.count > 0 ? axes : axes_one(random_axis(m, x));
}

/* Elementwise */

static Want wanted_by(OpCode op)
{
    static const OpCode floats[] = {OP_FLOOR,  OP_CEIL,  OP_ROUND, OP_SQRT, OP_EXP, OP_LOG,
                                    OP_LOG1P,  OP_EXPM1, OP_TANH,  OP_SIN,  OP_COS, OP_ERF,
                                    OP_IS_NAN, OP_DIV,   OP_POW,   OP_FMA};
    static const OpCode any[] = {OP_CONVERT, OP_STOP, OP_EQ,     OP_NE,
                                 OP_LT,      OP_LE,   OP_SELECT, OP_CHECK};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (op == floats[i])
            return WANT_FLOAT;
    for (size_t i = 0; i < sizeof any / sizeof *any; i++)
        if (op == any[i])
            return WANT_ANY;
    return op == OP_NOT || op == OP_AND || op == OP_OR || op == OP_XOR ? WANT_LOGIC : WANT_NUMBER;
}

static Node *true_like(Maker *m, const Node *x)
{
    Type type = x->type;
    type.dtype = DT_I32;
    if (chance(m, 20))
        type.rank = 0;
    Node *number = operand_like(m, type);
    return build_binary(m->g, OP_EQ, number, number);
}

static Node *make_elementwise(Maker *m, OpCode op)
{
    Node *x = operand(m, wanted_by(op), 0), *y = x, *z = x;
    Type flags = x->type;
    flags.dtype = DT_BOOL;
    if (op == OP_CONVERT)
        return build_convert(m->g, x, random_dtype(m));
    if (op == OP_CHECK) {
        y = m->options->may_fail ? operand_like(m, flags) : true_like(m, x);
        Attr attr = {.kind = AT_CHECK, .check = {(ErrorCode)0, "random check"}};
        return graph_node(m->g, op, (Node *[]){x, y}, 2, &attr);
    }
    if (op_info[op].max > 1)
        y = operand_like(m, x->type);
    if (op_info[op].max > 2)
        z = operand_like(m, x->type);
    if (op == OP_SELECT)
        return build_select(m->g, operand_like(m, flags), y, z);
    if ((op == OP_FLOORDIV || op == OP_MOD) && !dtype_is_float(x->type.dtype) &&
        !m->options->may_fail)
        y = build_binary(m->g, OP_MAX, build_unary(m->g, OP_ABS, y), build_const_like(m->g, y, 1));
    return graph_node(m->g, op, (Node *[]){x, y, z}, op_info[op].min, NULL);
}

/* Moves */

/* Joins neighbours, splits constant axes, adds and drops axes of size 1. */
static Node *make_reshape(Maker *m)
{
    Node *x = operand(m, WANT_ANY, 0);
    const Dim *dims[MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->type.rank; i++) {
        int64_t size;
        const Dim *dim = x->type.dims[i];
        if (dim_is(dim, 1) && chance(m, 30))
            continue;
        if (rank > 0 && chance(m, 25)) {
            dims[rank - 1] = dim_mul(m->g->dims, dims[rank - 1], dim);
        } else if (dim_is_const(dim, &size) && size > 2 && size % 2 == 0 && rank + 2 < MOST_AXES &&
                   chance(m, 30)) {
            dims[rank++] = constant(m, size / 2);
            dims[rank++] = constant(m, 2);
        } else if (rank < MAX_RANK) {
            dims[rank++] = dim;
        }
        if (rank < MOST_AXES && chance(m, 10))
            dims[rank++] = constant(m, 1);
    }
    return build_reshape(m->g, x, rank, dims);
}

static Node *make_permute(Maker *m)
{
    Node *x = operand(m, WANT_ANY, 1);
    Axes perm = axes_range(0, MAX_RANK);
    for (int i = x->type.rank - 1; i > 0; i--) {
        int j = (int)draw(m, (uint64_t)i + 1);
        uint8_t axis = perm.axis[i];
        perm.axis[i] = perm.axis[j];
        perm.axis[j] = axis;
    }
    return build_permute(m->g, x, perm.axis);
}

static Node *make_expand(Maker *m)
{
    Node *x = operand(m, WANT_ANY, 0);
    const Dim *dims[MAX_RANK];
    int rank = x->type.rank < MOST_AXES ? x->type.rank + (int)draw(m, 2) : x->type.rank;
    int missing = rank - x->type.rank;
    for (int i = 0; i < rank; i++) {
        dims[i] = i < missing ? random_size(m) : x->type.dims[i - missing];
        if (dim_is(dims[i], 1) && chance(m, 70))
            dims[i] = random_size(m);
    }
    return build_broadcast(m->g, x, rank, dims);
}

static Node *make_slice(Maker *m)
{
    Node *x = operand(m, WANT_ANY, 0);
    Attr attr = {.kind = AT_SLICE, .slice = {.rank = x->type.rank}};
    for (int i = 0; i < x->type.rank; i++) {
        int64_t size, start = 0;
        attr.slice.limit[i] = x->type.dims[i];
        attr.slice.step[i] = 1 + (int64_t)draw(m, 3) / 2;
        if (dim_is_const(x->type.dims[i], &size) && chance(m, 60)) {
            start = (int64_t)draw(m, (uint64_t)size + 1);
            attr.slice.limit[i] =
                constant(m, start + (int64_t)draw(m, (uint64_t)(size - start) + 1));
        } else if (chance(m, 20)) {
            attr.slice.limit[i] = dim_floordiv(m->g->dims, x->type.dims[i], constant(m, 2));
        }
        attr.slice.start[i] = constant(m, start);
    }
    return graph_node(m->g, OP_SLICE, &x, 1, &attr);
}

static Node *make_pad(Maker *m)
{
    Node *x = operand(m, WANT_ANY, 0), *value = operand_like(m, (Type){.dtype = x->type.dtype});
    Attr attr = {.kind = AT_PAD, .pad = {.rank = x->type.rank}};
    for (int i = 0; i < x->type.rank; i++) {
        int64_t size = 0, low = (int64_t)draw(m, 3), high = (int64_t)draw(m, 3);
        dim_is_const(x->type.dims[i], &size);
        attr.pad.interior[i] = chance(m, 20) ? (int64_t)draw(m, 3) : 0;
        if (chance(m, 20) && size > 2) /* crops leave something */
            low = -(int64_t)draw(m, (uint64_t)size);
        attr.pad.low[i] = constant(m, low);
        attr.pad.high[i] = constant(m, high);
    }
    return graph_node(m->g, OP_PAD, (Node *[]){x, value}, 2, &attr);
}

static Node *make_concat(Maker *m)
{
    Node *x[3] = {operand(m, WANT_ANY, 1)};
    int count = 1 + (int)draw(m, 3), axis = random_axis(m, x[0]);
    for (int i = 1; i < count; i++) {
        Type type = x[0]->type;
        type.dims[axis] = random_size(m);
        if (!small_enough(m, &type))
            return NULL;
        x[i] = operand_like(m, chance(m, 50) ? x[0]->type : type);
    }
    return graph_node(m->g, OP_CONCAT, x, count, &(Attr){.kind = AT_AXIS, .axis = axis});
}

static Node *make_move(Maker *m, OpCode op)
{
    static Node *(*const makers[OP_COUNT])(Maker *) = {
        [OP_RESHAPE] = make_reshape, [OP_PERMUTE] = make_permute, [OP_EXPAND] = make_expand,
        [OP_SLICE] = make_slice,     [OP_PAD] = make_pad,         [OP_CONCAT] = make_concat,
    };
    if (makers[op] != NULL)
        return makers[op](m);
    Node *x = operand(m, WANT_ANY, 1);
    return build_reverse(m->g, x, random_axes(m, x));
}

/* Reductions, windows, contractions, indices */

static bool has_empty_axis(Maker *m, const Node *x)
{
    (void)m;
    for (int i = 0; i < x->type.rank; i++) {
        int64_t size;
        if (!dim_is_const(x->type.dims[i], &size) || size == 0)
            return true;
    }
    return false;
}

static Node *make_reduce(Maker *m, OpCode op)
{
    Node *x = operand(m, op == OP_ALL || op == OP_ANY ? WANT_BOOL : WANT_NUMBER, 1);
    if (op_info[op].attr == AT_AXES)
        return build_reduce(m->g, op, x, random_axes(m, x));
    if (op != OP_CUMSUM && op != OP_ARGSORT && has_empty_axis(m, x) && !m->options->may_fail)
        return NULL; /* the first largest of nothing is a failure */
    return build_axis_op(m->g, op, x, random_axis(m, x));
}

static Node *make_window(Maker *m, OpCode op)
{
    Node *x = operand(m, WANT_NUMBER, 1);
    Attr attr = {.kind = AT_WINDOW, .window = {.rank = x->type.rank}};
    for (int i = 0; i < x->type.rank; i++) {
        int64_t size = 0, low = (int64_t)draw(m, 2), high = (int64_t)draw(m, 3);
        bool plain = chance(m, 50);
        dim_is_const(x->type.dims[i], &size);
        attr.window.stride[i] = plain ? 1 : 1 + (int64_t)draw(m, 3);
        attr.window.dilate[i] = plain ? 1 : 1 + (int64_t)draw(m, 2);
        /* (taps - 1) * dilate is at most size + low + high - 1: at least one position, at least
         * none of a free axis */
        int64_t most = size + low + high - (size > 0);
        attr.window.size[i] =
            plain || most < 1
                ? 1
                : 1 + (int64_t)draw(m, (uint64_t)(most / attr.window.dilate[i]) + 1) % 4;
        attr.window.pad_low[i] = constant(m, plain ? 0 : low);
        attr.window.pad_high[i] = constant(m, plain ? 0 : high);
    }
    return graph_node(m->g, op, &x, 1, &attr);
}

static Node *make_dot(Maker *m)
{
    Node *x = operand(m, WANT_NUMBER, 0);
    Type type = {.dtype = x->type.dtype};
    Attr attr = {.kind = AT_DOT};
    for (int i = 0; i < x->type.rank; i++) {
        int role = (int)draw(m, 3);
        if (role == 2)
            continue;
        Axes *left = role == 0 ? &attr.dot.batch_x : &attr.dot.contract_x;
        Axes *right = role == 0 ? &attr.dot.batch_y : &attr.dot.contract_y;
        if (chance(m, 25) && type.rank < MOST_AXES)
            type.dims[type.rank++] = random_size(m);
        left->axis[left->count++] = (uint8_t)i;
        right->axis[right->count++] = (uint8_t)type.rank;
        type.dims[type.rank++] = x->type.dims[i];
    }
    if (chance(m, 60) && type.rank < MOST_AXES)
        type.dims[type.rank++] = random_size(m);
    if (!small_enough(m, &type))
        return NULL;
    Node *y = operand_like(m, type);
    return y == NULL ? NULL : graph_node(m->g, OP_DOT, (Node *[]){x, y}, 2, &attr);
}

static Node *make_conv(Maker *m)
{
    int spatial = 1 + (int)draw(m, 10) / 5 + (chance(m, 10) ? 1 : 0);
    spatial = spatial > MAX_SPATIAL ? MAX_SPATIAL : spatial;
    DType dtype = chance(m, 85) ? DT_F32 : m->options->only_f32 ? DT_I32 : DT_F64;
    if (m->options->small_types && chance(m, 60))
        dtype = chance(m, 50) ? DT_BF16 : DT_F16;
    Type x = {.dtype = dtype, .rank = spatial + 3}, y = x;
    Attr attr = {.kind = AT_CONV, .conv = {.spatial = spatial}};
    x.dims[0] = y.dims[0] = constant(m, chance(m, 80) ? 1 : 2);
    x.dims[1] = random_size(m);
    x.dims[spatial + 2] = y.dims[spatial + 1] = random_size(m);
    y.dims[spatial + 2] = random_size(m);
    for (int i = 0; i < spatial; i++) {
        int64_t size = 2 + (int64_t)draw(m, 6), taps = 1 + (int64_t)draw(m, 3);
        bool plain = chance(m, 50);
        attr.conv.stride[i] = 1 + (int64_t)draw(m, 4) / 2;
        attr.conv.dilate_x[i] = plain ? 1 : 1 + (int64_t)draw(m, 2);
        attr.conv.dilate_y[i] = plain ? 1 : 1 + (int64_t)draw(m, 2);
        int64_t room = (size - 1) * attr.conv.dilate_x[i] - (taps - 1) * attr.conv.dilate_y[i];
        attr.conv.pad_low[i] = constant(m, room < 0 ? -room : (int64_t)draw(m, 3));
        attr.conv.pad_high[i] = constant(m, room > 1 && chance(m, 10) ? -1 : (int64_t)draw(m, 3));
        x.dims[2 + i] = constant(m, size);
        y.dims[1 + i] = constant(m, taps);
    }
    if (!small_enough(m, &x) || !small_enough(m, &y))
        return NULL;
    return graph_node(m->g, OP_CONV, (Node *[]){operand_like(m, x), operand_like(m, y)}, 2, &attr);
}

/* index modulo the size of an axis, which is not 0. */
static Node *safe_index(Maker *m, Node *index, const Dim *size)
{
    Node *limit = build_dim(m->g, dim_max(m->g->dims, size, constant(m, 1)), index->type.dtype);
    return build_binary(m->g, OP_MOD, index, limit);
}

static Node *make_index(Maker *m, OpCode op)
{
    Node *x = operand(m, op == OP_GATHER ? WANT_ANY : WANT_NUMBER, 1),
         *index = operand(m, WANT_INTEGER, 0);
    int axis = random_axis(m, x);
    int64_t size;
    Type type = {.dtype = x->type.dtype};
    if (!m->options->may_fail) {
        if (!dim_is_const(x->type.dims[axis], &size) || size == 0)
            return NULL;
        index = safe_index(m, index, x->type.dims[axis]);
    }
    if (op == OP_GATHER)
        return build_gather(m->g, x, index, axis);
    if (x->type.rank - 1 + index->type.rank > MOST_AXES)
        return NULL;
    for (int i = 0; i < x->type.rank; i++) {
        if (i != axis)
            type.dims[type.rank++] = x->type.dims[i];
        for (int j = 0; i == axis && j < index->type.rank; j++)
            type.dims[type.rank++] = index->type.dims[j];
    }
    if (!small_enough(m, &type))
        return NULL;
    return build_scatter_add(m->g, x, index, operand_like(m, type), axis);
}

static Node *make_call(Maker *m)
{
    Node *x = operand(m, WANT_ANY, 0);
    Attr attr = {.kind = AT_CALL, .call = {"host", x->type}};
    return graph_node(m->g, OP_CALL, &x, 1, &attr);
}

static Node *make_leaf(Maker *m, OpCode op)
{
    if (op == OP_DIM && m->options->free_symbol)
        return build_dim(m->g, dim_symbol(m->g->dims, "B"), DT_I64);
    return new_operand(m, random_type(m, random_dtype(m)));
}

static Node *make_node(Maker *m, OpCode op)
{
    switch (op_info[op].op_class) {
    case CLASS_LEAF:
        return make_leaf(m, op);
    case CLASS_ELEMENTWISE:
        return make_elementwise(m, op);
    case CLASS_MOVE:
        return make_move(m, op);
    case CLASS_REDUCE:
        return make_reduce(m, op);
    case CLASS_CONTRACT:
        return op == OP_DOT ? make_dot(m) : make_conv(m);
    case CLASS_WINDOW:
        return make_window(m, op);
    case CLASS_INDEX:
        return make_index(m, op);
    case CLASS_LOOP:
        if (m->options->loops && m->depth < MAKER_DEPTH)
            (op == OP_BRANCH || op == OP_ENTER ? make_branch : make_loop)(m);
        return NULL;
    case CLASS_CALL:
        return make_call(m);
    }
    return NULL;
}

/* Roots: every node of the pool that nothing reads, and updates of params and states where a node
 * of their type exists. */
static void make_roots(Maker *m)
{
    Graph *g = m->g;
    uint8_t *read = ARENA_ARRAY(g->arena, uint8_t, g->nodes.count + 1);
    int outputs = 0;
    for (uint32_t i = 0; i < g->nodes.count; i++)
        for (int j = 0; j < g->nodes.data[i]->nsrc; j++)
            read[g->nodes.data[i]->src[j]->id] = 1;
    for (uint32_t i = 0; i < m->pool.count; i++) {
        Node *node = m->pool.data[i];
        if (read[node->id] && i + 1 < m->pool.count)
            continue;
        read[node->id] = 1;
        graph_root(g, ROOT_OUTPUT, arena_format(g->arena, "out%d", outputs++), node);
    }
    for (uint32_t i = 0; i < m->pool.count; i++) {
        Node *leaf = m->pool.data[i], *value = m->pool.data[m->pool.count - 1 - i];
        if ((leaf->op == OP_PARAM || leaf->op == OP_STATE) &&
            type_equal(&leaf->type, &value->type) &&
            graph_root_find(g, ROOT_UPDATE, leaf->attr.leaf.name) == NULL)
            graph_root(g, ROOT_UPDATE, leaf->attr.leaf.name, value);
    }
}

static OpCode random_op(Maker *m)
{
    for (;;) {
        OpCode op = (OpCode)draw(m, OP_COUNT);
        bool leaf = op_info[op].op_class == CLASS_LEAF;
        if (m->options->allowed != NULL ? m->options->allowed[op]
                                        : op != OP_CALL && (!leaf || chance(m, 20)))
            return op;
    }
}

uint64_t maker_draw(Maker *m, uint64_t limit)
{
    return draw(m, limit);
}

Node *maker_keep(Maker *m, Node *node)
{
    return keep(m, node);
}

Node *maker_condition(Maker *m)
{
    return operand_like(m, (Type){.dtype = DT_BOOL});
}

void maker_grow(Maker *m, int operations)
{
    for (int i = 0; i < operations; i++) {
        Node *node = make_node(m, random_op(m));
        if (node != NULL && node->type.rank <= MOST_AXES + 1)
            keep(m, node);
    }
}

bool maker_fits(Maker *m, const Type *type)
{
    return small_enough(m, type);
}

Node *maker_operand_like(Maker *m, Type type)
{
    return operand_like(m, type);
}

Graph *random_graph(Arena *arena, DimTable *dims, uint64_t seed, const RandomGraphOptions *options)
{
    Maker m = {.g = graph_new(arena, dims, "random"),
               .seed = seed,
               .options = options,
               .max_elements = options->max_elements > 0 ? options->max_elements : 4096};
    bool counted = options->operations > 0 || options->products > 0;
    int operations = counted ? options->operations : 12;
    for (int i = 0; i < 2; i++)
        new_leaf(&m, random_type(&m, i == 0 ? DT_F32 : random_dtype(&m)));
    maker_grow_edges(&m, options->products);
    maker_grow(&m, operations);
    make_roots(&m);
    return m.g;
}

/* Data */

int64_t random_elements(const Type *type, const int64_t *symbols)
{
    int64_t count = 1;
    for (int i = 0; i < type->rank; i++)
        count *= dim_eval(type->dims[i], symbols);
    return count;
}

static double float_value(uint64_t bits, bool special)
{
    static const double specials[] = {0.0,   -0.0,   INFINITY, -INFINITY, NAN,
                                      1e-40, -1e-45, 3e38,     1e30,      -1.0};
    if (special && bits % 16 == 0)
        return specials[(bits >> 8) % (sizeof specials / sizeof *specials)];
    if (bits % 4 == 0)
        return (double)((int64_t)(bits >> 8) % 9 - 4) * 0.5;
    return (double)(bits >> 11) * 0x1p-53 * 4 - 2;
}

static int64_t integer_value(DType dtype, uint64_t bits, bool special)
{
    if (dtype == DT_BOOL)
        return (int64_t)(bits >> 5 & 1);
    if (special && bits % 16 == 0 && dtype != DT_U8 && dtype != DT_I8)
        return dtype == DT_I32 ? (bits & 256 ? INT32_MIN : INT32_MAX)
                               : (bits & 256 ? INT64_MIN : INT64_MAX);
    return dtype == DT_U8 || dtype == DT_I8 ? (int64_t)(bits >> 8 & 255)
                                            : (int64_t)((bits >> 8) % 31) - 10;
}

const void *random_leaf(void *random_data, const Node *leaf)
{
    RandomData *data = random_data;
    DType dtype = leaf->type.dtype;
    int64_t count = random_elements(&leaf->type, data->symbols);
    char *values = arena_alloc(data->arena, (size_t)count * dtype_bytes(dtype) + 1);
    uint64_t key = rng_hash(leaf->attr.leaf.name, strlen(leaf->attr.leaf.name), data->seed);
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits = rng_hash(&i, sizeof i, key);
        int64_t integer = integer_value(dtype, bits, data->special);
        double wide = float_value(bits, data->special);
        bool real = dtype_is_float(dtype);
        const void *from = real ? (const void *)&wide : (const void *)&integer;
        scalar_convert(real ? DT_F64 : DT_I64, dtype, from, values + (size_t)i * dtype_bytes(dtype),
                       1);
    }
    return values;
}

static bool both_nan(DType dtype, const char *a, const char *b)
{
    double x, y;
    if (!dtype_is_float(dtype))
        return false;
    scalar_convert(dtype, DT_F64, a, &x, 1);
    scalar_convert(dtype, DT_F64, b, &y, 1);
    return isnan(x) && isnan(y);
}

bool random_same(DType dtype, const void *a, const void *b, int64_t count, int64_t *where)
{
    size_t bytes = dtype_bytes(dtype);
    for (int64_t i = 0; i < count; i++) {
        const char *x = (const char *)a + (size_t)i * bytes,
                   *y = (const char *)b + (size_t)i * bytes;
        if (memcmp(x, y, bytes) != 0 && !both_nan(dtype, x, y)) {
            if (where != NULL)
                *where = i;
            return false;
        }
    }
    return true;
}
