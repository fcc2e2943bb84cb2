/* widen: arithmetic on f16 and bf16 becomes arithmetic on f32 between conversions. In: any graph.
 * Out: an equal one, bit for bit, where these types are only stored, moved, selected and converted
 * (compiler/graph/widen.c says what an operation on them means). Everything behind this pass knows
 * f32 only, and a chain that is fused into one kernel still rounds where the graph says so. */
#include "compiler/passes/pass_list.h"

Graph *pass_widen(PassContext *context, const Graph *old)
{
    Graph *graph = pass_new_graph(old);
    const uint8_t *live = graph_live(old, context->scratch);
    Node **map = ARENA_ARRAY(context->scratch, Node *, old->nodes.count + 1);
    for (uint32_t id = 0; id < old->nodes.count; id++) {
        const Node *node = old->nodes.data[id];
        if (!live[id])
            continue;
        if (!node_computes_small(node)) {
            map[id] = graph_copy_node(graph, node, map);
            continue;
        }
        Node *src[3] = {NULL, NULL, NULL};
        for (int i = 0; i < node->nsrc; i++)
            src[i] = map[node->src[i]->id];
        graph->span = node->span;
        map[id] = graph_widened(graph, node, src);
        pass_count(context, "widen");
    }
    pass_copy_roots(graph, old, map);
    return graph;
}
