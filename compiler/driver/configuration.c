/* Configurations (configuration.h). Programs are compared by the graphs that a run executes, not
 * by their texts: comments and names of values may change, the learning rate may not. Data is
 * compared by a hash of its rows. Threads, the engine and when checkpoints are written change no
 * result and are left out. */
#include "compiler/driver/configuration.h"

#include "runtime/base/bug.h"
#include "runtime/base/rng.h"

#include <stdlib.h>
#include <string.h>

static void add(Configuration *to, const char *key, const char *value)
{
    NNC_ASSERT(to->count < STATE_ITEMS);
    to->items[to->count++] = (StateItem){key, value};
}

static uint64_t hash_graph(const Graph *graph, uint64_t hash)
{
    StrBuf text = {0};
    if (graph)
        graph_print(graph, &text);
    hash = rng_hash(text.text ? text.text : "", text.length, hash);
    strbuf_free(&text);
    return hash;
}

static const char *hex(Arena *arena, uint64_t hash)
{
    return arena_format(arena, "%016llx", (unsigned long long)hash);
}

static const char *evaluation_hash(Arena *arena, const TrainPlan *plan)
{
    uint64_t hash = hash_graph(plan->eval_step, 0);
    if (plan->eval_map)
        hash = hash_graph(plan->eval_map, hash);
    for (uint32_t i = 0; i < plan->metrics.count; i++)
        hash = hash_graph(plan->metrics.data[i].result, hash);
    return hex(arena, hash);
}

static uint64_t hash_table(const DataTable *table, uint64_t hash)
{
    for (int i = 0; i < table->column_count; i++) {
        const DataColumn *column = &table->columns[i];
        hash = rng_hash(column->name, strlen(column->name), hash);
        if (table->rows > 0 && !column->borrowed)
            hash = rng_hash(
                column->data,
                (uint64_t)((table->rows - 1) * column_stride(column) + column->row_bytes), hash);
    }
    return hash;
}

static const char *data_hash(Arena *arena, const Dataset *dataset)
{
    uint64_t hash = 0;
    for (int part = 0; part < PART_COUNT; part++) {
        const DataPart *rows = &dataset->parts[part];
        if (dataset->tables[part])
            hash = hash_table(dataset->tables[part], hash + 1);
        if (rows->rows)
            hash = rng_hash(rows->rows, (uint64_t)rows->count * sizeof *rows->rows, hash + 2);
    }
    return hex(arena, hash);
}

static const char *join(Arena *arena, const nnc_program_options *options)
{
    StrBuf text = {0};
    for (size_t i = 0; i < options->setting_count; i++)
        strbuf_printf(&text, "%s--set %s", text.length ? " " : "", options->settings[i]);
    for (size_t i = 0; i < options->define_count; i++)
        strbuf_printf(&text, "%s-D %s", text.length ? " " : "", options->defines[i]);
    const char *joined = arena_string(arena, text.text ? text.text : "");
    strbuf_free(&text);
    return joined;
}

/* In words that no comparison uses, for the reader of the message. */
static const char told[] = "told";

static void add_settings(Configuration *to, const Run *run)
{
    const TrainSpec *spec = &run->spec;
    Arena *arena = run->arena;
    const char *monitor = run->plan->settings.monitor;
    add(to, "train", spec->block);
    add(to, "seed", arena_format(arena, "%llu", (unsigned long long)spec->seed));
    add(to, "batch", arena_format(arena, "%lld", (long long)spec->batch));
    add(to, "accumulate", arena_format(arena, "%lld", (long long)spec->accumulate));
    add(to, "steps", arena_format(arena, "%lld", (long long)trainer_planned_steps(spec)));
    add(to, "shuffle", spec->shuffle ? "true" : "false");
    add(to, "drop_last", spec->drop_last ? "true" : "false");
    add(to, "float", run->program->options.f64 ? "f64" : "f32");
    add(to, "monitor", monitor ? monitor : "valid/loss");
    add(to, "patience", arena_format(arena, "%lld", (long long)spec->patience));
    add(to, "min_delta", arena_format(arena, "%.17g", spec->min_delta));
}

