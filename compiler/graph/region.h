/* Regions: which nodes belong to which loop or side of a branch.
 *
 * Bodies are not graphs of their own. A node is inside of a loop because it depends, through
 * operands, on a carry or an at of that loop; inside of a side of a branch because it depends on an
 * enter of it. `loop` and `branch` close what is inside: they depend on what their body depends on
 * otherwise. So the regions of a graph are a tree, and a node that does not depend on a loop is
 * outside of it wherever it was written: nothing has to be moved out.
 *
 *   %0 = input {x} : f32[T, 3]
 *   %1 = const {0} : f32[3]
 *   %2 = carry {0, 0} : f32[3]              region 1, the loop
 *   %3 = at %0 {0} : f32[3]                 region 1
 *   %4 = add %2 %3 : f32[3]                 region 1
 *   %5 = loop %1 %4 {0, length = T} : bool
 *   %6 = stack %5 %4 : f32[T, 3]            the running sums
 *
 * `stack` is where the loop is, although it reads a node of the body; a loop is inside of what its
 * stacked values need, too, even when its carries do not. What a region reads from outside has a
 * smaller id than the node that closes the region: so the nodes of each region in ascending order,
 * with an inner region in the place of the node that closes it, are an order of evaluation. */
#ifndef NNC_GRAPH_REGION_H
#define NNC_GRAPH_REGION_H
#include "compiler/graph/graph.h"

typedef enum { REGION_OUTSIDE, REGION_LOOP, REGION_THEN, REGION_ELSE } RegionKind;

typedef struct {
    RegionKind kind;
    uint32_t parent;    /* a smaller index; of the outside: 0 */
    uint32_t depth;     /* 0: the outside */
    const Node *closer; /* the loop or branch; NULL: the outside */
} Region;

typedef struct {
    Region *list; /* list[0] is the outside; both sides of a branch are there, THEN before ELSE */
    uint32_t count;
    uint32_t *of; /* per node id its region; dead nodes: 0 */
} Regions;

/* The regions of the live nodes, in `arena`. NULL: the graph is not sound, *wrong (arena) says
 * why. */
Regions *regions_find(const Graph *graph, const uint8_t *live, Arena *arena, const char **wrong);
/* The same for a graph that is known to be sound. */
Regions *regions_of(const Graph *graph, const uint8_t *live, Arena *arena);
/* The same for a part of a graph that is being built: loops and branches that nothing closes yet
 * are part of the outside. */
Regions *regions_so_far(const Graph *graph, const uint8_t *live, Arena *arena);
/* Is region `inner` the region `outer` or somewhere inside of it? */
bool region_within(const Regions *regions, uint32_t inner, uint32_t outer);
/* The innermost region around both. */
uint32_t region_common(const Regions *regions, uint32_t a, uint32_t b);
/* The region that this loop, or this side of this branch, closes. */
uint32_t region_closed_by(const Regions *regions, const Node *closer, BranchSide side);

/* Per number below graph->next_loop the live loop or branch with it, or NULL. */
const Node **graph_closers(const Graph *graph, const uint8_t *live, Arena *arena);
/* The graph has loops or branches among its live nodes. */
bool graph_has_regions(const Graph *graph, const uint8_t *live);
/* The number of a loop or branch in the attribute of a node that opens or closes one, or NULL. */
uint32_t *region_number(Attr *attr);
bool loop_is_bounded(const LoopAttr *loop);

#endif
