/* GROUP_REDUCE where the innermost axis is kept: lanes run over columns, the loops over what is
 * reduced.
 *
 *   sums of x and x*x over [B, 26, 26, 32] axes 0,1,2     one pass, 2 sums x 2 vectors of columns
 *
 * An item is one block of columns at one index of the other kept axes. All reductions of the group
 * run in the same loops, each an ascending chain, cut into leaves where the outermost reduced axis
 * is free (graph/order.h). Where there are few columns and many rows the leaves are items of one
 * kernel, which stores their sums, and another adds those up: the same additions in the same order,
 * with work for every thread. */
#include "compiler/lower/nest.h"

#include "runtime/base/bug.h"

#include <string.h>

enum { VECTORS = 4, CARRY_LIMIT = 16, CHUNK_WORK = 65536 };

typedef struct {
    LowerContext *c;
    const Group *group;
    Nest nest;
    int reduced[MAX_RANK], reduced_count;
    int inner;               /* the part of the columns */
    int lanes, vectors;      /* of a block */
    KInst *columns[VECTORS]; /* first column of each vector */
    KInst *masks[VECTORS];
    KInst *leaf_index;             /* of the item, when leaves are items */
    const Node *sums[CARRY_LIMIT]; /* reductions of this pass */
    int sum_count;
} Columns;

static void at_vector(Columns *k, int v)
{
    k->c->lanes = k->lanes;
    k->c->mask = k->masks[v];
    k->nest.parts[k->inner].index =
        k->lanes == 1 ? index_scalar(k->columns[v]) : index_lanes(k->columns[v], 1);
}

static void at_none(Columns *k)
{
    k->c->lanes = 1;
    k->c->mask = NULL;
}

/* ---- sums ---- */

static void add_terms(Columns *k, KInst **acc)
{
    LowerContext *c = k->c;
    for (int v = 0; v < k->vectors; v++) {
        at_vector(k, v);
        const Place *place = nest_place(c, &k->nest);
        for (int s = 0; s < k->sum_count; s++) {
            KInst **at = &acc[s * k->vectors + v];
            KInst *value = kir_splat(&c->b, lower_value(c, k->sums[s]->src[0], place), k->lanes);
            *at = lower_combine(c, k->sums[s]->op, *at, value);
        }
    }
    at_none(k);
}

static void chain(Columns *k, int level, KInst **acc);

static void chain_range(Columns *k, int level, KInst *low, KInst *high, KInst **acc)
{
    LowerContext *c = k->c;
    int count = k->sum_count * k->vectors;
    KInst *loop = kir_for(&c->b, low, high, 1, acc, count);
    lower_scope_open(c);
    for (int i = 0; i < count; i++) {
        acc[i] = kir_loop_arg(loop, 1 + i);
    }
    k->nest.parts[k->reduced[level]].index = index_scalar(kir_loop_arg(loop, 0));
    chain(k, level + 1, acc);
    lower_scope_close(c);
    kir_end_for(&c->b, loop, acc);
    for (int i = 0; i < count; i++) {
        acc[i] = kir_result(&c->b, loop, i);
    }
}

static void chain(Columns *k, int level, KInst **acc)
{
    if (level == k->reduced_count) {
        add_terms(k, acc);
        return;
    }
    LowerContext *c = k->c;
    chain_range(k, level, kir_index(&c->b, 0), lower_dim(c, k->nest.sizes[k->reduced[level]]), acc);
}

static void identities(Columns *k, KInst **acc)
{
    for (int s = 0; s < k->sum_count; s++) {
        KInst *identity = lower_identity(k->c, k->sums[s]->op, k->sums[s]->src[0]->type.dtype);
        for (int v = 0; v < k->vectors; v++) {
            acc[s * k->vectors + v] = kir_splat(&k->c->b, identity, k->lanes);
        }
    }
}

static void chain_leaves(Columns *k, int64_t leaf, KInst **acc)
{
    LowerContext *c = k->c;
    int count = k->sum_count * k->vectors;
    KInst *part[CARRY_LIMIT * VECTORS];
    KInst *high = lower_dim(c, k->nest.sizes[k->reduced[0]]);
    KInst *loop = kir_for(&c->b, kir_index(&c->b, 0), high, leaf, acc, count);
    lower_scope_open(c);
    KInst *first = kir_loop_arg(loop, 0);
    KInst *end =
        kir_binary(&c->b, K_IMIN, kir_binary(&c->b, K_ADD, first, kir_index(&c->b, leaf)), high);
    identities(k, part);
    chain_range(k, 0, first, end, part);
    for (int i = 0; i < count; i++) {
        acc[i] = lower_combine(c, k->sums[i / k->vectors]->op, kir_loop_arg(loop, 1 + i), part[i]);
    }
    lower_scope_close(c);
    kir_end_for(&c->b, loop, acc);
    for (int i = 0; i < count; i++) {
        acc[i] = kir_result(&c->b, loop, i);
    }
}

