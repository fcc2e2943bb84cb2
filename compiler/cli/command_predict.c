/* nnc predict: a row of numbers a line on standard input, a row of numbers a line on standard
 * output. The numbers of a row are the elements of the inputs in their order, separated by
 * commas, semicolons, tabs or spaces. A first line that is not numbers is a header. A field of
 * words or of texts takes a cell as the training file has them; then spaces do not separate, a
 * cell may stand between quotes, and a first line that begins with the name of the first input
 * is a header. */
#include "compiler/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 256, MAX_IO = 64 };

typedef struct {
    nnc_session *session;
    size_t input_count, output_count;
    nnc_tensor *inputs[MAX_IO];
    int64_t widths[MAX_IO]; /* elements of one row */
    int64_t width;
    int64_t rows;
    long line;
    bool texts, is_text[MAX_IO]; /* some input has words or texts; which ones */
} Predictor;

static const char separators[] = ",; \t\r\n", cell_ends[] = ",;\t\r\n";

/* The next cell of a line with texts; NULL: there is none. "a ""b""" is a "b". */
static char *next_cell(char **rest)
{
    char *at = *rest + strspn(*rest, " "), *begin = at, *end = at;
    if (!*at || *at == '\r' || *at == '\n')
        return NULL;
    if (*at == '"') {
        for (at++; *at && (*at != '"' || at[1] == '"'); at++) {
            at += *at == '"';
            *end++ = *at;
        }
        at += *at == '"';
        at += strcspn(at, cell_ends);
    } else {
        end = at += strcspn(at, cell_ends);
        while (end > begin && end[-1] == ' ')
            end--;
    }
    *rest = at + (*at != 0);
    *end = 0;
    return begin;
}

static char *next_word(const Predictor *predictor, char **rest)
{
    return predictor->texts ? next_cell(rest) : strtok_r(NULL, separators, rest);
}

/* "f32[B, 28, 28]" -> dtype and sizes of one row */
static bool parse_shape(const char *shape, nnc_dtype *dtype, int *rank, int64_t *sizes)
{
    static const char *const names[] = {"bool", "u8", "i32", "i64", "f32",
                                        "f64",  "i8", "f16", "bf16"};
    for (int i = 0; i <= NNC_BF16; i++)
        if (strncmp(shape, names[i], strlen(names[i])) == 0)
            *dtype = (nnc_dtype)i;
    const char *p = strchr(shape, ',');
    *rank = 0;
    for (; p && *rank < 7; p = strchr(p + 1, ',')) {
        char *end;
        sizes[*rank] = strtoll(p + 1, &end, 10);
        if (end == p + 1)
            return false;
        (*rank)++;
    }
    return true;
}

static nnc_status make_input(Predictor *predictor, size_t i)
{
    int64_t sizes[8] = {ROWS};
    int rank;
    nnc_dtype dtype = NNC_F32;
    if (!parse_shape(nnc_session_input_shape(predictor->session, i), &dtype, &rank, sizes + 1))
        return NNC_UNSUPPORTED;
    predictor->widths[i] = 1;
    for (int axis = 1; axis <= rank; axis++)
        predictor->widths[i] *= sizes[axis];
    predictor->is_text[i] = nnc_session_input_is_text(predictor->session, i);
    predictor->texts |= predictor->is_text[i];
    predictor->width += predictor->is_text[i] ? 1 : predictor->widths[i];
    return nnc_tensor_new(dtype, rank + 1, sizes, &predictor->inputs[i]);
}

/* Text of a whole number from low to high, and nothing behind it. */
static bool whole_number(const char *word, int64_t low, int64_t high, int64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoll(word, &end, 10);
    return end != word && !*end && errno == 0 && *value >= low && *value <= high;
}

