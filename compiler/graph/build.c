/* Constructors over graph_node (build.h). In: operands of any fitting shape; out: nodes whose
 * broadcasts are explicit. Moves that move nothing give their operand back, and a constant is made
 * in the shape where it is used.
 *
 *   build_binary(add, f32[B, 3], f32[3])   ->   reshape to [1, 3], expand to [B, 3], add */
#include "compiler/graph/build.h"

#include <string.h>

Axes axes_one(int axis)
{
    return (Axes){1, {(uint8_t)axis}};
}

Axes axes_range(int begin, int end)
{
    Axes axes = {0};
    for (int i = begin; i < end; i++)
        axes.axis[axes.count++] = (uint8_t)i;
    return axes;
}

static bool same_dims(const Node *x, int rank, const Dim *const *dims)
{
    for (int i = 0; x->type.rank == rank && i < rank; i++)
        if (x->type.dims[i] != dims[i])
            return false;
    return x->type.rank == rank;
}

/* Leaves */

Node *build_leaf(Graph *g, OpCode op, const char *name, Type type)
{
    return graph_node(g, op, NULL, 0, &(Attr){.kind = AT_LEAF, .leaf = {name, type}});
}

Node *build_const(Graph *g, Type type, double value)
{
    Attr attr = {.kind = AT_CONST, .constant = {.type = type}};
    if (dtype_is_float(type.dtype))
        attr.constant.value.f = value;
    else
        attr.constant.value.i = (int64_t)value;
    return graph_node(g, OP_CONST, NULL, 0, &attr);
}

Node *build_const_like(Graph *g, const Node *like, double value)
{
    return like == NULL ? NULL : build_const(g, like->type, value);
}

Node *build_scalar(Graph *g, DType dtype, double value)
{
    return build_const(g, (Type){.dtype = dtype}, value);
}

Node *build_iota(Graph *g, Type type, int axis)
{
    return graph_node(g, OP_IOTA, NULL, 0, &(Attr){.kind = AT_IOTA, .iota = {type, axis}});
}

Node *build_dim(Graph *g, const Dim *dim, DType dtype)
{
    int64_t value;
    if (dim_is_const(dim, &value)) {
        Attr attr = {.kind = AT_CONST, .constant = {.type = {.dtype = dtype}}};
        if (dtype_is_float(dtype))
            attr.constant.value.f = (double)value;
        else
            attr.constant.value.i = value;
        return graph_node(g, OP_CONST, NULL, 0, &attr);
    }
    Node *node = graph_node(g, OP_DIM, NULL, 0, &(Attr){.kind = AT_DIM, .shape = {1, {dim}}});
    return build_convert(g, node, dtype);
}

/* Moves */

static Attr shape_attr(int rank, const Dim *const *dims)
{
    Attr attr = {.kind = AT_SHAPE, .shape = {.rank = rank}};
    for (int i = 0; i < rank; i++)
        attr.shape.dims[i] = dims[i];
    return attr;
}

Node *build_reshape(Graph *g, Node *x, int rank, const Dim *const *dims)
{
    if (x == NULL || same_dims(x, rank, dims))
        return x;
    Attr attr = shape_attr(rank, dims);
    return graph_node(g, OP_RESHAPE, &x, 1, &attr);
}

Node *build_permute(Graph *g, Node *x, const uint8_t *perm)
{
    Attr attr = {.kind = AT_PERM};
    bool moves = false;
    if (x == NULL)
        return NULL;
    attr.perm.count = x->type.rank;
    for (int i = 0; i < x->type.rank && i < MAX_RANK; i++) {
        attr.perm.axis[i] = perm[i];
        moves |= perm[i] != i;
    }
    return moves ? graph_node(g, OP_PERMUTE, &x, 1, &attr) : x;
}

Node *build_swap_axes(Graph *g, Node *x, int a, int b)
{
    Axes perm = axes_range(0, MAX_RANK);
    perm.axis[a] = (uint8_t)b;
    perm.axis[b] = (uint8_t)a;
    return build_permute(g, x, perm.axis);
}

Node *build_expand(Graph *g, Node *x, int rank, const Dim *const *dims)
{
    if (x == NULL || same_dims(x, rank, dims))
        return x;
    Attr attr = shape_attr(rank, dims);
    return graph_node(g, OP_EXPAND, &x, 1, &attr);
}

Node *build_broadcast(Graph *g, Node *x, int rank, const Dim *const *dims)
{
    if (x == NULL || same_dims(x, rank, dims))
        return x;
    if (x->op == OP_CONST && x->type.rank == 0) {
        Attr attr = x->attr;
        attr.constant.type.rank = rank;
        memcpy(attr.constant.type.dims, dims, (size_t)rank * sizeof *dims);
        return graph_node(g, OP_CONST, NULL, 0, &attr);
    }
    const Dim *padded[MAX_RANK];
    int missing = rank - x->type.rank;
    for (int i = 0; i < rank; i++)
        padded[i] = i < missing   ? dim_const(g->dims, 1)
                    : missing < 0 ? dims[i]
                                  : x->type.dims[i - missing];
    return build_expand(g, build_reshape(g, x, rank, padded), rank, dims);
}

