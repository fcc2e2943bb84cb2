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
} Draft;

typedef struct {
    Schedule *schedule;
    Arena *arena;
    const Graph *graph;
    const ScheduleOptions *options;
    uint32_t node_count;
    const uint8_t *live;
    uint8_t *made; /* per node: exists in memory (or, in its own group, as a stage) */
    uint8_t *is_root;
    uint8_t *turned; /* per node: a permute that is made because its neighbours were no neighbours
                        before */
    uint8_t *stage_only; /* per node: stored for later stages of its own rows and for nobody else */
    uint32_t *uses;      /* per node: consumers and roots */
    uint16_t *cost;      /* per node: rough work to compute one element from made values */
    uint8_t *loads;      /* per node: made values of its size that it reads */
    int32_t *draft_of;   /* per node */
    VEC(Draft) drafts;
    uint32_t words; /* of Draft.before */
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
static inline OpClass class_of(const Node *n)
{
    return op_info[n->op].op_class;
}

void choose_made(Builder *b); /* make.c: which values exist in memory */
void form_groups(Builder *b); /* group.c: drafts of all made values */
void drop_unread(
    Builder *b); /* group.c: values that only their own group reads are inlined again */
int32_t draft_add(Builder *b, Group *group);
bool draft_runs_before(const Builder *b, int32_t first, int32_t second);
void draft_edge(Builder *b, int32_t first,
                int32_t second); /* first must run before second; no cycle may arise */
Group *group_new(Builder *b, GroupKind kind);

void assign_buffers(
    Builder *b); /* buffers.c: externals, constants, arena; updates in place or by copies */
void choose_order(Builder *b);                      /* order.c: drafts become schedule->groups */
void find_lifetimes(Builder *b);                    /* liveness.c */
void place_buffers(Schedule *schedule, bool share); /* memplan.c */
int64_t dim_at_hints(const Schedule *schedule, const Dim *dim);

#endif
