/* Derivatives of functions: grad(f), value_and_grad(f), jvp(f) and custom_vjp(f, backward) are
 * functions made of f; calling them expands f into the current graph and differentiates there, so a
 * derivative is made of ordinary operations and can be differentiated again.
 *
 *   grad(fn (x) -> sum(x ** 3.0))(x)      3 x^2
 *   jvp(f)(x, v)                          (f(x), J v)
 *
 * An argument is wrapped in a node of its own (a reshape to the shape it has), so that "by this
 * argument" and "by the same tensor that f sees otherwise" are two things. The tangent of jvp is
 * the derivative of the reverse mode by its own seed (two reverse passes make a forward one: the
 * gradient is linear in the seed). */
#include "compiler/passes/grad.h"
#include "compiler/sema/builtins.h"

#include <string.h>

typedef enum {
    TRANSFORM_GRAD,
    TRANSFORM_VALUE_AND_GRAD,
    TRANSFORM_JVP,
    TRANSFORM_CUSTOM
} TransformKind;

struct Transform {
    TransformKind kind;
    Value function, backward;
    uint32_t *wrt; /* places of the arguments to differentiate by */
    uint32_t wrt_count;
    bool one; /* the gradient of one argument, no tuple */
};

/* ---- grad(f, wrt=0) ---- */

static bool callable(const Value *v)
{
    return v->kind == VALUE_FN || v->kind == VALUE_BUILTIN || v->kind == VALUE_INSTANCE;
}

static bool read_wrt(Sema *s, BuiltinCall *call, struct Transform *out)
{
    const Value *v = &call->arg[1];
    bool list = call->given[1] && (v->kind == VALUE_ARRAY || v->kind == VALUE_TUPLE);
    out->one = !list;
    out->wrt_count = list ? v->as.list->count : 1;
    out->wrt = ARENA_ARRAY(s->arena, uint32_t, out->wrt_count + 1);
    for (uint32_t i = 0; call->given[1] && i < out->wrt_count; i++) {
        int64_t place;
        if (!want_int(s, list ? &v->as.list->items[i] : v, call->arg_span[1], "wrt", &place))
            return false;
        if (place < 0 || place >= LIMIT_ARGUMENTS) {
            sema_error(s, ERR_E0205, call->arg_span[1], NULL,
                       "wrt is the place of an argument, from 0 on, and this is %lld",
                       (long long)place);
            return false;
        }
        out->wrt[i] = (uint32_t)place;
    }
    return true;
}

Value builtin_transform(Sema *s, BuiltinCall *call)
{
    static const struct {
        const char *name;
        TransformKind kind;
    } rows[] = {{"grad", TRANSFORM_GRAD},
                {"value_and_grad", TRANSFORM_VALUE_AND_GRAD},
                {"jvp", TRANSFORM_JVP},
                {"custom_vjp", TRANSFORM_CUSTOM}};
    struct Transform *transform = ARENA_NEW(s->arena, struct Transform);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, call->row->name) == 0)
            transform->kind = rows[i].kind;
    bool custom = transform->kind == TRANSFORM_CUSTOM;
    for (int i = 0; i < 1 + custom; i++) {
        if (callable(&call->arg[i]))
            continue;
        DiagItem *item =
            sema_error(s, ERR_E0202, call->arg_span[i], NULL, "%s takes a function, and this is %s",
                       call->row->name, value_text(s, &call->arg[i]));
        if (custom)
            diag_help(item, "custom_vjp(fn (x) -> f, fn (x, y, dy) -> dx)(x)");
        else
            diag_help(item, "%s(fn (x) -> ...)(x)", call->row->name);
        return value_poison;
    }
    transform->function = call->arg[0];
    transform->backward = call->arg[1];
    if (!custom && transform->kind != TRANSFORM_JVP && !read_wrt(s, call, transform))
        return value_poison;
    Closure *closure = ARENA_NEW(s->arena, Closure);
    *closure = (Closure){.name = call->row->name, .scope = s->scope, .transform = transform};
    return (Value){.kind = VALUE_FN, .span = call->span, .as.closure = closure};
}

/* ---- Arguments as nodes of their own ---- */

