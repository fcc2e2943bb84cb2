/* Random graphs of products and convolutions whose sizes and layouts are awkward on purpose: one
 * less and one more than vectors and tiles, operands that are transposed, cut out with a stride,
 * turned round, rolled, padded or repeated, twice the same operand, and behind each a chain that
 * could be its epilogue or take the place of what dies there.
 *
 *   x = slice(in0, 2.., step 2)   y = permute(in1)   d = dot x y : f32[17, 33]
 *   e = d + expand(in2)           f = max(e, 0) - in3          sum of f over its rows */
#include "compiler/graph/build.h"
#include "tests/support/random_maker.h"

enum { DEEPEST_MOVES = 2, LARGEST_B = 8 };

static bool chance(Maker *m, int percent)
{
    return (int)maker_draw(m, 100) < percent;
}

static const Dim *constant(Maker *m, int64_t value)
{
    return dim_const(m->g->dims, value);
}

/* Around widths of vectors (4 to 16 lanes), of tiles (6 to 14 rows) and of panels (16 to 64). */
static int64_t edge(Maker *m)
{
    static const uint8_t sizes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  11, 12, 13, 14, 15, 15, 16,
                                    16, 17, 17, 18, 23, 24, 25, 26, 27, 28, 29, 31, 31, 32, 33, 33,
                                    39, 40, 47, 48, 49, 63, 64, 65, 79, 80, 80, 95, 96, 96, 97};
    return sizes[maker_draw(m, sizeof sizes)];
}

static const Dim *edge_or_free(Maker *m)
{
    return m->options->free_symbol && chance(m, 20) ? dim_symbol(m->g->dims, "B")
                                                    : constant(m, edge(m));
}

static DType product_dtype(Maker *m)
{
    static const DType others[] = {DT_F64, DT_F64, DT_I32, DT_BF16, DT_F16};
    DType dtype = chance(m, 80) ? DT_F32 : others[maker_draw(m, m->options->small_types ? 5 : 3)];
    return dtype == DT_F64 && m->options->only_f32 ? DT_F32 : dtype;
}

/* ---- operands that are moved ---- */

static Node *operand(Maker *m, Type type, int depth);

/* What is moved; NULL: it would be too large. */
static Node *source_of(Maker *m, Type type, int depth)
{
    return maker_fits(m, &type) ? operand(m, type, depth) : NULL;
}

static Node *permuted(Maker *m, Type type, int depth)
{
    Axes perm = axes_range(0, MAX_RANK);
    Type source = type;
    for (int i = type.rank - 1; i > 0; i--) {
        int j = (int)maker_draw(m, (uint64_t)i + 1);
        uint8_t axis = perm.axis[i];
        perm.axis[i] = perm.axis[j];
        perm.axis[j] = axis;
    }
    for (int i = 0; i < type.rank; i++)
        source.dims[perm.axis[i]] = type.dims[i];
    Node *x = source_of(m, source, depth);
    return x != NULL ? build_permute(m->g, x, perm.axis) : NULL;
}

static Node *slice_of(Maker *m, Node *x, int axis, int64_t start, int64_t limit, int64_t step)
{
    Attr attr = {.kind = AT_SLICE, .slice = {.rank = x->type.rank}};
    for (int i = 0; i < x->type.rank; i++) {
        attr.slice.start[i] = constant(m, i == axis ? start : 0);
        attr.slice.limit[i] = i == axis ? constant(m, limit) : x->type.dims[i];
        attr.slice.step[i] = i == axis ? step : 1;
    }
    return graph_node(m->g, OP_SLICE, &x, 1, &attr);
}

/* An axis with a constant size of at least `least`; -1: none was found. */
static int constant_axis(Maker *m, const Type *type, int64_t least, int64_t *size)
{
    int axis = type->rank > 0 ? (int)maker_draw(m, (uint64_t)type->rank) : -1;
    return axis >= 0 && dim_is_const(type->dims[axis], size) && *size >= least ? axis : -1;
}