static bool reads_length(const Graph *graph)
{
    Arena *arena = arena_new();
    const uint8_t *live = graph ? graph_live(graph, arena) : NULL;
    bool found = false;
    for (uint32_t i = 0; live && i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.data[i];
        found |=
            live[i] && node->op == OP_INPUT && strcmp(node->attr.leaf.name, "total_steps") == 0;
    }
    arena_free(arena);
    return found;
}

Configuration *configuration_of(const Run *run)
{
    const nnc_program_options *options = &run->program->options;
    const DataPart *parts = run->spec.parts;
    Arena *arena = run->arena;
    Configuration *to = ARENA_NEW(arena, Configuration);
    add_settings(to, run);
    add(to, "rows",
        arena_format(arena, "%lld %lld %lld", (long long)parts[NNC_PART_TRAIN].count,
                     (long long)parts[NNC_PART_VALID].count,
                     (long long)parts[NNC_PART_TEST].count));
    add(to, "data", data_hash(arena, &run->dataset));
    uint64_t step = hash_graph(run->plan->apply_step, hash_graph(run->plan->train_step, 0));
    if (run->plan->epoch_step)
        step = hash_graph(run->plan->epoch_step, step);
    if (run->plan->train_map)
        step = hash_graph(run->plan->train_map, step);
    add(to, "training step", hex(arena, step));
    add(to, "evaluation", evaluation_hash(arena, run->plan));
    add(to, told, join(arena, options));
    to->length_matters = reads_length(run->plan->train_step) ||
                         reads_length(run->plan->apply_step) || reads_length(run->plan->epoch_step);
    return to;
}

/* The same steps, and some more behind them. */
static bool goes_further(const Configuration *ours, const char *key, const char *there,
                         const char *here)
{
    return !ours->length_matters && strcmp(key, "steps") == 0 && there &&
           strtoll(here, NULL, 10) > strtoll(there, NULL, 10);
}

const char *configuration_find(const StateItem *items, int count, const char *key)
{
    for (int i = 0; i < count; i++)
        if (strcmp(items[i].key, key) == 0)
            return items[i].value;
    return NULL;
}

/* Hashes mean nothing to a reader. */
static void note_difference(DiagItem *item, const char *key, const char *there, const char *here,
                            bool length_matters)
{
    static const struct {
        const char *key, *text;
    } hashes[] = {
        {"data", "the rows of the data are others"},
        {"training step", "the training step (model, loss, optimizer) is another"},
        {"evaluation", "the evaluation (model, metrics) is another"},
    };
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++)
        if (strcmp(key, hashes[i].key) == 0) {
            diag_note(item, (Span){0}, "%s", hashes[i].text);
            return;
        }
    diag_note(item, (Span){0}, "%s is %s there and %s here", key, there, here);
    if (strcmp(key, "steps") == 0)
        diag_help(item, length_matters ? "the rate depends on how long the run is (total_steps)"
                                       : "a run may become longer, not shorter");
}

bool configuration_matches(const Configuration *ours, const TrainState *theirs, const char *path,
                           Diag *diag)
{
    DiagItem *item = NULL;
    for (int i = 0; i < ours->count; i++) {
        const char *key = ours->items[i].key, *here = ours->items[i].value;
        const char *there = configuration_find(theirs->items, theirs->item_count, key);
        if (strcmp(key, told) == 0 || (there && strcmp(there, here) == 0) ||
            goes_further(ours, key, there, here))
            continue;
        if (!item)
            item = diag_error(diag, ERR_E0808, (Span){0}, NULL,
                              "%s is the checkpoint of another run", path);
        note_difference(item, key, there ? there : "missing", here, ours->length_matters);
    }
    const char *settings = configuration_find(theirs->items, theirs->item_count, told);
    if (item && settings && *settings)
        diag_help(item, "that run was started with %s", settings);
    return item == NULL;
}
