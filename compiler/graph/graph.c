/* Graphs (graph.h): the table of nodes. In: an operation, operands and an attribute; out: the node
 * that stands for it in this graph, made when it is new. Equality is of the operation, the operand
 * nodes and the bytes of the attribute (attr.h); operands of commuting operations are sorted first,
 * so x + y and y + x are one node. */
#include "compiler/graph/graph.h"
#include "compiler/graph/attr.h"
#include "compiler/graph/mixed.h"
#include "runtime/base/bug.h"
#include "runtime/base/rng.h"

#include <stdlib.h>
#include <string.h>

Graph *graph_new(Arena *arena, DimTable *dims, const char *name)
{
    Graph *graph = ARENA_NEW(arena, Graph);
    graph->name = arena_string(arena, name);
    graph->arena = arena;
    graph->dims = dims;
    return graph;
}

/* The node being looked for: its attribute as bytes beside it. */
typedef struct {
    Node node;
    StrBuf key;
} Candidate;

static uint32_t hash_candidate(const Candidate *c)
{
    uint64_t hash = (uint64_t)c->node.op;
    for (int i = 0; i < c->node.nsrc; i++)
        hash = rng_hash(&c->node.src[i]->id, sizeof c->node.src[i]->id, hash);
    hash = rng_hash(c->key.text, c->key.length, hash);
    return (uint32_t)(hash ^ hash >> 32);
}

static bool same_node(const Node *old, const Candidate *c)
{
    if (old->hash != c->node.hash || old->op != c->node.op || old->nsrc != c->node.nsrc)
        return false;
    for (int i = 0; i < old->nsrc; i++)
        if (old->src[i] != c->node.src[i])
            return false;
    if (old->attr.kind == AT_NONE)
        return true;
    StrBuf key = {0};
    attr_encode(&old->attr, &key);
    bool same = key.length == c->key.length && memcmp(key.text, c->key.text, key.length) == 0;
    strbuf_free(&key);
    return same;
}

static void grow_buckets(Graph *graph)
{
    uint32_t size = graph->buckets.count == 0 ? 256 : graph->buckets.count * 2;
    graph->buckets.data = ARENA_ARRAY(graph->arena, Node *, size);
    graph->buckets.count = graph->buckets.cap = size;
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        Node *node = graph->nodes.data[i];
        Node **bucket = &graph->buckets.data[node->hash & (size - 1)];
        node->chain = *bucket;
        *bucket = node;
    }
}

static Node *find_node(const Graph *graph, const Candidate *c)
{
    if (graph->buckets.count == 0)
        return NULL;
    for (Node *node = graph->buckets.data[c->node.hash & (graph->buckets.count - 1)]; node != NULL;
         node = node->chain)
        if (same_node(node, c))
            return node;
    return NULL;
}

static void note_loop(Graph *graph, const Attr *attr)
{
    uint32_t id = 0;
    if (attr->kind == AT_LOOP)
        id = attr->loop.id + 1;
    else if (attr->kind == AT_BRANCH)
        id = attr->branch.id + 1;
    else if (attr->kind == AT_CARRY || attr->kind == AT_AT)
        id = (attr->kind == AT_AT ? attr->at.loop : attr->carry.loop) + 1;
    else if (attr->kind == AT_ENTER)
        id = attr->enter.branch + 1;
    graph->next_loop = id > graph->next_loop ? id : graph->next_loop;
}

uint32_t graph_next_loop(Graph *graph)
{
    return graph->next_loop++;
}

static Node *keep_node(Graph *graph, const Node *found)
{
    Node *node = arena_copy(graph->arena, found, sizeof *found);
    AttrWalk walk = {.mode = WALK_COPY, .arena = graph->arena};
    node->src = found->nsrc > 0
                    ? arena_copy(graph->arena, found->src, found->nsrc * sizeof *found->src)
                    : NULL;
    attr_walk(&walk, &node->attr);
    if (graph->nodes.count >= graph->buckets.count)
        grow_buckets(graph);
    Node **bucket = &graph->buckets.data[node->hash & (graph->buckets.count - 1)];
    node->id = graph->nodes.count;
    node->span = graph->span;
    node->chain = *bucket;
    *bucket = node;
    vec_push(graph->arena, &graph->nodes, node);
    note_loop(graph, &node->attr);
    return node;
}

