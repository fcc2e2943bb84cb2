/* argsort: one row is one item, sorted by merging runs of 1, 2, 4, ... indices (bottom-up merge
 * sort, von Neumann).
 *
 *   x = 3 1 2 0    out = 0 1 2 3  ->  1 0 | 3 2  ->  3 1 2 0
 *
 * Every pass merges from the result's buffer into the scratch of the group and copies it back. A
 * run on the left goes first among equals, so the order is stable and one for all numbers of
 * threads. Elements are scalars: the next one depends on the last comparison. */
#include "compiler/lower/nest.h"

enum { SORT_GRAIN = 1, MOST_PASSES = 40 };

typedef struct {
    LowerContext *c;
    const Node *node;
    int axis;
    uint32_t out, other; /* buffers of the kernel */
    KInst *outer, *column, *length, *behind;
    KInst *base; /* row-major position of the row's first element in the result */
} Sort;

static KInst *op(const Sort *s, KOp code, KInst *x, KInst *y)
{
    return kir_binary(&s->c->b, code, x, y);
}

static KInst *flat(const Sort *s, KInst *k)
{
    return op(s, K_ADD, s->base, op(s, K_MUL, k, s->behind));
}

/* The index at place k of the row. */
static KInst *index_at(const Sort *s, uint32_t buffer, KInst *k)
{
    return kir_convert(&s->c->b, kir_load(&s->c->b, buffer, flat(s, k), 1, NULL), DT_I64);
}

static KInst *element(const Sort *s, KInst *k)
{
    const Node *x = s->node->src[0];
    Segment segments[3];
    int count = 0, rest = x->type.rank - s->axis - 1;
    if (s->axis > 0)
        segments[count++] = (Segment){0, (uint8_t)s->axis, 0, 0, index_scalar(s->outer)};
    segments[count++] = (Segment){(uint8_t)s->axis, 1, 0, 0, index_scalar(k)};
    if (rest > 0)
        segments[count++] =
            (Segment){(uint8_t)(s->axis + 1), (uint8_t)rest, 0, 0, index_scalar(s->column)};
    return lower_value(s->c, x, place_segments(s->c, x->type.rank, x->type.dims, segments, count));
}

/* x < y, where NaN comes after every number. */
static KInst *before(const Sort *s, KInst *x, KInst *y)
{
    KInst *less = op(s, K_LT, x, y);
    if (!dtype_is_float(x->type.dtype))
        return less;
    return op(s, K_OR, less, op(s, K_AND, op(s, K_EQ, x, x), op(s, K_NE, y, y)));
}

static void store_index(const Sort *s, uint32_t buffer, KInst *k, KInst *index)
{
    kir_store(&s->c->b, buffer, flat(s, k), kir_convert(&s->c->b, index, DT_I32), NULL);
}

/* Runs [begin, middle) and [middle, end) of the result, merged into the scratch. */
static void merge_runs(const Sort *s, KInst *begin, KInst *middle, KInst *end)
{
    KBuilder *b = &s->c->b;
    KInst *starts[2] = {begin, middle}, *next[2], *last = op(s, K_SUB, s->length, kir_index(b, 1));
    KInst *loop = kir_for(b, begin, end, 1, starts, 2);
    lower_scope_open(s->c);
    KInst *i = kir_loop_arg(loop, 1), *j = kir_loop_arg(loop, 2);
    KInst *left = index_at(s, s->out, op(s, K_IMIN, i, last)),
          *right = index_at(s, s->out, op(s, K_IMIN, j, last));
    KInst *first = before(s, element(s, right), element(s, left));
    KInst *left_ends = op(s, K_LE, middle, i), *right_goes_on = op(s, K_LT, j, end);
    KInst *take = op(s, K_AND, right_goes_on, op(s, K_OR, left_ends, first));
    store_index(s, s->other, kir_loop_arg(loop, 0), kir_select(b, take, right, left));
    KInst *step = kir_convert(b, take, DT_I64);
    next[0] = op(s, K_ADD, i, op(s, K_SUB, kir_index(b, 1), step));
    next[1] = op(s, K_ADD, j, step);
    lower_scope_close(s->c);
    kir_end_for(b, loop, next);
}

