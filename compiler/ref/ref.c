/* The interpreter (ref.h). In: a graph and the data of its leaves; out: the data of its roots. Live
 * nodes outside of loops and branches are evaluated in order into memory of their own, which goes
 * when the last reader is done; a loop evaluates the nodes of its region again and again. The work
 * is in ref_move.c, ref_reduce.c, ref_contract.c, ref_window.c, ref_index.c and ref_loop.c, one
 * file per class, and leaves, elementwise operations and calls here.
 *
 * Reshape and stop share the memory of their operand (RefBuffer counts the tensors that stand on
 * it). */
#include "compiler/ref/eval.h"
#include "runtime/base/bug.h"
#include "runtime/base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { BYTE_LIMIT_BITS = 46 };

void ref_fail(RefEval *e, int64_t element)
{
    RefRun *run = e->run;
    if (run->failed == NULL || e->node->id < run->failed->id ||
        (run->failed == e->node && element < run->failed_element)) {
        run->failed = e->node;
        run->failed_element = element;
    }
}

int64_t ref_dim(RefEval *e, const Dim *dim)
{
    int64_t value = dim_eval(dim, e->run->symbols);
    if (value == INT64_MIN)
        ref_fail(e, 0);
    return value;
}

void *ref_scratch(RefEval *e, int64_t count, DType dtype)
{
    void *data = NULL;
    if (count <= (int64_t)1 << BYTE_LIMIT_BITS)
        data = malloc((size_t)count * dtype_bytes(dtype) + 1);
    e->refused |= data == NULL;
    return data;
}

void ref_strides(const RefTensor *tensor, int64_t *strides)
{
    int64_t stride = 1;
    for (int i = tensor->rank; i-- > 0;) {
        strides[i] = stride;
        stride *= tensor->dims[i];
    }
}

/* Memory */

void ref_release(RefTensor *tensor)
{
    RefBuffer *buffer = tensor->buffer;
    tensor->buffer = NULL;
    if (buffer == NULL || --buffer->refs > 0)
        return;
    if (buffer->owned)
        free(buffer->data);
    free(buffer);
}

/* Gives the tensor memory of its own (data NULL) or memory that someone else owns. */
static void take_memory(RefEval *e, RefTensor *tensor, const void *data)
{
    RefBuffer *buffer = malloc(sizeof *buffer);
    if (buffer == NULL) {
        e->refused = true;
        return;
    }
    *buffer = (RefBuffer){(void *)data, 1, data == NULL};
    if (data == NULL)
        buffer->data = ref_scratch(e, tensor->count, tensor->dtype);
    tensor->buffer = buffer;
    tensor->data = buffer->data;
}

void ref_share(RefTensor *tensor, const RefTensor *other)
{
    *tensor = *other;
    tensor->buffer->refs++;
}

/* Sizes of the result. A size that is negative or too large is a failure, and the run ends there.
 */
static bool take_sizes(RefEval *e)
{
    const Type *type = &e->node->type;
    RefTensor *out = e->out;
    out->dtype = type->dtype;
    out->rank = type->rank;
    out->count = 1;
    bool empty = false;
    for (int i = 0; i < type->rank; i++) {
        out->dims[i] = dim_eval(type->dims[i], e->run->symbols);
        empty |= out->dims[i] == 0;
        if (out->dims[i] >= 0 &&
            (out->dims[i] == 0 || out->count <= ((int64_t)1 << BYTE_LIMIT_BITS) / out->dims[i])) {
            out->count *= out->dims[i] == 0 ? 1 : out->dims[i];
            continue;
        }
        ref_fail(e, 0);
        return false;
    }
    out->count = empty ? 0 : out->count;
    return true;
}

/* Leaves */

void ref_fill(void *data, int64_t count, const void *value, size_t element_bytes)
{
    char *to = data;
    if (count == 0)
        return;
    memcpy(to, value, element_bytes);
    size_t done = element_bytes, total = (size_t)count * element_bytes;
    while (done < total) {
        size_t more = done < total - done ? done : total - done;
        memcpy(to + done, to, more);
        done += more;
    }
}

/* A constant, widened to 64 bits in its attribute, in the memory format of its type. */
static void narrow_constant(const Attr *attr, void *value)
{
    DType dtype = attr->constant.type.dtype;
    bool real = dtype_is_float(dtype);
    const void *wide =
        real ? (const void *)&attr->constant.value.f : (const void *)&attr->constant.value.i;
    scalar_convert(real ? DT_F64 : DT_I64, dtype, wide, value, 1);
}

