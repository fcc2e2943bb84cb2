/* Contractions in the interpreter, in the orders of graph/order.h. Both come down to one loop, the
 * chain:
 *
 *   for i, j: for k ascending: acc[i][j] = fma(x[i][k], y[k][j], acc[i][j])
 *
 * dot packs its operands to x[batch][M][K] and y[batch][K][N] and calls it per batch and leaf. conv
 * calls it per tap, where i runs over the output positions of the last spatial axis that the tap
 * reaches and k over the channels: for a single output element the terms come in the order of taps,
 * then channels, and padded taps are never terms. */
#include "compiler/ref/chain.h"
#include "compiler/ref/eval.h"

#include <stdlib.h>
#include <string.h>

static void *offset_of(const void *data, int64_t elements, DType dtype)
{
    return (char *)data + elements * (int64_t)dtype_bytes(dtype);
}

/* Dot */

/* The operand in the axis order given by `axes`; its own memory when it is already so. *owned: the
 * caller frees it. */
static const void *pack(RefEval *e, const RefTensor *x, const int *axes, void **owned)
{
    RefBlock block = {.rank = x->rank};
    int64_t strides[MAX_RANK], stride = 1;
    bool moved = false;
    ref_strides(x, strides);
    for (int i = x->rank; i-- > 0;) {
        block.dims[i] = x->dims[axes[i]];
        block.src_strides[i] = strides[axes[i]];
        block.dst_strides[i] = stride;
        moved |= block.dims[i] != 1 && block.src_strides[i] != stride;
        stride *= block.dims[i];
    }
    *owned = NULL;
    if (!moved)
        return x->data;
    *owned = ref_scratch(e, x->count, x->dtype);
    if (*owned != NULL)
        ref_copy_block(&block, *owned, x->data, dtype_bytes(x->dtype));
    return *owned;
}

/* Appends axes to an order and returns the product of their sizes. */
static int64_t append(const RefTensor *x, const Axes *axes, int *order, int *count)
{
    int64_t size = 1;
    for (int i = 0; i < axes->count; i++) {
        order[(*count)++] = axes->axis[i];
        size *= x->dims[axes->axis[i]];
    }
    return size;
}

static Axes rest_of(const RefTensor *x, const Axes *batch, const Axes *contract)
{
    bool used[MAX_RANK] = {false};
    Axes rest = {0};
    for (int i = 0; i < batch->count; i++)
        used[batch->axis[i]] = true;
    for (int i = 0; i < contract->count; i++)
        used[contract->axis[i]] = true;
    for (int i = 0; i < x->rank; i++)
        if (!used[i])
            rest.axis[rest.count++] = (uint8_t)i;
    return rest;
}

typedef struct {
    DType dtype;
    int64_t batch, rows, columns, depth;
    int64_t leaf; /* terms per leaf, 0: one chain */
    const void *x, *y;
    void *out;
} Product;

static void multiply_batch(const Product *p, const void *x, const void *y, void *out, void *part)
{
    size_t bytes = dtype_bytes(p->dtype);
    int64_t elements = p->rows * p->columns, leaf = p->leaf > 0 ? p->leaf : p->depth;
    memset(out, 0, (size_t)elements * bytes);
    for (int64_t k = 0; k < p->depth; k += leaf) {
        void *acc = p->leaf > 0 ? part : out;
        Chain chain = {.rows = p->rows,
                       .columns = p->columns,
                       .depth = p->depth - k < leaf ? p->depth - k : leaf,
                       .acc = acc,
                       .acc_row = p->columns,
                       .x = offset_of(x, k, p->dtype),
                       .x_row = p->depth,
                       .x_depth = 1,
                       .y = offset_of(y, k * p->columns, p->dtype),
                       .y_depth = p->columns};
        if (acc == part)
            memset(part, 0, (size_t)elements * bytes);
        chain_run(p->dtype, &chain);
        if (acc == part)
            ref_combine(SCALAR_ADD, p->dtype, out, part, elements);
    }
}

static void multiply(RefEval *e, const Product *p)
{
    void *part = ref_scratch(e, p->leaf > 0 ? p->rows * p->columns : 0, p->dtype);
    for (int64_t b = 0; part != NULL && b < p->batch; b++)
        multiply_batch(p, offset_of(p->x, b * p->rows * p->depth, p->dtype),
                       offset_of(p->y, b * p->depth * p->columns, p->dtype),
                       offset_of(p->out, b * p->rows * p->columns, p->dtype), part);
    free(part);
}

/* out[batch][M][N] from turned[batch][N][M], where the product has N rows and M columns. */
static void turn_back(const Product *p, const void *turned, void *out)
{
    RefBlock block = {.rank = 3,
                      .dims = {p->batch, p->columns, p->rows},
                      .dst_strides = {p->rows * p->columns, p->rows, 1},
                      .src_strides = {p->rows * p->columns, 1, p->columns}};
    ref_copy_block(&block, out, turned, dtype_bytes(p->dtype));
}

