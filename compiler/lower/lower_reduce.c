/* GROUP_REDUCE where the innermost axis is reduced: one item is one index of the kept axes, a row
 * (or several rows) of the domain. In a row the reductions run as stages, then what follows from
 * them is stored:
 *
 *   softmax over [B, 1000]:  m = max; e = exp(x - m) stored, s = its sum; e / s stored over e
 *
 * The order is that of graph/order.h: element i of the innermost axis goes to lane i mod SUM_LANES,
 * lanes are folded by halves, rows are added in ascending order, in leaves where the outermost
 * reduced axis is free. A row that is short by constant is straight code: its vectors stay in
 * registers from stage to stage, because values are remembered by place. */
#include "compiler/lower/nest.h"

#include "runtime/base/bug.h"

enum { STRAIGHT_ROW = 128, CHUNK_WORK = 32768 };

typedef struct {
    LowerContext *c;
    const Group *group;
    Nest nest;
    int outer[MAX_RANK]; /* reduced parts but the innermost */
    int outer_count;
    int inner; /* the innermost part: one axis */
    const Node *reduction;
} Rows;

static bool short_row(const Rows *r, int64_t *size)
{
    return dim_is_const(r->nest.sizes[r->inner], size) && *size <= STRAIGHT_ROW;
}

/* ---- stages kept in memory ---- */

static bool is_made_by(const LowerContext *c, const Node *n, const Node *wanted)
{
    if (n == wanted) {
        return true;
    }
    if (!lower_computes(c, n) || op_info[n->op].op_class == CLASS_REDUCE) {
        return false;
    }
    for (int i = 0; i < n->nsrc; i++) {
        if (is_made_by(c, n->src[i], wanted)) {
            return true;
        }
    }
    return false;
}

static bool is_pending_stage(const Rows *r, const Node *output)
{
    return !is_kept_output(r->group, output) && lower_computes(r->c, output) &&
           is_made_by(r->c, r->reduction->src[0], output);
}

/* Outputs that this reduction's operand needs: stored on the way. */
static void store_stages(Rows *r, const Place *place)
{
    for (uint32_t i = 0; i < r->group->outputs.count; i++) {
        const GroupOutput *output = &r->group->outputs.data[i];
        if (is_pending_stage(r, output->node)) {
            lower_store(r->c, output->buffer, place, lower_value(r->c, output->node, place));
        }
    }
}

static void mark_stages(Rows *r)
{
    for (uint32_t i = 0; i < r->group->outputs.count; i++) {
        const Node *node = r->group->outputs.data[i].node;
        if (is_pending_stage(r, node)) {
            lower_mark_stored(r->c, node);
        }
    }
}

/* ---- one row ---- */

static KInst *row_step(Rows *r, KInst *base, KInst *mask, int lanes, KInst *acc)
{
    LowerContext *c = r->c;
    c->lanes = lanes;
    c->mask = mask;
    r->nest.parts[r->inner].index = lanes == 1 ? index_scalar(base) : index_lanes(base, 1);
    const Place *place = nest_place(c, &r->nest);
    KInst *value = kir_splat(&c->b, lower_value(c, r->reduction->src[0], place), lanes);
    KInst *next = lower_combine(c, r->reduction->op, acc, value);
    store_stages(r, place);
    c->lanes = 1;
    c->mask = NULL;
    return mask == NULL ? next : kir_select(&c->b, mask, next, acc);
}

/* Lanes to one value. Bools and bytes fold as i32: the halves of kernel IR are signed. */
static KInst *fold_lanes(LowerContext *c, OpCode op, KInst *lanes)
{
    DType dtype = lanes->type.dtype;
    bool narrow = dtype == DT_BOOL || (dtype_bytes(dtype) == 1 && op != OP_SUM && op != OP_PROD);
    KOp halves = op == OP_PROD                   ? K_HALVES_MUL
                 : op == OP_AMAX || op == OP_ANY ? K_HALVES_MAX
                 : op == OP_AMIN || op == OP_ALL ? K_HALVES_MIN
                                                 : K_HALVES_ADD;
    if (lanes->type.lanes == 1) {
        return lanes;
    }
    if (!narrow) {
        return kir_halves(&c->b, halves, lanes);
    }
    return kir_convert(&c->b, kir_halves(&c->b, halves, kir_convert(&c->b, lanes, DT_I32)), dtype);
}

