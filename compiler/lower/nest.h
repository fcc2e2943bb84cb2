/* The domain of a group cut into parts: runs of neighbouring axes that one loop walks. */
#ifndef NNC_LOWER_NEST_H
#define NNC_LOWER_NEST_H
#include "compiler/lower/context.h"

/* The axes of a group's domain, some split in two because an index needed the factors:
 *
 *   [B, 26, 26, 32] read at h / 2 and h mod 2    ->    [B, 13, 2, 26, 32], origin 0 1 1 2 3 */
typedef struct Domain {
    int rank;
    const Dim *dims[MAX_RANK];
    uint8_t origin[MAX_RANK]; /* axis of the group */
    bool cuts[MAX_RANK];      /* after axis i: parts end here */
    bool may_split;
    bool changed; /* while the kernel was built: build it again */
    bool split;   /* changed in its axes: segments of this attempt do not speak of them */
    const struct Nest *nest; /* the loops that are open */
} Domain;

/* A part: axes [first, first + count) of the domain and the index of its loop. */
typedef struct {
    uint8_t first, count;
    Index index; /* set by whoever runs the loop */
} Part;

typedef struct Nest {
    const Group *group;
    Domain domain; /* as it was when the parts were made */
    int count;
    Part parts[MAX_RANK];
    const Dim *sizes[MAX_RANK];
    bool reduced[MAX_RANK];
} Nest;

Domain domain_of(const Group *group);
void domain_cut(Domain *domain, int group_axis); /* after that axis */
/* Cuts after every axis with cuts[i]; kept and reduced axes are never in one part. The caller keeps
 * domain->nest current. */
Nest nest_cut(LowerContext *c, const Group *group, const Domain *domain);
/* The position in domain axes [first, first + count), which parts must cover exactly. False: they
 * do not. */
bool nest_range(LowerContext *c, const Nest *nest, int first, int count, Index *index);
const Place *nest_place(LowerContext *c, const Nest *nest); /* of a value of the domain's shape */
/* Of a value of the shape of the kept axes, some of size 1 added or left out. */
const Place *nest_kept_place(LowerContext *c, const Nest *nest, const Node *node);
int fit_lanes(int lanes,
              const Dim *extent); /* no more than a power of two that covers a constant extent */
/* Outputs of the shape of the kept axes: values, then stores, at the indices of the kept parts. */
void nest_kept_outputs(LowerContext *c, const Nest *nest);
bool is_kept_output(const Group *group, const Node *node);
/* The place of `node` whose axes that are not 1 are covered by these segments (over axes of `dims`)
 * in order. */
const Place *place_squeezed(LowerContext *c, const Node *node, const Dim *const *dims,
                            const Segment *segments, int count);

#endif