static Node *sliced(Maker *m, Type type, int depth)
{
    int64_t size, start = (int64_t)maker_draw(m, 4), step = 1 + (int64_t)maker_draw(m, 3);
    int axis = constant_axis(m, &type, 1, &size);
    if (axis < 0)
        return NULL;
    int64_t limit = start + (size - 1) * step + 1;
    type.dims[axis] = constant(m, limit + (int64_t)maker_draw(m, 3));
    Node *x = source_of(m, type, depth);
    return x != NULL ? slice_of(m, x, axis, start, limit, step) : NULL;
}

static Node *reversed(Maker *m, Type type, int depth)
{
    if (type.rank == 0)
        return NULL;
    int axis = (int)maker_draw(m, (uint64_t)type.rank);
    Node *x = source_of(m, type, depth);
    return x != NULL ? build_reverse(m->g, x, axes_one(axis)) : NULL;
}

static Node *repeated(Maker *m, Type type, int depth)
{
    if (type.rank == 0)
        return NULL;
    Type source = type;
    source.dims[maker_draw(m, (uint64_t)type.rank)] = constant(m, 1);
    Node *x = source_of(m, source, depth);
    return x != NULL ? build_expand(m->g, x, type.rank, type.dims) : NULL;
}

static Node *joined(Maker *m, Type type, int depth)
{
    if (type.rank < 2)
        return NULL;
    Type source = type;
    int axis = (int)maker_draw(m, (uint64_t)type.rank - 1);
    source.dims[axis] = dim_mul(m->g->dims, type.dims[axis], type.dims[axis + 1]);
    source.rank--;
    for (int i = axis + 1; i < source.rank; i++)
        source.dims[i] = type.dims[i + 1];
    Node *x = source_of(m, source, depth);
    return x != NULL ? build_reshape(m->g, x, type.rank, type.dims) : NULL;
}

/* An axis that was two. They are turned as often as not: then no view has the joined axis. */
static Node *merged(Maker *m, Type type, int depth)
{
    int64_t size = 0, inner = 2;
    int axis = constant_axis(m, &type, 4, &size);
    while (inner < 8 && size % inner != 0)
        inner++;
    if (axis < 0 || size % inner != 0 || type.rank + 1 > MAX_RANK)
        return NULL;
    bool turned = chance(m, 60);
    Type source = type;
    for (int i = source.rank++; i > axis; i--)
        source.dims[i] = source.dims[i - 1];
    source.dims[axis] = constant(m, turned ? inner : size / inner);
    source.dims[axis + 1] = constant(m, turned ? size / inner : inner);
    Node *x = source_of(m, source, depth);
    if (x != NULL && turned)
        x = build_swap_axes(m->g, x, axis, axis + 1);
    return x != NULL ? build_reshape(m->g, x, type.rank, type.dims) : NULL;
}

static Node *rolled(Maker *m, Type type, int depth)
{
    int64_t size;
    int axis = constant_axis(m, &type, 2, &size);
    if (axis < 0)
        return NULL;
    int64_t by = 1 + (int64_t)maker_draw(m, (uint64_t)size - 1);
    Node *x = source_of(m, type, depth);
    if (x == NULL)
        return NULL;
    Node *parts[] = {slice_of(m, x, axis, by, size, 1), slice_of(m, x, axis, 0, by, 1)};
    return graph_node(m->g, OP_CONCAT, parts, 2, &(Attr){.kind = AT_AXIS, .axis = axis});
}

static Node *padded(Maker *m, Type type, int depth)
{
    int64_t size, low = (int64_t)maker_draw(m, 3), high = (int64_t)maker_draw(m, 3);
    int axis = constant_axis(m, &type, low + high + 1, &size);
    if (axis < 0)
        return NULL;
    Attr attr = {.kind = AT_PAD, .pad = {.rank = type.rank}};
    for (int i = 0; i < type.rank; i++) {
        attr.pad.low[i] = constant(m, i == axis ? low : 0);
        attr.pad.high[i] = constant(m, i == axis ? high : 0);
    }
    type.dims[axis] = constant(m, size - low - high);
    Type single = {.dtype = type.dtype};
    Node *src[] = {source_of(m, type, depth), build_const(m->g, single, 0)};
    if (src[0] == NULL)
        return NULL;
    return graph_node(m->g, OP_PAD, src, 2, &attr);
}

