/* Panels and rows of an item: full tiles in loops, and tiles of other shapes at the edges.
 *
 *   columns 100 with panels of 3 x 16:   panel 0, panel 1, then a panel of 1 vector with 4 lanes
 *   rows 28 by tiles of 13, padded:      [0, 13) upper edge, [13, 26) inside, [26, 28) lower edge
 *
 * Rows at the edge of a checked window are cut by constants, so that a tile knows which of its taps
 * exist. */
#include "compiler/lower/lower_contract_walk.h"

/* ---- the rows of an item ---- */

static RowSpan span_at(Walk *w, int64_t origin, int64_t rows)
{
    return (RowSpan){walk_constant(w, origin), origin, false, (int)rows};
}

/* Full and part tiles at run-time positions: from .. to by tiles of `rows`; returns where it
 * stopped. */
static KInst *walk_run(Walk *w, const Panel *panel, KInst *from, KInst *to, int rows)
{
    KInst *loop =
        walk_open(w, from, walk_op(w, K_SUB, to, walk_constant(w, rows - 1)), rows, &from, 1);
    RowSpan span = {.origin = kir_loop_arg(loop, 0), .inner = true, .rows = rows};
    walk_tile(w, panel, span);
    KInst *next = walk_op(w, K_ADD, span.origin, walk_constant(w, rows));
    walk_close(w, loop, &next);
    return kir_result(&w->c->b, loop, 0);
}

/* Rows of a run-time count: full tiles, then one by one, so that two shapes of code are enough. */
static void walk_free_rows(Walk *w, const Panel *panel, KInst *from, KInst *to)
{
    int rows = w->plan->rows;
    if (rows == 1) {
        walk_run(w, panel, from, to, 1);
    } else if (w->plan->group != 1) {
        walk_run(w, panel, walk_run(w, panel, from, to, rows), to, 1);
    } else {
        KInst *full = walk_op(w, K_EQ, walk_op(w, K_SUB, to, from), walk_constant(w, rows));
        KInst *branch = kir_if(&w->c->b, full);
        lower_scope_open(w->c);
        walk_tile(w, panel, (RowSpan){.origin = from, .inner = true, .rows = rows});
        lower_scope_close(w->c);
        kir_else(&w->c->b, branch, NULL, 0);
        lower_scope_open(w->c);
        walk_run(w, panel, from, to, 1);
        lower_scope_close(w->c);
        kir_end_if(&w->c->b, branch, NULL, 0);
    }
}

/* One tile, or a group of them, of a constant count of rows, at a run-time position. */
static void walk_row_item(Walk *w, const Panel *panel, KInst *from, KInst *to, int64_t count)
{
    int64_t rows = w->plan->rows, rest = count % rows;
    if (w->plan->group > 1) {
        KInst *next = walk_run(w, panel, from, to, (int)rows);
        if (rest > 0) {
            walk_run(w, panel, next, to, (int)rest);
        }
        return;
    }
    if (rest == 0) {
        walk_tile(w, panel, (RowSpan){.origin = from, .inner = true, .rows = (int)rows});
        return;
    }
    KInst *full = walk_op(w, K_EQ, walk_op(w, K_SUB, to, from), walk_constant(w, rows));
    KInst *branch = kir_if(&w->c->b, full);
    for (int part = 0; part < 2; part++) {
        lower_scope_open(w->c);
        walk_tile(w, panel,
                  (RowSpan){.origin = from, .inner = true, .rows = (int)(part ? rest : rows)});
        lower_scope_close(w->c);
        if (part == 0) {
            kir_else(&w->c->b, branch, NULL, 0);
        }
    }
    kir_end_if(&w->c->b, branch, NULL, 0);
}

/* The rows [first, end) whose taps are all inside of x, of `count` rows. */
typedef struct {
    int64_t first, end;
} InnerRows;

