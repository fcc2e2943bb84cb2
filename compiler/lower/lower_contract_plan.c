/* Which axis runs over the lanes, which over the rows of a tile, how large tiles and items are.
 *
 * Tiles come from the register file: rows * vectors accumulators, one panel row of y and one
 * repeated element of x must fit, so 32 registers give 6x4, 8x3, 13x2, and 16 give 6x2. Among those
 * the cheapest for the whole result is taken, by a model of two multiply-adds and two loads a cycle
 * with a latency of four; half empty tiles at the edges count in full.
 *
 *   f32 dot, result [B, 100], 16 lanes, so 7 vectors
 *     13x2: panels of 2 2 2 1 vectors     8x3: 3 3 1     6x4: 4 3, the cheapest
 *
 * The plan changes time only: every accumulator is the same chain in every plan. */
#include "compiler/lower/lower_contract.h"

enum {
    SMALL_AXIS = 4, /* axes up to this size are covered whole by a tile */
    MAX_COVERED_ROWS = 12,
    FEW_ROWS = 16,          /* a free row axis is taken to be at least this long */
    MAX_BORDER_CODE = 1500, /* multiply-adds written out at the edges of a padded window */
    PACK_FROM_ROWS = 8,     /* uses of an element of y that pay for transposing it */
    COPY_FROM_ROWS = 48,    /* and for copying a large operand whose rows are FAR_BYTES apart, */
    COPY_FROM_USES = 256,   /* where blocks of k would do nearly as well */
    FAR_BYTES = 1024,
    MANY_PAGES = 1024,
    SET_BYTES = 2048,
    HUGE_FROM = 8,     /* times the second cache: a larger y is packed in slices, and a larger
                          result is no scratch for blocks of k */
    SLICE_TERMS = 64,  /* the least length of a slice that pays */
    SLICED_ITEMS = 64, /* slices at most: one for every item */
    MIN_ITEMS = 16,  /* large products are cut into at least this many items */
    FEW_ITEMS = 6,   /* the same where every item reads all of y */
    MAX_INSIDE = 64, /* positions that an item goes through for each block of k */
    LINE_BYTES = 64
};

#define MIN_GRAIN_FLOPS 5e5

typedef struct {
    const Schedule *schedule;
    const Contraction *of;
    LowerOptions options;
    TilePlan plan;
} Planner;

int64_t dim_hint(const Schedule *schedule, const Dim *dim)
{
    int64_t value = dim_eval(dim, schedule->hints);
    return value > 0 ? value : 0;
}

bool axis_in_tile(const TilePlan *plan, int out)
{
    for (int i = 0; i < plan->covered_count; i++) {
        if (plan->covered[i] == out) {
            return true;
        }
    }
    return out == plan->vector || out == plan->row;
}

static int64_t hint(const Planner *p, const ContractAxis *axis)
{
    return axis->count >= 0 ? axis->count : dim_hint(p->schedule, axis->size);
}

static int64_t at_least_one(int64_t x)
{
    return x > 0 ? x : 1;
}

static int64_t ceil_divide(int64_t x, int64_t y)
{
    return (x + y - 1) / y;
}

static double product(const Planner *p, const ContractAxis *axes, int count)
{
    double all = 1;
    for (int i = 0; i < count; i++) {
        all *= (double)at_least_one(hint(p, &axes[i]));
    }
    return all;
}

/* ---- the vector axis ---- */

typedef enum { STRIDE_NONE, STRIDE_UNIT, STRIDE_OTHER } StrideKind;

static StrideKind stride_kind(const Dim *stride)
{
    return dim_is(stride, 0) ? STRIDE_NONE : dim_is(stride, 1) ? STRIDE_UNIT : STRIDE_OTHER;
}

static int64_t lanes_for(const Planner *p, const ContractAxis *axis)
{
    int64_t bytes = p->options.vector_bytes, width = bytes / (int64_t)dtype_bytes(p->of->dtype),
            lanes = width;
    while (axis->count >= 0 && lanes / 2 >= axis->count && lanes > 1) {
        lanes /= 2;
    }
    return lanes;
}

/* How often an element of y is used: positions of the out axes that it does not have. */
static double uses_of_y(const Planner *p, int out)
{
    double rows = 1;
    for (int i = 0; i < p->of->outs; i++) {
        if (i != out && dim_is(p->of->out[i].stride[SIDE_Y], 0)) {
            rows *= (double)at_least_one(hint(p, &p->of->out[i]));
        }
    }
    return rows;
}

