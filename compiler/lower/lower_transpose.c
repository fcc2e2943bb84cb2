/* A LOOP that does nothing but turn axes: the neighbours of the result lie far apart in the
 * operand.
 *
 * In: a materialised move that is an affine view of a buffer. Its axes are joined where they are
 * neighbours in both; let L be the last one of the result and U the one with stride 1 in the
 * operand. Squares of T by T elements are loaded along U, turned in registers, and stored along L,
 * so both sides move whole vectors:
 *
 *   [B, 32, 26, 26] -> [B, 26, 26, 32]   outer B, U = 676 (strides 1 and 32), L = 32 (676 and 1)
 *
 * The square is turned in log2(T) rounds: round s exchanges, in every pair of vectors i and i + s,
 * the lanes with bit s of the one with the lanes without it of the other. */
#include "compiler/lower/nest.h"

#include "runtime/base/bug.h"

enum { LEAST_ELEMENTS = 1024, MOST_LANES = 16, CHUNK_ELEMENTS = 32768 };

typedef struct {
    const Dim *size, *from, *to; /* strides in operand and result */
} TurnedAxis;

typedef struct {
    View view;
    TurnedAxis axes[MAX_RANK];
    int count;
    int unit; /* U; the last axis is L */
    int lanes;
} Turn;

/* ---- what is turned ---- */

/* Axes of size 1 go, neighbours in both memories are joined. */
static void join_axes(LowerContext *c, Turn *t)
{
    DimTable *dims = c->schedule->graph->dims;
    const View *v = &t->view;
    const Dim *to = dim_const(dims, 1);
    TurnedAxis reversed[MAX_RANK];
    int count = 0;
    for (int i = v->rank - 1; i >= 0; i--) {
        TurnedAxis *last = count > 0 ? &reversed[count - 1] : NULL;
        if (dim_is(v->dims[i], 1)) {
            continue;
        }
        if (last != NULL && v->stride[i] == dim_mul(dims, last->from, last->size)) {
            last->size = dim_mul(dims, last->size, v->dims[i]);
        } else {
            reversed[count++] = (TurnedAxis){v->dims[i], v->stride[i], to};
        }
        to = dim_mul(dims, to, v->dims[i]);
    }
    for (int i = 0; i < count; i++) {
        t->axes[count - 1 - i] = reversed[i];
    }
    t->count = count;
}

static bool is_turned(LowerContext *c, const Group *group, Turn *t)
{
    int64_t elements;
    const Node *node = group->outputs.data[0].node;
    if (group->outputs.count != 1 || op_info[node->op].op_class != CLASS_MOVE ||
        !view_moved(c->schedule, node, &t->view) || t->view.dtype != node->type.dtype) {
        return false;
    }
    join_axes(c, t);
    t->unit = -1;
    for (int i = 0; i < t->count; i++) {
        t->unit = dim_is(t->axes[i].from, 1) ? i : t->unit;
    }
    bool few = dim_is_const(type_elements(c->schedule->graph->dims, &node->type), &elements) &&
               elements < LEAST_ELEMENTS;
    return t->unit >= 0 && t->unit != t->count - 1 && !few;
}

/* ---- the kernel ---- */

static void turn_square(LowerContext *c, KInst **rows, int lanes)
{
    int32_t low[MOST_LANES], high[MOST_LANES];
    for (int s = 1; s < lanes; s *= 2) {
        for (int j = 0; j < lanes; j++) {
            low[j] = j & s ? lanes + j - s : j;
            high[j] = j & s ? lanes + j : j + s;
        }
        for (int i = 0; i < lanes; i++) {
            if ((i & s) == 0) {
                KInst *x = rows[i], *y = rows[i + s];
                rows[i] = kir_shuffle(&c->b, x, y, low, lanes);
                rows[i + s] = kir_shuffle(&c->b, x, y, high, lanes);
            }
        }
    }
}

/* Lanes from `base` that are below `size`, and only if `row` is below its size; NULL: surely all.
 */
static KInst *square_mask(LowerContext *c, KInst *base, const Dim *size, KInst *row,
                          const Dim *rows, int lanes)
{
    int64_t known;
    bool whole = dim_is_const(size, &known) && known % lanes == 0;
    bool every = dim_is_const(rows, &known) && known % lanes == 0;
    KInst *mask = whole ? NULL : lane_mask(c, base, lower_dim(c, size), lanes);
    if (every) {
        return mask;
    }
    KInst *in = kir_splat(&c->b, kir_binary(&c->b, K_LT, row, lower_dim(c, rows)), lanes);
    return mask == NULL ? in : kir_binary(&c->b, K_AND, mask, in);
}

