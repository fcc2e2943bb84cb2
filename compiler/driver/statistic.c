/* Statistics of the training rows: let m, s = moments(x). The expression of a row is evaluated in
 * chunks of rows, twice: once for the sums, once for the squares of the distances from the mean; in
 * f64, rows in ascending order. */
#include "compiler/driver/dataset.h"
#include "compiler/driver/evaluation.h"
#include "runtime/base/scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_ROWS = 512 };

typedef struct {
    Evaluation evaluation;
    const DataPart *part;
    int64_t elements; /* of the value of one row */
    double *values;   /* of a chunk */
} Statistic;

/* The rows of one column in `arena`, one after the other. */
static char *take_rows(Arena *arena, const DataPart *part, const DataColumn *column, int64_t first,
                       int64_t count)
{
    char *rows = arena_alloc(arena, (size_t)(count * column->row_bytes) + 1);
    for (int64_t i = 0; i < count; i++) {
        int64_t row = part->rows ? part->rows[first + i] : first + i;
        memcpy(rows + i * column->row_bytes, column_row(column, row),
               (size_t)column->row_bytes);
    }
    return rows;
}

static bool evaluate_chunk(Statistic *s, int64_t first, int64_t count)
{
    int64_t dims[FUNCTION_RANK];
    const Function *function = s->evaluation.function;
    Arena *arena = arena_new();
    void **buffers = ARENA_ARRAY(arena, void *, function->arg_count + 1);
    for (int i = 0; i < FUNCTION_RANK; i++)
        dims[i] = count;
    for (int arg = 0; arg < function->arg_count; arg++) {
        const DataColumn *column = table_column(s->part->table, function->args[arg].name);
        bool input = function->args[arg].kind == ARG_INPUT && column;
        buffers[arg] = input ? take_rows(arena, s->part, column, first, count) : (void *)s->values;
    }
    bool good = evaluation_call(&s->evaluation, dims, buffers, 0);
    arena_free(arena);
    return good;
}

/* The mean over all rows of each element, or (mean not NULL) of its squared distance from the mean.
 */
static bool average(Statistic *s, const double *mean, double *out)
{
    int64_t left = s->part->count;
    for (int64_t first = 0; left > 0; first += CHUNK_ROWS, left -= CHUNK_ROWS) {
        int64_t count = left < CHUNK_ROWS ? left : CHUNK_ROWS;
        if (!evaluate_chunk(s, first, count))
            return false;
        for (int64_t i = 0; i < count * s->elements; i++) {
            int64_t element = i % s->elements;
            double distance = mean ? s->values[i] - mean[element] : 0;
            out[element] += mean ? distance * distance : s->values[i];
        }
    }
    for (int64_t i = 0; i < s->elements; i++)
        out[i] /= (double)s->part->count;
    return true;
}

static void *narrowed(Arena *arena, DType dtype, const double *values, int64_t count)
{
    void *out = arena_alloc(arena, (size_t)count * dtype_bytes(dtype) + 1);
    scalar_convert(DT_F64, dtype, values, out, (size_t)count);
    return out;
}

static int64_t constant_elements(const Type *type)
{
    int64_t count = 1, size;
    for (int axis = 0; axis < type->rank; axis++)
        count *= dim_is_const(type->dims[axis], &size) ? size : 0;
    return count;
}

nnc_status dataset_stat(nnc_program *program, const Dataset *dataset, const StatPlan *stat,
                        Arena *arena, void **mean, void **deviation)
{
    Statistic s = {.part = &dataset->parts[NNC_PART_TRAIN],
                   .elements = constant_elements(&stat->type)};
    double *means = ARENA_ARRAY(arena, double, s.elements + 1),
           *squares = ARENA_ARRAY(arena, double, s.elements + 1);
    bool good = evaluation_open(&s.evaluation, program, "stat", stat->graph, stat->span);
    s.values = malloc(sizeof *s.values * (size_t)(CHUNK_ROWS * s.elements + 1));
    if (good && !s.values)
        good = evaluation_no_memory(program, stat->span);
    good = good && average(&s, NULL, means) && average(&s, means, squares);
    for (int64_t i = 0; good && i < s.elements; i++)
        squares[i] = squares[i] == 0 ? 1 : sqrt(squares[i]);
    if (good) {
        *mean = narrowed(arena, stat->type.dtype, means, s.elements);
        *deviation = narrowed(arena, stat->type.dtype, squares, s.elements);
    }
    free(s.values);
    evaluation_close(&s.evaluation);
    return good ? NNC_OK : context_data_status(program->context);
}
