/* Gather as an inlined value; scatter_add and cumsum as kernels.
 *
 * An index out of range is a failure at a site; gather then reads the nearest row, scatter_add
 * leaves the update out. In both kernels the lanes run over the axes behind the one that is worked
 * along, and an item is one block of those at one index of the axes before it; along the axis
 * everything is in ascending order, so any split over threads gives the same bits. A block of
 * scatter_add is a run of some lines, since each row is another page. */
#include "compiler/lower/nest.h"

#include "runtime/base/bug.h"

enum { SCATTER_GRAIN = 1, RUN_BYTES = 1024 };

/* ---- gather ---- */

static KInst *picked_index(LowerContext *c, const Node *node, const Place *place)
{
    const Node *index = node->src[1];
    Segment segments[MAX_RANK];
    int count = place_take(c, place, node->attr.axis, index->type.rank, 0, segments);
    const Place *at = place_segments(c, index->type.rank, index->type.dims, segments, count);
    return kir_convert(&c->b, lower_value(c, index, at), DT_I64);
}

KInst *lower_gather(LowerContext *c, const Node *node, const Place *place)
{
    const Node *x = node->src[0];
    KBuilder *b = &c->b;
    int axis = node->attr.axis, wide = node->src[1]->type.rank;
    KInst *size = lower_dim(c, x->type.dims[axis]), *index = picked_index(c, node, place);
    KInst *in = kir_binary(b, K_ULT, index, size), *zero = kir_index(b, 0);
    KInst *wrong = kir_binary(b, K_XOR, in, kir_int(b, DT_BOOL, 1));
    kir_fail(b, lower_site(c, node), lower_active(c, wrong), index_value(c, place_flat(c, place)));
    KInst *last = kir_binary(b, K_SUB, size, kir_index(b, 1));
    KInst *near = kir_binary(b, K_IMAX, kir_binary(b, K_IMIN, index, last), zero);
    Segment segments[MAX_RANK];
    int count = place_take(c, place, 0, axis, 0, segments);
    segments[count++] = (Segment){(uint8_t)axis, 1, 0, 0, index_vector(near)};
    count +=
        place_take(c, place, axis + wide, place->rank - axis - wide, axis + 1, segments + count);
    int64_t known;
    Narrowing saved = {c->mask, c->guard};
    if (!dim_is_const(x->type.dims[axis], &known) || known == 0) {
        saved = lower_narrow(c, kir_binary(b, K_LT, zero, size)); /* an empty axis gives 0 */
    }
    KInst *value =
        lower_value(c, x, place_segments(c, x->type.rank, x->type.dims, segments, count));
    lower_widen(c, saved);
    return value;
}

/* ---- the block of columns that an item works on ---- */

typedef struct {
    LowerContext *c;
    const Group *group;
    int axis;
    KInst *outer;         /* row-major position before the axis */
    KInst *first, *column; /* behind the axis: of the item; of the lanes */
    const Dim *before, *behind, *blocks;
    int lanes;
    int64_t width; /* columns of an item */
} Strip;

static Strip strip_begin(LowerContext *c, const Group *group, int axis, int64_t most)
{
    DimTable *dims = c->schedule->graph->dims;
    Strip s = {.c = c, .group = group, .axis = axis};
    s.before = lower_product(c, group->dims, 0, axis);
    s.behind = lower_product(c, group->dims, axis + 1, group->rank - axis - 1);
    s.lanes = fit_lanes(lower_lanes(c, group), s.behind);
    int64_t size;
    s.width = most < s.lanes ? s.lanes : most / s.lanes * s.lanes;
    if (dim_is_const(s.behind, &size) && size <= s.lanes) {
        s.width = s.lanes;
    }
    s.blocks = dim_ceildiv(dims, s.behind, dim_const(dims, s.width));
    return s;
}

/* Moves to the lanes from a column on; the mask is of those that exist. */
static void strip_at(Strip *s, KInst *column)
{
    LowerContext *c = s->c;
    int64_t size;
    bool whole = s->lanes == 1 || (dim_is_const(s->behind, &size) && size % s->lanes == 0);
    s->column = column;
    c->mask = whole ? NULL : lane_mask(c, column, lower_dim(c, s->behind), s->lanes);
}

/* Opens the loop over items. */
static KInst *strip_open(Strip *s)
{
    LowerContext *c = s->c;
    KInst *loop = kir_for(&c->b, lower_begin(c), lower_end(c), 1, NULL, 0), *split[2];
    lower_scope_open(c);
    lower_split_index(c, kir_loop_arg(loop, 0), (const Dim *[]){s->before, s->blocks}, 2, split);
    s->outer = split[0];
    s->first = kir_binary(&c->b, K_MUL, split[1], kir_index(&c->b, s->width));
    c->lanes = s->lanes;
    if (s->width == s->lanes) {
        strip_at(s, s->first);
    }
    return loop;
}

static void strip_close(Strip *s, KInst *loop)
{
    s->c->lanes = 1;
    s->c->mask = NULL;
    lower_scope_close(s->c);
    kir_end_for(&s->c->b, loop, NULL);
}

/* Opens a loop over the columns of an item; NULL: one vector is all of them. */
static KInst *columns_open(Strip *s)
{
    LowerContext *c = s->c;
    if (s->width == s->lanes) {
        return NULL;
    }
    KInst *end = kir_binary(&c->b, K_ADD, s->first, kir_index(&c->b, s->width));
    end = kir_binary(&c->b, K_IMIN, end, lower_dim(c, s->behind));
    KInst *loop = kir_for(&c->b, s->first, end, s->lanes, NULL, 0);
    lower_scope_open(c);
    strip_at(s, kir_loop_arg(loop, 0));
    return loop;
}

