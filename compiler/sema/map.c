/* The map of a dataset: from the fields of one example to what the model sees.
 *
 * It is checked for one example. Then each of its results goes one of two ways:
 *
 *   into the step   given the axis B (batch.h), it becomes a part of the graph that uses the rows:
 *                   no pass over memory of its own
 *   to the loader   a function of one row, run by threads ahead of the step; the step has its
 *                   result as an input
 *
 *   fn map(image, label) { (random_flip(f32(image)), i32(label)) }
 *     step:    input map.image f32[B, 1, 28, 28], input label u8[B], convert
 *     loader:  input image u8[1, 28, 28], convert, random .. -> output map.image f32[1, 28, 28]
 *
 * To the loader goes a result behind which a random number is drawn, because the numbers of a row
 * must not depend on its batch; and all results when one of them cannot be given the axis B (a
 * while, a host function, what may fail in one side of a decision). */
#include "compiler/sema/batch.h"
#include "compiler/sema/dataset.h"

#include <string.h>

enum { MAP_RESULTS = 64 };

typedef struct {
    Value values[MAP_RESULTS];
    const char *names[MAP_RESULTS];
    Node *nodes[MAP_RESULTS];
    bool loaded[MAP_RESULTS];
    uint32_t count;
} MapResults;

/* ---- One example ---- */

static bool map_arguments(Sema *s, DatasetWork *work, const AstFunction *map, Args *args)
{
    Scope *rows = scope_new(s, work->decl->file->scope);
    const char **fields = ARENA_ARRAY(s->arena, const char *, work->plan.fields.count + 1);
    dataset_declare_fields(s, &work->plan, rows, NULL);
    for (uint32_t i = 0; i < work->plan.fields.count; i++)
        fields[i] = work->plan.fields.data[i].name;
    *args = (Args){ARENA_ARRAY(s->arena, Arg, map->parameters.count + 1), map->parameters.count};
    for (uint32_t i = 0; i < map->parameters.count; i++) {
        AstName name = map->parameters.data[i].name;
        Binding *field = scope_find_local(rows, name.text);
        if (!field) {
            sema_unknown(s, ERR_E0100, name.span, "the dataset has no field", name.text, fields,
                         work->plan.fields.count);
            return false;
        }
        args->data[i] = (Arg){.value = field->value, .span = name.span};
    }
    return true;
}

static bool name_results(Sema *s, const AstFunction *map, const Value *v, MapResults *results)
{
    const char *const *given = v->kind == VALUE_TUPLE ? v->as.list->names : NULL;
    if (!given && results->count != map->parameters.count) {
        DiagItem *item =
            sema_error(s, ERR_E0207, map->header, NULL, "map takes %u fields and gives %u values",
                       map->parameters.count, results->count);
        diag_help(item, "name the results: -> (x: f32[3], y: i32)");
        return false;
    }
    for (uint32_t i = 0; i < results->count; i++) {
        results->values[i] = v->kind == VALUE_TUPLE ? v->as.list->items[i] : *v;
        results->names[i] = given && given[i]           ? given[i]
                            : i < map->parameters.count ? map->parameters.data[i].name.text
                                                        : "?";
    }
    return true;
}

/* The map of one example: its results by name, as nodes of the current graph. */
static bool run_map(Sema *s, DatasetWork *work, const AstFunction *map, MapResults *results)
{
    Scope *scope = scope_new(s, work->decl->file->scope);
    Args args;
    dataset_declare_stats(s, &work->plan, scope);
    dataset_lets(s, work->decl, scope);
    if (!map_arguments(s, work, map, &args))
        return false;
    Closure closure = {.function = map, .name = "map", .scope = scope, .file = work->decl->file};
    Value v = call_closure(s, &closure, &args, map->header);
    if (v.kind == VALUE_POISON)
        return false;
    results->count = v.kind == VALUE_TUPLE ? v.as.list->count : 1;
    if (!name_results(s, map, &v, results))
        return false;
    for (uint32_t i = 0; i < results->count; i++) {
        results->nodes[i] = value_node(s, &results->values[i], DT_COUNT, map->header);
        if (!results->nodes[i])
            return false;
    }
    return true;
}

/* ---- Step or loader ---- */

/* Is a random number drawn behind x? */
static bool is_drawn(Sema *s, const Graph *graph, const Node *x)
{
    uint8_t *needed = ARENA_ARRAY(s->arena, uint8_t, x->id + 1);
    needed[x->id] = 1;
    for (uint32_t id = x->id + 1; id-- > 0;) {
        const Node *node = graph->nodes.data[id];
        if (!needed[id])
            continue;
        if (node->op == OP_RANDOM)
            return true;
        for (int i = 0; i < node->nsrc; i++)
            needed[node->src[i]->id] = 1;
    }
    return false;
}

