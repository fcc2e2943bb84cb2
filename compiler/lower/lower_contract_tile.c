/* The inside of a register tile: the sums of `rows` by `vectors` accumulators over all k axes.
 *
 *   for u = low .. high         a k axis; short ones are written out, the innermost is unrolled
 *     y0 = load y[at + 0]        y1 = load y[at + 16]
 *     x0 = load x[at + row 0]    s00 = fma x0 y0 s00    s01 = fma x0 y1 s01
 *     x1 = load x[at + row 1]    s10 = fma x1 y0 s10    s11 = fma x1 y1 s11
 *
 * Each accumulator is one ascending chain from +0, whatever the shape of the tile: this is where
 * the order of graph/order.h is obeyed. Taps that do not exist are never multiplied by zero. For
 * rows that are positions of a checked window, the taps are cut into runs in which the same rows
 * take part; the others sit the run out:
 *
 *   3 taps, rows at positions 0 1 2, one element of padding:
 *     tap 0: rows 1 2          taps 1 2: rows 0 1 2
 *
 * With leaves, the outermost axis goes leaf by leaf, and totals are a second set of carried values.
 */
#include "compiler/lower/lower_contract.h"
#include "runtime/base/bug.h"

/* Multiply-adds of straight-line code, and of the body of an unrolled loop: more only costs time to
 * compile. */
enum {
    UNROLL_LIMIT = 96,
    BODY_LIMIT = 48,
    MAX_FACTOR = 2,
    PREFETCH_STEPS = 12,
    FAR_STEP_BYTES = 256,
    TURNED_AHEAD = 8 /* vectors of every lane's terms */
};

typedef struct {
    KInst *at[SIDES];
    uint32_t active; /* bit per row */
} Position;

static void sum_level(Tile *tile, int level, Position position, KInst **sums);

static int bits(uint32_t set)
{
    return __builtin_popcount(set);
}

/* at + by * step on both sides */
static Position moved(Tile *tile, Position position, KInst *by, KInst *const step[SIDES])
{
    KBuilder *b = &tile->c->b;
    for (int side = 0; side < SIDES; side++) {
        position.at[side] =
            kir_binary(b, K_ADD, position.at[side], kir_binary(b, K_MUL, by, step[side]));
    }
    return position;
}

/* ---- one term of every accumulator ---- */

/* The operand of one side for a row and a vector of the tile: a scalar repeated, neighbours, or a
 * gather. */
static KInst *load_operand(Tile *tile, Side side, KInst *at, int row, int vector)
{
    KBuilder *b = &tile->c->b;
    int lanes = tile->plan->lanes;
    KInst *stride = tile->vector_stride[side];
    KInst *start = kir_binary(b, K_MUL, stride, kir_index(b, (int64_t)vector * lanes));
    KInst *index =
        kir_binary(b, K_ADD, kir_binary(b, K_ADD, at, start), tile->row_offset[side][row]);
    int64_t constant = -1;
    kir_constant(stride, &constant);
    if (constant == 0 || lanes == 1) {
        KInst *one = kir_load(b, tile->buffer[side], index, 1, NULL);
        return kir_splat(b, kir_convert(b, one, tile->of->dtype), lanes);
    }
    bool padded = side == SIDE_Y && tile->plan->packed[SIDE_Y];
    KInst *mask = vector == tile->vectors - 1 && !padded ? tile->mask : NULL;
    if (constant != 1) {
        KInst *steps = kir_binary(b, K_MUL, kir_iota(b, DT_I64, lanes), stride);
        index = kir_binary(b, K_ADD, kir_splat(b, index, lanes), steps);
    }
    return kir_convert(b, kir_load(b, tile->buffer[side], index, lanes, mask), tile->of->dtype);
}

static KInst *multiply_add(KBuilder *b, KInst *x, KInst *y, KInst *sum)
{
    return dtype_is_float(sum->type.dtype) ? kir_fma(b, x, y, sum)
                                           : kir_binary(b, K_ADD, sum, kir_binary(b, K_MUL, x, y));
}

/* Loads the vectors of a side for a row into values, or keeps those of the row before when they are
 * the same elements. */