/* A value of that type: moved, one of the pool, or a new one. */
static Node *operand(Maker *m, Type type, int depth)
{
    static Node *(*const moves[])(Maker *, Type, int) = {
        permuted, permuted, sliced, reversed, repeated, joined, merged, merged, rolled, padded};
    bool moves_it = depth < DEEPEST_MOVES && chance(m, 55);
    Node *x = NULL;
    if (moves_it)
        x = moves[maker_draw(m, sizeof moves / sizeof *moves)](m, type, depth + 1);
    return x != NULL && type_equal(&x->type, &type) ? x : maker_operand_like(m, type);
}

/* ---- products ---- */

/* The axes of an operand in any order: `at` says where each of the given ones is. */
static Type shuffled(Maker *m, DType dtype, const Dim *const *sizes, int count, uint8_t *at)
{
    Type type = {.dtype = dtype, .rank = count};
    for (int i = 0; i < count; i++)
        at[i] = (uint8_t)i;
    for (int i = count - 1; i > 0; i--) {
        int j = (int)maker_draw(m, (uint64_t)i + 1);
        uint8_t place = at[i];
        at[i] = at[j];
        at[j] = place;
    }
    for (int i = 0; i < count; i++)
        type.dims[at[i]] = sizes[i];
    return type;
}

static void take_axis(Axes *axes, uint8_t axis)
{
    axes->axis[axes->count++] = axis;
}

/* Sizes of x: batch, contracted, free. y has the same batch and contracted ones. */
static Node *make_dot(Maker *m)
{
    int batch = chance(m, 30), contracted = chance(m, 15) ? 2 : 1, both = batch + contracted;
    const Dim *x_sizes[4], *y_sizes[4];
    uint8_t x_at[4], y_at[4];
    Attr attr = {.kind = AT_DOT};
    for (int i = 0; i < both; i++)
        x_sizes[i] = y_sizes[i] =
            i < batch ? constant(m, 1 + (int64_t)maker_draw(m, 3)) : edge_or_free(m);
    x_sizes[both] = edge_or_free(m);
    y_sizes[both] = edge_or_free(m);
    DType dtype = product_dtype(m);
    Type x = shuffled(m, dtype, x_sizes, both + !chance(m, 12), x_at); /* sometimes a vector */
    Type y = shuffled(m, dtype, y_sizes, both + 1, y_at);
    bool same = chance(m, 10);
    if (same)
        y = x;
    for (int i = 0; i < both; i++) {
        take_axis(i < batch ? &attr.dot.batch_x : &attr.dot.contract_x, x_at[i]);
        take_axis(i < batch ? &attr.dot.batch_y : &attr.dot.contract_y, same ? x_at[i] : y_at[i]);
    }
    if (!maker_fits(m, &x) || !maker_fits(m, &y))
        return NULL;
    Node *left = operand(m, x, 0), *right = same ? left : operand(m, y, 0);
    return graph_node(m->g, OP_DOT, (Node *[]){left, right}, 2, &attr);
}

