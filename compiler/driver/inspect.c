/* Checking mode: one call of a function in the interpreter, on its final graph, to find the
 * operation with which values that are not finite begin.
 *
 * Infinities are not wrong in themselves (a mask adds -inf, exp makes 0 of it), so a result
 * counts as bad when it has a NaN, or an infinity that none of its operands had. From the loss
 * (or, when that is finite, from the updates) the bad results are followed backwards; the first
 * of them whose operands were all good is where it began. What a loop does in later iterations
 * changes nothing of what was found in an earlier one:
 *
 *   log %x -> -inf        good operands, bad result: this one
 *   mul %y %1 -> nan
 *   mean %2 -> nan        the loss */
#include "compiler/driver/engine.h"

#include "compiler/ref/ref.h"
#include "runtime/base/scalar.h"

#include <math.h>
#include <string.h>

typedef struct Range Range;
struct Range {
    bool bad, reaches; /* reaches: a bad root, through bad results only */
    int64_t count, nans, infinities;
    double low, high; /* of the finite values */
    int64_t began; /* how many were bad before it, when its operands were good; -1: they were not */
    Range *operands; /* at that time */
};

typedef struct {
    const Engine *engine;
    const nnc_call *call;
    const int64_t *values; /* per symbol */
    Range *ranges;         /* per node */
    Arena *arena;
    int64_t bad_count;
} Inspection;

static const void *leaf_data(void *user, const Node *leaf)
{
    static const ArgKind kinds[] = {
        [OP_INPUT] = ARG_INPUT, [OP_PARAM] = ARG_PARAM, [OP_STATE] = ARG_STATE};
    const Inspection *at = user;
    int arg = function_arg(&at->engine->function, kinds[leaf->op], leaf->attr.leaf.name);
    return arg < 0 ? NULL : at->call->buffers[arg];
}

static nnc_extern *host_function(void *user, const char *name, void **extern_user)
{
    const HostFunction *host = extern_find(((const Inspection *)user)->engine->options, name);
    *extern_user = host ? host->user : NULL;
    return host ? host->function : NULL;
}

static double value_at(DType dtype, const void *data, int64_t i)
{
    double value;
    scalar_convert(dtype, DT_F64, (const char *)data + (size_t)i * dtype_bytes(dtype), &value, 1);
    return value;
}

static Range range_of(DType dtype, const void *data, int64_t count)
{
    Range range = {.count = count, .low = INFINITY, .high = -INFINITY, .began = -1};
    for (int64_t i = 0; i < count; i++) {
        double value = value_at(dtype, data, i);
        range.nans += isnan(value) != 0;
        range.infinities += isinf(value) != 0;
        if (isfinite(value) && value < range.low)
            range.low = value;
        if (isfinite(value) && value > range.high)
            range.high = value;
    }
    return range;
}

static bool has_bad_operand(const Node *node, const Range *ranges)
{
    for (int i = 0; i < node->nsrc; i++)
        if (ranges[node->src[i]->id].bad)
            return true;
    return false;
}

static bool is_bad(const Node *node, const Range *range, const Range *ranges)
{
    if (range->nans > 0)
        return true;
    if (node->op == OP_LOOP ||
        node->op == OP_BRANCH) /* their own value is nothing: they pass others on */
        return has_bad_operand(node, ranges);
    if (range->infinities == 0 || node->op == OP_CONST || node->op == OP_LITERAL)
        return false;
    for (int i = 0; i < node->nsrc; i++) {
        const Range *operand = &ranges[node->src[i]->id];
        if (operand->infinities > 0 && !operand->bad)
            return false;
    }
    return true;
}

static void visit(void *user, const Node *node, const void *data)
{
    Inspection *at = user;
    int64_t count = 1;
    if (at->ranges[node->id].bad)
        return;
    for (int axis = 0; axis < node->type.rank; axis++)
        count *= dim_eval(node->type.dims[axis], at->values);
    Range *range = &at->ranges[node->id];
    *range = range_of(node->type.dtype, data, count);
    range->bad = is_bad(node, range, at->ranges);
    if (!range->bad)
        return;
    at->bad_count++;
    if (node->op == OP_CARRY || has_bad_operand(node, at->ranges))
        return;
    range->began = at->bad_count;
    range->operands = ARENA_ARRAY(at->arena, Range, node->nsrc + 1);
    for (int i = 0; i < node->nsrc; i++)
        range->operands[i] = at->ranges[node->src[i]->id];
}