static void load_row(Tile *tile, Side side, KInst *at, int row, int before, KInst **values)
{
    bool same = before >= 0 && tile->row_offset[side][row] == tile->row_offset[side][before];
    int64_t stride = -1;
    kir_constant(tile->vector_stride[side], &stride);
    for (int v = 0; v < tile->vectors && !same; v++) {
        values[v] = v > 0 && stride == 0 ? values[0] : load_operand(tile, side, at, row, v);
    }
}

static void add_terms(Tile *tile, Position position, KInst **sums)
{
    KInst *values[SIDES][MAX_PANEL_VECTORS];
    int before = -1;
    for (int row = 0; row < tile->rows; row++) {
        if (!(position.active >> row & 1)) {
            continue;
        }
        load_row(tile, SIDE_Y, position.at[SIDE_Y], row, before, values[SIDE_Y]);
        load_row(tile, SIDE_X, position.at[SIDE_X], row, before, values[SIDE_X]);
        before = row;
        for (int v = 0; v < tile->vectors; v++) {
            KInst **sum = &sums[row * tile->vectors + v];
            *sum = multiply_add(&tile->c->b, values[SIDE_X][v], values[SIDE_Y][v], *sum);
        }
    }
}

/* ---- loops over k ---- */

/* Multiply-adds of the code for the levels from `level` in, if all of them were written out; large
 * when they cannot be. */
static int64_t written_out(const Tile *tile, int level, uint32_t active)
{
    int64_t terms = (int64_t)bits(active) * tile->vectors;
    for (int i = level; i < tile->of->ks; i++) {
        int64_t count = tile->of->k[i].count;
        int window = tile->of->k[i].window;
        bool bounded = window != NO_WINDOW && tile->windows[window].position;
        if (count < 0 || count > UNROLL_LIMIT || bounded || terms > UNROLL_LIMIT) {
            return 2 * UNROLL_LIMIT;
        }
        terms *= count > 0 ? count : 1;
    }
    return terms;
}

static int64_t unroll_factor(const Tile *tile, int level, uint32_t active, int64_t trips)
{
    int64_t body = written_out(tile, level + 1, active);
    for (int64_t factor = MAX_FACTOR; factor > 1; factor /= 2) {
        if (trips % factor == 0 && factor * body <= BODY_LIMIT) {
            return factor;
        }
    }
    return 1;
}

static int gather_active(const Tile *tile, uint32_t active, KInst **sums, KInst **list)
{
    int count = 0;
    for (int i = 0; i < tile->rows * tile->vectors; i++) {
        if (active >> (i / tile->vectors) & 1) {
            list[count++] = sums[i];
        }
    }
    return count;
}

static void scatter_active(const Tile *tile, uint32_t active, KInst **sums, KInst *const *list)
{
    int count = 0;
    for (int i = 0; i < tile->rows * tile->vectors; i++) {
        if (active >> (i / tile->vectors) & 1) {
            sums[i] = list[count++];
        }
    }
}

enum { MAX_SUMS = MAX_TILE_ROWS * MAX_PANEL_VECTORS };

typedef struct {
    KInst *low, *high, *const *step;
    int64_t factor;
} Range;

/* Asks for the terms that a later tile will want. */
static void prefetch_ahead(Tile *tile, const Range *range, Position position, KInst *counter)
{
    KBuilder *b = &tile->c->b;
    for (int side = 0; side < SIDES; side++) {
        bool dense = side == SIDE_X && tile->plan->packed[SIDE_X]; /* two terms are in one line */
        for (int64_t u = 0; tile->ahead[side] && u < (dense ? 1 : range->factor); u++) {
            KInst *term = kir_binary(b, K_ADD, counter, kir_index(b, u));
            KInst *at = kir_binary(b, K_ADD, position.at[side],
                                   kir_binary(b, K_MUL, term, range->step[side]));
            kir_prefetch(b, tile->buffer[side], kir_binary(b, K_ADD, at, tile->ahead[side]), false);
        }
    }
}

/* Steps of k through x that jump over whole lines, and through more than the first cache, defeat
 * the hardware's guesses: asks for the line of row 0 a few steps ahead. */
