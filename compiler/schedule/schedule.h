/* The schedule: which values of a final graph exist in memory, which kernel makes each of them, in
 * which order, and where.
 *
 * A value is either materialised (it has a buffer and a group that writes it) or inlined (its
 * consumers compute it again, as part of their own kernels). A group becomes one kernel, or a few:
 *
 *   group 3 loop [B, 512] -> %14 in arena.2 reads ..        relu(x + b), one pass
 *   group 4 reduce [B, 10] over 1: amax %20, sum %24 ..     softmax: stages of a row, one kernel
 *   group 5 contract [B, 512] dot %30 -> %34 in arena.5     a dot with its epilogue
 *
 * Groups are stored in execution order. Legality (checked in Debug and in tests): a group reads
 * what earlier groups wrote, or what it wrote itself at the same element; memcheck.c proves that
 * live buffers do not overlap.
 *
 * Loops and branches are regions over that one list: neighbouring groups that run again and again,
 * or only when a condition holds. A carried value is a buffer that is written before the loop and
 * again in every iteration; x[t] and the place of a stacked value are slices of buffers, which
 * kernels cannot tell from buffers:
 *
 *   group 0 loop [B, 8] -> %4 in arena.3                       the first value of a carry
 *   loop t1 < T {
 *     group 1 contract [B, 8] dot %9 -> %11 in arena.6[t1], %11 in arena.3 reads input {x}[t1], ..
 *   }
 *
 * Ownership: everything lives in the arena given to schedule_build; nodes and dims belong to the
 * graph. */
#ifndef NNC_SCHEDULE_SCHEDULE_H
#define NNC_SCHEDULE_SCHEDULE_H
#include "compiler/graph/graph.h"
#include "compiler/graph/order.h"
#include "compiler/graph/region.h"

enum { NO_BUFFER = -1, NO_GROUP = -1, NO_REGION = -1 };

typedef enum {
    STORAGE_INPUT, /* external, in the order of nnc_call.buffers: inputs, params, states, outputs */
    STORAGE_PARAM,
    STORAGE_STATE,
    STORAGE_OUTPUT,
    STORAGE_CONSTANT, /* a literal of the graph */
    STORAGE_ARENA,
    STORAGE_SLICE /* index t along axis 0 of another buffer, t of a loop */
} StorageKind;

typedef struct {
    StorageKind kind;
    const char *name; /* externals: of the leaf or the root */
    Type type;        /* dense and row-major, always */
    const Dim *bytes; /* ARENA: rounded up to a multiple of 64 */
    const void *data; /* CONSTANT */
    size_t data_bytes;
    bool carried;   /* written before a loop and again in its iterations */
    int32_t base;   /* SLICE: of which buffer, itself of any kind; it lies t * bytes after its start
                       (not rounded) */
    int32_t region; /* SLICE: the loop that t belongs to. ARENA: the innermost region that holds all
                       groups that touch it; in regions inside of that it lives from end to end */
    /* ARENA: live from the group `first` to the group `last`, both included (positions in the
     * execution order). */
    int32_t first, last;
    /* ARENA: shares the memory of this buffer, which dies in the group that makes this one (in
     * place); NO_BUFFER: none. */
    int32_t in_place_of;
    /* ARENA: the closed form of the offset: the largest of (offset + bytes) over `below`, 0 when
     * there is none. */
    VEC(uint32_t) below;
    int64_t hint_offset; /* at the hint values of the free dimensions */
} Buffer;

/* An affine window on a buffer: element [i0, i1, ..] is at offset + sum of i * stride, in elements.
 * Stride 0 repeats, a negative stride runs backwards. */
typedef struct {
    int32_t buffer;
    DType dtype; /* of the buffer: f16 or bf16 where the reader widens what it loads */
    int rank;
    const Dim *dims[MAX_RANK];
    const Dim *offset;
    const Dim *stride[MAX_RANK];
} View;

typedef enum {
    GROUP_LOOP, /* elementwise, moves, windows, gathers: every output has the shape of the domain */
    GROUP_REDUCE,   /* reductions of the domain over `reduced`, with what follows from them at the
                       same kept index */
    GROUP_CONTRACT, /* one dot or conv; the outputs are elementwise functions of it (the epilogue)
                       or itself */
    GROUP_CUMSUM,
    GROUP_SORT, /* its scratch holds the indices of a merge, in the shape of the result */
    GROUP_SCATTER,
    GROUP_CALL,
    GROUP_KINDS
} GroupKind;

typedef struct {
    Node *node;
    int32_t buffer; /* one node may be written to several buffers */
} GroupOutput;

typedef struct {
    GroupKind kind;
    const Node *node; /* CONTRACT CUMSUM SORT SCATTER CALL: the operation */
    int rank; /* the domain: of loops (LOOP), of what is reduced (REDUCE), of the result (others) */
    const Dim *dims[MAX_RANK];
    Axes reduced; /* REDUCE */
    bool rows; /* REDUCE: `reduced` are the last axes; outputs may also have the shape of the domain
                */
    VEC(Node *) reductions;   /* REDUCE: in ascending id, so that a stage follows those it needs */
    VEC(GroupOutput) outputs; /* ascending id */
    VEC(Node *)
    operands;        /* materialised nodes it reads, without its own outputs; for CALL in order */
    View views[2];   /* CONTRACT: operands x and y over the axes of node->src[0] and node->src[1] */
    int32_t region;  /* of Schedule.regions */
    int32_t packed;  /* CONTRACT: the buffer of the operand that lowering copies into `scratch`
                        first, NO_BUFFER: none */
    int32_t hoisted; /* the loop before which that is done once, NO_REGION: in the group */
    int32_t scratch; /* buffer that lives during this group only, NO_BUFFER: none */
    int32_t copy_from; /* LOOP without nodes: its output is a copy of this buffer; NO_BUFFER: an
                          ordinary group */
    bool zeros;        /* LOOP without nodes: its output is zero everywhere */
} Group;

