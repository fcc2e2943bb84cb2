/* Views and traces: what a chain of moves means for the one who reads through it.
 *
 * In: a node above some moves. Out: either the affine window on the buffer at the bottom (view_of,
 * for contractions), or the axes of the reader's domain that index each value at the bottom
 * (trace_reads, for fusion):
 *
 *   %1 = expand(reshape(%bias [512] -> [1, 512]) -> [B, 512])      read by a loop over (i0, i1)
 *   view of %1:      buffer bias, strides 0 1
 *   trace of bias:   axis 0 comes from domain axis 1 */
#include "compiler/schedule/internal.h"

#include <string.h>

/* ---- reshapes ---- */

static bool is_one(const Dim *dim)
{
    return dim_is(dim, 1);
}

/* Closes the run that begins with (i, j): axes are added to the side whose product is the smaller
 * divisor. */
static bool close_run(DimTable *dims, const Type *source, const Type *result, int i, int j,
                      ReshapeRun *run)
{
    const Dim *a = source->dims[i], *c = result->dims[j], *quotient;
    int left = 1, right = 1;
    while (a != c) {
        bool more_right = j + right < result->rank, more_left = i + left < source->rank;
        if (more_right && dim_divides_exactly(dims, a, c, &quotient)) {
            c = dim_mul(dims, c, result->dims[j + right++]);
        } else if (more_left && dim_divides_exactly(dims, c, a, &quotient)) {
            a = dim_mul(dims, a, source->dims[i + left++]);
        } else {
            return false;
        }
        if (a == NULL || c == NULL) {
            return false;
        }
    }
    *run = (ReshapeRun){(uint8_t)left, (uint8_t)right};
    return true;
}

int reshape_runs(DimTable *dims, const Type *source, const Type *result, ReshapeRun *runs)
{
    int i = 0, j = 0, count = 0;
    while (i < source->rank || j < result->rank) {
        bool left = i < source->rank, right = j < result->rank;
        if (left && right && source->dims[i] == result->dims[j]) {
            runs[count++] = (ReshapeRun){1, 1};
        } else if (left && is_one(source->dims[i])) {
            runs[count++] = (ReshapeRun){1, 0};
        } else if (right && is_one(result->dims[j])) {
            runs[count++] = (ReshapeRun){0, 1};
        } else if (!left || !right || dim_is(source->dims[i], 0) || dim_is(result->dims[j], 0) ||
                   !close_run(dims, source, result, i, j, &runs[count])) {
            runs[count++] = (ReshapeRun){(uint8_t)(source->rank - i), (uint8_t)(result->rank - j)};
        } else {
            count++;
        }
        i += runs[count - 1].source;
        j += runs[count - 1].result;
    }
    return count;
}

/* ---- views ---- */

static bool view_reshape(DimTable *dims, const Node *node, View *view)
{
    const Type *source = &node->src[0]->type, *result = &node->type;
    ReshapeRun runs[2 * MAX_RANK];
    View old = *view;
    int count = reshape_runs(dims, source, result, runs);
    view->rank = result->rank;
    for (int r = 0, i = 0, j = 0; r < count; r++) {
        int left = runs[r].source, right = runs[r].result;
        const Dim *stride = left > 0 ? old.stride[i + left - 1] : dim_const(dims, 0);
        for (int k = i; k + 1 < i + left; k++) {
            if (old.stride[k] != dim_mul(dims, old.stride[k + 1], source->dims[k + 1])) {
                return false;
            }
        }
        for (int k = j + right - 1; k >= j; k--) {
            view->dims[k] = result->dims[k];
            view->stride[k] = left > 0 ? stride : dim_const(dims, 0);
            stride = dim_mul(dims, stride, result->dims[k]);
            if (stride == NULL) {
                return false;
            }
        }
        i += left;
        j += right;
    }
    return true;
}

static bool view_permute(DimTable *dims, const Node *node, View *view)
{
    (void)dims;
    View old = *view;
    for (int i = 0; i < view->rank; i++) {
        view->dims[i] = old.dims[node->attr.perm.axis[i]];
        view->stride[i] = old.stride[node->attr.perm.axis[i]];
    }
    return true;
}

static bool view_expand(DimTable *dims, const Node *node, View *view)
{
    for (int i = 0; i < view->rank; i++) {
        if (view->dims[i] != node->type.dims[i]) {
            view->stride[i] = dim_const(dims, 0);
        }
        view->dims[i] = node->type.dims[i];
    }
    return true;
}