static void prefetch_x(Tile *tile, int level, const Range *range, Position position, KInst *counter)
{
    KBuilder *b = &tile->c->b;
    int64_t bytes = (int64_t)dtype_bytes(tile->of->dtype), step = 0;
    kir_constant(range->step[SIDE_X], &step);
    int64_t trips = dim_hint(tile->c->schedule, tile->of->k[level].size);
    if (step * bytes < FAR_STEP_BYTES || trips * step * bytes < 2 * tile->c->options->l1_bytes) {
        return;
    }
    for (int64_t u = 0; u < range->factor; u++) {
        KInst *ahead = kir_binary(b, K_ADD, counter, kir_index(b, u + PREFETCH_STEPS));
        KInst *at = kir_binary(b, K_ADD, position.at[SIDE_X],
                               kir_binary(b, K_MUL, ahead, range->step[SIDE_X]));
        kir_prefetch(b, tile->buffer[SIDE_X], at, false);
    }
}

static void sum_loop(Tile *tile, int level, const Range *range, Position position, KInst **sums)
{
    LowerContext *c = tile->c;
    KInst *carried[MAX_SUMS] = {0}, *inner[MAX_SUMS];
    int count = gather_active(tile, position.active, sums, carried);
    KInst *loop = kir_for(&c->b, range->low, range->high, range->factor, carried, count);
    lower_scope_open(c);
    for (int i = 0; i < count; i++) {
        carried[i] = kir_loop_arg(loop, 1 + i);
    }
    for (int i = 0; i < tile->rows * tile->vectors; i++) {
        inner[i] = sums[i];
    }
    scatter_active(tile, position.active, inner, carried);
    if (level == tile->of->ks - 1) {
        prefetch_ahead(tile, range, position, kir_loop_arg(loop, 0));
        if (!tile->ahead[SIDE_X]) {
            prefetch_x(tile, level, range, position, kir_loop_arg(loop, 0));
        }
    }
    for (int64_t u = 0; u < range->factor; u++) {
        KInst *by = kir_binary(&c->b, K_ADD, kir_loop_arg(loop, 0), kir_index(&c->b, u));
        sum_level(tile, level + 1, moved(tile, position, by, range->step), inner);
    }
    gather_active(tile, position.active, inner, carried);
    lower_scope_close(c);
    kir_end_for(&c->b, loop, carried);
    for (int i = 0; i < count; i++) {
        carried[i] = kir_result(&c->b, loop, i);
    }
    scatter_active(tile, position.active, sums, carried);
}

/* ---- y along k ---- */

/* Loads `lanes` terms of every lane of a vector of y and turns them: values[u] is the operand of
 * term u. Lanes that do not exist are copies of the last one. */
static void load_turned(Tile *tile, KInst *at, int vector, KInst **values)
{
    KBuilder *b = &tile->c->b;
    int lanes = tile->plan->lanes;
    KInst *left = vector == tile->vectors - 1 ? tile->left : NULL;
    for (int lane = 0; lane < lanes; lane++) {
        KInst *place = kir_index(b, lane);
        if (left) {
            place = kir_binary(b, K_IMIN, place, kir_binary(b, K_SUB, left, kir_index(b, 1)));
        }
        place = kir_binary(b, K_ADD, place, kir_index(b, (int64_t)vector * lanes));
        place = kir_binary(b, K_MUL, place, tile->vector_stride[SIDE_Y]);
        place = kir_binary(b, K_ADD, at, place);
        KInst *loaded = kir_load(b, tile->buffer[SIDE_Y], place, lanes, NULL);
        values[lane] = kir_convert(b, loaded, tile->of->dtype);
        place = kir_binary(b, K_ADD, place, kir_index(b, (int64_t)TURNED_AHEAD * lanes));
        kir_prefetch(b, tile->buffer[SIDE_Y], place, false);
    }
    transpose_lanes(b, values, lanes);
}