static KInst *straight_row(Rows *r, int64_t size, int lanes, KInst *acc)
{
    for (int64_t at = 0; at < size; at += lanes) {
        KInst *base = kir_index(&r->c->b, at);
        acc =
            row_step(r, base, lane_mask(r->c, base, kir_index(&r->c->b, size), lanes), lanes, acc);
    }
    return acc;
}

static KInst *last_lanes(Rows *r, KInst *base, KInst *high, int lanes, KInst *acc)
{
    LowerContext *c = r->c;
    KInst *branch = kir_if(&c->b, kir_binary(&c->b, K_LT, base, high));
    lower_scope_open(c);
    KInst *rest = row_step(r, base, lane_mask(c, base, high, lanes), lanes, acc);
    lower_scope_close(c);
    kir_else(&c->b, branch, &rest, 1);
    kir_end_if(&c->b, branch, &acc, 1);
    return kir_result(&c->b, branch, 0);
}

static KInst *long_row(Rows *r, int lanes, KInst *acc)
{
    LowerContext *c = r->c;
    int64_t size;
    KInst *high = lower_dim(c, r->nest.sizes[r->inner]);
    KInst *middle = kir_binary(&c->b, K_AND, high, kir_index(&c->b, -(int64_t)lanes));
    KInst *loop = kir_for(&c->b, kir_index(&c->b, 0), middle, lanes, &acc, 1);
    lower_scope_open(c);
    KInst *next = row_step(r, kir_loop_arg(loop, 0), NULL, lanes, kir_loop_arg(loop, 1));
    lower_scope_close(c);
    kir_end_for(&c->b, loop, &next);
    acc = kir_result(&c->b, loop, 0);
    if (dim_is_const(r->nest.sizes[r->inner], &size)) {
        return size % lanes == 0
                   ? acc
                   : row_step(r, middle, lane_mask(c, middle, high, lanes), lanes, acc);
    }
    return last_lanes(r, middle, high, lanes, acc);
}

static KInst *reduce_row(Rows *r)
{
    LowerContext *c = r->c;
    int64_t size;
    int lanes = fit_lanes(SUM_LANES, r->nest.sizes[r->inner]);
    KInst *identity = lower_identity(c, r->reduction->op, r->reduction->src[0]->type.dtype);
    KInst *acc = kir_splat(&c->b, identity, lanes);
    acc = short_row(r, &size) ? straight_row(r, size, lanes, acc) : long_row(r, lanes, acc);
    return fold_lanes(c, r->reduction->op, acc);
}

/* ---- rows one after the other ---- */

static KInst *reduce_outer(Rows *r, int level, KInst *acc);

static KInst *outer_range(Rows *r, int level, KInst *low, KInst *high, KInst *acc)
{
    LowerContext *c = r->c;
    KInst *loop = kir_for(&c->b, low, high, 1, &acc, 1);
    lower_scope_open(c);
    r->nest.parts[r->outer[level]].index = index_scalar(kir_loop_arg(loop, 0));
    KInst *next = reduce_outer(r, level + 1, kir_loop_arg(loop, 1));
    lower_scope_close(c);
    kir_end_for(&c->b, loop, &next);
    return kir_result(&c->b, loop, 0);
}

static KInst *reduce_outer(Rows *r, int level, KInst *acc)
{
    LowerContext *c = r->c;
    if (level == r->outer_count) {
        return lower_combine(c, r->reduction->op, acc, reduce_row(r));
    }
    return outer_range(r, level, kir_index(&c->b, 0), lower_dim(c, r->nest.sizes[r->outer[level]]),
                       acc);
}

/* The chain over the outermost reduced axis, cut into leaves that start from the identity. */
static KInst *reduce_leaves(Rows *r, int64_t leaf, KInst *identity)
{
    LowerContext *c = r->c;
    KInst *high = lower_dim(c, r->nest.sizes[r->outer[0]]);
    KInst *loop = kir_for(&c->b, kir_index(&c->b, 0), high, leaf, &identity, 1);
    lower_scope_open(c);
    KInst *first = kir_loop_arg(loop, 0);
    KInst *end =
        kir_binary(&c->b, K_IMIN, kir_binary(&c->b, K_ADD, first, kir_index(&c->b, leaf)), high);
    KInst *part = outer_range(r, 0, first, end, identity);
    KInst *next = lower_combine(c, r->reduction->op, kir_loop_arg(loop, 1), part);
    lower_scope_close(c);
    kir_end_for(&c->b, loop, &next);
    return kir_result(&c->b, loop, 0);
}

