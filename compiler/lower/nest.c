/* Domains cut into parts (nest.h), and places made of the indices of the parts.
 *
 *   [B, 26, 26, 32] reduced over 0,1,2     parts: {0, 3 axes, reduced} {3, 1 axis}
 *   a value [1, 32] of the kept axes       place: {axis 0: 0} {axis 1: the index of the second part} */
#include "compiler/lower/nest.h"

#include "runtime/base/bug.h"

#include <string.h>

static bool is_reduced(const Group *group, int axis) {
    for (int i = 0; i < group->reduced.count; i++) {
        if (group->reduced.axis[i] == axis) {
            return true;
        }
    }
    return false;
}

Nest nest_cut(LowerContext *c, const Group *group, const bool *cuts) {
    Nest nest = {.group = group};
    for (int axis = 0; axis < group->rank;) {
        int end = axis + 1;
        bool reduced = is_reduced(group, axis);
        while (end < group->rank && !cuts[end - 1] && is_reduced(group, end) == reduced) {
            end++;
        }
        uint8_t first = (uint8_t)axis, count = (uint8_t)(end - axis);
        nest.parts[nest.count] = (Segment){first, count, first, count, index_scalar(NULL)};
        nest.sizes[nest.count] = lower_product(c, group->dims, axis, end - axis);
        nest.reduced[nest.count++] = reduced;
        axis = end;
    }
    return nest;
}

bool cuts_differ(const bool *a, const bool *b) {
    return memcmp(a, b, sizeof *a * MAX_RANK) != 0;
}

const Place *nest_place(LowerContext *c, const Nest *nest) {
    return place_segments(c, nest->group->rank, nest->group->dims, nest->parts, nest->count);
}

static int part_of(const Nest *nest, int axis) {
    int part = 0;
    while (axis >= nest->parts[part].first + nest->parts[part].count) {
        part++;
    }
    return part;
}

/* The kept axes of the domain that are not 1 by constant, in order. */
static int kept_axes(const Nest *nest, int *axes) {
    int count = 0;
    for (int i = 0; i < nest->group->rank; i++) {
        if (!is_reduced(nest->group, i) && !dim_is(nest->group->dims[i], 1)) {
            axes[count++] = i;
        }
    }
    return count;
}

const Place *nest_kept_place(LowerContext *c, const Nest *nest, const Node *node) {
    Segment segments[MAX_RANK];
    int axes[MAX_RANK], count = 0, next = 0, open = -1, kept = kept_axes(nest, axes);
    for (int axis = 0; axis < node->type.rank; axis++) {
        bool one = dim_is(node->type.dims[axis], 1);
        int part = one ? open : part_of(nest, axes[next]);
        NNC_ASSERT(one || next < kept);
        if (count > 0 && part == open) {
            segments[count - 1].count++;
        } else {
            Index index = one ? index_scalar(kir_index(&c->b, 0)) : nest->parts[part].index;
            segments[count++] = (Segment){(uint8_t)axis, 1, 0, 0, index};
        }
        open = part;
        next += !one;
    }
    return place_segments(c, node->type.rank, node->type.dims, segments, count);
}

bool is_kept_output(const Group *group, const Node *node) {
    bool full = node->type.rank == group->rank && op_info[node->op].op_class != CLASS_REDUCE;
    for (int i = 0; full && i < group->rank; i++) {
        full = node->type.dims[i] == group->dims[i];
    }
    return !full;
}

void nest_kept_outputs(LowerContext *c, const Nest *nest) {
    const Group *group = nest->group;
    KInst **values = ARENA_ARRAY(c->arena, KInst *, group->outputs.count);
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        const Node *node = group->outputs.data[i].node;
        if (is_kept_output(group, node)) {
            values[i] = lower_value(c, node, nest_kept_place(c, nest, node));
        }
    }
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        if (values[i] != NULL) {
            const Node *node = group->outputs.data[i].node;
            lower_store(c, group->outputs.data[i].buffer, nest_kept_place(c, nest, node), values[i]);
        }
    }
}
