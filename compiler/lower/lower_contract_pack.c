/* Packing operands into panels: y where the lanes of a vector are not neighbours in memory (a
 * weight stored [out, in], the keys of an attention) or lie far apart; x where the terms of a row
 * do, as in the gradient of weights. One item is one panel, or some of them.
 *
 *   y[n, k] as [64, 512], panels of 32   ->   scratch[p][k][j] = y[32 p + j, k], [2][512][32]
 *
 * Blocks of lanes x lanes elements are transposed in registers: log2(lanes) rounds of exchanges
 * between vectors whose numbers differ in one bit. Lanes beyond the end of the axis hold anything:
 * the tile that reads them masks its result. */
#include "compiler/lower/lower_contract.h"
#include "runtime/base/bug.h"

enum { MIN_GRAIN_ELEMENTS = 16384, RUN_BYTES = 1024, LINE_BYTES = 64, BLOCKS_AHEAD = 8 };

int panel_axis(const TilePlan *plan, Side side)
{
    return side == SIDE_Y ? plan->vector : plan->row;
}

int64_t panel_width(const TilePlan *plan, Side side)
{
    return side == SIDE_Y ? (int64_t)plan->lanes * plan->vectors : plan->rows;
}

const Dim *panel_total(DimTable *dims, const Contraction *of, const TilePlan *plan, Side side)
{
    return dim_ceildiv(dims, of->out[panel_axis(plan, side)].size,
                       dim_const(dims, panel_width(plan, side)));
}

PackedStrides packed_strides(DimTable *dims, const Contraction *of, const TilePlan *plan, Side side)
{
    PackedStrides strides;
    const Dim *stride = dim_const(dims, panel_width(plan, side));
    for (int i = of->ks - 1; i >= 0; i--) {
        strides.k[i] = stride;
        stride = dim_mul(dims, stride, of->k[i].size);
    }
    if (side ==
        SIDE_X) { /* so that the same term of many panels does not meet in one set of a cache */
        stride =
            dim_add(dims, stride, dim_const(dims, LINE_BYTES / (int64_t)dtype_bytes(of->dtype)));
    }
    strides.panel = stride;
    stride = dim_mul(dims, stride, panel_total(dims, of, plan, side));
    for (int a = of->outs - 1; a >= 0; a--) {
        strides.out[a] = dim_const(dims, a == panel_axis(plan, side) ? 1 : 0);
        if (a != panel_axis(plan, side) && !dim_is(of->out[a].stride[side], 0)) {
            strides.out[a] = stride;
            stride = dim_mul(dims, stride, of->out[a].size);
        }
    }
    strides.total = stride;
    return strides;
}

const Dim *slice_elements(DimTable *dims, const Contraction *of, const TilePlan *plan)
{
    const Dim *terms = plan->split == SPLIT_BLOCKS ? dim_const(dims, plan->k_block) : of->k[0].size;
    return dim_mul(dims, terms, dim_const(dims, panel_width(plan, SIDE_Y)));
}

/* One for every item. */
static const Dim *slices_total(DimTable *dims, const Contraction *of, const TilePlan *plan)
{
    const Dim *items = dim_const(dims, 1);
    if (plan->block > 0) {
        const Dim *panels = panel_total(dims, of, plan, SIDE_Y);
        items = dim_ceildiv(dims, panels, dim_const(dims, plan->block));
    }
    return dim_mul(dims, items, slice_elements(dims, of, plan));
}

/* y first: in a loop it may stay where x is packed again and again. */
const Dim *packed_offset(DimTable *dims, const Contraction *of, const TilePlan *plan, Side side)
{
    const Dim *offset = dim_const(dims, 0);
    if (side != SIDE_Y && plan->packed[SIDE_Y]) {
        offset = plan->sliced ? slices_total(dims, of, plan)
                              : packed_strides(dims, of, plan, SIDE_Y).total;
    }
    if (side == SIDES && plan->packed[SIDE_X]) {
        offset = dim_add(dims, offset, packed_strides(dims, of, plan, SIDE_X).total);
    }
    return offset;
}