static KInst *reduce_all(Rows *r)
{
    SumOrder order = graph_sum_order(r->reduction);
    KInst *identity = lower_identity(r->c, r->reduction->op, r->reduction->src[0]->type.dtype);
    if (r->outer_count == 0) {
        return reduce_row(r);
    }
    return order.leaf > 0 ? reduce_leaves(r, order.leaf, identity) : reduce_outer(r, 0, identity);
}

/* ---- argmax and argmin: sequential ---- */

static KInst *find_best(Rows *r)
{
    LowerContext *c = r->c;
    KBuilder *b = &c->b;
    const Node *node = r->reduction;
    DType dtype = node->src[0]->type.dtype;
    KInst *size = lower_dim(c, r->nest.sizes[r->inner]);
    KInst *inits[2] = {lower_identity(c, node->op == OP_ARGMIN ? OP_AMIN : OP_AMAX, dtype),
                       kir_int(b, DT_I32, -1)};
    kir_fail(b, lower_site(c, node), kir_binary(b, K_EQ, size, kir_index(b, 0)), kir_index(b, 0));
    KInst *loop = kir_for(b, kir_index(b, 0), size, 1, inits, 2);
    lower_scope_open(c);
    KInst *best = kir_loop_arg(loop, 1), *at = kir_loop_arg(loop, 2);
    r->nest.parts[r->inner].index = index_scalar(kir_loop_arg(loop, 0));
    const Place *place = nest_place(c, &r->nest);
    KInst *x = lower_value(c, node->src[0], place);
    store_stages(r, place);
    KInst *better = lower_better(c, node->op == OP_ARGMIN, x, best, at);
    KInst *now = kir_convert(b, kir_loop_arg(loop, 0), DT_I32);
    KInst *values[2] = {kir_select(b, better, x, best), kir_select(b, better, now, at)};
    lower_scope_close(c);
    kir_end_for(b, loop, values);
    return kir_binary(b, K_IMAX, kir_result(b, loop, 1), kir_int(b, DT_I32, 0));
}

KInst *lower_better(LowerContext *c, bool smallest, KInst *x, KInst *best, KInst *at)
{
    KBuilder *b = &c->b;
    KInst *beyond = smallest ? kir_binary(b, K_LT, x, best) : kir_binary(b, K_LT, best, x);
    KInst *better = kir_binary(b, K_OR, beyond, kir_binary(b, K_LT, at, kir_int(b, DT_I32, 0)));
    if (!dtype_is_float(x->type.dtype)) {
        return better;
    }
    KInst *first_nan =
        kir_binary(b, K_AND, kir_binary(b, K_NE, x, x), kir_binary(b, K_EQ, best, best));
    return kir_binary(b, K_OR, better, first_nan);
}

/* ---- the last pass over the row ---- */

static void store_full(LowerContext *c, void *user, Index index)
{
    Rows *r = user;
    r->nest.parts[r->inner].index = index;
    lower_outputs(c, r->group, nest_place(c, &r->nest));
}

static bool has_full_outputs(const Rows *r)
{
    for (uint32_t i = 0; i < r->group->outputs.count; i++) {
        const Node *node = r->group->outputs.data[i].node;
        if (!is_kept_output(r->group, node) && lower_computes(r->c, node)) {
            return true;
        }
    }
    return false;
}