static void fill_iota(const RefEval *e)
{
    int64_t strides[MAX_RANK];
    ref_strides(e->out, strides);
    int axis = e->node->attr.iota.axis;
    size_t bytes = dtype_bytes(e->out->dtype);
    for (int64_t i = 0; i < e->out->count; i++) {
        int64_t index = i / strides[axis] % e->out->dims[axis];
        scalar_convert(DT_I64, e->out->dtype, &index, (char *)e->out->data + (size_t)i * bytes, 1);
    }
}

static void fill_random(const RefEval *e)
{
    uint32_t site = e->node->attr.random.site;
    for (int64_t i = 0; i < e->out->count; i++) {
        if (e->out->dtype == DT_F32)
            ((float *)e->out->data)[i] =
                rng_uniform_f32(e->run->seed, e->run->step, site, (uint64_t)i);
        else
            ((double *)e->out->data)[i] =
                rng_uniform_f64(e->run->seed, e->run->step, site, (uint64_t)i);
    }
}

/* The memory of a leaf or literal is its own: the tensor stands on it. */
static const void *leaf_data(RefEval *e)
{
    if (e->node->op == OP_LITERAL)
        return e->node->attr.literal.data;
    const void *data = e->run->leaf != NULL ? e->run->leaf(e->run->user, e->node) : NULL;
    if (data == NULL && e->out->count > 0)
        ref_fail(e, 0);
    return data;
}

static void evaluate_leaf(RefEval *e)
{
    int64_t value;
    char constant[8];
    switch (e->node->op) {
    case OP_CONST:
        narrow_constant(&e->node->attr, constant);
        ref_fill(e->out->data, e->out->count, constant, dtype_bytes(e->out->dtype));
        break;
    case OP_IOTA:
        fill_iota(e);
        break;
    case OP_RANDOM:
        fill_random(e);
        break;
    case OP_DIM:
        value = ref_dim(e, e->node->attr.shape.dims[0]);
        memcpy(e->out->data, &value, sizeof value);
        break;
    default:
        break;
    }
}

/* Elementwise */

/* An integer division by zero fails; its result, 0, comes from the scalar function. */
static void find_zero_divisor(RefEval *e)
{
    const RefTensor *y = ref_in(e, 1);
    size_t bytes = dtype_bytes(y->dtype);
    const char zero[8] = {0};
    for (int64_t i = 0; i < y->count; i++) {
        if (memcmp((const char *)y->data + (size_t)i * bytes, zero, bytes) == 0) {
            ref_fail(e, i);
            return;
        }
    }
}

static void find_false(RefEval *e)
{
    const RefTensor *condition = ref_in(e, 1);
    const uint8_t *good = condition->data;
    for (int64_t i = 0; i < condition->count && i < e->out->count; i++) {
        if (!good[i]) {
            ref_fail(e, i);
            return;
        }
    }
}

static void evaluate_elementwise(RefEval *e)
{
    OpCode op = e->node->op;
    RefTensor *out = e->out;
    const void *args[3] = {NULL, NULL, NULL};
    ScalarOp function;
    for (int i = 0; i < e->node->nsrc; i++)
        args[i] = ref_in(e, i)->data;
    if (op == OP_CHECK) {
        find_false(e);
        return;
    }
    if ((op == OP_FLOORDIV || op == OP_MOD) && !dtype_is_float(out->dtype))
        find_zero_divisor(e);
    if (op == OP_CONVERT)
        scalar_convert(ref_in(e, 0)->dtype, out->dtype, args[0], out->data, (size_t)out->count);
    else if (scalar_from_name(op_info[op].text, &function))
        scalar_map(function, ref_in(e, e->node->nsrc - 1)->dtype, args, out->data,
                   (size_t)out->count);
    else if (op != OP_STOP)
        NNC_BUG("no scalar function is called %s", op_info[op].text);
}

/* Host functions */

static void evaluate_call(RefEval *e)
{
    int total = (e->node->nsrc + 1) * (MAX_RANK + 1), count = 0;
    int64_t *dims = malloc((size_t)total * sizeof *dims);
    const void **in = malloc((size_t)(e->node->nsrc + 1) * sizeof *in);
    void *user = NULL;
    nnc_extern *function = e->run->find_extern != NULL
                               ? e->run->find_extern(e->run->user, e->node->attr.call.name, &user)
                               : NULL;
    if (dims == NULL || in == NULL) {
        e->refused = true;
    } else if (function == NULL) {
        memset(e->out->data, 0, (size_t)e->out->count * dtype_bytes(e->out->dtype));
        ref_fail(e, 0);
    } else {
        for (int i = 0; i <= e->node->nsrc; i++) {
            const RefTensor *tensor = i < e->node->nsrc ? ref_in(e, i) : e->out;
            dims[count++] = tensor->rank;
            for (int j = 0; j < tensor->rank; j++)
                dims[count++] = tensor->dims[j];
            in[i] = tensor->data;
        }
        function(user, in, &e->out->data, dims);
    }
    free(dims);
    free(in);
}

