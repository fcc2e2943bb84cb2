/* Models and sessions: the weights of a block, and running its predict function on rows. A model
 * stands on the run of a trainer, whose weights it shares, or on a run of its own. */
#include "compiler/driver/cells.h"
#include "compiler/driver/inputs.h"
#include "compiler/driver/sample.h"
#include "compiler/driver/trainer_handle.h"
#include "compiler/driver/weights.h"

#include <stdlib.h>
#include <string.h>

struct nnc_model {
    int references;
    nnc_trainer *trainer; /* holds the run of a trainer, or NULL: own is the run */
    Run own;
    Sampler *sampler; /* compiled by the first sample; NULL before */
};

struct nnc_session {
    int references;
    nnc_model *model;
};

static Run *model_run(const nnc_model *model)
{
    return model->trainer ? &model->trainer->run : (Run *)&model->own;
}

nnc_status nnc_trainer_model(nnc_trainer *trainer, nnc_model **out)
{
    nnc_model *model = calloc(1, sizeof *model);
    if (!model)
        return NNC_MEMORY;
    model->references = 1;
    model->trainer = trainer;
    trainer->references++;
    *out = model;
    return NNC_OK;
}

nnc_status nnc_model_load(nnc_program *program, const char *block, const char *weights,
                          nnc_model **out)
{
    context_begin(program->context);
    nnc_model *model = calloc(1, sizeof *model);
    if (!model)
        return NNC_MEMORY;
    model->references = 1;
    nnc_status status = run_open(&model->own, program, block, 0, false, 0);
    if (status == NNC_OK && weights &&
        !(weights = weights_find(program->context, model->own.arena, weights)))
        status = NNC_DATA;
    if (status == NNC_OK && weights)
        status = weights_load(program->context, model->own.trainer, &model->own.spec, weights,
                              WEIGHTS_ALL, NULL);
    if (status == NNC_OK && weights)
        model->own.notes = weights_notes_of_file(model->own.arena, weights);
    if (status == NNC_OK)
        *out = model;
    else
        nnc_model_release(model);
    return status;
}

void nnc_model_release(nnc_model *model)
{
    if (!model || --model->references > 0)
        return;
    sampler_close(model->sampler);
    if (model->trainer)
        nnc_trainer_release(model->trainer);
    else
        run_close(&model->own);
    free(model);
}

nnc_status nnc_model_save(nnc_model *model, const char *path)
{
    Run *run = model_run(model);
    context_begin(run->program->context);
    if (!path)
        return context_fail(run->program->context, NNC_ARGUMENT, ERR_E0901, "weights need a path");
    return weights_save(run->program->context, run->trainer, &run->spec, run->notes, path);
}

static bool is_weight(const RunTensor *tensor)
{
    return tensor->role == ROLE_PARAM || tensor->role == ROLE_STATE;
}

size_t nnc_model_tensor_count(const nnc_model *model)
{
    const TrainSpec *spec = &model_run(model)->spec;
    size_t count = 0;
    for (int i = 0; i < spec->tensor_count; i++)
        count += is_weight(&spec->tensors[i]);
    return count;
}

const char *nnc_model_tensor_name(const nnc_model *model, size_t wanted)
{
    const TrainSpec *spec = &model_run(model)->spec;
    for (int i = 0; i < spec->tensor_count; i++)
        if (is_weight(&spec->tensors[i]) && wanted-- == 0)
            return spec->tensors[i].name;
    return NULL;
}

static nnc_status no_tensor(Run *run, const char *name)
{
    int count = 0;
    const char **names = ARENA_ARRAY(run->arena, const char *, run->spec.tensor_count + 1);
    for (int i = 0; i < run->spec.tensor_count; i++)
        if (is_weight(&run->spec.tensors[i]))
            names[count++] = run->spec.tensors[i].name;
    const char *nearest = name ? diag_nearest(name, names, (uint32_t)count) : NULL;
    return context_fail(run->program->context, NNC_ARGUMENT, ERR_E0703,
                        "the model has no tensor %s%s%s", name ? name : "",
                        nearest ? "; did you mean " : "", nearest ? nearest : "");
}

nnc_status nnc_model_tensor(nnc_model *model, const char *name, nnc_tensor **out)
{
    Run *run = model_run(model);
    context_begin(run->program->context);
    int index = name ? trainer_tensor_index(run->trainer, name) : -1;
    if (index < 0 || !is_weight(&run->spec.tensors[index]))
        return no_tensor(run, name);
    const RunTensor *spec = &run->spec.tensors[index];
    nnc_status status = nnc_tensor_wrap((nnc_dtype)spec->dtype, spec->rank, spec->sizes,
                                        trainer_tensor_at(run->trainer, index), out);
    if (status == NNC_OK) {
        (*out)->model = model;
        model->references++;
    }
    return status;
}

