/* The map of a dataset inside of a step: its graph of one example is given the axis B
 * (passes/batch.h) and copied into the graph that uses the rows. */
#include "compiler/sema/batch.h"

#include "compiler/passes/batch.h"

const char *batch_into(Graph *one, Graph *to, const Dim *batch, Node *const *wanted, uint32_t count,
                       Node **out)
{
    static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    Arena *arena = to->arena;
    Span at = to->span;
    for (uint32_t i = 0; i < count; i++)
        graph_root(one, ROOT_OUTPUT, i < 10 ? names[i] : arena_format(arena, "%u", i), wanted[i]);
    Graph *rows = batch_graph(one, batch);
    if (!rows)
        return one->error ? one->error : "this";
    Node **map = ARENA_ARRAY(arena, Node *, rows->nodes.count + 1);
    const uint8_t *live = graph_live(rows, arena);
    for (uint32_t i = 0; i < rows->nodes.count; i++) {
        to->span = rows->nodes.data[i]->span;
        if (live[i] && !(map[i] = graph_copy_node(to, rows->nodes.data[i], map)))
            return to->error ? to->error : "this";
    }
    for (uint32_t i = 0; i < count; i++)
        out[i] =
            map[graph_root_find(rows, ROOT_OUTPUT, i < 10 ? names[i] : arena_format(arena, "%u", i))
                    ->id];
    to->span = at;
    return NULL;
}
