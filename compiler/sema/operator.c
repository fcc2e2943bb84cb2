/* Operators. Two constants fold (integers as polynomials of dimensions), a constant takes the type
 * of the tensor it meets, and two tensors need one element type and shapes that broadcast by a
 * literal 1 or missing leading axes; sizes that may be equal are settled at run time (relation.c).
 *
 *   2*B + 1            a size             x / 255.0    div x (255)
 *   f32[B, 3] + f32[3] add                u8 + f32     error E0200 */
#include "compiler/sema/internal.h"

#include <math.h>
#include <string.h>

/* ---- Constants ---- */

static Value overflow(Sema *s, Span span)
{
    sema_error(s, ERR_E0208, span, NULL,
               "this integer leaves 63 bits, or the expression of sizes grows too large");
    return value_poison;
}

static Value dim_result(Sema *s, const Dim *dim, Span span)
{
    return dim ? value_int(dim, span) : overflow(s, span);
}

static Value int_power(Sema *s, const Dim *base, int64_t exponent, Span span)
{
    const Dim *result = dim_const(s->dims, 1);
    int64_t number;
    if (exponent < 0)
        return value_poison;
    if (dim_is_const(base, &number) && (number == 0 || number == 1 || number == -1))
        return value_number(s,
                            number == -1    ? (exponent % 2 ? -1 : 1)
                            : exponent == 0 ? 1
                                            : number,
                            span);
    for (int64_t i = 0; i < exponent && result; i++)
        result = i < 64 ? dim_mul(s->dims, result, base) : NULL;
    return dim_result(s, result, span);
}

static Value int_division(Sema *s, AstBinary op, const Value *a, const Value *b, Span span)
{
    int64_t x, y;
    const Dim *quotient;
    bool numbers = value_int64(a, &x) && value_int64(b, &y);
    if (dim_is(b->as.dim, 0)) {
        sema_error(s, ERR_E0208, span, NULL, "division by zero");
        return value_poison;
    }
    if (op == AST_DIV) {
        if (numbers ? x % y == 0 : dim_divides_exactly(s->dims, a->as.dim, b->as.dim, &quotient))
            return numbers ? value_number(s, x / y, span) : value_int(quotient, span);
        DiagItem *item = sema_error(s, ERR_E0208, span, NULL, "%s / %s leaves a remainder",
                                    dim_text(s, a->as.dim), dim_text(s, b->as.dim));
        if (numbers)
            diag_help(item, "write // to round down, or %lld.0 / %lld for a number with a fraction",
                      (long long)x, (long long)y);
        else
            diag_help(item, "write // to round down");
        return value_poison;
    }
    if (numbers) {
        int64_t floor = x / y - (x % y != 0 && (x < 0) != (y < 0));
        return value_number(s, op == AST_MOD ? x - floor * y : floor, span);
    }
    if (dim_is_const(b->as.dim, &y) && y < 0) {
        sema_error(s, ERR_E0208, span, NULL, "a size divided by a negative number");
        return value_poison;
    }
    return dim_result(s,
                      op == AST_MOD ? dim_mod(s->dims, a->as.dim, b->as.dim)
                                    : dim_floordiv(s->dims, a->as.dim, b->as.dim),
                      span);
}

static int compare_sign(AstBinary op, int order)
{
    switch (op) {
    case AST_EQ:
        return order == 0;
    case AST_NE:
        return order != 0;
    case AST_LT:
        return order < 0;
    case AST_GT:
        return order > 0;
    case AST_LE:
        return order <= 0;
    default:
        return order >= 0;
    }
}

/* In an assert: the sizes of the batch decide when it runs. */
static Value open_compare(Sema *s, AstBinary op, const Value *a, const Value *b, Span span)
{
    static const OpCode ops[AST_BINARY_COUNT] = {
        [AST_EQ] = OP_EQ, [AST_NE] = OP_NE, [AST_LT] = OP_LT,
        [AST_GT] = OP_LT, [AST_LE] = OP_LE, [AST_GE] = OP_LE,
    };
    bool swap = op == AST_GT || op == AST_GE;
    Graph *graph = s->elab->graph;
    Node *x = build_dim(graph, a->as.dim, DT_I64), *y = build_dim(graph, b->as.dim, DT_I64);
    return value_tensor(build_binary(graph, ops[op], swap ? y : x, swap ? x : y), span);
}

