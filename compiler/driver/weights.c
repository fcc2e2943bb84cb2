/* Weights: parameters, states and statistics by name, in safetensors. */
#include "compiler/driver/weights.h"

#include "runtime/base/scalar.h"
#include "runtime/data/tokenizer.h"
#include "runtime/tensor/safetensors.h"

#include <stdlib.h>
#include <string.h>

static bool is_saved(const RunTensor *tensor)
{
    return role_is_weight(tensor->role);
}

/* The words of a column in the order of their numbers: "setosa", "virginica". */
static void words_text(const DataColumn *column, StrBuf *out)
{
    for (int64_t i = 0; i < column->category_count; i++) {
        strbuf_add(out, i ? ", " : "");
        strbuf_add_json(out, column->categories[i]);
    }
}

static const char *words_key(Arena *arena, const DataColumn *column)
{
    return arena_format(arena, "words.%s", column->name);
}

static const char *tokenizer_key(Arena *arena, const DataColumn *column)
{
    return arena_format(arena, "tokenizer.%s", column->name);
}

/* What makes numbers of the words of a column: its key in the file and its text; NULL: nothing
 * does. */
static const char *numbering(Arena *arena, const DataColumn *column, StrBuf *text)
{
    if (column->categories) {
        words_text(column, text);
        return words_key(arena, column);
    }
    if (!column->tokenizer)
        return NULL;
    tokenizer_text(column->tokenizer, text);
    return tokenizer_key(arena, column);
}

static void note(WeightsNotes *notes, const char *key, const char *value)
{
    if (notes->count < WEIGHTS_NOTES_MAX)
        notes->items[notes->count++] = (SafeMetadata){key, value};
}

WeightsNotes *weights_notes_of_data(Arena *arena, const TrainSpec *spec, const Dataset *dataset)
{
    WeightsNotes *notes = ARENA_ARRAY(arena, WeightsNotes, 1);
    const DataTable *table = dataset->tables[NNC_PART_TRAIN];
    note(notes, "format", "nnc");
    note(notes, "nnc", nnc_version());
    note(notes, "seed", arena_format(arena, "%llu", (unsigned long long)spec->seed));
    for (int i = 0; table && i < table->column_count; i++) {
        StrBuf words = {0};
        const char *key = numbering(arena, &table->columns[i], &words);
        if (key)
            note(notes, key, arena_string(arena, words.text ? words.text : ""));
        strbuf_free(&words);
    }
    return notes;
}

WeightsNotes *weights_notes_of_file(Arena *arena, const char *path)
{
    WeightsNotes *notes = ARENA_ARRAY(arena, WeightsNotes, 1);
    SourceMap *map = source_map_new();
    Diag *diag = diag_new(map);
    SafeTensors *file = safetensors_open(path, diag, (Span){0});
    for (int i = 0; file && i < safetensors_metadata_count(file); i++) {
        const char *key = safetensors_metadata_key(file, i);
        note(notes, arena_string(arena, key), arena_string(arena, safetensors_metadata(file, key)));
    }
    safetensors_close(file);
    diag_free(diag);
    source_map_free(map);
    return notes;
}

uint64_t weights_seed(const char *path)
{
    Arena *arena = arena_new();
    const WeightsNotes *notes = weights_notes_of_file(arena, path);
    uint64_t seed = 0;
    for (int i = 0; i < notes->count; i++)
        if (strcmp(notes->items[i].key, "seed") == 0)
            seed = strtoull(notes->items[i].value, NULL, 10);
    arena_free(arena);
    return seed;
}

static void other_numbering(nnc_context *context, const DataColumn *column, const char *path,
                            const char *saved)
{
    if (column->categories) {
        DiagItem *item = diag_error(context->diag, ERR_E0611, (Span){0}, NULL,
                                    "%s was made with other words of %s than the data has", path,
                                    column->name);
        diag_help(item, "declare the field as category(%s)", saved);
        return;
    }
    DiagItem *item = diag_error(context->diag, ERR_E0618, (Span){0}, NULL,
                                "%s was made with another tokenizer of %s than the data has", path,
                                column->name);
    diag_help(item, "the text, its split and its tokens decide the tokenizer");
}

