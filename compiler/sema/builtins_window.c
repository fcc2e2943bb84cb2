/* Convolutions and pooling windows, from PyTorch's order of axes to the graph's.
 *
 *   x[N, C, S..]          ->  [G, N, S.., C/G]
 *   weight[O, C/G, K..]   ->  [G, K.., C/G, O/G]
 *   out [G, N, R.., O/G]  ->  [N, O, R..] */
#include "compiler/sema/builtins.h"

#include <string.h>

Value builtin_matmul(Sema *s, BuiltinCall *call)
{
    return eval_binary(s, AST_MATMUL, &call->arg[0], &call->arg[1], call->span);
}

typedef struct {
    int spatial;
    int64_t stride[MAX_SPATIAL], dilation[MAX_SPATIAL], low[MAX_SPATIAL], high[MAX_SPATIAL],
        output_pad[MAX_SPATIAL];
    int64_t kernel[MAX_SPATIAL];
    int64_t groups;
    bool same;
} Geometry;

/* A number for every axis, or an array with one for each. */
static bool per_axis(Sema *s, BuiltinCall *call, int index, const char *what, int count,
                     int64_t fallback, int64_t least, int64_t *out)
{
    const Value *v = &call->arg[index];
    bool list = call->given[index] && (v->kind == VALUE_ARRAY || v->kind == VALUE_TUPLE);
    if (list && v->as.list->count != (uint32_t)count) {
        sema_error(s, ERR_E0201, call->arg_span[index], NULL, "%s has %u entries for %d axes", what,
                   v->as.list->count, count);
        return false;
    }
    for (int i = 0; i < count; i++) {
        out[i] = fallback;
        if (call->given[index] &&
            !want_int(s, list ? &v->as.list->items[i] : v, call->arg_span[index], what, &out[i]))
            return false;
        if (out[i] < least || out[i] > 1 << 20) {
            sema_error(s, ERR_E0306, call->arg_span[index], NULL,
                       "%s must be at least %lld, and this is %lld", what, (long long)least,
                       (long long)out[i]);
            return false;
        }
    }
    return true;
}

Value builtin_per_axis(Sema *s, BuiltinCall *call)
{
    const Value *v = &call->arg[0];
    int64_t count, entry;
    if (!want_int(s, &call->arg[1], call->arg_span[1], "n", &count))
        return value_poison;
    if (v->kind == VALUE_ARRAY || v->kind == VALUE_TUPLE) {
        if (v->as.list->count == (uint64_t)count)
            return *v;
        sema_error(s, ERR_E0201, call->arg_span[0], NULL, "%u entries for %lld axes",
                   v->as.list->count, (long long)count);
        return value_poison;
    }
    if (count < 0 || count > MAX_RANK) {
        sema_error(s, ERR_E0201, call->arg_span[1], NULL, "there are at most %d axes", MAX_RANK);
        return value_poison;
    }
    if (!want_int(s, v, call->arg_span[0], "the number for every axis", &entry))
        return value_poison;
    Value list = value_list(s, VALUE_ARRAY, (uint32_t)count, call->span);
    for (int64_t i = 0; i < count; i++)
        list.as.list->items[i] = *v;
    return list;
}

static bool read_pad(Sema *s, BuiltinCall *call, int index, Geometry *g)
{
    const Value *v = &call->arg[index];
    if (call->given[index] && v->kind == VALUE_STRING) {
        g->same = strcmp(v->as.string.text, "same") == 0;
        if (!g->same && strcmp(v->as.string.text, "valid") != 0) {
            sema_error(s, ERR_E0205, call->arg_span[index], NULL,
                       "pad is a number, an array, \"same\" or \"valid\"");
            return false;
        }
        return true;
    }
    if (!per_axis(s, call, index, "pad", g->spatial, 0, 0, g->low))
        return false;
    memcpy(g->high, g->low, sizeof g->high);
    return true;
}