/* ---- argmax and argmin ---- */

static void find_best(Columns *k, const Node *node, KInst **found)
{
    LowerContext *c = k->c;
    KBuilder *b = &c->b;
    KInst *best[2 * VECTORS], *size = lower_dim(c, k->nest.sizes[k->reduced[0]]);
    KInst *identity =
        lower_identity(c, node->op == OP_ARGMIN ? OP_AMIN : OP_AMAX, node->src[0]->type.dtype);
    kir_fail(b, lower_site(c, node), kir_binary(b, K_EQ, size, kir_index(b, 0)), kir_index(b, 0));
    for (int v = 0; v < k->vectors; v++) {
        best[2 * v] = kir_splat(b, identity, k->lanes);
        best[2 * v + 1] = kir_splat(b, kir_int(b, DT_I32, -1), k->lanes);
    }
    KInst *loop = kir_for(b, kir_index(b, 0), size, 1, best, 2 * k->vectors);
    lower_scope_open(c);
    KInst *now = kir_convert(b, kir_loop_arg(loop, 0), DT_I32);
    k->nest.parts[k->reduced[0]].index = index_scalar(kir_loop_arg(loop, 0));
    for (int v = 0; v < k->vectors; v++) {
        at_vector(k, v);
        KInst *x = kir_splat(b, lower_value(c, node->src[0], nest_place(c, &k->nest)), k->lanes);
        KInst *old = kir_loop_arg(loop, 1 + 2 * v), *at = kir_loop_arg(loop, 2 + 2 * v);
        KInst *better = lower_better(c, node->op == OP_ARGMIN, x, old, at);
        best[2 * v] = kir_select(b, better, x, old);
        best[2 * v + 1] = kir_select(b, better, kir_splat(b, now, k->lanes), at);
    }
    at_none(k);
    lower_scope_close(c);
    kir_end_for(b, loop, best);
    for (int v = 0; v < k->vectors; v++) {
        KInst *zero = kir_splat(b, kir_int(b, DT_I32, 0), k->lanes);
        found[v] = kir_binary(b, K_IMAX, kir_result(b, loop, 2 * v + 1), zero);
    }
}

/* ---- the item ---- */

/* Reductions [from, ..) that share loops: chains with the same leaves, as many as registers carry.
 */
static int take_pass(Columns *k, uint32_t from, int64_t *leaf)
{
    const Group *group = k->group;
    *leaf = graph_sum_order(group->reductions.data[from]).leaf;
    k->sum_count = 0;
    for (uint32_t i = from; i < group->reductions.count && k->sum_count * k->vectors < CARRY_LIMIT;
         i++) {
        const Node *n = group->reductions.data[i];
        if (op_info[n->op].attr != AT_AXES || graph_sum_order(n).leaf != *leaf) {
            break;
        }
        k->sums[k->sum_count++] = n;
    }
    return k->sum_count;
}

static void run_reductions(Columns *k, KInst *(*values)[VECTORS])
{
    const Group *group = k->group;
    for (uint32_t i = 0; i < group->reductions.count;) {
        KInst *acc[CARRY_LIMIT * VECTORS];
        int64_t leaf;
        int taken = take_pass(k, i, &leaf);
        if (taken == 0) {
            find_best(k, group->reductions.data[i], values[i]);
            i++;
            continue;
        }
        identities(k, acc);
        if (leaf > 0) {
            chain_leaves(k, leaf, acc);
        } else {
            chain(k, 0, acc);
        }
        for (int s = 0; s < taken; s++) {
            memcpy(values[i + (uint32_t)s], acc + s * k->vectors, sizeof *acc * (size_t)k->vectors);
        }
        i += (uint32_t)taken;
    }
}

static void lower_block(Columns *k)
{
    LowerContext *c = k->c;
    KInst *(*values)[VECTORS] = arena_alloc(c->arena, sizeof *values * k->group->reductions.count);
    run_reductions(k, values);
    for (int v = 0; v < k->vectors; v++) {
        lower_scope_open(c);
        at_vector(k, v);
        for (uint32_t i = 0; i < k->group->reductions.count; i++) {
            lower_known(c, k->group->reductions.data[i], values[i][v]);
        }
        nest_kept_outputs(c, &k->nest);
        at_none(k);
        lower_scope_close(c);
    }
}

