/* Words and texts as inputs of predict: a cell of the training file becomes numbers as it did
 * then, by what the weights keep beside them (weights.c).
 *
 *   words.kind = "cat", "dog"         "dog"  ->  1
 *   tokenizer.text = {..}             "ab"   ->  3 4 2 0 0 0 */
#include "compiler/driver/cells.h"

#include "compiler/driver/weights.h"
#include "runtime/data/csv_tokens.h"
#include "runtime/data/tokenizer.h"

#include <string.h>

static const FieldPlan *field_of(const Run *run, const PredictInput *input)
{
    const DatasetPlan *dataset = run->plan->dataset;
    for (uint32_t i = 0; dataset && i < dataset->fields.count; i++)
        if (strcmp(dataset->fields.data[i].name, input->name) == 0)
            return &dataset->fields.data[i];
    return NULL;
}

bool input_is_text(const Run *run, const PredictInput *input)
{
    const FieldPlan *field = field_of(run, input);
    return field && (field->category || field->sequence);
}

static const char *noted(const Run *run, const char *what, const char *name)
{
    Arena *arena = arena_new();
    const char *key = arena_format(arena, "%s.%s", what, name), *value = NULL;
    for (int i = 0; run->notes && i < run->notes->count; i++)
        if (strcmp(run->notes->items[i].key, key) == 0)
            value = run->notes->items[i].value;
    arena_free(arena);
    return value;
}

static nnc_status refuse(Run *run, ErrorCode code, const char *name, const char *text,
                         const char *problem)
{
    return context_fail(run->program->context, NNC_DATA, code, "%s: \"%.40s%s\" %s", name, text,
                        strlen(text) > 40 ? "..." : "", problem);
}

/* The end of the quoted word that begins at `at`. */
static const char *word_end(const char *at)
{
    for (at++; *at && *at != '"'; at++)
        at += *at == '\\' && at[1];
    return *at ? at + 1 : at;
}

static nnc_status read_word(Run *run, const char *name, const char *text, int32_t *row)
{
    const char *list = noted(run, "words", name);
    StrBuf wanted = {0};
    int32_t index = 0;
    bool found = false;
    strbuf_add_json(&wanted, text);
    for (const char *at = list; at && *at == '"' && !found; index += !found) {
        const char *end = word_end(at);
        found = (size_t)(end - at) == wanted.length && memcmp(at, wanted.text, wanted.length) == 0;
        at = end + strspn(end, ", ");
    }
    strbuf_free(&wanted);
    *row = index;
    if (found)
        return NNC_OK;
    return refuse(run, ERR_E0611, name, text,
                  list ? arena_format(run->arena, "is none of the words of the training data: %s", list)
                       : "has no number: the weights do not have the words of the field");
}

static nnc_status read_tokens(Run *run, PredictInput *input, const FieldPlan *field,
                              const char *text, int32_t *row)
{
    const char *saved = noted(run, "tokenizer", input->name), *problem = NULL;
    if (!saved)
        return refuse(run, ERR_E0618, input->name, text,
                      "has no tokens: the weights do not have the tokenizer of the field");
    if (!input->tokenizer)
        input->tokenizer = tokenizer_from_text(saved, strlen(saved), &problem);
    if (!input->tokenizer)
        return refuse(run, ERR_E0618, input->name, text, problem);
    DataField read = {.name = input->name, .rank = 1, .tokenizer = input->tokenizer};
    dim_is_const(field->row.dims[0], &read.sizes[0]);
    const CsvCell cell = {.text = (char *)text, .length = (uint32_t)strlen(text)};
    problem = sequence_store(run->arena, &read, &cell, row);
    return problem ? refuse(run, ERR_E0608, input->name, text, problem) : NNC_OK;
}

nnc_status input_read_text(Run *run, PredictInput *input, const char *text, int32_t *row)
{
    const FieldPlan *field = field_of(run, input);
    return field->category ? read_word(run, input->name, text, row)
                           : read_tokens(run, input, field, text, row);
}

void inputs_close(Run *run)
{
    for (int i = 0; i < run->input_count; i++)
        tokenizer_free(run->inputs[i].tokenizer);
    run->input_count = 0;
}
