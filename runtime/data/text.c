/* Texts for language models. In: a file and how to cut it into tokens. Out: tables of
 * overlapping windows over one array of tokens each, so that a million windows cost no more
 * memory than the text.
 *
 *   "hello", chars, window 3    tokens 1 0 2 2 3 (e=0 h=1 l=2 o=3)
 *   row 0                       token 1 0 2, next 0 2 2
 *   row 1                       token 0 2 2, next 2 2 3 */
#include "runtime/data/reader.h"
#include "runtime/data/tokenizer.h"
#include "runtime/tensor/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    DataFile file;
    const TextOptions *options;
    Diag *diag;
    Bytes bytes;
    size_t cuts[SPLIT_PARTS + 1]; /* byte positions: part i is from cuts[i] to cuts[i + 1] */
    Tokenizer *tokenizer;
} Text;

static bool no_memory(const Text *text)
{
    diag_error(text->diag, ERR_E0617, text->file.span, NULL, "%s does not fit into memory",
               text->file.path);
    return false;
}

static void line_and_column(const Text *text, size_t at, size_t *line, size_t *column)
{
    *line = *column = 1;
    for (size_t i = 0, bytes; i < at; i += bytes) {
        bool end = text->bytes.data[i] == '\n';
        utf8_next(text->bytes.data + i, text->bytes.length - i, &bytes);
        *line += end;
        *column = end ? 1 : *column + 1;
    }
}

static bool is_utf8(const Text *text)
{
    size_t at = 0, bytes, line, column;
    for (; at < text->bytes.length; at += bytes)
        if (utf8_next(text->bytes.data + at, text->bytes.length - at, &bytes) < 0)
            break;
    if (at >= text->bytes.length)
        return true;
    line_and_column(text, at, &line, &column);
    diag_help(diag_error(text->diag, ERR_E0618, text->file.span, NULL,
                         "%s, line %zu, column %zu: this is not UTF-8", text->file.path, line,
                         column),
              "tokens=\"bytes\" reads any file");
    return false;
}

/* The byte position after `count` characters (bytes where tokens are bytes). */
static size_t position_of(const Text *text, int64_t count)
{
    size_t at = 0, bytes;
    if (text->options->tokens == TEXT_BYTES && !text->options->tokenizer)
        return (size_t)count;
    for (int64_t i = 0; i < count && at < text->bytes.length; i++, at += bytes)
        utf8_next(text->bytes.data + at, text->bytes.length - at, &bytes);
    return at;
}

static int64_t characters(const Text *text)
{
    int64_t count = 0;
    size_t bytes;
    if (text->options->tokens == TEXT_BYTES && !text->options->tokenizer)
        return (int64_t)text->bytes.length;
    for (size_t at = 0; at < text->bytes.length; at += bytes, count++)
        utf8_next(text->bytes.data + at, text->bytes.length - at, &bytes);
    return count;
}

static void cut(Text *text, bool whole)
{
    int64_t all = characters(text);
    int64_t test = whole ? 0 : (int64_t)floor((double)all * text->options->test + 0.5);
    int64_t valid = whole ? 0 : (int64_t)floor((double)all * text->options->valid + 0.5);
    int64_t train = all - valid - test > 0 ? all - valid - test : 0;
    text->cuts[0] = 0;
    text->cuts[1] = position_of(text, train);
    text->cuts[2] = test ? position_of(text, train + valid) : text->bytes.length;
    text->cuts[3] = text->bytes.length;
    if (whole)
        text->cuts[1] = text->cuts[2] = text->bytes.length;
}

/* ---- The tokenizer ---- */

static bool is_weights(const char *path)
{
    static const char ending[] = ".safetensors";
    size_t length = strlen(path), tail = sizeof ending - 1;
    return length > tail && strcmp(path + length - tail, ending) == 0;
}

/* The tokenizer that was saved with weights. */
static Tokenizer *tokenizer_of_weights(const Text *text, const char **problem)
{
    SafeTensors *file = safetensors_open(text->options->tokenizer, text->diag, text->file.span);
    const char *json = file ? safetensors_metadata(file, "tokenizer.token") : NULL;
    Tokenizer *tokenizer = json ? tokenizer_from_text(json, strlen(json), problem) : NULL;
    if (file && !json)
        *problem = "these weights have no tokenizer of a text";
    safetensors_close(file);
    return tokenizer;
}

static Tokenizer *tokenizer_of_file(const Text *text, const char **problem)
{
    Bytes json;
    if (!bytes_read(text->options->tokenizer, text->file.span, text->diag, &json))
        return NULL;
    Tokenizer *tokenizer = tokenizer_from_text(json.data, json.length, problem);
    free(json.data);
    return tokenizer;
}

static bool read_tokenizer(Text *text)
{
    const char *problem = NULL, *path = text->options->tokenizer;
    text->tokenizer =
        is_weights(path) ? tokenizer_of_weights(text, &problem) : tokenizer_of_file(text, &problem);
    if (!text->tokenizer && problem)
        diag_error(text->diag, ERR_E0618, text->file.span, NULL, "%s: %s", path, problem);
    return text->tokenizer != NULL;
}

