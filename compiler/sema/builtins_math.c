/* Built-in functions on elements and reductions. A number known at compile time gives a number. */
#include "compiler/sema/builtins.h"

#include <math.h>

/* ---- Elementwise ---- */

static double fold_unary(OpCode op, double x)
{
    switch (op) {
    case OP_EXP:
        return exp(x);
    case OP_LOG:
        return log(x);
    case OP_LOG1P:
        return log1p(x);
    case OP_EXPM1:
        return expm1(x);
    case OP_SQRT:
        return sqrt(x);
    case OP_SIN:
        return sin(x);
    case OP_COS:
        return cos(x);
    case OP_TANH:
        return tanh(x);
    case OP_ERF:
        return erf(x);
    case OP_ABS:
        return fabs(x);
    case OP_SIGN:
        return (x > 0) - (x < 0);
    case OP_FLOOR:
        return floor(x);
    case OP_CEIL:
        return ceil(x);
    case OP_ROUND:
        return nearbyint(x);
    default:
        return x;
    }
}

static Value fold_constant(Sema *s, BuiltinCall *call, double x)
{
    OpCode op = call->row->op;
    int64_t number;
    bool domain =
        (op == OP_SQRT && x < 0) || (op == OP_LOG && x <= 0) || (op == OP_LOG1P && x <= -1);
    if (domain) {
        sema_error(s, ERR_E0208, call->span, NULL, "%s(%g) is not a number", call->row->name, x);
        return value_poison;
    }
    if (op == OP_IS_NAN)
        return value_bool(x != x, call->span);
    if (op == OP_STOP)
        return call->arg[0];
    bool whole = op == OP_ABS || op == OP_SIGN || op == OP_FLOOR || op == OP_CEIL || op == OP_ROUND;
    if (whole && value_int64(&call->arg[0], &number))
        return value_number(s,
                            op == OP_ABS    ? (number < 0 ? -number : number)
                            : op == OP_SIGN ? (number > 0) - (number < 0)
                                            : number,
                            call->span);
    return value_float(fold_unary(op, x), call->span);
}

Value builtin_unary(Sema *s, BuiltinCall *call)
{
    Value v = call->arg[0];
    double x;
    if (value_real(&v, &x))
        return fold_constant(s, call, x);
    if (v.kind == VALUE_INT) {
        v = value_tensor(build_dim(s->elab->graph, v.as.dim, DT_F64), v.span);
        v.weak = true;
    }
    Node *node;
    if (!want_tensor(s, &v, call->arg_span[0], call->row->name, &node))
        return value_poison;
    Node *result = build_unary(s->elab->graph, call->row->op, node);
    if (!result) {
        DiagItem *item = sema_error(s, ERR_E0204, call->span, NULL, "%s is not defined for %s",
                                    call->row->name, type_text(s, &node->type));
        if (dtype_kind(node->type.dtype) == KIND_INT)
            diag_help(item, "convert first: %s(f32(...))", call->row->name);
        return value_poison;
    }
    Value out = value_tensor(result, call->span);
    out.weak = v.weak;
    return out;
}

static Value pick_constant(Sema *s, BuiltinCall *call)
{
    const Value *a = &call->arg[0], *b = &call->arg[1];
    double x, y;
    if (value_real(a, &x) && value_real(b, &y))
        return (call->row->op == OP_MAX) == (x >= y) ? *a : *b;
    if (a->kind == VALUE_INT && b->kind == VALUE_INT && call->row->op == OP_MAX)
        return value_int(dim_max(s->dims, a->as.dim, b->as.dim), call->span);
    sema_error(s, ERR_E0203, call->span, NULL, "%s of sizes that are known only at run time",
               call->row->name);
    return value_poison;
}