static bool same_padding(Sema *s, BuiltinCall *call, const Node *x, Geometry *g)
{
    for (int i = 0; g->same && i < g->spatial; i++) {
        int64_t size, reach = g->dilation[i] * (g->kernel[i] - 1), total = reach;
        if (g->stride[i] > 1) {
            if (!dim_is_const(x->type.dims[i + 2], &size)) {
                sema_error(s, ERR_E0203, call->span, NULL,
                           "pad=\"same\" with a stride needs known sizes");
                return false;
            }
            total =
                ((size + g->stride[i] - 1) / g->stride[i] - 1) * g->stride[i] + reach + 1 - size;
            total = total < 0 ? 0 : total;
        }
        g->low[i] = total / 2;
        g->high[i] = total - total / 2;
    }
    return true;
}

static bool window_fits(Sema *s, BuiltinCall *call, const Type *x, int axis, int64_t low,
                        int64_t high, int64_t k, int64_t d)
{
    int64_t size, covered = (k - 1) * d + 1;
    if (!dim_is_const(x->dims[axis], &size) || size + low + high >= covered)
        return true;
    sema_error(s, ERR_E0306, call->span, NULL, "a window of %lld on %lld elements%s: %s",
               (long long)covered, (long long)(size + low + high),
               low + high ? " with padding" : "", type_text(s, x));
    return false;
}

static bool channel_check(Sema *s, BuiltinCall *call, const Node *x, const Node *w,
                          const Dim *wanted, int64_t groups)
{
    const Dim *channels = x->type.dims[1];
    if (channels == wanted || !wanted)
        return wanted != NULL;
    DiagItem *item = sema_error(
        s, ERR_E0312, call->span, NULL, "%s: the weight %s takes %s channels and gets %s",
        call->row->name, type_text(s, &w->type), dim_text(s, wanted), type_text(s, &x->type));
    if (groups > 1)
        diag_help(item, "with %lld groups", (long long)groups);
    return false;
}

static bool divides(Sema *s, BuiltinCall *call, const Dim *dim, int64_t groups, const char *what,
                    const Dim **out)
{
    if (dim_divides_exactly(s->dims, dim, dim_const(s->dims, groups), out))
        return true;
    sema_error(s, ERR_E0309, call->span, NULL, "%s %s do not divide into %lld groups",
               dim_text(s, dim), what, (long long)groups);
    return false;
}

static bool read_operands(Sema *s, BuiltinCall *call, Node **x, Node **w, Geometry *g)
{
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], "x", x) ||
        !want_tensor(s, &call->arg[1], call->arg_span[1], "weight", w))
        return false;
    g->spatial = (*x)->type.rank - 2;
    if (g->spatial < 1 || g->spatial > MAX_SPATIAL || (*w)->type.rank != (*x)->type.rank) {
        sema_error(s, ERR_E0301, call->span, NULL,
                   "%s takes x[N, C, S...] and weight[O, C, K...] with one to three axes S, and "
                   "gets %s and %s",
                   call->row->name, type_text(s, &(*x)->type), type_text(s, &(*w)->type));
        return false;
    }
    if ((*x)->type.dtype != (*w)->type.dtype || !dtype_is_float((*x)->type.dtype)) {
        DiagItem *item =
            sema_error(s, ERR_E0200, call->span, NULL, "%s of %s and %s", call->row->name,
                       type_text(s, &(*x)->type), type_text(s, &(*w)->type));
        diag_help(item, "convert the input first: f32(x)");
        return false;
    }
    for (int i = 0; i < g->spatial; i++)
        if (!dim_is_const((*w)->type.dims[i + 2], &g->kernel[i])) {
            if (!s->elab->generic)
                sema_error(s, ERR_E0203, call->span, NULL, "the window of %s must have known sizes",
                           call->row->name);
            return false;
        }
    return true;
}

static bool read_groups(Sema *s, BuiltinCall *call, int index, Geometry *g)
{
    g->groups = 1;
    if (call->given[index] &&
        !want_int(s, &call->arg[index], call->arg_span[index], "groups", &g->groups))
        return false;
    if (g->groups < 1) {
        sema_error(s, ERR_E0309, call->arg_span[index], NULL, "groups must be at least 1");
        return false;
    }
    return true;
}