/* Width of a block: up to VECTORS vectors, no more than cover a constant number of columns. */
static void choose_width(Columns *k)
{
    const Dim *columns = k->nest.sizes[k->inner];
    int64_t size;
    k->lanes = fit_lanes(lower_lanes(k->c, k->group), columns);
    k->vectors = VECTORS;
    if (dim_is_const(columns, &size)) {
        while (k->vectors > 1 && (int64_t)k->lanes * (k->vectors - 1) >= size) {
            k->vectors--;
        }
    }
}

/* Opens the loop over items: blocks of columns at every index of the other kept axes, and of
 * `leaves` (NULL: none). */
static KInst *open_items(Columns *k, const Dim *leaves, const Dim **items)
{
    LowerContext *c = k->c;
    const Dim *sizes[MAX_RANK + 1];
    KInst *indices[MAX_RANK + 1];
    int kept[MAX_RANK + 1], count = 0;
    DimTable *dims = c->schedule->graph->dims;
    k->inner = k->nest.count - 1;
    k->reduced_count = 0;
    choose_width(k);
    if (leaves != NULL) {
        sizes[count++] = leaves;
    }
    for (int i = 0; i < k->nest.count; i++) {
        if (k->nest.reduced[i]) {
            k->reduced[k->reduced_count++] = i;
        } else {
            kept[count] = i;
            sizes[count++] = k->nest.sizes[i];
        }
    }
    const Dim *columns = sizes[count - 1];
    int width = k->lanes * k->vectors;
    sizes[count - 1] = dim_ceildiv(dims, columns, dim_const(dims, width));
    KInst *loop = kir_for(&c->b, lower_begin(c), lower_end(c), 1, NULL, 0);
    lower_scope_open(c);
    lower_split_index(c, kir_loop_arg(loop, 0), sizes, count, indices);
    k->leaf_index = leaves != NULL ? indices[0] : NULL;
    for (int i = leaves != NULL; i + 1 < count; i++) {
        k->nest.parts[kept[i]].index = index_scalar(indices[i]);
    }
    KInst *base = kir_binary(&c->b, K_MUL, indices[count - 1], kir_index(&c->b, width));
    int64_t size;
    bool whole = dim_is_const(columns, &size) && size % width == 0;
    for (int v = 0; v < k->vectors; v++) {
        k->columns[v] = kir_binary(&c->b, K_ADD, base, kir_index(&c->b, v * k->lanes));
        k->masks[v] = whole ? NULL : lane_mask(c, k->columns[v], lower_dim(c, columns), k->lanes);
    }
    *items = lower_product(c, sizes, 0, count);
    return loop;
}

static void close_items(Columns *k, KInst *loop)
{
    lower_scope_close(k->c);
    kir_end_for(&k->c->b, loop, NULL);
}

static const Dim *build_columns(Columns *k)
{
    const Dim *items;
    KInst *loop = open_items(k, NULL, &items);
    lower_block(k);
    close_items(k, loop);
    return items;
}

/* ---- leaves as items of their own: parts[leaf][reduction][column] in the group's scratch memory
 * ---- */

static KInst *part_index(Columns *k, KInst *leaf, uint32_t reduction, int v)
{
    LowerContext *c = k->c;
    KInst *row = kir_binary(&c->b, K_MUL, leaf, kir_index(&c->b, k->group->reductions.count));
    KInst *at = kir_binary(&c->b, K_ADD, row, kir_index(&c->b, reduction));
    for (int i = 0; i < k->nest.count; i++) {
        if (!k->nest.reduced[i]) {
            KInst *index = i == k->inner ? k->columns[v] : k->nest.parts[i].index.base;
            at = kir_binary(&c->b, K_ADD,
                            kir_binary(&c->b, K_MUL, at, lower_dim(c, k->nest.sizes[i])), index);
        }
    }
    return at;
}