/* Is there enough use of an element of y to pay for packing it first? */
static bool pays_to_pack(const Planner *p, int out)
{
    return uses_of_y(p, out) >= PACK_FROM_ROWS;
}

/* Is y read by few rows, along k? Then lanes x lanes elements are turned in registers as they
 * come. */
static bool may_turn(const Planner *p, int out)
{
    const Contraction *of = p->of;
    const ContractAxis *k = of->ks > 0 ? &of->k[of->ks - 1] : NULL, *axis = &of->out[out];
    return k && k->window == NO_WINDOW && dim_is(k->stride[SIDE_Y], 1) &&
           hint(p, k) >= lanes_for(p, axis) && dim_is(axis->stride[SIDE_X], 0) &&
           stride_kind(axis->stride[SIDE_Y]) == STRIDE_OTHER && !pays_to_pack(p, out);
}

/* Is it the channels of a depthwise convolution: neighbours in x, and the only axis of y beside k?
 * The result has its columns last, which must be many and known: they are the rows of a tile. */
static bool is_depthwise(const Planner *p, int out)
{
    const Contraction *of = p->of;
    bool alone = of->overlaps && of->leaf == 0 && of->out[out].count > 0 && out < of->outs - 1 &&
                 of->out[of->outs - 1].count > SMALL_AXIS && pays_to_pack(p, out) &&
                 stride_kind(of->out[out].stride[SIDE_X]) == STRIDE_UNIT &&
                 stride_kind(of->out[out].stride[SIDE_Y]) != STRIDE_NONE;
    for (int a = 0; a < of->outs; a++) {
        alone = alone && (a == out || dim_is(of->out[a].stride[SIDE_Y], 0));
    }
    return alone;
}

/* About how many lanes do useful work in a term when the axis is the vector axis; 0: it cannot be.
 */
static double vector_worth(const Planner *p, int out)
{
    const ContractAxis *axis = &p->of->out[out];
    if (axis->window != NO_WINDOW || axis->count == 0) {
        return 0;
    }
    StrideKind x = stride_kind(axis->stride[SIDE_X]), y = stride_kind(axis->stride[SIDE_Y]);
    int64_t lanes = lanes_for(p, axis), size = at_least_one(hint(p, axis));
    double worth = (double)size / (double)ceil_divide(size, lanes);
    bool packs =
        y == STRIDE_OTHER && ((x == STRIDE_NONE && pays_to_pack(p, out)) || is_depthwise(p, out));
    if (y == STRIDE_OTHER && !packs && may_turn(p, out)) {
        worth *= 0.5;
    } else if (x == STRIDE_OTHER || (y == STRIDE_OTHER && !packs)) {
        worth *= 0.05;
    }
    return out == p->of->outs - 1 ? worth : worth * 0.6;
}

static void choose_vector(Planner *p)
{
    double best = 1; /* scalars */
    p->plan.vector = NO_AXIS;
    p->plan.lanes = p->plan.vectors = 1;
    for (int i = p->of->outs - 1; i >= 0; i--) {
        double worth = vector_worth(p, i);
        if (worth > best) {
            best = worth;
            p->plan.vector = i;
            p->plan.lanes = (int)lanes_for(p, &p->of->out[i]);
            p->plan.turned = p->plan.lanes > 1 && may_turn(p, i);
        }
    }
}

/* ---- rows ---- */

/* Positions of a checked window can be rows only where the tile may be cut by constants. */
static bool may_be_row(const Planner *p, int out)
{
    const ContractAxis *axis = &p->of->out[out];
    if (out == p->plan.vector || axis->count == 0 || axis->count == 1) {
        return false;
    }
    if (p->plan.vector != NO_AXIS && !dim_is(axis->stride[SIDE_Y], 0)) {
        return false; /* rows share the vectors of y */
    }
    if (axis->window == NO_WINDOW) {
        return true;
    }
    const Window *window = &p->of->windows[axis->window];
    int64_t taps = -1;
    for (int i = 0; i < p->of->ks; i++) {
        if (p->of->k[i].window == axis->window) {
            taps = p->of->k[i].count;
        }
    }
    return axis->count > 0 && taps >= 0 && window->dilate_x == 1 &&
           dim_is_const(window->extent, NULL) && dim_is_const(window->pad, NULL);
}

