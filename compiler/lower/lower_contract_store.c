/* One tile of the result: where its rows are, its sums, and what becomes of them.
 *
 *   DO_ALL       all terms -> the group's outputs, a sum being the value of the dot (epilogue)
 *   DO_BLOCKS    scratch and the terms of one block -> scratch, at the last block -> outputs
 *   DO_PART      the terms of one leaf -> scratch
 *   DO_OUTPUTS   scratch -> outputs; leaves are added first, in ascending order
 *
 * Scratch holds the result once (blocks) or once per leaf, row-major over the merged axes. */
#include "compiler/lower/lower_contract_walk.h"

#include "runtime/base/bug.h"

/* Positions of row `index` of the tile on the covered axes; the rest of the index is along the row
 * axis. */
static int split_row(const Walk *w, int index, int64_t *covered)
{
    for (int i = w->plan->covered_count - 1; i >= 0; i--) {
        int count = (int)w->of->out[w->plan->covered[i]].count;
        covered[i] = index % count;
        index /= count;
    }
    return index;
}

static void place_rows(Walk *w, Tile *tile)
{
    for (int index = 0; index < tile->rows; index++) {
        int64_t covered[MAX_RANK];
        int row = split_row(w, index, covered);
        for (int side = 0; side < SIDES; side++) {
            KInst *offset = walk_constant(w, 0);
            if (w->plan->row != NO_AXIS) {
                offset = walk_plus(w, offset, walk_constant(w, row), w->stride[side][w->plan->row]);
            }
            for (int i = 0; i < w->plan->covered_count; i++) {
                offset = walk_plus(w, offset, walk_constant(w, covered[i]),
                                   w->stride[side][w->plan->covered[i]]);
            }
            tile->row_offset[side][index] = offset;
        }
    }
}

/* Row positions of checked windows; called once the tile's rows are known. */
static void place_windows(Walk *w, const RowSpan *span, Tile *tile)
{
    for (int a = 0; a < w->of->outs; a++) {
        int window = w->of->out[a].window;
        if (window == NO_WINDOW || !axis_in_tile(w->plan, a)) {
            continue;
        }
        WindowState state = {.all = a == w->plan->row && span->inner};
        for (int index = 0; index < tile->rows; index++) {
            int64_t covered[MAX_RANK];
            int row = split_row(w, index, covered);
            state.row_position[index] = span->constant + row;
            for (int i = 0; i < w->plan->covered_count; i++) {
                if (w->plan->covered[i] == a) {
                    state.row_position[index] = covered[i];
                }
            }
        }
        tile->windows[window] = state;
    }
}

/* Positions on all out axes of a row and a vector (its first lane). */
static void result_position(Walk *w, const RowSpan *span, const Panel *panel, int index, int vector,
                            KInst **at)
{
    int64_t covered[MAX_RANK];
    int row = split_row(w, index, covered);
    for (int a = 0; a < w->of->outs; a++) {
        at[a] = w->at[a];
        if (a == w->plan->row) {
            at[a] = walk_op(w, K_ADD, span->origin, walk_constant(w, row));
        } else if (a == w->plan->vector) {
            at[a] = walk_op(w, K_ADD, panel->column,
                            walk_constant(w, (int64_t)vector * w->plan->lanes));
        }
    }
    for (int i = 0; i < w->plan->covered_count; i++) {
        at[w->plan->covered[i]] = walk_constant(w, covered[i]);
    }
}

/* wide: the axis of the lanes. */
static const Place *result_place(Walk *w, KInst *const *at, int wide)
{
    Segment segments[MAX_RANK] = {0};
    for (int a = 0; a < w->of->outs; a++) {
        bool lanes = a == wide && w->plan->lanes > 1;
        Index position = lanes ? index_lanes(at[a], 1) : index_scalar(at[a]);
        segments[a] = (Segment){w->of->out[a].first, w->of->out[a].axes, 0, 0, position};
    }
    const Type *type = &w->group->node->type;
    return place_segments(w->c, type->rank, type->dims, segments, w->of->outs);
}

static KInst *tile_mask(const Tile *tile, int vector)
{
    return vector == tile->vectors - 1 ? tile->mask : NULL;
}

/* Index in scratch of sums at a position of the result; with lanes that are apart, a vector of
 * them. */
static KInst *part_index(Walk *w, KInst *part, KInst *const *at)
{
    KBuilder *b = &w->c->b;
    KInst *index = walk_plus(w, w->parts_base, part, w->part_stride);
    for (int a = 0; a < w->of->outs; a++) {
        index = walk_plus(w, index, at[a], w->result_stride[a]);
    }
    int64_t stride = 1;
    if (w->plan->vector == NO_AXIS ||
        (kir_constant(w->result_stride[w->plan->vector], &stride) && stride == 1)) {
        return index;
    }
    KInst *steps = kir_binary(b, K_MUL, kir_iota(b, DT_I64, w->plan->lanes),
                              w->result_stride[w->plan->vector]);
    return kir_binary(b, K_ADD, kir_splat(b, index, w->plan->lanes), steps);
}

