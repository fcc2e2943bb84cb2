/* Passes: functions from graph to graph, run in the order of pipeline.def by one driver.
 *
 * A pass reads an immutable graph and returns a new one in a fresh arena over the same DimTable;
 * what the roots do not reach is left behind, equal nodes become one on the way. Roots keep their
 * order, kinds, names and types. Every node keeps the span of the one it came from. The driver
 * verifies, times, counts and shows what each pass returns. */
#ifndef NNC_PASSES_PASS_H
#define NNC_PASSES_PASS_H
#include "compiler/graph/graph.h"

typedef struct {
    const char *rule;
    uint32_t count;
} RuleCount;

typedef struct {
    const char *pass;
    double milliseconds;
    uint32_t rounds, rewrites;          /* over all rounds */
    uint32_t nodes_before, nodes_after; /* live */
    const RuleCount *rules;             /* those that fired */
    uint32_t rule_count;
} PassReport;

typedef struct {
    bool verify;            /* graph_verify after every pass; always on in Debug builds */
    const char *stop_after; /* name of the last pass to run, NULL: all */
    /* Called after every pass (after its last round) with the graph it made; NULL: none. */
    void (*dump)(void *user, const char *pass, const Graph *graph);
    void (*report)(void *user, const PassReport *report);
    void *user;
} PassOptions;

/* What a pass gets besides the graph. */
typedef struct {
    Arena *scratch; /* empty at every call */
    VEC(RuleCount) counts;
    Arena *counts_arena;
    uint32_t rewrites; /* of this round */
} PassContext;

typedef enum { ONCE, FIXPOINT } PassMode;

typedef struct {
    const char *text;
    Graph *(*run)(PassContext *context, const Graph *old);
    PassMode mode;
    const char *doc;
} PassInfo;

typedef enum {
#define PASS(e, text, function, mode, doc) PASS_##e,
#include "compiler/passes/pipeline.def"
    PASS_COUNT
} PassId;

extern const PassInfo pass_info[PASS_COUNT];
const PassInfo *pass_find(const char *text); /* NULL: no such pass */

/* Runs the pipeline. The result lives in its own arena (result->arena, freed by the caller), the
 * argument is not touched. options may be NULL. NULL: *error says which pass made an invalid graph
 * (our mistake) or that stop_after is unknown. */
Graph *passes_run(const Graph *graph, const PassOptions *options, StrBuf *error);
/* The same for one pass with all its rounds. */
Graph *pass_run_one(const PassInfo *pass, const Graph *graph, const PassOptions *options,
                    StrBuf *error);

/* For passes: an empty graph of the same name and dims in a new arena; the roots of old over
 * map[old id]; one rewrite counted under a rule's name (a string that outlives the run). */
Graph *pass_new_graph(const Graph *old);
void pass_copy_roots(Graph *graph, const Graph *old, Node *const *map);
void pass_count(PassContext *context, const char *rule);

#endif