/* Code for tiles at the edges of a checked window: taps that differ times tiles that they touch. */
static bool border_is_short(const Planner *p, int out)
{
    const ContractAxis *axis = &p->of->out[out];
    if (axis->window == NO_WINDOW) {
        return true;
    }
    const Window *window = &p->of->windows[axis->window];
    int64_t pad = 0;
    dim_is_const(window->pad, &pad);
    int64_t tiles = 2 * ceil_divide(at_least_one(pad), 6 * window->stride),
            runs = 2 * at_least_one(pad) + 1;
    return tiles * runs * 24 <= MAX_BORDER_CODE;
}

static int64_t stride_hint(const Planner *p, int out)
{
    int64_t stride = dim_eval(p->of->out[out].stride[SIDE_X], p->schedule->hints);
    return stride < 0 ? -stride : stride;
}

/* The candidate with the smallest stride on x that is not taken yet, NO_AXIS: none. */
static int next_row_axis(const Planner *p)
{
    int best = NO_AXIS;
    for (int i = p->of->outs - 1; i >= 0; i--) {
        if (may_be_row(p, i) && border_is_short(p, i) && !axis_in_tile(&p->plan, i) &&
            (best == NO_AXIS || stride_hint(p, i) < stride_hint(p, best))) {
            best = i;
        }
    }
    return best;
}

/* Small axes are covered whole; the first larger one is the row axis. */
static void choose_rows(Planner *p)
{
    TilePlan *plan = &p->plan;
    plan->row = NO_AXIS;
    plan->rows = plan->covered_rows = 1;
    for (int axis; (axis = next_row_axis(p)) != NO_AXIS;) {
        int64_t count = p->of->out[axis].count;
        bool small =
            count >= 0 && count <= SMALL_AXIS && count * plan->covered_rows <= MAX_COVERED_ROWS;
        bool checked = p->of->out[axis].window != NO_WINDOW;
        if (!small) {
            plan->row = checked && plan->covered_rows > 1 ? NO_AXIS : axis;
            return;
        }
        plan->covered[plan->covered_count++] = axis;
        plan->covered_rows *= (int)count;
    }
}

/* ---- the size of a tile ----
 * Of every 16 registers one is left to the register allocator: at the very limit it was seen to
 * spill all accumulators. */

static double tile_cost(const Planner *p, int64_t rows, int64_t vectors)
{
    bool x_varies =
        p->plan.vector != NO_AXIS && !dim_is(p->of->out[p->plan.vector].stride[SIDE_X], 0);
    double sums = (double)(rows * vectors),
           loads = (double)vectors + (x_varies ? sums : (double)rows);
    double cost = sums > loads ? sums / 2 : loads / 2;
    return (cost > 4 ? cost : 4) + 0.02 * loads + 0.4;
}

/* Of one panel: full tiles and what is left. Free rows are those of the hint, at least a few; their
 * rest is single rows. */
static double rows_cost(const Planner *p, int64_t rows, int64_t vectors)
{
    int64_t covered = p->plan.covered_rows, count = 1;
    bool known = true;
    if (p->plan.row != NO_AXIS) {
        known = p->of->out[p->plan.row].count >= 0;
        count = hint(p, &p->of->out[p->plan.row]);
        count = known || count > FEW_ROWS ? count : FEW_ROWS;
    }
    double cost = (double)(count / rows) * tile_cost(p, rows * covered, vectors);
    int64_t rest = count % rows;
    if (known && rest > 0) {
        return cost + tile_cost(p, rest * covered, vectors);
    }
    return cost + (double)rest * tile_cost(p, covered, vectors);
}

/* Of all tiles of `rows` rows and `vectors` vectors that the result needs, tails included, per
 * position of other axes. */
static double cost_of(const Planner *p, int64_t rows, int64_t vectors)
{
    const TilePlan *plan = &p->plan;
    int64_t columns =
        plan->vector == NO_AXIS ? 1 : at_least_one(hint(p, &p->of->out[plan->vector]));
    int64_t wide = ceil_divide(columns, plan->lanes);
    double total = 0;
    for (int tail = 0; tail < 2; tail++) {
        double panels = tail ? wide % vectors != 0 : (double)(wide / vectors);
        if (panels > 0) {
            total += panels * rows_cost(p, rows, tail ? wide % vectors : vectors);
        }
    }
    return total;
}

/* As many columns as lanes, so that the sums can be turned: outputs have their columns last, and a
 * scattered store of channels costs more than the sums. */