static const Dim *build_parts(Columns *k, const Dim *leaves, int64_t leaf)
{
    LowerContext *c = k->c;
    const Dim *items;
    KInst *loop = open_items(k, leaves, &items);
    KInst *first = kir_binary(&c->b, K_MUL, k->leaf_index, kir_index(&c->b, leaf));
    KInst *end = kir_binary(&c->b, K_IMIN, kir_binary(&c->b, K_ADD, first, kir_index(&c->b, leaf)),
                            lower_dim(c, k->nest.sizes[k->reduced[0]]));
    uint32_t to = lower_buffer(c, k->group->scratch, ACCESS_WRITE);
    for (uint32_t i = 0; i < k->group->reductions.count;) {
        KInst *acc[CARRY_LIMIT * VECTORS];
        int64_t same;
        int taken = take_pass(k, i, &same);
        identities(k, acc);
        chain_range(k, 0, first, end, acc);
        for (int s = 0; s < taken; s++, i++) {
            for (int v = 0; v < k->vectors; v++) {
                kir_store(&c->b, to, part_index(k, k->leaf_index, i, v), acc[s * k->vectors + v],
                          k->masks[v]);
            }
        }
    }
    close_items(k, loop);
    return items;
}

/* Leaves are added in ascending order to an accumulator that starts at the identity, as in
 * chain_leaves. */
static const Dim *build_total(Columns *k, const Dim *leaves)
{
    LowerContext *c = k->c;
    const Dim *items;
    KInst *loop = open_items(k, NULL, &items);
    uint32_t from = lower_buffer(c, k->group->scratch, ACCESS_READ);
    for (int v = 0; v < k->vectors; v++) {
        lower_scope_open(c);
        for (uint32_t i = 0; i < k->group->reductions.count; i++) {
            const Node *n = k->group->reductions.data[i];
            KInst *start =
                kir_splat(&c->b, lower_identity(c, n->op, n->src[0]->type.dtype), k->lanes);
            KInst *each = kir_for(&c->b, kir_index(&c->b, 0), lower_dim(c, leaves), 1, &start, 1);
            KInst *part = kir_load(&c->b, from, part_index(k, kir_loop_arg(each, 0), i, v),
                                   k->lanes, k->masks[v]);
            KInst *sum = lower_combine(c, n->op, kir_loop_arg(each, 1), part);
            kir_end_for(&c->b, each, &sum);
            lower_known(c, n, kir_result(&c->b, each, 0));
        }
        at_vector(k, v);
        nest_kept_outputs(c, &k->nest);
        at_none(k);
        lower_scope_close(c);
    }
    close_items(k, loop);
    return items;
}

static int64_t block_grain(const Columns *k)
{
    int64_t work = (int64_t)k->lanes * k->vectors, size;
    for (int i = 0; i < k->reduced_count; i++) {
        work *= dim_is_const(k->nest.sizes[k->reduced[i]], &size) && size > 0 && work < CHUNK_WORK
                    ? size
                    : 1;
    }
    return work >= CHUNK_WORK ? 1 : CHUNK_WORK / work;
}

typedef enum { WHOLE, PARTS, TOTAL } Step;

/* Builds one kernel, again as long as indices ask for cuts of the domain. */
static void lower_step(LowerContext *c, const Group *group, Domain *domain, Step step,
                       const Dim *leaves, int64_t leaf)
{
    static const char *const names[] = {"", "leaves_", "total_"};
    const char *name = op_info[group->reductions.data[0]->op].text;
    const Dim *count;
    int64_t grain;
    do {
        if (domain->changed) {
            lower_kernel_drop(c);
        }
        domain->changed = domain->split = false;
        lower_kernel_begin(c, arena_format(c->arena, "%s%s", names[step], name));
        Columns columns = {.c = c, .group = group, .nest = nest_cut(c, group, domain)};
        domain->nest = &columns.nest;
        count = step == WHOLE   ? build_columns(&columns)
                : step == PARTS ? build_parts(&columns, leaves, leaf)
                                : build_total(&columns, leaves);
        grain = step == WHOLE ? block_grain(&columns) : step == PARTS ? 1 : CHUNK_WORK;
    } while (domain->changed);
    lower_kernel_end(c, count, grain);
}

void lower_columns(LowerContext *c, const Group *group)
{
    Domain domain = domain_of(group);
    DimTable *dims = c->schedule->graph->dims;
    c->domain = &domain;
    if (!dim_is_const(group->dims[group->reduced.axis[0]], NULL)) {
        domain_cut(&domain, group->reduced.axis[0]); /* leaves count its indices */
    }
    if (group->scratch == NO_BUFFER) {
        lower_step(c, group, &domain, WHOLE, NULL, 0);
    } else {
        int64_t leaf = graph_sum_order(group->reductions.data[0]).leaf;
        const Dim *leaves = dim_ceildiv(dims, group->dims[0], dim_const(dims, leaf));
        lower_step(c, group, &domain, PARTS, leaves, leaf);
        lower_step(c, group, &domain, TOTAL, leaves, leaf);
    }
    c->domain = NULL;
}
