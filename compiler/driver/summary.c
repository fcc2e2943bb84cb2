/* The table of a model:
 *
 *   layer   module               output              parameters
 *   ------------------------------------------------------------
 *   x       (input)              f32[B, 1, 28, 28]
 *   conv1   Conv2d(1, 32, k=3)   f32[B, 32, 26, 26]          320
 *   ...
 *   ------------------------------------------------------------
 *   total                                                225,034
 *   900,136 bytes (879.0 KiB) of weights
 *
 * Columns are as wide as what stands in them. */
#include "compiler/driver/text.h"

#include <stdio.h>
#include <string.h>

enum { COLUMNS = 4, GAP = 3 };

typedef struct {
    const char *cells[COLUMNS]; /* the last is a number, at the right */
} Row;

typedef struct {
    Arena *arena;
    const SemaProgram *program;
    const TrainPlan *plan;
    VEC(Row) rows;
} Table;

static int64_t tensor_elements(const TensorSpec *tensor)
{
    int64_t count = 1, size;
    for (int axis = 0; axis < tensor->type.rank; axis++)
        count *= dim_is_const(tensor->type.dims[axis], &size) ? size : 0;
    return count;
}

static int64_t instance_parameters(const TrainPlan *plan, const SemaInstance *instance)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < instance->tensors.count; i++) {
        const TensorSpec *tensor = &plan->tensors.data[instance->tensors.data[i]];
        if (tensor->role == TENSOR_PARAM)
            count += tensor_elements(tensor);
    }
    return count;
}

/* 225034 -> "225,034" */
static const char *grouped(Arena *arena, int64_t number)
{
    char digits[32], text[48];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)number), used = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = 0;
    return arena_string(arena, text);
}

static const char *type_cell(const Table *table, const Type *type)
{
    StrBuf out = {0};
    type_print(table->program->dims, type, &out);
    const char *text = arena_string(table->arena, out.text);
    strbuf_free(&out);
    return text;
}

static void add_row(Table *table, const char *name, const char *module, const char *output,
                    const char *parameters)
{
    vec_push(table->arena, &table->rows, (Row){{name, module, output, parameters}});
}

/* ---- What stands in the rows ---- */

static const SemaCall *call_of(const TrainPlan *plan, const SemaInstance *instance)
{
    for (uint32_t i = 0; i < plan->calls.count; i++)
        if (plan->calls.data[i].instance == instance)
            return &plan->calls.data[i];
    return NULL;
}

static void add_inputs(Table *table)
{
    const Graph *forward = table->plan->forward;
    const uint8_t *live = graph_live(forward, table->arena);
    for (uint32_t i = 0; i < forward->nodes.count; i++) {
        const Node *node = forward->nodes.data[i];
        if (live[i] && node->op == OP_INPUT)
            add_row(table, node->attr.leaf.name, "(input)", type_cell(table, &node->type), "");
    }
}

/* Parts that hold parameters or have no parts; what only groups them has no row. */
static void add_instance(Table *table, const SemaInstance *instance)
{
    const SemaCall *call = call_of(table->plan, instance);
    bool leaf = instance->children.count == 0;
    if (leaf || instance->tensors.count > 0)
        add_row(table, instance->path[0] ? instance->path : table->plan->model_name,
                arena_format(table->arena, "%s(%s)", instance->module,
                             instance->detail ? instance->detail : ""),
                call && call->outputs.count > 0 ? type_cell(table, &call->outputs.data[0]->type)
                                                : "",
                grouped(table->arena, instance_parameters(table->plan, instance)));
    for (uint32_t i = 0; i < instance->children.count; i++)
        add_instance(table, instance->children.data[i]);
}

/* ---- Printing ---- */

static void measure(const Table *table, size_t *widths)
{
    for (uint32_t i = 0; i < table->rows.count; i++)
        for (int c = 0; c < COLUMNS; c++) {
            size_t length = strlen(table->rows.data[i].cells[c]);
            widths[c] = length > widths[c] ? length : widths[c];
        }
}

static void print_row(const Row *row, const size_t *widths, StrBuf *out)
{
    for (int c = 0; c < COLUMNS - 1; c++)
        strbuf_printf(out, "%-*s", (int)widths[c] + GAP, row->cells[c]);
    strbuf_printf(out, "%*s", (int)widths[COLUMNS - 1], row->cells[COLUMNS - 1]);
    while (out->text[out->length - 1] == ' ')
        out->text[--out->length] = 0;
    strbuf_add_char(out, '\n');
}

static void print_rule(const size_t *widths, StrBuf *out)
{
    size_t width = GAP * (COLUMNS - 1);
    for (int c = 0; c < COLUMNS; c++)
        width += widths[c];
    while (width-- > 0)
        strbuf_add_char(out, '-');
    strbuf_add_char(out, '\n');
}

typedef struct {
    int64_t parameters, frozen, states, bytes;
} Totals;

static Totals add_up(const TrainPlan *plan)
{
    Totals totals = {0};
    for (uint32_t i = 0; i < plan->tensors.count; i++) {
        const TensorSpec *tensor = &plan->tensors.data[i];
        int64_t elements = tensor_elements(tensor);
        if (tensor->role != TENSOR_PARAM && tensor->role != TENSOR_STATE)
            continue;
        totals.parameters += tensor->role == TENSOR_PARAM ? elements : 0;
        totals.frozen += tensor->role == TENSOR_PARAM && !tensor->trainable ? elements : 0;
        totals.states += tensor->role == TENSOR_STATE ? elements : 0;
        totals.bytes += elements * (int64_t)dtype_bytes(tensor->type.dtype);
    }
    return totals;
}

static void print_bytes(Arena *arena, int64_t bytes, StrBuf *out)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double scaled = (double)bytes / 1024;
    int unit = 0;
    for (; scaled >= 1024 && unit < 3; unit++)
        scaled /= 1024;
    strbuf_printf(out, "%s bytes", grouped(arena, bytes));
    if (bytes >= 1024)
        strbuf_printf(out, " (%.1f %s)", scaled, units[unit]);
    strbuf_add(out, " of weights");
}

static void print_totals(Table *table, const Totals *totals, StrBuf *out)
{
    print_bytes(table->arena, totals->bytes, out);
    if (totals->frozen)
        strbuf_printf(out, "; %s of the parameters are frozen",
                      grouped(table->arena, totals->frozen));
    if (totals->states)
        strbuf_printf(out, "; %s numbers of state beside the parameters",
                      grouped(table->arena, totals->states));
    strbuf_add_char(out, '\n');
}

void summary_print(const SemaProgram *program, const TrainPlan *plan, StrBuf *out)
{
    Table table = {.arena = arena_new(), .program = program, .plan = plan};
    Totals totals = add_up(plan);
    size_t widths[COLUMNS] = {0};
    add_row(&table, "layer", "module", "output", "parameters");
    add_inputs(&table);
    if (plan->model)
        add_instance(&table, plan->model);
    add_row(&table, "total", "", "", grouped(table.arena, totals.parameters));
    measure(&table, widths);
    for (uint32_t i = 0; i < table.rows.count; i++) {
        if (i == 1 || i + 1 == table.rows.count)
            print_rule(widths, out);
        print_row(&table.rows.data[i], widths, out);
    }
    print_totals(&table, &totals, out);
    arena_free(table.arena);
}