static bool choose_turned_sums(Planner *p)
{
    TilePlan *plan = &p->plan;
    plan->turned_sums = plan->vector != NO_AXIS && plan->lanes > 1 && plan->covered_count == 0 &&
                        plan->row == p->of->outs - 1 && plan->lanes <= MAX_TILE_ROWS &&
                        is_depthwise(p, plan->vector);
    if (plan->turned_sums) {
        int64_t columns = p->of->out[plan->row].count;
        plan->rows = columns < plan->lanes ? (int)columns : plan->lanes;
        plan->vectors = 1;
    }
    return plan->turned_sums;
}

static void choose_tile(Planner *p)
{
    TilePlan *plan = &p->plan;
    if (choose_turned_sums(p)) {
        return;
    }
    int64_t registers = p->options.vector_registers - p->options.vector_registers / 16,
            covered = plan->covered_rows;
    registers -= plan->turned ? plan->lanes : 0;
    int64_t most_rows = plan->row == NO_AXIS ? 1 : p->of->out[plan->row].count;
    int64_t most_vectors = 1;
    if (plan->vector != NO_AXIS) {
        int64_t count = p->of->out[plan->vector].count;
        most_vectors = count < 0 ? 4 : ceil_divide(count, plan->lanes);
        most_vectors = plan->turned && most_vectors > 2 ? 2 : most_vectors;
    }
    double best = -1;
    for (int64_t vectors = 1; vectors <= most_vectors && vectors <= MAX_PANEL_VECTORS; vectors++) {
        for (int64_t rows = 1; most_rows < 0 || rows <= most_rows; rows++) {
            int64_t all = rows * covered;
            bool fits = all * vectors + vectors + 1 <= registers && all <= MAX_TILE_ROWS;
            if (!fits && rows * vectors > 1) {
                break;
            }
            double cost = cost_of(p, rows, vectors);
            if (best < 0 || cost < best) {
                best = cost;
                plan->rows = (int)rows;
                plan->vectors = (int)vectors;
            }
        }
    }
}

/* ---- packing and items ---- */

static bool any_empty(const ContractAxis *axes, int count)
{
    for (int i = 0; i < count; i++) {
        if (axes[i].count == 0) {
            return true;
        }
    }
    return false;
}

static int64_t bytes_hint(const Planner *p, const Dim *elements)
{
    return dim_eval(elements, p->schedule->hints) * (int64_t)dtype_bytes(p->of->dtype);
}

/* Elements of an operand that the product reads. */
static double elements_of(const Planner *p, Side side)
{
    double all = product(p, p->of->k, p->of->ks);
    for (int i = 0; i < p->of->outs; i++) {
        bool along = !dim_is(p->of->out[i].stride[side], 0);
        all *= along ? (double)at_least_one(hint(p, &p->of->out[i])) : 1;
    }
    return all;
}

/* How often an element of an operand is used: positions of the out axes that it does not have. */
static double uses_of(const Planner *p, Side side)
{
    return product(p, p->of->out, p->of->outs) * product(p, p->of->k, p->of->ks) /
           elements_of(p, side);
}

/* Are the rows of a tile neighbours in x? So it is in the gradient of weights, where k is the
 * batch: every panel walks through the same lines of x again, and none of its rows is a stream that
 * blocks of k would interrupt. */
static bool rows_are_neighbours(const Planner *p)
{
    return p->plan.row != NO_AXIS && p->of->ks > 0 &&
           dim_is(p->of->out[p->plan.row].stride[SIDE_X], 1);
}

static bool terms_of_x_are_apart(const Planner *p)
{
    return rows_are_neighbours(p) &&
           bytes_hint(p, p->of->k[p->of->ks - 1].stride[SIDE_X]) >= FAR_BYTES;
}

static bool is_large(const Planner *p, Side side)
{
    return elements_of(p, side) * (double)dtype_bytes(p->of->dtype) >=
           (double)p->options.l2_bytes / 2;
}

static bool exceeds_first_cache(const Planner *p, Side side)
{
    double bytes = elements_of(p, side) * (double)dtype_bytes(p->of->dtype);
    return bytes > 2 * (double)p->options.l1_bytes;
}

/* Rows of a panel that lie far apart touch a new page each; worth a copy when y is large and used
 * often; in the gradient of weights, where each tile reads a whole panel again, when it exceeds the
 * first cache. For fewer uses blocks of k do, where x allows them. */