const Dim *part_total(DimTable *dims, const Contraction *of, const TilePlan *plan)
{
    const Dim *parts = dim_ceildiv(dims, of->k[0].size, dim_const(dims, plan->k_block));
    if (plan->k_inner > 0) {
        parts =
            dim_mul(dims, parts, dim_ceildiv(dims, of->k[1].size, dim_const(dims, plan->k_inner)));
    }
    return parts;
}

const Dim *scratch_bytes(DimTable *dims, const Contraction *of, const TilePlan *plan)
{
    const Dim *elements = packed_offset(dims, of, plan, SIDES);
    if (plan->split != SPLIT_NONE) {
        bool leaves = plan->split == SPLIT_LEAVES;
        const Dim *parts = leaves ? part_total(dims, of, plan) : dim_const(dims, 1);
        elements = dim_add(dims, elements, dim_mul(dims, parts, result_elements(dims, of)));
    }
    const Dim *line = dim_const(dims, 64 / (int64_t)dtype_bytes(of->dtype));
    return dim_mul(dims, dim_ceildiv(dims, elements, line), dim_const(dims, 64));
}

uint32_t scratch_buffer(LowerContext *c, const Group *group, DType dtype, Access access)
{
    uint32_t buffer = lower_buffer(c, group->scratch, access);
    c->kernel->buffers.data[buffer].dtype = dtype;
    return buffer;
}

const Dim *result_elements(DimTable *dims, const Contraction *of)
{
    const Dim *elements = dim_const(dims, 1);
    for (int a = 0; a < of->outs; a++) {
        elements = dim_mul(dims, elements, of->out[a].size);
    }
    return elements;
}

typedef struct {
    LowerContext *c;
    const Contraction *of;
    const TilePlan *plan;
    Side side;
    int axis;              /* panel_axis */
    int64_t width, panels; /* panel_width; how many panels an item is */
    uint32_t from, to;
    KInst *from_stride[MAX_RANK], *to_stride[MAX_RANK]; /* per k axis */
    KInst *lane_stride, *size, *last; /* of that axis in the operand; its size; size - 1 */
    KInst *column, *panel_stride;     /* first lane of the panel; from panel to panel */
    KInst *terms;                     /* of a slice; NULL: all of k */
} Pack;

typedef struct {
    KInst *from, *to; /* element indices of the panel's first lane */
} Place2;

static KInst *op(Pack *p, KOp code, KInst *x, KInst *y)
{
    return kir_binary(&p->c->b, code, x, y);
}

static KInst *constant(Pack *p, int64_t value)
{
    return kir_index(&p->c->b, value);
}

static Place2 moved(Pack *p, Place2 at, int level, KInst *by)
{
    at.from = op(p, K_ADD, at.from, op(p, K_MUL, by, p->from_stride[level]));
    at.to = op(p, K_ADD, at.to, op(p, K_MUL, by, p->to_stride[level]));
    return at;
}

static KInst *open_loop(Pack *p, KInst *low, KInst *high, int64_t step)
{
    KInst *loop = kir_for(&p->c->b, low, high, step, NULL, 0);
    lower_scope_open(p->c);
    return loop;
}

static void close_loop(Pack *p, KInst *loop)
{
    lower_scope_close(p->c);
    kir_end_for(&p->c->b, loop, NULL);
}

/* Does every panel lie wholly inside the axis? */
static bool panels_are_full(const Pack *p)
{
    int64_t count = p->of->out[p->axis].count;
    return count >= 0 && count % p->width == 0;
}