static KInst *plus(LowerContext *c, KInst *base, KInst *index, const Dim *stride)
{
    return kir_binary(&c->b, K_ADD, base, kir_binary(&c->b, K_MUL, index, lower_dim(c, stride)));
}

/* A bool is a byte that only moves. */
static uint32_t plain_buffer(LowerContext *c, int32_t buffer, Access access)
{
    uint32_t at = lower_buffer(c, buffer, access);
    if (c->kernel->buffers.data[at].dtype == DT_BOOL) {
        c->kernel->buffers.data[at].dtype = DT_U8;
    }
    return at;
}

static void move_square(LowerContext *c, const Turn *t, const Group *group, KInst *from, KInst *to,
                        KInst *u, KInst *l)
{
    const TurnedAxis *unit = &t->axes[t->unit], *last = &t->axes[t->count - 1];
    uint32_t source = plain_buffer(c, t->view.buffer, ACCESS_READ);
    uint32_t target = plain_buffer(c, group->outputs.data[0].buffer, ACCESS_WRITE);
    KInst *rows[MOST_LANES];
    KInst *from_square = kir_binary(&c->b, K_ADD, plus(c, from, l, last->from), u);
    KInst *to_square = kir_binary(&c->b, K_ADD, plus(c, to, u, unit->to), l);
    for (int k = 0; k < t->lanes; k++) {
        KInst *row = kir_index(&c->b, k), *at = kir_binary(&c->b, K_ADD, l, row);
        KInst *mask = square_mask(c, u, unit->size, at, last->size, t->lanes);
        rows[k] = kir_load(&c->b, source, plus(c, from_square, row, last->from), t->lanes, mask);
    }
    turn_square(c, rows, t->lanes);
    for (int k = 0; k < t->lanes; k++) {
        KInst *row = kir_index(&c->b, k), *at = kir_binary(&c->b, K_ADD, u, row);
        KInst *mask = square_mask(c, l, last->size, at, unit->size, t->lanes);
        kir_store(&c->b, target, plus(c, to_square, row, unit->to), rows[k], mask);
    }
}

static const Dim *build_turn(LowerContext *c, const Turn *t, const Group *group)
{
    const Dim *sizes[MAX_RANK];
    KInst *indices[MAX_RANK];
    DimTable *dims = c->schedule->graph->dims;
    int outer = 0;
    for (int i = 0; i + 1 < t->count; i++) {
        const Dim *squares = dim_ceildiv(dims, t->axes[i].size, dim_const(dims, t->lanes));
        sizes[outer++] = i == t->unit ? squares : t->axes[i].size;
    }
    KInst *items = kir_for(&c->b, lower_begin(c), lower_end(c), 1, NULL, 0);
    lower_scope_open(c);
    lower_split_index(c, kir_loop_arg(items, 0), sizes, outer, indices);
    KInst *from = lower_dim(c, t->view.offset), *to = kir_index(&c->b, 0), *u = NULL;
    for (int i = 0; i < outer; i++) {
        if (i == t->unit) {
            u = kir_binary(&c->b, K_MUL, indices[i], kir_index(&c->b, t->lanes));
        } else {
            from = plus(c, from, indices[i], t->axes[i].from);
            to = plus(c, to, indices[i], t->axes[i].to);
        }
    }
    KInst *high = lower_dim(c, t->axes[t->count - 1].size);
    KInst *loop = kir_for(&c->b, kir_index(&c->b, 0), high, t->lanes, NULL, 0);
    move_square(c, t, group, from, to, u, kir_loop_arg(loop, 0));
    kir_end_for(&c->b, loop, NULL);
    lower_scope_close(c);
    kir_end_for(&c->b, items, NULL);
    return lower_product(c, sizes, 0, outer);
}

bool lower_transpose(LowerContext *c, const Group *group)
{
    Turn turn = {0};
    int64_t row;
    if (!is_turned(c, group, &turn)) {
        return false;
    }
    turn.lanes = lower_lanes(c, group) < MOST_LANES ? lower_lanes(c, group) : MOST_LANES;
    lower_kernel_begin(c, "turn");
    const Dim *count = build_turn(c, &turn, group);
    int64_t work =
        turn.lanes * (dim_is_const(turn.axes[turn.count - 1].size, &row) && row > 0 ? row : 256);
    lower_kernel_end(c, count, work >= CHUNK_ELEMENTS ? 1 : CHUNK_ELEMENTS / work);
    return true;
}