/* NULL, or why the word is not a value of the tensor's type. */
static const char *put_number(nnc_tensor *tensor, int64_t at, const char *word)
{
    void *data = nnc_tensor_data(tensor);
    nnc_dtype dtype = nnc_tensor_dtype(tensor);
    int64_t whole;
    char *end;
    if (dtype == NNC_F32 || dtype == NNC_F64 || dtype == NNC_F16 || dtype == NNC_BF16) {
        nnc_tensor_set_number(tensor, at, strtod(word, &end));
        return *end ? "not a number: " : NULL;
    }
    switch (dtype) {
    case NNC_BOOL:
    case NNC_U8:
        if (!whole_number(word, 0, dtype == NNC_U8 ? UINT8_MAX : 1, &whole))
            return dtype == NNC_U8 ? "not a u8: " : "neither 0 nor 1: ";
        ((uint8_t *)data)[at] = (uint8_t)whole;
        return NULL;
    case NNC_I32:
        if (!whole_number(word, INT32_MIN, INT32_MAX, &whole))
            return "not an i32: ";
        ((int32_t *)data)[at] = (int32_t)whole;
        return NULL;
    case NNC_I8:
        if (!whole_number(word, INT8_MIN, INT8_MAX, &whole))
            return "not an i8: ";
        ((int8_t *)data)[at] = (int8_t)whole;
        return NULL;
    default:
        if (!whole_number(word, INT64_MIN, INT64_MAX, &whole))
            return "not an i64: ";
        ((int64_t *)data)[at] = whole;
        return NULL;
    }
}

static void print_float(double value, int digits)
{
    if (isnan(value))
        printf("nan");
    else
        printf("%.*g", digits, value);
}

static void print_number(nnc_tensor *tensor, int64_t at)
{
    const void *data = nnc_tensor_data(tensor);
    switch (nnc_tensor_dtype(tensor)) {
    case NNC_BOOL:
    case NNC_U8:
        printf("%u", ((const uint8_t *)data)[at]);
        break;
    case NNC_I32:
        printf("%" PRId32, ((const int32_t *)data)[at]);
        break;
    case NNC_I64:
        printf("%" PRId64, ((const int64_t *)data)[at]);
        break;
    case NNC_I8:
        printf("%d", ((const int8_t *)data)[at]);
        break;
    case NNC_F32:
        print_float(((const float *)data)[at], 9);
        break;
    case NNC_F16:
    case NNC_BF16:
        print_float(nnc_tensor_number(tensor, at), 5);
        break;
    case NNC_F64:
        print_float(((const double *)data)[at], 17);
        break;
    }
}

static int refuse(const Predictor *predictor, const char *text, const char *word)
{
    fprintf(stderr, "nnc: standard input, line %ld: %s%s\n", predictor->line, text, word);
    return NNC_DATA;
}

/* NULL, or why the cell cannot stand there; "" when the context says it. */
static const char *put_cell(Predictor *predictor, size_t input, int64_t i, const char *word)
{
    if (predictor->is_text[input])
        return nnc_session_read_text(predictor->session, input, word, predictor->inputs[input],
                                     predictor->rows) == NNC_OK
                   ? NULL
                   : "";
    return put_number(predictor->inputs[input],
                      predictor->rows * predictor->widths[input] + i, word);
}

/* One line into row `rows` of the inputs. */
static int read_row(const Arguments *arguments, nnc_context *context, Predictor *predictor,
                    char *line)
{
    char *rest = line,
         *word = predictor->texts ? next_cell(&rest) : strtok_r(line, separators, &rest);
    char expected[64];
    snprintf(expected, sizeof expected, "%lld", (long long)predictor->width);
    for (size_t input = 0; input < predictor->input_count; input++) {
        int64_t cells = predictor->is_text[input] ? 1 : predictor->widths[input];
        for (int64_t i = 0; i < cells; i++, word = next_word(predictor, &rest)) {
            if (!word)
                return refuse(predictor, predictor->texts ? "too few cells; a row has "
                                                          : "too few numbers; a row has ",
                              expected);
            const char *fault = put_cell(predictor, input, i, word);
            if (fault && !*fault)
                fprintf(stderr, "nnc: standard input, line %ld:\n", predictor->line);
            if (fault)
                return *fault ? refuse(predictor, fault, word)
                              : report_failure(arguments, context, NNC_DATA);
        }
    }
    if (word)
        return refuse(predictor, predictor->texts ? "too many cells; a row has "
                                                  : "too many numbers; a row has ",
                      expected);
    predictor->rows++;
    return 0;
}

static void print_row(Predictor *predictor, nnc_tensor **outputs, int64_t row)
{
    bool first = true;
    for (size_t k = 0; k < predictor->output_count; k++) {
        int64_t width = nnc_tensor_elements(outputs[k]) / nnc_tensor_size(outputs[k], 0);
        for (int64_t i = 0; i < width; i++, first = false) {
            if (!first)
                putchar(',');
            print_number(outputs[k], row * width + i);
        }
    }
    printf("\n");
}

