/* Loops over a domain, and GROUP_LOOP: elementwise chains, moves, windows and gathers in one pass.
 *
 * The domain is cut into parts of neighbouring axes that no index needs apart. The kernel is first
 * built as if there were one part; an index that must look inside notes a cut, and the kernel is
 * built again:
 *
 *   relu(x)               [B, 26, 26, 32]     one part: items are elements
 *   x + expand(bias)      [B, 26, 26 | 32]    items are rows, the lanes run over 32
 *
 * One part: a chunk is a run of elements. Several: an item is one index of the outer parts, the
 * last part is the vector loop. The rest of a row that fills no vector is one masked step with the
 * same operations, hence the same bits. */
#include "compiler/lower/nest.h"
#include "compiler/lower/tables.h"

#include "runtime/base/bug.h"

#include <string.h>

enum { CHUNK_ELEMENTS = 32768, LEAST_CHUNK = 4096, CHEAP_KERNEL = 32, COSTLY_CHUNK = 2048 };

/* ---- lanes ---- */

static size_t wider(size_t bytes, DType dtype)
{
    return dtype_bytes(dtype) > bytes ? dtype_bytes(dtype) : bytes;
}

int lower_lanes(const LowerContext *c, const Group *group)
{
    size_t bytes = 4;
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        bytes = wider(bytes, c->schedule->buffers.data[group->outputs.data[i].buffer].type.dtype);
    }
    for (uint32_t i = 0; i < group->operands.count; i++) {
        if (dtype_is_float(group->operands.data[i]->type.dtype)) {
            bytes = wider(bytes, group->operands.data[i]->type.dtype);
        }
    }
    return c->options->vector_bytes / (int)bytes;
}

/* Lanes for an axis: no more than a power of two that covers it. */
int fit_lanes(int lanes, const Dim *extent)
{
    int64_t size;
    if (dim_is_const(extent, &size)) {
        while (lanes > 1 && lanes / 2 >= size) {
            lanes /= 2;
        }
    }
    return lanes;
}

static void one_step(LowerContext *c, KInst *base, KInst *mask, int lanes, LaneBody *body,
                     void *user)
{
    int kept_lanes = c->lanes;
    KInst *kept_mask = c->mask;
    c->lanes = lanes;
    c->mask = mask;
    body(c, user, lanes == 1 ? index_scalar(base) : index_lanes(base, 1));
    c->lanes = kept_lanes;
    c->mask = kept_mask;
}

static void full_steps(LowerContext *c, KInst *low, KInst *high, int lanes, LaneBody *body,
                       void *user)
{
    KInst *loop = kir_for(&c->b, low, high, lanes, NULL, 0);
    lower_scope_open(c);
    one_step(c, kir_loop_arg(loop, 0), NULL, lanes, body, user);
    lower_scope_close(c);
    kir_end_for(&c->b, loop, NULL);
}

static void last_step(LowerContext *c, KInst *base, KInst *high, int lanes, LaneBody *body,
                      void *user)
{
    KInst *branch = kir_if(&c->b, kir_binary(&c->b, K_LT, base, high));
    lower_scope_open(c);
    one_step(c, base, lane_mask(c, base, high, lanes), lanes, body, user);
    lower_scope_close(c);
    kir_else(&c->b, branch, NULL, 0);
    kir_end_if(&c->b, branch, NULL, 0);
}

void lower_lane_loop(LowerContext *c, KInst *low, KInst *high, int lanes, LaneBody *body,
                     void *user)
{
    int64_t first = 0, end = 0;
    bool constant = kir_constant(low, &first) && kir_constant(high, &end);
    if (constant && end <= first) {
        return;
    }
    if (constant && end - first <= lanes) {
        one_step(c, low, lane_mask(c, low, high, lanes), lanes, body, user);
        return;
    }
    if (lanes == 1 || (constant && (end - first) % lanes == 0)) {
        full_steps(c, low, high, lanes, body, user);
        return;
    }
    KInst *length = kir_binary(&c->b, K_SUB, high, low);
    KInst *rounded = kir_binary(&c->b, K_AND, length, kir_index(&c->b, -(int64_t)lanes));
    KInst *middle = kir_binary(&c->b, K_ADD, low, rounded);
    full_steps(c, low, middle, lanes, body, user);
    if (constant) {
        one_step(c, middle, lane_mask(c, middle, high, lanes), lanes, body, user);
    } else {
        last_step(c, middle, high, lanes, body, user);
    }
}

void lower_split_index(LowerContext *c, KInst *flat, const Dim *const *sizes, int count,
                       KInst **out)
{
    for (int i = count - 1; i > 0; i--) {
        int64_t size;
        if (dim_is_const(sizes[i], &size) && size <= 1) {
            out[i] = kir_index(&c->b, 0);
            continue;
        }
        KInst *divisor = lower_dim(c, sizes[i]);
        out[i] = kir_binary(&c->b, K_IMOD, flat, divisor);
        flat = kir_binary(&c->b, K_IDIV, flat, divisor);
    }
    if (count > 0) {
        out[0] = flat;
    }
}

/* ---- the loop of a group ---- */

static void store_lanes(LowerContext *c, void *user, Index index)
{
    Nest *nest = user;
    if (nest->count > 0) {
        nest->parts[nest->count - 1].index = index;
    }
    lower_outputs(c, nest->group, nest_place(c, nest));
}