/* The loaded results as a function of one row; NULL: there are none. */
static Graph *loaded_graph(Sema *s, const Graph *one, const MapResults *results)
{
    Graph *graph = graph_new(s->arena, s->dims, "map");
    Node **map = ARENA_ARRAY(s->arena, Node *, one->nodes.count + 1);
    uint8_t *needed = ARENA_ARRAY(s->arena, uint8_t, one->nodes.count + 1);
    for (uint32_t i = 0; i < results->count; i++)
        needed[results->nodes[i]->id] |= results->loaded[i];
    for (uint32_t id = one->nodes.count; id-- > 0;)
        for (int i = 0; needed[id] && i < one->nodes.data[id]->nsrc; i++)
            needed[one->nodes.data[id]->src[i]->id] = 1;
    for (uint32_t id = 0; id < one->nodes.count; id++) {
        graph->span = one->nodes.data[id]->span;
        if (needed[id])
            map[id] = graph_copy_node(graph, one->nodes.data[id], map);
    }
    for (uint32_t i = 0; i < results->count; i++)
        if (results->loaded[i])
            graph_root(graph, ROOT_OUTPUT, arena_format(s->arena, "map.%s", results->names[i]),
                       map[results->nodes[i]->id]);
    return graph->roots.count > 0 ? graph : NULL;
}

/* What the loader has made, as the step sees it. */
static Node *loaded_input(Sema *s, const char *name, const Type *row, const Dim *batch)
{
    Type type = {.dtype = row->dtype, .rank = row->rank + 1, .dims = {batch}};
    memcpy(type.dims + 1, row->dims, sizeof *row->dims * (size_t)row->rank);
    return build_leaf(s->elab->graph, OP_INPUT, arena_format(s->arena, "map.%s", name), type);
}

/* The results that are not loaded, with the axis batch, in the current graph: NULL, or why not. */
static const char *fuse(Sema *s, Graph *one, const Dim *batch, const MapResults *results,
                        Node **rows)
{
    Node *wanted[MAP_RESULTS], *batched[MAP_RESULTS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < results->count; i++)
        if (!results->loaded[i])
            wanted[count++] = results->nodes[i];
    const char *failed = batch_into(one, s->elab->graph, batch, wanted, count, batched);
    count = 0;
    for (uint32_t i = 0; !failed && i < results->count; i++)
        if (!results->loaded[i])
            rows[i] = batched[count++];
    return failed;
}

static bool fits_batch(Sema *s, const AstFunction *map, const MapResults *results)
{
    for (uint32_t i = 0; i < results->count; i++)
        if (results->nodes[i]->type.rank == MAX_RANK) {
            sema_error(s, ERR_E0903, map->header, NULL,
                       "%s of the map has %d axes, and a batch adds one: that is too many",
                       results->names[i], MAX_RANK);
            return false;
        }
    return true;
}

static bool map_into(Sema *s, DatasetWork *work, const AstFunction *map, const Dim *batch,
                     Scope *scope)
{
    MapResults results = {0};
    Node *rows[MAP_RESULTS];
    Elab *outer = s->elab, *one = elab_new(s, "row", outer->training);
    if (map->parameters.count > MAP_RESULTS ||
        (map->result && map->result->kind == AST_TYPE_TUPLE &&
         map->result->as.tuple.count > MAP_RESULTS)) {
        sema_error(s, ERR_E0201, map->header, NULL, "a map has at most %d values", MAP_RESULTS);
        return false;
    }
    s->elab = one;
    bool ok = run_map(s, work, map, &results);
    s->elab = outer;
    if (!ok || !fits_batch(s, map, &results))
        return false;
    for (uint32_t i = 0; i < results.count; i++)
        results.loaded[i] = is_drawn(s, one->graph, results.nodes[i]);
    bool fused = fuse(s, one->graph, batch, &results, rows) == NULL;
    for (uint32_t i = 0; !fused && i < results.count; i++)
        results.loaded[i] = true;
    *outer->loaded = loaded_graph(s, one->graph, &results);
    for (uint32_t i = 0; i < results.count; i++) {
        outer->graph->span = map->header;
        Node *node = results.loaded[i]
                         ? loaded_input(s, results.names[i], &results.nodes[i]->type, batch)
                         : rows[i];
        scope_put(s, scope, results.names[i], map->header, BIND_ARGUMENT,
                  value_tensor(node, results.values[i].span));
    }
    return true;
}

Graph *map_read_by(Graph *map, const Graph *step)
{
    uint32_t kept = 0;
    if (!map || !step)
        return NULL;
    uint8_t *live = graph_live(step, step->arena);
    for (uint32_t i = 0; i < map->roots.count; i++) {
        bool read = false;
        for (uint32_t id = 0; !read && id < step->nodes.count; id++)
            read = live[id] && step->nodes.data[id]->op == OP_INPUT &&
                   strcmp(step->nodes.data[id]->attr.leaf.name, map->roots.data[i].name) == 0;
        if (read)
            map->roots.data[kept++] = map->roots.data[i];
    }
    map->roots.count = kept;
    return kept > 0 ? map : NULL;
}

bool dataset_values(Sema *s, Decl *decl, const Dim *batch, Scope *scope)
{
    DatasetWork *work = decl->plan;
    const AstFunction *map = decl_function(decl, "map");
    if (work->bad)
        return false;
    if (map && map_into(s, work, map, batch, scope))
        return true;
    if (!map)
        dataset_declare_fields(s, &work->plan, scope, batch);
    work->bad |= map != NULL;
    return !map;
}