/* Position of a lane on the vector axis relative to the panel, kept inside of it. */
static KInst *lane_offset(Pack *p, KInst *first, int64_t lane)
{
    KInst *offset = op(p, K_ADD, first, constant(p, lane));
    if (!panels_are_full(p)) {
        offset = op(p, K_IMIN, offset, op(p, K_SUB, p->last, p->column));
    }
    return op(p, K_MUL, offset, p->lane_stride);
}

/* Lanes from `first` on, of `count`; NULL: all of them. */
static KInst *lanes_below(Pack *p, int64_t first, KInst *count)
{
    KBuilder *b = &p->c->b;
    int lanes = p->plan->lanes;
    int64_t known;
    if (kir_constant(count, &known) && known - first >= lanes) {
        return NULL;
    }
    KInst *lane = kir_binary(b, K_ADD, kir_iota(b, DT_I64, lanes), constant(p, first));
    return kir_binary(b, K_LT, lane, kir_splat(b, count, lanes));
}

/* One k of a panel: gathers, or loads where the lanes are neighbours. */
static void copy_column(Pack *p, Place2 at)
{
    KBuilder *b = &p->c->b;
    int lanes = p->plan->lanes;
    int64_t stride = 0;
    bool neighbours = kir_constant(p->lane_stride, &stride) && stride == 1;
    KInst *width = constant(p, p->width), *left = width;
    if (!panels_are_full(p)) {
        left = op(p, K_IMIN, width, op(p, K_SUB, p->size, p->column));
    }
    for (int64_t first = 0; first < p->width; first += lanes) {
        KInst *index = op(p, K_ADD, at.from, constant(p, first));
        if (!neighbours) {
            KInst *lane = kir_binary(b, K_ADD, kir_iota(b, DT_I64, lanes), constant(p, first));
            index = kir_binary(b, K_ADD, kir_splat(b, at.from, lanes),
                               kir_binary(b, K_MUL, lane, p->lane_stride));
        }
        KInst *loaded = kir_load(b, p->from, index, lanes, lanes_below(p, first, left));
        kir_store(b, p->to, op(p, K_ADD, at.to, constant(p, first)),
                  kir_convert(b, loaded, p->of->dtype), lanes_below(p, first, width));
    }
}

/* One k of the panels of an item. */
static void copy_row(Pack *p, Place2 at)
{
    if (p->panels == 1) {
        copy_column(p, at);
        return;
    }
    KInst *column = p->column, *left = op(p, K_SUB, p->size, column),
          *width = constant(p, p->width);
    KInst *last = op(p, K_IDIV, op(p, K_ADD, left, constant(p, p->width - 1)), width);
    KInst *loop = open_loop(p, constant(p, 0), op(p, K_IMIN, last, constant(p, p->panels)), 1);
    KInst *panel = kir_loop_arg(loop, 0), *lane = op(p, K_MUL, panel, width);
    p->column = op(p, K_ADD, column, lane);
    at.from = op(p, K_ADD, at.from, op(p, K_MUL, lane, p->lane_stride));
    at.to = op(p, K_ADD, at.to, op(p, K_MUL, panel, p->panel_stride));
    copy_column(p, at);
    close_loop(p, loop);
    p->column = column;
}

void transpose_lanes(KBuilder *b, KInst **rows, int lanes)
{
    int32_t low[MAX_LANES], high[MAX_LANES];
    for (int bit = 1; bit < lanes; bit *= 2) {
        for (int lane = 0; lane < lanes; lane++) {
            low[lane] = lane & bit ? lanes + lane - bit : lane;
            high[lane] = lane & bit ? lanes + lane : lane + bit;
        }
        for (int i = 0; i < lanes; i++) {
            if (!(i & bit)) {
                KInst *x = rows[i], *y = rows[i + bit];
                rows[i] = kir_shuffle(b, x, y, low, lanes);
                rows[i + bit] = kir_shuffle(b, x, y, high, lanes);
            }
        }
    }
}

