/* nnc run: trains one block or all of them. Results on standard output, progress on standard
 * error; with --json standard output is a stream of objects. The first Ctrl-C or SIGTERM ends
 * the run after its step, with a checkpoint; the second ends it. */
#include "compiler/cli/cli.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the signal handler reaches: the only mutable variable of the command at file scope. */
static struct {
    _Atomic(nnc_trainer *) trainer;
    atomic_int signal; /* that came, 0: none */
} interruption;

static void on_signal(int signal_number)
{
    nnc_trainer *trainer = atomic_exchange(&interruption.trainer, NULL);
    if (!trainer)
        _exit(128 + signal_number);
    atomic_store(&interruption.signal, signal_number);
    nnc_trainer_stop(trainer);
}

static void catch_signals(nnc_trainer *trainer)
{
    struct sigaction action = {.sa_handler = trainer ? on_signal : SIG_DFL, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    atomic_store(&interruption.trainer, trainer);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

typedef struct {
    const Arguments *arguments;
    Progress *progress;
    bool json, json_steps;
    nnc_program *program;
    const char *block;
    bool several; /* blocks to run */
} Run;

static void print_text(nnc_program *program, const char *block, const char *what)
{
    char *text;
    if (nnc_program_text(program, block, what, &text) == NNC_OK) {
        fputs(text, stdout);
        nnc_free(text);
    }
}

static void people_event(Run *run, const nnc_event *event)
{
    progress_event(run->progress, event);
    if (event->notice && event->kind != NNC_EVENT_START)
        fprintf(stderr, "\nnnc: %s\n", event->notice);
    if (event->kind == NNC_EVENT_START) {
        print_text(run->program, run->block, "summary");
        print_text(run->program, run->block, "memory");
        report_start(stdout, event);
    }
    if (event->kind == NNC_EVENT_END)
        report_end(stdout, event);
}

static void on_event(void *user, const nnc_event *event)
{
    Run *run = user;
    char *line;
    if (!run->json) {
        people_event(run, event);
        return;
    }
    if ((event->kind != NNC_EVENT_STEP || run->json_steps || event->debug_count > 0) &&
        nnc_event_json(event, &line) == NNC_OK) {
        puts(line);
        if (event->kind != NNC_EVENT_STEP)
            fflush(stdout);
        nnc_free(line);
    }
}

/* A word of a shell command, quoted when it has to be. */
static void print_word(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./=:,+@%";
    if (*word && strspn(word, plain) == strlen(word)) {
        fprintf(stderr, " %s", word);
        return;
    }
    fputs(" '", stderr);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", stderr);
        else
            fputc(*word, stderr);
    fputc('\'', stderr);
}

/* The command that goes on: the options that decide results, and the folder. */
static void print_resume(const Run *run, const nnc_trainer_options *options)
{
    static const OptionId kept[] = {OPTION_SEED,  OPTION_SET,    OPTION_DEFINE, OPTION_FLOAT,
                                    OPTION_SAVE,  OPTION_ENGINE, OPTION_CPU,    OPTION_NO_FUSE,
                                    OPTION_THREADS, OPTION_LOADER_THREADS};
    char word[4096];
    fputs("interrupted; this goes on:\n  nnc run", stderr);
    print_word(run->arguments->operands[0]);
    print_word(run->block);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        for (int j = 0; j < run->arguments->counts[kept[i]]; j++) {
            option_text(kept[i], run->arguments->values[kept[i]][j], word, sizeof word);
            print_word(word);
        }
    fputs(" --resume --run-dir", stderr);
    print_word(options->run_dir);
    fputc('\n', stderr);
}

static int train(Run *run, nnc_context *context, nnc_trainer_options *options)
{
    nnc_trainer *trainer = NULL;
    nnc_status status = nnc_trainer_new(run->program, run->block, options, &trainer);
    if (status == NNC_OK) {
        catch_signals(trainer);
        status = nnc_trainer_run(trainer);
        catch_signals(NULL);
    }
    int code = status == NNC_OK            ? 0
               : status == NNC_INTERRUPTED ? 128 + atomic_load(&interruption.signal)
                                           : report_failure(run->arguments, context, status);
    nnc_trainer_release(trainer);
    if (status == NNC_INTERRUPTED)
        print_resume(run, options);
    return code;
}

/* --run-dir, with a folder in it for each block when there are several; malloc'd, NULL: not
 * given. */
static char *given_folder(const Run *run)
{
    const char *given = option_value(run->arguments, OPTION_RUN_DIR);
    char *path = NULL;
    if (!given || !run->several)
        return given ? strdup(given) : NULL;
    return asprintf(&path, "%s/%s", given, run->block) >= 0 ? path : NULL;
}

static int run_block(Run *run, nnc_context *context)
{
    const Arguments *arguments = run->arguments;
    long long seed = 0;
    if (!option_number(arguments, OPTION_SEED, 0, &seed))
        return 1;
    int loader_threads = 0;
    if (!option_loader_threads(arguments, &loader_threads))
        return 1;
    char *given = given_folder(run);
    bool resume = arguments->counts[OPTION_RESUME] > 0;
    char *folder = given || !resume ? NULL : newest_run(arguments->operands[0], run->block);
    if (!given && !folder)
        folder = default_run_directory(arguments->operands[0], run->block);
    nnc_trainer_options options = {
        .size = sizeof options,
        .seed = (uint64_t)seed,
        .init = option_value(arguments, OPTION_INIT),
        .init_partial = arguments->counts[OPTION_INIT_PARTIAL] > 0,
        .run_dir = given ? given : folder,
        .save = option_value(arguments, OPTION_SAVE),
        .resume = resume,
        .loader_threads = loader_threads,
        .on_event = on_event,
        .user = run,
    };
    run->progress = progress_new(stderr, isatty(fileno(stderr)));
    int code = run->progress ? train(run, context, &options) : NNC_MEMORY;
    progress_free(run->progress);
    free(folder);
    free(given);
    return code;
}

/* "graph", "graph:out.txt", "after:fold", "after:fold:out.txt" */
static int dump(const Arguments *arguments, nnc_context *context, nnc_program *program,
                const char *request)
{
    char *what = strdup(request), *text;
    if (!what)
        return NNC_MEMORY;
    char *from = strncmp(what, "after:", 6) == 0 ? what + 6 : what, *colon = strchr(from, ':');
    if (colon)
        *colon = 0;
    nnc_status status = nnc_program_text(program, arguments->operands[1], what, &text);
    int code;
    if (status == NNC_OK) {
        FILE *out = colon ? fopen(colon + 1, "w") : stdout;
        bool written = out && fputs(text, out) >= 0 && (out == stdout || fclose(out) == 0);
        if (!written)
            fprintf(stderr, "nnc: cannot write %s\n", colon + 1);
        code = written ? NNC_OK : NNC_DATA;
        nnc_free(text);
    } else {
        code = report_failure(arguments, context, status);
    }
    free(what);
    return code;
}

static int run_blocks(const Arguments *arguments, nnc_context *context, nnc_program *program)
{
    const char *json = option_value(arguments, OPTION_JSON);
    Run run = {.arguments = arguments, .program = program, .json = json != NULL};
    run.json_steps = json && strcmp(json, "steps") == 0;
    if (json && *json && !run.json_steps) {
        fprintf(stderr, "nnc: --json takes no value or =steps, not %s\n", json);
        return 1;
    }
    size_t count = nnc_program_block_count(program);
    if (count == 0)
        fprintf(stderr, "nnc: %s has no train block\n", arguments->operands[0]);
    int code = count == 0;
    run.several = count > 1 && !arguments->operands[1];
    for (size_t i = 0; code == 0 && i < (arguments->operands[1] ? 1 : count); i++) {
        run.block =
            arguments->operands[1] ? arguments->operands[1] : nnc_program_block_name(program, i);
        code = run_block(&run, context);
    }
    return code;
}

int command_run(const Arguments *arguments)
{
    nnc_context *context;
    nnc_program *program;
    int code = open_program(arguments, &context, &program);
    if (code)
        return code;
    const char *request = option_value(arguments, OPTION_DUMP);
    code = request ? dump(arguments, context, program, request)
                   : run_blocks(arguments, context, program);
    nnc_program_release(program);
    nnc_context_release(context);
    return code;
}
