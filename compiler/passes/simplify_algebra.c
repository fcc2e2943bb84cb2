/* Rules of simplify for elementwise operations, reductions and dot. A rule is right only if every
 * bit agrees for every operand: x + 0.0 is not x (x may be -0.0), x * 0 is not 0 (x may be NaN),
 * but x * -1 is -x. */
#include "compiler/passes/simplify.h"

#include <math.h>

static bool is_int(const Node *n)
{
    return dtype_kind(n->type.dtype) == KIND_INT;
}

static Node *negated_const(Graph *g, const Node *constant)
{
    double value;
    if (!dtype_is_float(constant->type.dtype) || !is_const_number(constant, &value))
        return NULL;
    return build_const_like(g, constant, -value);
}

Node *simplify_add_zero(Graph *g, Node *n)
{
    (void)g;
    const double zero = is_int(n) ? 0.0 : -0.0;
    for (int i = 0; i < 2; i++)
        if (is_const_value(n->src[i], zero))
            return n->src[1 - i];
    return NULL;
}

Node *simplify_add_neg(Graph *g, Node *n)
{
    for (int i = 1; i >= 0; i--)
        if (n->src[i]->op == OP_NEG)
            return build_binary(g, OP_SUB, n->src[1 - i], n->src[i]->src[0]);
    return NULL;
}

Node *simplify_sub_zero(Graph *g, Node *n)
{
    (void)g;
    return is_const_value(n->src[1], 0) ? n->src[0] : NULL;
}

Node *simplify_sub_neg(Graph *g, Node *n)
{
    return n->src[1]->op == OP_NEG ? build_binary(g, OP_ADD, n->src[0], n->src[1]->src[0]) : NULL;
}

Node *simplify_mul_one(Graph *g, Node *n)
{
    (void)g;
    for (int i = 0; i < 2; i++)
        if (is_const_value(n->src[i], 1))
            return n->src[1 - i];
    return NULL;
}

Node *simplify_mul_minus_one(Graph *g, Node *n)
{
    for (int i = 0; i < 2; i++)
        if (is_const_value(n->src[i], -1))
            return build_unary(g, OP_NEG, n->src[1 - i]);
    return NULL;
}

Node *simplify_mul_zero(Graph *g, Node *n)
{
    (void)g;
    for (int i = 0; i < 2; i++)
        if (is_int(n) && is_const_value(n->src[i], 0))
            return n->src[i];
    return NULL;
}

Node *simplify_mul_neg(Graph *g, Node *n)
{
    Node *x = n->src[0], *y = n->src[1];
    if (x->op == OP_NEG && y->op == OP_NEG)
        return build_binary(g, OP_MUL, x->src[0], y->src[0]);
    for (int i = 0; i < 2; i++) {
        Node *minus = n->src[i]->op == OP_NEG ? negated_const(g, n->src[1 - i]) : NULL;
        if (minus)
            return build_binary(g, OP_MUL, n->src[i]->src[0], minus);
    }
    return NULL;
}

Node *simplify_div_one(Graph *g, Node *n)
{
    (void)g;
    return is_const_value(n->src[1], 1) ? n->src[0] : NULL;
}

/* Both round the same real number, as long as 1/c is a normal number. */
Node *simplify_div_power(Graph *g, Node *n)
{
    double value;
    int exponent;
    if (!is_const_number(n->src[1], &value) || !isfinite(value) ||
        fabs(frexp(value, &exponent)) != 0.5)
        return NULL;
    const int limit = n->type.dtype == DT_F64 ? 1000 : n->type.dtype == DT_F16 ? 12 : 120;
    if (exponent > limit || exponent < -limit)
        return NULL;
    return build_binary(g, OP_MUL, n->src[0], build_const_like(g, n->src[1], 1 / value));
}

Node *simplify_neg_neg(Graph *g, Node *n)
{
    (void)g;
    return n->src[0]->op == OP_NEG ? n->src[0]->src[0] : NULL;
}

Node *simplify_neg_mul(Graph *g, Node *n)
{
    Node *product = n->src[0];
    for (int i = 0; i < 2 && product->op == OP_MUL; i++) {
        Node *minus = negated_const(g, product->src[i]);
        if (minus)
            return build_binary(g, OP_MUL, product->src[1 - i], minus);
    }
    return NULL;
}

Node *simplify_abs_abs(Graph *g, Node *n)
{
    Node *x = n->src[0];
    if (x->op == OP_ABS)
        return x;
    bool is_signed = n->type.dtype != DT_U8; /* -x wraps in u8, and |x| is x */
    return x->op == OP_NEG && is_signed ? build_unary(g, OP_ABS, x->src[0]) : NULL;
}