static void store_rows(Rows *r, int level)
{
    LowerContext *c = r->c;
    int64_t size;
    KInst *zero = kir_index(&c->b, 0);
    if (level < r->outer_count) {
        KInst *loop =
            kir_for(&c->b, zero, lower_dim(c, r->nest.sizes[r->outer[level]]), 1, NULL, 0);
        lower_scope_open(c);
        r->nest.parts[r->outer[level]].index = index_scalar(kir_loop_arg(loop, 0));
        store_rows(r, level + 1);
        lower_scope_close(c);
        kir_end_for(&c->b, loop, NULL);
        return;
    }
    int lanes = fit_lanes(lower_lanes(c, r->group), r->nest.sizes[r->inner]);
    if (!short_row(r, &size)) {
        lower_lane_loop(c, zero, lower_dim(c, r->nest.sizes[r->inner]), lanes, store_full, r);
        return;
    }
    lanes = fit_lanes(SUM_LANES, r->nest.sizes[r->inner]);
    for (int64_t at = 0; at < size;
         at += lanes) { /* the places of straight_row: values are remembered */
        KInst *base = kir_index(&c->b, at),
              *high = kir_index(&c->b, at + lanes < size ? at + lanes : size);
        lower_lane_loop(c, base, high, lanes, store_full, r);
    }
}

/* ---- the item ---- */

static void lower_row_item(Rows *r)
{
    LowerContext *c = r->c;
    for (uint32_t i = 0; i < r->group->reductions.count; i++) {
        r->reduction = r->group->reductions.data[i];
        KInst *value = op_info[r->reduction->op].attr == AT_AXIS ? find_best(r) : reduce_all(r);
        mark_stages(r);
        lower_known(c, r->reduction, value);
    }
    nest_kept_outputs(c, &r->nest);
    if (has_full_outputs(r)) {
        store_rows(r, 0);
    }
}

static int kept_parts(const Nest *nest, int *parts, const Dim **sizes)
{
    int count = 0;
    for (int i = 0; i < nest->count; i++) {
        if (!nest->reduced[i]) {
            parts[count] = i;
            sizes[count++] = nest->sizes[i];
        }
    }
    return count;
}

static const Dim *build_rows(LowerContext *c, Rows *r)
{
    int parts[MAX_RANK];
    const Dim *sizes[MAX_RANK];
    KInst *indices[MAX_RANK];
    int count = kept_parts(&r->nest, parts, sizes);
    r->inner = r->nest.count - 1;
    for (int i = 0; i < r->inner; i++) {
        if (r->nest.reduced[i]) {
            r->outer[r->outer_count++] = i;
        }
    }
    KInst *loop = kir_for(&c->b, lower_begin(c), lower_end(c), 1, NULL, 0);
    lower_scope_open(c);
    lower_split_index(c, kir_loop_arg(loop, 0), sizes, count, indices);
    for (int i = 0; i < count; i++) {
        r->nest.parts[parts[i]].index = index_scalar(indices[i]);
    }
    lower_row_item(r);
    lower_scope_close(c);
    kir_end_for(&c->b, loop, NULL);
    return lower_product(c, sizes, 0, count);
}

static int64_t row_grain(const Group *group)
{
    int64_t row = 1, size;
    for (int i = 0; i < group->reduced.count; i++) {
        row *=
            dim_is_const(group->dims[group->reduced.axis[i]], &size) && size > 0 && row < CHUNK_WORK
                ? size
                : 1;
    }
    return row >= CHUNK_WORK ? 1 : CHUNK_WORK / row;
}

/* Cuts that the order of summation needs: the innermost axis alone, the outermost alone where
 * leaves count its indices. */
static void order_cuts(const Group *group, Domain *domain)
{
    int first = group->reduced.axis[0];
    if (group->rank > 1) {
        domain_cut(domain, group->rank - 2);
    }
    if (!dim_is_const(group->dims[first], NULL)) {
        domain_cut(domain, first);
    }
    domain->may_split = false;
}

void lower_reduce(LowerContext *c, const Group *group)
{
    Domain domain = domain_of(group);
    const Dim *count;
    if (group->reduced.axis[group->reduced.count - 1] != group->rank - 1) {
        lower_columns(c, group);
        return;
    }
    c->domain = &domain;
    order_cuts(group, &domain);
    do {
        if (domain.changed) {
            lower_kernel_drop(c);
        }
        domain.changed = domain.split = false;
        lower_kernel_begin(c, op_info[group->reductions.data[0]->op].text);
        Rows rows = {.c = c, .group = group, .nest = nest_cut(c, group, &domain)};
        domain.nest = &rows.nest;
        count = build_rows(c, &rows);
    } while (domain.changed);
    c->domain = NULL;
    lower_kernel_end(c, count, row_grain(group));
}