static nnc_status check_sample(Run *run, const nnc_sample_options *options)
{
    nnc_context *context = run->program->context;
    if (!(options->temperature >= 0))
        return context_fail(context, NNC_ARGUMENT, ERR_E0901, "a temperature is 0 or more");
    if (!(options->top_p >= 0 && options->top_p <= 1))
        return context_fail(context, NNC_ARGUMENT, ERR_E0901, "top-p lies between 0 and 1");
    if (options->top_k < 0 || options->tokens < 0)
        return context_fail(context, NNC_ARGUMENT, ERR_E0901, "numbers of tokens are 0 or more");
    if (run->plan->sample.has_images && !options->picture)
        return context_fail(context, NNC_ARGUMENT, ERR_E0901, "a picture needs a path");
    return NNC_OK;
}

nnc_status nnc_model_sample(nnc_model *model, const nnc_sample_options *given, char **text)
{
    Run *run = model_run(model);
    nnc_sample_options options;
    StrBuf made = {0};
    context_begin(run->program->context);
    if (!options_copy(&options, sizeof options, given))
        return context_fail(run->program->context, NNC_ARGUMENT, ERR_E0901,
                            "sample options begin with their size");
    nnc_status status = check_sample(run, &options);
    if (status == NNC_OK && !model->sampler)
        status = sampler_open(run, &model->sampler);
    const SampleOptions draw = {.prompt = options.prompt,
                                .tokens = options.tokens,
                                .temperature = options.temperature,
                                .top_k = options.top_k,
                                .top_p = options.top_p > 0 ? options.top_p : 1,
                                .seed = options.seed};
    if (status == NNC_OK)
        status = sampler_draw(model->sampler, &draw, options.picture, &made);
    if (status != NNC_OK) {
        strbuf_free(&made);
        return status;
    }
    *text = made.text;
    return NNC_OK;
}

static int function_outputs(const Function *function)
{
    int count = 0;
    for (int i = 0; i < function->arg_count; i++)
        count += function->args[i].kind == ARG_OUTPUT;
    return count;
}

nnc_status nnc_session_new(nnc_model *model, nnc_session **out)
{
    Run *run = model_run(model);
    if (function_outputs(run->predict) == 0)
        return context_fail(run->program->context, NNC_PROGRAM, ERR_E0402,
                            "the train block %s needs predict = ... for predictions",
                            run->plan->name);
    nnc_session *session = calloc(1, sizeof *session);
    if (!session)
        return NNC_MEMORY;
    *session = (nnc_session){.references = 1, .model = model};
    model->references++;
    *out = session;
    return NNC_OK;
}

void nnc_session_release(nnc_session *session)
{
    if (!session || --session->references > 0)
        return;
    nnc_model_release(session->model);
    free(session);
}

/* The nth argument of a kind; NULL: there are fewer. */
static const FunctionArg *nth_arg(const nnc_session *session, ArgKind kind, size_t n, int *index)
{
    const Function *predict = model_run(session->model)->predict;
    for (int i = 0; i < predict->arg_count; i++)
        if (predict->args[i].kind == kind && n-- == 0) {
            if (index)
                *index = i;
            return &predict->args[i];
        }
    return NULL;
}

static size_t count_args(const nnc_session *session, ArgKind kind)
{
    size_t count = 0;
    while (nth_arg(session, kind, count, NULL))
        count++;
    return count;
}

size_t nnc_session_input_count(const nnc_session *session)
{
    return (size_t)model_run(session->model)->input_count;
}

static const PredictInput *nth_input(const nnc_session *session, size_t i)
{
    const Run *run = model_run(session->model);
    return i < (size_t)run->input_count ? &run->inputs[i] : NULL;
}

const char *nnc_session_input_name(const nnc_session *session, size_t i)
{
    const PredictInput *input = nth_input(session, i);
    return input ? input->name : NULL;
}

const char *nnc_session_input_shape(const nnc_session *session, size_t i)
{
    const PredictInput *input = nth_input(session, i);
    return input ? input->shape : NULL;
}

size_t nnc_session_output_count(const nnc_session *session)
{
    return count_args(session, ARG_OUTPUT);
}

const char *nnc_session_output_name(const nnc_session *session, size_t i)
{
    const FunctionArg *arg = nth_arg(session, ARG_OUTPUT, i, NULL);
    return arg ? arg->name : NULL;
}

const char *nnc_session_output_shape(const nnc_session *session, size_t i)
{
    const FunctionArg *arg = nth_arg(session, ARG_OUTPUT, i, NULL);
    return arg ? arg->shape : NULL;
}

bool nnc_session_input_is_text(const nnc_session *session, size_t i)
{
    const PredictInput *input = nth_input(session, i);
    return input && input_is_text(model_run(session->model), input);
}

