/* Indices and places: where the element is that each lane computes, and what moves make of it.
 *
 * In: a place in a move's result. Out: the place in its operand. An index stays affine in the lane
 * (base + lane * step) as long as arithmetic allows, so that a load at the bottom is a contiguous
 * vector, a scalar, or at worst a gather. A segment that covers several axes is kept whole through
 * moves that do not look inside:
 *
 *   reshape [B, 784] -> [B, 28, 28] at one segment {all axes, i}    ->  one segment {all axes, i}
 *   expand [1, 512] -> [B, 512]    at {all axes, i}    needs i mod 512
 *
 * There the Domain is cut after axis 0, and the kernel is built again with a loop per part. An
 * index that needs h / 2 and h mod 2 of an axis of 26 splits it into axes of 13 and 2 in the same
 * way. */
#include "compiler/lower/nest.h"
#include "compiler/lower/tables.h"

#include "runtime/base/bug.h"

#include <string.h>

enum {
    LEAST_LANES = 8
}; /* an innermost axis is not split into shorter runs: lanes divide instead */

/* ---- indices ---- */

Index index_scalar(KInst *base)
{
    return (Index){base, 0, NULL};
}

Index index_lanes(KInst *base, int64_t step)
{
    return (Index){base, step, NULL};
}

Index index_vector(KInst *vector)
{
    return vector->type.lanes == 1 ? index_scalar(vector) : (Index){NULL, 0, vector};
}

KInst *index_value(LowerContext *c, Index index)
{
    if (index.vector != NULL) {
        return index.vector;
    }
    if (index.step == 0 || c->lanes == 1) {
        return index.base;
    }
    KInst *lane = kir_iota(&c->b, DT_I64, c->lanes);
    KInst *away = kir_binary(&c->b, K_MUL, lane, kir_index(&c->b, index.step));
    return kir_binary(&c->b, K_ADD, kir_splat(&c->b, index.base, c->lanes), away);
}

Index index_add(LowerContext *c, Index x, Index y)
{
    if (x.vector == NULL && y.vector == NULL) {
        return (Index){kir_binary(&c->b, K_ADD, x.base, y.base), x.step + y.step, NULL};
    }
    return index_vector(kir_binary(&c->b, K_ADD, index_value(c, x), index_value(c, y)));
}

static Index index_times(LowerContext *c, Index x, KInst *by)
{
    int64_t factor;
    if (x.vector == NULL && (x.step == 0 || c->lanes == 1)) {
        return index_scalar(kir_binary(&c->b, K_MUL, x.base, by));
    }
    if (x.vector == NULL && kir_constant(by, &factor)) {
        return (Index){kir_binary(&c->b, K_MUL, x.base, by), x.step * factor, NULL};
    }
    return index_vector(kir_binary(&c->b, K_MUL, index_value(c, x), by));
}

Index index_scale(LowerContext *c, Index x, const Dim *by)
{
    return index_times(c, x, lower_dim(c, by));
}

static Index index_plus(LowerContext *c, Index x, const Dim *more)
{
    return index_add(c, x, index_scalar(lower_dim(c, more)));
}

/* x / by, or x mod by. A divisor of 0 stands for an empty tensor: the code is never run, but must
 * be built. */
static Index index_divide(LowerContext *c, KOp op, Index x, const Dim *by)
{
    int64_t divisor;
    if (dim_is_const(by, &divisor) && divisor <= 1) {
        return op == K_IDIV ? x : index_scalar(kir_index(&c->b, 0));
    }
    return index_vector(kir_binary(&c->b, op, index_value(c, x), lower_dim(c, by)));
}

KInst *lane_mask(LowerContext *c, KInst *base, KInst *high, int lanes)
{
    int64_t first, end;
    if (kir_constant(base, &first) && kir_constant(high, &end) && first + lanes <= end) {
        return NULL;
    }
    KInst *room = kir_binary(&c->b, K_SUB, high, base);
    KInst *narrow =
        kir_convert(&c->b, kir_binary(&c->b, K_IMIN, room, kir_index(&c->b, lanes)), DT_I32);
    /* One after the other: C leaves the order of arguments open. */
    KInst *most = kir_splat(&c->b, narrow, lanes);
    return kir_binary(&c->b, K_LT, kir_iota(&c->b, DT_I32, lanes), most);
}

/* ---- places ---- */

static bool same_index(const Index *x, const Index *y)
{
    return x->base == y->base && x->step == y->step && x->vector == y->vector;
}

static bool same_place(const Place *x, const Place *y)
{
    if (x->rank != y->rank || x->count != y->count ||
        memcmp(x->dims, y->dims, sizeof *x->dims * (size_t)x->rank) != 0) {
        return false;
    }
    for (int i = 0; i < x->count; i++) {
        const Segment *a = &x->segments[i], *b = &y->segments[i];
        if (a->first != b->first || a->count != b->count || !same_index(&a->index, &b->index)) {
            return false;
        }
    }
    return true;
}

