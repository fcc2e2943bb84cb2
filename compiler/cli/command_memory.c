/* nnc memory: the plan of the arena, as text and as a picture. */
#include "compiler/cli/cli.h"

static int print_plan(const Arguments *arguments, nnc_context *context, nnc_program *program)
{
    const char *path = option_value(arguments, OPTION_OUTPUT),
               *function = option_value(arguments, OPTION_FUNCTION);
    char what[64], *text;
    snprintf(what, sizeof what, "%s.%s", path ? "memory_svg" : "memory_peak",
             function ? function : "train");
    nnc_status status = nnc_program_text(program, arguments->operands[1], what, &text);
    if (status != NNC_OK)
        return report_failure(arguments, context, status);
    FILE *out = path ? fopen(path, "w") : stdout;
    bool written = out && fputs(text, out) >= 0 && (!path || fclose(out) == 0);
    if (!written)
        fprintf(stderr, "nnc: cannot write %s\n", path ? path : "to standard output");
    nnc_free(text);
    return written ? 0 : NNC_DATA;
}

int command_memory(const Arguments *arguments)
{
    nnc_context *context;
    nnc_program *program;
    int code = open_program(arguments, &context, &program);
    if (code)
        return code;
    code = print_plan(arguments, context, program);
    nnc_program_release(program);
    nnc_context_release(context);
    return code;
}
