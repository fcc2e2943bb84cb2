/* Windows as inlined values: taps in row-major order, each an element of the operand at out *
 * stride + tap * dilate - pad.
 *
 * In: the place of an output element per lane. Out: its sum, maximum, or the tap of its first
 * maximum. A tap that may lie in the padding is guarded; few taps are unrolled (a 2x2 pool is four
 * loads and three maxima), many are a loop. Channels-last data has its channels in the lanes, so
 * every tap is a contiguous vector. */
#include "compiler/lower/context.h"

#include "runtime/base/bug.h"

enum { UNROLL_LIMIT = 32 };

typedef struct {
    KInst *best; /* accumulated value */
    KInst *tap;  /* argmax: i32 tap of best, -1: none yet */
} WindowState;

static int64_t tap_count(const Node *node)
{
    int64_t count = 1;
    for (int i = 0; i < node->attr.window.rank; i++) {
        count *= node->attr.window.size[i];
    }
    return count;
}

static bool is_plain(const Node *node, int axis)
{
    return node->attr.window.size[axis] == 1 && node->attr.window.stride[axis] == 1 &&
           dim_is(node->attr.window.pad_low[axis], 0) &&
           dim_is(node->attr.window.pad_high[axis], 0);
}

/* May the axis reach outside of the operand? Without padding the shape rule keeps it inside. */
static bool may_leave(const Node *node, int axis)
{
    int64_t low, high;
    return !dim_is_const(node->attr.window.pad_low[axis], &low) || low > 0 ||
           !dim_is_const(node->attr.window.pad_high[axis], &high) || high > 0;
}

static Index tap_index(LowerContext *c, const Node *node, const Place *place, int axis, KInst *tap)
{
    DimTable *dims = c->schedule->graph->dims;
    Index index =
        index_scale(c, place_axis(c, place, axis), dim_const(dims, node->attr.window.stride[axis]));
    Index away = index_scale(c, index_scalar(tap), dim_const(dims, node->attr.window.dilate[axis]));
    const Dim *back = dim_sub(dims, dim_const(dims, 0), node->attr.window.pad_low[axis]);
    return index_add(c, index_add(c, index, away), index_scalar(lower_dim(c, back)));
}

/* The operand's element under one tap; *inside: where there is one, NULL: everywhere. */
static KInst *tap_value(LowerContext *c, const Node *node, const Place *place, KInst *const *taps,
                        KInst **inside)
{
    const Node *x = node->src[0];
    Segment segments[MAX_RANK];
    KInst *lanes = NULL, *all = NULL;
    int count = 0;
    for (int axis = 0; axis < x->type.rank;) {
        int end = axis;
        while (end < x->type.rank && is_plain(node, end)) {
            end++;
        }
        if (end > axis) {
            count += place_take(c, place, axis, end - axis, axis, segments + count);
            axis = end;
            continue;
        }
        Index index = tap_index(c, node, place, axis, taps[axis]);
        if (may_leave(node, axis)) {
            KInst *in =
                kir_binary(&c->b, K_ULT, index_value(c, index), lower_dim(c, x->type.dims[axis]));
            KInst **side = in->type.lanes == 1 ? &all : &lanes;
            *side = *side == NULL ? in : kir_binary(&c->b, K_AND, *side, in);
        }
        segments[count++] = (Segment){(uint8_t)axis, 1, 0, 0, index};
        axis++;
    }
    Narrowing saved = lower_narrow(c, lanes);
    lower_narrow(c, all);
    KInst *value =
        lower_value(c, x, place_segments(c, x->type.rank, x->type.dims, segments, count));
    lower_widen(c, saved);
    *inside = lanes == NULL ? all : all == NULL ? lanes : kir_binary(&c->b, K_AND, lanes, all);
    return value;
}

static WindowState add_tap(LowerContext *c, const Node *node, const Place *place,
                           KInst *const *taps, KInst *number, WindowState state)
{
    KInst *inside, *x = tap_value(c, node, place, taps, &inside);
    if (node->op == OP_WINDOW_ARGMAX) {
        KInst *better = lower_better(c, false, x, state.best, state.tap);
        better = inside == NULL ? better : kir_binary(&c->b, K_AND, better, inside);
        return (WindowState){kir_select(&c->b, better, x, state.best),
                             kir_select(&c->b, better, number, state.tap)};
    }
    KInst *sum = lower_combine(c, node->op, state.best, x);
    return (WindowState){inside == NULL ? sum : kir_select(&c->b, inside, sum, state.best), NULL};
}

static void split_tap(LowerContext *c, const Node *node, KInst *number, KInst **taps)
{
    for (int i = node->attr.window.rank; i-- > 0;) {
        KInst *size = kir_index(&c->b, node->attr.window.size[i]);
        taps[i] = kir_binary(&c->b, K_IMOD, number, size);
        number = kir_binary(&c->b, K_IDIV, number, size);
    }
}

static WindowState unrolled(LowerContext *c, const Node *node, const Place *place,
                            WindowState state)
{
    for (int64_t number = 0; number < tap_count(node); number++) {
        KInst *taps[MAX_RANK];
        split_tap(c, node, kir_index(&c->b, number), taps);
        state = add_tap(c, node, place, taps, kir_int(&c->b, DT_I32, number), state);
    }
    return state;
}

static WindowState looped(LowerContext *c, const Node *node, const Place *place, WindowState state)
{
    int carried = state.tap != NULL ? 2 : 1, lanes = place_is_uniform(place) ? 1 : c->lanes;
    KInst *inits[2] = {kir_splat(&c->b, state.best, lanes),
                       state.tap == NULL ? NULL : kir_splat(&c->b, state.tap, lanes)};
    KInst *taps[MAX_RANK];
    KInst *loop =
        kir_for(&c->b, kir_index(&c->b, 0), kir_index(&c->b, tap_count(node)), 1, inits, carried);
    lower_scope_open(c);
    KInst *number = kir_loop_arg(loop, 0);
    split_tap(c, node, number, taps);
    WindowState now = {kir_loop_arg(loop, 1), carried == 2 ? kir_loop_arg(loop, 2) : NULL};
    now = add_tap(c, node, place, taps, kir_convert(&c->b, number, DT_I32), now);
    KInst *values[2] = {kir_splat(&c->b, now.best, lanes),
                        now.tap == NULL ? NULL : kir_splat(&c->b, now.tap, lanes)};
    lower_scope_close(c);
    kir_end_for(&c->b, loop, values);
    return (WindowState){kir_result(&c->b, loop, 0),
                         carried == 2 ? kir_result(&c->b, loop, 1) : NULL};
}

KInst *lower_window(LowerContext *c, const Node *node, const Place *place)
{
    bool finds_tap = node->op == OP_WINDOW_ARGMAX;
    OpCode identity = finds_tap ? OP_AMAX : node->op;
    WindowState state = {lower_identity(c, identity, node->src[0]->type.dtype),
                         finds_tap ? kir_int(&c->b, DT_I32, -1) : NULL};
    state = tap_count(node) <= UNROLL_LIMIT ? unrolled(c, node, place, state)
                                            : looped(c, node, place, state);
    if (!finds_tap) {
        return state.best;
    }
    KInst *zero = kir_int(&c->b, DT_I32, 0);
    return kir_select(&c->b, kir_binary(&c->b, K_LT, state.tap, zero), zero, state.tap);
}
