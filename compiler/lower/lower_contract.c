/* Dots and convolutions: the walk over the tiles of the result, and the epilogue.
 *
 *   for item = begin .. end                 item = (axes of y, block of panels, other axes, rows)
 *     for panel in block                    y: rows of `vectors` vectors, in place or packed
 *       for row = .. step `rows`            full tiles, then smaller ones for the rest
 *         sums of the tile                  lower_contract_tile.c
 *         outputs                           the group's elementwise nodes, with a sum as the value of the dot
 *
 * An item depends on the shape alone, so threads share items as they like. Edges are tiles of other shapes: fewer rows,
 * fewer vectors, a masked last vector; every shape computes the same chains. What this file cannot do well falls back to
 * lower_naive.c: leaves over the taps of a padded window. */
#include "compiler/lower/lower_contract.h"
#include "runtime/base/bug.h"

/* What a kernel does with its tiles. */
typedef enum {
    DO_ALL,    /* sums, then outputs */
    DO_PART,   /* sums of a leaf or block, into scratch */
    DO_OUTPUTS /* sums from scratch, then outputs */
} Action;

typedef struct {
    LowerContext *c;
    const Group *group;
    const Contraction *of;
    const TilePlan *plan;
    Action action;
    uint32_t parts;                /* kernel buffer of the scratch memory */
    KInst *parts_base;             /* element of the first part */
    KInst *part;                   /* which leaf or block */
    KInst *result_stride[MAX_RANK], *part_stride; /* of out axes in a part; from part to part */
    Tile tile;                     /* what all tiles share */
    KInst *stride[SIDES][MAX_RANK]; /* per out axis */
    KInst *at[MAX_RANK];           /* position on every out axis that is not in the tile */
    KInst *panel_stride;           /* packed: elements of a panel */
    KInst *panel_low, *panel_high; /* of the item */
} Walk;

typedef struct {
    KInst *panel, *column; /* which panel, and the first position on the vector axis */
    int vectors;
    KInst *mask;
    KInst *base[SIDES];
} Panel;

static KInst *constant(Walk *w, int64_t value) {
    return kir_index(&w->c->b, value);
}

static KInst *op(Walk *w, KOp code, KInst *x, KInst *y) {
    return kir_binary(&w->c->b, code, x, y);
}

static KInst *plus_scaled(Walk *w, KInst *x, KInst *by, KInst *stride) {
    return op(w, K_ADD, x, op(w, K_MUL, by, stride));
}

static KInst *open_loop(Walk *w, KInst *low, KInst *high, int64_t step, KInst *const *inits, int count) {
    KInst *loop = kir_for(&w->c->b, low, high, step, inits, count);
    lower_scope_open(w->c);
    return loop;
}

static void close_loop(Walk *w, KInst *loop, KInst *const *values) {
    lower_scope_close(w->c);
    kir_end_for(&w->c->b, loop, values);
}

/* How many leaves or blocks there are. */
static const Dim *part_total(DimTable *dims, const Contraction *of, const TilePlan *plan) {
    const Dim *parts = dim_ceildiv(dims, of->k[0].size, dim_const(dims, plan->k_block));
    if (plan->k_inner > 0) {
        parts = dim_mul(dims, parts, dim_ceildiv(dims, of->k[1].size, dim_const(dims, plan->k_inner)));
    }
    return parts;
}

/* ---- one tile ---- */

typedef struct {
    KInst *origin;     /* first position on the row axis; NULL: there is none */
    int64_t constant;  /* the same when it is known */
    bool known, inner; /* inner: every tap of every row exists */
    int rows;
} RowSpan;

/* Positions of row `index` of the tile on the covered axes; the rest of the index is along the row axis. */
static int split_row(const Walk *w, int index, int64_t *covered) {
    for (int i = w->plan->covered_count - 1; i >= 0; i--) {
        int count = (int)w->of->out[w->plan->covered[i]].count;
        covered[i] = index % count;
        index /= count;
    }
    return index;
}

