/* The parser and the help pages, made from options.def. */
#include "compiler/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FOR(command) (1u << COMMAND_##command)
#define FOR_ALL (~0u)

const CommandInfo command_info[COMMAND_COUNT] = {
#define COMMAND(e, name, operands, run, doc) [COMMAND_##e] = {name, operands, doc, run},
#include "compiler/cli/options.def"
};

typedef struct {
    const char *name;
    char letter;
    const char *value; /* NULL: none; begins with '[': may be left out */
    unsigned commands;
    const char *doc;
} OptionInfo;

static const OptionInfo option_info[OPTION_COUNT] = {
#define OPTION(e, name, letter, value, commands, doc)                                              \
    [OPTION_##e] = {name, letter, value, commands, doc},
#include "compiler/cli/options.def"
};

static int edit_distance(const char *a, const char *b)
{
    int row[64], n = (int)strlen(b);
    if (n >= 64)
        return 99;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[n];
}

static void suggest(const char *word, const char *name, int *best, const char **nearest)
{
    int distance = edit_distance(word, name);
    if (distance < *best && distance <= (int)strlen(word) / 3 + 1) {
        *best = distance;
        *nearest = name;
    }
}

static int unknown(const char *kind, const char *prefix, const char *word, const char *nearest)
{
    fprintf(stderr, "nnc: unknown %s %s%s", kind, prefix, word);
    if (nearest)
        fprintf(stderr, "; did you mean %s%s", prefix, nearest);
    fprintf(stderr, "\n");
    return 1;
}

static int find_command(const char *word, CommandId *command)
{
    const char *nearest = NULL;
    int best = 99;
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(word, command_info[i].name) == 0) {
            *command = (CommandId)i;
            return 0;
        }
        suggest(word, command_info[i].name, &best, &nearest);
    }
    return unknown("command", "", word, nearest);
}

/* name up to '=' or the end; -1: no such option, said on stderr. */
static int find_option(const char *name, size_t length, CommandId command)
{
    const char *nearest = NULL;
    int best = 99;
    char *word = strndup(name, length);
    for (int i = 0; word && i < OPTION_COUNT; i++) {
        if (strcmp(word, option_info[i].name) == 0) {
            free(word);
            if (option_info[i].commands & (1u << command))
                return i;
            fprintf(stderr, "nnc: %s takes no option --%s\n", command_info[command].name,
                    option_info[i].name);
            return -1;
        }
        suggest(word, option_info[i].name, &best, &nearest);
    }
    unknown("option", "--", word ? word : name, nearest);
    free(word);
    return -1;
}

static int find_letter(char letter, CommandId command)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (option_info[i].letter == letter && option_info[i].commands & (1u << command))
            return i;
    fprintf(stderr, "nnc: unknown option -%c\n", letter);
    return -1;
}

static int add_value(Arguments *arguments, int option, const char *value)
{
    if (arguments->counts[option] == MAX_VALUES) {
        fprintf(stderr, "nnc: too many --%s\n", option_info[option].name);
        return 1;
    }
    arguments->values[option][arguments->counts[option]++] = value;
    return 0;
}

/* One option at argv[*at] (and its value behind it); 0 or the exit code. */
static int parse_option(int argc, char **argv, int *at, Arguments *arguments)
{
    const char *text = argv[*at];
    bool is_long = text[1] == '-';
    const char *equals = is_long ? strchr(text, '=') : NULL;
    const char *value = equals ? equals + 1 : !is_long && text[2] ? text + 2 : NULL;
    int option =
        is_long ? find_option(text + 2, equals ? (size_t)(equals - text - 2) : strlen(text + 2),
                              arguments->command)
                : find_letter(text[1], arguments->command);
    if (option < 0)
        return 1;
    const OptionInfo *info = &option_info[option];
    if (!info->value && value) {
        fprintf(stderr, "nnc: --%s takes no value\n", info->name);
        return 1;
    }
    if (info->value && info->value[0] != '[' && !value) {
        if (*at + 1 >= argc) {
            fprintf(stderr, "nnc: --%s needs a value: %s\n", info->name, info->value);
            return 1;
        }
        value = argv[++*at];
    }
    return add_value(arguments, option, value ? value : "");
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

int arguments_parse(int argc, char **argv, Arguments *arguments, bool *done)
{
    memset(arguments, 0, sizeof *arguments);
    *done = true;
    if (argc < 2 || is_help(argv[1])) {
        help_print(argc < 2 ? stderr : stdout, argc > 2 ? argv[2] : NULL);
        return argc < 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("nnc %s\n", nnc_version());
        return 0;
    }
    if (strcmp(argv[1], "--help-markdown") == 0) {
        help_markdown(stdout);
        return 0;
    }
    if (find_command(argv[1], &arguments->command) != 0)
        return 1;
    for (int at = 2; at < argc; at++) {
        if (argv[at][0] == '-' && argv[at][1]) {
            int code = parse_option(argc, argv, &at, arguments);
            if (code)
                return code;
        } else if (arguments->operand_count < MAX_OPERANDS) {
            arguments->operands[arguments->operand_count++] = argv[at];
        }
    }
    if (arguments->counts[OPTION_HELP]) {
        help_print(stdout, command_info[arguments->command].name);
        return 0;
    }
    bool optional = command_info[arguments->command].operands[0] == '[';
    if (arguments->operand_count == 0 && !optional) {
        fprintf(stderr, "nnc: %s needs an argument: nnc %s %s\n",
                command_info[arguments->command].name, command_info[arguments->command].name,
                command_info[arguments->command].operands);
        return 1;
    }
    *done = false;
    return 0;
}

const char *option_value(const Arguments *arguments, OptionId option)
{
    int count = arguments->counts[option];
    return count ? arguments->values[option][count - 1] : NULL;
}

void option_text(OptionId option, const char *value, char *text, size_t size)
{
    snprintf(text, size, "--%s%s%s", option_info[option].name, *value ? "=" : "", value);
}

bool option_number(const Arguments *arguments, OptionId option, long long low, long long *value)
{
    const char *text = option_value(arguments, option);
    char *end;
    if (!text)
        return true;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < low) {
        fprintf(stderr, "nnc: --%s takes a whole number of at least %lld, not %s\n",
                option_info[option].name, low, text);
        return false;
    }
    *value = number;
    return true;
}