/* [N, C, S..] -> [G, N, S.., C/G] */
static Node *input_layout(Sema *s, Node *x, int64_t groups, const Dim *each)
{
    Graph *graph = s->elab->graph;
    const Dim *dims[MAX_RANK] = {x->type.dims[0], dim_const(s->dims, groups), each};
    uint8_t perm[MAX_RANK] = {1, 0};
    int spatial = x->type.rank - 2;
    for (int i = 0; i < spatial; i++) {
        dims[3 + i] = x->type.dims[2 + i];
        perm[2 + i] = (uint8_t)(3 + i);
    }
    perm[2 + spatial] = 2;
    return build_permute(graph, build_reshape(graph, x, x->type.rank + 1, dims), perm);
}

/* weight -> [G, K.., C/G, O/G]; `out_first`: weight is [O, C/G, K..], else [C, O/G, K..] */
static Node *weight_layout(Sema *s, Node *w, int64_t groups, const Dim *each, bool out_first)
{
    Graph *graph = s->elab->graph;
    const Dim *dims[MAX_RANK] = {dim_const(s->dims, groups), each, w->type.dims[1]};
    uint8_t perm[MAX_RANK] = {0};
    int spatial = w->type.rank - 2;
    for (int i = 0; i < spatial; i++) {
        dims[3 + i] = w->type.dims[2 + i];
        perm[1 + i] = (uint8_t)(3 + i);
    }
    perm[1 + spatial] = out_first ? 2 : 1;
    perm[2 + spatial] = out_first ? 1 : 2;
    return build_permute(graph, build_reshape(graph, w, w->type.rank + 1, dims), perm);
}

/* [G, N, R.., O/G] -> [N, O, R..] */
static Node *output_layout(Sema *s, Node *y, const Dim *channels)
{
    Graph *graph = s->elab->graph;
    if (!y)
        return NULL;
    int spatial = y->type.rank - 3;
    uint8_t perm[MAX_RANK] = {1, 0, (uint8_t)(2 + spatial)};
    const Dim *dims[MAX_RANK] = {y->type.dims[1], channels};
    for (int i = 0; i < spatial; i++) {
        perm[3 + i] = (uint8_t)(2 + i);
        dims[2 + i] = y->type.dims[2 + i];
    }
    return build_reshape(graph, build_permute(graph, y, perm), 2 + spatial, dims);
}

static Attr conv_attr(Sema *s, const Geometry *g)
{
    Attr attr = {.kind = AT_CONV, .conv = {.spatial = g->spatial}};
    for (int i = 0; i < g->spatial; i++) {
        attr.conv.stride[i] = g->stride[i];
        attr.conv.dilate_x[i] = 1;
        attr.conv.dilate_y[i] = g->dilation[i];
        attr.conv.pad_low[i] = dim_const(s->dims, g->low[i]);
        attr.conv.pad_high[i] = dim_const(s->dims, g->high[i]);
    }
    return attr;
}

Value builtin_conv(Sema *s, BuiltinCall *call)
{
    Node *x, *w;
    Geometry g = {0};
    const Dim *in_each, *out_each;
    if (!read_operands(s, call, &x, &w, &g) ||
        !per_axis(s, call, 2, "stride", g.spatial, 1, 1, g.stride) ||
        !per_axis(s, call, 4, "dilation", g.spatial, 1, 1, g.dilation) ||
        !read_pad(s, call, 3, &g) || !same_padding(s, call, x, &g) || !read_groups(s, call, 5, &g))
        return value_poison;
    if (!divides(s, call, x->type.dims[1], g.groups, "channels", &in_each) ||
        !divides(s, call, w->type.dims[0], g.groups, "results", &out_each) ||
        !channel_check(s, call, x, w,
                       dim_mul(s->dims, w->type.dims[1], dim_const(s->dims, g.groups)), g.groups))
        return value_poison;
    for (int i = 0; i < g.spatial; i++)
        if (!window_fits(s, call, &x->type, i + 2, g.low[i], g.high[i], g.kernel[i], g.dilation[i]))
            return value_poison;
    Node *src[2] = {input_layout(s, x, g.groups, in_each),
                    weight_layout(s, w, g.groups, out_each, true)};
    Attr attr = conv_attr(s, &g);
    Node *y = src[0] && src[1] ? graph_node(s->elab->graph, OP_CONV, src, 2, &attr) : NULL;
    return sema_node_value(s, output_layout(s, y, w->type.dims[0]), call->span);
}