nnc_status weights_check_words(nnc_context *context, const Dataset *dataset, const char *path)
{
    SafeTensors *file = safetensors_open(path, context->diag, (Span){0});
    const DataTable *table = dataset->tables[NNC_PART_TRAIN];
    Arena *arena = arena_new();
    bool good = file != NULL;
    for (int i = 0; file && table && i < table->column_count; i++) {
        StrBuf words = {0};
        const char *key = numbering(arena, &table->columns[i], &words);
        const char *saved = key ? safetensors_metadata(file, key) : NULL;
        if (saved && strcmp(saved, words.text ? words.text : "") != 0) {
            other_numbering(context, &table->columns[i], path, saved);
            good = false;
        }
        strbuf_free(&words);
    }
    arena_free(arena);
    safetensors_close(file);
    return good ? NNC_OK : NNC_DATA;
}

nnc_status weights_save(nnc_context *context, Trainer *trainer, const TrainSpec *spec,
                        const WeightsNotes *notes, const char *path)
{
    SafeEntry *entries = calloc((size_t)spec->tensor_count + 1, sizeof *entries);
    int count = 0;
    for (int i = 0; entries && i < spec->tensor_count; i++) {
        const RunTensor *tensor = &spec->tensors[i];
        if (!is_saved(tensor))
            continue;
        SafeEntry *entry = &entries[count++];
        *entry = (SafeEntry){.name = tensor->name, .dtype = tensor->dtype, .rank = tensor->rank};
        memcpy(entry->sizes, tensor->sizes, sizeof entry->sizes);
        entry->data = trainer_tensor_at(trainer, i);
    }
    bool written = entries && safetensors_write(path, entries, count, notes ? notes->items : NULL,
                                                notes ? notes->count : 0, context->diag, (Span){0});
    free(entries);
    return written ? NNC_OK : NNC_DATA;
}

static void add_shape(StrBuf *out, DType dtype, int rank, const int64_t *sizes)
{
    strbuf_add(out, dtype_name(dtype));
    for (int axis = 0; axis < rank; axis++)
        strbuf_printf(out, "%s%lld", axis ? ", " : "[", (long long)sizes[axis]);
    strbuf_add(out, rank ? "]" : "[]");
}

/* What became of the tensors of the program and of the file; lists of names. */
typedef struct {
    int taken, all;
    StrBuf missing, unknown, other;
} Match;

static void add_name(StrBuf *list, const char *name)
{
    strbuf_printf(list, "%s%s", list->length ? ", " : "", name);
}

/* "a.safetensors: 3 of 4 tensors taken; not in it: fc2.bias" */
static void match_text(const Match *match, const char *path, StrBuf *out)
{
    strbuf_printf(out, "%s: %d of %d tensors taken", path, match->taken, match->all);
    if (match->missing.length)
        strbuf_printf(out, "; not in it: %s", match->missing.text);
    if (match->other.length)
        strbuf_printf(out, "; of another shape or type: %s", match->other.text);
    if (match->unknown.length)
        strbuf_printf(out, "; not in the program: %s", match->unknown.text);
}

static bool wrong_shape(nnc_context *context, const RunTensor *tensor, const Tensor *found,
                        const char *path)
{
    StrBuf text = {0};
    strbuf_printf(&text, "%s: %s is ", path, tensor->name);
    add_shape(&text, found->dtype, found->rank, found->sizes);
    strbuf_add(&text, ", and ");
    add_shape(&text, tensor->dtype, tensor->rank, tensor->sizes);
    strbuf_add(&text, " in the program");
    diag_error(context->diag, ERR_E0705, (Span){0}, NULL, "%s", text.text);
    strbuf_free(&text);
    return false;
}