static bool view_slice(DimTable *dims, const Node *node, View *view)
{
    for (int i = 0; i < view->rank; i++) {
        const Dim *skipped = dim_mul(dims, node->attr.slice.start[i], view->stride[i]);
        view->offset = skipped == NULL ? NULL : dim_add(dims, view->offset, skipped);
        view->stride[i] = dim_mul(dims, view->stride[i], dim_const(dims, node->attr.slice.step[i]));
        view->dims[i] = node->type.dims[i];
        if (view->offset == NULL || view->stride[i] == NULL) {
            return false;
        }
    }
    return true;
}

static bool view_reverse(DimTable *dims, const Node *node, View *view)
{
    for (int k = 0; k < node->attr.axes.count; k++) {
        int i = node->attr.axes.axis[k];
        const Dim *last =
            dim_mul(dims, dim_sub(dims, view->dims[i], dim_const(dims, 1)), view->stride[i]);
        view->offset = last == NULL ? NULL : dim_add(dims, view->offset, last);
        view->stride[i] = dim_sub(dims, dim_const(dims, 0), view->stride[i]);
        if (view->offset == NULL || view->stride[i] == NULL) {
            return false;
        }
    }
    return true;
}

/* The same elements in the same places: what enters a branch, and what is widened by its reader. */
static bool view_enter(DimTable *dims, const Node *node, View *view)
{
    (void)dims, (void)node, (void)view;
    return true;
}

typedef bool ViewMove(DimTable *dims, const Node *node, View *view);

static ViewMove *view_move(const Node *node)
{
    static const struct {
        OpCode op;
        ViewMove *move;
    } moves[] = {
        {OP_RESHAPE, view_reshape}, {OP_PERMUTE, view_permute}, {OP_EXPAND, view_expand},
        {OP_SLICE, view_slice},     {OP_REVERSE, view_reverse}, {OP_ENTER, view_enter},
    };
    if (node_is_widening(node)) {
        return view_enter;
    }
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        if (moves[i].op == node->op) {
            return moves[i].move;
        }
    }
    return NULL;
}

static bool view_dense(DimTable *dims, const Node *node, int32_t buffer, View *view)
{
    const Dim *stride = dim_const(dims, 1);
    *view = (View){.buffer = buffer,
                   .dtype = node->type.dtype,
                   .rank = node->type.rank,
                   .offset = dim_const(dims, 0)};
    for (int i = node->type.rank - 1; i >= 0; i--) {
        view->dims[i] = node->type.dims[i];
        view->stride[i] = stride;
        stride = dim_mul(dims, stride, node->type.dims[i]);
        if (stride == NULL) {
            return false;
        }
    }
    return true;
}

bool view_moved(const Schedule *schedule, const Node *node, View *view)
{
    ViewMove *move = view_move(node);
    return move != NULL && view_of(schedule, node->src[0], view) &&
           move(schedule->graph->dims, node, view);
}

bool view_of(const Schedule *schedule, const Node *node, View *view)
{
    if (schedule->buffer_of[node->id] != NO_BUFFER) {
        return view_dense(schedule->graph->dims, node, schedule->buffer_of[node->id], view);
    }
    return view_moved(schedule, node, view);
}

/* ---- traces ---- */

typedef struct {
    const Node *node;
    Trace at;
} Seen;

typedef struct {
    Builder *b;
    TraceVisit *visit;
    void *user;
    VEC(Seen) seen;
} Walk;

static void walk_node(Walk *walk, const Node *node, const Trace *at);

static Trace trace_of(int8_t axis)
{
    Trace trace;
    memset(trace.axis, axis, sizeof trace.axis);
    return trace;
}

static void walk_reshape(Walk *walk, const Node *node, const Trace *at)
{
    ReshapeRun runs[2 * MAX_RANK];
    Trace source = trace_of(TRACE_OTHER);
    int count = reshape_runs(walk->b->graph->dims, &node->src[0]->type, &node->type, runs);
    for (int r = 0, i = 0, j = 0; r < count; r++) {
        if (runs[r].source == 1 && runs[r].result == 1) {
            source.axis[i] = at->axis[j];
        } else if (runs[r].source == 1 && runs[r].result == 0) {
            source.axis[i] = TRACE_ZERO;
        }
        i += runs[r].source;
        j += runs[r].result;
    }
    walk_node(walk, node->src[0], &source);
}

