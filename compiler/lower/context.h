/* What every lowering of a group works with: the kernel being built, dims as values, indices, and
 * inlined values.
 *
 * The value of a node at an index is built by lower_value: it loads materialised nodes and computes
 * inlined ones from their operands. An index has `lanes` lanes; it is a list of segments, each the
 * row-major position in a run of neighbouring axes:
 *
 *   [B, 28, 28] at {0, 3, i}                    the flat element i: nobody needs the axes apart
 *   [B, 512]    at {0, 1, b} {1, 1, j + lane}   a row of neighbours: contiguous vector loads
 *
 * Values are memoised per block (lower_scope_*), so shared subexpressions are computed once. A
 * kernel is built between lower_kernel_begin and lower_kernel_end, which shares it with an equal
 * one built before and adds the launch. */
#ifndef NNC_LOWER_CONTEXT_H
#define NNC_LOWER_CONTEXT_H
#include "compiler/lower/lower.h"

/* lane l has base + l * step (base a scalar i64), or lane l of `vector` when that is not NULL. With
 * 1 lane: base only. */
typedef struct {
    KInst *base;
    int64_t step;
    KInst *vector;
} Index;

typedef struct {
    uint8_t first, count;               /* axes */
    uint8_t domain_first, domain_count; /* the axes of the Domain that it is the position in; count
                                           0: something else */
    Index index;
} Segment;

/* The place of one element (per lane) of a tensor of `rank` axes. Interned: equal contents are the
 * same pointer. */
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
    const Group *group; /* the one being lowered */
    Kernel *kernel;     /* the one being built */
    KBuilder b;         /* where instructions go */
    int lanes;          /* of values being built now: 1 or more */
    KInst *mask;        /* i1 of `lanes`: lanes that exist; NULL: all */
    KInst *guard;       /* scalar i1: false where nothing may be loaded; NULL: always */
    struct Domain
        *domain; /* of the loops being built (nest.h), NULL: none that indices may ask to be cut */
    struct LowerTables *tables; /* memo, interned places, buffers of the kernel: tables.h */
};

/* Kernels and launches (lower.c) */
void lower_kernel_begin(LowerContext *c, const char *what); /* "dot", "relu": part of the name */
/* Adds the launch over [0, count) items; grain: smallest chunk for a thread, 0: never split. */
void lower_kernel_end(LowerContext *c, const Dim *count, int64_t grain);
KInst *lower_begin(const LowerContext *c); /* the kernel's first item, i64 */
KInst *lower_end(const LowerContext *c);   /* one past its last */
/* The kernel's buffer for a buffer of the schedule; made on first use, access flags are joined. */
void lower_kernel_drop(LowerContext *c); /* forgets the kernel: it is built again another way */
uint32_t lower_site(LowerContext *c,
                    const Node *node); /* failure site of a check, division or index */
uint32_t lower_buffer(LowerContext *c, int32_t schedule_buffer, Access access);
KInst *lower_dim(LowerContext *c, const Dim *dim); /* i64 scalar; memoised */

/* Blocks: call open after kir_for / kir_if / kir_else, close before the end: forgets values made
 * inside. */
void lower_scope_open(LowerContext *c);
void lower_scope_close(LowerContext *c);

/* Loops over the parts of a domain (lower_loop.c) */
int lower_lanes(const LowerContext *c,
                const Group *group); /* lanes of the widest element type, at least of 4 bytes */
const Dim *lower_product(LowerContext *c, const Dim *const *dims, int first, int count);
/* The body for lanes [base, base + lanes) of an axis: full vectors in a loop, then one masked rest.
 * `body` emits for the index given, with c->lanes and c->mask set. low and high are i64 scalars. */
typedef void LaneBody(LowerContext *c, void *user, Index index);
void lower_lane_loop(LowerContext *c, KInst *low, KInst *high, int lanes, LaneBody *body,
                     void *user);
/* Row-major position -> one index per part; the first one takes what is left. */
void lower_split_index(LowerContext *c, KInst *flat, const Dim *const *sizes, int count,
                       KInst **out);

/* Indices and places (lower_index.c) */
Index index_scalar(KInst *base);
Index index_lanes(KInst *base, int64_t step);
Index index_vector(KInst *vector);
KInst *index_value(LowerContext *c,
                   Index index); /* scalar for 1 lane or when all lanes agree, else i64 vector */
Index index_add(LowerContext *c, Index x, Index y);
Index index_scale(LowerContext *c, Index x, const Dim *by);
KInst *lane_mask(LowerContext *c, KInst *base, KInst *high,
                 int lanes); /* base + lane < high; NULL when all are, surely */
