/* From arguments to a checked program, and from a status to an exit code; and where runs lie. */
#include "compiler/cli/cli.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool one_of(const Arguments *arguments, OptionId option, const char *first,
                   const char *second, bool *is_second)
{
    const char *value = option_value(arguments, option);
    *is_second = value && strcmp(value, second) == 0;
    if (!value || *is_second || strcmp(value, first) == 0)
        return true;
    fprintf(stderr, "nnc: %s is not one of %s and %s\n", value, first, second);
    return false;
}

int report_failure(const Arguments *arguments, nnc_context *context, nnc_status status)
{
    const char *format = option_value(arguments, OPTION_ERROR_FORMAT);
    bool to_stream = arguments->counts[OPTION_JSON] > 0;
    bool json = to_stream || (format && strcmp(format, "json") == 0);
    const char *text = nnc_diagnostics(context, json                     ? NNC_JSON
                                                : isatty(fileno(stderr)) ? NNC_TEXT_COLOUR
                                                                         : NNC_TEXT);
    fputs(text, to_stream ? stdout : stderr);
    if (!*text)
        fprintf(stderr, "nnc: %s\n", nnc_status_text(status));
    return status == NNC_ARGUMENT || status == NNC_UNSUPPORTED ? 1 : (int)status;
}

static int open_checked(const Arguments *arguments, nnc_context *context, nnc_program **program)
{
    nnc_program_options options = {
        .size = sizeof options,
        .defines = arguments->values[OPTION_DEFINE],
        .define_count = (size_t)arguments->counts[OPTION_DEFINE],
        .settings = arguments->values[OPTION_SET],
        .setting_count = (size_t)arguments->counts[OPTION_SET],
        .no_fuse = arguments->counts[OPTION_NO_FUSE] > 0,
        .cpu = option_value(arguments, OPTION_CPU),
    };
    bool json_errors;
    if (!one_of(arguments, OPTION_FLOAT, "f32", "f64", &options.f64) ||
        !one_of(arguments, OPTION_ENGINE, "jit", "ref", &options.interpret) ||
        !one_of(arguments, OPTION_ERROR_FORMAT, "text", "json", &json_errors))
        return 1;
    nnc_status status = nnc_program_load(context, arguments->operands[0], &options, program);
    return status == NNC_OK ? 0 : report_failure(arguments, context, status);
}

int open_program(const Arguments *arguments, nnc_context **context, nnc_program **program)
{
    long long threads = 0;
    *context = NULL;
    *program = NULL;
    if (!option_number(arguments, OPTION_THREADS, 1, &threads))
        return 1;
    if (threads > 1024) {
        fprintf(stderr, "nnc: --threads takes at most 1024\n");
        return 1;
    }
    char *cache = cache_directory(arguments);
    nnc_context_options options = {
        .size = sizeof options, .threads = (int)threads, .cache_dir = cache};
    nnc_status made = nnc_context_new(&options, context);
    free(cache);
    if (made != NNC_OK) {
        fprintf(stderr, "nnc: not enough memory\n");
        return NNC_MEMORY;
    }
    int code = open_checked(arguments, *context, program);
    if (code) {
        nnc_context_release(*context);
        *context = NULL;
    }
    return code;
}