/* The outputs of a vector of sums at a position. */
static void store_vector(Walk *w, KInst *const *at, int wide, KInst *sum)
{
    LowerContext *c = w->c;
    const Place *place = result_place(w, at, wide);
    lower_scope_open(c);
    lower_known(c, w->group->node, sum);
    lower_outputs(c, w->group, place);
    lower_scope_close(c);
}

/* Outputs of a tile whose lanes become rows and whose rows lanes. */
static void store_turned(Walk *w, const RowSpan *span, const Panel *panel, const Tile *tile,
                         KInst *const *sums)
{
    LowerContext *c = w->c;
    KBuilder *b = &c->b;
    int lanes = w->plan->lanes;
    int64_t channels = lanes;
    KInst *turned[MAX_LANES];
    for (int i = 0; i < lanes; i++) {
        turned[i] = sums[i < tile->rows ? i : 0];
    }
    transpose_lanes(b, turned, lanes);
    if (tile->left && !kir_constant(tile->left, &channels)) {
        NNC_BUG("the channels of a depthwise convolution are not a constant");
    }
    KInst *count = kir_splat(b, kir_index(b, tile->rows), lanes);
    c->lanes = lanes;
    c->mask = tile->rows < lanes ? kir_binary(b, K_LT, kir_iota(b, DT_I64, lanes), count) : NULL;
    for (int i = 0; i < channels; i++) {
        KInst *at[MAX_RANK];
        result_position(w, span, panel, 0, 0, at);
        at[w->plan->vector] = walk_op(w, K_ADD, panel->column, walk_constant(w, i));
        store_vector(w, at, w->plan->row, turned[i]);
    }
    c->lanes = 1;
    c->mask = NULL;
}

static void store_outputs(Walk *w, const RowSpan *span, const Panel *panel, const Tile *tile,
                          KInst *const *sums)
{
    LowerContext *c = w->c;
    if (w->plan->turned_sums) {
        store_turned(w, span, panel, tile, sums);
        return;
    }
    c->lanes = w->plan->lanes;
    for (int i = 0; i < tile->rows * tile->vectors; i++) {
        KInst *at[MAX_RANK];
        result_position(w, span, panel, i / tile->vectors, i % tile->vectors, at);
        c->mask = tile_mask(tile, i % tile->vectors);
        store_vector(w, at, w->plan->vector, sums[i]);
    }
    c->lanes = 1;
    c->mask = NULL;
}

/* Loads or stores the sums of a part. */
static void move_part(Walk *w, const RowSpan *span, const Panel *panel, const Tile *tile,
                      KInst *part, bool load, KInst **sums)
{
    KBuilder *b = &w->c->b;
    for (int i = 0; i < tile->rows * tile->vectors; i++) {
        KInst *at[MAX_RANK], *mask = tile_mask(tile, i % tile->vectors);
        result_position(w, span, panel, i / tile->vectors, i % tile->vectors, at);
        KInst *index = part_index(w, part, at);
        if (load) {
            sums[i] = kir_load(b, w->parts, index, w->plan->lanes, mask);
        } else {
            kir_store(b, w->parts, index, sums[i], mask);
        }
    }
}

/* The sums of a leaf, into its part. */
static void sum_leaf(Walk *w, const RowSpan *span, const Panel *panel, Tile *tile)
{
    KInst *sums[MAX_TILE_ROWS * MAX_PANEL_VECTORS];
    tile_zero(tile, sums);
    tile_add(tile, sums);
    move_part(w, span, panel, tile, w->part, false, sums);
}

/* +0, or the sums of the blocks before this one. */
static void start_block(Walk *w, const RowSpan *span, const Panel *panel, Tile *tile, KInst **sums)
{
    KBuilder *b = &w->c->b;
    int count = tile->rows * tile->vectors;
    tile_zero(tile, sums);
    KInst *branch = kir_if(b, kir_binary(b, K_EQ, w->part, walk_constant(w, 0)));
    kir_else(b, branch, sums, count);
    lower_scope_open(w->c);
    move_part(w, span, panel, tile, walk_constant(w, 0), true, sums);
    lower_scope_close(w->c);
    kir_end_if(b, branch, sums, count);
    for (int i = 0; i < count; i++) {
        sums[i] = kir_result(b, branch, i);
    }
}

