/* Gradients of elementwise operations: ordinary elementwise nodes of the operands, the result y and
 * dy.
 *
 * At the edges they do as PyTorch does: sqrt at 0 is dy/(2*0); pow has exact zeros where the
 * exponent is 0 and, for the gradient of the exponent, where the base is 0; max and min share
 * between equal operands. Where one operand of max or min is a constant the other is clamped (relu
 * is max(x, 0)): at the bound its gradient is 0. The clamp is decided on the result, which the next
 * layer keeps anyway, so that x need not be kept. */
#include "compiler/passes/grad_rules.h"

static Node *number(Grad *grad, const Node *like, double value)
{
    return build_const_like(grad->graph, like, value);
}

static Node *unary(Grad *grad, OpCode op, Node *x)
{
    return build_unary(grad->graph, op, x);
}

static Node *binary(Grad *grad, OpCode op, Node *x, Node *y)
{
    return build_binary(grad->graph, op, x, y);
}

void grad_neg(Grad *grad, Node *node, Node *dy)
{
    grad_give(grad, node->src[0], unary(grad, OP_NEG, dy));
}

void grad_abs(Grad *grad, Node *node, Node *dy)
{
    Node *x = node->src[0];
    grad_give(grad, x, binary(grad, OP_MUL, dy, unary(grad, OP_SIGN, x)));
}

void grad_sqrt(Grad *grad, Node *node, Node *dy)
{
    Node *twice = binary(grad, OP_MUL, node, number(grad, node, 2));
    grad_give(grad, node->src[0], binary(grad, OP_DIV, dy, twice));
}

void grad_exp(Grad *grad, Node *node, Node *dy)
{
    grad_give(grad, node->src[0], binary(grad, OP_MUL, dy, node));
}

void grad_log(Grad *grad, Node *node, Node *dy)
{
    grad_give(grad, node->src[0], binary(grad, OP_DIV, dy, node->src[0]));
}

void grad_log1p(Grad *grad, Node *node, Node *dy)
{
    Node *x = node->src[0];
    grad_give(grad, x, binary(grad, OP_DIV, dy, binary(grad, OP_ADD, x, number(grad, x, 1))));
}

void grad_expm1(Grad *grad, Node *node, Node *dy)
{
    Node *exp = binary(grad, OP_ADD, node, number(grad, node, 1));
    grad_give(grad, node->src[0], binary(grad, OP_MUL, dy, exp));
}

void grad_tanh(Grad *grad, Node *node, Node *dy)
{
    Node *slope = binary(grad, OP_SUB, number(grad, node, 1), binary(grad, OP_MUL, node, node));
    grad_give(grad, node->src[0], binary(grad, OP_MUL, dy, slope));
}

void grad_sin(Grad *grad, Node *node, Node *dy)
{
    grad_give(grad, node->src[0], binary(grad, OP_MUL, dy, unary(grad, OP_COS, node->src[0])));
}

void grad_cos(Grad *grad, Node *node, Node *dy)
{
    Node *sine = unary(grad, OP_NEG, unary(grad, OP_SIN, node->src[0]));
    grad_give(grad, node->src[0], binary(grad, OP_MUL, dy, sine));
}

void grad_erf(Grad *grad, Node *node, Node *dy)
{
    const double two_over_root_pi = 1.1283791670955126;
    Node *x = node->src[0];
    Node *bell = unary(grad, OP_EXP, unary(grad, OP_NEG, binary(grad, OP_MUL, x, x)));
    double factor = dtype_round(x->type.dtype, two_over_root_pi);
    grad_give(grad, x,
              binary(grad, OP_MUL, dy, binary(grad, OP_MUL, number(grad, x, factor), bell)));
}

void grad_convert(Grad *grad, Node *node, Node *dy)
{
    Node *x = node->src[0];
    if (grad_wants(grad, x))
        grad_give(grad, x, build_convert(grad->graph, dy, x->type.dtype));
}

void grad_add(Grad *grad, Node *node, Node *dy)
{
    grad_give(grad, node->src[0], dy);
    grad_give(grad, node->src[1], dy);
}

void grad_sub(Grad *grad, Node *node, Node *dy)
{
    grad_give(grad, node->src[0], dy);
    if (grad_wants(grad, node->src[1]))
        grad_give(grad, node->src[1], unary(grad, OP_NEG, dy));
}

void grad_mul(Grad *grad, Node *node, Node *dy)
{
    for (int i = 0; i < 2; i++)
        if (grad_wants(grad, node->src[i]))
            grad_give(grad, node->src[i], binary(grad, OP_MUL, dy, node->src[1 - i]));
}

