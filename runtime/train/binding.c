/* Bindings: which memory every argument of a compiled function uses. Inputs named like a column
 * of the data are staged row by row; those named "map.NAME" are what a loader has made of the
 * rows; "step" and "total_steps" are scalars of the run; parameters and states are the trainer's
 * tensors. */
#include "runtime/train/trainer_private.h"

#include "runtime/base/bug.h"
#include "runtime/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SIZE_MAX: more than can be counted. */
static size_t argument_bytes(const Function *function, int arg, int64_t rows)
{
    int64_t dims[FUNCTION_RANK] = {0};
    NNC_ASSERT(function->dim_count <= FUNCTION_RANK);
    for (int i = 0; i < function->dim_count; i++)
        dims[i] = rows;
    int64_t elements = function_elements(function, dims, arg);
    return elements < 0 || elements > INT64_MAX / 16
               ? SIZE_MAX
               : (size_t)elements * dtype_bytes(function->args[arg].dtype);
}

/* "valid/accuracy": what the part had at the end of the epoch. */
static void *watched_input(Trainer *trainer, const char *name)
{
    static const char *const parts[] = {[NNC_PART_TRAIN] = "train/", [NNC_PART_VALID] = "valid/"};
    const TrainSpec *spec = trainer->spec;
    for (int part = 0; part < (int)(sizeof parts / sizeof *parts); part++)
        for (int i = 0; i < spec->metric_count; i++)
            if (strncmp(name, parts[part], strlen(parts[part])) == 0 &&
                strcmp(name + strlen(parts[part]), spec->metrics[i].name) == 0)
                return &trainer->watched[part * spec->metric_count + i];
    return NULL;
}

static void *scalar_input(Trainer *trainer, const char *name)
{
    if (strcmp(name, "step") == 0)
        return &trainer->scalar_step;
    if (strcmp(name, "total_steps") == 0)
        return &trainer->scalar_total;
    return watched_input(trainer, name);
}

static bool is_loaded(const Binding *binding, const FunctionArg *argument)
{
    return binding->loader && argument->kind == ARG_INPUT &&
           strncmp(argument->name, LOADER_PREFIX, strlen(LOADER_PREFIX)) == 0;
}

static void *memory_of(Binding *binding, Trainer *trainer, int arg, const DataTable *table,
                       int64_t rows)
{
    const FunctionArg *argument = &binding->function->args[arg];
    if (argument->kind == ARG_PARAM || argument->kind == ARG_STATE)
        return trainer_tensor(trainer, argument->name);
    bool column = argument->kind == ARG_INPUT && table && table_column(table, argument->name);
    if (is_loaded(binding, argument))
        return loader_column(binding->loader, argument->name);
    if (argument->kind == ARG_INPUT && !column)
        return scalar_input(trainer, argument->name);
    size_t bytes = argument_bytes(binding->function, arg, rows);
    binding->owned[arg] = bytes == SIZE_MAX ? NULL : memory_new(bytes + 64);
    return binding->owned[arg];
}

bool binding_open(Binding *binding, Trainer *trainer, const Function *function,
                  const DataTable *table, int64_t rows, Loader *loader)
{
    size_t count = (size_t)function->arg_count + 1;
    *binding = (Binding){.function = function, .loader = loader, .capacity = rows};
    binding->buffers = calloc(count, sizeof *binding->buffers);
    binding->owned = calloc(count, sizeof *binding->owned);
    if (!binding->buffers || !binding->owned)
        return false;
    for (int arg = 0; arg < function->arg_count; arg++) {
        binding->buffers[arg] = memory_of(binding, trainer, arg, table, rows);
        if (!binding->buffers[arg])
            return false;
    }
    return true;
}

void binding_close(Binding *binding)
{
    for (int arg = 0; binding->owned && arg < binding->function->arg_count; arg++)
        free(binding->owned[arg]);
    free(binding->owned);
    free(binding->buffers);
    *binding = (Binding){0};
}

void *binding_output(const Binding *binding, const char *name)
{
    int arg = function_arg(binding->function, ARG_OUTPUT, name);
    return arg < 0 ? NULL : binding->buffers[arg];
}

static int64_t source_row(const DataPart *part, const int64_t *order, int64_t i)
{
    int64_t position = order ? order[i] : i;
    return part->rows ? part->rows[position] : position;
}

static void fill_fields(Binding *binding, const DataPart *part, const int64_t *order,
                        int64_t first, int64_t count)
{
    for (int arg = 0; arg < binding->function->arg_count; arg++) {
        const FunctionArg *argument = &binding->function->args[arg];
        const DataColumn *column =
            argument->kind == ARG_INPUT ? table_column(part->table, argument->name) : NULL;
        if (!column)
            continue;
        bool dense = column_stride(column) == column->row_bytes;
        if (!order && !part->rows && dense) { /* consecutive rows are read where they are */
            binding->buffers[arg] = column_row(column, first);
            continue;
        }
        char *out = binding->owned[arg];
        binding->buffers[arg] = out;
        for (int64_t i = 0; i < count; i++, out += column->row_bytes)
            memcpy(out, column_row(column, source_row(part, order, first + i)),
                   (size_t)column->row_bytes);
    }
}