static void contract_dot(RefEval *e)
{
    const Attr *attr = &e->node->attr;
    const RefTensor *x = ref_in(e, 0), *y = ref_in(e, 1);
    Axes rest_x = rest_of(x, &attr->dot.batch_x, &attr->dot.contract_x);
    Axes rest_y = rest_of(y, &attr->dot.batch_y, &attr->dot.contract_y);
    int order_x[MAX_RANK], order_y[MAX_RANK], count_x = 0, count_y = 0;
    int64_t rows = 1, columns = 1, first = 1;
    for (int i = 0; i < rest_x.count; i++)
        rows *= x->dims[rest_x.axis[i]];
    for (int i = 0; i < rest_y.count; i++)
        columns *= y->dims[rest_y.axis[i]];
    /* x and y may change places, since their product commutes: the inner loop runs over the longer
     * side. */
    bool turn = columns < 16 && rows > columns;
    Product p = {
        .dtype = x->dtype, .rows = turn ? columns : rows, .columns = turn ? rows : columns};
    p.batch = append(x, &attr->dot.batch_x, order_x, &count_x);
    append(y, &attr->dot.batch_y, order_y, &count_y);
    if (!turn)
        append(x, &rest_x, order_x, &count_x);
    p.depth = append(x, &attr->dot.contract_x, order_x, &count_x);
    if (turn) {
        append(x, &rest_x, order_x, &count_x);
        append(y, &rest_y, order_y, &count_y);
    }
    append(y, &attr->dot.contract_y, order_y, &count_y);
    if (!turn)
        append(y, &rest_y, order_y, &count_y);
    if (attr->dot.contract_x.count > 0)
        first = x->dims[attr->dot.contract_x.axis[0]];
    p.leaf = first == 0 ? 0 : graph_sum_order(e->node).leaf * (p.depth / first);
    if (e->out->count == 0)
        return;
    void *own_x, *own_y, *turned = turn ? ref_scratch(e, e->out->count, p.dtype) : NULL;
    const void *packed_x = pack(e, x, order_x, &own_x), *packed_y = pack(e, y, order_y, &own_y);
    p.x = turn ? packed_y : packed_x;
    p.y = turn ? packed_x : packed_y;
    p.out = turn ? turned : e->out->data;
    if (!e->refused)
        multiply(e, &p);
    if (turn && !e->refused)
        turn_back(&p, turned, e->out->data);
    free(own_x);
    free(own_y);
    free(turned);
}

/* Convolution */

typedef struct {
    RefEval *e;
    DType dtype;
    int spatial;
    int64_t groups, images, channels, outputs;
    int64_t size[MAX_SPATIAL], taps[MAX_SPATIAL], result[MAX_SPATIAL], low[MAX_SPATIAL];
    const int64_t *stride, *gap, *dilate; /* gap: dilate_x, dilate: dilate_y */
    int64_t tap_count, row_elements;      /* row: outputs of the last spatial axis */
    int64_t channel_first, channel_count; /* the channels of the chain being made */
} Conv;

/* Source index under tap k of output r along an axis, or -1: padding or a hole of dilate_x. */
static int64_t source_index(const Conv *c, int axis, int64_t r, int64_t k)
{
    int64_t at = r * c->stride[axis] + k * c->dilate[axis] - c->low[axis];
    if (at < 0 || at % c->gap[axis] != 0 || at / c->gap[axis] >= c->size[axis])
        return -1;
    return at / c->gap[axis];
}

/* Positions r of the last axis that tap k reaches: first, first + step, ... count of them. */
typedef struct {
    int64_t first, step, count, source, source_step;
} Run;

static Run reached(const Conv *c, int64_t k)
{
    int last = c->spatial - 1;
    Run run = {.step = 1};
    int64_t end = c->result[last];
    while (run.step * c->stride[last] % c->gap[last] != 0)
        run.step++;
    while (run.first < end && source_index(c, last, run.first, k) < 0)
        run.first++;
    if (run.first >= end)
        return run;
    run.source = source_index(c, last, run.first, k);
    run.source_step = run.step * c->stride[last] / c->gap[last];
    int64_t by_result = (end - 1 - run.first) / run.step,
            by_source = (c->size[last] - 1 - run.source) / run.source_step;
    run.count = 1 + (by_result < by_source ? by_result : by_source);
    return run;
}