static const Place *intern(LowerContext *c, const Place *draft)
{
    for (uint32_t i = c->tables->places.count; i-- > 0;) {
        if (same_place(c->tables->places.data[i], draft)) {
            return c->tables->places.data[i];
        }
    }
    const Place *place = arena_copy(c->arena, draft, sizeof *draft);
    vec_push(c->arena, &c->tables->places, place);
    return place;
}

const Place *place_segments(LowerContext *c, int rank, const Dim *const *dims,
                            const Segment *segments, int count)
{
    Place draft = {.rank = rank, .count = count};
    NNC_ASSERT(rank <= MAX_RANK && count <= MAX_RANK);
    if (rank > 0) {
        memcpy(draft.dims, dims, sizeof *dims * (size_t)rank);
        memcpy(draft.segments, segments, sizeof *segments * (size_t)count);
    }
    return intern(c, &draft);
}

const Place *place_axes(LowerContext *c, int rank, const Dim *const *dims, const Index *axes)
{
    Segment segments[MAX_RANK];
    for (int i = 0; i < rank; i++) {
        segments[i] = (Segment){(uint8_t)i, 1, 0, 0, axes[i]};
    }
    return place_segments(c, rank, dims, segments, rank);
}

/* The row-major position over neighbouring segments [from, to). */
static Index join_segments(LowerContext *c, const Place *place, int from, int to)
{
    Index flat = from < to ? place->segments[from].index : index_scalar(kir_index(&c->b, 0));
    for (int i = from + 1; i < to; i++) {
        const Segment *s = &place->segments[i];
        const Dim *size = lower_product(c, place->dims, s->first, s->count);
        flat = index_add(c, index_scale(c, flat, size), s->index);
    }
    return flat;
}

Index place_flat(LowerContext *c, const Place *place)
{
    return join_segments(c, place, 0, place->count);
}

static const Segment *segment_of(const Place *place, int axis)
{
    for (int i = 0; i < place->count; i++) {
        const Segment *s = &place->segments[i];
        if (s->first <= axis && axis < s->first + s->count) {
            return s;
        }
    }
    NNC_BUG("axis %d is in no segment", axis);
}

/* The boundary in the segment's run of domain axes behind which there are `inner` elements; -1:
 * inside of an axis. */
static int find_boundary(LowerContext *c, const Segment *s, const Dim *inner)
{
    for (int at = s->domain_first; at <= s->domain_first + s->domain_count; at++) {
        int rest = s->domain_first + s->domain_count - at;
        if (lower_product(c, c->domain->dims, at, rest) == inner) {
            return at;
        }
    }
    return -1;
}

/* Splits a domain axis of constant size, so that a boundary with `inner` elements behind it comes
 * to be. */
static void split_domain(LowerContext *c, const Segment *s, const Dim *inner)
{
    Domain *d = c->domain;
    DimTable *dims = c->schedule->graph->dims;
    for (int at = s->domain_first; at < s->domain_first + s->domain_count; at++) {
        int rest = s->domain_first + s->domain_count - (at + 1);
        const Dim *factor;
        int64_t size, low;
        bool within =
            dim_divides_exactly(dims, inner, lower_product(c, d->dims, at + 1, rest), &factor) &&
            dim_is_const(factor, &low) && dim_is_const(d->dims[at], &size) && low < size &&
            size % low == 0 && low >= (at + 1 == d->rank ? LEAST_LANES : 2);
        if (within && d->may_split && d->rank < MAX_RANK) {
            memmove(d->dims + at + 1, d->dims + at, sizeof *d->dims * (size_t)(d->rank - at));
            memmove(d->origin + at + 1, d->origin + at, sizeof *d->origin * (size_t)(d->rank - at));
            memmove(d->cuts + at + 1, d->cuts + at, sizeof *d->cuts * (size_t)(d->rank - at));
            d->dims[at] = dim_const(dims, size / low);
            d->dims[at + 1] = factor;
            d->cuts[at] = true;
            d->rank++;
            d->changed = d->split = true;
            return;
        }
    }
}

static void cut_domain(Domain *d, int at)
{
    if (at > 0 && at < d->rank && !d->cuts[at - 1]) {
        d->cuts[at - 1] = true;
        d->changed = true;
    }
}

/* The piece as a run of domain axes, when its ends are boundaries of loops. Else the domain is cut
 * for the next attempt. */