Value builtin_binary(Sema *s, BuiltinCall *call)
{
    const Value *a = &call->arg[0], *b = &call->arg[1];
    if (call->row->op == OP_POW)
        return eval_binary(s, AST_POW, a, b, call->span);
    if (value_is_constant(a) && value_is_constant(b)) {
        if (call->row->op == OP_XOR && a->kind == VALUE_BOOL && b->kind == VALUE_BOOL)
            return value_bool(a->as.boolean != b->as.boolean, call->span);
        if (call->row->op != OP_XOR && a->kind != VALUE_BOOL && b->kind != VALUE_BOOL)
            return pick_constant(s, call);
        sema_error(s, ERR_E0204, call->span, NULL, "%s is not defined for %s and %s",
                   call->row->name, value_text(s, a), value_text(s, b));
        return value_poison;
    }
    for (int i = 0; i < 2; i++)
        if (call->arg[i].kind != VALUE_TENSOR && !value_is_constant(&call->arg[i])) {
            sema_error(s, ERR_E0204, call->arg_span[i], NULL, "%s is not defined for %s",
                       call->row->name, value_text(s, &call->arg[i]));
            return value_poison;
        }
    return apply_op(s, call->row->op, a, b, call->span, call->row->name);
}

/* The element type that constants among two values take. */
static DType common_dtype(Sema *s, const Value *a, const Value *b)
{
    const Value *fixed = a->kind == VALUE_TENSOR && !a->weak   ? a
                         : b->kind == VALUE_TENSOR && !b->weak ? b
                                                               : NULL;
    if (fixed)
        return fixed->as.node->type.dtype;
    if (a->kind == VALUE_TENSOR || b->kind == VALUE_TENSOR)
        return DT_F64;
    if (a->kind == VALUE_BOOL)
        return DT_BOOL;
    return a->kind == VALUE_INT && b->kind == VALUE_INT ? DT_I32 : sema_float(s);
}

static bool broadcast_three(Sema *s, BuiltinCall *call, Node **c, Node **x, Node **y)
{
    Type both, all;
    if (!settle_operands(s, x, y, 0, call->span, "where") ||
        !settle_operands(s, c, x, 0, call->span, "where") ||
        !settle_operands(s, c, y, 0, call->span, "where") ||
        !broadcast_shapes(s, &(*x)->type, &(*y)->type, &both) ||
        !broadcast_shapes(s, &both, &(*c)->type, &all)) {
        sema_error(s, ERR_E0302, call->span, NULL, "where cannot join %s, %s and %s",
                   type_text(s, &(*c)->type), type_text(s, &(*x)->type), type_text(s, &(*y)->type));
        return false;
    }
    Graph *graph = s->elab->graph;
    *c = build_broadcast(graph, *c, all.rank, all.dims);
    *x = build_broadcast(graph, *x, all.rank, all.dims);
    *y = build_broadcast(graph, *y, all.rank, all.dims);
    return *c && *x && *y;
}

Value builtin_where(Sema *s, BuiltinCall *call)
{
    if (call->arg[0].kind == VALUE_BOOL)
        return call->arg[call->arg[0].as.boolean ? 1 : 2];
    Node *c, *x, *y;
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], "the condition of where", &c))
        return value_poison;
    if (c->type.dtype != DT_BOOL) {
        sema_error(s, ERR_E0200, call->arg_span[0], NULL,
                   "the condition of where must be bool, and this is %s", type_text(s, &c->type));
        return value_poison;
    }
    DType dtype = common_dtype(s, &call->arg[1], &call->arg[2]);
    x = value_node(s, &call->arg[1], dtype, call->arg_span[1]);
    y = value_node(s, &call->arg[2], dtype, call->arg_span[2]);
    if (!x || !y)
        return value_poison;
    if (x->type.dtype != y->type.dtype) {
        sema_error(s, ERR_E0200, call->span, NULL, "where chooses between %s and %s",
                   type_text(s, &x->type), type_text(s, &y->type));
        return value_poison;
    }
    if (!broadcast_three(s, call, &c, &x, &y))
        return value_poison;
    Value out = sema_node_value(s, build_select(s->elab->graph, c, x, y), call->span);
    out.weak = out.kind == VALUE_TENSOR && dtype == DT_F64 && x->type.rank == 0 &&
               (call->arg[1].weak || call->arg[2].weak);
    return out;
}