/* `lanes` neighbouring k of every vector of the panel. */
static void copy_block(Pack *p, Place2 at)
{
    KBuilder *b = &p->c->b;
    int lanes = p->plan->lanes;
    KInst *rows[MAX_LANES];
    KInst *loop = open_loop(p, constant(p, 0), constant(p, p->width), lanes);
    KInst *first = kir_loop_arg(loop, 0);
    for (int i = 0; i < lanes; i++) {
        KInst *at_row = op(p, K_ADD, at.from, lane_offset(p, first, i));
        rows[i] = kir_convert(b, kir_load(b, p->from, at_row, lanes, NULL), p->of->dtype);
        if (p->terms) {
            KInst *ahead = op(p, K_ADD, at_row, constant(p, (int64_t)BLOCKS_AHEAD * lanes));
            kir_prefetch(b, p->from, ahead, false);
        }
    }
    transpose_lanes(b, rows, lanes);
    for (int i = 0; i < lanes; i++) {
        KInst *to = op(p, K_ADD, op(p, K_ADD, at.to, first), constant(p, i * p->width));
        kir_store(b, p->to, to, rows[i], NULL);
    }
    close_loop(p, loop);
}

static void copy_level(Pack *p, int level, Place2 at)
{
    if (level == p->of->ks) {
        copy_row(p, at);
        return;
    }
    KInst *size = p->terms ? p->terms : lower_dim(p->c, p->of->k[level].size);
    KInst *from = constant(p, 0);
    int64_t stride, lanes = p->plan->lanes;
    bool last = level == p->of->ks - 1;
    if (last && p->panels == 1 && kir_constant(p->from_stride[level], &stride) && stride == 1) {
        KInst *loop = open_loop(p, from, op(p, K_SUB, size, constant(p, lanes - 1)), lanes);
        copy_block(p, moved(p, at, level, kir_loop_arg(loop, 0)));
        close_loop(p, loop);
        from = op(p, K_MUL, op(p, K_IDIV, size, constant(p, lanes)), constant(p, lanes));
    }
    KInst *loop = open_loop(p, from, size, 1);
    copy_level(p, level + 1, moved(p, at, level, kir_loop_arg(loop, 0)));
    close_loop(p, loop);
}

static const Dim *group_total(DimTable *dims, const Pack *p)
{
    return dim_ceildiv(dims, panel_total(dims, p->of, p->plan, p->side),
                       dim_const(dims, p->panels));
}

/* Sets the column and the places of the first panel of an item: (out axes of the operand, group of
 * panels), the panels fastest. */
static Place2 enter_panel(Pack *p, KInst *item, const PackedStrides *strides)
{
    LowerContext *c = p->c;
    DimTable *dims = c->schedule->graph->dims;
    KInst *groups = lower_dim(c, group_total(dims, p));
    KInst *panel = op(p, K_MUL, op(p, K_IMOD, item, groups), constant(p, p->panels));
    Place2 at = {lower_dim(c, p->of->offset[p->side]),
                 lower_dim(c, packed_offset(dims, p->of, p->plan, p->side))};
    p->panel_stride = lower_dim(c, strides->panel);
    p->column = op(p, K_MUL, panel, constant(p, p->width));
    at.to = op(p, K_ADD, at.to, op(p, K_MUL, panel, p->panel_stride));
    item = op(p, K_IDIV, item, groups);
    for (int a = p->of->outs - 1; a >= 0; a--) {
        const ContractAxis *axis = &p->of->out[a];
        if (a == p->axis || dim_is(axis->stride[p->side], 0)) {
            continue;
        }
        KInst *size = lower_dim(c, axis->size), *digit = op(p, K_IMOD, item, size);
        KInst *stride = lower_dim(c, axis->stride[p->side]);
        at.from = op(p, K_ADD, at.from, op(p, K_MUL, digit, stride));
        at.to = op(p, K_ADD, at.to, op(p, K_MUL, digit, lower_dim(c, strides->out[a])));
        item = op(p, K_IDIV, item, size);
    }
    at.from = op(p, K_ADD, at.from, op(p, K_MUL, p->column, p->lane_stride));
    return at;
}