static Value int_compare(Sema *s, AstBinary op, const Value *a, const Value *b, Span span)
{
    const Dim *difference = dim_sub(s->dims, a->as.dim, b->as.dim);
    int64_t number;
    if (!difference)
        return overflow(s, span);
    if (dim_is_const(difference, &number))
        return value_bool(compare_sign(op, (number > 0) - (number < 0)), span);
    if (s->elab->generic)
        return value_poison;
    if (s->in_assert)
        return open_compare(s, op, a, b, span);
    sema_error(s, ERR_E0203, span, NULL, "whether %s %s %s is known only at run time",
               dim_text(s, a->as.dim), ast_binary_text(op), dim_text(s, b->as.dim));
    return value_poison;
}

static bool is_comparison(AstBinary op)
{
    return op >= AST_EQ && op <= AST_GE;
}

static Value int_binary(Sema *s, AstBinary op, const Value *a, const Value *b, Span span)
{
    int64_t exponent;
    if (is_comparison(op))
        return int_compare(s, op, a, b, span);
    switch (op) {
    case AST_ADD:
        return dim_result(s, dim_add(s->dims, a->as.dim, b->as.dim), span);
    case AST_SUB:
        return dim_result(s, dim_sub(s->dims, a->as.dim, b->as.dim), span);
    case AST_MUL:
        return dim_result(s, dim_mul(s->dims, a->as.dim, b->as.dim), span);
    case AST_POW:
        if (value_int64(b, &exponent) && exponent >= 0)
            return int_power(s, a->as.dim, exponent, span);
        break;
    case AST_DIV:
    case AST_FLOORDIV:
    case AST_MOD:
        return int_division(s, op, a, b, span);
    default:
        break;
    }
    sema_error(s, ERR_E0204, span, NULL, "%s is not defined for %s and %s", ast_binary_text(op),
               value_text(s, a), value_text(s, b));
    return value_poison;
}

static Value real_binary(Sema *s, AstBinary op, double x, double y, Span span)
{
    if (is_comparison(op))
        return value_bool(x != x || y != y ? op == AST_NE : compare_sign(op, (x > y) - (x < y)),
                          span);
    switch (op) {
    case AST_ADD:
        return value_float(x + y, span);
    case AST_SUB:
        return value_float(x - y, span);
    case AST_MUL:
        return value_float(x * y, span);
    case AST_POW:
        return value_float(pow(x, y), span);
    case AST_DIV:
    case AST_FLOORDIV:
    case AST_MOD:
        if (y == 0) {
            sema_error(s, ERR_E0208, span, NULL, "division by zero");
            return value_poison;
        }
        return value_float(op == AST_DIV   ? x / y
                           : op == AST_MOD ? x - y * floor(x / y)
                                           : floor(x / y),
                           span);
    default:
        sema_error(s, ERR_E0204, span, NULL, "%s is not defined for numbers with a fraction",
                   ast_binary_text(op));
        return value_poison;
    }
}

static Value string_binary(Sema *s, const Value *a, const Value *b, Span span)
{
    size_t length = (size_t)a->as.string.length + b->as.string.length;
    if (length > 1u << 16) {
        sema_error(s, ERR_E0408, span, NULL, "a string of more than 65536 bytes");
        return value_poison;
    }
    char *text = arena_alloc(s->arena, length + 1);
    memcpy(text, a->as.string.text, a->as.string.length);
    memcpy(text + a->as.string.length, b->as.string.text, b->as.string.length);
    return value_string(text, (uint32_t)length, span);
}

