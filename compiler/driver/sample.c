/* Samples: the sample block of a program, with the weights of a model. In: a SamplePlan and, for
 * a text, how to go on from what. Out: pictures as PNG files, text in the characters of the
 * tokenizer.
 *
 * A text longer than the context is made in pieces: the last half of the context begins the next
 * one. */
#include "compiler/driver/sample.h"

#include "compiler/driver/weights.h"
#include "runtime/base/scalar.h"
#include "runtime/data/data.h"
#include "runtime/data/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Sampler {
    Run *run;
    CompileOptions options;
    Compiled *compiled;
    const Function *function;
    Session *session;           /* of its own: the run's says what a step needs */
    Tokenizer *own;             /* read from the notes of the weights */
    const Tokenizer *tokenizer; /* NULL: the block makes no text */
};

static Diag *diag_of(const Sampler *sampler)
{
    return sampler->run->program->context->diag;
}

/* The tokenizer of the data at hand, or of the file of the weights. */
static nnc_status find_tokenizer(Sampler *sampler)
{
    Run *run = sampler->run;
    const DataTable *table = run->dataset.tables[NNC_PART_TRAIN];
    const DataColumn *column = table ? table_column(table, "token") : NULL;
    const char *problem = "the weights have none";
    if (column) {
        sampler->tokenizer = column->tokenizer;
        return NNC_OK;
    }
    for (int i = 0; run->notes && i < run->notes->count; i++)
        if (strcmp(run->notes->items[i].key, "tokenizer.token") == 0)
            sampler->own = tokenizer_from_text(run->notes->items[i].value,
                                               strlen(run->notes->items[i].value), &problem);
    sampler->tokenizer = sampler->own;
    return sampler->own ? NNC_OK
                        : context_fail(run->program->context, NNC_DATA, ERR_E0618,
                                       "a text needs the tokenizer of its data: %s", problem);
}

static nnc_status compile_sampler(Sampler *sampler)
{
    Run *run = sampler->run;
    nnc_context *context = run->program->context;
    CompileUnit unit = {.name = "sample", .graph = run->plan->sample.graph};
    sampler->options =
        program_compile_options(run->program, run->plan, run->spec.batch, run->arena);
    Jit *jit = sampler->options.interpret ? NULL : context_jit(context);
    if (!sampler->options.interpret && !jit)
        return NNC_UNSUPPORTED;
    sampler->compiled = compile_units(jit, &unit, 1, &sampler->options, context->diag);
    if (!sampler->compiled)
        return diag_error_count(context->diag) ? NNC_PROGRAM : NNC_MEMORY;
    sampler->function = compiled_function(sampler->compiled, 0);
    sampler->session = session_new(pool_run, context->pool);
    return sampler->session ? NNC_OK : NNC_MEMORY;
}

nnc_status sampler_open(Run *run, Sampler **out)
{
    const SamplePlan *plan = &run->plan->sample;
    if (!plan->graph)
        return context_fail(run->program->context, NNC_PROGRAM, ERR_E0402,
                            "the train block %s has no sample block", run->plan->name);
    Sampler *sampler = calloc(1, sizeof *sampler);
    if (!sampler)
        return NNC_MEMORY;
    sampler->run = run;
    nnc_status status = plan->has_text ? find_tokenizer(sampler) : NNC_OK;
    if (status == NNC_OK)
        status = compile_sampler(sampler);
    if (status == NNC_OK)
        *out = sampler;
    else
        sampler_close(sampler);
    return status;
}

void sampler_close(Sampler *sampler)
{
    if (!sampler)
        return;
    session_free(sampler->session);
    compiled_free(sampler->compiled);
    tokenizer_free(sampler->own);
    free(sampler);
}

/* ---- One call ---- */

typedef struct {
    const SampleOptions *options;
    int32_t *tokens; /* [context], the prompt first; then the text */
    int32_t length;  /* of the prompt */
    int32_t top_k;
    float temperature, top_p;
    double temperature64, top_p64; /* of a program in f64 */
    void *images;
} Draw;