Value builtin_clamp(Sema *s, BuiltinCall *call)
{
    Value v = call->arg[0];
    if (call->given[1]) {
        BuiltinCall low = {.row = builtin_find("maximum"),
                           .span = call->span,
                           .arg = {v, call->arg[1]},
                           .arg_span = {call->arg_span[0], call->arg_span[1]},
                           .given = {true, true}};
        v = builtin_binary(s, &low);
    }
    if (call->given[2] && v.kind != VALUE_POISON) {
        BuiltinCall high = {.row = builtin_find("minimum"),
                            .span = call->span,
                            .arg = {v, call->arg[2]},
                            .arg_span = {call->arg_span[0], call->arg_span[2]},
                            .given = {true, true}};
        v = builtin_binary(s, &high);
    }
    return v;
}

/* ---- Reductions ---- */

typedef struct {
    Node *x;
    Axes axes;
    bool keep;
} Reduction;

static bool read_reduction(Sema *s, BuiltinCall *call, Reduction *out)
{
    *out = (Reduction){0};
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], call->row->name, &out->x))
        return false;
    out->axes = axes_range(0, out->x->type.rank);
    if (call->given[1] &&
        !want_axes(s, &call->arg[1], call->arg_span[1], out->x->type.rank, &out->axes))
        return false;
    return !call->given[2] || want_bool(s, &call->arg[2], call->arg_span[2], "keep", &out->keep);
}

static Node *reduce_node(Sema *s, OpCode op, const Reduction *r)
{
    return (r->keep ? build_reduce_keep : build_reduce)(s->elab->graph, op, r->x, r->axes);
}

static Value reduced(Sema *s, BuiltinCall *call, Node *node, const Node *x)
{
    if (!node) {
        sema_error(s, ERR_E0204, call->span, NULL, "%s is not defined for %s", call->row->name,
                   type_text(s, &x->type));
        return value_poison;
    }
    return value_tensor(node, call->span);
}

/* max(a, b) of numbers and sizes is what people write first. */
static bool meant_two(Sema *s, BuiltinCall *call)
{
    bool minimum = call->row->op == OP_AMIN;
    if ((call->row->op != OP_AMAX && !minimum) || call->arg[0].kind == VALUE_TENSOR ||
        !call->given[1])
        return false;
    sema_error(s, ERR_E0200, call->span, NULL, "%s reduces one tensor; %s(a, b) takes two values",
               call->row->name, minimum ? "minimum" : "maximum");
    return true;
}

Value builtin_reduce(Sema *s, BuiltinCall *call)
{
    Reduction r;
    if (meant_two(s, call) || !read_reduction(s, call, &r))
        return value_poison;
    if (call->row->op == OP_SUM && r.x->type.dtype == DT_BOOL)
        r.x = build_convert(s->elab->graph, r.x, DT_I64);
    return reduced(s, call, reduce_node(s, call->row->op, &r), r.x);
}

static Node *count_of(Sema *s, const Reduction *r, DType dtype, int64_t less)
{
    const Dim *count = dim_const(s->dims, 1);
    for (int i = 0; i < r->axes.count && count; i++)
        count = dim_mul(s->dims, count, r->x->type.dims[r->axes.axis[i]]);
    count = count ? dim_sub(s->dims, count, dim_const(s->dims, less)) : NULL;
    return count ? build_dim(s->elab->graph, count, dtype) : NULL;
}

static bool float_operand(Sema *s, BuiltinCall *call, const Node *x)
{
    if (dtype_is_float(x->type.dtype))
        return true;
    DiagItem *item = sema_error(s, ERR_E0204, call->span, NULL, "%s is not defined for %s",
                                call->row->name, type_text(s, &x->type));
    diag_help(item, "convert first: %s(f32(...))", call->row->name);
    return false;
}