Node *build_slice_axis(Graph *g, Node *x, int axis, const Dim *start, const Dim *limit,
                       int64_t step)
{
    if (x == NULL ||
        (dim_is(start, 0) && axis < x->type.rank && limit == x->type.dims[axis] && step == 1))
        return x;
    Attr attr = {.kind = AT_SLICE, .slice = {.rank = x->type.rank}};
    for (int i = 0; i < x->type.rank; i++) {
        attr.slice.start[i] = i == axis ? start : dim_const(g->dims, 0);
        attr.slice.limit[i] = i == axis ? limit : x->type.dims[i];
        attr.slice.step[i] = i == axis ? step : 1;
    }
    return graph_node(g, OP_SLICE, &x, 1, &attr);
}

Node *build_pad_axis(Graph *g, Node *x, Node *value, int axis, const Dim *low, const Dim *high)
{
    if (x == NULL || (dim_is(low, 0) && dim_is(high, 0)))
        return x;
    Attr attr = {.kind = AT_PAD, .pad = {.rank = x->type.rank}};
    for (int i = 0; i < x->type.rank; i++) {
        attr.pad.low[i] = i == axis ? low : dim_const(g->dims, 0);
        attr.pad.high[i] = i == axis ? high : dim_const(g->dims, 0);
    }
    return graph_node(g, OP_PAD, (Node *[]){x, value}, 2, &attr);
}

Node *build_concat(Graph *g, Node *const *x, int count, int axis)
{
    if (count == 1)
        return x[0];
    return graph_node(g, OP_CONCAT, x, count, &(Attr){.kind = AT_AXIS, .axis = axis});
}

Node *build_reverse(Graph *g, Node *x, Axes axes)
{
    if (x == NULL || axes.count == 0)
        return x;
    return graph_node(g, OP_REVERSE, &x, 1, &(Attr){.kind = AT_AXES, .axes = axes});
}

/* Elementwise */

/* The shape that numpy's rule gives to operands together. Dims that do not fit stay, and the shape
 * rule refuses them. */
static int common_shape(Node *const *x, int count, const Dim **dims)
{
    int rank = 0;
    for (int i = 0; i < count; i++)
        rank = x[i]->type.rank > rank ? x[i]->type.rank : rank;
    for (int axis = 0; axis < rank; axis++) {
        dims[axis] = NULL;
        for (int i = 0; i < count; i++) {
            int own = axis - (rank - x[i]->type.rank);
            if (own >= 0 && (dims[axis] == NULL || dim_is(dims[axis], 1)))
                dims[axis] = x[i]->type.dims[own];
        }
    }
    return rank;
}

/* An operand that does not fit stays as it is, so that the refusal names the types that the caller
 * wrote. */
static Node *fit_operand(Graph *g, Node *x, int rank, const Dim *const *dims)
{
    int missing = rank - x->type.rank;
    for (int i = 0; i < x->type.rank; i++)
        if (x->type.dims[i] != dims[i + missing] && !dim_is(x->type.dims[i], 1))
            return x;
    return build_broadcast(g, x, rank, dims);
}

static Node *build_elementwise(Graph *g, OpCode op, Node *const *x, int count)
{
    const Dim *dims[MAX_RANK];
    Node *fitted[3], *misfit = NULL;
    for (int i = 0; i < count; i++)
        if (x[i] == NULL)
            return NULL;
    int rank = common_shape(x, count, dims);
    for (int i = 0; i < count; i++) {
        fitted[i] = fit_operand(g, x[i], rank, dims);
        if (fitted[i] == NULL)
            return NULL;
        misfit = same_dims(fitted[i], rank, dims) ? misfit : x[i];
    }
    return graph_node(g, op, misfit != NULL ? x : fitted, count, NULL);
}

Node *build_unary(Graph *g, OpCode op, Node *x)
{
    return graph_node(g, op, &x, 1, NULL);
}

Node *build_binary(Graph *g, OpCode op, Node *x, Node *y)
{
    return build_elementwise(g, op, (Node *[]){x, y}, 2);
}

Node *build_select(Graph *g, Node *condition, Node *x, Node *y)
{
    return build_elementwise(g, OP_SELECT, (Node *[]){condition, x, y}, 3);
}

Node *build_fma(Graph *g, Node *x, Node *y, Node *z)
{
    return build_elementwise(g, OP_FMA, (Node *[]){x, y, z}, 3);
}

