/* Faults of a graph, one per line. What graph_node promises is proved again, because passes build
 * graphs from graphs: operands come before their users, every type is the one of the shape rule, a
 * name has one leaf, an update has the type of its leaf, and no two nodes are equal. The live nodes
 * make sound regions (region.h), roots are outside of all, and a carry or at fits its loop. */
#include "compiler/graph/attr.h"
#include "compiler/graph/region.h"

#include <string.h>

typedef struct {
    const Graph *graph;
    StrBuf *out;
    bool good;
} Verifier;

static void fault(Verifier *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fault(Verifier *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (v->out != NULL) {
        strbuf_vprintf(v->out, format, args);
        strbuf_add(v->out, "\n");
    }
    va_end(args);
    v->good = false;
}

static bool verify_operands(Verifier *v, const Node *node, uint32_t place)
{
    const OpInfo *info = &op_info[node->op];
    if (node->id != place)
        fault(v, "node %u has number %u", place, node->id);
    if (node->nsrc < info->min || (info->max != MANY && node->nsrc > info->max))
        fault(v, "%%%u: %s has %d operands", place, info->text, node->nsrc);
    if (node->attr.kind != info->attr)
        fault(v, "%%%u: %s has an attribute of another kind", place, info->text);
    for (int i = 0; i < node->nsrc; i++)
        if (node->src[i]->id >= place || v->graph->nodes.data[node->src[i]->id] != node->src[i])
            fault(v, "%%%u: operand %d is not an earlier node of this graph", place, i);
    if (info->flags & FLAG_COMMUTES && node->nsrc == 2 && node->src[0]->id > node->src[1]->id)
        fault(v, "%%%u: operands of %s are not sorted", place, info->text);
    return v->good;
}

static void verify_type(Verifier *v, const Node *node)
{
    Type type = {0};
    const char *wrong = op_info[node->op].shape((Graph *)v->graph, node, &type);
    if (wrong != NULL)
        fault(v, "%%%u: %s", node->id, wrong);
    else if (!type_equal(&type, &node->type))
        fault(v, "%%%u: the type is not the one of the shape rule of %s", node->id,
              op_info[node->op].text);
}

static void verify_unique(Verifier *v, const Node *node)
{
    const Graph *graph = v->graph;
    bool found = false;
    for (const Node *other = graph->buckets.data[node->hash & (graph->buckets.count - 1)];
         other != NULL; other = other->chain) {
        found |= other == node;
        if (other == node || other->hash != node->hash || other->op != node->op ||
            other->nsrc != node->nsrc ||
            (node->nsrc > 0 && memcmp(other->src, node->src, node->nsrc * sizeof *node->src) != 0))
            continue;
        if (other->id < node->id && attr_equal(&other->attr, &node->attr))
            fault(v, "%%%u repeats %%%u", node->id, other->id);
    }
    if (!found)
        fault(v, "%%%u is not in the table of nodes", node->id);
}

static const Node *find_leaf(const Graph *graph, const char *name, const Node *other_than)
{
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.data[i];
        if (node != other_than && node->attr.kind == AT_LEAF &&
            strcmp(node->attr.leaf.name, name) == 0)
            return node;
    }
    return NULL;
}

static void verify_root(Verifier *v, uint32_t index)
{
    const Root *root = &v->graph->roots.data[index];
    if (root->node->id >= v->graph->nodes.count ||
        v->graph->nodes.data[root->node->id] != root->node) {
        fault(v, "root %s is not a node of this graph", root->name);
        return;
    }
    for (uint32_t i = 0; i < index; i++)
        if (v->graph->roots.data[i].kind == root->kind &&
            strcmp(v->graph->roots.data[i].name, root->name) == 0)
            fault(v, "two roots are called %s", root->name);
    if (root->kind != ROOT_UPDATE)
        return;
    const Node *leaf = find_leaf(v->graph, root->name, NULL);
    if (leaf != NULL && leaf->op == OP_INPUT)
        fault(v, "the input %s is updated", root->name);
    if (leaf != NULL && !type_equal(&leaf->type, &root->node->type))
        fault(v, "the update of %s has another type than its leaf", root->name);
}

static void verify_in_loop(Verifier *v, const Node *node, const Node *loop)
{
    if (node->op == OP_CARRY && node->attr.carry.index >= loop->nsrc / 2)
        fault(v, "%%%u: loop %u has no value number %d", node->id, loop->attr.loop.id,
              node->attr.carry.index);
    else if (node->op == OP_CARRY &&
             !type_equal(&node->type, &loop->src[node->attr.carry.index]->type))
        fault(v, "%%%u: its first value has another type", node->id);
    if (node->op == OP_AT && node->src[0]->type.dims[0] != loop->attr.loop.length)
        fault(v, "%%%u: what it walks along is not as long as loop %u", node->id,
              loop->attr.loop.id);
}

static void verify_regions(Verifier *v, Arena *scratch)
{
    const Graph *graph = v->graph;
    const uint8_t *live = graph_live(graph, scratch);
    const char *wrong = NULL;
    const Regions *regions = regions_find(graph, live, scratch, &wrong);
    const Node **closers = graph_closers(graph, live, scratch);
    if (regions == NULL) {
        fault(v, "%s", wrong);
        return;
    }
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.data[i];
        if (live[i] && node->op == OP_CARRY)
            verify_in_loop(v, node, closers[node->attr.carry.loop]);
        if (live[i] && node->op == OP_AT)
            verify_in_loop(v, node, closers[node->attr.at.loop]);
    }
    for (uint32_t i = 0; i < graph->roots.count; i++)
        if (regions->of[graph->roots.data[i].node->id] != 0)
            fault(v, "root %s is inside of a loop or branch", graph->roots.data[i].name);
}

bool graph_verify(const Graph *graph, StrBuf *out)
{
    Verifier v = {graph, out, true};
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.data[i];
        if (!verify_operands(&v, node, i))
            return false; /* the rules below follow operands */
        verify_type(&v, node);
        verify_unique(&v, node);
        if (node->attr.kind == AT_LEAF) {
            const Node *other = find_leaf(graph, node->attr.leaf.name, node);
            if (other != NULL && other->id < node->id)
                fault(&v, "%%%u and %%%u are both called %s", other->id, node->id,
                      node->attr.leaf.name);
        }
    }
    for (uint32_t i = 0; i < graph->roots.count; i++)
        verify_root(&v, i);
    if (v.good && graph->next_loop > 0) {
        Arena *scratch = arena_new();
        verify_regions(&v, scratch);
        arena_free(scratch);
    }
    return v.good;
}