static void *input_of(Draw *draw, const FunctionArg *arg)
{
    bool wide = arg->dtype == DT_F64;
    if (strcmp(arg->name, SAMPLE_PROMPT) == 0)
        return draw->tokens;
    if (strcmp(arg->name, SAMPLE_LENGTH) == 0)
        return &draw->length;
    if (strcmp(arg->name, SAMPLE_TOP_K) == 0)
        return &draw->top_k;
    if (strcmp(arg->name, SAMPLE_TEMPERATURE) == 0)
        return wide ? (void *)&draw->temperature64 : &draw->temperature;
    return wide ? (void *)&draw->top_p64 : &draw->top_p;
}

static nnc_status run_sampler(const Sampler *sampler, void *const *buffers, uint64_t seed)
{
    CallFailure failure;
    int64_t no_dims[FUNCTION_RANK] = {0};
    switch (
        session_call(sampler->session, sampler->function, no_dims, buffers, seed, 0, &failure)) {
    case CALL_OK:
        return NNC_OK;
    case CALL_NO_MEMORY:
        return context_fail(sampler->run->program->context, NNC_MEMORY, ERR_E0804,
                            "not enough memory for a sample");
    case CALL_SIZES:
    case CALL_FAILED:
        break;
    }
    diag_error(diag_of(sampler), failure.site->code, failure.site->span, NULL, "%s",
               failure.site->message);
    return NNC_DATA;
}

/* The new tokens replace those of the prompt. */
static nnc_status call(const Sampler *sampler, Draw *draw, uint64_t seed)
{
    const Function *function = sampler->function;
    size_t bytes = (size_t)sampler->run->plan->sample.context * sizeof(int32_t);
    int32_t *made = calloc(1, bytes + 1);
    void **buffers = calloc((size_t)function->arg_count + 1, sizeof *buffers);
    for (int i = 0; made && buffers && i < function->arg_count; i++) {
        const FunctionArg *arg = &function->args[i];
        if (arg->kind == ARG_INPUT)
            buffers[i] = input_of(draw, arg);
        else if (arg->kind == ARG_OUTPUT)
            buffers[i] = strcmp(arg->name, "text") == 0 ? (void *)made : draw->images;
        else
            buffers[i] = trainer_tensor(sampler->run->trainer, arg->name);
    }
    nnc_status status = made && buffers ? run_sampler(sampler, buffers, seed) : NNC_MEMORY;
    if (status == NNC_OK && draw->tokens)
        memcpy(draw->tokens, made, bytes);
    free(buffers);
    free(made);
    return status;
}

/* ---- Pictures ---- */

static nnc_status write_picture(const Sampler *sampler, const char *path, const void *values,
                                int arg)
{
    const Function *function = sampler->function;
    int64_t no_dims[FUNCTION_RANK] = {0}, sizes[FUNCTION_RANK] = {1, 1, 1};
    int rank = function->args[arg].rank;
    int64_t count = function_elements(function, no_dims, arg);
    function->shape(function, no_dims, arg, sizes + (3 - rank));
    float *narrow = malloc((size_t)count * sizeof *narrow + 1);
    if (!narrow)
        return NNC_MEMORY;
    scalar_convert(function->args[arg].dtype, DT_F32, values, narrow, (size_t)count);
    bool good = png_write(path, narrow, sizes[0], sizes[1], sizes[2],
                          sampler->run->plan->sample.span, diag_of(sampler));
    free(narrow);
    return good ? NNC_OK : NNC_DATA;
}

static nnc_status make_room(const Sampler *sampler, int arg, void **images)
{
    int64_t no_dims[FUNCTION_RANK] = {0};
    int64_t count = arg < 0 ? 0 : function_elements(sampler->function, no_dims, arg);
    *images =
        count < 0 || count > INT64_MAX / 16 ? NULL : malloc((size_t)count * sizeof(double) + 1);
    return *images ? NNC_OK : NNC_MEMORY;
}

/* ---- Texts ---- */