static Node *wrap(Sema *s, Node *x)
{
    Attr attr = {.kind = AT_SHAPE, .shape = {.rank = x->type.rank}};
    for (int i = 0; i < x->type.rank; i++)
        attr.shape.dims[i] = x->type.dims[i];
    return graph_node(s->elab->graph, OP_RESHAPE, &x, 1, &attr);
}

/* v with every tensor wrapped; the wrapped ones are added to nodes. */
static bool wrap_tree(Sema *s, Value *v, Span span, Nodes *nodes)
{
    Nodes plain = {0}, wrapped = {0};
    uint32_t next = 0;
    if (!tree_flatten(s, v, span, &plain))
        return false;
    for (uint32_t i = 0; i < plain.count; i++) {
        if (!dtype_is_float(plain.data[i]->type.dtype)) {
            sema_error(s, ERR_E0502, span, NULL,
                       "a derivative is by floats, and this argument is %s",
                       type_text(s, &plain.data[i]->type));
            return false;
        }
        Node *node = wrap(s, plain.data[i]);
        vec_push(s->arena, &wrapped, node);
        vec_push(s->arena, nodes, node);
    }
    *v = tree_build(s, v, wrapped.data, &next, span);
    return true;
}

static bool differentiate(Sema *s, Node *scalar, const Nodes *wrt, Node **gradients, Span span)
{
    GradError error;
    if (grad_build(s->elab->graph, scalar, wrt->data, (int)wrt->count, gradients, &error))
        return true;
    DiagItem *item =
        sema_error(s, ERR_E0500, error.node ? error.node->span : span, NULL, "%s", error.text);
    diag_help(item, "stop(x) where no gradient is wanted");
    return false;
}

/* ---- Gradients ---- */

/* The scalar to differentiate: the result, or the first of several. */
static Node *scalar_of(Sema *s, const Value *result, Span span)
{
    const Value *first = result->kind == VALUE_TUPLE && result->as.list->count > 0
                             ? &result->as.list->items[0]
                             : result;
    Node *node = first->kind == VALUE_POISON ? NULL : value_node(s, first, DT_COUNT, span);
    if (!node || (node->type.rank == 0 && dtype_is_float(node->type.dtype)))
        return node;
    DiagItem *item = sema_error(s, ERR_E0502, span, NULL,
                                "grad differentiates one float, and the function gives %s",
                                value_text(s, first));
    if (dtype_is_float(node->type.dtype))
        diag_help(item, "sum(...) or mean(...) makes one of many");
    return NULL;
}

static Value call_grad(Sema *s, const struct Transform *transform, const Args *args, Span span)
{
    Args own = {ARENA_ARRAY(s->arena, Arg, args->count + 1), args->count};
    Nodes wrt = {0};
    for (uint32_t i = 0; i < args->count; i++)
        own.data[i] = args->data[i];
    for (uint32_t k = 0; k < transform->wrt_count; k++) {
        uint32_t place = transform->wrt[k];
        if (place >= args->count) {
            sema_error(s, ERR_E0201, span, NULL, "grad by argument %u of %u", place, args->count);
            return value_poison;
        }
        if (!wrap_tree(s, &own.data[place].value, own.data[place].span, &wrt))
            return value_poison;
    }
    Value result = call_value(s, &transform->function, &own, span, "f");
    Node *scalar = scalar_of(s, &result, span);
    Node **gradients = ARENA_ARRAY(s->arena, Node *, wrt.count + 1);
    if (!scalar || !differentiate(s, scalar, &wrt, gradients, span))
        return value_poison;
    Value slopes = value_list(s, VALUE_TUPLE, transform->wrt_count, span);
    uint32_t next = 0;
    for (uint32_t k = 0; k < transform->wrt_count; k++)
        slopes.as.list->items[k] =
            tree_build(s, &own.data[transform->wrt[k]].value, gradients, &next, span);
    Value slope = transform->one ? slopes.as.list->items[0] : slopes;
    if (transform->kind == TRANSFORM_GRAD)
        return slope;
    Value both = value_list(s, VALUE_TUPLE, 2, span);
    both.as.list->items[0] = result.kind == VALUE_TUPLE ? result : value_tensor(scalar, span);
    both.as.list->items[1] = slope;
    return both;
}

/* ---- Tangents ---- */