static void walk_permute(Walk *walk, const Node *node, const Trace *at)
{
    Trace source = trace_of(TRACE_OTHER);
    for (int i = 0; i < node->type.rank; i++) {
        source.axis[node->attr.perm.axis[i]] = at->axis[i];
    }
    walk_node(walk, node->src[0], &source);
}

static void walk_expand(Walk *walk, const Node *node, const Trace *at)
{
    Trace source = *at;
    for (int i = 0; i < node->type.rank; i++) {
        if (node->src[0]->type.dims[i] != node->type.dims[i]) {
            source.axis[i] = TRACE_ZERO;
        }
    }
    walk_node(walk, node->src[0], &source);
}

static void walk_slice(Walk *walk, const Node *node, const Trace *at)
{
    Trace source = *at;
    for (int i = 0; i < node->type.rank; i++) {
        if (!dim_is(node->attr.slice.start[i], 0) || node->attr.slice.step[i] != 1 ||
            node->type.dims[i] != node->src[0]->type.dims[i]) {
            source.axis[i] = TRACE_OTHER;
        }
    }
    walk_node(walk, node->src[0], &source);
}

static void walk_pad(Walk *walk, const Node *node, const Trace *at)
{
    Trace source = *at, none = trace_of(TRACE_OTHER);
    for (int i = 0; i < node->type.rank; i++) {
        bool same = dim_is(node->attr.pad.low[i], 0) && dim_is(node->attr.pad.high[i], 0) &&
                    !node->attr.pad.interior[i];
        source.axis[i] = same ? source.axis[i] : TRACE_OTHER;
    }
    walk_node(walk, node->src[0], &source);
    walk_node(walk, node->src[1], &none);
}

static void walk_concat(Walk *walk, const Node *node, const Trace *at)
{
    Trace source = *at;
    source.axis[node->attr.axis] = TRACE_OTHER;
    for (int i = 0; i < node->nsrc; i++) {
        walk_node(walk, node->src[i], &source);
    }
}

static void walk_reverse(Walk *walk, const Node *node, const Trace *at)
{
    Trace source = *at;
    for (int k = 0; k < node->attr.axes.count; k++) {
        source.axis[node->attr.axes.axis[k]] = TRACE_OTHER;
    }
    walk_node(walk, node->src[0], &source);
}

static void walk_gather(Walk *walk, const Node *node, const Trace *at)
{
    const Node *x = node->src[0], *index = node->src[1];
    Trace source = trace_of(TRACE_OTHER), picked = trace_of(TRACE_OTHER);
    int axis = node->attr.axis, wide = index->type.rank;
    for (int i = 0; i < x->type.rank; i++) {
        source.axis[i] = i < axis ? at->axis[i] : i == axis ? TRACE_OTHER : at->axis[i + wide - 1];
    }
    for (int i = 0; i < wide; i++) {
        picked.axis[i] = at->axis[axis + i];
    }
    walk_node(walk, x, &source);
    walk_node(walk, index, &picked);
}

static void walk_enter(Walk *walk, const Node *node, const Trace *at)
{
    walk_node(walk, node->src[0], at);
}

static void walk_elementwise(Walk *walk, const Node *node, const Trace *at)
{
    Trace none = trace_of(TRACE_OTHER);
    for (int i = 0; i < node->nsrc; i++) {
        walk_node(walk, node->src[i], node->src[i]->type.rank == node->type.rank ? at : &none);
    }
}

static void walk_any(Walk *walk, const Node *node, const Trace *at)
{
    Trace none = trace_of(TRACE_OTHER);
    (void)at;
    for (int i = 0; i < node->nsrc; i++) {
        walk_node(walk, node->src[i], &none);
    }
}

typedef void WalkOp(Walk *walk, const Node *node, const Trace *at);

static WalkOp *walk_op(const Node *node)
{
    static const struct {
        OpCode op;
        WalkOp *walk;
    } table[] = {
        {OP_RESHAPE, walk_reshape}, {OP_PERMUTE, walk_permute}, {OP_EXPAND, walk_expand},
        {OP_SLICE, walk_slice},     {OP_PAD, walk_pad},         {OP_CONCAT, walk_concat},
        {OP_REVERSE, walk_reverse}, {OP_GATHER, walk_gather},   {OP_ENTER, walk_enter},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].op == node->op) {
            return table[i].walk;
        }
    }
    return class_of(node) == CLASS_ELEMENTWISE ? walk_elementwise : walk_any;
}