static bool pays_to_copy_y(const Planner *p)
{
    const Contraction *of = p->of;
    if (of->ks == 0) {
        return false;
    }
    int64_t row = bytes_hint(p, of->k[of->ks - 1].stride[SIDE_Y]);
    int64_t width = p->plan.lanes * p->plan.vectors * (int64_t)dtype_bytes(of->dtype);
    bool gradient = rows_are_neighbours(p) && of->leaf == 0;
    double uses = gradient ? COPY_FROM_USES : COPY_FROM_ROWS;
    bool large = gradient ? exceeds_first_cache(p, SIDE_Y) : is_large(p, SIDE_Y);
    return row >= FAR_BYTES && row > 2 * width && large && uses_of_y(p, p->plan.vector) >= uses;
}

/* A tile reads lines of x that lie apart: worth a copy when it is used often and x and y are not both
 * in the second cache anyhow. */
static bool pays_to_copy_x(const Planner *p)
{
    bool plain = !p->of->overlaps && p->of->window_count == 0 && p->plan.lanes > 1;
    bool large = is_large(p, SIDE_X) || is_large(p, SIDE_Y);
    return plain && large && terms_of_x_are_apart(p) && exceeds_first_cache(p, SIDE_X) &&
           uses_of(p, SIDE_X) >= COPY_FROM_USES;
}

static void choose_packing(Planner *p)
{
    TilePlan *plan = &p->plan;
    if (plan->vector == NO_AXIS || any_empty(p->of->k, p->of->ks) ||
        any_empty(p->of->out, p->of->outs)) {
        return; /* nothing to pack */
    }
    StrideKind lanes = stride_kind(p->of->out[plan->vector].stride[SIDE_Y]);
    plan->packed[SIDE_Y] = (lanes == STRIDE_OTHER && pays_to_pack(p, plan->vector)) ||
                           (lanes == STRIDE_UNIT && pays_to_copy_y(p));
    plan->packed[SIDE_X] = pays_to_copy_x(p);
}

bool may_slice(const Contraction *of, const TilePlan *plan)
{
    bool whole = plan->packed[SIDE_Y] && of->ks == 1 && of->leaf == 0 && !of->repeated &&
                 of->window_count == 0 && !of->overlaps && of->out[plan->vector].count > 0;
    for (int a = 0; a < of->outs; a++) {
        whole = whole && axis_in_tile(plan, a);
    }
    return whole;
}

/* Terms of a slice: an eighth of the second cache, and half of it for the terms of x. */
static int64_t slice_terms(const Planner *p)
{
    const TilePlan *plan = &p->plan;
    double bytes = (double)dtype_bytes(p->of->dtype), room = (double)p->options.l2_bytes;
    double rows = uses_of_y(p, plan->vector);
    double of_y = room / 8 / ((double)panel_width(plan, SIDE_Y) * bytes);
    double of_x = room / 2 / (rows * bytes);
    return (int64_t)(of_y < of_x ? of_y : of_x);
}

/* A huge y is read once, from memory: its packed copy would be written and read again from there,
 * and be there all through the step. */
static void choose_slices(Planner *p)
{
    int64_t length = at_least_one(hint(p, &p->of->k[0])), terms = slice_terms(p);
    bool huge = elements_of(p, SIDE_Y) * (double)dtype_bytes(p->of->dtype) >=
                (double)HUGE_FROM * (double)p->options.l2_bytes;
    p->plan.sliced = huge && (terms >= SLICE_TERMS || terms >= length);
    if (!p->plan.sliced || terms >= length) {
        return;
    }
    int64_t lanes = p->plan.lanes, most = terms / lanes * lanes;
    p->plan.split = SPLIT_BLOCKS;
    p->plan.k_block = most > 0 ? most : terms;
    for (int64_t near = most; p->of->k[0].count > 0 && near > most / 2; near -= lanes) {
        if (p->of->k[0].count % near == 0) {
            p->plan.k_block = near;
            break;
        }
    }
}

/* May k[1] be cut? Not where its taps are written out, or where they are not counted one by one. */
static bool may_cut_inner(const Planner *p)
{
    const Contraction *of = p->of;
    if (of->ks < 2 || hint(p, &of->k[1]) < 2) {
        return false;
    }
    int window = of->k[1].window;
    for (int a = 0; window != NO_WINDOW && a < of->outs; a++) {
        if (of->out[a].window == window && axis_in_tile(&p->plan, a)) {
            return false;
        }
    }
    return window == NO_WINDOW || of->windows[window].dilate_x == 1;
}