/* A tensor that only derivatives are taken by: nothing that is kept depends on it. */
static Node *seed_leaf(Sema *s, Type type)
{
    const char *name = arena_format(s->arena, "seed.%u", s->elab->graph->nodes.count);
    return build_leaf(s->elab->graph, OP_INPUT, name, type);
}

static Node *add_product(Sema *s, Node *total, Node *a, Node *b)
{
    Graph *graph = s->elab->graph;
    Node *product = build_binary(graph, OP_MUL, a, b);
    Node *sum = build_reduce(graph, OP_SUM, product, axes_range(0, product->type.rank));
    return total ? build_binary(graph, OP_ADD, total, sum) : sum;
}

/* Seeds for the results and the sum of result * seed; NULL: a result is no float. */
static Node *seeded_sum(Sema *s, const Nodes *results, Nodes *seeds, Span span)
{
    Node *total = NULL;
    for (uint32_t i = 0; i < results->count; i++) {
        Node *y = results->data[i];
        if (!dtype_is_float(y->type.dtype)) {
            sema_error(s, ERR_E0502, span, NULL, "a derivative is of floats, and this is %s",
                       type_text(s, &y->type));
            return NULL;
        }
        Node *seed = seed_leaf(s, y->type);
        vec_push(s->arena, seeds, seed);
        total = add_product(s, total, y, seed);
    }
    return total;
}

static bool read_tangents(Sema *s, const Args *args, const Nodes *inputs, Nodes *out, Span span)
{
    for (uint32_t i = args->count / 2; i < args->count; i++)
        if (!tree_flatten(s, &args->data[i].value, args->data[i].span, out))
            return false;
    bool fits = out->count == inputs->count;
    for (uint32_t i = 0; fits && i < out->count; i++) {
        const Type *type = &inputs->data[i]->type;
        out->data[i] = build_broadcast(s->elab->graph, out->data[i], type->rank, type->dims);
        fits = out->data[i] && type_equal(&out->data[i]->type, type);
    }
    if (!fits)
        sema_error(s, ERR_E0312, span, NULL,
                   "jvp(f)(x, v) needs a tangent of the type of every argument");
    return fits;
}

static Value call_jvp(Sema *s, const struct Transform *transform, const Args *args, Span span)
{
    Args own = {ARENA_ARRAY(s->arena, Arg, args->count + 1), args->count / 2};
    Nodes inputs = {0}, tangents = {0}, results = {0}, seeds = {0};
    if (args->count == 0 || args->count % 2 != 0) {
        sema_error(s, ERR_E0201, span, NULL, "jvp(f)(x, v) takes arguments and as many tangents");
        return value_poison;
    }
    for (uint32_t i = 0; i < own.count; i++) {
        own.data[i] = args->data[i];
        if (!wrap_tree(s, &own.data[i].value, own.data[i].span, &inputs))
            return value_poison;
    }
    if (!read_tangents(s, args, &inputs, &tangents, span))
        return value_poison;
    Value result = call_value(s, &transform->function, &own, span, "f");
    if (result.kind == VALUE_POISON || !tree_flatten(s, &result, span, &results))
        return value_poison;
    Node *sum = seeded_sum(s, &results, &seeds, span);
    Node **gradients = ARENA_ARRAY(s->arena, Node *, inputs.count + 1);
    if (!sum || !differentiate(s, sum, &inputs, gradients, span))
        return value_poison;
    Node *slope = NULL;
    for (uint32_t i = 0; i < inputs.count; i++)
        slope = add_product(s, slope, gradients[i], tangents.data[i]);
    Node **out = ARENA_ARRAY(s->arena, Node *, seeds.count + 1);
    if (!differentiate(s, slope, &seeds, out, span))
        return value_poison;
    uint32_t next = 0;
    Value both = value_list(s, VALUE_TUPLE, 2, span);
    both.as.list->items[0] = result;
    both.as.list->items[1] = tree_build(s, &result, out, &next, span);
    return both;
}

/* ---- Gradients that the program states ---- */

static bool is_custom(const Graph *graph, const Node *node)
{
    for (uint32_t i = 0; i < graph->customs.count; i++)
        if (graph->customs.data[i].result == node)
            return true;
    return false;
}