static bool already_walked(Walk *walk, const Node *node, const Trace *at)
{
    size_t bytes = (size_t)node->type.rank;
    for (uint32_t i = walk->seen.count; i-- > 0;) {
        if (walk->seen.data[i].node == node &&
            memcmp(walk->seen.data[i].at.axis, at->axis, bytes) == 0) {
            return true;
        }
    }
    vec_push(walk->b->arena, &walk->seen, (Seen){node, *at});
    return false;
}

static void walk_node(Walk *walk, const Node *node, const Trace *at)
{
    if (class_of(node) == CLASS_LEAF && !walk->b->made[node->id]) {
        return;
    }
    if (already_walked(walk, node, at)) {
        return;
    }
    if (walk->b->made[node->id]) {
        walk->visit(walk->user, node, at);
    } else {
        walk_op(node)(walk, node, at);
    }
}

void trace_reads(Builder *b, const Node *node, const Trace *at, TraceVisit *visit, void *user)
{
    Walk walk = {.b = b, .visit = visit, .user = user};
    if (has_memory(node)) {
        visit(user, node, at);
    } else if (class_of(node) != CLASS_LEAF) {
        walk_op(node)(&walk, node, at);
    }
}

/* ---- traces and groups ---- */

bool is_kept_axis(const Group *group, int axis)
{
    for (int i = 0; i < group->reduced.count; i++) {
        if (group->reduced.axis[i] == axis) {
            return false;
        }
    }
    return true;
}

bool same_dims(const Type *type, int rank, const Dim *const *dims)
{
    for (int i = 0; type->rank == rank && i < rank; i++) {
        if (type->dims[i] != dims[i]) {
            return false;
        }
    }
    return type->rank == rank;
}

/* The kept axes of the domain (all, where nothing is reduced), those of size 1 left out. */
static int kept_axes(const Group *group, int8_t *axes)
{
    int count = 0;
    for (int i = 0; i < group->rank; i++) {
        if (is_kept_axis(group, i) && !is_one(group->dims[i])) {
            axes[count++] = (int8_t)i;
        }
    }
    return count;
}

bool trace_start(const Group *group, const Node *member, Trace *at)
{
    *at = trace_of(TRACE_ZERO);
    if (same_dims(&member->type, group->rank, group->dims)) {
        for (int i = 0; i < group->rank; i++) {
            at->axis[i] = (int8_t)i;
        }
        return group->kind != GROUP_REDUCE || group->rows || group->reduced.count == 0;
    }
    int8_t kept[MAX_RANK];
    int count = kept_axes(group, kept), next = 0;
    for (int i = 0; i < member->type.rank; i++) {
        if (is_one(member->type.dims[i])) {
            continue;
        }
        if (next == count || member->type.dims[i] != group->dims[kept[next]]) {
            return false;
        }
        at->axis[i] = kept[next++];
    }
    return (group->kind == GROUP_REDUCE || group->kind == GROUP_LOOP ||
            group->kind == GROUP_CONTRACT) &&
           next == count;
}

bool trace_is_element(const Group *group, const Node *value, const Trace *at)
{
    Trace own;
    if (!trace_start(group, value, &own)) {
        return false;
    }
    for (int i = 0; i < value->type.rank; i++) {
        if (at->axis[i] == TRACE_OTHER ||
            (!is_one(value->type.dims[i]) && own.axis[i] != at->axis[i])) {
            return false;
        }
    }
    return true;
}

void draft_reads(Builder *b, const Group *group, const Node *member, TraceVisit *visit, void *user)
{
    Trace at;
    bool reduces = class_of(member) == CLASS_REDUCE && group->kind == GROUP_REDUCE;
    if (reduces) {
        for (int i = 0; i < MAX_RANK; i++) {
            at.axis[i] = (int8_t)i;
        }
        if (b->made[member->src[0]->id]) {
            visit(user, member->src[0], &at);
        } else {
            trace_reads(b, member->src[0], &at, visit, user);
        }
        return;
    }
    if (!trace_start(group, member, &at)) {
        at = trace_of(TRACE_OTHER);
    }
    trace_reads(b, member, &at, visit, user);
}