static InnerRows inner_rows(const Walk *w, int64_t count)
{
    const ContractAxis *axis = &w->of->out[w->plan->row];
    if (axis->window == NO_WINDOW) {
        return (InnerRows){0, count};
    }
    const Window *window = &w->of->windows[axis->window];
    int64_t extent = 0, pad = 0, taps = 0;
    dim_is_const(window->extent, &extent);
    dim_is_const(window->pad, &pad);
    for (int i = 0; i < w->of->ks; i++) {
        taps = w->of->k[i].window == axis->window ? w->of->k[i].count : taps;
    }
    int64_t first = pad > 0 ? (pad + window->stride - 1) / window->stride : 0;
    int64_t room = extent - 1 + pad - (taps - 1) * window->dilate_y;
    int64_t end = room < 0 ? 0 : room / window->stride + 1;
    return (InnerRows){first, end < count ? end : count};
}

/* All rows, of a constant count: runs of inner tiles are loops, tiles at the edge of a window are
 * written out. */
static void walk_known_rows(Walk *w, const Panel *panel, int64_t count)
{
    int64_t rows = w->plan->rows;
    InnerRows inner = inner_rows(w, count);
    for (int64_t from = 0, next; from < count; from = next) {
        int64_t here = count - from < rows ? count - from : rows;
        next = from + here;
        RowSpan span = span_at(w, from, here);
        span.inner = from >= inner.first && next <= inner.end;
        if (span.inner && here == rows) {
            next = from + (inner.end - from) / rows * rows;
        }
        if (next > from + here) {
            walk_run(w, panel, walk_constant(w, from), walk_constant(w, next), (int)rows);
        } else {
            walk_tile(w, panel, span);
        }
    }
}