/* "examples/mnist/cnn.nn" -> "cnn" */
static char *stem_of(const char *file)
{
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file,
               *dot = strrchr(name, '.');
    return strndup(name, dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

char *default_run_directory(const char *file, const char *block)
{
    char when[32], *path = NULL, *stem = stem_of(file);
    time_t now = time(NULL);
    struct tm parts;
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", localtime_r(&now, &parts));
    struct stat exists;
    for (int attempt = 0; stem; attempt++) { /* two runs in one second */
        char suffix[16] = "";
        if (attempt)
            snprintf(suffix, sizeof suffix, "-%d", attempt);
        if (asprintf(&path, "runs/%s-%s-%s%s", stem, block, when, suffix) < 0)
            path = NULL;
        if (!path || stat(path, &exists) != 0)
            break;
        free(path);
    }
    free(stem);
    return path;
}

static bool is_newer(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec != b->st_mtim.tv_sec ? a->st_mtim.tv_sec > b->st_mtim.tv_sec
                                                  : a->st_mtim.tv_nsec >= b->st_mtim.tv_nsec;
}

/* Is `name` the folder of a run of this block: its stem and block, then a time (no other block's
 * name)? */
static bool is_run_of(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) == 0 && strchr("0123456789", name[length]) != NULL;
}

/* The text behind `key` in the first lines of a run.json, up to its quote, malloc'd; NULL: there
 * is none. */
static char *value_of(const char *text, const char *key)
{
    const char *at = strstr(text, key), *end = at ? strchr(at + strlen(key), '"') : NULL;
    return end ? strndup(at + strlen(key), (size_t)(end - at) - strlen(key)) : NULL;
}

/* Does a folder with a name of its own (--run-dir) say in its run.json that it is a run of this
 * block? */
static bool says_it_runs(const char *name, const char *program, const char *block)
{
    char *path = NULL, text[4096] = "";
    FILE *file = asprintf(&path, "runs/%s/run.json", name) >= 0 ? fopen(path, "r") : NULL;
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        fclose(file);
    }
    char *of = value_of(text, "\"file\": \""), *trained = value_of(text, "\"train\": \""),
         *theirs = of ? stem_of(of) : NULL, *ours = stem_of(program);
    bool same = theirs && ours && trained && strcmp(theirs, ours) == 0 &&
                strcmp(trained, block) == 0;
    free(path);
    free(of);
    free(trained);
    free(theirs);
    free(ours);
    return same;
}

/* The folder in runs/ of this program's block in which `file` was written last, malloc'd; NULL:
 * none. */
static char *newest_with(const char *program, const char *block, const char *file)
{
    char *prefix = NULL, *stem = stem_of(program), *newest = NULL;
    struct stat newest_info = {0}, info;
    DIR *runs = opendir("runs");
    if (!stem || !runs || asprintf(&prefix, "%s-%s-", stem, block) < 0)
        prefix = NULL;
    for (struct dirent *entry; prefix && (entry = readdir(runs)) != NULL;) {
        char *path = NULL, *folder = NULL;
        if ((is_run_of(entry->d_name, prefix) ||
             says_it_runs(entry->d_name, program, block)) &&
            asprintf(&path, "runs/%s/%s", entry->d_name, file) >= 0 && stat(path, &info) == 0 &&
            (!newest || is_newer(&info, &newest_info)) &&
            asprintf(&folder, "runs/%s", entry->d_name) >= 0) {
            free(newest);
            newest = folder;
            newest_info = info;
        }
        free(path);
    }
    if (runs)
        closedir(runs);
    free(prefix);
    free(stem);
    return newest;
}

char *newest_run(const char *program, const char *block)
{
    char *folder = newest_with(program, block, "log.jsonl"), *checkpoints = NULL;
    struct stat info;
    bool goes_on = folder && asprintf(&checkpoints, "%s/checkpoints", folder) >= 0 &&
                   stat(checkpoints, &info) == 0;
    free(checkpoints);
    if (goes_on)
        return folder;
    free(folder);
    return NULL;
}

/* What eval and predict use: the weights at the end of the newest run that has any, else its
 * newest checkpoint. */
static char *newest_weights(const char *program, const char *block)
{
    char *folder = newest_with(program, block, "weights.safetensors"), *path = NULL;
    if (!folder)
        return newest_with(program, block, "checkpoints/last");
    if (asprintf(&path, "%s/weights.safetensors", folder) < 0)
        path = NULL;
    free(folder);
    return path;
}

int with_weights(const Arguments *arguments, const char *block, WeightsUser *use)
{
    nnc_context *context;
    nnc_program *program;
    int code = open_program(arguments, &context, &program);
    if (code)
        return code;
    if (!block)
        block = nnc_program_block_name(program, 0);
    const char *given = option_value(arguments, OPTION_WEIGHTS);
    char *newest = given || !block ? NULL : newest_weights(arguments->operands[0], block);
    if (!given && !newest) {
        fprintf(stderr, "nnc: no weights: there is no run of %s in runs/, and no --weights\n",
                arguments->operands[0]);
        code = NNC_DATA;
    } else {
        fprintf(stderr, "weights: %s\n", given ? given : newest);
        code = use(arguments, context, program, block, given ? given : newest);
    }
    free(newest);
    nnc_program_release(program);
    nnc_context_release(context);
    return code;
}
