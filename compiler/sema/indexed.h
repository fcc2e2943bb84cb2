/* Tensors whose axes have names: what index statements, einsum and the einops patterns are made of.
 * Private to compiler/sema.
 *
 *   q[b, t, d] * k[b, u, d]    two Labelled, axes {b t d} and {b u d}; contracted over d: {b t u}
 *
 * An index is a number in the table of its Indexing; sets of indices are bit masks. */
#ifndef NNC_SEMA_INDEXED_H
#define NNC_SEMA_INDEXED_H
#include "compiler/sema/internal.h"

enum { MAX_INDICES = 32 };

typedef uint32_t IndexSet;

typedef struct {
    const char *name;
    const Dim *size; /* NULL: not known yet */
    Span span;       /* what gave the size */
} Index;

/* A value of an expression that is read more than once. */
typedef struct {
    const AstExpr *expr;
    Value value;
} KnownValue;

typedef struct {
    Sema *s;
    Index index[MAX_INDICES];
    int count;
    IndexSet kept; /* stand on the left */
    VEC(KnownValue) known;
    bool failed; /* an error was reported */
} Indexing;

/* Axis i of the node runs over index[i]; a constant or a scalar has no axes. POISON: an error was
 * reported. */
typedef struct {
    Value value;
    int count;
    int index[MAX_RANK];
} Labelled;

extern const Labelled labelled_poison;

/* ---- indexed_dot.c ---- */
IndexSet labelled_set(const Labelled *v);
/* v with its axes in the order of `order` (which holds all of them); missing axes have size 1, or
 * are repeated when `full`. */
Node *labelled_spread(Indexing *ix, const Labelled *v, const int *order, int count, bool full);
/* The indices of a set in ascending order. False: more than a tensor has axes, reported. */
bool index_order(Indexing *ix, IndexSet set, int *order, int *count, Span span);
Labelled labelled_binary(Indexing *ix, AstBinary op, const Labelled *a, const Labelled *b,
                         Span span);
Labelled labelled_reduce(Indexing *ix, const Labelled *v, OpCode op, IndexSet over, Span span);
/* The sum over all indices outside of `kept` of the product of tensors, multiplied in the order
 * that costs least. */
Labelled labelled_product(Indexing *ix, Labelled *factors, int count, IndexSet kept, Span span);

/* ---- indexed_take.c ---- */
bool index_mentions(const Indexing *ix, const AstExpr *expr);
int index_find(const Indexing *ix, const char *name); /* -1: it is none */
Value index_known(Indexing *ix, const AstExpr *expr); /* evaluated at the first use */
/* Sizes that x[2*t + k] gives to its indices; true: something new became known. */
bool index_infer_plain(Indexing *ix, const AstExpr *access);
bool index_infer_affine(Indexing *ix, const AstExpr *access);
bool index_check(
    Indexing *ix,
    const AstExpr *access); /* reports what is wrong with the number of indices; false */
Labelled index_take(Indexing *ix, const AstExpr *access);

/* A tensor while its axes are being named. */
typedef struct {
    const AstExpr *item; /* what is to be done with the axis; NULL: done */
    int label;
} Axis;

typedef struct {
    Node *x;
    int rank;
    Axis axis[2 * MAX_RANK];
} Taken;

/* Axis `at` becomes axes with these indices. False: they are too many, reported. */
bool taken_replace(Indexing *ix, Taken *t, int at, const int *labels, int count, Span span);

/* ---- indexed_gather.c ---- */
bool index_gather(Indexing *ix, Taken *t, int at, const AstExpr *item);

/* ---- indexed.c ---- */
Labelled index_part(Indexing *ix, const AstExpr *expr);

#endif