static void walk_rows(Walk *w, const Panel *panel)
{
    if (w->plan->row == NO_AXIS) {
        walk_tile(w, panel, (RowSpan){.inner = false, .rows = 1});
        return;
    }
    const ContractAxis *axis = &w->of->out[w->plan->row];
    KInst *from = walk_constant(w, 0), *to = lower_dim(w->c, axis->size);
    if (w->plan->group > 0) {
        from = w->at[w->plan->row];
        to = walk_op(w, K_IMIN, to,
                     walk_op(w, K_ADD, from, walk_constant(w, w->plan->rows * w->plan->group)));
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

/* Packs the panel's part of the block of k, and returns where term 0 of it would be. */
static KInst *fill_slice(Walk *w, const Panel *panel)
{
    Tile *tile = &w->tile;
    Slice slice = {panel->column, walk_constant(w, 0), lower_dim(w->c, w->of->k[0].size), w->slice};
    if (w->plan->split != SPLIT_BLOCKS) {
        contract_pack_slice(w->c, w->of, w->plan, w->group, slice);
        return w->slice;
    }
    slice.low = walk_op(w, K_MUL, w->part, walk_constant(w, w->plan->k_block));
    slice.count = walk_op(w, K_SUB, tile->k_high[0], tile->k_low[0]);
    contract_pack_slice(w->c, w->of, w->plan, w->group, slice);
    KInst *before = walk_op(w, K_MUL, tile->k_low[0], tile->k_stride[SIDE_Y][0]);
    return walk_op(w, K_SUB, w->slice, before);
}

static void walk_panel(Walk *w, Panel panel)
{
    int vector = w->plan->vector;
    for (int side = 0; side < SIDES; side++) {
        panel.base[side] = w->tile.base[side];
        if (side == SIDE_Y && w->plan->sliced) {
            panel.base[side] = fill_slice(w, &panel);
        } else if (side == SIDE_Y && w->plan->packed[SIDE_Y]) {
            KInst *width = walk_constant(w, panel_width(w->plan, SIDE_Y));
            KInst *first = walk_op(w, K_MUL, panel.panel, width);
            panel.base[side] = walk_plus(w, panel.base[side], panel.panel, w->panel_stride[side]);
            panel.base[side] =
                walk_op(w, K_ADD, panel.base[side], walk_op(w, K_SUB, panel.column, first));
        } else if (vector != NO_AXIS) {
            panel.base[side] =
                walk_plus(w, panel.base[side], panel.column, w->stride[side][vector]);
        }
    }
    walk_rows(w, &panel);
}

/* The last vector of a panel begins at column: how many lanes it has. */
static void cut_lanes(Walk *w, Panel *panel, KInst *column, KInst *size)
{
    KBuilder *b = &w->c->b;
    panel->left = walk_op(w, K_SUB, size, column);
    KInst *left = kir_splat(b, panel->left, w->plan->lanes);
    panel->mask = kir_binary(b, K_LT, kir_iota(b, DT_I64, w->plan->lanes), left);
}

/* The last panel of a constant width: fewer vectors, the last one masked. */
static void walk_last_panel(Walk *w, int64_t size)
{
    int64_t width = panel_width(w->plan, SIDE_Y), rest = size % width, lanes = w->plan->lanes;
    KInst *total = walk_constant(w, size / width + 1);
    KInst *mine = walk_op(w, K_EQ, w->panel_high, total);
    int64_t known;
    bool always = kir_constant(mine, &known);
    KInst *branch = always ? NULL : kir_if(&w->c->b, mine);
    lower_scope_open(w->c);
    Panel panel = {.panel = walk_constant(w, size / width),
                   .column = walk_constant(w, size - rest)};
    panel.vectors = (int)((rest + lanes - 1) / lanes);
    KInst *last = walk_constant(w, size - rest + (panel.vectors - 1) * lanes);
    if (rest % lanes) {
        cut_lanes(w, &panel, last, walk_constant(w, size));
    }
    walk_panel(w, panel);
    lower_scope_close(w->c);
    if (branch) {
        kir_else(&w->c->b, branch, NULL, 0);
        kir_end_if(&w->c->b, branch, NULL, 0);
    }
}

/* The columns after the full panels of a free width: one masked vector at a time. */
static void walk_last_columns(Walk *w, KInst *full)
{
    LowerContext *c = w->c;
    KInst *size = lower_dim(c, w->of->out[w->plan->vector].size),
          *width = walk_constant(w, panel_width(w->plan, SIDE_Y));
    KInst *from = walk_op(w, K_MUL, walk_op(w, K_IMAX, full, w->panel_low), width);
    KInst *to = walk_op(w, K_IMIN, size, walk_op(w, K_MUL, w->panel_high, width));
    KInst *loop = walk_open(w, from, to, w->plan->lanes, NULL, 0);
    Panel panel = {.panel = full, .column = kir_loop_arg(loop, 0), .vectors = 1};
    if (w->plan->lanes > 1) {
        cut_lanes(w, &panel, panel.column, size);
    }
    walk_panel(w, panel);
    walk_close(w, loop, NULL);
}

void walk_panels(Walk *w)
{
    if (w->plan->vector == NO_AXIS) {
        walk_panel(
            w, (Panel){.panel = walk_constant(w, 0), .column = walk_constant(w, 0), .vectors = 1});
        return;
    }
    const ContractAxis *axis = &w->of->out[w->plan->vector];
    KInst *width = walk_constant(w, panel_width(w->plan, SIDE_Y));
    KInst *full = walk_op(w, K_IDIV, lower_dim(w->c, axis->size), width);
    KInst *high = walk_op(w, K_IMIN, w->panel_high, full);
    int64_t first, last;
    bool known = kir_constant(w->panel_low, &first) && kir_constant(high, &last);
    if (known && last - first == 1) {
        walk_panel(w, (Panel){.panel = w->panel_low,
                              .column = walk_op(w, K_MUL, w->panel_low, width),
                              .vectors = w->plan->vectors});
    } else if (!known || last > first) {
        KInst *loop = walk_open(w, w->panel_low, high, 1, NULL, 0);
        KInst *panel = kir_loop_arg(loop, 0);
        walk_panel(w, (Panel){.panel = panel,
                              .column = walk_op(w, K_MUL, panel, width),
                              .vectors = w->plan->vectors});
        walk_close(w, loop, NULL);
    }
    if (axis->count < 0) {
        walk_last_columns(w, full);
    } else if (axis->count % panel_width(w->plan, SIDE_Y)) {
        walk_last_panel(w, axis->count);
    }
}