static Value array_binary(Sema *s, const Value *a, const Value *b, Span span)
{
    const ValueList *x = a->as.list, *y = b->as.list;
    if ((uint64_t)x->count + y->count > LIMIT_LIST) {
        sema_error(s, ERR_E0408, span, NULL, "an array of more than %d entries", LIMIT_LIST);
        return value_poison;
    }
    Value result = value_list(s, a->kind, x->count + y->count, span);
    s->work += (x->count + y->count) / 8;
    for (uint32_t i = 0; i < x->count; i++)
        result.as.list->items[i] = x->items[i];
    for (uint32_t i = 0; i < y->count; i++)
        result.as.list->items[x->count + i] = y->items[i];
    return result;
}

/* ---- Tensors ---- */

Node *weak_to(Sema *s, const Value *v, DType dtype)
{
    Node *node = v->as.node;
    return v->weak && dtype_is_float(dtype) ? build_convert(s->elab->graph, node, dtype) : node;
}

static bool dims_fit(const Dim *a, const Dim *b, const Dim **out)
{
    *out = dim_is(a, 1) ? b : a;
    return a == b || dim_is(a, 1) || dim_is(b, 1);
}

bool broadcast_shapes(Sema *s, const Type *a, const Type *b, Type *out)
{
    (void)s;
    const Type *longer = a->rank >= b->rank ? a : b, *other = longer == a ? b : a;
    int missing = longer->rank - other->rank;
    *out = *longer;
    for (int i = missing; i < longer->rank; i++)
        if (!dims_fit(longer->dims[i], other->dims[i - missing], &out->dims[i]))
            return false;
    return true;
}

static void no_broadcast(Sema *s, const Value *a, const Value *b, const Type *x, const Type *y,
                         Span span, const char *sign)
{
    DiagItem *item = sema_error(s, ERR_E0302, span, NULL, "%s cannot join %s and %s", sign,
                                type_text(s, x), type_text(s, y));
    int rank = x->rank < y->rank ? x->rank : y->rank;
    const Dim *p = NULL, *q = NULL, *out;
    for (int i = 1; i <= rank; i++)
        if (!dims_fit(x->dims[x->rank - i], y->dims[y->rank - i], &out)) {
            p = x->dims[x->rank - i];
            q = y->dims[y->rank - i];
            break;
        }
    if (p && !sema_is_null_span(a->span))
        diag_note(item, sema_user_span(s, a->span), "%s here ...", dim_text(s, p));
    if (q && !sema_is_null_span(b->span))
        diag_note(item, sema_user_span(s, b->span), "... and %s here", dim_text(s, q));
}

static void different_types(Sema *s, const Value *a, const Value *b, Span span, const char *sign)
{
    DType x = a->as.node->type.dtype, y = b->as.node->type.dtype;
    DiagItem *item = sema_error(s, ERR_E0200, span, NULL, "%s of %s and %s", sign, value_text(s, a),
                                value_text(s, b));
    if (!sema_is_null_span(a->span))
        diag_note(item, sema_user_span(s, a->span), "%s here ...", dtype_name(x));
    if (!sema_is_null_span(b->span))
        diag_note(item, sema_user_span(s, b->span), "... and %s here", dtype_name(y));
    diag_help(item, "convert one side: %s(...)", dtype_name(dtype_is_float(x) ? x : y));
}

/* Both as nodes of one element type. */
static bool same_type(Sema *s, const Value *a, const Value *b, Span span, const char *sign,
                      Node **x, Node **y)
{
    if (a->kind != VALUE_TENSOR) {
        *y = b->as.node;
        *x = value_constant_node(s, a, b->as.node->type.dtype, span);
    } else if (b->kind != VALUE_TENSOR) {
        *x = a->as.node;
        *y = value_constant_node(s, b, a->as.node->type.dtype, span);
    } else {
        *x = b->weak ? a->as.node : weak_to(s, a, b->as.node->type.dtype);
        *y = a->weak ? b->as.node : weak_to(s, b, a->as.node->type.dtype);
        if ((*x)->type.dtype != (*y)->type.dtype) {
            different_types(s, a, b, span, sign);
            return false;
        }
    }
    return *x && *y;
}

