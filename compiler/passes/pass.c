/* The driver of the pipeline: rounds, verification, dumps, times. In: the graph of a step as sema
 * and grad_build left it. Out: the final graph, whose arithmetic lowering and the interpreter obey
 * to the bit.
 *
 * A FIXPOINT pass runs until a round counts no rewrite; MAX_ROUNDS only guards against rules that
 * undo each other. */
#include "compiler/passes/pass.h"
#include "compiler/passes/pass_list.h"
#include "runtime/base/bug.h"

#include <string.h>
#include <time.h>

enum { MAX_ROUNDS = 64 };

const PassInfo pass_info[PASS_COUNT] = {
#define PASS(e, text, function, mode, doc) [PASS_##e] = {text, function, mode, doc},
#include "compiler/passes/pipeline.def"
};

const PassInfo *pass_find(const char *text)
{
    for (int i = 0; i < PASS_COUNT; i++)
        if (!strcmp(pass_info[i].text, text))
            return &pass_info[i];
    return NULL;
}

Graph *pass_new_graph(const Graph *old)
{
    Arena *arena = arena_new();
    return graph_new(arena, old->dims, arena_string(arena, old->name));
}

void pass_copy_roots(Graph *graph, const Graph *old, Node *const *map)
{
    for (uint32_t i = 0; i < old->roots.count; i++) {
        const Root *root = &old->roots.data[i];
        graph_root(graph, root->kind, arena_string(graph->arena, root->name), map[root->node->id]);
    }
}

void pass_count(PassContext *context, const char *rule)
{
    context->rewrites++;
    for (uint32_t i = 0; i < context->counts.count; i++)
        if (context->counts.data[i].rule == rule) {
            context->counts.data[i].count++;
            return;
        }
    vec_push(context->counts_arena, &context->counts, (RuleCount){rule, 1});
}

static uint32_t count_live(const Graph *graph)
{
    Arena *scratch = arena_new();
    const uint8_t *live = graph_live(graph, scratch);
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->nodes.count; i++)
        count += live[i];
    arena_free(scratch);
    return count;
}

static double now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static bool wants_verification(const PassOptions *options)
{
#ifdef NDEBUG
    return options && options->verify;
#else
    (void)options;
    return true;
#endif
}

static bool is_sound(const PassInfo *pass, const Graph *graph, const PassOptions *options,
                     StrBuf *error)
{
    StrBuf faults = {0};
    bool sound = !wants_verification(options) || graph_verify(graph, &faults);
    if (!sound)
        strbuf_printf(error, "pass %s made an invalid graph:\n%s", pass->text, faults.text);
    strbuf_free(&faults);
    return sound;
}

/* The rounds of a pass; graphs in between are freed. NULL: a round made an invalid graph. */
static Graph *run_rounds(const PassInfo *pass, PassContext *context, PassReport *report,
                         const Graph *graph, const PassOptions *options, StrBuf *error)
{
    const Graph *current = graph;
    Graph *next = NULL;
    do {
        context->rewrites = 0;
        next = pass->run(context, current);
        arena_reset(context->scratch);
        if (current != graph)
            arena_free(current->arena);
        if (!is_sound(pass, next, options, error)) {
            arena_free(next->arena);
            return NULL;
        }
        report->rewrites += context->rewrites;
        report->rounds++;
        current = next;
    } while (pass->mode == FIXPOINT && context->rewrites && report->rounds < MAX_ROUNDS);
    return next;
}

Graph *pass_run_one(const PassInfo *pass, const Graph *graph, const PassOptions *options,
                    StrBuf *error)
{
    PassContext context = {.scratch = arena_new(), .counts_arena = arena_new()};
    PassReport report = {.pass = pass->text};
    const double start = now_ms();
    Graph *next = run_rounds(pass, &context, &report, graph, options, error);
    report.milliseconds = now_ms() - start;
    if (next && options && options->report) {
        report.rules = context.counts.data;
        report.rule_count = context.counts.count;
        report.nodes_before = count_live(graph);
        report.nodes_after = count_live(next);
        options->report(options->user, &report);
    }
    if (next && options && options->dump)
        options->dump(options->user, pass->text, next);
    arena_free(context.scratch);
    arena_free(context.counts_arena);
    return next;
}

Graph *passes_run(const Graph *graph, const PassOptions *options, StrBuf *error)
{
    const char *last = options ? options->stop_after : NULL;
    if (last && !pass_find(last)) {
        strbuf_printf(error, "there is no pass %s", last);
        return NULL;
    }
    const Graph *current = graph;
    Graph *next = NULL;
    for (int i = 0; i < PASS_COUNT; i++) {
        next = pass_run_one(&pass_info[i], current, options, error);
        if (current != graph)
            arena_free(current->arena);
        if (!next)
            return NULL;
        current = next;
        if (last && !strcmp(pass_info[i].text, last))
            break;
    }
    return next;
}