Node *simplify_not_not(Graph *g, Node *n)
{
    (void)g;
    return n->src[0]->op == OP_NOT ? n->src[0]->src[0] : NULL;
}

/* Whether every value of `narrow` is one of `wide`. */
static bool holds_all(DType wide, DType narrow)
{
#define IN(e) (1u << DT_##e)
    static const uint16_t held_by[DT_COUNT] = {
        [DT_BOOL] =
            IN(BOOL) | IN(U8) | IN(I8) | IN(I32) | IN(I64) | IN(F16) | IN(BF16) | IN(F32) | IN(F64),
        [DT_U8] = IN(U8) | IN(I32) | IN(I64) | IN(F16) | IN(BF16) | IN(F32) | IN(F64),
        [DT_I8] = IN(I8) | IN(I32) | IN(I64) | IN(F16) | IN(BF16) | IN(F32) | IN(F64),
        [DT_I32] = IN(I32) | IN(I64) | IN(F64),
        [DT_I64] = IN(I64),
        [DT_F16] = IN(F16) | IN(F32) | IN(F64),
        [DT_BF16] = IN(BF16) | IN(F32) | IN(F64),
        [DT_F32] = IN(F32) | IN(F64),
        [DT_F64] = IN(F64),
    };
#undef IN
    return held_by[narrow] >> wide & 1;
}

/* Integers to a narrower integer wrap but floats saturate, so the step is skipped only when it
 * keeps the kind. */
Node *simplify_convert_convert(Graph *g, Node *n)
{
    Node *step = n->src[0];
    if (step->op != OP_CONVERT)
        return NULL;
    DType from = step->src[0]->type.dtype, between = step->type.dtype, to = n->type.dtype;
    bool one_rule = dtype_is_float(between) == dtype_is_float(from) || holds_all(to, from);
    return holds_all(between, from) && one_rule ? build_convert(g, step->src[0], to) : NULL;
}

Node *simplify_convert_same(Graph *g, Node *n)
{
    (void)g;
    return n->src[0]->type.dtype == n->type.dtype ? n->src[0] : NULL;
}

Node *simplify_stop_gone(Graph *g, Node *n)
{
    (void)g;
    return n->src[0];
}

Node *simplify_check_true(Graph *g, Node *n)
{
    (void)g;
    return is_const_value(n->src[1], 1) ? n->src[0] : NULL;
}

Node *simplify_select_const(Graph *g, Node *n)
{
    (void)g;
    double value;
    return is_const_number(n->src[0], &value) ? n->src[value != 0 ? 1 : 2] : NULL;
}

Node *simplify_select_same(Graph *g, Node *n)
{
    (void)g;
    return n->src[1] == n->src[2] ? n->src[1] : NULL;
}

Node *simplify_select_not(Graph *g, Node *n)
{
    return n->src[0]->op == OP_NOT ? build_select(g, n->src[0]->src[0], n->src[2], n->src[1])
                                   : NULL;
}

/* x as a value of the small type that it was widened from, or is a constant of; NULL: it is
 * none. */
static Node *narrower(Graph *g, Node *x, DType dtype)
{
    double value;
    if (node_is_widening(x))
        return x->src[0]->type.dtype == dtype ? x->src[0] : NULL;
    Type type = x->type;
    type.dtype = dtype;
    return is_const_number(x, &value) && dtype_round(dtype, value) == value
               ? build_const(g, type, value)
               : NULL;
}

Node *simplify_select_widened(Graph *g, Node *n)
{
    const Node *widened = node_is_widening(n->src[1]) ? n->src[1] : n->src[2];
    if (!node_is_widening(widened))
        return NULL;
    const DType dtype = widened->src[0]->type.dtype;
    Node *x = narrower(g, n->src[1], dtype), *y = x ? narrower(g, n->src[2], dtype) : NULL;
    return y ? build_convert(g, build_select(g, n->src[0], x, y), n->type.dtype) : NULL;
}

Node *simplify_at_widened(Graph *g, Node *n)
{
    Node *x = n->src[0];
    return node_is_widening(x)
               ? build_convert(g, build_at(g, n->attr.at.loop, x->src[0]), n->type.dtype)
               : NULL;
}

static bool is_bound(const Node *x, const Node *bound)
{
    double value;
    return x == bound || (x->op == OP_CONST && dtype_is_small_float(x->type.dtype) &&
                          is_const_number(bound, &value) && is_const_value(x, value));
}