static void columns_close(Strip *s, KInst *loop)
{
    if (loop) {
        s->c->mask = NULL;
        lower_scope_close(s->c);
        kir_end_for(&s->c->b, loop, NULL);
    }
}

static const Dim *strip_items(const Strip *s)
{
    return dim_mul(s->c->schedule->graph->dims, s->before, s->blocks);
}

static Index strip_lanes(const Strip *s)
{
    return s->lanes == 1 ? index_scalar(s->column) : index_lanes(s->column, 1);
}

/* The place [outer, middle axes.., column lanes] of a tensor with `wide` axes instead of the one.
 */
static const Place *strip_place(const Strip *s, const Node *node, int wide, KInst *middle)
{
    Segment segments[3];
    int count = 0;
    if (s->axis > 0) {
        segments[count++] = (Segment){0, (uint8_t)s->axis, 0, 0, index_scalar(s->outer)};
    }
    if (wide > 0) {
        segments[count++] = (Segment){(uint8_t)s->axis, (uint8_t)wide, 0, 0, index_scalar(middle)};
    }
    int rest = node->type.rank - s->axis - wide;
    if (rest > 0) {
        segments[count++] =
            (Segment){(uint8_t)(s->axis + wide), (uint8_t)rest, 0, 0, strip_lanes(s)};
    }
    return place_segments(s->c, node->type.rank, node->type.dims, segments, count);
}

/* ---- scatter_add ---- */

static void copy_strip(Strip *s, const Node *node, int32_t to)
{
    LowerContext *c = s->c;
    KInst *loop =
        kir_for(&c->b, kir_index(&c->b, 0), lower_dim(c, node->type.dims[s->axis]), 1, NULL, 0);
    lower_scope_open(c);
    KInst *columns = columns_open(s);
    const Place *place = strip_place(s, node, 1, kir_loop_arg(loop, 0));
    lower_store(c, to, place, kir_splat(&c->b, lower_value(c, node->src[0], place), c->lanes));
    columns_close(s, columns);
    lower_scope_close(c);
    kir_end_for(&c->b, loop, NULL);
}

static void add_update(Strip *s, const Node *node, int32_t to, KInst *element)
{
    LowerContext *c = s->c;
    KBuilder *b = &c->b;
    const Node *index = node->src[1], *update = node->src[2];
    Segment flat = {0, (uint8_t)index->type.rank, 0, 0, index_scalar(element)};
    const Place *at =
        place_segments(c, index->type.rank, index->type.dims, &flat, index->type.rank > 0);
    KInst *row = kir_convert(b, lower_value(c, index, at), DT_I64);
    KInst *in = kir_binary(b, K_ULT, row, lower_dim(c, node->type.dims[s->axis]));
    kir_fail(b, lower_site(c, node), kir_binary(b, K_XOR, in, kir_int(b, DT_BOOL, 1)), element);
    KInst *branch = kir_if(b, in);
    lower_scope_open(c);
    KInst *columns = columns_open(s);
    const Place *target = strip_place(s, node, 1, row);
    KInst *more = kir_splat(
        b, lower_value(c, update, strip_place(s, update, index->type.rank, element)), c->lanes);
    KInst *old = kir_load(b, lower_buffer(c, to, ACCESS_READ), place_flat(c, target).base, c->lanes,
                          c->mask);
    lower_store(c, to, target, lower_combine(c, OP_SUM, old, more));
    columns_close(s, columns);
    lower_scope_close(c);
    kir_else(b, branch, NULL, 0);
    kir_end_if(b, branch, NULL, 0);
}

void lower_scatter(LowerContext *c, const Group *group)
{
    const Node *node = group->node, *index = node->src[1];
    int32_t to = group->outputs.data[0].buffer;
    lower_kernel_begin(c, "scatter");
    int64_t run = RUN_BYTES / (int64_t)dtype_bytes(node->type.dtype);
    Strip s = strip_begin(c, group, node->attr.axis, run);
    KInst *items = strip_open(&s);
    copy_strip(&s, node, to);
    KInst *count = lower_dim(c, lower_product(c, index->type.dims, 0, index->type.rank));
    KInst *loop = kir_for(&c->b, kir_index(&c->b, 0), count, 1, NULL, 0);
    lower_scope_open(c);
    add_update(&s, node, to, kir_loop_arg(loop, 0));
    lower_scope_close(c);
    kir_end_for(&c->b, loop, NULL);
    strip_close(&s, items);
    lower_kernel_end(c, strip_items(&s), SCATTER_GRAIN);
}

/* ---- cumsum ---- */

void lower_cumsum(LowerContext *c, const Group *group)
{
    const Node *node = group->node;
    lower_kernel_begin(c, "cumsum");
    Strip s = strip_begin(c, group, node->attr.axis, 1);
    KInst *items = strip_open(&s);
    KInst *start = kir_splat(&c->b, lower_identity(c, OP_SUM, node->type.dtype), c->lanes);
    KInst *loop =
        kir_for(&c->b, kir_index(&c->b, 0), lower_dim(c, node->type.dims[s.axis]), 1, &start, 1);
    lower_scope_open(c);
    const Place *place = strip_place(&s, node, 1, kir_loop_arg(loop, 0));
    KInst *value = kir_splat(&c->b, lower_value(c, node->src[0], place), c->lanes);
    KInst *sum = lower_combine(c, OP_SUM, kir_loop_arg(loop, 1), value);
    lower_store(c, group->outputs.data[0].buffer, place, sum);
    lower_scope_close(c);
    kir_end_for(&c->b, loop, &sum);
    strip_close(&s, items);
    lower_kernel_end(c, strip_items(&s), SCATTER_GRAIN);
}