/* `lanes` terms from position on. */
static void add_turned(Tile *tile, KInst *const *step, Position position, KInst **sums)
{
    KBuilder *b = &tile->c->b;
    int lanes = tile->plan->lanes;
    KInst *values[MAX_LANES];
    for (int v = 0; v < tile->vectors; v++) {
        load_turned(tile, position.at[SIDE_Y], v, values);
        for (int u = 0; u < lanes; u++) {
            Position term = moved(tile, position, kir_index(b, u), step);
            for (int row = 0; row < tile->rows; row++) {
                KInst *x = load_operand(tile, SIDE_X, term.at[SIDE_X], row, v);
                KInst **sum = &sums[row * tile->vectors + v];
                *sum = multiply_add(b, x, values[u], *sum);
            }
        }
    }
}

/* Whole runs of `lanes` terms; what is left is for the loop over single terms, from the result
 * on. */
static KInst *sum_turned(Tile *tile, KInst *low, KInst *high, KInst *const *step, Position position,
                         KInst **sums)
{
    LowerContext *c = tile->c;
    int count = tile->rows * tile->vectors, lanes = tile->plan->lanes;
    KInst *carried[MAX_SUMS + 1] = {low};
    for (int i = 0; i < count; i++) {
        carried[1 + i] = sums[i];
    }
    KInst *end = kir_binary(&c->b, K_SUB, high, kir_index(&c->b, lanes - 1));
    KInst *loop = kir_for(&c->b, low, end, lanes, carried, 1 + count);
    lower_scope_open(c);
    KInst *counter = kir_loop_arg(loop, 0);
    for (int i = 0; i < count; i++) {
        carried[1 + i] = kir_loop_arg(loop, 2 + i);
    }
    add_turned(tile, step, moved(tile, position, counter, step), carried + 1);
    carried[0] = kir_binary(&c->b, K_ADD, counter, kir_index(&c->b, lanes));
    lower_scope_close(c);
    kir_end_for(&c->b, loop, carried);
    for (int i = 0; i < count; i++) {
        sums[i] = kir_result(&c->b, loop, 1 + i);
    }
    return kir_result(&c->b, loop, 0);
}

/* The terms of indices low .. high of a level. */
static void sum_range(Tile *tile, int level, KInst *low, KInst *high, KInst *const *step,
                      Position position, KInst **sums)
{
    int64_t first, last;
    if (tile->plan->turned && level == tile->of->ks - 1) {
        low = sum_turned(tile, low, high, step, position, sums);
    }
    bool known = kir_constant(low, &first) && kir_constant(high, &last);
    if (known && first >= last) {
        return;
    }
    if (known && (last - first) * written_out(tile, level + 1, position.active) <= UNROLL_LIMIT) {
        for (int64_t i = first; i < last; i++) {
            sum_level(tile, level + 1, moved(tile, position, kir_index(&tile->c->b, i), step),
                      sums);
        }
        return;
    }
    Range range = {low, high, step,
                   known ? unroll_factor(tile, level, position.active, last - first) : 1};
    sum_loop(tile, level, &range, position, sums);
}

/* Does the tap exist for a row of the tile? Sizes are constant here, and x is not dilated. */
static bool tap_exists(const Window *window, int64_t position, int64_t tap)
{
    int64_t extent = 0, pad = 0;
    bool known = dim_is_const(window->extent, &extent) && dim_is_const(window->pad, &pad);
    NNC_ASSERT(known && window->dilate_x == 1);
    (void)known;
    int64_t place = position * window->stride + tap * window->dilate_y - pad;
    return place >= 0 && place < extent;
}

static uint32_t rows_with_tap(const Tile *tile, int window, int64_t tap, uint32_t active)
{
    const WindowState *state = &tile->windows[window];
    uint32_t set = 0;
    for (int row = 0; row < tile->rows; row++) {
        if (tap_exists(&tile->of->windows[window], state->row_position[row], tap)) {
            set |= 1u << row;
        }
    }
    return set & active;
}

/* Runs of taps with the same rows. */
static void sum_runs(Tile *tile, int level, KInst *const *step, Position position, KInst **sums)
{
    KBuilder *b = &tile->c->b;
    int64_t count = tile->of->k[level].count;
    int window = tile->of->k[level].window;
    for (int64_t first = 0, last; first < count; first = last) {
        Position run = position;
        run.active = rows_with_tap(tile, window, first, position.active);
        last = first + 1;
        while (last < count && rows_with_tap(tile, window, last, position.active) == run.active) {
            last++;
        }
        if (run.active) {
            sum_range(tile, level, kir_index(b, first), kir_index(b, last), step, run, sums);
        }
    }
}

