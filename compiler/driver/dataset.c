/* Datasets: sources are read by runtime/data (or computed by the interpreter), and cut into parts
 * by seed and fraction. In: a DatasetPlan of sema; out: tables and the rows of the three parts.
 *
 * Arguments of a source: the first positional string is a path (a folder for idx and npy). A named
 * string belongs to the field of that name, or of that name without its plural s, else to the next
 * field that has none:
 *
 *   idx("mnist/", images="train-images.gz", labels="train-labels.gz")
 *   csv("iris.csv", x="0..3") */
#include "compiler/driver/dataset.h"
#include "compiler/driver/evaluation.h"

#include "runtime/base/bug.h"
#include "runtime/data/data.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    nnc_program *program;
    const DatasetPlan *plan;
    const SourcePlan *source;
    const DataTable *train; /* its vocabularies are those of every other table; NULL: this is the
                               training table */
    Arena *arena;           /* of fields and paths */
    DataField *fields;
    int count;
} Reading;

static DataField field_of(const FieldPlan *plan)
{
    DataField field = {.name = plan->name,
                       .dtype = plan->row.dtype,
                       .rank = plan->row.rank,
                       .category = plan->category,
                       .words = plan->words,
                       .word_count = plan->word_count,
                       .sequence = plan->sequence,
                       .vocabulary = plan->vocabulary,
                       .span = plan->span};
    for (int axis = 0; axis < field.rank; axis++)
        dim_is_const(plan->row.dims[axis], &field.sizes[axis]);
    return field;
}

static const char *positional(const SourcePlan *source)
{
    for (uint32_t i = 0; i < source->arguments.count; i++)
        if (!source->arguments.data[i].name && source->arguments.data[i].kind == ARGUMENT_STRING)
            return source->arguments.data[i].text;
    return NULL;
}

static const SourceArgument *argument_named(const SourcePlan *source, const char *name)
{
    for (uint32_t i = 0; i < source->arguments.count; i++)
        if (source->arguments.data[i].name && strcmp(source->arguments.data[i].name, name) == 0)
            return &source->arguments.data[i];
    return NULL;
}

static DataField *field_for(Reading *reading, const char *argument)
{
    size_t length = strlen(argument);
    for (int i = 0; i < reading->count; i++) {
        const char *name = reading->fields[i].name;
        if (strcmp(name, argument) == 0 ||
            (strlen(name) + 1 == length && strncmp(name, argument, length - 1) == 0))
            return &reading->fields[i];
    }
    for (int i = 0; i < reading->count; i++)
        if (!reading->fields[i].where)
            return &reading->fields[i];
    return NULL;
}

static bool is_option(const char *name)
{
    return strcmp(name, "header") == 0 || strcmp(name, "separator") == 0;
}

/* Named strings go to their fields; files lie in the folder of the first argument. */
static void place_fields(Reading *reading, bool files)
{
    const char *folder = positional(reading->source);
    for (uint32_t i = 0; i < reading->source->arguments.count; i++) {
        const SourceArgument *argument = &reading->source->arguments.data[i];
        if (!argument->name || argument->kind != ARGUMENT_STRING || is_option(argument->name))
            continue;
        DataField *field = field_for(reading, argument->name);
        if (!field)
            continue;
        field->where = argument->text;
        if (files) {
            const char *slash = folder && *folder && folder[strlen(folder) - 1] != '/' ? "/" : "";
            const char *path =
                arena_format(reading->arena, "%s%s%s", folder ? folder : "", slash, argument->text);
            field->where = program_path(reading->program, reading->arena, path);
        }
    }
}

static DataTable *missing_path(Reading *reading)
{
    diag_error(reading->program->context->diag, ERR_E0600, reading->source->span, NULL,
               "this source names no file");
    return NULL;
}

static DataFile file_of(Reading *reading, const char *path)
{
    return (DataFile){.path = program_path(reading->program, reading->arena, path),
                      .span = reading->source->span};
}

static DataTable *read_idx(Reading *reading)
{
    place_fields(reading, true);
    return idx_read(reading->fields, reading->count, reading->program->context->diag);
}

static DataTable *read_npy(Reading *reading)
{
    place_fields(reading, true);
    return npy_read(reading->fields, reading->count, reading->program->context->diag);
}

static DataTable *read_npz(Reading *reading)
{
    const char *path = positional(reading->source);
    place_fields(reading, false);
    return path ? npz_read(file_of(reading, path), reading->fields, reading->count,
                           reading->program->context->diag)
                : missing_path(reading);
}

