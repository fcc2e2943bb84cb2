/* Commands that print what the library says about a program: check, summary, graph, explain,
 * compile. */
#include "compiler/cli/cli.h"

#include <string.h>

static int print_program_text(const Arguments *arguments, nnc_context *context,
                              nnc_program *program, const char *what, const char *path)
{
    char *text;
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

static int print_what(const Arguments *arguments, const char *what, const char *path)
{
    nnc_context *context;
    nnc_program *program;
    int code = open_program(arguments, &context, &program);
    if (code)
        return code;
    code = print_program_text(arguments, context, program, what, path);
    nnc_program_release(program);
    nnc_context_release(context);
    return code;
}

int command_check(const Arguments *arguments)
{
    const char *stage = option_value(arguments, OPTION_DUMP);
    if (stage)
        return command_run(arguments);
    if (arguments->counts[OPTION_DIMS])
        return print_what(arguments, "dims", NULL);
    nnc_context *context;
    nnc_program *program;
    int code = open_program(arguments, &context, &program);
    if (code == 0 && !arguments->counts[OPTION_JSON])
        printf("%s: no errors\n", arguments->operands[0]);
    nnc_program_release(program);
    nnc_context_release(context);
    return code;
}

int command_summary(const Arguments *arguments)
{
    return print_what(arguments, "summary", NULL);
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

int command_graph(const Arguments *arguments)
{
    const char *format = option_value(arguments, OPTION_FORMAT),
               *path = option_value(arguments, OPTION_OUTPUT);
    if (!format)
        format = path && (ends_with(path, ".dot") || ends_with(path, ".gv")) ? "dot" : "svg";
    if (strcmp(format, "svg") != 0 && strcmp(format, "dot") != 0) {
        fprintf(stderr, "nnc: --format takes svg or dot, not %s\n", format);
        return 1;
    }
    return print_what(arguments, format, path);
}

int command_explain(const Arguments *arguments)
{
    const char *page = nnc_explain(arguments->operands[0]);
    if (!page) {
        fprintf(stderr, "nnc: there is no error code %s; codes look like E0312\n",
                arguments->operands[0]);
        return 1;
    }
    puts(page);
    return 0;
}

int command_compile(const Arguments *arguments)
{
    nnc_context *context;
    nnc_program *program;
    const char *output = option_value(arguments, OPTION_OUTPUT);
    if (!output) {
        fprintf(stderr, "nnc: compile needs -o OUT.o\n");
        return 1;
    }
    int code = open_program(arguments, &context, &program);
    if (code)
        return code;
    nnc_compile_options options = {.size = sizeof options,
                                   .weights = option_value(arguments, OPTION_WEIGHTS)};
    nnc_status status = nnc_program_compile(program, arguments->operands[1], output, &options);
    if (status != NNC_OK)
        code = report_failure(arguments, context, status);
    nnc_program_release(program);
    nnc_context_release(context);
    return code;
}