/* Cuts a range to the part of the level that is summed now. */
static void cut_range(Tile *tile, int level, KInst **low, KInst **high)
{
    KBuilder *b = &tile->c->b;
    int64_t from;
    if (level > 1 || !tile->k_low[level]) {
        return;
    }
    bool whole = kir_constant(*low, &from) && from == 0;
    *low = whole ? tile->k_low[level] : kir_binary(b, K_IMAX, *low, tile->k_low[level]);
    *high = whole ? tile->k_high[level] : kir_binary(b, K_IMIN, *high, tile->k_high[level]);
}

static void sum_level(Tile *tile, int level, Position position, KInst **sums)
{
    if (level == tile->of->ks) {
        add_terms(tile, position, sums);
        return;
    }
    LowerContext *c = tile->c;
    const ContractAxis *axis = &tile->of->k[level];
    KInst *step[SIDES] = {tile->k_stride[SIDE_X][level], tile->k_stride[SIDE_Y][level]};
    KInst *low = kir_index(&c->b, 0), *high = lower_dim(c, axis->size);
    WindowState *state = axis->window == NO_WINDOW ? NULL : &tile->windows[axis->window];
    if (state && state->position) {
        position = moved(tile, position, kir_index(&c->b, 1), state->base);
        low = state->low;
        high = state->high;
        cut_range(tile, level, &low, &high);
        sum_range(tile, level, low, high, state->step, position, sums);
    } else if (state && !state->all) {
        sum_runs(tile, level, step, position, sums);
    } else {
        cut_range(tile, level, &low, &high);
        sum_range(tile, level, low, high, step, position, sums);
    }
}

void tile_zero(Tile *tile, KInst **sums)
{
    KBuilder *b = &tile->c->b;
    DType dtype = tile->of->dtype;
    KInst *zero = dtype_is_float(dtype) ? kir_float(b, dtype, 0) : kir_int(b, dtype, 0);
    zero = kir_splat(b, zero, tile->plan->lanes);
    for (int i = 0; i < tile->rows * tile->vectors; i++) {
        sums[i] = zero;
    }
}

/* Leaves of the outermost axis: each from +0, totals in ascending order. */
static void sum_leaves(Tile *tile, Position position, KInst **totals)
{
    LowerContext *c = tile->c;
    int count = tile->rows * tile->vectors;
    KInst *size = lower_dim(c, tile->of->k[0].size);
    KInst *step[SIDES] = {tile->k_stride[SIDE_X][0], tile->k_stride[SIDE_Y][0]};
    KInst *sums[MAX_SUMS];
    KInst *loop = kir_for(&c->b, kir_index(&c->b, 0), size, tile->of->leaf, totals, count);
    lower_scope_open(c);
    tile_zero(tile, sums);
    KInst *low = kir_loop_arg(loop, 0);
    KInst *high = kir_binary(&c->b, K_IMIN, size,
                             kir_binary(&c->b, K_ADD, low, kir_index(&c->b, tile->of->leaf)));
    sum_range(tile, 0, low, high, step, position, sums);
    for (int i = 0; i < count; i++) {
        sums[i] = kir_binary(&c->b, K_ADD, kir_loop_arg(loop, 1 + i), sums[i]);
    }
    lower_scope_close(c);
    kir_end_for(&c->b, loop, sums);
    for (int i = 0; i < count; i++) {
        totals[i] = kir_result(&c->b, loop, i);
    }
}

static Position first_term(const Tile *tile)
{
    return (Position){{tile->base[SIDE_X], tile->base[SIDE_Y]},
                      (uint32_t)((1ull << tile->rows) - 1)};
}

void tile_add(Tile *tile, KInst **sums)
{
    sum_level(tile, 0, first_term(tile), sums);
}

void tile_sum(Tile *tile, KInst **sums)
{
    tile_zero(tile, sums);
    if (tile->of->leaf > 0) {
        sum_leaves(tile, first_term(tile), sums);
    } else {
        tile_add(tile, sums);
    }
}