static DataTable *read_csv(Reading *reading)
{
    const char *path = positional(reading->source);
    const SourceArgument *header = argument_named(reading->source, "header");
    const SourceArgument *separator = argument_named(reading->source, "separator");
    CsvOptions options = {.header = header ? header->flag : true,
                          .separator = separator && separator->text ? separator->text[0] : 0};
    place_fields(reading, false);
    return path ? csv_read(file_of(reading, path), options, reading->fields, reading->count,
                           reading->program->context->diag)
                : missing_path(reading);
}

/* Memory for one field of every row. False: memory was refused. */
static bool array_column(const Evaluation *e, const DataField *field, DataColumn *column,
                         void **buffers)
{
    int64_t no_dims[FUNCTION_RANK] = {0}, sizes[FUNCTION_RANK];
    int arg = function_arg(e->function, ARG_OUTPUT, field->name);
    NNC_ASSERT(arg >= 0 && e->function->args[arg].rank == field->rank + 1);
    int64_t elements = function_elements(e->function, no_dims, arg);
    e->function->shape(e->function, no_dims, arg, sizes);
    *column = (DataColumn){.name = strdup(field->name), .dtype = field->dtype, .rank = field->rank};
    column->row_bytes = (int64_t)dtype_bytes(field->dtype);
    for (int axis = 0; axis < field->rank; axis++) {
        column->sizes[axis] = sizes[axis + 1];
        column->row_bytes *= sizes[axis + 1];
    }
    if (elements >= 0 && elements < INT64_MAX / 16)
        column->data = malloc((size_t)elements * dtype_bytes(field->dtype) + 1);
    buffers[arg] = column->data;
    return column->name && column->data;
}

static DataTable *array_table(Reading *reading, Evaluation *e)
{
    void **buffers = ARENA_ARRAY(e->arena, void *, e->function->arg_count + 1);
    int64_t no_dims[FUNCTION_RANK] = {0};
    DataTable *table = table_new(reading->source->rows, reading->count);
    bool room = table != NULL;
    for (int i = 0; room && i < reading->count; i++)
        room = array_column(e, &reading->fields[i], &table->columns[i], buffers);
    bool good = room ? evaluation_call(e, no_dims, buffers, (uint64_t)reading->plan->arrays_seed)
                     : evaluation_no_memory(reading->program, reading->source->span);
    if (good)
        return table;
    table_free(table);
    return NULL;
}

static DataTable *read_arrays(Reading *reading)
{
    Evaluation e;
    bool open = evaluation_open(&e, reading->program, "arrays", reading->source->arrays,
                                reading->source->span);
    DataTable *table = open ? array_table(reading, &e) : NULL;
    evaluation_close(&e);
    return table;
}

/* The text and its parts; where the dataset has a file for a part, that part is not cut. */
static bool read_text(Reading *reading, DataTable *parts[SPLIT_PARTS])
{
    const TextPlan *text = &reading->source->text;
    const DatasetPlan *plan = reading->plan;
    const DataColumn *known = reading->train ? table_column(reading->train, "token") : NULL;
    static const TextTokens kinds[] = {
        [TOKENS_BYTES] = TEXT_BYTES, [TOKENS_CHARS] = TEXT_CHARS, [TOKENS_BPE] = TEXT_BPE};
    TextOptions options = {.tokens = kinds[text->tokens],
                           .vocabulary = text->vocabulary,
                           .window = text->window,
                           .stride = text->stride,
                           .valid = plan->has_valid ? 0 : plan->valid_fraction,
                           .test = plan->has_test ? 0 : plan->test_fraction};
    if (text->tokenizer)
        options.tokenizer = program_path(reading->program, reading->arena, text->tokenizer);
    return text_read(file_of(reading, positional(reading->source)), &options,
                     known ? known->tokenizer : NULL, parts, reading->program->context->diag);
}

static DataTable *no_host_data(Reading *reading)
{
    diag_error(reading->program->context->diag, ERR_E0600, reading->source->span, NULL,
               "the host gave no data");
    return NULL;
}