/* select(condition, bound, x), of x or of what x widens? */
static bool is_clamp(const Node *y, const Node *condition, const Node *bound, const Node *x)
{
    return y->op == OP_SELECT && y->src[0] == condition && is_bound(y->src[1], bound) &&
           (y->src[2] == x || (node_is_widening(x) && y->src[2] == x->src[0]));
}

/* The clamp below n, if the graph has it and n is none. */
static Node *find_clamp(const Graph *g, const Node *n, const Node *condition, const Node *bound,
                        const Node *x)
{
    for (uint32_t id = condition->id + 1; id < n->id && !is_clamp(n, condition, bound, x); id++) {
        Node *y = g->nodes.data[id];
        if (is_clamp(y, condition, bound, x))
            return y;
    }
    return NULL;
}

/* relu is y = select(x <= 0, 0, x), its gradient select(x <= 0, 0, dy). y <= 0 exactly where x <=
 * 0, so the gradient may ask y, which the next layer keeps anyway. The same for an upper bound. */
Node *simplify_select_clamped(Graph *g, Node *n)
{
    const Node *condition = n->src[0];
    if (condition->op != OP_LE)
        return NULL;
    for (int i = 0; i < 2; i++) {
        Node *bound = condition->src[i], *x = condition->src[1 - i];
        Node *y = bound->op == OP_CONST ? find_clamp(g, n, condition, bound, x) : NULL;
        y = y ? build_convert(g, y, bound->type.dtype) : NULL;
        if (y)
            return build_select(g, build_binary(g, OP_LE, i ? y : bound, i ? bound : y), n->src[1],
                                n->src[2]);
    }
    return NULL;
}

/* ---- relu, then max-pool ----
 *
 * Windows that tile (grad_window.c) give an element the gradient of one window, when it is the
 * first maximum there. Whether relu lets it pass is then a question to that maximum, a quarter of
 * the values for a pool of 2x2:
 *
 *   select(y <= 0, 0, flat(select(argmax y == tap, repeat dy, 0)))
 *   flat(select(argmax y == tap, repeat select(max-pool y <= 0, 0, dy), 0)) */

static bool is_zero(const Node *n)
{
    return is_const_value(n, 0);
}

/* What lies below moves that keep every element and add zeros. */
static Node *below_flat(Node *n)
{
    while (n->op == OP_RESHAPE || (n->op == OP_PAD && is_zero(n->src[1])))
        n = n->src[0];
    return n;
}

/* The same moves, of something else. */
static Node *flat_again(Graph *g, Node *n, const Node *bottom, Node *x)
{
    if (n == bottom)
        return x;
    x = flat_again(g, n->src[0], bottom, x);
    if (!x || n->op == OP_RESHAPE)
        return x ? build_reshape(g, x, n->type.rank, n->type.dims) : NULL;
    return graph_node(g, OP_PAD, (Node *[]){x, n->src[1]}, 2, &n->attr);
}

/* [R, 1, ..] of [R, k, ..], NULL: no repetition of something of this shape. */
static Node *repeated(Node *n, const Type *once)
{
    return n->op == OP_EXPAND && (!once || simplify_same_dims(&n->src[0]->type, once)) ? n->src[0]
                                                                                       : NULL;
}

/* The node argmax == tap asks, repeated: its form with one tap. */
static Node *argmax_of(Node *condition, const Node *y)
{
    for (int i = 0; condition->op == OP_EQ && i < 2; i++) {
        Node *once = repeated(condition->src[i], NULL), *argmax = once;
        while (argmax && argmax->op == OP_RESHAPE)
            argmax = argmax->src[0];
        if (argmax && argmax->op == OP_WINDOW_ARGMAX && argmax->src[0] == y)
            return once;
    }
    return NULL;
}

Node *simplify_select_pooled(Graph *g, Node *n)
{
    Node *condition = n->src[0], *chosen = below_flat(n->src[2]);
    if (condition->op != OP_LE || !is_zero(condition->src[1]) || !is_zero(n->src[1]) ||
        chosen->op != OP_SELECT || !is_zero(chosen->src[2]))
        return NULL;
    Node *y = condition->src[0], *once = argmax_of(chosen->src[0], y), *argmax = once;
    Node *dy = once ? repeated(chosen->src[1], &once->type) : NULL;
    if (!dy)
        return NULL;
    while (argmax->op == OP_RESHAPE)
        argmax = argmax->src[0];
    Node *most = graph_node(g, OP_WINDOW_MAX, &y, 1, &argmax->attr);
    dy = most ? build_reshape(g, dy, most->type.rank, most->type.dims) : NULL;
    if (!dy)
        return NULL;
    Node *closed = build_binary(g, OP_LE, most, build_const_like(g, most, 0));
    Node *passed = build_select(g, closed, build_const_like(g, dy, 0), dy);
    passed = passed ? build_reshape(g, passed, once->type.rank, once->type.dims) : NULL;
    const Type *wide = &chosen->src[1]->type;
    Node *repeat = passed ? build_expand(g, passed, wide->rank, wide->dims) : NULL;
    Node *pooled = repeat ? build_select(g, chosen->src[0], repeat, chosen->src[2]) : NULL;
    return pooled ? flat_again(g, n->src[2], chosen, pooled) : NULL;
}

