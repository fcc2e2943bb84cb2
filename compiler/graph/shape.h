/* What the shape rules share. A rule is given a node with op, src and attr set, and fills the type
 * of its result; or it returns the text of what is wrong, in the words of a user, allocated in the
 * graph's arena. */
#ifndef NNC_GRAPH_SHAPE_H
#define NNC_GRAPH_SHAPE_H
#include "compiler/graph/graph.h"

#define OP(e, text, lo, hi, cls, attr, flags, shape, grad, doc)                                    \
    const char *shape_##shape(Graph *graph, const Node *n, Type *out);
#include "compiler/graph/ops.def"

const char *shape_refuse(Graph *graph, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *shape_type_text(Graph *graph, const Type *type); /* "f32[B, 3]" */
const char *shape_dim_text(Graph *graph, const Dim *dim);
bool shape_equal(const Type *a, const Type *b); /* equal rank and dims; dtypes may differ */
const char *shape_overflow(Graph *graph);       /* the text for a NULL dim */
/* The integers of an index, a number of any kind, ... NULL: fine. */
const char *shape_want_numeric(Graph *graph, const Node *n, const Type *type);
const char *shape_want_axis(Graph *graph, const Type *type, int axis);
const char *shape_want_axes(Graph *graph, const Type *type, const Axes *axes, bool ascending);
const char *shape_pair_dtypes(Graph *graph, const Node *n); /* src 0 and 1 have one numeric dtype */
/* Size of an axis of a window or convolution: elements `size` with `gap`-1 zeros between, padding,
 * window of `taps` that are `dilate` apart, moved by `stride`. *text: what is wrong. */
typedef struct {
    const Dim *size, *taps, *low, *high;
    int64_t gap, dilate, stride;
} SlidingAxis;
const Dim *shape_sliding(Graph *graph, const SlidingAxis *axis, const char **text);

#endif