Value apply_op(Sema *s, OpCode op, const Value *a, const Value *b, Span span, const char *sign)
{
    Node *x, *y;
    Type type;
    if (a->kind == VALUE_POISON || b->kind == VALUE_POISON ||
        !same_type(s, a, b, span, sign, &x, &y))
        return value_poison;
    if (!settle_operands(s, &x, &y, 0, span, sign) ||
        !broadcast_shapes(s, &x->type, &y->type, &type)) {
        no_broadcast(s, a, b, &x->type, &y->type, span, sign);
        return value_poison;
    }
    if (!type_elements(s->dims, &type))
        return overflow(s, span);
    Graph *graph = s->elab->graph;
    graph->error = NULL;
    Node *node = build_binary(graph, op, x, y);
    if (!node) {
        sema_error(s, ERR_E0204, span, NULL, "%s is not defined for %s", sign,
                   dtype_name(x->type.dtype));
        return value_poison;
    }
    Value result = value_tensor(node, span);
    result.weak = (a->weak || a->kind != VALUE_TENSOR) && (b->weak || b->kind != VALUE_TENSOR) &&
                  node->type.rank == 0 && node->type.dtype == DT_F64;
    return result;
}

static Node *broadcast_leading(Sema *s, Node *x, const Dim *const *lead, int count)
{
    const Dim *dims[MAX_RANK];
    int rank = count + 2;
    for (int i = 0; i < count; i++)
        dims[i] = lead[i];
    dims[count] = x->type.dims[x->type.rank - 2];
    dims[count + 1] = x->type.dims[x->type.rank - 1];
    return build_broadcast(s->elab->graph, x, rank, dims);
}

static Type leading(const Type *type)
{
    Type lead = *type;
    lead.rank -= 2;
    return lead;
}

/* x[.., K] @ y[K, N] contracts without making y larger; otherwise leading axes broadcast. */
static Node *matmul_ranks(Sema *s, Node *x, Node *y, Span span)
{
    Graph *graph = s->elab->graph;
    Axes none = {0};
    if (y->type.rank == 1)
        return build_dot(graph, x, y, none, none, axes_one(x->type.rank - 1), axes_one(0));
    if (x->type.rank == 1 && y->type.rank == 2)
        return build_dot(graph, x, y, none, none, axes_one(0), axes_one(0));
    if (y->type.rank == 2)
        return build_dot(graph, x, y, none, none, axes_one(x->type.rank - 1), axes_one(0));
    if (x->type.rank < 2 || !settle_operands(s, &x, &y, 2, span, "@"))
        return NULL;
    Type a = leading(&x->type), b = leading(&y->type), out;
    if (!broadcast_shapes(s, &a, &b, &out))
        return NULL;
    x = broadcast_leading(s, x, out.dims, out.rank);
    y = broadcast_leading(s, y, out.dims, out.rank);
    return build_matmul(graph, x, y);
}

static Node *sema_matmul(Sema *s, Node *x, Node *y, Span span)
{
    if (x->type.rank == 0 || y->type.rank == 0) {
        sema_error(s, ERR_E0301, span, NULL, "@ needs axes on both sides, and gets %s and %s",
                   type_text(s, &x->type), type_text(s, &y->type));
        return NULL;
    }
    int i = x->type.rank - 1, j = y->type.rank > 1 ? y->type.rank - 2 : 0;
    const Dim *k = x->type.dims[i], *l = y->type.dims[j];
    s->elab->graph->error = NULL;
    const char *what =
        arena_format(s->arena, "@ of %s and %s", type_text(s, &x->type), type_text(s, &y->type));
    bool fit = settle_alike(s, &y, j, k, span, what);
    Node *node = fit ? matmul_ranks(s, x, y, span) : NULL;
    if (!node) {
        DiagItem *item = sema_error(s, ERR_E0312, span, NULL, "@ cannot multiply %s by %s",
                                    type_text(s, &x->type), type_text(s, &y->type));
        if (!fit)
            diag_help(item,
                      "the last axis of the left side (%s) must equal the one before the last of "
                      "the right side (%s)",
                      dim_text(s, k), dim_text(s, l));
    }
    return node;
}

