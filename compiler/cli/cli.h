/* The nnc command: a client of nnc/nnc.h and of nothing else. */
#ifndef NNC_CLI_CLI_H
#define NNC_CLI_CLI_H
#include <nnc/nnc.h>
#include <stdio.h>

typedef enum {
#define COMMAND(e, ...) COMMAND_##e,
#include "compiler/cli/options.def"
    COMMAND_COUNT
} CommandId;

typedef enum {
#define OPTION(e, ...) OPTION_##e,
#include "compiler/cli/options.def"
    OPTION_COUNT
} OptionId;

enum { MAX_VALUES = 64, MAX_OPERANDS = 8 };

typedef struct {
    CommandId command;
    const char *operands[MAX_OPERANDS];
    int operand_count;
    const char *values[OPTION_COUNT][MAX_VALUES]; /* an option without value: "" */
    int counts[OPTION_COUNT];
} Arguments;

typedef struct {
    const char *name, *operands, *doc;
    int (*run)(const Arguments *arguments);
} CommandInfo;

extern const CommandInfo command_info[COMMAND_COUNT];

/* options.c: 0, or the exit code after having said what is wrong (or printed help) in *done. */
int arguments_parse(int argc, char **argv, Arguments *arguments, bool *done);
void help_print(FILE *out, const char *command); /* NULL: all commands */
void help_markdown(FILE *out);                   /* the tables of docs/cli.md */
const char *option_value(const Arguments *arguments, OptionId option); /* the last one given; NULL: none */
void option_text(OptionId option, const char *value, char *text, size_t size); /* "--set=train.batch=64" */
bool option_number(const Arguments *arguments, OptionId option, long long low, long long *value); /* false: said on stderr */
/* --loader-threads as nnc_trainer_options has it; false: said on stderr. */
bool option_loader_threads(const Arguments *arguments, int *threads);

/* open.c: context and program as the options say; errors are printed. Both handles are NULL on
 * failure. */
int open_program(const Arguments *arguments, nnc_context **context, nnc_program **program);
int report_failure(const Arguments *arguments, nnc_context *context, nnc_status status); /* prints, returns the exit code */
typedef int WeightsUser(const Arguments *arguments, nnc_context *context, nnc_program *program, const char *block,
                        const char *weights);
/* Opens the program and calls use with its block (NULL: the first) and the weights of --weights
 * or of the newest run. */
int with_weights(const Arguments *arguments, const char *block, WeightsUser *use);
/* cache.c: where compiled kernels are kept, malloc'd; NULL: nowhere, as the options or the
 * environment say. */
char *cache_directory(const Arguments *arguments);
char *default_run_directory(const char *file, const char *block); /* malloc'd */
char *newest_run(const char *file, const char *block); /* in runs/: the one written to last, malloc'd; NULL: none, or it cannot go on */

/* progress.c: events for people. */
typedef struct Progress Progress;
Progress *progress_new(FILE *out, bool terminal);
void progress_event(Progress *progress, const nnc_event *event);
void progress_free(Progress *progress);

/* report.c: tables on standard output. */
void report_start(FILE *out, const nnc_event *event);
double without_sign_of_nan(double value); /* -nan is of no use to a reader */
void report_metrics(FILE *out, const char *part, const nnc_metric *metrics, size_t count);
void report_end(FILE *out, const nnc_event *event);

int command_run(const Arguments *arguments);
int command_check(const Arguments *arguments);
int command_summary(const Arguments *arguments);
int command_graph(const Arguments *arguments);
int command_eval(const Arguments *arguments);
int command_predict(const Arguments *arguments);
int command_sample(const Arguments *arguments);
int command_compile(const Arguments *arguments);
int command_cache(const Arguments *arguments);
int command_memory(const Arguments *arguments);
int command_time(const Arguments *arguments);
int command_explain(const Arguments *arguments);

#endif
