/* The table of a model:
 *
 *   layer        module                output               parameters
 *   conv1        Conv2d(1, 32, k=3)    f32[B, 32, 26, 26]          320
 *   ...
 *   total                                                      225,034   0.9 MiB */
#include "compiler/driver/text.h"

#include <stdio.h>

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
static void group_digits(char *text, size_t size, int64_t number)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)number), used = 0;
    for (int i = 0; i < length && used + 2 < (int)size; i++) {
        if (i && (length - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = 0;
}

static const SemaCall *call_of(const TrainPlan *plan, const SemaInstance *instance)
{
    for (uint32_t i = 0; i < plan->calls.count; i++)
        if (plan->calls.data[i].instance == instance)
            return &plan->calls.data[i];
    return NULL;
}

static void pad_to(StrBuf *out, size_t line, size_t column)
{
    do
        strbuf_add_char(out, ' ');
    while (out->length - line < column);
}

enum { COLUMN_MODULE = 18, COLUMN_OUTPUT = 46, COLUMN_COUNT = 70 };

static void print_row(StrBuf *out, const char *name, const char *module, const char *output, int64_t parameters)
{
    char number[40];
    size_t line = out->length;
    strbuf_add(out, name);
    pad_to(out, line, COLUMN_MODULE);
    strbuf_add(out, module);
    pad_to(out, line, COLUMN_OUTPUT);
    strbuf_add(out, output);
    pad_to(out, line, COLUMN_COUNT);
    group_digits(number, sizeof number, parameters);
    strbuf_printf(out, "%12s\n", number);
}

static void print_instance(const SemaProgram *program, const TrainPlan *plan, const SemaInstance *instance, StrBuf *out)
{
    StrBuf module = {0}, shape = {0};
    const SemaCall *call = call_of(plan, instance);
    strbuf_printf(&module, "%s(%s)", instance->module, instance->detail ? instance->detail : "");
    if (call && call->outputs.count > 0)
        type_print(program->dims, &call->outputs.data[0]->type, &shape);
    bool leaf = instance->in_std || instance->children.count == 0;
    if (leaf || instance->tensors.count > 0)
        print_row(out, instance->path[0] ? instance->path : plan->model_name, module.text, shape.text ? shape.text : "",
                  instance_parameters(plan, instance));
    for (uint32_t i = 0; i < instance->children.count; i++)
        print_instance(program, plan, instance->children.data[i], out);
    strbuf_free(&module);
    strbuf_free(&shape);
}

void summary_print(const SemaProgram *program, const TrainPlan *plan, StrBuf *out)
{
    char number[40];
    int64_t parameters = 0, bytes = 0;
    size_t line = out->length;
    strbuf_add(out, "layer");
    pad_to(out, line, COLUMN_MODULE);
    strbuf_add(out, "module");
    pad_to(out, line, COLUMN_OUTPUT);
    strbuf_add(out, "output");
    pad_to(out, line, COLUMN_COUNT);
    strbuf_printf(out, "%12s\n", "parameters");
    if (plan->model)
        print_instance(program, plan, plan->model, out);
    for (uint32_t i = 0; i < plan->tensors.count; i++) {
        const TensorSpec *tensor = &plan->tensors.data[i];
        parameters += tensor->role == TENSOR_PARAM ? tensor_elements(tensor) : 0;
        if (tensor->role == TENSOR_PARAM || tensor->role == TENSOR_STATE)
            bytes += tensor_elements(tensor) * (int64_t)dtype_bytes(tensor->type.dtype);
    }
    print_row(out, "total", "", "", parameters);
    group_digits(number, sizeof number, bytes);
    strbuf_printf(out, "%s bytes of weights\n", number);
}