static int64_t pack_grain(const Pack *p, const PackedStrides *strides)
{
    int64_t elements = dim_hint(p->c->schedule, strides->panel) * p->panels;
    return elements > 0 && elements < MIN_GRAIN_ELEMENTS ? MIN_GRAIN_ELEMENTS / elements : 1;
}

static const Dim *pack_items(DimTable *dims, const Pack *p)
{
    const Dim *items = group_total(dims, p);
    for (int a = 0; a < p->of->outs; a++) {
        if (a != p->axis && !dim_is(p->of->out[a].stride[p->side], 0)) {
            items = dim_mul(dims, items, p->of->out[a].size);
        }
    }
    return items;
}

/* Where lanes are neighbours, an item copies runs of some lines for every k; else lanes and terms
 * change places in one panel. */
static int64_t panels_per_item(Pack *p)
{
    int64_t stride = 0, bytes = p->width * (int64_t)dtype_bytes(p->of->dtype);
    bool neighbours = kir_constant(p->lane_stride, &stride) && stride == 1;
    return neighbours && bytes < RUN_BYTES ? RUN_BYTES / bytes : 1;
}

static Pack pack_of(LowerContext *c, const Contraction *of, const TilePlan *plan,
                    const Group *group, Side side, const PackedStrides *strides)
{
    Pack p = {.c = c, .of = of, .plan = plan, .side = side, .panels = 1};
    p.axis = panel_axis(plan, side);
    p.width = panel_width(plan, side);
    p.from = lower_buffer(c, of->buffer[side], ACCESS_READ);
    p.to = scratch_buffer(c, group, of->dtype, ACCESS_WRITE);
    p.lane_stride = lower_dim(c, of->out[p.axis].stride[side]);
    p.size = lower_dim(c, of->out[p.axis].size);
    p.last = op(&p, K_SUB, p.size, constant(&p, 1));
    for (int i = 0; i < of->ks; i++) {
        p.from_stride[i] = lower_dim(c, of->k[i].stride[side]);
        p.to_stride[i] = lower_dim(c, strides->k[i]);
    }
    return p;
}

void contract_pack_slice(LowerContext *c, const Contraction *of, const TilePlan *plan,
                         const Group *group, Slice slice)
{
    NNC_ASSERT(plan->lanes <= MAX_LANES && of->ks == 1);
    PackedStrides strides = packed_strides(c->schedule->graph->dims, of, plan, SIDE_Y);
    Pack p = pack_of(c, of, plan, group, SIDE_Y, &strides);
    p.column = slice.column;
    p.terms = slice.count;
    Place2 at = {lower_dim(c, of->offset[SIDE_Y]), slice.to};
    at.from = op(&p, K_ADD, at.from, op(&p, K_MUL, p.column, p.lane_stride));
    at.from = op(&p, K_ADD, at.from, op(&p, K_MUL, slice.low, p.from_stride[0]));
    copy_level(&p, 0, at);
}

void contract_pack(LowerContext *c, const Contraction *of, const TilePlan *plan, const Group *group,
                   Side side)
{
    NNC_ASSERT(plan->lanes <= MAX_LANES);
    DimTable *dims = c->schedule->graph->dims;
    PackedStrides strides = packed_strides(dims, of, plan, side);
    lower_kernel_begin(c, "pack");
    Pack p = pack_of(c, of, plan, group, side, &strides);
    p.panels = panels_per_item(&p);
    KInst *loop = open_loop(&p, lower_begin(c), lower_end(c), 1);
    Place2 at = enter_panel(&p, kir_loop_arg(loop, 0), &strides);
    copy_level(&p, 0, at);
    close_loop(&p, loop);
    lower_kernel_end(c, pack_items(dims, &p), pack_grain(&p, &strides));
}