/* One node, one region */

static void (*const evaluators[])(RefEval *) = {
    [CLASS_LEAF] = evaluate_leaf,    [CLASS_ELEMENTWISE] = evaluate_elementwise,
    [CLASS_MOVE] = ref_move,         [CLASS_REDUCE] = ref_reduce,
    [CLASS_CONTRACT] = ref_contract, [CLASS_WINDOW] = ref_window,
    [CLASS_INDEX] = ref_index,       [CLASS_LOOP] = ref_loop,
    [CLASS_CALL] = evaluate_call,
};

/* Its result is memory of an operand, with the sizes of the node. */
static bool shares_memory(OpCode op)
{
    return op == OP_RESHAPE || op == OP_STOP || op == OP_CHECK;
}

static void share_operand(RefEval *e)
{
    RefTensor sized = *e->out;
    ref_share(e->out, ref_in(e, 0));
    sized.buffer = e->out->buffer;
    sized.data = e->out->data;
    *e->out = sized;
}

bool ref_prepare(RefEval *e, const Node *node)
{
    e->node = node;
    e->out = &e->tensors[node->id];
    if (!take_sizes(e))
        return false;
    take_memory(e, e->out, NULL);
    return !e->refused;
}

/* Operands in f16 or bf16 as f32, the operation on those, its result rounded. */
static void evaluate_widened(RefEval *e)
{
    const Node *node = e->node;
    RefTensor narrow[3], *in[3] = {NULL, NULL, NULL}, out = *e->out;
    for (int i = 0; i < node->nsrc; i++) {
        RefTensor *x = &e->tensors[node->src[i]->id];
        if (!dtype_is_small_float(x->dtype))
            continue;
        in[i] = x;
        narrow[i] = *x;
        x->dtype = DT_F32;
        x->data = ref_scratch(e, x->count, DT_F32);
        if (x->data != NULL)
            scalar_convert(narrow[i].dtype, DT_F32, narrow[i].data, x->data, (size_t)x->count);
    }
    e->out->dtype = dtype_computed(out.dtype);
    if (e->out->dtype != out.dtype)
        e->out->data = ref_scratch(e, out.count, DT_F32);
    if (!e->refused)
        evaluators[op_info[node->op].op_class](e);
    if (e->out->dtype != out.dtype) {
        if (!e->refused)
            scalar_convert(DT_F32, out.dtype, e->out->data, out.data, (size_t)out.count);
        free(e->out->data);
    }
    *e->out = out;
    for (int i = 0; i < node->nsrc; i++) {
        if (in[i] != NULL) {
            free(in[i]->data);
            *in[i] = narrow[i];
        }
    }
}

/* False: the run cannot go on. */
static bool evaluate_node(RefEval *e, const Node *node)
{
    bool outside = node->attr.kind == AT_LEAF || node->op == OP_LITERAL;
    e->node = node;
    e->out = &e->tensors[node->id];
    if (op_info[node->op].op_class != CLASS_LOOP) {
        if (!take_sizes(e))
            return false;
        if (shares_memory(node->op))
            share_operand(e);
        else
            take_memory(e, e->out, outside ? leaf_data(e) : NULL);
    }
    if (e->refused || (outside && e->out->data == NULL && e->out->count > 0))
        return false;
    if (node_computes_small(node))
        evaluate_widened(e);
    else
        evaluators[op_info[node->op].op_class](e);
    return !e->refused && !e->stopped;
}

static void release_node(RefEval *e, const Node *node)
{
    ref_release(&e->tensors[node->id]);
    for (int i = 0; e->results[node->id] != NULL && i < node->nsrc / 2; i++)
        ref_release(&e->results[node->id][i]);
}

bool ref_region(RefEval *e, uint32_t region)
{
    const NodeList *body = &e->plan.bodies[region];
    for (uint32_t i = 0; i < body->count; i++) {
        const Node *node = body->data[i];
        const NodeList *ends = &e->plan.ends[node->id];
        if (!evaluate_node(e, node))
            return false;
        if (e->visit != NULL)
            e->visit(e->visitor, node, e->tensors[node->id].data);
        for (uint32_t j = 0; j < ends->count; j++)
            release_node(e, ends->data[j]);
    }
    return true;
}

