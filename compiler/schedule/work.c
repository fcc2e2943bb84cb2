/* The work of groups, counted on the graph. In: a schedule and sizes. Out: per group its
 * floating point operations and its compulsory traffic.
 *
 *   group contract [64, 128] dot %x %w, relu    2*64*K*128 + 64*128 operations;
 *                                               reads x and w once, writes 64*128 elements
 *
 * A group is walked from its outputs down to what is already in memory. Every node on the way is
 * counted once, at its own size: values that a kernel computes several times are still one
 * value. Of an operand that is only sliced, indexed or gathered from, the part that is asked for
 * counts. Taps of a convolution that fall on padding are no terms. */
#include "compiler/schedule/work.h"

typedef struct {
    const Schedule *schedule;
    const int64_t *symbols;
    uint32_t *seen;    /* per node: 1 + the last group that visited it */
    double *counted;   /* per node: bytes of it that the group in hand reads */
    uint32_t group;    /* 1 + its position */
    Work *work;
} Count;

static double elements(const Count *c, const Type *type)
{
    double product = 1;
    for (int i = 0; i < type->rank; i++)
        product *= (double)dim_eval(type->dims[i], c->symbols);
    return product;
}

/* ---- arithmetic ---- */

static int64_t size_of(const Count *c, const Node *node, int axis)
{
    return dim_eval(node->type.dims[axis], c->symbols);
}

/* Pairs of a result and a tap along one spatial axis that meet an element of x. */
static double valid_taps(const Count *c, const Node *conv, int s)
{
    int64_t inputs = size_of(c, conv->src[0], 2 + s), taps = size_of(c, conv->src[1], 1 + s),
            results = size_of(c, conv, 2 + s), low = dim_eval(conv->attr.conv.pad_low[s], c->symbols),
            apart = conv->attr.conv.dilate_x[s], pairs = 0;
    for (int64_t k = 0; k < taps; k++)
        for (int64_t r = 0; r < results; r++) {
            int64_t at = r * conv->attr.conv.stride[s] + k * conv->attr.conv.dilate_y[s] - low;
            pairs += at >= 0 && at % apart == 0 && at / apart < inputs;
        }
    return (double)pairs;
}

static double conv_terms(const Count *c, const Node *conv)
{
    const Node *x = conv->src[0], *y = conv->src[1];
    double terms = (double)size_of(c, conv, 0) * (double)size_of(c, conv, 1) *
                   (double)size_of(c, x, x->type.rank - 1) *
                   (double)size_of(c, y, y->type.rank - 1);
    for (int s = 0; s < conv->attr.conv.spatial; s++)
        terms *= valid_taps(c, conv, s);
    return terms;
}

static double dot_terms(const Count *c, const Node *dot)
{
    double terms = elements(c, &dot->type);
    const Axes *along = &dot->attr.dot.contract_x;
    for (int i = 0; i < along->count; i++)
        terms *= (double)size_of(c, dot->src[0], along->axis[i]);
    return terms;
}

static double window_taps(const Node *node)
{
    double taps = 1;
    for (int i = 0; i < node->attr.window.rank; i++)
        taps *= (double)node->attr.window.size[i];
    return taps;
}

static double node_flops(const Count *c, const Node *node)
{
    if (!dtype_is_float(node->type.dtype) &&
        (node->nsrc == 0 || !dtype_is_float(node->src[0]->type.dtype)))
        return 0;
    switch (op_info[node->op].op_class) {
    case CLASS_ELEMENTWISE:
        return node->op == OP_STOP || node->op == OP_CHECK || node->op == OP_CONVERT
                   ? 0
                   : elements(c, &node->type) * (node->op == OP_FMA ? 2 : 1);
    case CLASS_REDUCE:
        return elements(c, &node->src[0]->type);
    case CLASS_CONTRACT:
        return 2 * (node->op == OP_DOT ? dot_terms(c, node) : conv_terms(c, node));
    case CLASS_WINDOW:
        return elements(c, &node->type) * window_taps(node);
    case CLASS_INDEX:
        return node->op == OP_SCATTER_ADD ? elements(c, &node->src[2]->type) : 0;
    default:
        return 0;
    }
}

/* ---- traffic ---- */

static bool in_memory(const Count *c, const Node *node)
{
    int32_t at = c->schedule->group_of[node->id];
    return c->schedule->buffer_of[node->id] != NO_BUFFER && at + 1 != (int32_t)c->group;
}

/* At most `most` elements of an operand are asked for; the largest of several askings counts. */
static void read_operand(Count *c, const Node *operand, double most)
{
    double all = elements(c, &operand->type), bytes = (double)dtype_bytes(operand->type.dtype);
    bytes *= all < most ? all : most;
    if (c->seen[operand->id] != c->group)
        c->counted[operand->id] = 0;
    c->seen[operand->id] = c->group;
    if (bytes > c->counted[operand->id]) {
        c->work->read_bytes += bytes - c->counted[operand->id];
        c->counted[operand->id] = bytes;
    }
}

/* How many elements of operand `i` a node may need when `most` of its own are asked for. */
static double asked_of(const Count *c, const Node *node, int i, double most)
{
    bool picks = node->op == OP_SLICE || node->op == OP_AT || (node->op == OP_GATHER && i == 0);
    bool element = op_info[node->op].op_class == CLASS_ELEMENTWISE ||
                   op_info[node->op].op_class == CLASS_MOVE || node->op == OP_ENTER;
    double own = elements(c, &node->type);
    if (picks || element)
        return own < most ? own : most;
    return elements(c, &node->src[i]->type);
}

static void walk(Count *c, const Node *node, double most)
{
    if (c->seen[node->id] == c->group)
        return;
    c->seen[node->id] = c->group;
    c->work->flops += node_flops(c, node);
    for (int i = 0; i < node->nsrc; i++) {
        double asked = asked_of(c, node, i, most);
        if (in_memory(c, node->src[i]))
            read_operand(c, node->src[i], asked);
        else
            walk(c, node->src[i], asked);
    }
}

static void count_group(Count *c, const Group *group)
{
    const Schedule *s = c->schedule;
    for (uint32_t i = 0; i < group->outputs.count; i++) {
        const GroupOutput *output = &group->outputs.data[i];
        const Type *type =
            output->node ? &output->node->type : &s->buffers.data[output->buffer].type;
        double bytes = elements(c, type) * (double)dtype_bytes(type->dtype);
        c->work->written_bytes += bytes;
        if (output->node && group->copy_from == NO_BUFFER)
            walk(c, output->node, elements(c, type));
        else if (group->copy_from != NO_BUFFER)
            c->work->read_bytes += bytes;
    }
}

Work *schedule_work(Arena *arena, const Schedule *schedule, const int64_t *symbols)
{
    uint32_t nodes = schedule->graph->nodes.count;
    Count c = {.schedule = schedule, .symbols = symbols};
    Work *all = ARENA_ARRAY(arena, Work, schedule->groups.count + 1);
    c.seen = ARENA_ARRAY(arena, uint32_t, nodes + 1);
    c.counted = ARENA_ARRAY(arena, double, nodes + 1);
    for (uint32_t g = 0; g < schedule->groups.count; g++) {
        c.group = g + 1;
        c.work = &all[g];
        count_group(&c, schedule->groups.data[g]);
    }
    return all;
}
