/* Contractions the slow obvious way: one output element at a time, one fma per term, in the order
 * of graph/order.h. The oracle of the tiles in lower_contract.c, and readable as the definition of
 * both operations:
 *
 *   dot:  out[b, i, j] = chain over k of fma(x[b, i, k], y[b, k, j], acc)
 *   conv: out[g, n, r, o] = chain over t, c of fma(x[g, n, at, c], y[g, t, c, o], acc)
 *
 * In a conv t runs over taps and c over channels, at = r * stride + t * dilate - pad, and where x
 * has no such element there is no term. */
#include "compiler/lower/nest.h"

#include "runtime/base/bug.h"

#include <string.h>

/* One summed axis: its size, and where its index goes. */
typedef struct {
    const Dim *size;
    int x_axis, y_axis; /* conv taps: x_axis is the spatial axis, moved by the tap */
    int spatial;        /* which spatial axis, -1: none */
} Summed;

typedef struct {
    LowerContext *c;
    const Group *group;
    const Node *node;
    Index x[MAX_RANK], y[MAX_RANK]; /* indices of the operands */
    Index origin[MAX_SPATIAL];      /* conv: r * stride - pad */
    KInst *inside[MAX_SPATIAL];     /* conv: the tap is no padding */
    Summed summed[MAX_RANK];
    int count;
} Naive;

static KInst *multiply_add(LowerContext *c, KInst *x, KInst *y, KInst *acc)
{
    if (dtype_is_float(acc->type.dtype)) {
        return kir_fma(&c->b, x, y, acc);
    }
    return kir_binary(&c->b, K_ADD, kir_binary(&c->b, K_MUL, x, y), acc);
}

/* Position in x of a tap: dilated x has elements only at multiples of dilate_x. */
static void move_tap(Naive *n, int s, KInst *tap)
{
    LowerContext *c = n->c;
    KBuilder *b = &c->b;
    int64_t gap = n->node->attr.conv.dilate_x[s];
    KInst *away = kir_binary(b, K_MUL, tap, kir_index(b, n->node->attr.conv.dilate_y[s]));
    KInst *at = kir_binary(b, K_ADD, n->origin[s].base, away);
    KInst *size = lower_dim(c, n->node->src[0]->type.dims[2 + s]), *inside = NULL;
    if (gap > 1) {
        inside = kir_binary(b, K_EQ, kir_binary(b, K_IMOD, at, kir_index(b, gap)), kir_index(b, 0));
        at = kir_binary(b, K_IDIV, at, kir_index(b, gap));
    }
    KInst *range = kir_binary(b, K_ULT, at, size);
    n->inside[s] = inside == NULL ? range : kir_binary(b, K_AND, inside, range);
    n->x[2 + s] = index_scalar(at);
}

static KInst *add_term(Naive *n, KInst *acc)
{
    LowerContext *c = n->c;
    KInst *inside = NULL;
    for (int s = 0; n->node->op == OP_CONV && s < n->node->attr.conv.spatial; s++) {
        inside = inside == NULL ? n->inside[s] : kir_binary(&c->b, K_AND, inside, n->inside[s]);
    }
    Narrowing saved = lower_narrow(c, inside);
    KInst *x = kir_convert(&c->b, view_load(c, &n->group->views[0], n->x), acc->type.dtype);
    lower_widen(c, saved);
    KInst *y = kir_convert(&c->b, view_load(c, &n->group->views[1], n->y), acc->type.dtype);
    KInst *sum = multiply_add(c, x, y, acc);
    return inside == NULL ? sum : kir_select(&c->b, inside, sum, acc);
}

static KInst *sum_level(Naive *n, int level, KInst *acc);

static KInst *sum_range(Naive *n, int level, KInst *low, KInst *high, KInst *acc)
{
    LowerContext *c = n->c;
    const Summed *s = &n->summed[level];
    KInst *loop = kir_for(&c->b, low, high, 1, &acc, 1);
    lower_scope_open(c);
    KInst *k = kir_loop_arg(loop, 0);
    n->y[s->y_axis] = index_scalar(k);
    if (s->spatial >= 0) {
        move_tap(n, s->spatial, k);
    } else {
        n->x[s->x_axis] = index_scalar(k);
    }
    KInst *next = sum_level(n, level + 1, kir_loop_arg(loop, 1));
    lower_scope_close(c);
    kir_end_for(&c->b, loop, &next);
    return kir_result(&c->b, loop, 0);
}

static KInst *sum_level(Naive *n, int level, KInst *acc)
{
    if (level == n->count) {
        return add_term(n, acc);
    }
    return sum_range(n, level, kir_index(&n->c->b, 0), lower_dim(n->c, n->summed[level].size), acc);
}

