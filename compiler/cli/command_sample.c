/* nnc sample: the sample block of a program with saved weights. Text goes to standard output, a
 * picture to a file. */
#include "compiler/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A real number of an option; false: it was said what is wrong. */
static bool option_real(const Arguments *arguments, OptionId option, const char *name,
                        double *value)
{
    const char *text = option_value(arguments, option);
    char *end;
    if (!text)
        return true;
    errno = 0;
    *value = strtod(text, &end);
    if (end != text && !*end && errno == 0)
        return true;
    fprintf(stderr, "nnc: %s needs a number, and %s is none\n", name, text);
    return false;
}

static bool read_options(const Arguments *arguments, nnc_sample_options *options)
{
    long long seed = 0, tokens = 500, top_k = 0;
    const char *picture = option_value(arguments, OPTION_OUTPUT);
    *options = (nnc_sample_options){.size = sizeof *options,
                                    .prompt = option_value(arguments, OPTION_PROMPT),
                                    .temperature = 1,
                                    .top_p = 1,
                                    .picture = picture ? picture : "sample.png"};
    if (!option_number(arguments, OPTION_SEED, 0, &seed) ||
        !option_number(arguments, OPTION_TOKENS, 1, &tokens) ||
        !option_number(arguments, OPTION_TOP_K, 1, &top_k) ||
        !option_real(arguments, OPTION_TEMPERATURE, "--temperature", &options->temperature) ||
        !option_real(arguments, OPTION_TOP_P, "--top-p", &options->top_p))
        return false;
    options->seed = (uint64_t)seed;
    options->tokens = tokens;
    options->top_k = top_k;
    return true;
}

static int sample(const Arguments *arguments, nnc_context *context, nnc_program *program,
                  const char *block, const char *weights)
{
    nnc_sample_options options;
    nnc_model *model = NULL;
    char *text = NULL;
    if (!read_options(arguments, &options))
        return 1;
    nnc_status status = nnc_model_load(program, block, weights, &model);
    if (status == NNC_OK)
        status = nnc_model_sample(model, &options, &text);
    if (status == NNC_OK && text)
        printf("%s\n", text);
    else if (status == NNC_OK)
        fprintf(stderr, "picture: %s\n", options.picture);
    nnc_free(text);
    nnc_model_release(model);
    return status == NNC_OK ? 0 : report_failure(arguments, context, status);
}

int command_sample(const Arguments *arguments)
{
    return with_weights(arguments, arguments->operands[1], sample);
}