/* A run of neighbouring groups. The first region, OUTSIDE, is all of them; parents come before what
 * they hold. The two sides of a branch are neighbours, `then` first. */
typedef struct {
    RegionKind kind;
    int32_t parent;      /* NO_REGION: of the first */
    int32_t first, last; /* groups, both included; last < first: none */
    const Node *node;    /* the loop or branch */
    int32_t condition;   /* a bool: LOOP: an iteration begins only while it holds; THEN, ELSE: which
                            side runs; NO_BUFFER: none */
} ScheduleRegion;

typedef struct Schedule Schedule;

typedef struct {
    bool fuse; /* false: every value is materialised by a group of its own (an oracle for tests) */
    bool plan; /* false: no memory is shared and nothing is in place, except updates */
    const int64_t *hints; /* per symbol of graph->dims: the usual value, used to place buffers;
                             NULL: 64 for all */
    bool guard; /* every arena buffer ends where a page ends, and nothing lies in the page behind:
                   see guarded_bytes; the build with NNC_GUARD always does it */
    uint64_t stress_seed; /* not 0: a random legal order; the hostile build always has one */
    int vector_bytes;     /* of the target, for the choice of copies; 0: 64 */
    /* Bytes of scratch memory that lowering wants for a CONTRACT group (multiple of 64), NULL:
     * none; *packed: see Group. May be NULL. */
    const Dim *(*scratch)(void *user, const Schedule *schedule, const Group *group,
                          int32_t *packed);
    void *scratch_user;
} ScheduleOptions;

struct Schedule {
    const Graph *graph;
    Arena *arena;
    VEC(Buffer) buffers; /* externals first, then constants, then arena */
    uint32_t externals;
    bool guarded;        /* ScheduleOptions.guard */
    VEC(Group *) groups; /* in execution order */
    VEC(ScheduleRegion) regions;
    int32_t *buffer_of; /* per node id: where it is read from, NO_BUFFER: inlined or dead */
    int32_t *group_of;  /* per node id: position of the group that makes it, NO_GROUP: leaf, inlined
                          or dead */
    uint32_t *symbols;  /* the free dimensions, in the order of nnc_call.dims */
    uint32_t symbol_count;
    const int64_t *hints; /* per symbol of graph->dims */
    VEC(uint32_t)
    placement; /* arena buffers with memory of their own, by ascending offset at the hints */
    int64_t hint_bytes; /* arena bytes at the hints */
    int64_t live_bytes; /* the largest sum of live bytes at the hints: no plan for this order needs
                           less */
};

Schedule *schedule_build(Arena *arena, const Graph *graph, const ScheduleOptions *options);
/* One group per line: what --dump=schedule shows. */
void schedule_print(const Schedule *schedule, StrBuf *out);
/* Buffers, offsets and lifetimes: what --dump=plan shows. */
void plan_print(const Schedule *schedule, StrBuf *out);
/* A few lines for people before training: the peak, what is live there by line of the model, the
 * lower bound. */
void plan_summary(const Schedule *schedule, const SourceMap *sources, StrBuf *out);
/* All faults of groups and order, one per line. True: none. */
bool schedule_verify(const Schedule *schedule, StrBuf *out);
/* The independent check of the memory plan at the given values of all symbols (per symbol of
 * graph->dims). True: sound. */
bool plan_check(const Schedule *schedule, const int64_t *symbols, StrBuf *out);
int64_t plan_offset(const Schedule *schedule, uint32_t buffer,
                    const int64_t *symbols); /* ARENA buffers; -1: overflow */
int64_t plan_bytes(const Schedule *schedule, const int64_t *symbols);
/* Guarded plans share no memory: page 0 is a guard, then every buffer has whole pages of its own,
 * ends with the last of them, and the page behind is a guard:
 *
 *   | guard | .... 20 bytes | guard | .. 4100 bytes ...... | guard |
 *
 * The bytes that an arena buffer uses, and the bytes of its pages without the guard. */
enum { GUARD_PAGE = 4096 };
const Dim *guarded_bytes(const Schedule *schedule, uint32_t buffer);
const Dim *guarded_pages(const Schedule *schedule, uint32_t buffer);
/* The buffer whose memory a slice is part of, itself when it is none. */
int32_t buffer_home(const Schedule *schedule, int32_t buffer);
/* The outermost loop around a group during which nobody writes this buffer and its address stays
 * the same; NO_REGION: none. What is made of it alone can be made before that loop. */
int32_t schedule_invariant(const Schedule *schedule, const Group *group, int32_t buffer);

/* How a reshape cuts its axes: runs of source axes that hold the same elements, in the same order,
 * as runs of result axes. Returns the number of runs.
 *
 *   [B, 784] -> [B, 1, 28, 28]   {1, 1}, {0, 1}, {1, 2} */
typedef struct {
    uint8_t source, result; /* how many axes of each */
} ReshapeRun;
int reshape_runs(DimTable *dims, const Type *source, const Type *result, ReshapeRun *runs);

/* view.c: the affine view of a node through moves down to a materialised value. False: not affine,
 * or nothing there. */
bool view_of(const Schedule *schedule, const Node *node, View *view);
/* The same for a move that is itself materialised: what its group copies. */
bool view_moved(const Schedule *schedule, const Node *move, View *view);

#endif