/* ---- checked windows at one position ---- */

static KInst *floor_divide(KBuilder *b, KInst *x, int64_t by)
{
    return kir_binary(b, K_IDIV, x, kir_index(b, by));
}

static KInst *ceil_divide(KBuilder *b, KInst *x, int64_t by)
{
    return floor_divide(b, kir_binary(b, K_ADD, x, kir_index(b, by - 1)), by);
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    return b == 0 ? a : common_divisor(b, a % b);
}

/* The x with a * x = 1 modulo m (they have no common divisor). */
static int64_t inverse(int64_t a, int64_t m)
{
    int64_t x = 0;
    while (m > 1 && a % m * x % m != 1) {
        x++;
    }
    return x;
}

/* With dilated x, existing taps are t0, t0 + step, ..: solves  start + t * dilate_y = 0  modulo
 * dilate_x  for the least t. */
static void spread_taps(Tile *tile, const Window *window, KInst *start, int level,
                        WindowState *state)
{
    KBuilder *b = &tile->c->b;
    int64_t common = common_divisor(window->dilate_y, window->dilate_x);
    int64_t period = window->dilate_x / common, dilate = window->dilate_y / common;
    KInst *reduced = floor_divide(b, start, common);
    KInst *target = kir_binary(b, K_MUL, reduced, kir_index(b, -inverse(dilate, period)));
    KInst *first = kir_binary(b, K_IMOD, target, kir_index(b, period));
    KInst *solvable =
        kir_binary(b, K_EQ, kir_binary(b, K_IMOD, start, kir_index(b, common)), kir_index(b, 0));
    KInst *zero = kir_index(b, 0), *unit = lower_dim(tile->c, window->unit);
    state->low = ceil_divide(b, kir_binary(b, K_SUB, state->low, first), period);
    state->high = ceil_divide(b, kir_binary(b, K_SUB, state->high, first), period);
    state->high = kir_select(b, solvable, state->high, zero);
    state->low = kir_select(b, solvable, state->low, zero);
    KInst *place =
        kir_binary(b, K_ADD, start, kir_binary(b, K_MUL, first, kir_index(b, window->dilate_y)));
    state->base[SIDE_X] = kir_binary(b, K_MUL, floor_divide(b, place, window->dilate_x), unit);
    state->base[SIDE_Y] = kir_binary(b, K_MUL, first, tile->k_stride[SIDE_Y][level]);
    state->step[SIDE_X] = kir_binary(b, K_MUL, unit, kir_index(b, dilate));
    state->step[SIDE_Y] = kir_binary(b, K_MUL, tile->k_stride[SIDE_Y][level], kir_index(b, period));
}

void tile_window_at(Tile *tile, int which, KInst *position)
{
    LowerContext *c = tile->c;
    KBuilder *b = &c->b;
    const Window *window = &tile->of->windows[which];
    WindowState *state = &tile->windows[which];
    int level = 0;
    while (tile->of->k[level].window != which) {
        level++;
    }
    KInst *start =
        kir_binary(b, K_SUB, kir_binary(b, K_MUL, position, kir_index(b, window->stride)),
                   lower_dim(c, window->pad));
    KInst *last = kir_binary(b, K_SUB, lower_dim(c, window->extent), kir_index(b, 1));
    last = kir_binary(b, K_SUB, kir_binary(b, K_MUL, last, kir_index(b, window->dilate_x)), start);
    KInst *low = ceil_divide(b, kir_binary(b, K_SUB, kir_index(b, 0), start), window->dilate_y);
    KInst *high = kir_binary(b, K_ADD, floor_divide(b, last, window->dilate_y), kir_index(b, 1));
    *state = (WindowState){.position = position};
    state->low = kir_binary(b, K_IMAX, low, kir_index(b, 0));
    state->high = kir_binary(b, K_IMIN, high, lower_dim(c, tile->of->k[level].size));
    if (window->dilate_x > 1) {
        spread_taps(tile, window, start, level, state);
        return;
    }
    for (int side = 0; side < SIDES; side++) {
        state->base[side] = kir_index(b, 0);
        state->step[side] = tile->k_stride[side][level];
    }
}