/* The gradient of conv by its input, as a forward operation: zeros between the elements of x, the
 * window turned around. */
Value builtin_conv_transpose(Sema *s, BuiltinCall *call)
{
    Node *x, *w;
    Geometry g = {0};
    const Dim *in_each;
    if (!read_operands(s, call, &x, &w, &g) ||
        !per_axis(s, call, 2, "stride", g.spatial, 1, 1, g.stride) || !read_pad(s, call, 3, &g) ||
        !per_axis(s, call, 4, "output_pad", g.spatial, 0, 0, g.output_pad) ||
        !per_axis(s, call, 5, "dilation", g.spatial, 1, 1, g.dilation) ||
        !read_groups(s, call, 6, &g) ||
        !divides(s, call, x->type.dims[1], g.groups, "channels", &in_each) ||
        !channel_check(s, call, x, w, w->type.dims[0], g.groups))
        return value_poison;
    Attr attr = conv_attr(s, &g);
    Axes spatial = axes_range(1, 1 + g.spatial);
    for (int i = 0; i < g.spatial; i++) {
        int64_t reach = g.dilation[i] * (g.kernel[i] - 1);
        attr.conv.stride[i] = 1;
        attr.conv.dilate_x[i] = g.stride[i];
        attr.conv.pad_low[i] = dim_const(s->dims, reach - g.low[i]);
        attr.conv.pad_high[i] = dim_const(s->dims, reach - g.high[i] + g.output_pad[i]);
    }
    Node *turned =
        build_reverse(s->elab->graph, weight_layout(s, w, g.groups, in_each, false), spatial);
    Node *src[2] = {input_layout(s, x, g.groups, in_each), turned};
    Node *y = src[0] && src[1] ? graph_node(s->elab->graph, OP_CONV, src, 2, &attr) : NULL;
    const Dim *channels = dim_mul(s->dims, w->type.dims[1], dim_const(s->dims, g.groups));
    return channels ? sema_node_value(s, output_layout(s, y, channels), call->span) : value_poison;
}

Value builtin_window(Sema *s, BuiltinCall *call)
{
    Node *x;
    if (!want_tensor(s, &call->arg[0], call->arg_span[0], call->row->name, &x))
        return value_poison;
    const Value *k = &call->arg[1];
    int count = k->kind == VALUE_ARRAY || k->kind == VALUE_TUPLE ? (int)k->as.list->count : 1;
    if (count > x->type.rank || count > MAX_RANK || count == 0) {
        sema_error(s, ERR_E0301, call->span, NULL, "a window over %d axes of %s", count,
                   type_text(s, &x->type));
        return value_poison;
    }
    int64_t size[MAX_RANK], stride[MAX_RANK], pad[MAX_RANK], dilation[MAX_RANK];
    if (!per_axis(s, call, 1, "k", count, 1, 1, size) ||
        !per_axis(s, call, 2, "stride", count, 1, 1, stride) ||
        !per_axis(s, call, 3, "pad", count, 0, 0, pad) ||
        !per_axis(s, call, 4, "dilation", count, 1, 1, dilation))
        return value_poison;
    Attr attr = {.kind = AT_WINDOW, .window = {.rank = x->type.rank}};
    int first = x->type.rank - count;
    for (int i = 0; i < x->type.rank; i++) {
        int at = i - first;
        attr.window.size[i] = at < 0 ? 1 : size[at];
        attr.window.stride[i] = at < 0 ? 1 : call->given[2] ? stride[at] : size[at];
        attr.window.dilate[i] = at < 0 ? 1 : dilation[at];
        attr.window.pad_low[i] = attr.window.pad_high[i] = dim_const(s->dims, at < 0 ? 0 : pad[at]);
        if (at >= 0 && !window_fits(s, call, &x->type, i, pad[at], pad[at], size[at], dilation[at]))
            return value_poison;
    }
    return sema_node_value(s, graph_node(s->elab->graph, call->row->op, &x, 1, &attr), call->span);
}