/* The terms of a block on top of those before it: the same chain, interrupted. */
static void sum_block(Walk *w, const RowSpan *span, const Panel *panel, Tile *tile)
{
    KBuilder *b = &w->c->b;
    KInst *sums[MAX_TILE_ROWS * MAX_PANEL_VECTORS];
    start_block(w, span, panel, tile, sums);
    tile_add(tile, sums);
    KInst *branch = kir_if(b, w->last_part);
    lower_scope_open(w->c);
    store_outputs(w, span, panel, tile, sums);
    lower_scope_close(w->c);
    kir_else(b, branch, NULL, 0);
    lower_scope_open(w->c);
    move_part(w, span, panel, tile, walk_constant(w, 0), false, sums);
    lower_scope_close(w->c);
    kir_end_if(b, branch, NULL, 0);
}

/* Sums of a finished tile from scratch: leaves in ascending order. */
static void collect_parts(Walk *w, const RowSpan *span, const Panel *panel, Tile *tile,
                          KInst **sums)
{
    KBuilder *b = &w->c->b;
    int count = tile->rows * tile->vectors;
    const Dim *leaves = part_total(w->c->schedule->graph->dims, w->of, w->plan);
    KInst *totals[MAX_TILE_ROWS * MAX_PANEL_VECTORS];
    tile_zero(tile, totals);
    KInst *loop = walk_open(w, walk_constant(w, 0), lower_dim(w->c, leaves), 1, totals, count);
    move_part(w, span, panel, tile, kir_loop_arg(loop, 0), true, sums);
    for (int i = 0; i < count; i++) {
        sums[i] = kir_binary(b, K_ADD, kir_loop_arg(loop, 1 + i), sums[i]);
    }
    walk_close(w, loop, sums);
    for (int i = 0; i < count; i++) {
        sums[i] = kir_result(b, loop, i);
    }
}

/* Moves to the first row of the tile: a panel of x, when it is packed, and a row in it. */
static void enter_rows(Walk *w, Side side, KInst *origin, Tile *tile)
{
    if (side == SIDE_X && w->plan->packed[SIDE_X]) {
        KInst *width = walk_constant(w, panel_width(w->plan, SIDE_X));
        KInst *panel = walk_op(w, K_IDIV, origin, width);
        tile->base[side] = walk_plus(w, tile->base[side], panel, w->panel_stride[side]);
        tile->ahead[SIDE_X] = w->panel_stride[side];
        origin = walk_op(w, K_IMOD, origin, width);
    }
    tile->base[side] = walk_plus(w, tile->base[side], origin, w->stride[side][w->plan->row]);
}

/* The tiles of a block share out the lines of the next block's rows of y. */
static void choose_line_ahead(Walk *w, const RowSpan *span, Tile *tile)
{
    KInst *ordinal = walk_constant(w, 0);
    for (int a = 0; a < w->of->outs; a++) {
        if (w->plan->inside[a]) {
            KInst *size = lower_dim(w->c, w->of->out[a].size);
            ordinal = walk_op(w, K_ADD, walk_op(w, K_MUL, ordinal, size), w->at[a]);
        }
    }
    if (span->origin) {
        KInst *rows = walk_constant(w, w->plan->rows);
        ordinal = walk_op(w, K_ADD, ordinal, walk_op(w, K_IDIV, span->origin, rows));
    }
    KInst *line = walk_op(w, K_IMOD, ordinal, walk_constant(w, tile->vectors));
    tile->ahead[SIDE_Y] = walk_plus(w, tile->ahead[SIDE_Y], line, walk_constant(w, w->plan->lanes));
}

void walk_tile(Walk *w, const Panel *panel, RowSpan span)
{
    Tile tile = w->tile;
    tile.rows = span.rows * w->plan->covered_rows;
    tile.vectors = panel->vectors;
    tile.mask = panel->mask;
    tile.left = panel->left;
    for (int side = 0; side < SIDES; side++) {
        tile.base[side] = panel->base[side];
        if (span.origin) {
            enter_rows(w, side, span.origin, &tile);
        }
    }
    if (tile.ahead[SIDE_Y]) {
        choose_line_ahead(w, &span, &tile);
    }
    place_rows(w, &tile);
    place_windows(w, &span, &tile);
    if (w->action == DO_PART || w->action == DO_BLOCKS) {
        (w->action == DO_PART ? sum_leaf : sum_block)(w, &span, panel, &tile);
        return;
    }
    KInst *sums[MAX_TILE_ROWS * MAX_PANEL_VECTORS];
    if (w->action == DO_OUTPUTS) {
        collect_parts(w, &span, panel, &tile, sums);
    } else {
        tile_sum(&tile, sums);
    }
    store_outputs(w, &span, panel, &tile, sums);
}
