/* The domain of a group cut into parts: runs of neighbouring axes that one loop walks. */
#ifndef NNC_LOWER_NEST_H
#define NNC_LOWER_NEST_H
#include "compiler/lower/context.h"

typedef struct {
    const Group *group;
    int count;
    Segment parts[MAX_RANK];     /* index: set by whoever runs the loop */
    const Dim *sizes[MAX_RANK];
    bool reduced[MAX_RANK];
} Nest;

/* Cuts after every axis i with cuts[i]; kept and reduced axes are never in one part. */
Nest nest_cut(LowerContext *c, const Group *group, const bool *cuts);
const Place *nest_place(LowerContext *c, const Nest *nest); /* of a value of the domain's shape */
/* Of a value of the shape of the kept axes, some of size 1 added or left out. */
const Place *nest_kept_place(LowerContext *c, const Nest *nest, const Node *node);
int fit_lanes(int lanes, const Dim *extent); /* no more than a power of two that covers a constant extent */
bool cuts_differ(const bool *a, const bool *b);
/* Outputs of the shape of the kept axes: values, then stores, at the indices of the kept parts. */
void nest_kept_outputs(LowerContext *c, const Nest *nest);
bool is_kept_output(const Group *group, const Node *node);

#endif
