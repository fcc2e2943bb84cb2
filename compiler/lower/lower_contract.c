/* Dots and convolutions: the items of a kernel, and the entry points.
 *
 *   for item = begin .. end                 item = (axes of y, block of panels, other axes, rows)
 *     for panel in block                    y: rows of `vectors` vectors, in place or packed
 *       for row = .. step `rows`            full tiles, then smaller ones for the rest
 *         sums of the tile, outputs         lower_contract_tile.c, lower_contract_store.c
 *
 * An item depends on the shape alone, so threads share items as they like. Edges are tiles of other
 * shapes: fewer rows, fewer vectors, a masked last vector; every shape computes the same chains.
 * What this file cannot do well falls back to lower_naive.c: leaves over the taps of a padded
 * window. */
#include "compiler/lower/lower_contract_walk.h"

#include "runtime/base/bug.h"

KInst *walk_open(Walk *w, KInst *low, KInst *high, int64_t step, KInst *const *inits, int count)
{
    KInst *loop = kir_for(&w->c->b, low, high, step, inits, count);
    lower_scope_open(w->c);
    return loop;
}

void walk_close(Walk *w, KInst *loop, KInst *const *values)
{
    lower_scope_close(w->c);
    kir_end_for(&w->c->b, loop, values);
}

/* ---- items ---- */

typedef struct {
    int axis; /* out axis; NO_AXIS: the block of panels; PART_DIGIT: the leaf */
    const Dim *count;
} Digit;

enum { PART_DIGIT = -2 };

/* Does an item do all positions of the axis itself? */
static bool item_has(const TilePlan *plan, Action action, int axis)
{
    return action == DO_BLOCKS && plan->inside[axis];
}

/* What an item index is made of, slowest first. */
static int item_digits(DimTable *dims, const Contraction *of, const TilePlan *plan, Action action,
                       Digit *digits)
{
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
            digits[count++] =
                (Digit){NO_AXIS, dim_ceildiv(dims, panel_total(dims, of, plan, SIDE_Y), block)};
        }
    }
    if (plan->row != NO_AXIS && plan->group > 0) {
        const Dim *rows = dim_const(dims, plan->rows * plan->group);
        digits[count++] = (Digit){plan->row, dim_ceildiv(dims, of->out[plan->row].size, rows)};
    }
    return count;
}

static const Dim *item_total(DimTable *dims, const Digit *digits, int count)
{
    const Dim *total = dim_const(dims, 1);
    for (int i = 0; i < count; i++) {
        total = dim_mul(dims, total, digits[i].count);
    }
    return total;
}

/* Moves to the position at[axis]. */
static void enter_axis(Walk *w, int axis)
{
    for (int side = 0; side < SIDES; side++) {
        w->tile.base[side] = walk_plus(w, w->tile.base[side], w->at[axis], w->stride[side][axis]);
    }
    if (w->of->out[axis].window != NO_WINDOW) {
        tile_window_at(&w->tile, w->of->out[axis].window, w->at[axis]);
    }
}

/* Cuts k[level] to the part of that number. */
static void cut_level(Walk *w, int level, KInst *part, int64_t length)
{
    const ContractAxis *axis = &w->of->k[level];
    KInst *low = walk_op(w, K_MUL, part, walk_constant(w, length)),
          *size = lower_dim(w->c, axis->size);
    if (axis->count > 0 && axis->count % length == 0 && axis->window == NO_WINDOW) {
        w->tile.k_low[level] =
            walk_constant(w, 0); /* counted from the part, so that the trip count is a constant */
        w->tile.k_high[level] = walk_constant(w, length);
        for (int side = 0; side < SIDES; side++) {
            w->tile.base[side] =
                walk_plus(w, w->tile.base[side], low, w->tile.k_stride[side][level]);
        }
    } else {
        w->tile.k_low[level] = low;
        w->tile.k_high[level] =
            walk_op(w, K_IMIN, size, walk_op(w, K_ADD, low, walk_constant(w, length)));
    }
}

/* The terms of a leaf or block. */
static void enter_part(Walk *w, KInst *part)
{
    w->part = part;
    if (w->plan->k_inner > 0) {
        DimTable *dims = w->c->schedule->graph->dims;
        KInst *inner =
            lower_dim(w->c, dim_ceildiv(dims, w->of->k[1].size, dim_const(dims, w->plan->k_inner)));
        cut_level(w, 1, walk_op(w, K_IMOD, part, inner), w->plan->k_inner);
        part = walk_op(w, K_IDIV, part, inner);
    }
    cut_level(w, 0, part, w->plan->k_block);
}