nnc_status binding_fill(Binding *binding, const DataPart *part, const int64_t *order, int64_t first,
                        int64_t count)
{
    NNC_ASSERT(count <= binding->capacity && first % binding->capacity == 0);
    nnc_status status =
        binding->loader ? loader_take(binding->loader, first / binding->capacity) : NNC_OK;
    for (int arg = 0; arg < binding->function->arg_count; arg++)
        if (is_loaded(binding, &binding->function->args[arg]))
            binding->buffers[arg] =
                loader_column(binding->loader, binding->function->args[arg].name);
    fill_fields(binding, part, order, first, count);
    return status;
}

static void report_failure(Trainer *trainer, const CallFailure *failure, int64_t rows,
                           const DataPart *part, const int64_t *order)
{
    const FailureSite *site = failure->site;
    DiagItem *item = diag_error(trainer->diag, site->code, site->span, NULL, "%s", site->message);
    if (part && failure->element < rows)
        diag_note(item, (Span){0}, "row %lld of the batch, row %lld of the data",
                  (long long)failure->element,
                  (long long)source_row(part, order, failure->element));
    else
        diag_note(item, (Span){0}, "at element %lld", (long long)failure->element);
}

static void report_sizes(Trainer *trainer, const CallFailure *failure, int64_t rows)
{
    const FailureSite *site = failure->site;
    DiagItem *item = diag_error(trainer->diag, site->code, site->span, NULL, "%s", site->message);
    diag_note(item, (Span){0}, "in a call with %lld rows", (long long)rows);
}

static void report_memory(Trainer *trainer, const Function *function, const CallFailure *failure,
                          int64_t rows)
{
    char need[64] = "more memory than there is";
    if (failure->bytes < 0)
        strcpy(need, "more bytes than can be counted");
    else if (failure->bytes > 0)
        snprintf(need, sizeof need, "%lld bytes", (long long)failure->bytes);
    DiagItem *item = diag_error(trainer->diag, ERR_E0804, (Span){0}, NULL,
                                "memory was refused: %s needs %s for %lld rows", function->name,
                                need, (long long)rows);
    diag_help(item, "a smaller batch needs less");
}

/* Every batch of an accumulated step draws its own random numbers. Those of an evaluation depend
 * on the place in the data alone, so that saved weights give the same values as the run that
 * saved them. */
uint64_t random_step(const Trainer *trainer)
{
    if (trainer->evaluated >= 0)
        return UINT64_C(1) << 63 | (uint64_t)trainer->evaluated;
    int64_t batches = trainer->spec->accumulate > 1 ? trainer->spec->accumulate : 1;
    return (uint64_t)(trainer->step * batches + trainer->micro);
}

/* part and order (already advanced to the batch) are for messages only; part may be NULL. */
nnc_status binding_call(Trainer *trainer, Binding *binding, int64_t rows, const DataPart *part,
                        const int64_t *order)
{
    int64_t dims[FUNCTION_RANK];
    CallFailure failure;
    for (int i = 0; i < binding->function->dim_count; i++)
        dims[i] = rows;
    trainer->scalar_step = trainer->step;
    switch (session_call(trainer->session, binding->function, dims, binding->buffers,
                         trainer->spec->seed, random_step(trainer), &failure)) {
    case CALL_OK:
        return NNC_OK;
    case CALL_NO_MEMORY:
        report_memory(trainer, binding->function, &failure, rows);
        return NNC_MEMORY;
    case CALL_SIZES:
        report_sizes(trainer, &failure, rows);
        return NNC_DATA;
    case CALL_FAILED:
        break;
    }
    report_failure(trainer, &failure, rows, part, order);
    return NNC_DATA;
}

nnc_status trainer_call(Trainer *trainer, const Function *function, int64_t rows,
                        const void *const *inputs, void *const *outputs)
{
    int next_input = 0, next_output = 0;
    Binding binding = {.function = function, .capacity = rows};
    binding.buffers = calloc((size_t)function->arg_count + 1, sizeof *binding.buffers);
    if (!binding.buffers)
        return NNC_MEMORY;
    for (int arg = 0; arg < function->arg_count; arg++) {
        const FunctionArg *argument = &function->args[arg];
        if (argument->kind == ARG_INPUT)
            binding.buffers[arg] = (void *)inputs[next_input++];
        else if (argument->kind == ARG_OUTPUT)
            binding.buffers[arg] = outputs[next_output++];
        else
            binding.buffers[arg] = trainer_tensor(trainer, argument->name);
    }
    trainer->evaluated = 0;
    nnc_status status = binding_call(trainer, &binding, rows, NULL, NULL);
    trainer->evaluated = -1;
    free(binding.buffers);
    return status;
}