static KInst *sum_leaves(Naive *n, int64_t leaf, KInst *zero)
{
    LowerContext *c = n->c;
    KInst *high = lower_dim(c, n->summed[0].size);
    KInst *loop = kir_for(&c->b, kir_index(&c->b, 0), high, leaf, &zero, 1);
    lower_scope_open(c);
    KInst *first = kir_loop_arg(loop, 0);
    KInst *end =
        kir_binary(&c->b, K_IMIN, kir_binary(&c->b, K_ADD, first, kir_index(&c->b, leaf)), high);
    KInst *part = sum_range(n, 0, first, end, zero);
    KInst *next = kir_binary(&c->b, K_ADD, kir_loop_arg(loop, 1), part);
    lower_scope_close(c);
    kir_end_for(&c->b, loop, &next);
    return kir_result(&c->b, loop, 0);
}

static bool contains(const Axes *axes, int axis)
{
    for (int i = 0; i < axes->count; i++) {
        if (axes->axis[i] == axis) {
            return true;
        }
    }
    return false;
}

static void prepare_dot(Naive *n, KInst *const *out)
{
    const Attr *a = &n->node->attr;
    int next = 0;
    for (int i = 0; i < a->dot.batch_x.count; i++, next++) {
        n->x[a->dot.batch_x.axis[i]] = n->y[a->dot.batch_y.axis[i]] = index_scalar(out[next]);
    }
    for (int i = 0; i < n->node->src[0]->type.rank; i++) {
        if (!contains(&a->dot.batch_x, i) && !contains(&a->dot.contract_x, i)) {
            n->x[i] = index_scalar(out[next++]);
        }
    }
    for (int i = 0; i < n->node->src[1]->type.rank; i++) {
        if (!contains(&a->dot.batch_y, i) && !contains(&a->dot.contract_y, i)) {
            n->y[i] = index_scalar(out[next++]);
        }
    }
    for (int i = 0; i < a->dot.contract_x.count; i++) {
        int x_axis = a->dot.contract_x.axis[i];
        const Dim *size = n->node->src[0]->type.dims[x_axis];
        n->summed[n->count++] = (Summed){size, x_axis, a->dot.contract_y.axis[i], -1};
    }
}

static void prepare_conv(Naive *n, KInst *const *out, SumOrder order)
{
    LowerContext *c = n->c;
    KBuilder *b = &c->b;
    const Attr *a = &n->node->attr;
    const Type *y = &n->node->src[1]->type;
    int spatial = a->conv.spatial, channel = spatial + 1;
    Summed channels = {y->dims[channel], spatial + 2, channel, -1};
    n->x[0] = n->y[0] = index_scalar(out[0]);
    n->x[1] = index_scalar(out[1]);
    n->y[spatial + 2] = index_scalar(out[spatial + 2]);
    if (order.channels_slowest) {
        n->summed[n->count++] = channels;
    }
    for (int s = 0; s < spatial; s++) {
        KInst *start = kir_binary(b, K_MUL, out[2 + s], kir_index(b, a->conv.stride[s]));
        n->origin[s] = index_scalar(kir_binary(b, K_SUB, start, lower_dim(c, a->conv.pad_low[s])));
        n->summed[n->count++] = (Summed){y->dims[1 + s], 2 + s, 1 + s, s};
    }
    if (!order.channels_slowest) {
        n->summed[n->count++] = channels;
    }
}

static void lower_element(Naive *n, KInst *item)
{
    LowerContext *c = n->c;
    const Type *type = &n->node->type;
    SumOrder order = graph_sum_order(n->node);
    KInst *out[MAX_RANK];
    Index axes[MAX_RANK];
    lower_split_index(c, item, type->dims, type->rank, out);
    for (int i = 0; i < type->rank; i++) {
        axes[i] = index_scalar(out[i]);
    }
    if (n->node->op == OP_DOT) {
        prepare_dot(n, out);
    } else {
        prepare_conv(n, out, order);
    }
    KInst *zero = lower_identity(c, OP_SUM, type->dtype);
    KInst *sum =
        n->count > 0 && order.leaf > 0 ? sum_leaves(n, order.leaf, zero) : sum_level(n, 0, zero);
    lower_known(c, n->node, sum);
    lower_outputs(c, n->group, place_axes(c, type->rank, type->dims, axes));
}

void lower_contract_naive(LowerContext *c, const Group *group)
{
    Naive naive = {.c = c, .group = group, .node = group->node};
    lower_kernel_begin(c, op_info[group->node->op].text);
    KInst *loop = kir_for(&c->b, lower_begin(c), lower_end(c), 1, NULL, 0);
    lower_scope_open(c);
    lower_element(&naive, kir_loop_arg(loop, 0));
    lower_scope_close(c);
    kir_end_for(&c->b, loop, NULL);
    lower_kernel_end(c, lower_product(c, group->dims, 0, group->rank), 256);
}
