/* Built-in functions that make tensors. Random ones are functions of a site (sema.h): randn comes
 * from two uniforms
 *
 *   randn = sqrt(-2 log(1 - u)) * cos(2 pi v)      (Box and Muller, 1958) */
#include "compiler/sema/builtins.h"
#include "runtime/base/rng.h"

#include <string.h>

/* ---- One value everywhere ---- */

static Value filled(Sema *s, Type type, double value, Span span)
{
    return sema_node_value(s, build_const(s->elab->graph, type, value), span);
}

Value builtin_filled(Sema *s, BuiltinCall *call)
{
    Type type = {0};
    if (!want_dtype(s, call, 0, sema_float(s), &type.dtype) ||
        !want_sizes(s, call->rest, call->rest_count, call->rest_span, type.dims, &type.rank))
        return value_poison;
    return filled(s, type, strcmp(call->row->name, "ones") == 0, call->span);
}

Value builtin_full(Sema *s, BuiltinCall *call)
{
    Type type = {0};
    const Value *v = &call->arg[1];
    DType fallback = v->kind == VALUE_TENSOR ? v->as.node->type.dtype
                     : v->kind == VALUE_BOOL ? DT_BOOL
                                             : sema_float(s);
    if (!want_dtype(s, call, 2, fallback, &type.dtype) ||
        !want_sizes(s, &call->arg[0], 1, call->arg_span[0], type.dims, &type.rank))
        return value_poison;
    Node *node = value_node(s, v, type.dtype, call->arg_span[1]);
    return node ? sema_node_value(s, build_broadcast(s->elab->graph, node, type.rank, type.dims),
                                  call->span)
                : value_poison;
}

Value builtin_filled_like(Sema *s, BuiltinCall *call)
{
    Node *x;
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], call->row->name, &x))
        return value_poison;
    if (!call->given[1])
        return filled(s, x->type, strcmp(call->row->name, "ones_like") == 0, call->span);
    Node *value = value_node(s, &call->arg[1], x->type.dtype, call->arg_span[1]);
    return value
               ? sema_node_value(s,
                                 build_broadcast(s->elab->graph, value, x->type.rank, x->type.dims),
                                 call->span)
               : value_poison;
}

/* ---- Counting ---- */

Value builtin_eye(Sema *s, BuiltinCall *call)
{
    Graph *graph = s->elab->graph;
    Type type = {.dtype = DT_I32, .rank = 2};
    Value both[2] = {call->arg[0], call->given[1] ? call->arg[1] : call->arg[0]};
    int rank;
    if (!want_sizes(s, both, 2, call->span, type.dims, &rank))
        return value_poison;
    Node *same = build_binary(graph, OP_EQ, build_iota(graph, type, 0), build_iota(graph, type, 1));
    return sema_node_value(s, build_convert(graph, same, sema_float(s)), call->span);
}

Value builtin_arange(Sema *s, BuiltinCall *call)
{
    Type type = {0};
    if (!want_dtype(s, call, 1, DT_I32, &type.dtype) ||
        !want_sizes(s, &call->arg[0], 1, call->arg_span[0], type.dims, &type.rank))
        return value_poison;
    return sema_node_value(s, build_iota(s->elab->graph, type, 0), call->span);
}

Value builtin_linspace(Sema *s, BuiltinCall *call)
{
    Type type = {.dtype = sema_float(s)};
    double low, high;
    int64_t count;
    if (!want_real(s, &call->arg[0], call->arg_span[0], "low", &low) ||
        !want_real(s, &call->arg[1], call->arg_span[1], "high", &high) ||
        !want_int(s, &call->arg[2], call->arg_span[2], "n", &count) ||
        !want_sizes(s, &call->arg[2], 1, call->arg_span[2], type.dims, &type.rank))
        return value_poison;
    Value index = value_tensor(build_iota(s->elab->graph, type, 0), call->span);
    Value step = value_float(count > 1 ? (high - low) / (double)(count - 1) : 0, call->span);
    Value start = value_float(low, call->span);
    Value scaled = eval_binary(s, AST_MUL, &index, &step, call->span);
    return eval_binary(s, AST_ADD, &scaled, &start, call->span);
}

Value builtin_one_hot(Sema *s, BuiltinCall *call)
{
    Graph *graph = s->elab->graph;
    Node *index;
    const Dim *size;
    DType dtype;
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], "index", &index) ||
        !want_dim(s, &call->arg[1], call->arg_span[1], "the number of classes", &size) ||
        !want_dtype(s, call, 2, sema_float(s), &dtype))
        return value_poison;
    if (dtype_kind(index->type.dtype) != KIND_INT || index->type.rank == MAX_RANK) {
        sema_error(s, ERR_E0200, call->arg_span[0], NULL, "one_hot takes integers, and this is %s",
                   type_text(s, &index->type));
        return value_poison;
    }
    index = build_convert(graph, index, DT_I32);
    Type type = index->type;
    type.dims[type.rank++] = size;
    const Dim *lead[MAX_RANK];
    for (int i = 0; i < type.rank; i++)
        lead[i] = i == type.rank - 1 ? dim_const(s->dims, 1) : type.dims[i];
    Node *column = build_reshape(graph, index, type.rank, lead);
    Node *same = build_binary(graph, OP_EQ, build_iota(graph, type, type.rank - 1), column);
    return sema_node_value(s, build_convert(graph, same, dtype), call->span);
}