/* How much of k fits in the first cache: a panel row of y and a line of x per term. The axes that
 * only x has go inside of an item, and tiles along the row axis in groups, so that few items read
 * the same y. */
static void choose_block(Planner *p, int64_t length)
{
    TilePlan *plan = &p->plan;
    const Contraction *of = p->of;
    double bytes =
        (double)(plan->lanes * plan->vectors) * (double)dtype_bytes(of->dtype) + LINE_BYTES;
    double fitting = (double)p->options.l1_bytes / bytes / product(p, of->k + 1, of->ks - 1);
    plan->k_block = fitting < 1 ? 1 : (int64_t)fitting < length ? (int64_t)fitting : length;
    if (fitting < 1 && may_cut_inner(p)) {
        int64_t inner = (int64_t)(fitting * (double)hint(p, &of->k[1]));
        plan->k_inner = inner > 0 ? inner : 1;
    }
    for (int64_t near = plan->k_block; of->k[0].count > 0 && near > plan->k_block / 2; near--) {
        if (of->k[0].count % near == 0) {
            plan->k_block = near;
            break;
        }
    }
    for (int a = 0, positions = 1; a < of->outs; a++) {
        bool small = of->out[a].count > 0 && positions * of->out[a].count <= MAX_INSIDE;
        if (!axis_in_tile(plan, a) && dim_is(of->out[a].stride[SIDE_Y], 0) && small) {
            plan->inside[a] = true;
            positions *= (int)of->out[a].count;
        }
    }
}

/* Bytes that an operand takes in the second cache: lines that are a power of two apart meet in the
 * same sets of it. */
static double footprint(const Planner *p, Side side)
{
    double bytes = elements_of(p, side) * (double)dtype_bytes(p->of->dtype);
    int64_t far = bytes_hint(p, p->of->k[p->of->ks - 1].stride[side]);
    return far % SET_BYTES == 0 && !p->plan.packed[side] ? 2 * bytes : bytes;
}

/* Does every panel find x outside of the cache again? */
static bool x_is_far(const Planner *p)
{
    if (p->of->overlaps || p->of->window_count > 0) {
        return terms_of_x_are_apart(p) && product(p, p->of->k, p->of->ks) >= MANY_PAGES;
    }
    return rows_are_neighbours(p) && !p->plan.packed[SIDE_X] &&
           footprint(p, SIDE_X) + footprint(p, SIDE_Y) > (double)p->options.l2_bytes;
}

/* Leaves become items where there are several. Blocks of k pay when the panels of y that the tiles
 * of an item read again and again do not fit in the cache, or x does not. */
static void choose_split(Planner *p)
{
    TilePlan *plan = &p->plan;
    const Contraction *of = p->of;
    if (of->ks == 0 || of->k[0].window != NO_WINDOW || any_empty(of->out, of->outs) ||
        any_empty(of->k, of->ks)) {
        return;
    }
    int64_t length = at_least_one(hint(p, &of->k[0]));
    if (of->leaf > 0) {
        plan->split = length > of->leaf ? SPLIT_LEAVES : SPLIT_NONE;
        plan->k_block = of->leaf;
        return;
    }
    double panel = product(p, of->k, of->ks) * (double)(plan->lanes * plan->vectors) *
                   (double)dtype_bytes(of->dtype);
    double fitting = (double)p->options.l2_bytes / (plan->packed[SIDE_X] ? 1 : 2);
    bool several = plan->row != NO_AXIS && hint(p, &of->out[plan->row]) > 2 * plan->rows;
    double result = product(p, of->out, of->outs);
    bool small = result <= elements_of(p, SIDE_X) + elements_of(p, SIDE_Y) ||
                 result * (double)dtype_bytes(of->dtype) <
                     (double)HUGE_FROM * (double)p->options.l2_bytes;
    if ((panel > fitting || x_is_far(p)) && several && length > 1 && small) {
        plan->split = SPLIT_BLOCKS;
        plan->k_outside = result * (double)dtype_bytes(of->dtype) <=
                          (double)p->options.l2_bytes / 4;
        choose_block(p, length);
    }
}