/* All free dimensions of predict are the number of rows. */
static void fill_dims(const Function *function, int64_t rows, int64_t *dims)
{
    for (int i = 0; i < function->dim_count && i < FUNCTION_RANK; i++)
        dims[i] = rows;
}

static nnc_status wrong_input(Run *run, const PredictInput *input, const nnc_tensor *tensor)
{
    StrBuf given = {0};
    strbuf_add(&given, tensor ? dtype_name(tensor->dtype) : "missing");
    for (int axis = 0; tensor && axis < tensor->rank; axis++)
        strbuf_printf(&given, "%s%lld", axis ? ", " : "[", (long long)tensor->sizes[axis]);
    strbuf_add(&given, !tensor ? "" : tensor->rank ? "]" : "[]");
    context_fail(run->program->context, NNC_ARGUMENT, ERR_E0901, "input %s must be %s, and is %s",
                 input->name, input->shape, given.text);
    strbuf_free(&given);
    return NNC_ARGUMENT;
}

static nnc_status check_input(nnc_session *session, size_t i, const nnc_tensor *tensor,
                              int64_t rows)
{
    Run *run = model_run(session->model);
    const PredictInput *input = nth_input(session, i);
    int64_t sizes[FUNCTION_RANK + 1] = {0};
    input_sizes(run, input, rows, sizes);
    bool fits = tensor && tensor->dtype == input->dtype && tensor->rank == input->rank &&
                memcmp(sizes, tensor->sizes, sizeof *sizes * (size_t)input->rank) == 0;
    return fits ? NNC_OK : wrong_input(run, input, tensor);
}

nnc_status nnc_session_read_text(nnc_session *session, size_t i, const char *text,
                                 nnc_tensor *tensor, int64_t row)
{
    Run *run = model_run(session->model);
    context_begin(run->program->context);
    int64_t width = tensor && tensor->rank && tensor->sizes[0]
                        ? nnc_tensor_elements(tensor) / tensor->sizes[0]
                        : 0;
    if (!nnc_session_input_is_text(session, i) || !text || width < 1 || tensor->dtype != DT_I32 ||
        row < 0 || row >= tensor->sizes[0])
        return context_fail(run->program->context, NNC_ARGUMENT, ERR_E0901,
                            "a text is read into a row of an input of words");
    nnc_status status = check_input(session, i, tensor, tensor->sizes[0]);
    if (status != NNC_OK)
        return status;
    return input_read_text(run, &run->inputs[i], text,
                           (int32_t *)nnc_tensor_data(tensor) + row * width);
}

static nnc_status make_output(nnc_session *session, size_t i, int64_t rows, nnc_tensor **out)
{
    Run *run = model_run(session->model);
    int index = 0;
    const FunctionArg *arg = nth_arg(session, ARG_OUTPUT, i, &index);
    int64_t dims[FUNCTION_RANK] = {0}, sizes[FUNCTION_RANK] = {0};
    fill_dims(run->predict, rows, dims);
    run->predict->shape(run->predict, dims, index, sizes);
    return nnc_tensor_new((nnc_dtype)arg->dtype, arg->rank, sizes, out);
}

enum { MAX_SESSION_ARGS = 64 };

nnc_status nnc_session_run(nnc_session *session, nnc_tensor *const *inputs, nnc_tensor **outputs)
{
    Run *run = model_run(session->model);
    size_t input_count = (size_t)run->input_count,
           output_count = count_args(session, ARG_OUTPUT), made = 0;
    const void *in[MAX_SESSION_ARGS];
    void *out[MAX_SESSION_ARGS];
    nnc_tensor *results[MAX_SESSION_ARGS];
    nnc_status status = NNC_OK;
    context_begin(run->program->context);
    if (input_count > MAX_SESSION_ARGS || output_count > MAX_SESSION_ARGS)
        return NNC_UNSUPPORTED;
    int64_t rows = input_count > 0 && inputs[0] && inputs[0]->rank > 0 ? inputs[0]->sizes[0] : 0;
    for (size_t i = 0; status == NNC_OK && i < input_count; i++) {
        status = check_input(session, i, inputs[i], rows);
        in[i] = status == NNC_OK ? inputs[i]->data : NULL;
    }
    while (status == NNC_OK && made < output_count) {
        status = make_output(session, made, rows, &results[made]);
        if (status == NNC_OK) {
            out[made] = results[made]->data;
            made++;
        }
    }
    if (status == NNC_OK)
        status = inputs_call(run, rows, in, out);
    for (size_t i = 0; i < made; i++) {
        if (status == NNC_OK)
            outputs[i] = results[i];
        else
            nnc_tensor_release(results[i]);
    }
    return status;
}
