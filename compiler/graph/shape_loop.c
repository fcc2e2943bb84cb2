/* Shape rules of loops and branches. They see one node and its operands; what holds between the
 * nodes of one loop (its numbers, its body) is the business of region.c and verify.c.
 *
 *   at    f32[T, B, X] {0}                ->  f32[B, X]
 *   loop  f32[B, H], f32[B, H] {0, T}     ->  bool
 *   final bool {0}                        ->  f32[B, H]
 *   stack bool, f32[B, H]                 ->  f32[T, B, H] */
#include "compiler/graph/shape.h"

const char *shape_carry(Graph *graph, const Node *n, Type *out)
{
    (void)graph;
    *out = n->attr.carry.type;
    return NULL;
}

const char *shape_at(Graph *graph, const Node *n, Type *out)
{
    const Type *x = &n->src[0]->type;
    if (x->rank == 0)
        return shape_refuse(graph, "%s has no axis to walk along", shape_type_text(graph, x));
    *out = (Type){.dtype = x->dtype, .rank = x->rank - 1};
    for (int i = 0; i < out->rank; i++)
        out->dims[i] = x->dims[i + 1];
    return NULL;
}

/* Operands first .. first+count-1 have the types of the next count ones. */
static const char *want_pairs(Graph *graph, const Node *n, int first, const char *text)
{
    int count = (n->nsrc - first) / 2;
    if ((n->nsrc - first) % 2 != 0)
        return shape_refuse(graph, "%s has an operand without its pair", op_info[n->op].text);
    for (int i = first; i < first + count; i++) {
        const Type *a = &n->src[i]->type, *b = &n->src[i + count]->type;
        if (!type_equal(a, b))
            return shape_refuse(graph, text, shape_type_text(graph, a), shape_type_text(graph, b));
    }
    return NULL;
}

static bool is_condition(const Node *n)
{
    return n->type.dtype == DT_BOOL && n->type.rank == 0;
}

const char *shape_loop(Graph *graph, const Node *n, Type *out)
{
    const LoopAttr *loop = &n->attr.loop;
    int64_t length;
    const char *wrong =
        want_pairs(graph, n, 0, "a value of the loop begins as %s and becomes %s");
    if (wrong != NULL)
        return wrong;
    if (loop->length == NULL)
        return shape_overflow(graph);
    if (dim_is_const(loop->length, &length) && length < 0)
        return "the length of a loop is negative";
    if (loop->conditional && (n->nsrc == 0 || !is_condition(n->src[0])))
        return shape_refuse(graph, "the condition of a loop is a bool, not %s",
                            n->nsrc == 0 ? "missing" : shape_type_text(graph, &n->src[0]->type));
    *out = (Type){.dtype = DT_BOOL};
    return NULL;
}

const char *shape_final(Graph *graph, const Node *n, Type *out)
{
    const Node *token = n->src[0];
    int first = token->op == OP_BRANCH, count = (token->nsrc - first) / 2;
    if (token->op != OP_BRANCH && token->op != OP_LOOP)
        return shape_refuse(graph, "final is of a loop or branch, not of %s",
                            op_info[token->op].text);
    if (n->attr.final.index >= count)
        return shape_refuse(graph, "there are %d results, none is number %d", count,
                            n->attr.final.index);
    *out = token->src[first + n->attr.final.index]->type;
    return NULL;
}

const char *shape_stack(Graph *graph, const Node *n, Type *out)
{
    const Node *token = n->src[0], *value = n->src[1];
    int64_t length;
    if (token->op != OP_LOOP)
        return shape_refuse(graph, "stack is of a loop, not of %s", op_info[token->op].text);
    if (dim_is_const(token->attr.loop.length, &length) && length >= LOOP_UNBOUNDED)
        return "the values of a loop without a bound cannot be kept";
    if (value->type.rank == MAX_RANK)
        return shape_refuse(graph, "the values of a loop would have more than %d dimensions",
                            MAX_RANK);
    *out = (Type){.dtype = value->type.dtype, .rank = value->type.rank + 1};
    out->dims[0] = token->attr.loop.length;
    for (int i = 0; i < value->type.rank; i++)
        out->dims[i + 1] = value->type.dims[i];
    return NULL;
}

const char *shape_enter(Graph *graph, const Node *n, Type *out)
{
    (void)graph;
    *out = n->src[0]->type;
    return NULL;
}

const char *shape_branch(Graph *graph, const Node *n, Type *out)
{
    if (!is_condition(n->src[0]))
        return shape_refuse(graph, "a condition is a bool, not %s",
                            shape_type_text(graph, &n->src[0]->type));
    *out = (Type){.dtype = DT_BOOL};
    return want_pairs(graph, n, 1, "one side of the condition gives %s, the other %s");
}