static bool make_tokenizer(Text *text)
{
    const TextOptions *options = text->options;
    if (options->tokenizer)
        return read_tokenizer(text);
    if (options->tokens == TEXT_BYTES)
        text->tokenizer = tokenizer_bytes();
    else if (options->tokens == TEXT_CHARS)
        text->tokenizer = tokenizer_chars(NULL, 0, text->bytes.data, text->cuts[1]);
    else
        text->tokenizer = tokenizer_train(text->bytes.data, text->cuts[1], options->vocabulary);
    return text->tokenizer || no_memory(text);
}

static bool fits_vocabulary(const Text *text)
{
    static const char *const what[] = {"bytes", "characters", "tokens"};
    int64_t size = tokenizer_size(text->tokenizer), room = text->options->vocabulary;
    if (room == 0 || size <= room)
        return true;
    diag_error(
        text->diag, ERR_E0618, text->file.span, NULL, "%s has %lld different %s, and vocab is %lld",
        text->options->tokenizer ? text->options->tokenizer : text->file.path, (long long)size,
        what[text->options->tokenizer ? TEXT_BPE : text->options->tokens], (long long)room);
    return false;
}

static bool encode(const Text *text, int part, Tokens *tokens)
{
    size_t first = text->cuts[part], unknown, line, column, bytes;
    if (tokenizer_encode(text->tokenizer, text->bytes.data + first, text->cuts[part + 1] - first,
                         tokens, &unknown))
        return true;
    if (unknown == SIZE_MAX)
        return no_memory(text);
    line_and_column(text, first + unknown, &line, &column);
    const char *at = text->bytes.data + first + unknown;
    int32_t code = utf8_next(at, text->bytes.length - first - unknown, &bytes);
    char shown[16];
    if (code < ' ')
        snprintf(shown, sizeof shown, "U+%04X", (unsigned)code);
    else
        snprintf(shown, sizeof shown, "'%.*s'", (int)bytes, at);
    diag_help(
        diag_error(text->diag, ERR_E0618, text->file.span, NULL,
                   "%s, line %zu, column %zu: the character %s is not in the vocabulary of the "
                   "training text",
                   text->file.path, line, column, shown),
        "tokens=\"bytes\" and tokens=\"bpe\" know every character");
    return false;
}

/* ---- Windows ---- */

static bool window_column(DataColumn *column, const char *name, int64_t window, int64_t stride,
                          int32_t *data, bool borrowed)
{
    *column = (DataColumn){.name = strdup(name),
                           .dtype = DT_I32,
                           .rank = 1,
                           .sizes = {window},
                           .row_bytes = window * (int64_t)sizeof(int32_t),
                           .stride = stride * (int64_t)sizeof(int32_t),
                           .data = (char *)data,
                           .borrowed = borrowed};
    return column->name != NULL;
}

/* Takes the tokens. */
static DataTable *window_table(const Text *text, Tokens tokens, int64_t stride)
{
    int64_t window = text->options->window, last = (int64_t)tokens.count - window - 1;
    DataTable *table = table_new(last < 0 ? 0 : last / stride + 1, 2);
    if (!table || !window_column(&table->columns[0], "token", window, stride, tokens.data, true) ||
        !window_column(&table->columns[1], "next", window, stride, tokens.data + 1, true)) {
        free(tokens.data);
        table_free(table);
        no_memory(text);
        return NULL;
    }
    table->columns[0].borrowed = false;
    table->columns[0].tokenizer = text->tokenizer;
    table->columns[0].shared = true;
    return table;
}

static bool make_part(const Text *text, int part, int64_t stride, DataTable **out)
{
    static const char *const names[] = {"training", "validation", "test"};
    Tokens tokens = {0};
    if (!encode(text, part, &tokens)) {
        free(tokens.data);
        return false;
    }
    if ((int64_t)tokens.count > text->options->window) {
        *out = window_table(text, tokens, stride);
        return *out != NULL;
    }
    diag_error(text->diag, ERR_E0612, text->file.span, NULL,
               "%s: the %s part has %zu tokens, and a window needs %lld", text->file.path,
               names[part], tokens.count, (long long)text->options->window + 1);
    free(tokens.data);
    return false;
}

static bool make_parts(Text *text, bool whole, DataTable *parts[3])
{
    const TextOptions *options = text->options;
    const bool wanted[] = {true, !whole && options->valid > 0, !whole && options->test > 0};
    bool good = true;
    for (int part = 0; good && part < SPLIT_PARTS; part++) {
        bool walks = part == SPLIT_TRAIN && !whole;
        if (wanted[part])
            good = make_part(text, part, walks ? options->stride : options->window, &parts[part]);
    }
    return good;
}

bool text_read(DataFile file, const TextOptions *options, Tokenizer *known, DataTable *parts[3],
               Diag *diag)
{
    Text text = {.file = file, .options = options, .diag = diag, .tokenizer = known};
    parts[0] = parts[1] = parts[2] = NULL;
    if (!bytes_read(file.path, file.span, diag, &text.bytes))
        return false;
    bool plain = options->tokens == TEXT_BYTES && !options->tokenizer;
    bool good = plain || is_utf8(&text);
    if (good)
        cut(&text, known != NULL);
    good = good && (known || make_tokenizer(&text)) && fits_vocabulary(&text) &&
           make_parts(&text, known != NULL, parts);
    free(text.bytes.data);
    if (good && !known)
        parts[0]->columns[0].shared = false;
    if (good)
        return true;
    for (int part = 0; part < SPLIT_PARTS; part++) {
        table_free(parts[part]);
        parts[part] = NULL;
    }
    if (!known)
        tokenizer_free(text.tokenizer);
    return false;
}