void ref_leave(RefEval *e, uint32_t region)
{
    const NodeList *body = &e->plan.bodies[region];
    for (uint32_t i = 0; i < body->count; i++)
        release_node(e, body->data[i]);
}

/* ---- the plan ---- */

/* The reader of x as seen from the region of x: the node itself, or the loop or branch around it.
 * NULL: it reads when its region ends. */
static const Node *reader_beside(const Regions *regions, const Node *reader, const Node *x)
{
    uint32_t region = regions->of[reader->id], home = regions->of[x->id];
    if (!region_within(regions, region, home))
        return NULL; /* a next value, a result of a branch, a stacked value */
    const Node *seen = reader;
    for (; region != home; region = regions->list[region].parent)
        seen = regions->list[region].closer;
    return seen;
}

static void plan_ends(RefPlan *plan, const Graph *graph, const uint8_t *live, Arena *scratch)
{
    const Node **last = ARENA_ARRAY(scratch, const Node *, graph->nodes.count + 1);
    uint8_t *kept = ARENA_ARRAY(scratch, uint8_t, graph->nodes.count + 1);
    for (uint32_t i = 0; i < graph->roots.count; i++)
        kept[graph->roots.data[i].node->id] = 1;
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.data[i];
        for (int j = 0; live[i] && j < node->nsrc; j++) {
            const Node *x = node->src[j], *reader = reader_beside(plan->regions, node, x);
            kept[x->id] |= reader == NULL;
            if (reader != NULL && (last[x->id] == NULL || last[x->id]->id < reader->id))
                last[x->id] = reader;
        }
    }
    for (uint32_t i = 0; i < graph->nodes.count; i++)
        if (live[i] && !kept[i] && last[i] != NULL)
            vec_push(scratch, &plan->ends[last[i]->id], graph->nodes.data[i]);
}

static void make_plan(RefEval *e, Arena *scratch)
{
    const Graph *graph = e->run->graph;
    const uint8_t *live = graph_live(graph, scratch);
    const uint32_t count = graph->nodes.count + 1;
    RefPlan *plan = &e->plan;
    plan->regions = regions_of(graph, live, scratch);
    plan->bodies = ARENA_ARRAY(scratch, NodeList, plan->regions->count);
    plan->ends = ARENA_ARRAY(scratch, NodeList, count);
    plan->stacks = ARENA_ARRAY(scratch, NodeList, count);
    plan->closers = graph_closers(graph, live, scratch);
    e->tensors = ARENA_ARRAY(scratch, RefTensor, count);
    e->results = ARENA_ARRAY(scratch, RefTensor *, count);
    e->now = ARENA_ARRAY(scratch, int64_t, graph->next_loop + 1);
    e->turns = ARENA_ARRAY(scratch, int64_t, graph->next_loop + 1);
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.data[i];
        if (!live[i])
            continue;
        vec_push(scratch, &plan->bodies[plan->regions->of[i]], node);
        if (node->op == OP_STACK)
            vec_push(scratch, &plan->stacks[node->src[0]->id], node);
        if (node->op == OP_LOOP || node->op == OP_BRANCH)
            e->results[i] = ARENA_ARRAY(scratch, RefTensor, node->nsrc / 2 + 1);
    }
    plan_ends(plan, graph, live, scratch);
}

/* ---- the run ---- */

static bool run_graph(RefRun *run, Arena *arena, const void **values, RefVisitor *visit,
                      void *visitor)
{
    const Graph *graph = run->graph;
    Arena *scratch = arena_new();
    RefEval e = {.run = run, .visit = visit, .visitor = visitor};
    run->failed = NULL;
    run->failed_element = -1;
    make_plan(&e, scratch);
    bool good = ref_region(&e, 0);
    for (uint32_t i = 0; values != NULL && i < graph->roots.count; i++) {
        const RefTensor *tensor = &e.tensors[graph->roots.data[i].node->id];
        size_t bytes = (size_t)tensor->count * dtype_bytes(tensor->dtype);
        values[i] = !good        ? NULL
                    : bytes == 0 ? arena_alloc(arena, 1)
                                 : arena_copy(arena, tensor->data, bytes);
    }
    for (uint32_t i = 0; i < e.plan.regions->count; i++)
        ref_leave(&e, i);
    arena_free(scratch);
    return good && run->failed == NULL;
}

bool ref_run(RefRun *run, Arena *arena, const void **values)
{
    return run_graph(run, arena, values, NULL, NULL);
}

bool ref_visit(RefRun *run, Arena *arena,
               void (*visit)(void *user, const Node *node, const void *data), void *visitor)
{
    return run_graph(run, arena, NULL, visit, visitor);
}
