/* debug(x): what a run prints of a value after every step of training.
 *
 * A report is f64[4 + 6]: the number of elements, their sum, -smallest, largest, and the first
 * elements. It is a state that only this graph has: it begins as zeros, which say "nothing
 * seen", a turn of a loop joins what it sees to it, and a side of a decision leaves it alone
 * where the other one is taken. So loops carry reports, and decisions give them, as they do with
 * the states of modules (loop.c, branch.c). At the end of a step they become its outputs, which
 * runtime/train/debug.c reads. */
#include "compiler/sema/builtins.h"

#include <string.h>

enum { COUNT_AND_SUM = 2, EXTREMES = 4, FIRST = 6, REPORT = EXTREMES + FIRST, LABEL = 40 };

static const char prefix[] = "debug ";

/* "scores: f32[B, 3] at net.nn:12"; without a name the text of the argument. */
static const char *label_of(Sema *s, const BuiltinCall *call, const Node *x)
{
    Span span = call->arg_span[0], user = sema_user_span(s, call->span);
    const char *name = call->given[1] ? call->arg[1].as.string.text : "value";
    uint32_t line, column;
    size_t length;
    if (!call->given[1] && span.file && span.end > span.begin) {
        const char *text = source_text(s->map, span.file, &length) + span.begin;
        size_t bytes = strcspn(text, "\n\"");
        bytes = bytes < span.end - span.begin ? bytes : span.end - span.begin;
        name = arena_substring(s->arena, text, bytes < LABEL ? bytes : LABEL);
    }
    source_line_column(s->map, user, &line, &column);
    return arena_format(s->arena, "%s: %s at %s:%u", name, type_text(s, &x->type),
                        user.file ? source_name(s->map, user.file) : "", line);
}

static Type numbers(Sema *s, DType dtype, int count)
{
    return (Type){.dtype = dtype, .rank = 1, .dims = {dim_const(s->dims, count)}};
}

/* The report of one value; NULL: it has no elements. */
static Node *report_of(Sema *s, Node *x)
{
    Graph *graph = s->elab->graph;
    const Dim *size = type_elements(s->dims, &x->type), *one = dim_const(s->dims, 1);
    const Dim *more = size ? dim_sub(s->dims, dim_const(s->dims, FIRST), size) : NULL;
    if (!more || dim_is(size, 0))
        return NULL;
    Node *flat = build_convert(graph, build_reshape(graph, x, 1, &size), DT_F64);
    Node *zero = build_scalar(graph, DT_F64, 0);
    Node *parts[5] = {
        build_dim(graph, size, DT_F64), build_reduce(graph, OP_SUM, flat, axes_one(0)),
        build_unary(graph, OP_NEG, build_reduce(graph, OP_AMIN, flat, axes_one(0))),
        build_reduce(graph, OP_AMAX, flat, axes_one(0)),
        build_pad_axis(graph, flat, zero, 0, dim_const(s->dims, 0), more)};
    for (int i = 0; i < 4; i++)
        parts[i] = build_reshape(graph, parts[i], 1, &one);
    return parts[4] ? build_concat(graph, parts, 5, 0) : NULL;
}

static Node *part(Sema *s, Node *report, int begin, int end)
{
    return build_slice_axis(s->elab->graph, report, 0, dim_const(s->dims, begin),
                            dim_const(s->dims, end), 1);
}

/* The first elements of a, and those of b behind them: entry i is a[i], or the b[j] with j = i -
 * count. */
static Node *join_first(Sema *s, Node *a, Node *b)
{
    Graph *graph = s->elab->graph;
    Type square = {.dtype = DT_F64,
                   .rank = 2,
                   .dims = {dim_const(s->dims, FIRST), dim_const(s->dims, FIRST)}};
    Node *count = part(s, a, 0, 1), *i = build_iota(graph, square, 0);
    Node *from = build_binary(graph, OP_SUB, i, count);
    Node *chosen = build_binary(graph, OP_EQ, from, build_iota(graph, square, 1));
    Node *rows = build_broadcast(graph, part(s, b, EXTREMES, REPORT), 2, square.dims);
    Node *moved = build_reduce(
        graph, OP_SUM, build_select(graph, chosen, rows, build_const_like(graph, rows, 0)),
        axes_one(1));
    Node *kept =
        build_binary(graph, OP_LT, build_iota(graph, numbers(s, DT_F64, FIRST), 0), count);
    return build_select(graph, kept, part(s, a, EXTREMES, REPORT), moved);
}

/* What a saw and then b. */
static Node *join(Sema *s, Node *a, Node *b)
{
    Graph *graph = s->elab->graph;
    Node *parts[3] = {build_binary(graph, OP_ADD, part(s, a, 0, COUNT_AND_SUM),
                                   part(s, b, 0, COUNT_AND_SUM)),
                      NULL, join_first(s, a, b)};
    Node *zero = build_scalar(graph, DT_F64, 0), *empty[2];
    Node *x = part(s, a, COUNT_AND_SUM, EXTREMES), *y = part(s, b, COUNT_AND_SUM, EXTREMES);
    for (int i = 0; i < 2; i++)
        empty[i] = build_broadcast(
            graph, build_binary(graph, OP_EQ, part(s, i ? b : a, 0, 1), zero), 1, x->type.dims);
    Node *both = build_binary(graph, OP_MAX, x, y);
    parts[1] = build_select(graph, empty[0], y, build_select(graph, empty[1], x, both));
    return build_concat(graph, parts, 3, 0);
}

Node *elab_first(Sema *s, const char *name, const Type *type)
{
    if (strncmp(name, prefix, sizeof prefix - 1) == 0)
        return build_const(s->elab->graph, *type, 0);
    return build_leaf(s->elab->graph, OP_STATE, name, *type);
}

static bool in_loop(const Sema *s)
{
    for (const Repeat *repeat = s->repeat; repeat; repeat = repeat->outer)
        if (repeat->elab == s->elab && repeat->kind == REPEAT_LOOP)
            return true;
    return false;
}

static void note(Sema *s, Node *x, const char *label, int64_t every)
{
    Node *report = report_of(s, x);
    if (!report)
        return;
    const char *name = arena_format(s->arena, "%s%u %lld %s", prefix, s->elab->debug_count++,
                                    (long long)every, label);
    if (in_loop(s)) {
        Node *before = elab_state(s, name, elab_first(s, name, &report->type));
        report = join(s, before, report);
    }
    elab_assign(s, name, report);
}

void debug_roots(Sema *s)
{
    for (uint32_t i = 0; i < s->elab->pending.count; i++) {
        const Pending *pending = &s->elab->pending.data[i];
        if (strncmp(pending->name, prefix, sizeof prefix - 1) == 0)
            graph_root(s->elab->graph, ROOT_OUTPUT, pending->name, pending->node);
    }
}

Value builtin_debug(Sema *s, BuiltinCall *call)
{
    Node *x;
    const char *name;
    int64_t every = 1;
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], "debug", &x) ||
        (call->given[1] && !want_string(s, &call->arg[1], call->arg_span[1], "name", &name)) ||
        (call->given[2] && !want_int(s, &call->arg[2], call->arg_span[2], "every", &every)))
        return value_poison;
    if (every < 1) {
        sema_error(s, ERR_E0205, call->arg_span[2], NULL,
                   "every must be at least 1, and this is %lld", (long long)every);
        return value_poison;
    }
    if (s->elab->debugs)
        note(s, x, label_of(s, call, x), every);
    return call->arg[0];
}