/* What to go on from: the prompt, or a line's end, or the first token. Keeps the last half of
 * the context at most. */
static nnc_status begin_text(const Sampler *sampler, const SampleOptions *options, Tokens *tokens)
{
    const char *prompt = options->prompt && *options->prompt ? options->prompt : "\n";
    size_t unknown;
    bool given = prompt == options->prompt;
    if (tokenizer_encode(sampler->tokenizer, prompt, strlen(prompt), tokens, &unknown))
        return NNC_OK;
    if (unknown == SIZE_MAX)
        return NNC_MEMORY;
    if (given)
        return context_fail(sampler->run->program->context, NNC_DATA, ERR_E0618,
                            "the prompt has a character at byte %zu that the vocabulary lacks",
                            unknown);
    tokens->count = 1;
    tokens->data[0] = 0;
    return NNC_OK;
}

static void add_text(const Sampler *sampler, const int32_t *tokens, int64_t count, StrBuf *text)
{
    for (int64_t i = 0; i < count; i++) {
        size_t length = 0;
        const char *piece = tokenizer_piece(sampler->tokenizer, tokens[i], &length);
        if (piece)
            strbuf_add_bytes(text, piece, length);
    }
}

static nnc_status go_on(const Sampler *sampler, Draw *draw, const Tokens *prompt, StrBuf *text)
{
    int64_t context = sampler->run->plan->sample.context, keep = context > 1 ? context / 2 : 1;
    int64_t wanted = draw->options->tokens > 0 ? draw->options->tokens : context, done = 0;
    int64_t first = (int64_t)prompt->count > keep ? (int64_t)prompt->count - keep : 0;
    draw->length = (int32_t)((int64_t)prompt->count - first);
    memcpy(draw->tokens, prompt->data + first, (size_t)draw->length * sizeof *draw->tokens);
    for (uint64_t piece = 0; done < wanted; piece++) {
        nnc_status status = call(sampler, draw, draw->options->seed + piece);
        if (status != NNC_OK)
            return status;
        int64_t made =
            context - draw->length < wanted - done ? context - draw->length : wanted - done;
        add_text(sampler, draw->tokens + draw->length, made, text);
        done += made;
        if (made <= 0)
            break;
        memmove(draw->tokens, draw->tokens + context - keep, (size_t)keep * sizeof *draw->tokens);
        draw->length = (int32_t)keep;
    }
    return NNC_OK;
}

static nnc_status make_text(const Sampler *sampler, Draw *draw, StrBuf *text)
{
    Tokens prompt = {0};
    int64_t context = sampler->run->plan->sample.context;
    draw->tokens = calloc((size_t)context + 1, sizeof *draw->tokens);
    nnc_status status = draw->tokens ? begin_text(sampler, draw->options, &prompt) : NNC_MEMORY;
    if (status == NNC_OK && draw->options->prompt)
        strbuf_add(text, draw->options->prompt);
    if (status == NNC_OK)
        status = go_on(sampler, draw, &prompt, text);
    free(prompt.data);
    free(draw->tokens);
    return status;
}

nnc_status sampler_draw(Sampler *sampler, const SampleOptions *options, const char *picture,
                        StrBuf *text)
{
    const SamplePlan *plan = &sampler->run->plan->sample;
    int arg = function_arg(sampler->function, ARG_OUTPUT, "images");
    Draw draw = {.options = options,
                 .temperature = (float)options->temperature,
                 .temperature64 = options->temperature,
                 .top_k =
                     (int32_t)(options->top_k > 0 && options->top_k < INT32_MAX ? options->top_k
                                                                                : INT32_MAX),
                 .top_p = (float)options->top_p,
                 .top_p64 = options->top_p};
    nnc_status status = make_room(sampler, arg, &draw.images);
    if (status == NNC_OK)
        status =
            plan->has_text ? make_text(sampler, &draw, text) : call(sampler, &draw, options->seed);
    if (status == NNC_OK && plan->has_images)
        status = write_picture(sampler, picture, draw.images, arg);
    free(draw.images);
    return status;
}
