/* nnc time: where the time of a step goes. */
#include "compiler/cli/cli.h"

static int print_timing(const Arguments *arguments, nnc_context *context, nnc_program *program)
{
    long long steps = 0;
    char *text;
    if (!option_number(arguments, OPTION_STEPS, 1, &steps))
        return 1;
    nnc_time_options options = {.size = sizeof options,
                                .function = option_value(arguments, OPTION_FUNCTION),
                                .steps = steps > 1000000 ? 1000000 : (int)steps,
                                .compile = arguments->counts[OPTION_COMPILE] > 0,
                                .format = arguments->counts[OPTION_JSON] ? NNC_JSON : NNC_TEXT,
                                .trace = option_value(arguments, OPTION_TRACE)};
    nnc_status status = nnc_program_time(program, arguments->operands[1], &options, &text);
    if (status != NNC_OK)
        return report_failure(arguments, context, status);
    fputs(text, stdout);
    nnc_free(text);
    return 0;
}

int command_time(const Arguments *arguments)
{
    nnc_context *context;
    nnc_program *program;
    int code = open_program(arguments, &context, &program);
    if (code)
        return code;
    code = print_timing(arguments, context, program);
    nnc_program_release(program);
    nnc_context_release(context);
    return code;
}