void grad_div(Grad *grad, Node *node, Node *dy)
{
    Node *quotient = binary(grad, OP_DIV, dy, node->src[1]);
    grad_give(grad, node->src[0], quotient);
    if (grad_wants(grad, node->src[1]))
        grad_give(grad, node->src[1], unary(grad, OP_NEG, binary(grad, OP_MUL, quotient, node)));
}

void grad_mod(Grad *grad, Node *node, Node *dy)
{
    Node *x = node->src[0], *y = node->src[1];
    grad_give(grad, x, dy);
    if (grad_wants(grad, y))
        grad_give(grad, y,
                  unary(grad, OP_NEG, binary(grad, OP_MUL, dy, binary(grad, OP_FLOORDIV, x, y))));
}

/* x^y by x is y * x^(y-1), and exactly 0 where y is 0 (0 * 0^-1 would be NaN). */
static Node *pow_by_base(Grad *grad, Node *x, Node *y, Node *dy)
{
    Node *zero = number(grad, y, 0);
    if (y->op == OP_CONST) {
        double power = y->attr.constant.value.f;
        if (power == 0)
            return grad_zeros_like(grad->graph, x);
        if (power == 2)
            return binary(grad, OP_MUL, dy, binary(grad, OP_MUL, y, x));
    }
    Node *lower = binary(grad, OP_POW, x, binary(grad, OP_SUB, y, number(grad, y, 1)));
    Node *slope = binary(grad, OP_MUL, dy, binary(grad, OP_MUL, y, lower));
    return y->op == OP_CONST ? slope
                             : build_select(grad->graph, binary(grad, OP_EQ, y, zero), zero, slope);
}

/* x^y by y is x^y * log x, and 0 where x is 0 and y >= 0. */
static Node *pow_by_exponent(Grad *grad, Node *power, Node *dy)
{
    Node *x = power->src[0], *y = power->src[1], *zero = number(grad, y, 0);
    Node *flat = binary(grad, OP_AND, binary(grad, OP_EQ, x, zero), binary(grad, OP_LE, zero, y));
    Node *slope = binary(grad, OP_MUL, power, unary(grad, OP_LOG, x));
    return binary(grad, OP_MUL, dy, build_select(grad->graph, flat, zero, slope));
}

void grad_pow(Grad *grad, Node *node, Node *dy)
{
    if (grad_wants(grad, node->src[0]))
        grad_give(grad, node->src[0], pow_by_base(grad, node->src[0], node->src[1], dy));
    if (grad_wants(grad, node->src[1]))
        grad_give(grad, node->src[1], pow_by_exponent(grad, node, dy));
}

static bool is_constant(const Node *node)
{
    return node->op == OP_CONST || (node->op == OP_EXPAND && is_constant(node->src[0]));
}

/* The part of operand i of max(x0, x1) or min(x0, x1). NaN counts as a win of both. */
static Node *extreme_part(Grad *grad, Node *node, int i, Node *dy)
{
    Node *x = node->src[i], *other = node->src[1 - i], *zero = number(grad, dy, 0);
    bool max = node->op == OP_MAX;
    if (is_constant(other)) {
        Node *clamped = max ? binary(grad, OP_LE, node, other) : binary(grad, OP_LE, other, node);
        return build_select(grad->graph, clamped, zero, dy);
    }
    Node *lost = max ? binary(grad, OP_LT, x, other) : binary(grad, OP_LT, other, x);
    Node *half = binary(grad, OP_MUL, dy, number(grad, dy, 0.5));
    Node *part = build_select(grad->graph, lost, zero, dy);
    return build_select(grad->graph, binary(grad, OP_EQ, x, other), half, part);
}

void grad_max(Grad *grad, Node *node, Node *dy)
{
    for (int i = 0; i < 2; i++)
        if (grad_wants(grad, node->src[i]))
            grad_give(grad, node->src[i], extreme_part(grad, node, i, dy));
}

void grad_min(Grad *grad, Node *node, Node *dy)
{
    grad_max(grad, node, dy);
}

void grad_select(Grad *grad, Node *node, Node *dy)
{
    Node *condition = node->src[0], *zero = number(grad, dy, 0);
    if (grad_wants(grad, node->src[1]))
        grad_give(grad, node->src[1], build_select(grad->graph, condition, dy, zero));
    if (grad_wants(grad, node->src[2]))
        grad_give(grad, node->src[2], build_select(grad->graph, condition, zero, dy));
}

void grad_fma(Grad *grad, Node *node, Node *dy)
{
    for (int i = 0; i < 2; i++)
        if (grad_wants(grad, node->src[i]))
            grad_give(grad, node->src[i], binary(grad, OP_MUL, dy, node->src[1 - i]));
    grad_give(grad, node->src[2], dy);
}

void grad_check(Grad *grad, Node *node, Node *dy)
{
    grad_give(grad, node->src[0], dy);
}
