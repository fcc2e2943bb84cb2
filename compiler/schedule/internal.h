/* What the files of the scheduler share: drafts of groups, and traces of how a group reads values.
 */
#ifndef NNC_SCHEDULE_INTERNAL_H
#define NNC_SCHEDULE_INTERNAL_H
#include "compiler/schedule/schedule.h"

/* Where the index of each axis of a value comes from, when a group computes element (i0, i1, ..) of
 * its domain: the domain's axis of that number, unchanged; always 0; or anything else. */
enum { TRACE_ZERO = -1, TRACE_OTHER = -2 };

typedef struct {
    int8_t axis[MAX_RANK];
} Trace;

typedef void TraceVisit(void *user, const Node *value, const Trace *trace);

/* A group before it has a place in the order. */
typedef struct {
    Group *group;
    VEC(Node *)
    members; /* made here: outputs and reductions, ascending; none: merged into another draft */
    uint64_t *before; /* bit per draft: those that must run earlier */
    bool closed;      /* a turn of axes, which has a kernel of its own: nothing joins */
    int32_t region;   /* of its group; of the end of a region: where that region is */
    uint32_t age;     /* the node it was made for, UINT32_MAX: copies and the like */
} Draft;

/* Drafts without groups: what runs between them is in the region. */
typedef struct {
    int32_t enter, leave;
} RegionEnds;

typedef struct {
    Schedule *schedule;
    Arena *arena;
    const Graph *graph;
    const ScheduleOptions *options;
    uint32_t node_count;
    const uint8_t *live;
    uint8_t *made; /* per node: exists in memory (or, in its own group, as a stage) */
    uint8_t *is_root;
    uint8_t *pinned; /* per node: how often loops and branches want it in memory */
    uint8_t *turned; /* per node: a permute that is made because its neighbours were no neighbours
                        before */
    uint8_t *stage_only; /* per node: stored for later stages of its own rows and for nobody else */
    uint8_t *read;       /* per node: by a group that does not make it (drop_unread) */
    uint32_t *uses;      /* per node: consumers and roots */
    uint16_t *cost;      /* per node: rough work to compute one element from made values */
    uint8_t *loads;      /* per node: made values of its size that it reads */
    int32_t *draft_of;   /* per node */
    const uint32_t *region; /* per node */
    RegionEnds *ends;       /* per region */
    VEC(Draft) drafts;
    uint32_t words;     /* of Draft.before */
    uint64_t *followed; /* bit per draft: it is before another one */
} Builder;

/* Visits what computing `node` at `at` reads: values for which made is set (leaves with data
 * count). `node` is entered. */
void trace_reads(Builder *b, const Node *node, const Trace *at, TraceVisit *visit, void *user);
/* The trace that starts at a member of a group: how its axes lie in the domain. False: it has no
 * such form. */
bool trace_start(const Group *group, const Node *member, Trace *at);
/* Does the trace read just the element of the domain (or of its kept axes) that is being computed?
 */
bool trace_is_element(const Group *group, const Node *value, const Trace *at);
bool is_kept_axis(const Group *group, int axis);
bool same_dims(const Type *type, int rank, const Dim *const *dims);
/* Calls trace_reads for everything a member of a draft needs. */
void draft_reads(Builder *b, const Group *group, const Node *member, TraceVisit *visit, void *user);

static inline bool has_data(const Node *n)
{
    return n->op == OP_INPUT || n->op == OP_PARAM || n->op == OP_STATE || n->op == OP_LITERAL;
}
/* In memory although no group writes it: data, and what loops and branches keep. */
static inline bool has_memory(const Node *n)
{
    return has_data(n) || n->op == OP_CARRY || n->op == OP_AT || n->op == OP_FINAL ||
           n->op == OP_STACK;
}
static inline OpClass class_of(const Node *n)
{
    return op_info[n->op].op_class;
}

