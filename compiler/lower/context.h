/* What every lowering of a group works with: the kernel being built, dims as values, indices, and inlined values.
 *
 * The value of a node at an index is built by lower_value: it loads materialised nodes and computes inlined ones from their
 * operands. An index has `lanes` lanes; it is a list of segments, each the row-major position in a run of neighbouring axes:
 *
 *   [B, 28, 28] at one segment {0, 3, i}          the flat element i, as long as nobody needs the axes apart
 *   [B, 512]    at {0, 1, b} {1, 1, j + lane}     a row of neighbours: contiguous vector loads
 *
 * Values are memoised per block (lower_scope_*), so shared subexpressions are computed once. A kernel is built between
 * lower_kernel_begin and lower_kernel_end, which shares it with an equal one built before and adds the launch. */
#ifndef NNC_LOWER_CONTEXT_H
#define NNC_LOWER_CONTEXT_H
#include "compiler/lower/lower.h"

/* lane l has base + l * step (base a scalar i64), or lane l of `vector` when that is not NULL. With 1 lane: base only. */
typedef struct {
    KInst *base;
    int64_t step;
    KInst *vector;
} Index;

typedef struct {
    uint8_t first, count; /* axes */
    uint8_t domain_first, domain_count; /* the axes of the loop domain that it is the position in; count 0: something else */
    Index index;
} Segment;

/* The place of one element (per lane) of a tensor of `rank` axes. Interned: equal contents are the same pointer. */
typedef struct {
    int rank;
    const Dim *dims[MAX_RANK];
    int count;
    Segment segments[MAX_RANK];
} Place;

typedef struct LowerContext LowerContext;

typedef enum { ACCESS_READ = 1, ACCESS_WRITE = 2 } Access;

struct LowerContext {
    Arena *arena;
    const Schedule *schedule;
    const LowerOptions *options; /* no zeros: defaults filled in */
    KProgram *program;
    const Group *group;  /* the one being lowered */
    Kernel *kernel;      /* the one being built */
    KBuilder b;          /* where instructions go */
    int lanes;           /* of values being built now: 1 or more */
    KInst *mask;         /* i1 of `lanes`: lanes that exist; NULL: all */
    bool *cuts;          /* [MAX_RANK]: boundaries of domain axes (after axis i) that some index needed apart */
    struct LowerTables *tables; /* memo, interned places, buffers of the kernel: lower_value.c, lower.c */
};

/* Kernels and launches (lower.c) */
void lower_kernel_begin(LowerContext *c, const char *what);  /* "dot", "relu": part of the name */
/* Adds the launch over [0, count) items; grain: smallest chunk for a thread, 0: never split. */
void lower_kernel_end(LowerContext *c, const Dim *count, int64_t grain);
KInst *lower_begin(const LowerContext *c); /* the kernel's first item, i64 */
KInst *lower_end(const LowerContext *c);   /* one past its last */
/* The kernel's buffer for a buffer of the schedule; made on first use, access flags are joined. */
uint32_t lower_buffer(LowerContext *c, int32_t schedule_buffer, Access access);
KInst *lower_dim(LowerContext *c, const Dim *dim); /* i64 scalar; memoised */

/* Blocks: call open after kir_for / kir_if / kir_else, close before the end: forgets values made inside. */
void lower_scope_open(LowerContext *c);
void lower_scope_close(LowerContext *c);

/* Indices and places (lower_index.c) */
Index index_scalar(KInst *base);
Index index_lanes(KInst *base, int64_t step);
Index index_vector(KInst *vector);
KInst *index_value(LowerContext *c, Index index); /* scalar for 1 lane or when all lanes agree, else i64 vector */
Index index_add(LowerContext *c, Index x, Index y);
Index index_scale(LowerContext *c, Index x, const Dim *by);
/* A place with one index per axis. */
const Place *place_axes(LowerContext *c, int rank, const Dim *const *dims, const Index *axes);
/* A place of given segments, which cover the axes in order. */
const Place *place_segments(LowerContext *c, int rank, const Dim *const *dims, const Segment *segments, int count);
Index place_flat(LowerContext *c, const Place *place); /* row-major position in the whole tensor */
Index place_axis(LowerContext *c, const Place *place, int axis);
KInst *view_load(LowerContext *c, const View *view, const Index *axes); /* element of a view, c->lanes lanes, c->mask */

/* Values (lower_value.c) */
KInst *lower_value(LowerContext *c, const Node *node, const Place *place); /* scalar when all lanes agree: see lower_wide */
KInst *lower_wide(LowerContext *c, const Node *node, const Place *place);  /* always c->lanes lanes */
/* From here to the end of the scope, the value of node at place is `value` (an accumulator, a row's sum). */
void lower_known(LowerContext *c, const Node *node, const Place *place, KInst *value);
void lower_store(LowerContext *c, int32_t buffer, const Place *place, KInst *value); /* c->mask */
/* Epilogue: values of all outputs of the group whose shape is that of place, then their stores (so in-place is safe). */
void lower_outputs(LowerContext *c, const Group *group, const Place *place);
KInst *lower_load(LowerContext *c, int32_t buffer, Index flat); /* of a materialised buffer, c->lanes, c->mask */
KInst *lower_scalar(LowerContext *c, const Node *node, KInst *const *operands); /* elementwise op on values (lower_scalar.c) */

/* One lowering per kind of group */
void lower_loop(LowerContext *c, const Group *group);
void lower_reduce(LowerContext *c, const Group *group);
void lower_contract(LowerContext *c, const Group *group);       /* lower_contract.c */
void lower_contract_naive(LowerContext *c, const Group *group); /* lower_naive.c */
void lower_cumsum(LowerContext *c, const Group *group);
void lower_scatter(LowerContext *c, const Group *group);
void lower_call(LowerContext *c, const Group *group);
void lower_plan(LowerContext *c);

#endif