/* Where the next block is: while this one is summed, its lines can come from afar. */
static void enter_next_part(Walk *w)
{
    int level = w->plan->k_inner > 0 ? 1 : 0;
    KInst *length = walk_constant(w, level ? w->plan->k_inner : w->plan->k_block);
    for (int side = 0; side < (w->plan->sliced ? SIDE_Y : SIDES); side++) {
        w->tile.ahead[side] = walk_op(w, K_MUL, length, w->tile.k_stride[side][level]);
    }
}

/* Sets positions and bases of an item from its index. */
static void enter_item(Walk *w, KInst *item, const Digit *digits, int count)
{
    LowerContext *c = w->c;
    KInst *block = walk_constant(w, 0);
    for (int i = count - 1; i >= 0; i--) {
        KInst *size = lower_dim(c, digits[i].count);
        KInst *digit = i > 0 ? walk_op(w, K_IMOD, item, size) : item;
        item = i > 0 ? walk_op(w, K_IDIV, item, size) : item;
        if (digits[i].axis == NO_AXIS) {
            block = digit;
        } else if (digits[i].axis == PART_DIGIT) {
            enter_part(w, digit);
        } else if (digits[i].axis == w->plan->row) {
            w->at[w->plan->row] =
                walk_op(w, K_MUL, digit, walk_constant(w, w->plan->rows * w->plan->group));
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
        KInst *total = lower_dim(c, panel_total(c->schedule->graph->dims, w->of, w->plan, SIDE_Y));
        KInst *per_item = walk_constant(w, w->plan->block);
        w->panel_low = walk_op(w, K_MUL, block, per_item);
        w->panel_high = w->plan->block == 0
                            ? total
                            : walk_op(w, K_IMIN, total, walk_op(w, K_ADD, w->panel_low, per_item));
    }
    if (w->plan->sliced) {
        DimTable *dims = c->schedule->graph->dims;
        KInst *first = lower_dim(c, packed_offset(dims, w->of, w->plan, SIDE_Y));
        w->slice = walk_plus(w, first, block, lower_dim(c, slice_elements(dims, w->of, w->plan)));
    }
}

/* Values that every item uses, made before the loop over items. */
static void enter_kernel(Walk *w)
{
    LowerContext *c = w->c;
    DimTable *dims = c->schedule->graph->dims;
    w->tile = (Tile){.c = c, .of = w->of, .plan = w->plan};
    for (int side = 0; side < SIDES; side++) {
        bool packed = w->plan->packed[side];
        PackedStrides strides = {.panel = dim_const(dims, 0)};
        if (packed) {
            strides = packed_strides(dims, w->of, w->plan, side);
        }
        w->panel_stride[side] = lower_dim(c, strides.panel);
        w->tile.buffer[side] = packed ? scratch_buffer(c, w->group, w->of->dtype, ACCESS_READ)
                                      : lower_buffer(c, w->of->buffer[side], ACCESS_READ);
        w->tile.base[side] =
            lower_dim(c, packed ? packed_offset(dims, w->of, w->plan, side) : w->of->offset[side]);
        for (int a = 0; a < w->of->outs; a++) {
            w->stride[side][a] = lower_dim(c, packed ? strides.out[a] : w->of->out[a].stride[side]);
        }
        for (int i = 0; i < w->of->ks; i++) {
            w->tile.k_stride[side][i] =
                lower_dim(c, packed ? strides.k[i] : w->of->k[i].stride[side]);
        }
        int vector = w->plan->vector;
        w->tile.vector_stride[side] =
            vector == NO_AXIS ? walk_constant(w, 0) : w->stride[side][vector];
    }
}

/* Where sums lie in the scratch memory: after the panels of y. */
static void enter_parts(Walk *w)
{
    LowerContext *c = w->c;
    DimTable *dims = c->schedule->graph->dims;
    const Dim *stride = dim_const(dims, 1);
    for (int a = w->of->outs - 1; a >= 0; a--) {
        w->result_stride[a] = lower_dim(c, stride);
        stride = dim_mul(dims, stride, w->of->out[a].size);
    }
    w->part_stride = lower_dim(c, stride);
    w->parts_base = lower_dim(c, packed_offset(dims, w->of, w->plan, SIDES));
    Access access = w->action == DO_PART     ? ACCESS_WRITE
                    : w->action == DO_BLOCKS ? ACCESS_READ | ACCESS_WRITE
                                             : ACCESS_READ;
    w->parts = scratch_buffer(c, w->group, w->of->dtype, access);
}

/* Loops over the axes that are inside of the item, from `axis` on, then the panels. */
static void walk_inside(Walk *w, int axis)
{
    while (axis < w->of->outs && !item_has(w->plan, w->action, axis)) {
        axis++;
    }
    if (axis == w->of->outs) {
        walk_panels(w);
        return;
    }
    Tile outside = w->tile;
    KInst *loop =
        walk_open(w, walk_constant(w, 0), lower_dim(w->c, w->of->out[axis].size), 1, NULL, 0);
    w->at[axis] = kir_loop_arg(loop, 0);
    enter_axis(w, axis);
    walk_inside(w, axis + 1);
    walk_close(w, loop, NULL);
    w->tile = outside;
}

/* The loop over the blocks of k; the caller closes it. */
static KInst *open_blocks(Walk *w)
{
    KInst *parts = lower_dim(w->c, part_total(w->c->schedule->graph->dims, w->of, w->plan));
    KInst *loop = walk_open(w, walk_constant(w, 0), parts, 1, NULL, 0);
    enter_part(w, kir_loop_arg(loop, 0));
    enter_next_part(w);
    w->last_part = walk_op(w, K_EQ, w->part, walk_op(w, K_SUB, parts, walk_constant(w, 1)));
    return loop;
}

static void lower_walk(LowerContext *c, const Group *group, const Contraction *of,
                       const TilePlan *plan, Action action)
{
    static const char *const names[] = {
        [DO_ALL] = "", [DO_PART] = "part_", [DO_BLOCKS] = "", [DO_OUTPUTS] = "sum_"};
    Walk w = {.c = c, .group = group, .of = of, .plan = plan, .action = action};
    Digit digits[MAX_RANK + 3];
    DimTable *dims = c->schedule->graph->dims;
    int count = item_digits(dims, of, plan, action, digits);
    lower_kernel_begin(c, arena_format(c->arena, "%s%s", names[action],
                                       group->node->op == OP_DOT ? "dot" : "conv"));
    enter_kernel(&w);
    if (action != DO_ALL) {
        enter_parts(&w);
    }
    bool blocks = action == DO_BLOCKS;
    KInst *outer = blocks && plan->k_outside ? open_blocks(&w) : NULL;
    KInst *loop = walk_open(&w, lower_begin(c), lower_end(c), 1, NULL, 0);
    enter_item(&w, kir_loop_arg(loop, 0), digits, count);
    KInst *inner = blocks && !plan->k_outside ? open_blocks(&w) : NULL;
    walk_inside(&w, 0);
    KInst *loops[] = {inner, loop, outer};
    for (int i = 0; i < 3; i++) {
        if (loops[i]) {
            walk_close(&w, loops[i], NULL);
        }
    }
    lower_kernel_end(c, item_total(dims, digits, count), plan->grain);
}

static bool too_hard(const Contraction *of)
{
    return of->leaf > 0 && of->k[0].window != NO_WINDOW;
}

void lower_contract(LowerContext *c, const Group *group)
{
    Contraction of = contraction_of(c->schedule, group);
    if (c->options->naive_contract || too_hard(&of)) {
        lower_contract_naive(c, group);
        return;
    }
    TilePlan plan = tile_plan(c->schedule, &of, c->options);
    for (int side = 0; side < SIDES; side++) {
        bool before = plan.packed[side] && !(side == SIDE_Y && plan.sliced);
        if (before && (side == SIDE_X || group->hoisted == NO_REGION)) {
            contract_pack(c, &of, &plan, group, side);
        }
    }
    if (plan.split == SPLIT_LEAVES) {
        lower_walk(c, group, &of, &plan, DO_PART);
        lower_walk(c, group, &of, &plan, DO_OUTPUTS);
    } else {
        lower_walk(c, group, &of, &plan, plan.split == SPLIT_NONE ? DO_ALL : DO_BLOCKS);
    }
}

void lower_hoisted(LowerContext *c, const Group *group)
{
    Contraction of = contraction_of(c->schedule, group);
    TilePlan plan = tile_plan(c->schedule, &of, c->options);
    NNC_ASSERT(plan.packed[SIDE_Y] && !plan.sliced);
    contract_pack(c, &of, &plan, group, SIDE_Y);
}

const Dim *lower_contract_scratch(void *user, const Schedule *schedule, const Group *group,
                                  int32_t *packed)
{
    const LowerOptions *options = user;
    Contraction of = contraction_of(schedule, group);
    if (options->naive_contract || too_hard(&of)) {
        return NULL;
    }
    TilePlan plan = tile_plan(schedule, &of, options);
    const Dim *bytes = scratch_bytes(schedule->graph->dims, &of, &plan);
    *packed = plan.packed[SIDE_Y] && !plan.sliced ? of.buffer[SIDE_Y] : NO_BUFFER;
    return dim_is(bytes, 0) ? NULL : bytes;
}