static Node *mean_node(Sema *s, const Reduction *r)
{
    Graph *graph = s->elab->graph;
    return build_binary(graph, OP_DIV, reduce_node(s, OP_SUM, r),
                        count_of(s, r, r->x->type.dtype, 0));
}

Value builtin_mean(Sema *s, BuiltinCall *call)
{
    Reduction r;
    if (!read_reduction(s, call, &r) || !float_operand(s, call, r.x))
        return value_poison;
    return sema_node_value(s, mean_node(s, &r), call->span);
}

Value builtin_var(Sema *s, BuiltinCall *call)
{
    Reduction r;
    int64_t correction = 0;
    if (!read_reduction(s, call, &r) || !float_operand(s, call, r.x))
        return value_poison;
    if (call->given[3] && !want_int(s, &call->arg[3], call->arg_span[3], "correction", &correction))
        return value_poison;
    Graph *graph = s->elab->graph;
    Reduction kept = {r.x, r.axes, true}, squares = r;
    Node *centred = build_binary(graph, OP_SUB, r.x, mean_node(s, &kept));
    squares.x = build_binary(graph, OP_MUL, centred, centred);
    if (!squares.x)
        return value_poison;
    Node *total = reduce_node(s, OP_SUM, &squares);
    return sema_node_value(
        s, build_binary(graph, OP_DIV, total, count_of(s, &r, r.x->type.dtype, correction)),
        call->span);
}

Value builtin_axis_op(Sema *s, BuiltinCall *call)
{
    Node *x;
    int axis;
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], call->row->name, &x))
        return value_poison;
    Value last = value_number(s, -1, call->span);
    if (!want_axis(s, call->given[1] ? &call->arg[1] : &last,
                   call->given[1] ? call->arg_span[1] : call->span, x->type.rank, &axis))
        return value_poison;
    return reduced(s, call, build_axis_op(s->elab->graph, call->row->op, x, axis), x);
}

/* ---- Conversions ---- */

/* ---- Tensors written as nested arrays: f32([[1, 2], [3, 4]]) ---- */

enum { LITERAL_ELEMENTS = 4096 };

typedef struct {
    Node *nodes[LITERAL_ELEMENTS];
    int count, rank;
    const Dim *dims[MAX_RANK];
} Literal;

static bool literal_entry(Sema *s, Literal *literal, const Value *v, int depth, DType dtype,
                          Span span)
{
    bool list = v->kind == VALUE_ARRAY || v->kind == VALUE_TUPLE;
    bool known = depth < literal->rank;
    if (list && depth < MAX_RANK && (known || literal->count == 0)) {
        const Dim *size = dim_const(s->dims, v->as.list->count);
        literal->rank = known ? literal->rank : depth + 1;
        literal->dims[depth] = known ? literal->dims[depth] : size;
        for (uint32_t i = 0; i < v->as.list->count && literal->dims[depth] == size; i++)
            if (!literal_entry(s, literal, &v->as.list->items[i], depth + 1, dtype, span))
                return false;
        if (literal->dims[depth] == size)
            return true;
    }
    if (!list && depth == literal->rank && literal->count < LITERAL_ELEMENTS) {
        Node *node = value_node(s, v, dtype, span);
        const Dim *one = dim_const(s->dims, 1);
        node = node && node->type.rank == 0 ? build_convert(s->elab->graph, node, dtype) : NULL;
        literal->nodes[literal->count++] = build_reshape(s->elab->graph, node, 1, &one);
        return node != NULL ||
               (sema_error(s, ERR_E0200, span, NULL, "the entries of a tensor are numbers"), false);
    }
    sema_error(s, ERR_E0303, span, NULL,
               literal->count == LITERAL_ELEMENTS ? "a tensor written out has at most %d entries"
                                                  : "the rows of a tensor have the same length",
               LITERAL_ELEMENTS);
    return false;
}

