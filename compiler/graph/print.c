/* Graphs as text (graph.h shows the form). In: a graph; out: one line per live node and per root.
 * Dead nodes are left out and the others numbered densely in order, so the text is the same for
 * every graph that computes the same in the same order. */
#include "compiler/graph/attr.h"
#include "compiler/graph/attr_value.h"

static void print_node(const Graph *graph, const Node *node, const uint32_t *number, StrBuf *out)
{
    strbuf_printf(out, "  %%%u = %s", number[node->id], op_info[node->op].text);
    for (int i = 0; i < node->nsrc; i++)
        strbuf_printf(out, " %%%u", number[node->src[i]->id]);
    if (node->attr.kind != AT_NONE) {
        strbuf_add(out, " {");
        attr_print(graph->dims, &node->attr, out);
        strbuf_add(out, "}");
    }
    strbuf_add(out, " : ");
    type_print(graph->dims, &node->type, out);
    strbuf_add(out, "\n");
}

void graph_print(const Graph *graph, StrBuf *out)
{
    Arena *scratch = arena_new();
    uint8_t *live = graph_live(graph, scratch);
    uint32_t *number = ARENA_ARRAY(scratch, uint32_t, graph->nodes.count + 1), count = 0;
    strbuf_add(out, "graph ");
    print_name(graph->name, out);
    strbuf_add(out, " {\n");
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        if (!live[i])
            continue;
        number[i] = count++;
        print_node(graph, graph->nodes.data[i], number, out);
    }
    for (uint32_t i = 0; i < graph->roots.count; i++) {
        const Root *root = &graph->roots.data[i];
        strbuf_add(out, root->kind == ROOT_OUTPUT ? "  output " : "  update ");
        print_name(root->name, out);
        strbuf_printf(out, " = %%%u\n", number[root->node->id]);
    }
    strbuf_add(out, "}\n");
    arena_free(scratch);
}
