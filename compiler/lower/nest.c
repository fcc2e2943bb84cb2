/* Domains cut into parts (nest.h), and places made of the indices of the parts.
 *
 *   [B, 26, 26, 32] reduced over 0,1,2   parts: {0, 3 axes, reduced} {3, 1 axis}
 *   a value [1, 32] of the kept axes     place: {axis 0: 0} {axis 1: index of the second part} */
#include "compiler/lower/nest.h"

#include "runtime/base/bug.h"

#include <string.h>

Domain domain_of(const Group *group)
{
    Domain domain = {.rank = group->rank, .may_split = true};
    memcpy(domain.dims, group->dims, sizeof domain.dims);
    for (int i = 0; i < group->rank; i++) {
        domain.origin[i] = (uint8_t)i;
    }
    return domain;
}

void domain_cut(Domain *domain, int group_axis)
{
    for (int i = 0; i < domain->rank; i++) {
        bool last = i + 1 == domain->rank || domain->origin[i + 1] != group_axis;
        domain->cuts[i] |= domain->origin[i] == group_axis && last;
    }
}

static bool is_reduced(const Group *group, int axis)
{
    for (int i = 0; i < group->reduced.count; i++) {
        if (group->reduced.axis[i] == axis) {
            return true;
        }
    }
    return false;
}

Nest nest_cut(LowerContext *c, const Group *group, const Domain *domain)
{
    Nest nest = {.group = group, .domain = *domain};
    for (int axis = 0; axis < domain->rank;) {
        int end = axis + 1;
        bool reduced = is_reduced(group, domain->origin[axis]);
        while (end < domain->rank && !domain->cuts[end - 1] &&
               is_reduced(group, domain->origin[end]) == reduced) {
            end++;
        }
        nest.parts[nest.count] = (Part){(uint8_t)axis, (uint8_t)(end - axis), index_scalar(NULL)};
        nest.sizes[nest.count] = lower_product(c, domain->dims, axis, end - axis);
        nest.reduced[nest.count++] = reduced;
        axis = end;
    }
    return nest;
}

static int part_starting(const Nest *nest, int axis)
{
    for (int i = 0; i < nest->count; i++) {
        if (nest->parts[i].first == axis) {
            return i;
        }
    }
    return -1;
}

bool nest_range(LowerContext *c, const Nest *nest, int first, int count, Index *index)
{
    int part = part_starting(nest, first), at = first;
    if (part < 0) {
        return false;
    }
    *index = nest->parts[part].index;
    for (at += nest->parts[part].count; at < first + count; at += nest->parts[part].count) {
        part++;
        *index = index_add(c, index_scale(c, *index, nest->sizes[part]), nest->parts[part].index);
    }
    return at == first + count;
}

/* Axis of the group -> first axis of the domain that came of it. */
static int domain_axis(const Domain *domain, int group_axis)
{
    int at = 0;
    while (at < domain->rank && domain->origin[at] < group_axis) {
        at++;
    }
    return at;
}

/* The shortest runs of the group's axes whose ends are ends of parts. */
static int nest_segments(LowerContext *c, const Nest *nest, Segment *out)
{
    const Domain *d = &nest->domain;
    int count = 0;
    for (int axis = 0; axis < nest->group->rank;) {
        int first = domain_axis(d, axis), end = axis + 1;
        Index index;
        while (!nest_range(c, nest, first, domain_axis(d, end) - first, &index)) {
            end++;
            NNC_ASSERT(end <= nest->group->rank);
        }
        uint8_t wide = (uint8_t)(domain_axis(d, end) - first);
        out[count++] = (Segment){(uint8_t)axis, (uint8_t)(end - axis), (uint8_t)first, wide, index};
        axis = end;
    }
    return count;
}

const Place *nest_place(LowerContext *c, const Nest *nest)
{
    Segment segments[MAX_RANK];
    int count = nest_segments(c, nest, segments);
    return place_segments(c, nest->group->rank, nest->group->dims, segments, count);
}

/* A run of axes of size 1 is at 0. Returns the axis behind it. */
static int skip_ones(LowerContext *c, const Node *node, int axis, Segment *out, int *count)
{
    int end = axis;
    while (end < node->type.rank && dim_is(node->type.dims[end], 1)) {
        end++;
    }
    if (end > axis) {
        out[(*count)++] = (Segment){(uint8_t)axis, (uint8_t)(end - axis), 0, 0,
                                    index_scalar(kir_index(&c->b, 0))};
    }
    return end;
}

const Place *place_squeezed(LowerContext *c, const Node *node, const Dim *const *dims,
                            const Segment *segments, int count)
{
    Segment out[2 * MAX_RANK];
    int made = 0, axis = 0;
    for (int i = 0; i < count; i++) {
        Segment s = segments[i];
        int left = 0;
        for (int k = s.first; k < s.first + s.count; k++) {
            left += !dim_is(dims[k], 1);
        }
        if (left == 0) {
            continue;
        }
        axis = skip_ones(c, node, axis, out, &made);
        s.first = (uint8_t)axis;
        while (left > 0) {
            NNC_ASSERT(axis < node->type.rank);
            left -= !dim_is(node->type.dims[axis++], 1);
        }
        s.count = (uint8_t)(axis - s.first);
        out[made++] = s;
    }
    axis = skip_ones(c, node, axis, out, &made);
    NNC_ASSERT(axis == node->type.rank);
    return place_segments(c, node->type.rank, node->type.dims, out, made);
}

const Place *place_units(LowerContext *c, const Node *node, const Place *place)
{
    return place_squeezed(c, node, place->dims, place->segments, place->count);
}

const Place *nest_kept_place(LowerContext *c, const Nest *nest, const Node *node)
{
    Nest kept = *nest;
    Segment all[MAX_RANK], segments[MAX_RANK];
    int count = 0;
    for (int i = 0; i < kept.count; i++) {
        if (kept.reduced[i]) {
            kept.parts[i].index =
                index_scalar(kir_index(&c->b, 0)); /* not looked at, but may be stale */
        }
    }
    int total = nest_segments(c, &kept, all);
    for (int i = 0; i < total; i++) {
        if (!is_reduced(nest->group, all[i].first)) {
            segments[count++] = all[i];
        }
    }
    return place_squeezed(c, node, nest->group->dims, segments, count);
}

bool is_kept_output(const Group *group, const Node *node)
{
    bool full = node->type.rank == group->rank && op_info[node->op].op_class != CLASS_REDUCE;
    for (int i = 0; full && i < group->rank; i++) {
        full = node->type.dims[i] == group->dims[i];
    }
    return !full;
}

void nest_kept_outputs(LowerContext *c, const Nest *nest)
{
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
            lower_store(c, group->outputs.data[i].buffer, nest_kept_place(c, nest, node),
                        values[i]);
        }
    }
}