Node *build_convert(Graph *g, Node *x, DType dtype)
{
    if (x == NULL || x->type.dtype == dtype)
        return x;
    return graph_node(g, OP_CONVERT, &x, 1, &(Attr){.kind = AT_DTYPE, .dtype = dtype});
}

/* Reductions, contractions, indices */

Node *build_reduce(Graph *g, OpCode op, Node *x, Axes axes)
{
    if (x == NULL || axes.count == 0)
        return x;
    return graph_node(g, op, &x, 1, &(Attr){.kind = AT_AXES, .axes = axes});
}

Node *build_reduce_keep(Graph *g, OpCode op, Node *x, Axes axes)
{
    const Dim *dims[MAX_RANK];
    Node *reduced = build_reduce(g, op, x, axes);
    if (reduced == NULL)
        return NULL;
    for (int i = 0; i < x->type.rank; i++)
        dims[i] = x->type.dims[i];
    for (int i = 0; i < axes.count; i++)
        dims[axes.axis[i]] = dim_const(g->dims, 1);
    return build_reshape(g, reduced, x->type.rank, dims);
}

Node *build_axis_op(Graph *g, OpCode op, Node *x, int axis)
{
    return graph_node(g, op, &x, 1, &(Attr){.kind = AT_AXIS, .axis = axis});
}

Node *build_dot(Graph *g, Node *x, Node *y, Axes batch_x, Axes batch_y, Axes contract_x,
                Axes contract_y)
{
    Attr attr = {.kind = AT_DOT, .dot = {batch_x, batch_y, contract_x, contract_y}};
    return graph_node(g, OP_DOT, (Node *[]){x, y}, 2, &attr);
}

Node *build_matmul(Graph *g, Node *x, Node *y)
{
    if (x == NULL || y == NULL)
        return NULL;
    int rank = x->type.rank;
    if (rank < 2 || y->type.rank != rank) {
        g->error = arena_format(
            g->arena, "a product of matrices needs equal ranks of at least 2, not %d and %d", rank,
            y->type.rank);
        return NULL;
    }
    Axes batch = axes_range(0, rank - 2);
    return build_dot(g, x, y, batch, batch, axes_one(rank - 1), axes_one(rank - 2));
}

Node *build_gather(Graph *g, Node *x, Node *index, int axis)
{
    return graph_node(g, OP_GATHER, (Node *[]){x, index}, 2,
                      &(Attr){.kind = AT_AXIS, .axis = axis});
}

Node *build_scatter_add(Graph *g, Node *x, Node *index, Node *updates, int axis)
{
    return graph_node(g, OP_SCATTER_ADD, (Node *[]){x, index, updates}, 3,
                      &(Attr){.kind = AT_AXIS, .axis = axis});
}

/* Loops and branches */

Node *build_carry(Graph *g, uint32_t loop, int index, Type type)
{
    return graph_node(g, OP_CARRY, NULL, 0, &(Attr){.kind = AT_CARRY, .carry = {loop, index, type}});
}

Node *build_at(Graph *g, uint32_t loop, Node *x)
{
    return graph_node(g, OP_AT, &x, 1, &(Attr){.kind = AT_AT, .at = {loop}});
}

Node *build_loop(Graph *g, LoopAttr attr, Node *const *inits, Node *const *nexts, int count)
{
    Node **src = ARENA_ARRAY(g->arena, Node *, 2 * count + 1);
    for (int i = 0; i < count; i++) {
        src[i] = inits[i];
        src[count + i] = nexts[i];
    }
    return graph_node(g, OP_LOOP, src, 2 * count, &(Attr){.kind = AT_LOOP, .loop = attr});
}

Node *build_final(Graph *g, Node *token, int index)
{
    return graph_node(g, OP_FINAL, &token, 1, &(Attr){.kind = AT_FINAL, .final = {index}});
}

Node *build_stack(Graph *g, Node *loop, Node *value)
{
    return graph_node(g, OP_STACK, (Node *[]){loop, value}, 2, NULL);
}

Node *build_enter(Graph *g, uint32_t branch, BranchSide side, Node *x)
{
    return graph_node(g, OP_ENTER, &x, 1, &(Attr){.kind = AT_ENTER, .enter = {branch, side}});
}

Node *build_branch(Graph *g, uint32_t id, Node *condition, Node *const *thens, Node *const *elses,
                   int count)
{
    Node **src = ARENA_ARRAY(g->arena, Node *, 2 * count + 1);
    src[0] = condition;
    for (int i = 0; i < count; i++) {
        src[1 + i] = thens[i];
        src[1 + count + i] = elses[i];
    }
    return graph_node(g, OP_BRANCH, src, 2 * count + 1, &(Attr){.kind = AT_BRANCH, .branch = {id}});
}