/* Values that are the same everywhere are made before the loop. */
static void hoist_scalars(LowerContext *c, const Node *node, uint8_t *seen)
{
    if (seen[node->id] || !lower_computes(c, node)) {
        return;
    }
    seen[node->id] = 1;
    if (node->type.rank == 0 && op_info[node->op].op_class != CLASS_REDUCE &&
        op_info[node->op].op_class != CLASS_CONTRACT && !(op_info[node->op].flags & FLAG_FAILS)) {
        lower_value(c, node, place_axes(c, 0, NULL, NULL));
        return;
    }
    for (int i = 0; i < node->nsrc; i++) {
        hoist_scalars(c, node->src[i], seen);
    }
}

static void hoist_group(LowerContext *c, const Group *group)
{
    uint8_t *seen = ARENA_ARRAY(c->arena, uint8_t, c->schedule->graph->nodes.count);
    for (uint32_t i = 0; group->rank > 0 && i < group->outputs.count; i++) {
        hoist_scalars(c, group->outputs.data[i].node, seen);
    }
}

static void build_items(LowerContext *c, Nest *nest, int lanes)
{
    int outer = nest->count - 1;
    KInst *indices[MAX_RANK];
    KInst *loop = kir_for(&c->b, lower_begin(c), lower_end(c), 1, NULL, 0);
    lower_scope_open(c);
    lower_split_index(c, kir_loop_arg(loop, 0), nest->sizes, outer, indices);
    for (int i = 0; i < outer; i++) {
        nest->parts[i].index = index_scalar(indices[i]);
    }
    lower_lane_loop(c, kir_index(&c->b, 0), lower_dim(c, nest->sizes[outer]), lanes, store_lanes,
                    nest);
    lower_scope_close(c);
    kir_end_for(&c->b, loop, NULL);
}

static void build_loop(LowerContext *c, const Group *group, Nest *nest)
{
    hoist_group(c, group);
    int lanes =
        nest->count == 0 ? 1 : fit_lanes(lower_lanes(c, group), nest->sizes[nest->count - 1]);
    if (nest->count > 0) {
        lower_dim(c, nest->sizes[nest->count - 1]);
    }
    if (nest->count <= 1) {
        lower_lane_loop(c, lower_begin(c), lower_end(c), lanes, store_lanes, nest);
    } else {
        build_items(c, nest, lanes);
    }
}

/* Elements that are worth handing out: fewer of those that cost many instructions each, such as the
 * gates of a recurrent cell. */
static int64_t chunk_elements(const LowerContext *c)
{
    uint32_t instructions = c->kernel->next_id;
    int64_t elements = CHUNK_ELEMENTS;
    for (; instructions > CHEAP_KERNEL && elements > COSTLY_CHUNK; instructions /= 2) {
        elements /= 2;
    }
    return elements;
}

/* Work of one chunk: enough elements that handing it out does not matter. */
static int64_t loop_grain(const LowerContext *c, const Nest *nest)
{
    int64_t row, chunk = chunk_elements(c);
    if (nest->count <= 1) {
        return chunk;
    }
    if (!dim_is_const(nest->sizes[nest->count - 1], &row)) {
        return CHUNK_ELEMENTS / LEAST_CHUNK;
    }
    return row >= chunk ? 1 : row < 1 ? chunk : chunk / row;
}

static void copy_lanes(LowerContext *c, void *user, Index index)
{
    const Group *group = user;
    uint32_t from = lower_buffer(c, group->copy_from, ACCESS_READ);
    uint32_t to = lower_buffer(c, group->outputs.data[0].buffer, ACCESS_WRITE);
    KInst *value = kir_load(&c->b, from, index.base, c->lanes, c->mask);
    kir_store(&c->b, to, index.base, value, c->mask);
}

static void lower_copy(LowerContext *c, const Group *group)
{
    lower_kernel_begin(c, "copy");
    lower_lane_loop(c, lower_begin(c), lower_end(c), lower_lanes(c, group), copy_lanes,
                    (void *)group);
    lower_kernel_end(c, lower_product(c, group->dims, 0, group->rank), CHUNK_ELEMENTS);
}

static void zero_lanes(LowerContext *c, void *user, Index index)
{
    const Group *group = user;
    int32_t buffer = group->outputs.data[0].buffer;
    DType dtype = c->schedule->buffers.data[buffer].type.dtype;
    KInst *zero = dtype_is_float(dtype) ? kir_float(&c->b, dtype, 0) : kir_int(&c->b, dtype, 0);
    kir_store(&c->b, lower_buffer(c, buffer, ACCESS_WRITE), index.base,
              kir_splat(&c->b, zero, c->lanes), c->mask);
}

static void lower_zeros(LowerContext *c, const Group *group)
{
    lower_kernel_begin(c, "zeros");
    lower_lane_loop(c, lower_begin(c), lower_end(c), lower_lanes(c, group), zero_lanes,
                    (void *)group);
    lower_kernel_end(c, lower_product(c, group->dims, 0, group->rank), CHUNK_ELEMENTS);
}

void lower_loop(LowerContext *c, const Group *group)
{
    Domain domain = domain_of(group);
    Nest nest;
    if (group->zeros) {
        lower_zeros(c, group);
        return;
    }
    if (group->copy_from != NO_BUFFER) {
        lower_copy(c, group);
        return;
    }
    if (lower_transpose(c, group)) {
        return;
    }
    c->domain = &domain;
    do {
        if (domain.changed) {
            lower_kernel_drop(c);
        }
        domain.changed = domain.split = false;
        lower_kernel_begin(c, op_info[group->outputs.data[0].node->op].text);
        nest = nest_cut(c, group, &domain);
        domain.nest = &nest;
        build_loop(c, group, &nest);
    } while (domain.changed);
    c->domain = NULL;
    int outer = nest.count > 1 ? nest.count - 1 : nest.count;
    lower_kernel_end(c, lower_product(c, nest.sizes, 0, outer), loop_grain(c, &nest));
}