static double panel_count(const Planner *p)
{
    if (p->plan.vector == NO_AXIS) {
        return 1;
    }
    int64_t columns = at_least_one(hint(p, &p->of->out[p->plan.vector]));
    return (double)ceil_divide(columns, (int64_t)p->plan.lanes * p->plan.vectors);
}

/* Items at the hints when each does all panels. */
static double item_count(const Planner *p)
{
    double items = 1;
    for (int i = 0; i < p->of->outs; i++) {
        if (!axis_in_tile(&p->plan, i) && !p->plan.inside[i]) {
            items *= (double)at_least_one(hint(p, &p->of->out[i]));
        }
    }
    if (p->plan.row != NO_AXIS && p->plan.group > 0) {
        items *= (double)ceil_divide(at_least_one(hint(p, &p->of->out[p->plan.row])),
                                     p->plan.rows * p->plan.group);
    }
    return items;
}

/* Rows of an image stay together, and tiles at the edges of a window must; blocks of k want many
 * tiles, but some items. */
static void choose_group(Planner *p)
{
    TilePlan *plan = &p->plan;
    bool together = plan->row == NO_AXIS;
    for (int i = 0; !together && i < p->of->outs; i++) {
        bool other =
            !axis_in_tile(plan, i) && !plan->inside[i] && dim_is(p->of->out[i].stride[SIDE_Y], 0);
        together =
            (other || p->of->out[plan->row].window != NO_WINDOW) && p->of->out[plan->row].count > 0;
    }
    plan->group = together ? 0 : 1;
    if (plan->split == SPLIT_BLOCKS && !together) {
        double tiles = item_count(p) * panel_count(p);
        plan->group = tiles > 2 * FEW_ITEMS ? (int64_t)(tiles / FEW_ITEMS) : 1;
    }
}

static void choose_items(Planner *p)
{
    TilePlan *plan = &p->plan;
    double flops = 2 * product(p, p->of->k, p->of->ks) * product(p, p->of->out, p->of->outs);
    if (plan->sliced) {
        plan->block = ceil_divide((int64_t)panel_count(p), SLICED_ITEMS);
        plan->grain = 1;
        return;
    }
    choose_group(p);
    double panels = panel_count(p), items = item_count(p), block = panels;
    double bytes = product(p, p->of->k, p->of->ks) * plan->lanes * plan->vectors *
                   (double)dtype_bytes(p->of->dtype);
    double fitting = (double)p->options.l2_bytes / 2 / bytes;
    block = fitting < block ? fitting : block;
    if (items * panels / block < MIN_ITEMS && flops > 4 * MIN_GRAIN_FLOPS) {
        block = items * panels / MIN_ITEMS < block ? items * panels / MIN_ITEMS : block;
    }
    block = block < 1 ? 1 : block;
    if (block < panels) {
        plan->block = (int64_t)block;
        items *= (double)ceil_divide((int64_t)panels, plan->block);
    }
    double grain = MIN_GRAIN_FLOPS / (flops / items + 1);
    plan->grain = grain < 1 ? 1 : grain > 1e9 ? (int64_t)1e9 : (int64_t)grain;
}

TilePlan tile_plan(const Schedule *schedule, const Contraction *contraction,
                   const LowerOptions *options)
{
    Planner p = {schedule, contraction, *options, {.row = NO_AXIS}};
    LowerOptions *target = &p.options;
    target->vector_bytes = target->vector_bytes ? target->vector_bytes : 64;
    target->vector_registers = target->vector_registers ? target->vector_registers : 32;
    target->l1_bytes = target->l1_bytes ? target->l1_bytes : 32 << 10;
    target->l2_bytes = target->l2_bytes ? target->l2_bytes : 1 << 20;
    choose_vector(&p);
    choose_rows(&p);
    choose_tile(&p);
    choose_packing(&p);
    if (may_slice(contraction, &p.plan)) {
        choose_slices(&p);
    }
    if (!p.plan.sliced) {
        choose_split(&p);
    }
    if (target->random_plan) {
        random_operands(contraction, target->random_plan, &p.plan);
    }
    if (!scratch_bytes(schedule->graph->dims, contraction, &p.plan)) {
        p.plan.packed[SIDE_X] = p.plan.packed[SIDE_Y] = p.plan.sliced = false;
        p.plan.split = SPLIT_NONE;
    }
    choose_items(&p);
    if (target->random_plan) {
        random_items(contraction, target->random_plan, &p.plan);
    }
    return p.plan;
}