/* Marks the bad roots to explain: the loss alone when it is one. */
static void mark_roots(const Inspection *at)
{
    const Graph *graph = at->engine->graph;
    bool loss = false;
    for (int pass = 0; pass < 2 && !loss; pass++)
        for (uint32_t i = 0; i < graph->roots.count; i++) {
            const Root *root = &graph->roots.data[i];
            Range *range = &at->ranges[root->node->id];
            bool is_loss = root->kind == ROOT_OUTPUT && strcmp(root->name, "loss") == 0;
            if (!range->bad || (pass == 0 && !is_loss))
                continue;
            range->reaches = true;
            loss |= is_loss;
        }
}

static const Node *find_origin(const Inspection *at)
{
    const Graph *graph = at->engine->graph;
    const Node *origin = NULL;
    mark_roots(at);
    for (uint32_t i = graph->nodes.count; i-- > 0;) {
        const Node *node = graph->nodes.data[i];
        const Range *range = &at->ranges[i];
        if (!range->reaches)
            continue;
        for (int j = 0; j < node->nsrc; j++)
            at->ranges[node->src[j]->id].reaches |= at->ranges[node->src[j]->id].bad;
        if (range->began >= 0 && (!origin || range->began < at->ranges[origin->id].began))
            origin = node;
    }
    return origin;
}

static void add_name(const Node *node, StrBuf *out)
{
    if (node->op == OP_INPUT || node->op == OP_PARAM || node->op == OP_STATE)
        strbuf_add(out, node->attr.leaf.name);
    else
        strbuf_add(out, op_info[node->op].text);
}

static void add_counts(const Range *range, StrBuf *out)
{
    if (range->nans > 0)
        strbuf_printf(out, "%lld NaN", (long long)range->nans);
    if (range->infinities > 0)
        strbuf_printf(out, "%s%lld infinite", range->nans > 0 ? " and " : "",
                      (long long)range->infinities);
}

static void describe_input(const Inspection *at, const Node *node, const Range *range, StrBuf *out)
{
    add_name(node, out);
    strbuf_add(out, ": ");
    type_print(at->engine->graph->dims, &node->type, out);
    if (range->low <= range->high)
        strbuf_printf(out, range->low == range->high ? ", all %.6g" : ", from %.6g to %.6g",
                      range->low, range->high);
    if (range->nans + range->infinities > 0) {
        strbuf_add(out, ", with ");
        add_counts(range, out);
    }
}

static void describe(const Inspection *at, const Node *origin, Finding *finding)
{
    const Range *range = &at->ranges[origin->id];
    finding->span = origin->span;
    add_name(origin, &finding->what);
    strbuf_add(&finding->what, origin->nsrc > 0 ? " gives " : " has ");
    add_counts(range, &finding->what);
    strbuf_printf(&finding->what, " of %lld value%s", (long long)range->count,
                  range->count == 1 ? "" : "s");
    for (int i = 0; i < origin->nsrc; i++) {
        if (i > 0 && origin->src[i] == origin->src[i - 1])
            continue;
        strbuf_add(&finding->inputs, i ? "\n" : "");
        describe_input(at, origin->src[i], &range->operands[i], &finding->inputs);
    }
}

bool engine_inspect(const Function *self, const nnc_call *call, Finding *finding)
{
    const Engine *engine = self->engine;
    Arena *arena = arena_new();
    for (int i = 0; i < self->dim_count; i++)
        engine->values[engine->symbols[i]] = call->dims[i];
    Inspection at = {.engine = engine,
                     .call = call,
                     .values = engine->values,
                     .arena = arena,
                     .ranges = ARENA_ARRAY(arena, Range, engine->graph->nodes.count + 1)};
    RefRun run = {.graph = engine->graph,
                  .symbols = engine->values,
                  .leaf = leaf_data,
                  .user = &at,
                  .seed = call->seed,
                  .step = call->step,
                  .find_extern = host_function};
    bool done = ref_visit(&run, arena, visit, &at) || run.failed;
    const Node *origin = done ? find_origin(&at) : NULL;
    if (origin)
        describe(&at, origin, finding);
    arena_free(arena);
    return origin != NULL;
}