static void sort_by_id(Node **src, int count)
{
    for (int i = 1; i < count; i++) {
        for (int j = i; j > 0 && src[j - 1]->id > src[j]->id; j--) {
            Node *node = src[j];
            src[j] = src[j - 1];
            src[j - 1] = node;
        }
    }
}

static void settle_constant(Attr *attr)
{
    DType dtype = attr->constant.type.dtype;
    if (dtype_is_float(dtype)) {
        attr->constant.value.f = dtype_round(dtype, attr->constant.value.f);
        return;
    }
    switch (dtype) {
    case DT_I8:
        attr->constant.value.i = (int8_t)attr->constant.value.i;
        break;
    case DT_I32:
        attr->constant.value.i = (int32_t)attr->constant.value.i;
        break;
    case DT_U8:
        attr->constant.value.i = (uint8_t)attr->constant.value.i;
        break;
    case DT_BOOL:
        attr->constant.value.i = attr->constant.value.i != 0;
        break;
    default:
        break;
    }
}

/* The attribute with the one spelling of its value: constants are what their type keeps of them. */
static Attr settle_attr(OpCode op, const Attr *attr)
{
    Attr settled = {.kind = AT_NONE};
    NNC_ASSERT(attr != NULL || op_info[op].attr == AT_NONE);
    if (attr != NULL && op_info[op].attr != AT_NONE) {
        settled = *attr;
        NNC_ASSERT(attr->kind == op_info[op].attr);
    }
    if (settled.kind == AT_CONST)
        settle_constant(&settled);
    return settled;
}

static bool operands_fit(Graph *graph, OpCode op, Node *const *src, int nsrc)
{
    const OpInfo *info = &op_info[op];
    for (int i = 0; i < nsrc; i++) {
        if (src[i] == NULL)
            return false;
        NNC_ASSERT(src[i]->id < graph->nodes.count && graph->nodes.data[src[i]->id] == src[i]);
    }
    if (nsrc >= info->min && (info->max == MANY ? nsrc <= UINT16_MAX : nsrc <= info->max))
        return true;
    graph->error = arena_format(graph->arena, "%s takes %d operand%s, not %d", info->text,
                                info->min, info->min == 1 ? "" : "s", nsrc);
    return false;
}

/* Every size of the result exists, is not negative where it is known, and so is their product. */
static const char *check_sizes(Graph *graph, const Type *type)
{
    int64_t size;
    for (int i = 0; i < type->rank; i++) {
        if (type->dims[i] == NULL)
            return "a size is too large for 64 bits";
        if (dim_is_const(type->dims[i], &size) && size < 0)
            return "a size is negative";
    }
    return type_elements(graph->dims, type) == NULL ? "a tensor is too large for 64 bits" : NULL;
}

Node *graph_node(Graph *graph, OpCode op, Node *const *src, int nsrc, const Attr *attr)
{
    if (!operands_fit(graph, op, src, nsrc))
        return NULL;
    Node *mixed =
        dtype_is_small_float(graph->products) ? graph_mixed(graph, op, src, nsrc, attr) : NULL;
    if (mixed != NULL)
        return mixed;
    Candidate c = {.node = {.op = op, .nsrc = (uint16_t)nsrc, .attr = settle_attr(op, attr)}};
    Node *few[4], **sorted = nsrc <= 4 ? few : ARENA_ARRAY(graph->arena, Node *, nsrc);
    for (int i = 0; i < nsrc; i++)
        sorted[i] = src[i];
    if (op_info[op].flags & FLAG_COMMUTES)
        sort_by_id(sorted, nsrc);
    c.node.src = sorted;
    /* The rule comes first: it also vouches that the dims of the attribute exist. */
    const char *wrong = op_info[op].shape(graph, &c.node, &c.node.type);
    if (wrong == NULL)
        wrong = check_sizes(graph, &c.node.type);
    if (wrong != NULL) {
        graph->error = wrong;
        return NULL;
    }
    attr_encode(&c.node.attr, &c.key);
    c.node.hash = hash_candidate(&c);
    Node *node = find_node(graph, &c);
    if (node == NULL)
        node = keep_node(graph, &c.node);
    strbuf_free(&c.key);
    return node;
}

