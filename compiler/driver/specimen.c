/* A stand-in for data and weights, so that a step can be measured before there is a data set.
 *
 *   token: i32[B, T]     below the number of rows that they pick by gather (0 where nothing is known)
 *   image: f32[..]       uniform in [0, 1)
 *   fc1.weight           as its init says, seed 0 */
#include "compiler/driver/specimen.h"

#include "runtime/base/memory.h"
#include "runtime/base/rng.h"
#include "runtime/base/scalar.h"
#include "runtime/train/init.h"

#include <stdlib.h>
#include <string.h>

/* The input that an index comes from through moves and conversions; NULL: something else. */
static const Node *index_input(const Node *node)
{
    while (node->op != OP_INPUT && node->nsrc > 0 &&
           (op_info[node->op].op_class == CLASS_MOVE || node->op == OP_CONVERT ||
            node->op == OP_CHECK || node->op == OP_STOP || node->op == OP_AT ||
            node->op == OP_ENTER))
        node = node->src[0];
    return node->op == OP_INPUT ? node : NULL;
}

/* One more than the largest integer that an input may hold: by what it picks from. */
static int64_t input_bound(const Graph *graph, const char *name, const int64_t *symbols)
{
    int64_t bound = 0;
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph->nodes.data[i];
        if (node->op != OP_GATHER && node->op != OP_SCATTER_ADD)
            continue;
        const Node *input = index_input(node->src[1]);
        if (!input || strcmp(input->attr.leaf.name, name) != 0)
            continue;
        int64_t size = dim_eval(node->src[0]->type.dims[node->attr.axis], symbols);
        bound = bound == 0 || size < bound ? size : bound;
    }
    return bound > 0 ? bound : 1;
}

static void fill_integers(void *data, DType dtype, int64_t count, int64_t bound)
{
    for (int64_t i = 0; i < count; i++) {
        uint64_t drawn = rng_word(0, 0, 1, (uint64_t)i);
        int64_t value = (int64_t)(drawn % (uint64_t)bound);
        scalar_convert(DT_I64, dtype, &value, (char *)data + (size_t)i * dtype_bytes(dtype), 1);
    }
}

static void fill_input(const Graph *graph, const FunctionArg *argument, int64_t count,
                       const int64_t *symbols, void *data)
{
    static const InitSpec uniform = {.kind = INIT_UNIFORM, .a = 0, .b = 1};
    if (strcmp(argument->name, "total_steps") == 0 && argument->dtype == DT_I64)
        *(int64_t *)data = 1000;
    else if (dtype_is_float(argument->dtype))
        init_fill(&uniform, argument->name, 0, argument->dtype, 1, &count, data);
    else if (strcmp(argument->name, "step") != 0)
        fill_integers(data, argument->dtype, count, input_bound(graph, argument->name, symbols));
}

static bool is_deviation(const TrainPlan *plan, const char *name)
{
    for (uint32_t i = 0; plan->dataset && i < plan->dataset->stats.count; i++)
        if (strcmp(plan->dataset->stats.data[i].deviation, name) == 0)
            return true;
    return false;
}

static void fill_tensor(const TrainPlan *plan, const FunctionArg *argument, const int64_t *sizes,
                        void *data)
{
    static const InitSpec one = {.kind = INIT_CONSTANT, .a = 1};
    for (uint32_t i = 0; i < plan->tensors.count; i++) {
        const TensorSpec *tensor = &plan->tensors.data[i];
        if (strcmp(tensor->name, argument->name) != 0)
            continue;
        init_fill(is_deviation(plan, tensor->name) ? &one : &tensor->init, tensor->name, 0,
                  argument->dtype, argument->rank, sizes, data);
        return;
    }
}

static void *zeroed(size_t bytes)
{
    void *memory = memory_new((bytes + 127) / 64 * 64);
    if (!memory)
        return NULL;
    memset(memory, 0, bytes + 1);
    return memory;
}

static bool fill_argument(Specimen *specimen, const TrainPlan *plan, const Function *function,
                          const Graph *graph, const int64_t *symbols, int arg)
{
    const FunctionArg *argument = &function->args[arg];
    int64_t sizes[FUNCTION_RANK], count = function_elements(function, specimen->dims, arg);
    if (count < 0)
        return false;
    void *data = zeroed((size_t)count * dtype_bytes(argument->dtype));
    specimen->buffers[arg] = data;
    if (!data)
        return false;
    function->shape(function, specimen->dims, arg, sizes);
    if (argument->kind == ARG_INPUT)
        fill_input(graph, argument, count, symbols, data);
    else if (argument->kind != ARG_OUTPUT)
        fill_tensor(plan, argument, sizes, data);
    return true;
}

bool specimen_open(Specimen *specimen, const TrainPlan *plan, const Function *function,
                   const Graph *graph, int64_t rows)
{
    uint32_t symbol_count = dim_symbol_count(graph->dims);
    int64_t *symbols = calloc(symbol_count + 1, sizeof *symbols);
    *specimen = (Specimen){.buffers = calloc((size_t)function->arg_count + 1, sizeof(void *)),
                           .dims = calloc((size_t)function->dim_count + 1, sizeof(int64_t)),
                           .table = calloc((size_t)function->table_size + 1, sizeof(int64_t)),
                           .failures = calloc((size_t)function->failure_count + 1, sizeof(int64_t))};
    bool good = symbols && specimen->buffers && specimen->dims && specimen->table &&
                specimen->failures;
    for (int i = 0; good && i < function->dim_count; i++)
        specimen->dims[i] = rows;
    for (uint32_t i = 0; good && i < symbol_count; i++)
        symbols[i] = rows;
    for (int arg = 0; good && arg < function->arg_count; arg++)
        good = fill_argument(specimen, plan, function, graph, symbols, arg);
    if (good)
        specimen->arena_bytes = function->plan(function, specimen->dims, specimen->table);
    good = good && specimen->arena_bytes >= 0;
    if (good)
        specimen->arena = zeroed((size_t)specimen->arena_bytes);
    free(symbols);
    return good && specimen->arena;
}

void specimen_make_plain(Specimen *specimen, const Function *function)
{
    for (int arg = 0; arg < function->arg_count; arg++) {
        const FunctionArg *argument = &function->args[arg];
        bool integers = argument->kind == ARG_INPUT && !dtype_is_float(argument->dtype);
        if (integers && strcmp(argument->name, "total_steps") != 0)
            memset(specimen->buffers[arg], 0,
                   (size_t)function_elements(function, specimen->dims, arg) *
                       dtype_bytes(argument->dtype));
    }
}

void specimen_free(Specimen *specimen, const Function *function)
{
    for (int arg = 0; specimen->buffers && arg < function->arg_count; arg++)
        free(specimen->buffers[arg]);
    free(specimen->buffers);
    free(specimen->dims);
    free(specimen->table);
    free(specimen->failures);
    free(specimen->arena);
    *specimen = (Specimen){0};
}