/* One tap for one row of outputs. x and y are those of the group and image. */
static void add_tap(const Conv *c, const int64_t *r, const int64_t *k, int64_t tap, const void *x,
                    const void *y, void *acc)
{
    int64_t source = 0;
    for (int i = 0; i < c->spatial - 1; i++) {
        int64_t at = source_index(c, i, r[i], k[i]);
        if (at < 0)
            return;
        source = (source + at) * c->size[i + 1];
    }
    Run run = reached(c, k[c->spatial - 1]);
    if (run.count == 0)
        return;
    Chain chain = {
        .rows = run.count,
        .columns = c->outputs,
        .depth = c->channel_count,
        .acc = offset_of(acc, run.first * c->outputs, c->dtype),
        .acc_row = run.step * c->outputs,
        .x = offset_of(x, (source + run.source) * c->channels + c->channel_first, c->dtype),
        .x_row = run.source_step * c->channels,
        .x_depth = 1,
        .y = offset_of(y, (tap * c->channels + c->channel_first) * c->outputs, c->dtype),
        .y_depth = c->outputs};
    chain_run(c->dtype, &chain);
}

/* All taps for one row of outputs and the current channels. */
static void add_taps(const Conv *c, const int64_t *r, const void *x, const void *y, void *acc)
{
    int64_t k[MAX_SPATIAL] = {0};
    for (int64_t tap = 0; tap < c->tap_count; tap++) {
        add_tap(c, r, k, tap, x, y, acc);
        for (int i = c->spatial; i-- > 0 && ++k[i] == c->taps[i];)
            k[i] = 0;
    }
}

static void convolve_row(Conv *c, SumOrder order, const int64_t *r, const void *x, const void *y,
                         void *out, void *part)
{
    size_t bytes = (size_t)c->row_elements * dtype_bytes(c->dtype);
    memset(out, 0, bytes);
    c->channel_first = 0;
    c->channel_count = c->channels;
    if (!order.channels_slowest) {
        add_taps(c, r, x, y, out);
        return;
    }
    int64_t leaf = order.leaf > 0 ? order.leaf : c->channels;
    c->channel_count = 1;
    for (int64_t first = 0; first < c->channels; first += leaf) {
        void *acc = order.leaf > 0 ? part : out;
        if (acc == part)
            memset(part, 0, bytes);
        for (int64_t i = first; i < c->channels && i < first + leaf; i++) {
            c->channel_first = i;
            add_taps(c, r, x, y, acc);
        }
        if (acc == part)
            ref_combine(SCALAR_ADD, c->dtype, out, part, c->row_elements);
    }
}

static Conv conv_sizes(RefEval *e)
{
    const RefTensor *x = ref_in(e, 0), *y = ref_in(e, 1);
    const Attr *attr = &e->node->attr;
    int spatial = attr->conv.spatial;
    Conv c = {.e = e,
              .dtype = x->dtype,
              .spatial = spatial,
              .groups = x->dims[0],
              .images = x->dims[1],
              .channels = x->dims[spatial + 2],
              .outputs = y->dims[spatial + 2],
              .stride = attr->conv.stride,
              .gap = attr->conv.dilate_x,
              .dilate = attr->conv.dilate_y,
              .tap_count = 1};
    for (int i = 0; i < spatial; i++) {
        c.size[i] = x->dims[2 + i];
        c.taps[i] = y->dims[1 + i];
        c.result[i] = e->out->dims[2 + i];
        c.low[i] = ref_dim(e, attr->conv.pad_low[i]);
        c.tap_count *= c.taps[i];
    }
    c.row_elements = c.result[spatial - 1] * c.outputs;
    return c;
}

static void contract_conv(RefEval *e)
{
    const RefTensor *x = ref_in(e, 0), *y = ref_in(e, 1);
    Conv c = conv_sizes(e);
    SumOrder order = graph_sum_order(e->node);
    if (e->out->count == 0)
        return;
    void *part = ref_scratch(e, c.row_elements, c.dtype);
    int64_t rows = e->out->count / c.row_elements, per_image = rows / (c.groups * c.images),
            r[MAX_SPATIAL] = {0};
    int64_t x_image = x->count / (c.groups * c.images), y_group = y->count / c.groups;
    for (int64_t row = 0; part != NULL && row < rows; row++) {
        int64_t image = row / per_image, rest = row % per_image;
        for (int i = c.spatial - 1; i-- > 0;) {
            r[i] = rest % c.result[i];
            rest /= c.result[i];
        }
        convolve_row(&c, order, r, offset_of(x->data, image * x_image, c.dtype),
                     offset_of(y->data, image / c.images * y_group, c.dtype),
                     offset_of(e->out->data, row * c.row_elements, c.dtype), part);
    }
    free(part);
}

void ref_contract(RefEval *e)
{
    if (e->node->op == OP_DOT)
        contract_dot(e);
    else
        contract_conv(e);
}