/* A place with one index per axis. */
const Place *place_axes(LowerContext *c, int rank, const Dim *const *dims, const Index *axes);
/* A place of given segments, which cover the axes in order. */
const Place *place_segments(LowerContext *c, int rank, const Dim *const *dims,
                            const Segment *segments, int count);
Index place_flat(LowerContext *c, const Place *place); /* row-major position in the whole tensor */
Index place_axis(LowerContext *c, const Place *place, int axis);
KInst *view_load(LowerContext *c, const View *view,
                 const Index *axes); /* element of a view, c->lanes lanes, c->mask */

/* Axes [first, first + count) of a place as segments whose first axis is `to`, in as few pieces as
 * possible. Returns how many. */
int place_take(LowerContext *c, const Place *place, int first, int count, int to, Segment *out);
/* The same element of a tensor that differs in axes of size 1 only. */
const Place *place_units(LowerContext *c, const Node *node, const Place *place);
bool place_is_uniform(const Place *place);
/* The place of the operand that a move shows at `place` (reshape permute expand slice reverse). */
const Place *place_move(LowerContext *c, const Node *move, const Place *place);

/* Values (lower_value.c) */
KInst *lower_value(LowerContext *c, const Node *node,
                   const Place *place); /* scalar when all lanes agree: see lower_wide */
KInst *lower_wide(LowerContext *c, const Node *node,
                  const Place *place); /* always c->lanes lanes */
/* From here to the end of the scope, the value of node at the element being computed is `value` (an
 * accumulator, a row's sum). Groups are formed so that their members read it nowhere else. One
 * scope per element or vector of elements. */
void lower_known(LowerContext *c, const Node *node, KInst *value);
void lower_store(LowerContext *c, int32_t buffer, const Place *place, KInst *value); /* c->mask */
/* Epilogue: values of all outputs of the group whose shape is that of place, then their stores (so
 * in-place is safe). */
void lower_outputs(LowerContext *c, const Group *group, const Place *place);
KInst *lower_load(LowerContext *c, int32_t buffer,
                  Index flat); /* of a materialised buffer, c->lanes, c->mask */
KInst *lower_active(LowerContext *c, KInst *condition); /* condition and mask and guard */
/* Until lower_widen: nothing is loaded where condition (i1, one or c->lanes lanes) is false. */
typedef struct {
    KInst *mask, *guard;
} Narrowing;
Narrowing lower_narrow(LowerContext *c, KInst *condition);
void lower_widen(LowerContext *c, Narrowing saved);
void lower_mark_stored(LowerContext *c,
                       const Node *node); /* a stage of this kernel: from now on it is loaded */
bool lower_computes(const LowerContext *c,
                    const Node *node); /* is it inlined or made in this kernel, not loaded? */
KInst *lower_scalar(LowerContext *c, const Node *node,
                    KInst *const *operands); /* elementwise op on values (lower_scalar.c) */
KInst *lower_combine(LowerContext *c, OpCode op, KInst *acc,
                     KInst *x); /* one step of a reduction: sum prod amax .. any */
KInst *lower_better(LowerContext *c, bool smallest, KInst *x, KInst *best,
                    KInst *at);                                 /* argmax: at < 0: none yet */
KInst *lower_identity(LowerContext *c, OpCode op, DType dtype); /* scalar */
KInst *lower_random(LowerContext *c, const Node *node, const Place *place); /* lower_random.c */
KInst *lower_window(LowerContext *c, const Node *node, const Place *place); /* lower_window.c */
KInst *lower_gather(LowerContext *c, const Node *node, const Place *place); /* lower_scatter.c */
KInst *lower_pad(LowerContext *c, const Node *node, const Place *place);    /* lower_edge.c */
KInst *lower_concat(LowerContext *c, const Node *node, const Place *place);

/* One lowering per kind of group */
void lower_loop(LowerContext *c, const Group *group);
bool lower_transpose(
    LowerContext *c,
    const Group *group); /* a LOOP that only turns axes; false: it is another one */
void lower_reduce(LowerContext *c, const Group *group); /* innermost axis reduced, or else: */
void lower_columns(LowerContext *c, const Group *group);
void lower_contract(LowerContext *c, const Group *group); /* lower_contract.c */
void lower_hoisted(LowerContext *c, const Group *group);  /* the packing that runs before a loop */
void lower_contract_naive(LowerContext *c, const Group *group); /* lower_naive.c */
void lower_cumsum(LowerContext *c, const Group *group);
void lower_sort(LowerContext *c, const Group *group);
void lower_scatter(LowerContext *c, const Group *group);
void lower_call(LowerContext *c, const Group *group);
void lower_plan(LowerContext *c);

#endif