Node *simplify_same_operands(Graph *g, Node *n)
{
    (void)g;
    return n->src[0] == n->src[1] ? n->src[0] : NULL;
}

static Node *bool_const(Node *n, double neutral)
{
    for (int i = 0; i < 2 && n->type.dtype == DT_BOOL; i++) {
        if (is_const_value(n->src[i], neutral))
            return n->src[1 - i];
        if (is_const_value(n->src[i], 1 - neutral))
            return n->src[i];
    }
    return NULL;
}

Node *simplify_and_const(Graph *g, Node *n)
{
    (void)g;
    return bool_const(n, 1);
}

Node *simplify_or_const(Graph *g, Node *n)
{
    (void)g;
    return bool_const(n, 0);
}

/* ---- reductions, windows, indices ---- */

Node *simplify_reduce_one(Graph *g, Node *n)
{
    if (!axes_are_unit(&n->src[0]->type, &n->attr.axes))
        return NULL;
    return build_reshape(g, n->src[0], n->type.rank, n->type.dims);
}

Node *simplify_sum_one(Graph *g, Node *n)
{
    Node *only = simplify_reduce_one(g, n);
    return only && !is_int(n) ? build_binary(g, OP_ADD, only, build_const_like(g, only, 0)) : only;
}

Node *simplify_arg_one(Graph *g, Node *n)
{
    return axis_is_unit(&n->src[0]->type, n->attr.axis) ? build_const(g, n->type, 0) : NULL;
}

Node *simplify_iota_one(Graph *g, Node *n)
{
    return axis_is_unit(&n->type, n->attr.iota.axis) ? build_const(g, n->type, 0) : NULL;
}

Node *simplify_window_one(Graph *g, Node *n)
{
    (void)g;
    for (int i = 0; i < n->attr.window.rank; i++)
        if (n->attr.window.size[i] != 1 || n->attr.window.stride[i] != 1 ||
            !dim_is(n->attr.window.pad_low[i], 0) || !dim_is(n->attr.window.pad_high[i], 0))
            return NULL;
    return n->src[0];
}

/* ---- dot ---- */

/* The axes of the permuted operand as axes of what it permutes. */
static Axes unpermuted(const Axes *axes, const Axes *perm)
{
    Axes result = *axes;
    for (int i = 0; i < axes->count; i++)
        result.axis[i] = perm->axis[axes->axis[i]];
    return result;
}

/* The axes neither batch nor contracted must keep their order, for they make the result. */
static bool rest_keeps_order(const Axes *perm, const Axes *batch, const Axes *contract)
{
    int last = -1;
    for (int i = 0; i < perm->count; i++) {
        bool used = false;
        for (int j = 0; j < batch->count; j++)
            used |= batch->axis[j] == i;
        for (int j = 0; j < contract->count; j++)
            used |= contract->axis[j] == i;
        if (used)
            continue;
        if (perm->axis[i] < last)
            return false;
        last = perm->axis[i];
    }
    return true;
}

Node *simplify_dot_permute(Graph *g, Node *n)
{
    Attr attr = n->attr;
    Node *src[2] = {n->src[0], n->src[1]};
    Axes *batch[2] = {&attr.dot.batch_x, &attr.dot.batch_y};
    Axes *contract[2] = {&attr.dot.contract_x, &attr.dot.contract_y};
    for (int i = 0; i < 2; i++) {
        const Axes *perm = &src[i]->attr.perm;
        if (src[i]->op != OP_PERMUTE || !rest_keeps_order(perm, batch[i], contract[i]))
            continue;
        *batch[i] = unpermuted(batch[i], perm);
        *contract[i] = unpermuted(contract[i], perm);
        src[i] = src[i]->src[0];
    }
    return src[0] != n->src[0] || src[1] != n->src[1] ? graph_node(g, OP_DOT, src, 2, &attr) : NULL;
}