static Value matmul_values(Sema *s, const Value *a, const Value *b, Span span)
{
    Node *x, *y;
    if (!want_tensor(s, a, span, "the left side of @", &x) ||
        !want_tensor(s, b, span, "the right side of @", &y))
        return value_poison;
    if (x->type.dtype != y->type.dtype) {
        Value left = value_tensor(x, a->span), right = value_tensor(y, b->span);
        different_types(s, &left, &right, span, "@");
        return value_poison;
    }
    return value_tensor(sema_matmul(s, x, y, span), span);
}

static Value tensor_power(Sema *s, const Value *a, const Value *b, Span span)
{
    int64_t exponent;
    bool whole = value_int64(b, &exponent) && exponent >= 1 && exponent <= 4;
    if (a->kind != VALUE_TENSOR || !whole)
        return apply_op(s, OP_POW, a, b, span, "**");
    Value result = *a;
    for (int64_t i = 1; i < exponent; i++)
        result = apply_op(s, OP_MUL, &result, a, span, "**");
    return result;
}

static bool is_number(const Value *v)
{
    return v->kind == VALUE_TENSOR ? v->as.node->type.dtype != DT_BOOL : v->kind != VALUE_BOOL;
}

static Value tensor_binary(Sema *s, AstBinary op, const Value *a, const Value *b, Span span)
{
    static const struct {
        OpCode op;
        bool swap;
    } table[AST_BINARY_COUNT] = {
        [AST_OR] = {OP_OR, false},
        [AST_AND] = {OP_AND, false},
        [AST_EQ] = {OP_EQ, false},
        [AST_NE] = {OP_NE, false},
        [AST_LT] = {OP_LT, false},
        [AST_GT] = {OP_LT, true},
        [AST_LE] = {OP_LE, false},
        [AST_GE] = {OP_LE, true},
        [AST_ADD] = {OP_ADD, false},
        [AST_SUB] = {OP_SUB, false},
        [AST_MUL] = {OP_MUL, false},
        [AST_DIV] = {OP_DIV, false},
        [AST_FLOORDIV] = {OP_FLOORDIV, false},
        [AST_MOD] = {OP_MOD, false},
    };
    const char *sign = ast_binary_text(op);
    const Value *tensor = a->kind == VALUE_TENSOR ? a : b;
    if (op == AST_POW)
        return tensor_power(s, a, b, span);
    bool logic = op == AST_OR || op == AST_AND;
    if ((logic && (is_number(a) || is_number(b))) ||
        (op >= AST_ADD && (!is_number(a) || !is_number(b)))) {
        sema_error(s, ERR_E0204, span, NULL, "%s is not defined for %s", sign,
                   logic == is_number(a) ? value_text(s, a) : value_text(s, b));
        return value_poison;
    }
    if (op == AST_DIV && !dtype_is_float(tensor->as.node->type.dtype)) {
        DiagItem *item = sema_error(s, ERR_E0204, span, NULL, "/ of integers: %s / %s",
                                    value_text(s, a), value_text(s, b));
        diag_help(item, "// rounds down; f32(...) / f32(...) keeps the fraction");
        return value_poison;
    }
    if (table[op].swap)
        return apply_op(s, table[op].op, b, a, span, sign);
    return apply_op(s, table[op].op, a, b, span, sign);
}

/* A size that is not a number, beside a float: its value at run time. */
static Value promote_size(Sema *s, const Value *v)
{
    Value result = value_tensor(build_dim(s->elab->graph, v->as.dim, DT_F64), v->span);
    result.weak = true;
    return result;
}

static Value constant_binary(Sema *s, AstBinary op, const Value *a, const Value *b, Span span)
{
    double x, y;
    if (a->kind == VALUE_INT && b->kind == VALUE_INT)
        return int_binary(s, op, a, b, span);
    if (value_real(a, &x) && value_real(b, &y))
        return real_binary(s, op, x, y, span);
    if (a->kind == VALUE_BOOL && b->kind == VALUE_BOOL && op <= AST_NE) {
        bool p = a->as.boolean, q = b->as.boolean;
        return value_bool(op == AST_OR    ? p || q
                          : op == AST_AND ? p && q
                          : op == AST_EQ  ? p == q
                                          : p != q,
                          span);
    }
    if (a->kind == VALUE_BOOL || b->kind == VALUE_BOOL) {
        sema_error(s, ERR_E0204, span, NULL, "%s is not defined for %s and %s", ast_binary_text(op),
                   value_text(s, a), value_text(s, b));
        return value_poison;
    }
    Value p = a->kind == VALUE_INT ? promote_size(s, a) : *a,
          q = b->kind == VALUE_INT ? promote_size(s, b) : *b;
    return tensor_binary(s, op, &p, &q, span);
}