static Value literal_tensor(Sema *s, const Value *v, DType dtype, Span span)
{
    Literal *literal = ARENA_NEW(s->arena, Literal);
    if (!literal_entry(s, literal, v, 0, dtype, span))
        return value_poison;
    Graph *graph = s->elab->graph;
    Node *flat = literal->count == 0   ? NULL
                 : literal->count == 1 ? literal->nodes[0]
                                       : build_concat(graph, literal->nodes, literal->count, 0);
    if (!flat) {
        Type empty = {.dtype = dtype, .rank = literal->rank};
        for (int i = 0; i < literal->rank; i++)
            empty.dims[i] = literal->dims[i];
        return sema_node_value(s, build_const(graph, empty, 0), span);
    }
    return sema_node_value(s, build_reshape(graph, flat, literal->rank, literal->dims), span);
}

/* A constant stays one, and takes f32 or f64 from what it meets; of f16 and bf16 it is the
 * nearest. */
static double as_converted(DType dtype, double real)
{
    return dtype_is_small_float(dtype) ? dtype_round(dtype, real) : real;
}

Value builtin_convert(Sema *s, BuiltinCall *call)
{
    const Value *v = &call->arg[0];
    DType dtype;
    double real;
    sema_dtype(s, call->row->name, &dtype);
    if (v->kind == VALUE_ARRAY || v->kind == VALUE_TUPLE)
        return literal_tensor(s, v, dtype, call->span);
    if (v->kind == VALUE_INT && dtype != DT_BOOL) {
        if (!dtype_is_float(dtype))
            return *v;
        if (value_real(v, &real))
            return value_float(as_converted(dtype, real), call->span);
        return value_tensor(build_dim(s->elab->graph, v->as.dim, dtype), call->span);
    }
    if (value_real(v, &real)) {
        if (dtype == DT_BOOL)
            return value_bool(real != 0, call->span);
        if (dtype_is_float(dtype))
            return value_float(as_converted(dtype, real), call->span);
        if (fabs(real) < 9e18)
            return value_number(s, (int64_t)real, call->span);
        sema_error(s, ERR_E0205, call->span, NULL, "%g does not fit into %s", real,
                   dtype_name(dtype));
        return value_poison;
    }
    if (v->kind == VALUE_BOOL)
        return dtype == DT_BOOL        ? *v
               : dtype_is_float(dtype) ? value_float(v->as.boolean, call->span)
                                       : value_number(s, v->as.boolean, call->span);
    Node *x;
    if (!want_tensor(s, v, call->arg_span[0], call->row->name, &x))
        return value_poison;
    return sema_node_value(s, build_convert(s->elab->graph, x, dtype), call->span);
}

Value builtin_to_int(Sema *s, BuiltinCall *call)
{
    double real;
    if (call->arg[0].kind == VALUE_INT)
        return call->arg[0];
    if (call->arg[0].kind == VALUE_BOOL)
        return value_number(s, call->arg[0].as.boolean, call->span);
    if (call->arg[0].kind == VALUE_TENSOR) {
        DiagItem *item = sema_error(s, ERR_E0203, call->span, NULL,
                                    "int(...) is for numbers known when the program is compiled");
        diag_help(item, "i32(...) or i64(...) convert tensors");
        return value_poison;
    }
    if (!want_real(s, &call->arg[0], call->arg_span[0], "the argument of int", &real))
        return value_poison;
    if (!(fabs(real) < 9e18)) {
        sema_error(s, ERR_E0205, call->span, NULL, "%g does not fit into an integer", real);
        return value_poison;
    }
    return value_number(s, (int64_t)real, call->span);
}

Value builtin_to_float(Sema *s, BuiltinCall *call)
{
    double real;
    if (call->arg[0].kind == VALUE_TENSOR) {
        DiagItem *item = sema_error(s, ERR_E0203, call->span, NULL,
                                    "float(...) is for numbers known when the program is compiled");
        diag_help(item, "f32(...) or f64(...) convert tensors");
        return value_poison;
    }
    return want_real(s, &call->arg[0], call->arg_span[0], "the argument of float", &real)
               ? value_float(real, call->span)
               : value_poison;
}