static DataTable *read_source(Reading *reading)
{
    static DataTable *(*const readers[])(Reading *) = {
        [SOURCE_IDX] = read_idx, [SOURCE_CSV] = read_csv,       [SOURCE_NPY] = read_npy,
        [SOURCE_NPZ] = read_npz, [SOURCE_ARRAYS] = read_arrays, [SOURCE_HOST] = no_host_data,
    };
    reading->count = (int)reading->plan->fields.count;
    reading->fields = ARENA_ARRAY(reading->arena, DataField, reading->count + 1);
    for (int i = 0; i < reading->count; i++) {
        DataField *field = &reading->fields[i];
        *field = field_of(&reading->plan->fields.data[i]);
        const DataColumn *known =
            reading->train ? table_column(reading->train, field->name) : NULL;
        if (known && field->sequence)
            field->tokenizer = known->tokenizer;
        if (known && field->category) {
            field->words = (const char *const *)known->categories;
            field->word_count = known->category_count;
        }
    }
    return readers[reading->source->kind](reading);
}

static bool text_parts(Reading *reading, nnc_part part, Dataset *dataset)
{
    static const nnc_part order[SPLIT_PARTS] = {NNC_PART_TRAIN, NNC_PART_VALID, NNC_PART_TEST};
    DataTable *parts[SPLIT_PARTS];
    if (!read_text(reading, parts))
        return false;
    for (int i = 0; i < SPLIT_PARTS; i++) {
        nnc_part to = i == 0 ? part : order[i];
        if (!parts[i])
            continue;
        dataset->tables[to] = parts[i];
        dataset->parts[to] = (DataPart){.table = parts[i], .count = parts[i]->rows};
    }
    return true;
}

static bool read_part(nnc_program *program, const DatasetPlan *plan, const SourcePlan *source,
                      nnc_part part, Dataset *dataset)
{
    Reading reading = {.program = program,
                       .plan = plan,
                       .source = source,
                       .train = dataset->tables[NNC_PART_TRAIN],
                       .arena = dataset->arena};
    if (source->kind == SOURCE_TEXT)
        return text_parts(&reading, part, dataset);
    DataTable *table = read_source(&reading);
    dataset->tables[part] = table;
    if (table)
        dataset->parts[part] = (DataPart){.table = table, .count = table->rows};
    return table != NULL;
}

/* The training table in up to three parts; a part that has a table of its own is not cut. */
static bool cut_parts(nnc_program *program, const DatasetPlan *plan, uint64_t seed,
                      Dataset *dataset)
{
    static const nnc_part parts[SPLIT_PARTS] = {NNC_PART_TRAIN, NNC_PART_VALID, NNC_PART_TEST};
    DataTable *table = dataset->tables[NNC_PART_TRAIN];
    SplitOptions options = {.valid = plan->has_valid ? 0 : plan->valid_fraction,
                            .test = plan->has_test ? 0 : plan->test_fraction,
                            .seed = plan->split_seed >= 0 ? (uint64_t)plan->split_seed : seed,
                            .last = plan->split_last,
                            .span = plan->split_span};
    Split split;
    if (options.valid == 0 && options.test == 0)
        return true;
    if (plan->stratify)
        options.stratify = table_column(table, plan->stratify);
    if (!split_rows(table->rows, &options, &split, program->context->diag))
        return false;
    for (int i = 0; i < SPLIT_PARTS; i++) {
        nnc_part part = parts[i];
        if (part != NNC_PART_TRAIN && split.counts[i] == 0)
            continue;
        dataset->rows[part] = split.rows[i];
        dataset->parts[part] =
            (DataPart){.table = table, .rows = split.rows[i], .count = split.counts[i]};
        split.rows[i] = NULL;
    }
    split_free(&split);
    return true;
}

nnc_status dataset_load(nnc_program *program, const DatasetPlan *plan, uint64_t seed,
                        Dataset *dataset)
{
    *dataset = (Dataset){.arena = arena_new()};
    bool good = read_part(program, plan, &plan->source, NNC_PART_TRAIN, dataset);
    if (good && plan->has_valid)
        good = read_part(program, plan, &plan->valid, NNC_PART_VALID, dataset);
    if (good && plan->has_test)
        good = read_part(program, plan, &plan->test, NNC_PART_TEST, dataset);
    if (good && plan->source.kind != SOURCE_TEXT)
        good = cut_parts(program, plan, seed, dataset);
    return good ? NNC_OK : context_data_status(program->context);
}

void dataset_free(Dataset *dataset)
{
    for (int part = 0; part < PART_COUNT; part++) {
        table_free(dataset->tables[part]);
        free(dataset->rows[part]);
    }
    arena_free(dataset->arena);
    *dataset = (Dataset){0};
}