/* ---- Random numbers ---- */

static bool random_site(Sema *s, BuiltinCall *call, int seed_index, uint32_t *site)
{
    int64_t seed;
    if (!call->given[seed_index]) {
        *site = site_of(s);
        return true;
    }
    if (!want_int(s, &call->arg[seed_index], call->arg_span[seed_index], "seed", &seed))
        return false;
    *site = (uint32_t)rng_hash(&seed, sizeof seed, 4);
    return true;
}

static Node *uniform(Sema *s, Type type, uint32_t site)
{
    Attr attr = {.kind = AT_RANDOM, .random = {type, site}};
    return graph_node(s->elab->graph, OP_RANDOM, NULL, 0, &attr);
}

static Node *normal(Sema *s, Type type, uint32_t site)
{
    Graph *graph = s->elab->graph;
    uint32_t second = (uint32_t)rng_hash(&site, sizeof site, 5);
    Node *u = uniform(s, type, site), *v = uniform(s, type, second);
    DType dtype = type.dtype;
    double two_pi = 6.283185307179586, scaled = dtype_round(dtype, two_pi);
    Node *one = build_scalar(graph, dtype, 1), *minus_two = build_scalar(graph, dtype, -2);
    Node *radius =
        build_unary(graph, OP_SQRT,
                    build_binary(graph, OP_MUL, minus_two,
                                 build_unary(graph, OP_LOG, build_binary(graph, OP_SUB, one, u))));
    Node *angle = build_binary(graph, OP_MUL, v, build_scalar(graph, dtype, scaled));
    return build_binary(graph, OP_MUL, radius, build_unary(graph, OP_COS, angle));
}

Value builtin_random(Sema *s, BuiltinCall *call)
{
    const char *name = call->row->name;
    bool like = strlen(name) > 5, is_normal = strncmp(name, "randn", 5) == 0;
    Type type = {.dtype = sema_float(s)};
    uint32_t site;
    Node *x;
    if (like) {
        if (!want_tensor(s, &call->arg[0], call->arg_span[0], name, &x))
            return value_poison;
        type = x->type;
        if (!dtype_is_float(type.dtype)) {
            sema_error(s, ERR_E0204, call->span, NULL, "%s is not defined for %s", name,
                       type_text(s, &type));
            return value_poison;
        }
    } else if (!want_sizes(s, call->rest, call->rest_count, call->rest_span, type.dims,
                           &type.rank)) {
        return value_poison;
    }
    bool drawn = !call->given[like ? 1 : 0]; /* anew in every turn of a loop; a seed: always the same */
    if (!random_site(s, call, like ? 1 : 0, &site) || (drawn && !loop_axes(s, &type, call->span)))
        return value_poison;
    Node *node = is_normal ? normal(s, type, site) : uniform(s, type, site);
    return sema_node_value(s, drawn ? loop_turn(s, node) : node, call->span);
}

Value builtin_randint(Sema *s, BuiltinCall *call)
{
    Graph *graph = s->elab->graph;
    int64_t low, high;
    Type type = {.dtype = DT_F64};
    uint32_t site;
    if (!want_int(s, &call->arg[0], call->arg_span[0], "low", &low) ||
        !want_int(s, &call->arg[1], call->arg_span[1], "high", &high) ||
        !want_sizes(s, call->rest, call->rest_count, call->rest_span, type.dims, &type.rank) ||
        !random_site(s, call, 2, &site))
        return value_poison;
    if (low >= high || low < INT32_MIN || high > INT32_MAX) {
        sema_error(s, ERR_E0205, call->span, NULL, "randint needs low < high within i32");
        return value_poison;
    }
    bool drawn = !call->given[2];
    if (drawn && !loop_axes(s, &type, call->span))
        return value_poison;
    Node *unit = uniform(s, type, site);
    Node *scaled = build_binary(graph, OP_MUL, drawn ? loop_turn(s, unit) : unit,
                                build_scalar(graph, DT_F64, (double)(high - low)));
    Node *whole = build_convert(graph, build_unary(graph, OP_FLOOR, scaled), DT_I32);
    return sema_node_value(
        s, build_binary(graph, OP_ADD, whole, build_scalar(graph, DT_I32, (double)low)),
        call->span);
}