static bool piece_of_domain(LowerContext *c, const Segment *s, const Dim *behind, const Dim *whole,
                            Segment *piece)
{
    if (c->domain == NULL || s->domain_count == 0 || c->domain->split) {
        return false;
    }
    int end = find_boundary(c, s, behind), first = find_boundary(c, s, whole);
    if (end < 0 || first < 0) {
        split_domain(c, s, end < 0 ? behind : whole);
        return false;
    }
    if (end <= first) {
        return false;
    }
    piece->domain_first = (uint8_t)first;
    piece->domain_count = (uint8_t)(end - first);
    if (nest_range(c, c->domain->nest, first, end - first, &piece->index)) {
        return true;
    }
    cut_domain(c->domain, first);
    cut_domain(c->domain, end);
    return false;
}

/* Axes [first, first + count) of one segment, as a segment that starts at axis `to`. */
static Segment part_of_segment(LowerContext *c, const Place *place, const Segment *s, int first,
                               int count, int to)
{
    int after = s->first + s->count - (first + count);
    Segment piece = *s;
    piece.first = (uint8_t)to;
    piece.count = (uint8_t)count;
    if (count == s->count) {
        return piece;
    }
    const Dim *behind = lower_product(c, place->dims, first + count, after);
    const Dim *own = lower_product(c, place->dims, first, count);
    if (dim_is(own, 1)) {
        return (Segment){(uint8_t)to, (uint8_t)count, 0, 0, index_scalar(kir_index(&c->b, 0))};
    }
    if (piece_of_domain(c, s, behind, lower_product(c, place->dims, first, count + after),
                        &piece)) {
        return piece;
    }
    piece.domain_count = 0;
    piece.index = index_divide(c, K_IDIV, s->index, behind);
    if (first != s->first) {
        piece.index = index_divide(c, K_IMOD, piece.index, own);
    }
    return piece;
}

Index place_axis(LowerContext *c, const Place *place, int axis)
{
    return part_of_segment(c, place, segment_of(place, axis), axis, 1, axis).index;
}

int place_take(LowerContext *c, const Place *place, int first, int count, int to, Segment *out)
{
    int pieces = 0;
    for (int axis = first; axis < first + count;) {
        const Segment *s = segment_of(place, axis);
        int end = s->first + s->count < first + count ? s->first + s->count : first + count;
        out[pieces++] = part_of_segment(c, place, s, axis, end - axis, to + axis - first);
        axis = end;
    }
    return pieces;
}

bool place_is_uniform(const Place *place)
{
    for (int i = 0; i < place->count; i++) {
        if (place->segments[i].index.vector != NULL || place->segments[i].index.step != 0) {
            return false;
        }
    }
    return true;
}

/* ---- moves ---- */

typedef struct {
    const Type *type;
    Segment segments[MAX_RANK];
    int count;
} PlaceDraft;

static void put(PlaceDraft *out, Segment s)
{
    out->segments[out->count++] = s;
}

static const Place *finish(LowerContext *c, const PlaceDraft *draft)
{
    return place_segments(c, draft->type->rank, draft->type->dims, draft->segments, draft->count);
}

static void move_permute(LowerContext *c, const Node *move, const Place *place, PlaceDraft *out)
{
    uint8_t result_of[MAX_RANK];
    for (int i = 0; i < move->type.rank; i++) {
        result_of[move->attr.perm.axis[i]] = (uint8_t)i;
    }
    for (int axis = 0; axis < place->rank;) {
        const Segment *s = segment_of(place, result_of[axis]);
        bool whole = s->first == result_of[axis] && axis + s->count <= place->rank;
        for (int k = 1; whole && k < s->count; k++) {
            whole = result_of[axis + k] == result_of[axis] + k;
        }
        int count = whole ? s->count : 1;
        put(out, part_of_segment(c, place, s, result_of[axis], count, axis));
        axis += count;
    }
}

/* Applies `change` to the index of every touched axis; segments without one stay whole. */
typedef Index AxisChange(LowerContext *c, const Node *move, int axis, Index index);

static void change_axes(LowerContext *c, const Node *move, const Place *place, const bool *touched,
                        AxisChange *change, PlaceDraft *out)
{
    for (int i = 0; i < place->count; i++) {
        const Segment *s = &place->segments[i];
        int first = s->first, end = s->first + s->count;
        while (first < end) {
            int stop = first + 1;
            while (!touched[first] && stop < end && !touched[stop]) {
                stop++;
            }
            Segment piece = part_of_segment(c, place, s, first, stop - first, first);
            if (touched[first]) {
                piece.index = change(c, move, first, piece.index);
                piece.domain_count = 0;
            }
            put(out, piece);
            first = stop;
        }
    }
}

