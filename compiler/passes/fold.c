/* fold: constants are computed now. In: any graph. Out: an equal one, bit for bit, since the
 * interpreter does the computing.
 *
 *   %0 = const 3 : f32[B, 4]
 *   %1 = exp %0 : f32[B, 4]       => const 20.085537 : f32[B, 4]    one element stands for all
 *   %2 = dim {B} : i64
 *   %3 = mul %2 %2 : i64          => dim {B*B}                      dimensions stay symbolic
 *
 * Other nodes are evaluated when their operands are constant and small. What would fail at run time
 * is left to fail there. */
#include "compiler/graph/build.h"
#include "compiler/passes/pass_list.h"
#include "compiler/ref/ref.h"
#include "runtime/base/scalar.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_READ = 65536, MAX_KEPT = 1024 }; /* elements of an operand, of a literal that results */

static bool has_elements_up_to(Graph *g, const Type *type, int64_t most, int64_t *elements)
{
    return dim_is_const(type_elements(g->dims, type), elements) && *elements > 0 &&
           *elements <= most;
}

static bool is_constant(const Node *node)
{
    return node->op == OP_CONST || node->op == OP_LITERAL;
}

/* The value of a one-node graph, in scratch memory; NULL: it failed. */
static const void *evaluate(const Graph *mini, Node *node, Arena *scratch)
{
    Graph run_graph = *mini;
    graph_root(&run_graph, ROOT_OUTPUT, "value", node);
    int64_t *symbols = ARENA_ARRAY(scratch, int64_t, dim_symbol_count(mini->dims) + 1);
    RefRun run = {.graph = &run_graph, .symbols = symbols};
    const void *value = NULL;
    return ref_run(&run, scratch, &value) ? value : NULL;
}

static Attr constant_of(const Type *type, const void *value)
{
    Attr attr = {.kind = AT_CONST, .constant.type = *type};
    bool real = dtype_is_float(type->dtype);
    void *to = real ? (void *)&attr.constant.value.f : (void *)&attr.constant.value.i;
    scalar_convert(type->dtype, real ? DT_F64 : DT_I64, value, to, 1);
    return attr;
}

static Node *constant_or_literal(Graph *g, const Type *type, const void *value, int64_t elements)
{
    const size_t bytes = dtype_bytes(type->dtype), total = bytes * (size_t)elements;
    if (total == bytes || !memcmp(value, (const char *)value + bytes, total - bytes)) {
        Attr constant = constant_of(type, value);
        return graph_node(g, OP_CONST, NULL, 0, &constant);
    }
    if (elements > MAX_KEPT)
        return NULL;
    Attr literal = {.kind = AT_LITERAL, .literal = {*type, value, total}};
    return graph_node(g, OP_LITERAL, NULL, 0, &literal);
}

/* An elementwise operation on consts, computed once for all elements. */
static Node *fold_uniform(Graph *g, const Node *n, Arena *scratch)
{
    Graph *mini = graph_new(scratch, g->dims, "fold");
    Node *src[3];
    for (int i = 0; i < n->nsrc; i++) {
        if (n->src[i]->op != OP_CONST)
            return NULL;
        Attr scalar = n->src[i]->attr;
        scalar.constant.type.rank = 0;
        src[i] = graph_node(mini, OP_CONST, NULL, 0, &scalar);
    }
    Node *node = graph_node(mini, n->op, src, n->nsrc, &n->attr);
    const void *value = node ? evaluate(mini, node, scratch) : NULL;
    if (!value)
        return NULL;
    Attr constant = constant_of(&n->type, value);
    return graph_node(g, OP_CONST, NULL, 0, &constant);
}

static Node *fold_small(Graph *g, const Node *n, Arena *scratch)
{
    Graph *mini = graph_new(scratch, g->dims, "fold");
    int64_t elements;
    if (!has_elements_up_to(g, &n->type, MAX_READ, &elements))
        return NULL;
    Node **src = ARENA_ARRAY(scratch, Node *, n->nsrc);
    for (int i = 0; i < n->nsrc; i++) {
        int64_t read;
        if (!is_constant(n->src[i]) || !has_elements_up_to(g, &n->src[i]->type, MAX_READ, &read))
            return NULL;
        src[i] = graph_node(mini, n->src[i]->op, NULL, 0, &n->src[i]->attr);
    }
    Node *node = graph_node(mini, n->op, src, n->nsrc, &n->attr);
    const void *value = node ? evaluate(mini, node, scratch) : NULL;
    return value ? constant_or_literal(g, &n->type, value, elements) : NULL;
}

/* The dimension that an i64 scalar is, or NULL. */
static const Dim *dim_of(Graph *g, const Node *n)
{
    if (n->type.dtype != DT_I64 || n->type.rank != 0)
        return NULL;
    if (n->op == OP_DIM)
        return n->attr.shape.dims[0];
    return n->op == OP_CONST ? dim_const(g->dims, n->attr.constant.value.i) : NULL;
}

static Node *fold_dims(Graph *g, const Node *n)
{
    typedef const Dim *DimFunction(DimTable *, const Dim *, const Dim *);
    static const struct {
        OpCode op;
        DimFunction *function;
    } rules[] = {{OP_ADD, dim_add},
                 {OP_SUB, dim_sub},
                 {OP_MUL, dim_mul},
                 {OP_MAX, dim_max},
                 {OP_FLOORDIV, dim_floordiv}};
    int64_t divisor;
    const Dim *x = n->nsrc == 2 ? dim_of(g, n->src[0]) : NULL, *y = x ? dim_of(g, n->src[1]) : NULL;
    if (!y || (n->op == OP_FLOORDIV && !(dim_is_const(y, &divisor) && divisor > 0)))
        return NULL;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const Dim *result = rules[i].op == n->op ? rules[i].function(g->dims, x, y) : NULL;
        if (result)
            return build_dim(g, result, DT_I64);
    }
    return NULL;
}

static Node *fold_node(PassContext *context, Graph *g, Node *n)
{
    const OpClass op_class = op_info[n->op].op_class;
    int64_t value;
    if (n->op == OP_DIM && dim_is_const(n->attr.shape.dims[0], &value) && llabs(value) <= 1LL << 53)
        return build_const(g, n->type, (double)value);
    if (op_class == CLASS_LEAF || op_class == CLASS_CALL || op_class == CLASS_LOOP)
        return NULL;
    Node *folded = fold_dims(g, n);
    if (!folded && op_class == CLASS_ELEMENTWISE)
        folded = fold_uniform(g, n, context->scratch);
    return folded ? folded : fold_small(g, n, context->scratch);
}

Graph *pass_fold(PassContext *context, const Graph *old)
{
    Graph *g = pass_new_graph(old);
    const uint8_t *live = graph_live(old, context->scratch);
    Node **map = ARENA_ARRAY(context->scratch, Node *, old->nodes.count + 1);
    for (uint32_t id = 0; id < old->nodes.count; id++) {
        if (!live[id])
            continue;
        Node *node = graph_copy_node(g, old->nodes.data[id], map);
        g->span = node->span;
        Node *folded = fold_node(context, g, node);
        if (folded)
            pass_count(context, "evaluated");
        map[id] = folded ? folded : node;
    }
    pass_copy_roots(g, old, map);
    return g;
}