/* One gradient per input, of its type; none: no gradient flows there. */
static bool read_parts(Sema *s, const Value *result, CustomGradient *custom, Span span)
{
    bool list = result->kind == VALUE_TUPLE || result->kind == VALUE_ARRAY;
    uint32_t given = list ? result->as.list->count : 1;
    if (given != custom->count) {
        sema_error(s, ERR_E0201, span, NULL,
                   "the backward function gives %u gradients for %u arguments that are floats",
                   given, custom->count);
        return false;
    }
    for (uint32_t i = 0; i < custom->count; i++) {
        const Value *v = list ? &result->as.list->items[i] : result;
        const Type *type = &custom->inputs[i]->type;
        if (v->kind == VALUE_NONE)
            continue;
        Value part = conform_state(s, v, type, "the gradient of an argument", span);
        if (part.kind != VALUE_TENSOR)
            return false;
        custom->parts[i] = part.as.node;
    }
    return true;
}

static Value call_custom(Sema *s, const struct Transform *transform, const Args *args, Span span)
{
    Graph *graph = s->elab->graph;
    Args own = {ARENA_ARRAY(s->arena, Arg, args->count + 1), args->count};
    Nodes inputs = {0};
    for (uint32_t i = 0; i < args->count; i++) {
        own.data[i] = args->data[i];
        const Value *v = &args->data[i].value;
        bool real = v->kind == VALUE_TENSOR && dtype_is_float(v->as.node->type.dtype);
        if (real && !wrap_tree(s, &own.data[i].value, own.data[i].span, &inputs))
            return value_poison;
    }
    Value result = call_value(s, &transform->function, &own, span, "f");
    Node *y;
    if (result.kind == VALUE_POISON || !want_tensor(s, &result, span, "the result", &y))
        return value_poison;
    do
        y = wrap(s, y);
    while (is_custom(graph, y));
    CustomGradient custom = {.result = y, .seed = seed_leaf(s, y->type), .count = inputs.count};
    custom.inputs = inputs.data;
    custom.parts = ARENA_ARRAY(s->arena, Node *, inputs.count + 1);
    Args back = {ARENA_ARRAY(s->arena, Arg, args->count + 2), args->count + 2};
    for (uint32_t i = 0; i < args->count; i++)
        back.data[i] = (Arg){.value = own.data[i].value, .span = own.data[i].span};
    back.data[args->count] = (Arg){.value = value_tensor(y, span), .span = span};
    back.data[args->count + 1] = (Arg){.value = value_tensor(custom.seed, span), .span = span};
    Value parts = call_value(s, &transform->backward, &back, span, "backward");
    if (parts.kind == VALUE_POISON || !read_parts(s, &parts, &custom, span))
        return value_poison;
    vec_push(graph->arena, &graph->customs, custom);
    return value_tensor(y, span);
}

Value call_transform(Sema *s, const struct Transform *transform, const Args *args, Span span)
{
    for (uint32_t i = 0; i < args->count; i++)
        if (args->data[i].value.kind == VALUE_POISON)
            return value_poison;
    if (transform->kind == TRANSFORM_JVP)
        return call_jvp(s, transform, args, span);
    if (transform->kind == TRANSFORM_CUSTOM)
        return call_custom(s, transform, args, span);
    return call_grad(s, transform, args, span);
}

/* ---- Other models ---- */

Value builtin_eval(Sema *s, BuiltinCall *call)
{
    Value v = call->arg[0];
    if (v.kind != VALUE_INSTANCE) {
        sema_error(s, ERR_E0200, call->arg_span[0], NULL,
                   "eval takes an instance of a module, and this is %s", value_text(s, &v));
        return value_poison;
    }
    v.weak = true;
    return v;
}

Value builtin_load(Sema *s, BuiltinCall *call)
{
    Value v = call->arg[0];
    const char *file;
    bool partial = false;
    if (v.kind != VALUE_INSTANCE) {
        sema_error(s, ERR_E0200, call->arg_span[0], NULL,
                   "load takes an instance of a module, and this is %s", value_text(s, &v));
        return value_poison;
    }
    if (!want_string(s, &call->arg[1], call->arg_span[1], "the file of weights", &file) ||
        (call->given[2] && !want_bool(s, &call->arg[2], call->arg_span[2], "partial", &partial)))
        return value_poison;
    v.as.instance->file = file;
    v.as.instance->file_partial = partial;
    return v;
}