Node *graph_copy_node(Graph *graph, const Node *old, Node *const *map)
{
    Node *few[4], **src = old->nsrc <= 4 ? few : ARENA_ARRAY(graph->arena, Node *, old->nsrc);
    Span before = graph->span;
    for (int i = 0; i < old->nsrc; i++)
        src[i] = map[old->src[i]->id];
    graph->span = old->span;
    Node *node = graph_node(graph, old->op, src, old->nsrc, &old->attr);
    graph->span = before;
    return node;
}

void graph_root(Graph *graph, RootKind kind, const char *name, Node *node)
{
    NNC_ASSERT(node != NULL && graph->nodes.data[node->id] == node);
    vec_push(graph->arena, &graph->roots, (Root){kind, arena_string(graph->arena, name), node});
}

Node *graph_root_find(const Graph *graph, RootKind kind, const char *name)
{
    for (uint32_t i = 0; i < graph->roots.count; i++)
        if (graph->roots.data[i].kind == kind && strcmp(graph->roots.data[i].name, name) == 0)
            return graph->roots.data[i].node;
    return NULL;
}

bool graph_written(const Graph *graph, const Node *node)
{
    return (node->op == OP_PARAM || node->op == OP_STATE) &&
           graph_root_find(graph, ROOT_UPDATE, node->attr.leaf.name) != NULL;
}

uint8_t *graph_live(const Graph *graph, Arena *arena)
{
    uint8_t *live = ARENA_ARRAY(arena, uint8_t, graph->nodes.count + 1);
    for (uint32_t i = 0; i < graph->roots.count; i++)
        live[graph->roots.data[i].node->id] = 1;
    for (uint32_t i = 0; i < graph->nodes.count; i++)
        live[i] |= graph_written(graph, graph->nodes.data[i]);
    for (uint32_t i = graph->nodes.count; i-- > 0;)
        for (int j = 0; live[i] && j < graph->nodes.data[i]->nsrc; j++)
            live[graph->nodes.data[i]->src[j]->id] = 1;
    return live;
}

/* Marks the symbols of a dim in the byte array `user`. */
static void mark_symbols(void *user, const Dim **dim)
{
    uint8_t *used = user;
    for (uint32_t i = 0; i < (*dim)->count; i++) {
        for (uint32_t j = 0; j < (*dim)->terms[i].count; j++) {
            const DimAtom *atom = (*dim)->terms[i].factors[j];
            if (atom->kind == DIM_SYMBOL) {
                used[atom->symbol] = 1;
            } else {
                const Dim *left = atom->left, *right = atom->right;
                mark_symbols(used, &left);
                mark_symbols(used, &right);
            }
        }
    }
}

uint32_t graph_symbols(const Graph *graph, Arena *arena, uint32_t **symbols)
{
    uint32_t total = dim_symbol_count(graph->dims), count = 0;
    uint8_t *used = ARENA_ARRAY(arena, uint8_t, total + 1), *live = graph_live(graph, arena);
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        Node *node = graph->nodes.data[i];
        if (!live[i])
            continue;
        attr_dims(&node->attr, mark_symbols, used);
        for (int j = 0; j < node->type.rank; j++)
            mark_symbols(used, &node->type.dims[j]);
    }
    *symbols = ARENA_ARRAY(arena, uint32_t, total + 1);
    for (uint32_t i = 0; i < total; i++)
        if (used[i])
            (*symbols)[count++] = i;
    return count;
}

/* Types */

bool type_equal(const Type *a, const Type *b)
{
    for (int i = 0; a->rank == b->rank && i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return a->rank == b->rank && a->dtype == b->dtype;
}

const Dim *type_elements(DimTable *dims, const Type *type)
{
    return dim_product(dims, type->dims, type->rank);
}

void type_print(const DimTable *dims, const Type *type, StrBuf *out)
{
    strbuf_add(out, dtype_name(type->dtype));
    for (int i = 0; i < type->rank; i++) {
        strbuf_add(out, i == 0 ? "[" : ", ");
        dim_print(dims, type->dims[i], out);
    }
    if (type->rank > 0)
        strbuf_add(out, "]");
}
