/* Predictions of a model whose map runs row by row: the inputs of both functions, by name, and a
 * call of one after the other.
 *
 *   predict_map   image u8[28, 28]          ->  map.image f32[1, 28, 28]
 *   predict       map.image, scale f32[B]   ->  output
 *   inputs        scale f32[B], image u8[B, 28, 28] */
#include "compiler/driver/inputs.h"

#include "runtime/train/loader.h"

#include <string.h>

static bool is_mapped(const char *name)
{
    return strncmp(name, LOADER_PREFIX, strlen(LOADER_PREFIX)) == 0;
}

static bool is_listed(const Run *run, const char *name)
{
    for (int i = 0; i < run->input_count; i++)
        if (strcmp(run->inputs[i].name, name) == 0)
            return true;
    return false;
}

/* "u8[28, 28]" of one row -> "u8[B, 28, 28]" */
static const char *shape_of_rows(const Run *run, const char *row)
{
    const char *sizes = strchr(row, '[');
    int name = (int)(sizes ? (size_t)(sizes - row) : strlen(row));
    return arena_format(run->arena, sizes ? "%.*s[B, %s" : "%.*s[B]%s", name, row,
                        sizes ? sizes + 1 : "");
}

static void list_function(Run *run, const Function *function, bool mapped)
{
    for (int arg = 0; arg < function->arg_count; arg++) {
        const FunctionArg *from = &function->args[arg];
        if (from->kind != ARG_INPUT || is_mapped(from->name) || is_listed(run, from->name))
            continue;
        run->inputs[run->input_count++] =
            (PredictInput){.name = from->name,
                           .shape = mapped ? shape_of_rows(run, from->shape) : from->shape,
                           .dtype = from->dtype,
                           .rank = from->rank + mapped,
                           .mapped = mapped,
                           .arg = arg};
    }
}

void inputs_list(Run *run)
{
    int most = run->predict->arg_count + (run->predict_map ? run->predict_map->arg_count : 0);
    run->inputs = ARENA_ARRAY(run->arena, PredictInput, most + 1);
    run->input_count = 0;
    list_function(run, run->predict, false);
    if (run->predict_map)
        list_function(run, run->predict_map, true);
}

/* All free dimensions are the number of rows. */
void input_sizes(const Run *run, const PredictInput *input, int64_t rows, int64_t *sizes)
{
    int64_t dims[FUNCTION_RANK] = {0};
    const Function *function = input->mapped ? run->predict_map : run->predict;
    for (int i = 0; i < function->dim_count && i < FUNCTION_RANK; i++)
        dims[i] = rows;
    sizes[0] = rows;
    function->shape(function, dims, input->arg, sizes + input->mapped);
}

static const void *input_named(const Run *run, const void *const *in, const char *name)
{
    for (int i = 0; i < run->input_count; i++)
        if (strcmp(run->inputs[i].name, name) == 0)
            return in[i];
    return NULL;
}

/* The rows as columns that the map reads; their memory is the caller's. */
static DataTable table_of(const Run *run, int64_t rows, const void *const *in)
{
    DataTable table = {.rows = rows, .column_count = run->input_count};
    table.columns = ARENA_ARRAY(run->arena, DataColumn, run->input_count + 1);
    for (int i = 0; i < run->input_count; i++) {
        int64_t sizes[FUNCTION_RANK + 1] = {0};
        DataColumn *column = &table.columns[i];
        *column = (DataColumn){.name = (char *)run->inputs[i].name,
                               .dtype = run->inputs[i].dtype,
                               .row_bytes = (int64_t)dtype_bytes(run->inputs[i].dtype),
                               .data = (char *)in[i]};
        input_sizes(run, &run->inputs[i], rows, sizes);
        for (int axis = 1; axis < run->inputs[i].rank; axis++)
            column->row_bytes *= sizes[axis];
    }
    return table;
}

static nnc_status call_mapped(Run *run, int64_t rows, const void *const *in, void *const *out)
{
    const Function *predict = run->predict;
    DataTable table = table_of(run, rows, in);
    const DataPart part = {.table = &table, .count = rows};
    const void **inputs = ARENA_ARRAY(run->arena, const void *, predict->arg_count + 1);
    int count = 0;
    Loader *loader = loader_new(run->trainer, run->predict_map, &table, rows, 0, 0);
    if (!loader)
        return NNC_MEMORY;
    loader_begin(loader, &part, NULL, 0, 0, 1);
    nnc_status status = rows > 0 ? loader_take(loader, 0) : NNC_OK;
    for (int arg = 0; arg < predict->arg_count; arg++)
        if (predict->args[arg].kind == ARG_INPUT)
            inputs[count++] = is_mapped(predict->args[arg].name)
                                  ? loader_column(loader, predict->args[arg].name)
                                  : input_named(run, in, predict->args[arg].name);
    if (status == NNC_OK)
        status = trainer_call(run->trainer, predict, rows, inputs, out);
    loader_free(loader);
    return status;
}

nnc_status inputs_call(Run *run, int64_t rows, const void *const *in, void *const *out)
{
    return run->predict_map ? call_mapped(run, rows, in, out)
                            : trainer_call(run->trainer, run->predict, rows, in, out);
}