static bool load_one(nnc_context *context, Trainer *trainer, const RunTensor *tensor, int index,
                     const SafeTensors *file, const char *path, WeightsMode mode, Match *match)
{
    const Tensor *found = safetensors_find(file, tensor->name);
    void *data = trainer_tensor_at(trainer, index);
    match->all++;
    if (!found) {
        add_name(&match->missing, tensor->name);
        bool made = tensor->role == ROLE_STAT || tensor->role == ROLE_AVERAGE;
        bool allowed = mode == WEIGHTS_PARTIAL || (mode == WEIGHTS_TRAINING && made);
        if (!allowed)
            diag_error(context->diag, ERR_E0703, (Span){0}, NULL, "%s has no tensor %s", path,
                       tensor->name);
        return allowed;
    }
    bool floats = dtype_is_float(found->dtype) && dtype_is_float(tensor->dtype);
    if (!tensor_same_shape(found->rank, found->sizes, tensor->rank, tensor->sizes) ||
        (found->dtype != tensor->dtype && !floats)) {
        add_name(&match->other, tensor->name);
        return mode == WEIGHTS_PARTIAL || wrong_shape(context, tensor, found, path);
    }
    match->taken++;
    if (found->dtype == tensor->dtype)
        memcpy(data, found->data, found->bytes);
    else
        scalar_convert(found->dtype, tensor->dtype, found->data, data, (size_t)found->count);
    return true;
}

static bool visit_unknown(nnc_context *context, Trainer *trainer, const TrainSpec *spec,
                          const SafeTensors *file, const char *path, WeightsMode mode, Match *match)
{
    const char **names = calloc((size_t)spec->tensor_count + 1, sizeof *names);
    bool good = names != NULL;
    uint32_t name_count = 0;
    for (int i = 0; names && i < spec->tensor_count; i++)
        if (is_saved(&spec->tensors[i]))
            names[name_count++] = spec->tensors[i].name;
    for (int i = 0; good && i < safetensors_count(file); i++) {
        const char *name = safetensors_name(file, i);
        if (trainer_tensor_index(trainer, name) >= 0)
            continue;
        add_name(&match->unknown, name);
        if (mode == WEIGHTS_PARTIAL)
            continue;
        const char *nearest = diag_nearest(name, names, name_count);
        DiagItem *item = diag_error(context->diag, ERR_E0704, (Span){0}, NULL,
                                    "%s has a tensor %s that the program has not", path, name);
        if (nearest)
            diag_help(item, "the program has %s", nearest);
        good = false;
    }
    free(names);
    return good;
}

/* Weights of another model share no name: one error in place of one for each tensor. */
static bool some_shared(nnc_context *context, const TrainSpec *spec, const SafeTensors *file,
                        const char *path)
{
    const RunTensor *first = NULL;
    for (int i = 0; i < spec->tensor_count; i++) {
        if (!is_saved(&spec->tensors[i]))
            continue;
        if (safetensors_find(file, spec->tensors[i].name))
            return true;
        first = first ? first : &spec->tensors[i];
    }
    if (!first || safetensors_count(file) == 0)
        return true;
    diag_error(context->diag, ERR_E0703, (Span){0}, NULL,
               "%s has no tensor %s, nor any other of this model: it has %s and others like it", path,
               first->name, safetensors_name(file, 0));
    return false;
}

nnc_status weights_load(nnc_context *context, Trainer *trainer, const TrainSpec *spec,
                        const char *path, WeightsMode mode, StrBuf *matched)
{
    Match match = {0};
    SafeTensors *file = safetensors_open(path, context->diag, (Span){0});
    bool good = file && (mode == WEIGHTS_PARTIAL || some_shared(context, spec, file, path));
    bool shared = good;
    for (int i = 0; shared && i < spec->tensor_count; i++)
        if (is_saved(&spec->tensors[i]))
            good &= load_one(context, trainer, &spec->tensors[i], i, file, path, mode, &match);
    if (good)
        good = visit_unknown(context, trainer, spec, file, path, mode, &match);
    if (good && matched)
        match_text(&match, path, matched);
    strbuf_free(&match.missing);
    strbuf_free(&match.other);
    strbuf_free(&match.unknown);
    safetensors_close(file);
    return good ? NNC_OK : NNC_DATA;
}