/* Views of the rows that were read, so that a short last batch has its own size. */
static nnc_status run_rows(Predictor *predictor)
{
    nnc_tensor *views[MAX_IO] = {NULL}, *outputs[MAX_IO] = {NULL};
    nnc_status status = NNC_OK;
    if (predictor->rows == 0)
        return NNC_OK;
    for (size_t i = 0; status == NNC_OK && i < predictor->input_count; i++) {
        int64_t sizes[8] = {predictor->rows};
        nnc_tensor *input = predictor->inputs[i];
        for (int axis = 1; axis < nnc_tensor_rank(input); axis++)
            sizes[axis] = nnc_tensor_size(input, axis);
        status = nnc_tensor_wrap(nnc_tensor_dtype(input), nnc_tensor_rank(input), sizes,
                                 nnc_tensor_data(input), &views[i]);
    }
    if (status == NNC_OK)
        status = nnc_session_run(predictor->session, views, outputs);
    for (int64_t row = 0; status == NNC_OK && row < predictor->rows; row++)
        print_row(predictor, outputs, row);
    for (size_t i = 0; i < MAX_IO; i++) {
        nnc_tensor_release(views[i]);
        nnc_tensor_release(outputs[i]);
    }
    predictor->rows = 0;
    return status;
}

static bool is_header(const Predictor *predictor, const char *line)
{
    char *end;
    if (predictor->texts) {
        const char *name = nnc_session_input_name(predictor->session, 0);
        line += strspn(line, " \"");
        return strncmp(line, name, strlen(name)) == 0 &&
               strchr(",;\t\r\n\"", line[strlen(name)]) != NULL;
    }
    line += strspn(line, separators);
    strtod(line, &end);
    return end == line || !strchr(separators, *end);
}

static int predict_lines(const Arguments *arguments, nnc_context *context, Predictor *predictor,
                         FILE *in)
{
    char *line = NULL;
    size_t capacity = 0;
    int code = 0;
    while (code == 0 && getline(&line, &capacity, in) >= 0) {
        predictor->line++;
        if (!line[strspn(line, separators)] || (predictor->line == 1 && is_header(predictor, line)))
            continue;
        code = read_row(arguments, context, predictor, line);
        if (code == 0 && predictor->rows == ROWS) {
            nnc_status status = run_rows(predictor);
            code = status == NNC_OK ? 0 : report_failure(arguments, context, status);
        }
    }
    free(line);
    if (predictor->rows > 0) { /* rows before a faulty line are answered too */
        nnc_status status = run_rows(predictor);
        if (status != NNC_OK)
            code = report_failure(arguments, context, status);
    }
    return code;
}

static int predict(const Arguments *arguments, nnc_context *context, nnc_program *program,
                   const char *block, const char *weights)
{
    nnc_model *model = NULL;
    Predictor predictor = {0};
    nnc_status status = nnc_model_load(program, block, weights, &model);
    if (status == NNC_OK)
        status = nnc_session_new(model, &predictor.session);
    if (status == NNC_OK) {
        predictor.input_count = nnc_session_input_count(predictor.session);
        predictor.output_count = nnc_session_output_count(predictor.session);
        if (predictor.input_count > MAX_IO || predictor.output_count > MAX_IO) {
            fprintf(stderr, "nnc: predict takes at most %d inputs and outputs\n", MAX_IO);
            status = NNC_UNSUPPORTED;
        }
    }
    for (size_t i = 0; status == NNC_OK && i < predictor.input_count; i++)
        status = make_input(&predictor, i);
    int code = status == NNC_OK ? predict_lines(arguments, context, &predictor, stdin)
                                : report_failure(arguments, context, status);
    for (size_t i = 0; i < MAX_IO; i++)
        nnc_tensor_release(predictor.inputs[i]);
    nnc_session_release(predictor.session);
    nnc_model_release(model);
    return code;
}

int command_predict(const Arguments *arguments)
{
    const char *named = arguments->operands[1];
    return with_weights(arguments, named && strcmp(named, "-") != 0 ? named : NULL, predict);
}