/* Repeated axes are at 0, whatever the index: only the others are asked for. */
static void move_expand(LowerContext *c, const Node *move, const Place *place, PlaceDraft *out)
{
    const Type *from = &move->src[0]->type;
    for (int i = 0; i < place->count; i++) {
        const Segment *s = &place->segments[i];
        int first = s->first, end = s->first + s->count;
        while (first < end) {
            bool repeated = from->dims[first] != move->type.dims[first];
            int stop = first + 1;
            while (stop < end && (from->dims[stop] != move->type.dims[stop]) == repeated) {
                stop++;
            }
            Segment zero = {(uint8_t)first, (uint8_t)(stop - first), 0, 0, {0}};
            zero.index = index_scalar(kir_index(&c->b, 0));
            put(out, repeated ? zero : part_of_segment(c, place, s, first, stop - first, first));
            first = stop;
        }
    }
}

static Index to_slice(LowerContext *c, const Node *move, int axis, Index index)
{
    Index scaled = index_times(c, index, kir_index(&c->b, move->attr.slice.step[axis]));
    return index_plus(c, scaled, move->attr.slice.start[axis]);
}

static void move_slice(LowerContext *c, const Node *move, const Place *place, PlaceDraft *out)
{
    bool touched[MAX_RANK];
    for (int i = 0; i < place->rank; i++) {
        bool all = move->src[0]->type.dims[i] == move->type.dims[i] &&
                   dim_is(move->attr.slice.start[i], 0);
        touched[i] = !all || move->attr.slice.step[i] != 1;
    }
    change_axes(c, move, place, touched, to_slice, out);
}

static Index to_reverse(LowerContext *c, const Node *move, int axis, Index index)
{
    DimTable *dims = c->schedule->graph->dims;
    Index back = index_times(c, index, kir_index(&c->b, -1));
    return index_plus(c, back, dim_sub(dims, move->type.dims[axis], dim_const(dims, 1)));
}

static void move_reverse(LowerContext *c, const Node *move, const Place *place, PlaceDraft *out)
{
    bool touched[MAX_RANK] = {false};
    for (int i = 0; i < move->attr.axes.count; i++) {
        touched[move->attr.axes.axis[i]] = true;
    }
    change_axes(c, move, place, touched, to_reverse, out);
}

/* Result axes [first, end) as one index, with the domain axes behind it when it is a plain run of
 * them. */
static Index join_axes(LowerContext *c, const Place *place, int first, int end, Segment *domain)
{
    int from = 0, to;
    *domain = (Segment){0};
    while (from < place->count && place->segments[from].first < first) {
        from++;
    }
    for (to = from; to < place->count && place->segments[to].first < end; to++) {
        const Segment *s = &place->segments[to];
        if (to == from) {
            *domain = *s;
        } else if (domain->domain_count && s->domain_count &&
                   domain->domain_first + domain->domain_count == s->domain_first) {
            domain->domain_count += s->domain_count;
        } else {
            domain->domain_count = 0;
        }
    }
    return join_segments(c, place, from, to);
}

static bool starts_segment(const Place *place, int axis)
{
    return axis >= place->rank || segment_of(place, axis)->first == axis;
}

/* Runs of axes are taken together until they end where a segment ends. */
static void move_reshape(LowerContext *c, const Node *move, const Place *place, PlaceDraft *out)
{
    ReshapeRun runs[2 * MAX_RANK];
    const Type *source = &move->src[0]->type;
    int count = reshape_runs(c->schedule->graph->dims, source, &move->type, runs);
    for (int r = 0, i = 0, j = 0; r < count;) {
        int left = 0, right = 0;
        do {
            left += runs[r].source;
            right += runs[r++].result;
        } while (r < count && !starts_segment(place, j + right));
        Segment domain;
        Index index = join_axes(c, place, j, j + right, &domain);
        if (left > 0) {
            Segment joined = {(uint8_t)i, (uint8_t)left, domain.domain_first, domain.domain_count,
                              index};
            put(out, joined);
        }
        i += left;
        j += right;
    }
}

typedef void PlaceMove(LowerContext *c, const Node *move, const Place *place, PlaceDraft *out);

const Place *place_move(LowerContext *c, const Node *move, const Place *place)
{
    static const struct {
        OpCode op;
        PlaceMove *move;
    } table[] = {
        {OP_RESHAPE, move_reshape}, {OP_PERMUTE, move_permute}, {OP_EXPAND, move_expand},
        {OP_SLICE, move_slice},     {OP_REVERSE, move_reverse},
    };
    PlaceDraft draft = {.type = &move->src[0]->type};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].op == move->op) {
            table[i].move(c, move, place, &draft);
            return finish(c, &draft);
        }
    }
    NNC_BUG("%s has no place", op_info[move->op].text);
}

KInst *view_load(LowerContext *c, const View *view, const Index *axes)
{
    Index flat = index_scalar(lower_dim(c, view->offset));
    for (int i = 0; i < view->rank; i++) {
        flat = index_add(c, flat, index_scale(c, axes[i], view->stride[i]));
    }
    return lower_load(c, view->buffer, flat);
}