static void merge_pass(const Sort *s, KInst *pass)
{
    KBuilder *b = &s->c->b;
    KInst *one = kir_index(b, 1), *shift = op(s, K_ADD, pass, one);
    KInst *width = op(s, K_SHL, one, pass), *pair = op(s, K_SHL, one, shift);
    KInst *pairs = op(s, K_ASHR, op(s, K_ADD, s->length, op(s, K_SUB, pair, one)), shift);
    KInst *loop = kir_for(b, kir_index(b, 0), pairs, 1, NULL, 0);
    lower_scope_open(s->c);
    KInst *begin = op(s, K_SHL, kir_loop_arg(loop, 0), shift);
    KInst *middle = op(s, K_IMIN, op(s, K_ADD, begin, width), s->length);
    merge_runs(s, begin, middle, op(s, K_IMIN, op(s, K_ADD, begin, pair), s->length));
    lower_scope_close(s->c);
    kir_end_for(b, loop, NULL);
    KInst *copy = kir_for(b, kir_index(b, 0), s->length, 1, NULL, 0);
    lower_scope_open(s->c);
    store_index(s, s->out, kir_loop_arg(copy, 0), index_at(s, s->other, kir_loop_arg(copy, 0)));
    lower_scope_close(s->c);
    kir_end_for(b, copy, NULL);
}

static int passes_for(const Dim *size)
{
    int64_t length;
    int passes = 0;
    if (!dim_is_const(size, &length))
        return MOST_PASSES;
    while (passes < MOST_PASSES && (int64_t)1 << passes < length)
        passes++;
    return passes;
}

static void sort_row(const Sort *s)
{
    KBuilder *b = &s->c->b;
    KInst *fill = kir_for(b, kir_index(b, 0), s->length, 1, NULL, 0);
    lower_scope_open(s->c);
    store_index(s, s->out, kir_loop_arg(fill, 0), kir_loop_arg(fill, 0));
    lower_scope_close(s->c);
    kir_end_for(b, fill, NULL);
    KInst *passes = kir_index(b, passes_for(s->node->type.dims[s->axis]));
    KInst *loop = kir_for(b, kir_index(b, 0), passes, 1, NULL, 0);
    lower_scope_open(s->c);
    KInst *pass = kir_loop_arg(loop, 0);
    KInst *branch = kir_if(b, op(s, K_LT, op(s, K_SHL, kir_index(b, 1), pass), s->length));
    lower_scope_open(s->c);
    merge_pass(s, pass);
    lower_scope_close(s->c);
    kir_else(b, branch, NULL, 0);
    kir_end_if(b, branch, NULL, 0);
    lower_scope_close(s->c);
    kir_end_for(b, loop, NULL);
}

void lower_sort(LowerContext *c, const Group *group)
{
    const Node *node = group->node;
    Sort s = {.c = c, .node = node, .axis = node->attr.axis};
    const Dim *before_axis = lower_product(c, node->type.dims, 0, s.axis);
    const Dim *behind = lower_product(c, node->type.dims, s.axis + 1, node->type.rank - s.axis - 1);
    KInst *split[2];
    lower_kernel_begin(c, "sort");
    s.out = lower_buffer(c, group->outputs.data[0].buffer, ACCESS_READ | ACCESS_WRITE);
    s.other = lower_buffer(c, group->scratch, ACCESS_READ | ACCESS_WRITE);
    KInst *items = kir_for(&c->b, lower_begin(c), lower_end(c), 1, NULL, 0);
    lower_scope_open(c);
    lower_split_index(c, kir_loop_arg(items, 0), (const Dim *[]){before_axis, behind}, 2, split);
    s.outer = split[0];
    s.column = split[1];
    s.length = lower_dim(c, node->type.dims[s.axis]);
    s.behind = lower_dim(c, behind);
    s.base = op(&s, K_ADD, op(&s, K_MUL, op(&s, K_MUL, s.outer, s.length), s.behind), s.column);
    sort_row(&s);
    lower_scope_close(c);
    kir_end_for(&c->b, items, NULL);
    lower_kernel_end(c, dim_mul(c->schedule->graph->dims, before_axis, behind), SORT_GRAIN);
}