static Node *make_conv(Maker *m)
{
    static const uint8_t channels[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33};
    int spatial = 1 + chance(m, 60);
    DType dtype = product_dtype(m);
    Type x = {.dtype = dtype, .rank = spatial + 3}, y = x;
    Attr attr = {.kind = AT_CONV, .conv = {.spatial = spatial}};
    x.dims[0] = y.dims[0] = constant(m, chance(m, 85) ? 1 : 1 + (int64_t)maker_draw(m, 16));
    x.dims[1] = m->options->free_symbol && chance(m, 30)
                    ? dim_symbol(m->g->dims, "B")
                    : constant(m, 1 + (int64_t)maker_draw(m, 3));
    x.dims[spatial + 2] = y.dims[spatial + 1] =
        constant(m, channels[maker_draw(m, sizeof channels)]);
    y.dims[spatial + 2] = constant(m, channels[maker_draw(m, sizeof channels)]);
    for (int i = 0; i < spatial; i++) {
        int64_t size = 3 + (int64_t)maker_draw(m, spatial == 1 ? 40 : 15);
        int64_t taps = 1 + (int64_t)maker_draw(m, 5), dilate = chance(m, 85) ? 1 : 2;
        int64_t room = size - 1 - (taps - 1) * dilate;
        attr.conv.stride[i] = chance(m, 65) ? 1 : 2 + (int64_t)maker_draw(m, 2);
        attr.conv.dilate_x[i] = chance(m, 90) ? 1 : 2;
        attr.conv.dilate_y[i] = dilate;
        attr.conv.pad_low[i] = constant(m, room < 0 ? -room : (int64_t)maker_draw(m, 3));
        attr.conv.pad_high[i] = constant(m, (int64_t)maker_draw(m, 3));
        x.dims[2 + i] = constant(m, size);
        y.dims[1 + i] = constant(m, taps);
    }
    if (!maker_fits(m, &x) || !maker_fits(m, &y))
        return NULL;
    return graph_node(m->g, OP_CONV, (Node *[]){operand(m, x, 0), operand(m, y, 0)}, 2, &attr);
}

/* ---- what follows ---- */

/* One value per index of the last axis, repeated. */
static Node *bias_like(Maker *m, const Node *x)
{
    Type type = {.dtype = x->type.dtype, .rank = x->type.rank};
    for (int i = 0; i < type.rank; i++)
        type.dims[i] = i + 1 < type.rank ? constant(m, 1) : x->type.dims[i];
    return build_expand(m->g, maker_operand_like(m, type), x->type.rank, x->type.dims);
}

static Node *link_of_chain(Maker *m, Node *x)
{
    static const OpCode ops[] = {OP_ADD, OP_SUB, OP_MUL, OP_MAX};
    OpCode op = ops[maker_draw(m, 4)];
    Node *zero = build_const_like(m->g, x, 0), *y = NULL;
    switch (maker_draw(m, 6)) {
    case 0:
        return build_binary(m->g, OP_MAX, x, zero);
    case 1:
        return build_select(m->g, build_binary(m->g, OP_LE, x, zero), zero, operand(m, x->type, 1));
    case 2:
        return x->type.rank > 0 ? build_binary(m->g, op, x, bias_like(m, x)) : NULL;
    case 3:
        return dtype_is_float(x->type.dtype) ? build_unary(m->g, OP_TANH, x) : NULL;
    default: /* on either side, so that either may take the place of the other */
        y = operand(m, x->type, 1);
        return chance(m, 50) ? build_binary(m->g, op, x, y) : build_binary(m->g, op, y, x);
    }
}

/* A sum over some axes, or over the rows that softmax divides by. */
static Node *make_sum(Maker *m, Node *x)
{
    if (x->type.rank == 0)
        return NULL;
    int axis = (int)maker_draw(m, (uint64_t)x->type.rank);
    Axes axes = chance(m, 30) ? axes_range(0, axis + 1) : axes_one(axis);
    Node *sum = maker_keep(m, build_reduce(m->g, chance(m, 80) ? OP_SUM : OP_AMAX, x, axes));
    if (sum == NULL || axes.count > 1 || chance(m, 50))
        return sum;
    Type kept = x->type;
    kept.dims[axis] = constant(m, 1);
    Node *wide =
        build_expand(m->g, build_reshape(m->g, sum, kept.rank, kept.dims), kept.rank, x->type.dims);
    return wide == NULL ? NULL : build_binary(m->g, OP_SUB, x, wide);
}

static void grow_chain(Maker *m, Node *x)
{
    int links = (int)maker_draw(m, 4);
    for (int i = 0; i < links && x != NULL; i++) {
        Node *next = maker_keep(m, link_of_chain(m, x));
        x = next == NULL ? x : next;
    }
    if (chance(m, 40))
        maker_keep(m, make_sum(m, x));
}

void maker_grow_edges(Maker *m, int products)
{
    for (int i = 0; i < products; i++) {
        Node *product = maker_keep(m, chance(m, 60) ? make_dot(m) : make_conv(m));
        if (product != NULL)
            grow_chain(m, product);
    }
}
