/* Loops and branches in the interpreter. When the walk over a region meets a loop, the nodes of
 * the loop's region are evaluated once per iteration, in order; then the next values become the
 * carries and the stacked values are copied to their slots. Of a branch one side is evaluated
 * once.
 *
 *   t = 0: carries = inits | body | stacks[0] = values, carries = nexts
 *   t = 1:                 | body | stacks[1] = values, carries = nexts   ...   final = carries
 *
 * `stack` nodes have their memory before the loop runs, and nothing to do when the walk meets
 * them, unless the stacked value is none of the loop's: then it may be made after the loop, and
 * all slots are filled with it there. Carries, slices and finals stand on the memory of what
 * they are. */
#include "compiler/ref/eval.h"

#include <stdlib.h>
#include <string.h>

static size_t bytes_of(const RefTensor *tensor)
{
    return (size_t)tensor->count * dtype_bytes(tensor->dtype);
}

/* One loop being run. */
typedef struct {
    RefEval *e;
    const Node *node;
    uint32_t region;
    RefTensor *carries; /* e->results of the loop */
    int count;
} LoopRun;

static bool goes_on(const LoopRun *loop)
{
    return !loop->node->attr.loop.conditional || *(const uint8_t *)loop->carries[0].data;
}

static bool prepare_stacks(const LoopRun *loop)
{
    RefEval *e = loop->e;
    const NodeList *stacks = &e->plan.stacks[loop->node->id];
    for (uint32_t i = 0; i < stacks->count; i++) {
        if (!ref_prepare(e, stacks->data[i]))
            return false;
        if (loop->node->attr.loop.conditional)
            memset(e->out->data, 0, bytes_of(e->out));
    }
    return true;
}

static bool is_of_loop(const RefEval *e, const Node *stack)
{
    const Regions *regions = e->plan.regions;
    return region_within(regions, regions->of[stack->src[1]->id],
                         region_closed_by(regions, stack->src[0], SIDE_THEN));
}

static void fill_stacks(const LoopRun *loop, int64_t t)
{
    const NodeList *stacks = &loop->e->plan.stacks[loop->node->id];
    for (uint32_t i = 0; i < stacks->count; i++) {
        if (!is_of_loop(loop->e, stacks->data[i]))
            continue;
        const RefTensor *value = &loop->e->tensors[stacks->data[i]->src[1]->id];
        char *slots = loop->e->tensors[stacks->data[i]->id].data;
        memcpy(slots + (size_t)t * bytes_of(value), value->data, bytes_of(value));
    }
}

static void next_carries(const LoopRun *loop)
{
    RefTensor *old = malloc((size_t)(loop->count + 1) * sizeof *old);
    if (old == NULL) {
        loop->e->refused = true;
        return;
    }
    memcpy(old, loop->carries, (size_t)loop->count * sizeof *old);
    for (int i = 0; i < loop->count; i++)
        ref_share(&loop->carries[i], &loop->e->tensors[loop->node->src[loop->count + i]->id]);
    for (int i = 0; i < loop->count; i++)
        ref_release(&old[i]);
    free(old);
}

/* False: the run cannot go on. */
static bool iterate(const LoopRun *loop, int64_t t)
{
    loop->e->now[loop->node->attr.loop.id] = t;
    bool good = ref_region(loop->e, loop->region);
    if (good) {
        fill_stacks(loop, t);
        next_carries(loop);
    }
    ref_leave(loop->e, loop->region);
    return good && !loop->e->refused;
}

static void run_loop(RefEval *e, const Node *node)
{
    LoopRun loop = {.e = e, .node = node, .carries = e->results[node->id], .count = node->nsrc / 2};
    const LoopAttr *attr = &node->attr.loop;
    loop.region = region_closed_by(e->plan.regions, node, SIDE_THEN);
    int64_t length = ref_dim(e, attr->length);
    bool good = length >= 0 && prepare_stacks(&loop);
    for (int i = 0; good && i < loop.count; i++)
        ref_share(&loop.carries[i], &e->tensors[node->src[i]->id]);
    int64_t turn = 0;
    for (; good && turn < length && goes_on(&loop); turn++)
        good = iterate(&loop, attr->reverse ? length - 1 - turn : turn);
    e->turns[attr->id] = turn;
    e->stopped |= !good;
}

/* A stack of one value: what the turns of the loop would have written. */
static void fill_alike(RefEval *e, const Node *stack)
{
    const LoopAttr *attr = &stack->src[0]->attr.loop;
    const RefTensor *value = &e->tensors[stack->src[1]->id];
    const int64_t turns = e->turns[attr->id], first = attr->reverse ? ref_dim(e, attr->length) - turns : 0;
    char *slots = e->tensors[stack->id].data;
    for (int64_t t = first; t < first + turns && bytes_of(value); t++)
        memcpy(slots + (size_t)t * bytes_of(value), value->data, bytes_of(value));
}

static void run_branch(RefEval *e, const Node *node)
{
    bool then = *(const uint8_t *)e->tensors[node->src[0]->id].data;
    int count = node->nsrc / 2, first = then ? 1 : 1 + count;
    uint32_t region = region_closed_by(e->plan.regions, node, then ? SIDE_THEN : SIDE_ELSE);
    bool good = ref_region(e, region);
    for (int i = 0; good && i < count; i++)
        ref_share(&e->results[node->id][i], &e->tensors[node->src[first + i]->id]);
    ref_leave(e, region);
    e->stopped |= !good;
}

/* The token of a loop or branch. */
static void give_token(RefEval *e, const Node *node)
{
    if (ref_prepare(e, node))
        *(uint8_t *)e->out->data = 1;
}

static const RefTensor *carry_of(const RefEval *e)
{
    const Node *loop = e->plan.closers[e->node->attr.carry.loop];
    return &e->results[loop->id][e->node->attr.carry.index];
}

static void slice(RefEval *e)
{
    const RefTensor *x = ref_in(e, 0);
    RefTensor *out = e->out;
    ref_share(out, x);
    out->rank = x->rank - 1;
    out->count = 1;
    for (int i = 0; i < out->rank; i++) {
        out->dims[i] = x->dims[i + 1];
        out->count *= out->dims[i];
    }
    out->data = (char *)x->data + (size_t)e->now[e->node->attr.at.loop] * bytes_of(out);
}

void ref_loop(RefEval *e)
{
    const Node *node = e->node;
    switch (node->op) {
    case OP_CARRY:
        ref_share(e->out, carry_of(e));
        break;
    case OP_AT:
        slice(e);
        break;
    case OP_FINAL:
        ref_share(e->out, &e->results[node->src[0]->id][node->attr.final.index]);
        break;
    case OP_ENTER:
        ref_share(e->out, ref_in(e, 0));
        break;
    case OP_LOOP:
        run_loop(e, node);
        give_token(e, node);
        break;
    case OP_BRANCH:
        run_branch(e, node);
        give_token(e, node);
        break;
    default: /* a stack was filled by its loop, or waits for its value */
        if (!is_of_loop(e, node))
            fill_alike(e, node);
        break;
    }
}