bool option_loader_threads(const Arguments *arguments, int *threads)
{
    enum { MOST = 1024 };
    long long number = 0;
    *threads = 0;
    if (!option_value(arguments, OPTION_LOADER_THREADS))
        return true;
    if (!option_number(arguments, OPTION_LOADER_THREADS, 0, &number))
        return false;
    if (number > MOST)
        fprintf(stderr, "nnc: --loader-threads takes at most %d\n", MOST);
    *threads = number > 0 ? (int)(number > MOST ? MOST : number) : -1;
    return number <= MOST;
}

/* "-o, --output FILE" in a column, then the text wrapped at 78 characters. */
static void print_row(FILE *out, const char *left, const char *text)
{
    enum { INDENT = 26, WIDTH = 78 };
    int column = fprintf(out, "  %s", left);
    if (column >= INDENT) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", INDENT - column, "");
    column = INDENT;
    while (*text) {
        int word = (int)strcspn(text, " ");
        if (column + word > WIDTH && column > INDENT)
            column = fprintf(out, "\n%*s", INDENT, "") - 1;
        column += fprintf(out, "%.*s ", word, text);
        text += word;
        text += *text == ' ';
    }
    fputc('\n', out);
}

static void option_syntax(const OptionInfo *info, char *text, size_t size)
{
    int used = info->letter ? snprintf(text, size, "-%c, ", info->letter) : 0;
    snprintf(text + used, size - (size_t)used, "--%s%s%s", info->name,
             info->value && info->value[0] != '[' ? "=" : "", info->value ? info->value : "");
}

void help_print(FILE *out, const char *command)
{
    CommandId id = COMMAND_COUNT;
    char syntax[64];
    for (int i = 0; command && i < COMMAND_COUNT; i++)
        if (strcmp(command_info[i].name, command) == 0)
            id = (CommandId)i;
    if (id == COMMAND_COUNT) {
        fprintf(out, "nnc trains and runs neural networks written in one text file.\n\nCommands\n");
        for (int i = 0; i < COMMAND_COUNT; i++) {
            snprintf(syntax, sizeof syntax, "%s %s", command_info[i].name,
                     command_info[i].operands);
            print_row(out, syntax, command_info[i].doc);
        }
        fprintf(out, "\nnnc COMMAND --help lists the options of a command.\n");
        return;
    }
    fprintf(out, "nnc %s %s\n  %s\n\nOptions\n", command_info[id].name, command_info[id].operands,
            command_info[id].doc);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (option_info[i].commands & (1u << id)) {
            option_syntax(&option_info[i], syntax, sizeof syntax);
            print_row(out, syntax, option_info[i].doc);
        }
}

static void markdown_cell(FILE *out, const char *text)
{
    for (; *text; text++)
        fputs(*text == '|' ? "\\|" : (char[]){*text, 0}, out);
}

void help_markdown(FILE *out)
{
    char syntax[64];
    fprintf(out, "| command | does |\n|---|---|\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "| `nnc %s %s` | %s |\n", command_info[i].name, command_info[i].operands,
                command_info[i].doc);
    fprintf(out, "\n| option | commands | does |\n|---|---|---|\n");
    for (int i = 0; i < OPTION_COUNT; i++) {
        const OptionInfo *info = &option_info[i];
        option_syntax(info, syntax, sizeof syntax);
        fprintf(out, "| `");
        markdown_cell(out, syntax);
        fprintf(out, "` |");
        for (int c = 0; c < COMMAND_COUNT && info->commands != FOR_ALL; c++)
            if (info->commands & (1u << c))
                fprintf(out, " %s", command_info[c].name);
        fprintf(out, "%s | ", info->commands == FOR_ALL ? " all" : "");
        markdown_cell(out, info->doc);
        fprintf(out, " |\n");
    }
}