static void place_rows(Walk *w, Tile *tile) {
    for (int index = 0; index < tile->rows; index++) {
        int64_t covered[MAX_RANK];
        int row = split_row(w, index, covered);
        for (int side = 0; side < SIDES; side++) {
            KInst *offset = constant(w, 0);
            if (w->plan->row != NO_AXIS) {
                offset = plus_scaled(w, offset, constant(w, row), w->stride[side][w->plan->row]);
            }
            for (int i = 0; i < w->plan->covered_count; i++) {
                offset = plus_scaled(w, offset, constant(w, covered[i]), w->stride[side][w->plan->covered[i]]);
            }
            tile->row_offset[side][index] = offset;
        }
    }
}

/* Row positions of checked windows; called once the tile's rows are known. */
static void place_windows(Walk *w, const RowSpan *span, Tile *tile) {
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
static void result_position(Walk *w, const RowSpan *span, const Panel *panel, int index, int vector, KInst **at) {
    int64_t covered[MAX_RANK];
    int row = split_row(w, index, covered);
    for (int a = 0; a < w->of->outs; a++) {
        at[a] = w->at[a];
        if (a == w->plan->row) {
            at[a] = op(w, K_ADD, span->origin, constant(w, row));
        } else if (a == w->plan->vector) {
            at[a] = op(w, K_ADD, panel->column, constant(w, (int64_t)vector * w->plan->lanes));
        }
    }
    for (int i = 0; i < w->plan->covered_count; i++) {
        at[w->plan->covered[i]] = constant(w, covered[i]);
    }
}

static const Place *result_place(Walk *w, KInst *const *at) {
    Segment segments[MAX_RANK] = {0};
    for (int a = 0; a < w->of->outs; a++) {
        bool wide = a == w->plan->vector && w->plan->lanes > 1;
        Index position = wide ? index_lanes(at[a], 1) : index_scalar(at[a]);
        segments[a] = (Segment){w->of->out[a].first, w->of->out[a].axes, 0, 0, position};
    }
    const Type *type = &w->group->node->type;
    return place_segments(w->c, type->rank, type->dims, segments, w->of->outs);
}

static KInst *tile_mask(const Tile *tile, int vector) {
    return vector == tile->vectors - 1 ? tile->mask : NULL;
}

/* Index in scratch of sums at a position of the result; with lanes that are apart, a vector of them. */
static KInst *part_index(Walk *w, KInst *part, KInst *const *at) {
    KBuilder *b = &w->c->b;
    KInst *index = plus_scaled(w, w->parts_base, part, w->part_stride);
    for (int a = 0; a < w->of->outs; a++) {
        index = plus_scaled(w, index, at[a], w->result_stride[a]);
    }
    int64_t stride = 1;
    if (w->plan->vector == NO_AXIS || (kir_constant(w->result_stride[w->plan->vector], &stride) && stride == 1)) {
        return index;
    }
    KInst *steps = kir_binary(b, K_MUL, kir_iota(b, DT_I64, w->plan->lanes), w->result_stride[w->plan->vector]);
    return kir_binary(b, K_ADD, kir_splat(b, index, w->plan->lanes), steps);
}

static void store_outputs(Walk *w, const RowSpan *span, const Panel *panel, const Tile *tile, KInst *const *sums) {
    LowerContext *c = w->c;
    c->lanes = w->plan->lanes;
    for (int i = 0; i < tile->rows * tile->vectors; i++) {
        KInst *at[MAX_RANK];
        result_position(w, span, panel, i / tile->vectors, i % tile->vectors, at);
        c->mask = tile_mask(tile, i % tile->vectors);
        const Place *place = result_place(w, at);
        lower_scope_open(c);
        lower_known(c, w->group->node, sums[i]);
        lower_outputs(c, w->group, place);
        lower_scope_close(c);
    }
    c->lanes = 1;
    c->mask = NULL;
}

/* Loads or stores the sums of a part. */
static void move_part(Walk *w, const RowSpan *span, const Panel *panel, const Tile *tile, KInst *part, bool load,
                      KInst **sums) {
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

/* The sums of a leaf, or of the blocks up to this one. */
static void sum_part(Walk *w, const RowSpan *span, const Panel *panel, Tile *tile) {
    KBuilder *b = &w->c->b;
    KInst *sums[MAX_TILE_ROWS * MAX_PANEL_VECTORS], *before[MAX_TILE_ROWS * MAX_PANEL_VECTORS];
    bool blocks = w->plan->split == SPLIT_BLOCKS;
    KInst *part = blocks ? constant(w, 0) : w->part;
    tile_zero(tile, sums);
    if (blocks) {
        KInst *first = kir_binary(b, K_EQ, w->part, constant(w, 0));
        move_part(w, span, panel, tile, part, true, before);
        for (int i = 0; i < tile->rows * tile->vectors; i++) {
            sums[i] = kir_select(b, first, sums[i], before[i]);
        }
    }
    tile_add(tile, sums);
    move_part(w, span, panel, tile, part, false, sums);
}

/* Sums of a finished tile from scratch: leaves are added in ascending order. */
static void collect_parts(Walk *w, const RowSpan *span, const Panel *panel, Tile *tile, KInst **sums) {
    KBuilder *b = &w->c->b;
    int count = tile->rows * tile->vectors;
    if (w->plan->split == SPLIT_BLOCKS) {
        move_part(w, span, panel, tile, constant(w, 0), true, sums);
        return;
    }
    const Dim *leaves = part_total(w->c->schedule->graph->dims, w->of, w->plan);
    KInst *totals[MAX_TILE_ROWS * MAX_PANEL_VECTORS];
    tile_zero(tile, totals);
    KInst *loop = open_loop(w, constant(w, 0), lower_dim(w->c, leaves), 1, totals, count);
    move_part(w, span, panel, tile, kir_loop_arg(loop, 0), true, sums);
    for (int i = 0; i < count; i++) {
        sums[i] = kir_binary(b, K_ADD, kir_loop_arg(loop, 1 + i), sums[i]);
    }
    close_loop(w, loop, sums);
    for (int i = 0; i < count; i++) {
        sums[i] = kir_result(b, loop, i);
    }
}

static void lower_tile(Walk *w, const Panel *panel, RowSpan span) {
    Tile tile = w->tile;
    tile.rows = span.rows * w->plan->covered_rows;
    tile.vectors = panel->vectors;
    tile.mask = panel->mask;
    for (int side = 0; side < SIDES; side++) {
        tile.base[side] = panel->base[side];
        if (span.origin) {
            tile.base[side] = plus_scaled(w, tile.base[side], span.origin, w->stride[side][w->plan->row]);
        }
    }
    place_rows(w, &tile);
    place_windows(w, &span, &tile);
    if (w->action == DO_PART) {
        sum_part(w, &span, panel, &tile);
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

/* ---- the rows of an item ---- */

static RowSpan span_at(Walk *w, int64_t origin, int64_t rows) {
    return (RowSpan){constant(w, origin), origin, true, false, (int)rows};
}

/* Full and part tiles at run-time positions: from .. to by tiles of `rows`; returns where it stopped. */
static KInst *walk_run(Walk *w, const Panel *panel, KInst *from, KInst *to, int rows) {
    KInst *loop = open_loop(w, from, op(w, K_SUB, to, constant(w, rows - 1)), rows, &from, 1);
    RowSpan span = {.origin = kir_loop_arg(loop, 0), .inner = true, .rows = rows};
    lower_tile(w, panel, span);
    KInst *next = op(w, K_ADD, span.origin, constant(w, rows));
    close_loop(w, loop, &next);
    return kir_result(&w->c->b, loop, 0);
}

/* A third of a tile, then single rows: three shapes of code are enough for every count. */
static void walk_rest(Walk *w, const Panel *panel, KInst *from, KInst *to) {
    int rows = w->plan->rows / 3;
    if (rows > 1) {
        from = walk_run(w, panel, from, to, rows);
    }
    walk_run(w, panel, from, to, 1);
}

/* Rows of a run-time count; a lone row costs one row. */
static void walk_free_rows(Walk *w, const Panel *panel, KInst *from, KInst *to) {
    int rows = w->plan->rows;
    if (rows == 1) {
        walk_run(w, panel, from, to, 1);
    } else if (w->plan->group != 1) {
        walk_rest(w, panel, walk_run(w, panel, from, to, rows), to);
    } else {
        KInst *full = op(w, K_EQ, op(w, K_SUB, to, from), constant(w, rows));
        KInst *branch = kir_if(&w->c->b, full);
        lower_scope_open(w->c);
        lower_tile(w, panel, (RowSpan){.origin = from, .inner = true, .rows = rows});
        lower_scope_close(w->c);
        kir_else(&w->c->b, branch, NULL, 0);
        lower_scope_open(w->c);
        walk_rest(w, panel, from, to);
        lower_scope_close(w->c);
        kir_end_if(&w->c->b, branch, NULL, 0);
    }
}

/* One tile, or a group of them, of a constant count of rows, at a run-time position. */
static void walk_row_item(Walk *w, const Panel *panel, KInst *from, KInst *to, int64_t count) {
    int64_t rows = w->plan->rows, rest = count % rows;
    if (w->plan->group > 1) {
        KInst *next = walk_run(w, panel, from, to, (int)rows);
        if (rest > 0) {
            walk_run(w, panel, next, to, (int)rest);
        }
        return;
    }
    if (rest == 0) {
        lower_tile(w, panel, (RowSpan){.origin = from, .inner = true, .rows = (int)rows});
        return;
    }
    KInst *full = op(w, K_EQ, op(w, K_SUB, to, from), constant(w, rows));
    KInst *branch = kir_if(&w->c->b, full);
    for (int part = 0; part < 2; part++) {
        lower_scope_open(w->c);
        lower_tile(w, panel, (RowSpan){.origin = from, .inner = true, .rows = (int)(part ? rest : rows)});
        lower_scope_close(w->c);
        if (part == 0) {
            kir_else(&w->c->b, branch, NULL, 0);
        }
    }
    kir_end_if(&w->c->b, branch, NULL, 0);
}

/* Is every tap inside of x for positions origin .. origin + rows? */
static bool span_is_inner(const Walk *w, int64_t origin, int64_t rows) {
    const ContractAxis *axis = &w->of->out[w->plan->row];
    if (axis->window == NO_WINDOW) {
        return true;
    }
    const Window *window = &w->of->windows[axis->window];
    int64_t extent = 0, pad = 0, taps = 0;
    dim_is_const(window->extent, &extent);
    dim_is_const(window->pad, &pad);
    for (int i = 0; i < w->of->ks; i++) {
        taps = w->of->k[i].window == axis->window ? w->of->k[i].count : taps;
    }
    int64_t low = origin * window->stride - pad;
    int64_t high = (origin + rows - 1) * window->stride + (taps - 1) * window->dilate_y - pad;
    return low >= 0 && high < extent;
}

/* All rows, of a constant count: runs of inner tiles are loops, tiles at the edge of a window are written out. */
static void walk_known_rows(Walk *w, const Panel *panel, int64_t count) {
    int64_t rows = w->plan->rows;
    for (int64_t from = 0, next; from < count; from = next) {
        int64_t here = count - from < rows ? count - from : rows;
        next = from + here;
        RowSpan span = span_at(w, from, here);
        span.inner = span_is_inner(w, from, here);
        while (span.inner && here == rows && next + rows <= count && span_is_inner(w, next, rows)) {
            next += rows;
        }
        if (next > from + here) {
            walk_run(w, panel, constant(w, from), constant(w, next), (int)rows);
        } else {
            lower_tile(w, panel, span);
        }
    }
}

static void walk_rows(Walk *w, const Panel *panel) {
    if (w->plan->row == NO_AXIS) {
        lower_tile(w, panel, (RowSpan){.inner = false, .rows = 1});
        return;
    }
    const ContractAxis *axis = &w->of->out[w->plan->row];
    KInst *from = constant(w, 0), *to = lower_dim(w->c, axis->size);
    if (w->plan->group > 0) {
        from = w->at[w->plan->row];
        to = op(w, K_IMIN, to, op(w, K_ADD, from, constant(w, w->plan->rows * w->plan->group)));
    }
    if (axis->count < 0) {
        walk_free_rows(w, panel, from, to);
    } else if (w->plan->group == 0) {
        walk_known_rows(w, panel, axis->count);
    } else {
        walk_row_item(w, panel, from, to, axis->count);
    }
}

/* ---- the panels of an item ---- */

static void walk_panel(Walk *w, Panel panel) {
    int vector = w->plan->vector;
    for (int side = 0; side < SIDES; side++) {
        panel.base[side] = w->tile.base[side];
        if (side == SIDE_Y && w->plan->packed) {
            KInst *first = op(w, K_MUL, panel.panel, constant(w, panel_width(w->plan)));
            panel.base[side] = plus_scaled(w, panel.base[side], panel.panel, w->panel_stride);
            panel.base[side] = op(w, K_ADD, panel.base[side], op(w, K_SUB, panel.column, first));
        } else if (vector != NO_AXIS) {
            panel.base[side] = plus_scaled(w, panel.base[side], panel.column, w->stride[side][vector]);
        }
    }
    walk_rows(w, &panel);
}

/* Lanes below the size of the vector axis, from column. */
static KInst *mask_from(Walk *w, KInst *column, KInst *size) {
    KBuilder *b = &w->c->b;
    KInst *left = kir_splat(b, op(w, K_SUB, size, column), w->plan->lanes);
    return kir_binary(b, K_LT, kir_iota(b, DT_I64, w->plan->lanes), left);
}

/* The last panel of a constant width: fewer vectors, the last one masked. */
static void walk_last_panel(Walk *w, int64_t size) {
    int64_t width = panel_width(w->plan), rest = size % width, lanes = w->plan->lanes;
    KInst *total = constant(w, size / width + 1);
    KInst *mine = op(w, K_EQ, w->panel_high, total);
    int64_t known;
    bool always = kir_constant(mine, &known);
    KInst *branch = always ? NULL : kir_if(&w->c->b, mine);
    lower_scope_open(w->c);
    Panel panel = {.panel = constant(w, size / width), .column = constant(w, size - rest)};
    panel.vectors = (int)((rest + lanes - 1) / lanes);
    KInst *last = constant(w, size - rest + (panel.vectors - 1) * lanes);
    panel.mask = rest % lanes ? mask_from(w, last, constant(w, size)) : NULL;
    walk_panel(w, panel);
    lower_scope_close(w->c);
    if (branch) {
        kir_else(&w->c->b, branch, NULL, 0);
        kir_end_if(&w->c->b, branch, NULL, 0);
    }
}

/* The columns after the full panels of a free width: one masked vector at a time. */
static void walk_last_columns(Walk *w, KInst *full) {
    LowerContext *c = w->c;
    KInst *size = lower_dim(c, w->of->out[w->plan->vector].size), *width = constant(w, panel_width(w->plan));
    KInst *from = op(w, K_MUL, op(w, K_IMAX, full, w->panel_low), width);
    KInst *to = op(w, K_IMIN, size, op(w, K_MUL, w->panel_high, width));
    KInst *loop = open_loop(w, from, to, w->plan->lanes, NULL, 0);
    Panel panel = {.panel = full, .column = kir_loop_arg(loop, 0), .vectors = 1};
    panel.mask = w->plan->lanes > 1 ? mask_from(w, panel.column, size) : NULL;
    walk_panel(w, panel);
    close_loop(w, loop, NULL);
}

static void walk_panels(Walk *w) {
    if (w->plan->vector == NO_AXIS) {
        walk_panel(w, (Panel){.panel = constant(w, 0), .column = constant(w, 0), .vectors = 1});
        return;
    }
    const ContractAxis *axis = &w->of->out[w->plan->vector];
    KInst *width = constant(w, panel_width(w->plan));
    KInst *full = op(w, K_IDIV, lower_dim(w->c, axis->size), width);
    KInst *high = op(w, K_IMIN, w->panel_high, full);
    int64_t first, last;
    bool known = kir_constant(w->panel_low, &first) && kir_constant(high, &last);
    if (known && last - first == 1) {
        walk_panel(w, (Panel){.panel = w->panel_low, .column = op(w, K_MUL, w->panel_low, width),
                              .vectors = w->plan->vectors});
    } else if (!known || last > first) {
        KInst *loop = open_loop(w, w->panel_low, high, 1, NULL, 0);
        KInst *panel = kir_loop_arg(loop, 0);
        walk_panel(w, (Panel){.panel = panel, .column = op(w, K_MUL, panel, width), .vectors = w->plan->vectors});
        close_loop(w, loop, NULL);
    }
    if (axis->count < 0) {
        walk_last_columns(w, full);
    } else if (axis->count % panel_width(w->plan)) {
        walk_last_panel(w, axis->count);
    }
}

/* ---- items ---- */

typedef struct {
    int axis; /* out axis; NO_AXIS: the block of panels; PART_DIGIT: the leaf */
    const Dim *count;
} Digit;

enum { PART_DIGIT = -2 };

/* Does an item do all positions of the axis itself? */
static bool item_has(const TilePlan *plan, Action action, int axis) {
    return action == DO_PART && plan->inside[axis];
}

/* What an item index is made of, slowest first. */
static int item_digits(DimTable *dims, const Contraction *of, const TilePlan *plan, Action action, Digit *digits) {
    int count = 0;
    if (plan->split == SPLIT_LEAVES && action == DO_PART) {
        digits[count++] = (Digit){PART_DIGIT, part_total(dims, of, plan)};
    }
    for (int of_y = 1; of_y >= 0; of_y--) {
        for (int a = 0; a < of->outs; a++) {
            bool along_y = !dim_is(of->out[a].stride[SIDE_Y], 0);
            if (!axis_in_tile(plan, a) && !item_has(plan, action, a) && along_y == of_y) {
                digits[count++] = (Digit){a, of->out[a].size};
            }
        }
        if (of_y && plan->block > 0) {
            const Dim *block = dim_const(dims, plan->block);
            digits[count++] = (Digit){NO_AXIS, dim_ceildiv(dims, panel_total(dims, of, plan), block)};
        }
    }
    if (plan->row != NO_AXIS && plan->group > 0) {
        const Dim *rows = dim_const(dims, plan->rows * plan->group);
        digits[count++] = (Digit){plan->row, dim_ceildiv(dims, of->out[plan->row].size, rows)};
    }
    return count;
}

static const Dim *item_total(DimTable *dims, const Digit *digits, int count) {
    const Dim *total = dim_const(dims, 1);
    for (int i = 0; i < count; i++) {
        total = dim_mul(dims, total, digits[i].count);
    }
    return total;
}

/* Moves to the position at[axis]. */
static void enter_axis(Walk *w, int axis) {
    for (int side = 0; side < SIDES; side++) {
        w->tile.base[side] = plus_scaled(w, w->tile.base[side], w->at[axis], w->stride[side][axis]);
    }
    if (w->of->out[axis].window != NO_WINDOW) {
        tile_window_at(&w->tile, w->of->out[axis].window, w->at[axis]);
    }
}

/* Cuts k[level] to the part of that number. */
static void cut_level(Walk *w, int level, KInst *part, int64_t length) {
    const ContractAxis *axis = &w->of->k[level];
    KInst *low = op(w, K_MUL, part, constant(w, length)), *size = lower_dim(w->c, axis->size);
    if (axis->count > 0 && axis->count % length == 0 && axis->window == NO_WINDOW) {
        w->tile.k_low[level] = constant(w, 0); /* counted from the part, so that the trip count is a constant */
        w->tile.k_high[level] = constant(w, length);
        for (int side = 0; side < SIDES; side++) {
            w->tile.base[side] = plus_scaled(w, w->tile.base[side], low, w->tile.k_stride[side][level]);
        }
    } else {
        w->tile.k_low[level] = low;
        w->tile.k_high[level] = op(w, K_IMIN, size, op(w, K_ADD, low, constant(w, length)));
    }
}

/* The terms of a leaf or block. */
static void enter_part(Walk *w, KInst *part) {
    w->part = part;
    if (w->plan->k_inner > 0) {
        DimTable *dims = w->c->schedule->graph->dims;
        KInst *inner = lower_dim(w->c, dim_ceildiv(dims, w->of->k[1].size, dim_const(dims, w->plan->k_inner)));
        cut_level(w, 1, op(w, K_IMOD, part, inner), w->plan->k_inner);
        part = op(w, K_IDIV, part, inner);
    }
    cut_level(w, 0, part, w->plan->k_block);
}

/* Sets positions and bases of an item from its index. */
static void enter_item(Walk *w, KInst *item, const Digit *digits, int count) {
    LowerContext *c = w->c;
    KInst *block = constant(w, 0);
    for (int i = count - 1; i >= 0; i--) {
        KInst *size = lower_dim(c, digits[i].count);
        KInst *digit = i > 0 ? op(w, K_IMOD, item, size) : item;
        item = i > 0 ? op(w, K_IDIV, item, size) : item;
        if (digits[i].axis == NO_AXIS) {
            block = digit;
        } else if (digits[i].axis == PART_DIGIT) {
            enter_part(w, digit);
        } else if (digits[i].axis == w->plan->row) {
            w->at[w->plan->row] = op(w, K_MUL, digit, constant(w, w->plan->rows * w->plan->group));
        } else {
            w->at[digits[i].axis] = digit;
        }
    }
    for (int a = 0; a < w->of->outs; a++) {
        if (!axis_in_tile(w->plan, a) && !item_has(w->plan, w->action, a)) {
            enter_axis(w, a);
        }
    }
    if (w->plan->vector != NO_AXIS) {
        KInst *total = lower_dim(c, panel_total(c->schedule->graph->dims, w->of, w->plan));
        KInst *per_item = constant(w, w->plan->block);
        w->panel_low = op(w, K_MUL, block, per_item);
        w->panel_high = w->plan->block == 0 ? total : op(w, K_IMIN, total, op(w, K_ADD, w->panel_low, per_item));
    }
}

/* Values that every item uses, made before the loop over items. */
static void enter_kernel(Walk *w) {
    LowerContext *c = w->c;
    DimTable *dims = c->schedule->graph->dims;
    PackedStrides strides = {.panel = dim_const(dims, 0)};
    if (w->plan->packed) {
        strides = packed_strides(dims, w->of, w->plan);
    }
    w->panel_stride = lower_dim(c, strides.panel);
    w->tile = (Tile){.c = c, .of = w->of, .plan = w->plan};
    for (int side = 0; side < SIDES; side++) {
        bool packed = side == SIDE_Y && w->plan->packed;
        w->tile.buffer[side] = packed ? scratch_buffer(c, w->group, w->of->dtype, ACCESS_READ)
                                      : lower_buffer(c, w->of->buffer[side], ACCESS_READ);
        w->tile.base[side] = packed ? constant(w, 0) : lower_dim(c, w->of->offset[side]);
        for (int a = 0; a < w->of->outs; a++) {
            w->stride[side][a] = lower_dim(c, packed ? strides.out[a] : w->of->out[a].stride[side]);
        }
        for (int i = 0; i < w->of->ks; i++) {
            w->tile.k_stride[side][i] = lower_dim(c, packed ? strides.k[i] : w->of->k[i].stride[side]);
        }
        int vector = w->plan->vector;
        w->tile.vector_stride[side] = vector == NO_AXIS ? constant(w, 0) : w->stride[side][vector];
    }
}

/* Where sums lie in the scratch memory: after the panels of y. */
static void enter_parts(Walk *w) {
    LowerContext *c = w->c;
    DimTable *dims = c->schedule->graph->dims;
    const Dim *stride = dim_const(dims, 1), *base = dim_const(dims, 0);
    for (int a = w->of->outs - 1; a >= 0; a--) {
        w->result_stride[a] = lower_dim(c, stride);
        stride = dim_mul(dims, stride, w->of->out[a].size);
    }
    if (w->plan->packed) {
        base = packed_strides(dims, w->of, w->plan).total;
    }
    w->part_stride = lower_dim(c, stride);
    w->parts_base = lower_dim(c, base);
    Access access = w->action == DO_PART ? ACCESS_READ | ACCESS_WRITE : ACCESS_READ;
    w->parts = scratch_buffer(c, w->group, w->of->dtype, access);
}

/* Loops over the axes that are inside of the item, from `axis` on, then the panels. */
static void walk_inside(Walk *w, int axis) {
    while (axis < w->of->outs && !item_has(w->plan, w->action, axis)) {
        axis++;
    }
    if (axis == w->of->outs) {
        walk_panels(w);
        return;
    }
    Tile outside = w->tile;
    KInst *loop = open_loop(w, constant(w, 0), lower_dim(w->c, w->of->out[axis].size), 1, NULL, 0);
    w->at[axis] = kir_loop_arg(loop, 0);
    enter_axis(w, axis);
    walk_inside(w, axis + 1);
    close_loop(w, loop, NULL);
    w->tile = outside;
}

static void walk_blocks(Walk *w) {
    KInst *parts = lower_dim(w->c, part_total(w->c->schedule->graph->dims, w->of, w->plan));
    Tile outside = w->tile;
    KInst *loop = open_loop(w, constant(w, 0), parts, 1, NULL, 0);
    enter_part(w, kir_loop_arg(loop, 0));
    walk_inside(w, 0);
    close_loop(w, loop, NULL);
    w->tile = outside;
}

static void lower_walk(LowerContext *c, const Group *group, const Contraction *of, const TilePlan *plan, Action action) {
    static const char *const names[] = {[DO_ALL] = "", [DO_PART] = "part_", [DO_OUTPUTS] = "sum_"};
    Walk w = {.c = c, .group = group, .of = of, .plan = plan, .action = action};
    Digit digits[MAX_RANK + 3];
    DimTable *dims = c->schedule->graph->dims;
    int count = item_digits(dims, of, plan, action, digits);
    lower_kernel_begin(c, arena_format(c->arena, "%s%s", names[action], group->node->op == OP_DOT ? "dot" : "conv"));
    enter_kernel(&w);
    if (action != DO_ALL) {
        enter_parts(&w);
    }
    KInst *loop = open_loop(&w, lower_begin(c), lower_end(c), 1, NULL, 0);
    enter_item(&w, kir_loop_arg(loop, 0), digits, count);
    if (action == DO_PART && plan->split == SPLIT_BLOCKS) {
        walk_blocks(&w);
    } else {
        walk_panels(&w);
    }
    close_loop(&w, loop, NULL);
    lower_kernel_end(c, item_total(dims, digits, count), plan->grain);
}

static bool too_hard(const Contraction *of) {
    return of->leaf > 0 && of->k[0].window != NO_WINDOW;
}

void lower_contract(LowerContext *c, const Group *group) {
    Contraction of = contraction_of(c->schedule, group);
    if (c->options->naive_contract || too_hard(&of)) {
        lower_contract_naive(c, group);
        return;
    }
    TilePlan plan = tile_plan(c->schedule, &of, c->options);
    if (plan.packed) {
        contract_pack(c, &of, &plan, group);
    }
    if (plan.split != SPLIT_NONE) {
        lower_walk(c, group, &of, &plan, DO_PART);
    }
    lower_walk(c, group, &of, &plan, plan.split == SPLIT_NONE ? DO_ALL : DO_OUTPUTS);
}

const Dim *lower_contract_scratch(void *user, const Schedule *schedule, const Group *group) {
    const LowerOptions *options = user;
    Contraction of = contraction_of(schedule, group);
    if (options->naive_contract || too_hard(&of)) {
        return NULL;
    }
    TilePlan plan = tile_plan(schedule, &of, options);
    DimTable *dims = schedule->graph->dims;
    const Dim *elements = plan.packed ? packed_strides(dims, &of, &plan).total : dim_const(dims, 0);
    if (plan.split != SPLIT_NONE) {
        const Dim *parts = plan.split == SPLIT_LEAVES ? part_total(dims, &of, &plan) : dim_const(dims, 1);
        elements = dim_add(dims, elements, dim_mul(dims, parts, result_elements(dims, &of)));
    }
    if (dim_is(elements, 0)) {
        return NULL;
    }
    const Dim *line = dim_const(dims, 64 / (int64_t)dtype_bytes(of.dtype));
    return dim_mul(dims, dim_ceildiv(dims, elements, line), dim_const(dims, 64));
}