static bool is_schedule(const Value *v)
{
    return v->kind == VALUE_SCHEDULE;
}

static bool operand_ok(const Value *v)
{
    return v->kind == VALUE_TENSOR || value_is_constant(v);
}

/* f32 is a function and a type: beside a type it is the type. */
static Value as_dtype(const Sema *s, const Value *v)
{
    Value type = {.kind = VALUE_DTYPE, .span = v->span};
    bool named = v->kind == VALUE_BUILTIN && sema_dtype(s, v->as.builtin->name, &type.as.dtype);
    return named ? type : *v;
}

Value eval_binary(Sema *s, AstBinary op, const Value *a, const Value *b, Span span)
{
    if (a->kind == VALUE_POISON || b->kind == VALUE_POISON)
        return value_poison;
    if (value_is_constant(a) && value_is_constant(b) && op != AST_MATMUL)
        return constant_binary(s, op, a, b, span);
    if (operand_ok(a) && operand_ok(b))
        return op == AST_MATMUL ? matmul_values(s, a, b, span) : tensor_binary(s, op, a, b, span);
    if (is_schedule(a) || is_schedule(b))
        return schedule_binary(s, op, a, b, span);
    if (op == AST_EQ || op == AST_NE) {
        Value x = as_dtype(s, a), y = as_dtype(s, b);
        if (x.kind == y.kind || x.kind == VALUE_NONE || y.kind == VALUE_NONE)
            return value_bool(value_equal(&x, &y) == (op == AST_EQ), span);
    }
    if (op == AST_ADD && a->kind == VALUE_STRING && b->kind == VALUE_STRING)
        return string_binary(s, a, b, span);
    if (op == AST_ADD && a->kind == b->kind && (a->kind == VALUE_ARRAY || a->kind == VALUE_TUPLE))
        return array_binary(s, a, b, span);
    DiagItem *item = sema_error(s, ERR_E0204, span, NULL, "%s is not defined for %s and %s",
                                ast_binary_text(op), value_text(s, a), value_text(s, b));
    if (a->kind == VALUE_TUPLE || b->kind == VALUE_TUPLE)
        diag_help(item, "take the results apart first: let a, b = ...");
    return value_poison;
}

Value eval_negate(Sema *s, const Value *v, Span span)
{
    if (v->kind == VALUE_FLOAT)
        return value_float(-v->as.real, span);
    if (v->kind == VALUE_INT)
        return dim_result(s, dim_sub(s->dims, dim_const(s->dims, 0), v->as.dim), span);
    if (v->kind == VALUE_TENSOR && v->as.node->type.dtype != DT_BOOL) {
        Value result = sema_node_value(s, build_unary(s->elab->graph, OP_NEG, v->as.node), span);
        result.weak = v->weak;
        return result;
    }
    Value zero = value_float(0, span);
    if (is_schedule(v))
        return schedule_binary(s, AST_SUB, &zero, v, span);
    if (v->kind != VALUE_POISON)
        sema_error(s, ERR_E0204, span, NULL, "- is not defined for %s", value_text(s, v));
    return value_poison;
}

Value eval_not(Sema *s, const Value *v, Span span)
{
    if (v->kind == VALUE_BOOL)
        return value_bool(!v->as.boolean, span);
    if (v->kind == VALUE_TENSOR && v->as.node->type.dtype == DT_BOOL)
        return sema_node_value(s, build_unary(s->elab->graph, OP_NOT, v->as.node), span);
    if (v->kind != VALUE_POISON)
        sema_error(s, ERR_E0204, span, NULL, "not is defined for bool, and this is %s",
                   value_text(s, v));
    return value_poison;
}