/* regions.c */
void find_regions(Builder *b);
void make_for_regions(Builder *b); /* what has to be in memory because of them */
uint32_t *grouping_order(const Builder *b, uint32_t *count); /* ids of live nodes */
void open_regions(Builder *b);                               /* the drafts of their ends */
void place_loop_node(Builder *b, const Node *n); /* orders what a node of CLASS_LOOP needs */
void enter_region(Builder *b, int32_t draft);    /* a new draft is between the ends of its region */
int32_t region_of_loop(const Builder *b, const Node *closer); /* of a branch: the side `then` */
int32_t region_enter(const Builder *b, int32_t region); /* sides of a branch: of both together */
int32_t region_leave(const Builder *b, int32_t region);
Node *below_enters(Node *n);
Node *sliced_value(const Node *at);                    /* whose memory it is a slice of */
const Node *memory_of(const Node *n);                  /* the same through all slices */
int32_t draft_making(const Builder *b, const Node *n); /* what has to run before n can be read */
/* Innermost region around both; the region in `outer` that holds `inner`, which is not outer. */
int32_t schedule_common(const Schedule *schedule, int32_t a, int32_t b);
int32_t schedule_below(const Schedule *schedule, int32_t outer, int32_t inner);

/* Assigning buffers (buffers.c, carries.c). */
typedef struct {
    int32_t draft;
    const Node *value;
    bool element; /* reads it only at the element being computed */
} Reader;

typedef struct {
    Builder *b;
    int32_t draft;
    VEC(Reader) readers;  /* of what may be written over: leaves with data, carries */
    int32_t *early;       /* per root: puts aside a leaf which becomes another leaf's value */
    int32_t **rows;       /* per loop or branch: buffers of its carries or results */
    int32_t first_output; /* buffer of the first output */
} BufferPlan;

int32_t add_buffer(Builder *b, StorageKind kind, const char *name, const Type *type);
/* A group of that region that copies. `value`: what it reads, `from`: where that is. */
int32_t add_copy(BufferPlan *plan, const Node *value, int32_t from, int32_t to, int32_t region);
/* Lets the group of n write it to this buffer too. False: it already writes elsewhere and can do no
 * more. */
bool write_to(Builder *b, const Node *n, int32_t buffer);
/* Writes n to the memory of `leaf`, whose old value others read: in place where that is safe, else
 * by a copy that runs last. n is made by a group. */
void write_over(BufferPlan *plan, const Node *n, const Node *leaf, int32_t home);
/* After the draft `before`, what makes `value` (may be NULL) and all readers of the leaf. */
void copy_at_end(BufferPlan *plan, const Node *value, int32_t before, int32_t from,
                 const Node *leaf, int32_t home, int32_t region);
void after_readers(BufferPlan *plan, const Node *leaf, int32_t draft);
/* Memory of its own for what a group makes, if it has none. */
void give_place(Builder *b, const Node *n);
void add_loop_buffers(BufferPlan *plan); /* carries.c: of carries, slices, results, stacks */
void settle_loops(BufferPlan *plan);     /* carries.c: who writes them */
void settle_slices(Builder *b);          /* carries.c: of which buffers they are, at last */

void choose_made(Builder *b); /* make.c: which values exist in memory */
void form_groups(Builder *b); /* group.c: drafts of all made values */
void drop_unread(
    Builder *b); /* group.c: values that only their own group reads are inlined again */
int32_t draft_add(Builder *b, Group *group); /* between the ends of group->region */
bool draft_runs_before(const Builder *b, int32_t first, int32_t second);
/* first must run before second; no cycle may arise. Between regions it is an order of their ends.
 */
void draft_edge(Builder *b, int32_t first, int32_t second);
void draft_edge_exact(Builder *b, int32_t first, int32_t second); /* of these two, as they are */
bool draft_may_precede(const Builder *b, int32_t first, int32_t second);
Node *below_moves(Node *n); /* make.c: the value at the bottom of moves that a view can follow */
Group *group_new(Builder *b, GroupKind kind);

void assign_buffers(
    Builder *b); /* buffers.c: externals, constants, arena; updates in place or by copies */
/* What goes first of the groups that may run when none of them frees memory. */
typedef enum {
    ORDER_OLDEST,  /* as in the program */
    ORDER_SHARING, /* who takes least, when every reader of a value is to free its part of it */
    ORDER_LEAST,   /* who takes least */
    ORDERS
} OrderRule;
/* order.c: drafts become schedule->groups */
void choose_order(Builder *b, OrderRule rule);
void find_lifetimes(Builder *b);                    /* liveness.c */
void place_buffers(Schedule *schedule, bool share); /* memplan.c */
/* memplan.c: the largest sum of live bytes at the hints, of lifetimes as they are */
int64_t most_live_bytes(Schedule *schedule);
int64_t dim_at_hints(const Schedule *schedule, const Dim *dim);

#endif
