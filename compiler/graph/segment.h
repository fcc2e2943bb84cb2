/* Loops in segments: a loop of T turns as a loop over segments of about sqrt(T) turns. Their
 * gradient keeps the carries at the ends of the segments and the values of one segment. */
#ifndef NNC_GRAPH_SEGMENT_H
#define NNC_GRAPH_SEGMENT_H
#include "compiler/graph/graph.h"

/* A loop whose body is built and which nothing closes yet. */
typedef struct {
    LoopAttr attr; /* not conditional; its number is that of the body's carries and slices */
    Node *const *inits, *const *nexts;
    int count;
    Node *const *yields; /* values of every turn */
    int yield_count;
} OpenLoop;

/* How many turns a segment of `length` turns has; NULL: too few to be cut. Of a constant T a
 * divisor near sqrt(T) if there is one, else sqrt(T) rounded up; of any other SEGMENT_TURNS. */
enum { SEGMENT_TURNS = 32 };
const Dim *segment_length(DimTable *dims, const Dim *length);

/* Closes the loop: finals[count], stacks[yield_count] with the axis of time in front. The values
 * are to the bit those of one loop. `segment` NULL: it is one loop. False: graph->error. */
bool segment_close(Graph *g, const OpenLoop *loop, const Dim *segment, Node **finals,
                   Node **stacks);

#endif
